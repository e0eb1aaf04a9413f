"""Choosing what is copied: the entries of an index by platform. Pure: knows the model only."""

from __future__ import annotations

from collections.abc import Sequence

from lading.errors import NotFound
from lading.model.index import Index
from lading.model.platform import Platform


def choose_entries(index: Index, platforms: Sequence[Platform], what: str) -> Index:
    """The index with only the entries for these platforms, and the attestations of those entries.

    Everything else it says stays; an index of which nothing is left out stays as it is, byte for byte.

    Raises:
        NotFound: there is no entry for one of the platforms.
    """
    for platform in platforms:
        if not index.select([platform], attestations=False):
            there = ", ".join(dict.fromkeys(str(entry.platform) for entry in index.images if entry.platform))
            raise NotFound(
                f"{what} has nothing for {platform}",
                cause=f"it has {there}" if there else "none of its entries has a platform",
                remedy="choose one of those with --platform" if there else None,
            )
    chosen = index.select(platforms)
    if len(chosen) == len(index.manifests):
        return index
    return Index.build(chosen, index.media_type, index.annotations, base=index.document)
