"""`lading registry serve` as a process of its own: where content stays, and how it ends."""

import signal
from pathlib import Path

import pytest

from cli.place import INDEX, Place, serving
from support.lading import Lading


def test_serve_a_folder(place: Place, tmp_path: Path) -> None:
    ref = place.push("1.0", INDEX)
    folder = tmp_path / "registry"
    with serving(place.lading, "--storage", str(folder)) as host:
        place.run("tag", ref, f"{host}/app:1.0")
    with serving(place.lading, "--storage", str(folder)) as host:
        assert place.run("digest", f"{host}/app:1.0") == f"{INDEX.digest}\n"
        assert place.run("repos", host) == "app\n"


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_serve_until_interrupted(lading: Lading, end: signal.Signals) -> None:
    with serving(lading, end=end) as host:
        assert lading.run("repos", host).stdout == ""
