"""The server around the registry: TLS, patience with clients, and being a part of another application."""

import asyncio
import contextlib
import http.client
import logging
import shutil
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from lading.errors import UsageError
from lading.serve import FolderStorage, MemoryStorage, Settings, Storage, app, background, running
from lading.serve.server import background as run_background
from serve.accounts import USERS, basic, htpasswd
from serve.caller import Caller
from support.certs import Authority
from support.images import digest_of, make_image, noise, push
from support.parts import need
from support.process import run

PATIENCE = 30


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class TestTLS:
    @pytest.fixture
    def url(self, authority: Authority) -> Iterator[str]:
        with background(tls_cert=authority.certificate, tls_key=authority.key) as url:
            yield url

    def test_serves_with_the_certificate(self, url: str, authority: Authority) -> None:
        assert url.startswith("https://127.0.0.1:")
        push(url.removeprefix("https://"), "a", "v1", make_image(), scheme="https", trust=authority)
        connection = http.client.HTTPSConnection(url.removeprefix("https://"), context=authority.client_context())
        connection.request("GET", "/v2/a/tags/list")
        assert b"v1" in connection.getresponse().read()
        connection.close()
        stranger = http.client.HTTPSConnection(url.removeprefix("https://"))
        with contextlib.closing(stranger), pytest.raises(ssl.SSLCertVerificationError):
            stranger.request("GET", "/v2/")

    @pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
    def test_speaks_nothing_older_than_tls_1_2(self, url: str, authority: Authority) -> None:
        port = int(url.rpartition(":")[2])
        context = authority.client_context()
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        with socket.create_connection(("127.0.0.1", port)) as plain, pytest.raises((ssl.SSLError, OSError)):
            context.wrap_socket(plain, server_hostname="127.0.0.1")
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
        plain = socket.create_connection(("127.0.0.1", port))
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as secured:
            assert secured.version() == "TLSv1.2"

    @pytest.mark.parametrize("method, body", [("GET", None), ("PATCH", b"x" * 300_000), ("OPTIONS", None)])
    def test_answers_clients_that_try_without(
        self, url: str, method: str, body: bytes | None, capfd: pytest.CaptureFixture[str]
    ) -> None:
        answer = Caller(url)(method, "/v2/", body)
        assert (answer.status, answer.code) == (400, "UNSUPPORTED")
        assert "TLS" in answer.document["errors"][0]["message"]
        assert answer.headers["connection"] == "close"
        assert capfd.readouterr() == ("", "")

    def test_breaks_off_what_is_neither(self, url: str) -> None:
        with Line(url) as line:
            line.send("\x16nonsense that is no record of TLS")
            with contextlib.suppress(ConnectionError):
                while line.socket.recv(1):
                    pass

    def test_tokens_are_asked_for_with_tls(self, authority: Authority, tmp_path: Path) -> None:
        settings = Settings(auth=f"token={htpasswd(tmp_path / 'users')}")
        with background(settings=settings, tls_cert=authority.certificate, tls_key=authority.key) as url:
            host = url.removeprefix("https://")
            trusted = tmp_path / "trusted"
            trusted.mkdir()
            shutil.copy(authority.ca, trusted / "ca.crt")
            skopeo, image = need("skopeo"), make_image()
            with background() as source:
                push(Caller(source).host, "a", "v1", image)
                flags = ["--src-tls-verify=false", f"--dest-cert-dir={trusted}", f"--dest-creds=alice:{USERS['alice']}"]
                there = f"docker://{host}/b:v1"
                run([skopeo, "--insecure-policy", "copy", *flags, f"docker://{Caller(source).host}/a:v1", there])
            flags = [f"--cert-dir={trusted}", f"--creds=alice:{USERS['alice']}"]
            assert image.digest in run([skopeo, "inspect", *flags, there]).stdout

    def test_takes_a_new_certificate_when_there_is_one(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        old, new = Authority(tmp_path / "old"), Authority(tmp_path / "new")
        certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
        shutil.copy(old.certificate, certificate)
        shutil.copy(old.key, key)

        def serves_for(authority: Authority) -> bool:
            try:
                push(host, "a", "v1", make_image(), scheme="https", trust=authority)
            except ssl.SSLCertVerificationError:
                return False
            return True

        with background(tls_cert=certificate, tls_key=key) as url:
            host = url.removeprefix("https://")
            assert serves_for(old)
            shutil.copy(new.certificate, certificate)  # the key is the old one's still
            until(lambda: "has changed and cannot be used" in caplog.text)
            assert serves_for(old)
            shutil.copy(new.key, key)
            until(lambda: serves_for(new))
            assert not serves_for(old)

    def test_needs_what_belongs_together(self, authority: Authority, tmp_path: Path) -> None:
        other = Authority(tmp_path / "other")
        encrypted = tmp_path / "encrypted"
        openssl: list[str | Path] = ["openssl", "pkey", "-aes256", "-passout", "pass:x"]
        run([*openssl, "-in", authority.key, "-out", encrypted])
        (tmp_path / "nonsense").write_text("nonsense")
        good = authority.certificate
        for certificate, key, message in [
            (good, None, "are given together"),
            (None, authority.key, "are given together"),
            (tmp_path / "missing", authority.key, "cannot read .*missing"),
            (good, tmp_path, "cannot read"),
            (good, other.key, "they are not of each other"),
            (good, encrypted, "encrypted is encrypted"),
            (good, tmp_path / "nonsense", "cannot serve with"),
            (tmp_path / "nonsense", authority.key, "cannot serve with"),
        ]:
            with pytest.raises(UsageError, match=message), background(tls_cert=certificate, tls_key=key):
                pass


class Line:
    """A connection on which a test says each byte."""

    def __init__(self, url: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])))
        self.socket.settimeout(PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, text: str) -> None:
        self.socket.sendall(text.replace("\n", "\r\n").encode())

    def is_closed(self) -> bool:
        """Wait until the server ends it."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True

    def read(self) -> bytes:
        """An answer without a body."""
        said = b""
        while not said.endswith(b"\r\n\r\n"):
            byte = self.socket.recv(1)
            assert byte, said
            said += byte
        return said


@pytest.mark.parametrize("body", ["zz\nabc\n", "3\nabc\nzz\n", "3\nabcdef"])
@pytest.mark.parametrize(
    "asked",
    ["PATCH {upload}", "PUT /v2/a/manifests/v1", "GET /v2/", "GET /v2/a/blobs/{digest}", "DELETE /v2/b/blobs/0"],
)
def test_a_malformed_chunk_is_one_line_with_400(
    tmp_path: Path, asked: str, body: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether or not the registry reads the body of such a request."""
    with background(FolderStorage(tmp_path)) as url:
        call = Caller(url)
        call.push_blob("a", digest_of(b"blob"), b"blob")
        line = asked.format(upload=call.start("a"), digest=digest_of(b"blob"))
        caplog.set_level(logging.INFO, "lading.serve")
        with Line(url) as client:
            client.send(f"{line} HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n{body}")
            assert client.read().startswith(b"HTTP/1.1 400")
        assert call("GET", "/v2/").status == 200
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("lading")]
    assert sorted(lines) == sorted([f"127.0.0.1 None {line} 400", "127.0.0.1 None GET /v2/ 200"])


@contextlib.contextmanager
def impatient(storage: Storage | None = None, patience: float = 0.3) -> Iterator[str]:
    with run_background(app(storage), "127.0.0.1:0", patience=patience) as url:
        yield url


class TestPatience:
    """Whoever holds a connection and does not do their part loses it."""

    def test_with_silence(self) -> None:
        with impatient() as url, Line(url) as line:
            assert line.is_closed()

    def test_with_headers_that_come_too_slowly(self) -> None:
        def is_still_open() -> bool:
            try:
                line.send("x: y\n")
            except ConnectionError:
                return False
            return True

        with impatient() as url, Line(url) as line:
            line.send("GET /v2/ HTTP/1.1\nHost: a\n")
            until(lambda: not is_still_open())

    def test_with_a_second_request_that_does_not_come(self) -> None:
        with impatient() as url, Line(url) as line:
            line.send("HEAD /v2/ HTTP/1.1\nHost: a\n\n")
            assert line.read().startswith(b"HTTP/1.1 200")
            line.send("HEAD /v2/ HT")
            assert line.is_closed()

    def test_with_a_body_that_stops(self) -> None:
        """What came of it is kept: the client can go on from there."""
        with impatient() as url:
            call = Caller(url)
            location = call.start("a")
            with Line(url) as line:
                line.send(f"PATCH {location} HTTP/1.1\nHost: a\nContent-Length: 10\n\n12345")
                assert line.is_closed()
            until(lambda: call("GET", location).headers["range"] == "0-4")
            answer = call("PATCH", location, b"67890", content_range="5-9")
            assert answer.headers["range"] == "0-9"

    def test_with_an_answer_that_nobody_reads(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        content = noise("large", 30_000_000)
        with caplog.at_level(logging.INFO, "lading.serve.access"), impatient(FolderStorage(tmp_path), 2) as url:
            Caller(url).push_blob("a", digest_of(content), content)
            with Line(url) as line:
                line.send(f"GET /v2/a/blobs/{digest_of(content)} HTTP/1.1\nHost: a\n\n")
                until(lambda: any("GET" in record.message for record in caplog.records))
            sent = next(record for record in caplog.records if "GET" in record.message).__dict__["request"]["sent"]
            assert sent < len(content)

    def test_but_not_with_an_answer_that_is_read_slowly(self, tmp_path: Path) -> None:
        """It may take far longer than patience lasts, if only it goes on."""
        content = noise("large", 30_000_000)
        with impatient(FolderStorage(tmp_path), 1) as url:
            Caller(url).push_blob("a", digest_of(content), content)
            with Line(url) as line:
                line.send(f"GET /v2/a/blobs/{digest_of(content)} HTTP/1.1\nHost: a\n\n")
                line.read()
                received = bytearray()
                while piece := line.socket.recv(200_000):
                    received += piece
                    if len(received) == len(content):
                        break
                    time.sleep(0.01)
                assert received == content

    def test_but_not_with_idle_connections(self) -> None:
        with impatient(patience=0.1) as url, Line(url) as line:
            for _ in range(2):
                line.send("HEAD /v2/ HTTP/1.1\nHost: a\n\n")
                assert line.read().startswith(b"HTTP/1.1 200")
                time.sleep(0.5)

    def test_but_not_while_the_registry_works(self, monkeypatch: pytest.MonkeyPatch) -> None:
        storage = MemoryStorage()
        real = storage.repositories

        async def slow() -> Any:
            await asyncio.sleep(0.5)
            return await real()

        monkeypatch.setattr(storage, "repositories", slow)
        with impatient(storage, patience=0.1) as url, Line(url) as line:
            line.send("HEAD /v2/_catalog HTTP/1.1\nHost: a\n\n")
            assert line.read().startswith(b"HTTP/1.1 200")

    @pytest.mark.slow
    def test_but_not_with_slow_lines(self) -> None:
        with impatient(patience=3) as url, Line(url) as line:
            location = Caller(url).start("a")
            line.send(f"PATCH {location} HTTP/1.1\nHost: a\nContent-Length: 10\n\n")
            for _ in range(10):
                line.send("x")
                time.sleep(0.5)
            assert line.read().startswith(b"HTTP/1.1 202")


def test_ends_at_once() -> None:
    """Programs start one for each of their tests; a client that keeps its connection open does not hold it up."""
    seconds = []
    for _ in range(8):
        with background() as url:
            client = http.client.HTTPConnection(url.removeprefix("http://"))
            client.request("GET", "/v2/")
            client.getresponse().read()
            begun = time.monotonic()
        seconds.append(time.monotonic() - begun)
        client.close()
    assert min(seconds) < 0.08  # the least, for a machine that is busy with something else


def test_a_file_is_closed_when_its_client_leaves(tmp_path: Path) -> None:
    content = noise("large", 30_000_000)
    digest = digest_of(content)

    def open_files() -> list[str]:
        found = []
        for file in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                found.append(str(file.readlink()))
        return found

    with background(FolderStorage(tmp_path)) as url:
        Caller(url).push_blob("a", digest, content)
        before = len(open_files())
        with Line(url) as line:
            line.send(f"GET /v2/a/blobs/{digest} HTTP/1.1\nHost: a\n\n")
            line.read()
            assert [name for name in open_files() if name.endswith(digest.partition(":")[2])]
        until(lambda: len(open_files()) <= before)
        assert Caller(url)("GET", f"/v2/a/blobs/{digest}").body == content


def test_headers_have_a_size() -> None:
    with background() as url:
        assert Caller(url)("GET", "/v2/", x="y" * 50_000).status == 200
        with Line(url) as line:
            said = b""
            with contextlib.suppress(ConnectionError):  # which may come before the answer does
                line.send("GET /v2/ HTTP/1.1\nHost: a\nx: " + "y" * 1_000_000)
                while more := line.socket.recv(1000):
                    said += more
            assert said == b"" or said.startswith(b"HTTP/1.1 400")
        assert Caller(url)("GET", "/v2/").status == 200


class TestMounted:
    """The registry as a part of somebody's application, below a path of theirs."""

    @pytest.fixture
    def call(self, tmp_path: Path) -> Iterator[Caller]:
        settings = Settings(auth=f"token={htpasswd(tmp_path / 'users')}")
        routes = [Mount("/open", app()), Mount("/a b/registry", app(settings=settings)), Mount("/", app())]
        with run_background(Starlette(routes=routes), "127.0.0.1:0") as url:
            yield Caller(url)

    def test_answers_with_its_own_path(self, call: Caller) -> None:
        image = make_image()
        location = call("POST", "/open/v2/a/blobs/uploads/").headers["location"]
        assert location.startswith("/open/v2/a/blobs/uploads/")
        answer = call("PATCH", location, image.config)
        assert answer.headers["location"] == location
        answer = call("PUT", f"{location}?digest={digest_of(image.config)}")
        assert answer.headers["location"] == f"/open/v2/a/blobs/{digest_of(image.config)}"
        assert call("GET", answer.headers["location"]).body == image.config
        for layer in image.layers:
            assert call("POST", f"/open/v2/a/blobs/uploads/?digest={digest_of(layer)}", layer).status == 201
        answer = call("PUT", "/open/v2/a/manifests/v1", image.content, content_type=image.media_type)
        assert answer.headers["location"] == f"/open/v2/a/manifests/{image.digest}"
        assert call("GET", answer.headers["location"]).body == image.content
        assert call("PUT", "/open/v2/a/manifests/v2", image.content, content_type=image.media_type).status == 201
        listed = call("GET", "/open/v2/a/tags/list?n=1")
        link = listed.headers["link"]
        assert link == '</open/v2/a/tags/list?n=1&last=v1>; rel="next"'
        assert call("GET", link[1:].partition(">")[0]).document["tags"] == ["v2"]

    def test_sends_to_its_own_token_service(self, call: Caller) -> None:
        answer = call("GET", "/a%20b/registry/v2/a/tags/list")
        realm = answer.headers["www-authenticate"].split('"')[1]
        assert realm == f"{call.url}/a%20b/registry/v2/token"
        path = f"{realm.removeprefix(call.url)}?scope=repository:a:pull,push"
        token = call("GET", path, authorization=basic("alice")).document["token"]
        answer = call("POST", "/a%20b/registry/v2/a/blobs/uploads/", authorization=f"Bearer {token}")
        assert answer.status == 202
        assert answer.headers["location"].startswith("/a%20b/registry/v2/a/blobs/uploads/")

    def test_is_used_by_clients_at_the_root(self, call: Caller) -> None:
        push(call.host, "a", "v1", make_image())
        inspected = run([need("skopeo"), "inspect", "--tls-verify=false", f"docker://{call.host}/a:v1"])
        assert make_image().digest in inspected.stdout


async def test_settings_are_for_every_way_to_run(tmp_path: Path) -> None:
    settings = Settings(auth=f"htpasswd={htpasswd(tmp_path / 'users')}")
    async with running(settings=settings) as url:
        call = Caller(url)
        assert (await asyncio.to_thread(call, "GET", "/v2/")).status == 401
        assert (await asyncio.to_thread(call, "GET", "/v2/", authorization=basic("alice"))).status == 200
