"""Which proxy leads to a host, by the environment: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`.

The rules are Go's (`net/http.ProxyFromEnvironment`), so that a registry is reached as Docker reaches it. A proxy's
address may hold a password: texts show it through `masked` only.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from lading.errors import UsageError
from lading.registry.urls import is_loopback, split_port

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

_PORTS = {"http": 80, "https": 443}


class Proxy(msgspec.Struct, frozen=True):
    """A proxy, and what named it. Its `repr` shows no password."""

    url: str
    variable: str

    def __repr__(self) -> str:
        """Where it is, and what named it."""
        return f"<Proxy {masked(self.url)} of {self.variable}>"


def find_proxy(scheme: str, registry: str, environ: Mapping[str, str] = os.environ) -> Proxy | None:
    """The proxy that leads to a registry.

    Args:
        scheme: `http` or `https`.
        registry: its host, with the port where it has one.
        environ: the environment; names count in upper case first, then in lower case.

    Raises:
        UsageError: what names the proxy is not the address of one.
    """
    host, port = split_port(registry)
    if is_loopback(host):
        return None
    for name in (f"{scheme}_proxy", "all_proxy"):
        variable = next((spelled for spelled in (name.upper(), name) if environ.get(spelled)), None)
        if variable is not None:
            break
    else:
        return None
    if is_excluded(host, port or _PORTS[scheme], environ.get("NO_PROXY") or environ.get("no_proxy") or ""):
        return None
    url = environ[variable].strip()
    if "://" not in url:
        url = f"http://{url}"
    if not re.fullmatch(r"(https?|socks5h?)://([^/@\s]*@)?(\[[0-9a-fA-F:.]+\]|[^/@:\s\[\]]+)(:\d{1,5})?/?", url):
        # Not repeated: it may hold a password.
        raise UsageError(f"{variable} does not name a proxy", cause="expected http://[USER:PASSWORD@]HOST[:PORT]")
    return Proxy(url.rstrip("/"), variable)


def is_excluded(host: str, port: int, no_proxy: str) -> bool:
    """Whether `NO_PROXY` says that a host is reached without a proxy.

    Its entries are names (`example.com` stands for what is below it, too, `.example.com` for that only), addresses,
    networks (`10.0.0.0/8`) or `*`; any of them may end in a port.
    """
    name = host.strip("[]").lower().removesuffix(".")
    return any(_matches(entry, name, port) for entry in map(str.strip, no_proxy.lower().split(",")))


def _matches(entry: str, name: str, port: int) -> bool:
    """Whether one entry of `NO_PROXY` is about a host."""
    if entry in ("", "*"):
        return entry == "*"
    if "/" in entry:
        return _is_within(name, entry)
    pattern, entry_port = (entry, None) if _address(entry) is not None else split_port(entry)
    if entry_port is not None and entry_port != port:
        return False
    pattern = pattern.strip("[]").removeprefix("*")
    address = _address(pattern)
    if address is not None:
        return address == _address(name)
    return name == pattern or name.endswith(pattern if pattern.startswith(".") else f".{pattern}")


def _is_within(name: str, network: str) -> bool:
    """Whether a host is an address of a network, such as `10.0.0.0/8`."""
    import ipaddress

    address = _address(name)
    try:
        return address is not None and address in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def masked(url: str) -> str:
    """A proxy's address without its user and password."""
    scheme, _, rest = url.partition("://")
    user, at, host = rest.rpartition("@")
    return f"{scheme}://{'***@' if at and user else ''}{host}"


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """The address that a text is; None for a name."""
    import ipaddress

    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
