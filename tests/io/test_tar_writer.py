"""Archives as they are written: the same bytes each time, which every reader understands in the same way."""

import io
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lading.errors import InvalidContent
from lading.io.tar_stream import Member, TarStream
from lading.io.tar_writer import DIRECTORY, FILE, HARD_LINK, SYMLINK, TarWriter, directory, plain_file
from support.layers import END, Entry

LONG = "/".join(["x" * 49] * 6)


def member(name: str, type: str = FILE, **fields: object) -> Member:
    given = {"mode": 0o644, "uid": 0, "gid": 0, "size": 0, "mtime": 0, **fields}
    return Member(name=name, type=type, **given)  # type: ignore[arg-type]


def written(*members: tuple[Member, bytes] | Member, fractions: bool = False) -> bytes:
    out = io.BytesIO()
    tar = TarWriter(out, fractions=fractions)
    for one in members:
        if isinstance(one, Member):
            tar.add(one)
        else:
            tar.add(*one)
    tar.close()
    return out.getvalue()


def read(data: bytes) -> list[tuple[Member, bytes]]:
    """What lading's own reader finds, without the places in the archive."""
    found: list[tuple[Member, bytearray]] = []

    def begin(found_member: Member) -> bool:
        found.append((found_member, bytearray()))
        return True

    stream = TarStream("it", begin, lambda piece: found[-1][1].extend(piece))
    stream.feed(data)
    stream.finish()
    for one, _ in found:
        one.offset = one.stored = 0
    return [(one, bytes(content)) for one, content in found]


def records(data: bytes) -> dict[str, dict[str, str]]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {one.name: dict(one.pax_headers) for one in tar}


NAMES = st.one_of(
    st.sampled_from(["a", "a/b", f"{LONG}/y", "é", "x" * 100, "x" * 101, f"{'d' * 155}/{'n' * 100}", "\udcff"]),
    st.builds(
        lambda parts, end: "/".join(parts) + end,
        st.lists(st.text(st.sampled_from("aé\udcfe \n☃"), min_size=1, max_size=120), min_size=1, max_size=4),
        st.sampled_from(["", "x"]),
    ),
)
NUMBERS = st.one_of(st.integers(0, 8**7 + 3), st.integers(0, 2**32))
XATTRS = st.dictionaries(
    st.sampled_from(["user.a", "security.capability", "user.é"]), st.binary(min_size=1, max_size=40), max_size=2
)


@st.composite
def members(draw: st.DrawFn) -> tuple[Member, bytes]:
    kind = draw(st.sampled_from("0123456"))
    content = draw(st.binary(max_size=1100)) if kind == FILE else b""
    name = draw(NAMES)
    made = member(
        f"{name}/" if kind == DIRECTORY else name,
        kind,
        mode=draw(st.integers(0, 0o7777)),
        uid=draw(NUMBERS),
        gid=draw(NUMBERS),
        size=len(content),
        mtime=draw(st.one_of(st.integers(-(2**40), 2**40), st.integers(-(2**30), 2**30).map(lambda n: n / 512))),
        link=draw(NAMES) if kind in (HARD_LINK, SYMLINK) else "",
        device=draw(st.tuples(st.integers(0, 8**7 - 1), st.integers(0, 8**7 - 1))) if kind in "34" else (0, 0),
        xattrs=draw(XATTRS),
    )
    return made, content


@given(st.lists(members(), max_size=4))
def test_what_is_written_is_read_again(given: list[tuple[Member, bytes]]) -> None:
    assert read(written(*given, fractions=True)) == given


@given(st.lists(members(), max_size=4))
@example([(member("a", mtime=-0.5), b"")])
def test_pythons_reader_agrees(given: list[tuple[Member, bytes]]) -> None:
    with tarfile.open(fileobj=io.BytesIO(written(*given)), errors="surrogateescape") as tar:
        found = tar.getmembers()
        for one, (expected, content) in zip(found, given, strict=True):
            assert one.name == expected.name.removesuffix("/")
            assert one.type.decode() == expected.type
            assert (one.mode, one.uid, one.gid) == (expected.mode, expected.uid, expected.gid)
            assert one.mtime == expected.mtime // 1
            assert one.linkname == expected.link
            if one.isreg():
                file = tar.extractfile(one)
                assert file is not None
                assert file.read() == content


@given(st.lists(members(), max_size=3))
def test_whole_seconds_unless_fractions_are_asked_for(given: list[tuple[Member, bytes]]) -> None:
    assert [one.mtime for one, _ in read(written(*given))] == [one.mtime // 1 for one, _ in given]


def test_the_bytes_of_a_plain_archive() -> None:
    data = written((plain_file("bin/a", 5, mode=0o755), b"hello"), directory("etc"))
    header = data[:512]
    assert header[:100] == b"bin/a".ljust(100, b"\0")
    assert header[100:148] == b"0000755\0" + b"0000000\0" * 2 + b"00000000005\0" + b"00000000000\0"
    assert header[156:157] + header[257:265] == b"0ustar\x0000"
    assert header[265:329] == bytes(64), "no names of users"
    assert header[329:345] == b"0000000\0" * 2
    assert data[512:1024] == b"hello".ljust(512, b"\0")
    assert data[1024:1028] == b"etc/"
    assert data[1536:] == END


@pytest.mark.parametrize(
    "given, expected",
    [
        (member(f"{'d' * 155}/{'n' * 100}"), []),
        (member("n" * 101), ["path"]),
        (member("é"), ["path"]),
        (member("a", SYMLINK, link="t" * 101), ["linkpath"]),
        (member("a", uid=8**7, gid=8**7 - 1), ["uid"]),
        (member("a", mtime=8**11), ["mtime"]),
        (member("a", mtime=-1), ["mtime"]),
        (member("a", mtime=1.5), []),
        (member("a", xattrs={"user.b": b"1", "user.a": b"2"}), ["SCHILY.xattr.user.a", "SCHILY.xattr.user.b"]),
    ],
    ids=lambda given: str(given.name)[:9] if isinstance(given, Member) else "",
)
def test_records_are_there_only_where_they_are_needed(given: Member, expected: list[str]) -> None:
    data = written(given)
    (found,) = records(data).values()
    assert sorted(found) == expected
    assert (data[156:157] == b"x") == bool(expected)


def test_records_are_sorted() -> None:
    one = written(member("é", uid=8**7, xattrs={"user.b": b"1", "user.a": b"2"}))
    assert one == written(member("é", uid=8**7, xattrs={"user.a": b"2", "user.b": b"1"}))
    assert one.index(b"user.a=") < one.index(b"user.b=") < one.index(b" path=") < one.index(b" uid=")


def test_a_size_that_no_header_holds() -> None:
    out = io.BytesIO()
    TarWriter(out).begin(member("large", size=8**11))
    found: list[Member] = []

    def begin(one: Member) -> bool:
        found.append(one)
        return False

    TarStream("it", begin).feed(out.getvalue())
    assert [one.size for one in found] == [8**11]
    assert b" size=8589934592\n" in out.getvalue()


def test_gnu_tar_reads_it_and_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    content = member(f"{LONG}/é", size=3, mtime=1700000000.25, mode=0o4755, xattrs={"user.a": b"b"})
    link = member("link", HARD_LINK, link=f"{LONG}/é")
    path.write_bytes(written((content, b"abc"), link, member("dev", "3", device=(5, 1)), fractions=True))
    done = subprocess.run(["tar", "-tvf", path], capture_output=True, text=True, check=True, env={"LC_ALL": "C.UTF-8"})
    assert done.stderr == ""
    first, second, third = done.stdout.splitlines()
    assert first.startswith("-rwsr-xr-x 0/0")
    assert first.endswith(f"{LONG}/é")
    assert second.endswith(f"link link to {LONG}/é")
    assert "5,1" in third


@pytest.mark.parametrize(
    "given", [member("c", "3", device=(8**7, 0)), member("a", xattrs={"user.a=b": b"c"})], ids=["device", "attribute"]
)
def test_what_no_archive_can_say(given: Member) -> None:
    with pytest.raises(InvalidContent, match="cannot be put in an archive"):
        written(given)


@pytest.mark.parametrize("content", [b"", b"12", b"1234"])
def test_a_content_of_another_length_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="bytes"):
        written((member("a", size=3), content))


def test_a_sparse_file_is_written_whole() -> None:
    out = io.BytesIO()
    tar = TarWriter(out)
    tar.begin(member("a", size=200_003, extents=((200_000, 3),), stored=3))
    tar.zeros(200_000)
    tar.write(b"abc")
    tar.end()
    tar.close()
    assert read(out.getvalue())[0][1] == bytes(200_000) + b"abc"


def test_an_archive_of_someone_else_is_the_same_after_it_was_read() -> None:
    entries = [Entry("a", content=b"1", mtime=5), Entry("d/", "5", mode=0o755, mtime=7), Entry("d/l", "1", link="a")]
    data = b"".join(entry.archived() for entry in entries) + END
    assert read(written(*read(data))) == read(data)
