"""What lading remembers of a list beyond Docker's files: order, annotations, the true name, where entries are from.

This module knows the form of these notes and how they go together with the entries, and not where they are kept. Where
notes and entries contradict each other, the entries win.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from lading.drafts.docker_files import docker_order, name_of
from lading.drafts.draft import Draft, DraftEntry, ListType
from lading.errors import LadingError
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.encoding import decode, encode_indented
from lading.model.reference import Reference


class EntryNotes(msgspec.Struct, omit_defaults=True):
    """What is remembered of one entry."""

    file: str
    digest: str = ""
    found: dict[str, Any] | None = None
    overrides: tuple[str, ...] = ()
    source: str = ""
    listed: bool = False
    location: str = ""


class Notes(msgspec.Struct, omit_defaults=True):
    """What is remembered of a list."""

    id: str
    """The identifier of the list, which is also in the files of the entries that were written with these notes."""
    reference: str
    type: ListType = "auto"
    annotations: dict[str, str] = {}
    base: dict[str, Any] = {}
    pulled: bytes = b""
    ordered: bool = True
    origin: str = ""
    created: str = ""
    """When the draft was made (RFC 3339)."""
    folder: tuple[int, int] = (0, 0)
    """Inode and time of change (nanoseconds) of the folder these notes are about."""
    entries: tuple[EntryNotes, ...] = ()

    def describe(self, entries: Mapping[str, DraftEntry]) -> Draft:
        """The draft of these notes and of the entries in the list's folder.

        Args:
            entries: by file name.

        Raises:
            LadingError, ValueError, OverflowError: the notes are malformed.
        """
        places = {note.file: position for position, note in enumerate(self.entries)}
        about = {note.file: note for note in self.entries}
        names = docker_order(entries)
        if self.ordered:
            names = sorted(names, key=lambda name: places.get(name, len(places)))
        return Draft(
            reference=Reference.parse(self.reference),
            entries=tuple(_recalled(entries[name], about.get(name)) for name in names),
            annotations=self.annotations,
            type=self.type,
            base=self.base,
            pulled=self.pulled,
            ordered=self.ordered,
            origin=Digest(self.origin) if self.origin else None,
            created=datetime.fromisoformat(self.created).astimezone(UTC) if self.created else None,
        )


def write_notes(draft: Draft, list_id: str, folder: tuple[int, int]) -> bytes:
    """The notes of a draft as the bytes of a file.

    Args:
        draft: the draft.
        list_id: the identifier of the list.
        folder: inode and time of change (nanoseconds) of the folder with the entries.
    """
    notes = Notes(
        id=list_id,
        reference=str(draft.reference),
        type=draft.type,
        annotations=draft.annotations,
        pulled=draft.pulled,
        ordered=draft.ordered,
        origin=str(draft.origin or ""),
        created=draft.created.isoformat() if draft.created else "",
        folder=folder,
        entries=tuple(
            EntryNotes(
                file=name_of(entry),
                digest=str(entry.digest),
                found=entry.found.to_document() if entry.found else None,
                overrides=entry.overrides,
                source=str(entry.source) if entry.source else "",
                listed=entry.listed,
                location=entry.location,
            )
            for entry in draft.entries
        ),
    )
    return encode_indented({**msgspec.to_builtins(notes), "base": draft.base}, "  ") + b"\n"


def read_notes(data: bytes) -> Notes | None:
    """Notes from the bytes of a file; None if they are malformed."""
    try:
        return msgspec.convert(decode(data, limit=len(data)), Notes)
    except (LadingError, msgspec.ValidationError, RecursionError):
        return None


def _recalled(entry: DraftEntry, note: EntryNotes | None) -> DraftEntry:
    if note is None or note.digest != entry.digest:
        return entry
    try:
        return msgspec.structs.replace(
            entry,
            found=Descriptor.from_document(note.found) if note.found else None,
            overrides=note.overrides,
            source=Reference.parse(note.source) if note.source else None,
            listed=note.listed,
            location=note.location,
        )
    except LadingError:
        return entry
