"""Platforms: read in any common spelling, kept as found, compared by what they mean."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.errors import InvalidContent, InvalidPlatform
from lading.model.platform import Platform


@pytest.mark.parametrize(
    "text, full",
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/arm64/v8", "linux/arm64/v8"),
        ("linux/arm/v7", "linux/arm/v7"),
        ("Linux/AMD64", "linux/amd64"),
        ("linux/ARM64/V8", "linux/arm64/v8"),
        ("linux/x86_64", "linux/amd64"),
        ("linux/x86-64", "linux/amd64"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/aarch64/v8", "linux/arm64/v8"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("linux/i386", "linux/386"),
        ("linux/i686", "linux/386"),
        ("linux/loongarch64", "linux/loong64"),
        ("macOS/arm64", "darwin/arm64"),
        ("unknown/unknown", "unknown/unknown"),
    ],
)
def test_spellings(text: str, full: str) -> None:
    platform = Platform.parse(text)

    assert str(platform) == full
    assert Platform.parse(full) == platform
    assert platform.canonical() == platform


def test_a_version_of_the_operating_system() -> None:
    platform = Platform.parse("windows/amd64:10.0.17763.1817")

    assert (platform.os, platform.architecture, platform.os_version) == ("windows", "amd64", "10.0.17763.1817")
    assert str(platform) == "windows/amd64"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "linux",
        "amd64",
        "/",
        "linux/",
        "/amd64",
        "linux//v8",
        "linux/arm/v7/x",
        "linux/arm v7",
        " linux/amd64",
        "linux/amd64\n",
        "linux/amd64,linux/arm64",
        "línux/amd64",
        "linux/amd64:",
        "windows/amd64:10.0:1",
        "windows/amd64:10 0",
        "windows/amd64:\x1b[2J",
    ],
)
def test_what_is_no_platform(text: str) -> None:
    with pytest.raises(InvalidPlatform):
        Platform.parse(text)


_known = [
    "darwin/386",
    "darwin/amd64",
    "darwin/arm",
    "darwin/arm64",
    "dragonfly/amd64",
    "freebsd/386",
    "freebsd/amd64",
    "freebsd/arm",
    "linux/386",
    "linux/amd64",
    "linux/arm",
    "linux/arm64",
    "linux/ppc64le",
    "linux/mips64",
    "linux/mips64le",
    "linux/riscv64",
    "linux/s390x",
    "netbsd/386",
    "netbsd/amd64",
    "netbsd/arm",
    "openbsd/386",
    "openbsd/amd64",
    "openbsd/arm",
    "plan9/386",
    "plan9/amd64",
    "solaris/amd64",
    "windows/386",
    "windows/amd64",
]
_refused_by_docker = [
    "linux/loong64",
    "linux/ppc64",
    "linux/mips",
    "freebsd/arm64",
    "windows/arm64",
    "android/arm64",
    "wasip1/wasm",
]


@pytest.mark.parametrize("text", [*_known, *_refused_by_docker, "linux/arm/v7", "linux/arm64/v8", "linux/amd64/v3"])
def test_known(text: str) -> None:
    # Docker's list is older than half of what Go builds for; lading's is Go's.
    assert Platform.parse(text).is_known


@pytest.mark.parametrize(
    "text",
    ["linux/banana", "bogus/amd64", "unknown/unknown", "linux/arm/banana", "linux/amd64/v8", "linux/s390x/v1"],
)
def test_not_known(text: str) -> None:
    assert not Platform.parse(text).is_known


def test_nothing_said_is_not_known() -> None:
    assert not Platform().is_known
    assert str(Platform()) == "unknown/unknown"
    assert str(Platform(os="linux")) == "linux/unknown"


@pytest.mark.parametrize(
    "one, other",
    [
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/7", "linux/arm/v7"),
        ("linux/arm64", "linux/arm64/v8"),
        ("linux/arm64/8", "linux/aarch64"),
        ("linux/amd64", "linux/amd64/v1"),
        ("linux/armhf", "linux/arm/v7"),
    ],
)
def test_two_spellings_of_one_platform(one: str, other: str) -> None:
    assert Platform.parse(one).normalized() == Platform.parse(other).normalized()


@pytest.mark.parametrize("one, other", [("linux/arm/v6", "linux/arm"), ("linux/amd64/v2", "linux/amd64")])
def test_two_platforms(one: str, other: str) -> None:
    assert Platform.parse(one).normalized() != Platform.parse(other).normalized()


def test_values_are_kept_as_found() -> None:
    found = Platform(os="Linux", architecture="aarch64", variant="8")

    assert str(found) == "Linux/aarch64/8"
    assert found.to_document() == {"architecture": "aarch64", "os": "Linux", "variant": "8"}


@pytest.mark.parametrize(
    "entry, wanted, answer",
    [
        ("linux/amd64", "linux/amd64", True),
        ("linux/amd64", "linux/arm64", False),
        ("linux/amd64", "windows/amd64", False),
        ("linux/arm64/v8", "linux/arm64", True),
        ("linux/arm64", "linux/arm64/v8", True),
        ("linux/arm/v6", "linux/arm", True),
        ("linux/arm/v6", "linux/arm/v7", False),
        ("linux/arm", "linux/arm/v7", True),
        ("linux/arm", "linux/arm/v6", False),
        ("linux/amd64/v2", "linux/amd64", True),
        ("linux/amd64", "linux/amd64/v2", False),
        ("windows/amd64:10.0.17763.1817", "windows/amd64", True),
        ("windows/amd64:10.0.17763.1817", "windows/amd64:10.0.17763", True),
        ("windows/amd64:10.0.17763.1817", "windows/amd64:10.0.17763.1817", True),
        ("windows/amd64:10.0.17763.1817", "windows/amd64:10.0.1776", False),
        ("windows/amd64:10.0.17763.1817", "windows/amd64:10.0.20348", False),
        ("windows/amd64", "windows/amd64:10.0.17763", False),
    ],
)
def test_which_entry_a_user_means(entry: str, wanted: str, answer: bool) -> None:
    assert Platform.parse(entry).satisfies(Platform.parse(wanted)) is answer


def test_other_spellings_are_meant_too() -> None:
    aarch64 = Platform(os="linux", architecture="aarch64")

    assert aarch64.satisfies(Platform.parse("linux/arm64"))
    assert Platform.parse("linux/arm64").satisfies(aarch64)
    assert Platform.parse("linux/arm/v7").satisfies(Platform(os="linux", architecture="armhf"))
    assert not Platform.parse("linux/arm/v6").satisfies(Platform(os="linux", architecture="armhf"))
    assert not Platform().satisfies(Platform.parse("linux/amd64"))


_part = st.from_regex(r"[A-Za-z0-9_.-]{1,8}", fullmatch=True) | st.sampled_from(
    ["linux", "windows", "macos", "arm", "arm64", "aarch64", "armhf", "v8", "8", "unknown"]
)


@given(_part, _part, st.none() | _part)
def test_text_and_back(os: str, architecture: str, variant: str | None) -> None:
    platform = Platform.parse("/".join(filter(None, (os, architecture, variant))))

    assert Platform.parse(str(platform)) == platform
    assert platform.canonical() == platform
    assert platform.normalized().normalized() == platform.normalized()
    assert platform.satisfies(platform)
    assert platform.satisfies(platform.normalized())
    assert platform.normalized().satisfies(platform)
    assert Platform.from_document(platform.to_document()) == platform


@given(st.text(max_size=20) | st.text("linux/arm64v8:. \n", max_size=24))
def test_any_text_is_a_platform_or_an_invalid_one(text: str) -> None:
    try:
        platform = Platform.parse(text)
    except InvalidPlatform:
        return
    assert platform.os
    assert platform.architecture


def test_a_document_and_back() -> None:
    document = {
        "architecture": "amd64",
        "os": "windows",
        "os.version": "10.0.17763",
        "os.features": ["win32k"],
        "variant": "v2",
        "features": ["sse4"],
    }
    platform = Platform.from_document(document)

    assert platform.to_document() == document
    assert list(platform.to_document()) == list(document)
    assert hash(platform) == hash(Platform.from_document(document))


def test_null_is_nothing() -> None:
    document: dict[str, Any] = {"os": "linux", "architecture": None, "os.features": None, "variant": None}

    assert Platform.from_document(document) == Platform(os="linux")


@pytest.mark.parametrize(
    "document",
    [
        {"os": 1},
        {"architecture": ["amd64"]},
        {"os.features": "win32k"},
        {"os.features": [1]},
        {"variant": {}},
        [],
        "linux/amd64",
        None,
    ],
)
def test_wrong_types(document: Any) -> None:
    with pytest.raises(InvalidContent):
        Platform.from_document(document)
