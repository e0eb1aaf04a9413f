"""The command line: parse, call, print. No logic that a user of the library would miss.

This module starts a command and ends it: with its exit code, and with an error that people can use.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Sequence

import click

from lading.cli.groups import Group, NobodyReads, option
from lading.errors import LadingError

COMMANDS = (
    "inspect",
    "digest",
    "tag",
    "tags",
    "repos",
    "copy",
    "pull",
    "push",
    "resolve",
    "lint",
    "validate",
    "diff",
    "tree",
    "delete",
    "manifest",
    "index",
    "image",
    "artifact",
    "blob",
    "auth",
    "registry",
    "sync",
    "login",
    "logout",
    "warm",
    "demo",
    "completion",
    "version",
)
"""Every command, in the order in which help lists them; each has a module of its own in `lading.cli.commands`."""

CONTEXT: dict[str, object] = {"help_option_names": ["-h", "--help"], "max_content_width": 80}


@click.group(cls=Group, package="lading.cli.commands", names=COMMANDS, context_settings=CONTEXT)
@option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda context, _, wanted: _version(context, wanted),
    help="Print lading's version.",
)
def lading() -> None:
    """Look at and change images, indexes and artifacts in registries.

    \b
    lading inspect alpine:3.20              what is behind a name
    lading tag reg.example/app:1.4 stable   another tag, without pulling
    lading demo                             a tour, without a server or a network
    """


def main(arguments: Sequence[str] | None = None, *, prog_name: str = "lading") -> int:
    """Run a command.

    Args:
        arguments: the command line without the program's name; by default the process's own.
        prog_name: how the program is called in help and in messages about usage.

    Returns:
        The exit code.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    debug = "--debug" in arguments
    if "_LADING_COMPLETE" in os.environ:
        from lading.cli.completing import complete

        complete()
    _prepare_streams()
    try:
        result = lading.main(list(arguments), prog_name=prog_name, standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.UsageError as error:
        _say_usage(error)
        return 2
    except (KeyboardInterrupt, click.exceptions.Abort) as interrupted:
        # A terminal is in the middle of a line: it has shown ^C, or a question.
        left = getattr(interrupted.__cause__ or interrupted, "__notes__", ())
        _say(*([""] if sys.stderr.isatty() else []), *left, "interrupted")
        return 130
    except (BrokenPipeError, NobodyReads):
        # Python must not complain about it once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001  # no traceback for people
        if debug:
            import traceback

            # Of what it tells, too, no line passes for one of ours.
            _say(*(f"  {line}" for line in traceback.format_exc().splitlines()))
        if isinstance(error, ModuleNotFoundError):
            from lading.cli.extras import missing_extra

            error = missing_extra(error) or error
        if isinstance(error, LadingError):
            say_error(error)
            return error.exit_code
        if isinstance(error, OSError) and error.strerror:
            _say_failure(error)
        else:
            _fail(
                f"lading failed in a way it should not: {type(error).__name__}: {error}",
                "please report it with the output of the same command with --debug",
            )
        return 1


def _prepare_streams() -> None:
    """Whatever the environment says of encodings, and whichever stream is closed: there are three streams.

    A closed standard input is an empty one; on a closed standard output printing fails, and that is said.
    """
    for name, flags in (("stdin", os.O_RDONLY), ("stdout", os.O_RDONLY), ("stderr", os.O_WRONLY)):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, flags), "r" if name == "stdin" else "w"))
        elif isinstance(stream, io.TextIOWrapper):
            # Without a locale, Python reads what is no text as well as it can.
            stream.reconfigure(errors="strict" if name == "stdin" else "backslashreplace")


def _say_failure(error: OSError) -> None:
    """Print what the operating system refused."""
    import traceback

    from lading.errors import way_on

    cause = str(error.strerror).lower()
    *_, (last, _) = traceback.walk_tb(error.__traceback__)
    # What prints is click, and what sees to it that all is printed is `main`.
    if last.f_globals.get("__name__") in ("click.utils", __name__):
        cause = "standard output is closed" if error.errno == errno.EBADF else f"standard output: {cause}"
        _fail("the answer could not be written", cause, "give it a file or a program that takes it")
    else:
        what = f"{error.filename} cannot be used" if error.filename else "the operating system refused something"
        _fail(what, cause, way_on(error))


def say_error(error: LadingError) -> None:
    """Print an error to stderr: what happened, why, and what to do next."""
    from lading.cli.wording import worded

    _fail(*worded(error))


def _fail(message: str, *more: str) -> None:
    from lading.cli.output import paint

    _say(f"{paint('error:', 'red', err=True)} {message}", *(f"  {line}" for line in more))


def _say(*lines: str) -> None:
    from lading.cli.output import say

    say(*lines, err=True)


def _say_usage(error: click.UsageError) -> None:
    # What there is to choose from, click has in lines.
    message = error.format_message().replace("\n\t", " ")
    usage = error.ctx.get_usage().replace("Usage: ", "usage: ").splitlines() if error.ctx is not None else []
    see = [f"see: {error.ctx.command_path} --help"] if error.ctx is not None else []
    _fail(message[:1].lower() + message[1:].rstrip("."), *usage, *see)


def _version(context: click.Context, wanted: bool) -> None:
    if wanted:
        from lading.cli.output import say
        from lading.quick import VERSION

        say(VERSION)
        context.exit()
