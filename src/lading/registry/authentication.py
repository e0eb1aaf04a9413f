"""Answering challenges: which `Authorization` a registry gets (distribution's token authentication, RFC 9110 §11).

Knows credentials and token services, and neither retries nor redirects: requests to a token service go through a
function that it is given.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlencode

import msgspec

from lading.errors import Denied, InvalidContent, LadingError, RateLimited, RegistryFailure
from lading.registry import failures, links
from lading.registry.challenge import Challenge, choose
from lading.registry.credentials import Credential
from lading.registry.failures import Refusal

CLIENT_ID = "lading"
TOKEN_REPLY_LIMIT = 1024 * 1024
"""The largest answer of a token service that is read, in bytes."""
DEFAULT_LIFETIME = 60.0
"""Seconds a token lives where its service does not say (distribution's token authentication, `expires_in`)."""
_MARGIN = 10.0
_ACTIONS = ("pull", "push", "delete")


class Scope(NamedTuple):
    """What a token is to allow. `str(scope)` is the form of token requests, `repository:a/b:pull,push`."""

    repository: str
    """The path within the registry; empty for what is no repository, where `kind` names it all."""
    actions: tuple[str, ...] = ("pull",)
    kind: str = "repository"

    def __str__(self) -> str:
        """`KIND:REPOSITORY:ACTIONS`, with the actions in an order of their own."""
        known = [action for action in _ACTIONS if action in self.actions]
        others = sorted({action for action in self.actions if action not in _ACTIONS})
        return ":".join(part for part in (self.kind, self.repository, ",".join(known + others)) if part)

    @classmethod
    def parse(cls, text: str) -> Scope | None:
        """Read a scope of a challenge; None for what has not its form."""
        kind, _, rest = text.partition(":")
        repository, colon, actions = rest.rpartition(":")
        if not kind or not colon or not actions:
            return None
        named = tuple(action for action in actions.split(",") if action)
        return cls(repository, named, kind) if kind == "repository" else cls("", named, f"{kind}:{repository}")

    def covers(self, other: Scope) -> bool:
        """Whether what allows this allows the other, too."""
        same = (self.kind, self.repository) == (other.kind, other.repository)
        return same and set(other.actions) <= set(self.actions)


CATALOG = Scope("", ("*",), "registry:catalog")
"""Listing a registry's repositories."""


class Token(msgspec.Struct, frozen=True):
    """A Bearer token, with all that has to be known to use it again. Its `repr` does not show it."""

    value: str
    scopes: tuple[Scope, ...]
    expires: float
    """When it must no longer be used, in seconds since the epoch."""
    realm: str
    """The token service it is from."""
    service: str
    account: str
    """Whose it is; empty for anybody's."""

    def __repr__(self) -> str:
        """What it allows, and whom."""
        return f"<Token for {' '.join(map(str, self.scopes))} of {self.account or 'anybody'}>"

    def allows(self, scopes: Iterable[Scope]) -> bool:
        """Whether it was asked for with all of this."""
        return all(any(own.covers(scope) for own in self.scopes) for scope in scopes)


class TokenCache(Protocol):
    """Somewhere that tokens outlive a session. Both methods are quick, and never fail."""

    def get(self, registry: str) -> Sequence[Token]:
        """The tokens of a registry; expired ones may be among them."""

    def put(self, registry: str, token: Token) -> None:
        """Keep a token of a registry."""


class Reply(NamedTuple):
    """A token service's whole answer."""

    status: int
    body: bytes


class Ask(Protocol):
    """Sends a request to a token service, whose address has been checked."""

    def __call__(
        self, method: str, url: str, headers: Sequence[tuple[str, str]], body: bytes | None
    ) -> Awaitable[Reply]:
        """Send it, and read at most TOKEN_REPLY_LIMIT bytes of the answer."""


class TokenRefused(Exception):
    """A token service gave no token; the session makes an error of it that says whose credentials, and what for."""

    def __init__(self, refusal: Refusal, credential: Credential | None) -> None:
        super().__init__(f"HTTP {refusal.status}")
        self.refusal = refusal
        self.credential = credential


class Authorization(NamedTuple):
    """What a request shows."""

    header: str
    """The value of the `Authorization` field."""
    token: Token | None = None
    fresh: bool = False
    """Whether the token was asked for just now."""

    def __repr__(self) -> str:
        """The scheme only."""
        return f"<Authorization {self.header.partition(' ')[0]}>"


class Authenticator:
    """Answers one registry's challenges, and remembers what it takes.

    Args:
        registry: its name, for messages.
        find: looks up the credentials for a repository of it.
        ask: sends requests to token services.
        cache: where tokens outlive the session.
    """

    def __init__(
        self,
        registry: str,
        find: Callable[[str | None], Awaitable[Credential | None]],
        ask: Ask,
        cache: TokenCache | None = None,
    ) -> None:
        self._registry = registry
        self._find = find
        self._ask = ask
        self._cache = cache
        self._tokens = list(cache.get(registry)) if cache is not None else []
        self._refresh_tokens: dict[str, str] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._challenge: Challenge | None = None
        self._base = ""
        """The registry's address; empty as long as it has not been heard of in this session."""
        self._exact = False
        """Whether the token service refuses other scopes than those of challenges."""
        if self._tokens:
            last = self._tokens[-1]
            self._challenge = Challenge("bearer", {"realm": last.realm, "service": last.service})

    @property
    def challenge(self) -> Challenge | None:
        """The challenge that lading answers; None as long as the registry has asked for nothing."""
        return self._challenge

    def learn(self, challenges: Iterable[Challenge], base: str) -> None:
        """Take note of what a refusal asks for.

        Args:
            challenges: its challenges.
            base: the registry's address, which they came from.
        """
        challenge = choose(challenges)
        if challenge is not None:
            self._challenge, self._base = challenge, base

    async def authorization(self, scopes: Sequence[Scope]) -> Authorization | None:
        """What to send a request with, by all that is known; None for nothing.

        Args:
            scopes: what the request needs.

        Raises:
            TokenRefused: the token service refuses.
            LadingError: it could not be asked.
        """
        known = self._challenge
        if known is None:
            return None
        credential = await self._find(repository_of(scopes))
        if known.scheme == "basic" or (credential is not None and credential.registry_token):
            return _shown(known, credential)
        if self._exact and not self._held(scopes, credential):
            return None
        try:
            return await self._token(known, scopes, credential)
        except TokenRefused as refused:
            if refused.refusal.status != 400 and self._base:
                raise
            # Some services know fewer actions than we do (Quay has no `delete`): let the registry say them.
            self._exact = True
        except LadingError:
            if self._base:
                raise
        if not self._base:  # remembered from another session, and perhaps no longer true
            self._challenge = None
        return None

    async def answer(
        self, challenges: Sequence[Challenge], base: str, scopes: Sequence[Scope], sent: Authorization | None
    ) -> Authorization | None:
        """What to send a refused request with again; None where there is nothing better than what it had.

        Args:
            challenges: those of the refusal.
            base: the address of the registry, which they came from.
            scopes: what the request needs.
            sent: what it was sent with.

        Raises:
            TokenRefused: the token service refuses.
            Denied: the registry names a token service that must not be asked.
            LadingError: it could not be asked.
        """
        challenge = choose(challenges)
        if challenge is None:
            return None
        self.learn([challenge], base)
        credential = await self._find(repository_of(scopes))
        if challenge.scheme == "basic" or (credential is not None and credential.registry_token):
            offered = _shown(challenge, credential)
            return None if offered == sent else offered
        named = [scope for text in challenge.scopes if (scope := Scope.parse(text)) is not None]
        wanted = named if self._exact and named else _merged([*scopes, *named])
        if sent is not None and sent.token is not None:
            if sent.fresh and sent.token.allows(wanted):
                return None  # made for this request: another one would be no better
            if sent.token in self._tokens:
                self._tokens.remove(sent.token)
        try:
            return await self._token(challenge, wanted, credential)
        except TokenRefused as refused:
            if refused.refusal.status != 400 or not named or wanted == named:
                raise
            self._exact = True
            return await self._token(challenge, named, credential)

    async def _token(
        self, challenge: Challenge, scopes: Sequence[Scope], credential: Credential | None
    ) -> Authorization:
        # One at a time for each repository: the others of a crowd find what the first has brought.
        async with self._locks.setdefault(repository_of(scopes) or "", asyncio.Lock()):
            token = self._held(scopes, credential)
            fresh = token is None
            if token is None:
                token = await self._fetch(challenge, scopes, credential)
                now = time.time()
                self._tokens = [kept for kept in self._tokens if kept.expires > now and not token.allows(kept.scopes)]
                self._tokens.append(token)
                if self._cache is not None:
                    self._cache.put(self._registry, token)
            return Authorization(f"Bearer {token.value}", token, fresh)

    def _held(self, scopes: Sequence[Scope], credential: Credential | None) -> Token | None:
        now, account = time.time(), _account(credential)
        for token in reversed(self._tokens):
            if token.expires > now and token.account == account and token.allows(scopes):
                return token
        return None

    async def _fetch(self, challenge: Challenge, scopes: Sequence[Scope], credential: Credential | None) -> Token:
        realm = trusted_realm(challenge.realm, self._base, self._registry)
        asked_at = time.time()
        reply = await self._converse(realm, challenge.service, scopes, credential)
        if reply.status != 200:
            raise self._refused(reply, realm, credential)
        grant = _read_grant(reply.body, realm)
        account = _account(credential)
        if grant.refresh_token:
            self._refresh_tokens[account] = grant.refresh_token
        lifetime = grant.lifetime
        return Token(
            value=grant.token,
            scopes=tuple(scopes),
            expires=asked_at + lifetime - min(_MARGIN, lifetime / 4),
            realm=challenge.realm,
            service=challenge.service,
            account=account,
        )

    async def _converse(
        self, realm: str, service: str, scopes: Sequence[Scope], credential: Credential | None
    ) -> Reply:
        """Ask for a token in the dialects that the credentials allow, until one is understood."""
        account = _account(credential)
        kept = self._refresh_tokens.get(account)
        refresh = kept or (credential.identity_token if credential is not None else "")
        if refresh:
            reply = await self._post(realm, service, scopes, grant_type="refresh_token", refresh_token=refresh)
            if kept and reply.status in {400, 401, 403}:
                del self._refresh_tokens[account]
                return await self._converse(realm, service, scopes, credential)
            if reply.status not in _NOT_SPOKEN:
                return reply
        query = [("service", service)] if service else []
        query += [("scope", str(scope)) for scope in scopes]
        headers = []
        if credential is not None and (credential.password or credential.identity_token):
            if credential.username:
                query.insert(0, ("account", credential.username))
            headers.append(("Authorization", _basic(credential, _TOKEN_USER)))
        separator = "&" if "?" in realm else "?"
        url = f"{realm}{separator}{urlencode(query)}" if query else realm
        reply = await self._ask("GET", url, headers, None)
        if reply.status in _NOT_SPOKEN and credential is not None and credential.password:
            return await self._post(
                realm,
                service,
                scopes,
                grant_type="password",
                username=credential.username,
                password=credential.password,
            )
        return reply

    async def _post(self, realm: str, service: str, scopes: Sequence[Scope], **form: str) -> Reply:
        """Ask as OAuth2 does (distribution's token authentication, `oauth`)."""
        form |= {"service": service, "client_id": CLIENT_ID, "scope": " ".join(map(str, scopes))}
        headers = [("Content-Type", "application/x-www-form-urlencoded")]
        return await self._ask("POST", realm, headers, urlencode(form).encode())

    def _refused(self, reply: Reply, realm: str, credential: Credential | None) -> Exception:
        refusal = Refusal(reply.status, reply.body)
        if reply.status in {400, 401, 403}:
            return TokenRefused(refusal, credential)
        service = links.origin(realm).netloc
        words = str(failures.said(reply.body))
        cause = f"HTTP {reply.status}: {words}" if words else f"HTTP {reply.status}"
        if reply.status == 429:
            return RateLimited(
                f"{service}, the token service of {self._registry}, asks for fewer requests", cause=cause, status=429
            )
        return RegistryFailure(
            f"{service}, the token service of {self._registry}, gave no token", cause=cause, status=reply.status
        )


def trusted_realm(realm: str, base: str, registry: str) -> str:
    """Check that a token service may be asked, and return its address.

    Args:
        realm: the address that the registry gave.
        base: the registry's own address; empty where it has not been heard of, and counts as https.
        registry: the registry's name.

    Raises:
        Denied: it may not: it is no address, it would be less protected than the registry is, or it is on this
            machine or in a private network although the registry is somewhere else.
    """
    here = links.origin(base or f"https://{registry}")
    cause = None
    try:
        there = links.origin(realm)
    except ValueError as error:
        cause = str(error)
    else:
        both_local = links.is_loopback(here.host) and links.is_loopback(there.host)
        if there.scheme == "http" and here.scheme != "http":
            cause = f"{there.url} has no TLS, and {registry} has"
        elif links.is_private(there.host) and there.host != here.host and not both_local:
            cause = f"{there.url} is an address of a private network, and not that of {registry}"
    if cause is not None:
        raise Denied(f"{registry} names a token service that lading does not ask", cause=cause)
    return realm.partition("#")[0]


def repository_of(scopes: Sequence[Scope]) -> str | None:
    """The repository that a request is about: that of its first scope."""
    return (scopes[0].repository or None) if scopes and scopes[0].kind == "repository" else None


_NOT_SPOKEN = frozenset({404, 405})
_TOKEN_USER = "<token>"


class _Grant(NamedTuple):
    token: str
    lifetime: float
    refresh_token: str


def _read_grant(body: bytes, realm: str) -> _Grant:
    service = links.origin(realm).netloc
    try:
        document: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise InvalidContent(f"the token service {service} gave an answer that cannot be read", cause="it is not JSON")
    token = document.get("token") or document.get("access_token")
    if not isinstance(token, str) or not all("!" <= character <= "~" for character in token):
        raise InvalidContent(f"the token service {service} gave no token that can be used")
    lifetime = document.get("expires_in")
    if not isinstance(lifetime, int | float) or isinstance(lifetime, bool) or not 0 < lifetime < 1e9:
        lifetime = DEFAULT_LIFETIME
    refresh = document.get("refresh_token")
    return _Grant(token, float(lifetime), refresh if isinstance(refresh, str) else "")


def _shown(challenge: Challenge, credential: Credential | None) -> Authorization | None:
    """What answers a challenge without asking anybody."""
    if credential is None:
        return None
    if challenge.scheme == "basic":
        return Authorization(_basic(credential)) if credential.password else None
    return Authorization(f"Bearer {credential.registry_token}")


def _basic(credential: Credential, token_user: str = "") -> str:
    import base64

    user = credential.username or ("" if credential.password else token_user)
    pair = f"{user}:{credential.password or credential.identity_token}"
    return f"Basic {base64.b64encode(pair.encode()).decode('ascii')}"


def _account(credential: Credential | None) -> str:
    if credential is None:
        return ""
    return credential.username or _TOKEN_USER


def _merged(scopes: Iterable[Scope]) -> list[Scope]:
    """The same scopes, each repository once."""
    merged: dict[tuple[str, str], Scope] = {}
    for scope in scopes:
        key = (scope.kind, scope.repository)
        known = merged.get(key)
        merged[key] = scope if known is None else known._replace(actions=(*known.actions, *scope.actions))
    return [scope._replace(actions=tuple(dict.fromkeys(scope.actions))) for scope in merged.values()]
