"""`lading repos`, with all its options, against a real registry."""

from cli.place import AMD64, Place
from support.fakes import Reply, ScriptedServer, json_reply
from support.http import Request
from support.images import (
    push,
)
from support.lading import Lading
from support.registry import RealRegistry


def test_repos(place: Place, registry: RealRegistry) -> None:
    place.push("a", AMD64)
    push(place.host, f"{place.repository}-other", "a", AMD64)
    listed = place.run("repos", place.host, "--include", f"{place.repository}*")
    assert listed.splitlines() == [place.repository, f"{place.repository}-other"]
    assert place.run("repos", registry.url, "--include", f"{place.repository}*", "--exclude", "*-other").split() == [
        place.repository
    ]
    found = place.run("repos", place.host, "--include", f"re:{place.repository}(-other)?", "--exclude", "semver:*")
    assert found.split() == listed.split()
    document = place.json("repos", place.host, "--include", place.repository)
    assert document == {"registry": place.host, "repositories": [place.repository]}
    none = place.lading.run("repos", place.host, "--include", "nothing-*")
    assert (none.stdout, none.stderr) == ("", f"{place.host} has no repositories like that\n")


def test_repos_page_by_page(lading: Lading) -> None:
    names = [f"team/app-{number}" for number in range(25)]

    def script(request: Request) -> Reply | None:
        last = request.params.get("last", [""])[0]
        start = names.index(last) + 1 if last else 0
        page = names[start : start + 10]
        link = f'</v2/_catalog?last={page[-1]}&n=10>; rel="next"'
        return json_reply({"repositories": page}, headers=(("Link", link),) if page[-1] != names[-1] else ())

    with ScriptedServer(script) as server:
        assert lading.run("repos", server.host).stdout.split() == names
        assert len(server.requests) == 3
