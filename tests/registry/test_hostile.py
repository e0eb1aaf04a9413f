"""Nothing leaks: registries, token services, mirrors and helpers that are after secrets, or after this machine's time.

Every secret that lading is given is planted. Then commands run with `--debug` against hosts that do their worst; and
all that was printed, all that was written, and all that a stranger got is searched for what was planted.

`registry.example` is a registry of the public internet, as far as lading can tell: `--resolve` leads to a server of the
test, whose authority is trusted. So is `thief.example`; and the loopback addresses are this machine's, where no host of
the internet leads.
"""

import base64
import contextlib
import json
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest

from lading.errors import InvalidContent, LadingError, Unreachable
from lading.model import Descriptor, Digest
from lading.registry.hosts.configuration import Config
from lading.registry.hosts.settings import HostConfig
from lading.registry.http.rustls import ReqwestTransport
from lading.registry.http.transport import Route
from lading.registry.lists import repositories
from lading.registry.repository import Repository
from lading.registry.session import Session
from lading.store import read
from support.certs import Authority
from support.fakes import Reply, Request, ScriptedServer, error_reply, json_reply
from support.images import Manifest, make_image
from support.lading import Lading
from support.process import Ran

PASSWORD = "planted-password-1f3a"
HEADER = "planted-header-77c2"
PROXY = "planted-proxy-93be"
TOKEN = "planted-token-b0d4"
REFRESH = "planted-refresh-5e1c"
SIGNATURE = "planted-signature-c8f0"
SECRETS = (PASSWORD, HEADER, PROXY, TOKEN, REFRESH, SIGNATURE)
BASIC = base64.b64encode(f"ada:{PASSWORD}".encode()).decode()

Script = Callable[[Request], Reply | None]


class Stage:
    """A hostile registry, a thief, and lading with everything planted."""

    def __init__(self, folder: Path, lading: Lading, servers: contextlib.ExitStack) -> None:
        self.lading = lading
        authority = Authority(folder / "authority", names=("registry.example", "thief.example", "mirror.example"))
        self.image: Manifest = make_image()
        self.registry = servers.enter_context(ScriptedServer(tls=authority, hostname="registry.example"))
        self.thief = servers.enter_context(ScriptedServer(self.steal, tls=authority, hostname="thief.example"))
        self.local = servers.enter_context(ScriptedServer(self.steal))
        self.mirror = servers.enter_context(ScriptedServer(tls=authority, hostname="mirror.example"))
        self.name = f"{self.registry.host}/team/app"
        self.reach = ["--ca-file", str(authority.ca), "--header", f"{self.registry.host}=X-Key: {HEADER}"]
        for server in (self.registry, self.thief, self.mirror):
            self.reach += ["--resolve", f"{server.host}:127.0.0.1"]
        self.planted = {lading.docker_config / "config.json"}
        self.log_in(self.registry.host, auth=BASIC)
        lading.env["NO_PROXY"] = "*"
        lading.env["HTTPS_PROXY"] = f"http://ada:{PROXY}@proxy.example:3128"
        lading.env["LADING_CERTS_D"] = ""

    def log_in(self, host: str, headers: dict[str, str] | None = None, **entry: str) -> None:
        document = {"auths": {host: entry}, "HttpHeaders": {"X-Meta": HEADER} if headers is None else headers}
        (self.lading.docker_config / "config.json").write_text(json.dumps(document))

    def steal(self, request: Request) -> Reply:
        """Take whatever comes, and give what is asked for, so that the victim goes on."""
        if "token" in request.path:
            return json_reply({"token": TOKEN, "refresh_token": REFRESH, "expires_in": 300})
        return self.serve(request) or Reply(body=b"x")

    def serve(self, request: Request) -> Reply | None:
        """What an honest registry answers."""
        if "/manifests/" in request.path:
            headers = {"Content-Type": self.image.media_type, "Docker-Content-Digest": self.image.digest}
            return Reply(headers=headers, body=self.image.content)
        if "/blobs/sha256:" in request.path:
            digest = request.path.rpartition("/")[2]
            return Reply(body=self.image.blobs[digest]) if digest in self.image.blobs else None
        if request.path == "/v2/":
            return Reply()
        return None

    def let_in(self, request: Request) -> Reply | None:
        """The challenge of a registry with Basic authentication; None for who has answered it."""
        if request.headers.get("Authorization") == f"Basic {BASIC}":
            return None
        return Reply(status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})

    def run(self, *words: str) -> Ran:
        """Run a command with everything switched on; what it ends with is no concern here."""
        ran = self.lading.run(*words, *self.reach, "--debug", check=False)
        assert "in a way it should not" not in ran.stderr
        return ran

    def run_all(self) -> str:
        """Every kind of command, and all that they printed."""
        printed = ""
        layout = f"oci:{self.lading.home / 'layout'}:1"
        for words in (
            ("digest", f"{self.name}:1"),
            ("inspect", f"{self.name}:1"),
            ("tags", self.name),
            ("repos", self.registry.host),
            ("copy", f"{self.name}:1", layout, "--referrers"),
            ("tag", f"{self.name}:1", "2"),
            ("delete", f"{self.name}:1", "--yes"),
            ("registry", "check", self.name, "--write"),
            ("registry", "limits", f"{self.name}:1"),
        ):
            ran = self.run(*words)
            printed += ran.stdout + ran.stderr
        return printed

    def search(self, printed: str) -> None:
        """Look for the planted in all that was printed and written, and in what strangers got."""
        for secret in (*SECRETS, BASIC):
            assert secret not in printed, f"{secret} was printed"
        for file in self.lading.home.rglob("*"):
            if not file.is_file() or file in self.planted:
                continue
            content = file.read_bytes().decode("utf-8", "replace")
            for secret in (PASSWORD, HEADER, PROXY, BASIC, SIGNATURE):
                assert secret not in content, f"{secret} is in {file}"
            for secret in (TOKEN, REFRESH):
                private = stat.S_IMODE(file.stat().st_mode) & 0o077 == 0
                assert secret not in content or private, f"others can read {secret} in {file}"
        for stranger in (self.thief, self.local, self.mirror):
            for request in stranger.requests:
                got = f"{request.target} {request.headers} {request.body!r}"
                for secret in (PASSWORD, HEADER, PROXY, BASIC):
                    assert secret not in got, f"{stranger.host} got {secret}"


@pytest.fixture
def stage(tmp_path: Path, lading: Lading) -> Iterator[Stage]:
    with contextlib.ExitStack() as servers:
        yield Stage(tmp_path, lading, servers)


def nowhere(stage: Stage) -> dict[str, str]:
    """Where no host of the internet may lead. `test_urls` has the other spellings of such addresses."""
    return {
        "loopback": f"https://127.0.0.1:{stage.local.port}/v2/x",
        "metadata": "https://169.254.169.254/latest/meta-data",
        "downgrade": f"http://{stage.registry.host}/v2/x",
    }


PLACES = ("loopback", "metadata", "downgrade")


class TestLeadingAstray:
    @pytest.mark.parametrize("place", PLACES)
    def test_redirects(self, stage: Stage, place: str) -> None:
        target = nowhere(stage)[place]

        def answer(request: Request) -> Reply | None:
            if request.path == "/v2/x":
                return Reply(body=b"downgraded")
            return stage.let_in(request) or Reply(status=307, headers={"Location": target})

        stage.registry.script = answer
        ran = stage.run("digest", f"{stage.name}:1")
        assert ran.returncode == 9
        assert "redirects" in ran.stderr
        assert stage.local.requests == []
        stage.search(ran.stdout + ran.stderr)

    def test_a_redirect_to_another_host_takes_nothing_along(self, stage: Stage) -> None:
        def answer(request: Request) -> Reply | None:
            location = f"{stage.thief.url}{request.path}?X-Signature={SIGNATURE}"
            return stage.let_in(request) or Reply(status=307, headers={"Location": location})

        stage.registry.script = answer
        stage.search(stage.run_all())
        assert stage.thief.requests

    def test_a_stranger_who_asks_for_a_login_gets_none(self, stage: Stage) -> None:
        def thief(request: Request) -> Reply | None:
            if request.path == "/token":
                return stage.steal(request)
            challenge = f'Bearer realm="{stage.thief.url}/token",service="{stage.registry.host}"'
            return Reply(status=401, headers=[("WWW-Authenticate", challenge), ("WWW-Authenticate", "Basic realm=x")])

        stage.thief.script = thief
        stage.registry.script = lambda request: (
            stage.let_in(request) or Reply(status=307, headers={"Location": f"{stage.thief.url}{request.path}"})
        )
        stage.search(stage.run_all())
        assert any(request.path == "/token" for request in stage.thief.requests), "as anybody it may be asked"

    @pytest.mark.parametrize("place", PLACES)
    def test_realms(self, stage: Stage, place: str) -> None:
        realm = nowhere(stage)[place]
        challenge = f'Bearer realm="{realm}",service="x"'
        stage.registry.script = lambda request: Reply(status=401, headers={"WWW-Authenticate": challenge})
        ran = stage.run("digest", f"{stage.name}:1")
        assert ran.returncode == 4
        assert stage.local.requests == []
        assert not any(request.path == "/v2/x" for request in stage.registry.requests)
        stage.search(ran.stdout + ran.stderr)

    @pytest.mark.parametrize("place", ["thief", *PLACES])
    def test_pages_go_on_where_they_began(self, stage: Stage, place: str) -> None:
        target = {**nowhere(stage), "thief": f"{stage.thief.url}/v2/x"}[place]

        def answer(request: Request) -> Reply | None:
            link = {"Link": f'<{target}>; rel="next"'}
            return stage.let_in(request) or json_reply({"tags": ["1"], "repositories": ["a"]}, headers=link)

        stage.registry.script = answer
        for words in (("tags", stage.name), ("repos", stage.registry.host)):
            ran = stage.run(*words)
            assert ran.returncode == 9
            stage.search(ran.stdout + ran.stderr)
        assert stage.local.requests == stage.thief.requests == []

    @pytest.mark.parametrize("place", ["thief", *PLACES])
    def test_uploads_go_on_where_they_began(self, stage: Stage, place: str, tmp_path: Path) -> None:
        target = {**nowhere(stage), "thief": f"{stage.thief.url}/upload"}[place]

        def answer(request: Request) -> Reply | None:
            refused = stage.let_in(request)
            if refused is not None:
                return refused
            if request.method == "POST":
                return Reply(status=202, headers={"Location": target})
            return error_reply(404, "NOT_FOUND")

        stage.registry.script = stage.serve
        assert stage.run("copy", f"{stage.name}:1", f"oci:{tmp_path / 'layout'}:1").returncode == 0
        stage.registry.script = answer
        ran = stage.run("copy", f"oci:{tmp_path / 'layout'}:1", f"{stage.name}:2")
        assert ran.returncode == 9
        assert stage.local.requests == stage.thief.requests == []
        stage.search(ran.stdout + ran.stderr)

    def test_mirrors_get_nothing_of_the_registrys(self, stage: Stage) -> None:
        file = stage.lading.home / ".config" / "lading" / "config.toml"
        file.parent.mkdir(parents=True)
        file.write_text(
            f'[hosts."{stage.registry.host}"]\nmirrors = ["{stage.mirror.host}"]\n'
            f'[hosts."{stage.registry.host}".headers]\nX-Own = "{HEADER}"\n'
        )
        stage.planted.add(file)
        challenges = [
            ("WWW-Authenticate", f'Bearer realm="{stage.thief.url}/token",service="{stage.registry.host}"'),
            ("WWW-Authenticate", "Basic realm=x"),
        ]

        def mirror(request: Request) -> Reply:
            if request.headers.get("Authorization") is None:
                return Reply(status=401, headers=challenges)
            return Reply(status=307, headers={"Location": f"http://127.0.0.1:{stage.local.port}/"})

        stage.mirror.script = mirror
        stage.registry.script = lambda request: stage.let_in(request) or stage.serve(request)
        # Those that Docker's configuration names are for every registry, mirrors included.
        stage.log_in(stage.registry.host, {}, auth=BASIC)
        printed = ""
        for words in (("digest", f"{stage.name}:1"), ("inspect", f"{stage.name}:1")):
            ran = stage.run(*words)
            assert ran.returncode == 0, "the registry itself has it"
            printed += ran.stdout + ran.stderr
        assert stage.mirror.requests
        assert stage.local.requests == []
        stage.search(printed)


class TestRepeating:
    """What lading says of a failure may be the host's own words, and those what it was sent."""

    def test_errors_warnings_and_locations_repeat_what_was_sent(self, stage: Stage) -> None:
        def answer(request: Request) -> Reply | None:
            refused = stage.let_in(request)
            if refused is not None:
                return refused
            got = f"{request.headers.get('Authorization')} ada:{PASSWORD} {request.headers.get('X-Key')}"
            warning = {"Warning": f'299 - "you sent {got}"'}
            return error_reply(400, "UNKNOWN", f"what is {got}?", detail=got, headers=warning)

        stage.registry.script = answer
        printed = stage.run_all()
        assert "what is" in printed, "what it says is said"
        stage.search(printed)

    def test_refusals_repeat_what_was_sent(self, stage: Stage) -> None:
        def answer(request: Request) -> Reply:
            challenge = {
                "WWW-Authenticate": f'Basic realm="{PASSWORD if request.headers.get("Authorization") else ""}"'
            }
            return error_reply(
                401, "UNAUTHORIZED", f"not you: {request.headers.get('Authorization')}", headers=challenge
            )

        stage.registry.script = answer
        stage.search(stage.run_all())

    def test_tokens_are_repeated_and_refused(self, stage: Stage) -> None:
        stage.log_in(stage.registry.host, identitytoken=REFRESH)
        mood = ""

        def answer(request: Request) -> Reply | None:
            if request.path == "/token":
                if request.method == "POST" and "fail" in request.query:
                    return error_reply(401, "UNAUTHORIZED", f"what is {request.body.decode()}?")
                return json_reply({"access_token": TOKEN, "refresh_token": REFRESH, "expires_in": 300})
            challenge = {"WWW-Authenticate": f'Bearer realm="https://{stage.registry.host}/token?{mood}",service="x"'}
            if request.headers.get("Authorization") is None or mood == "fail":
                return Reply(status=401, headers=challenge)
            return error_reply(403, "DENIED", f"what is {request.headers.get('Authorization')}?")

        stage.registry.script = answer
        for following in ("give", "fail"):
            mood = following
            stage.search(stage.run_all())
            assert any(REFRESH in request.body.decode() for request in stage.registry.requests)


class TestHelpers:
    @pytest.mark.parametrize(
        "program",
        [
            f'echo "debug: {PASSWORD}" >&2; echo "{{\\"Username\\":\\"ada\\",\\"Secret\\":\\"{PASSWORD}\\"}}"',
            f'echo "{{\\"Username\\":\\"ada\\",\\"Secret\\":\\"{PASSWORD}\\"}}"; echo {PASSWORD} >&2; exit 1',
            f'echo "{{\\"Username\\":\\"ada\\",\\"Secret\\":{PASSWORD}"',
            f'echo "ada:{PASSWORD} is the secret" ; exit 1',
            f"yes {PASSWORD} | head -c 50000000; exit 1",
        ],
        ids=["chatty", "failing", "malformed", "explaining", "endless"],
    )
    def test_what_helpers_say_of_secrets_is_not_repeated(self, stage: Stage, program: str) -> None:
        programs = stage.lading.home / "bin"
        programs.mkdir()
        helper = programs / "docker-credential-hostile"
        helper.write_text(f"#!/bin/sh\n{program}\n")
        helper.chmod(0o755)
        stage.planted.add(helper)
        (stage.lading.docker_config / "config.json").write_text('{"credsStore": "hostile"}')
        stage.lading.env["PATH"] = f"{programs}:{stage.lading.environment['PATH']}"
        stage.registry.script = lambda request: stage.let_in(request) or stage.serve(request)
        for words in (("digest", f"{stage.name}:1"), ("login", stage.registry.host, "-u", "ada", "-p", PASSWORD)):
            ran = stage.run(*words)
            stage.search(ran.stdout + ran.stderr)


class TestProxies:
    def test_a_proxy_that_refuses_does_not_show_its_login(self, stage: Stage) -> None:
        with ScriptedServer(lambda request: Reply(status=407, body=str(request.headers).encode())) as proxy:
            stage.lading.env["HTTPS_PROXY"] = f"http://ada:{PROXY}@{proxy.host}"
            stage.lading.env["NO_PROXY"] = ""
            ran = stage.lading.run("digest", "other.example/a:1", "--debug", check=False)
            assert ran.returncode == 6
            assert f"the proxy {proxy.host}, which leads to other.example, asks for a login" in ran.stderr
            assert proxy.requests
        stage.search(ran.stdout + ran.stderr)
        shown = stage.lading.run("registry", "config", "other.example").stdout
        assert f"http://***@{proxy.host}" in shown
        stage.search(shown)


class Endless(threading.Thread):
    """A server whose answers never end: `head`, then `body` again and again."""

    def __init__(self, head: bytes, body: bytes) -> None:
        super().__init__(daemon=True)
        self._head, self._body = head, body
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._clients: list[socket.socket] = []
        self.sent = 0

    def run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._clients.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            client.recv(65536)
            client.sendall(self._head)
            while True:
                client.sendall(self._body)
                self.sent += len(self._body)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.join()
        # Else a client that reads on somewhere in its library would keep this process busy for good.
        for client in self._clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)


MANIFEST = b"Content-Type: application/vnd.oci.image.manifest.v1+json\r\n"
ENDLESS = {
    "manifest": (b"HTTP/1.1 200 OK\r\n" + MANIFEST + b"\r\n", b"[" * 65536),
    "text": (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n", b"<p>" * 20000),
    "error": (b"HTTP/1.1 403 Forbidden\r\n\r\n", b"x" * 65536),
    "missing": (b"HTTP/1.1 404 Not Found\r\n\r\n", b'{"errors":[' * 6000),
    "server error": (b"HTTP/1.1 500 Oh\r\n\r\n", b"x" * 65536),
    "challenge": (b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=x\r\n\r\n", b"x" * 65536),
    "heads": (b"HTTP/1.1 200 OK\r\n", b"X-Header: " + b"x" * 65526),
    "head": (b"HTTP/1.1 200 OK\r\nX-Header: ", b"x" * 65536),
    "announced": (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n" + MANIFEST + b"\r\n", b"{" * 65536),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1;" + b"x" * 60000 + b"\r\n[\r\n"),
}
PLENTY = 200 * 1024 * 1024
"""More than all limits and all buffers on the way hold, in bytes."""


async def fetch(session: Session, host: str, path: str) -> object:
    if "manifests" in path:
        return await Repository(session, host, "a").fetch("1")
    if "tags" in path:
        return [tag async for tag in Repository(session, host, "a").tags()]
    return [name async for name in repositories(session, host)]


class TestEndless:
    @pytest.mark.parametrize("kind", ENDLESS)
    @pytest.mark.parametrize("path", ["/v2/a/manifests/1", "/v2/a/tags/list", "/v2/_catalog"])
    async def test_an_answer_without_end_is_not_read_to_it(self, kind: str, path: str) -> None:
        with Endless(*ENDLESS[kind]) as server:
            config = Config({server.host: HostConfig(plain_http=True)})
            async with Session(config=config, retries=0) as session:
                with pytest.raises(LadingError) as caught:
                    await fetch(session, server.host, path)
            assert server.sent < PLENTY
            assert len(str(caught.value)) < 2000

    @pytest.mark.parametrize("kind", ["text", "error", "heads", "announced"])
    async def test_a_token_service_without_end(self, kind: str) -> None:
        with Endless(*ENDLESS[kind]) as service:
            challenge = f'Bearer realm="http://{service.host}/token",service="x"'
            with ScriptedServer(lambda _: Reply(status=401, headers={"WWW-Authenticate": challenge})) as registry:
                async with Session(config=Config(), retries=0) as session:
                    with pytest.raises(LadingError):
                        async with session.request("GET", registry.host, "/v2/", what="x"):
                            pass
            assert service.sent < PLENTY

    async def test_pages_without_end_are_given_up_where_they_repeat(self) -> None:
        def answer(request: Request) -> Reply:
            return json_reply({"tags": ["1"]}, headers={"Link": '</v2/a/tags/list?last=1>; rel="next"'})

        with ScriptedServer(answer) as server:
            async with Session(config=Config()) as session:
                with pytest.raises(InvalidContent, match="circle"):
                    _ = [tag async for tag in Repository(session, server.host, "a").tags()]
            assert len(server.requests) == 2

    @pytest.mark.parametrize("body", [b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 2000], ids=["nothing", "hints"])
    async def test_who_has_nothing_to_say_is_not_listened_to_for_long(self, body: bytes) -> None:
        def impatient(route: Route) -> ReqwestTransport:
            return ReqwestTransport(route, stall_timeout=0.2)

        with Endless(b"", body) if body else socket.create_server(("127.0.0.1", 0)) as server:
            host = server.host if isinstance(server, Endless) else f"127.0.0.1:{server.getsockname()[1]}"
            config = Config({host: HostConfig(plain_http=True)})
            async with Session(config=config, retries=0, transport=impatient) as session:
                with pytest.raises(Unreachable, match="stopped answering"):
                    await fetch(session, host, "/v2/a/manifests/1")

    async def test_a_blob_that_drips_is_not_read_for_ever(self) -> None:
        content = Descriptor(digest=Digest("sha256:" + "1" * 64), size=1_000_000)
        with Dripping() as server:
            config = Config({server.host: HostConfig(plain_http=True)})

            def impatient(route: Route) -> ReqwestTransport:
                return ReqwestTransport(route, stall_timeout=0.1)

            async with Session(config=config, retries=0, transport=impatient) as session:
                with pytest.raises(Unreachable, match="stopped answering"):
                    await read(Repository(session, server.host, "a"), content, content.size)
            assert server.asked <= 4


class Dripping(threading.Thread):
    """A server that gives 70 kB at once to whoever asks, and then a byte now and then."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.asked = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._drip, args=(client,), daemon=True).start()

    def _drip(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            request = client.recv(65536).decode()
            self.asked += 1
            status = "206 Partial Content" if "range:" in request.lower() else "200 OK"
            client.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 1000000\r\n\r\n".encode() + b"x" * 70_000)
            while True:
                client.sendall(b"x")
                time.sleep(0.01)
