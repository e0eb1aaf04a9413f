"""The journal of uploads follows no link and waits for no pipe that is in its folder."""

import os
from pathlib import Path

import pytest

from lading.model.digest import Digest
from lading.registry.upload_journal import Journal

KEY = ("reg.example", "app", Digest.of(b"blob"))


@pytest.mark.parametrize("kind", ["symlink", "hard link", "pipe"])
def test_what_is_written_stays_inside(tmp_path: Path, kind: str) -> None:
    folder, victim = tmp_path / "uploads", tmp_path / "victim"
    Journal(folder).keep(*KEY, "https://reg.example/upload/1")
    (kept,) = folder.iterdir()
    victim.write_bytes(kept.read_bytes())
    for path in (kept, kept.with_suffix(f".{os.getpid()}")):
        path.unlink(missing_ok=True)
        if kind == "symlink":
            path.symlink_to(victim)
        elif kind == "hard link":
            path.hardlink_to(victim)
        else:
            os.mkfifo(path)
    before = victim.read_bytes()
    if kind != "hard link":
        assert Journal(folder).find(*KEY) is None
    Journal(folder).keep(*KEY, "https://reg.example/upload/2")
    assert victim.read_bytes() == before
    assert Journal(folder).find(*KEY) == "https://reg.example/upload/2"
