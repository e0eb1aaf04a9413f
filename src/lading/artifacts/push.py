"""An artifact before it is copied: files on disk and their manifest, in an overlay over nothing.

This module knows overlays and the model, and not where the artifact goes.
"""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Literal, cast

import msgspec

from lading.artifacts.conventions import by_convention
from lading.artifacts.kinds import Convention
from lading.artifacts.titles import PLAIN_DIGEST, TITLE, UNPACK, clash, fault, leads_outside, tidy
from lading.errors import InvalidContent, LadingError, NotFound, UsageError, way_on
from lading.images.edits.layer_file import LayerFile, WrittenLayer
from lading.io.folder_tar import Packed, Packing, pack_folder
from lading.io.sources import CHUNK
from lading.io.tar_stream import Member
from lading.io.tar_writer import DIRECTORY, FILE, SYMLINK, TarWriter
from lading.io.threads import in_thread
from lading.model.descriptor import EMPTY, Descriptor
from lading.model.encoding import encode_compact
from lading.model.manifest import Manifest
from lading.model.media_types import OCI_CONFIG, OCI_MANIFEST, LayerType, is_media_type
from lading.model.platform import Platform
from lading.model.text import excerpt
from lading.store import from_bytes
from lading.stores.overlay import Overlay

UNKNOWN_ARTIFACT = "application/vnd.unknown.artifact.v1"
"""The type of an artifact of which nothing is said, as oras has it."""
UNKNOWN_CONFIG = "application/vnd.unknown.config.v1+json"
"""The media type of a config of which nothing is said."""
ImageSpec = Literal["1.0", "1.1"]
"""The version of the image specification that a manifest is made by. Registries older than 1.1 know no artifact types:
by 1.0 the config's media type says what the artifact is."""


class ArtifactFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of an artifact, before it is pushed."""

    content: bytes | str | os.PathLike[str] | BinaryIO
    """Its bytes; the path of a file or a directory; or a file that is open for reading bytes."""
    title: str | None = None
    """What it is called where it is pulled: a path with slashes. None for its path, as it is written."""
    media_type: str | None = None
    """None for what oras takes: the media type of a tar archive; for a directory that of a tar archive with gzip."""
    annotations: Mapping[str, str] = {}
    """Further annotations of its layer."""


class Packaging(msgspec.Struct, frozen=True, kw_only=True):
    """What an artifact is made of."""

    files: Sequence[ArtifactFile]
    artifact_type: str | None = None
    """None for that of an unknown artifact, or with a config for none."""
    config: ArtifactFile | None = None
    annotations: Mapping[str, str] = {}
    config_annotations: Mapping[str, str] = {}
    subject: Descriptor | None = None
    times: int = 0
    """When everything in directories was modified, in seconds since the epoch."""
    platform: Platform | None = None
    """What it is for: the config says so, in the words of an image's config."""
    image_spec: ImageSpec | None = None
    """None for 1.1, or with a config and no artifact type for 1.0, as oras has it."""
    convention: Convention | None = None
    """What it is made like, where a tool has a convention for it."""
    tag: str = ""
    """The tag that the convention looks for."""


class Packaged(msgspec.Struct, frozen=True, kw_only=True):
    """An artifact in an overlay."""

    manifest: Manifest
    notes: tuple[str, ...]
    entry_annotations: Mapping[str, str] = {}
    """Of its entry in an index."""


def check(packaging: Packaging, *, titles: bool = True) -> list[str | None]:
    """The titles of the files, once it is sure that they can be pulled; None for a file without one.

    Args:
        packaging: what was asked for.
        titles: whether titles are looked at, which a convention may give.

    Raises:
        UsageError: a title or a media type cannot be one, or two titles cannot be in one folder; or what was asked for
            does not go together.
    """
    _check_form(packaging)
    types = [packaging.artifact_type, *(file.media_type for file in packaging.files)]
    for media_type in (*types, packaging.config.media_type if packaging.config is not None else None):
        if media_type is not None and not is_media_type(media_type):
            raise UsageError(
                f"{media_type!r} is no media type", remedy="write one such as application/vnd.example.notes"
            )
    named = [_title(file, packaging.convention) for file in packaging.files] if titles else []
    two = clash([title for title in named if title is not None])
    if two is not None:
        raise UsageError(
            f"{two[0]!r} and {two[1]!r} cannot both be in one artifact",
            cause="they cannot both be in the folder that it is pulled into",
            remedy="give one of them another title",
            code="titles-clash",
        )
    return named


async def package(overlay: Overlay, packaging: Packaging) -> Packaged:
    """Put the files of an artifact and its manifest into an overlay (image-spec manifest §Guidelines).

    The same files give the same manifest, on any machine: of directories names, contents, modes and symbolic links
    count, and nothing says when the artifact was made.

    Raises:
        UsageError: see `check`.
        NotFound: there is no such file.
        InvalidContent: a directory has something in it that could not be pulled.
        Conflict: a file was changed while it was read; code `file-changed`.
    """
    titles = check(packaging)
    notes: list[str] = []
    layers = [
        await _layer(overlay, file, title, packaging.times, notes)
        for file, title in zip(packaging.files, titles, strict=True)
    ]
    if packaging.convention in _WITH_CONFIG:
        return await _conventional(overlay, packaging, layers, notes)
    config, artifact_type = await _config(overlay, packaging)
    # What has no files has the empty blob for its only layer, by image-spec 1.1.
    manifest = Manifest.of(
        layers or ([EMPTY] if artifact_type else []),
        config,
        artifact_type=artifact_type,
        annotations=packaging.annotations,
        subject=packaging.subject,
    )
    if EMPTY in manifest.layers or EMPTY.digest == config.digest:
        await overlay.write(EMPTY, from_bytes(b"{}"))
    await overlay.put(manifest)
    return Packaged(manifest=manifest, notes=tuple(notes))


_WITH_CONFIG = ("helm", "wasm", "model", "bottle")
"""The conventions with a config of their own."""


async def _conventional(
    overlay: Overlay, packaging: Packaging, layers: Sequence[Descriptor], notes: Sequence[str]
) -> Packaged:
    """An artifact as the tool that it is for makes it."""
    assert packaging.convention is not None
    path = os.fspath(cast("str", packaging.files[0].content))
    shape = await by_convention(overlay, packaging.convention, path, layers, packaging.times)
    config = shape.config
    if packaging.config_annotations:
        config = msgspec.structs.replace(config, annotations=dict(packaging.config_annotations))
    manifest = Manifest.of(
        shape.layers,
        config,
        artifact_type=shape.artifact_type,
        annotations={**shape.annotations, **packaging.annotations},
        subject=packaging.subject,
    )
    if not shape.has_media_type:
        document = {key: value for key, value in manifest.to_document().items() if key != "mediaType"}
        manifest = Manifest.build(document, OCI_MANIFEST)
    await overlay.put(manifest)
    return Packaged(manifest=manifest, notes=tuple(notes), entry_annotations=shape.entry_annotations)


async def _config(overlay: Overlay, packaging: Packaging) -> tuple[Descriptor, str]:
    """The config of an artifact, in an overlay where it is not the empty one, and the artifact type."""
    artifact_type = packaging.artifact_type or UNKNOWN_ARTIFACT
    is_old = packaging.image_spec == "1.0"
    if packaging.config is not None:
        config = await _blob(overlay, packaging.config, packaging.config.media_type or UNKNOWN_CONFIG)
        artifact_type = packaging.artifact_type or ""
    elif packaging.platform is not None:
        config = await overlay.add(encode_compact(packaging.platform.to_document()), OCI_CONFIG)
    elif is_old:
        config = await overlay.add(b"{}", packaging.artifact_type or UNKNOWN_CONFIG)
    else:
        config = EMPTY
    if packaging.config_annotations:
        config = msgspec.structs.replace(config, annotations=dict(packaging.config_annotations))
    return config, "" if is_old else artifact_type


def _check_form(packaging: Packaging) -> None:
    """Refuse what one manifest cannot say."""
    has_type, has_config = bool(packaging.artifact_type), packaging.config is not None
    cause = remedy = None
    if has_config and packaging.platform is not None:
        cause, remedy = "the config says the platform, and another config was given", "leave out one of them"
    elif packaging.image_spec == "1.1" and has_config and not has_type:
        cause, remedy = "by image-spec 1.1 an artifact with a config has an artifact type", "give an artifact type"
    elif packaging.image_spec == "1.0" and has_type and (has_config or packaging.platform is not None):
        what = "config" if has_config else "config with the platform"
        cause = f"by image-spec 1.0 the type of the artifact is that of its config, and there is a {what}"
        remedy = "leave out the artifact type, or give it to the config" if has_config else "leave out one of them"
    if cause is not None:
        raise UsageError("such an artifact cannot be made", cause=cause, remedy=remedy, code="artifact-form")


async def _layer(overlay: Overlay, file: ArtifactFile, title: str | None, times: int, notes: list[str]) -> Descriptor:
    said = {**file.annotations, **({TITLE: title} if title is not None else {})}
    content = file.content
    if isinstance(content, str | os.PathLike) and await in_thread(os.path.isdir, content):
        assert title is not None
        written, packed = await in_thread(_packed, overlay, os.fspath(content), title, times)
        notes += [f"{content}: {excerpt(path)} is left out: it is a socket" for path in packed.sockets]
        said = {PLAIN_DIGEST: str(written.diff_id), UNPACK: "true", **said}
        media_type = file.media_type or str(LayerType("oci", "gzip"))
        return msgspec.structs.replace(written.content, media_type=media_type, annotations=said)
    found = await _blob(overlay, file, file.media_type or str(LayerType("oci")))
    return msgspec.structs.replace(found, annotations=said)


async def _blob(overlay: Overlay, file: ArtifactFile, media_type: str) -> Descriptor:
    content = file.content
    if isinstance(content, bytes):
        return await overlay.add(content, media_type)
    if isinstance(content, str | os.PathLike):
        await in_thread(_check_file, os.fspath(content))
        return await overlay.add(Path(content), media_type)
    return await overlay.add(_pieces(content), media_type)


def _check_file(path: str) -> None:
    """Raise where a path names no file: a pipe would be waited for."""
    try:
        status = Path(path).stat()
    except FileNotFoundError:
        raise NotFound(f"{path} does not exist", remedy="check its path") from None
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or str(error)
        raise LadingError(f"{path} cannot be read", cause=cause) from error
    if not stat.S_ISREG(status.st_mode):
        raise UsageError(f"{path} is neither a file nor a directory", remedy="push its content from a stream")


async def _pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    while True:
        try:
            piece = await in_thread(file.read, CHUNK)
        except OSError as error:
            raise LadingError("a stream cannot be read", cause=error.strerror, remedy=way_on(error)) from error
        if not piece:
            return
        yield piece


def _title(file: ArtifactFile, convention: Convention | None) -> str | None:
    """The title of a file; None for bytes and streams that have none, and where the convention gives files none."""
    given = file.title if file.title is not None else file.annotations.get(TITLE)
    if given is None and (convention == "helm" or not isinstance(file.content, str | os.PathLike)):
        return None
    text = given if given is not None else os.fspath(cast("str", file.content))
    title = tidy(text)
    cause = fault(title)
    if cause is None and any(0xD800 <= ord(one) < 0xE000 for one in title):
        cause = "it is no Unicode text"
    if cause is None:
        return title
    what = f"{text!r} cannot be the title of a file" if given is not None else f"{text!r} needs a title"
    raise UsageError(what, cause=cause, remedy="give it a title such as notes/a.txt", code="no-title")


def _packed(overlay: Overlay, folder: str, title: str, times: int) -> tuple[WrittenLayer, Packed]:
    with LayerFile(overlay, "gzip") as file:
        tar = _TreeWriter(cast("BinaryIO", file), title, folder)
        packed = pack_folder(folder, tar, title, Packing(times=times, is_tree=True))
        tar.close()
        return file.finish(), packed


class _TreeWriter(TarWriter):
    """An archive of a directory that others unpack: with nothing in it that they would have to refuse."""

    def __init__(self, file: BinaryIO, title: str, folder: str) -> None:
        super().__init__(file)
        self._title = title
        self._folder = folder

    def begin(self, member: Member) -> None:
        """Begin a member; refuse what could not be pulled."""
        path = member.name.removeprefix(self._title).strip("/")
        cause = fault(member.name.strip("/"))
        if cause is None and member.type not in (FILE, SYMLINK, DIRECTORY):
            cause = "it is a device or a pipe"
        elif cause is None and member.type == SYMLINK and leads_outside(path.rpartition("/")[0], member.link):
            cause = f"it is a link that leads out of the directory, to {excerpt(member.link)}"
        if cause is not None:
            raise InvalidContent(
                f"{self._folder.rstrip('/')}/{path} cannot be in an artifact",
                cause=cause,
                remedy="remove it, or put what it stands for in its place",
                code="unfit-file",
                fields={"file": path},
            )
        member.mode &= 0o777
        super().begin(member)


def as_files(files: Iterable[ArtifactFile | str | os.PathLike[str]]) -> list[ArtifactFile]:
    """Files as they are, or from their paths."""
    return [file if isinstance(file, ArtifactFile) else ArtifactFile(content=file) for file in files]
