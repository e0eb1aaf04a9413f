"""Archives as container engines read them: what they refuse is an error, and so is nothing else."""

import io
import tarfile
from collections.abc import Sequence
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.errors import InvalidContent
from lading.io.tar_stream import Member, TarStream
from support.layers import END, Entry, archive, padded

STEPS = (1, 7, 512, 1 << 20)


def read(content: bytes, step: int = 1 << 20) -> list[tuple[Member, bytes]]:
    """The members of an archive with what is stored of their contents, given in pieces of some bytes."""
    found: list[tuple[Member, bytearray]] = []
    ended = 0

    def begin(member: Member) -> bool:
        found.append((member, bytearray()))
        return True

    def end() -> None:
        nonlocal ended
        ended += 1

    stream = TarStream("it", begin, lambda piece: found[-1][1].extend(piece), end)
    for at in range(0, len(content), step):
        stream.feed(content[at : at + step])
    stream.finish()
    assert ended == len(found)
    return [(member, bytes(body)) for member, body in found]


def same(content: bytes) -> list[tuple[Member, bytes]]:
    """The members, however the archive comes in pieces."""
    whole, *others = [read(content, step) for step in STEPS]
    assert all(other == whole for other in others)
    return whole


LONG = "/".join(["x" * 49] * 6)


def test_a_plain_archive() -> None:
    (a, content), (d, _), (s, _) = same(archive("a=hello@640,3,4 d/@711 s->a"))
    assert (a.name, a.type, a.mode, a.uid, a.gid, a.size, a.mtime, content) == (
        "a",
        "0",
        0o640,
        3,
        4,
        5,
        1000,
        b"hello",
    )
    assert (a.offset, a.stored) == (512, 5)
    assert (d.name, d.type, d.mode) == ("d/", "5", 0o711)
    assert (s.link, s.type) == ("a", "2")


NAMES = [
    Entry("n", pax={"path": LONG}),
    Entry(LONG, is_gnu=True),
    Entry(LONG[-99:], prefix=LONG[:-100].encode()[:154]),
    Entry(b"caf\xe9"),
    Entry("n", pax={"path": b"caf\xe9"}),
    Entry("n", pax={"path": ""}),
    Entry("s", "2", link=LONG, is_gnu=True),
    Entry("s", "2", pax={"linkpath": LONG}),
]


@pytest.mark.parametrize("number", range(len(NAMES)))
def test_names_are_those_of_pythons_reader(number: int) -> None:
    content = archive([NAMES[number], Entry("last", content=b"x")])
    members = [member for member, _ in same(content)]
    with tarfile.open(fileobj=io.BytesIO(content)) as theirs:
        wanted = [(member.name or "n", member.linkname) for member in theirs]
    assert [(member.name, member.link) for member in members] == wanted


def test_numbers() -> None:
    large = (0x80 << 88 | 2**40).to_bytes(12, "big")
    negative = (2**96 - 5).to_bytes(12, "big")
    entries = [
        Entry("a", raw={136: large}),
        Entry("b", raw={136: negative}),
        Entry("c", raw={108: b" 12 \0\0\0\0"}),
        Entry("d", raw={100: b"\0" * 8}),
        Entry("e", pax={"uid": "3000000000", "mtime": "-1.5", "gid": "+7"}),
    ]
    a, b, c, d, e = (member for member, _ in same(archive(entries)))
    assert (a.mtime, b.mtime, c.uid, d.mode) == (2**40, -5, 0o12, 0)
    assert (e.uid, e.mtime, e.gid) == (3000000000, -1.5, 7)


def test_what_a_header_only_claims_has_no_content() -> None:
    entries = [Entry("d/", "5", size=5), Entry("s", "2", link="b", size=7), Entry("b", content=b"b")]
    assert [(member.name, member.size, content) for member, content in same(archive(entries))] == [
        ("d/", 0, b""),
        ("s", 0, b""),
        ("b", 1, b"b"),
    ]


def test_an_old_file_whose_name_ends_in_a_slash_is_a_directory() -> None:
    old, new = (member for member, _ in same(archive([Entry("d/", "\0"), Entry("f/", "0")])))
    assert (old.type, new.type) == ("5", "0")


def test_global_records_change_nothing() -> None:
    entries = [Entry("pax_global_header", "g", b"", raw={}), Entry("a", uid=2)]
    content = archive([Entry("a", pax={"mtime": "1234567890", "uid": "77", "comment": "c"}, pax_type="g", uid=2)])
    (member, _), *_ = same(content)
    assert (member.uid, member.mtime) == (2, 1000)
    assert [member.name for member, _ in same(archive(entries))] == ["a"]


@pytest.mark.parametrize(
    "pax, before",
    [
        ({"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "4096"}, b"2\n1024\n512\n3072\n3\n"),
        ({"GNU.sparse.map": "1024,512,3072,3", "GNU.sparse.numblocks": "2", "GNU.sparse.size": "4096"}, b""),
    ],
)
def test_sparse_files(pax: dict[str, str], before: bytes) -> None:
    content = padded(before) + b"D" * 512 + b"end"
    entry = Entry("GNUSparseFile.0/a", content=content, pax=pax | {"GNU.sparse.name": "a"})
    (a, stored), (b, _) = same(archive([entry, Entry("b", content=b"b")]))
    assert (a.name, a.size, a.stored, a.extents) == ("a", 4096, 515, ((1024, 512), (3072, 3)))
    assert stored == b"D" * 512 + b"end"
    assert b.name == "b"


def test_a_sparse_file_with_a_long_map_and_nothing_else() -> None:
    numbers = "".join(f"{at * 10}\n0\n" for at in range(900))
    content = padded(f"900\n{numbers}".encode())
    pax = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "a", "GNU.sparse.realsize": "9000"}
    ((a, stored),) = same(archive([Entry("x", content=content, pax=pax)]))
    assert (a.size, a.stored, len(a.extents or ()), stored) == (9000, 0, 900, b"")


ONE = archive("a=a", end=b"")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        END,
        ONE,
        ONE + bytes(512),
        ONE[:529],  # the padding is cut
        ONE + END + b"garbage" * 100,
        ONE + END + archive("b=b"),
        ONE + Entry("b", pax={"path": "b"}).archived()[:1024],  # records of nothing
    ],
)
def test_how_an_archive_may_end(content: bytes) -> None:
    assert len(same(content)) == (1 if content.startswith(ONE[:529]) else 0)


MAP = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "a", "GNU.sparse.realsize": "4096"}
BAD: dict[str, bytes | Sequence[Entry]] = {
    "a wrong checksum": [Entry("a"), Entry("b", checksum=1)],
    "one block of zeros in between": ONE + bytes(512) + ONE,
    "it is cut in a content": archive([Entry("a", content=b"x" * 600)])[:1100],
    "it is cut in a header": ONE + ONE[:300],
    "it is cut in a long name": archive([Entry("n" * 600, is_gnu=True)])[:700],
    "no archive at all": b"this is no archive" * 100,
    "a hard link with content": [Entry("a"), Entry("b", "1", b"data", link="a"), Entry("c")],
    "a directory with content": [Entry("d/", "5", b"data"), Entry("c")],
    "a time that is none": [Entry("a", pax={"mtime": "abc"})],
    "a time with letters": [Entry("a", pax={"mtime": "1.5x"})],
    "an owner that is none": [Entry("a", pax={"uid": "0x10"})],
    "a size that is negative": [Entry("a", pax={"size": "-1"})],
    "a zero byte in a path": [Entry("a", pax={"path": b"a\0b"})],
    "a zero byte in a link": [Entry("a", "2", pax={"linkpath": b"a\0b"})],
    "a zero byte in a key": [Entry("a", pax={"a\0b": "c"})],
    "records without a length": Entry("a", "x", b"path=b\n").archived() + ONE,
    "a record that is too long": Entry("a", "x", b"99 path=b\n").archived() + ONE,
    "a record without an end": Entry("a", "x", b"9 path=b ").archived() + ONE,
    "a record without a key": Entry("a", "x", b"6 =bc\n").archived() + ONE,
    "malformed global records": Entry("a", "g", b"path=b\n").archived() + ONE,
    "a name of two megabytes": Entry("a", "L", bytes(2 << 20)).archived() + ONE,
    "records of two megabytes": Entry("a", "x", bytes(2 << 20)).archived() + ONE,
    "letters for digits": [Entry("a", raw={108: b"abcdefg\0"})],
    "a nine": [Entry("a", raw={108: b"0000009\0"})],
    "a size beyond everything": [Entry("a", raw={124: b"\x80" + b"\xff" * 11})],
    "a sparse map that goes back": [Entry("a", content=padded(b"2\n1024\n1\n0\n1\n") + b"xy", pax=MAP)],
    "a sparse map beyond the end": [Entry("a", content=padded(b"1\n5000\n1\n") + b"x", pax=MAP)],
    "a sparse map with less": [Entry("a", content=padded(b"1\n0\n5\n") + b"x", pax=MAP)],
    "a sparse map with more": [Entry("a", content=padded(b"1\n0\n1\n") + b"xyz", pax=MAP)],
    "a sparse map of letters": [Entry("a", content=padded(b"x\n0\n1\n") + b"x", pax=MAP)],
    "a sparse map that does not end": [Entry("a", content=padded(b"9\n0\n1\n"), pax=MAP)],
    "a sparse map that never ends": [Entry("a", content=padded(b"1" * 600), pax=MAP)],
    "a sparse map of odd length": [Entry("a", pax={"GNU.sparse.map": "1,2,3", "GNU.sparse.numblocks": "1"})],
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused(name: str) -> None:
    bad = BAD[name]
    content = bad if isinstance(bad, bytes) else archive(bad)
    for step in STEPS:
        with pytest.raises(InvalidContent):
            read(content, step)


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=120),
            st.binary(max_size=1200),
            st.integers(0, 0o7777),
            st.integers(0, 2**31),
        ),
        max_size=5,
    ),
    st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
    st.integers(1, 3000),
)
def test_what_pythons_writer_writes_is_read(files: list[tuple[str, bytes, int, int]], format: int, step: int) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as tar:
        for name, content, mode, owner in files:
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.uid = len(content), mode, owner
            tar.addfile(member, io.BytesIO(content))
    found = [(member.name, content, member.mode, member.uid) for member, content in read(out.getvalue(), step)]
    assert found == [(name, content, mode, owner) for name, content, mode, owner in files]


@given(st.binary(max_size=3000), st.integers(0, 3000))
def test_damage_is_refused_or_read_and_nothing_else(noise: bytes, at: int) -> None:
    content = bytearray(archive([Entry("a", content=b"x" * 700, pax={"path": "b", "mtime": "1.5"}), Entry("c")]))
    content[at : at + len(noise)] = noise
    with suppress(InvalidContent):
        read(bytes(content))
