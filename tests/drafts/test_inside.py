"""Nothing in a folder of drafts that somebody else prepared leads outside it, and nothing in it is waited for."""

import json
import os
from pathlib import Path

import pytest

from drafts.entries import LIST_NAME, make_draft
from lading.drafts.docker_files import file_name
from lading.drafts.store import DraftStore
from lading.errors import LadingError
from lading.model.reference import Reference

NAME = file_name(Reference.parse(LIST_NAME))
PLACES = (
    ".lading",
    ".lading/locks",
    f".lading/{NAME}",
    f".lading/{NAME}/entry",
    f".lading/{NAME}/notes",
    f".lading/{NAME}/new",
    f".lading/{NAME}/staged",
    NAME,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "manifests"


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    folder = tmp_path / "victim"
    folder.mkdir()
    (folder / "file").write_bytes(b"mine")
    return folder


def state(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def use(root: Path) -> list[LadingError]:
    """Make a list, add to it, read it and remove it; the errors that came."""
    store, errors = DraftStore(root), []
    draft = make_draft("a")
    for step in (
        lambda: store.save(draft),
        lambda: store.save(make_draft("a", "b")),
        lambda: store.load(draft.reference),
        lambda: store.list(),
        lambda: store.prune(),
        lambda: store.remove([draft.reference]),
    ):
        try:
            step()
        except LadingError as error:
            errors.append(error)
    return errors


@pytest.mark.parametrize("kind", ["symlink to a folder", "symlink to a file", "hard link", "pipe"])
@pytest.mark.parametrize("where", PLACES)
def test_what_is_written_stays_inside(root: Path, victim: Path, where: str, kind: str) -> None:
    path = root / where
    path.parent.mkdir(parents=True)
    if kind == "hard link":
        path.hardlink_to(victim / "file")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(victim if kind.endswith("folder") else victim / "file")
    before = state(victim)
    use(root)
    assert state(victim) == before


def test_the_lists_of_what_is_to_go_name_files_of_the_list_only(root: Path, victim: Path) -> None:
    DraftStore(root).save(make_draft("a"))
    staged = root / ".lading" / NAME / "staged"
    staged.mkdir(parents=True)
    (staged / ".removals").write_text(json.dumps(["../../victim/file", str(victim / "file"), "..", "", 1]))
    assert DraftStore(root).load(make_draft("a").reference).entries
    assert state(victim) == {"file": b"mine"}
    assert not staged.exists()


def test_an_entry_that_is_a_link_or_a_pipe_is_refused(root: Path, victim: Path) -> None:
    store = DraftStore(root)
    draft = store.save(make_draft("a"))
    entry = next((root / NAME).iterdir())
    entry.replace(victim / "entry")
    entry.symlink_to(victim / "entry")
    with pytest.raises(LadingError, match="is not a file"):
        store.load(draft.reference)
    entry.unlink()
    os.mkfifo(entry)
    loaded = store.load(draft.reference)
    assert loaded.entries == ()
    assert loaded.warnings[0].startswith(str(entry))
