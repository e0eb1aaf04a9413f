"""Examining registries: what is found in which of them, and that nothing stays there."""

import datetime
import email.utils
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from lading.client import AsyncClient
from lading.errors import NotFound, UsageError
from lading.registry.auth.credentials import Credential, GivenCredentials
from lading.registry.diagnose.check import Checkup, Examined
from lading.registry.diagnose.check import check as examine
from lading.registry.diagnose.pull_limits import pull_limits, read_limits
from lading.registry.hosts.configuration import Config
from lading.registry.hosts.settings import HostConfig, Override
from lading.registry.http.rustls import ReqwestTransport
from lading.registry.http.transport import Headers, Response
from lading.registry.http.transport import Request as Sent
from lading.registry.session import Session
from lading.serve import background
from registry.elsewhere import Elsewhere
from support.certs import Authority, SelfSigned
from support.fakes import Reply, Request, ScriptedServer, error_reply, json_reply
from support.images import make_image, push
from support.proxy import CountingProxy
from support.registry import RealRegistry

ALICE = GivenCredentials(Credential(username="alice", password="secret"))


async def check(
    registry: str, config: Config | None = None, *, write: bool = False, credentials: GivenCredentials | None = None
) -> Checkup:
    async with AsyncClient(config=config or Config(), credentials=credentials or ALICE) as client:
        return await client.registries.check(registry, write=write)


def states(report: Checkup) -> dict[str, str]:
    return {finding.name: finding.state for finding in report.findings}


def found(report: Checkup, name: str) -> Examined:
    return next(finding for finding in report.findings if finding.name == name)


async def test_an_open_registry_on_this_machine(registry: RealRegistry) -> None:
    report = await check(registry.host)
    assert states(report) == {
        "reach": "ok",
        "tls": "no",
        "http/2": "no",
        "api": "ok",
        "clock": "ok",
        "auth": "ok",
        "catalog": "ok",
        "referrers": "no",
        "delete": "unknown",
        "mount": "unknown",
        "chunks": "unknown",
    }
    assert (report.exit_code, report.url, report.certificate) == (0, registry.url, None)
    assert found(report, "auth").said == "it asks for nothing"


async def test_it_only_reads(registry: RealRegistry, repository: str) -> None:
    push(registry.host, repository, "1", make_image())
    with CountingProxy(registry.url) as proxy:
        await check(f"{proxy.host}/{repository}")
        assert {exchange.method for exchange in proxy.exchanges} <= {"GET", "HEAD", "OPTIONS"}


@pytest.mark.parametrize("delete", [True, False])
async def test_writing_tells_more_and_leaves_nothing(delete: bool) -> None:
    with RealRegistry(delete=delete) as registry:
        push(registry.host, "team/app", "1", make_image())
        data = registry.folder / "data"

        def content() -> dict[Path, bytes]:
            # This registry leaves a note on how far it had hashed behind each upload that is cancelled.
            return {
                file: file.read_bytes() for file in data.rglob("*") if file.is_file() and "hashstates" not in str(file)
            }

        before = content()
        report = await check(f"{registry.host}/team/app", write=True)
        assert content() == before
    assert {name: states(report)[name] for name in ("chunks", "mount", "delete")} == {
        "chunks": "ok",
        "mount": "ok",
        "delete": "ok" if delete else "no",
    }
    if not delete:
        assert "REGISTRY_STORAGE_DELETE_ENABLED" in (found(report, "delete").remedy or "")


async def test_the_embedded_registry_has_all_of_it() -> None:
    with background() as url:
        host = url.removeprefix("http://")
        push(host, "team/app", "1", make_image())
        report = await check(f"{host}/team/app", write=True)
        assert {state for name, state in states(report).items() if name not in ("tls", "http/2")} == {"ok"}
        empty = await check(f"{host}/nothing/here", write=True)
        assert states(empty)["mount"] == "unknown"


async def test_a_registry_that_takes_nothing() -> None:
    def answer(request: Request) -> Reply | None:
        if request.path == "/v2/":
            return Reply(headers={"Docker-Distribution-Api-Version": "registry/2.0"})
        if request.method == "POST":
            return error_reply(405, "UNSUPPORTED")
        if request.method == "OPTIONS":
            return Reply(headers={"Allow": "GET, HEAD"})
        return error_reply(405 if request.method == "DELETE" else 404, "NAME_UNKNOWN")

    with ScriptedServer(answer) as server:
        report = await check(f"{server.host}/a", write=True)
        assert {states(report)[name] for name in ("chunks", "delete", "untag", "referrers")} == {"no"}
        assert report.exit_code == 0, "what is not supported is no failure"
        assert states(await check(server.host))["delete"] == "no"


@pytest.mark.parametrize(
    "name, actions, deletion",
    [
        ("quay.io", "pull,push", "has to be allowed"),
        ("ghcr.io", "pull,push,delete", "GitHub deletes versions of packages"),
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", None, "aws ecr batch-delete-image"),
    ],
)
async def test_hosted_registries_are_asked_in_their_own_way(name: str, actions: str | None, deletion: str) -> None:
    scopes: list[str] = []

    def answer(request: Request) -> Reply | None:
        if request.path == "/token":
            scopes.extend(request.params.get("scope", []))
            return json_reply({"token": "x", "expires_in": 300})
        if request.headers.get("Authorization") is None:
            scheme = f'Bearer realm="https://{name}/token",service="x"' if actions else 'Basic realm="x"'
            return Reply(status=401, headers={"WWW-Authenticate": scheme})
        if request.method == "POST":
            return error_reply(404, "NAME_UNKNOWN")
        return Reply() if request.path == "/v2/" else error_reply(405, "UNSUPPORTED")

    with ScriptedServer(answer) as server:
        async with Session(credentials=ALICE, config=Config(), transport=Elsewhere({name: server})) as session:
            report = await examine(session, name, "team/app", write=True)
    assert deletion in (found(report, "delete").remedy or "")
    if actions is None:
        assert found(report, "chunks").said == "there is no repository team/app"
        assert found(report, "chunks").code == "repository-missing"
    else:
        assert f"repository:team/app:{actions}" in scopes


async def test_an_upload_is_cancelled_where_its_parts_are_refused() -> None:
    def answer(request: Request) -> Reply | None:
        if request.path == "/v2/":
            return Reply()
        if request.method == "POST":
            return Reply(status=202, headers={"Location": "/v2/a/blobs/uploads/1?state=x"})
        if request.method == "PATCH":
            return error_reply(415, "UNSUPPORTED")
        if request.method == "DELETE" and "uploads" in request.path:
            return Reply(status=405)
        return None

    with ScriptedServer(answer) as server:
        report = await check(f"{server.host}/a", write=True)
        assert "DELETE /v2/a/blobs/uploads/1?state=x" in server.lines
    assert states(report)["chunks"] == "no"
    assert found(report, "upload").said == ("an upload that was begun cannot be cancelled; the registry lets it expire")


class TestLogins:
    @pytest.mark.parametrize("auth", ["basic", "token"])
    async def test_who_is_let_in(self, auth: str) -> None:
        with RealRegistry(auth="basic" if auth == "basic" else "token") as registry:
            report = await check(registry.host)
            said = "it asks for basic" if auth == "basic" else f"it asks for bearer from {registry.tokens.realm}"
            assert found(report, "auth") == Examined("auth", "ok", f"{said}, and lets this machine in")
            wrong = await check(registry.host, credentials=GivenCredentials(Credential(username="eve", password="x")))
        assert found(wrong, "auth").state == "failed"
        assert found(wrong, "auth").code == "credentials-refused"
        assert wrong.exit_code == 4
        assert "catalog" not in states(wrong)

    async def test_a_catalog_is_not_for_everybody(self) -> None:
        with RealRegistry(auth="token") as registry:
            registry.tokens.grants = {"alice": {"team/*": {"pull"}}}
            report = await check(registry.host)
        assert states(report)["catalog"] == "no"
        assert report.exit_code == 0


class TestTLS:
    async def test_what_is_in_a_certificate(self, tmp_path: Path) -> None:
        authority = Authority(tmp_path, days=(-1, 100))
        with RealRegistry(tls=authority) as registry:
            report = await check(registry.host, Config({registry.host: HostConfig(ca_file=str(authority.ca))}))
        assert (states(report)["tls"], states(report)["http/2"]) == ("ok", "ok")
        certificate = report.certificate
        assert certificate is not None
        assert certificate.chain == ["localhost", "lading test authority"]
        assert certificate.names[:2] == ["localhost", "127.0.0.1"]
        assert 98 < (certificate.not_after - datetime.datetime.now(datetime.UTC)).days < 101

    async def test_one_that_expires_soon(self, tmp_path: Path) -> None:
        authority = Authority(tmp_path, days=(-1, 5))
        with ScriptedServer(lambda _: Reply(), tls=authority) as server:
            report = await check(server.host, Config(override=Override(ca_file=str(authority.ca))))
        assert found(report, "tls").state == "warning"
        assert (found(report, "tls").remedy or "").startswith("renew it: 4 days")
        assert states(report)["http/2"] == "no"

    @pytest.mark.parametrize(
        "days, names, cause",
        [
            ((-9, -1), ("127.0.0.1",), "it has expired"),
            ((-1, 9), ("other.example",), "it is for another name"),
        ],
    )
    async def test_one_that_is_not_valid_is_shown_all_the_same(
        self, tmp_path: Path, days: tuple[int, int], names: tuple[str, ...], cause: str
    ) -> None:
        authority = Authority(tmp_path, days=days, names=names)
        with ScriptedServer(tls=authority) as server:
            report = await check(server.host, Config(override=Override(ca_file=str(authority.ca))))
        assert found(report, "reach").state == "failed"
        assert cause in found(report, "reach").said
        assert names[0] in found(report, "tls").said
        assert report.exit_code == 6

    async def test_one_that_nobody_knows(self, tmp_path: Path, authority: Authority) -> None:
        own = SelfSigned(tmp_path)
        with ScriptedServer(lambda _: Reply(), tls=own) as server:
            report = await check(server.host, Config(override=Override(ca_file=str(authority.ca))))
            assert found(report, "reach").code == "untrusted-certificate"
            assert "signed by itself" in found(report, "tls").said
            report = await check(server.host)
            assert found(report, "tls").state == "warning", "this machine is believed to be itself, and no more"
            assert "not verified" in found(report, "tls").said
            report = await check(server.host, Config(override=Override(ca_file=str(own.ca))))
            assert found(report, "tls").state == "ok"


@pytest.mark.parametrize("seconds, state", [(0, "ok"), (-30, "ok"), (400, "warning"), (-400, "warning")])
async def test_clocks_that_are_apart(seconds: int, state: str) -> None:
    def answer(_: Request) -> Reply:
        now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
        return Reply(headers={"Date": email.utils.format_datetime(now, usegmt=True)})

    with ScriptedServer(answer) as server:
        clock = found(await check(server.host), "clock")
    assert clock.state == state
    if state == "warning":
        assert ("ahead" if seconds > 0 else "behind") in clock.said


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 99 Jan 2024 00:00:00 GMT"])
async def test_a_date_that_is_none(date: str) -> None:
    with ScriptedServer(lambda _: Reply(headers={"Date": date})) as server:
        assert found(await check(server.host), "clock").state == "unknown"


async def test_what_is_no_registry() -> None:
    with ScriptedServer(lambda _: Reply(status=404, body=b"<html>")) as server:
        report = await check(server.host)
    assert found(report, "api").state == "failed"
    assert report.exit_code == 9


async def test_nobody_is_there() -> None:
    with ScriptedServer() as server:
        host = server.host
    report = await check(host)
    assert [(finding.name, finding.state) for finding in report.findings] == [("reach", "failed"), ("tls", "failed")][
        :1
    ]
    assert report.exit_code == 6


async def test_writing_needs_a_repository(registry: RealRegistry) -> None:
    with pytest.raises(UsageError, match="where to write"):
        await check(registry.host, write=True)


class TestPullLimits:
    @pytest.mark.parametrize(
        "headers, said",
        [
            ({}, (False, None, None, None, None)),
            (
                {
                    "RateLimit-Limit": "100;w=21600",
                    "RateLimit-Remaining": "20;w=21600",
                    "Docker-RateLimit-Source": "203.0.113.7",
                },
                (True, 100, 20, 21600, "203.0.113.7"),
            ),
            ({"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "59"}, (True, 60, 59, None, None)),
            ({"RateLimit-Limit": "many"}, (False, None, None, None, None)),
        ],
    )
    def test_what_headers_say(self, headers: Mapping[str, str], said: tuple[object, ...]) -> None:
        limits = read_limits("a.example", Headers(headers.items()))
        assert (limits.tells, limits.limit, limits.remaining, limits.window, limits.counted_by) == said

    async def test_asking_counts_as_no_pull(self) -> None:
        def answer(_: Request) -> Reply:
            return Reply(headers={"RateLimit-Limit": "100;w=21600"})

        with ScriptedServer(answer) as server:
            async with AsyncClient(config=Config()) as client:
                assert (await client.registries.pull_limits(f"{server.host}/a/b:1")).limit == 100
                assert (await client.registries.pull_limits(server.host)).tells
            assert server.lines == ["HEAD /v2/a/b/manifests/1", "GET /v2/"]

    async def test_docker_hub_is_asked_as_it_says(self) -> None:
        """Its own image for asking, with a token for anybody and a HEAD (docs.docker.com, usage and limits)."""

        def hub(request: Request) -> Reply | None:
            if request.path == "/token":
                return json_reply({"token": "for-anybody", "expires_in": 300})
            if request.headers.get("Authorization") is None:
                challenge = 'Bearer realm="https://auth.docker.io/token",service="registry.docker.io"'
                return Reply(status=401, headers={"WWW-Authenticate": challenge})
            headers = {"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "76;w=21600"}
            return Reply(headers=headers | {"docker-ratelimit-source": "203.0.113.7"})

        with ScriptedServer(hub) as server:

            class Hub(ReqwestTransport):
                """Leads every name of Docker Hub to the server."""

                @asynccontextmanager
                async def send(self, request: Sent) -> AsyncIterator[Response]:
                    _, _, path = request.url.removeprefix("https://").partition("/")
                    local = msgspec.structs.replace(request, url=f"{server.url}/{path}")
                    async with super().send(local) as response:
                        response.url = request.url
                        yield response

            async with Session(config=Config(), transport=Hub) as session:
                found = await pull_limits(session, "docker.io")
            assert (found.limit, found.remaining, found.counted_by) == (100, 76, "203.0.113.7")
            assert server.lines[0] == "HEAD /v2/ratelimitpreview/test/manifests/latest"
            assert "scope=repository%3Aratelimitpreview%2Ftest%3Apull" in server.lines[1]
            assert server.lines[2:] == ["HEAD /v2/ratelimitpreview/test/manifests/latest"]

    async def test_what_is_not_there_has_no_limits(self, registry: RealRegistry, repository: str) -> None:
        async with AsyncClient(config=Config()) as client:
            with pytest.raises(NotFound):
                await client.registries.pull_limits(f"{registry.host}/{repository}:1")
