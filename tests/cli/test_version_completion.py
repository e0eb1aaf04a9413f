"""`lading version`, and the scripts of `lading completion`."""

import json

import pytest

from support.lading import Lading


def test_version(lading: Lading) -> None:
    from lading import __version__

    assert lading.run("--version").stdout == f"lading {__version__}\n"
    assert lading.run("version").stdout.startswith(f"lading {__version__} (Python 3.")
    assert json.loads(lading.run("version", "--format", "json").stdout)["version"] == __version__
    assert lading.run("version", "--format", "{{ version }}").stdout == f"{__version__}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(lading: Lading, shell: str) -> None:
    assert "_LADING_COMPLETE" in lading.run("completion", shell).stdout
