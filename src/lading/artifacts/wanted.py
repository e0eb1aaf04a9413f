"""Which layers of an artifact are wanted as files, and where in a folder each of them comes. It reads nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from lading.artifacts.naming import Named, named
from lading.artifacts.titles import TITLE, clash, fault, tidy
from lading.errors import InvalidContent, NotFound, UsageError
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.manifest import Manifest
from lading.model.media_types import OCI_EMPTY, LayerType
from lading.model.text import excerpt


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """Which files of an artifact are pulled: a file has to match one of the titles and one of the media types."""

    titles: tuple[str, ...] = ()
    """Patterns such as `*.txt`; none for all."""
    media_types: tuple[str, ...] = ()
    """Patterns such as `text/*`; none for all."""
    rename: Mapping[str, str] = {}
    """Other paths for files, by their titles; the empty title is that of the only file."""
    flatten: bool = False
    """Whether the folders in titles are left out."""
    config: str | None = None
    """The path of the config, if that is wanted, too."""


class File(msgspec.Struct, frozen=True):
    """A layer that becomes a file, or a directory."""

    title: str
    """Its path in the folder; empty for the folder itself."""
    layer: Descriptor
    root: str | None = None
    """Of an archive that is unpacked, the directory that all members are in, as it calls it; empty for any."""

    @property
    def is_directory(self) -> bool:
        """Whether it is unpacked."""
        return self.root is not None


def files_of(manifest: Manifest, wanted: Choice, config: Mapping[str, Any], what: str) -> list[File]:
    """The files of an artifact that are wanted.

    Args:
        manifest: of the artifact.
        wanted: which.
        config: its config as a document, where files are called after it.
        what: what it is called in messages.

    Raises:
        InvalidContent: it is an image; a title leads out of the folder, or two cannot be in one.
        NotFound: none is wanted.
        UsageError: a file is to be renamed, and cannot be called so, or there are several.
    """
    if not wanted.titles and not wanted.media_types and _is_image(manifest):
        raise InvalidContent(
            f"{what} is an image, not an artifact",
            cause="its layers are no files, but make a file system together",
            remedy="write its files, or copy it whole",
            code="image-not-artifact",
            fields={"reference": what},
        )
    chosen = [
        (one, layer)
        for one, layer in zip(named(manifest, config), manifest.layers, strict=True)
        if layer.media_type != OCI_EMPTY and _is_wanted(one, layer, wanted)
    ]
    if not chosen and (wanted.titles or wanted.media_types):
        titles = [excerpt(one.title) for one in named(manifest, config) if one.title]
        raise NotFound(
            f"{what} has no such file",
            cause=f"it has {', '.join(titles[:5])}" + (f" and {len(titles) - 5} more" if len(titles) > 5 else "")
            if titles
            else None,
            remedy="look at its manifest",
            code="no-such-file",
            fields={"reference": what},
        )
    files = _placed(_without_repetitions([_file(one, layer) for one, layer in chosen]), wanted, what)
    if wanted.config is not None and manifest.config is not None:
        files.append(File(_path(wanted.config), manifest.config))
    for file in files:
        cause = fault(file.title) if file.title or not file.is_directory else None
        if cause is not None:
            raise _refused(what, f"the title {excerpt(file.title)!r}: {cause}", "bad-title")
    two = clash([file.title for file in files if file.title])
    if two is not None:
        raise _refused(what, f"{excerpt(two[0])!r} and {excerpt(two[1])!r} cannot both be in one folder", "paths-clash")
    return files


def _is_image(manifest: Manifest) -> bool:
    """Whether nothing of it is a file: its layers are those of an image, and have no titles."""
    return (
        manifest.is_image
        and bool(manifest.layers)
        and all(LayerType.parse(one.media_type) and not one.annotations.get(TITLE) for one in manifest.layers)
    )


def _is_wanted(one: Named, layer: Descriptor, wanted: Choice) -> bool:
    return (not wanted.titles or any(fnmatchcase(one.title, pattern) for pattern in wanted.titles)) and (
        not wanted.media_types or any(fnmatchcase(layer.media_type, pattern) for pattern in wanted.media_types)
    )


def _file(one: Named, layer: Descriptor) -> File:
    return File(tidy(one.title), layer, tidy(one.root) if one.root is not None else None)


def _without_repetitions(files: Sequence[File]) -> list[File]:
    """The files without layers that repeat another one and have no title: these would have the same name."""
    seen: set[tuple[str, Digest]] = set()
    return [
        file
        for file in files
        if file.layer.annotations.get(TITLE)
        or not ((file.title, file.layer.digest) in seen or seen.add((file.title, file.layer.digest)))  # type: ignore[func-returns-value]
    ]


def _placed(files: Sequence[File], wanted: Choice, what: str) -> list[File]:
    """The files with the paths that they are to have."""
    names = {tidy(title): _path(path) for title, path in wanted.rename.items()}
    if "" in names and len(files) != 1:
        raise UsageError(
            f"{what} has {len(files)} files, and one name is given",
            remedy="say which of them is renamed",
            code="several-files",
        )
    unknown = next((title for title in names if title and title not in {file.title for file in files}), None)
    if unknown is not None:
        raise NotFound(
            f"{what} has no file {excerpt(unknown)!r}",
            remedy="look at its manifest",
            code="no-such-file",
            fields={"reference": what},
        )
    placed = []
    for file in files:
        path = file.title.rpartition("/")[2] if wanted.flatten else file.title
        path = names.get(file.title) or names.get("") or path
        placed.append(msgspec.structs.replace(file, title=path) if file.title or not file.is_directory else file)
    return placed


def _path(path: str) -> str:
    """A path that the user wants something to have in the folder.

    Raises:
        UsageError: it is none.
    """
    cause = fault(tidy(path))
    if cause is not None:
        raise UsageError(f"{path!r} cannot be the name of a file in the folder", cause=cause, code="bad-path")
    return tidy(path)


def _refused(what: str, cause: str, code: str) -> InvalidContent:
    return InvalidContent(
        f"{what} cannot be written into a folder", cause=cause, remedy="give files other paths there", code=code
    )
