"""What an index lists, and what the indexes within it list. Reads a store, and does not know how it is shown."""

from __future__ import annotations

from lading.errors import NotFound
from lading.images.indexes.report import IndexListing, ListedEntry
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.index import Index, attested, is_attestation
from lading.model.media_types import INDEXES
from lading.store import Readable
from lading.walk import Walk


async def listing(store: Readable, index: Index, name: str, *, recursive: bool = False) -> IndexListing:
    """An index with its entries, as it lists them; nothing more is read, unless nested indexes are.

    Args:
        store: what it is in.
        index: the index.
        name: what it is called.
        recursive: whether nested indexes are read, and their entries listed after them: of each index once.

    Raises:
        InvalidContent: it is nested too deeply, or lists too much.
    """
    entries = await _Listing(store, name, recursive).below(index, 0)
    return IndexListing(
        reference=name,
        digest=index.digest,
        media_type=index.media_type,
        size=index.size,
        artifact_type=index.artifact_type or None,
        subject=index.subject.digest if index.subject is not None else None,
        annotations=index.annotations,
        entries=entries,
    )


class _Listing:
    def __init__(self, store: Readable, name: str, recursive: bool) -> None:
        self._store = store
        self._recursive = recursive
        self._walk = Walk(name)
        self._entered: set[Digest] = set()

    async def below(self, index: Index, depth: int) -> list[ListedEntry]:
        """The entries of an index, `depth` levels below the first."""
        self._walk.enter(index.manifests, depth + 1)
        self._entered.add(index.digest)
        entries: list[ListedEntry] = []
        for position, entry in enumerate(index.manifests):
            shown = _entry(entry, position, depth, index.digest)
            entries.append(shown)
            if not self._recursive or entry.media_type not in INDEXES or entry.digest in self._entered:
                continue
            try:
                nested = await self._walk.fetch(self._store, entry.content)
            except NotFound:
                shown.state = "missing"
                continue
            if isinstance(nested, Index):
                entries += await self.below(nested, depth + 1)
        return entries


def _entry(entry: Descriptor, position: int, depth: int, index: Digest) -> ListedEntry:
    platform = entry.platform
    return ListedEntry(
        position=position,
        digest=entry.digest,
        media_type=entry.media_type,
        size=entry.size,
        platform=platform,
        os_version=(platform.os_version or None) if platform is not None else None,
        os_features=platform.os_features if platform is not None else (),
        artifact_type=entry.artifact_type or None,
        annotations=entry.annotations,
        attests=attested(entry) or ("" if is_attestation(entry) else None),
        depth=depth,
        index=index,
    )
