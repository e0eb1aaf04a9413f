"""The store of drafts: what it keeps, what it refuses, and what it survives."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from drafts.entries import APP, make_draft, make_entry, tags_of
from lading.drafts import atomic_folder
from lading.drafts.annotate import annotate
from lading.drafts.docker_files import file_name
from lading.drafts.draft import Draft
from lading.drafts.store import DraftStore
from lading.errors import Conflict, LadingError, NotFound
from lading.model.digest import Digest
from lading.model.reference import Reference
from support.docker import DockerCLI

LIST = Reference.parse(f"{APP}:list")


def notes_of(root: Path) -> list[Path]:
    return sorted((root / ".lading" / file_name(LIST)).glob("*.json"))


def test_a_draft_comes_back_as_it_was(root: Path) -> None:
    draft = msgspec.structs.replace(
        make_draft("c", "a", "b"),
        annotations={"b": "<&>", "a": ""},
        type="oci",
        base={"artifactType": "application/x", "n": 1.5},
        origin=Digest.of(b""),
    )
    saved = DraftStore(root).save(draft)
    loaded = DraftStore(root).load(LIST)
    assert loaded == saved
    for name in ("reference", "entries", "annotations", "type", "base", "origin", "ordered"):
        assert getattr(loaded, name) == getattr(draft, name), name
    assert loaded.created
    assert loaded.changed
    assert loaded.changed >= loaded.created - timedelta(seconds=1)
    assert loaded.index.artifact_type == "application/x"


def test_where_drafts_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    assert DraftStore().root == tmp_path / "docker" / "manifests"
    monkeypatch.delenv("DOCKER_CONFIG")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert DraftStore().root == tmp_path / ".docker" / "manifests"
    assert DraftStore(config_dir=tmp_path / "x").root == tmp_path / "x" / "manifests"


def test_nothing_is_there_and_nothing_is_made_by_looking(root: Path) -> None:
    store = DraftStore(root)
    assert store.list() == ()
    assert not store.exists(LIST)
    with pytest.raises(NotFound, match=f"No such manifest: {LIST}"):
        store.load(LIST)
    assert store.remove([LIST]) == (LIST,)
    assert not root.exists()


def test_list_gives_all_by_name(root: Path) -> None:
    store = DraftStore(root)
    for name in ("b:2", "a:1", f"{APP}:x-y"):
        store.save(make_draft("a", name=name))
    (root / "stray").write_text("")
    (root / "folder").mkdir()
    found = [str(draft.reference) for draft in store.list()]
    assert found == ["docker.io/library/a:1", "docker.io/library/b:2", f"{APP}:x-y"]


def test_a_name_is_recovered_where_nobody_wrote_it_down(root: Path) -> None:
    store = DraftStore(root)
    names = [f"{APP}-x:1-2", "alpine:3", "ghcr.io/acme/web_x:1", "[::1]:5000/app:1", f"{APP}@{Digest.of(b'')}"]
    for name in names:
        reference = Reference.parse(name)
        store.save(Draft(reference=reference, entries=(make_entry("a", of=reference.name),)))
    for notes in (root / ".lading").glob("*/*.json"):
        notes.unlink()
    assert {draft.reference for draft in store.list()} == {Reference.parse(name) for name in names}


def test_remove_says_what_there_was_none_of(root: Path) -> None:
    store = DraftStore(root)
    store.save(make_draft("a"))
    other = Reference.parse(f"{APP}:other")
    assert store.remove([other, LIST]) == (other,)
    assert [path.name for path in root.iterdir()] == [".lading"]
    assert [path.name for path in (root / ".lading").iterdir()] == ["locks"]


def test_prune_goes_by_age(root: Path) -> None:
    store = DraftStore(root)
    for tag in ("old", "new"):
        store.save(make_draft("a", name=f"{APP}:{tag}"))
    old = root / file_name(Reference.parse(f"{APP}:old"))
    for path in (*old.iterdir(), old):
        os.utime(path, (1, 1))
    gone = (Reference.parse(f"{APP}:old"),)
    assert store.prune(older_than=timedelta(days=1), dry_run=True) == gone
    assert len(store.list()) == 2
    assert store.prune(older_than=timedelta(days=1)) == gone
    assert [str(draft.reference) for draft in store.list()] == [f"{APP}:new"]
    assert len(store.prune()) == 1


@pytest.mark.parametrize("remembered", [True, False])
def test_names_that_docker_does_not_tell_apart(root: Path, remembered: bool) -> None:
    one, other = Reference.parse(f"{APP}:c-d"), Reference.parse("localhost:5000/team_app:c-d")
    assert file_name(one) == file_name(other)
    store = DraftStore(root)
    store.save(make_draft("a", name=str(one)))
    if not remembered:
        next((root / ".lading" / file_name(one)).glob("*.json")).unlink()
    for action in (
        lambda: store.load(other),
        lambda: store.remove([other]),
        lambda: store.save(make_draft("b", name=str(other))),
    ):
        with pytest.raises(Conflict, match="cannot be a local manifest list beside") as refused:
            action()
        assert refused.value.exit_code == 8
    assert tags_of(store.load(one)) == ["a"]


def test_notes_about_another_list_are_passed_over(root: Path) -> None:
    store = DraftStore(root)
    store.save(msgspec.structs.replace(make_draft("b", "a"), annotations={"a": "1"}))
    (notes,) = notes_of(root)
    document = json.loads(notes.read_bytes())
    for wrong in (
        b"junk",
        b"{}",
        json.dumps(document | {"reference": "UPPER:/"}).encode(),
        json.dumps(document | {"reference": f"{APP}:x"}).encode(),
        json.dumps(document | {"id": "other"}).encode(),
        json.dumps(document | {"created": "yesterday"}).encode(),
        json.dumps(document | {"origin": "no digest"}).encode(),
    ):
        notes.write_bytes(wrong)
        assert tags_of(store.load(LIST)) == ["a", "b"]
    notes.write_bytes(json.dumps(document | {"entries": [{"file": "gone"}, *document["entries"]]}).encode())
    assert tags_of(store.load(LIST)) == ["b", "a"]
    document["entries"][0]["found"] = {"digest": "wrong"}
    notes.write_bytes(json.dumps(document).encode())
    assert tags_of(store.load(LIST)) == ["b", "a"]


def test_one_entry_is_changed_in_place_and_more_by_a_new_folder(root: Path) -> None:
    store = DraftStore(root)
    store.save(make_draft("b", "a"))
    folder = root / file_name(LIST)
    before = folder.stat().st_ino
    annotate(store, LIST, "a", variant="v2")
    assert folder.stat().st_ino == before
    assert len(notes_of(root)) == 1
    store.save(make_draft("a", "b"))
    assert folder.stat().st_ino != before
    assert len(notes_of(root)) == 1
    assert tags_of(store.load(LIST)) == ["a", "b"]


def test_a_change_that_changes_nothing_writes_nothing(root: Path) -> None:
    store = DraftStore(root)
    store.save(make_draft("b", "a"))
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*") if "locks" not in str(path)}
    annotate(store, LIST, "a")
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*") if "locks" not in str(path)} == before


def test_what_a_change_raises_changes_nothing(root: Path) -> None:
    store = DraftStore(root)
    saved = store.save(make_draft("b", "a"))

    def fail(_: Draft | None) -> Draft:
        raise Conflict("no")

    with pytest.raises(Conflict, match="no"):
        store.update(LIST, fail)
    assert store.load(LIST) == saved


def test_an_empty_draft_keeps_what_is_remembered(root: Path) -> None:
    store = DraftStore(root)
    store.save(msgspec.structs.replace(make_draft("a"), annotations={"a": "1"}))
    store.save(msgspec.structs.replace(make_draft(), annotations={"a": "1"}))
    assert (store.load(LIST).entries, store.load(LIST).annotations) == ((), {"a": "1"})


@pytest.mark.parametrize("interrupted", [False, True])
def test_file_systems_that_cannot_exchange_folders(
    root: Path, monkeypatch: pytest.MonkeyPatch, interrupted: bool
) -> None:
    store = DraftStore(root)
    store.save(make_draft("a", "b"))
    monkeypatch.setattr(atomic_folder, "exchange", lambda *_: False)
    if interrupted:
        with monkeypatch.context() as patched:
            patched.setattr(atomic_folder, "finish_staged", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                store.save(make_draft("c", "b"))
        assert (root / ".lading" / file_name(LIST) / "staged").is_dir()
    else:
        store.save(make_draft("c", "b"))
    assert tags_of(DraftStore(root).load(LIST)) == ["c", "b"]
    assert sorted(path.name for path in (root / file_name(LIST)).iterdir()) == [
        f"localhost-5000_team_app-{tag}" for tag in "bc"
    ]
    assert not (root / ".lading" / file_name(LIST) / "staged").exists()


def test_what_docker_writes_meanwhile_is_not_lost(root: Path) -> None:
    store = DraftStore(root)
    store.save(make_draft("a"))
    DraftStore(root.parent / "docker").save(make_draft("z"))
    from_docker = root.parent / "docker" / file_name(LIST) / f"{file_name(LIST)[:-4]}z"

    def change(draft: Draft | None) -> Draft:
        (root / file_name(LIST) / from_docker.name).write_bytes(from_docker.read_bytes())
        assert draft is not None
        return msgspec.structs.replace(draft, entries=(make_entry("b"), *draft.entries))

    assert tags_of(store.update(LIST, change)) == ["b", "a", "z"]


def test_trouble_with_files_is_an_error_of_ours(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = DraftStore(root)
    root.write_text("a file where the folder should be")
    for action in (lambda: store.save(make_draft("a")), store.list):
        with pytest.raises(LadingError, match="cannot be used"):
            action()
    long = Reference.parse("localhost/" + "/".join(["abcdefgh"] * 27) + ":" + "t" * 100)
    root.unlink()
    with pytest.raises(LadingError, match="cannot be used") as refused:
        store.save(make_draft("a", name=str(long)))
    assert refused.value.cause == os.strerror(errno.ENAMETOOLONG)


@pytest.mark.parametrize("way", ["exchanged", "staged"])
def test_what_is_saved_has_been_given_to_the_disk(root: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """A machine that loses its power loses what was not synced: files first, then the folders with their names."""
    order: list[int] = []
    fsync = os.fsync

    def noted(file: int) -> None:
        fsync(file)
        order.append(os.fstat(file).st_ino)

    monkeypatch.setattr(os, "fsync", noted)
    if way == "staged":
        monkeypatch.setattr(atomic_folder, "exchange", lambda *_: False)
    store, folder, ours = DraftStore(root), root / file_name(LIST), root / ".lading" / file_name(LIST)

    def synced(*paths: Path) -> bool:
        """Whether these were synced one after the other, each after its last change."""
        last = {inode: position for position, inode in enumerate(order)}
        positions = [last.get(path.stat().st_ino, -1) for path in paths]
        return -1 not in positions and positions == sorted(positions)

    for draft in (make_draft("a", "b"), make_draft("c", "b")):
        order.clear()
        store.save(draft)
        files = list(folder.iterdir())
        assert len(files) == 2
        assert all(synced(file, folder, root) for file in files)
        assert all(synced(file, ours) for file in notes_of(root))
    order.clear()
    annotate(store, str(LIST), "c", variant="v9")
    assert synced(folder / file_name(Reference.parse(f"{APP}:c")), folder)
    assert synced(*notes_of(root), ours)
    order.clear()
    store.remove([LIST])
    assert synced(root)


WRITER = """
import sys
from pathlib import Path
from drafts.entries import make_entry, LIST_NAME
import msgspec
from lading.drafts.draft import Draft
from lading.drafts.store import DraftStore
from lading.model.reference import Reference

store = DraftStore(Path(sys.argv[1]))
reference = Reference.parse(LIST_NAME)
for number in range(int(sys.argv[3])):
    entry = make_entry(f"{sys.argv[2]}-{number}")
    def add(draft):
        draft = draft or Draft(reference=reference)
        first = int(sys.argv[2]) % 2 and number == 0
        entries = (entry, *draft.entries) if first else (*draft.entries, entry)
        return msgspec.structs.replace(draft, entries=entries)
    store.update(reference, add)
"""


def start(script: str, *args: object) -> subprocess.Popen[bytes]:
    tests = Path(__file__).parent.parent
    path = os.pathsep.join([str(tests), str(tests.parent / "src")])
    command = [sys.executable, "-c", script, *(str(arg) for arg in args)]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, stderr=subprocess.PIPE)


@pytest.mark.slow
def test_parallel_writers_lose_nothing(root: Path, docker: DockerCLI) -> None:
    writers = [start(WRITER, root, number, 3) for number in range(16)]
    read = 0
    while any(writer.poll() is None for writer in writers):
        for draft in DraftStore(root).list():
            assert len(draft.entries) >= read
            read = len(draft.entries)
    assert [(writer.communicate()[1], writer.returncode) for writer in writers] == [(b"", 0)] * 16
    assert sorted(str(tag) for tag in tags_of(DraftStore(root).load(LIST))) == sorted(
        f"{writer}-{number}" for writer in range(16) for number in range(3)
    )


VICTIM = """
import os, sys
from pathlib import Path

STEPS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.listdir", "ctypes.dlsym"}
left = int(sys.argv[2])
root = sys.argv[1]

def count(event, args):
    global left
    here = event in STEPS and any(root in str(arg) for arg in args if isinstance(arg, (str, bytes, os.PathLike)))
    if here or event == "ctypes.dlsym":
        left -= 1
        if left < 0:
            os._exit(9)

from drafts.entries import make_draft, make_entry, LIST_NAME
import msgspec, ctypes
from lading.drafts import atomic_folder
from lading.drafts.store import DraftStore
from lading.drafts.annotate import annotate
from lading.model.reference import Reference

if sys.argv[4] == "staged":
    atomic_folder.exchange = lambda *_: False
store = DraftStore(Path(root))
sys.addaudithook(count)
if sys.argv[3] == "create":
    store.save(make_draft("d", "c", "b"))
elif sys.argv[3] == "annotate":
    annotate(store, LIST_NAME, "a", variant="v9")
elif sys.argv[3] == "origin":
    from lading.model.digest import Digest
    store.update(Reference.parse(LIST_NAME), lambda draft: msgspec.structs.replace(draft, origin=Digest.of(b"")))
elif sys.argv[3] == "both":
    annotate(store, LIST_NAME, "a", variant="v9", index_annotations={"a": "1"})
else:
    store.remove([Reference.parse(LIST_NAME)])
"""


@pytest.mark.slow
@pytest.mark.parametrize("way", ["exchanged", "staged"])
@pytest.mark.parametrize("action", ["create", "annotate", "both", "rm", "origin", "first create"])
def test_a_process_killed_at_any_step_leaves_a_store_that_both_read(
    root: Path, docker: DockerCLI, action: str, way: str
) -> None:
    store = DraftStore(docker.config / "manifests")
    allowed: list[list[str] | None] = {
        "create": [["a", "b"], ["d", "c", "b"], []],
        "first create": [None, ["d", "c", "b"]],
        "annotate": [["a", "b"]],
        "both": [["a", "b"]],
        "rm": [["a", "b"], None],
        "origin": [["a", "b"]],
    }[action]  # type: ignore[assignment]
    steps = 0
    while True:
        store.remove([LIST])
        if action != "first create":
            store.save(make_draft("a", "b"))
        killed = start(VICTIM, store.root, steps, action.removeprefix("first "), way)
        complaint = killed.communicate()[1]
        if killed.returncode == 0:
            break
        assert (complaint, killed.returncode) == (b"", 9)
        found = tags_of(store.load(LIST)) if store.exists(LIST) else None
        assert found in allowed
        assert all(not draft.problem for draft in store.list())
        if steps % 2 == 0:
            inspected = docker.run("manifest", "inspect", str(LIST), check=False)
            if found is not None:
                assert len(json.loads(inspected.stdout)["manifests"]) == len(found)
        # And everything works from there.
        assert tags_of(store.save(make_draft("x", "a"))) == ["x", "a"]
        steps += 1
    assert steps > (10 if action == "create" else 2)


@pytest.mark.slow
def test_a_process_killed_at_random_moments(docker: DockerCLI) -> None:
    store = DraftStore(docker.config / "manifests")
    store.save(make_draft("a"))
    for number in range(30):
        victim = start(WRITER, store.root, number, 10_000)
        while len(store.load(LIST).entries) < 2 and victim.poll() is None:
            pass
        time.sleep(0.003 * (number % 7))
        victim.send_signal(signal.SIGKILL)
        assert victim.communicate()[1] == b""
        draft = store.load(LIST)
        assert draft.problem == ""
        seen = json.loads(docker.run("manifest", "inspect", str(LIST)).stdout)["manifests"]
        assert {entry.digest for entry in draft.entries} == {each["digest"] for each in seen}
        store.save(make_draft("a"))
