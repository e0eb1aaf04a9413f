"""`Client.registries`: what is asked of a registry itself rather than of something in it, and logging in.

This module only binds; what the methods do is in `registry/`.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lading.client.context import Context
from lading.errors import InvalidReference, NotFound, Unsupported, UsageError
from lading.io.blocking import Face, blocking
from lading.model.reference import Reference
from lading.registry.auth.scopes import parse_key, parse_registry, parse_scopes, parse_subject
from lading.registry.lists import repositories
from lading.registry.quirks import hosted
from lading.stores.location import AnyLocation, registry_reference

if TYPE_CHECKING:
    from lading.registry.auth.credentials import Credential, Login
    from lading.registry.auth.scopes import Token
    from lading.registry.diagnose.check import Checkup
    from lading.registry.diagnose.explain import Explanation
    from lading.registry.diagnose.pull_limits import PullLimits


class Registries:
    """Registries: what they have and support, their limits, and the credentials for them.

    Args:
        context: what the client shares with its namespaces.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    async def repositories(
        self, registry: str, *, include: Iterable[str] | str = (), exclude: Iterable[str] | str = ()
    ) -> list[str]:
        """The names of a registry's repositories, in its order.

        Args:
            registry: its host.
            include: only the names that match one of these patterns, as `tags` takes them.
            exclude: none of the names that match one of these.

        Raises:
            InvalidPattern: a pattern cannot be read.
            Unsupported: the registry does not list them.
        """
        from lading.model.patterns import choose

        choose((), include, exclude)  # which refuses what cannot be understood before anything is sent
        host = parse_registry(registry)
        if remedy := hosted(host).no_catalog:
            raise Unsupported(f"{hosted(host).name} does not list its repositories", remedy=remedy)
        try:
            names = [name async for name in repositories(self._context.session, host)]
        except NotFound as error:
            raise Unsupported(
                f"{host} does not list its repositories",
                cause=error.cause,
                status=error.status,
                registry_code=error.registry_code,
            ) from error
        return choose(names, include, exclude)

    async def check(self, registry: AnyLocation, *, write: bool = False) -> Checkup:
        """Examine a registry: how it is reached, its TLS, the login that it asks for, and what it supports.

        Args:
            registry: the registry, or a repository of it.
            write: whether uploads may be begun in that repository, which are cancelled, and the deletion of what is
                not there be asked for: more can be told then, and nothing stays.

        Returns:
            What was found; a registry that cannot be reached is a finding, too.

        Raises:
            UsageError: `write` without a repository, or what is configured is not valid.
        """
        from lading.registry.diagnose.check import check

        host, repository = _registry_of(registry)
        if write and repository is None:
            raise UsageError("it is not said where to write", remedy=f"name a repository: {host}/REPOSITORY")
        return await check(self._context.session, host, repository, write=write)

    async def pull_limits(self, registry: AnyLocation) -> PullLimits:
        """How many pulls a registry still allows, where it tells; one request, which counts as no pull.

        Args:
            registry: the registry, or a reference to a manifest in it.
        """
        from lading.registry.diagnose.pull_limits import pull_limits

        host, repository = _registry_of(registry)
        if repository is None:
            return await pull_limits(self._context.session, host)
        return await pull_limits(self._context.session, host, repository, registry_reference(registry).locator)

    async def login(self, registry: str, username: str, password: str, *, authfile: Path | str | None = None) -> str:
        """Check credentials with a registry, then keep them where Docker does.

        Args:
            registry: its host; with a namespace or a repository, for that alone.
            username: the user; `<token>` where `password` is an identity token.
            password: the password or token.
            authfile: the file to keep them in; by default `$REGISTRY_AUTH_FILE`, else Docker's `config.json`.

        Returns:
            Where they are kept.

        Raises:
            UsageError: they cannot be kept there; nothing was sent.
            Denied: the registry refuses them; nothing was kept.
            Unsupported: it is no registry; nothing was kept.
        """
        from lading.registry.auth.credentials import Credential
        from lading.registry.auth.lookup import writable_file
        from lading.registry.login import verify

        host, path = parse_key(registry)
        credential = Credential.of(username, password)
        keeper = writable_file(Path(authfile) if authfile else None, self._context.docker_config)
        keeper.check_writable()
        is_asked = await verify(self._context.session, host, credential)
        self._context.session.host_cache(host).asks_nothing = not is_asked
        if not is_asked:
            self._context.note(f"{host} asks for no login: nobody has checked the password")
        return await keeper.store(f"{host}/{path}" if path else host, credential)

    async def logout(self, registry: str, *, authfile: Path | str | None = None) -> bool:
        """Forget the credentials of a registry, and the tokens that were got with them; False where there were none.

        Args:
            registry: its host; with a namespace or a repository, what was kept for that alone.
            authfile: the file that they are in; by default where `login` keeps them.
        """
        from lading.registry.auth.lookup import writable_file

        host, path = parse_key(registry)
        self._context.cache.forget(host)
        keeper = writable_file(Path(authfile) if authfile else None, self._context.docker_config)
        return await keeper.erase(f"{host}/{path}" if path else host)

    async def logins(self) -> list[Login]:
        """Everything that credentials are kept for, without secrets, in the order of the places they are kept in.

        Raises:
            UsageError: a file is corrupt.
            Denied: a helper is missing or failed.
        """
        from lading.registry.auth.lookup import KnownCredentials

        known = self._context.credentials
        if not isinstance(known, KnownCredentials):
            return []
        return [login for source in known.sources for login in await source.logins()]

    async def credential(self, subject: Reference | str) -> Credential | None:
        """The credentials that are used for a registry or a repository; None for none.

        Args:
            subject: a registry's host, or a reference.
        """
        registry, repository, _ = parse_subject(subject)
        return await self._context.session.attempts(registry).credential(repository)

    async def token(self, subject: Reference | str, scopes: Iterable[str] | str = ()) -> Token:
        """A Bearer token that a registry takes.

        Args:
            subject: a registry's host, or a reference.
            scopes: what it is to allow: actions (`pull,push`), or whole scopes (`repository:a/b:pull`); by default,
                to pull.

        Raises:
            Unsupported: the registry asks for no token.
        """
        from lading.registry.diagnose import explain

        registry, repository, _ = parse_subject(subject)
        return await explain.token(self._context.session, registry, repository, parse_scopes(scopes, repository))

    async def explain(self, subject: Reference | str, scopes: Iterable[str] | str = ()) -> Explanation:
        """Try to get access to a registry or a repository, and tell how it went; nothing remembered is used.

        Args:
            subject: a registry's host, or a reference.
            scopes: what is wanted, as `token` takes it.
        """
        from lading.registry.diagnose import explain

        registry, repository, name = parse_subject(subject)
        return await explain.explain(
            self._context.session,
            registry,
            repository,
            name=name,
            scopes=parse_scopes(scopes, repository),
        )


class SyncRegistries(Face[Registries]):
    """`Registries` for programs without an event loop: the same methods, each returning its result."""

    repositories: Final = blocking(Registries.repositories)
    check: Final = blocking(Registries.check)
    pull_limits: Final = blocking(Registries.pull_limits)
    login: Final = blocking(Registries.login)
    logout: Final = blocking(Registries.logout)
    logins: Final = blocking(Registries.logins)
    credential: Final = blocking(Registries.credential)
    token: Final = blocking(Registries.token)
    explain: Final = blocking(Registries.explain)


def _registry_of(place: AnyLocation) -> tuple[str, str | None]:
    """The registry of its own name, or of a reference in it; and the reference's repository."""
    if isinstance(place, str):
        with suppress(InvalidReference):
            return parse_registry(place), None
    reference = registry_reference(place)
    return reference.registry, reference.repository
