"""Where credentials are looked for, and in which order. Knows the places, and nothing of what is done with them.

What is named for this one run comes first, in this order: files given by name (`--authfile`), `$LADING_PASSWORD`,
`$DOCKER_AUTH_CONFIG`, `$REGISTRY_AUTH_FILE`. Then what is kept: Docker's `config.json`, podman's `auth.json`, AWS for
its own registries, `~/.netrc`. Of what is kept, the key counts that names most of the repository's path (`host/a/b`
before `host/a` before `host`); of keys that name the same, the one in the earlier place.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lading.arguments import several
from lading.errors import UsageError
from lading.folders import home
from lading.registry.auth import docker_config
from lading.registry.auth.credentials import (
    Credential,
    Credentials,
    CredentialSource,
    GivenCredentials,
    Login,
    Offer,
    depth,
    server_key,
)

if TYPE_CHECKING:
    from lading.registry.auth.credential_file import CredentialFile
    from lading.registry.auth.helpers import Helpers
    from lading.registry.auth.scopes import TokenCache


class SourcedOffer(NamedTuple):
    """What a source may have for a repository, and which source it is."""

    source: CredentialSource
    offer: Offer


class KnownCredentials:
    """The credentials of many sources, in their order.

    Args:
        named: the sources that were named for this run: of these, the first that has something counts.
        kept: the sources that are always there: of these, the key that names most counts, then the first source.
    """

    def __init__(self, named: Sequence[CredentialSource] = (), kept: Sequence[CredentialSource] = ()) -> None:
        self._named = tuple(named)
        self._kept = tuple(kept)

    @property
    def named(self) -> tuple[CredentialSource, ...]:
        """The sources that were named for this run."""
        return self._named

    @property
    def kept(self) -> tuple[CredentialSource, ...]:
        """The sources that are always there."""
        return self._kept

    @property
    def sources(self) -> tuple[CredentialSource, ...]:
        """All of them, in their order."""
        return (*self.named, *self.kept)

    async def find(
        self, registry: str, repository: str | None = None, *, refused: Collection[Credential] = ()
    ) -> Credential | None:
        """The best credentials for a repository; None where there are none (more).

        Raises:
            UsageError: a file that counts is corrupt.
            Denied: a helper, or AWS, was asked and failed.
        """
        useless = {credential.proof for credential in refused}
        for _, offer in self.offers(registry, repository):
            credential = await offer.load()
            if credential is not None and credential.proof in useless and offer.renew is not None:
                credential = await offer.renew()
            if credential is not None and credential.proof not in useless:
                return credential
        return None

    def offers(self, registry: str, repository: str | None = None) -> Iterator[SourcedOffer]:
        """What all of them may have for a repository, the best first.

        A source that cannot be read has an offer that fails when it is loaded: it is no error as long as another
        one comes before it.
        """
        for source in self.named:
            yield from _offers(source, registry, repository)
        kept = [found for source in self.kept for found in _offers(source, registry, repository)]
        yield from sorted(kept, key=lambda found: -found.offer.depth)


class _DefaultCredentials(KnownCredentials):
    """Credentials whose sources are made when they are first needed: most requests need none.

    Args:
        make: gives the sources that were named for this run, and the sources that are always there.
    """

    def __init__(self, make: Callable[[], tuple[Sequence[CredentialSource], Sequence[CredentialSource]]]) -> None:
        self._make = make

    @cached_property
    def _made(self) -> tuple[tuple[CredentialSource, ...], tuple[CredentialSource, ...]]:
        named, kept = self._make()
        return tuple(named), tuple(kept)

    @property
    def named(self) -> tuple[CredentialSource, ...]:
        return self._made[0]

    @property
    def kept(self) -> tuple[CredentialSource, ...]:
        return self._made[1]


class EnvironmentLogin:
    """`$LADING_USERNAME` and `$LADING_PASSWORD`, for the registry (or namespace) `$LADING_REGISTRY` and for no other.

    Args:
        environ: the environment variables.
    """

    name = "the environment"
    place = "$LADING_PASSWORD"

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def absence(self, registry: str) -> str:
        """Why it can have nothing for a registry; empty where it might."""
        return "" if self._environ.get("LADING_PASSWORD") else "it is not set"

    def offers(self, registry: str, repository: str | None) -> Sequence[Offer]:
        """The credential, if it is for this registry.

        Raises:
            UsageError: the registry that it is for, or the user, is not given.
        """
        login = self._login()
        if login is None:
            return ()
        key, credential = login
        found = depth(key, registry, repository)

        async def load() -> Credential:
            return credential

        return (Offer(key, found, self.place, load),) if found is not None else ()

    async def logins(self) -> Sequence[Login]:
        """The one that it has, if it has one."""
        login = self._login()
        return () if login is None else (Login(login[0], login[1].username, self.place),)

    def _login(self) -> tuple[str, Credential] | None:
        password = self._environ.get("LADING_PASSWORD")
        if not password:
            return None
        texts = {}
        for variable, what in (("LADING_REGISTRY", "the registry it is for"), ("LADING_USERNAME", "the user it is of")):
            texts[variable] = self._environ.get(variable, "").strip()
            if not texts[variable]:
                raise UsageError(
                    f"$LADING_PASSWORD is set, and ${variable} is not",
                    cause="a password goes to the registry that it is for, and nowhere else",
                    remedy=f"set {variable} to {what}, or unset LADING_PASSWORD",
                )
        return texts["LADING_REGISTRY"], Credential.of(texts["LADING_USERNAME"], password, source=self.place)


class EnvironmentConfig:
    """`$DOCKER_AUTH_CONFIG`: a whole `config.json` in a variable.

    Args:
        environ: the environment variables.
        runner: runs the helpers that it may name.
    """

    name = "the environment"
    place = "$DOCKER_AUTH_CONFIG"

    def __init__(self, environ: Mapping[str, str], runner: Helpers) -> None:
        self._environ = environ
        self._helpers = runner

    def absence(self, registry: str) -> str:
        """Why it can have nothing for a registry; empty where it might."""
        return "" if self._environ.get("DOCKER_AUTH_CONFIG") else "it is not set"

    def offers(self, registry: str, repository: str | None) -> Sequence[Offer]:
        """What it may have for a repository, the best first.

        Raises:
            UsageError: it is not valid.
        """
        from lading.registry.auth.credential_file import offers_of

        return offers_of(self._document(), self.place, self._helpers, registry, repository)

    async def logins(self) -> Sequence[Login]:
        """Everything that it keeps, by its keys.

        Raises:
            UsageError: it is not valid.
            Denied: a helper is missing or failed.
        """
        from lading.registry.auth.credential_file import logins_of

        return await logins_of(self._document(), self.place, self._helpers)

    def _document(self) -> dict[str, Any]:
        return docker_config.decode(self._environ.get("DOCKER_AUTH_CONFIG", ""), self.place)


_NO_FILE = "name a file that is there, or none"


def default_sources(
    *,
    authfiles: Iterable[Path | str] | Path | str = (),
    docker_config_dir: Path | None = None,
    cache: Callable[[str], TokenCache] | None = None,
    environ: Mapping[str, str] | None = None,
    on_note: Callable[[str], None] | None = None,
) -> KnownCredentials:
    """Every source, in the order that the documentation says.

    Args:
        authfiles: files that are asked before all others, and must be there.
        docker_config_dir: the folder of `config.json`; by default `$DOCKER_CONFIG`, else `~/.docker`.
        cache: gives the cache of a registry, where logins of AWS outlive the run; None for none.
        environ: the environment variables; by default those of the process.
        on_note: called with what helpers say to the user.

    Raises:
        UsageError: one of `authfiles` is not there.
    """
    files = [Path(path) for path in several(authfiles)]
    for path in files:
        if not path.exists():
            raise UsageError(f"{path} cannot be read", cause="there is no such file", remedy=_NO_FILE)
    return _DefaultCredentials(
        lambda: _sources(files, docker_config_dir, cache, os.environ if environ is None else environ, on_note)
    )


def _sources(
    authfiles: Sequence[Path],
    docker_config_dir: Path | None,
    cache: Callable[[str], TokenCache] | None,
    environ: Mapping[str, str],
    on_note: Callable[[str], None] | None,
) -> tuple[Sequence[CredentialSource], Sequence[CredentialSource]]:
    from lading.registry.auth.aws import AwsCredentials
    from lading.registry.auth.credential_file import CredentialFile
    from lading.registry.auth.helpers import Helpers
    from lading.registry.auth.netrc import Netrc

    runner = Helpers(environ, on_note)
    named: list[CredentialSource] = [
        CredentialFile(path, "the file given", runner=runner, required=True) for path in authfiles
    ]
    named += [EnvironmentLogin(environ), EnvironmentConfig(environ, runner)]
    if environ.get("REGISTRY_AUTH_FILE"):
        named.append(CredentialFile(Path(environ["REGISTRY_AUTH_FILE"]), "$REGISTRY_AUTH_FILE", runner=runner))
    kept: list[CredentialSource] = [
        CredentialFile(docker_config.docker_file(docker_config_dir, environ), runner=runner),
        *(CredentialFile(path, "podman's auth.json", runner=runner) for path in podman_files(environ)),
        AwsCredentials(cache, environ),
        Netrc(Path(environ.get("NETRC") or home(environ) / ".netrc")),
    ]
    return named, kept


def with_file(credentials: Credentials, path: Path) -> Credentials:
    """The same credentials, with a file before all other places that are kept; given credentials stay as they are."""
    if isinstance(credentials, GivenCredentials):
        return credentials
    from lading.registry.auth.credential_file import CredentialFile

    file = CredentialFile(path, "lading's config.toml", required=True)
    if not isinstance(credentials, KnownCredentials):
        return KnownCredentials((file,))
    return KnownCredentials((*credentials.named, file), credentials.kept)


def writable_file(
    authfile: Path | None = None, docker_config_dir: Path | None = None, environ: Mapping[str, str] | None = None
) -> CredentialFile:
    """The file that `login` writes to: the one given, else `$REGISTRY_AUTH_FILE`, else Docker's.

    Args:
        authfile: the file given.
        docker_config_dir: the folder of `config.json`; by default `$DOCKER_CONFIG`, else `~/.docker`.
        environ: the environment variables; by default those of the process.
    """
    from lading.registry.auth.credential_file import CredentialFile

    environ = os.environ if environ is None else environ
    if authfile is not None:
        return CredentialFile(authfile, "the file given", environ=environ)
    if environ.get("REGISTRY_AUTH_FILE"):
        return CredentialFile(Path(environ["REGISTRY_AUTH_FILE"]), "$REGISTRY_AUTH_FILE", environ=environ)
    return CredentialFile(docker_config.docker_file(docker_config_dir, environ), environ=environ)


def podman_files(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """The places of podman's `auth.json`, in its order (containers-auth.json(5))."""
    runtime = environ.get("XDG_RUNTIME_DIR") or f"/run/containers/{os.getuid()}"
    config = environ.get("XDG_CONFIG_HOME") or home(environ) / ".config"
    return tuple(
        dict.fromkeys(
            Path(folder) / "auth.json"
            for folder in (
                Path(runtime) / "containers" if environ.get("XDG_RUNTIME_DIR") else runtime,
                Path(config) / "containers",
            )
        )
    )


def _offers(source: CredentialSource, registry: str, repository: str | None) -> Iterator[SourcedOffer]:
    try:
        for offer in source.offers(registry, repository):
            yield SourcedOffer(source, offer)
    except UsageError as error:
        failure = error

        async def fail() -> Credential | None:
            raise failure

        yield SourcedOffer(source, Offer(server_key(registry), 0, source.place, fail))
