"""The tests' own tools, tried against the real programs: what they report is what happens."""

import concurrent.futures
import http.client
import json
import os
import signal
import socket
import subprocess
from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from support.certs import Authority
from support.docker import DockerCLI
from support.fakes import ScriptedServer, error_reply, json_reply
from support.http import Reply, Request
from support.images import (
    ACCEPT,
    DOCKER_LIST,
    OCI_INDEX,
    OCI_MANIFEST,
    Entry,
    Kind,
    RegistryClient,
    digest_of,
    get_manifest,
    list_tags,
    make_artifact,
    make_attestation,
    make_busybox,
    make_image,
    make_index,
    noise,
    push,
)
from support.parts import find, need, to_install
from support.process import heed_interrupts, run
from support.proxy import Alter, CountingProxy, first_of, when
from support.registry import RealRegistry
from support.tokens import TokenService

PLATFORMS = ("linux/amd64", "linux/arm64/v8", "linux/arm/v7")


class TestRegistry:
    def test_keeps_what_is_pushed(self, registry: RealRegistry, repository: str) -> None:
        image = make_image("linux/arm64/v8", kind="oci", layers=2, seed=repository)
        digest = push(registry.host, repository, "v1", image)
        assert get_manifest(registry.host, repository, "v1") == (image.content, OCI_MANIFEST, digest)
        assert list_tags(registry.host, repository) == ["v1"]

    def test_keeps_an_index_with_attestations_and_artifacts(self, registry: RealRegistry, repository: str) -> None:
        image = make_image(kind="oci", seed=repository)
        index = make_index([image, make_attestation(image)], kind="oci", annotations={"a": "b"})
        push(registry.host, repository, "v1", index)
        push(registry.host, repository, None, make_artifact(subject=index))
        content, media_type, digest = get_manifest(registry.host, repository, index.digest)
        assert (content, media_type, digest) == (index.content, OCI_INDEX, index.digest)

    @pytest.mark.parametrize("delete", [True, False])
    def test_deletes_only_when_allowed(self, delete: bool, repository: str) -> None:
        with RealRegistry(delete=delete) as registry, RegistryClient(registry.host, repository) as client:
            digest = client.push("v1", make_image())
            status, _, _ = client.request("DELETE", f"/manifests/{digest}")
            assert status == (202 if delete else 405)

    def test_speaks_tls(self, authority: Authority, repository: str) -> None:
        with RealRegistry(tls=authority, hostname="localhost") as registry:
            digest = push(registry.host, repository, "v1", make_image(), scheme="https", trust=authority)
            assert registry.url.startswith("https://localhost:")
            found = get_manifest(registry.host, repository, "v1", scheme="https", trust=authority)
            assert found[2] == digest

    def test_asks_for_a_password(self, basic_registry: RealRegistry, repository: str) -> None:
        push(basic_registry.host, repository, "v1", make_image(), auth=("alice", "secret"))
        with RegistryClient(basic_registry.host, repository) as anybody:
            status, headers, _ = anybody.request("GET", "/manifests/v1")
        assert (status, headers["WWW-Authenticate"]) == (401, 'Basic realm="lading"')

    def test_takes_more_configuration(self) -> None:
        relative = {"http": {"relativeurls": True}}
        with RealRegistry(config=relative) as registry, RegistryClient(registry.host, "a/b") as client:
            _, headers, _ = client.request("POST", "/blobs/uploads/", expect=202)
            assert headers["Location"].startswith("/v2/a/b/blobs/uploads/")
            assert "POST /v2/a/b/blobs/uploads/" in registry.log()


class TestTokens:
    def test_a_real_registry_believes_them(self, repository: str) -> None:
        with RealRegistry(auth="token", users={"bob": "hunter2"}) as registry:
            push(registry.host, repository, "v1", make_image(), auth=("bob", "hunter2"))
            (asked,) = registry.tokens.requests[:1]
            assert (asked.method, asked.account, asked.scopes) == (
                "GET",
                "bob",
                [f"repository:{repository}:pull"],
            )
            with RegistryClient(registry.host, repository) as anybody:
                assert anybody.request("GET", "/tags/list")[0] == 401
            with RegistryClient(registry.host, repository, auth=("bob", "hunter2")) as bob:
                assert bob.tags() == ["v1"]

    def test_grant_only_what_is_granted(self) -> None:
        tokens = TokenService({"bob": "x"}, grants={"bob": {"a/*": {"pull"}}}, anonymous={"open/*": {"pull"}})
        with tokens:
            both = ["repository:a/one:pull,push", "repository:b/two:pull"]
            _, as_bob = ask(tokens, [("scope", scope) for scope in both], auth=("bob", "x"))
            _, as_anybody = ask(tokens, [("scope", "repository:open/x:pull"), ("scope", "repository:a/one:pull")])
            assert [request.account for request in tokens.requests] == ["bob", None]
            assert [request.granted for request in tokens.requests] == [
                [{"type": "repository", "name": "a/one", "actions": ["pull"]}],
                [{"type": "repository", "name": "open/x", "actions": ["pull"]}],
            ]
            assert as_bob["token"] != as_anybody["token"]

    def test_refuse(self) -> None:
        with TokenService({"bob": "x"}) as tokens:
            assert ask(tokens, [], auth=("bob", "wrong"))[0] == 401
            assert ask(tokens, [])[0] == 401
            tokens.fail = lambda _: Reply(status=503)
            assert ask(tokens, [], auth=("bob", "x"))[0] == 503
            assert [request.status for request in tokens.requests] == [401, 401, 503]

    def test_refresh(self) -> None:
        with TokenService({"bob": "x"}, expires_in=120) as tokens:
            password = {
                "grant_type": "password",
                "username": "bob",
                "password": "x",
                "access_type": "offline",
            }
            status, first = ask(tokens, form={**password, "scope": "repository:a/b:pull repository:c/d:push"})
            assert (status, first["expires_in"], first["scope"]) == (
                200,
                120,
                "repository:a/b:pull repository:c/d:push",
            )
            refresh = {"grant_type": "refresh_token", "refresh_token": str(first["refresh_token"])}
            assert ask(tokens, form=refresh)[0] == 200
            tokens.refresh_tokens.clear()
            assert ask(tokens, form=refresh)[0] == 401
            _, offline = ask(tokens, [("offline_token", "true")], auth=("bob", "x"))
            assert tokens.refresh_tokens == {offline["refresh_token"]: "bob"}
            tokens.oauth = False
            assert ask(tokens, form=password)[0] == 404

    @pytest.mark.parametrize("oauth", [True, False])
    def test_serve_the_docker_cli(self, oauth: bool, docker: DockerCLI, repository: str) -> None:
        """A login with a service that speaks OAuth leaves a refresh token, which gets the later ones."""
        with RealRegistry(tokens=TokenService({"alice": "secret"}, oauth=oauth)) as registry:
            push(registry.host, repository, "v1", make_image(), auth=("alice", "secret"))
            reference = f"{registry.host}/{repository}:v1"
            refused = docker.run("manifest", "inspect", "--insecure", reference, check=False)
            assert refused.returncode == 1
            with CountingProxy(registry.url, tokens=registry.tokens.url) as proxy:
                docker.login(proxy.host, "alice", "secret")
                proxy.reset()
                said = docker.run("manifest", "inspect", "--insecure", f"{proxy.host}/{repository}:v1").stdout
                assert json.loads(said)["schemaVersion"] == 2
                assert [line.partition("?")[0] for line in proxy.lines] == [
                    "GET /v2/",
                    f"{'POST' if oauth else 'GET'} /token",
                    f"GET /v2/{repository}/manifests/v1",
                    f"GET /v2/{repository}/blobs/{make_image().document['config']['digest']}",
                ]

    def test_serve_skopeo(self, repository: str, tmp_path: Path) -> None:
        with RealRegistry(auth="token") as registry:
            image = make_image(kind="oci")
            push(registry.host, repository, "v1", image, auth=("alice", "secret"))
            skopeo: list[str | Path] = [
                need("skopeo"),
                "copy",
                "--src-tls-verify=false",
                "--src-creds=alice:secret",
            ]
            run([*skopeo, f"docker://{registry.host}/{repository}:v1", f"oci:{tmp_path}/layout:v1"])
            (stored,) = json.loads((tmp_path / "layout" / "index.json").read_text())["manifests"]
            assert stored["digest"] == image.digest


class TestProxy:
    def test_counts_what_docker_does(
        self, docker: DockerCLI, registry: RealRegistry, proxy: CountingProxy, repository: str
    ) -> None:
        """The counts of `docker manifest` 28: create 3 for each source, inspect 3, push 2."""
        images = {platform.replace("/", "-"): make_image(platform, seed=repository) for platform in PLATFORMS}
        for tag, image in images.items():
            push(registry.host, repository, tag, image)
        name = f"{proxy.host}/{repository}"
        docker.run("manifest", "create", "--insecure", f"{name}:multi", *(f"{name}:{tag}" for tag in images))
        assert (len(proxy.exchanges), proxy.count("GET", r"^/v2/$")) == (9, 3)
        assert proxy.count(path="/manifests/") == proxy.count(path="/blobs/") == 3
        assert (proxy.rounds(), proxy.max_in_flight) == (9, 1)
        assert proxy.connections >= 9
        assert all(exchange.status == 200 for exchange in proxy.exchanges)

        proxy.reset()
        docker.run("manifest", "push", f"{name}:multi")
        assert proxy.lines == ["GET /v2/", f"PUT /v2/{repository}/manifests/multi"]
        in_order_of_file_names = make_index([images[tag] for tag in sorted(images)])
        content, media_type, digest = get_manifest(registry.host, repository, "multi")
        assert (media_type, content) == (DOCKER_LIST, in_order_of_file_names.content)
        assert proxy.exchanges[1].request_body_bytes == len(content)
        assert proxy.exchanges[1].response_headers.get("Docker-Content-Digest") == digest

    def test_streams_and_measures(self, registry: RealRegistry, proxy: CountingProxy, repository: str) -> None:
        image = make_image(layers=1, layer_size=3_000_000, seed=repository)
        push(proxy.host, repository, "v1", image)
        (layer,) = image.layers
        put = next(exchange for exchange in proxy.exchanges if exchange.request_body_bytes == len(layer))
        assert (put.method, put.status, proxy.connections) == ("PUT", 201, 1)
        proxy.reset()
        with RegistryClient(proxy.host, repository) as client:
            digest = image.document["layers"][0]["digest"]
            assert client.blob(digest) == layer
            assert [exchange.response_bytes for exchange in proxy.exchanges] == [len(layer)]

    def test_forwards_chunked_uploads(self, proxy: CountingProxy, repository: str) -> None:
        content = noise(repository, 500_000)
        with RegistryClient(proxy.host, repository) as client:
            _, headers, _ = client.request("POST", "/blobs/uploads/", expect=202)
            location = headers["Location"].removeprefix(proxy.url)
        connection = http.client.HTTPConnection(proxy.host)
        connection.request("PATCH", location, iter([content[:10], content[10:]]), encode_chunked=True,
                           headers={"Transfer-Encoding": "chunked"})  # fmt: skip
        response = connection.getresponse()
        assert (response.status, response.headers["Range"]) == (202, f"0-{len(content) - 1}")
        connection.close()
        assert proxy.exchanges[-1].request_body_bytes == len(content)

    def test_shows_concurrency(self, registry: RealRegistry, repository: str) -> None:
        push(registry.host, repository, "v1", make_image())
        with CountingProxy(registry.url, latency=0.2) as slow:
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                list(pool.map(lambda _: get_manifest(slow.host, repository, "v1"), range(4)))
            assert (slow.max_in_flight, slow.rounds(), slow.connections) == (4, 1, 4)
            get_manifest(slow.host, repository, "v1")
            assert (slow.max_in_flight, slow.rounds(), slow.connections) == (4, 2, 5)
            slow.reset()
            assert (slow.exchanges, slow.rounds(), slow.max_in_flight, slow.connections) == ([], 0, 0, 0)

    def test_breaks_things(self, registry: RealRegistry, proxy: CountingProxy, repository: str) -> None:
        image = make_image(seed=repository)
        push(registry.host, repository, "v1", image)
        path = f"/v2/{repository}/manifests/v1"

        proxy.intercept = when(Alter(corrupt=5), path="/manifests/", times=1)
        assert [b == image.content for b in (get(proxy, path)[1], get(proxy, path)[1])] == [False, True]
        proxy.intercept = when(Alter(truncate=7), path="/manifests/")
        with pytest.raises(http.client.IncompleteRead) as cut:
            get(proxy, path)
        assert cut.value.partial == image.content[:7]
        for side, reached in (("request", 0), ("response", 1)):
            before = registry.log().count(f"GET {path}")
            proxy.intercept = when(Alter(drop="request" if side == "request" else "response"))
            with pytest.raises(http.client.RemoteDisconnected):
                get(proxy, path)
            assert registry.log().count(f"GET {path}") - before == reached
        proxy.intercept = when(Alter(status=404, remove_headers=("Docker-Content-Digest",)))
        assert get(proxy, path)[0] == 404
        assert proxy.exchanges[-1].response_headers.get("docker-content-digest") is None
        busy = when(error_reply(429, "TOOMANYREQUESTS", headers={"Retry-After": "1"}), times=1, after=1)
        proxy.intercept = first_of(when(Alter(), method="PUT"), busy)
        assert [get(proxy, path)[0] for _ in range(3)] == [200, 429, 200]

    def test_breaks_uploads(self, proxy: CountingProxy, repository: str) -> None:
        content = noise(repository, 200_000)
        with RegistryClient(proxy.host, repository) as client:
            proxy.intercept = when(Alter(corrupt_request=150_000), method="PUT")
            with pytest.raises(AssertionError, match="DIGEST_INVALID"):
                client.put_blob(digest_of(content), content)
        proxy.reset()
        proxy.intercept = when(Alter(truncate_request=70_000, reset=True), method="PUT")
        with RegistryClient(proxy.host, repository) as client, pytest.raises(ConnectionError):
            client.put_blob(digest_of(content), content)
        assert proxy.exchanges[-1].request_body_bytes == 70_000
        proxy.intercept = when(Alter(pause=0.01), method="PUT")
        with RegistryClient(proxy.host, repository) as client:
            client.put_blob(digest_of(content), content)
        assert proxy.exchanges[-1].ended - proxy.exchanges[-1].started >= 0.03

    def test_listens_with_tls(self, registry: RealRegistry, authority: Authority, repository: str) -> None:
        with CountingProxy(registry.url, tls=authority) as proxy:
            push(proxy.host, repository, "v1", make_image(), scheme="https", trust=authority)
            assert get_manifest(proxy.host, repository, "v1", scheme="https", trust=authority)[2]
            upload = next(exchange for exchange in proxy.exchanges if exchange.method == "POST")
            assert (upload.response_headers.get("Location") or "").startswith(proxy.url)

    def test_connects_with_tls(self, authority: Authority, repository: str) -> None:
        with (
            RealRegistry(tls=authority) as registry,
            CountingProxy(registry.url, upstream_tls=authority) as proxy,
        ):
            assert push(proxy.host, repository, "v1", make_image()) == make_image().digest

    def test_outlives_a_client_that_leaves(self, proxy: CountingProxy, repository: str) -> None:
        with socket.create_connection(("127.0.0.1", proxy.port)) as client:
            client.sendall(f"PUT /v2/{repository}/x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nab".encode())
        assert get(proxy, "/v2/")[0] == 200


class TestScriptedServer:
    def test_says_what_it_is_told(self) -> None:
        def script(request: Request) -> Reply | None:
            if request.path == "/echo":
                return json_reply({"body": request.body.decode(), "params": request.params})
            return None

        with ScriptedServer(script) as server:
            status, body = get(server, "/echo?a=1&a=2")
            assert (status, json.loads(body)) == (200, {"body": "", "params": {"a": ["1", "2"]}})
            assert get(server, "/else")[0] == 404
            assert server.lines == ["GET /echo?a=1&a=2", "GET /else"]

    def test_answers_badly(self) -> None:
        replies = iter([Reply(drop=True), Reply(body=b"ab", content_length=5), Reply(body=b"abc", chunked=True)])
        with ScriptedServer(lambda _: next(replies)) as server:
            with pytest.raises(http.client.RemoteDisconnected):
                get(server, "/")
            with pytest.raises(http.client.IncompleteRead):
                get(server, "/")
            assert get(server, "/") == (200, b"abc")

    def test_answers_before_it_has_read(self) -> None:
        with (
            ScriptedServer(lambda _: Reply(status=413, early=True)) as server,
            socket.create_connection(("127.0.0.1", server.port)) as client,
        ):
            client.sendall(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
            assert client.makefile("rb").read().startswith(b"HTTP/1.1 413 ")
            assert server.requests[0].body == b""

    def test_raises_what_its_script_raised(self) -> None:
        server = ScriptedServer(lambda _: Reply(status=int("nonsense")))
        server.start()
        with pytest.raises(http.client.RemoteDisconnected):
            get(server, "/")
        with pytest.raises(ValueError, match="nonsense"):
            server.stop()

    @pytest.mark.parametrize("tls", [True, False])
    def test_tells_who_speaks_the_other_protocol(self, tls: bool, authority: Authority) -> None:
        with ScriptedServer(tls=authority if tls else None) as server:
            with socket.create_connection(("127.0.0.1", server.port)) as client:
                client.sendall(b"GET / HTTP/1.1\r\n\r\n" if tls else b"\x16\x03\x01\x00\x01\n")
                assert b" 400 Bad Request\r\n" in client.makefile("rb").read()
            assert server.requests == []


class TestImages:
    def test_are_the_same_every_time(self) -> None:
        assert make_image("linux/arm/v7", layers=2).digest == make_image("linux/arm/v7", layers=2).digest
        assert make_image(seed="a").digest != make_image(seed="b").digest
        assert make_image("linux/amd64").layers == make_image("linux/arm64").layers

    def test_a_docker_list_has_the_bytes_docker_writes(self) -> None:
        """The vector: one entry, written by `docker manifest push`."""
        image = make_image()
        listed = make_index([Entry(image, platform={"architecture": "amd64", "os": "linux"})]).content.decode()
        vector = listed.replace(str(image.size), "523").replace(
            image.digest, "sha256:62e6df75043c166e992c6d16dbcb19d3fd3aa5bfc915a4085015257de7ae4992"
        )
        assert digest_of(vector.encode()) == "sha256:b63e73a11d6d2960d7be1ed939e2289e37fe056e1c89d4b29bd003fb33d37979"


class TestEngine:
    @pytest.mark.parametrize("kind", ["docker", "oci"])
    def test_pulls_and_runs(self, engine: DockerCLI, registry: RealRegistry, repository: str, kind: Kind) -> None:
        """It takes the image of this machine's platform out of an index, and that image works."""
        index = make_index([make_image("linux/s390x", kind=kind), make_busybox(kind=kind, seed=kind)], kind=kind)
        push(registry.host, repository, "v1", index)
        reference = f"{registry.host}/{repository}:v1"
        engine.run("pull", reference)
        assert engine.run("run", "--rm", "--network=none", reference).stdout == f"{kind}\n"
        repository_digests = engine.run("image", "inspect", "--format={{.RepoDigests}}", reference).stdout
        assert repository_digests == f"[{registry.host}/{repository}@{index.digest}]\n"


class TestParts:
    def test_missing_ones_are_seen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LADING_TEST_REAL", "")
        with pytest.raises(pytest.skip.Exception, match="no-such-part is not on this machine"):
            need("no-such-part")
        monkeypatch.setenv("LADING_TEST_REAL", "all")
        with pytest.raises(pytest.fail.Exception, match="LADING_TEST_REAL=all, but no-such-part"):
            need("no-such-part")

    def test_old_docker_clis_are_passed_over(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Debian's docker.io brings a CLI of its own, which may come first on PATH."""
        current = need("docker")
        old = tmp_path / "docker"
        old.write_text("#!/bin/sh\necho Docker version 20.10.24, build 297e128\n")
        old.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        find.cache_clear()
        assert find("docker") == current


def get(server: CountingProxy | ScriptedServer, target: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(server.host)
    try:
        connection.request("GET", target, headers={"Accept": ", ".join(ACCEPT)})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def ask(
    tokens: TokenService,
    params: Sequence[tuple[str, str]] = (),
    *,
    auth: tuple[str, str] | None = None,
    form: Mapping[str, str] | None = None,
) -> tuple[int, dict[str, Any]]:
    """Ask for a token: with GET and `params`, or with POST and a `form`."""
    connection = http.client.HTTPConnection(tokens.host)
    headers = {} if auth is None else {"Authorization": "Basic " + b64encode(":".join(auth).encode()).decode()}
    try:
        if form is None:
            connection.request("GET", f"/token?{urlencode(params)}", headers=headers)
        else:
            connection.request("POST", "/token", urlencode(form), headers)
        response = connection.getresponse()
        body = response.read()
        return response.status, json.loads(body) if response.status == 200 else {}
    finally:
        connection.close()


def test_programs_can_be_interrupted_where_a_shell_ignores_it() -> None:
    """As `make test` is run by `nohup … &`: what is ignored is inherited by every program."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        heed_interrupts()
        with subprocess.Popen([need("bash"), "-c", "kill -INT $$; exit 7"]) as process:
            assert process.wait(timeout=20) == -signal.SIGINT
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_to_install_is_one_line() -> None:
    reasons = [
        "('a.py', 1, 'Skipped: busybox is not on this machine (Debian package busybox-static)')",
        "('b.py', 2, 'Skipped: zstd is not on this machine (Debian package zstd)')",
        "('c.py', 3, 'Skipped: crane is not on this machine (go install example.org/cmd/crane@v0.20.6)')",
        "('d.py', 4, 'Skipped: nothing is forbidden to root')",
    ]
    assert to_install(reasons) == (
        "To run the tests that were skipped: apt-get install busybox-static zstd;"
        " go install example.org/cmd/crane@v0.20.6"
    )
    assert to_install(reasons[3:]) is None
