"""Requests to registries: scheme, authentication, redirects, retries and limits, so that nobody else thinks of them.

Knows nothing of repositories, manifests or blobs. What it learns of a host (scheme, challenge, tokens) it remembers.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import parse_qsl, quote, urlencode

from lading.errors import LadingError, RegistryFailure, TLSFailure, Unreachable, Unsupported, UsageError
from lading.registry import failures, links
from lading.registry.authentication import (
    ANONYMOUS,
    CATALOG,
    TOKEN_REPLY_LIMIT,
    Authenticator,
    Authorization,
    Reply,
    Scope,
    TokenRefused,
    repository_of,
)
from lading.registry.challenge import parse_challenges
from lading.registry.config import DOCKER_HUB, Config, HostConfig
from lading.registry.credentials import Credential, Credentials, GivenCredentials
from lading.registry.failures import BODY_LIMIT, Refusal
from lading.registry.hello import speaks_plain_http
from lading.registry.limits import Limiter
from lading.registry.links import resolve_location, same_origin
from lading.registry.masking import Mask
from lading.registry.quirks import hosted
from lading.registry.remembered import HostMemory, Memory
from lading.registry.routing import Target, headers_for, route_to, targets_of
from lading.registry.transport import (
    CertificateWanted,
    ConnectFailed,
    ConnectionBroken,
    ConnectionRefused,
    NameNotFound,
    PlainHTTP,
    Request,
    Response,
    Route,
    SourceFailure,
    Transport,
    UntrustedCertificate,
)
from lading.registry.transports import EitherTransport
from lading.registry.wallet import Wallet
from lading.store import Held, Source

__all__ = ["CATALOG", "Scope", "Session", "resolve_location", "same_origin", "verify"]

REDIRECTS = 10
"""How many redirects are followed for one request."""
RETRY_AFTER_LIMIT = 30.0
"""The longest that one `Retry-After` is waited for, in seconds."""
DOWN_TIME = 60.0
"""How long a mirror that could not be reached is passed over, in seconds."""
_HUB_ADDRESS = "registry-1.docker.io"
_RETRIED = frozenset({408, 429, 500, 502, 503, 504})
_REFUSED_RETRIES = 2
_OK = range(200, 300)


class Session:
    """Carries requests to any number of registries; use it as an asynchronous context manager.

    Args:
        credentials: where to find credentials; None for anonymous access.
        config: how to talk to hosts; None for lading's configuration file, read when it is first needed.
        insecure: accept plain HTTP and TLS that cannot be verified, from every host.
        headers: sent with every request to a registry, and nowhere else.
        on_warning: called with registry and text, once for each text that a registry puts in `Warning` headers.
        on_note: called with a sentence about what went otherwise than expected, and was got over: credentials that were
            refused where access without them is allowed.
        on_request: called with a line for each request and what came of it; it holds no secrets.
        retries: how often a request is tried again where trying again is safe.
        backoff: seconds that the first wait between tries is at most; it doubles each time.
        memory: where tokens, and what is learned of registries, outlive the session.
        alone: whether the best credentials are all that is tried: no others, and no access as anybody.
        transport: makes the transport for a host; for tests and other HTTP libraries.
    """

    def __init__(
        self,
        *,
        credentials: Credentials | None = None,
        config: Config | None = None,
        insecure: bool = False,
        headers: Mapping[str, str] | None = None,
        on_warning: Callable[[str, str], None] | None = None,
        on_note: Callable[[str], None] | None = None,
        on_request: Callable[[str], None] | None = None,
        retries: int = 4,
        backoff: float = 0.25,
        memory: Memory | None = None,
        alone: bool = False,
        transport: Callable[[Route], Transport] | None = None,
    ) -> None:
        self._credentials = credentials
        self._config = config
        self._insecure = insecure
        self._headers = tuple((headers or {}).items())
        self._on_warning = on_warning
        self.on_note = on_note
        self._on_request = on_request
        self._retries = retries
        self._backoff = backoff
        self._memory = memory or Memory()
        self._alone = alone
        self._new_transport = transport or EitherTransport
        self._transports: dict[Route, Transport] = {}
        self._hosts: dict[tuple[str, bool], _Host] = {}
        self._named: set[str] = set()
        self._asking = asyncio.Lock()
        self._warned: set[tuple[str, str]] = set()
        self._mask = Mask()

    async def __aenter__(self) -> Self:
        """Nothing is sent before the first request."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections."""
        await self.close()

    async def close(self) -> None:
        """Close all connections. What was learned of hosts is kept, and the session can be used again."""
        self._memory.save()
        transports = list(self._transports.values())
        self._transports.clear()
        for transport in transports:
            await transport.close()

    def with_credentials(
        self, credentials: Credentials | None, *, memory: Memory | None = None, alone: bool = False
    ) -> Session:
        """A session like this one for somebody else; it knows nothing of what this one has learned.

        Args:
            credentials: where to find theirs.
            memory: where what it learns outlives it.
            alone: whether their best credentials are all that is tried.
        """
        return Session(
            credentials=credentials,
            config=self._config,
            insecure=self._insecure,
            headers=dict(self._headers),
            on_warning=self._on_warning,
            on_note=self.on_note,
            on_request=self._on_request,
            retries=self._retries,
            backoff=self._backoff,
            memory=memory,
            alone=alone,
            transport=self._new_transport,
        )

    def memory(self, registry: str) -> HostMemory:
        """What is known of a registry, to this session and to earlier ones."""
        return self._host(registry).memory

    def authenticator(self, registry: str) -> Authenticator:
        """What answers a registry's challenges."""
        return self._host(registry).authenticator

    def wallet(self, registry: str) -> Wallet:
        """What has the credentials for a registry."""
        return self._host(registry).wallet

    def url(self, registry: str) -> str:
        """The address of a registry, as far as it is known: `https` until it has answered otherwise."""
        return self._host(registry).url

    def request(
        self,
        method: str,
        registry: str,
        path: str,
        *,
        scopes: Sequence[Scope] = (),
        query: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        body: bytes | Source | None = None,
        size: int | None = None,
        accept: Collection[int] = _OK,
        mirrors: bool = False,
        what: str,
    ) -> AbstractAsyncContextManager[Response]:
        """Send a request to a registry and get its answer; the body is read within the `async with`.

        A place among the registry's requests is taken until the `async with` ends. Requests made within it, and
        those of the body's source, do not wait for a place of their own: else they could wait for each other.

        Args:
            method: the HTTP method.
            registry: the registry's name, as in references.
            path: `/v2/…`, or an absolute address of the same registry, such as `resolve_location` gives.
            scopes: what a token for this must allow.
            query: parameters to be added to the path's.
            headers: beside those of the session.
            body: content to send. A source is opened anew each time it is sent.
            size: how many bytes a source has; None where that is not known.
            accept: the statuses that are answers; every other one is an error. 401 never is an answer.
            mirrors: whether the registry's mirrors are asked first, for a manifest or a blob.
            what: the thing that it is about, for messages, such as `ghcr.io/acme/web:1.5`.

        Raises:
            NotFound, Denied, RateLimited, Conflict, Unsupported, InvalidContent, UsageError, RegistryFailure: by the
                registry's final status and its code (distribution-spec §Error Codes).
            Unreachable, TLSFailure: no answer came.
        """
        config = self._configuration()
        target = Target(registry, path, tuple(scopes), tuple(query))
        targets = targets_of(config, target, mirrors=mirrors)
        calls = [
            _Call(
                method=method,
                host=self._host(where.registry, insecure=where.insecure, named=where.registry == registry),
                path=where.path + _as_query(where.path, where.query),
                scopes=where.scopes,
                headers=tuple((headers or {}).items()),
                body=body,
                size=size,
                accept=accept,
                what=what,
            )
            for where in targets
        ]
        return self._request(calls)

    @asynccontextmanager
    async def bare(self, method: str, registry: str, path: str) -> AsyncIterator[Response]:
        """Send one request as anybody may, and get whatever is answered: no login, no redirect, no second try.

        Args:
            method: the HTTP method.
            registry: the registry's name.
            path: `/v2/…`.

        Raises:
            Denied: the registry is blocked.
            Unreachable, TLSFailure: no answer came.
        """
        self._configuration().places(registry, "", None)  # it may be blocked
        host = self._host(registry, named=True)
        call = _Call(method, host, path, (), (), None, None, range(600), registry)
        async with AsyncExitStack() as stack:
            yield await self._dialled(stack, call, ANONYMOUS)

    def route(self, registry: str) -> Route:
        """How a registry is reached."""
        return self._host(registry, named=True).route

    def address(self, registry: str) -> str:
        """Where a registry is: its name, but for Docker Hub's."""
        return self._host(registry, named=True).address

    @asynccontextmanager
    async def _request(self, calls: Sequence[_Call]) -> AsyncIterator[Response]:
        async with AsyncExitStack() as stack:
            response: Response | None = None
            try:
                for call in calls[:-1]:
                    response = response or await self._mirrored(stack, call)
                response = response or await self._retried(stack, calls[-1])
            except LadingError as error:
                self._mask.clean(error)  # a registry's own words may have in them what it was sent
                raise
            yield response

    # Each of the following gives a response that stays open as long as the stack it was given. What a step leaves
    # behind on its way there is closed by a stack of the step's own.

    async def _mirrored(self, stack: AsyncExitStack, call: _Call) -> Response | None:
        """What a mirror has, asked once; None where it is of no help, whatever the reason."""
        if call.host.is_down():
            return None
        async with AsyncExitStack() as trial:
            try:
                response = await self._authenticated(trial, call)
            except LadingError as error:
                if isinstance(error, Unreachable):
                    call.host.went_down()
                return None
            if response.status not in _OK:
                return None
            stack.push_async_exit(trial.pop_all())
            return response

    async def _retried(self, stack: AsyncExitStack, call: _Call) -> Response:
        """The answer that was asked for, after as many tries as it takes."""
        tries = 0
        while True:
            after: float | None = None
            async with AsyncExitStack() as trial:
                try:
                    response = await self._authenticated(trial, call)
                except SourceFailure as source:
                    raise source.error from None
                except LadingError as error:
                    failure = error
                else:
                    if response.status in call.accept:
                        stack.push_async_exit(trial.pop_all())
                        return response
                    after = _retry_after(response)
                    failure = await self._failure(response, call, after)
            delay = self._delay(failure, call, tries, after)
            if delay is None:
                raise failure
            tries += 1
            await asyncio.sleep(delay)

    async def _authenticated(self, stack: AsyncExitStack, call: _Call) -> Response:
        """The registry's answer, after the authentication that it asks for."""
        host = call.host
        repository = repository_of(call.scopes)
        async with host.introduction():
            try:
                sent = [await host.authenticator.authorization(call.scopes)]
                while True:
                    async with AsyncExitStack() as trial:
                        response = await self._redirected(trial, call, sent[-1])
                        if response.status != 401 and (response.status != 403 or 403 in call.accept):
                            if self.on_note is not None:
                                for sentence in await host.wallet.told(repository):
                                    self.on_note(self._mask.apply(sentence))
                            stack.push_async_exit(trial.pop_all())
                            return response
                        challenges = parse_challenges(response.headers.getall("www-authenticate"))
                        refusal = await _refusal(response)
                    better = None
                    if same_origin(response.url, host.url):
                        better = await host.authenticator.answer(challenges, host.url, call.scopes, sent, refusal)
                    if better is None:
                        shown = sent[-1].credential is not None
                        raise await self._denied(call, refusal, refused=shown and refusal.status == 401)
                    sent.append(better)
            except TokenRefused as refused:
                raise await self._denied(call, refused.refusal, refused=True) from None

    async def _redirected(self, stack: AsyncExitStack, call: _Call, shown: Authorization) -> Response:
        """The answer at the end of all redirects."""
        host = call.host
        async with AsyncExitStack() as first:
            response = await self._dialled(first, call, shown)
            target = _redirect(response, call)
            if target is None:
                stack.push_async_exit(first.pop_all())
                return response
            await response.excerpt(BODY_LIMIT)  # so that the connection can be used again
        guest: Authorization | None = None
        at_home = True
        for _ in range(REDIRECTS):
            here = self._host(links.origin(target).netloc)
            at_home = at_home and same_origin(target, host.url)  # who comes back by way of a stranger is one, too
            headers = (
                *call.headers,
                *(self._private_headers(host, shown) if at_home else _authorization(guest or ANONYMOUS)),
            )
            async with AsyncExitStack() as hop:
                response = await self._sent(hop, here, Request(method=call.method, url=target, headers=headers))
                following = _redirect(response, call)
                if following is None and (response.status != 401 or at_home or guest is not None):
                    stack.push_async_exit(hop.pop_all())
                    return response
                challenges = parse_challenges(response.headers.getall("www-authenticate"))
                refusal = await _refusal(response)
            if following is not None:
                target, guest = following, None
                continue
            # Another registry: it may be asked as anybody may, and is never told whom the first one knows.
            try:
                guest = await here.guest.answer(challenges, links.origin(target).url, (), [ANONYMOUS], refusal)
            except TokenRefused as refused:
                refusal = refused.refusal
            if guest is None:
                raise await self._denied(call, refusal, refused=False)
        raise RegistryFailure(f"{host.name} redirects {call.what} without end", cause=f"more than {REDIRECTS} times")

    async def _dialled(self, stack: AsyncExitStack, call: _Call, shown: Authorization) -> Response:
        """The registry's own answer, over https or, where that is allowed, over http."""
        host = call.host
        await host.listen()
        headers = (*call.headers, *self._private_headers(host, shown))
        # What is in memory is sent in one piece, whoever is to try again when that fails.
        body = call.body.data if isinstance(call.body, Held) else call.body
        failure: Unreachable | None = None
        for scheme in host.schemes:
            url = _address(scheme, call)
            request = Request(method=call.method, url=url, headers=headers, body=body, size=call.size)
            remembered = host.schemes == ("http", "https")
            async with AsyncExitStack() as trial:
                try:
                    response = await self._sent(trial, host, request)
                except Unreachable as error:
                    if remembered:
                        break
                    if failure is not None and not isinstance(failure, PlainHTTP):
                        raise failure from None
                    if scheme == host.schemes[-1] or not host.may_speak_http_after(error):
                        raise _advised(error) from None
                    failure = error
                    continue
                if remembered and _wants_tls(response, host):
                    break
                if response.status == 400 and failure is not None and not isinstance(failure, PlainHTTP):
                    raise failure  # plain HTTP is not what it speaks, either
                stack.push_async_exit(trial.pop_all())
            host.schemes = (scheme,)
            host.memory.scheme = scheme
            if response.status == 401:
                challenges = parse_challenges(response.headers.getall("www-authenticate"))
                host.authenticator.learn(challenges, host.url)
            host.met()
            return response
        # What was remembered is no longer true: find it out anew.
        host.schemes = ("https", "http")
        return await self._dialled(stack, call, shown)

    async def _sent(self, stack: AsyncExitStack, host: _Host, request: Request) -> Response:
        """The answer to one request, within the host's limit."""
        await stack.enter_async_context(host.place())
        response = await stack.enter_async_context(self._traced(host, request))
        if self._on_warning is not None:
            self._warn(host, response)
        return response

    @asynccontextmanager
    async def _traced(self, host: _Host, request: Request) -> AsyncIterator[Response]:
        begun = await host.limits.turn()
        started = time.monotonic()

        def tell(outcome: object) -> None:
            if self._on_request is not None:
                elapsed = (time.monotonic() - started) * 1000
                line = f"{request.method} {_masked(request.url)} {outcome} {elapsed:.0f} ms"
                self._on_request(self._mask.apply(line))

        async with AsyncExitStack() as stack:
            try:
                response = await stack.enter_async_context(self._transport(host).send(request))
            except Unreachable as error:
                tell(f"failed: {error}")
                raise
            tell(response.status)
            self._adapt(host, response, begun)
            yield response

    def _adapt(self, host: _Host, response: Response, begun: float) -> None:
        """Go slower with a host that asks for it, and faster again with one that answers."""
        after = _retry_after(response)
        if response.status == 429 or (response.status == 503 and after is not None):
            # What is further away than all tries together fails at once, and so may the others.
            worth = after is not None and after <= self._retries * RETRY_AFTER_LIMIT
            host.limits.slow_down(begun, after if after is not None and worth else 0.0)
        elif response.status < 500:
            host.limits.succeeded()

    async def _ask(
        self, asker: _Host, method: str, url: str, headers: Sequence[tuple[str, str]], body: bytes | None
    ) -> Reply:
        """Send a request to a token service. It takes no place: whoever asks for a token may be holding one."""
        host = asker if same_origin(url, asker.url) else self._host(links.origin(url).netloc)
        request = Request(method=method, url=url, headers=(*headers, *host.headers), body=body)
        self._mask.sent((*host.headers, *(pair for pair in headers if pair[0] == "Authorization")), body)
        try:
            async with self._traced(host, request) as response:
                return Reply(response.status, await response.read(TOKEN_REPLY_LIMIT))
        except Unreachable as error:
            raise _advised(error) from None

    # What is known

    def expect(self, registry: str) -> None:
        """Say that a registry will be asked for something: then it gets what is given for named registries only.

        Raises:
            UsageError: it is the second one, and it is not said which of them a header is for.
        """
        self._host(registry, named=True)

    def widen(self, registry: str, jobs: int) -> None:
        """Let at least so many requests be under way to a registry at once, unless that is configured for it."""
        host = self._host(registry)
        if self._configuration().settings(host.name)["jobs"].source == "default":
            host.limits.widen(jobs)

    def config(self, registry: str) -> HostConfig:
        """How a registry is spoken to."""
        return self._configuration().for_host(registry)

    def _configuration(self) -> Config:
        if self._config is None:
            self._config = Config.load()
        return self._config

    def _host(self, registry: str, *, insecure: bool = False, named: bool = False) -> _Host:
        name = DOCKER_HUB[0] if registry.lower() in DOCKER_HUB else registry
        key = (name, insecure)
        host = self._hosts.get(key)
        if host is None:
            config = self._configuration().for_host(name, named=named)

            async def ask(method: str, url: str, headers: Sequence[tuple[str, str]], body: bytes | None) -> Reply:
                return await self._ask(self._hosts[key], method, url, headers, body)

            host = self._hosts[key] = _Host(
                name,
                config,
                self._insecure or insecure or config.insecure,
                self._configuration().override.addresses,
            )
            host.remember(self._memory)
            host.wallet = Wallet(name, self._credentials_for(config), self._asking, alone=self._alone)
            host.authenticator = Authenticator(name, host.wallet, ask, host.memory, host.url)
            host.guest = Authenticator(name, Wallet(name, None, self._asking), ask, HostMemory(name))
        if named and not host.is_named:
            self._named.add(name)
            host.name_by(self._configuration(), self._named)
        return host

    def _transport(self, host: _Host) -> Transport:
        route = host.route
        if route not in self._transports:
            self._transports[route] = self._new_transport(route)
        return self._transports[route]

    def _credentials_for(self, config: HostConfig) -> Credentials | None:
        """Where the credentials for a host are, by what is configured for it."""
        if config.credentials is None or self._credentials is None or self._alone:
            return self._credentials
        if config.credentials == "none":
            return None
        from lading.registry.sources import with_file

        return with_file(self._credentials, Path(config.credentials))

    def _private_headers(self, host: _Host, shown: Authorization) -> tuple[tuple[str, str], ...]:
        private = (*self._headers, *host.headers, *_authorization(shown))
        self._mask.sent(private)
        return private

    # What goes wrong

    def _delay(self, failure: LadingError, call: _Call, tries: int, after: float | None) -> float | None:
        """How many seconds to wait before the next try; None for none."""
        left = self._retries - tries
        if left <= 0 or not _may_retry(failure, call):
            return None
        if isinstance(failure, ConnectionRefused) and tries >= _REFUSED_RETRIES:
            return None
        if after is not None:
            # What is further away than all tries together is not worth the wait.
            return min(after, RETRY_AFTER_LIMIT) if after <= left * RETRY_AFTER_LIMIT else None
        import random

        return random.uniform(0, self._backoff * 2**tries)

    async def _failure(self, response: Response, call: _Call, after: float | None) -> LadingError:
        refusal = await _refusal(response)
        if refusal.status in {401, 403}:
            return await self._denied(call, refusal, refused=False)
        if full := failures.full(refusal, registry=call.host.name, what=call.what):
            return full
        failure = failures.failure(refusal, method=call.method, registry=call.host.name, what=call.what)
        failure.retry_after = after
        repository = repository_of(call.scopes)
        how = hosted(call.host.name).no_repository
        if how and repository and failure.code == "NAME_UNKNOWN" and call.method not in {"GET", "HEAD"}:
            failure.message, failure.remedy = f"{call.host.name} has no repository {repository}", how.format(repository)
        if after:
            failure.cause = f"{(failure.cause or '').rstrip('.')}; it asks to wait {after:.0f} seconds"
        if 300 <= refusal.status < 400:
            failure.cause = f"HTTP {refusal.status}: it redirects a request that cannot be sent elsewhere"
        return failure

    async def _denied(self, call: _Call, refusal: Refusal, *, refused: bool) -> LadingError:
        """The error of a request that was not allowed, or that there was no room for.

        Args:
            call: the request.
            refusal: the answer.
            refused: whether it was the credentials that were refused, rather than what was asked for with them.
        """
        host = call.host
        if full := failures.full(refusal, registry=host.name, what=call.what):
            return full
        repository = repository_of(call.scopes)
        why, remedy, earlier = await host.wallet.why_denied(repository, refused=refused)
        about = f"{host.name}/{repository}" if repository else host.name
        return failures.denied(
            earlier or refusal,
            registry=host.name,
            wanted=str(call.scopes[0]) if call.scopes else call.what,
            why=why,
            remedy=remedy if self._alone else f"{remedy}      see what was tried: lading auth explain {about}",
        )

    def _warn(self, host: _Host, response: Response) -> None:
        for value in response.headers.getall("warning"):
            match = _WARNING.match(value)
            if match is None or self._on_warning is None:
                continue
            text = self._mask.apply(failures.clean(re.sub(r"\\(.)", r"\1", match[1]), 1000))
            if (host.name, text) not in self._warned:
                self._warned.add((host.name, text))
                self._on_warning(host.name, text)


async def verify(session: Session, registry: str, credential: Credential) -> None:
    """Check credentials with a registry: whether it lets their owner in.

    A registry that asks for nothing accepts any.

    Args:
        session: whose configuration is used; its own credentials are not.
        registry: the registry's name.
        credential: what is to be checked.

    Raises:
        Denied: the registry, or its token service, refuses them.
    """
    async with session.with_credentials(GivenCredentials(credential), alone=True) as other:
        what = f"a login as {credential.username}" if credential.username else "a login"
        async with other.request("GET", registry, "/v2/", what=what):
            pass


class _Call(NamedTuple):
    """A request as it was asked for."""

    method: str
    host: _Host
    path: str
    scopes: tuple[Scope, ...]
    headers: tuple[tuple[str, str], ...]
    body: bytes | Source | None
    size: int | None
    accept: Collection[int]
    what: str


class _Host:
    """What a session knows of a host, and its limits."""

    authenticator: Authenticator
    wallet: Wallet
    guest: Authenticator
    """Answers its challenges without credentials, where another host led here."""
    memory: HostMemory
    """What earlier sessions learned of it, and where this one writes what it learns."""

    def __init__(
        self,
        name: str,
        config: HostConfig,
        insecure: bool,
        addresses: Mapping[str, str],
    ) -> None:
        self.name = name
        self.address = _HUB_ADDRESS if name == DOCKER_HUB[0] else name
        self.hostname, self._port = links.split_port(self.address)
        self.config = config
        self.insecure = insecure
        self._addresses = addresses
        self.schemes: tuple[str, ...] = ("https",)
        """Those to be tried, in their order; only one, once the host has answered."""
        if config.plain_http:
            self.schemes = ("http",)
        elif insecure or links.is_loopback(self.hostname):
            self.schemes = ("https", "http")
        self.headers = tuple(config.headers.items())
        """What is sent to it beside what a request needs."""
        self.is_named = False
        """Whether it is a registry that was asked for, and not where that one led."""
        self.limits = Limiter(config.jobs, config.requests_per_second)
        self._route: Route | None = None
        self._down_until = 0.0
        self._is_met = False
        self._meeting: asyncio.Event | None = None

    @property
    def route(self) -> Route:
        """How it is reached."""
        if self._route is None:
            self._route = route_to(self.address, self.config, self.insecure, self._addresses)
        return self._route

    def name_by(self, config: Config, named: Collection[str]) -> None:
        """Give it what is meant for registries that are named; see `Session.expect`."""
        self.headers = (*self.headers, *headers_for(config.override, self.name, named))
        self.config = config.for_host(self.name)
        self.is_named, self._route = True, None

    def is_down(self) -> bool:
        """Whether it could not be reached a moment ago."""
        return time.monotonic() < self._down_until

    def went_down(self) -> None:
        """It could not be reached: it is left alone for a while where there is another way."""
        self._down_until = time.monotonic() + DOWN_TIME

    @property
    def url(self) -> str:
        """Its address, as far as it is known."""
        return f"{self.schemes[0]}://{self.address}"

    def remember(self, memory: Memory) -> None:
        """Take what earlier sessions learned."""
        self.memory = memory.host(self.name, verified=self.schemes == ("https",))
        if self.memory.scheme == "http" and len(self.schemes) == 2:
            self.schemes = ("http", "https")

    async def listen(self) -> None:
        """Find out whether a host on this machine speaks plain HTTP, where it is likely and nothing says otherwise."""
        likely = links.is_loopback(self.hostname) and self._port is not None and not self.config.ca_files
        if likely and self.schemes == ("https", "http") and await speaks_plain_http(self.hostname, self._port or 0):
            self.schemes = ("http",)

    def may_speak_http_after(self, error: Unreachable) -> bool:
        """Whether what failed with https may be tried with http."""
        if isinstance(error, ConnectionRefused):
            return self._port is None  # else it is the same port that nothing listens on
        return isinstance(error, TLSFailure | ConnectFailed) and not isinstance(
            error, UntrustedCertificate | CertificateWanted
        )

    @asynccontextmanager
    async def introduction(self) -> AsyncIterator[None]:
        """The first request finds out how the host is spoken to; others wait until it has heard from it.

        Except for those within it: it would wait for them, too.
        """
        within = self._outer_place() is not None
        while not self._is_met and self._meeting is not None and not within:
            await self._meeting.wait()
        leads = not self._is_met and self._meeting is None
        if leads:
            self._meeting = asyncio.Event()
        try:
            yield
        finally:
            if leads and self._meeting is not None:  # it heard nothing: the next one's turn
                self._meeting.set()
                self._meeting = None

    def met(self) -> None:
        """The host has answered: whoever waits for that may go on."""
        self._is_met = True
        if self._meeting is not None:
            self._meeting.set()
            self._meeting = None

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """One of the places for requests under way; first come, first served.

        Who has one already, further out in the same course of action, needs no other: waiting for one while
        holding one is how everybody waits for ever.
        """
        outer = self._outer_place()
        if outer is None:
            await self.limits.acquire()
        place = _Place()
        _places.set({**_places.get(), self: place})
        try:
            yield
        finally:
            place.taken = False
            if outer is None:
                self.limits.release()
            if _places.get().get(self) is place:  # else this ends in another task than it began in
                others = {host: other for host, other in _places.get().items() if host is not self}
                _places.set(others if outer is None else {**others, self: outer})

    def _outer_place(self) -> _Place | None:
        """The place that the present course of action has already."""
        place = _places.get().get(self)
        return place if place is not None and place.taken else None


class _Place:
    def __init__(self) -> None:
        self.taken = True


_NO_PLACES: Mapping[_Host, _Place] = {}
_places: ContextVar[Mapping[_Host, _Place]] = ContextVar("lading_places", default=_NO_PLACES)

_WARNING = re.compile(r"\s*299\s+\S+\s+\"((?:\\.|[^\"\\])*)\"")
_SHOWN_PARAMETERS = frozenset(
    {"account", "artifactType", "client_id", "digest", "from", "last", "mount", "n", "scope", "service", "tag"}
)


def _authorization(shown: Authorization) -> tuple[tuple[str, str], ...]:
    return (("Authorization", shown.header),) if shown.header else ()


def _as_query(path: str, query: Sequence[tuple[str, str]]) -> str:
    if not query:
        return ""
    return ("&" if "?" in path else "?") + urlencode(query, quote_via=quote, safe="")


def _address(scheme: str, call: _Call) -> str:
    """The address of a call's first request."""
    base = f"{scheme}://{call.host.address}"
    url = base + call.path if call.path.startswith("/") else call.path
    try:
        matches = links.origin(url) == links.origin(base)
    except ValueError as error:
        raise UsageError(f"{call.what} cannot be asked for", cause=str(error)) from None
    if not matches:
        raise Unsupported(
            f"{call.host.name} is at {base}, and not at {links.origin(url).url}",
            cause="what was begun at a registry can only be continued there",
        )
    return url


def _wants_tls(response: Response, host: _Host) -> bool:
    """Whether an answer to plain HTTP says that TLS is spoken there."""
    there = (response.headers.get("location") or "").lower()
    return response.status in {400, 426} or there.startswith(f"https://{host.address.lower()}/")


def _redirect(response: Response, call: _Call) -> str | None:
    """Where an answer sends the request; None where it is no redirect, or not one that may be followed.

    Raises:
        Unsupported: it leads somewhere unsafe.
    """
    if response.status not in {301, 302, 303, 307, 308} or response.status in call.accept:
        return None
    may_move = call.method in {"GET", "HEAD"} or (response.status in {307, 308} and not call.body)
    location = response.headers.get("location")
    if location is None or not may_move:
        return None
    here = links.origin(response.url)
    try:
        target = links.join(response.url, location)
        there = links.origin(target)
    except ValueError as error:
        raise _unsafe(here.netloc, call, str(error)) from None
    if here.scheme == "https" and there.scheme == "http":
        raise _unsafe(here.netloc, call, f"from https to {there.url}, which is not protected")
    local = links.is_loopback(there.host) and not links.is_loopback(here.host)
    if local or (links.is_private(there.host) and not links.is_private(here.host) and there.host != here.host):
        raise _unsafe(here.netloc, call, f"to {there.url}, an address of this machine or of a private network")
    return target


def _unsafe(host: str, call: _Call, cause: str) -> Unsupported:
    return Unsupported(f"{host} redirects {call.what} to where lading does not follow", cause=cause)


async def _refusal(response: Response) -> Refusal:
    return Refusal(response.status, await response.excerpt(BODY_LIMIT))


def _may_retry(failure: LadingError, call: _Call) -> bool:
    """Whether a request that failed so can be sent again without doing anything twice."""
    if isinstance(failure, NameNotFound | TLSFailure):
        return False
    if isinstance(failure, ConnectionRefused | ConnectFailed):
        return True  # nothing was sent
    if failure.status == 429:
        return True
    # An upload may be there in part: it is for whoever began it to go on with it, or to begin it anew.
    is_upload = call.method == "PATCH" or callable(call.body)
    return not is_upload and (isinstance(failure, ConnectionBroken) or failure.status in _RETRIED)


def _retry_after(response: Response) -> float | None:
    """How many seconds a `Retry-After` asks to wait (RFC 9110 §10.2.3)."""
    value = (response.headers.get("retry-after") or "").strip()
    if not value:
        return None
    if value.isascii() and value.isdigit():
        return float(value[:9])
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError, OSError):
        return None


def _advised(error: Unreachable) -> Unreachable:
    """The same failure, with what to do about it."""
    if isinstance(error, PlainHTTP):
        error.remedy = "if that is intended: --insecure, or insecure = true for this host in lading's config.toml"
    elif isinstance(error, UntrustedCertificate) and error.doubt is None:
        error.remedy = "it has to be replaced where the registry runs; lading registry check shows what is in it"
    elif isinstance(error, UntrustedCertificate):
        error.remedy = "if the host is trusted: --ca-file, or ca_file = … for this host in lading's config.toml"
    elif isinstance(error, CertificateWanted):
        error.remedy = "show one: --cert-file and --key-file, or cert_file and key_file in lading's config.toml"
    elif isinstance(error, NameNotFound):
        error.remedy = "check the name of the registry"
    elif isinstance(error, ConnectionRefused):
        error.remedy = "check that the registry runs, and its port"
    elif isinstance(error, ConnectionBroken):
        error.remedy = "try again; --verbose shows the requests"
    return error


def _masked(url: str) -> str:
    """An address for a log: parameters that might be secret show their names only."""
    address, mark, query = url.partition("?")
    if not mark:
        return address
    shown = [
        f"{quote(name, safe='')}={quote(value, safe=':/,') if name in _SHOWN_PARAMETERS else '***'}"
        for name, value in parse_qsl(query, keep_blank_values=True)
    ]
    return f"{address}?{'&'.join(shown)}"
