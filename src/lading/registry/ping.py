"""What a host says at `/v2/`, asked when a refusal leaves it open (distribution-spec §Determining Support).

Whether it asks for a login, and how; whether it is a registry at all. Each is asked once, and remembered by the host.
This module sends by a function that it is given.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress

from lading.errors import LadingError
from lading.registry import failures, refusals
from lading.registry.auth.authentication import ANONYMOUS, Authorization
from lading.registry.auth.challenge import choose, parse_challenges
from lading.registry.call import PING, Call
from lading.registry.failures import Refusal
from lading.registry.host import Host
from lading.registry.http.transport import Response
from lading.registry.urls import same_origin

Ask = Callable[[AsyncExitStack, Call, Authorization], Awaitable[Response]]
"""Sends a request that shows something, and gives an answer that the stack keeps open."""


async def introduce(host: Host, ask: Ask) -> None:
    """Have a host say whether it asks for a login, and how, unless that is known.

    Args:
        host: the host.
        ask: sends a request on behalf of the one that is under way, and follows redirects.
    """
    async with host.introducing:
        if not host.is_known:
            call = _ping(host)
            with suppress(LadingError):  # the answer that was got stands
                async with AsyncExitStack() as stack:
                    response = await ask(stack, call, ANONYMOUS)
                    is_home = response.status == 401 and same_origin(response.url, host.url)
                    challenges = parse_challenges(response.headers.getall("www-authenticate") if is_home else ())
                    host.authenticator.learn(challenges, host.url, insists=False)
                    if choose(challenges) is None and response.status < 500 and response.status not in (407, 429):
                        host.cache.asks_nothing = True
                    if host.is_registry is None:
                        host.is_registry = not await refusals.is_strange(response, call)
        host.is_introduced = True


async def is_strangers(refusal: Refusal, response: Response, call: Call, ask: Ask) -> bool:
    """Whether a refusal comes from something else than a registry; where it may, the host is asked.

    Args:
        refusal: the refusal.
        response: the answer that it is.
        call: the request.
        ask: sends a request to the host of the one that is under way, and follows no redirects.
    """
    host = call.host
    if call.method == "HEAD" or not same_origin(response.url, host.url):
        return False  # a HEAD that fails says little: GET decides, where that matters
    if call.path == PING:
        return refusal.status in refusals.NO_ANSWERS
    if refusal.status != 404 or failures.is_registrys(refusal, response.headers):
        return False
    if host.is_registry is None:
        try:
            ping = _ping(host)
            async with AsyncExitStack() as stack:
                answer = await ask(stack, ping, ANONYMOUS)
                host.is_registry = not await refusals.is_strange(answer, ping)
        except LadingError:
            return False
    return not host.is_registry


def _ping(host: Host) -> Call:
    return Call("GET", host, PING, (), (), None, None, range(600), host.name)
