"""Lists that come in pages: tags, repositories, referrers (distribution-spec §Listing Tags).

A list ends where its registry says so, or with an error that says how many came: what cannot be read of it never ends
it without a word. Each item comes once. Pages are asked for where the first one was, whatever path or host a registry
that does not know its own address names: of its links the query counts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

import msgspec

from lading.errors import InvalidContent, LadingError, NotFound, RegistryFailure, Unsupported
from lading.model.descriptor import convert
from lading.model.digest import Digest
from lading.model.encoding import decode
from lading.registry import failures, urls
from lading.registry.auth.scopes import CATALOG, Scope
from lading.registry.failures import Refusal
from lading.registry.http.transport import Response
from lading.registry.quirks import hosted
from lading.registry.session import Session

_Item = TypeVar("_Item")
Pairs = tuple[tuple[str, str], ...]

PAGE_LIMIT = 32 * 1024 * 1024
"""The largest page that is read, in bytes."""
ITEMS = 1_000_000
"""How many items of a list are read."""
PAGES = 10_000
"""How many pages."""
_REPEATED = 3
_EMPTY = 100
"""How many pages in a row may bring only what came before, or nothing, and name a next one."""
_REFUSED_SIZES = frozenset({400, 405, 406, 413, 416, 422, 501})
"""How registries refuse a page that is larger than they give."""


async def tags(
    session: Session, registry: str, repository: str, scopes: Sequence[Scope], *, of: Digest | None = None
) -> AsyncIterator[str]:
    """The tags of a repository, in the registry's order.

    Args:
        session: carries the requests.
        registry: the registry's name.
        repository: the path within it.
        scopes: what the requests need.
        of: only the tags that name this manifest; only Google's registry says which do.
    """
    name = f"{registry}/{repository}"

    async def read(response: Response) -> Sequence[str]:
        page = await _tags(response, name, registry)
        if of is None:
            return page.tags
        return page.manifest[of].tag if of in page.manifest else ()

    async for tag in _names(session, registry, f"/v2/{repository}/tags/list", scopes, name, read):
        yield tag


async def few_tags(session: Session, registry: str, repository: str, scopes: Sequence[Scope]) -> Sequence[str] | None:
    """The tags of a repository, where the first page has all of them; None where there are more.

    Raises:
        LadingError: the page cannot be had.
    """
    name = f"{registry}/{repository}"

    def send(where: str, query: Pairs) -> AbstractAsyncContextManager[Response]:
        return session.request("GET", registry, where, scopes=scopes, query=query, what=name)

    async def read(response: Response) -> Sequence[str]:
        return (await _tags(response, name, registry)).tags

    size = (("n", str(hosted(registry).page)),)
    found, following = await _page(send, f"/v2/{repository}/tags/list", size, read)
    return found if following is None else None


async def repositories(session: Session, registry: str) -> AsyncIterator[str]:
    """The repositories of a registry, page after page (Docker registry API §Catalog).

    Raises:
        Unsupported: the registry does not list them.
    """
    session.expect(registry)
    prefix = session.config(registry).path_prefix
    above = f"{prefix}/" if prefix else ""
    what = f"the catalog of {registry}"

    async def read(response: Response) -> Sequence[str]:
        return convert(await _document(response, "repositories", what, registry), _Catalog, what).repositories

    async for name in _names(session, registry, "/v2/_catalog", (CATALOG,), what, read):
        if name.startswith(above):
            yield name.removeprefix(above)


def _names(
    session: Session,
    registry: str,
    path: str,
    scopes: Sequence[Scope],
    what: str,
    read: Callable[[Response], Awaitable[Sequence[str]]],
) -> AsyncIterator[str]:
    """The names in a list of a registry, page after page (distribution-spec §Listing Tags)."""

    def send(where: str, query: Pairs) -> AbstractAsyncContextManager[Response]:
        return session.request("GET", registry, where, scopes=scopes, query=query, what=what)

    return items(send, path, (("n", str(hosted(registry).page)),), read, what=what)


async def items(
    send: Callable[[str, Pairs], AbstractAsyncContextManager[Response]],
    path: str,
    query: Pairs,
    read: Callable[[Response], Awaitable[Sequence[_Item] | None]],
    *,
    what: str,
    key: Callable[[_Item], Hashable] = lambda item: item,
) -> AsyncIterator[_Item]:
    """The items of a list, page after page, each once.

    Args:
        send: sends a request for a path or an address of the registry, with a query.
        path: where the list is.
        query: what the first page is asked for with; a size that the registry refuses is left out.
        read: reads a page; None for one that is no page of such a list: then it ends.
        what: what is listed, for messages.
        key: what tells an item from another.

    Raises:
        InvalidContent: a page cannot be read, or they go on without bringing anything new, or for too long.
        LadingError: a page was refused.
    """
    seen: set[Hashable] = set()
    pages: set[str] = set()
    asked: str | None = path
    idle = 0
    while asked is not None:
        try:
            found, following = await _page(send, asked, query if asked == path else (), read)
            if found is None and asked != path:
                raise InvalidContent("it is no page of the list")
        except LadingError as error:
            if asked != path:
                raise _cut_short(error, what, len(seen)) from error
            if error.status not in _REFUSED_SIZES or not any(name == "n" for name, _ in query):
                raise
            query = tuple(pair for pair in query if pair[0] != "n")
            continue
        before = len(seen)
        for item in found or ():
            if key(item) not in seen:
                seen.add(key(item))
                yield item
        idle = idle + 1 if len(seen) == before else 0
        if following in pages:
            following = InvalidContent("its pages go round in a circle")
        elif following is not None and idle >= (_REPEATED if found else _EMPTY):
            following = InvalidContent("its pages go on, and bring nothing new")
        elif following is not None and (len(seen) >= ITEMS or len(pages) + 1 >= PAGES):
            following = _too_long()
        if isinstance(following, LadingError):
            raise _cut_short(following, what, len(seen))
        asked = following
        pages.add(following or "")


async def _tags(response: Response, name: str, registry: str) -> _Tags:
    return convert(await _document(response, "tags", name, registry), _Tags, f"the list of tags of {name}")


async def _page(
    send: Callable[[str, Pairs], AbstractAsyncContextManager[Response]],
    asked: str,
    query: Pairs,
    read: Callable[[Response], Awaitable[Sequence[_Item] | None]],
) -> tuple[Sequence[_Item] | None, str | LadingError | None]:
    """What a page brings, and the address of the next one, or why that cannot be read."""
    async with send(asked, query) as response:
        found = await read(response)
        if found is None:
            return None, None
        try:
            return found, _following(response, asked)
        except LadingError as error:
            return found, error


def _following(response: Response, asked: str) -> str | None:
    """The address of the page after this one; None for none.

    Args:
        response: the page.
        asked: the path or address that it was asked for at.

    Raises:
        InvalidContent: there is one, and its address cannot be read.
        Unsupported: it is on another server, and has no query that could be asked for here.
    """
    target = urls.next_link(response.headers.getall("link"))
    if target is None:
        return None
    try:
        there = urls.join(response.url, target)
    except ValueError as error:
        raise InvalidContent("the link to the next page cannot be read", cause=str(error)) from None
    _, mark, query = there.partition("?")
    if query:
        return f"{asked.partition('?')[0]}?{query}"
    if not urls.same_origin(there, response.url):
        raise Unsupported("the next page is on another server", cause=f"at {urls.origin(there).url}")
    return there.removesuffix(mark)


async def _document(response: Response, name: str, what: str, registry: str) -> Mapping[str, Any]:
    """The JSON of a page.

    Args:
        response: the page.
        name: the field that has the items.
        what: what is listed, for messages.
        registry: the registry, for messages.

    Raises:
        InvalidContent: it is not JSON.
        LadingError: it is an error, with the status of a success.
    """
    raw = await response.read(PAGE_LIMIT)
    page = decode(raw, f"the list of {what}", PAGE_LIMIT)
    if page.get("errors") or (name not in page and str(failures.said(raw))):
        refusal = Refusal(response.status, raw)
        raise failures.failure(refusal, method="GET", registry=registry, what=what)
    return page


def _too_long() -> InvalidContent:
    return InvalidContent(
        "it is longer than any list that is read",
        cause=f"{ITEMS:,} items are read, and {PAGES:,} pages",
    )


def _cut_short(error: LadingError, what: str, came: int) -> LadingError:
    """The error of a list that broke off."""
    # That a page is not found does not mean that the repository is not.
    kind = RegistryFailure if isinstance(error, NotFound) else type(error)
    short = kind(
        f"the list of {what} ends too early: {came} came, and the next page could not be read",
        cause=f"{error.message}: {error.cause}" if error.cause else error.message,
        remedy=error.remedy,
        code="list-incomplete" if error.code == type(error).code else error.code,
        fields={**error.fields, "came": came},
        status=error.status,
        registry_code=error.registry_code,
    )
    short.retry_after = error.retry_after
    return short


class _Tags(msgspec.Struct):
    tags: tuple[str, ...] = ()
    manifest: dict[str, _Named] = {}
    """By digest; only Google's registry has it."""


class _Named(msgspec.Struct):
    tag: tuple[str, ...] = ()


class _Catalog(msgspec.Struct):
    repositories: tuple[str, ...] = ()
