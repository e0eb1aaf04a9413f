"""What goes wrong, each with its own exit code, and with a message that names the thing, the cause and the way on.

The rows are those of `docker manifest`, which has one exit code and often the wrong name for all of them.
"""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from cli.failing import (
    CONFLICT,
    CONTENT,
    DENIED,
    NOT_FOUND,
    RATE_LIMITED,
    UNREACHABLE,
    UNSUPPORTED,
    USAGE,
    OutwardServer,
    assert_failed,
    fails,
    folder_of,
    know,
    local,
    own_address,
    remote,
    served,
    unchanged,
)
from cli.terminal import on_terminal
from lading.cli import main
from support.certs import Authority
from support.fakes import Reply, ScriptedServer, error_reply, json_reply
from support.http import Request
from support.images import OCI_MANIFEST, digest_of, get_manifest, make_artifact, make_image, make_index, push
from support.lading import Lading
from support.process import Ran
from support.proxy import Alter, CountingProxy, when
from support.registry import RealRegistry
from support.tokens import TokenService

AMD64 = make_image("linux/amd64", seed="amd64")
ARM64 = make_image("linux/arm64/v8", seed="arm64")
AT_ONCE = (("Retry-After", "0"),)
"""Lets lading try again at once: the waiting is tested where the retries are."""
ZEROS = "sha256:" + "0" * 64


@dataclass
class Place:
    """A list of two images in the local store, and they in a real registry, behind a proxy that breaks things."""

    lading: Lading
    proxy: CountingProxy
    registry: str
    """The registry without the proxy."""
    repository: str

    @property
    def name(self) -> str:
        return f"{self.proxy.host}/{self.repository}"

    @property
    def list(self) -> str:
        return f"{self.name}:list"


@pytest.fixture
def place(lading: Lading, proxy: CountingProxy, registry: RealRegistry, repository: str) -> Place:
    for tag, image in {"a": AMD64, "b": ARM64}.items():
        push(registry.host, repository, tag, image)
    made = Place(lading, proxy, registry.host, repository)
    lading.run("manifest", "create", made.list, f"{made.name}:a", f"{made.name}:b")
    proxy.reset()
    return made


# What a registry answers to a request for a manifest


@dataclass
class Answer:
    reply: Reply
    code: int
    says: tuple[str, ...]


ANSWERS = {
    "no manifest, with a detail": Answer(
        error_reply(404, "MANIFEST_UNKNOWN", "manifest unknown", detail={"Tag": "x"}),
        NOT_FOUND,
        ("{ref} was not found", "lading repos {host}"),
    ),
    "no manifest, without a detail": Answer(
        error_reply(404, "MANIFEST_UNKNOWN"), NOT_FOUND, ("{ref} was not found", "lading repos {host}")
    ),
    "no repository": Answer(
        error_reply(404, "NAME_UNKNOWN", "repository name not known to registry"),
        NOT_FOUND,
        ("{ref} was not found", "no such repository", "lading repos {host}"),
    ),
    "404 with an empty document": Answer(json_reply({}, status=404), NOT_FOUND, ("{ref} was not found",)),
    "404 with a code of its own": Answer(
        error_reply(404, "NOT_FOUND", "artifact x not found"), NOT_FOUND, ("{ref} was not found",)
    ),
    "404 with HTML": Answer(
        Reply(status=404, headers=(("Content-Type", "text/html"),), body=b"<html><title>Nothing</title>"),
        UNSUPPORTED,
        ("{host} is no registry", "'Nothing'"),
    ),
    "404 with a text, and no type": Answer(
        Reply(status=404, body=b"gone"), UNSUPPORTED, ("{host} is no registry", "HTTP 404: gone")
    ),
    "401 without a challenge": Answer(
        error_reply(401, "UNAUTHORIZED", "authentication required", detail=[{"Type": "repository"}]),
        DENIED,
        ("{host} did not allow", "no credentials were found", "lading login {host}"),
    ),
    "401 without errors": Answer(
        json_reply({"message": "who are you"}, status=401), DENIED, ("{host} did not allow", "lading login {host}")
    ),
    "401 with a text": Answer(Reply(status=401, body=b"no"), DENIED, ("{host} did not allow", "lading login {host}")),
    "403": Answer(
        error_reply(403, "DENIED", "requested access to the resource is denied"),
        DENIED,
        ("{host} did not allow repository:a/b:pull", "lading login {host}"),
    ),
    "403 with HTML": Answer(
        Reply(status=403, headers=(("Content-Type", "text/html"),), body=b"<title>403 Forbidden</title>"),
        DENIED,
        ("{host} did not allow repository:a/b:pull", "lading login {host}"),
    ),
    "429, and it goes on": Answer(
        error_reply(429, "TOOMANYREQUESTS", "You have reached your pull rate limit.", headers=AT_ONCE),
        RATE_LIMITED,
        ("{host} asks for fewer requests", "429", "try again later, or log in"),
    ),
    "429, and the wait is not worth it": Answer(
        error_reply(429, "TOOMANYREQUESTS", headers=(("Retry-After", "3600"),)),
        RATE_LIMITED,
        ("{host} asks for fewer requests", "3600 seconds"),
    ),
    "500": Answer(Reply(status=500, headers=AT_ONCE), 1, ("{host} failed to answer for {ref}", "500")),
    "503 with HTML": Answer(
        Reply(status=503, headers=AT_ONCE, body=b"<title>Unavailable</title>"),
        1,
        ("{host} failed to answer for {ref}", "503"),
    ),
    "a page to sign in": Answer(
        Reply(headers=(("Content-Type", "text/html"),), body=b"<html><title>Sign in</title></html>"),
        UNSUPPORTED,
        ("{host} is no registry", "a web page"),
    ),
    "schema 1": Answer(
        Reply(
            headers=(("Content-Type", "application/vnd.docker.distribution.manifest.v1+prettyjws"),),
            body=b'{"schemaVersion": 1, "name": "a/b", "tag": "x", "fsLayers": [], "history": []}',
        ),
        CONTENT,
        ("{ref} is in Docker's schema 1", "obsolete", "push the image again"),
    ),
    "no JSON": Answer(
        Reply(headers=(("Content-Type", OCI_MANIFEST),), body=b"not json"), CONTENT, ("{ref} is not valid JSON",)
    ),
    "nothing": Answer(Reply(headers=(("Content-Type", OCI_MANIFEST),)), CONTENT, ("{ref} is not valid JSON",)),
    "no object": Answer(
        Reply(headers=(("Content-Type", OCI_MANIFEST),), body=b"[]"), CONTENT, ("{ref} is not a JSON object",)
    ),
    "a key twice": Answer(
        Reply(headers=(("Content-Type", OCI_MANIFEST),), body=b'{"schemaVersion": 2, "schemaVersion": 2}'),
        CONTENT,
        ("{ref} is not valid JSON", "'schemaVersion' appears twice"),
    ),
    "over 4 MiB": Answer(
        Reply(headers=(("Content-Type", OCI_MANIFEST),), body=b'{"x": "%s"}' % (b"x" * (4 << 20))),
        CONTENT,
        ("{host}", "4194304"),
    ),
    "other bytes than it says": Answer(
        served(AMD64, digest=ZEROS), CONTENT, ("{ref} does not match its digest", ZEROS)
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_what_a_registry_answers(name: str, lading: Lading) -> None:
    answer = ANSWERS[name]
    with ScriptedServer(lambda _: answer.reply) as server, unchanged(lading):
        ref = f"{server.host}/a/b:x"
        says = [words.format(ref=ref, host=server.host) for words in answer.says]
        fails(lading, "manifest", "create", f"{server.host}/a/b:list", ref, code=answer.code, says=says)
        assert {request.method for request in server.requests} == {"GET"}


@pytest.mark.parametrize("name", ["no manifest, with a detail", "401 with a text", "403", "no JSON", "500"])
@pytest.mark.parametrize("command", ["digest", "inspect", "manifest inspect", "manifest pull"])
def test_every_command_says_it_alike(name: str, command: str, lading: Lading) -> None:
    answer = ANSWERS[name]
    with ScriptedServer(lambda _: answer.reply) as server, unchanged(lading):
        ref = f"{server.host}/a/b:x"
        says = [words.format(ref=ref, host=server.host) for words in answer.says]
        fails(lading, *command.split(), ref, code=answer.code, says=says)


def test_the_config_of_an_image_is_gone(lading: Lading) -> None:
    def script(request: Request) -> Reply | None:
        return served(AMD64) if "/manifests/" in request.path else error_reply(404, "BLOB_UNKNOWN")

    with ScriptedServer(script) as server, unchanged(lading):
        list_, ref = f"{server.host}/a/b:list", f"{server.host}/a/b:x"
        fails(lading, "manifest", "create", list_, ref, code=NOT_FOUND, says=["was not found", AMD64.digest])
        says = [f"the config of {server.host}/a/b@{AMD64.digest} was not found", "push the image again"]
        fails(lading, "inspect", ref, code=NOT_FOUND, says=says)


def test_the_config_of_an_image_is_no_json(lading: Lading) -> None:
    config = b"this is none"
    document = AMD64.document
    document["config"] |= {"digest": digest_of(config), "size": len(config)}
    broken = replace(AMD64, content=json.dumps(document).encode())

    def script(request: Request) -> Reply | None:
        return served(broken) if "/manifests/" in request.path else Reply(body=config)

    with ScriptedServer(script) as server, unchanged(lading):
        ref = f"{server.host}/a/b:x"
        says = [f"the config of {server.host}/a/b@{broken.digest} is not valid JSON"]
        fails(lading, "inspect", ref, code=CONTENT, says=says)
        fails(lading, "manifest", "create", f"{server.host}/a/b:list", ref, code=CONTENT, says=says)


def test_the_config_of_an_image_is_another(lading: Lading) -> None:
    def script(request: Request) -> Reply | None:
        return served(AMD64) if "/manifests/" in request.path else Reply(body=AMD64.config[::-1])

    with ScriptedServer(script) as server, unchanged(lading):
        config = AMD64.document["config"]["digest"]
        fails(lading, "inspect", f"{server.host}/a/b:x", code=CONTENT, says=["does not match its digest", config])


def test_a_tag_that_is_not_there_has_neighbours(place: Place) -> None:
    with unchanged(place.lading, place.registry, place.repository):
        ref = f"{place.name}:aa"
        says = [f"{ref} was not found", "the repository has 2 tags; the nearest is a", f"lading tags {place.name}"]
        for command in ("digest", "inspect", "manifest inspect", "manifest pull", "delete --yes"):
            fails(place.lading, *command.split(), ref, code=NOT_FOUND, says=says)
        fails(
            place.lading, "manifest", "create", f"{place.name}:other", f"{place.name}:a", ref, code=NOT_FOUND, says=says
        )
        fails(place.lading, "manifest", "add", place.list, ref, code=NOT_FOUND, says=says)
        fails(place.lading, "tag", ref, "new", code=NOT_FOUND, says=says)


def test_a_digest_that_is_not_there(place: Place) -> None:
    """`name:tag@digest` means the digest, so the tag does not help, and is not asked for."""
    with unchanged(place.lading, place.registry, place.repository):
        create = ("manifest", "create", f"{place.name}:other", f"{place.name}:a@{ZEROS}")
        fails(place.lading, *create, code=NOT_FOUND, says=[f"{place.name}@{ZEROS} was not found"])
    assert all(exchange.path.endswith(ZEROS) for exchange in place.proxy.exchanges)


# What a registry answers to a write

WRITES = {
    "400, it lacks content": Answer(
        error_reply(400, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry"), NOT_FOUND, ("{ref}", "blob unknown")
    ),
    "400, two errors": Answer(
        json_reply(
            {"errors": [{"code": "MANIFEST_BLOB_UNKNOWN", "message": "blob unknown to registry"}] * 2}, status=400
        ),
        NOT_FOUND,
        ("{ref}", "blob unknown"),
    ),
    "400, malformed": Answer(
        error_reply(400, "MANIFEST_INVALID", "manifest invalid"), CONTENT, ("{host} did not accept {ref}", "400")
    ),
    "403": Answer(
        error_reply(403, "DENIED", "requested access to the resource is denied"),
        DENIED,
        ("{host} did not allow repository:{repository}:pull,push", "lading login {host}"),
    ),
    "405": Answer(error_reply(405, "UNSUPPORTED"), UNSUPPORTED, ("{host} does not support", "{ref}", "405")),
    "409": Answer(
        error_reply(409, "TAG_IMMUTABLE", "tag is immutable"), CONFLICT, ("{host} keeps {ref} as it is", "immutable")
    ),
    "413": Answer(Reply(status=413), CONTENT, ("{ref} is too large for {host}", "413")),
    "415": Answer(Reply(status=415), UNSUPPORTED, ("{host} does not take {ref} in its format", "--type docker")),
    "400, a name that it does not like": Answer(
        error_reply(400, "NAME_INVALID", "two levels at most"),
        UNSUPPORTED,
        ("does not take the name {ref}", "two levels"),
    ),
    "500, settled": Answer(
        error_reply(500, "MANIFEST_INVALID", "no config"), CONTENT, ("{host} did not accept {ref}", "500", "no config")
    ),
    "429": Answer(Reply(status=429, headers=AT_ONCE), RATE_LIMITED, ("{host} asks for fewer requests",)),
    "500": Answer(Reply(status=500, headers=AT_ONCE), 1, ("{host} failed to answer for {ref}", "500")),
    "201 for other bytes": Answer(
        Reply(status=201, headers=(("Docker-Content-Digest", ZEROS),)),
        CONTENT,
        ("{ref} was stored with other bytes", ZEROS),
    ),
}


@pytest.mark.parametrize("name", WRITES)
def test_what_a_registry_answers_to_a_list(name: str, place: Place) -> None:
    answer = WRITES[name]
    place.proxy.intercept = when(answer.reply, method="PUT", path="/manifests/")
    names = {"host": place.proxy.host, "repository": place.repository}
    with unchanged(place.lading, place.registry, place.repository):
        for command, ref in (
            (("manifest", "push", "--purge", place.list), place.list),
            (("tag", f"{place.name}:a", "new"), f"{place.name}:new"),
        ):
            fails(place.lading, *command, code=answer.code, says=[w.format(ref=ref, **names) for w in answer.says])


def test_a_write_is_confirmed_without_a_digest(place: Place) -> None:
    """The registry may leave it out; Docker then fails, although the list was stored."""
    place.proxy.intercept = when(Alter(remove_headers=("Docker-Content-Digest",)), method="PUT")
    digest = place.lading.run("manifest", "push", place.list).stdout.strip()
    assert get_manifest(place.registry, place.repository, "list")[2] == digest


@pytest.mark.parametrize("answer", ["202", "403", "405", "500"])
def test_a_mount_that_is_refused_becomes_an_upload(answer: str, place: Place) -> None:
    elsewhere = f"{place.repository}-other"
    image = make_image("linux/s390x", seed=f"mount {answer}")
    push(place.registry, elsewhere, "c", image)
    place.lading.run("manifest", "add", place.list, f"{place.proxy.host}/{elsewhere}:c")
    place.proxy.reset()

    def refuse(request: Request) -> Reply | Alter | None:
        if request.method != "POST" or "mount=" not in request.query:
            return None
        if answer != "202":
            headers = AT_ONCE if answer == "500" else ()
            return error_reply(int(answer), "DENIED" if answer == "403" else "UNSUPPORTED", headers=headers)
        # What a registry does that knows nothing of mounts: it opens an upload.
        request.target = request.path
        return Alter()

    place.proxy.intercept = refuse
    pushed = place.lading.run("manifest", "push", place.list).stdout.splitlines()
    assert pushed[0] == f"Pushed ref {place.name}@{image.digest} with digest: {image.digest}"
    assert get_manifest(place.registry, place.repository, "list")[2] == pushed[-1]
    assert get_manifest(place.registry, place.repository, image.digest)[0] == image.content
    assert place.proxy.count("PUT", "/blobs/uploads/") == len(image.blobs)


def test_a_copy_that_fails_leaves_the_list_unpushed(place: Place) -> None:
    """Children before the list: when an upload is refused, the tag still names what it named."""
    elsewhere = f"{place.repository}-other"
    push(place.registry, elsewhere, "c", make_image("linux/s390x", seed="copy"))
    place.lading.run("manifest", "add", place.list, f"{place.proxy.host}/{elsewhere}:c")
    place.proxy.intercept = when(error_reply(403, "DENIED"), path="/blobs/uploads/")
    with unchanged(place.lading, place.registry, place.repository):
        fails(
            place.lading,
            *("manifest", "push", place.list),
            code=DENIED,
            says=[f"{place.proxy.host} did not allow", f"needed for the entry {place.proxy.host}/{elsewhere}:c"],
        )
    assert place.proxy.count("PUT", "/manifests/") == 0


def test_sources_of_another_registry_are_copied(place: Place, basic_registry: RealRegistry) -> None:
    """Docker takes them, and refuses at push."""
    image = make_image("linux/ppc64le", seed="elsewhere")
    push(basic_registry.host, place.repository, "c", image, auth=("alice", "secret"))
    know(place.lading, basic_registry.host, "alice", "secret")
    place.lading.run("manifest", "add", place.list, f"{basic_registry.host}/{place.repository}:c")
    pushed = place.lading.run("manifest", "push", place.list).stdout.splitlines()
    assert pushed[0] == f"Pushed ref {place.name}@{image.digest} with digest: {image.digest}"
    assert get_manifest(place.registry, place.repository, image.digest)[0] == image.content


def test_deletion_is_not_allowed(lading: Lading, repository: str) -> None:
    with RealRegistry(delete=False) as registry:
        push(registry.host, repository, "a", AMD64)
        ref = f"{registry.host}/{repository}:a"
        with unchanged(lading, registry.host, repository):
            says = [f"{registry.host} does not let", "405", "REGISTRY_STORAGE_DELETE_ENABLED=true"]
            fails(lading, "delete", "--yes", ref, code=UNSUPPORTED, says=says)
            says = [f"{registry.host} cannot remove the tag a by itself", "405", f"lading delete {ref}"]
            fails(lading, "delete", "--untag", "--yes", ref, code=UNSUPPORTED, says=says)


def test_a_tag_cannot_be_removed_by_itself(place: Place) -> None:
    """Distribution before 3.0 takes a tag for a malformed digest."""
    ref = f"{place.name}:a"
    with unchanged(place.lading, place.registry, place.repository):
        says = [f"{place.proxy.host} cannot remove the tag a by itself", "400", f"lading delete {ref}"]
        fails(place.lading, "delete", "--untag", "--yes", ref, code=UNSUPPORTED, says=says)


@pytest.mark.parametrize("status", [404, 405])
def test_a_registry_that_lists_no_repositories(status: int, lading: Lading) -> None:
    with ScriptedServer(lambda _: error_reply(status, "UNSUPPORTED")) as server:
        fails(lading, "repos", server.host, code=UNSUPPORTED, says=[server.host])


def test_docker_hub_lists_no_repositories(lading: Lading) -> None:
    fails(lading, "repos", "docker.io", code=UNSUPPORTED, says=["Docker Hub", "hub.docker.com"])


def test_no_such_repository(lading: Lading, registry: RealRegistry, repository: str) -> None:
    name = f"{registry.host}/{repository}"
    fails(lading, "tags", name, code=NOT_FOUND, says=[f"{name} was not found", f"lading repos {registry.host}"])


# Who is asking


@pytest.fixture(scope="module")
def tokens() -> TokenService:
    return TokenService({"alice": "secret"}, anonymous={})


@pytest.fixture(scope="module")
def bearer(tokens: TokenService) -> Iterator[RealRegistry]:
    with RealRegistry(auth="token", tokens=tokens) as running:
        push(running.host, "team/app", "a", AMD64, auth=("alice", "secret"))
        tokens.grants = {"alice": {"team/*": {"pull"}}}
        yield running


def test_basic_without_credentials(lading: Lading, basic_registry: RealRegistry, repository: str) -> None:
    host = basic_registry.host
    push(host, repository, "a", AMD64, auth=("alice", "secret"))
    ref = f"{host}/{repository}:a"
    says = [f"{host} did not allow repository:{repository}:pull", "no credentials were found", f"lading login {host}"]
    with unchanged(lading):
        fails(lading, "digest", ref, code=DENIED, says=says)
        fails(lading, "manifest", "create", f"{host}/{repository}:list", ref, code=DENIED, says=says)


def test_basic_with_a_wrong_password(lading: Lading, basic_registry: RealRegistry, repository: str) -> None:
    host = basic_registry.host
    know(lading, host, "alice", "hunter2")
    says = [f"{host} did not allow", "config.json were refused", f"lading login {host}"]
    with unchanged(lading):
        ran = fails(lading, "manifest", "inspect", f"{host}/{repository}:a", code=DENIED, says=says)
    assert "hunter2" not in ran.stderr


def test_bearer_without_credentials(lading: Lading, bearer: RealRegistry) -> None:
    says = [f"{bearer.host} did not allow repository:team/app:pull", "no credentials", f"lading login {bearer.host}"]
    fails(lading, "digest", f"{bearer.host}/team/app:a", code=DENIED, says=says)


def test_bearer_where_nobody_gets_a_token(lading: Lading) -> None:
    service = TokenService({"alice": "secret"})
    with RealRegistry(auth="token", tokens=service) as registry:
        says = [f"{registry.host} did not allow", "no credentials were found", f"lading login {registry.host}"]
        fails(lading, "digest", f"{registry.host}/team/app:a", code=DENIED, says=says)


def test_bearer_with_a_wrong_password(lading: Lading, bearer: RealRegistry) -> None:
    know(lading, bearer.host, "alice", "wrong")
    says = [f"{bearer.host} did not allow", "incorrect username or password", f"lading login {bearer.host}"]
    fails(lading, "digest", f"{bearer.host}/team/app:a", code=DENIED, says=says)


def test_bearer_that_allows_less_than_it_takes(lading: Lading, bearer: RealRegistry) -> None:
    know(lading, bearer.host, "alice", "secret")
    ref = f"{bearer.host}/team/app:a"
    assert lading.run("digest", ref).stdout.strip() == AMD64.digest
    says = [f"{bearer.host} did not allow repository:team/app:pull,push", "do not allow it", "lading login"]
    fails(lading, "tag", ref, "new", code=DENIED, says=says)
    fails(lading, "delete", "--yes", ref, code=DENIED, says=[f"{bearer.host} did not allow", "delete"])
    fails(
        lading,
        "digest",
        f"{bearer.host}/other/app:a",
        code=DENIED,
        says=[f"{bearer.host} did not allow repository:other/app:pull"],
    )
    fails(lading, "repos", bearer.host, code=DENIED, says=[f"{bearer.host} did not allow", "catalog"])


# Hosts that cannot be spoken to


def test_plain_http_is_not_spoken_unasked(lading: Lading) -> None:
    with OutwardServer() as server, unchanged(lading):
        ref = f"{server.host}/a/b:x"
        says = [f"{server.host} speaks plain HTTP", "--insecure, or insecure = true"]
        for command in (("digest", ref), ("manifest", "create", f"{server.host}/a/b:list", ref), ("tag", ref, "new")):
            fails(lading, *command, code=UNREACHABLE, says=says)
        assert server.requests == []
        server.script = lambda _: served(AMD64)
        assert lading.run("digest", "--insecure", ref).stdout.strip() == AMD64.digest


def test_a_certificate_nobody_vouches_for(lading: Lading, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority", names=(own_address(),))
    with OutwardServer(tls=authority) as server, unchanged(lading):
        ref = f"{server.host}/a/b:x"
        says = [f"the certificate of {server.host} cannot be verified", "not trusted here", "ca_file"]
        for command in (("digest", ref), ("manifest", "create", f"{server.host}/a/b:list", ref)):
            fails(lading, *command, code=UNREACHABLE, says=says)
        assert server.requests == []
        server.script = lambda _: served(AMD64)
        assert lading.run("digest", "--insecure", ref).stdout.strip() == AMD64.digest


def test_loopback_needs_no_flag(lading: Lading, authority: Authority) -> None:
    for tls in (None, authority):
        with ScriptedServer(lambda _: served(AMD64), tls=tls) as server:
            assert lading.run("digest", f"{server.host}/a/b:x").stdout.strip() == AMD64.digest


def test_a_refused_connection(lading: Lading) -> None:
    with ScriptedServer() as server:
        host = server.host
    with unchanged(lading):
        says = [f"{host} could not be reached", "refused"]
        fails(lading, "manifest", "create", f"{host}/a/b:list", f"{host}/a/b:x", code=UNREACHABLE, says=says)


def test_an_unknown_host(lading: Lading) -> None:
    says = ["nohost.invalid could not be reached", "no host of that name", "check the name of the registry"]
    fails(lading, "digest", "nohost.invalid/a/b:x", code=UNREACHABLE, says=says)


def test_a_connection_that_breaks(lading: Lading) -> None:
    with ScriptedServer(lambda _: Reply(drop=True)) as server:
        fails(lading, "digest", f"{server.host}/a/b:x", code=UNREACHABLE, says=[server.host])


# The local store


def test_no_such_list(lading: Lading) -> None:
    list_ = "localhost:5000/a/b:list"
    says = [f"No such manifest: {list_}", "there is no local manifest list of this name", "lading manifest"]
    for command in (
        "push",
        "rm",
        "inspect {} localhost:5000/a/b:x",
        "annotate {} localhost:5000/a/b:x --os linux",
        "add {} x",
        "remove {} x",
    ):
        words = (command if "{}" in command else f"{command} {{}}").format(list_).split()
        fails(lading, "manifest", *words, code=NOT_FOUND, says=says)


def test_rm_removes_what_is_there(place: Place) -> None:
    none = [f"{place.name}:none", f"{place.name}:none2"]
    says = [f"No such manifest: {none[0]}, {none[1]}", "lading manifest ls"]
    fails(place.lading, "manifest", "rm", none[0], place.list, none[1], code=NOT_FOUND, says=says)
    assert local(place.lading) == {}


def test_no_such_entry(place: Place) -> None:
    with unchanged(place.lading):
        image = f"{place.name}:none"
        says = [f"{image} does not exist in {place.list}", f"its entries are {place.name}:a, {place.name}:b"]
        for command in (
            ("annotate", place.list, image, "--os", "linux"),
            ("inspect", place.list, image),
            ("remove", place.list, image),
        ):
            fails(place.lading, "manifest", *command, code=NOT_FOUND, says=says)


def test_a_list_is_not_overwritten(place: Place) -> None:
    with unchanged(place.lading):
        says = [f"{place.list} already", "no --amend flag", "--replace"]
        fails(place.lading, "manifest", "create", place.list, f"{place.name}:a", code=CONFLICT, says=says)
        push(place.registry, place.repository, "list", make_index([AMD64]))
        says = [f"{place.list} already", "--replace"]
        fails(place.lading, "manifest", "pull", place.list, code=CONFLICT, says=says)


def test_a_failed_create_leaves_nothing(place: Place) -> None:
    """And so can be done again without any flag."""
    create = ("manifest", "create", f"{place.name}:other", f"{place.name}:a", f"{place.name}:later")
    with unchanged(place.lading):
        fails(place.lading, *create, code=NOT_FOUND, says=[f"{place.name}:later was not found"])
    push(place.registry, place.repository, "later", ARM64)
    place.lading.run(*create)


def test_a_list_without_entries(place: Place) -> None:
    folder_of(place.lading, f"{place.name}:empty").mkdir()
    says = [f"{place.name}:empty has no entries", "lading manifest add"]
    fails(place.lading, "manifest", "push", f"{place.name}:empty", code=NOT_FOUND, says=says)
    assert json.loads(place.lading.run("manifest", "inspect", f"{place.name}:empty").stdout)["manifests"] == []
    assert f"{place.name}:empty" in place.lading.run("manifest", "ls").stdout


def test_a_foreign_file_in_a_list(place: Place) -> None:
    """Docker's push dies of it."""
    (folder_of(place.lading, place.list) / ".DS_Store").write_bytes(b"\0\0junk")
    digest = place.lading.run("manifest", "push", place.list).stdout.strip()
    assert get_manifest(place.registry, place.repository, "list")[2] == digest


@pytest.mark.parametrize("damage", ["no JSON", "no Ref", "a Ref that is none"])
def test_a_damaged_file_in_a_list(damage: str, place: Place) -> None:
    (folder,) = (path for path in folder_of(place.lading, place.list).parent.iterdir() if not path.name.startswith("."))
    path = min(folder.iterdir())
    document = json.loads(path.read_bytes())
    del document["Ref"]
    path.write_text(
        {"no JSON": "{", "no Ref": json.dumps(document), "a Ref that is none": json.dumps({**document, "Ref": "App"})}[
            damage
        ]
    )
    with unchanged(place.lading, place.registry, place.repository):
        says = [str(path), "--replace"]
        commands = ["push", "inspect", "annotate --index-annotation a=b", "create --amend {name}:a", "add {name}:a"]
        for command in commands if damage == "no JSON" else commands[:1]:
            verb, *rest = command.format(name=place.name).split()
            images = [word for word in rest if word.startswith(place.name)]
            flags = [word for word in rest if word not in images]
            fails(place.lading, "manifest", verb, *flags, place.list, *images, code=CONTENT, says=says)
    listed = place.lading.run("manifest", "ls")
    assert "cannot be read" in listed.stdout
    assert str(path) in listed.stderr
    place.lading.run("manifest", "create", "--replace", place.list, f"{place.name}:a")
    place.lading.run("manifest", "push", place.list)


def test_an_entry_without_a_platform(place: Place) -> None:
    push(place.registry, place.repository, "thing", make_artifact())
    place.lading.run("manifest", "add", place.list, f"{place.name}:thing")
    with unchanged(place.lading, place.registry, place.repository):
        says = [
            f"manifest {place.name}:thing must have an OS and Architecture",
            "does not say",
            "lading manifest annotate",
        ]
        fails(place.lading, "manifest", "push", place.list, code=USAGE, says=says)


def test_an_image_is_no_list(place: Place) -> None:
    with unchanged(place.lading):
        says = [f"{place.name}:a is an image, not a list", "lading manifest create"]
        fails(place.lading, "manifest", "pull", f"{place.name}:a", code=CONTENT, says=says)


# What cannot be understood

WRONG = {
    "digest App": ("'App' is not a reference", "must be lowercase"),
    "digest https://localhost:5000/a": ("'https://localhost:5000/a' is not a reference", "no scheme"),
    "digest localhost:5000/a@sha256:12": ("is not a reference", "sha256"),
    "inspect localhost:5000/a --platform linux": ("'linux' is not a platform", "OS/ARCH"),
    "digest localhost:5000/a --platform linux": ("'linux' is not a platform", "OS/ARCH"),
    "inspect localhost:5000/a --raw --format json": ("--raw", "usage: lading inspect"),
    "inspect localhost:5000/a --raw --platform linux/amd64 --platform linux/arm64": ("--raw", "usage: lading inspect"),
    "inspect": ("missing argument 'REFERENCE...'", "usage: lading inspect"),
    "inspect localhost:5000/a --bogus": ("'--bogus'", "usage: lading inspect"),
    "tag localhost:5000/a": ("missing argument 'NEW...'", "usage: lading tag"),
    "tag localhost:5000/a localhost:5000/b@" + ZEROS: ("cannot be a new tag", "it has a digest"),
    "tag localhost:5000/a b --if-digest 12": ("'12' is not a digest", "sha256:<64 hex digits>"),
    "tags localhost:5000/a:b": ("localhost:5000/a:b is not a repository", "--points-at"),
    "tags localhost:5000/a --points-at sha256:12": ("'sha256:12' is not a digest", "64"),
    "tags localhost:5000/a --points-at App:x": ("'App:x' is not a reference", "must be lowercase"),
    "tags localhost:5000/a --latest 0": ("'--latest'", "usage: lading tags"),
    "tags localhost:5000/a --latest 1 --sort name": ("--latest goes by version", "usage: lading tags"),
    "repos localhost:5000/a": ("'localhost:5000/a' is not a registry", "HOST[:PORT]"),
    "repos a/b": ("'a/b' is not a registry", "HOST[:PORT]"),
    "delete localhost:5000/a --if-digest 12": ("'12' is not a digest", "sha256:<64 hex digits>"),
    "delete --untag --yes localhost:5000/a@" + ZEROS: ("names no tag", "REPOSITORY:TAG"),
    "login a/b -u alice --password-stdin": ("'a/b' is not a registry", "HOST[:PORT]"),
    "login localhost:5000": ("nobody to ask for a user name", "usage: lading login"),
    "login localhost:5000 -u alice": ("nobody to ask for a password", "usage: lading login"),
    "login localhost:5000 --identity-token-stdin -u alice": ("has no user name", "usage: lading login"),
    "manifest create localhost:5000/App:x localhost:5000/a:b": (
        "is not a reference",
        "repository name (App) must be lowercase",
    ),
    "manifest create localhost:5000/a:x localhost:5000/App:b": (
        "is not a reference",
        "repository name (App) must be lowercase",
    ),
    "manifest create localhost:5000/a:x": ("missing argument 'MANIFEST...'", "usage: lading manifest create"),
    "manifest create localhost:5000/a:x b --platform linux": ("'linux' is not a platform", "OS/ARCH"),
    "manifest create localhost:5000/a:x b --annotation c": ("'c' is not KEY=VALUE", "usage: lading manifest create"),
    "manifest create localhost:5000/a:x b --type zip": ("'zip'", "usage: lading manifest create"),
    "manifest create localhost:5000/a:x b -t c": ("--tag goes with --push", "usage: lading manifest create"),
    "manifest create localhost:5000/a:x b --push -t c:d": ("'c:d' is not a tag", "own repository"),
    "manifest create localhost:5000/a:x b --amend --replace": ("either amended or replaced",),
    "manifest annotate localhost:5000/a:x": ("name the MANIFEST", "usage: lading manifest annotate"),
    "manifest inspect a b c": ("at most two names", "usage: lading manifest inspect"),
    "manifest inspect a -v --raw": ("exclude each other", "usage: lading manifest inspect"),
    "manifest inspect a b --remote": ("leave out --remote", "usage: lading manifest inspect"),
    "manifest inspect App": ("'App' is not a reference", "must be lowercase"),
    "manifest push App": ("'App' is not a reference", "must be lowercase"),
    "manifest push a --if-digest b": ("'b' is not a digest", "sha256:<64 hex digits>"),
    "manifest rm App": ("'App' is not a reference", "must be lowercase"),
    "completion tcsh": ("'tcsh'", "usage: lading completion"),
    "registry serve --address nowhere": ("nowhere",),
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Runs a command without a process of its own: for what ends before anything is done."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*args: str) -> Ran:
        monkeypatch.setattr("sys.stdin", io.StringIO("secret\n"))
        code = main(args)
        said = capsys.readouterr()
        assert not (tmp_path / "docker").exists()
        return Ran(args, code, said.out.encode(), said.err.encode())

    return run


@pytest.mark.parametrize("command", WRONG)
def test_what_cannot_be_understood(command: str, here: Callable[..., Ran]) -> None:
    assert_failed(here(*command.split()), USAGE, WRONG[command])


TEMPLATES = {
    "{{.Digest}}": ("the template cannot be read", "{{ digest }}, not {{.Digest}}"),
    "{{ nothing }}": ("the template does not fit", "no field 'nothing'", "its fields are version, python"),
    "{% for %}": ("the template cannot be read",),
    "yaml": ("'yaml' is no output format", "text, json"),
}


@pytest.mark.parametrize("template", TEMPLATES)
def test_templates_that_do_not_work(template: str, here: Callable[..., Ran]) -> None:
    assert_failed(here("version", "--format", template), USAGE, TEMPLATES[template])


# Guards


def test_a_guard_that_does_not_hold(place: Place) -> None:
    push(place.registry, place.repository, "c", make_index([AMD64, ARM64]))
    with unchanged(place.lading, place.registry, place.repository):
        guard = ("--if-digest", ZEROS)
        says = [f"{place.name}:b was not changed", f"it names {ARM64.digest}"]
        fails(place.lading, "tag", f"{place.name}:a", "b", "a", *guard, code=CONFLICT, says=says)
        says = [f"{place.name}:new was not changed", "there is no such tag"]
        fails(place.lading, "tag", f"{place.name}:a", "new", *guard, code=CONFLICT, says=says)
        says = [f"{place.name}:a was not", AMD64.digest]
        fails(place.lading, "delete", "--yes", f"{place.name}:a", *guard, code=CONFLICT, says=says)
        says = [f"{place.list} was not changed", "there is no such tag"]
        fails(place.lading, "manifest", "push", place.list, *guard, code=CONFLICT, says=says)
    place.lading.run("manifest", "push", place.list)
    with unchanged(place.lading, place.registry, place.repository):
        says = [f"{place.list} was not changed, because it exists", "it names sha256:"]
        fails(place.lading, "manifest", "push", place.list, "--if-digest", "absent", code=CONFLICT, says=says)


def test_nobody_to_ask(place: Place) -> None:
    """What destroys asks; where there is nobody to ask, it needs to be told."""
    with unchanged(place.lading, place.registry, place.repository):
        says = ["nothing was deleted", "nobody to ask", "--dry-run", "--yes"]
        fails(place.lading, "delete", f"{place.name}:a", code=USAGE, says=says, stdin=b"y\n")
        fails(place.lading, "delete", "--untag", f"{place.name}:a", code=USAGE, says=["nothing was deleted", "--yes"])
    place.lading.run("manifest", "push", place.list)
    with unchanged(place.lading, place.registry, place.repository):
        says = ["nothing was removed", "nobody to ask", "--dry-run", "--yes"]
        fails(place.lading, "manifest", "prune", code=USAGE, says=says, stdin=b"y\n")


def test_two_tags_of_one_digest_are_deleted_knowingly(place: Place) -> None:
    """Both are named before: this is what a careless script loses."""
    push(place.registry, place.repository, "also-a", AMD64)
    with unchanged(place.lading, place.registry, place.repository):
        seen = on_terminal(place.lading, "delete", f"{place.name}:a", answers=[("Delete?", "n\n")])
        assert (seen.text.splitlines()[-1], seen.returncode) == ("nothing was deleted", 1)
        assert "  and with it the tags also-a and a\n" in seen.text
    assert set(remote(place.registry, place.repository)) == {"a", "b", "also-a"}
