"""What the program says without its command line: its version, and which commands there are.

`lading.cli` says the same, which is tested, and says it where this module does not. Nothing is imported here that takes
time: these answers come as quickly as Python starts.
"""

from __future__ import annotations

import os
import sys

from lading._version import __version__

TYPE_CHECKING = False  # that of `typing` takes longer to import than all of this
if TYPE_CHECKING:
    from collections.abc import Sequence

VERSION = f"lading {__version__}"
"""What `lading --version` says."""
HELP_WIDTH = 80
"""How wide a terminal has to be for the help in `HELP`."""
HELP = "help.txt"
"""The file beside this module with the help of `lading`; `make pages` writes it."""
_ASK_FOR_HELP: Sequence[list[str]] = ([], ["help"], ["--help"], ["-h"])


def answer(arguments: Sequence[str]) -> bool:
    """Print what is known before anything is loaded; False where the command line has to answer.

    Args:
        arguments: the command line without the program's name.
    """
    wanted = list(arguments)
    if "_LADING_COMPLETE" in os.environ or sys.stdout is None:
        return False
    try:
        if wanted == ["--version"]:
            text = f"{VERSION}\n".encode()
        elif wanted in _ASK_FOR_HELP and _columns() >= HELP_WIDTH:
            with open(os.path.join(os.path.dirname(__file__), HELP), "rb") as file:  # noqa: PTH118, PTH120, PTH123
                text = file.read()
        else:
            return False
        while text:
            text = text[os.write(1, text) :]
    except OSError:
        return False  # the command line says what is wrong
    return True


def _columns() -> int:
    """How wide the terminal is, as `shutil.get_terminal_size` finds out."""
    try:
        columns = int(os.environ["COLUMNS"])
    except (KeyError, ValueError):
        columns = 0
    if columns > 0:
        return columns
    try:
        return os.get_terminal_size(1).columns or HELP_WIDTH
    except OSError:
        return HELP_WIDTH
