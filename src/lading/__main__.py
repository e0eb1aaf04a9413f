"""The program `lading`, also `python -m lading`: the command line, in a process that begins and ends quickly."""

import gc
import os
import sys
from contextlib import suppress
from typing import NoReturn


def main() -> NoReturn:
    """Run the command that the process was started with, and end the process with its exit code."""
    # What a command imports stays until it ends: looking for garbage among it, sixty times, took a tenth of the time.
    gc.set_threshold(100_000, 20, 100)
    from lading.cli import main as run

    code = run()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    # Everything is closed, and nothing is left to the interpreter but to take itself apart: another tenth.
    os._exit(code)


if __name__ == "__main__":
    main()
