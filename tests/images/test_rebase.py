"""Rebasing: nothing of the image is lost, and what it has from its base becomes that of the new one."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lading import AsyncClient, LadingError, NotFound
from support.images import digest_of, make_image, make_index, make_layer, push
from support.lading import Lading
from support.layers import image, write_layout
from support.parts import need
from support.process import run
from support.registry import RealRegistry

OLD = [{"created_by": "old base"}, {"created_by": "CMD old", "empty_layer": True}]
NEW = [{"created_by": "new base"}, {"created_by": "more"}, {"created_by": "CMD new", "empty_layer": True}]
OWN = [
    {"created_by": "ENV A", "empty_layer": True},
    {"created_by": "COPY app"},
    {"created_by": "CMD", "empty_layer": True},
]
OLD_RUN = {"Env": ["PATH=/bin", "GONE=1", "KEPT=old"], "Cmd": ["old"], "Labels": {"v": "1", "x": "y"}, "User": "u"}
NEW_RUN = {"Env": ["PATH=/bin:/new", "KEPT=new", "ADDED=1"], "Cmd": ["new"], "Labels": {"v": "2"}, "User": "w"}
OWN_RUN = {
    "Env": ["PATH=/app:/bin", "GONE=1", "KEPT=old", "MINE=1"],
    "Cmd": ["old"],
    "Labels": {"v": "1", "x": "y", "mine": "1"},
    "User": "u",
    "WorkingDir": "/app",
}


def layouts(folder: Path, histories: tuple[Any, Any, Any] = (OLD, NEW, [*OLD, *OWN])) -> tuple[str, str, str]:
    """An old base, a new base, and an image on the old one."""
    old, new, own = histories
    return (
        write_layout(folder / "old", image("a=old", history=old, config={"config": OLD_RUN})),
        write_layout(folder / "new", image("a=new", "b=new", history=new, config={"config": NEW_RUN})),
        write_layout(folder / "app", image("a=old", "app=mine", history=own, config={"config": OWN_RUN})),
    )


async def test_the_image_keeps_what_is_its_own(client: AsyncClient, tmp_path: Path) -> None:
    old, new, app = layouts(tmp_path)
    target = f"oci:{tmp_path / 'out'}:1"
    await client.images.rebase(app, old_base=old, new_base=new, targets=target)
    config = (await client.config(target)).document
    assert config["history"] == [*NEW, *OWN]
    assert config["config"]["Env"] == ["PATH=/app:/bin:/new", "KEPT=new", "ADDED=1", "MINE=1"]
    assert config["config"]["Labels"] == {"mine": "1", "v": "2"}
    assert (config["config"]["Cmd"], config["config"]["User"], config["config"]["WorkingDir"]) == (["new"], "w", "/app")
    before, base = await client.get_manifest(app), await client.get_manifest(new)
    after = await client.get_manifest(target)
    assert [layer.digest for layer in after.layers] == [layer.digest for layer in (*base.layers, before.layers[1])]
    # The base is a place on this machine, of which nobody else knows anything.
    assert after.annotations == {"org.opencontainers.image.base.digest": base.digest}
    assert await client.images.read(target, "app") == b"mine"
    assert await client.images.read(target, "a") == b"new"


@pytest.mark.parametrize(
    "histories", [([], NEW, [*OLD, *OWN]), (OLD, [], [*OLD, *OWN]), (OLD, NEW, []), ([], [], []), (OLD, NEW, OLD)]
)
async def test_no_layer_is_lost_where_history_is(client: AsyncClient, tmp_path: Path, histories: Any) -> None:
    """crane drops the first layer of the application where the base or the image has no history."""
    old, new, app = layouts(tmp_path, histories)
    target = f"oci:{tmp_path / 'out'}:1"
    await client.images.rebase(app, old_base=old, new_base=new, targets=target)
    assert len((await client.get_manifest(target)).layers) == 3
    assert await client.images.read(target, "app") == b"mine"
    config = (await client.config(target)).document
    named = [entry for entry in config.get("history", []) if not entry.get("empty_layer")]
    assert len(named) in (0, 3)


async def test_what_is_not_on_the_old_base_is_refused(client: AsyncClient, tmp_path: Path) -> None:
    old, new, app = layouts(tmp_path)
    target = f"oci:{tmp_path / 'out'}:1"
    with pytest.raises(LadingError, match="is not built on") as raised:
        await client.images.rebase(app, old_base=new, new_base=old, targets=target)
    assert raised.value.code == "not-its-base"
    with pytest.raises(NotFound, match="does not say what it is built on"):
        await client.images.rebase(app, new_base=new, targets=target)
    assert not (tmp_path / "out").exists()


async def test_an_index_with_bases_from_annotations(
    client: AsyncClient, registry: RealRegistry, new_repository: Callable[[], str]
) -> None:
    base, app = (f"{registry.host}/{new_repository()}" for _ in range(2))
    platforms = ("linux/amd64", "linux/arm64")
    layers = {name: gzip.compress(make_layer_plain(name)) for name in ("old", "new", "app")}

    def pushed(place: str, tag: str, names: tuple[str, ...], annotations: dict[str, str] | None = None) -> str:
        images = [
            make_image(platform, kind="oci", layers=[layers[name] for name in names], annotations=annotations)
            for platform in platforms
        ]
        return push(registry.host, place.removeprefix(f"{registry.host}/"), tag, make_index(images, kind="oci"))

    digest = pushed(base, "12", ("old",))
    stated = {"org.opencontainers.image.base.name": f"{base}:12", "org.opencontainers.image.base.digest": digest}
    pushed(app, "1", ("old", "app"), stated)
    moved = pushed(base, "12", ("new",))
    await client.images.rebase(f"{app}:1", targets=f"{app}:2")
    index = await client.get_index(f"{app}:2")
    assert [str(entry.platform) for entry in index.images] == list(platforms)
    for platform in platforms:
        manifest = await client.get_manifest(f"{app}:2", platform=platform)
        assert [layer.digest for layer in manifest.layers] == [digest_of(layers["new"]), digest_of(layers["app"])]
        assert manifest.annotations["org.opencontainers.image.base.digest"] == moved


def make_layer_plain(name: str) -> bytes:
    return gzip.decompress(make_layer({name: name}))


async def test_a_base_in_the_other_format(client: AsyncClient, tmp_path: Path) -> None:
    old, new, app = layouts(tmp_path)
    docker = f"oci:{tmp_path / 'docker'}:1"
    await client.copy(new, docker, to="docker")
    target = f"oci:{tmp_path / 'out'}:1"
    await client.images.rebase(app, old_base=old, new_base=docker, targets=target)
    after = await client.get_manifest(target)
    assert {layer.media_type.partition("vnd.")[2][:3] for layer in after.layers} == {"oci"}


def test_by_command(lading: Lading, tmp_path: Path) -> None:
    old, new, app = layouts(tmp_path)
    ran = lading.run("image", "rebase", app, "--old-base", old, "--new-base", new, "--dry-run", "-t", "2")
    assert '+      "created_by": "new base"' in ran.stdout
    ran = lading.run("image", "rebase", app, "--old-base", old, "--new-base", new, "-t", "2")
    assert ran.stdout.startswith(f"oci:{tmp_path / 'app'}:2@sha256:")
    ran = lading.run("image", "rebase", app, "--old-base", new, "--new-base", old, "-t", "3", check=False)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "is not built on" in ran.stderr
    assert "cause" not in ran.stderr
    ran = lading.run("image", "rebase", app, "--in-place", check=False)
    assert (ran.returncode, "--old-base" in ran.stderr) == (3, True)


def test_the_layers_are_those_of_crane(
    lading: Lading, registry: RealRegistry, new_repository: Callable[[], str]
) -> None:
    crane = need("crane")
    base, app = (f"{registry.host}/{new_repository()}" for _ in range(2))
    layers = {name: make_layer({name: name}) for name in ("old", "new", "app")}
    for place, tag, names in ((base, "1", ("old",)), (base, "2", ("new",)), (app, "1", ("old", "app"))):
        push(
            registry.host,
            place.removeprefix(f"{registry.host}/"),
            tag,
            make_image(layers=[layers[name] for name in names]),
        )
    args = ["--old_base", f"{base}:1", "--new_base", f"{base}:2", "-t", f"{app}:crane"]
    run([crane, "rebase", f"{app}:1", *args])
    lading.run("image", "rebase", f"{app}:1", "--old-base", f"{base}:1", "--new-base", f"{base}:2", "-t", "ours")
    crane_ids, ours = (
        [
            layer["diff_id"]
            for layer in json.loads(lading.run("image", "layers", place, "--format", "json").stdout)["layers"]
        ]
        for place in (f"{app}:crane", f"{app}:ours")
    )
    assert crane_ids == ours
    assert len(ours) == 2
