"""Platforms: what machine an image is for (image-spec index §platform)."""

from __future__ import annotations

import re
from typing import Any, Self

import msgspec

from lading.errors import InvalidContent, InvalidPlatform
from lading.model.text import excerpt

_ALIASES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "i386": ("386", ""),
    "i486": ("386", ""),
    "i586": ("386", ""),
    "i686": ("386", ""),
    "loongarch64": ("loong64", ""),
}
_OS_ALIASES = {"macos": "darwin"}
# The pairs of `go tool dist list`, which image-spec names as the source of os and architecture values.
_ARCHITECTURES = {
    "aix": "ppc64",
    "android": "386 amd64 arm arm64",
    "darwin": "amd64 arm64 386 arm",
    "dragonfly": "amd64",
    "freebsd": "386 amd64 arm arm64 riscv64",
    "illumos": "amd64",
    "ios": "amd64 arm64",
    "js": "wasm",
    "linux": "386 amd64 arm arm64 loong64 mips mips64 mips64le mipsle ppc64 ppc64le riscv64 s390x",
    "netbsd": "386 amd64 arm arm64",
    "openbsd": "386 amd64 arm arm64 ppc64 riscv64",
    "plan9": "386 amd64 arm",
    "solaris": "amd64",
    "wasip1": "wasm",
    "windows": "386 amd64 arm arm64",
}
_KNOWN = {(os, arch) for os, all_ in _ARCHITECTURES.items() for arch in all_.split()}
_VARIANTS = {
    "arm": {"", "v5", "v6", "v7", "v8"},
    "arm64": {"", "v8", "v9", *(f"v{a}.{b}" for a in (8, 9) for b in range(10))},
    "amd64": {"", "v1", "v2", "v3", "v4"},
}
_DEFAULT_VARIANTS = {("arm", ""): "v7", ("arm64", "v8"): "", ("amd64", "v1"): ""}
_PART = r"[A-Za-z0-9_.-]+"


class Platform(msgspec.Struct, frozen=True, omit_defaults=True):
    """The machine an image runs on.

    `str(platform)` is `OS/ARCH[/VARIANT]`. Values are kept as they are found: a list that says `arm64/v8`
    keeps saying it; `normalized()` is for comparing.
    """

    architecture: str = ""
    """As Go names it, such as `amd64` or `arm64` (`GOARCH`)."""
    os: str = ""
    """As Go names it, such as `linux` or `windows` (`GOOS`)."""
    os_version: str = msgspec.field(default="", name="os.version")
    """The version of the operating system, such as `10.0.17763.1817`; used for Windows."""
    os_features: tuple[str, ...] = msgspec.field(default=(), name="os.features")
    variant: str = ""
    """The variant of the architecture, such as `v8`."""
    features: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `OS/ARCH[/VARIANT][:OS_VERSION]`; aliases such as `x86_64` and `aarch64` become Go's names.

        Raises:
            InvalidPlatform: the text has another form.
        """
        machine, colon, version = text.partition(":")
        parts = machine.split("/")
        said = [*parts, version] if colon else parts
        if not 2 <= len(parts) <= 3 or not all(re.fullmatch(_PART, part) for part in said):
            raise InvalidPlatform(f"{text!r} is not a platform", cause="expected OS/ARCH or OS/ARCH/VARIANT")
        os, architecture, variant = (*parts, "")[:3]
        return cls(os=os, architecture=architecture, variant=variant, os_version=version).canonical()

    @classmethod
    def from_document(cls, document: Any) -> Self:
        """Read the `platform` object of a descriptor, or the platform fields of an image config.

        Raises:
            InvalidContent: it is no object, or a field is of the wrong type.
        """
        if not isinstance(document, dict):
            raise InvalidContent("the platform is malformed", cause="it is not an object")
        try:
            return msgspec.convert({k: v for k, v in document.items() if v is not None}, cls)
        except msgspec.ValidationError as error:
            raise InvalidContent("the platform is malformed", cause=str(error)) from None

    def to_document(self) -> dict[str, Any]:
        """The `platform` object of a descriptor, with `architecture` and `os` always present."""
        document: dict[str, Any] = {"architecture": self.architecture, "os": self.os}
        if self.os_version:
            document["os.version"] = self.os_version
        if self.os_features:
            document["os.features"] = list(self.os_features)
        if self.variant:
            document["variant"] = self.variant
        if self.features:
            document["features"] = list(self.features)
        return document

    def __str__(self) -> str:
        """`OS/ARCH[/VARIANT]`, with `unknown` for what is not said."""
        text = f"{self.os or 'unknown'}/{self.architecture or 'unknown'}"
        return f"{text}/{self.variant}" if self.variant else text

    def __repr__(self) -> str:
        """Such as `<Platform linux/arm64/v8>`, with the version of the operating system where one is said."""
        return f"<Platform {excerpt(str(self) + (f':{self.os_version}' if self.os_version else ''))}>"

    @property
    def is_known(self) -> bool:
        """Whether Go can build for this platform and the variant is one of its architecture's."""
        return (self.os, self.architecture) in _KNOWN and self.variant in _VARIANTS.get(self.architecture, {""})

    def canonical(self) -> Self:
        """The same platform with aliases (`x86_64`, `aarch64`, `armhf`, `macos`) in Go's words."""
        os = self.os.lower()
        architecture, variant = _ALIASES.get(self.architecture.lower(), (self.architecture.lower(), ""))
        return msgspec.structs.replace(
            self,
            os=_OS_ALIASES.get(os, os),
            architecture=architecture,
            variant=(self.variant or variant).lower(),
        )

    def normalized(self) -> Self:
        """The form in which two spellings of one platform are equal: `arm` is `arm/v7`, `arm64/v8` is `arm64`."""
        canonical = self.canonical()
        variant = canonical.variant
        if variant.isdigit():
            variant = f"v{variant}"
        variant = _DEFAULT_VARIANTS.get((canonical.architecture, variant), variant)
        return msgspec.structs.replace(canonical, variant=variant)

    def satisfies(self, wanted: Platform) -> bool:
        """Whether an entry for this platform is one that a user asking for `wanted` means.

        Operating system and architecture must be equal. A variant or an OS version counts only where `wanted`
        has one: `linux/arm` takes every arm, `linux/arm/v7` takes `arm/v7` and the `arm` without a variant.
        """
        found, wanted = self.canonical(), wanted.canonical()
        if (found.os, found.architecture) != (wanted.os, wanted.architecture):
            return False
        if wanted.variant and found.normalized().variant != wanted.normalized().variant:
            return False
        return not wanted.os_version or (self.os_version + ".").startswith(wanted.os_version + ".")
