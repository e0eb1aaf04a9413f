"""Versions: what tags such as `1.27.0` and `v2.0-rc.1` say, and how they are ordered (semver.org §11)."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from typing import Self

import msgspec

from lading.errors import InvalidVersion

_VERSION = r"v?([0-9]+(?:\.[0-9]+)*)(?:-([0-9A-Za-z.-]+))?(?:[+_]([0-9A-Za-z._-]+))?"
_LENGTH_LIMIT = 128
"""As long as a tag may be (distribution-spec §Pulling manifests)."""
_RELEASE = (1,)
_PRE_RELEASE = (
    r"(?:alpha|beta|rc|cr|pre|preview|prerelease|dev|devel|snapshot|nightly|canary|milestone|ea|[abm](?=[0-9]))"
    r"\.?[0-9]*(?:\.[0-9]+)*"
)
"""One word of a suffix that says that the release is still to come, with its number."""

Precedence = tuple[tuple[int, ...], tuple[object, ...]]


class Version(msgspec.Struct, frozen=True, eq=False):
    """A version as tags hold it: numbers, then perhaps a suffix and a build. Made by `parse` or `from_tag`.

    Semantic versioning, with what tags have beside it: a leading `v`, any count of numbers from one on, leading zeros,
    and `_` before a build, because a tag cannot have a `+`.

    Versions compare by precedence. Missing numbers count as zero, and neither the `v` nor the build counts: `1`,
    `v1.0.0` and `1+b2` are equal. `str(version)` is the text as it was found.

    >>> version = Version.parse("v1.2.3-rc.1")
    >>> version.major, version.suffix, version < Version.parse("1.2.3")
    (1, 'rc.1', True)
    """

    text: str
    """As it was found."""
    numbers: tuple[int, ...]
    """What the dots separate; at least one."""
    suffix: str = ""
    """What follows the numbers after a `-`. For the order it is a pre-release, whatever its words mean."""
    build: str = ""
    """What follows a `+` or `_`."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a version.

        Raises:
            InvalidVersion: the text is no version.
        """
        version = cls.from_tag(text)
        if version is None:
            raise InvalidVersion(
                f"{text[:_LENGTH_LIMIT]!r} is not a version", remedy="a version looks like 1.27, v1.2.3 or 2.0-rc.1"
            )
        return version

    @classmethod
    def from_tag(cls, tag: str) -> Self | None:
        """The version that a tag is; None for every other tag."""
        match = re.fullmatch(_VERSION, tag) if len(tag) <= _LENGTH_LIMIT else None
        if match is None:
            return None
        numbers = tuple(int(number) for number in match[1].split("."))
        return cls(tag, numbers, match[2] or "", match[3] or "")

    @property
    def major(self) -> int:
        """The first number."""
        return self.numbers[0]

    @property
    def minor(self) -> int:
        """The second number; 0 where there is none."""
        return self.numbers[1] if len(self.numbers) > 1 else 0

    @property
    def patch(self) -> int:
        """The third number; 0 where there is none."""
        return self.numbers[2] if len(self.numbers) > 2 else 0

    @property
    def family(self) -> str:
        """What the suffix says beside a pre-release: `alpine` of `3.19-alpine` and of `3.19-rc1-alpine`; often nothing.

        Words such as alpha, beta, rc, pre, dev, snapshot, nightly, canary and m1 are of a pre-release, and so are the
        numbers that the suffix begins with or that follow such a word. All others name a family: what is built of each
        version beside the plain one.
        """
        return _parted(self.suffix)[1]

    @property
    def pre_release(self) -> str:
        """What the suffix says of a pre-release: `rc1` of `3.19-rc1-alpine`; empty of a release. See `family`."""
        return _parted(self.suffix)[0]

    def without_family(self) -> Version:
        """The same version with nothing but its pre-release for a suffix; for comparing versions across families."""
        return Version(self.text, self.numbers, self.pre_release, self.build)

    @property
    def precedence(self) -> Precedence:
        """What versions are compared by: a sort key that is cheaper than the version itself."""
        numbers = self.numbers
        while numbers and not numbers[-1]:
            numbers = numbers[:-1]
        if not self.suffix:
            return numbers, _RELEASE
        # A pre-release comes before its release; its numeric identifiers compare as numbers, and before words.
        parts = self.suffix.split(".")
        return numbers, (0, *((0, int(part)) if part.isdigit() else (1, part) for part in parts))

    def __str__(self) -> str:
        """The text as it was found."""
        return self.text

    def __repr__(self) -> str:
        """Such as `<Version v1.2.3-rc.1>`."""
        return f"<Version {self.text}>"

    def __eq__(self, other: object) -> bool:
        """Whether both have the same precedence."""
        return _compared(operator.eq, self, other)

    def __hash__(self) -> int:
        """By precedence."""
        return hash(self.precedence)

    def __lt__(self, other: Version) -> bool:
        """Whether this one is lower."""
        return _compared(operator.lt, self, other)

    def __le__(self, other: Version) -> bool:
        """Whether this one is not higher."""
        return _compared(operator.le, self, other)

    def __gt__(self, other: Version) -> bool:
        """Whether this one is higher."""
        return _compared(operator.gt, self, other)

    def __ge__(self, other: Version) -> bool:
        """Whether this one is not lower."""
        return _compared(operator.ge, self, other)


def _parted(suffix: str) -> tuple[str, str]:
    """A suffix as its pre-release and its family."""
    early: list[str] = []
    family: list[str] = []
    counts_number = True
    for part in suffix.split("-"):
        is_word = re.fullmatch(_PRE_RELEASE, part, re.IGNORECASE) is not None
        is_early = is_word or (counts_number and re.fullmatch(r"[0-9]+(?:\.[0-9]+)*", part) is not None)
        (early if is_early else family).append(part)
        counts_number = is_early
    return "-".join(early), "-".join(family)


def _compared(sign: Callable[[Precedence, Precedence], bool], version: Version, other: object) -> bool:
    return sign(version.precedence, other.precedence) if isinstance(other, Version) else NotImplemented


def ascending(tags: Iterable[str]) -> list[str]:
    """Sort tags: first those that are no versions, by name, then the versions; equal ones by name."""

    def key(tag: str) -> tuple[object, ...]:
        version = Version.from_tag(tag)
        return (0, tag) if version is None else (1, version.precedence, tag)

    return sorted(tags, key=key)


def highest(tags: Iterable[str], count: int) -> list[str]:
    """The `count` highest versions among tags, highest first; tags that are no versions are left out."""
    return ascending(tag for tag in tags if Version.from_tag(tag) is not None)[::-1][:count]
