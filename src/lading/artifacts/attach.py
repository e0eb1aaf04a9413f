"""What attaching an artifact to a manifest did: values. Knows nothing of how it was done."""

from __future__ import annotations

from typing import Self

from lading.artifacts.report import Guess
from lading.model.digest import Digest
from lading.transfer.report import CopyReport


class AttachReport(CopyReport, kw_only=True):
    """What attaching an artifact did, or would do."""

    subject: Digest
    """What it refers to."""
    guesses: tuple[Guess, ...] = ()
    """What files were told to be of which nobody said it."""

    @classmethod
    def of(cls, report: CopyReport, subject: Digest, guesses: tuple[Guess, ...]) -> Self:
        """The report of an attachment.

        Args:
            report: of the copy that it was.
            subject: what the artifact refers to.
            guesses: what its files were told to be.
        """
        fields = {field: getattr(report, field) for field in report.__struct_fields__}
        return cls(**fields, subject=subject, guesses=guesses)

    @property
    def is_new(self) -> bool:
        """Whether it was not there already."""
        return self.copied.manifests > 0

    def __repr__(self) -> str:
        """Such as `<AttachReport to 5a1c09ef31d2 1 image 1 manifest 2 blobs 7 B>`."""
        return super().__repr__().replace("<CopyReport", f"<AttachReport to {self.subject.short}")
