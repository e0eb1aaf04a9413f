"""Headers in the form of Go's `archive/tar`: what is read of them is what was said, whatever form it had before."""

import tarfile

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from lading.io.go_headers import directory_header, pax_headers
from lading.io.tar_headers import Headers
from lading.io.tar_stream import Member, TarStream
from support.layers import Entry

names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1, max_size=120).filter(
    lambda name: name not in (".", "..")
)
times = st.one_of(
    st.integers(0, 8**11 - 1).map(str), st.sampled_from(["1.5", "-3.250", "12.", "7.123456789", "99999999999", "-0.0"])
)
records = st.fixed_dictionaries(
    {},
    optional={
        "mtime": times,
        "atime": times,
        "uid": st.integers(0, 2**31).map(str),
        "uname": st.sampled_from(["", "me", "größe", "u" * 40]),
        "comment": st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
        "SCHILY.xattr.user.a": st.binary(max_size=8).map(lambda value: value.decode("latin-1")),
    },
)


def read(raw: bytes) -> Member:
    found: list[Member] = []

    def begin(member: Member) -> bool:
        found.append(member)
        return False

    TarStream("it", begin).feed(raw)
    return msgspec.structs.replace(found[-1], offset=0)


@given(names, st.sampled_from("0235"), records, st.integers(0, 8**7 - 1), st.integers(0, 600), names)
def test_what_was_said_is_said(name: str, kind: str, pax: dict[str, str], uid: int, size: int, link: str) -> None:
    entry = Entry(
        "short",
        kind,
        content=bytes(size if kind == "0" else 0),
        uid=uid,
        pax={**pax, "path": f"x/{name}", **({"linkpath": link} if kind == "2" else {})},
    )
    raw = entry.archived()
    before = read(raw)
    own = raw[: len(raw) - before.stored - -before.stored % 512]
    made = pax_headers(Headers(own), before, name=f"Files/{name}", link=before.link, more={b"MORE": b"1"})
    assert len(made) % 512 == 0
    after = read(made)
    assert after == msgspec.structs.replace(before, name=f"Files/{name}")
    again = read(pax_headers(Headers(made), after, name=after.name, link=after.link, more={}))
    assert again == after


def test_a_directory() -> None:
    info = tarfile.TarInfo.frombuf(directory_header("Files", 0o555), "utf-8", "strict")
    assert (info.name, info.type, info.mode, info.mtime) == ("Files", tarfile.DIRTYPE, 0o555, 0)


def test_names_and_numbers_that_a_header_has_no_place_for() -> None:
    entry = Entry("a", uid=5, pax={"uid": str(8**7 + 1), "size": "3"}, content=b"abc")
    raw = entry.archived()[:-512]
    made = pax_headers(Headers(raw), read(raw), name="b" * 101, link="", more={})
    assert b" uid=2097153\n" in made
    assert b"path=" + b"b" * 101 in made
    assert b"size=3\n" in made, "what was said in a record stays in one"
