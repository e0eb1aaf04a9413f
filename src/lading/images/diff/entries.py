"""Entries of two indexes beside each other: images by their platforms, attestations by what they attest to.

This module knows descriptors, and reads nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import NamedTuple

from lading.images.diff.layers import TITLE
from lading.model.descriptor import Descriptor
from lading.model.index import attested, is_attestation
from lading.model.platform import Platform


class EntryPair(NamedTuple):
    """An entry of A and one of B that belong together, or one that is alone."""

    a: Descriptor | None
    b: Descriptor | None

    @property
    def entry(self) -> Descriptor:
        """One of them: that of B, if there is one."""
        found = self.b or self.a
        assert found is not None
        return found


def paired(a: Sequence[Descriptor], b: Sequence[Descriptor]) -> list[EntryPair]:
    """Which entries belong together: in the order of B, then those that only A has.

    Entries with one digest and one platform belong together first, then those for one platform, in their order, then
    those whose platform is another name for the same (`arm64` and `arm64/v8`), and those for another update of the same
    build of Windows.

    Args:
        a: the entries of A.
        b: those of B.
    """
    names_a, names_b = _names(a), _names(b)
    partners: dict[int, int] = {}
    ways: list[Callable[[Descriptor, Hashable], Hashable]] = [
        lambda entry, name: (name, entry.digest),
        lambda entry, name: name,
        _alike,
    ]
    for way in ways:
        free: dict[Hashable, list[int]] = {}
        taken = set(partners.values())
        for number, entry in enumerate(a):
            if number not in taken:
                free.setdefault(way(entry, names_a[number]), []).append(number)
        for number, entry in enumerate(b):
            if number not in partners and (found := free.get(way(entry, names_b[number]))):
                partners[number] = found.pop(0)
    pairs = [EntryPair(a[partners[number]] if number in partners else None, entry) for number, entry in enumerate(b)]
    taken = set(partners.values())
    return [*pairs, *(EntryPair(entry, None) for number, entry in enumerate(a) if number not in taken)]


def platforms_of(entries: Iterable[Descriptor]) -> dict[str, Platform]:
    """The platforms of images, by their digests."""
    return {entry.digest: entry.platform for entry in entries if entry.platform is not None}


def _names(entries: Sequence[Descriptor]) -> list[Hashable]:
    """What an entry is for: the same in both indexes, whatever it has become."""
    platforms = platforms_of(entry for entry in entries if not is_attestation(entry))
    named: list[Hashable] = []
    for entry in entries:
        if is_attestation(entry):
            named.append(("attestation", platforms.get(attested(entry) or "")))
        elif entry.platform is not None:
            named.append(("image", entry.platform))
        else:
            named.append(("other", entry.artifact_type or entry.media_type, entry.annotations.get(TITLE)))
    return named


def _alike(entry: Descriptor, name: Hashable) -> Hashable:
    if entry.platform is None or is_attestation(entry):
        return name
    platform = entry.platform.normalized()
    build = ".".join(platform.os_version.split(".")[:3])
    return ("image", platform.os, platform.architecture, platform.variant, build)
