"""Lets requests through to the registry, or not: authentication and rules, as ASGI.

This module knows what a request needs by its path. `users` and `tokens` tell the client's user, `access` what the user
may do. A request that a login or another token could make possible is refused with 401, any other with 403.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from lading.errors import UsageError
from lading.serve.auth.access import CATALOG, Caller, Need, Rules
from lading.serve.auth.tokens import LOG_IN, SERVICE, WRONG, TokenService, basic_user, credentials
from lading.serve.auth.users import Users
from lading.serve.protocol import routes
from lading.serve.protocol.problems import Problem, drain, respond
from lading.serve.settings import Settings
from lading.serve.storage.storage import is_repository

_READING = ("GET", "HEAD")
_SCHEMES = ("htpasswd", "token")
_WORDS = {"pull": "pull from", "push": "push to", "delete": "delete from", "*": "list"}


class Gate:
    """An application behind authentication (ASGI).

    Args:
        application: what gets the requests that may pass.
        settings: the rules, and how clients authenticate.
        clock: gives the time, in seconds since the epoch.

    Raises:
        UsageError: a file cannot be read, or settings contradict each other.
    """

    def __init__(self, application: ASGIApp, settings: Settings, clock: Callable[[], float]) -> None:
        scheme, _, file = (settings.auth or "").partition("=")
        if scheme not in _SCHEMES or not file:
            remedy = "give htpasswd=FILE for Basic, or token=FILE for Bearer; FILE is made by htpasswd -B"
            raise UsageError(f"{settings.auth!r} is no kind of authentication", remedy=remedy)
        self._application = application
        self._users = Users(file)
        self._rules = Rules(settings.allow)
        self._tokens: TokenService | None = None
        if scheme == "token":
            self._tokens = TokenService(self._users, self._rules, settings.token_key, settings.public_url, clock)
        elif self._rules.for_anybody:
            cause = "with Basic, clients log in everywhere or nowhere"
            raise UsageError("rules for anonymous need tokens", cause=cause, remedy=f"use token={file}")
        elif settings.token_key is not None or settings.public_url is not None:
            raise UsageError("a key and an address are for tokens", remedy=f"use token={file}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or refuse it."""
        if scope["type"] != "http":
            return await self._application(scope, receive, send)
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ClientDisconnect:
            return
        except Problem as problem:
            await drain(request)
            response = problem.response()
        if response is None:
            return await self._application(scope, receive, send)
        await respond(response, scope, receive, send)

    async def _answer(self, request: Request) -> Response | None:
        """The answer to a request for a token; None for what may pass."""
        route = routes.find(request.scope)
        if route is None:
            return None  # there is nothing
        if route.kind == "token" and self._tokens is not None:
            return await self._tokens.answer(request)
        source = _source(request, route)
        needs = _needs(request, route)
        caller = await self._caller(request, needs)
        for need in needs:
            if not self._rules.permits(caller.user, need):
                raise self._denied(request, needs, need, caller)
        if source is not None and self._rules.permits(caller.user, source):
            needs = [*needs, source]  # where it is not permitted, it is as if nothing were there
        if caller.granted is not None and not caller.granted.issuperset(needs):
            raise self._unauthorized(request, needs, "the token is not for this", "insufficient_scope")
        request.scope[routes.USER] = caller.user
        request.scope[routes.VISIBLE] = self._visible(caller, listing=CATALOG in needs)
        return None

    async def _caller(self, request: Request, needs: Sequence[Need]) -> Caller:
        """The client that sends a request."""
        header = credentials(request)
        if header is None:
            # What anonymous clients may do with a repository needs no token; the catalog depends on the user.
            if CATALOG not in needs and any(self._rules.permits(None, need) for need in needs):
                return Caller()
            raise self._unauthorized(request, needs, LOG_IN)
        scheme, _, value = header.partition(" ")
        if scheme.lower() == "bearer" and self._tokens is not None:
            caller = self._tokens.read(value.strip())
            if caller is None:
                raise self._unauthorized(request, needs, "the token is not valid, or no longer", "invalid_token")
            return caller
        user = await basic_user(self._users, header)
        if user is None:
            raise self._unauthorized(request, needs, WRONG)
        return Caller(user)

    def _visible(self, caller: Caller, *, listing: bool) -> Callable[[str], bool]:
        """Tells which repositories a caller may pull from; with a token for the catalog, all that its user may."""
        granted = None if listing else caller.granted

        def visible(name: str) -> bool:
            need = Need("repository", name, "pull")
            return self._rules.permits(caller.user, need) and (granted is None or need in granted)

        return visible

    def _denied(self, request: Request, needs: Sequence[Need], need: Need, caller: Caller) -> Problem:
        if caller.user is None:
            error = None if caller.granted is None else "insufficient_scope"
            return self._unauthorized(request, needs, LOG_IN, error)
        message = f"{caller.user} may not {_WORDS[need.action]} {need.name}"
        return Problem(403, "DENIED", message)

    def _unauthorized(self, request: Request, needs: Sequence[Need], message: str, error: str | None = None) -> Problem:
        if self._tokens is not None:
            challenge = self._tokens.challenge(request, needs, error)
        else:
            challenge = f'Basic realm="{SERVICE}"'
        return Problem(401, "UNAUTHORIZED", message, headers={"www-authenticate": challenge})


def _needs(request: Request, route: routes.Resource) -> list[Need]:
    """What a request does; empty where it is about the registry itself, or its repository has no valid name."""
    if route.kind == "catalog":
        return [CATALOG]
    name = route.values.get("name")
    if name is None or not is_repository(name):
        return []
    if request.method == "DELETE" and route.kind != "upload":
        return [Need("repository", name, "delete")]
    reads = request.method in _READING and route.kind != "upload"
    return [Need("repository", name, "pull" if reads else "push")]


def _source(request: Request, route: routes.Resource) -> Need | None:
    """Where a request mounts a blob from, if it does."""
    source = request.query_params.get("from", "") if route.kind == "uploads" else ""
    return Need("repository", source, "pull") if is_repository(source) else None
