"""Compression as it is written: the same bytes each time, which every reader reads."""

import gzip
import io
import os
import random
import subprocess
import zlib
from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.io.inflate import Inflater
from lading.io.tarball import Compression, compressed, zstd_module

MEBIBYTE = 1024 * 1024
LEVELS: Sequence[tuple[Compression, int | None]] = [("gzip", None), ("gzip", 1), ("gzip", 9)]
if zstd_module() is not None:
    LEVELS = [*LEVELS, ("zstd", None), ("zstd", 19)]


@cache
def text(size: int) -> bytes:
    """Bytes that can be compressed, with repetitions from far away."""
    rest = random.Random(size)
    words = [rest.randbytes(rest.randrange(3, 40)) for _ in range(2000)]
    out = bytearray()
    while len(out) < size:
        out += rest.choice(words)
    return bytes(out[:size])


def packed(pieces: Sequence[bytes], compression: Compression = "gzip", level: int | None = None) -> bytes:
    out = io.BytesIO()
    with compressed(out, compression, level) as file:
        for piece in pieces:
            file.write(piece)
    return out.getvalue()


def inflated(data: bytes) -> bytes:
    inflater = Inflater("it")
    return b"".join([*inflater.feed(data), *inflater.finish()])


SIZES = [0, 1, 511, MEBIBYTE - 1, MEBIBYTE, MEBIBYTE + 1, 3 * MEBIBYTE + 77]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("how", LEVELS, ids=str)
def test_what_is_written_is_read_again(how: tuple[Compression, int | None], size: int) -> None:
    assert inflated(packed([text(size)], *how)) == text(size)


@pytest.mark.parametrize("size", SIZES)
def test_gzip_itself_reads_it(size: int) -> None:
    data = packed([text(size)])
    assert subprocess.run(["gzip", "-dc"], input=data, capture_output=True, check=True).stdout == text(size)
    assert gzip.decompress(data) == text(size)


@pytest.mark.parametrize("how", [how for how in LEVELS if how[1] is None], ids=str)
@settings(max_examples=20)
@given(st.lists(st.integers(1, 3 * MEBIBYTE), max_size=4))
def test_the_pieces_that_it_comes_in_change_nothing(how: tuple[Compression, int | None], ends: list[int]) -> None:
    data = text(2 * MEBIBYTE + 5)
    cuts = [0, *sorted(ends), len(data)]
    assert packed([data[start:end] for start, end in pairwise(cuts)], *how) == whole(how)


@cache
def whole(how: tuple[Compression, int | None]) -> bytes:
    return packed([text(2 * MEBIBYTE + 5)], *how)


@pytest.mark.parametrize("processors", [1, 2, 64, None])
def test_the_number_of_processors_changes_nothing(processors: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: processors)
    assert packed([text(2 * MEBIBYTE + 5)]) == whole(("gzip", None))


def test_the_header_says_nothing_of_time_name_and_machine() -> None:
    assert packed([b"a"])[:10] == bytes.fromhex("1f8b08000000000000ff")


def test_a_short_stream_is_what_zlib_makes_of_it() -> None:
    frame = zlib.compressobj(5, zlib.DEFLATED, -15)
    assert packed([text(1000)])[10:-8] == frame.compress(text(1000)) + frame.flush()


def test_blocks_are_nearly_as_small_as_one_stream() -> None:
    frame = zlib.compressobj(5, zlib.DEFLATED, -15)
    data = text(3 * MEBIBYTE)
    assert len(packed([data])) < 1.001 * len(frame.compress(data) + frame.flush())


def test_a_stream_that_failed_has_no_end() -> None:
    out = io.BytesIO()

    def fail() -> None:
        with compressed(out, "gzip") as file:
            file.write(text(MEBIBYTE))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with pytest.raises(EOFError):
        gzip.decompress(out.getvalue())


@pytest.mark.parametrize("how", LEVELS[:2], ids=str)
def test_little_is_held(how: tuple[Compression, int | None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    out = io.BytesIO()
    with compressed(out, *how) as file:
        file.write(text(MEBIBYTE) * 8)
        assert out.tell() > len(packed([text(MEBIBYTE)] * 3, *how)) / 2


def test_what_cannot_be_compressed_is_only_wrapped() -> None:
    dense = random.Random(1).randbytes(2 * MEBIBYTE)
    made = packed([dense])
    assert inflated(made) == gzip.decompress(made) == dense
    assert len(dense) < len(made) < len(dense) * 1.001


@pytest.mark.parametrize("repeated", [bytes(64), random.Random(2).randbytes(20_000), b"text " * 9000])
def test_what_is_like_itself_within_a_block_is_compressed(repeated: bytes) -> None:
    dense = random.Random(3).randbytes(MEBIBYTE // 4)
    block = dense + (repeated * (MEBIBYTE // len(repeated)))[: MEBIBYTE // 2] + dense
    made = packed([block])
    assert inflated(made) == block
    assert len(made) < len(block) * 0.6
