"""What credentials are, and which key means which registry. Knows neither where they are kept nor HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Protocol

import msgspec

from lading.model.document import Result
from lading.registry.hosts.settings import DOCKER_HUB

HUB_KEY = "https://index.docker.io/v1/"
"""What Docker Hub's credentials are kept under."""
TOKEN_USER = "<token>"
"""The user name whose secret is an identity token, in Docker's files and helpers."""


Proof = tuple[str, ...]
"""What proves an identity to a registry, such as a user name and a password; a secret."""


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """A user name with its secret, which a registry or its token service is shown. Its `repr` shows no secret."""

    username: str
    password: str
    identity_token: str = ""
    """A refresh token (OAuth2), taken instead of a password by token services only."""
    registry_token: str = ""
    """A Bearer token for the registry itself, used as it is."""
    source: str = ""
    """Where it was found, for messages, such as `/home/ada/.docker/config.json`."""
    expires: float = 0.0
    """When it ends, in seconds since the epoch; 0 where that is not known."""

    def __repr__(self) -> str:
        """User and source only."""
        return f"<Credential of {self.username!r} from {self.source!r}>"

    @classmethod
    def of(cls, username: str, secret: str, source: str = "") -> Credential:
        """A credential from a user name and its secret, which is an identity token where the user is `<token>`."""
        if username == TOKEN_USER:
            return cls(username="", password="", identity_token=secret, source=source)
        return cls(username=username, password=secret, source=source)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing in it that could be shown to a registry."""
        return not (self.password or self.identity_token or self.registry_token)

    @property
    def proof(self) -> Proof:
        """What a registry sees of it, wherever it was found: user and secrets."""
        return (self.username, self.password, self.identity_token, self.registry_token)

    @property
    def kind(self) -> str:
        """What it proves with, in words: `password`, `identity token` or `registry token`."""
        if self.registry_token:
            return "registry token"
        return "identity token" if self.identity_token else "password"


class Credentials(Protocol):
    """Somewhere that credentials come from."""

    async def find(
        self, registry: str, repository: str | None = None, *, refused: Collection[Credential] = ()
    ) -> Credential | None:
        """The best credentials for a registry, or for one repository in it; None where there are none (more).

        Args:
            registry: its name, as in references.
            repository: the path in it.
            refused: credentials that the registry did not take: the next best are wanted.

        Raises:
            LadingError: they could not be looked up.
        """


class GivenCredentials:
    """One credential for every registry that is asked for.

    Args:
        credential: the credential.
    """

    def __init__(self, credential: Credential) -> None:
        self._credential = credential

    async def find(
        self, registry: str, repository: str | None = None, *, refused: Collection[Credential] = ()
    ) -> Credential | None:
        """The credential, whatever is asked for, unless it was refused."""
        return None if self._credential in refused else self._credential


class Offer(msgspec.Struct, frozen=True):
    """Credentials that a source may have for a repository."""

    key: str
    """What they are kept under."""
    depth: int
    """How many parts of the repository's path the key names: 0 for a whole registry."""
    place: str
    """Where they are, in words, such as `/home/ada/.docker/config.json` or `the credential helper pass`."""
    load: Callable[[], Awaitable[Credential | None]]
    """Gets them; None where there are none after all."""
    renew: Callable[[], Awaitable[Credential | None]] | None = None
    """Gets newer credentials of the same kind, once the ones that `load` gave are refused; None where it cannot."""


class Login(Result, msgspec.Struct, frozen=True, order=True):
    """Credentials that are kept somewhere, without their secret."""

    registry: str
    """What they are for: a registry, or a namespace or repository in it."""
    username: str
    """Empty where there is a token only."""
    kept_in: str
    """A path, a variable or a helper."""


class CredentialSource(Protocol):
    """One of the places that credentials are looked for in."""

    @property
    def name(self) -> str:
        """What it is, such as `Docker's config.json`."""

    @property
    def place(self) -> str:
        """Where it is, such as a path."""

    def offers(self, registry: str, repository: str | None) -> Sequence[Offer]:
        """What it may have for a repository, the best first; nothing is run or sent for it.

        Raises:
            UsageError: it cannot be read.
        """

    def absence(self, registry: str) -> str:
        """Why it can have nothing for a registry, such as `there is no such file`; empty where it might."""

    async def logins(self) -> Sequence[Login]:
        """All that it keeps.

        Raises:
            UsageError: it cannot be read.
            Denied: a helper is missing or failed.
        """


def server_key(registry: str) -> str:
    """What a registry is called in `auths`, in `credHelpers` and by helpers: its name, except for Docker Hub."""
    return HUB_KEY if registry.lower() in DOCKER_HUB else registry


def split_key(key: str) -> tuple[str, tuple[str, ...]]:
    """The registry and the path that a key of credentials is about.

    A key may be a host, a namespace or a repository (`host`, `host/team`, `host/team/app`), and it may have the form
    of an address, as Docker used to write it (`https://host/v1/`).
    """
    bare = key.strip()
    for scheme in ("https://", "http://"):
        if bare.lower().startswith(scheme):
            bare = bare[len(scheme) :]
    host, _, path = bare.partition("/")
    host = host.lower()
    parts = tuple(part for part in path.split("/") if part)
    return ("docker.io" if host in DOCKER_HUB else host), (() if parts in (("v1",), ("v2",)) else parts)


def depth(key: str, registry: str, repository: str | None) -> int | None:
    """How much of a repository's path a key names, in parts; None where it is about something else."""
    host, parts = split_key(key)
    if host != split_key(registry)[0]:
        return None
    path = tuple((repository or "").split("/"))
    return len(parts) if parts == path[: len(parts)] else None


def rank(key: str, registry: str) -> tuple[bool, bool, str]:
    """The order of keys that mean the same: as Docker writes it, then with or without TLS, then by their letters."""
    return (key != server_key(registry), key.lower().startswith("http://"), key)
