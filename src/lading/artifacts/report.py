"""What pushing an artifact did, or would do: values. Knows nothing of how it was done."""

from __future__ import annotations

import msgspec

from lading.images.indexes.report import EntryChange
from lading.model.digest import Digest
from lading.model.document import Result
from lading.transfer.report import CopyReport


class Guess(Result, msgspec.Struct, frozen=True, kw_only=True):
    """What one file was told to be."""

    file: str
    """Its title, or else its path."""
    kind: str
    """For people, such as `Helm chart`."""
    media_type: str
    """Of its layer."""
    whole: bool = False
    """Whether the whole artifact is made as it is usual for this kind."""


class PushReport(CopyReport, kw_only=True):
    """What was pushed, or would be: the artifact, what its files were told to be, and how it was copied."""

    digest: Digest
    """Of the manifest of the artifact; an index that it was put into has another one."""
    artifact_type: str
    """What the artifact says that it is, or else its config."""
    guesses: tuple[Guess, ...] = ()
    """What files were told to be of which nobody said it."""
    changes: list[EntryChange] = msgspec.field(default_factory=list)
    """What became of the entries of the index."""

    def __repr__(self) -> str:
        """Such as `<PushReport 33dc490bde12 1 image 1 manifest 2 blobs 7 B>`."""
        return super().__repr__().replace("<CopyReport", f"<PushReport {self.digest.short}")
