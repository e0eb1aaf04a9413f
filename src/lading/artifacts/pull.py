"""An artifact as it is pulled: its files into a folder, or one of them to a file object.

This module reads from a store, and not from a place that a user names. Whatever the artifact says, nothing is written
outside of the folder, and nothing gets its place before all of it is there and verified.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Literal

import msgspec

from lading.artifacts.fetching import BLOBS, Fetching, Partials, take_over
from lading.artifacts.inside import Inside
from lading.artifacts.naming import needs_config
from lading.artifacts.recall import Recall, Recording
from lading.artifacts.titles import PLAIN_DIGEST, UNPACK
from lading.artifacts.tree import Tree
from lading.artifacts.unpack import Unpacking
from lading.artifacts.wanted import Choice, File, files_of
from lading.errors import DigestMismatch, InvalidContent, InvalidDigest, LadingError, UsageError, way_on
from lading.images.files.layers import LayerContent, read_layer
from lading.io import scratch
from lading.io.behind import Behind
from lading.io.outputs import Stream, is_stream
from lading.io.sources import closing
from lading.io.tasks import gather
from lading.io.threads import in_thread
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.document import Result
from lading.model.manifest import Manifest
from lading.model.text import excerpt
from lading.store import Readable, from_store, read
from lading.transfer.events import Meter

_CONFIG = 1024 * 1024
"""How large a config may be that files are called after, in bytes."""


class PulledFile(Result, msgspec.Struct, frozen=True, kw_only=True):
    """A file or a directory of an artifact that is in the folder now."""

    document_fields: ClassVar[tuple[str, ...]] = ("title", "path", "digest", "size", "media_type", "state")

    title: str
    """What it is called in the folder."""
    path: str | None
    """Where it is; None for a file object."""
    digest: Digest
    """Of its blob."""
    size: int
    """Of its blob, in bytes."""
    media_type: str
    state: Literal["written", "kept"]
    """`kept`: it was there already."""


class Pulled(Result, msgspec.Struct, frozen=True, kw_only=True):
    """What was pulled of an artifact."""

    reference: str
    digest: Digest
    """Of the manifest."""
    files: tuple[PulledFile, ...]
    notes: tuple[str, ...] = ()
    """What of it could not be kept."""


class Pulling(msgspec.Struct, frozen=True, kw_only=True):
    """How an artifact is pulled."""

    wanted: Choice
    clobber: bool
    jobs: int
    cache: Path | None
    """The folder for what later pulls can use; None for none."""
    meter: Meter
    """Is told what is downloaded."""


async def to_stream(store: Readable, manifest: Manifest, pulling: Pulling, file: BinaryIO, what: str) -> Pulled:
    """Write the only file that is wanted to a file object; of a directory its archive.

    Raises:
        UsageError: there are several.
        NotFound: there is none.
    """
    files = files_of(manifest, pulling.wanted, await _config(store, manifest), what)
    if len(files) != 1:
        raise UsageError(
            f"{what} has {len(files)} files, and one can be written there",
            remedy="choose one by its title",
            code="several-files",
        )
    layer = files[0].layer
    pulling.meter.found(layer)
    source = pulling.meter.counted(what, layer, None, from_store(store, layer))
    async with closing(source()) as pieces, Behind(file.write) as written:
        async for piece in pieces:
            await written.give(piece)
    pulling.meter.finished(what, layer, "copied", source.done)
    return Pulled(reference=what, digest=manifest.digest, files=(_pulled(files[0], None, "written"),))


async def to_folder(store: Readable, manifest: Manifest, pulling: Pulling, target: str, what: str) -> Pulled:
    """Write the files that are wanted into a folder; where the target is a pipe or a device, the only one into that.

    Raises:
        InvalidContent: the artifact or the folder would have something written elsewhere; nothing was written.
        Conflict: something else is there, and is to stay, or cannot go; nothing was written.
        NotFound: the artifact has no such file, or its place lacks the blob.
        DigestMismatch: a blob is damaged; nothing was written.
    """
    if not target.endswith("/") and await in_thread(is_stream, Path(target)):
        return await _into(store, manifest, pulling, target, what)
    files = files_of(manifest, pulling.wanted, await _config(store, manifest), what)
    folder, files = await in_thread(_folder_of, target, files)
    recall = Recall(_below(pulling.cache, "trees"))
    async with AsyncExitStack() as stack:
        tree = stack.enter_context(await in_thread(Tree, folder))
        kept = await in_thread(_kept, tree, recall, files)
        missing = [file for file in files if file not in kept]
        notes: list[str] = []
        if missing:
            partials = Partials(_below(pulling.cache, "partial"))
            with scratch.keeping(what, folder / "new"):
                digests = {file.layer.digest for file in missing}
                left = partial(_taken_over, digests)
                staging = stack.enter_context(scratch.beside(folder / "lading", left))
            stage = await in_thread(_Stage, store, staging, partials, pulling.meter, what)
            notes = await stage.fill(missing, pulling.jobs)
            await in_thread(stage.place, tree, clobber=pulling.clobber)
            for archive, recording in stage.recordings.items():
                await in_thread(recall.keep, archive, recording)
        return Pulled(
            reference=what,
            digest=manifest.digest,
            files=tuple(_pulled(file, folder / file.title, "kept" if file in kept else "written") for file in files),
            notes=tuple(notes),
        )


async def _into(store: Readable, manifest: Manifest, pulling: Pulling, target: str, what: str) -> Pulled:
    """Write the only file that is wanted into a pipe or a device."""
    try:
        with await in_thread(Stream, Path(target)) as file:
            done = await to_stream(store, manifest, pulling, file, what)
    except OSError as error:
        raise LadingError(f"{target} cannot be written", cause=error.strerror, remedy=way_on(error)) from error
    return msgspec.structs.replace(done, files=tuple(msgspec.structs.replace(one, path=target) for one in done.files))


async def _config(store: Readable, manifest: Manifest) -> Mapping[str, Any]:
    """The config of an artifact whose files are called after it; empty for others, and where it cannot be read."""
    if manifest.config is None or not needs_config(manifest):
        return {}
    try:
        found = msgspec.json.decode(await read(store, manifest.config, _CONFIG))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _folder_of(target: str, files: list[File]) -> tuple[Path, list[File]]:
    """The folder that files come into; the target is the only file itself where it ends like it, or is a file."""
    path = Path(target)
    if len(files) != 1 or files[0].is_directory or target.endswith("/") or not path.name or path.is_dir():
        return path, files
    ending = Path(files[0].title).suffix
    if path.is_file() or (ending and path.suffix == ending):
        return path.parent, [msgspec.structs.replace(files[0], title=path.name)]
    return path, files


def _kept(tree: Tree, recall: Recall, files: Sequence[File]) -> set[File]:
    """The files that are there already, and right. That the others can get their places is looked at."""
    kept = set()
    for file in files:
        if file.title:
            is_folder = file.layer.annotations.get(UNPACK) == "true" or None
            tree.check(file.title, is_folder=is_folder if file.is_directory else False)
        if (
            recall.is_there(file.layer.digest, tree.inside, file.title)
            if file.is_directory
            else tree.has(file.title, file.layer)
        ):
            kept.add(file)
    return kept


def _taken_over(digests: set[Digest], staging: Path, left: Path) -> None:
    blobs = staging / BLOBS
    with suppress(OSError):
        blobs.mkdir(exist_ok=True)
        take_over(left, blobs, digests)


class _Stage:
    """Files on their way into a folder: as they are to be there, in a folder of their own."""

    def __init__(self, store: Readable, staging: Path, partials: Partials, meter: Meter, what: str) -> None:
        self.recordings: dict[Digest, bytes | None] = {}
        """What was in the archives that were unpacked."""
        self._new, self._old, self._blobs = staging / "new", staging / "old", staging / BLOBS
        with scratch.keeping(what, staging):
            for folder in (self._new, self._old, self._blobs):
                folder.mkdir(exist_ok=True)
        self._store = store
        self._staging = staging
        self._partials = partials
        self._fetching = Fetching(store, self._blobs, partials, meter, what)
        self._meter = meter
        self._what = what
        self._notes: list[str] = []
        self._closed: dict[str, int] = {}

    async def fill(self, files: Sequence[File], jobs: int) -> list[str]:
        """Bring files here; what was interrupted is kept for the next time. Returns what is to be said.

        Raises:
            InvalidContent: an archive has something in it that is refused, or is damaged.
        """
        blobs: dict[Digest, list[File]] = {}
        for file in files:
            if file.layer.digest not in blobs:
                self._meter.found(file.layer)
            blobs.setdefault(file.layer.digest, []).append(file)
        places = asyncio.Semaphore(jobs)
        is_alone = len(files) == 1

        async def one(same: list[File]) -> None:
            async with places:
                await self._bring(same, is_alone=is_alone)
                self._meter.finished(self._what, same[0].layer, "copied", self._fetching.done(same[0].layer))

        try:
            await gather(map(one, blobs.values()))
            for same in blobs.values():
                await in_thread(self._arrange, [file for file in same if not file.is_directory])
        except InvalidContent:
            raise
        except BaseException:
            await asyncio.shield(in_thread(self._partials.keep, self._blobs))
            raise
        return self._notes

    def place(self, tree: Tree, *, clobber: bool) -> None:
        """Give everything its place."""
        moved = tree.place(self._new, self._old, clobber=clobber)
        for path, mode in sorted(self._closed.items(), reverse=True):
            parts = path.split("/")
            if any("/".join(parts[: length + 1]) in moved for length in range(len(parts))):
                tree.inside.describe(path, mode)

    async def _bring(self, same: Sequence[File], *, is_alone: bool) -> None:
        """Bring a blob that is one file or several, and unpack it where it is a directory."""
        layer = same[0].layer
        try:
            await self._bring_once(same, is_alone=is_alone)
        except InvalidContent:
            if layer.digest not in self._fetching.resumed:
                raise
            # What was begun before may be what is damaged.
            await in_thread(self._forget, same)
            await self._bring_once(same, is_alone=is_alone)

    async def _bring_once(self, same: Sequence[File], *, is_alone: bool) -> None:
        if len(same) > 1:
            self._fetching.shared.add(same[0].layer.digest)
        if any(not file.is_directory for file in same):
            await self._fetching.file(same[0].layer)
        for file in same:
            if file.is_directory:
                await self._unpack(file, is_alone=is_alone or bool(file.title))

    def _forget(self, same: Sequence[File]) -> None:
        self._fetching.forget(same[0].layer)
        for file in same:
            if file.is_directory:
                shutil.rmtree(self._new / file.title, ignore_errors=True)
        self._new.mkdir(exist_ok=True)

    def _arrange(self, files: Sequence[File]) -> None:
        """Put a blob where the files are to be that it is: each gets a copy of its own."""
        for number, file in enumerate(files):
            with scratch.keeping(self._what, self._staging), Inside(self._new) as inside:
                blob = self._fetching.path(file.layer)
                if number < len(files) - 1:
                    with os.fdopen(inside.new_file(file.title, 0o666), "wb") as copy, blob.open("rb") as content:
                        shutil.copyfileobj(content, copy)
                else:
                    parent, name = inside.parent(file.title, make=True)
                    os.rename(blob, name, dst_dir_fd=parent)

    async def _unpack(self, file: File, *, is_alone: bool) -> None:
        assert file.root is not None
        what = f"{excerpt(file.title) or 'an archive'} of {self._what}"
        recording = Recording()
        unpacking = await in_thread(
            partial(Unpacking, is_alone=is_alone), self._new, file.root, file.title, what, file.layer.size, recording
        )
        content = LayerContent(store=self._store, descriptor=file.layer, what=what, stream=self._fetching.stream)
        try:
            found = await read_layer(content, unpacking.member, on_content=unpacking.write, on_end=unpacking.end)
            _check_plain(file.layer, found.archive, found.diff_id, what)
            await in_thread(unpacking.finish)
        except InvalidContent as error:
            if error.code != "malformed-layer":
                raise
            raise InvalidContent(f"{what} cannot be unpacked", cause=error.cause, code="unfit-artifact") from error
        finally:
            await in_thread(unpacking.close)
        self.recordings[file.layer.digest] = await in_thread(recording.finish)
        self._closed |= unpacking.closed_folders
        self._notes += unpacking.notes


def _check_plain(layer: Descriptor, archive: Digest, whole: Digest, what: str) -> None:
    """Check what the layer says of its archive without compression; what is no digest says nothing.

    Tools disagree on whether what follows the end of the archive counts.

    Raises:
        DigestMismatch: it has another digest.
    """
    try:
        said = Digest(layer.annotations.get(PLAIN_DIGEST, ""))
    except InvalidDigest:
        return
    if said.algorithm == archive.algorithm and said not in (archive, whole):
        raise DigestMismatch(
            f"{what} is not what its layer says",
            cause=f"its archive has {archive}, and {PLAIN_DIGEST} says {said}",
            code="wrong-plain-digest",
            fields={"layer": str(layer.digest), "found": str(archive), "expected": str(said)},
        )


def _below(folder: Path | None, name: str) -> Path | None:
    return folder / name if folder is not None else None


def _pulled(file: File, path: Path | None, state: Literal["written", "kept"]) -> PulledFile:
    layer = file.layer
    where = str(path) if path is not None else None
    return PulledFile(
        title=file.title, path=where, digest=layer.digest, size=layer.size, media_type=layer.media_type, state=state
    )
