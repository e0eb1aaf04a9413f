"""Packages in a database of rpm, read by rpm's own library for Python, where that is installed.

It runs in a process of its own: it keeps where its database is for a whole process, and what strangers made may end it.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

from lading.images.diff.packages import Package

LIMIT = 512 * 1024 * 1024
"""How large a database may be, in bytes."""
_SECONDS = 120
_SCRIPT = """
import json, sys, rpm
rpm.addMacro("_dbpath", sys.argv[1])
transaction = rpm.TransactionSet()
transaction.setVSFlags(-1)
for header in transaction.dbMatch():
    epoch = "" if header["epoch"] is None else f"{header['epoch']}:"
    version = f"{epoch}{header['version']}-{header['release']}"
    print(json.dumps([header["name"], version, header["arch"]]))
"""


def is_installed() -> bool:
    """Whether rpm's library for Python is installed."""
    return importlib.util.find_spec("rpm") is not None


def packages_in_database(folder: Path, path: str) -> list[Package] | None:
    """The packages in a database; None where the library cannot read it.

    Args:
        folder: has the database in a file with its own name, and nothing else.
        path: where the database is in the image.
    """
    try:
        ran = subprocess.run(
            [sys.executable, "-P", "-c", _SCRIPT, str(folder)], capture_output=True, timeout=_SECONDS, check=True
        )
        rows = [json.loads(line) for line in ran.stdout.splitlines()]
        return [Package("rpm", str(name), str(version), arch or None, path) for name, version, arch in rows]
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
