"""Uploads that nobody goes on with."""

import contextlib
import errno
import logging
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lading.serve import FolderStorage, MemoryStorage, Settings, Storage, background
from lading.serve.protocol import problems, upload_sessions
from serve.caller import Answer, Caller
from serve.clock import Clock, serving
from support.images import digest_of

HOUR = 3600.0
PATIENCE = 30


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def call(storage: Storage, clock: Clock) -> Iterator[Caller]:
    with serving(clock, Settings(upload_expiry=2 * HOUR), storage) as caller:
        yield caller


def held(storage: Storage, folder: Path) -> int:
    """How many uploads a storage has something of."""
    if isinstance(storage, MemoryStorage):
        return len(storage.uploads)
    return len(received(folder))


def received(folder: Path) -> list[Path]:
    """The files of uploads, which are beside those that stand for processes."""
    return [file for file in (folder / ".lading" / "uploads").iterdir() if "-" in file.name]


def test_expire(call: Caller, clock: Clock, storage: Storage, folder: Path) -> None:
    location = call.start("a")
    assert call("PATCH", location, b"123").status == 202
    clock.ahead = 1.9 * HOUR
    assert call("GET", location).status == 204
    clock.ahead = 2.1 * HOUR
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        answer = call(method, f"{location}?digest={digest_of(b'123')}")
        assert (answer.status, answer.code) == (404, "BLOB_UPLOAD_UNKNOWN")
    assert held(storage, folder) == 1
    call.start("b")  # the first one after it clears the place
    assert held(storage, folder) == 1


def test_do_not_expire_while_they_go_on(call: Caller, clock: Clock, storage: Storage, folder: Path) -> None:
    location = call.start("a")
    for hours in (1, 2, 3, 4):
        clock.ahead = hours * HOUR
        assert call("PATCH", location, b"x").status == 202
        call.start("b")
    clock.ahead = 5 * HOUR
    assert call("PUT", f"{location}?digest={digest_of(b'xxxx')}").status == 201
    assert call("GET", f"/v2/a/blobs/{digest_of(b'xxxx')}").body == b"xxxx"


def test_are_looked_for_from_time_to_time(storage: Storage, folder: Path) -> None:
    """Not only when others begin."""
    with background(storage, settings=Settings(upload_expiry=0.2)) as url:
        Caller(url).start("a")
        assert held(storage, folder) == 1
        deadline = time.monotonic() + PATIENCE
        while held(storage, folder):
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_that_belong_to_nobody_are_removed(folder: Path) -> None:
    FolderStorage(folder)
    left = folder / ".lading" / "uploads" / "process-left"
    left.write_bytes(b"123")
    with background(FolderStorage(folder)):
        assert left.exists()
    os.utime(left, (time.time() - 25 * HOUR, time.time() - 25 * HOUR))
    with background(FolderStorage(folder)):
        assert not left.exists()


def test_whose_file_is_gone_are_gone(folder: Path) -> None:
    """They are not begun again in the middle: what is committed has the digest that was promised."""
    with background(FolderStorage(folder)) as url:
        call = Caller(url)
        first, second, third = call.start("a"), call.start("a"), call.start("a")
        for location in (first, second, third):
            assert call("PATCH", location, b"123").status == 202
        for file in received(folder):
            file.unlink()
        for method, location, body in (("PATCH", first, b"456"), ("PUT", second, b"456"), ("PUT", third, b"")):
            answer = call(method, f"{location}?digest={digest_of(b'123' + body)}", body)
            assert (answer.status, answer.code) == (404, "BLOB_UPLOAD_UNKNOWN")
        for content in (b"123", b"123456", b"456"):
            assert call("GET", f"/v2/a/blobs/{digest_of(content)}").status == 404


def test_that_cannot_be_discarded_stop_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(before: float) -> None:
        raise OSError(errno.EIO, "Input/output error")

    storage = MemoryStorage()
    monkeypatch.setattr(storage, "sweep", fail)
    with caplog.at_level(logging.WARNING), background(storage) as url:
        assert Caller(url)("POST", "/v2/a/blobs/uploads/").status == 202
    assert "could not be discarded: [Errno 5] Input/output error" in caplog.text


class TestThatTrickle:
    """A client that sends a byte every forty seconds is never silent, and would hold its place for ever."""

    @pytest.fixture
    def call(self, storage: Storage, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Caller]:
        monkeypatch.setattr(problems, "_DRAIN_PATIENCE", 0.2)
        with serving(clock, Settings(max_uploads=1), storage) as caller:
            yield caller

    def send(self, call: Caller, clock: Clock, asked: str, piece: bytes, count: int = 1000) -> bytes:
        """Send a piece every forty seconds, until there is an answer; gives that."""
        with socket.create_connection(call.host.split(":")) as line:  # type: ignore[arg-type]
            line.sendall(f"{asked} HTTP/1.1\r\nHost: a\r\nContent-Length: {count * len(piece)}\r\n\r\n".encode())
            for _ in range(count):
                line.settimeout(0.02)
                with contextlib.suppress(TimeoutError):
                    line.recv(1, socket.MSG_PEEK)
                    break
                clock.ahead += 40
                line.sendall(piece)
            line.settimeout(PATIENCE)
            answer = b""
            while not (match := re.search(rb"content-length: (\d+).*?\r\n\r\n", answer, re.DOTALL | re.IGNORECASE)) or (
                len(answer) < match.end() + int(match[1])
            ):
                part = line.recv(10_000)
                assert part, answer
                answer += part
            return answer

    def test_give_their_place_to_others(self, call: Caller, clock: Clock) -> None:
        location = call.start("a")
        answer = self.send(call, clock, f"PATCH {location}", b"x")
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"fewer than 1024 bytes per second came" in answer
        call.push_blob("b", digest_of(b"other"), b"other")
        came = int(call("GET", location).headers["range"].partition("-")[2]) + 1
        rest = call("PATCH", location, b"more", content_range=f"{came}-{came + 3}")
        assert rest.status == 202

    def test_over_many_requests_give_their_place_to_others(self, call: Caller, clock: Clock) -> None:
        """Each request is quick, and none brings much; the client that waits for its turn gets it before the next."""
        location = call.start("a")
        others: list[Answer] = []
        body = b"other"
        path = f"/v2/b/blobs/uploads/?digest={digest_of(body)}"
        other = threading.Thread(target=lambda: others.append(call("POST", path, body)))
        other.start()
        begin, sent = time.monotonic(), 0
        while other.is_alive():
            clock.ahead += 25
            sent += 1
            assert call("PATCH", location, b"x").status == 202
        assert others[0].status == 201
        assert time.monotonic() - begin < PATIENCE / 2
        assert call("GET", location).headers["range"] == f"0-{sent - 1}"

    def test_over_many_requests_keep_it_while_nobody_waits(self, call: Caller, clock: Clock) -> None:
        location = call.start("a")
        for _ in range(5):
            clock.ahead += 25
            assert call("PATCH", location, b"x").status == 202

    def test_are_not_those_that_send_enough(self, call: Caller, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(upload_sessions, "_PATIENCE", 0)
        location = call.start("a")
        for _ in range(5):
            clock.ahead += 40
            assert call("PATCH", location, b"x" * 50_000).status == 202
            assert call("POST", "/v2/b/blobs/uploads/").status == 429

    def test_with_manifests_are_refused_too(self, call: Caller, clock: Clock) -> None:
        assert self.send(call, clock, "PUT /v2/a/manifests/v1", b" ").startswith(b"HTTP/1.1 408")

    def test_are_not_those_on_slow_lines(self, call: Caller, clock: Clock) -> None:
        piece = b"x" * 50_000  # 1,250 bytes per second
        answer = self.send(call, clock, f"PATCH {call.start('a')}", piece, 6)
        assert answer.startswith(b"HTTP/1.1 202")
