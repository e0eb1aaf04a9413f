"""Image configs: what lading shows of them, and that Go and lading see the same platform."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.errors import InvalidContent
from lading.model.config import ImageConfig
from lading.model.platform import Platform


def _parse(**fields: Any) -> ImageConfig:
    return ImageConfig.parse(json.dumps(fields).encode())


def test_what_is_shown() -> None:
    raw = json.dumps(
        {
            "created": "2024-01-02T03:04:05.678Z",
            "author": "somebody",
            "architecture": "arm64",
            "variant": "v8",
            "os": "linux",
            "config": {"Env": ["A=1"], "Cmd": None, "Labels": {"a": "b"}},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:1"]},
            "history": [{"created_by": "RUN x", "empty_layer": True}],
            "moby.buildkit.buildinfo.v1": "e30=",
        }
    ).encode()
    config = ImageConfig.parse(raw)

    assert config.raw is raw
    assert config.platform == Platform(os="linux", architecture="arm64", variant="v8")
    assert (config.created, config.author) == ("2024-01-02T03:04:05.678Z", "somebody")
    assert config.config["Env"] == ["A=1"]
    assert config.config.get("Cmd") is None
    assert config.history == ({"created_by": "RUN x", "empty_layer": True},)
    assert config.diff_ids == ("sha256:1",)
    assert config.document["moby.buildkit.buildinfo.v1"] == "e30="
    assert config.to_document() == json.loads(config.to_json()) == json.loads(raw)
    assert repr(config) == "<ImageConfig linux/arm64/v8 1 layer>"


def test_nothing_changes_it() -> None:
    config = _parse(config={"Env": ["A=1"]}, history=[{"created_by": "RUN x"}])
    config.config["Env"].append("B=2")
    config.document.clear()
    config.history[0].clear()
    assert (config.config, config.history) == ({"Env": ["A=1"]}, ({"created_by": "RUN x"},))


def test_nothing_said() -> None:
    config = ImageConfig.parse(b"{}")

    assert config.platform == Platform()
    assert (config.created, config.author, config.config, config.history, config.diff_ids) == ("", "", {}, (), ())


def test_null_is_nothing() -> None:
    config = _parse(created=None, author=None, os=None, config=None, history=None, rootfs={"diff_ids": None})

    assert config == ImageConfig.parse(config.raw)
    assert (config.platform, config.config, config.history, config.diff_ids) == (Platform(), {}, (), ())
    assert _parse(rootfs=None).diff_ids == ()


@pytest.mark.parametrize(
    "text, platform",
    [
        # As encoding/json of Go 1.26 reads them.
        ('{"Architecture":"arm","OS":"linux","Variant":"v6"}', Platform("arm", "linux", variant="v6")),
        ('{"OS.Version":"1","OS.FEATURES":["a"],"VARIANT":"v8"}', Platform("", "", "1", ("a",), "v8")),
        ('{"architecture":"amd64","Architecture":"arm64"}', Platform("arm64")),
        ('{"Architecture":"arm64","architecture":"amd64"}', Platform("amd64")),
        ('{"os":"linux","OS":null}', Platform(os="linux")),
        ('{"o\u017f":"linux"}', Platform(os="linux")),
    ],
)
def test_the_platform_as_go_finds_it(text: str, platform: Platform) -> None:
    assert ImageConfig.parse(text.encode()).platform == platform


def test_the_platform_is_kept_as_found() -> None:
    assert _parse(os="linux", architecture="arm64", variant="v8").platform.variant == "v8"
    assert _parse(os="Linux", architecture="aarch64").platform == Platform("aarch64", "Linux")


@pytest.mark.parametrize(
    "fields",
    [
        {"os": 1},
        {"OS": 1},
        {"architecture": ["amd64"]},
        {"os.features": "win32k"},
        {"created": 1},
        {"author": {}},
        {"config": []},
        {"config": "x"},
        {"history": {}},
        {"history": [1]},
        {"rootfs": []},
        {"rootfs": {"diff_ids": "sha256:1"}},
        {"rootfs": {"diff_ids": [1]}},
    ],
)
def test_wrong_types(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidContent, match="the image config is malformed"):
        _parse(**fields)


@pytest.mark.parametrize("raw", [b"", b"PK\x03\x04", b"[]", b"null", b'{"os":"a","os":"b"}', b"{}" + b" " * 10])
def test_what_is_no_config(raw: bytes) -> None:
    with pytest.raises(InvalidContent, match=r"^the config of x"):
        ImageConfig.parse(raw, "the config of x", limit=8)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_keys = st.sampled_from(
    ["os", "OS", "architecture", "os.version", "os.features", "variant", "created", "config", "history", "rootfs"]
)


@given(st.dictionaries(_keys, _json | st.text(max_size=3), max_size=4) | st.dictionaries(_keys, st.text(), max_size=9))
def test_any_json_is_a_config_or_invalid_content(document: dict[str, Any]) -> None:
    raw = json.dumps(document).encode()
    try:
        config = ImageConfig.parse(raw)
    except InvalidContent:
        return
    assert config == ImageConfig.parse(raw)
    assert Platform.from_document(config.platform.to_document()) == config.platform
