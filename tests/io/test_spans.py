"""Streams that are read on from places within them: the same bytes come out as from their beginning."""

import gzip
import random
from collections.abc import Callable

import pytest

from lading.io import inflate, spans
from lading.io.inflate import Inflater, read_on
from lading.io.spans import Mark, Span, SpanRecorder, are_intact, range_of
from support.layers import zstd_frame

PLAIN = random.Random(1).randbytes(700_000).hex().encode()


def members(content: bytes, length: int) -> bytes:
    pieces = [content[at : at + length] for at in range(0, len(content), length)]
    return b"".join(gzip.compress(piece, 6, mtime=0) for piece in pieces)


STREAMS: dict[str, Callable[[], bytes]] = {
    "gzip": lambda: gzip.compress(PLAIN, 6, mtime=0),
    "gzip, fast": lambda: gzip.compress(PLAIN, 1, mtime=0),
    "gzip, stored": lambda: gzip.compress(PLAIN, 0, mtime=0),
    "gzip in members": lambda: members(PLAIN, 300_007),
    "gzip in many members": lambda: members(PLAIN, 5_003),
    "gzip with an empty member": lambda: members(PLAIN, 650_000) + gzip.compress(b"", mtime=0),
    "zstd in frames": lambda: b"".join(zstd_frame(PLAIN[at : at + 200_003]) for at in range(0, len(PLAIN), 200_003)),
    "zstd": lambda: zstd_frame(PLAIN),
    "none": lambda: PLAIN,
}


def recorded(stream: bytes, step: int) -> tuple[str, list[Span]]:
    """Read a stream in pieces; gives its compression and its spans."""
    marks: list[Mark] = []
    inflater, recorder, out = Inflater("it", marks.append), SpanRecorder(), bytearray()
    for at in range(0, len(stream), step):
        marks.clear()
        for piece in inflater.feed(stream[at : at + step]):
            out += piece
        recorder.feed(stream[at : at + step], marks)
    assert not list(inflater.finish())
    assert out == PLAIN
    return inflater.compression or "", recorder.finish()


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("has_library", [True, False])
@pytest.mark.parametrize("step", [65_536, 1_000_003])
def test_what_is_read_on_is_what_is_read(
    step: int, has_library: bool, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spans, "SPAN", 150_000)
    if not has_library:
        monkeypatch.setattr(inflate, "library", lambda: None)
    stream = STREAMS[name]()
    compression, found = recorded(stream, step)
    many = name in ("gzip in members", "gzip in many members", "zstd in frames", "none")
    assert (len(found) > 1) == (many or (has_library and name != "zstd") or "empty" in name)
    chance = random.Random(2)
    for _ in range(25):
        start = chance.randrange(len(PLAIN))
        end = min(len(PLAIN), start + chance.choice([1, 100, 300_000, len(PLAIN)]))
        first, last, length = range_of(found, start, end, len(stream))
        at = found[first].mark.consumed
        data = stream[at : at + length]
        assert are_intact(found[first:last], data)
        out = b"".join(read_on(compression, found[first].mark, data))
        skipped = start - found[first].mark.produced
        assert out[skipped : skipped + end - start] == PLAIN[start:end]


def test_a_part_that_has_changed_is_not_intact() -> None:
    stream = gzip.compress(PLAIN, 6, mtime=0)
    _, found = recorded(stream, 65_536)
    start = found[0].mark.consumed
    assert are_intact(found, stream[start:])
    for changed in (stream[start:-1], stream[start:] + b"x", stream[start:-1] + b"x"):
        assert not are_intact(found, changed)
