"""Platforms as containerd's library reads, normalises and ranks them, version by version; Docker and podman use it.

Pure, like all of the model: it knows platforms and nothing of lists or clients.
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import NamedTuple
from urllib.parse import unquote

import msgspec

from lading.model.platform import Platform


class Library(IntEnum):
    """A version of the library, by what is new in it; whatever is new stays in the later ones."""

    DOCKER_20_10 = 0
    """What Docker's own builds of 20.10 have: `amd64/v1` is another platform than `amd64`."""
    CONTAINERD_1_6 = 1
    """containerd 1.6 up to 1.7.18, and v0.1."""
    V0_2 = 2
    """`OS(VERSION)`."""
    RC_0 = 3
    """v1.0.0-rc.0: dots in a variant, and `arm64/v8.N` and `v9.N` that run what is below them."""
    RC_1 = 4
    """The version of Windows counts wherever the client runs."""
    RC_2 = 5
    """Windows Server 2025 runs images from 2022 on, and not before."""
    RC_3 = 6
    """`os.features`: an entry's have to be among those that are asked for."""
    RC_4 = 7
    """`win32k` does not count among them."""


class Refused(Exception):
    """A client does not understand what it is asked for; the text is its own."""


class Rank(NamedTuple):
    """How near an entry is to what is asked for: the lower, the nearer."""

    place: int
    features: int
    """The number of `os.features`, below zero: the more, the nearer."""


class Matcher:
    """What a client takes for a platform that it was asked for: `platforms.Only`, or a list of exact platforms.

    Args:
        vector: the acceptable platforms, best first.
        library: by whose rules.
        host: where the client runs.
    """

    def __init__(self, vector: list[Platform], library: Library, host: Platform) -> None:
        self.library = library
        self.host = host
        self.vector: list[Platform] = [normalize(platform, library, host) for platform in vector]

    def rank(self, found: Platform) -> Rank | None:
        """How near a platform is; None where it does not do."""
        normal = normalize(found, self.library, self.host)
        for place, wanted in enumerate(self.vector):
            if self._matches(wanted, normal):
                return Rank(place, -len(found.os_features) if self.library >= Library.RC_3 else 0)
        return None

    def why(self, found: Platform) -> str:
        """Why a platform that matches does, in words."""
        normal, wanted = normalize(found, self.library, self.host), self.vector[0]
        if (normal.os, normal.architecture, normal.variant) == (wanted.os, wanted.architecture, wanted.variant):
            spelled = (found.os, found.architecture, found.variant)
            same = spelled == (normal.os, normal.architecture, normal.variant)
            return "the platform itself" if same else f"the same as {named(wanted, whole=False)}"
        if normal.architecture != wanted.architecture:
            return f"{named(normal, whole=False)} runs on {named(wanted, whole=False)}"
        return f"nearest variant below {wanted.variant or 'v8'}"

    def why_not(self, found: Platform) -> str:
        """Why a platform that does not match does not, in words."""
        normal = normalize(found, self.library, self.host)
        if not self.vector:
            return "this client knows no platform that would do"
        wanted = self.vector[0]
        if normal.os != wanted.os:
            return f"{found} is for another operating system than {wanted.os}"
        alike = [item for item in self.vector if item.architecture == normal.architecture]
        if not alike:
            return f"{found} does not run on {named(wanted)}"
        if all(item.variant != normal.variant for item in alike):
            variants = [item.variant or "none" for item in alike]
            takes = variants[0] if len(variants) == 1 else f"{', '.join(variants[:-1])} or {variants[-1]}"
            return f"its variant is {normal.variant or 'none'}, and {named(wanted)} takes {takes}"
        if not self._has_features(wanted, normal):
            return f"it needs os.features {', '.join(normal.os_features)}, which were not asked for"
        return f"its os.version {found.os_version} does not run on {wanted.os_version}"

    def _matches(self, wanted: Platform, found: Platform) -> bool:
        return (
            (wanted.os, wanted.architecture, wanted.variant) == (found.os, found.architecture, found.variant)
            and self._runs_version(wanted, found)
            and self._has_features(wanted, found)
        )

    def _runs_version(self, wanted: Platform, found: Platform) -> bool:
        counts = wanted.os == "windows" and (self.library >= Library.RC_1 or self.host.os == "windows")
        if not counts or not found.os_version:
            return True
        asked = windows_build(wanted.os_version)
        return asked is None or _runs_windows(asked, windows_build(found.os_version) or (0, 0, 0), self.library)

    def _has_features(self, wanted: Platform, found: Platform) -> bool:
        if self.library < Library.RC_3:
            return True
        needed = set(found.os_features)
        if self.library >= Library.RC_4 and wanted.os == "windows":
            needed.discard("win32k")
        return needed <= set(wanted.os_features)


def only(platform: Platform, library: Library, host: Platform) -> Matcher:
    """`platforms.Only`: the platform, and what else its machine runs."""
    return Matcher(_vector(normalize(platform, library, host), library), library, host)


def normalize(platform: Platform, library: Library, host: Platform) -> Platform:
    """`platforms.Normalize`: the form in which platforms are compared."""
    architecture, variant = _normal_architecture(platform.architecture, platform.variant, library)
    return msgspec.structs.replace(
        platform,
        os=_normal_os(platform.os, host),
        architecture=architecture,
        variant=variant,
        os_features=tuple(sorted(set(platform.os_features))),
    )


def parse(text: str, library: Library, host: Platform) -> Platform:
    """`platforms.Parse`: what is given to `--platform`.

    Raises:
        Refused: this version of the library does not read it.
    """
    parts = text.split("/")
    system = _parse_os(parts[0], text, library, host)
    for part in parts[1:]:
        _check(part, text, library)
    if len(parts) == 1:
        if KNOWN_OS.fullmatch(system.os):
            variant = host.variant if host.architecture == "arm" and host.variant != "v7" else ""
            return msgspec.structs.replace(system, architecture=host.architecture, variant=variant)
        architecture, variant = _normal_architecture(parts[0], "", library)
        if not KNOWN_ARCHITECTURES.fullmatch(architecture):
            raise Refused(f"{quoted(text)}: unknown operating system or architecture: invalid argument")
        return Platform(os=host.os, architecture=architecture, variant=_unless_v7(architecture, variant))
    if len(parts) == 2:
        architecture, variant = _normal_architecture(parts[1], "", library)
        return msgspec.structs.replace(system, architecture=architecture, variant=_unless_v7(architecture, variant))
    if len(parts) == 3:
        architecture, variant = _normal_architecture(parts[1], parts[2], library)
        if architecture == "arm64" and not variant:
            variant = "v8"
        return msgspec.structs.replace(system, architecture=architecture, variant=variant)
    raise Refused(f"{quoted(text)}: cannot parse platform specifier: invalid argument")


def named(platform: Platform, *, whole: bool = True) -> str:
    """A platform as the library prints it (`platforms.FormatAll`): `OS[(VERSION+FEATURE)]/ARCH[/VARIANT]`.

    Args:
        platform: the platform.
        whole: with version and features; without them it is `platforms.Format`.
    """
    if not platform.os:
        return "unknown"
    options = platform.os_version + "".join(f"+{feature}" for feature in sorted(platform.os_features))
    system = f"{platform.os}({options})" if whole and options else platform.os
    return "/".join(part for part in (system, platform.architecture, platform.variant) if part)


def windows_build(version: str) -> tuple[int, int, int] | None:
    """Major, minor and build of a version of Windows; None where it does not say all three."""
    parts = version.split(".")
    if len(parts) < 3 or not all(_NUMBER.fullmatch(part) for part in parts[:3]):
        return None
    major, minor, build = (int(part) for part in parts[:3])
    if major > 255 or minor > 255 or build > 65535 or (major, minor, build) == (0, 0, 0):
        return None
    return major, minor, build


def quoted(text: str) -> str:
    """A text as Go's `%q` prints it, as far as it is ASCII."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


KNOWN_OS = re.compile(
    "aix|android|darwin|dragonfly|freebsd|hurd|illumos|ios|js|linux|nacl|netbsd|openbsd|plan9|solaris|windows|zos"
)
KNOWN_ARCHITECTURES = re.compile(
    "386|amd64|amd64p32|arm|armbe|arm64|arm64be|ppc64|ppc64le|loong64|mips|mipsle|mips64|mips64le|mips64p32|"
    "mips64p32le|ppc|riscv|riscv64|s390|s390x|sparc|sparc64|wasm"
)
_NUMBER = re.compile(r"[0-9]{1,9}")
_PLAIN = "^[A-Za-z0-9_-]+$"
_DOTTED = "^[A-Za-z0-9_.-]+$"
_WITH_VERSION = r"^([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.-]*)\))?$"
_WITH_FEATURES = r"^([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.%-]*)((?:\+[A-Za-z0-9_.%-]+)*)\))?$"
_HIGHEST_VARIANT = 99
_SERVER_2022, _SERVER_2025 = 20348, 26100


def _normal_os(os: str, host: Platform) -> str:
    os = os.lower() or host.os
    return "darwin" if os == "macos" else os


def _normal_architecture(architecture: str, variant: str, library: Library) -> tuple[str, str]:
    architecture, variant = architecture.lower(), variant.lower()
    match architecture:
        case "i386":
            return "386", ""
        case "x86_64" | "x86-64" if library == Library.DOCKER_20_10:
            return "amd64", ""
        case "x86_64" | "x86-64" | "amd64":
            return "amd64", "" if variant == "v1" and library > Library.DOCKER_20_10 else variant
        case "aarch64" | "arm64":
            if variant in ("8", "v8") or (variant == "v8.0" and library >= Library.RC_0):
                variant = ""
            elif variant in ("9", "9.0", "v9.0") and library >= Library.RC_0:
                variant = "v9"
            return "arm64", variant
        case "armhf":
            return "arm", "v7"
        case "armel":
            return "arm", "v6"
        case "arm":
            return "arm", {"": "v7", "7": "v7", "5": "v5", "6": "v6", "8": "v8"}.get(variant, variant)
    return architecture, variant


def _vector(platform: Platform, library: Library) -> list[Platform]:
    """What a machine of this platform runs, best first."""

    def variants(architecture: str, *names: str) -> list[Platform]:
        return [msgspec.structs.replace(platform, architecture=architecture, variant=name) for name in names]

    number = _variant_number(platform.variant)
    if platform.architecture == "amd64":
        below = range((number or 1) - 1, 0, -1)
        return [platform, *variants("amd64", *(f"v{n}" for n in below)), *variants("386", "")]
    if platform.architecture == "arm":
        return [platform, *variants("arm", *(f"v{n}" for n in range((number or 5) - 1, 4, -1)))]
    if platform.architecture != "arm64":
        return [platform]
    variant = platform.variant or "v8"
    arm = _vector(msgspec.structs.replace(platform, architecture="arm", variant=variant), library)
    if library < Library.RC_0:
        return [platform, *arm]
    table = _arm64_versions(variant)
    if not table:
        return []
    arm = _vector(msgspec.structs.replace(platform, architecture="arm", variant="v8"), library)
    return [*variants("arm64", *table), *arm]


def _variant_number(variant: str) -> int | None:
    text = variant.removeprefix("v")
    return min(int(text), _HIGHEST_VARIANT) if _NUMBER.fullmatch(text) else None


def _arm64_versions(variant: str) -> list[str]:
    """`v8.2` runs v8.2, v8.1 and v8; `v9.1` runs v9.1, v9, v8.6 … v8. Empty for what is not known."""
    parts = re.fullmatch(r"v(?:(8)(?:\.([0-9]))?|(9)(?:\.([0-7]))?)", variant)
    if parts is None:
        return []
    if parts[1]:
        return [_arm64(8, minor) for minor in range(int(parts[2] or 0), -1, -1)]
    minor = int(parts[4] or 0)
    nines = [_arm64(9, n) for n in range(minor, -1, -1)]
    return nines + [_arm64(8, n) for n in range(min(minor + 5, 9), -1, -1)]


def _arm64(major: int, minor: int) -> str:
    return f"v{major}.{minor}" if minor else f"v{major}"


def _runs_windows(host: tuple[int, int, int], found: tuple[int, int, int], library: Library) -> bool:
    """Whether a Windows of one build runs images of another."""
    if host[:2] != found[:2]:
        return False
    build = host[2]
    if build < _SERVER_2022:
        return build == found[2]
    lowest = _SERVER_2025 if build > _SERVER_2025 and library >= Library.RC_2 else _SERVER_2022
    return lowest <= found[2] <= build


def _unless_v7(architecture: str, variant: str) -> str:
    return "" if (architecture, variant) == ("arm", "v7") else variant


def _parse_os(part: str, text: str, library: Library, host: Platform) -> Platform:
    if "*" in text:
        raise Refused(f"{quoted(text)}: wildcards not yet supported: invalid argument")
    if library < Library.V0_2:
        _check(part, text, library)
        return Platform(os=_normal_os(part, host))
    pattern = _WITH_VERSION if library < Library.RC_3 else _WITH_FEATURES
    found = re.fullmatch(pattern, part)
    if found is None:
        raise Refused(
            f"{quoted(part)} is an invalid OS component of {quoted(text)}: OSAndVersion specifier component must "
            f"match {quoted(pattern)}: invalid argument"
        )
    if library < Library.RC_3:
        return Platform(os=_normal_os(found[1], host), os_version=found[2] or "")
    features = tuple(unquote(feature) for feature in (found[3] or "").split("+") if feature)
    return Platform(os=_normal_os(found[1], host), os_version=unquote(found[2] or ""), os_features=features)


def _check(part: str, text: str, library: Library) -> None:
    pattern = _PLAIN if library < Library.RC_0 else _DOTTED
    if not re.fullmatch(pattern, part):
        raise Refused(
            f"{quoted(part)} is an invalid component of {quoted(text)}: platform specifier component must match "
            f"{quoted(pattern)}: invalid argument"
        )
