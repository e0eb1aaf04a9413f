"""The program `lading`, also `python -m lading`: the command line, in a process that begins and ends quickly."""

import os
import sys

from lading.quick import answer

TYPE_CHECKING = False  # that of `typing` takes longer to import than an answer
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> "NoReturn":
    """Run the command that the process was started with, and end the process with its exit code."""
    arguments = sys.argv[1:]
    code = 0 if answer(arguments) else _hand_over(arguments)
    if code is None:
        code = _run()
    # Everything is closed, and nothing is left to the interpreter but to take itself apart: a tenth of the time.
    os._exit(code)


def _hand_over(arguments: "list[str]") -> int | None:
    """Have the warm process run the command, where that is wanted and there is one; returns its exit code."""
    from lading.warm import is_wanted

    if not is_wanted(arguments):
        return None
    from lading.warm.client import hand_over

    return hand_over(arguments)


def _run() -> int:
    """Load the command line and run the command; returns its exit code."""
    import gc
    from contextlib import suppress

    from lading.later import load_later

    # What a command imports stays until it ends: looking for garbage among it, sixty times, took a tenth of the time.
    gc.set_threshold(100_000, 20, 100)
    load_later()
    from lading.cli import main as run

    code = run()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    return code


if __name__ == "__main__":
    main()
