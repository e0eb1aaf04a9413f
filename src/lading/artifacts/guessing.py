"""What files are pushed as, where nobody says it: media types of layers, and what an artifact is made like.

What is said counts. A guess reads the beginning of a file, and never fails because of what is in there.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import msgspec

from lading.artifacts.charts import read_chart
from lading.artifacts.conventions import bottle_platform
from lading.artifacts.kinds import HEAD, HELM_PROVENANCE, KINDS, PROVIDER, Kind, kind_of, model_part
from lading.artifacts.push import ArtifactFile, Packaging
from lading.artifacts.report import Guess
from lading.artifacts.titles import TITLE
from lading.artifacts.wasm import read_world
from lading.model.platform import Platform


def guessed(packaging: Packaging) -> tuple[Packaging, tuple[Guess, ...]]:
    """What files are to be pushed as, with the guesses that were made. Work for a thread.

    Args:
        packaging: what was said. A media type that was said for a file is left as it is; the artifact is, too, where
            its type, its config or the older form of manifests was asked for.
    """
    looked = [_look(file) for file in packaging.files]
    files = [file for file, _ in looked]
    kinds = [kind for _, kind in looked]
    files = [
        msgspec.structs.replace(file, media_type=kind.media_type) if kind is not None else file
        for file, kind in zip(files, kinds, strict=True)
    ]
    typed = msgspec.structs.replace(packaging, files=files)
    is_said = packaging.artifact_type or packaging.config is not None or packaging.image_spec == "1.0"
    whole = None if is_said else _whole(typed, kinds)
    made = whole or typed
    guesses = [
        Guess(file=_name(file), kind=kind.name, media_type=kind.media_type, whole=whole is not None)
        for file, kind in zip(files, kinds, strict=True)
        if kind is not None
    ]
    names = {guess.file for guess in guesses}
    for file, before in zip(made.files, [*files, *[None] * len(made.files)], strict=False):
        # What a convention brings along, such as the other files of a model.
        if (before is None or before.media_type is None) and file.media_type and _name(file) not in names:
            name = "Helm provenance file" if file.media_type == HELM_PROVENANCE else "part of the model"
            guesses.append(Guess(file=_name(file), kind=name, media_type=file.media_type, whole=True))
    return made, tuple(guesses)


def _look(file: ArtifactFile) -> tuple[ArtifactFile, Kind | None]:
    """A file, which is not read twice where it can be read once, and its kind."""
    if file.media_type is not None:
        return file, None
    content = file.content
    if isinstance(content, bytes):
        head = content[:HEAD]
    elif isinstance(content, str | os.PathLike):
        head = _head(os.fspath(content))
    else:
        head = content.read(HEAD)
        file = msgspec.structs.replace(file, content=cast("BinaryIO", _Begun(head, content)))
    word = kind_of(_name(file).rpartition("/")[2], head)
    return file, KINDS[word] if word is not None else None


def _head(path: str) -> bytes:
    """The beginning of a file; nothing of what is no file, or cannot be read: that is said where it is packed."""
    try:
        if not Path(path).is_file():
            return b""
        with Path(path).open("rb") as file:
            return file.read(HEAD)
    except (OSError, ValueError):
        return b""


class _Begun:
    """A stream of which the beginning was read."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head = head
        self._rest = rest

    def read(self, size: int) -> bytes:
        """The next bytes, at most so many."""
        piece, self._head = self._head[:size], self._head[size:]
        return piece or self._rest.read(size)


def _name(file: ArtifactFile) -> str:
    title = file.title or file.annotations.get(TITLE)
    if title is not None:
        return title
    return os.fspath(file.content) if isinstance(file.content, str | os.PathLike) else ""


def _path(file: ArtifactFile) -> str | None:
    return os.fspath(file.content) if isinstance(file.content, str | os.PathLike) else None


# The whole artifact


def _whole(packaging: Packaging, kinds: Sequence[Kind | None]) -> Packaging | None:
    """An artifact as it is usual for what is in it; None where nothing is usual for that."""
    known = [kind for kind in kinds if kind is not None]
    if any(kind.convention == "model" for kind in known):
        return _model(packaging)
    if not known or len(known) < len(kinds):
        return None
    conventions = sorted(kind.convention for kind in known)
    if set(conventions) == {"document"} and len({kind.artifact_type for kind in known}) == 1:
        return _changed(packaging, artifact_type=known[0].artifact_type)
    if conventions in (["helm"], ["helm", "provenance"]):
        return _helm(packaging, kinds)
    if len(known) != 1:
        return None
    (file,) = packaging.files
    path, name = _path(file), _name(file).rpartition("/")[2]
    if conventions == ["tofu-module"]:
        return _changed(packaging, artifact_type=known[0].artifact_type)
    if conventions == ["tofu-provider"]:
        return _provider(packaging, known[0], name)
    if path is None:
        return None
    own = bottle_platform(Path(path).name)
    if conventions == ["bottle"] and own is not None:
        return _changed(packaging, convention="bottle", platform=packaging.platform or own)
    if conventions == ["wasm"] and packaging.platform is None:
        is_read = known[0] is KINDS["wasm-module"] or read_world(path) is not None
        return _changed(packaging, convention="wasm") if is_read else None
    return None


def _provider(packaging: Packaging, kind: Kind, name: str) -> Packaging:
    found = PROVIDER.fullmatch(name)
    own = Platform(os=found["os"], architecture=found["architecture"]) if found is not None else None
    return _changed(
        packaging,
        convention="tofu-provider",
        artifact_type=kind.artifact_type,
        platform=packaging.platform or own,
    )


def _helm(packaging: Packaging, kinds: Sequence[Kind | None]) -> Packaging | None:
    """A chart with its provenance, which `helm push` takes along where it is beside the chart."""
    files = sorted(zip(packaging.files, kinds, strict=True), key=lambda pair: pair[1] is not KINDS["helm"])
    chart_file = files[0][0]
    path = _path(chart_file)
    chart = read_chart(path) if path is not None and packaging.platform is None else None
    if path is None or chart is None:
        return None
    made = [file for file, _ in files]
    if len(made) == 1 and Path(f"{path}.prov").is_file():
        made.append(ArtifactFile(content=f"{path}.prov", media_type=HELM_PROVENANCE))
    return _changed(packaging, files=made, convention="helm", tag=chart.tag)


def _model(packaging: Packaging) -> Packaging | None:
    """The weights of a model with what else is in it; None where something of it is no file with a name."""
    paths = [_path(file) for file in packaging.files]
    if packaging.platform is not None or not all(path is not None and Path(path).is_file() for path in paths):
        return None
    files = [
        msgspec.structs.replace(file, media_type=file.media_type or model_part(_name(file).rpartition("/")[2]))
        for file in packaging.files
    ]
    return _changed(packaging, files=files, convention="model")


def _changed(packaging: Packaging, **fields: Any) -> Packaging:
    return msgspec.structs.replace(packaging, **fields)
