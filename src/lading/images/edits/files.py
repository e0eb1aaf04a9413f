"""Edits of the files in layers: left out, replaced, given other times. Each layer that changes is written anew.

This module knows images while they are edited, and what is done to members; how a layer is written is the business of
`rewrite`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lading.errors import LadingError, NotFound, UsageError
from lading.images.edits.archive_inside import ArchiveInside
from lading.images.edits.edit import Edit
from lading.images.edits.layer_work import (
    drop_layer,
    last_one,
    layer_content,
    put_in_place,
    readable_layers,
    with_layers,
)
from lading.images.edits.rewrite import Change, Entry, Rewritten, rewritten
from lading.images.edits.times import Times
from lading.images.files.entries import expression, is_glob
from lading.images.files.filesystem import WHITEOUT, below_root
from lading.images.files.indexing import Remembered
from lading.images.files.layers import LayerContent
from lading.images.files.reading import Reading
from lading.model.media_types import LayerType
from lading.model.text import excerpt

if TYPE_CHECKING:
    from lading.images.edits.editing import Editing

_LATEST = 8**11 - 1


class StripFiles(Edit, frozen=True):
    """Leave files out of every layer, so that no layer has them any more; nothing is hidden by a whiteout.

    A file that has other names stays under these. A layer in which nothing is left is taken away.
    """

    paths: tuple[str, ...]
    """Paths as they are in the layers, or globs; of a directory all that is in it goes, too."""

    async def apply(self, image: Editing) -> None:
        """Leave the files out.

        Raises:
            Conflict: a hard link of another layer leads to one; or nothing would be left.
        """
        is_gone = _matcher(self.paths)

        def change(entry: Entry) -> None:
            parent, slash, name = entry.path.rpartition("/")
            hidden = f"{parent}{slash}{name.removeprefix(WHITEOUT)}" if name.startswith(WHITEOUT) else None
            entry.is_dropped = is_gone(entry.path) or (hidden is not None and is_gone(hidden))

        found = await _rewrite(image, ("strip", self.paths), change, is_gone)
        if not any(done is not None for _, done in found):
            return
        image.has_found.add(self)
        for layer, done in found:
            if done is not None and not done.entries:
                if len(image.layers) == 1:
                    raise last_one(image)
                drop_layer(image, layer, keep_history=True)

    def missing(self, title: str) -> LadingError:
        """The error that no layer has such a file."""
        return NotFound(
            f"no layer of {title} has {' or '.join(excerpt(path) for path in self.paths)}",
            code="path-not-found",
            fields={"image": title, "paths": list(self.paths)},
        )


class ReplaceFile(Edit, frozen=True):
    """Give a file other content in the layer that it comes from; its mode, its owner and its time stay.

    Other names of the file get it, too.
    """

    path: str
    """In the merged file system; symbolic links are followed, within the image."""
    content: bytes

    async def apply(self, image: Editing) -> None:
        """Replace the content.

        Raises:
            NotFound: nothing is there.
            LadingError: what is there is no file.
        """
        layers = readable_layers(image)
        reading = Reading(
            image.overlay, layers, Remembered(), name=image.title, digest=image.original.digest, platform=None
        )
        async with reading:
            path, node = (await reading.filesystem()).find(self.path)
        member = node.inode.member
        if member.type != "0":
            raise LadingError(f"{excerpt(path)} of {image.title} is no file", code="not-a-file")
        number, layer = node.inode.layer + 1, image.layers[node.inode.layer]
        kind = LayerType.parse(layer.content.media_type)
        assert kind is not None

        def change(entry: Entry) -> None:
            # Its offset is the same whatever hard link leads to it.
            if entry.member.offset == member.offset and entry.member.type == "0":
                entry.content = self.content

        async with image.limits.place(layer.content.size):
            content = layer_content(image, number, layer)
            done = await rewritten(image.overlay, content, change, kind.compression)
        assert done is not None
        put_in_place(layer, done.layer)


class SetFileTimes(Times, frozen=True, kw_only=True):
    """Give the files in layers another time of modification, and of access and change where these are said."""

    seconds: int | None = None
    """The time, since the epoch; None for the one in a label."""
    after: int | None = None
    """Change only times that are later than this; None for all, or with `only_later` for those later than the time."""

    def __post_init__(self) -> None:
        """Refuse what says no time, or two."""
        if (self.seconds is None) == (self.label is None):
            raise UsageError("a time is given, or a label that has one")

    async def apply(self, image: Editing) -> None:
        """Change the times.

        Raises:
            LadingError: the image is not built on the base.
            NotFound: the image has no such label.
            UsageError: the time is before 1970 or after 2242.
        """
        change = self._change(image)
        kept = await self.layers_kept(image)
        await _rewrite(image, self._key(image), lambda entry: entry.headers.set_times(change), skip=kept)

    def _seconds(self, image: Editing) -> int:
        seconds = self.seconds if self.seconds is not None else int(self.labelled(image).timestamp())
        if not 0 <= seconds <= _LATEST:
            raise UsageError(f"the time {seconds} cannot be given to files", cause="it is not from 1970 to 2242")
        return seconds

    def _change(self, image: Editing) -> Callable[[float], float]:
        """What becomes of a time."""
        new = self._seconds(image)
        limit = self.after if self.after is not None else new if self.only_later else None
        return lambda old: new if limit is None or old > limit else old

    def _key(self, image: Editing) -> tuple[object, ...]:
        """Says what is done to a layer: the same work has the same one."""
        return ("times", self._seconds(image), self.after, self.only_later)


class SetArchiveTimes(SetFileTimes, frozen=True, kw_only=True):
    """Give what is in a tar archive that lies in a layer other times; the archive is in no compression."""

    path: str
    """Of the archive, in the layers."""

    async def apply(self, image: Editing) -> None:
        """Change the times.

        Raises:
            InvalidContent: what is there is no tar archive.
            LadingError: the image is not built on the base.
            NotFound: the image has no such label.
            UsageError: the time is before 1970 or after 2242; or the path is none.
        """
        parts = below_root(self.path)
        if not parts:
            raise UsageError(f"{self.path!r} is no path of a file in a layer", remedy="give one such as /srv/data.tar")
        path, change = "/".join(parts), self._change(image)

        async def work(content: LayerContent, kind: LayerType) -> tuple[bool, Rewritten | None]:
            with ArchiveInside(content.what, path, lambda entry: entry.headers.set_times(change)) as inside:
                await inside.read(content)
                if not inside.is_changed:
                    return inside.is_there, None
                return True, await rewritten(image.overlay, content, inside.change, kind.compression)

        key = ("archive times", path, *self._key(image))
        for layer, (is_there, done) in await with_layers(image, key, work, skip=await self.layers_kept(image)):
            if is_there:
                image.has_found.add(self)
            if done is not None:
                put_in_place(layer, done.layer)

    def missing(self, title: str) -> LadingError:
        """The error that no layer has such a file."""
        return NotFound(
            f"no layer of {title} has a file {excerpt(self.path)}",
            code="path-not-found",
            fields={"image": title, "paths": [self.path]},
        )


class MakeReproducible(Edit, frozen=True, kw_only=True):
    """Leave out of layers what differs from one build to the next: names of owners, times of access and of change.

    The numbers of owners and the times of modification stay.
    """

    latest: int | None = None
    """No file is modified later than this, in seconds since the epoch, as `SOURCE_DATE_EPOCH` asks; None for any."""

    async def apply(self, image: Editing) -> None:
        """Leave it out."""
        latest = _LATEST if self.latest is None else self.latest

        def change(entry: Entry) -> None:
            entry.headers.drop_owner_names()
            entry.headers.drop_other_times()
            entry.headers.set_times(lambda old: min(old, latest))

        await _rewrite(image, ("reproducible", latest), change)


async def _rewrite(
    image: Editing,
    key: Any,
    change: Change,
    is_gone: Callable[[str], bool] | None = None,
    *,
    skip: int = 0,
) -> list[tuple[Any, Rewritten | None]]:
    """Write the layers anew of which members change; returns all that were read, with what came of them."""

    async def work(content: LayerContent, kind: LayerType) -> Rewritten | None:
        return await rewritten(image.overlay, content, change, kind.compression, is_gone=is_gone)

    found = await with_layers(image, key, work, skip=skip)
    for layer, done in found:
        if done is not None:
            put_in_place(layer, done.layer)
    return found


def _matcher(paths: tuple[str, ...]) -> Callable[[str], bool]:
    """Whether a path is one of these, or below one."""
    said = []
    for path in paths:
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if not parts or ".." in parts:
            raise UsageError(f"{path!r} is no path of a file in a layer", remedy="give one such as /var/cache")
        tidy = "/".join(parts)
        said.append(expression(tidy) if is_glob(tidy) else re.escape(tidy))
    found = re.compile(f"(?s:(?:{'|'.join(said)})(?:/.*)?)").fullmatch
    return lambda path: found(path) is not None
