"""What commands for artifacts share: files as they are typed, and annotations of files and manifests from a file."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from lading.cli.drafts import as_text
from lading.model.media_types import is_media_type

if TYPE_CHECKING:
    from lading.artifacts.push import ArtifactFile

_MANIFEST, _CONFIG = "$manifest", "$config"


class FileAnnotations(msgspec.Struct):
    """What `--annotation-file` says, as oras has it."""

    manifest: dict[str, str] = {}
    config: dict[str, str] = {}
    files: dict[str, dict[str, str]] = {}
    """By the files, as they are typed."""


def typed_file(text: str, annotations: FileAnnotations, *, titled: bool = True) -> ArtifactFile:
    """A file from `[TITLE=]FILE[:TYPE]`. What is there under the whole text is that file, whatever is in its name.

    Args:
        text: what was typed.
        annotations: those of the files; the ones of this file are taken out.
        titled: whether it may have a title.
    """
    from lading.artifacts.push import ArtifactFile
    from lading.io.threads import reader

    path, title, media_type = text, None, None
    if not os.path.lexists(text):
        before, colon, after = text.rpartition(":")
        if colon and (not after or is_media_type(after)):
            path, media_type = before, after or None
        if titled and not os.path.lexists(path):
            before, equals, after = path.partition("=")
            if equals:
                path, title = after, as_text(before)
    if not path or title == "":
        raise click.UsageError(f"{text!r} is no [TITLE=]FILE[:TYPE]")
    if path == "-" and titled and title is None:
        raise click.UsageError("what comes from standard input needs a title: write TITLE=-")
    content = reader(sys.stdin.fileno()) if path == "-" else path
    said = annotations.files.pop(path, {})
    return ArtifactFile(content=content, title=title, media_type=media_type, annotations=said)


def annotations_of(path: str | None) -> FileAnnotations:
    """What is in the file of `--annotation-file`.

    Args:
        path: of the file; None for no file.
    """
    if path is None:
        return FileAnnotations()
    from lading.io.sources import open_file

    with open_file(Path(path)) as file:
        try:
            found = msgspec.json.decode(file.read(), type=dict[str, dict[str, str]])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise click.UsageError(f"--annotation-file: {path} has no annotations as JSON ({error})") from None
    manifest, config = found.pop(_MANIFEST, {}), found.pop(_CONFIG, {})
    return FileAnnotations(manifest, config, found)
