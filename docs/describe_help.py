"""Writes the help that `lading` prints before its command line is loaded.

python docs/describe_help.py
"""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from os import environ
from pathlib import Path

import lading
from lading.cli import main
from lading.quick import HELP, HELP_WIDTH

environ["COLUMNS"] = str(HELP_WIDTH)
with redirect_stdout(io.StringIO()) as said:
    main(["--help"])
Path(lading.__file__).with_name(HELP).write_text(said.getvalue(), encoding="utf-8")
