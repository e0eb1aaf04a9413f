"""What an edit changed: values. Knows nothing of how it was done."""

from __future__ import annotations

import msgspec

from lading.model.digest import Digest
from lading.model.document import Result
from lading.model.encoding import Document
from lading.model.platform import Platform
from lading.transfer.report import CopyReport


class ManifestChange(Result, msgspec.Struct, frozen=True, kw_only=True):
    """A manifest or index that came out of an edit with another digest."""

    platform: Platform | None
    """What the image is for; None for an index and an artifact."""
    original: Digest
    digest: Digest
    manifest_before: Document
    manifest: Document
    config_before: Document | None = None
    """None for an index and an artifact."""
    config: Document | None = None


class EditReport(CopyReport, kw_only=True):
    """What an edit did, or would do: the changes, and how they were copied."""

    changes: list[ManifestChange] = msgspec.field(default_factory=list)
    """The images first, the index that lists them last."""
    dropped: Digest | None = None
    """What an artifact was before it was edited in place, where that was deleted, or would be."""

    def __repr__(self) -> str:
        """Such as `<EditReport 3 changes 1 image 3 manifests 31 blobs 251 MB>`."""
        return super().__repr__().replace("<CopyReport", f"<EditReport {len(self.changes)} changes")
