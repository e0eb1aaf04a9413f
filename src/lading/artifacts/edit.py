"""Edits of an artifact where it is: what `client.artifacts.edit` does.

The edits are applied as those of images are; here is what becomes of an artifact that refers to something, and of what
it was before.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from lading.errors import InvalidContent, LadingError, UsageError
from lading.images.changing import Changes, Copy, Open
from lading.images.edited import EditedImage
from lading.images.views import Image
from lading.model.digest import Digest
from lading.model.index import Index
from lading.model.manifest import Manifest
from lading.results import Deletion
from lading.stores.location import AnyLocation, Location, as_location
from lading.stores.opening import check_changeable, fetch_location
from lading.transfer.guard import Guard
from lading.transfer.report import Failure, Note

if TYPE_CHECKING:
    from lading.images.edits.edit import Edit
    from lading.images.edits.referrers import Referrers
    from lading.images.edits.report import EditReport


Delete = Callable[[AnyLocation], Awaitable[Deletion]]
"""Deletes a manifest, or says what that would take: as `AsyncClient.delete` and `deletion` do."""


class Editor:
    """Edits artifacts.

    Args:
        open: gives the store of a location, such as `AsyncClient.open`.
        copy: copies a graph, as `AsyncClient.copy` does.
        look: says what a deletion would take.
        delete: deletes a manifest.
    """

    def __init__(self, open: Open, copy: Copy, look: Delete, delete: Delete) -> None:
        self._open = open
        self._changes = Changes(open, copy)
        self._look = look
        self._delete = delete

    async def edit(
        self,
        location: Location,
        edits: Sequence[Edit],
        targets: Iterable[AnyLocation],
        referrers: Referrers,
        *,
        in_place: bool,
        drop_original: bool,
        if_digest: str | None,
        **options: Any,
    ) -> EditReport:
        """See `Artifacts.edit`; `options` are those of `Images.push`."""
        there = [as_location(target) for target in targets]
        has_tag = location.own_tag is not None and location.pinned is None
        _check(location, there, in_place=in_place, drop=drop_original, has_tag=has_tag)
        async with self._open(location) as store:
            found = await fetch_location(store, location)
            if isinstance(found, Index):
                raise InvalidContent(
                    f"{location} is an index, not an artifact",
                    remedy="name one of its entries by its digest",
                    code="index-edited-as-artifact",
                    fields={"reference": str(location)},
                )
            by_digest = in_place and not has_tag
            if by_digest and found.subject is None:
                raise _nowhere(location)
            if by_digest:
                Guard.of(if_digest).check(str(location), found.digest)
                there.append(as_location(location.place))
            elif in_place:
                there.append(location)
                if_digest = if_digest or (str(found.digest) if len(there) == 1 else None)
            edited = EditedImage(Image(store, found, str(location)), tuple(edits), referrers=referrers)
            report = await self._changes.push(
                edited, *there, if_digest=None if by_digest else if_digest, by_digest=by_digest, **options
            )
            if in_place and report.changes:
                await self._settle(report, location, found, drop=drop_original)
        return report

    async def _settle(self, report: EditReport, location: Location, original: Manifest, *, drop: bool) -> None:
        """Say what becomes of the artifact as it was, or delete it, where nothing else needs it.

        Args:
            report: of the edit; it gets what there is to say.
            location: what was edited.
            original: what that named.
            drop: whether the original is to be deleted.
        """
        there = location.with_digest(original.digest)
        if not drop:
            if original.subject is not None:
                report.notes.append(_still_there(there, original.subject.digest))
            return
        needed = await self._needed(report, location, there)
        if needed:
            text = f"{there} was not deleted: {needed}"
            report.notes.append(Note(text, "original-needed", {"original": str(there), "reason": needed}))
            return
        report.dropped = original.digest
        if not report.dry_run:
            try:
                await self._delete(there)
            except LadingError as error:  # what was to be done is done, but for this
                report.dropped = None
                report.failed.append(Failure.of(error, str(there)))

    async def _needed(self, report: EditReport, location: Location, there: Location) -> str | None:
        """Why the artifact as it was cannot go; None where nothing else needs it."""
        if any(isinstance(note, Note) and note.code == "referrers-of-original" for note in report.notes):
            return "there are referrers of it"
        plan = await self._look(there)
        # In a dry run, the tag still names it.
        tags = [tag for tag in plan.tags if not (report.dry_run and tag == location.own_tag)]
        if tags:
            return f"it has the {'tag' if len(tags) == 1 else 'tags'} {', '.join(tags)}"
        return (
            f"{', '.join(plan.listed_in)} {'list' if len(plan.listed_in) > 1 else 'lists'} it"
            if plan.listed_in
            else None
        )


def _check(location: Location, targets: Sequence[Location], *, in_place: bool, drop: bool, has_tag: bool) -> None:
    """Refuse what does not go together, before anything is sent."""
    if not in_place and not targets:
        raise UsageError("there is nowhere to write to", remedy="name a target", code="no-target")
    if drop and not in_place:
        raise UsageError(
            "what an artifact was can only be dropped where it is edited in place",
            remedy="edit it in place",
            code="drop-not-in-place",
        )
    if in_place and not has_tag and targets:
        raise UsageError(
            f"{location} names no tag, and the result cannot be both beside it and elsewhere",
            remedy="edit it in place, and copy the result",
            code="in-place-and-elsewhere",
        )
    if in_place and location.pinned is None and not has_tag:
        raise _nowhere(location)
    if drop:
        check_changeable(location)


def _nowhere(location: Location) -> UsageError:
    return UsageError(
        f"{location} names no tag, and only what a tag names can be replaced",
        cause="nor does it refer to anything that the result could be found by",
        remedy="name a tag, or a target",
        code="in-place-without-tag",
        fields={"location": str(location)},
    )


def _still_there(original: Location, subject: Digest) -> Note:
    text = (
        f"{original} is still there, and refers to {subject.short} as the result does: drop the original to delete it"
    )
    return Note(text, "original-still-there", {"original": str(original), "subject": subject.short})
