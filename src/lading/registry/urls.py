"""Addresses that a registry hands out, and which of them may be followed. Knows no requests and no session.

`Location`, `Link` and `realm` are a server's words. They are read strictly, because the HTTP library reads
addresses loosely: what one reading calls a harmless path, another calls a host.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from lading.errors import InvalidContent, Unsupported

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

# No user information, no backslash, no blanks, nothing but ASCII: every parser agrees on what remains.
_URL = (
    r"(?ai)(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?:[/?][!-\[\]-~]*)?(?:#[!-\[\]-~]*)?"
)
_VISIBLE = "[!-~]*"
_NUMERIC_HOST = r"(?i)(?:0x[0-9a-f]*|[0-9]+)(?:\.(?:0x[0-9a-f]*|[0-9]+)){0,3}\.?"
_PORTS = {"http": 80, "https": 443}

_LINK = r"(?s)\s*<(?P<target>[^>]*)>(?P<parameters>(?:\"(?:\\.|[^\"\\])*\"?|[^,\"])*)"
_PARAMETER = r"(?s);\s*(?P<name>[^\s=;\"]+)\s*(?:=\s*(?:\"(?P<quoted>(?:\\.|[^\"\\])*)\"?|(?P<bare>[^\s;\"]*)))?"
_VAGUE_LINK = r"(?s)\s*(?:<\s*(?=[^\s<>;,])|(?=[/?]|(?i:https?://)))(?P<target>[^\s<>;,]*)(?P<rest>.*)"
_VAGUE_RELATION = r"(?i)\brel\s*=\s*[\"']?([^\"';,]*)"


class Origin(NamedTuple):
    """Who is spoken to: two addresses with the same origin lead to the same server (RFC 6454 §4)."""

    scheme: str
    host: str
    """In lower case, without a dot at its end; an IPv6 address in brackets."""
    port: int

    @property
    def url(self) -> str:
        """`scheme://host`, with the port where it is not the scheme's own."""
        return f"{self.scheme}://{self.netloc}"

    @property
    def netloc(self) -> str:
        """`host`, with the port where it is not the scheme's own."""
        return self.host if self.port == _PORTS[self.scheme] else f"{self.host}:{self.port}"


def origin(url: str) -> Origin:
    """The origin of an absolute `http` or `https` address.

    Raises:
        ValueError: it is no such address, or one that two programs could read differently.
    """
    match = re.fullmatch(_URL, url)
    if match is None:
        raise ValueError("it is not a plain http or https address")
    scheme = match["scheme"].lower()
    port = int(match["port"] or _PORTS[scheme])
    if not 0 < port < 65536:
        raise ValueError(f"there is no port {port}")
    host = match["host"].lower().removesuffix(".")
    if not host:
        raise ValueError("it names no host")
    return Origin(scheme, host, port)


def same_origin(one: str, other: str) -> bool:
    """Whether two absolute addresses have the same scheme, host and port; False where one is no address."""
    try:
        return origin(one) == origin(other)
    except ValueError:
        return False


def join(base: str, target: str) -> str:
    """The absolute address that `target` means in an answer from `base` (RFC 3986 §5), without its fragment.

    Raises:
        ValueError: the result is not a plain http or https address.
    """
    from urllib.parse import urljoin

    if not re.fullmatch(_VISIBLE, target):
        raise ValueError("it has a blank or a character beyond ASCII in it")
    joined = urljoin(base, target).partition("#")[0]
    origin(joined)
    return joined


def continuation(base: str, target: str | None) -> str | None:
    """The absolute address at which an answer says that an upload or a list goes on; None where it names none.

    Args:
        base: the address that the answer came from.
        target: the value of `Location`, or the target of a `Link`: an absolute address, or one relative to `base`.

    Raises:
        Unsupported: it leads to another scheme, host or port, where neither content nor credentials may go.
    """
    if not target:
        return None
    here = origin(base)
    try:
        resolved = join(base, target)
        there = origin(resolved)
    except ValueError as error:
        raise Unsupported(f"{here.netloc} answered with an address that cannot be used", cause=str(error)) from None
    if there == here:
        return resolved
    if there[1:] == here[1:] or (there.host == here.host and there.scheme != here.scheme):
        cause = f"from {here.scheme} to {there.scheme}, on the same host: the registry does not know its own address"
    else:
        cause = f"from {here.url} to {there.url}; uploads and pages stay where they began"
    raise Unsupported(
        f"{here.netloc} points to another server, which lading does not follow",
        cause=cause,
        remedy="the registry, or the proxy before it, has to be told the address that it is reached at",
    )


def next_link(values: Iterable[str]) -> str | None:
    """The target of the first link with the relation `next` (RFC 8288 §3), as written; None where there is none.

    A link without a relation, or without its brackets, leads to the next page, as it does for other clients.

    Args:
        values: the values of an answer's `Link` headers.

    Raises:
        InvalidContent: there may be one, and it cannot be read.
    """
    vague: str | None = None
    for value in values:
        links = parse_links(value)
        for target, relations in links:
            if "next" in relations:
                return target
        if value.strip() and not any(relations for _, relations in links):
            vague = vague or value
    if vague is None:
        return None
    match = re.fullmatch(_VAGUE_LINK, vague)
    if match is None:
        raise InvalidContent("the link to the next page cannot be read", cause="it has no address in it")
    said = re.search(_VAGUE_RELATION, match["rest"])
    return match["target"] if said is None or "next" in said[1].lower().split() else None


def parse_links(value: str) -> list[tuple[str, frozenset[str]]]:
    """Read one `Link` header (RFC 8288 §3): each target with its relations, in lower case.

    What is malformed is passed over; this never fails.
    """
    links = []
    position = 0
    while (start := value.find("<", position)) >= 0:
        match = re.compile(_LINK).match(value, start)
        if match is None:
            break
        relations: frozenset[str] = frozenset()
        for parameter in re.finditer(_PARAMETER, match["parameters"]):
            if parameter["name"].lower() == "rel":
                text = parameter["quoted"] if parameter["quoted"] is not None else parameter["bare"] or ""
                relations = frozenset(re.sub(r"\\(.)", r"\1", text).strip("'").lower().split())
                break  # the first one counts, RFC 8288 §3.3
        links.append((match["target"].strip(), relations))
        position = match.end()
    return links


@lru_cache
def is_loopback(host: str) -> bool:
    """Whether a host (without port) is this machine: `localhost`, a name under it, 127.0.0.0/8 or ::1."""
    name = host.lower().removesuffix(".")
    if name in ("localhost", "127.0.0.1") or name.endswith(".localhost"):
        return True
    address = _literal(name)
    return address is not None and address.is_loopback


def is_own_loopback(host: str) -> bool:
    """Whether a loopback host (without port) is the one that `localhost` names, rather than another address there.

    Whatever listens on another address, such as 127.0.0.2, is as much somebody else as another host is.
    """
    name = host.lower().removesuffix(".")
    return is_loopback(host) and (_literal(name) is None or str(_literal(name)) in {"127.0.0.1", "::1"})


def is_link_local(host: str) -> bool:
    """Whether a host (without port) is an address of 169.254.0.0/16 or fe80::/10: of what runs this machine, often."""
    address = _literal(host)
    return address is not None and address.is_link_local


def is_private(host: str) -> bool:
    """Whether a host (without port) is this machine, or an address that is not of the public internet.

    Names other than `localhost` are not looked up: they count as public.
    """
    if is_loopback(host):
        return True
    address = _literal(host)
    return address is not None and (not address.is_global or address.is_multicast)


def split_port(registry: str) -> tuple[str, int | None]:
    """The host and the port of a registry's name; IPv6 addresses keep their brackets."""
    match = re.fullmatch(r"(\[[^\]]*\]|[^:]*)(?::([0-9]+))?", registry)
    if match is None:
        return registry, None
    return match[1], int(match[2]) if match[2] else None


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    """The address that a host is written as, in any of the spellings that `inet_aton` and browsers take."""
    bare = host[1:-1] if host.startswith("[") else host
    is_numeric = re.fullmatch(_NUMERIC_HOST, bare)
    if not is_numeric and ":" not in bare:
        return None  # a name: `ipaddress` takes longer to import than most requests to prepare
    import ipaddress

    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        if not is_numeric:
            return None
        import socket

        try:
            return ipaddress.IPv4Address(socket.inet_aton(bare.removesuffix(".")))
        except OSError:
            return None
    if isinstance(address, ipaddress.IPv4Address):
        return address
    within = address.ipv4_mapped or address.sixtofour
    if within is None and (int(address) >> 32 in (0, _NAT64) and int(address) > 0xFFFF):
        within = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)  # the deprecated form, or that of a translator
    return within or address


_NAT64 = 0x0064FF9B_00000000_00000000
"""The first 96 bits of 64:ff9b::/96 (RFC 6052)."""
