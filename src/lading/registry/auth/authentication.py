"""Answering challenges: which `Authorization` a registry gets (distribution's token authentication, RFC 9110 §11).

Knows credentials and token services, and neither retries nor redirects: requests to a token service go through a
function that it is given.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlencode

import msgspec

from lading.errors import Denied, InvalidContent, LadingError, RateLimited, RegistryFailure
from lading.registry import failures, urls
from lading.registry.auth.challenge import Challenge, choose
from lading.registry.auth.credentials import TOKEN_USER, Credential, Proof
from lading.registry.auth.scopes import Scope, Token, TokenCache, repository_of

if TYPE_CHECKING:
    from lading.registry.auth.attempts import Attempts

CLIENT_ID = "lading"
TOKEN_REPLY_LIMIT = 1024 * 1024
"""The largest answer of a token service that is read, in bytes."""
DEFAULT_LIFETIME = 60.0
"""Seconds a token lives where its service does not say (distribution's token authentication, `expires_in`)."""
_MARGIN = 10.0


class Reply(msgspec.Struct, frozen=True):
    """A token service's whole answer."""

    status: int
    body: bytes


class Ask(Protocol):
    """Sends a request to a token service, whose address has been checked."""

    def __call__(
        self, method: str, url: str, headers: Sequence[tuple[str, str]], body: bytes | None, /
    ) -> Awaitable[Reply]:
        """Send it, and read at most TOKEN_REPLY_LIMIT bytes of the answer."""


class TokenRefused(Exception):
    """A token service gave no token; the session makes an error of it, with the credentials and the scope."""

    def __init__(self, refusal: failures.Refusal, credential: Credential | None) -> None:
        super().__init__(f"HTTP {refusal.status}")
        self.refusal = refusal
        self.credential = credential


class Authorization(msgspec.Struct, frozen=True):
    """What a request shows."""

    header: str
    """The value of the `Authorization` field; empty for none."""
    token: Token | None = None
    fresh: bool = False
    """Whether the token was asked for just now."""
    credential: Credential | None = None
    """The credential that is shown itself."""

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """The header fields that show it."""
        return (("Authorization", self.header),) if self.header else ()

    @property
    def shows_credentials(self) -> bool:
        """Whether it is credentials, or a token that was given for some."""
        return self.credential is not None or (self.token is not None and bool(self.token.account))

    def __repr__(self) -> str:
        """The scheme only."""
        return f"<Authorization {self.header.partition(' ')[0]}>"


ANONYMOUS = Authorization("")
"""Nothing is shown."""


class Authenticator:
    """Answers one registry's challenges, and remembers what it takes.

    Args:
        registry: its name, for messages.
        attempts: has the credentials for it.
        ask: sends requests to token services.
        cache: what earlier sessions learned of it, and where later ones find what this one learns.
        base: its address, where an earlier session learned it.
    """

    def __init__(self, registry: str, attempts: Attempts, ask: Ask, cache: TokenCache, base: str = "") -> None:
        self._registry = registry
        self._attempts = attempts
        self._ask = ask
        self._cache = cache
        self._tokens: dict[Proof | None, list[Token]] = {}
        self._refresh_tokens: dict[Proof | None, str] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._challenge = cache.challenge
        self._base = base
        self._heard = False
        """Whether the registry itself named the challenge in this session: else it may no longer be true."""
        self._insists = False
        """Whether a request was refused with the challenge: else it may be answered without credentials, too."""
        self._exact = False
        """Whether the token service refuses all scopes but the ones that its registry's challenges name."""
        self.trouble: LadingError | None = None
        """Why credentials that might have been shown could not be."""
        self.last: Authorization = ANONYMOUS
        """What the last request showed."""

    @property
    def challenge(self) -> Challenge | None:
        """The challenge that lading answers; None as long as the registry has asked for nothing."""
        return self._challenge

    @property
    def tokens(self) -> list[Token]:
        """Those that were given and not refused."""
        return [token for tokens in self._tokens.values() for token in tokens]

    def learn(self, challenges: Iterable[Challenge], base: str, *, insists: bool = True) -> None:
        """Take note of what a refusal asks for.

        Args:
            challenges: its challenges.
            base: the registry's address, which they came from.
            insists: whether what was refused is wanted; False where it was only asked for to hear the challenge.
        """
        challenge = choose(challenges)
        if challenge is not None:
            self._challenge, self._base, self._heard = challenge, base, True
            self._insists = self._insists or insists
            self._cache.challenge = challenge

    async def authorization(self, scopes: Sequence[Scope]) -> Authorization:
        """What to send a request with, by all that is known.

        Args:
            scopes: what the request needs.

        Raises:
            TokenRefused: the token service refuses.
            LadingError: it could not be asked.
        """
        known = self._challenge
        if known is None:
            return ANONYMOUS
        try:
            if self._exact:
                credential = await self._attempts.credential(repository_of(scopes))
                if not _is_shown(known, credential) and not self._held(known, scopes, credential):
                    return ANONYMOUS
            return await self._authorization(known, scopes)
        except TokenRefused as refused:
            if refused.refusal.status == 400:
                # Some services know fewer actions than we do: let the registry say them.
                self._exact = True
            elif self._insists:
                raise
        except LadingError as error:
            if self._insists:
                raise
            if self._heard:
                self.trouble = error
        if not self._insists:
            self._challenge = None
        return ANONYMOUS

    async def answer(
        self,
        challenges: Sequence[Challenge],
        base: str,
        scopes: Sequence[Scope],
        sent: Sequence[Authorization],
        refusal: failures.Refusal,
    ) -> Authorization | None:
        """What to send a refused request with again; None where there is nothing better than what it had.

        Args:
            challenges: the challenges of the refusal.
            base: the address of the registry, which they came from.
            scopes: what the request needs.
            sent: what it was sent with so far, the last one last.
            refusal: the answer to that one.

        Raises:
            TokenRefused: the token service refuses.
            Denied: the registry names a token service that must not be asked.
            LadingError: it could not be asked.
        """
        repository = repository_of(scopes)
        last = sent[-1]
        if refusal.status == 403:
            if not self._is_outdated(last, refusal):
                return None
            challenges = [self._challenge.bare] if self._challenge is not None else []
        else:
            self.learn(challenges, base)
        challenge = choose(challenges)
        if challenge is None:
            return None
        if last.credential is not None and not self._attempts.refuse(last.credential, None, refusal):
            return None
        credential = await self._attempts.credential(repository)
        if _is_shown(challenge, credential):
            offered = _shown(challenge, credential)
            return None if offered in sent else offered
        return await self._exchanged(challenge, scopes, last)

    async def _exchanged(
        self, challenge: Challenge, scopes: Sequence[Scope], last: Authorization
    ) -> Authorization | None:
        """A token for what a request needs and what the challenge names; None where the last one was as good."""
        named = [scope for text in challenge.scopes if (scope := Scope.parse(text)) is not None]
        wanted = named if self._exact and named else _merged([*scopes, *named])
        if last.token is not None:
            if last.fresh and last.token.allows(wanted):
                return None  # made for this request: another one would be no better
            self._drop(last.token)
        try:
            return await self._authorization(challenge, wanted)
        except TokenRefused as refused:
            if refused.refusal.status != 400 or not named or wanted == named:
                raise
            self._exact = True
            return await self._authorization(challenge, named)

    async def _authorization(self, challenge: Challenge, scopes: Sequence[Scope]) -> Authorization:
        """What answers a challenge, with the best credentials that are not refused."""
        repository = repository_of(scopes)
        while True:
            credential = await self._attempts.credential(repository)
            if _is_shown(challenge, credential):
                return _shown(challenge, credential)
            try:
                return await self._token(challenge, scopes, credential)
            except TokenRefused as refused:
                everywhere = _is_invalid(refused.refusal)
                if not self._heard or credential is None or not (everywhere or refused.refusal.status == 403):
                    raise
                if not self._attempts.refuse(credential, None if everywhere else repository, refused.refusal):
                    raise

    def _is_outdated(self, sent: Authorization, refusal: failures.Refusal) -> bool:
        """Whether what was forbidden may be allowed to a newer token, or to other credentials."""
        if sent.token is not None:
            return self._cache.is_from_before(sent.token)
        # Amazon ECR answers so when its token, which is a password, has ended.
        return sent.credential is not None and "expired" in str(failures.said(refusal.body)).lower()

    async def _token(
        self, challenge: Challenge, scopes: Sequence[Scope], credential: Credential | None
    ) -> Authorization:
        # One at a time for each repository: the others of a crowd find what the first has brought.
        async with self._locks.setdefault(repository_of(scopes) or "", asyncio.Lock()):
            token = self._held(challenge, scopes, credential)
            fresh = token is None
            if token is None:
                token = await self._fetch(challenge, scopes, credential)
                now = time.time()
                proof = _proof(credential)
                kept = [old for old in self._tokens[proof] if old.expires > now and not token.allows(old.scopes)]
                self._tokens[proof] = [*kept, token]
                self._cache.keep(proof, token)
            return Authorization(f"Bearer {token.value}", token, fresh)

    def _held(self, challenge: Challenge, scopes: Sequence[Scope], credential: Credential | None) -> Token | None:
        proof = _proof(credential)
        if proof not in self._tokens:
            self._tokens[proof] = list(self._cache.tokens(proof, _account(credential)))
        now = time.time()
        for token in reversed(self._tokens[proof]):
            same = (token.realm, token.service) == (challenge.realm, challenge.service)
            if same and token.expires > now and token.allows(scopes):
                return token
        return None

    def _drop(self, token: Token) -> None:
        for tokens in self._tokens.values():
            if token in tokens:
                tokens.remove(token)
        self._cache.drop(token)

    async def _fetch(self, challenge: Challenge, scopes: Sequence[Scope], credential: Credential | None) -> Token:
        realm = trusted_realm(challenge.realm, self._base, self._registry)
        asked_at = time.time()
        reply = await self._converse(realm, challenge.service, scopes, credential)
        if reply.status != 200:
            raise self._refused(reply, realm, credential)
        grant = _read_grant(reply.body, realm)
        if grant.refresh_token:
            self._refresh_tokens[_proof(credential)] = grant.refresh_token
        lifetime = grant.lifetime
        return Token(
            value=grant.token,
            scopes=tuple(scopes),
            expires=asked_at + lifetime - min(_MARGIN, lifetime / 4),
            realm=challenge.realm,
            service=challenge.service,
            account=_account(credential),
        )

    async def _converse(
        self, realm: str, service: str, scopes: Sequence[Scope], credential: Credential | None
    ) -> Reply:
        """Ask for a token in the dialects that the credentials allow, until one is understood."""
        proof = _proof(credential)
        kept = self._refresh_tokens.get(proof)
        refresh = kept or (credential.identity_token if credential is not None else "")
        if refresh:
            reply = await self._post(realm, service, scopes, grant_type="refresh_token", refresh_token=refresh)
            if kept and reply.status in {400, 401, 403}:
                del self._refresh_tokens[proof]
                return await self._converse(realm, service, scopes, credential)
            if reply.status not in _NOT_SPOKEN:
                return reply
        reply = await self._get(realm, service, scopes, credential)
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

    async def _get(self, realm: str, service: str, scopes: Sequence[Scope], credential: Credential | None) -> Reply:
        """Ask with the credentials in the header (distribution's token authentication, `token`)."""
        query = [("service", service)] if service else []
        query += [("scope", str(scope)) for scope in scopes]
        headers = []
        if credential is not None and (credential.password or credential.identity_token):
            if credential.username:
                query.insert(0, ("account", credential.username))
            headers.append(("Authorization", _basic(credential, TOKEN_USER)))
        separator = "&" if "?" in realm else "?"
        url = f"{realm}{separator}{urlencode(query)}" if query else realm
        return await self._ask("GET", url, headers, None)

    async def _post(self, realm: str, service: str, scopes: Sequence[Scope], **form: str) -> Reply:
        """Ask as OAuth2 does (distribution's token authentication, `oauth`)."""
        form |= {"service": service, "client_id": CLIENT_ID, "scope": " ".join(map(str, scopes))}
        headers = [("Content-Type", "application/x-www-form-urlencoded")]
        return await self._ask("POST", realm, headers, urlencode(form).encode())

    def _refused(self, reply: Reply, realm: str, credential: Credential | None) -> Exception:
        refusal = failures.Refusal(reply.status, reply.body)
        if reply.status in {400, 401, 403}:
            return TokenRefused(refusal, credential)
        service = urls.origin(realm).netloc
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
    here = urls.origin(base or f"https://{registry}")
    cause = None
    try:
        there = urls.origin(realm)
    except ValueError as error:
        cause = str(error)
    else:
        both_local = urls.is_own_loopback(here.host) and urls.is_own_loopback(there.host)
        if there.scheme == "http" and here.scheme != "http":
            cause = f"{there.url} has no TLS, and {registry} has"
        elif urls.is_private(there.host) and there.host != here.host and not both_local:
            cause = f"{there.url} is an address of a private network or of this machine, and not that of {registry}"
    if cause is not None:
        raise Denied(
            f"{registry} names a token service that lading does not ask",
            cause=cause,
            remedy="whoever runs the registry has to name one at its own address, or a public one, with TLS as it has",
        )
    return realm.partition("#")[0]


_NOT_SPOKEN = frozenset({404, 405})


class _Grant(msgspec.Struct, frozen=True):
    token: str
    lifetime: float
    refresh_token: str


def _read_grant(body: bytes, realm: str) -> _Grant:
    service = urls.origin(realm).netloc
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


def _is_shown(challenge: Challenge, credential: Credential | None) -> bool:
    """Whether a challenge is answered by showing a credential itself, rather than a token that it is exchanged for."""
    return challenge.scheme == "basic" or (credential is not None and bool(credential.registry_token))


def _shown(challenge: Challenge, credential: Credential | None) -> Authorization:
    """The answer to a challenge that shows a credential itself."""
    if credential is None:
        return ANONYMOUS
    if challenge.scheme == "bearer":
        return Authorization(f"Bearer {credential.registry_token}", credential=credential)
    return Authorization(_basic(credential), credential=credential) if credential.password else ANONYMOUS


def _is_invalid(refusal: failures.Refusal) -> bool:
    """Whether it is the credentials that a token service refuses, rather than what was asked for with them."""
    return refusal.status == 401 or (refusal.status == 400 and b"invalid_grant" in refusal.body)


def _basic(credential: Credential, token_user: str = "") -> str:
    import base64

    user = credential.username or ("" if credential.password else token_user)
    pair = f"{user}:{credential.password or credential.identity_token}"
    return f"Basic {base64.b64encode(pair.encode()).decode('ascii')}"


def _proof(credential: Credential | None) -> Proof | None:
    return credential.proof if credential is not None else None


def _account(credential: Credential | None) -> str:
    if credential is None:
        return ""
    return credential.username or TOKEN_USER


def _merged(scopes: Iterable[Scope]) -> list[Scope]:
    """The same scopes, each repository once."""
    merged: dict[tuple[str, str], Scope] = {}
    for scope in scopes:
        key = (scope.kind, scope.repository)
        known = merged.get(key)
        merged[key] = scope if known is None else known._replace(actions=(*known.actions, *scope.actions))
    return [scope._replace(actions=tuple(dict.fromkeys(scope.actions))) for scope in merged.values()]
