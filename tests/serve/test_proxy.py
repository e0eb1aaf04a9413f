"""A pull-through cache: what it asks the other registry for, what it keeps, and what it never gives away."""

import base64
import contextlib
import http.client
import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lading.errors import InvalidReference
from lading.registry.hosts.configuration import Config
from lading.serve import FolderStorage, MemoryStorage, Settings, Storage, background, proxy_of
from serve.accounts import USERS, htpasswd
from serve.caller import Caller
from serve.served import Served
from support.docker import DockerCLI
from support.fakes import Reply
from support.images import (
    OCI_INDEX,
    Manifest,
    digest_of,
    make_artifact,
    make_busybox,
    make_image,
    make_index,
    noise,
    push,
)
from support.lading import Lading
from support.parts import need
from support.process import run
from support.proxy import Alter, CountingProxy, Intercept, first_of, when

IMAGES = [make_image(f"linux/{arch}", kind="oci", layers=2, seed=arch) for arch in ("amd64", "arm64")]
INDEX = make_index(IMAGES, kind="oci")
LARGE = noise("large", 5_000_000)


@pytest.fixture
def upstream() -> Iterator[CountingProxy]:
    """A registry, and what is asked of it."""
    with background() as url, CountingProxy(url) as counting:
        yield counting


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


Start = Callable[..., contextlib.AbstractContextManager[Caller]]


@pytest.fixture
def start(upstream: CountingProxy, storage: Storage, clock: Clock, tmp_path: Path) -> Start:
    """Starts a cache in front of `upstream`."""

    @contextlib.contextmanager
    def starting(host: str = upstream.host, cache: Storage = storage) -> Iterator[Caller]:
        content = proxy_of(host, cache, docker_config=tmp_path / "none", config=Config(), clock=clock)
        with background(content) as url:
            yield Caller(url)

    return starting


@pytest.fixture
def call(start: Start) -> Iterator[Caller]:
    with start() as caller:
        yield caller


def put(upstream: CountingProxy, repository: str, tag: str | None, manifest: Manifest) -> None:
    push(upstream.host, repository, tag, manifest)
    upstream.reset()


def put_blob(upstream: CountingProxy, content: bytes, repository: str = "a") -> str:
    Caller(upstream.url).push_blob(repository, digest_of(content), content)
    upstream.reset()
    return digest_of(content)


def pull(call: Caller, repository: str, tag: str, index: Manifest = INDEX) -> None:
    """Pull everything, and look at every byte."""
    assert call("GET", f"/v2/{repository}/manifests/{tag}").body == index.content
    for image in index.children:
        assert call("GET", f"/v2/{repository}/manifests/{image.digest}").body == image.content
        for digest, blob in image.blobs.items():
            assert call("GET", f"/v2/{repository}/blobs/{digest}").body == blob


class TestAsks:
    def test_once_for_everything(self, call: Caller, upstream: CountingProxy, clock: Clock) -> None:
        put(upstream, "library/nginx", "v1", INDEX)
        pull(call, "library/nginx", "v1")
        blobs = {digest for image in IMAGES for digest in image.blobs}
        expected = {"GET /v2/library/nginx/manifests/v1"}
        expected |= {f"GET /v2/library/nginx/manifests/{image.digest}" for image in IMAGES}
        expected |= {f"GET /v2/library/nginx/blobs/{digest}" for digest in blobs}
        assert sorted(upstream.lines) == sorted(expected)
        upstream.reset()
        pull(call, "library/nginx", "v1")
        assert upstream.lines == []
        clock.now += 61
        pull(call, "library/nginx", "v1")
        assert upstream.lines == ["HEAD /v2/library/nginx/manifests/v1"]

    def test_once_for_all_who_want_it(self, call: Caller, upstream: CountingProxy) -> None:
        """Thirty-two clients ask before the first of them can have been answered."""
        digest = put_blob(upstream, LARGE)
        put(upstream, "a", "v1", IMAGES[0])
        asked = threading.Semaphore(0)
        go = threading.Event()

        def hold(request: Any) -> None:
            asked.release()
            assert go.wait(30)

        upstream.intercept = hold
        paths = [f"/v2/a/blobs/{digest}", "/v2/a/manifests/v1"] * 16
        with ThreadPoolExecutor(32) as pool:
            answers = [pool.submit(call, "GET", path) for path in paths]
            assert all(asked.acquire(timeout=30) for _ in range(2))
            go.set()
            bodies = [answer.result().body for answer in answers]
        assert bodies == [LARGE, IMAGES[0].content] * 16
        assert sorted(upstream.lines) == sorted(f"GET {path}" for path in paths[:2])

    def test_only_for_what_it_is_asked(self, call: Caller, upstream: CountingProxy) -> None:
        digest = put_blob(upstream, LARGE)
        answer = call("HEAD", f"/v2/a/blobs/{digest}")
        assert (answer.status, answer.headers["content-length"]) == (200, str(len(LARGE)))
        assert upstream.lines == [f"HEAD /v2/a/blobs/{digest}"]
        assert call("HEAD", f"/v2/a/blobs/{digest_of(b'nothing')}").status == 404
        assert call("GET", f"/v2/a/blobs/{digest_of(b'nothing')}").code == "BLOB_UNKNOWN"
        assert call("GET", "/v2/a/manifests/nothing").code == "MANIFEST_UNKNOWN"
        assert call("GET", f"/v2/a/manifests/{digest_of(b'nothing')}").code == "MANIFEST_UNKNOWN"
        missing = call("GET", "/v2/nothing/tags/list")
        assert (missing.status, missing.code) == (404, "NAME_UNKNOWN")
        # Of referrers the specification allows no 404 (§Listing Referrers).
        assert call("GET", f"/v2/nothing/referrers/{digest}").document["manifests"] == []
        assert call("GET", "/v2/_catalog").document == {"repositories": []}

    def test_for_a_part_of_what_is_not_here_and_gets_it_all(self, call: Caller, upstream: CountingProxy) -> None:
        digest = put_blob(upstream, LARGE)
        answer = call("GET", f"/v2/a/blobs/{digest}", range="bytes=3000000-3999999")
        assert (answer.status, answer.body) == (206, LARGE[3_000_000:4_000_000])
        assert call("GET", f"/v2/a/blobs/{digest}", range="bytes=-5").body == LARGE[-5:]
        assert call("GET", f"/v2/a/blobs/{digest}").body == LARGE
        assert upstream.count("GET") == 1

    def test_for_tags_that_moved_or_went(self, call: Caller, upstream: CountingProxy, clock: Clock) -> None:
        old, new = IMAGES
        put(upstream, "a", "v1", old)
        assert call("GET", "/v2/a/manifests/v1").body == old.content
        put(upstream, "a", "v1", new)
        assert call("GET", "/v2/a/manifests/v1").body == old.content
        clock.now += 61
        assert call("GET", "/v2/a/manifests/v1").body == new.content
        assert upstream.lines == ["HEAD /v2/a/manifests/v1", f"GET /v2/a/manifests/{new.digest}"]
        put(upstream, "a", "v1", old)
        clock.now += 61
        assert call("GET", "/v2/a/manifests/v1").body == old.content
        assert upstream.lines == ["HEAD /v2/a/manifests/v1"]
        Caller(upstream.url)("DELETE", "/v2/a/manifests/v1")
        clock.now += 61
        assert call("GET", "/v2/a/manifests/v1").status == 404
        assert call("GET", f"/v2/a/manifests/{old.digest}").body == old.content

    def test_for_lists_of_tags_and_referrers(self, call: Caller, upstream: CountingProxy) -> None:
        image = IMAGES[0]
        for tag in ("v2", "v1"):
            put(upstream, "a", tag, image)
        sbom = make_artifact("application/x-sbom", subject=image, annotations={"a": "b"})
        put(upstream, "a", None, sbom)
        put(upstream, "a", None, make_artifact("application/x-signature", subject=image))
        assert call("GET", "/v2/a/tags/list?n=1").document == {"name": "a", "tags": ["v1"]}
        answer = call("GET", f"/v2/a/referrers/{image.digest}?artifactType=application/x-sbom")
        assert (answer.status, answer.headers["content-type"]) == (200, OCI_INDEX)
        assert answer.document["manifests"] == [
            sbom.descriptor(annotations={"a": "b"}) | {"artifactType": "application/x-sbom"}
        ]
        assert len(call("GET", f"/v2/a/referrers/{image.digest}").document["manifests"]) == 2


class TestKeeps:
    def test_nothing_that_is_wrong(self, call: Caller, upstream: CountingProxy, caplog: Any) -> None:
        """Whoever is reading it sees it break off; the last byte comes only when all of it is right."""
        digest = put_blob(upstream, LARGE)
        broken = first_of(when(Alter(truncate=3_000_000), times=1), when(Alter(drop="request")))
        for intercept in (when(Alter(corrupt=10)), when(Alter(corrupt=len(LARGE) - 1)), broken):
            upstream.intercept = intercept
            with pytest.raises((http.client.IncompleteRead, ConnectionError)):
                call("GET", f"/v2/a/blobs/{digest}")
        upstream.intercept = None
        upstream.reset()
        assert call("GET", f"/v2/a/blobs/{digest}").body == LARGE
        assert upstream.count("GET") == 1
        assert "does not match its digest" in caplog.text
        assert "Traceback" not in caplog.text

    def test_no_manifest_that_is_wrong(self, call: Caller, upstream: CountingProxy) -> None:
        put(upstream, "a", "v1", IMAGES[0])
        upstream.intercept = when(Alter(corrupt=20), method="GET")
        for reference in ("v1", IMAGES[0].digest):
            answer = call("GET", f"/v2/a/manifests/{reference}")
            assert (answer.status, answer.code) == (502, "UNAVAILABLE")
            assert "does not match its digest" in answer.document["errors"][0]["message"]
        upstream.intercept = None
        assert call("GET", "/v2/a/manifests/v1").body == IMAGES[0].content

    def test_what_came_after_a_connection_broke(self, call: Caller, upstream: CountingProxy) -> None:
        digest = put_blob(upstream, LARGE)
        upstream.intercept = when(Alter(truncate=1_000_000), path="/blobs/", times=1)
        assert call("GET", f"/v2/a/blobs/{digest}").body == LARGE
        assert sum(exchange.response_bytes for exchange in upstream.exchanges) < len(LARGE) + 100_000

    def test_what_nobody_waited_for(self, call: Caller, upstream: CountingProxy) -> None:
        digest = put_blob(upstream, LARGE)
        go = threading.Event()
        upstream.intercept = lambda _: None if go.wait(30) else Alter(drop="request")
        with socket.create_connection(call.host.split(":")) as client:  # type: ignore[arg-type]
            client.sendall(f"GET /v2/a/blobs/{digest} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            while not upstream.exchanges:
                pass
        go.set()
        assert call("GET", f"/v2/a/blobs/{digest}").body == LARGE
        assert upstream.count("GET") == 1

    def test_what_has_no_length(self, call: Caller, upstream: CountingProxy) -> None:
        for content in (LARGE, b"", b"x"):
            upstream.intercept = None
            digest = put_blob(upstream, content)
            upstream.intercept = when(Reply(body=content, chunked=True))
            assert call("HEAD", f"/v2/a/blobs/{digest}").headers["content-length"] == str(len(content))
            assert call("GET", f"/v2/a/blobs/{digest}").body == content

    def test_all_of_it_for_when_the_other_registry_is_away(
        self, start: Start, upstream: CountingProxy, clock: Clock, caplog: Any
    ) -> None:
        put(upstream, "a", "v1", INDEX)
        signature = make_artifact("application/x-signature", subject=INDEX)
        put(upstream, "a", None, signature)
        with start() as call:
            pull(call, "a", "v1")
            assert call("GET", f"/v2/a/manifests/{signature.digest}").body == signature.content
            assert call("GET", "/v2/a/tags/list").document["tags"] == ["v1"]
            upstream.intercept = when(Alter(status=503))
            clock.now += 61
            with caplog.at_level(logging.WARNING):
                answer = call("GET", "/v2/a/manifests/v1")
            assert answer.body == INDEX.content
            assert answer.headers["warning"].startswith('299 - "a:v1 is served as it was: ')
            assert f"a:v1 is served as it was, because {upstream.host} could not be asked: " in caplog.text
            upstream.reset()
            assert call("GET", "/v2/a/manifests/v1").headers["warning"] == answer.headers["warning"]
            assert upstream.lines == []  # it is left alone for a while
            pull(call, "a", "v1")
            refused = call("GET", "/v2/a/manifests/v2")
            assert (refused.status, refused.code) == (502, "UNAVAILABLE")
            assert call("GET", f"/v2/a/blobs/{digest_of(b'other')}").status == 502
            assert call("GET", "/v2/b/tags/list").status == 502
            upstream.intercept = None
            clock.now += 61
            assert "warning" not in call("GET", "/v2/a/manifests/v1").headers

    def test_all_of_it_over_a_restart(self, start: Start, upstream: CountingProxy, folder: Path) -> None:
        put(upstream, "library/nginx", "v1", INDEX)
        with start(cache=FolderStorage(folder)) as call:
            pull(call, "library/nginx", "v1")
        with socket.create_server(("127.0.0.1", 0)) as nobody:
            gone = f"127.0.0.1:{nobody.getsockname()[1]}"
        with start(gone, FolderStorage(folder)) as call:
            pull(call, "library/nginx", "v1")
            assert "could not be asked" in call("GET", "/v2/library/nginx/manifests/v1").headers["warning"]
        with background(FolderStorage(folder)) as url:  # it is a registry's folder like any other
            pull(Caller(url), "library/nginx", "v1")


class TestListsWhileTheOtherRegistryIsAway:
    """A list that may lack something says so, or is refused: without its signature an image would look unsigned."""

    PAGE = Reply(headers=(("Content-Type", "text/html"),), body=b"<html>back soon")

    @pytest.fixture(params=[Alter(drop="request"), Alter(status=503), PAGE], ids=["drops", "fails", "a page"])
    def away(self, request: pytest.FixtureRequest) -> Intercept:
        return when(request.param)

    def test_tags_are_those_that_are_here(
        self, start: Start, upstream: CountingProxy, away: Intercept, lading: Lading
    ) -> None:
        for tag in ("v1", "v2"):
            put(upstream, "a", tag, IMAGES[0])
        with start() as call:
            call("GET", "/v2/a/manifests/v1")
            whole = call("GET", "/v2/a/tags/list")
            assert (whole.document["tags"], whole.headers["warning"]) == (["v1", "v2"], None)
            upstream.intercept = away
            said = f"the list of tags of a has only those that are kept here: {upstream.host} could not be asked"
            for _ in range(2):
                part = call("GET", "/v2/a/tags/list?n=5")
                assert (part.status, part.document["tags"]) == (200, ["v1"])
                assert part.headers["warning"] == f'299 - "{said}"'
            shown = lading.run("tags", f"{call.host}/a")
        assert shown.stdout == "v1\n"
        assert said in shown.stderr

    def test_without_any_tag_there_is_no_list(self, start: Start, upstream: CountingProxy, away: Intercept) -> None:
        put(upstream, "a", "v1", IMAGES[0])
        with start() as call:
            call("GET", f"/v2/a/manifests/{IMAGES[0].digest}")
            upstream.intercept = away
            for name in ("a", "never-asked-for"):
                answer = call("GET", f"/v2/{name}/tags/list")
                assert (answer.status, answer.code) == (502, "UNAVAILABLE")

    def test_referrers_are_all_or_none(
        self, start: Start, upstream: CountingProxy, away: Intercept, lading: Lading
    ) -> None:
        image = IMAGES[0]
        put(upstream, "a", "v1", image)
        kept, other = (make_artifact(f"application/x-{kind}", subject=image) for kind in ("sbom", "signature"))
        for artifact in (kept, other):
            put(upstream, "a", None, artifact)
        with start() as call:
            for name in ("v1", kept.digest):
                call("GET", f"/v2/a/manifests/{name}")
            upstream.intercept = away
            answer = call("GET", f"/v2/a/referrers/{image.digest}")
            assert (answer.status, answer.code) == (502, "UNAVAILABLE")
            assert lading.run("copy", "--referrers", f"{call.host}/a:v1", "oci:copy:v1", check=False).returncode != 0

    def test_referrers_that_were_asked_for_are_as_they_were(
        self, start: Start, upstream: CountingProxy, away: Intercept
    ) -> None:
        image, signed = IMAGES
        signature = make_artifact("application/x-signature", subject=signed)
        for manifest in (image, signed, signature):
            put(upstream, "a", None, manifest)
        with start() as call:
            before = [call("GET", f"/v2/a/referrers/{one.digest}") for one in IMAGES]
            upstream.intercept = away
            for one, known in zip(IMAGES, before, strict=True):
                answer = call("GET", f"/v2/a/referrers/{one.digest}")
                assert (answer.document, known.headers["warning"]) == (known.document, None)
                assert f"{one.digest} is served as it was: {upstream.host} could not" in answer.headers["warning"]


class TestWarningsOfTheOtherRegistry:
    """What it says of its lists is for the clients: a list may not be whole there either."""

    PATHS = ("tags/list", f"referrers/{IMAGES[0].digest}")

    @staticmethod
    def warns(text: str) -> Intercept:
        return when(Alter(set_headers=(("Warning", text),)))

    @pytest.mark.parametrize("path", PATHS)
    def test_come_with_its_lists(self, start: Start, upstream: CountingProxy, path: str) -> None:
        """Each time, and not with what comes without one."""
        put(upstream, "a", "v1", IMAGES[0])
        upstream.intercept = self.warns('299 - "only a part is here"')
        with start() as call:
            for _ in range(2):
                said = call("GET", f"/v2/a/{path}").headers.get_all("warning")
                assert said == [f'299 - "{upstream.host} says: only a part is here"']
            upstream.intercept = None
            assert call("GET", f"/v2/a/{path}").headers["warning"] is None

    @pytest.mark.parametrize("path", PATHS)
    def test_are_made_harmless(self, start: Start, upstream: CountingProxy, path: str) -> None:
        put(upstream, "a", "v1", IMAGES[0])
        hostile = r'299 - "a\", 299 - \"b \\\" \t\x1b[31m' + "x" * 3000 + '"'
        with start() as call:
            upstream.intercept = self.warns(hostile)
            (said,) = call("GET", f"/v2/a/{path}").headers.get_all("warning", [])
            for malformed in ('110 - "stale"', "299 - no quotes", '299 - "it goes on', "nonsense"):
                upstream.intercept = self.warns(malformed)
                assert call("GET", f"/v2/a/{path}").headers["warning"] is None
        assert said.startswith(rf'299 - "{upstream.host} says: a\", 299 - \"b \\\" ')
        assert said.isascii()
        assert said.isprintable()
        assert len(said) < 1100

    def test_of_lists_that_are_remembered_stay_with_them(self, start: Start, upstream: CountingProxy) -> None:
        put(upstream, "a", "v1", IMAGES[0])
        upstream.intercept = self.warns('299 - "only a part is here"')
        with start() as call:
            call("GET", f"/v2/a/{self.PATHS[1]}")
            upstream.intercept = when(Alter(status=503))
            said = call("GET", f"/v2/a/{self.PATHS[1]}").headers["warning"]
        assert "is served as it was" in said
        assert said.endswith(f'; {upstream.host} says: only a part is here"')

    def test_of_a_cache_go_through_a_cache(self, start: Start, upstream: CountingProxy) -> None:
        put(upstream, "a", "v1", IMAGES[0])
        with start() as near:
            near("GET", "/v2/a/manifests/v1")
            upstream.intercept = when(Alter(status=503))
            with start(near.host, MemoryStorage()) as far:
                answer = far("GET", "/v2/a/tags/list")
        assert answer.document["tags"] == ["v1"]
        assert f"{near.host} says: the list of tags of a has only those that are kept here" in answer.headers["warning"]


class TestLeavesAlone:
    def test_what_drops_connections_for_what_is_not_here_either(
        self, start: Start, upstream: CountingProxy, clock: Clock
    ) -> None:
        """All that come within the pause are answered without a request."""
        other = digest_of(b"other")
        paths = ["tags/list", "manifests/v1", f"manifests/{other}", f"blobs/{other}", f"referrers/{other}"]
        asked = [("GET", path) for path in paths] + [("HEAD", f"blobs/{other}")]
        put(upstream, "a", "v1", IMAGES[0])
        for first in (asked[0], asked[3], asked[5]):
            with start() as call:
                upstream.intercept = when(Alter(drop="request"))
                upstream.reset()
                statuses = [call(method, f"/v2/a/{path}").status for method, path in [first, *asked, *asked]]
                assert statuses == [502] * 13
                assert {line.partition("?")[0] for line in upstream.lines} == {f"{first[0]} /v2/a/{first[1]}"}
                clock.now += 11
                upstream.intercept = None
                assert call("GET", "/v2/a/tags/list").document["tags"] == ["v1"]


class TestGives:
    def test_what_comes_while_it_comes(self, start: Start) -> None:
        """The first half is there before the other registry has sent the second."""
        half = threading.Event()
        in_time: list[bool] = []
        digest = digest_of(LARGE)
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def serve() -> None:
                while True:
                    try:
                        connection, _ = listener.accept()
                    except OSError:
                        return
                    threading.Thread(target=answer, args=[connection], daemon=True).start()

            def answer(connection: socket.socket) -> None:
                with connection, contextlib.suppress(OSError):
                    if not connection.recv(65536).startswith(b"GET"):
                        return
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(LARGE))
                    connection.sendall(LARGE[: len(LARGE) // 2])
                    in_time.append(half.wait(30))
                    connection.sendall(LARGE[len(LARGE) // 2 :])

            threading.Thread(target=serve, daemon=True).start()
            with start(f"127.0.0.1:{listener.getsockname()[1]}") as call:
                connection = http.client.HTTPConnection(call.host, timeout=30)
                connection.request("GET", f"/v2/a/blobs/{digest}")
                response = connection.getresponse()
                first = response.read(2_000_000)
                half.set()
                assert first + response.read() == LARGE
                assert in_time == [True]
                connection.close()
            listener.close()

    def test_nobody_the_means_to_change_it(self, call: Caller, upstream: CountingProxy, lading: Lading) -> None:
        put(upstream, "a", "v1", IMAGES[0])
        call("GET", "/v2/a/manifests/v1")
        upstream.reset()
        for method, path in (
            ("POST", "a/blobs/uploads/"),
            ("POST", "a/blobs/uploads/?mount=sha256:0&from=b"),
            ("PUT", "a/manifests/v2"),
            ("DELETE", "a/manifests/v1"),
            ("DELETE", f"a/blobs/{digest_of(b'x')}"),
        ):
            answer = call(method, f"/v2/{path}", b"{}" if method != "DELETE" else None)
            assert (answer.status, answer.code) == (405, "UNSUPPORTED")
            message = answer.document["errors"][0]["message"]
            assert message == f"this registry is a cache of {upstream.host}; push to {upstream.host} itself"
        assert upstream.lines == []
        refused = lading.run("tag", f"{call.host}/a:v1", "v2", check=False)
        assert refused.returncode == 9
        assert f"push to {upstream.host} itself" in refused.stderr

    def test_nobody_its_credentials(self, storage: Storage, tmp_path: Path, caplog: Any) -> None:
        settings = Settings(auth=f"token={htpasswd(tmp_path / 'users')}")
        name, password = "alice", USERS["alice"]
        with background(settings=settings) as url, CountingProxy(url) as upstream:
            push(upstream.host, "a", "v1", INDEX, auth=(name, password))
            home = tmp_path / "known"
            home.mkdir()
            basic = base64.b64encode(f"{name}:{password}".encode()).decode()
            (home / "config.json").write_text(json.dumps({"auths": {upstream.host: {"auth": basic}}}))
            caplog.set_level(logging.DEBUG)
            with background(proxy_of(upstream.host, storage, docker_config=home, config=Config())) as ours:
                call = Caller(ours)
                pull(call, "a", "v1")
                answers = [
                    call("GET", path)
                    for path in ("/v2/", "/v2/a/manifests/v1", "/v2/a/manifests/none", "/v2/a/tags/list")
                ]
            nobody = proxy_of(upstream.host, MemoryStorage(), docker_config=tmp_path / "nobody", config=Config())
            with background(nobody) as ours:
                denied = Caller(ours)("GET", "/v2/a/manifests/v1")
            assert (denied.status, denied.code) == (403, "DENIED")
            assert "www-authenticate" not in denied.headers
            sent = [value for exchange in upstream.exchanges for value in exchange.headers.all("authorization")]
        assert sent
        secrets = {password, *(value.partition(" ")[2] for value in sent)}
        said = caplog.text + "".join(f"{answer.headers}{answer.body!r}" for answer in (*answers, denied))
        assert not [secret for secret in secrets if secret in said]
        assert not any("authorization" in answer.headers for answer in answers)

    def test_its_own_users_what_they_may_have(self, upstream: CountingProxy, tmp_path: Path) -> None:
        put(upstream, "team/app", "v1", IMAGES[0])
        content = proxy_of(upstream.host, MemoryStorage(), docker_config=tmp_path / "none", config=Config())
        settings = Settings(auth=f"htpasswd={htpasswd(tmp_path / 'users')}", allow=["bob:team/*:pull"])
        with background(content, settings=settings) as url:
            assert Caller(url)("GET", "/v2/team/app/manifests/v1").status == 401
        assert upstream.lines == []


class TestNames:
    @pytest.mark.parametrize(
        "registry, name, there",
        [
            ("docker.io", "nginx", "docker.io/library/nginx"),
            ("registry-1.docker.io", "library/nginx", "docker.io/library/nginx"),
            ("docker.io", "grafana/grafana", "docker.io/grafana/grafana"),
            ("https://ghcr.io", "acme/web/app", "ghcr.io/acme/web/app"),
            ("localhost:5000", "nginx", "localhost:5000/nginx"),
        ],
    )
    def test_here_are_names_there(self, registry: str, name: str, there: str) -> None:
        proxy = proxy_of(registry, MemoryStorage(), config=Config())
        assert proxy.connect(name, False).name == there
        assert proxy.connect(name, True).name == there

    @pytest.mark.parametrize("registry", ["", "a/b", "ghcr.io/acme", "a b"])
    def test_of_registries_only(self, registry: str) -> None:
        with pytest.raises(InvalidReference):
            proxy_of(registry, MemoryStorage(), config=Config())


class TestCommand:
    def test_serves_a_cache(self, lading: Lading, upstream: CountingProxy, folder: Path) -> None:
        put(upstream, "a", "v1", INDEX)
        with Served(lading, folder, "--proxy-of", upstream.host, "--debug") as server:
            pull(Caller(server.url), "a", "v1")
            assert server.stop() == 0
        log = server.log.read_text()
        assert "Traceback" not in log
        assert f"GET http://{upstream.host}/v2/a/manifests/v1 200" in log
        ran = lading.run("copy", "-q", f"oci:{folder}/a:v1", f"oci:{folder.parent}/copy:v1")
        assert ran.stdout.strip().endswith(f"@{INDEX.digest}")

    @pytest.mark.parametrize(
        "args, said",
        [
            (["--proxy-of", "ghcr.io", "--read-only"], "--read-only is about what is pushed"),
            (["--proxy-of", "ghcr.io", "--max-size", "1GB"], "--max-size is about what is pushed"),
            (["--proxy-of", "ghcr.io", "--min-upload-rate", "9kB"], "--min-upload-rate is about what is pushed"),
            (["--proxy-of", "ghcr.io/a"], "'ghcr.io/a' is not a registry"),
            (["--insecure"], "--insecure is about the registry of --proxy-of"),
        ],
    )
    def test_refuses_what_would_mean_nothing(self, lading: Lading, args: list[str], said: str) -> None:
        ran = lading.run("registry", "serve", "--address", "127.0.0.1:0", *args, check=False)
        assert ran.returncode == 2
        assert said in ran.stderr
        assert ran.stdout == ""


class TestClients:
    def test_docker_pulls_and_runs(
        self, call: Caller, upstream: CountingProxy, engine: DockerCLI, repository: str
    ) -> None:
        image = make_busybox(seed=repository)
        put(upstream, repository, "v1", make_index([image, make_image("linux/s390x")]))
        for _ in range(2):
            engine.run("pull", f"{call.host}/{repository}:v1")
            name = f"{call.host}/{repository}:v1"
            assert engine.run("run", "--rm", "--network=none", name).stdout == f"{repository}\n"
            engine.run("image", "rm", "--force", name)
        assert upstream.count("GET", "/blobs/") == len(image.blobs)
        refused = engine.run("pull", f"{call.host}/{repository}:none", check=False)
        assert "not found" in refused.stderr or "manifest unknown" in refused.stderr

    def test_skopeo_copies(self, call: Caller, upstream: CountingProxy, tmp_path: Path) -> None:
        put(upstream, "a", "v1", INDEX)
        copy: list[str | Path] = [need("skopeo"), "--insecure-policy", "copy", "--all", "--src-tls-verify=false"]
        for name in ("one", "two"):
            run([*copy, f"docker://{call.host}/a:v1", f"dir:{tmp_path / name}"])
            assert (tmp_path / name / "manifest.json").read_bytes() == INDEX.content
        assert upstream.count("GET") == 1 + len(IMAGES) + len({digest for image in IMAGES for digest in image.blobs})

    def test_lading_shows_the_warning(
        self, start: Start, upstream: CountingProxy, clock: Clock, lading: Lading
    ) -> None:
        put(upstream, "a", "v1", IMAGES[0])
        with start() as call:
            assert lading.run("digest", f"{call.host}/a:v1").stderr == ""
            upstream.intercept = when(Alter(status=500))
            clock.now += 61
            said = lading.run("digest", f"{call.host}/a:v1")
        assert said.stdout.strip().endswith(IMAGES[0].digest)
        assert "a:v1 is served as it was" in said.stderr
