"""Where a redirect may lead: not from TLS to plain HTTP, from the internet to this machine, or to link-local addresses.

It sends nothing.
"""

from __future__ import annotations

from lading.errors import Unsupported
from lading.registry import urls
from lading.registry.call import Call
from lading.registry.http.transport import Response


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


def _unsafe(host: str, call: Call, cause: str) -> Unsupported:
    return Unsupported(
        f"{host} redirects {call.what} to where lading does not follow",
        cause=cause,
        remedy="whoever runs the registry has to see where it sends for content",
    )
