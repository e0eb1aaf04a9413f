"""An index while it is edited: its entries as they are to be.

What is not changed keeps its bytes, and what is changed keeps every field that lading does not know.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lading.errors import InvalidContent, Unsupported
from lading.images.edits.editing import redescribed
from lading.images.edits.field_order import DESCRIPTOR, INDEX, PLATFORM, set_field
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.encoding import Document, encode_like
from lading.model.index import ATTESTATION_OF, Index, is_attestation
from lading.model.manifest import parse
from lading.model.media_types import DOCKER_LIST
from lading.model.platform import Platform
from lading.store import AnyManifest
from lading.stores.overlay import Overlay
from lading.transfer.transform import Attached


class IndexEditing:
    """An index while edits are applied to it.

    Args:
        overlay: has the index, and gets what is new.
        index: the index.
        title: what it is called in messages.
    """

    def __init__(self, overlay: Overlay, index: Index, title: str) -> None:
        self.overlay = overlay
        self.title = title
        self.original = index
        self.algorithm: str = index.digest.algorithm
        """Of the digest of the new index."""
        self.layout: bytes = index.raw
        """What the new index is laid out like: the beginning of a JSON text."""
        self.document: Document = index.document
        """The index as it is to be."""
        self.meant: list[int] = []
        """The positions of the entries whose images are edited."""
        self.originals: dict[Digest, Descriptor] = {}
        """What the changed images were, by their new digests."""
        self.attached: list[Attached] = []
        """What is to be written beside the index, and is in the overlay."""
        self.is_whole: bool = True
        """Whether all its images are meant, and not those for some platforms."""
        self.notes: list[str] = []
        """What a user should know of what was done: a sentence each."""

    @property
    def entries(self) -> list[Document]:
        """The descriptors as they are to be, which can be changed."""
        entries: list[Document] = self.document.get("manifests") or []
        return entries

    @property
    def listed(self) -> list[Descriptor]:
        """The entries as they are to be, read."""
        return [Descriptor.from_document(entry, f"an entry of {self.title}") for entry in self.entries]

    @property
    def is_docker(self) -> bool:
        """Whether it is a Docker manifest list."""
        return (self.document.get("mediaType") or self.original.media_type) == DOCKER_LIST

    def set_field(self, key: str, value: Any) -> None:
        """Give a field of the index a value; None removes it.

        Raises:
            Unsupported: Docker's format has no place for it.
        """
        if value is not None:
            self.check_place(key)
        set_field(self.document, key, value, INDEX)

    def set_entry_field(self, position: int, key: str, value: Any) -> None:
        """Give a field of an entry a value; None removes it.

        Raises:
            Unsupported: Docker's format has no place for it.
        """
        if value is not None:
            self.check_place(key)
        set_field(self.entries[position], key, value, DESCRIPTOR)

    def check_place(self, key: str) -> None:
        """Raise Unsupported where Docker's format has no place for a field."""
        if self.is_docker and key in ("annotations", "artifactType", "subject"):
            what = {"annotations": "annotations", "artifactType": "an artifact type"}.get(key, "a subject")
            raise Unsupported(
                f"{self.title} cannot have {what}",
                cause="a Docker manifest list has no place for that",
                remedy="make it an OCI index",
                code="docker-has-no-place",
                fields={"reference": self.title, "field": key},
            )

    def replace(self, position: int, manifest: AnyManifest, platform: Platform | None) -> None:
        """Put a changed manifest in the place of the one that an entry names; attestations of that follow.

        Args:
            position: of the entry.
            manifest: the changed manifest.
            platform: what it is for now, if that has changed.
        """
        before = self.original.manifests[position]
        self.originals[manifest.digest] = before.content
        content = manifest.descriptor if before.media_type else manifest.descriptor.content
        self.entries[position] = redescribed(self.entries[position], content, manifest.raw)
        if platform is not None:
            self._set_platform(position, platform)

    def remove(self, positions: Sequence[int]) -> None:
        """Take entries away.

        Args:
            positions: of the entries, in ascending order.
        """
        for position in reversed(positions):
            del self.entries[position]
        gone = frozenset(positions)
        self.meant = [n - sum(at < n for at in gone) for n in self.meant if n not in gone]

    def rename_attested(self, renamed: dict[str, str]) -> None:
        """Have attestations name the digests of changed manifests (BuildKit's attestation storage)."""
        for position, entry in enumerate(self.original.manifests):
            about = entry.annotations.get(ATTESTATION_OF)
            if is_attestation(entry) and about in renamed:
                annotations = dict(self.entries[position]["annotations"])
                annotations[ATTESTATION_OF] = renamed[about]
                self.entries[position]["annotations"] = annotations

    async def finish(self) -> Index:
        """Encode the index, and put it into the overlay; the original one where nothing was changed."""
        is_changed = self.document != self.original.document
        if not is_changed and self.algorithm == self.original.digest.algorithm:
            return self.original
        raw = encode_like(self.document, self.layout) if is_changed else self.original.raw
        media_type = self.document.get("mediaType") or self.original.media_type
        changed = parse(raw, media_type, digest=Digest.of(raw, self.algorithm), what=self.title)
        if not isinstance(changed, Index):
            raise InvalidContent(f"{self.title} would be no index any more")
        await self.overlay.put(changed)
        return changed

    def _set_platform(self, position: int, platform: Platform) -> None:
        document = dict(self.entries[position].get("platform") or {})
        known = platform.to_document()
        for key in {**document, **known}:
            if key in known or key in ("variant", "os.version", "os.features"):
                set_field(document, key, known.get(key), PLATFORM)
        set_field(self.entries[position], "platform", document, DESCRIPTOR)
