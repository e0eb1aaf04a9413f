"""One request over the wire: what arrives, what comes back, and how failures are told apart."""

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from lading.errors import InvalidContent, TLSFailure, Unreachable, UsageError
from lading.registry.transport import (
    ConnectFailed,
    ConnectionBroken,
    ConnectionRefused,
    Headers,
    NameNotFound,
    PlainHTTP,
    Request,
    ReqwestTransport,
    SourceFailure,
    UntrustedCertificate,
)
from lading.store import from_bytes
from support.certs import Authority
from support.fakes import Reply, ScriptedServer
from support.fakes import Request as Received
from support.registry import RealRegistry


@pytest.fixture
async def transport() -> AsyncIterator[ReqwestTransport]:
    transport = ReqwestTransport(direct=True)
    yield transport
    await transport.close()


async def get(transport: ReqwestTransport, url: str) -> bytes:
    async with transport.send(Request(method="GET", url=url)) as response:
        return await response.read()


async def test_a_request_and_its_answer(transport: ReqwestTransport) -> None:
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
    assert received.headers.get("Accept-Encoding") is None
    assert (received.headers.get("User-Agent") or "").startswith("lading/")


async def test_a_connection_is_used_again(transport: ReqwestTransport) -> None:
    with ScriptedServer(lambda _: Reply(body=b"x")) as server:
        for _ in range(3):
            await get(transport, server.url)
        assert server.connections == 1


async def test_redirects_and_codings_are_left_alone(transport: ReqwestTransport) -> None:
    reply = Reply(status=307, headers={"Location": "/elsewhere", "Content-Encoding": "gzip"}, body=b"not gzip")
    with ScriptedServer(lambda _: reply) as server:
        async with transport.send(Request(method="GET", url=server.url)) as response:
            assert response.status == 307
            assert await response.read() == b"not gzip"
        assert len(server.requests) == 1


@pytest.mark.parametrize("body", [None, b""])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_a_request_without_a_body_says_so(transport: ReqwestTransport, method: str, body: bytes | None) -> None:
    with ScriptedServer(lambda _: Reply()) as server:
        async with transport.send(Request(method=method, url=server.url, body=body)):
            pass
        assert server.requests[0].headers.get("Content-Length") == "0"


async def test_bytes_are_sent(transport: ReqwestTransport) -> None:
    with ScriptedServer(lambda request: Reply(body=request.body)) as server:
        async with transport.send(Request(method="PUT", url=server.url, body=b"content")) as response:
            assert await response.read() == b"content"
        assert server.requests[0].headers.get("Content-Length") == "7"


@pytest.mark.parametrize("size", [None, 3_000_000])
async def test_a_source_is_streamed(transport: ReqwestTransport, size: int | None) -> None:
    async def source() -> AsyncIterator[bytes]:
        for number in range(30):
            yield bytes([number]) * 100_000

    with ScriptedServer(lambda request: Reply(body=request.body)) as server:
        async with transport.send(Request(method="PUT", url=server.url, body=source, size=size)) as response:
            assert await response.read() == b"".join([chunk async for chunk in source()])
        assert server.requests[0].content_length == size
        assert server.requests[0].chunked is (size is None)


async def test_an_empty_source_is_an_empty_body(transport: ReqwestTransport) -> None:
    with ScriptedServer(lambda request: Reply(body=request.body)) as server:
        async with transport.send(Request(method="PUT", url=server.url, body=from_bytes(b""), size=0)) as response:
            assert await response.read() == b""
        assert server.requests[0].content_length == 0


async def test_a_source_is_read_in_one_task_with_the_callers_context(transport: ReqwestTransport) -> None:
    tasks = set()
    closed = False

    async def source() -> AsyncIterator[bytes]:
        nonlocal closed
        try:
            async with asyncio.timeout(10):  # which ends badly in another task than it began in
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


async def test_what_fails_in_a_source_is_told_apart(transport: ReqwestTransport) -> None:
    async def source() -> AsyncIterator[bytes]:
        yield b"x" * 1000
        raise LookupError("mine")

    with ScriptedServer(lambda request: Reply(body=request.body)) as server, pytest.raises(SourceFailure) as caught:
        async with transport.send(Request(method="PUT", url=server.url, body=source, size=5000)):
            pass
    assert isinstance(caught.value.error, LookupError)


@pytest.mark.parametrize("size", [2999, 3001])
async def test_a_source_of_another_size_than_was_said_is_an_error(transport: ReqwestTransport, size: int) -> None:
    def answer(request: Received) -> Reply:
        return Reply(body=request.body)

    with ScriptedServer(answer) as server, pytest.raises(SourceFailure) as caught:
        async with transport.send(Request(method="PUT", url=server.url, body=from_bytes(b"x" * 3000), size=size)):
            pass
    assert isinstance(caught.value.error, InvalidContent)


async def test_an_early_answer_to_an_upload_is_the_answer(transport: ReqwestTransport) -> None:
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


async def test_cancelling_stops_an_upload(transport: ReqwestTransport) -> None:
    broken = threading.Event()
    closed = asyncio.Event()

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
                await asyncio.sleep(0.01)
        finally:
            closed.set()

    async def upload() -> None:
        async with transport.send(Request(method="PUT", url=server.url, body=endless, size=10**9)):
            pass

    with ScriptedServer(answer) as server:
        task = asyncio.create_task(upload())
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert closed.is_set(), "the source is closed when the request has ended"
        assert await asyncio.to_thread(broken.wait, 5), "the server sees the connection closed"


async def test_cancelling_stops_an_upload_whose_source_hangs(transport: ReqwestTransport) -> None:
    broken = threading.Event()

    def answer(request: Received) -> Reply:
        try:
            return Reply(body=request.body)
        except ConnectionError:
            broken.set()
            raise

    async def hanging() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(3600)

    async def upload() -> None:
        async with transport.send(Request(method="PUT", url=server.url, body=hanging)):
            pass

    with ScriptedServer(answer) as server:
        task = asyncio.create_task(upload())
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(broken.wait, 5)
    assert len(asyncio.all_tasks()) == 1, "no task is left behind"


@pytest.mark.parametrize("late", ["head", "body"])
async def test_cancelling_is_heeded_although_the_answer_comes_at_that_moment(
    late: str, transport: ReqwestTransport
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
        await asyncio.wait(tasks, timeout=1)
        cancelled = [task.done() and task.cancelled() for task in tasks]
        over.set()
        await asyncio.gather(*tasks, asyncio.to_thread(thread.join), return_exceptions=True)
    assert all(cancelled)
    assert got == before


async def test_what_is_too_large_is_not_read(transport: ReqwestTransport) -> None:
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


async def test_a_body_without_end_is_not_read_to_it(transport: ReqwestTransport) -> None:
    with (
        raw_server(b"HTTP/1.1 200 OK\r\n\r\n", endless=b"x" * 65536) as url,
        pytest.raises(InvalidContent, match="too large"),
    ):
        async with transport.send(Request(method="GET", url=url)) as response:
            await response.read(limit=1_000_000)


async def test_a_truncated_body_is_an_error(transport: ReqwestTransport) -> None:
    short = Reply(body=b"x" * 10, content_length=20)
    with ScriptedServer(lambda _: short) as server, pytest.raises(ConnectionBroken, match="broke"):
        await get(transport, server.url)
    with ScriptedServer(lambda _: Reply(body=b"x" * 500_000, content_length=500_001)) as server:
        async with transport.send(Request(method="GET", url=server.url)) as response:
            with pytest.raises(ConnectionBroken, match="broke"):
                await response.read()
        async with transport.send(Request(method="GET", url=server.url)) as response:
            assert len(await response.excerpt(600_000)) <= 500_000


async def test_a_body_longer_than_announced_is_cut(transport: ReqwestTransport) -> None:
    with ScriptedServer(lambda _: Reply(body=b"0123456789", content_length=4)) as server:
        assert await get(transport, server.url) == b"0123"


async def test_a_dropped_connection_is_an_error(transport: ReqwestTransport) -> None:
    with ScriptedServer(lambda _: Reply(drop=True)) as server, pytest.raises(ConnectionBroken):
        await get(transport, server.url)


async def test_a_reset_connection_is_an_error(transport: ReqwestTransport) -> None:
    with raw_server(b"", reset=True) as url, pytest.raises(ConnectionBroken):
        await get(transport, url)


async def test_what_is_not_http_is_an_error(transport: ReqwestTransport) -> None:
    with raw_server(b"SSH-2.0-OpenSSH\r\n") as url, pytest.raises(ConnectionBroken, match="does not speak HTTP"):
        await get(transport, url)


async def test_nobody_listens(transport: ReqwestTransport) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ConnectionRefused, match=f"127.0.0.1:{port} could not be reached"):
        await get(transport, f"http://127.0.0.1:{port}/")


async def test_there_is_no_such_host(transport: ReqwestTransport) -> None:
    with pytest.raises(Unreachable) as caught:
        await get(transport, "https://nohost.invalid/v2/?signature=secret")
    assert isinstance(caught.value, NameNotFound | ConnectFailed)
    assert "secret" not in str(caught.value)


async def test_a_silent_server_is_not_waited_for_without_end() -> None:
    transport = ReqwestTransport(direct=True, stall_timeout=0.2)
    with ScriptedServer(lambda _: Reply(delay=1)) as server, pytest.raises(ConnectionBroken, match=r"0\.2 seconds"):
        await get(transport, server.url)
    await transport.close()


async def test_a_body_that_stalls_is_not_waited_for_without_end() -> None:
    transport = ReqwestTransport(direct=True, stall_timeout=0.2)
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx"
    with raw_server(answer, linger=1) as url, pytest.raises(ConnectionBroken, match="stopped answering"):
        await get(transport, url)
    await transport.close()


async def test_an_upload_may_take_longer_than_a_stall() -> None:
    async def slow() -> AsyncIterator[bytes]:
        for _ in range(4):
            await asyncio.sleep(0.15)
            yield b"x"

    transport = ReqwestTransport(direct=True, stall_timeout=0.1)
    with ScriptedServer(lambda request: Reply(body=request.body)) as server:
        async with transport.send(Request(method="PUT", url=server.url, body=slow, size=4)) as response:
            assert await response.read() == b"xxxx"
    await transport.close()


async def test_an_upload_that_nobody_takes_stalls() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 1_000_000

    def answer(request: Received) -> Reply:
        time.sleep(1)
        return Reply(drop=True, early=True)

    transport = ReqwestTransport(direct=True, stall_timeout=0.2)
    with ScriptedServer(answer) as server, pytest.raises(ConnectionBroken, match="stopped answering"):
        async with transport.send(Request(method="PUT", url=server.url, body=endless, size=10**9)):
            pass
    await transport.close()


async def test_plain_http_is_recognised_where_tls_was_asked_for(transport: ReqwestTransport) -> None:
    with ScriptedServer() as server:
        with pytest.raises(PlainHTTP, match=f"{server.host} speaks plain HTTP, and lading asked with TLS"):
            await get(transport, f"https://{server.host}/")
        assert server.requests == []


async def test_an_unknown_authority_is_not_trusted(authority: Authority, transport: ReqwestTransport) -> None:
    with ScriptedServer(tls=authority) as server, pytest.raises(UntrustedCertificate) as caught:
        await get(transport, server.url)
    assert caught.value.message == f"the certificate of {server.host} cannot be verified"
    assert caught.value.cause == "it is signed by an authority that is not trusted here"
    assert isinstance(caught.value, TLSFailure)


async def test_an_authority_can_be_trusted(authority: Authority, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    other = Authority(tmp_path / "other")
    bundle.write_bytes(b"# two authorities\n" + other.ca.read_bytes() + authority.ca.read_bytes())
    transport = ReqwestTransport(ca_file=str(bundle), direct=True)
    with ScriptedServer(lambda _: Reply(body=b"x"), tls=authority) as server:
        assert await get(transport, server.url) == b"x"
    await transport.close()


async def test_the_environment_names_the_roots(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    transport = ReqwestTransport(direct=True)
    with ScriptedServer(lambda _: Reply(body=b"x"), tls=authority) as server:
        assert await get(transport, server.url) == b"x"
    await transport.close()


async def test_a_certificate_for_another_name_is_not_trusted(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority", names=("other.example",))
    transport = ReqwestTransport(ca_file=str(authority.ca), direct=True)
    with ScriptedServer(tls=authority) as server:
        with pytest.raises(UntrustedCertificate) as caught:
            await get(transport, server.url)
        assert "for another name" in (caught.value.cause or "")
        assert "other.example" in (caught.value.cause or "")
        insecure = ReqwestTransport(insecure=True, direct=True)
        assert b"NOT_FOUND" in await get(insecure, server.url)
        await insecure.close()
    await transport.close()


async def test_a_file_without_certificates_is_an_error(tmp_path: Path) -> None:
    for content in (b"", b"-----BEGIN CERTIFICATE-----\n@@\n-----END CERTIFICATE-----\n"):
        file = tmp_path / "ca.pem"
        file.write_bytes(content)
        with pytest.raises(UsageError, match="cannot be used"):
            await get(ReqwestTransport(ca_file=str(file)), "https://127.0.0.1:1/")
    with pytest.raises(UsageError, match="cannot be used"):
        await get(ReqwestTransport(ca_file=str(tmp_path / "none.pem")), "https://127.0.0.1:1/")


async def test_http2_is_spoken_where_it_is_offered(authority: Authority) -> None:
    transport = ReqwestTransport(insecure=True, direct=True)
    with RealRegistry(tls=authority) as registry:
        body = from_bytes(b"x" * 300_000)
        async with transport.send(Request(method="POST", url=f"{registry.url}/v2/a/blobs/uploads/")) as response:
            location = response.headers.get("location") or ""
        async with transport.send(Request(method="PATCH", url=location, body=body, size=300_000)) as response:
            assert response.status == 202
            assert response.headers.get("range") == "0-299999"
        assert "HTTP/2.0" in registry.log()
    await transport.close()


async def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer(lambda _: Reply(body=b"from the proxy")) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        transport = ReqwestTransport()
        assert await get(transport, "http://registry.example/v2/") == b"from the proxy"
        assert proxy.lines == ["GET http://registry.example/v2/"]
        await transport.close()


async def test_a_header_that_cannot_be_sent_is_not_repeated(transport: ReqwestTransport) -> None:
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
                    client.recv(65536)
                    client.sendall(data)
                    while endless:
                        client.sendall(endless)
                    time.sleep(linger)
                    if reset:
                        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


async def test_a_header_that_is_no_text_is_left_out(transport: ReqwestTransport) -> None:
    answer = b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nWarning: 299 - "\x9b"\r\nX-Fine: yes\r\n\r\nok'
    with raw_server(answer) as url:
        async with transport.send(Request(method="GET", url=url)) as response:
            assert response.headers.get("x-fine") == "yes"
            assert response.headers.get("warning") is None
            assert await response.read() == b"ok"
