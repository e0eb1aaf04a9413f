"""What a command is told to write: a file is there whole or as it was; a pipe or a device stays one, and gets it."""

import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.artifacts import TITLE, pushed
from support.images import digest_of
from support.lading import Lading
from support.layers import image, write_layout

CONTENT = b"content"
COMMANDS: dict[str, Callable[[Path, str], list[str]]] = {
    "blob": lambda folder, path: ["blob", "get", f"oci:{folder}/hostile@{digest_of(CONTENT)}", "-o", path],
    "manifest": lambda folder, path: ["manifest", "get", f"oci:{folder}/hostile:1", "-o", path],
    "artifact": lambda folder, path: ["artifact", "pull", f"oci:{folder}/hostile:1", "-o", path],
    "image": lambda folder, path: ["image", "export", f"oci:{folder}/image:t", path],
    "metadata": lambda folder, path: [
        *("index", "create", f"oci:{folder}/image:i", f"oci:{folder}/image:t", "--metadata-file", path)
    ],
}


@pytest.fixture(params=COMMANDS)
def command(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], list[str]]:
    """The words of a command that writes to a path."""
    pushed(tmp_path, (CONTENT, {TITLE: "a.txt"}))
    write_layout(tmp_path / "image", image("a=content"))
    return lambda path: COMMANDS[request.param](tmp_path, path)


@pytest.fixture
def written(lading: Lading, tmp_path: Path, command: Callable[[str], list[str]]) -> bytes:
    """What the command writes into a file."""
    lading.run(*command(f"{tmp_path}/written.txt"))
    return (tmp_path / "written.txt").read_bytes()


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[tuple[Path, Callable[[], bytes]]]:
    """A named pipe that is read when the writer has opened it, and what came out of it."""
    path, got = tmp_path / "pipe", []
    os.mkfifo(path)
    reading = threading.Thread(target=lambda: got.append(path.read_bytes()), daemon=True)
    reading.start()

    def end() -> bytes:
        reading.join(60)
        return got[0] if got else b"nothing"

    yield path, end
    if reading.is_alive():
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))


def test_a_pipe_stays_one(
    lading: Lading,
    tmp_path: Path,
    command: Callable[[str], list[str]],
    written: bytes,
    pipe: tuple[Path, Callable[[], bytes]],
) -> None:
    path, end = pipe
    (tmp_path / "link").symlink_to("pipe")
    lading.run(*command(str(tmp_path / "link")))
    assert stat.S_ISFIFO(path.lstat().st_mode)
    assert (tmp_path / "link").is_symlink()
    assert end() == written


def test_a_device_stays_one(lading: Lading, command: Callable[[str], list[str]], written: bytes) -> None:
    ours, its = os.openpty()
    try:
        path = os.ttyname(its)
        lading.run(*command(path))
        assert stat.S_ISCHR(os.lstat(path).st_mode)
        assert os.read(ours, 1)[:1] == written[:1]
    finally:
        os.close(ours)
        os.close(its)


def test_an_open_file_stays_one(
    lading: Lading, tmp_path: Path, command: Callable[[str], list[str]], written: bytes
) -> None:
    with (tmp_path / "open").open("wb") as file:
        lading.run(*command(f"/proc/{os.getpid()}/fd/{file.fileno()}"))
        assert os.fstat(file.fileno()).st_ino == (tmp_path / "open").stat().st_ino
    assert (tmp_path / "open").read_bytes() == written


@pytest.mark.parametrize("name", ["n" * 240, "é" * 120])
def test_a_name_may_be_as_long_as_names_are(
    lading: Lading, tmp_path: Path, command: Callable[[str], list[str]], written: bytes, name: str
) -> None:
    before = set(tmp_path.iterdir())
    lading.run(*command(f"{tmp_path}/{name}.txt"))
    assert (tmp_path / f"{name}.txt").read_bytes() == written
    assert set(tmp_path.iterdir()) - before == {tmp_path / f"{name}.txt"}


def test_a_link_is_not_followed_and_a_file_stays_as_it_was(
    lading: Lading, tmp_path: Path, command: Callable[[str], list[str]], written: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "link.txt").symlink_to("mine")
    lading.run(*command(f"{tmp_path}/link.txt"))
    assert ((tmp_path / "mine").read_text(), (tmp_path / "link.txt").read_bytes()) == ("mine", written)

    def fails(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    for name in ("replace", "rename"):
        monkeypatch.setattr(os, name, fails)
    ran = lading.run(*command(f"{tmp_path}/mine"), check=False, here=True)
    assert (ran.returncode, "No space left" in ran.stderr or "no space left" in ran.stderr) == (1, True), ran.stderr
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.parametrize("name", ["n" * 300, "none/x", "mine/x", "folder"])
def test_what_cannot_be_written_is_said(
    lading: Lading, tmp_path: Path, command: Callable[[str], list[str]], name: str
) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/a.txt").write_text("mine")
    words = command(f"{tmp_path}/{name}")
    if words[0] == "artifact" and name in ("none/x", "folder"):
        return  # folders to pull into
    ran = lading.run(*words, check=False)
    assert ran.returncode in (1, 3, 8), ran.stderr
    assert name in ran.stderr
    assert "Traceback" not in ran.stderr
    assert (tmp_path / "folder/a.txt").read_text() == "mine"
    assert not [path.name for path in tmp_path.rglob(".*") if path.name != ".docker" and path.is_file()]
