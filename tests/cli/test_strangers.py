"""A host that is no registry is told so by every verb, in the same words, and gets no password kept."""

import json
import re
from collections.abc import Callable

import pytest

from support.fakes import Reply, Request, ScriptedServer, error_reply, json_reply
from support.images import make_image, make_index, push
from support.lading import Lading
from support.proxy import CountingProxy, when
from support.registry import RealRegistry

HTML = (("Content-Type", "text/html; charset=utf-8"),)
PAGE = b"<!doctype html><html><title>Welcome</title></html>"

STRANGERS: dict[str, tuple[Callable[[Request], Reply | None], str]] = {
    "404 for all": (lambda _: Reply(status=404, headers={"Content-Type": "text/plain"}, body=b"nope"), "HTTP 404"),
    "404 with a page": (lambda _: Reply(status=404, headers=HTML, body=PAGE), "HTTP 404"),
    "404 with nothing": (lambda _: Reply(status=404), "HTTP 404"),
    "a page for all": (lambda _: Reply(headers=HTML, body=b"\n" + PAGE), "a web page"),
    "a login page": (
        lambda request: Reply(headers=HTML, body=PAGE) if request.path == "/login" else _to_login(request),
        "a web page",
    ),
}
VERBS = {
    "digest": ["digest", "{host}/team/app:1"],
    "inspect": ["inspect", "{host}/team/app:1"],
    "tags": ["tags", "{host}/team/app"],
    "resolve": ["resolve", "{host}/team/app:1"],
    "copy from": ["copy", "{host}/team/app:1", "oci:there:1"],
    "manifest create": ["manifest", "create", "{host}/team/list:1", "{host}/team/app:1"],
    "delete": ["delete", "{host}/team/app:1", "--yes"],
    "tag": ["tag", "{host}/team/app:1", "2"],
    "limits": ["registry", "limits", "{host}/team/app"],
    "repos": ["repos", "{host}"],
    "token": ["auth", "token", "{host}/team/app"],
    "login": ["login", "{host}", "-u", "ada", "-p", "hunter2hunter2"],
}


def _to_login(_: Request) -> Reply:
    return Reply(status=302, headers={"Location": "/login"})


@pytest.mark.parametrize("stranger", STRANGERS)
@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_says_so(lading: Lading, stranger: str, verb: str) -> None:
    script, cause = STRANGERS[stranger]
    with ScriptedServer(script) as server:
        ran = lading.run(*(word.format(host=server.host) for word in VERBS[verb]), check=False, cwd=lading.home)
        assert ran.returncode == 9, ran.stderr
        assert f"error: {server.host} is no registry\n" in ran.stderr
        assert re.search(f"{cause}|it answered with a web page", ran.stderr)
        assert f"lading registry check {server.host}" in ran.stderr
        assert len(server.requests) <= 6
    assert ran.stdout == ""
    assert not (lading.docker_config / "config.json").exists()


@pytest.mark.parametrize("stranger", ["a page for all", "404 for all"])
def test_what_explains_says_so(lading: Lading, stranger: str) -> None:
    with ScriptedServer(STRANGERS[stranger][0]) as server:
        for words in (("registry", "check", server.host), ("auth", "explain", f"{server.host}/team/app")):
            ran = lading.run(*words, check=False)
            assert ran.returncode != 0
            assert f"{server.host} is no registry" in ran.stdout


def test_a_registry_that_lacks_something_is_one_all_the_same(
    lading: Lading, proxy: CountingProxy, repository: str
) -> None:
    proxy.intercept = when(Reply(status=404, headers=HTML, body=PAGE), path="/team/")
    for words in (("digest", f"{proxy.host}/team/app:1"), ("tags", f"{proxy.host}/team/app")):
        ran = lading.run(*words, check=False)
        assert ran.returncode == 3
        assert "was not found" in ran.stderr
    assert proxy.count("GET", "/v2/$") == 2


def test_what_a_registry_without_a_front_page_lacks_is_not_found(lading: Lading) -> None:
    image = make_image()
    index = make_index([image])

    def answer(request: Request) -> Reply | None:
        if request.path.endswith(f"/manifests/{index.digest}"):
            return Reply(headers={"Content-Type": index.media_type}, body=index.content)
        return Reply(status=404, body=b"not here")

    with ScriptedServer(answer) as server:
        ran = lading.run("inspect", f"{server.host}/team/app@{index.digest}", check=False)
        assert "is no registry" not in ran.stderr


@pytest.mark.parametrize("reply", [error_reply(404, "NAME_UNKNOWN"), json_reply({}, status=404)])
def test_what_a_registry_says_is_not_asked_about(lading: Lading, reply: Reply) -> None:
    with ScriptedServer(lambda _: reply) as server:
        assert lading.run("tags", f"{server.host}/team/app", check=False).returncode == 3
        assert not any(request.path == "/v2/" for request in server.requests)


def test_a_mirror_that_has_become_a_web_page_is_passed_over(
    lading: Lading, registry: RealRegistry, repository: str
) -> None:
    push(registry.host, repository, "1", make_image())
    with ScriptedServer(STRANGERS["a page for all"][0]) as mirror:
        config = lading.home / "config.toml"
        config.write_text(f'[hosts."{registry.host}"]\nmirrors = ["{mirror.host}"]\n')
        ran = lading.run("inspect", f"{registry.host}/{repository}:1", env={"LADING_CONFIG": str(config)})
        assert mirror.requests
    assert make_image().digest in ran.stdout


# Passwords


def test_a_password_that_nobody_has_checked_is_not_kept_in_silence(lading: Lading, registry: RealRegistry) -> None:
    ran = lading.run("login", registry.host, "-u", "ada", "--password-stdin", stdin=b"pw")
    assert f"{registry.host} asks for no login: nobody has checked the password" in ran.stderr
    assert registry.host in json.loads((lading.docker_config / "config.json").read_text())["auths"]


def test_a_password_that_was_checked_is_kept_without_a_note(lading: Lading, basic_registry: RealRegistry) -> None:
    ran = lading.run("login", basic_registry.host, "-u", "alice", "--password-stdin", stdin=b"secret")
    assert "nobody" not in ran.stderr
