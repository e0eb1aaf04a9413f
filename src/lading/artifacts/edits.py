"""Edits of artifacts: their type, and the annotations of their manifest, their config and their files.

Those of annotations can be applied to images, too: their layers are files without titles.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from lading.artifacts.titles import PLAIN_DIGEST, TITLE, UNPACK, clash, fault, tidy
from lading.errors import InvalidContent, NotFound, Unsupported, UsageError
from lading.images.edits.edit import Edit
from lading.images.edits.editing import Editing
from lading.images.edits.field_order import DESCRIPTOR, set_field
from lading.model.encoding import Document
from lading.model.media_types import OCI_EMPTY, is_media_type
from lading.model.text import excerpt

_KEPT = (TITLE, UNPACK, PLAIN_DIGEST)
"""The annotations that say what is made of a file where it is pulled."""
_SHORT = 6
"""How many digits of a digest are enough to mean it."""


class SetArtifactType(Edit, frozen=True):
    """Say what kind of artifact a manifest is (image-spec manifest §artifactType)."""

    artifact_type: str | None
    """A media type; None takes the type away, so that the media type of the config says what it is."""

    def __post_init__(self) -> None:
        """Refuse what is no media type."""
        if self.artifact_type is not None and not is_media_type(self.artifact_type):
            raise UsageError(f"{self.artifact_type!r} is not a media type", remedy="write it as in text/plain")

    async def apply(self, image: Editing) -> None:
        """Change the manifest.

        Raises:
            Unsupported: it is the manifest of an image.
            InvalidContent: without a type nothing would say what the artifact is.
        """
        if image.is_image:
            raise Unsupported(
                f"{image.title} is an image, and would be none with an artifact type",
                remedy="set an annotation instead",
            )
        config = image.manifest.get("config")
        if self.artifact_type is None and (config is None or config.get("mediaType") == OCI_EMPTY):
            raise InvalidContent(
                f"{image.title} needs an artifact type",
                cause="its config is empty, and says nothing of what it is",
                remedy="give it another one",
            )
        image.set_manifest("artifactType", self.artifact_type)


class SetBlobAnnotation(Edit, frozen=True):
    """Set an annotation of a file of an artifact, or of its config; or take one away. The file itself stays."""

    file: str | None
    """The title of the file; of one without a title its digest, or the beginning of that. None for the config."""
    name: str
    value: str | None
    """None takes the annotation away."""

    def __post_init__(self) -> None:
        """Refuse a title that could not be pulled."""
        is_title = self.file is not None and self.name == TITLE and self.value is not None
        if is_title and (wrong := fault(tidy(self.value or ""))) is not None:
            raise UsageError(f"{excerpt(self.value or '')!r} cannot be the title of a file", cause=wrong)

    async def apply(self, image: Editing) -> None:
        """Change the descriptors of the file or the config.

        Raises:
            Unsupported: Docker's format has no place for annotations; or there is no config.
            UsageError: two files could not be in one folder then.
        """
        for document in _described(image, self.file):
            image.has_found.add(self)
            _annotate(image, document, {self.name: self.value})
        if self.name == TITLE and self.value is not None:
            _check_titles(image)

    def missing(self, title: str) -> NotFound:
        """The error that there is no such file."""
        return _no_file(title, self.file)


class ClearAnnotations(Edit, frozen=True):
    """Take all annotations away: of the manifest, of the config, or of one file.

    A file keeps its title, and what says that it is a directory.
    """

    scope: Literal["manifest", "config", "file"] = "manifest"
    file: str | None = None
    """Of `file`, which one; see `SetBlobAnnotation`."""

    async def apply(self, image: Editing) -> None:
        """Change the manifest.

        Raises:
            Unsupported: there is no config.
        """
        if self.scope == "manifest":
            image.set_manifest("annotations", None)
            return
        for document in _described(image, self.file if self.scope == "file" else None):
            image.has_found.add(self)
            _annotate(image, document, {name: None for name in document.get("annotations") or {} if name not in _KEPT})

    def missing(self, title: str) -> NotFound | None:
        """The error that there is no such file."""
        return _no_file(title, self.file) if self.scope == "file" else None


def _described(image: Editing, file: str | None) -> Iterator[Document]:
    """The descriptors of a file, or that of the config."""
    if file is not None:
        yield from (document for document in image.files if _is(document, file))
        return
    config = image.manifest.get("config")
    if config is None:
        raise Unsupported(f"{image.title} has no config")
    yield config


def _is(document: Document, file: str) -> bool:
    title = (document.get("annotations") or {}).get(TITLE)
    if title is not None:
        return bool(title == file)
    digest = str(document["digest"])
    digits = file.removeprefix("sha256:").removeprefix("sha256-")
    return file in (digest, digest.replace(":", "-")) or (
        len(digits) >= _SHORT and digest.partition(":")[2].startswith(digits)
    )


def _annotate(image: Editing, document: Document, values: dict[str, str | None]) -> None:
    """Change annotations of a descriptor."""
    before: dict[str, Any] = dict(document.get("annotations") or {})
    after = {name: value for name, value in (before | values).items() if value is not None}
    if after == before:
        return
    if any(value is not None for value in values.values()):
        image.check_place("annotations")
    set_field(document, "annotations", dict(sorted(after.items())) or None, DESCRIPTOR)


def _check_titles(image: Editing) -> None:
    said = [(document.get("annotations") or {}).get(TITLE) for document in image.files]
    both = clash(tidy(title) for title in said if title)
    if both is not None:
        raise UsageError(
            f"{excerpt(both[0])!r} and {excerpt(both[1])!r} cannot both be in one artifact",
            cause="they cannot both be in the folder that it is pulled into",
            remedy="give one of them another title",
        )


def _no_file(title: str, file: str | None) -> NotFound:
    return NotFound(
        f"{title} has no file {excerpt(file or '')!r}",
        remedy="look at its manifest",
        code="no-such-file",
        fields={"reference": title},
    )
