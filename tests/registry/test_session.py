"""Requests to registries: what goes over the wire, and to whom."""

import asyncio
import datetime
import email.utils
import itertools
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from lading.errors import (
    Denied,
    InvalidContent,
    LadingError,
    NotFound,
    RateLimited,
    RegistryFailure,
    TLSFailure,
    Unreachable,
    Unsupported,
    UsageError,
)
from lading.io.sources import Body
from lading.registry.auth.credentials import Credential, GivenCredentials
from lading.registry.auth.scopes import Scope
from lading.registry.call import Call
from lading.registry.host import Host
from lading.registry.hosts.configuration import Config
from lading.registry.hosts.settings import HostConfig
from lading.registry.http.transport import (
    ConnectionBroken,
    ConnectionRefused,
    ConnectTimedOut,
    ProxyLogin,
    Stalled,
)
from lading.registry.login import verify
from lading.registry.retries import Retries
from lading.registry.session import Session
from lading.registry.urls import continuation
from lading.store import from_bytes
from registry.elsewhere import Elsewhere
from support.certs import Authority
from support.fakes import Reply, ScriptedServer, error_reply, json_reply
from support.fakes import Request as Received
from support.proxy import Alter, CountingProxy, when
from support.registry import RealRegistry

PULL = (Scope("team/app"),)
ADA = Credential(username="ada", password="hunter2", source="the test")


@asynccontextmanager
async def session(**options: Any) -> AsyncIterator[Session]:
    """A session that neither reads the user's configuration nor waits, unless it is told to."""
    given: dict[str, Any] = {"config": Config(), "backoff": 0} | options
    async with Session(**given) as opened:
        yield opened


async def get(opened: Session, registry: str, path: str = "/v2/team/app/manifests/1", **options: Any) -> bytes:
    async with opened.request("GET", registry, path, what=f"{registry}/team/app:1", **options) as response:
        return await response.read()


@pytest.fixture
def other() -> Iterator[ScriptedServer]:
    with ScriptedServer(lambda _: Reply(body=b"other")) as server:
        yield server


class TestSchemes:
    async def test_http_is_found_out_once_for_this_machine(self) -> None:
        with ScriptedServer(lambda _: Reply(body=b"x")) as server:
            async with session() as opened:
                assert opened.url(server.host) == f"https://{server.host}"
                await asyncio.gather(*(get(opened, server.host) for _ in range(10)))
                assert opened.url(server.host) == f"http://{server.host}"
            assert len(server.requests) == 10, "the attempt with TLS is no request"
            assert server.connections <= 1 + 10

    async def test_https_is_spoken_to_this_machine_whoever_signed(self, authority: Authority) -> None:
        with ScriptedServer(lambda _: Reply(body=b"x"), tls=authority) as server:
            async with session() as opened:
                assert await get(opened, server.host) == b"x"
                assert opened.url(server.host) == server.url

    async def test_a_named_authority_counts_on_this_machine_too(self, authority: Authority, tmp_path: Any) -> None:
        with ScriptedServer(lambda _: Reply(body=b"x"), tls=authority) as server:
            config = Config({server.host: HostConfig(ca_file=str(authority.ca))})
            async with session(config=config) as opened:
                assert await get(opened, server.host) == b"x"
            wrong = Authority(tmp_path / "wrong")
            config = Config({server.host: HostConfig(ca_file=str(wrong.ca))})
            async with session(config=config) as opened:
                with pytest.raises(TLSFailure) as caught:
                    await get(opened, server.host)
            assert server.connections >= 2
        assert caught.value.message == f"the certificate of {server.host} cannot be verified"
        assert "ca_file" in (caught.value.remedy or "")

    async def test_plain_http_elsewhere_is_refused(self, other: ScriptedServer) -> None:
        elsewhere = Elsewhere({"10.0.0.5:5000": other}, plain=frozenset({"10.0.0.5:5000"}))
        async with session(transport=elsewhere) as opened:
            with pytest.raises(TLSFailure) as caught:
                await get(opened, "10.0.0.5:5000")
        assert caught.value.message == "10.0.0.5:5000 speaks plain HTTP, and lading asked with TLS"
        assert caught.value.remedy == "if that is intended: insecure = true for this host in lading's config.toml"
        assert caught.value.code == "plain-http"
        assert other.requests == []

    @pytest.mark.parametrize("way", ["option", "config"])
    async def test_plain_http_elsewhere_can_be_allowed(self, other: ScriptedServer, way: str) -> None:
        host = "10.0.0.5:5000"
        elsewhere = Elsewhere({host: other}, plain=frozenset({host}))
        config = Config({host: HostConfig(insecure=True)} if way == "config" else {})
        async with session(transport=elsewhere, insecure=way == "option", config=config) as opened:
            assert await get(opened, host) == b"other"
            assert opened.url(host) == f"http://{host}"
        assert elsewhere.insecure == {host}

    async def test_a_source_is_sent_whole_after_the_attempt_with_tls(self) -> None:
        with ScriptedServer(lambda request: Reply(status=201, body=request.body)) as server:
            async with (
                session() as opened,
                opened.request("PUT", server.host, "/v2/x", body=from_bytes(b"content"), size=7, what="x") as response,
            ):
                assert await response.read() == b"content"

    async def test_docker_hub_is_somewhere_else(self, other: ScriptedServer) -> None:
        async with session(transport=Elsewhere({"registry-1.docker.io": other})) as opened:
            assert await get(opened, "docker.io") == b"other"
            assert await get(opened, "index.docker.io") == b"other"

    async def test_nobody_listens(self) -> None:
        with ScriptedServer() as server:
            host = server.host
        async with session() as opened:
            with pytest.raises(ConnectionRefused, match="could not be reached"):
                await get(opened, host)

    async def test_an_address_elsewhere_is_not_the_registrys(self, other: ScriptedServer) -> None:
        async with session() as opened:
            for path in ("http://b.example/v2/", f"https://{other.host}@b.example/", "http://"):
                with pytest.raises((Unsupported, UsageError)):
                    await get(opened, other.host, path)
        assert other.requests == []


class TestRequests:
    async def test_parameters_are_added_to_what_is_there(self, other: ScriptedServer) -> None:
        async with session() as opened:
            await get(opened, other.host, "/v2/x", query=[("digest", "sha256:a"), ("from", "a/b")])
            await get(opened, other.host, "/v2/x?_state=%3D", query=[("digest", "sha256:a")])
            await get(opened, other.host, f"{other.url}/v2/y?z")
        assert other.lines == [
            "GET /v2/x?digest=sha256%3Aa&from=a%2Fb",
            "GET /v2/x?_state=%3D&digest=sha256%3Aa",
            "GET /v2/y?z",
        ]

    async def test_headers_of_request_and_session(self, other: ScriptedServer) -> None:
        async with session(headers={"X-Meta": "1"}) as opened:
            await get(opened, other.host, headers={"Accept": "a"})
        assert other.requests[0].headers.get("X-Meta") == "1"
        assert other.requests[0].headers.get("Accept") == "a"

    async def test_accepted_statuses_are_answers(self) -> None:
        with ScriptedServer(lambda _: error_reply(404, "NAME_UNKNOWN")) as server:
            async with (
                session() as opened,
                opened.request("HEAD", server.host, "/v2/x", accept=(200, 404), what="x") as response,
            ):
                assert response.status == 404

    @pytest.mark.parametrize(
        "reply, kind, message",
        [
            (error_reply(404, "MANIFEST_UNKNOWN"), NotFound, "HOST/team/app:1 was not found"),
            (Reply(status=405), Unsupported, "HOST does not support GET of HOST/team/app:1"),
            (error_reply(409, "TAG_IMMUTABLE"), Denied, "HOST did not give out HOST/team/app:1"),
            (error_reply(400, "MANIFEST_INVALID"), InvalidContent, "HOST did not give out HOST/team/app:1"),
            (error_reply(403, "DENIED"), Denied, "HOST did not allow repository:team/app:pull"),
            (Reply(status=418), RegistryFailure, "HOST did not give out HOST/team/app:1"),
        ],
    )
    async def test_other_statuses_are_errors(self, reply: Reply, kind: type[LadingError], message: str) -> None:
        with ScriptedServer(lambda _: reply) as server:
            async with session() as opened:
                with pytest.raises(kind) as caught:
                    await get(opened, server.host, scopes=PULL)
            assert caught.value.message == message.replace("HOST", server.host)
            assert caught.value.status == reply.status

    async def test_an_error_in_the_body_is_not_the_sessions(self, other: ScriptedServer) -> None:
        async with session() as opened:
            with pytest.raises(ConnectionBroken, match="mine"):
                async with opened.request("GET", other.host, "/v2/", what="x"):
                    raise ConnectionBroken("mine")
            assert await get(opened, other.host) == b"other"
        assert len(other.requests) == 2

    async def test_warnings_are_told_once(self) -> None:
        warnings = [
            ("Warning", '299 - "it is \\"old\\""'),
            ("warning", '299 - "and\t slow" "date"'),
            ("Warning", "199 x"),
        ]
        told: list[tuple[str, str]] = []
        with ScriptedServer(lambda _: Reply(headers=warnings)) as server:
            async with session(on_warning=lambda *warning: told.append(warning)) as opened:
                await get(opened, server.host)
                await get(opened, server.host)
            assert told == [(server.host, 'it is "old"'), (server.host, "and slow")]

    async def test_each_warning_of_a_header_is_told(self) -> None:
        listed = '199 - "other", 299 - "a, \\"b\\"" "date",299 - "c", 299 broken, 299 x "d'
        told: list[tuple[str, str]] = []
        with ScriptedServer(lambda _: Reply(headers=[("Warning", listed)])) as server:
            async with session(on_warning=lambda *warning: told.append(warning)) as opened:
                await get(opened, server.host)
            assert told == [(server.host, 'a, "b"'), (server.host, "c")]

    async def test_a_warning_that_is_not_ascii_hides_no_other(self) -> None:
        warnings = [("Warning", '299 - "\xe9"'), ("X-Odd", "\xe9"), ("Warning", '299 - "plain"')]
        told: list[str] = []
        with ScriptedServer(lambda _: Reply(headers=warnings)) as server:
            async with session(on_warning=lambda _, text: told.append(text)) as opened:
                await get(opened, server.host)
        assert told == ["the registry sent a warning that is not ASCII text", "plain"]

    async def test_requests_are_told_without_secrets(self) -> None:
        told: list[str] = []
        with RealRegistry(auth="token") as registry:
            credentials = GivenCredentials(Credential(username="alice", password="secret"))
            async with session(credentials=credentials, on_request=told.append) as opened:
                with pytest.raises(NotFound):
                    await get(opened, registry.host, "/v2/team/app/manifests/1?sig=hunter2", scopes=PULL)
        text = "\n".join(told)
        assert f"GET http://{registry.host}/v2/team/app/manifests/1?sig=*** 401" in text
        assert f"GET {registry.tokens.realm}?account=alice" in text
        assert "secret" not in text
        assert "hunter2" not in text

    async def test_a_session_can_be_used_again_after_it_was_closed(self, other: ScriptedServer) -> None:
        async with session() as opened:
            await get(opened, other.host)
            await opened.close()
            assert await get(opened, other.host) == b"other"


class TestRetries:
    @pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
    async def test_what_may_pass_is_tried_again(self, status: int) -> None:
        count = itertools.count()

        def answer(_: Received) -> Reply:
            return Reply(status=status) if next(count) < 4 else Reply(body=b"at last")

        with ScriptedServer(answer) as server:
            async with session() as opened:
                assert await get(opened, server.host) == b"at last"
            assert len(server.requests) == 5

    async def test_what_its_code_settles_is_not_tried_again(self) -> None:
        errors = [{"code": "UNKNOWN", "message": "unknown error"}, {"code": "MANIFEST_INVALID", "message": "no config"}]
        with ScriptedServer(lambda _: json_reply({"errors": errors}, status=500)) as server:
            async with session() as opened:
                with pytest.raises(InvalidContent, match="no config"):
                    await get(opened, server.host)
            assert len(server.requests) == 1

    @pytest.mark.parametrize(
        "failure, times", [(Stalled("still"), 1), (ConnectTimedOut("still"), 1), (ProxyLogin("no"), 0)]
    )
    async def test_what_lies_still_is_asked_once_more(self, failure: LadingError, times: int) -> None:
        retries = Retries(4, 0.0)
        call = Call("GET", cast("Host", None), "/v2/", (), (), None, None, (200,), "a")
        assert [retries.delay(failure, call, tries, None) is not None for tries in range(3)].count(True) == times

    async def test_the_last_failure_is_told(self) -> None:
        count = itertools.count()

        def answer(_: Received) -> Reply:
            return error_reply(503, "UNAVAILABLE", f"try {next(count)}")

        with ScriptedServer(answer) as server:
            async with session(retries=2) as opened:
                with pytest.raises(RegistryFailure) as caught:
                    await get(opened, server.host)
            assert len(server.requests) == 3
        assert caught.value.status == 503
        assert caught.value.cause == "HTTP 503: unavailable: try 2"

    async def test_a_rate_limit_is_an_error_of_its_own(self) -> None:
        with ScriptedServer(lambda _: error_reply(429, "TOOMANYREQUESTS", "slow down")) as server:
            async with session(retries=1) as opened:
                with pytest.raises(RateLimited, match="slow down"):
                    await get(opened, server.host)

    @pytest.mark.parametrize("status", [400, 404, 409, 501])
    async def test_what_will_not_pass_is_not_tried_again(self, status: int) -> None:
        with ScriptedServer(lambda _: error_reply(status, "X_OWN")) as server:
            async with session() as opened:
                with pytest.raises(LadingError):
                    await get(opened, server.host)
            assert len(server.requests) == 1

    async def test_a_wait_in_seconds_is_kept(self) -> None:
        times: list[float] = []

        def answer(_: Received) -> Reply:
            times.append(time.monotonic())
            return Reply() if len(times) > 1 else Reply(status=429, headers={"Retry-After": "1"})

        with ScriptedServer(answer) as server:
            async with session() as opened:
                await get(opened, server.host)
        assert times[1] - times[0] > 0.99

    async def test_a_wait_may_be_until_a_date(self) -> None:
        later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
        asked = await self.asked(email.utils.format_datetime(later, usegmt=True))
        assert asked is not None
        assert 3300 < asked <= 3600

    @pytest.mark.parametrize("value", ["0", "", "soon", "-1", "Thu, 01 Jan 1970 00:00:00 GMT", "Thu, 99 Foo"])
    async def test_a_wait_that_is_none_is_none(self, value: str) -> None:
        assert not await self.asked(value)

    async def asked(self, value: str) -> float | None:
        """How long is to be waited."""
        with ScriptedServer(lambda _: Reply(status=429, headers={"Retry-After": value})) as server:
            async with session(retries=0) as opened:
                with pytest.raises(RateLimited) as caught:
                    await get(opened, server.host)
        return caught.value.retry_after

    async def test_a_wait_that_is_too_long_is_not_begun(self) -> None:
        with ScriptedServer(lambda _: Reply(status=429, headers={"Retry-After": "21600"})) as server:
            async with session() as opened:
                with pytest.raises(RateLimited, match="it asks to wait 21600 seconds"):
                    await get(opened, server.host)
            assert len(server.requests) == 1

    async def test_a_broken_connection_is_made_anew(self, registry: RealRegistry) -> None:
        with CountingProxy(registry.url) as proxy:
            proxy.intercept = when(Alter(drop="response"), times=2)
            async with session() as opened:
                assert await get(opened, proxy.host, "/v2/") == b"{}"
            assert len(proxy.exchanges) == 3

    async def test_a_small_body_that_breaks_off_is_asked_for_again(self, registry: RealRegistry) -> None:
        with CountingProxy(registry.url) as proxy:
            proxy.intercept = when(Alter(truncate=1), times=1)
            async with session() as opened:
                assert await get(opened, proxy.host, "/v2/") == b"{}"

    async def test_a_body_is_sent_anew_each_time(self) -> None:
        bodies: list[bytes] = []

        def answer(request: Received) -> Reply:
            bodies.append(request.body)
            return Reply(status=429) if len(bodies) < 3 else Reply(status=201)

        with ScriptedServer(answer) as server:
            async with (
                session() as opened,
                opened.request("PUT", server.host, "/v2/x", body=from_bytes(b"content"), what="x") as response,
            ):
                assert response.status == 201
        assert bodies == [b"content"] * 3

    async def test_an_upload_that_broke_off_is_not_repeated_blindly(self) -> None:
        with ScriptedServer(lambda _: Reply(drop=True)) as server:
            async with session() as opened:
                with pytest.raises(ConnectionBroken):
                    async with opened.request("PUT", server.host, "/v2/x", body=from_bytes(b"x"), what="x"):
                        pass
                with pytest.raises(ConnectionBroken):
                    async with opened.request("PATCH", server.host, "/v2/x", body=b"x", what="x"):
                        pass
            assert server.lines == ["PUT /v2/x", "PATCH /v2/x"]

    @pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
    async def test_nor_is_one_that_failed_who_knows_how_far_on(self, status: int) -> None:
        with ScriptedServer(lambda _: Reply(status=status, headers={"Retry-After": "0"})) as server:
            async with session() as opened:
                with pytest.raises(RegistryFailure) as caught:
                    async with opened.request("PUT", server.host, "/v2/x", body=from_bytes(b"x"), what="x"):
                        pass
            assert len(server.requests) == 1
        assert caught.value.retry_after == 0

    async def test_what_fails_in_a_source_is_the_sources(self) -> None:
        tries = 0

        async def broken() -> AsyncIterator[bytes]:
            nonlocal tries
            tries += 1
            yield b"x"
            raise RegistryFailure("the source failed", status=503)

        with ScriptedServer(lambda _: Reply()) as server:
            async with session() as opened:
                with pytest.raises(RegistryFailure, match="the source failed"):
                    async with opened.request("PUT", server.host, "/v2/x", body=broken, size=10, what="x"):
                        pass
        assert tries == 1

    async def test_waits_grow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        longest: list[float] = []

        def uniform(low: float, high: float) -> float:
            longest.append(high)
            return low

        monkeypatch.setattr("random.uniform", uniform)
        with ScriptedServer(lambda _: Reply(status=500)) as server:
            async with session(backoff=0.25) as opened:
                with pytest.raises(RegistryFailure):
                    await get(opened, server.host)
        assert longest == [0.25, 0.5, 1, 2]


class TestLimits:
    @pytest.mark.parametrize("jobs", [1, 3])
    async def test_so_many_requests_are_under_way_at_most(self, registry: RealRegistry, jobs: int) -> None:
        with CountingProxy(registry.url, latency=0.02) as proxy:
            config = Config({proxy.host: HostConfig(jobs=jobs)})
            async with session(config=config) as opened:
                await asyncio.gather(*(get(opened, proxy.host, "/v2/") for _ in range(12)))
            assert 1 <= proxy.max_in_flight <= jobs

    async def test_first_come_first_served(self) -> None:
        with ScriptedServer(lambda _: Reply()) as server:
            async with session(config=Config({server.host: HostConfig(jobs=1)})) as opened:
                await get(opened, server.host, "/v2/")
                await asyncio.gather(*(get(opened, server.host, f"/v2/{number}") for number in range(8)))
            assert server.lines[1:] == [f"GET /v2/{number}" for number in range(8)]

    async def test_a_place_is_taken_until_the_answer_is_closed(self, other: ScriptedServer) -> None:
        async with session(config=Config({other.host: HostConfig(jobs=1)})) as opened:
            begun, over = asyncio.Event(), asyncio.Event()

            async def first() -> None:
                async with opened.request("GET", other.host, "/v2/", what="x"):
                    begun.set()
                    await over.wait()

            task = asyncio.create_task(first())
            await begun.wait()
            second = asyncio.create_task(get(opened, other.host))
            await asyncio.sleep(0.05)
            assert len(other.requests) == 1
            over.set()
            await asyncio.gather(task, second)
            assert len(other.requests) == 2

    async def test_a_request_within_another_needs_no_place_of_its_own(self, other: ScriptedServer) -> None:
        async with session(config=Config({other.host: HostConfig(jobs=1)})) as opened, asyncio.timeout(60):
            async with opened.request("GET", other.host, "/v2/", what="x"):
                assert await get(opened, other.host) == b"other"
                assert await get(opened, other.host) == b"other"
            assert await get(opened, other.host) == b"other"

    async def test_content_can_be_copied_within_a_host_at_any_limit(self) -> None:
        def answer(request: Received) -> Reply:
            if request.method == "GET":
                return Reply(body=b"content", early=True)
            return Reply(body=b"".join(request.chunks()))

        with ScriptedServer(answer) as server:
            async with session(config=Config({server.host: HostConfig(jobs=2)})) as opened:

                def source(number: int) -> Body:
                    async def chunks() -> AsyncIterator[bytes]:
                        async with opened.request("GET", server.host, f"/{number}", what="x") as response:
                            async for chunk in response.chunks():
                                yield chunk

                    return chunks

                async def copy(number: int) -> None:
                    async with opened.request("PUT", server.host, "/", body=source(number), what="x") as response:
                        assert await response.read() == b"content"

                async with asyncio.timeout(60):
                    await asyncio.gather(*(copy(number) for number in range(12)))

    async def test_tokens_need_no_place(self) -> None:
        with RealRegistry(auth="token") as registry:
            tokens = registry.tokens.url
            with CountingProxy(registry.url, tokens=tokens) as proxy:
                options = {
                    "config": Config({proxy.host: HostConfig(jobs=1)}),
                    "credentials": GivenCredentials(Credential(username="alice", password="secret")),
                }
                async with session(**options) as opened, asyncio.timeout(60):
                    scopes = [(Scope(f"team/{number}"),) for number in range(6)]
                    await asyncio.gather(*(get(opened, proxy.host, "/v2/", scopes=scope) for scope in scopes))

    async def test_cancelling_gives_places_back(self) -> None:
        with ScriptedServer(lambda r: Reply(delay=0.5 if r.path == "/slow" else 0, body=b"x")) as server:
            async with session(config=Config({server.host: HostConfig(jobs=1)})) as opened:
                await get(opened, server.host)
                tasks = [asyncio.create_task(get(opened, server.host, "/slow")) for _ in range(3)]
                await asyncio.sleep(0.05)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                async with asyncio.timeout(60):
                    assert await get(opened, server.host) == b"x"

    async def test_the_first_request_may_be_cancelled(self) -> None:
        started = threading.Event()

        def answer(request: Received) -> Reply:
            started.set()
            return Reply(delay=0.3 if request.path == "/slow" else 0, body=b"x")

        with ScriptedServer(answer) as server:
            async with session() as opened:
                first = asyncio.create_task(get(opened, server.host, "/slow"))
                await asyncio.to_thread(started.wait, 60)
                second = asyncio.create_task(get(opened, server.host))
                await asyncio.sleep(0.01)
                first.cancel()
                async with asyncio.timeout(60):
                    assert await second == b"x"

    async def test_cancelling_stops_an_upload(self) -> None:
        broken = threading.Event()

        def answer(request: Received) -> Reply:
            try:
                return Reply(body=request.body)
            except ConnectionError:
                broken.set()
                raise

        async def endless() -> AsyncIterator[bytes]:
            while True:
                yield b"x" * 1000
                await asyncio.sleep(0.01)

        async def upload() -> None:
            async with opened.request("PUT", server.host, "/v2/x", body=endless, what="x"):
                pass

        with ScriptedServer(answer) as server:
            async with session() as opened:
                task = asyncio.create_task(upload())
                await asyncio.sleep(0.2)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert await asyncio.to_thread(broken.wait, 60)
        assert len(asyncio.all_tasks()) == 1


def redirect_to(location: str, status: int = 307) -> Callable[[Received], Reply]:
    return lambda _: Reply(status=status, headers={"Location": location}, body=b"go on")


class TestRedirects:
    async def follow(self, first: str, location: str, servers: Mapping[str, ScriptedServer]) -> bytes:
        """GET from `first`, which answers with a redirect."""
        with ScriptedServer(redirect_to(location)) as server:
            async with session(transport=Elsewhere({**servers, first: server})) as opened:
                return await get(opened, first)

    async def test_another_host_gets_no_credentials(self, other: ScriptedServer) -> None:
        def answer(request: Received) -> Reply:
            if request.headers.get("Authorization") is None:
                return Reply(status=401, headers={"WWW-Authenticate": "Basic realm=x"})
            return Reply(status=307, headers={"Location": "https://cdn.example/blob?sig=x"})

        with ScriptedServer(answer) as server:
            elsewhere = Elsewhere({"a.example": server, "cdn.example": other})
            options = {"credentials": GivenCredentials(ADA), "headers": {"X-Meta": "1"}, "transport": elsewhere}
            async with session(**options) as opened:
                content = await get(opened, "a.example", headers={"Accept": "a", "Range": "bytes=0-"})
            assert content == b"other"
            assert server.requests[1].headers.get("X-Meta") == "1"
        (request,) = other.requests
        assert request.headers.get("Authorization") is None
        assert request.headers.get("X-Meta") is None
        assert request.headers.get("Accept") == "a"
        assert request.headers.get("Range") == "bytes=0-"
        assert request.target == "/blob?sig=x"

    async def test_the_same_host_gets_them_again(self) -> None:
        def answer(request: Received) -> Reply:
            if request.headers.get("Authorization") is None:
                return Reply(status=401, headers={"WWW-Authenticate": "Basic realm=x"})
            if request.path != "/there":
                return Reply(status=302, headers={"Location": "/there"})
            return Reply(body=b"here")

        with ScriptedServer(answer) as server:
            async with session(credentials=GivenCredentials(ADA), headers={"X-Meta": "1"}) as opened:
                assert await get(opened, server.host) == b"here"
            assert server.requests[-1].headers.get("X-Meta") == "1"
            assert len(server.requests) == 3

    async def test_a_stranger_cannot_send_credentials_back(self, other: ScriptedServer) -> None:
        def answer(request: Received) -> Reply:
            if request.path == "/back":
                return Reply(body=b"back")
            if request.headers.get("Authorization") is None:
                return Reply(status=401, headers={"WWW-Authenticate": "Basic realm=x"})
            return Reply(status=307, headers={"Location": other.url})

        with ScriptedServer(answer) as server:
            other.script = redirect_to(f"{server.url}/back")
            async with session(credentials=GivenCredentials(ADA), headers={"X-Meta": "1"}) as opened:
                assert await get(opened, server.host) == b"back"
            assert server.requests[-1].headers.get("Authorization") is None
            assert server.requests[-1].headers.get("X-Meta") is None

    async def test_another_port_is_another_host(self, other: ScriptedServer) -> None:
        with ScriptedServer(redirect_to(f"{other.url}/x")) as server:
            async with session(headers={"X-Meta": "1"}) as opened:
                assert await get(opened, server.host) == b"other"
        assert other.requests[0].headers.get("X-Meta") is None

    async def test_tls_is_not_given_up(self, other: ScriptedServer) -> None:
        with pytest.raises(Unsupported, match=r"from https to http://cdn\.example"):
            await self.follow("a.example", "http://cdn.example/x", {"cdn.example": other})
        assert other.requests == []

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "169.254.169.254", "10.0.0.1", "[::1]", "0x7f000001"])
    async def test_a_public_host_does_not_lead_into_a_private_network(self, host: str, other: ScriptedServer) -> None:
        with pytest.raises(Unsupported, match=r"private network|link-local"):
            await self.follow("a.example", f"https://{host}/x", {host: other})
        assert other.requests == []

    @pytest.mark.parametrize(
        "host", ["169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "0xa9fea9fe"]
    )
    async def test_not_even_this_machine_may_lead_to_a_link_local_address(self, host: str) -> None:
        with ScriptedServer(redirect_to(f"http://{host}/latest/meta-data")) as server:
            async with session() as opened:
                with pytest.raises(Unsupported, match="where lading does not follow") as caught:
                    await get(opened, server.host)
        assert "link-local" in (caught.value.cause or "")

    async def test_a_private_host_may_lead_to_another(self, other: ScriptedServer) -> None:
        assert await self.follow("10.0.0.5", "https://10.0.0.6/x", {"10.0.0.6": other}) == b"other"
        with pytest.raises(Unsupported):
            await self.follow("10.0.0.5", "https://127.0.0.1/x", {"127.0.0.1": other})

    @pytest.mark.parametrize("location", ["https://b.example\\@a.example/", "https://x:y@b.example/", "", "ftp://b/"])
    async def test_a_strange_location_is_not_followed(self, location: str, other: ScriptedServer) -> None:
        with pytest.raises((Unsupported, RegistryFailure)):
            await self.follow("a.example", location, {"b.example": other, "a.example": other})
        assert other.requests == []

    async def test_there_is_an_end_to_it(self) -> None:
        with ScriptedServer(redirect_to("/again")) as server:
            async with session() as opened:
                with pytest.raises(RegistryFailure, match="without end"):
                    await get(opened, server.host)
            assert len(server.requests) == 11

    async def test_a_body_is_not_sent_elsewhere(self, other: ScriptedServer) -> None:
        with ScriptedServer(redirect_to(f"{other.url}/x")) as server:
            async with session() as opened:
                with pytest.raises(RegistryFailure, match="HTTP 307"):
                    async with opened.request("PUT", server.host, "/v2/x", body=b"content", what="x"):
                        pass
        assert other.requests == []

    async def test_a_request_without_a_body_goes_where_it_is_sent(self) -> None:
        def answer(request: Received) -> Reply:
            return Reply(status=202) if request.path == "/there" else Reply(status=307, headers={"Location": "/there"})

        with ScriptedServer(answer) as server:
            async with session() as opened, opened.request("POST", server.host, "/v2/x", body=b"", what="x"):
                pass
            assert server.lines == ["POST /v2/x", "POST /there"]

    async def test_another_registry_is_asked_as_anybody_may(self) -> None:
        def tokens(_: Received) -> Reply:
            return Reply(body=json.dumps({"token": "for-anybody"}).encode())

        def mirror(request: Received) -> Reply:
            if request.headers.get("Authorization") == "Bearer for-anybody":
                return Reply(body=b"content")
            challenge = 'Bearer realm="https://tokens.example/t",service="m",scope="repository:x:pull"'
            return Reply(status=401, headers={"WWW-Authenticate": challenge})

        with ScriptedServer(tokens) as service, ScriptedServer(mirror) as server:
            servers = {"tokens.example": service, "mirror.example": server}
            assert await self.follow("a.example", "https://mirror.example/v2/x", servers) == b"content"
            assert service.requests[0].headers.get("Authorization") is None
            assert service.lines == ["GET /t?service=m&scope=repository%3Ax%3Apull"]

    async def test_another_registry_may_have_nothing_for_anybody(self) -> None:
        def mirror(request: Received) -> Reply:
            challenge = 'Bearer realm="https://mirror.example/t"'
            return Reply(status=403 if request.path == "/t" else 401, headers={"WWW-Authenticate": challenge})

        with ScriptedServer(mirror) as server, pytest.raises(Denied):
            await self.follow("a.example", "https://mirror.example/v2/x", {"mirror.example": server})

    async def test_a_denial_at_the_end_is_a_denial(self) -> None:
        with ScriptedServer(lambda _: Reply(status=401)) as server, pytest.raises(Denied):
            await self.follow("a.example", "https://cdn.example/", {"cdn.example": server})

    async def test_an_upload_location_elsewhere_is_refused(self, other: ScriptedServer) -> None:
        reply = Reply(status=202, headers={"Location": f"{other.url}/v2/x/blobs/uploads/1"})
        with ScriptedServer(lambda _: reply) as server:
            async with session() as opened, opened.request("POST", server.host, "/v2/x/", what="x") as response:
                with pytest.raises(Unsupported, match="points to another server"):
                    continuation(response.url, response.headers.get("location"))


class TestVerify:
    @pytest.mark.parametrize("auth", ["basic", "token"])
    async def test_credentials_are_checked_with_the_registry(self, auth: Any) -> None:
        with RealRegistry(auth=auth) as registry:
            async with session() as opened:
                await verify(opened, registry.host, Credential(username="alice", password="secret"))
                with pytest.raises(Denied) as caught:
                    await verify(opened, registry.host, Credential(username="alice", password="wrong"))
                with pytest.raises(Denied):
                    await get(opened, registry.host, "/v2/", scopes=PULL)
        assert caught.value.message == f"{registry.host} did not allow a login as alice"
        assert (caught.value.cause or "").startswith("the credentials were refused")
        assert "wrong" not in str(caught.value)

    async def test_a_registry_that_asks_for_nothing_accepts_any(self, registry: RealRegistry) -> None:
        async with session() as opened:
            await verify(opened, registry.host, Credential(username="alice", password="secret"))

    async def test_an_identity_token_is_checked(self) -> None:
        with RealRegistry(auth="token") as registry:
            registry.tokens.refresh_tokens["good"] = "alice"
            async with session() as opened:
                await verify(opened, registry.host, Credential(username="", password="", identity_token="good"))
                with pytest.raises(Denied):
                    await verify(opened, registry.host, Credential(username="", password="", identity_token="bad"))

    async def test_what_cannot_be_reached_is_not_accepted(self) -> None:
        with ScriptedServer() as server:
            host = server.host
        async with session() as opened:
            with pytest.raises(Unreachable):
                await verify(opened, host, ADA)
