"""Remedies that a command prints: every command and every option in them has to exist, and to parse.

What is printed on stderr is looked through for `lading …`, which is parsed as if it were typed, and for options that
stand alone, which have to be options of the command that was run.
"""

import re
import shlex
from collections.abc import Sequence

import click

OTHERS = r"\b(?:aws|bash|crane|docker|htpasswd|kubectl|openssl|oras|pip|pipx|podman|regctl|skopeo|uv) [^;`]*"
"""Commands of other programs."""
END = r" {3,}|; |, then |, or |, and |[`|]|: | \(|$"
"""What ends a command within a line."""


def wrong(args: Sequence[str], said: str) -> list[str]:
    """What a command that was run with these arguments says for people that could not be typed, with the reason."""
    own = _options(args)
    found = []
    for line in said.splitlines():
        if line.startswith(
            ("error: ", "  did you mean: ", "  usage: ", "GET ", "HEAD ", "    ")
        ) and not line.startswith(" " * 16):
            continue
        rest = line
        for command in commands(line):
            rest = rest.replace(f"lading {command}", "")
            reason = refused(command)
            if reason is not None:
                found.append(f"lading {command}: {reason}")
        rest = re.sub(OTHERS, "", rest)
        found += [
            f"{option} is no option of lading {' '.join(args[:2])}: {line.strip()}"
            for option in re.findall(r"(?<![\w'\"=-])--[a-z][a-z-]+", rest)
            if own is not None and option not in own
        ]
    return found


def commands(text: str) -> list[str]:
    """The command lines of lading in a text, without the program's name."""
    return [found.strip().removesuffix(".") for found in re.findall(rf"\blading ((?:.(?!{END}))*.)", text)]


def refused(command: str) -> str | None:
    """Why a command line, without the program's name, would be refused; None if it parses or is only prose."""
    from lading.cli import lading

    try:
        words = shlex.split(command)
    except ValueError as error:
        return str(error)
    if words[-1:] == ["…"]:
        return None
    if not words or words[0] not in lading.list_commands(click.Context(lading)):
        return None
    try:
        context: click.Context = lading.make_context("lading", words)
        while isinstance(context.command, click.Group):
            name, inner, rest = context.command.resolve_command(context, [*context._protected_args, *context.args])
            assert inner is not None
            context = inner.make_context(name, rest, parent=context)
    except click.exceptions.Exit:
        return None
    except Exception as error:  # lading's own errors are none of click's
        return str(getattr(error, "message", error))
    return None


def _options(args: Sequence[str]) -> set[str] | None:
    """The options of the command that is run; None if it is none."""
    from lading.cli import lading

    command: click.Command | None = lading
    for word in args:
        if not isinstance(command, click.Group):
            break
        command = command.get_command(click.Context(command), word)
    if command is None or isinstance(command, click.Group):
        return None
    return {option for param in command.params for option in param.opts} | {"--help"}
