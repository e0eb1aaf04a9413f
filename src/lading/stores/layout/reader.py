"""What can be read from an OCI image layout, wherever its files are: in a directory or in an archive.

This module knows the layout's form (image-spec image-layout); where the files are its subclasses know.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from threading import Lock
from typing import BinaryIO

import msgspec

from lading.errors import Conflict, DigestMismatch, InvalidContent, NotFound
from lading.io.threads import in_thread
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest, verify
from lading.model.encoding import SIZE_LIMIT, decode, respelled
from lading.model.index import Index, is_attestation
from lading.model.manifest import Manifest, parse
from lading.model.media_types import IMAGE_CONFIGS, MANIFESTS, OCI_INDEX, is_foreign_layer
from lading.model.platform import Platform
from lading.model.reach import BYTES, LIMITS, Reach, visit
from lading.model.tags import is_fallback, tag_in
from lading.model.text import excerpt
from lading.store import AnyManifest, Reader, Traits, is_manifest
from lading.stores.layout import listing
from lading.stores.layout.files import ABSENT, CHUNK, matches, reporting
from lading.stores.layout.listing import Listing, is_digest, lists_referrers, names_of, without_names
from lading.stores.manifest_summary import Summary, is_known, summarize

_SMALL = 64 * 1024  # bytes that are read at once where a file is opened
_SHOWN = 5
_VERSION = ("imageLayoutVersion",)


class LayoutReader:
    """An image layout to be read, wherever its files are; a subclass opens them.

    Args:
        name: what it is called in messages.
    """

    traits: Traits = Traits(takes_names=True)

    def __init__(self, name: str) -> None:
        self.name = name
        self._summaries: dict[Digest, Summary] = {}
        self._damaged: set[Digest] = set()
        self._platforms: dict[Digest, Platform | None] = {}
        """Those of images whose entries say none."""
        self._made: dict[Digest, Index] = {}
        """The indexes that entries are together, by their digests."""
        self._known_referrers: tuple[Listing, dict[Digest, list[Descriptor]]] | None = None
        """The referrers of each subject, with the listing that they belong to: finding any takes reading everything."""
        self._referrers_lock = Lock()

    async def resolve(self, name: str) -> Descriptor:
        """Find the manifest with a tag, a digest, or a name as it is in `index.json`; an empty name is the only one.

        A tag is found in all its styles: `v1`, `app:v1` and `registry/app:v1`, in the annotations of the
        specification and of containerd.

        What is listed with a media type that is no manifest's is described so.

        Raises:
            NotFound: there is none; or it is listed, and its file is missing.
            Conflict: the tag is that of several manifests; or there are several, and the name is empty.
        """
        content = await in_thread(self._resolve, name)
        return content if content is not None else (await self.fetch(name)).descriptor

    async def fetch(self, name: str, limit: int = SIZE_LIMIT) -> AnyManifest:
        """The manifest with this tag or digest, verified and parsed; with an empty name, the only one.

        Raises:
            NotFound: there is none.
            DigestMismatch: its file is damaged.
            InvalidContent: it is larger than `limit` bytes, or not a manifest that lading reads.
        """
        return await in_thread(self._fetch, name, limit)

    @asynccontextmanager
    async def open(self, content: Descriptor) -> AsyncIterator[Reader]:
        """Read a manifest or blob; it is verified while it streams.

        Raises:
            NotFound: its file is missing.
            DigestMismatch: its file is damaged.
        """
        file = await in_thread(self._open_blob, content)
        if isinstance(file, bytes):
            yield _FileReader(self, content, _whole(file))
            return
        with file:
            yield _FileReader(self, content, _chunks(file))

    async def contains(self, content: Descriptor) -> bool:
        """Whether a manifest or blob is there; of a blob only the size is looked at."""
        return await in_thread(self._contains, content)

    async def blob_size(self, digest: Digest) -> int:
        """The size of a blob in bytes.

        Raises:
            NotFound: it is not there.
        """
        return await in_thread(self._blob_size, Descriptor(digest=digest, size=0))

    async def contains_all(self, content: Descriptor) -> bool:
        """Whether a manifest is there with everything it leads to, but for foreign layers; see `contains`."""
        return await in_thread(self._contains_all, content)

    async def tags(self) -> AsyncIterator[str]:
        """All tags, in the order of `index.json`; where two repositories have the same tag, their whole names.

        The fallback tags, under which referrers are listed, are left out (distribution-spec §Referrers Tag Schema).
        """
        listing = await in_thread(self._listing)
        for name in listing.tags():
            if not is_fallback(tag_in(name) or ""):
                yield name

    async def entries(self) -> tuple[Descriptor, ...]:
        """All that `index.json` lists, with annotations: manifests with and without a tag."""
        return (await in_thread(self._listing)).entries

    async def roots(self) -> tuple[Descriptor, ...]:
        """The entries that no index here lists, without referrers and without lists of referrers."""
        return await in_thread(self._roots)

    async def referrers(self, subject: Descriptor, artifact_type: str | None = None) -> AsyncIterator[Descriptor]:
        """The manifests whose `subject` is this one, each once, with artifact type and annotations.

        All manifests that `index.json` leads to are read.

        Raises:
            DigestMismatch: one of them is damaged, so that its subject is not known.
            InvalidContent: there is more than a walk follows, so that not all are known.
        """
        for referrer in await in_thread(self._referrers, subject.digest):
            if not artifact_type or referrer.artifact_type == artifact_type:
                yield referrer

    # What a place of files has to give

    def _open(self, path: str) -> BinaryIO:
        """Open a file by its path in the layout; FileNotFoundError where it is missing."""
        raise NotImplementedError

    def _size(self, path: str) -> int:
        """The size of a file in bytes; FileNotFoundError where it is missing."""
        raise NotImplementedError

    def _where(self, path: str) -> str:
        """What a file is called in messages."""
        raise NotImplementedError

    def _absent(self) -> Listing:
        """What there is where `index.json` is missing; raises unless that is a layout all the same."""
        raise NotImplementedError

    # Reading, blocking

    def _listing(self) -> Listing:
        """What `index.json` says now."""
        with self._reporting():
            try:
                raw = self._read("index.json", listing.SIZE_LIMIT)
            except ABSENT:
                found = self._absent()
                self._check_version()
                return found
        self._check_version()
        return Listing.read(raw, self._where("index.json"))

    def _read(self, path: str, limit: int) -> bytes:
        """A small file, or the first bytes of one that is larger than `limit`."""
        size = self._size(path)
        with self._open(path) as file:
            return file.read(min(size, limit) + 1)

    def _check_version(self) -> None:
        try:
            with self._reporting():
                raw = self._read("oci-layout", SIZE_LIMIT)
        except ABSENT:
            return  # Tools leave it out, and index.json says enough.
        version = respelled(decode(raw, self._where("oci-layout")), _VERSION).get(*_VERSION)
        if not isinstance(version, str) or not version.startswith("1."):
            raise InvalidContent(
                f"{self.name} is an image layout of a version that lading does not read",
                cause=f"{self._where('oci-layout')} says {str(version)[:40]!r}, and 1.0.0 is known",
            )

    def _find(self, name: str) -> Descriptor | None:
        """The entry with a name; None for a digest that is not listed."""
        if name:
            listing = self._listing()
            together = self._together(listing, listing.named(name))
            return together.descriptor if together is not None else listing.find(name, self.name)
        roots = {entry.digest: entry for entry in self._roots()}
        if not roots:
            raise NotFound(f"{self.name} is empty")
        together = (
            None if any(map(names_of, roots.values())) else self._together(self._listing(), tuple(roots.values()))
        )
        if together is not None:
            return together.descriptor
        if len(roots) > 1:
            names = [names_of(entry)[0] if names_of(entry) else entry.digest for entry in roots.values()]
            shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
            raise Conflict(
                f"{self.name} has {len(roots)} manifests", cause=shown, remedy="say which, by its tag or its digest"
            )
        return next(iter(roots.values()))

    def _together(self, listing: Listing, entries: Sequence[Descriptor]) -> Index | None:
        """The index that entries are which have one name, or none: one for each platform, as some tools write them.

        Where they are all that is listed, and each says its platform, its bytes are those of `index.json`, which is an
        index itself. What an entry does not say its image's config does. It has no file of its own.
        """
        if len(entries) < 2:
            return None
        platforms: dict[Platform, Descriptor] = {}
        said = []
        for entry in entries:
            own = entry.platform or (None if is_attestation(entry) else self._platform_in_config(entry))
            said.append(entry if own == entry.platform else msgspec.structs.replace(entry, platform=own))
            if not is_attestation(entry):
                if own is None or own in platforms:
                    return None
                platforms[own] = entry
        index: AnyManifest | None = None
        if tuple(said) == listing.entries:
            with self._reporting(), suppress(InvalidContent):
                index = parse(self._read("index.json", SIZE_LIMIT), OCI_INDEX)
        if not isinstance(index, Index):
            index = Index.build(map(without_names, said))
        self._made[index.digest] = index
        return index

    def _platform_in_config(self, entry: Descriptor) -> Platform | None:
        """What an image is for by its config; None where that does not say it, or it is no image, or not there."""
        if entry.digest not in self._platforms:
            self._platforms[entry.digest] = self._read_platform(entry)
        return self._platforms[entry.digest]

    def _read_platform(self, entry: Descriptor) -> Platform | None:
        from lading.model.config import ImageConfig

        try:
            with self._reporting():
                raw = self._read(blob_path(entry.digest), SIZE_LIMIT)
                manifest = parse(raw, entry.media_type or None, digest=entry.digest)
                config = manifest.config if isinstance(manifest, Manifest) else None
                if config is None or config.media_type not in IMAGE_CONFIGS:
                    return None
                content = self._read(blob_path(config.digest), SIZE_LIMIT)
            verify(content, config.digest)
            platform = ImageConfig.parse(content).platform
        except (InvalidContent, *ABSENT):
            return None
        return platform if platform.os and platform.architecture else None

    def _made_of(self, digest: Digest) -> Index | None:
        """The index with a digest that entries are together."""
        if digest not in self._made:
            listing = self._listing()
            for entries in (listing.entries, *map(listing.named, listing.tags())):
                self._together(listing, entries)
        return self._made.get(digest)

    def _meant(self, name: str) -> str:
        """A name as it is asked for, or the digest in it where nothing has the name `NAME@DIGEST`."""
        digest = name.rpartition("@")[2]
        return digest if digest != name and is_digest(digest) and not self._listing().named(name) else name

    def _resolve(self, name: str) -> Descriptor | None:
        """The descriptor of a manifest; None where its entry does not say enough, and it has to be read."""
        entry = self._find(self._meant(name))
        if entry is not None and entry.digest in self._made:
            return entry
        if entry is None or not entry.media_type:
            return None
        if entry.media_type not in MANIFESTS:
            try:
                return self._fetch(name).descriptor
            except InvalidContent as error:
                if error.code != "no-manifest":
                    raise
        size = self._blob_size(entry)
        if size != entry.size:
            raise self._is_damaged(entry.digest, f"index.json says {entry.size} bytes, it has {size}")
        return entry.content

    def _fetch(self, name: str, limit: int = SIZE_LIMIT) -> AnyManifest:
        name = self._meant(name)
        entry = self._find(name)
        digest = entry.digest if entry is not None else Digest(name)
        if digest in self._made:
            return self._made[digest]
        try:
            with self._reporting():
                raw = self._read(blob_path(digest), limit)
        except ABSENT:
            if (made := self._made_of(digest)) is not None:
                return made
            if entry is None:
                raise NotFound(f"{self._named(name)} does not exist") from None
            raise self._is_missing(entry) from None
        try:
            return parse(
                raw,
                entry.media_type if entry is not None else None,
                digest=digest,
                what=self._named(digest),
                limit=limit,
            )
        except DigestMismatch as error:
            raise self._is_damaged(digest, error.cause) from None
        except InvalidContent as error:
            if entry is None:
                raise NotFound(f"{self._named(name)} is not a manifest", cause=error.message) from None
            if entry.media_type and not is_known(entry.media_type):
                raise InvalidContent(
                    f"{self._named(name)} is no manifest",
                    cause=f"index.json lists it as {excerpt(entry.media_type)}",
                    code="no-manifest",
                    fields={"reference": self._named(name), "media_type": entry.media_type},
                ) from None
            raise

    def _open_blob(self, content: Descriptor) -> BinaryIO | bytes:
        """The file of a manifest or blob; of a small one the bytes, so that it costs one way into a thread."""
        if content.digest in self._made:
            return self._made[content.digest].raw
        try:
            with self._reporting():
                size = self._size(blob_path(content.digest))
                if size != content.size:
                    raise self._is_damaged(content.digest, f"expected {content.size} bytes, it has {size}")
                if size <= _SMALL:
                    return self._read(blob_path(content.digest), size)
                return self._open(blob_path(content.digest))
        except ABSENT:
            raise self._is_missing(content) from None

    def _blob_size(self, content: Descriptor) -> int:
        try:
            with self._reporting():
                return self._size(blob_path(content.digest))
        except ABSENT:
            raise self._is_missing(content) from None

    def _contains(self, content: Descriptor, *, verify: bool = False) -> bool:
        path = blob_path(content.digest)
        try:
            with self._reporting():
                if self._size(path) != content.size or content.digest in self._damaged:
                    return False
                return not (verify or is_manifest(content)) or self._matches(content.digest)
        except ABSENT:
            return False

    def _contains_all(self, content: Descriptor) -> bool:
        if not self._contains(content):
            return False
        try:
            children = {child for _, summary in self._walk([content]) for child in summary.children}
        except (DigestMismatch, InvalidContent):
            return False
        return all(self._contains(child) or is_foreign_layer(child.media_type) for child in children)

    def _matches(self, digest: Digest) -> bool:
        with self._open(blob_path(digest)) as file:
            return matches(file, digest)

    def _roots(self) -> tuple[Descriptor, ...]:
        entries = [entry for entry in self._listing().entries if lists_referrers(entry) is None]
        summaries = {entry.digest: self._look(entry, listed=True, limit=SIZE_LIMIT) for entry in entries}
        listed = {child.digest for found in summaries.values() if found is not None for child in found.children}
        here = listed | summaries.keys()
        subordinate = listed | {digest for digest, found in summaries.items() if found and found.subject in here}
        roots = tuple(entry for entry in entries if entry.digest not in subordinate)
        # Whatever else is listed beside manifests is none.
        return tuple(filter(leads_on, roots)) or roots

    def _referrers(self, subject: Digest) -> Sequence[Descriptor]:
        with self._referrers_lock:
            listing = self._listing()
            if self._known_referrers is not None and self._known_referrers[0] is listing:
                return self._known_referrers[1].get(subject, ())
            found = {content.digest: summary for content, summary in self._walk(listing.entries, limit=SIZE_LIMIT)}
            by_subject: dict[Digest, list[Descriptor]] = {}
            for summary in found.values():
                if summary.subject is not None:
                    by_subject.setdefault(summary.subject, []).append(summary.as_referrer)
            # A manifest that is listed and not there may be written later, and be a referrer.
            wanted = {child.digest for summary in found.values() for child in summary.children if leads_on(child)}
            is_whole = found.keys() >= wanted.union(entry.digest for entry in listing.entries)
            self._known_referrers = (listing, by_subject) if is_whole else None
            return by_subject.get(subject, ())

    def _walk(
        self,
        roots: Iterable[Descriptor],
        *,
        strict: bool = False,
        limit: int = BYTES,
        left_out: list[Descriptor] | None = None,
    ) -> Iterator[tuple[Descriptor, Summary]]:
        """Every manifest that is there of what the roots lead to, with its summary; the limits hold for each root.

        Args:
            roots: what is listed.
            strict: as `_look` has it.
            limit: likewise.
            left_out: gets each root that leads to more than a walk follows, of which the rest is left out. Without it
                that is an error.

        Raises:
            InvalidContent: a root leads to more than a walk follows.
        """
        entered: set[Digest] = set()
        for root in roots:
            try:
                yield from self._visit(root, entered, strict, limit)
            except InvalidContent as error:
                if left_out is None or error.code not in LIMITS:
                    raise
                left_out.append(root)

    def _visit(
        self, root: Descriptor, entered: set[Digest], strict: bool, limit: int
    ) -> Iterator[tuple[Descriptor, Summary]]:
        reach = Reach(self._named(root.digest))
        found: dict[Digest, Summary] = {}

        def within(content: Descriptor, depth: int) -> list[Descriptor]:
            summary = self._look(content, strict=strict, listed=depth == 0, limit=limit)
            if summary is None:
                return []
            reach.count(summary.as_referrer.size)
            found[content.digest] = summary
            return [child for child in summary.children if leads_on(child)]

        for content in visit([root], lambda content: content.digest, within, reach, entered):
            summary = found.pop(content.digest, None)
            if summary is not None:
                yield content, summary

    def _look(
        self, content: Descriptor, *, strict: bool = False, listed: bool = False, limit: int = BYTES
    ) -> Summary | None:
        """The summary of a manifest; None where it is missing, or something that lading does not read.

        Args:
            content: the manifest.
            strict: raise InvalidContent where it is said to be a manifest and is none.
            listed: whether `index.json` lists it: then it is a manifest, whatever its media type.
            limit: the largest size that is read, in bytes: more than for other uses where something is to be removed.
        """
        if not leads_on(content) and not listed:
            return None
        try:
            with self._reporting():
                size = self._size(blob_path(content.digest))
                known = self._summaries.get(content.digest)
                if known is not None and known.as_referrer.size == size:
                    return known
                if size > limit:
                    raise InvalidContent(
                        f"{self._named(content.digest)} is too large",
                        cause=f"{size} bytes, and {limit} are allowed",
                        code="too-large",
                    )
                raw = self._read(blob_path(content.digest), limit)
            found = self._summaries[content.digest] = summarize(raw, content, self._named(content.digest))
        except ABSENT:
            return None
        except DigestMismatch as error:
            raise self._is_damaged(content.digest, error.cause) from None
        except InvalidContent:
            if strict and leads_on(content):
                raise
            return None
        return found

    def _is_missing(self, content: Descriptor) -> NotFound:
        cause = f"there is no file {self._where(blob_path(content.digest))}"
        if content.urls and is_foreign_layer(content.media_type):
            return NotFound(
                f"{self._named(content.digest)} does not exist",
                cause=cause,
                remedy=f"it is a foreign layer; its content is at {content.urls[0]}",
            )
        return NotFound(f"{self._named(content.digest)} does not exist", cause=cause)

    def _is_damaged(self, digest: Digest, cause: str | None) -> DigestMismatch:
        self._damaged.add(digest)
        return DigestMismatch(
            f"{self._where(blob_path(digest))} is damaged",
            cause=cause,
            remedy="copy it here again and have everything verified: then it is replaced",
            code="damaged-blob",
            fields={"store": self.name, "digest": str(digest)},
        )

    def _named(self, name: str) -> str:
        return f"{self.name}@{name}" if ":" in name else f"{self.name}:{name}"

    def _reporting(self) -> AbstractContextManager[None]:
        return reporting(self.name)


class _FileReader(Reader):
    """Reads content from a file, in a thread. An error names the file, and the store remembers that it is damaged."""

    def __init__(self, store: LayoutReader, content: Descriptor, chunks: AsyncIterator[bytes]) -> None:
        super().__init__(content, chunks)
        self._store = store

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in super().__aiter__():
                yield chunk
        except DigestMismatch as error:
            raise self._store._is_damaged(self.content.digest, error.cause) from None  # noqa: SLF001  # of its own room


async def _whole(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def _chunks(file: BinaryIO) -> AsyncIterator[bytes]:
    while chunk := await in_thread(file.read, CHUNK):
        yield chunk


def blob_path(digest: Digest) -> str:
    """Where content is in a layout."""
    return f"blobs/{digest.algorithm}/{digest.hex}"


def leads_on(content: Descriptor) -> bool:
    """Whether content may be a manifest: the descriptors in some lists have no media type."""
    return not content.media_type or is_known(content.media_type)
