"""What is kept for later runs is read again only where nobody else can have changed it."""

import os
import time
from pathlib import Path

import pytest

from lading.io.shelf import Shelf


def test_what_is_kept_is_found_again(tmp_path: Path) -> None:
    Shelf(tmp_path / "a/b", 1000).put("name", b"content")
    other = Shelf(tmp_path / "a/b", 1000)
    assert other.get("name") == b"content"
    assert other.get("none") is None
    other.put("name", b"new")
    assert other.get("name") == b"new"


def test_without_a_folder_nothing_is_kept() -> None:
    shelf = Shelf(None, 1000)
    shelf.put("name", b"content")
    assert shelf.get("name") is None


def test_what_others_may_have_changed_is_not_read(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "kept", 1000)
    shelf.put("open", b"content")
    (tmp_path / "kept/open").chmod(0o622)
    (tmp_path / "outside").write_bytes(b"content")
    (tmp_path / "kept/link").symlink_to(tmp_path / "outside")
    os.mkfifo(tmp_path / "kept/pipe")
    assert [shelf.get(name) for name in ("open", "link", "pipe")] == [None, None, None]
    shelf.put("fine", b"content")
    (tmp_path / "kept").chmod(0o777)
    assert shelf.get("fine") is None
    shelf.put("more", b"content")
    assert not (tmp_path / "kept/more").exists()


def test_a_full_folder_forgets_what_was_not_used_longest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lading.io.shelf._CHECKED_EACH", 0)
    shelf, before = Shelf(tmp_path / "kept", 100), time.time() - 1000
    for number in range(4):
        shelf.put(str(number), bytes(25))
        os.utime(tmp_path / "kept" / str(number), (before + number, before + number))
    os.utime(tmp_path / "kept" / "0", (before + 9, before + 9))
    shelf.put("4", bytes(25))
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["0", "2", "3", "4"]
    shelf.put("large", bytes(26))
    assert shelf.get("large") is None


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    Shelf(tmp_path / "file", 1000).put("name", b"content")
    Shelf(tmp_path / "file" / "below", 1000).put("name", b"content")
    assert Shelf(tmp_path / "file", 1000).get("name") is None
