"""Lists that come in pages: whole, or with an error that says how many came."""

import re
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from lading.errors import Denied, InvalidContent, LadingError, NotFound, RegistryFailure
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.media_types import OCI_INDEX, OCI_MANIFEST
from lading.registry import lists
from lading.registry.hosts.configuration import Config
from lading.registry.lists import repositories
from lading.registry.repository import Repository
from lading.registry.session import Session
from support.fakes import Reply, Request, ScriptedServer, error_reply, json_reply
from support.http import Headers
from support.lading import Lading

NAMES = [f"n{number}" for number in range(5)]
SUBJECT = Digest("sha256:" + "5" * 64)
DIGESTS = [f"sha256:{number:064}" for number in range(5)]
PATHS = {"tags": "/v2/t/app/tags/list", "repositories": "/v2/_catalog", "referrers": f"/v2/t/app/referrers/{SUBJECT}"}
Link = Callable[[Request, str], str]


def page_of(kind: str, items: Sequence[str]) -> Reply:
    """A page of a list, of whatever kind."""
    if kind != "referrers":
        return json_reply({kind: items})
    entries = [{"mediaType": OCI_MANIFEST, "digest": DIGESTS[NAMES.index(item)], "size": 1} for item in items]
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
    return Reply(body=json_reply(document).body, headers=[("Content-Type", OCI_INDEX)])


def paged(kind: str, link: Link, answers: Callable[[Request], Reply | None] = lambda _: None) -> ScriptedServer:
    """A registry with a list of five in pages of two; `link` writes the header that names the next page."""

    def script(request: Request) -> Reply | None:
        if (reply := answers(request)) is not None:
            return reply
        if request.path != PATHS[kind]:
            return None
        start = int(request.params.get("last", ["0"])[0])
        reply = page_of(kind, NAMES[start : start + 2])
        if start + 2 >= len(NAMES):
            return reply
        return Reply(
            body=reply.body, headers=[*Headers.of(reply.headers), ("Link", link(request, f"last={start + 2}"))]
        )

    return ScriptedServer(script)


async def listed(kind: str, server: ScriptedServer, got: list[str] | None = None) -> list[str]:
    got = [] if got is None else got
    async with Session(config=Config(), backoff=0) as session:
        store = Repository(session, server.host, "t/app")
        names: AsyncIterator[Any] = store.tags() if kind == "tags" else repositories(session, server.host)
        if kind == "referrers":
            names = store.referrers(Descriptor(media_type=OCI_MANIFEST, digest=SUBJECT, size=1))
        async for name in names:
            got.append(NAMES[DIGESTS.index(name.digest)] if kind == "referrers" else name)
    return got


every_list = pytest.mark.parametrize("kind", ["tags", "repositories", "referrers"])


@every_list
@pytest.mark.parametrize(
    "form",
    [
        '<{path}?{query}>; rel="next"',
        "<http://elsewhere.example{path}?{query}>; rel=next",
        "<https://127.0.0.1:1{path}?{query}>; rel=next",
        '</wrong{path}?{query}>; rel="next"',
        '<http://{host}/proxy/hub{path}?{query}>; rel="next"',
        '<?{query}>; rel="next"',
        '{path}?{query}; rel="next"',
        "<{path}?{query}",
        "<{path}?{query}>",
        "<{path}?{query}>; rel='next'",
        '</first>; rel="first", <{path}?{query}>; rel="next"',
    ],
)
async def test_the_next_page_is_found_where_the_first_one_was(kind: str, form: str) -> None:
    def link(request: Request, query: str) -> str:
        return form.format(path=request.path, query=query, host=request.headers.get("Host"))

    with paged(kind, link) as server:
        assert await listed(kind, server) == NAMES
        assert len(server.requests) == 3


@every_list
@pytest.mark.parametrize(
    "link", ["garbage", "<>; rel=next", '<http://elsewhere.example/x>; rel="next"', "<a b>; rel=next"]
)
async def test_a_next_page_that_cannot_be_found_is_an_error(kind: str, link: str) -> None:
    got: list[str] = []
    with paged(kind, lambda *_: link) as server, pytest.raises(LadingError) as caught:
        await listed(kind, server, got)
    assert caught.value.exit_code in (7, 9)
    assert got == NAMES[:2]
    assert caught.value.fields["came"] == 2
    assert "2 came" in caught.value.message
    assert caught.value.code == "list-incomplete"


@every_list
@pytest.mark.parametrize(
    "reply, error",
    [
        (error_reply(404, "NAME_UNKNOWN"), RegistryFailure),
        (error_reply(403, "DENIED"), Denied),
        (error_reply(200, "DENIED"), Denied),
        (Reply(status=500), RegistryFailure),
        (Reply(body=b"<html>"), InvalidContent),
    ],
    ids=["404", "403", "200", "500", "html"],
)
async def test_a_later_page_that_is_refused(kind: str, reply: Reply, error: type[LadingError]) -> None:
    def answers(request: Request) -> Reply | None:
        return reply if "last" in request.params else None

    got: list[str] = []
    with paged(kind, lambda request, query: f"<{request.path}?{query}>; rel=next", answers) as server:
        with pytest.raises(error, match="2 came") as caught:
            await listed(kind, server, got)
        assert not isinstance(caught.value, NotFound), "that would be about the repository"
    assert got == NAMES[:2]


@every_list
@pytest.mark.parametrize("names", [NAMES[:2], []])
async def test_pages_that_bring_nothing_new_come_to_an_end(kind: str, names: list[str]) -> None:
    def answers(request: Request) -> Reply | None:
        reply = page_of(kind, names)
        link = f"<{request.path}?page={len(server.requests)}>; rel=next"
        return Reply(body=reply.body, headers=[*Headers.of(reply.headers), ("Link", link)])

    with ScriptedServer(answers) as server:
        with pytest.raises(InvalidContent, match=f"{len(names)} came"):
            await listed(kind, server)
        assert len(server.requests) < 110


@every_list
async def test_an_empty_page_or_one_that_overlaps_is_no_end(kind: str) -> None:
    pages = [NAMES[:2], NAMES[1:3], [], NAMES[2:]]

    def answers(request: Request) -> Reply | None:
        number = int(request.params.get("page", ["0"])[0])
        reply = page_of(kind, pages[number])
        link = [("Link", f"<{request.path}?page={number + 1}>; rel=next")] if number < 3 else []
        return Reply(body=reply.body, headers=[*Headers.of(reply.headers), *link])

    with ScriptedServer(answers) as server:
        assert await listed(kind, server) == NAMES


@every_list
@pytest.mark.parametrize(
    "document",
    [
        {"errors": [{"code": "DENIED", "message": "no"}]},
        {"errors": [{"code": "DENIED"}], "tags": ["x"], "manifests": []},
    ],
)
async def test_errors_with_the_status_of_a_success_are_errors(kind: str, document: dict[str, Any]) -> None:
    with ScriptedServer(lambda _: json_reply(document)) as server, pytest.raises(Denied):
        await listed(kind, server)


@pytest.mark.parametrize("kind", ["tags", "repositories"])
async def test_words_in_place_of_a_list_are_an_error(kind: str) -> None:
    with (
        ScriptedServer(lambda _: json_reply({"message": "over quota"})) as server,
        pytest.raises(RegistryFailure) as caught,
    ):
        await listed(kind, server)
    assert "over quota" in (caught.value.cause or "")


@pytest.mark.parametrize("kind", ["tags", "repositories"])
@pytest.mark.parametrize(
    "status, code", [(400, "PAGINATION_NUMBER_INVALID"), (405, "UNSUPPORTED"), (422, ""), (416, "")]
)
async def test_a_registry_may_have_a_largest_page(kind: str, status: int, code: str) -> None:
    def answers(request: Request) -> Reply | None:
        return error_reply(status, code) if int(request.params.get("n", ["0"])[0]) > 100 else None

    with paged(kind, lambda request, query: f"<{request.path}?{query}>; rel=next", answers) as server:
        assert await listed(kind, server) == NAMES
        assert len(server.requests) == 1 + 3
    with ScriptedServer(lambda _: error_reply(status, code)) as server:
        with pytest.raises(LadingError):
            await listed(kind, server)
        assert len(server.requests) == 2


@pytest.mark.parametrize("status", [400, 404, 405, 406, 410, 415, 422, 501])
@pytest.mark.parametrize("code", ["", "UNSUPPORTED"])
async def test_without_the_referrers_api_the_fallback_tag_is_read(status: int, code: str) -> None:
    def script(request: Request) -> Reply | None:
        if "/referrers/" in request.path:
            return error_reply(status, code) if code else Reply(status=status)
        return page_of("referrers", NAMES[:2])

    with ScriptedServer(script) as server:
        assert await listed("referrers", server) == NAMES[:2]
        assert re.fullmatch(r"GET /v2/t/app/manifests/sha256-5{64}", server.lines[-1])


async def test_the_subject_itself_is_no_list_of_its_referrers() -> None:
    subject = page_of("referrers", NAMES[:2])

    def script(request: Request) -> Reply | None:
        return subject if "/manifests/" in request.path else None  # as GitLab takes the tag for the digest in it

    digest = Digest.of(subject.body)
    async with Session(config=Config(), backoff=0) as session:
        with ScriptedServer(script) as server:
            store = Repository(session, server.host, "t/app")
            found = store.referrers(Descriptor(media_type=OCI_INDEX, digest=digest, size=len(subject.body)))
            assert [entry async for entry in found] == []


async def test_an_index_of_referrers_is_one_whatever_its_content_type() -> None:
    reply = Reply(body=page_of("referrers", NAMES).body, headers={"Content-Type": "application/json; charset=utf-8"})
    with ScriptedServer(lambda request: reply if "/referrers/" in request.path else None) as server:
        assert await listed("referrers", server) == NAMES


def test_on_the_command_line_a_list_that_is_cut_short_is_an_error(lading: Lading) -> None:
    with paged("tags", lambda *_: "garbage") as server:
        ran = lading.run("tags", f"{server.host}/t/app", check=False)
        assert ran.returncode == 7
        assert "2 came" in ran.stderr


@pytest.mark.parametrize("kind", ["tags", "repositories"])
@pytest.mark.parametrize("limit,most,came", [("ITEMS", 5, 6), ("PAGES", 4, 8)])
async def test_a_list_that_brings_new_names_for_ever_has_an_end(
    kind: str, limit: str, most: int, came: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def script(request: Request) -> Reply | None:
        if request.path != PATHS[kind]:
            return None
        start = int(request.params.get("last", ["0"])[0])
        link = f"<{request.path}?last={start + 2}>; rel=next"
        return Reply(body=page_of(kind, [f"n{start}", f"n{start + 1}"]).body, headers=[("Link", link)])

    monkeypatch.setattr(lists, limit, most)
    got: list[str] = []
    with ScriptedServer(script) as server:
        with pytest.raises(InvalidContent, match=f"{came} came") as raised:
            await listed(kind, server, got)
        assert (raised.value.code, raised.value.fields["came"]) == ("list-incomplete", came)
        assert got == [f"n{number}" for number in range(came)]
        assert len(server.lines) == came // 2


async def test_a_list_as_long_as_the_limit_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "ITEMS", 5)
    monkeypatch.setattr(lists, "PAGES", 3)
    with paged("tags", lambda request, query: f"<{request.path}?{query}>; rel=next") as server:
        assert await listed("tags", server) == NAMES
