"""Starting and stopping the registry."""

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lading.cli import main
from lading.errors import Conflict, UsageError
from lading.serve import app, background, open_storage, running, serve
from serve.caller import Caller
from support.images import make_image, push
from support.lading import Lading, Serving

SERVE = (
    "import lading.serve as s;"
    "s.serve(s.open_storage({storage!r}), '127.0.0.1:0', ready=lambda url: print(url, flush=True))"
)


async def test_runs_on_the_current_loop() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    async with running() as url:
        answer = await asyncio.to_thread(Caller(url), "GET", "/v2/")
        assert answer.status == 200
        assert {number: signal.getsignal(number) for number in before} == before
    with pytest.raises(ConnectionError):
        Caller(url)("GET", "/v2/")
    assert len(asyncio.all_tasks()) == 1


async def test_stops_when_its_body_fails() -> None:
    url = ""
    with pytest.raises(KeyError):
        async with running() as url:
            raise KeyError("body")
    with pytest.raises(ConnectionError):
        Caller(url)("GET", "/v2/")


def test_starts_and_stops_fast() -> None:
    took = []
    for _ in range(5):
        begin = time.monotonic()
        with background() as url:
            assert Caller(url)("GET", "/v2/").status == 200
        took.append(time.monotonic() - begin)
    assert min(took) < 1
    assert not [thread for thread in threading.enumerate() if thread.name == "lading registry"]


def test_stops_while_a_client_stays_connected() -> None:
    with background() as url:
        idle = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])))
    assert idle.recv(1) == b""
    idle.close()


def test_does_not_hold_back_what_is_small() -> None:
    """An answer's body waits for no acknowledgement of its head (40 ms, with Nagle's algorithm)."""
    with background() as url, socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as client:
        client.sendall(b"GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200")
        sockets = [item for item in gc.get_objects() if isinstance(item, socket.socket) and item.fileno() >= 0]
        ours = [one for one in sockets if _peer(one) == client.getsockname()]
        assert [one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for one in ours] == [1]


def _peer(one: socket.socket) -> Any:
    with contextlib.suppress(OSError):
        return one.getpeername()
    return None


def test_is_silent_about_clients_that_try_tls(capfd: pytest.CaptureFixture[str]) -> None:
    with background() as url, socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as client:
        client.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        assert client.recv(100).startswith(b"HTTP/1.1 400")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("address", ["", "localhost", ":5000", "5000", "::1:80", "a:b", "127.0.0.1:65536"])
def test_refuses_what_is_no_address(address: str) -> None:
    with pytest.raises(UsageError, match="is not an address"), background(address=address):
        pass


def test_refuses_what_is_not_its_address() -> None:
    with pytest.raises(UsageError, match="cannot listen on 192"), background(address="192.0.2.1:0"):
        pass


def test_refuses_an_address_in_use() -> None:
    with (
        background() as url,
        pytest.raises(Conflict, match="is in use"),
        background(address=url.removeprefix("http://")),
    ):
        pass


def test_listens_on_ipv6() -> None:
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    with background(address="[::1]:0") as url:
        assert url.startswith("http://[::1]:")
        assert Caller(url)("GET", "/v2/").status == 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serves_until_a_signal(number: signal.Signals, tmp_path: Path) -> None:
    code = SERVE.format(storage=str(tmp_path / "registry"))
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        push(Caller(url).host, "a", "v1", make_image())
        process.send_signal(number)
        rest, errors = process.communicate(timeout=20)
    assert (process.returncode, rest, errors) == (0, "", "")
    assert (tmp_path / "registry" / "a" / "index.json").exists()


class TestEnding:
    """A signal ends it, and what is under way may end first."""

    @pytest.fixture
    def serving(self, lading: Lading) -> Iterator[Serving]:
        with lading.serve("--quiet") as serving:
            yield serving

    @pytest.fixture
    def line(self, serving: Serving) -> Iterator[socket.socket]:
        """A connection on which half of an upload has come."""
        with socket.create_connection(("127.0.0.1", int(serving.url.rpartition(":")[2])), timeout=30) as line:
            location = Caller(serving.url).start("a")
            head = f"PATCH {location} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n"
            line.sendall(head.encode())
            assert line.recv(1000).startswith(b"HTTP/1.1 100")
            line.sendall(b"12345")
            yield line

    def is_ending(self, serving: Serving) -> bool:
        try:
            socket.create_connection(("127.0.0.1", int(serving.url.rpartition(":")[2]))).close()
        except ConnectionError:
            return True
        return False

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_waits_for_requests(self, serving: Serving, line: socket.socket, number: signal.Signals) -> None:
        serving.process.send_signal(number)
        while not self.is_ending(serving):
            time.sleep(0.01)
        line.sendall(b"67890")
        assert line.recv(1000).startswith(b"HTTP/1.1 202")
        assert line.recv(1) == b""
        assert serving.process.communicate(timeout=20) == ("", "")
        assert serving.process.returncode == 0

    def test_does_not_wait_for_the_second_signal(self, serving: Serving, line: socket.socket) -> None:
        serving.process.send_signal(signal.SIGINT)
        while not self.is_ending(serving):
            time.sleep(0.01)
        begin = time.monotonic()
        assert serving.end(signal.SIGINT) == (0, "", "")
        assert time.monotonic() - begin < 5  # and not 9
        with contextlib.suppress(ConnectionError):
            assert line.recv(1) == b""

    def test_does_not_wait_for_ever(self, serving: Serving, line: socket.socket) -> None:
        code, rest, errors = serving.end()
        assert (code, rest) == (0, "")
        assert len(errors.splitlines()) == 1
        assert errors.endswith(" error broke off 1 requests that did not end within 9 seconds\n")


def test_is_imported_only_when_used() -> None:
    code = """
        import sys, lading.serve
        heavy = {"starlette", "uvicorn", "anyio", "asyncio", "msgspec"}
        sys.exit(",".join(heavy & set(sys.modules)) or 0)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


def test_says_what_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "starlette"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "lading.serve.protocol.application", raising=False)
    monkeypatch.setitem(sys.modules, "starlette", None)
    with pytest.raises(UsageError) as refused:
        app()
    assert refused.value.remedy == "pip install 'lading[serve]'"


def test_names_storages(tmp_path: Path) -> None:
    assert type(open_storage("memory")).__name__ == "MemoryStorage"
    assert type(open_storage(str(tmp_path / "new"))).__name__ == "FolderStorage"
    assert (tmp_path / "new").is_dir()


def test_serve_refuses_before_it_begins() -> None:
    with pytest.raises(UsageError):
        serve(address="nowhere")


def test_the_command_logs_no_longer_than_it_serves(capsys: pytest.CaptureFixture[str]) -> None:
    """Or a program that runs it would find every later request in a stream that may be closed."""
    ours = [logging.getLogger(name) for name in ("lading", "uvicorn")]
    before = [(logger.handlers[:], logger.level) for logger in ours]
    assert main(["registry", "serve", "--address", "nowhere"]) == 2
    assert [(logger.handlers, logger.level) for logger in ours] == before
    assert "'nowhere' is not an address" in capsys.readouterr().err
