"""Scopes and the tokens that allow them (distribution's token authentication, `scope`), and how scopes are written.

Pure: it reads texts and tokens, and asks for none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import msgspec

from lading.arguments import several
from lading.errors import InvalidReference, UsageError
from lading.model.reference import Reference
from lading.registry.auth.challenge import Challenge
from lading.registry.auth.credentials import Proof
from lading.registry.hosts.settings import DOCKER_HUB

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
        return same and ("*" in self.actions or set(other.actions) <= set(self.actions))


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
    """The user that it was given to; empty for an anonymous client."""

    def __repr__(self) -> str:
        """What it allows, and the user."""
        return f"<Token for {' '.join(map(str, self.scopes))} of {self.account or 'anybody'}>"

    def allows(self, scopes: Iterable[Scope]) -> bool:
        """Whether it was asked for with all of this."""
        return all(any(own.covers(scope) for own in self.scopes) for scope in scopes)


class TokenCache(Protocol):
    """What outlives a session of one registry's authentication."""

    @property
    def challenge(self) -> Challenge | None:
        """The challenge that the registry answered with last; None where it is not known."""

    @challenge.setter
    def challenge(self, challenge: Challenge | None) -> None: ...

    def tokens(self, proof: Proof | None, account: str = "") -> Sequence[Token]:
        """The tokens that were given for a proof and have not expired.

        Args:
            proof: of the credential; None for anonymous access.
            account: the user name that the tokens get.
        """

    def keep(self, proof: Proof | None, token: Token) -> None:
        """Keep a token that was given for a proof."""

    def drop(self, token: Token) -> None:
        """Forget a token, which the registry refuses."""

    def is_from_before(self, token: Token) -> bool:
        """Whether a token was kept by an earlier run."""


def repository_of(scopes: Sequence[Scope]) -> str | None:
    """The repository that a request is about: that of its first scope."""
    return (scopes[0].repository or None) if scopes and scopes[0].kind == "repository" else None


def granted(token: Token) -> list[Scope] | None:
    """What a token allows, as it says itself (distribution's token authentication, `jwt`); None for one that is opaque.

    It is read, and not verified: that is the registry's business.
    """
    import base64
    import binascii

    parts = token.value.split(".")
    try:
        claims = msgspec.json.decode(base64.urlsafe_b64decode(parts[1] + "==")) if len(parts) == 3 else None
    except (binascii.Error, ValueError, RecursionError):
        claims = None
    if not isinstance(claims, dict) or "access" not in claims:
        return None
    try:
        entries = msgspec.convert(claims["access"] or [], list[_Access])
    except msgspec.ValidationError:
        return None
    scopes = [Scope.parse(f"{entry.type}:{entry.name}:{','.join(entry.actions or ())}") for entry in entries]
    return [scope for scope in scopes if scope is not None]


class _Access(msgspec.Struct):
    type: str
    name: str
    actions: list[str] | None = None


def parse_registry(text: str) -> str:
    """The host of a registry from its name, or from the URL form that Docker keeps.

    Raises:
        InvalidReference: the text has more than a host.
    """
    host = text.removeprefix("https://").removeprefix("http://").rstrip("/")
    host = host.removesuffix("/v1").removesuffix("/v2")
    if host in DOCKER_HUB:
        return DOCKER_HUB[0]
    # A name without a dot or a port would be a part of Docker Hub's in a reference, and is a host here.
    named = host if "." in host or ":" in host else f"{host}:443"
    try:
        parsed = Reference.parse(f"{named}/x/x")
    except InvalidReference:
        parsed = None
    if parsed is None or parsed.repository != "x/x":
        remedy = f"name it alone: {host.partition('/')[0]}" if "/" in host else "such as localhost:5000, ghcr.io"
        raise InvalidReference(f"{text!r} is not a registry", cause="expected HOST[:PORT]", remedy=remedy)
    return host if named != host else parsed.registry


def parse_key(text: str) -> tuple[str, str]:
    """The registry, and the namespace or repository in it, that credentials are kept for; the latter may be empty.

    Raises:
        InvalidReference: the text is neither.
    """
    bare = text.removeprefix("https://").removeprefix("http://").rstrip("/")
    host, _, path = bare.partition("/")
    if "@" in bare:  # a login, which is not repeated in part
        raise InvalidReference(f"{text!r} is not a registry", cause="expected HOST[:PORT], or HOST[:PORT]/NAMESPACE")
    registry = parse_registry(host)
    if not path or path in ("v1", "v2"):
        return registry, ""
    is_host = "." in host or ":" in host or host == "localhost"
    found = Reference.parse_repository(f"{registry}/{path}") if is_host else None
    if found is None or found.tag or found.digest or not found.repository.endswith(path):
        raise InvalidReference(f"{text!r} is not a registry", cause="expected HOST[:PORT], or HOST[:PORT]/NAMESPACE")
    return registry, path


def parse_subject(subject: Reference | str) -> tuple[str, str | None, str | None]:
    """The registry, the repository and the tag or digest that access is wanted to.

    A text without a slash is a registry where it looks like a host: it has a dot in its name, or is `localhost`.
    """
    if isinstance(subject, str):
        host = subject.partition(":")[0]
        if "/" not in subject and "@" not in subject and ("." in host or host == "localhost" or host.startswith("[")):
            return parse_registry(subject), None, None
        bare = Reference.parse_repository(subject)
        return bare.registry, bare.repository, bare.digest or bare.tag
    return subject.registry, subject.repository, subject.locator


def parse_scopes(texts: Iterable[str] | str, repository: str | None) -> tuple[Scope, ...]:
    """What a token is to allow, from actions (`pull,push`) and whole scopes (`repository:a/b:pull`).

    Args:
        texts: actions and scopes; none for pulling.
        repository: what actions are about; None for nothing.

    Raises:
        UsageError: a text is neither, or there is nothing that its actions are about.
    """
    scopes = []
    for text in several(texts) or (("pull",) if repository else ()):
        scope = Scope.parse(text)
        if scope is None and ":" not in text and text and repository:
            scope = Scope(repository, tuple(action for action in text.split(",") if action))
        if scope is None:
            raise UsageError(f"{text!r} is not a scope", cause="expected actions (pull,push) or KIND:NAME:ACTIONS")
        scopes.append(scope)
    return tuple(scopes)
