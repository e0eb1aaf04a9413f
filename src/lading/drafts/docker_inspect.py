"""What `docker manifest inspect` prints, byte for byte.

This module knows Docker's layouts, and neither stores nor registries.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from lading.drafts.docker_files import encode_entry
from lading.drafts.draft import Draft, DraftEntry, docker_media_type
from lading.model.descriptor import Descriptor
from lading.model.encoding import reindent
from lading.model.index import Index
from lading.model.manifest import Manifest
from lading.model.platform import Platform


def docker_inspect(what: Draft | DraftEntry | Manifest | Index) -> bytes:
    """A list or a manifest, as `docker manifest inspect` prints it.

    Args:
        what: a list, which is printed as Docker would build it: with the media type that goes with its first entry,
            and without annotations. Or a manifest, which is printed as it is, laid out with tabs; of a draft's entry,
            the manifest as Docker keeps it.

    Raises:
        LadingError: the store of drafts does not have the manifest of the entry.
    """
    if isinstance(what, Manifest):
        return reindent(what.raw, "\t") + b"\n"
    if isinstance(what, DraftEntry):
        return reindent(what.embedded or what.manifest().raw, "\t") + b"\n"
    listed = what.manifests if isinstance(what, Index) else tuple(entry.descriptor for entry in what.entries)
    # Docker knows no more of a descriptor than what it is of and its platform.
    known = [msgspec.structs.replace(entry.content, platform=entry.platform or Platform()) for entry in listed]
    return Index.build(known, docker_media_type(known), style="docker").raw + b"\n"


def docker_inspect_verbose(entries: DraftEntry | Sequence[DraftEntry]) -> bytes:
    """One image, or a list as an array, as `docker manifest inspect -v` prints it."""
    if isinstance(entries, DraftEntry):
        return reindent(_docker_file(entries), "\t") + b"\n"
    return reindent(b"[" + b",".join(_docker_file(entry) for entry in entries) + b"]", "\t") + b"\n"


def inspect_draft(draft: Draft, image: str | None = None, *, verbose: bool = False) -> bytes:
    """A draft or one of its entries, as `docker manifest inspect [-v] LIST [IMAGE]` prints it.

    Args:
        draft: the list.
        image: the entry, as `Draft.find` takes it; None for the list itself.
        verbose: print descriptors, platforms and manifests, as with `-v`.

    Raises:
        NotFound: the draft has no such entry.
        UsageError: the image means several entries.
        LadingError: the store of drafts does not have the manifest of the entry.
    """
    if image is None:
        return docker_inspect_verbose(draft.entries) if verbose else docker_inspect(draft)
    entry = draft.find(image)
    return docker_inspect_verbose(entry) if verbose else docker_inspect(entry)


def _docker_file(entry: DraftEntry) -> bytes:
    """What Docker makes of an entry's file: the keys it knows."""
    platform = entry.platform
    if platform is not None and platform.features:
        platform = msgspec.structs.replace(platform, features=())
    descriptor: Descriptor = msgspec.structs.replace(entry.descriptor, platform=platform, extra={})
    return encode_entry(msgspec.structs.replace(entry, descriptor=descriptor, extra={}))
