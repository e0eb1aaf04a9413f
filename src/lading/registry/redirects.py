"""Where a redirect may lead: not from TLS to plain HTTP, from the internet to this machine, or to link-local addresses.

A storage, or another registry, that is redirected to never gets what is for the first registry alone. This module sends
by a function that it is given.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from lading.errors import RegistryFailure, Unsupported
from lading.registry import urls
from lading.registry.auth.authentication import ANONYMOUS, Authorization, TokenRefused
from lading.registry.auth.challenge import choose, parse_challenges
from lading.registry.call import Call
from lading.registry.failures import BODY_LIMIT, Refusal
from lading.registry.host import Host
from lading.registry.http.transport import Request, Response

_REDIRECTS = 10


def target_of(response: Response, call: Call) -> str | None:
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
    here = urls.origin(response.url)
    try:
        target = urls.join(response.url, location)
        there = urls.origin(target)
    except ValueError as error:
        raise _unsafe(here.netloc, call, str(error)) from None
    if here.scheme == "https" and there.scheme == "http":
        raise _unsafe(here.netloc, call, f"from https to {there.url}, which is not protected")
    if urls.is_link_local(there.host) and there.host != here.host:
        raise _unsafe(here.netloc, call, f"to {there.url}, a link-local address, where clouds keep credentials")
    local = urls.is_loopback(there.host) and not urls.is_loopback(here.host)
    if local or (urls.is_private(there.host) and not urls.is_private(here.host) and there.host != here.host):
        raise _unsafe(here.netloc, call, f"to {there.url}, an address of this machine or of a private network")
    return target


async def follow(
    stack: AsyncExitStack,
    call: Call,
    target: str,
    *,
    private: tuple[tuple[str, str], ...],
    host_at: Callable[[str], Host],
    send: Callable[[AsyncExitStack, Host, Request], Awaitable[Response]],
) -> Response:
    """The answer at the end of all redirects.

    Args:
        stack: keeps the answer open.
        call: the request.
        target: where its registry redirects it.
        private: header fields for the registry alone.
        host_at: the host with a name.
        send: sends a request to a host.

    Raises:
        Unsupported: a redirect leads somewhere unsafe.
        RegistryFailure: there is no end.
        LadingError: another registry refuses who shows no credentials.
    """
    host = call.host
    guest: Authorization | None = None
    at_home = True
    for _ in range(_REDIRECTS):
        here = host_at(urls.origin(target).netloc)
        at_home = at_home and urls.same_origin(target, host.url)  # never again, once another host was in between
        headers = (*call.headers, *(private if at_home else (guest or ANONYMOUS).headers))
        async with AsyncExitStack() as hop:
            response = await send(hop, here, Request(method=call.method, url=target, headers=headers))
            following = target_of(response, call)
            challenges = parse_challenges(response.headers.getall("www-authenticate"))
            is_asked = response.status == 401 and not at_home and guest is None and choose(challenges) is not None
            if following is None and not is_asked:
                stack.push_async_exit(hop.pop_all())
                return response
            refusal = Refusal(response.status, await response.excerpt(BODY_LIMIT))
        if following is not None:
            target, guest = following, None
            continue
        # Another registry: it is asked anonymously, and never gets the first one's credentials.
        try:
            guest = await here.guest.answer(challenges, urls.origin(target).url, (), [ANONYMOUS], refusal)
        except TokenRefused as refused:
            refusal = refused.refusal
        if guest is None:
            from lading.registry.refusals import elsewhere

            raise elsewhere(call, response, refusal)
    raise RegistryFailure(f"{host.name} redirects {call.what} without end", cause=f"more than {_REDIRECTS} times")


def _unsafe(host: str, call: Call, cause: str) -> Unsupported:
    return Unsupported(
        f"{host} redirects {call.what} to where lading does not follow",
        cause=cause,
        remedy="whoever runs the registry has to see where it sends for content",
    )
