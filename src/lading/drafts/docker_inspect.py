"""What `docker manifest inspect` prints, byte for byte.

This module knows Docker's layouts, and nothing of stores or registries.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from lading.drafts.docker_files import encode_entry
from lading.drafts.draft import Draft, DraftEntry, docker_media_type
from lading.model.descriptor import Descriptor
from lading.model.encoding import reindent
from lading.model.index import Index


def docker_inspect_list(entries: Index | Draft | Iterable[Descriptor]) -> bytes:
    """A list as Docker prints it: rebuilt, with the media type that goes with the first entry, and no annotations."""
    if isinstance(entries, Index):
        entries = entries.manifests
    elif isinstance(entries, Draft):
        entries = (entry.descriptor for entry in entries.entries)
    known = tuple(msgspec.structs.replace(entry.content, platform=entry.platform) for entry in entries)
    media_type = docker_media_type(known)
    with_platforms = (_with_platform(entry) for entry in known)
    return Index.build(with_platforms, media_type, style="docker").raw + b"\n"


def docker_inspect_image(manifest: bytes | DraftEntry) -> bytes:
    """A manifest as Docker prints it: its own bytes, or, of a draft's entry, those Docker keeps, laid out with tabs."""
    raw = manifest if isinstance(manifest, bytes) else manifest.embedded or manifest.raw or b""
    return reindent(raw, "\t") + b"\n"


def docker_inspect_verbose(entries: DraftEntry | Sequence[DraftEntry]) -> bytes:
    """One image, or a list as an array, as `docker manifest inspect -v` prints it."""
    if isinstance(entries, DraftEntry):
        return reindent(_docker_file(entries), "\t") + b"\n"
    return reindent(b"[" + b",".join(_docker_file(entry) for entry in entries) + b"]", "\t") + b"\n"


def _with_platform(entry: Descriptor) -> Descriptor:
    from lading.model.platform import Platform

    return entry if entry.platform is not None else msgspec.structs.replace(entry, platform=Platform())


def _docker_file(entry: DraftEntry) -> bytes:
    """What Docker makes of an entry's file: the keys it knows."""
    platform = entry.platform
    if platform is not None and platform.features:
        platform = msgspec.structs.replace(platform, features=())
    descriptor = msgspec.structs.replace(entry.descriptor, platform=platform, extra={})
    return encode_entry(msgspec.structs.replace(entry, descriptor=descriptor, extra={}))
