"""How hosts are spoken to by what is configured: mirrors, prefixes, headers, addresses, certificates, limits."""

import asyncio
import base64
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from lading.client import AsyncClient
from lading.errors import Denied, NotFound, RateLimited, TLSFailure, Unreachable, UsageError
from lading.model.digest import Digest
from lading.registry.auth.credentials import Credential, GivenCredentials
from lading.registry.hosts.configuration import Config
from lading.registry.hosts.settings import HostConfig, Mirror, Override
from lading.registry.session import Session
from support.certs import Authority, SelfSigned
from support.fakes import Reply, Request, ScriptedServer, json_reply
from support.images import digest_of, make_image, push
from support.proxy import Alter, CountingProxy, when
from support.registry import RealRegistry
from support.tokens import TokenService


class Nobody:
    """No credentials for anything."""

    async def find(self, registry: str, repository: str | None = None, **_: object) -> Credential | None:
        return None


@asynccontextmanager
async def client(config: Config, **options: Any) -> AsyncIterator[AsyncClient]:
    """A client that neither reads the user's configuration nor knows any credentials, unless it is told to."""
    given: dict[str, Any] = {"config": config, "credentials": Nobody()} | options
    async with AsyncClient(**given) as opened:
        yield opened


@asynccontextmanager
async def session(config: Config, **options: Any) -> AsyncIterator[Session]:
    given: dict[str, Any] = {"config": config, "backoff": 0} | options
    async with Session(**given) as opened:
        yield opened


async def get(opened: Session, registry: str, path: str = "/v2/") -> bytes:
    async with opened.request("GET", registry, path, what=f"{registry}{path}") as response:
        return await response.read()


class TestMirrors:
    @pytest.fixture
    def upstream(self, registry: RealRegistry) -> Iterator[CountingProxy]:
        with CountingProxy(registry.url) as proxy:
            yield proxy

    @pytest.fixture
    def mirror(self) -> Iterator[CountingProxy]:
        with RealRegistry() as registry, CountingProxy(registry.url) as proxy:
            yield proxy

    async def test_what_a_mirror_has_comes_from_it(
        self, upstream: CountingProxy, mirror: CountingProxy, repository: str
    ) -> None:
        image = make_image()
        push(mirror.host, f"hub/{repository}", "1", image)
        mirror.reset()
        config = Config({upstream.host: HostConfig(mirrors=(f"{mirror.host}/hub",))})
        async with client(config) as opened:
            overview = await opened.inspect(f"{upstream.host}/{repository}:1")
        assert overview.digest == image.digest
        assert str(overview.reference) == f"{upstream.host}/{repository}:1"
        assert upstream.exchanges == []
        assert {exchange.path for exchange in mirror.exchanges} == {
            f"/v2/hub/{repository}/manifests/1",
            f"/v2/hub/{repository}/blobs/{digest_of(image.config)}",
        }

    async def test_what_it_lacks_comes_from_the_next_and_then_from_the_registry(
        self, upstream: CountingProxy, mirror: CountingProxy, repository: str
    ) -> None:
        image = make_image()
        push(upstream.host, repository, "1", image)
        upstream.reset()
        with ScriptedServer(lambda _: Reply(status=500)) as broken:
            config = Config({upstream.host: HostConfig(mirrors=(broken.host, mirror.host))})
            async with client(config) as opened:
                assert await opened.digest(f"{upstream.host}/{repository}:1") == image.digest
            assert len(broken.requests) == 1, "a mirror is asked once"
        assert mirror.count("HEAD") == 1
        assert upstream.count("HEAD") == 1

    async def test_one_that_cannot_be_reached_is_passed_over_and_not_asked_again(
        self, upstream: CountingProxy, repository: str
    ) -> None:
        image = make_image()
        push(upstream.host, repository, "1", image)
        tries: list[str] = []
        with ScriptedServer(lambda _: Reply(drop=True)) as gone:
            config = Config({upstream.host: HostConfig(mirrors=(gone.host,))})
            async with client(config, on_request=tries.append) as opened:
                for _ in range(3):
                    assert await opened.digest(f"{upstream.host}/{repository}:1") == image.digest
        assert len([line for line in tries if gone.host in line and line.startswith("HEAD http:")]) == 1

    async def test_without_a_fallback_what_no_mirror_has_is_not_there(
        self, upstream: CountingProxy, mirror: CountingProxy, repository: str
    ) -> None:
        push(upstream.host, repository, "1", make_image())
        upstream.reset()
        config = Config({upstream.host: HostConfig(mirrors=(mirror.host,), fallback=False)})
        async with client(config) as opened:
            with pytest.raises(NotFound):
                await opened.digest(f"{upstream.host}/{repository}:1")
        assert upstream.exchanges == []

    async def test_a_mirror_for_digests_is_not_asked_for_tags(
        self, upstream: CountingProxy, mirror: CountingProxy, repository: str
    ) -> None:
        image = make_image()
        for proxy in (upstream, mirror):
            push(proxy.host, repository, "1", image)
            proxy.reset()
        config = Config({upstream.host: HostConfig(mirrors=(Mirror(mirror.host, "digest"),))})
        async with client(config) as opened:
            await opened.digest(f"{upstream.host}/{repository}:1")
            assert (mirror.exchanges, len(upstream.exchanges)) == ([], 1)
            await opened.digest(f"{upstream.host}/{repository}@{image.digest}")
            assert (len(mirror.exchanges), len(upstream.exchanges)) == (1, 1)

    async def test_what_is_written_and_what_is_decided_by_it_is_the_registrys_own(
        self, upstream: CountingProxy, mirror: CountingProxy, repository: str
    ) -> None:
        old, new = make_image(), make_image(platform="linux/arm64")
        push(mirror.host, repository, "1", old)
        push(upstream.host, repository, "1", new)
        mirror.reset()
        config = Config({upstream.host: HostConfig(mirrors=(mirror.host,))})
        name = f"{upstream.host}/{repository}"
        async with client(config) as opened:
            await opened.tag(f"{name}:1", "2")
            await opened.copy(f"{name}:1", f"{name}:3")
            assert {info.digest for info in await opened.tags(name, digests=True)} == {new.digest}
            await opened.delete(f"{name}:1", if_digest=Digest(new.digest))
        assert mirror.exchanges == []

    async def test_a_copy_reads_from_mirrors(
        self, upstream: CountingProxy, mirror: CountingProxy, repository: str, tmp_path: Path
    ) -> None:
        image = make_image()
        push(mirror.host, repository, "1", image)
        config = Config({upstream.host: HostConfig(mirrors=(mirror.host,))})
        async with client(config) as opened:
            await opened.copy(f"{upstream.host}/{repository}:1", f"oci:{tmp_path / 'layout'}:1")
        assert upstream.exchanges == []

    async def test_a_mirror_that_lies_is_found_out(
        self, upstream: CountingProxy, mirror: CountingProxy, repository: str
    ) -> None:
        image = make_image()
        push(upstream.host, repository, "1", image)
        mirror.intercept = lambda request: Reply(body=b"{}")
        config = Config({upstream.host: HostConfig(mirrors=(mirror.host,))})
        async with client(config) as opened:
            with pytest.raises(Exception, match="digest"):
                await opened.get(f"{upstream.host}/{repository}@{image.digest}")

    async def test_a_mirror_gets_no_credentials_and_no_headers_but_its_own(
        self, upstream: CountingProxy, repository: str
    ) -> None:
        def answer(request: Request) -> Reply:
            if request.headers.get("Authorization") is None:
                return Reply(status=401, headers={"WWW-Authenticate": "Basic realm=x"})
            return Reply(status=404)

        class Both:
            async def find(self, registry: str, repository: str | None = None, **_: object) -> Credential | None:
                return Credential(username=registry, password="x") if registry == upstream.host else None

        push(upstream.host, repository, "1", make_image())
        upstream.reset()
        with ScriptedServer(answer) as mirror:
            config = Config(
                {
                    upstream.host: HostConfig(mirrors=(mirror.host,), headers={"X-Up": "1"}),
                    mirror.host: HostConfig(headers={"X-Mirror": "1"}),
                },
                override=Override(headers=(("", "X-Given", "1"),)),
            )
            async with client(config, credentials=Both()) as opened:
                await opened.digest(f"{upstream.host}/{repository}:1")
            (request,) = mirror.requests[:1]
            alone = Config(
                {upstream.host: HostConfig(mirrors=(mirror.host,), fallback=False)}, override=config.override
            )
            mirror.reset()
            async with client(alone, credentials=Both()) as opened:
                with pytest.raises(Denied):
                    await opened.digest(f"{upstream.host}/{repository}:1")
            assert all(request.headers.get("X-Given") is None for request in mirror.requests)
        names = {name for name, _ in request.headers}
        assert "X-Mirror" in names
        assert not {"X-Up", "X-Given", "Authorization"} & names
        head = next(exchange for exchange in upstream.exchanges if exchange.method == "HEAD")
        assert {"x-up", "x-given"} <= {name.lower() for name, _ in head.headers}


class TestPrefixes:
    async def test_repositories_are_below_it(self, registry: RealRegistry, new_repository: Any) -> None:
        image = make_image()
        below, other = new_repository(), new_repository()
        push(registry.host, f"{below}/app", "1", image)
        push(registry.host, other, "1", image)
        with CountingProxy(registry.url) as proxy:
            config = Config({proxy.host: HostConfig(path_prefix=below)})
            async with client(config) as opened:
                assert await opened.digest(f"{proxy.host}/app:1") == image.digest
                assert await opened.registries.repositories(proxy.host) == ["app"]
                await opened.copy(f"{proxy.host}/app:1", f"{proxy.host}/web:2")
                assert [info.tag for info in await opened.tags(f"{proxy.host}/web")] == ["2"]
            mounts = [exchange.query for exchange in proxy.exchanges if "mount=" in exchange.query]
            assert mounts
            assert all(f"from={below}/app".replace("/", "%2F") in query for query in mounts)
            assert proxy.count("PATCH") == 0, "what was there was mounted"
            paths = {exchange.path for exchange in proxy.exchanges} - {"/v2/_catalog"}
            assert all(path.startswith(f"/v2/{below}/") for path in paths)

    async def test_tokens_are_for_what_is_below_it(self) -> None:
        with RealRegistry(auth="token") as registry:
            config = Config({registry.host: HostConfig(path_prefix="team/x")})
            credentials = GivenCredentials(Credential(username="alice", password="secret"))
            async with client(config, credentials=credentials) as opened:
                with pytest.raises(NotFound):
                    await opened.digest(f"{registry.host}/app:1")
            assert registry.tokens.requests[-1].scopes == ["repository:team/x/app:pull"]

    async def test_uploads_and_pages_are_allowed_by_what_is_below_it(self, tmp_path: Path) -> None:
        grants = {"alice": {"team/x/*": {"pull", "push"}}}
        with RealRegistry(auth="token", tokens=TokenService({"alice": "secret"}, grants=grants)) as registry:
            config = Config({registry.host: HostConfig(path_prefix="team/x", chunk_size=100_000)})
            credentials = GivenCredentials(Credential(username="alice", password="secret"))
            with RealRegistry() as other:
                push(other.host, "app", "1", make_image(layer_size=400_000))
                async with client(config, credentials=credentials) as opened:
                    await opened.copy(f"{other.host}/app:1", f"{registry.host}/app:1")
                    await opened.copy(f"{registry.host}/app:1", f"{registry.host}/web:1")
                    assert [info.tag for info in await opened.tags(f"{registry.host}/web")] == ["1"]
            asked = {scope for request in registry.tokens.requests for scope in request.scopes}
            assert all(":team/x/" in scope for scope in asked)


class TestHeaders:
    async def test_they_go_to_the_host_they_are_for(self) -> None:
        with ScriptedServer(lambda _: Reply(body=b"x")) as one, ScriptedServer(lambda _: Reply(body=b"x")) as two:
            config = Config(
                {one.host: HostConfig(headers={"X-One": "1"})},
                override=Override(headers=((two.host, "X-Two", "2"),)),
            )
            async with session(config) as opened:
                for server in (one, two):
                    opened.expect(server.host)
                    await get(opened, server.host)
            assert one.requests[0].headers.get("x-one") == "1"
            assert one.requests[0].headers.get("x-two") is None
            assert two.requests[0].headers.get("x-one") is None
            assert two.requests[0].headers.get("x-two") == "2"

    async def test_one_that_is_for_nobody_in_particular_is_not_sent_to_two(self) -> None:
        with ScriptedServer(lambda _: Reply(body=b"x")) as one, ScriptedServer(lambda _: Reply(body=b"x")) as two:
            config = Config(override=Override(headers=(("", "X-Token", "hunter2"),)))
            async with client(config) as opened:
                with pytest.raises(UsageError, match="which registry the header X-Token is for") as caught:
                    await opened.copy(f"{one.host}/a:1", f"{two.host}/a:1")
            assert one.requests == two.requests == [], "nothing was sent"
            assert "hunter2" not in f"{caught.value} {caught.value.remedy}"

    async def test_a_redirect_takes_none_along(self) -> None:
        with ScriptedServer(lambda _: Reply(body=b"x")) as cdn:
            with ScriptedServer(lambda _: Reply(status=307, headers={"Location": f"{cdn.url}/x"})) as server:
                config = Config(
                    {server.host: HostConfig(headers={"X-A": "1"}), cdn.host: HostConfig(headers={"X-B": "1"})},
                    override=Override(headers=(("", "X-C", "1"),)),
                )
                async with session(config) as opened:
                    await get(opened, server.host)
                assert {"X-A", "X-C"} <= {name for name, _ in server.requests[0].headers}
            assert not {"X-A", "X-B", "X-C"} & {name for name, _ in cdn.requests[0].headers}

    async def test_a_token_service_of_the_same_host_gets_them(self) -> None:
        def answer(request: Request) -> Reply:
            if request.path == "/token":
                return json_reply({"token": "x"})
            if request.headers.get("Authorization") is None:
                challenge = f'Bearer realm="http://{request.headers.get("Host")}/token"'
                return Reply(status=401, headers={"WWW-Authenticate": challenge})
            return Reply(body=b"x")

        with ScriptedServer(answer) as server:
            config = Config({server.host: HostConfig(headers={"X-A": "1"})})
            async with session(config) as opened:
                await get(opened, server.host)
            assert [request.headers.get("X-A") for request in server.requests] == ["1", "1", "1"]


class TestWays:
    async def test_a_name_is_where_it_is_said_to_be(self, authority: Authority, tmp_path: Path) -> None:
        named = Authority(tmp_path, names=("registry.example",))
        with ScriptedServer(lambda _: Reply(body=b"x"), tls=named) as server:
            host = f"registry.example:{server.port}"
            override = Override(ca_file=str(named.ca), addresses={host: "127.0.0.1"})
            async with session(Config(override=override)) as opened:
                assert await get(opened, host) == b"x"
                with pytest.raises(Unreachable):
                    await get(opened, f"registry.example:{server.port + 1}")
            assert server.requests[0].headers.get("Host") == host

    async def test_proxies_of_the_environment_lead_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with ScriptedServer(lambda _: Reply(body=b"from the proxy")) as proxy:
            for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"):
                monkeypatch.delenv(name, raising=False)
            monkeypatch.setenv("HTTP_PROXY", f"http://ada:hunter2@{proxy.host}")
            monkeypatch.setenv("NO_PROXY", "10.0.0.0/8")
            lines: list[str] = []
            config = Config({"registry.example": HostConfig(plain_http=True)})
            async with session(config, on_request=lines.append) as opened:
                assert await get(opened, "registry.example") == b"from the proxy"
            assert proxy.requests[0].headers.get("Proxy-Authorization") == "Basic YWRhOmh1bnRlcjI="
            assert "hunter2" not in "".join(lines)

    async def test_plain_http_is_spoken_without_trying_tls(self) -> None:
        with ScriptedServer(lambda _: Reply(body=b"x")) as server:
            async with session(Config({server.host: HostConfig(plain_http=True)})) as opened:
                await get(opened, server.host)
            assert server.connections == 1

    async def test_a_blocked_host_gets_nothing(self) -> None:
        with ScriptedServer() as server:
            async with client(Config({server.host: HostConfig(blocked=True)})) as opened:
                for call in (opened.digest(f"{server.host}/a:1"), opened.registries.repositories(server.host)):
                    with pytest.raises(Denied, match="is blocked"):
                        await call
            assert server.connections == 0

    async def test_credentials_are_where_it_says(self, tmp_path: Path) -> None:
        class Alice:
            async def find(self, registry: str, repository: str | None = None) -> Credential | None:
                return Credential(username="alice", password="secret")

        with RealRegistry(auth="basic", users={"alice": "secret", "bob": "hunter2"}) as registry:
            nobody = Config({registry.host: HostConfig(credentials="none")})
            async with client(nobody, credentials=Alice()) as opened:
                with pytest.raises(Denied):
                    await opened.registries.repositories(registry.host)
            file = tmp_path / "ci.json"
            bob = base64.b64encode(b"bob:hunter2").decode()
            file.write_text(json.dumps({"auths": {registry.host: {"auth": bob}}}))
            (tmp_path / "config.toml").write_text(f'[hosts."{registry.host}"]\ncredentials = "ci.json"')
            config = Config.load(tmp_path / "config.toml", others=False)
            async with client(config) as opened:
                assert await opened.registries.repositories(registry.host) == []
            file.unlink()
            async with client(config) as opened:
                with pytest.raises(UsageError, match=r"ci\.json"):
                    await opened.registries.repositories(registry.host)

    @pytest.mark.parametrize("way", ["given", "config", "certs.d"])
    async def test_a_certificate_as_in_dockers_documentation(
        self, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repository: str
    ) -> None:
        own = SelfSigned(tmp_path / "own")
        with RealRegistry(tls=own) as registry:
            monkeypatch.setenv("LADING_CERTS_D", str(tmp_path / "certs.d"))
            folder = tmp_path / "certs.d" / registry.host
            folder.mkdir(parents=True)
            if way == "certs.d":
                (folder / "ca.crt").write_bytes(own.ca.read_bytes())
                config = Config.load(tmp_path / "none.toml")
            elif way == "config":
                config = Config({registry.host: HostConfig(ca_file=str(own.ca))})
            else:
                config = Config(override=Override(ca_file=str(own.ca)))
            image = make_image(layer_size=3_000_000)
            layout = tmp_path / "layout"
            with RealRegistry() as other:
                push(other.host, repository, "1", image)
                async with client(config) as opened:
                    await opened.copy(f"{other.host}/{repository}:1", f"{registry.host}/{repository}:1")
                    await opened.copy(f"{registry.host}/{repository}:1", f"oci:{layout}:1")
                    assert await opened.digest(f"{registry.host}/{repository}:1") == image.digest

    async def test_a_client_certificate_is_for_named_registries(self, tmp_path: Path) -> None:
        authority = Authority(tmp_path, wants_clients=True)
        with ScriptedServer(lambda _: Reply(body=b"x"), tls=authority) as server:
            shown = Override(
                ca_file=str(authority.ca),
                cert_file=str(authority.client_certificate),
                key_file=str(authority.client_key),
            )
            async with session(Config(override=shown)) as opened:
                assert await get(opened, server.host) == b"x"
            redirect = Reply(status=307, headers={"Location": f"{server.url}/x"})
            with ScriptedServer(lambda _: redirect) as first:
                async with session(Config(override=shown), retries=0) as opened:
                    with pytest.raises(Unreachable):
                        await get(opened, first.host)
            assert len(server.requests) == 1

    async def test_who_wants_a_certificate_is_told_how_to_give_one(self, tmp_path: Path) -> None:
        authority = Authority(tmp_path, wants_clients=True)
        with ScriptedServer(tls=authority) as server:
            async with session(Config(override=Override(ca_file=str(authority.ca)))) as opened:
                with pytest.raises(TLSFailure) as caught:
                    await get(opened, server.host)
        assert "cert_file" in (caught.value.remedy or "")
        assert caught.value.code == "certificate-wanted"

    async def test_blobs_go_in_parts_of_the_size_that_is_configured(
        self, registry: RealRegistry, repository: str, tmp_path: Path
    ) -> None:
        push(registry.host, repository, "1", make_image(layer_size=300_000))
        with RealRegistry() as target, CountingProxy(target.url) as proxy:
            config = Config({proxy.host: HostConfig(chunk_size=100_000)})
            async with client(config) as opened:
                await opened.copy(f"{registry.host}/{repository}:1", f"{proxy.host}/{repository}:1")
            sizes = [exchange.request_body_bytes for exchange in proxy.exchanges if exchange.method == "PATCH"]
        assert max(sizes) <= 100_000


class TestLimits:
    async def test_a_rate_is_kept(self) -> None:
        begun: list[float] = []

        def answer(_: Request) -> Reply:
            begun.append(time.monotonic())
            return Reply(body=b"x")

        with ScriptedServer(answer) as server:
            config = Config({server.host: HostConfig(requests_per_second=20, plain_http=True)})
            async with session(config) as opened:
                await asyncio.gather(*(get(opened, server.host) for _ in range(6)))
        assert begun[-1] - begun[0] > 0.2, "six of them take five times the twentieth part of a second"

    async def test_a_host_that_asks_for_it_is_slowed_down_and_others_are_not(self) -> None:
        under_way, most, company = 0, 0, 1
        refusing = False
        changed = threading.Condition()

        def answer(request: Request) -> Reply:
            """Answer in company only, as far as there comes any."""
            nonlocal under_way, most
            with changed:
                under_way += 1
                most = max(most, under_way)
                changed.notify_all()
                changed.wait_for(lambda: most >= company, timeout=30)
                under_way -= 1
            return Reply(status=429, headers={"Retry-After": "0"}) if refusing else Reply(body=b"x")

        with ScriptedServer(answer) as busy, ScriptedServer(lambda _: Reply(body=b"y")) as other:
            hosts = {server.host: HostConfig(plain_http=True) for server in (busy, other)}
            async with session(Config(hosts), retries=0) as opened:
                await get(opened, busy.host)
                company = 8
                await asyncio.gather(*(get(opened, busy.host) for _ in range(8)))
                assert most == 8
                refusing, company = True, 1
                said = await asyncio.gather(*(get(opened, busy.host) for _ in range(24)), return_exceptions=True)
                assert all(isinstance(failure, RateLimited) for failure in said)
                refusing, most = False, 0
                assert await asyncio.gather(*(get(opened, busy.host) for _ in range(2))) == [b"x", b"x"]
                assert most == 1, "one after the other, for now"
                assert await get(opened, other.host) == b"y"
                for _ in range(40):
                    await get(opened, busy.host)
                most, company = 0, 8
                await asyncio.gather(*(get(opened, busy.host) for _ in range(24)))
                assert most == 8, "it has recovered"

    async def test_while_one_waits_the_others_of_the_host_wait_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        answered: list[tuple[str, float]] = []
        refused = threading.Event()

        def answer(request: Request) -> Reply:
            answered.append((request.path, time.monotonic()))
            if request.path == "/first" and not refused.is_set():
                refused.set()
                return Reply(status=429, headers={"Retry-After": "1"})
            return Reply(body=b"x")

        with ScriptedServer(answer) as busy, ScriptedServer(lambda _: Reply(body=b"y")) as other:
            hosts = {server.host: HostConfig(plain_http=True) for server in (busy, other)}
            async with session(Config(hosts)) as opened:
                await get(opened, busy.host, "/before")
                first = asyncio.create_task(get(opened, busy.host, "/first"))
                await asyncio.to_thread(refused.wait, 60)
                while opened._host(busy.host).limits.allowed == 8:  # noqa: ASYNC110  # nothing else says so
                    await asyncio.sleep(0.001)
                second = asyncio.create_task(get(opened, busy.host, "/second"))
                assert await get(opened, other.host) == b"y", "meanwhile"
                assert not second.done()
                await asyncio.gather(first, second)
        order = [path for path, _ in answered]
        assert order[:2] == ["/before", "/first"]
        assert answered[2][1] - answered[1][1] > 0.9
        assert sorted(order[2:]) == ["/first", "/second"]

    async def test_tokens_count_too(self) -> None:
        with RealRegistry(auth="token") as registry:
            slow = Alter(status=429, set_headers=(("Retry-After", "3600"),))
            with CountingProxy(registry.url, tokens=registry.tokens.url) as proxy:
                proxy.intercept = when(slow, path="/token", times=1)
                async with session(Config(), retries=0) as opened:
                    with pytest.raises(RateLimited):
                        await get(opened, proxy.host)
                    assert opened._host(proxy.host).limits.allowed < 8
