"""`WWW-Authenticate`: what a registry wants to be shown (RFC 9110 §11.6.1). Pure parsing, which never fails."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_SCHEME = rf"[\s,]*({_TOKEN})(?!\s*=)"
# A bare value may hold what a token may not (`realm=https://…`): some registries leave the quotes out.
_PARAMETER = rf"(?s)[\s,]*({_TOKEN})\s*=\s*(?:\"((?:\\.|[^\"\\])*)\"?|([^\s,\"]*))"
_TOKEN68 = r"\s+[A-Za-z0-9._~+/-]+=*\s*(?=,|$)"


class Challenge(msgspec.Struct, frozen=True):
    """One way to authenticate that a server offers."""

    scheme: str
    """In lower case, such as `bearer` or `basic`."""
    parameters: dict[str, str] = {}
    """Names in lower case; of a name that comes twice, the first counts."""

    @property
    def bare(self) -> Challenge:
        """What of it is the same for every request: neither scopes nor errors."""
        kept = {name: text for name, text in self.parameters.items() if name in ("realm", "service")}
        return Challenge(self.scheme, kept if self.scheme == "bearer" else {})

    @property
    def realm(self) -> str:
        """For Bearer, the address of the token service."""
        return self.parameters.get("realm", "")

    @property
    def service(self) -> str:
        """For Bearer, what the token service knows the registry as."""
        return self.parameters.get("service", "")

    @property
    def scopes(self) -> tuple[str, ...]:
        """For Bearer, what a token must allow, such as `repository:a/b:pull`."""
        return tuple(self.parameters.get("scope", "").split())

    @property
    def error(self) -> str:
        """Why the last answer was refused, such as `insufficient_scope` or `invalid_token` (RFC 6750 §3.1)."""
        return self.parameters.get("error", "")


def parse_challenges(values: Iterable[str]) -> tuple[Challenge, ...]:
    """Read every challenge in the `WWW-Authenticate` headers of an answer, in their order.

    Args:
        values: the headers' values; each may hold several challenges.
    """
    return tuple(challenge for value in values for challenge in _parse(value))


def choose(challenges: Iterable[Challenge]) -> Challenge | None:
    """The challenge that lading answers: Bearer with a realm before Basic; None where there is neither."""
    by_scheme: dict[str, Challenge] = {}
    for challenge in challenges:
        if challenge.scheme == "basic" or (challenge.scheme == "bearer" and challenge.realm):
            by_scheme.setdefault(challenge.scheme, challenge)
    return by_scheme.get("bearer") or by_scheme.get("basic")


def _parse(value: str) -> list[Challenge]:
    found: list[Challenge] = []
    position = 0
    while position < len(value):
        scheme = re.compile(_SCHEME).match(value, position)
        parameters: dict[str, str] = {}
        if scheme is not None:
            found.append(Challenge(scheme[1].lower(), parameters))
            position = scheme.end()
            token68 = re.compile(_TOKEN68).match(value, position)
            if token68 is not None:
                position = token68.end()
                continue
        elif found:
            parameters = found[-1].parameters
        parameter = re.compile(_PARAMETER).match(value, position)
        if parameter is not None:
            text = parameter[2] if parameter[2] is not None else parameter[3]
            parameters.setdefault(parameter[1].lower(), re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL))
            position = parameter.end()
        elif scheme is None:
            position += 1  # nothing that can be read starts here
    return found
