"""Requests to registries: scheme, authentication, redirects, retries and limits are dealt with here alone.

This module knows nothing of repositories, manifests or blobs. It remembers what it learns of a host: its scheme, its
challenge, tokens.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from msgspec import structs

from lading.errors import LadingError, Unreachable
from lading.io.sources import Body, Bytes
from lading.registry import failures, urls
from lading.registry.auth.attempts import Attempts
from lading.registry.auth.authentication import (
    ANONYMOUS,
    TOKEN_REPLY_LIMIT,
    Authenticator,
    Authorization,
    Reply,
    TokenRefused,
)
from lading.registry.auth.challenge import choose, parse_challenges
from lading.registry.auth.credentials import Credentials
from lading.registry.auth.scopes import Scope, repository_of
from lading.registry.cache import Cache, HostCache
from lading.registry.call import PING, Call, as_query
from lading.registry.host import Host
from lading.registry.hosts.configuration import Config
from lading.registry.hosts.settings import DOCKER_HUB, HostConfig
from lading.registry.http.choose import EitherTransport
from lading.registry.http.transport import (
    PlainHTTP,
    Request,
    Response,
    Route,
    SourceFailure,
    Transport,
)
from lading.registry.limits import Limiter, Tally
from lading.registry.routing import Destination, destinations_of
from lading.registry.urls import same_origin

if TYPE_CHECKING:
    from lading.registry.masking import Mask
    from lading.registry.retries import Retries

_OK = range(200, 300)
_EXPIRED = frozenset({400, 401, 403, 410})
"""How storages refuse an address whose time is over."""


class Session:
    """Carries requests to any number of registries; use it as an asynchronous context manager.

    Args:
        credentials: where to find credentials; None for anonymous access.
        config: how to talk to hosts; None for lading's configuration file, read when it is first needed.
        insecure: accept plain HTTP and TLS that cannot be verified, from every host.
        headers: sent with every request to a registry, and nowhere else.
        on_warning: called with registry and text, once for each text that a registry puts in `Warning` headers.
        repeat_warnings: whether `on_warning` is called for each answer, also with a text that came before.
        on_note: called with a sentence about what went otherwise than expected, and was got over: credentials that were
            refused where access without them is allowed.
        on_request: called with a line for each request and what came of it; it holds no secrets.
        retries: how often a request is tried again where trying again is safe.
        backoff: seconds that the first wait between tries is at most; it doubles each time.
        cache: where tokens, what is learned of registries, and uploads outlive the session; None for memory only.
        create_repositories: make a repository that is missing where a registry does not do so itself when something is
            pushed (Amazon ECR).
        alone: whether the best credentials are all that is tried: no others, and no anonymous access.
        transport: makes the transport for a host; for tests and other HTTP libraries.
    """

    answers: ClassVar[int] = 0
    """How many answers came, in this process."""

    transport: ClassVar[Callable[[Route], Transport]] = EitherTransport
    """Makes the transport for a host, where a session is not told otherwise."""

    def __init__(
        self,
        *,
        credentials: Credentials | None = None,
        config: Config | None = None,
        insecure: bool = False,
        headers: Mapping[str, str] | None = None,
        on_warning: Callable[[str, str], None] | None = None,
        repeat_warnings: bool = False,
        on_note: Callable[[str], None] | None = None,
        on_request: Callable[[str], None] | None = None,
        retries: int = 4,
        backoff: float = 0.25,
        cache: Cache | None = None,
        create_repositories: bool = False,
        alone: bool = False,
        transport: Callable[[Route], Transport] | None = None,
    ) -> None:
        self._credentials = credentials
        self._config = config
        self._insecure = insecure
        self._headers = tuple((headers or {}).items())
        self._on_warning = on_warning
        self._repeat_warnings = repeat_warnings
        self.on_note = on_note
        self._on_request = on_request
        self._times = retries
        self._backoff = backoff
        self.cache: Cache = cache or Cache()
        """Where tokens, what is learned of registries, and uploads outlive the session."""
        self._create_repositories = create_repositories
        self._creating = asyncio.Lock()
        self._created: set[tuple[str, str]] = set()
        self._alone = alone
        self._new_transport = transport or Session.transport
        self._transports: dict[Route, Transport] = {}
        self._hosts: dict[tuple[str, bool], Host] = {}
        self.changing: dict[str, Any] = {}
        """What those who send requests change just now, and must not change twice at once, by its name."""
        self._named: set[str] = set()
        self._asking = asyncio.Lock()
        self._warned: set[tuple[str, str]] = set()

    # Most runs need neither: nothing fails, and nothing is sent in confidence.

    @cached_property
    def _retries(self) -> Retries:
        from lading.registry.retries import Retries

        return Retries(self._times, self._backoff)

    @cached_property
    def _mask(self) -> Mask:
        from lading.registry.masking import Mask

        return Mask()

    async def __aenter__(self) -> Self:
        """Nothing is sent before the first request."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections."""
        await self.close()

    async def close(self) -> None:
        """Close all connections. What was learned of hosts is kept, and the session can be used again."""
        self.cache.save()
        transports = list(self._transports.values())
        self._transports.clear()
        for transport in transports:
            await transport.close()

    def with_credentials(
        self, credentials: Credentials | None, *, cache: Cache | None = None, alone: bool = False
    ) -> Session:
        """A session like this one with other credentials; it knows nothing of what this one has learned.

        Args:
            credentials: where to find them; None for anonymous access.
            cache: where what it learns outlives it.
            alone: whether the best of them are all that is tried.
        """
        return Session(
            credentials=credentials,
            config=self._config,
            insecure=self._insecure,
            headers=dict(self._headers),
            on_warning=self._on_warning,
            repeat_warnings=self._repeat_warnings,
            on_note=self.on_note,
            on_request=self._on_request,
            retries=self._times,
            backoff=self._backoff,
            cache=cache,
            create_repositories=self._create_repositories,
            alone=alone,
            transport=self._new_transport,
        )

    def host_cache(self, registry: str) -> HostCache:
        """What is known of a registry, to this session and to earlier ones."""
        return self._host(registry).cache

    def authenticator(self, registry: str) -> Authenticator:
        """What answers a registry's challenges."""
        return self._host(registry).authenticator

    def attempts(self, registry: str) -> Attempts:
        """What has the credentials for a registry."""
        return self._host(registry).attempts

    def discreet(self, text: str) -> str:
        """A text that somebody else wrote, without what was sent in confidence."""
        return self._mask.foreign(text)

    def url(self, registry: str) -> str:
        """The address of a registry, as far as it is known: `https` until it has answered otherwise."""
        return self._host(registry).url

    @asynccontextmanager
    async def request(
        self,
        method: str,
        registry: str,
        path: str,
        *,
        scopes: Sequence[Scope] = (),
        query: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        body: bytes | Body | None = None,
        size: int | None = None,
        accept: Collection[int] = _OK,
        mirrors: bool = False,
        is_tentative: bool = False,
        what: str,
    ) -> AsyncIterator[Response]:
        """Send a request to a registry and get its answer; the body is read within the `async with`.

        One of the registry's slots for requests is taken until the `async with` ends. Requests to the registry within
        it, and those that the body's source makes, need no slot of their own: all might wait for each other for ever.

        Args:
            method: the HTTP method.
            registry: the registry's name, as in references.
            path: `/v2/…`, or an absolute address of the same registry, such as `urls.continuation` gives.
            scopes: what a token for this must allow.
            query: parameters to be added to the path's.
            headers: header fields beside the session's.
            body: content to send. A source is opened anew each time it is sent.
            size: how many bytes a source has; None where that is not known.
            accept: the statuses that are answers; every other one is an error. 401 never is an answer.
            mirrors: whether the registry's mirrors are asked first, for a manifest or a blob.
            is_tentative: whether another request decides where the registry answers that it failed: then that is not
                tried again.
            what: the thing that it is about, for messages, such as `ghcr.io/acme/web:1.5`.

        Raises:
            NotFound, Denied, RateLimited, Conflict, Unsupported, InvalidContent, UsageError, RegistryFailure: by the
                registry's final status and its code (distribution-spec §Error Codes).
            Unreachable, TLSFailure: no answer came.
        """
        wanted = Destination(registry, path, tuple(scopes), tuple(query))
        destinations = destinations_of(self._configuration(), wanted, mirrors=mirrors)
        async with AsyncExitStack() as stack:
            response: Response | None = None
            try:
                for where in destinations:
                    call = Call(
                        method=method,
                        host=self._host_at(where, registry),
                        path=where.path + as_query(where.path, where.query),
                        scopes=where.scopes,
                        headers=tuple((headers or {}).items()),
                        body=body,
                        size=size,
                        accept=accept,
                        what=what,
                        is_tentative=is_tentative,
                    )
                    decides = where is destinations[-1]
                    response = await (self._retried(stack, call) if decides else self._mirrored(stack, call))
                    if response is not None:
                        break
            except LadingError as error:
                self._mask.clean(error)  # a registry's own words may have in them what it was sent
                raise
            assert response is not None
            yield response

    def blob_hosts(self, registry: str, repository: str, *, mirrors: bool = False) -> list[Host]:
        """Where a repository's blobs are asked for; see `host.slots`.

        Args:
            registry: the registry's name.
            repository: the path within it.
            mirrors: whether the registry's mirrors are asked first.
        """
        wanted = Destination(registry, f"/v2/{repository}/blobs/sha256:", (Scope(repository),))
        destinations = destinations_of(self._configuration(), wanted, mirrors=mirrors)
        return [self._host_at(where, registry) for where in destinations]

    @asynccontextmanager
    async def bare(self, method: str, registry: str, path: str) -> AsyncIterator[Response]:
        """Send one anonymous request and get its answer, with any status: no login, no redirect, no second try.

        Args:
            method: the HTTP method.
            registry: the registry's name.
            path: `/v2/…`.

        Raises:
            Denied: the registry is blocked.
            Unreachable, TLSFailure: no answer came.
        """
        self._configuration().alternatives(registry, "", None)  # it may be blocked
        host = self._host(registry, named=True)
        call = Call(method, host, path, (), (), None, None, range(600), registry)
        async with AsyncExitStack() as stack:
            yield await self._dialled(stack, call, ANONYMOUS)

    def route(self, registry: str) -> Route:
        """How a registry is reached."""
        return self._host(registry, named=True).route

    def address(self, registry: str) -> str:
        """Where a registry is: its name, but for Docker Hub's."""
        return self._host(registry, named=True).address

    # Each of the following gives a response that stays open as long as the stack it was given. What a step leaves
    # behind on its way there is closed by a stack of the step's own.

    async def _mirrored(self, stack: AsyncExitStack, call: Call) -> Response | None:
        """What a mirror has, asked once; None where it does not have it, refuses, or cannot be reached."""
        if call.host.is_down():
            return None
        async with AsyncExitStack() as trial:
            try:
                response = await self._authenticated(trial, call)
            except LadingError as error:
                if isinstance(error, Unreachable):
                    call.host.went_down()
                return None
            if response.status not in _OK or response.is_html:
                return None
            stack.push_async_exit(trial.pop_all())
            return response

    async def _retried(self, stack: AsyncExitStack, call: Call) -> Response:
        """The answer that was asked for, after as many tries as it takes."""
        tries = 0
        is_new = False
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
                        if response.is_html:
                            await _refuse_web_page(response, call)
                        if response.status in _OK and call.path != PING:
                            call.host.is_registry = True
                        stack.push_async_exit(trial.pop_all())
                        return response
                    after = self._retries.after(response)
                    failure = await self._failure(response, call, after)
            if self._create_repositories and not is_new and (missing := call.missing_repository(failure)):
                await self._create(call.host.name, missing)
                is_new = True
                continue
            delay = self._retries.delay(failure, call, tries, after)
            if delay is None:
                failure.retries = tries
                raise failure
            tries += 1
            await asyncio.sleep(delay)

    async def _authenticated(self, stack: AsyncExitStack, call: Call) -> Response:
        """The registry's answer, after the authentication that it asks for."""
        host = call.host
        async with host.introduction():
            try:
                sent = [await host.authenticator.authorization(call.scopes)]
                while True:
                    async with AsyncExitStack() as trial:
                        host.authenticator.last = sent[-1]
                        response = await self._redirected(trial, call, sent[-1])
                        shown = await self._introduced(call, response, sent[-1])
                        if shown is None and response.status != 401 and (response.status != 403 or 403 in call.accept):
                            await self._note_refused(call)
                            stack.push_async_exit(trial.pop_all())
                            return response
                        challenges = parse_challenges(response.headers.getall("www-authenticate"))
                        refusal = await _refusal(response)
                    if shown is not None:
                        sent = [shown]
                        continue
                    if not same_origin(response.url, host.url):
                        raise _elsewhere(call, response, refusal)
                    better = await host.authenticator.answer(challenges, host.url, call.scopes, sent, refusal)
                    if better is None:
                        raise await self._denied(call, refusal, sent[-1])
                    sent.append(better)
            except TokenRefused as refused:
                raise await self._denied(call, refused.refusal, None) from None

    async def _introduced(self, call: Call, response: Response, sent: Authorization) -> Authorization | None:
        """The credentials at hand, where a request without them got an answer that may be for strangers only.

        Some registries tell strangers that nothing is there, or show them a shorter list, and name the way to log in at
        `/v2/` alone. They are asked there once, and what they say is remembered.

        Returns:
            What to show; None where the answer stands.

        Raises:
            LadingError: the credentials could not be shown, and the answer is a refusal.
        """
        host = call.host
        is_refusal = response.status in (401, 403, 404)
        doubtful = is_refusal or (response.status in _OK and call.is_for_list)
        if sent.header or not doubtful or call.path == PING or not same_origin(response.url, host.url):
            return None
        if choose(parse_challenges(response.headers.getall("www-authenticate"))) is not None:
            return None
        if await host.attempts.credential(repository_of(call.scopes)) is None:
            return None
        if not host.is_known:
            from lading.registry.ping import introduce

            await introduce(host, self._redirected)
        asks = host.authenticator.challenge is not None
        shown = await host.authenticator.authorization(call.scopes) if asks else ANONYMOUS
        if shown.header:
            return shown
        if (trouble := host.authenticator.trouble) is not None:
            if is_refusal:
                raise trouble
            note = f"{trouble.message}; {call.what} is shown as to somebody without a login"
            if self.on_note is not None and (host.name, note) not in self._warned:
                self._warned.add((host.name, note))
                self.on_note(note)
        return None

    async def _note_refused(self, call: Call) -> None:
        """Say which credentials were refused where access was got all the same."""
        if self.on_note is not None:
            for sentence in await call.host.attempts.told(repository_of(call.scopes)):
                self.on_note(self._mask.foreign(sentence))

    async def _redirected(self, stack: AsyncExitStack, call: Call, shown: Authorization) -> Response:
        """The answer at the end of all redirects. Where the last of them has expired, the registry names a new one."""
        async with AsyncExitStack() as first:
            response = await self._followed(first, call, shown)
            is_refused = call.method == "GET" and response.status in _EXPIRED
            if not is_refused or same_origin(response.url, call.host.url):
                stack.push_async_exit(first.pop_all())
                return response
            await response.excerpt(failures.BODY_LIMIT)
        fresh = structs.replace(call, headers=(*call.headers, ("Cache-Control", "no-cache")))
        return await self._followed(stack, fresh, shown)

    async def _followed(self, stack: AsyncExitStack, call: Call, shown: Authorization) -> Response:
        """The answer at the end of all redirects."""
        host = call.host
        async with AsyncExitStack() as first:
            response = await self._dialled(first, call, shown)
            target = _redirect(response, call)
            if target is None:
                stack.push_async_exit(first.pop_all())
                return response
            await response.excerpt(failures.BODY_LIMIT)  # so that the connection can be used again
        from lading.registry.redirects import follow

        private = self._private_headers(host, shown)
        return await follow(stack, call, target, private=private, host_at=self._host, send=self._sent)

    async def _dialled(self, stack: AsyncExitStack, call: Call, shown: Authorization) -> Response:
        """The registry's own answer, over https or, where that is allowed, over http."""
        host = call.host
        await host.listen()
        headers = (*call.headers, *self._private_headers(host, shown))
        # What is in memory is sent in one piece, also where it is sent anew after a failure.
        body = call.body.data if isinstance(call.body, Bytes) else call.body
        failure: Unreachable | None = None
        for scheme in host.schemes:
            url = call.url(scheme)
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
                        raise failures.advised(error) from None
                    failure = error
                    continue
                if remembered and host.wants_tls(response):
                    break
                if response.status == 400 and failure is not None and not isinstance(failure, PlainHTTP):
                    raise failure  # plain HTTP is not what it speaks, either
                stack.push_async_exit(trial.pop_all())
            host.schemes = (scheme,)
            host.cache.scheme = scheme
            if response.status == 401:
                challenges = parse_challenges(response.headers.getall("www-authenticate"))
                host.authenticator.learn(challenges, host.url, insists=call.path != PING)
            host.met()
            return response
        # What was remembered is no longer true: find it out anew.
        host.schemes = ("https", "http")
        return await self._dialled(stack, call, shown)

    async def _sent(self, stack: AsyncExitStack, host: Host, request: Request, *, has_slot: bool = False) -> Response:
        """The answer to one request, within the host's limits.

        Args:
            stack: keeps the answer open.
            host: where it is sent.
            request: what is sent.
            has_slot: whether it needs no slot of its own: it is sent on behalf of a request that has one.
        """
        if not has_slot:
            await stack.enter_async_context(host.slot())
        begun = await host.limits.turn()
        started = time.monotonic()
        is_pull = host.tally.begin(request.method, request.url)
        told: str | None = None
        try:
            response = await stack.enter_async_context(self._transport(host).send(request))
            told = response.headers.get("ratelimit-remaining") or response.headers.get("x-ratelimit-remaining")
        except Unreachable as error:
            error.fields.setdefault("registry", host.name)
            self._tell(request, started, f"failed: {error}")
            raise
        finally:
            host.tally.end(told, is_pull=is_pull)
        Session.answers += 1
        self._tell(request, started, str(response.status))
        self._adapt(host, response, begun)
        if self._on_warning is not None and not has_slot and response.headers.get("warning") is not None:
            self._warn(host, response, self._on_warning)
        return response

    def _tell(self, request: Request, started: float, outcome: str) -> None:
        if self._on_request is not None:
            from lading.registry.masking import masked

            elapsed = (time.monotonic() - started) * 1000
            line = f"{request.method} {masked(request.url)} {outcome} {elapsed:.0f} ms"
            self._on_request(self._mask.apply(line))

    def _adapt(self, host: Host, response: Response, begun: float) -> None:
        """Go slower with a host that asks for it, and faster again with one that answers."""
        after = self._retries.after(response) if response.status in (429, 503) else None
        host.tally.limited += response.status == 429
        if response.status == 429 or (response.status == 503 and after is not None):
            # What is further away than all tries together fails at once, and so may the others.
            host.limits.slow_down(begun, after if after and self._retries.is_worth_waiting(after) else 0.0)
        elif response.status < 500:
            host.limits.succeeded()

    async def _ask(
        self, asker: Host, method: str, url: str, headers: Sequence[tuple[str, str]], body: bytes | None
    ) -> Reply:
        """Send a request to a token service, for a request to a host that may have a slot."""
        host = asker if same_origin(url, asker.url) else self._host(urls.origin(url).netloc)
        request = Request(method=method, url=url, headers=(*headers, *host.headers), body=body)
        self._mask.sent((*host.headers, *(pair for pair in headers if pair[0] == "Authorization")), body)
        try:
            async with AsyncExitStack() as stack:
                response = await self._sent(stack, host, request, has_slot=True)
                return Reply(response.status, await response.read(TOKEN_REPLY_LIMIT))
        except Unreachable as error:
            raise failures.advised(error) from None

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

    def limits(self, registry: str) -> Limiter:
        """How many requests a registry gets, and how fast."""
        return self._host(registry, named=True).limits

    def tally(self, registry: str) -> Tally:
        """What a registry was asked for."""
        return self._host(registry, named=True).tally

    def tallies(self) -> dict[str, Tally]:
        """What each host was asked for, by its name."""
        return {name: host.tally for (name, _), host in self._hosts.items()}

    def config(self, registry: str) -> HostConfig:
        """How a registry is spoken to."""
        return self._configuration().for_host(registry)

    def _configuration(self) -> Config:
        if self._config is None:
            self._config = Config.load()
        return self._config

    def _host(self, registry: str, *, insecure: bool = False, named: bool = False) -> Host:
        name = DOCKER_HUB[0] if registry.lower() in DOCKER_HUB else registry
        key = (name, insecure)
        host = self._hosts.get(key)
        if host is None:
            config = self._configuration().for_host(name, named=named)
            host = self._hosts[key] = Host(
                name,
                config,
                insecure=self._insecure or insecure or config.insecure,
                addresses=self._configuration().override.addresses,
                cache=self.cache,
                credentials=self._credentials_for(config),
                asking=self._asking,
                alone=self._alone,
                ask=self._ask,
            )
        if named and not host.is_named:
            self._named.add(name)
            host.name_by(self._configuration(), self._named)
        return host

    def _host_at(self, where: Destination, registry: str) -> Host:
        """The host of a destination of a request to a registry."""
        return self._host(where.registry, insecure=where.insecure, named=where.registry == registry)

    def _transport(self, host: Host) -> Transport:
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
        from lading.registry.auth.lookup import with_file

        return with_file(self._credentials, Path(config.credentials))

    def _private_headers(self, host: Host, shown: Authorization) -> tuple[tuple[str, str], ...]:
        private = (*self._headers, *host.headers, *shown.headers)
        if private:
            self._mask.sent(private)
        return private

    # What goes wrong

    async def _failure(self, response: Response, call: Call, after: float | None) -> LadingError:
        from lading.registry import refusals

        refusal = await _refusal(response)
        is_own = 300 <= response.status < 400 or same_origin(response.url, call.host.url)
        if not is_own and response.status != 407:  # which is a proxy's
            return refusals.elsewhere(call, response, refusal)
        from lading.registry.ping import is_strangers

        if await is_strangers(refusal, response, call, self._dialled):
            return refusals.of_stranger(call, refusal)
        return refusals.failed(call, refusal, after)

    async def _create(self, registry: str, repository: str) -> None:
        """Make a repository, once, however many requests have missed it."""
        from lading.registry.auth.aws import create_repository

        async with self._creating:
            if (registry, repository) not in self._created:
                await create_repository(registry, repository)
                self._created.add((registry, repository))

    async def _denied(self, call: Call, refusal: failures.Refusal, shown: Authorization | None) -> LadingError:
        from lading.registry import refusals

        return await refusals.denied(call, refusal, shown, is_given=self._alone)

    def _warn(self, host: Host, response: Response, tell: Callable[[str, str], None]) -> None:
        from lading.registry.warnings import texts_of

        for said in texts_of(response):
            text = self._mask.foreign(said)
            if self._repeat_warnings or (host.name, text) not in self._warned:
                self._warned.add((host.name, text))
                tell(host.name, text)


async def _refuse_web_page(response: Response, call: Call) -> None:
    """Raise where an answer that should be a list or a manifest is a page for people."""
    from lading.registry.refusals import is_web_page

    if await is_web_page(response, call):
        raise failures.no_registry(call.host.name, "it answered with a web page")


def _elsewhere(call: Call, response: Response, refusal: failures.Refusal) -> LadingError:
    from lading.registry.refusals import elsewhere

    return elsewhere(call, response, refusal)


def _redirect(response: Response, call: Call) -> str | None:
    """Where an answer sends a request; see `redirects.target_of`."""
    if not 300 <= response.status < 400:
        return None
    from lading.registry.redirects import target_of

    return target_of(response, call)


async def _refusal(response: Response) -> failures.Refusal:
    return failures.Refusal(response.status, await response.excerpt(failures.BODY_LIMIT))
