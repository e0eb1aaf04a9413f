"""Who answers the beginning of TLS in plain HTTP."""

import asyncio

import pytest

from lading.registry.http import plain_probe
from lading.registry.http.plain_probe import speaks_plain_http
from support.certs import Authority
from support.fakes import Reply, ScriptedServer
from support.registry import RealRegistry


def port_of(server: ScriptedServer | RealRegistry) -> int:
    return int(server.host.rpartition(":")[2])


async def test_a_registry_without_tls(registry: RealRegistry) -> None:
    assert await speaks_plain_http("127.0.0.1", port_of(registry))
    assert await speaks_plain_http("localhost", port_of(registry))


async def test_a_registry_with_tls(authority: Authority) -> None:
    with RealRegistry(tls=authority) as registry:
        assert not await speaks_plain_http("127.0.0.1", port_of(registry))


async def test_other_servers(authority: Authority) -> None:
    with ScriptedServer(lambda _: Reply()) as plain, ScriptedServer(lambda _: Reply(), tls=authority) as protected:
        assert await speaks_plain_http("127.0.0.1", port_of(plain))
        assert not await speaks_plain_http("127.0.0.1", port_of(protected))
        assert plain.requests == []
        closed = port_of(plain)
    assert not await speaks_plain_http("127.0.0.1", closed)


async def test_who_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_probe, "PATIENCE", 0.05)
    said = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        said.set()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        assert not await speaks_plain_http("127.0.0.1", server.sockets[0].getsockname()[1])
        await said.wait()
