"""How an image came about: the history in its config beside its layers, and as the lines of a Dockerfile.

This module knows configs and manifests, and reads nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from lading.model.config import ImageConfig
from lading.model.digest import Digest
from lading.model.document import Result
from lading.model.manifest import Manifest
from lading.model.platform import Platform
from lading.model.text import counted

_SHELL = r"(?:/bin/(?:ba|a|da)?sh|cmd|powershell)\S*(?: -o \w+)* (?:-\w*c|/S /C|-Command) "
_INSTRUCTIONS = frozenset(
    {"ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER"}
    | {"ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"}
)


class HistoryStep(Result, msgspec.Struct, frozen=True, kw_only=True):
    """One step of a history: what was done, and the layer that came of it."""

    created: str | None
    """RFC 3339, as found."""
    created_by: str | None
    """The command, as found."""
    instruction: str | None
    """The command as a Dockerfile has it; None where it is none."""
    author: str | None
    comment: str | None
    empty_layer: bool
    """Whether no layer came of it."""
    number: int | None = None
    """The number of the layer, from 1: the lowest."""
    layer: Digest | None = None
    """The digest of the layer."""
    diff_id: str | None = None
    size: int | None = None
    """Of the layer's blob, in bytes."""


class History(Result, msgspec.Struct, frozen=True, kw_only=True):
    """The history of an image."""

    reference: str
    digest: Digest
    """Of the image's manifest."""
    platform: Platform | None
    steps: tuple[HistoryStep, ...]
    """From the first on."""
    warnings: tuple[str, ...] = ()


def history(name: str, config: ImageConfig, manifest: Manifest) -> History:
    """The history of an image, each step beside its layer.

    Args:
        name: what the image is called.
        config: its config.
        manifest: its manifest.
    """
    steps, taken = [], 0
    for entry in config.history:
        is_empty = entry.get("empty_layer") is True
        number = taken + 1 if not is_empty and taken < len(manifest.layers) else None
        taken += not is_empty
        steps.append(_step(entry, is_empty, number, config, manifest))
    more = range(min(taken, len(manifest.layers)) + 1, len(manifest.layers) + 1)
    steps += [_step({}, False, number, config, manifest) for number in more]
    warnings: tuple[str, ...] = ()
    if taken != len(manifest.layers) and (taken or config.history):
        said = f"{counted(taken, 'step')} with a layer, and there {'is' if len(manifest.layers) == 1 else 'are'}"
        warnings = (f"the history does not fit: it has {said} {counted(len(manifest.layers), 'layer')}",)
    return History(
        reference=name,
        digest=manifest.digest,
        platform=config.platform if config.platform.os else None,
        steps=tuple(steps),
        warnings=warnings,
    )


def _step(
    entry: dict[str, Any], is_empty: bool, number: int | None, config: ImageConfig, manifest: Manifest
) -> HistoryStep:
    layer = manifest.layers[number - 1] if number is not None else None
    command = _text(entry, "created_by")
    return HistoryStep(
        created=_text(entry, "created"),
        created_by=command,
        instruction=instruction(command) if command else None,
        author=_text(entry, "author"),
        comment=_text(entry, "comment"),
        empty_layer=is_empty,
        number=number,
        layer=layer.digest if layer is not None else None,
        diff_id=config.diff_ids[number - 1] if number is not None and number <= len(config.diff_ids) else None,
        size=layer.size if layer is not None else None,
    )


def _text(entry: dict[str, Any], key: str) -> str | None:
    value = entry.get(key)
    return value if isinstance(value, str) and value else None


def instruction(command: str) -> str | None:
    """A command of a history as the instruction of a Dockerfile that it came from; None where it is none.

    Args:
        command: `/bin/sh -c #(nop)  CMD ["sh"]` or `RUN /bin/sh -c make # buildkit`.
    """
    text = command.strip().removesuffix("# buildkit").rstrip()
    word = text.partition(" ")[0]
    if word.upper() in _INSTRUCTIONS and word.isupper() and word != "RUN":
        return text
    text = text.removeprefix("RUN ") if word == "RUN" else text
    # What a shell form was run with: build arguments come before the shell.
    arguments = re.match(r"\|\d+ ", text)
    if arguments is not None:
        shell = re.search(_SHELL, text)
        text = text[shell.start() :] if shell is not None else text[arguments.end() :]
    shell = re.match(_SHELL, text)
    rest = text[shell.end() :] if shell is not None else text
    done = re.match(r"\s*#\(nop\)\s*", rest)
    if done is not None:
        return rest[done.end() :].strip()
    if shell is None and word != "RUN":
        return None
    return f"RUN {rest.strip()}"


def dockerfile(steps: Sequence[HistoryStep]) -> str:
    """A history as the lines of a Dockerfile; what was no instruction is a comment.

    Args:
        steps: the history.
    """
    lines = ["FROM scratch"]
    for step in steps:
        if step.instruction is None:
            said = step.created_by or step.comment or "nothing is said of how this layer was made"
            lines += [f"# {line}" for line in said.splitlines()]
            continue
        first, *more = step.instruction.splitlines() or [""]
        if first.startswith("RUN ") and more:
            lines += ["RUN <<EOF", first.removeprefix("RUN "), *more, "EOF"]
        else:
            lines += [first, *(f"# {line}" for line in more)]
    return "\n".join(lines)
