"""One request over the wire: what arrives, what comes back, and how failures are told apart."""

import _thread
import asyncio
import contextlib
import re
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from lading.errors import InvalidContent, TLSFailure, Unreachable, UsageError
from lading.registry.http import rustls
from lading.registry.http.choose import EitherTransport
from lading.registry.http.openssl import OpenSSLTransport
from lading.registry.http.rustls import ReqwestTransport
from lading.registry.http.transport import (
    UNREADABLE,
    Answer,
    CertificateWanted,
    ConnectFailed,
    ConnectionBroken,
    ConnectionRefused,
    ConnectTimedOut,
    Headers,
    LibraryTransport,
    NameNotFound,
    PlainHTTP,
    ProxyLogin,
    ProxyRefused,
    Request,
    Route,
    SourceFailure,
    Stalled,
    StreamedBody,
    Transport,
    UntrustedCertificate,
)
from lading.store import from_bytes
from support.certs import Authority, SelfSigned
from support.fakes import Reply, ScriptedServer
from support.fakes import Request as Received
from support.process import run
from support.proxy import Tunnel
from support.registry import RealRegistry

AnyTransport = ReqwestTransport | OpenSSLTransport
Made = Callable[..., AnyTransport]
"""Makes a transport, which is closed after the test: from a `Route` and timeouts."""


@pytest.fixture(params=[ReqwestTransport, OpenSSLTransport], ids=["rustls", "openssl"])
def kind(request: pytest.FixtureRequest) -> type[AnyTransport]:
    """Which of the two: what follows holds for both."""
    chosen: type[AnyTransport] = request.param
    return chosen


@pytest.fixture
async def make(kind: type[AnyTransport]) -> AsyncIterator[Made]:
    async with contextlib.AsyncExitStack() as stack:

        def made(route: Route | None = None, **timeouts: float) -> AnyTransport:
            transport = kind(route or Route(), **timeouts)
            stack.push_async_callback(transport.close)
            return transport

        yield made


@pytest.fixture
def transport(make: Made) -> AnyTransport:
    return make()


async def get(transport: Transport, url: str) -> bytes:
    async with transport.send(Request(method="GET", url=url)) as response:
        return await response.read()


async def test_a_request_and_its_answer(transport: AnyTransport) -> None:
    reply = Reply(status=404, headers=[("X-Thing", "a"), ("x-thing", "b")], body=b"gone")
    with ScriptedServer(lambda _: reply) as server:
        url = f"{server.url}/v2/a%2fb?_state=%3D&x=y/z"
        request = Request(method="GET", url=url, headers=(("Accept", "a, b"),))
        async with transport.send(request) as response:
            assert response.status == 404
            assert response.url == url
            assert response.headers.get("X-THING") == "a"
            assert response.headers.getall("x-Thing") == ["a", "b"]
            assert response.headers.get("absent", "none") == "none"
            assert await response.read() == b"gone"
    (received,) = server.requests
    assert received.target == "/v2/a%2fb?_state=%3D&x=y/z"
    assert received.headers.get("Accept") == "a, b"
    assert received.headers.get("Accept-Encoding") == "identity"
    assert (received.headers.get("User-Agent") or "").startswith("lading/")


async def test_a_connection_is_used_again(transport: AnyTransport) -> None:
    with ScriptedServer(lambda _: Reply(body=b"x")) as server:
        for _ in range(3):
            await get(transport, server.url)
        assert server.connections == 1


async def test_redirects_and_codings_are_left_alone(transport: AnyTransport) -> None:
    reply = Reply(status=307, headers={"Location": "/elsewhere", "Content-Encoding": "gzip"}, body=b"not gzip")
    with ScriptedServer(lambda _: reply) as server:
        async with transport.send(Request(method="GET", url=server.url)) as response:
            assert response.status == 307
            assert await response.read() == b"not gzip"
        assert len(server.requests) == 1


@pytest.mark.parametrize("body", [None, b""])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_a_request_without_a_body_says_so(transport: AnyTransport, method: str, body: bytes | None) -> None:
    with ScriptedServer(lambda _: Reply()) as server:
        async with transport.send(Request(method=method, url=server.url, body=body)):
            pass
        assert server.requests[0].headers.get("Content-Length") == "0"


async def test_bytes_are_sent(transport: AnyTransport) -> None:
    with ScriptedServer(lambda request: Reply(body=request.body)) as server:
        async with transport.send(Request(method="PUT", url=server.url, body=b"content")) as response:
            assert await response.read() == b"content"
        assert server.requests[0].headers.get("Content-Length") == "7"


@pytest.mark.parametrize("size", [None, 3_000_000])
async def test_a_source_is_streamed(transport: AnyTransport, size: int | None) -> None:
    async def source() -> AsyncIterator[bytes]:
        for number in range(30):
            yield bytes([number]) * 100_000

    with ScriptedServer(lambda request: Reply(body=request.body)) as server:
        async with transport.send(Request(method="PUT", url=server.url, body=source, size=size)) as response:
            assert await response.read() == b"".join([chunk async for chunk in source()])
        assert server.requests[0].content_length == size
        assert server.requests[0].chunked is (size is None)


async def test_an_empty_source_is_an_empty_body(transport: AnyTransport) -> None:
    with ScriptedServer(lambda request: Reply(body=request.body)) as server:
        async with transport.send(Request(method="PUT", url=server.url, body=from_bytes(b""), size=0)) as response:
            assert await response.read() == b""
        assert server.requests[0].content_length == 0


async def test_a_source_is_read_in_one_task_with_the_callers_context(transport: AnyTransport) -> None:
    tasks = set()
    closed = False

    async def source() -> AsyncIterator[bytes]:
        nonlocal closed
        try:
            async with asyncio.timeout(60):  # which ends badly in another task than it began in
                for _ in range(3):
                    tasks.add(asyncio.current_task())
                    yield b"x"
        finally:
            closed = True

    with ScriptedServer(lambda _: Reply()) as server:
        async with transport.send(Request(method="PUT", url=server.url, body=source)):
            pass
    assert len(tasks) == 1
    assert closed


async def test_what_fails_in_a_source_is_told_apart(transport: AnyTransport) -> None:
    async def source() -> AsyncIterator[bytes]:
        yield b"x" * 1000
        raise LookupError("mine")

    with ScriptedServer(lambda request: Reply(body=request.body)) as server, pytest.raises(SourceFailure) as caught:
        async with transport.send(Request(method="PUT", url=server.url, body=source, size=5000)):
            pass
    assert isinstance(caught.value.error, LookupError)


@pytest.mark.parametrize("size", [2999, 3001])
async def test_a_source_of_another_size_than_was_said_is_an_error(transport: AnyTransport, size: int) -> None:
    def answer(request: Received) -> Reply:
        return Reply(body=request.body)

    with ScriptedServer(answer) as server, pytest.raises(SourceFailure) as caught:
        async with transport.send(Request(method="PUT", url=server.url, body=from_bytes(b"x" * 3000), size=size)):
            pass
    assert isinstance(caught.value.error, InvalidContent)


async def test_an_early_answer_to_an_upload_is_the_answer(transport: AnyTransport) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 100_000
            await asyncio.sleep(0.01)

    def answer(request: Received) -> Reply:
        next(request.chunks())
        return Reply(status=413, body=b"too large", early=True)

    with ScriptedServer(answer) as server:
        async with transport.send(Request(method="PUT", url=server.url, body=endless, size=10**9)) as response:
            assert response.status == 413


async def test_cancelling_stops_an_upload(transport: AnyTransport) -> None:
    broken = threading.Event()
    begun, closed = asyncio.Event(), asyncio.Event()

    def answer(request: Received) -> Reply:
        try:
            for _ in request.chunks():
                pass
        except ConnectionError:
            broken.set()
            raise
        return Reply()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 1000
                begun.set()
                await asyncio.sleep(0.01)
        finally:
            closed.set()

    async def upload() -> None:
        async with transport.send(Request(method="PUT", url=server.url, body=endless, size=10**9)):
            pass

    with ScriptedServer(answer) as server:
        task = asyncio.create_task(upload())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert closed.is_set(), "the source is closed when the request has ended"
        assert await asyncio.to_thread(broken.wait, 60), "the server sees the connection closed"


async def test_cancelling_stops_an_upload_whose_source_hangs(transport: AnyTransport) -> None:
    broken = threading.Event()

    def answer(request: Received) -> Reply:
        try:
            return Reply(body=request.body)
        except ConnectionError:
            broken.set()
            raise

    begun = asyncio.Event()

    async def hanging() -> AsyncIterator[bytes]:
        yield b"x"
        begun.set()
        await asyncio.sleep(3600)

    async def upload() -> None:
        async with transport.send(Request(method="PUT", url=server.url, body=hanging)):
            pass

    with ScriptedServer(answer) as server:
        task = asyncio.create_task(upload())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(broken.wait, 60)
    assert len(asyncio.all_tasks()) == 1, "no task is left behind"


@pytest.mark.parametrize("late", ["head", "body"])
async def test_cancelling_is_heeded_although_the_answer_comes_at_that_moment(
    late: str, transport: AnyTransport
) -> None:
    """What comes for a task that was cancelled is not its business any more: it would go on."""
    count = 20  # the library draws lots
    head, part = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"x" * 200_000
    go, sent, over = threading.Event(), threading.Event(), threading.Event()
    got = [0] * count

    def serve() -> None:
        with contextlib.ExitStack() as stack:
            connections = [stack.enter_context(listener.accept()[0]) for _ in range(count)]
            for connection in connections:
                connection.recv(65536)
                if late == "body":
                    connection.sendall(head + part)
            assert go.wait(20)
            for connection in connections:
                connection.sendall(part if late == "body" else head + part)
            sent.set()
            assert over.wait(20)

    async def fetch(number: int) -> None:
        async with transport.send(Request(method="GET", url=url)) as response:
            async for chunk in response.chunks():
                got[number] += len(chunk)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread = threading.Thread(target=serve)
        thread.start()
        tasks = [asyncio.create_task(fetch(number)) for number in range(count)]
        while late == "body" and not all(got):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)  # they wait in the library now
        before = list(got)
        go.set()
        sent.wait(20)
        time.sleep(0.2)  # noqa: ASYNC251  # the library has it; its callbacks are the next that this event loop runs
        for task in tasks:
            asyncio.get_running_loop().call_soon(task.cancel)
        await asyncio.wait(tasks, timeout=30)
        cancelled = [task.done() and task.cancelled() for task in tasks]
        over.set()
        await asyncio.gather(*tasks, asyncio.to_thread(thread.join), return_exceptions=True)
    assert all(cancelled)
    assert got == before


async def test_what_is_too_large_is_not_read(transport: AnyTransport) -> None:
    with ScriptedServer(lambda _: Reply(body=b"x" * 1000)) as server, pytest.raises(InvalidContent, match="too large"):
        async with transport.send(Request(method="GET", url=server.url)) as response:
            await response.read(limit=999)
    with ScriptedServer(lambda _: Reply(body=b"x" * 1000, chunked=True)) as server:
        async with transport.send(Request(method="GET", url=server.url)) as response:
            with pytest.raises(InvalidContent, match="too large"):
                await response.read(limit=999)
        async with transport.send(Request(method="GET", url=server.url)) as response:
            assert await response.read(limit=1000) == b"x" * 1000
        async with transport.send(Request(method="GET", url=server.url)) as response:
            assert await response.excerpt(10) == b"x" * 10


async def test_a_body_without_end_is_not_read_to_it(transport: AnyTransport) -> None:
    with (
        raw_server(b"HTTP/1.1 200 OK\r\n\r\n", endless=b"x" * 65536) as url,
        pytest.raises(InvalidContent, match="too large"),
    ):
        async with transport.send(Request(method="GET", url=url)) as response:
            await response.read(limit=1_000_000)


async def test_a_truncated_body_is_an_error(transport: AnyTransport) -> None:
    short = Reply(body=b"x" * 10, content_length=20)
    with ScriptedServer(lambda _: short) as server, pytest.raises(ConnectionBroken, match="broke"):
        await get(transport, server.url)
    with ScriptedServer(lambda _: Reply(body=b"x" * 500_000, content_length=500_001)) as server:
        async with transport.send(Request(method="GET", url=server.url)) as response:
            with pytest.raises(ConnectionBroken, match="broke"):
                await response.read()
        async with transport.send(Request(method="GET", url=server.url)) as response:
            assert len(await response.excerpt(600_000)) <= 500_000


async def test_a_body_is_never_longer_than_announced(transport: AnyTransport) -> None:
    with ScriptedServer(lambda _: Reply(body=b"0123456789", content_length=4)) as server:
        if isinstance(transport, OpenSSLTransport):  # which takes the rest for a second answer
            with pytest.raises(ConnectionBroken):
                await get(transport, server.url)
        else:
            assert await get(transport, server.url) == b"0123"


async def test_a_dropped_connection_is_an_error(transport: AnyTransport) -> None:
    with ScriptedServer(lambda _: Reply(drop=True)) as server, pytest.raises(ConnectionBroken):
        await get(transport, server.url)


async def test_a_reset_connection_is_an_error(transport: AnyTransport) -> None:
    with raw_server(b"", reset=True) as url, pytest.raises(ConnectionBroken):
        await get(transport, url)


async def test_what_is_not_http_is_an_error(transport: AnyTransport) -> None:
    with raw_server(b"SSH-2.0-OpenSSH\r\n") as url, pytest.raises(ConnectionBroken, match="does not speak HTTP"):
        await get(transport, url)


async def test_nobody_listens(transport: AnyTransport) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ConnectionRefused, match=f"127.0.0.1:{port} could not be reached"):
        await get(transport, f"http://127.0.0.1:{port}/")


async def test_there_is_no_such_host(transport: AnyTransport) -> None:
    with pytest.raises(Unreachable) as caught:
        await get(transport, "https://nohost.invalid/v2/?signature=secret")
    assert isinstance(caught.value, NameNotFound | ConnectFailed)
    assert "secret" not in str(caught.value)


async def test_a_silent_server_is_not_waited_for_without_end(make: Made) -> None:
    transport = make(stall_timeout=0.2)
    with ScriptedServer(lambda _: Reply(delay=0.5)) as server, pytest.raises(ConnectionBroken, match=r"0\.2 seconds"):
        await get(transport, server.url)


async def test_a_body_that_stalls_is_not_waited_for_without_end(make: Made) -> None:
    transport = make(stall_timeout=0.2)
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx"
    with raw_server(answer, linger=1) as url, pytest.raises(ConnectionBroken, match="stopped answering"):
        await get(transport, url)


@pytest.mark.parametrize("first", [0, 200_000])
async def test_a_body_that_drips_is_as_good_as_stalled(make: Made, first: int) -> None:
    def serve() -> None:
        client, _ = listener.accept()
        with client, contextlib.suppress(OSError):
            client.recv(65536)
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * first)
            while not over.wait(0.02):
                client.sendall(b"x" * 10)  # half as fast as it has to be

    over = threading.Event()
    transport = make(stall_timeout=0.3)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        with pytest.raises(Stalled, match="stopped answering") as caught:
            await get(transport, url)
        words = r"less than 1024 bytes per second came for 0\.3 seconds"
        # On a machine that is busy, the beginning of the answer may come no sooner than that.
        assert re.search(rf"{words}|did not come within 0\.3 seconds", caught.value.cause or "")
        over.set()
        await asyncio.to_thread(thread.join, 5)


async def test_a_head_that_drips_is_not_waited_for_without_end(make: Made) -> None:
    def serve() -> None:
        client, _ = listener.accept()
        with client, contextlib.suppress(OSError):
            client.recv(65536)
            client.sendall(b"HTTP/1.1 200 OK\r\n")
            number = 0
            while not over.wait(0.02):
                client.sendall(b"X-%d: x\r\n" % (number := number + 1))

    over = threading.Event()
    transport = make(stall_timeout=0.3)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with pytest.raises(ConnectionBroken):
            await get(transport, f"http://127.0.0.1:{listener.getsockname()[1]}/")
        over.set()
        await asyncio.to_thread(thread.join, 5)


async def test_an_answer_that_is_read_whole_has_to_come_in_time(
    transport: AnyTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lading.registry.http.transport.STALL_TIMEOUT", 0.1)
    monkeypatch.setattr("lading.registry.http.transport.SLOWEST", 10**9)
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n" + b"x" * 1999999
    with raw_server(answer, linger=1) as url, pytest.raises(ConnectionBroken, match="is too slow"):
        await get(transport, url)


async def test_heads_without_end_are_not_read(transport: AnyTransport) -> None:
    line = b"X-A: " + b"x" * 8000 + b"\r\n"
    with raw_server(b"HTTP/1.1 200 OK\r\n", endless=line * 10) as url, pytest.raises(ConnectionBroken):
        await get(transport, url)
    with raw_server(b"HTTP/1.1 200 OK\r\nX-A: ", endless=b"x" * 65536) as url, pytest.raises(ConnectionBroken):
        await get(transport, url)


async def test_an_upload_may_take_longer_than_a_stall(make: Made) -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b"xx"
        await asyncio.sleep(2.5)
        yield b"xx"

    transport = make(stall_timeout=2)
    with ScriptedServer(lambda request: Reply(body=request.body)) as server:
        async with transport.send(Request(method="PUT", url=server.url, body=slow, size=4)) as response:
            assert await response.read() == b"xxxx"


async def test_an_upload_that_nobody_takes_stalls(make: Made) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 1_000_000

    def answer(request: Received) -> Reply:
        time.sleep(1)
        return Reply(drop=True, early=True)

    transport = make(stall_timeout=0.2)
    with ScriptedServer(answer) as server, pytest.raises(ConnectionBroken, match="stopped answering"):
        async with transport.send(Request(method="PUT", url=server.url, body=endless, size=10**9)):
            pass


async def test_plain_http_is_recognised_where_tls_was_asked_for(transport: AnyTransport) -> None:
    with ScriptedServer() as server:
        with pytest.raises(PlainHTTP, match=f"{server.host} speaks plain HTTP, and lading asked with TLS"):
            await get(transport, f"https://{server.host}/")
        assert server.requests == []


async def test_an_unknown_authority_is_not_trusted(authority: Authority, transport: AnyTransport) -> None:
    with ScriptedServer(tls=authority) as server, pytest.raises(UntrustedCertificate) as caught:
        await get(transport, server.url)
    assert caught.value.message == f"the certificate of {server.host} cannot be verified"
    assert caught.value.cause == "it is signed by an authority that is not trusted here"
    assert isinstance(caught.value, TLSFailure)


async def test_an_authority_can_be_trusted(make: Made, authority: Authority, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    other = Authority(tmp_path / "other")
    bundle.write_bytes(b"# two authorities\n" + other.ca.read_bytes() + authority.ca.read_bytes())
    transport = make(Route(ca_files=(str(bundle),)))
    with ScriptedServer(lambda _: Reply(body=b"x"), tls=authority) as server:
        assert await get(transport, server.url) == b"x"


async def test_the_environment_names_the_roots(
    make: Made, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    transport = make()
    with ScriptedServer(lambda _: Reply(body=b"x"), tls=authority) as server:
        assert await get(transport, server.url) == b"x"


async def test_the_names_of_a_certificate_are_said_as_people_write_them(tmp_path: Path) -> None:
    names = ("other.example", "*.third.example", "10.1.2.3", "fd00::1")
    authority = Authority(tmp_path / "authority", names=names)
    transport = ReqwestTransport(Route(ca_files=(str(authority.ca),)))
    with ScriptedServer(tls=authority) as server, pytest.raises(UntrustedCertificate) as caught:
        await get(transport, server.url)
    await transport.close()
    assert caught.value.cause == f"it is for another name: {', '.join(names)}"


async def test_a_certificate_for_another_name_is_not_trusted(make: Made, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority", names=("other.example",))
    transport = make(Route(ca_files=(str(authority.ca),)))
    with ScriptedServer(tls=authority) as server:
        with pytest.raises(UntrustedCertificate) as caught:
            await get(transport, server.url)
        assert "for another name" in (caught.value.cause or "")
        assert "(" not in (caught.value.cause or ""), "names are written as people write them"
        insecure = make(Route(insecure=True))
        assert b"NOT_FOUND" in await get(insecure, server.url)


async def test_a_file_without_certificates_is_an_error(make: Made, tmp_path: Path) -> None:
    for content in (b"", b"-----BEGIN CERTIFICATE-----\n@@\n-----END CERTIFICATE-----\n"):
        file = tmp_path / "ca.pem"
        file.write_bytes(content)
        with pytest.raises(UsageError, match="cannot be used"):
            await get(make(Route(ca_files=(str(file),))), "https://127.0.0.1:1/")
    with pytest.raises(UsageError, match="cannot be used"):
        await get(make(Route(ca_files=(str(tmp_path / "none.pem"),))), "https://127.0.0.1:1/")


async def test_http2_is_spoken_where_it_is_offered(make: Made, kind: type[AnyTransport], authority: Authority) -> None:
    transport = make(Route(insecure=True))
    with RealRegistry(tls=authority) as registry:
        body = from_bytes(b"x" * 300_000)
        async with transport.send(Request(method="POST", url=f"{registry.url}/v2/a/blobs/uploads/")) as response:
            location = response.headers.get("location") or ""
        async with transport.send(Request(method="PATCH", url=location, body=body, size=300_000)) as response:
            assert response.status == 202
            assert response.headers.get("range") == "0-299999"
        assert ("HTTP/2.0" if kind is ReqwestTransport else "HTTP/1.1") in registry.log()


async def test_a_proxy_is_used_and_told_who_asks(make: Made) -> None:
    with ScriptedServer(lambda _: Reply(body=b"from the proxy")) as proxy:
        transport = make(Route(http_proxy=proxy.url.replace("//", "//user:secret@")))
        assert await get(transport, "http://registry.example/v2/") == b"from the proxy"
        assert proxy.lines == ["GET http://registry.example/v2/"]
        assert proxy.requests[0].headers.get("Proxy-Authorization") == "Basic dXNlcjpzZWNyZXQ="


async def test_a_header_that_cannot_be_sent_is_not_repeated(transport: AnyTransport) -> None:
    request = Request(method="GET", url="http://127.0.0.1:1/", headers=(("Authorization", "secret\n"),))
    with pytest.raises(UsageError) as caught:
        async with transport.send(request):
            pass
    assert "secret" not in str(caught.value)


def test_a_request_shows_no_secrets() -> None:
    request = Request(method="GET", url="https://a.example/x?sig=secret", headers=(("Authorization", "secret"),))
    assert repr(request) == "<Request GET https://a.example/x>"


def test_headers_are_pairs_in_their_order() -> None:
    assert list(Headers([("B", "1"), ("a", "2"), ("b", "3")])) == [("b", "1"), ("a", "2"), ("b", "3")]


@contextlib.contextmanager
def raw_server(data: bytes, *, reset: bool = False, endless: bytes = b"", linger: float = 0) -> Iterator[str]:
    """A server that reads a request and answers with these bytes, whatever they are."""

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                with client, contextlib.suppress(OSError):
                    client.settimeout(0.5)  # the client may be there and read no more
                    client.recv(65536)
                    client.sendall(data)
                    while endless:
                        client.sendall(endless)
                    over.wait(linger)
                    if reset:
                        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


async def test_a_header_that_is_no_text_is_left_out_but_for_a_warning(transport: AnyTransport) -> None:
    answer = b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nWarning: 299 - "\x9b"\r\nX-Odd: \x9b\r\nX-Fine: yes\r\n\r\nok'
    with raw_server(answer) as url:
        async with transport.send(Request(method="GET", url=url)) as response:
            assert response.headers.get("x-fine") == "yes"
            assert response.headers.get("x-odd") is None
            assert response.headers.get("warning") in (UNREADABLE, f'299 - "{UNREADABLE}"')
            assert await response.read() == b"ok"


async def test_a_source_is_read_no_faster_than_it_is_sent(transport: AnyTransport) -> None:
    asked = 0
    taken = threading.Event()
    goes_on = threading.Event()

    async def source() -> AsyncIterator[bytes]:
        nonlocal asked
        for _ in range(400):
            asked += 1
            yield b"x" * 100_000

    def answer(request: Received) -> Reply:
        chunks = request.chunks()
        next(chunks)
        taken.set()
        goes_on.wait(10)
        return Reply(body=str(sum(map(len, chunks))).encode(), early=True)

    async def upload() -> bytes:
        request = Request(method="PUT", url=server.url, body=source, size=40_000_000)
        async with transport.send(request) as response:
            return await response.read()

    with ScriptedServer(answer) as server:
        task = asyncio.create_task(upload())
        await asyncio.to_thread(taken.wait, 60)
        before = -1
        while asked != before:  # until nothing moves any more
            before = asked
            await asyncio.sleep(0.2)
        assert asked < 200, "what the system's buffers hold, and not all of it"
        goes_on.set()
        assert int(await task) > 39_000_000


async def test_an_answer_is_read_no_faster_than_it_is_taken(transport: AnyTransport) -> None:
    sent = 0

    def serve() -> None:
        nonlocal sent
        client, _ = listener.accept()
        with client, contextlib.suppress(OSError):
            client.recv(65536)
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
            for _ in range(1000):
                client.sendall(b"x" * 100_000)
                sent += 1

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        async with transport.send(Request(method="GET", url=url)) as response:
            before = -1
            while sent != before:
                before = sent
                await asyncio.sleep(0.2)
            assert sent < 500
            assert sum([len(chunk) async for chunk in response.chunks()]) == 100_000_000
        await asyncio.to_thread(thread.join, 5)


async def test_cancelling_stops_a_download(transport: AnyTransport) -> None:
    begun = asyncio.Event()

    async def download() -> None:
        async with transport.send(Request(method="GET", url=url)) as response:
            async for _ in response.chunks():
                begun.set()

    with raw_server(b"HTTP/1.1 200 OK\r\n\r\n", endless=b"x" * 65536) as url:
        task = asyncio.create_task(download())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_transport_can_be_used_again_after_it_was_closed(transport: AnyTransport) -> None:
    with ScriptedServer(lambda _: Reply(body=b"x")) as server:
        assert await get(transport, server.url) == b"x"
        await transport.close()
        assert await get(transport, server.url) == b"x"


async def test_a_thread_that_is_not_the_librarys_is_waited_for_once_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    sleeps = 0
    sleep = asyncio.sleep

    async def counted(seconds: float) -> None:
        nonlocal sleeps
        sleeps += 1
        await sleep(seconds)

    held = threading.Lock()
    held.acquire()
    # `threading` does not know of it: such are those of debuggers, of programs that embed Python, and of pytest-xdist.
    _thread.start_new_thread(lambda: held.acquire(), ())
    monkeypatch.setattr(rustls, "_ROUNDS", 200)
    transport = ReqwestTransport(Route())
    with ScriptedServer(lambda _: Reply()) as server:
        try:
            await get(transport, server.url)
            await transport.close()
            await get(transport, server.url)
            monkeypatch.setattr(asyncio, "sleep", counted)
            await transport.close()
        finally:
            held.release()
    assert sleeps < 100


async def test_a_name_can_have_an_address_of_its_own(make: Made) -> None:
    with ScriptedServer(lambda _: Reply(body=b"x")) as server:
        transport = make(Route(address=("registry.example", "127.0.0.1")))
        assert await get(transport, f"http://registry.example:{server.port}/") == b"x"
        assert server.requests[0].headers.get("Host") == f"registry.example:{server.port}"


@pytest.mark.parametrize("days, cause", [((-10, -1), "it has expired"), ((1, 10), "it is not valid yet")])
async def test_dates_are_verified(make: Made, tmp_path: Path, days: tuple[int, int], cause: str) -> None:
    authority = Authority(tmp_path, days=days)
    with ScriptedServer(tls=authority) as server, pytest.raises(UntrustedCertificate) as caught:
        await get(make(Route(ca_files=(str(authority.ca),))), server.url)
    assert (caught.value.cause or "").startswith(cause)


class OldAuthority(Authority):
    """Its servers speak TLS 1.2, in which a server says what it does not like before anything else is said."""

    def server_context(self) -> ssl.SSLContext:
        context = super().server_context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        return context


class TestClientCertificates:
    async def test_one_is_shown_to_a_server_that_wants_it(self, make: Made, tmp_path: Path) -> None:
        authority = Authority(tmp_path, wants_clients=True)
        route = Route(
            ca_files=(str(authority.ca),),
            cert_file=str(authority.client_certificate),
            key_file=str(authority.client_key),
        )
        both = tmp_path / "both.pem"
        both.write_bytes(authority.client_certificate.read_bytes() + authority.client_key.read_bytes())
        with ScriptedServer(lambda _: Reply(body=b"x"), tls=authority) as server:
            assert await get(make(route), server.url) == b"x"
            one_file = Route(ca_files=route.ca_files, cert_file=str(both), key_file=str(both))
            assert await get(make(one_file), server.url) == b"x"

    async def test_without_one_there_is_no_way_in(self, make: Made, tmp_path: Path) -> None:
        authority = OldAuthority(tmp_path / "one", wants_clients=True)
        stranger = Authority(tmp_path / "two")
        route = Route(
            ca_files=(str(authority.ca),),
            cert_file=str(stranger.client_certificate),
            key_file=str(stranger.client_key),
        )
        with ScriptedServer(tls=authority) as server:
            with pytest.raises(TLSFailure):
                await get(make(Route(ca_files=(str(authority.ca),))), server.url)
            with pytest.raises(CertificateWanted) as caught:
                await get(make(route), server.url)
            assert "wants to see a client's certificate" in caught.value.message
            assert caught.value.cause == "it does not accept the one that was shown"
            assert server.requests == []

    async def test_files_that_do_not_fit_are_an_error(self, make: Made, tmp_path: Path) -> None:
        authority = Authority(tmp_path)
        certificate, key = str(authority.client_certificate), str(authority.client_key)
        for route in (
            Route(cert_file=certificate),
            Route(cert_file=key, key_file=key),
            Route(cert_file=str(tmp_path / "none"), key_file=key),
        ):
            with pytest.raises(UsageError, match="cannot be used") as caught:
                await get(make(route), "https://127.0.0.1:1/")
            assert "PRIVATE" not in str(caught.value)


async def test_tls_goes_through_a_proxy(make: Made, authority: Authority) -> None:
    with ScriptedServer(lambda _: Reply(body=b"x"), tls=authority) as server, Tunnel() as tunnel:
        route = Route(ca_files=(str(authority.ca),), https_proxy=tunnel.url)
        assert await get(make(route), server.url) == b"x"
        assert tunnel.asked == [f"CONNECT {server.host}"]
        tunnel.status = 407
        for login, cause in (("", "its address has none"), ("user:hunter2@", "it does not take the login")):
            route = Route(https_proxy=tunnel.url.replace("//", f"//{login}"))
            with pytest.raises(ProxyLogin) as asked:
                await get(make(route), server.url)
            assert asked.value.message == f"the proxy {tunnel.host}, which leads to {server.host}, asks for a login"
            assert cause in (asked.value.cause or "")
            assert "hunter2" not in str(asked.value)
        tunnel.status = 503
        with pytest.raises(ProxyRefused) as refused:
            await get(make(route), server.url)
        assert refused.value.message.endswith(f"could not be reached through the proxy {tunnel.host}")
    with pytest.raises(ConnectFailed) as caught:
        await get(make(route), "https://registry.example/")
    assert "hunter2" not in str(caught.value)


async def test_a_proxy_that_asks_for_a_login_is_no_registry_that_does(make: Made) -> None:
    with ScriptedServer(lambda _: Reply(status=407, body=b"<html>proxy</html>")) as proxy:
        with pytest.raises(ProxyLogin, match=f"the proxy {proxy.host}, which leads to registry.example, asks"):
            await get(make(Route(http_proxy=proxy.url)), "http://registry.example/")
        async with make().send(Request(method="GET", url=proxy.url)) as response:
            assert response.status == 407


async def test_a_proxy_that_lies_still_is_not_waited_for(make: Made) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        route = Route(https_proxy=f"http://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(ConnectTimedOut, match="through the proxy") as caught:
            await get(make(route, connect_timeout=0.2), "https://registry.example/")
        assert caught.value.cause == "no connection came about in time"


async def test_a_socks_proxy_is_for_rustls_only(make: Made, kind: type[AnyTransport]) -> None:
    asked: list[bytes] = []

    def serve() -> None:
        with contextlib.suppress(OSError):  # it is closed before anybody came
            client, _ = listener.accept()
            with client:
                asked.append(client.recv(100))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        route = Route(http_proxy=f"socks5h://ada:hunter2@127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(ConnectFailed if kind is ReqwestTransport else UsageError) as caught:
            await get(make(route), "http://registry.example/")
        assert "hunter2" not in str(caught.value)
        if kind is ReqwestTransport:
            await asyncio.to_thread(thread.join, 5)
            assert asked[0].startswith(b"\x05")
        else:
            assert "SOCKS" in caught.value.message


async def test_a_proxy_whose_address_is_none_is_an_error(make: Made) -> None:
    for address in ("http://[hunter2", "http://hunter2:x:y"):
        with pytest.raises(UsageError, match="proxy") as caught:
            await get(make(Route(http_proxy=address)), "http://registry.example/")
        assert "hunter2" not in str(caught.value)


class TestEither:
    """rustls, and OpenSSL where rustls takes a certificate from nobody."""

    async def test_a_certificate_as_in_dockers_documentation_works_where_it_is_trusted(self, tmp_path: Path) -> None:
        own = SelfSigned(tmp_path)
        transport = EitherTransport(Route(ca_files=(str(own.ca),)))
        with ScriptedServer(lambda request: Reply(body=request.body), tls=own) as server:
            for _ in range(3):
                request = Request(method="PUT", url=server.url, body=from_bytes(b"content"), size=7)
                async with transport.send(request) as response:
                    assert await response.read() == b"content"
            assert len(server.requests) == 3
            assert server.connections == 2, "one refused, and one used three times"
            await transport.close()

    async def test_and_nowhere_else(self, tmp_path: Path, authority: Authority) -> None:
        own = SelfSigned(tmp_path / "own")
        for route in (Route(), Route(ca_files=(str(authority.ca),)), Route(ca_files=(str(SelfSigned(tmp_path).ca),))):
            transport = EitherTransport(route)
            with ScriptedServer(tls=own) as server:
                with pytest.raises(UntrustedCertificate) as caught:
                    await get(transport, server.url)
                assert server.requests == []
            assert caught.value.cause == "it is signed by an authority that is not trusted here"
            await transport.close()

    async def test_its_name_is_verified(self, tmp_path: Path) -> None:
        own = SelfSigned(tmp_path, names=("other.example",))
        transport = EitherTransport(Route(ca_files=(str(own.ca),)))
        with ScriptedServer(tls=own) as server, pytest.raises(UntrustedCertificate) as caught:
            await get(transport, server.url)
        assert caught.value.cause == "it is for another name"
        await transport.close()

    async def test_its_dates_are_verified(self, tmp_path: Path) -> None:
        own = SelfSigned(tmp_path, days=(-10, -1))
        transport = EitherTransport(Route(ca_files=(str(own.ca),)))
        with ScriptedServer(tls=own) as server, pytest.raises(UntrustedCertificate) as caught:
            await get(transport, server.url)
        assert caught.value.cause == "it has expired"
        await transport.close()

    async def test_a_servers_own_certificate_can_be_trusted_whoever_signed_it(self, authority: Authority) -> None:
        transport = EitherTransport(Route(ca_files=(str(authority.certificate),)))
        with ScriptedServer(lambda _: Reply(body=b"x"), tls=authority) as server:
            assert await get(transport, server.url) == b"x"
        await transport.close()

    async def test_the_systems_trust_counts(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        own = SelfSigned(tmp_path)
        monkeypatch.setenv("SSL_CERT_FILE", str(own.ca))
        monkeypatch.delenv("SSL_CERT_DIR", raising=False)
        transport = EitherTransport(Route())
        with ScriptedServer(lambda _: Reply(body=b"x"), tls=own) as server:
            assert await get(transport, server.url) == b"x"
        await transport.close()

    def test_the_second_library_is_loaded_when_it_is_needed_only(self) -> None:
        code = "import sys, lading.client, lading.registry.http.choose; print('aiohttp' in sys.modules)"
        ran = run([sys.executable, "-c", code])
        assert ran.stdout == "False\n"


async def test_a_library_that_asks_for_more_of_an_upload_that_is_over_is_told_in_two_steps() -> None:
    """Where nobody listens any more, an error would be printed; who does listen asks again."""
    async with StreamedBody(from_bytes(b"content"), None, lambda _: None, 1.0, 1.0) as upload:
        pass
    assert await anext(upload) == b""
    with pytest.raises(Exception, match=r"^$"):
        await anext(upload)


class Canned(LibraryTransport):
    """A transport whose library gives a body in the chunks that the test says."""

    def __init__(self, read: Callable[[], Awaitable[bytes]]) -> None:
        super().__init__()
        self._read = read

    async def close(self) -> None:
        pass

    @contextlib.asynccontextmanager
    async def _begin(self, request: Request, upload: StreamedBody | None) -> AsyncIterator[Answer]:
        yield Answer(200, Headers(), self._read)

    def _explain(self, error: Exception, host: str, seconds: float, proxy: str | None) -> Exception:
        return ConnectionBroken(str(error))


async def test_a_body_in_small_frames_is_handed_on_in_pieces() -> None:
    frames = [bytes([number]) * 16384 for number in range(64)]
    left = list(frames)

    async def read() -> bytes:
        if not left:
            raise OSError("it broke")
        return left.pop(0)

    got: list[bytes] = []

    async def take() -> None:
        async with Canned(read).send(Request(method="GET", url="http://registry.example/")) as response:
            async for chunk in response.chunks():
                got.append(chunk)  # noqa: PERF401  # what came before the error counts

    with pytest.raises(ConnectionBroken):
        await take()
    assert b"".join(got) == b"".join(frames), "what came before it broke is handed on"
    assert len(got) <= 8


async def test_what_comes_is_handed_on_although_the_rest_is_slow() -> None:
    left, go = [b"a", b"b", b""], asyncio.Event()

    async def read() -> bytes:
        if len(left) == 2:
            await go.wait()
        return left.pop(0)

    async with Canned(read).send(Request(method="GET", url="http://registry.example/")) as response:
        chunks = response.chunks()
        assert await anext(chunks) == b"a"
        go.set()
        assert [chunk async for chunk in chunks] == [b"b"]
