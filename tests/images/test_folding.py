"""Export into a folder whose file system takes different names for one: nothing is overwritten, and it is said."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lading import AsyncClient
from lading.images.files.export import Exported
from support.folding import folding
from support.lading import Lading
from support.layers import Entry, image, write_layout

NFC, NFD = "caf\u00e9", "cafe\u0301"


@pytest.fixture(scope="module")
def folded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with folding(tmp_path_factory.mktemp("folding") / "mount") as mount:
        yield mount


@pytest.fixture
def target(folded: Path, request: pytest.FixtureRequest) -> Path:
    return folded / str(request.node.name)


async def exported(tmp_path: Path, target: Path, *layers: str | list[Entry]) -> Exported:
    async with AsyncClient() as client:
        return await client.images.export(write_layout(tmp_path / "layout", image(*layers)), f"{target}/")


def seen(target: Path) -> dict[str, str]:
    """The names that are there, with the contents of files and the targets of links."""
    return {
        path.relative_to(target).as_posix(): (
            f"->{path.readlink()}" if path.is_symlink() else "/" if path.is_dir() else path.read_text()
        )
        for path in sorted(target.rglob("*"))
    }


async def test_the_first_of_two_files_stays(tmp_path: Path, target: Path) -> None:
    done = await exported(
        tmp_path, target, [*(Entry(name, content=name.encode()) for name in ("README", "readme", NFC, NFD))]
    )
    assert seen(target) == {"README": "README", NFD: NFD} or seen(target) == {"README": "README", NFC: NFC}
    assert not done.is_whole
    (said,) = done.lost
    assert said.endswith("(and 1 more) was left out: this file system takes its name for that of another file")


async def test_empty_files_links_and_pipes_are_not_overwritten(tmp_path: Path, target: Path) -> None:
    done = await exported(tmp_path, target, "a= A=full b->x B->y c| C| d->x D=file E= e=")
    found = seen_names(target)
    assert sorted(name.lower() for name in found) == ["a", "b", "c", "d", "e"]
    assert not done.is_whole
    assert "(and 4 more) was left out" in done.lost[0]


def seen_names(target: Path) -> list[str]:
    return [path.name for path in target.iterdir()]


async def test_directories_become_one_and_no_file_is_lost(tmp_path: Path, target: Path) -> None:
    done = await exported(
        tmp_path, target, "terminfo/@711 terminfo/X/@700,3,4 terminfo/X/xterm=1 terminfo/x/@755 terminfo/x/x11=2"
    )
    assert seen(target) == {"terminfo": "/", "terminfo/X": "/", "terminfo/X/xterm": "1", "terminfo/X/x11": "2"}
    assert (target / "terminfo/X").stat().st_mode & 0o7777 == 0o700
    assert (target / "terminfo/X").stat().st_uid == 3
    assert done.is_whole
    assert done.lost == ("terminfo/x is one directory with another: this file system takes its name for that one's",)


async def test_files_of_directories_that_became_one_are_not_overwritten(tmp_path: Path, target: Path) -> None:
    done = await exported(tmp_path, target, "D/ D/x=1 d/ d/X=2 d/y=3")
    assert seen(target) == {"D": "/", "D/x": "1", "D/y": "3"}
    assert not done.is_whole
    assert "d/X was left out: this file system takes its name for that of another file" in done.lost


async def test_a_hard_link_is_never_to_the_other_file(tmp_path: Path, target: Path) -> None:
    """`a` is left out since `A` is there: its other name gets what is in it, or nothing, and not what is in `A`."""
    done = await exported(tmp_path, target, "A=big a=small b~a c~A d~a")
    assert seen(target) == {"A": "big", "b": "small", "c": "big", "d": "small"}
    assert (target / "A").samefile(target / "c")
    assert (target / "b").samefile(target / "d")
    assert not done.is_whole
    assert done.lost == ("a was left out: this file system takes its name for that of another file",)


async def test_nothing_goes_through_a_link_of_the_other_case(tmp_path: Path, target: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    done = await exported(tmp_path, target, f"D->{outside} d/ d/x=x E->{outside}/y e=e")
    assert not list(outside.iterdir())
    assert seen(target) == {"d": "/", "d/x": "x", "e": "e"}
    assert not done.is_whole


async def test_a_directory_whose_name_a_file_has_is_left_out_with_what_is_in_it(tmp_path: Path, target: Path) -> None:
    done = await exported(tmp_path, target, "D= d/ d/x=x d/y/ d/y/z=z d/l->x d/p|")
    assert sorted(name.lower() for name in seen_names(target)) == ["d"]
    assert not done.is_whole
    assert done.entries == 7


def test_it_is_said_and_the_exit_code_is_one(lading: Lading, tmp_path: Path, target: Path) -> None:
    place = write_layout(tmp_path / "layout", image("Makefile=1 makefile=2"))
    done = lading.run("image", "export", place, f"{target}/", check=False)
    assert done.returncode == 1
    assert "makefile was left out: this file system takes its name for that of another file" in done.stderr
    assert seen(target) == {"Makefile": "1"}
