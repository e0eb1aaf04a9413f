"""What a client's methods and its namespaces share: sessions, credentials, what is remembered, the way to a store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from lading.arguments import several
from lading.io.forks import call_after_fork
from lading.registry.cache import Cache
from lading.registry.repository import Repository
from lading.registry.session import Session
from lading.store import Readable, Store
from lading.stores.location import AnyLocation, Location, as_location, registry_reference
from lading.stores.opening import open_to_change, open_to_read, open_to_write

if TYPE_CHECKING:
    from lading.images.files.indexing import Remembered
    from lading.model.reference import Reference
    from lading.registry.auth.credentials import Credentials
    from lading.registry.hosts.configuration import Config


class Context:
    """What a client was made with, and what is open because of it. The arguments are those of `AsyncClient`."""

    def __init__(
        self,
        *,
        insecure: bool,
        credentials: Credentials | None,
        authfiles: Iterable[Path | str] | Path | str,
        docker_config: Path | str | None,
        config: Config | None,
        create_repositories: bool,
        remember: bool,
        on_warning: Callable[[str, str], None] | None,
        on_note: Callable[[str], None] | None,
        on_request: Callable[[str], None] | None,
    ) -> None:
        self.docker_config: Path | None = Path(docker_config) if docker_config is not None else None
        self.cache: Cache = Cache.of_user() if remember else Cache()
        self._authfiles = [Path(path) for path in several(authfiles)]
        self._options: dict[str, Any] = {
            "insecure": insecure,
            "config": config,
            "create_repositories": create_repositories,
            "on_warning": on_warning,
            "on_note": on_note,
            "on_request": on_request,
        }
        self._credentials = credentials
        self._uses_docker = credentials is None
        self._session: Session | None = None
        self._others: list[tuple[Credentials, Session]] = []
        self._of_parent: list[object] = []
        call_after_fork(self._after_fork)

    @property
    def credentials(self) -> Credentials:
        """Where credentials are found."""
        if self._credentials is None:
            from lading.registry.auth.lookup import default_sources

            self._credentials = default_sources(
                authfiles=self._authfiles,
                docker_config_dir=self.docker_config,
                cache=self.cache.host,
                on_note=self._options["on_note"],
            )
        return self._credentials

    @property
    def session(self) -> Session:
        """What carries the requests."""
        if self._session is None:
            headers: dict[str, str] = {}
            if self._uses_docker:
                from lading.registry.auth.docker_config import docker_headers

                headers = docker_headers(self.docker_config)
            self._session = Session(credentials=self.credentials, headers=headers, cache=self.cache, **self._options)
        return self._session

    @cached_property
    def remembered(self) -> Remembered:
        """What was read of images."""
        from lading.images.files.indexing import Remembered

        return Remembered(self.cache_folder("images"))

    def cache_folder(self, name: str) -> Path | None:
        """A folder in the user's cache; None where nothing is left for later runs."""
        from lading.folders import user_folder

        return user_folder("cache") / name if self.cache.is_kept else None

    def session_with(self, credentials: Credentials | None) -> Session:
        """What carries the requests that are made with these credentials; None for the client's own.

        Args:
            credentials: where they are found; the same object gets the same session.
        """
        if credentials is None:
            return self.session
        for whose, session in self._others:
            if whose is credentials:
                return session
        session = self.session.with_credentials(credentials, cache=self.cache)
        self._others.append((credentials, session))
        return session

    def connect(self, reference: AnyLocation, *, writing: bool = False, mirrored: bool = False) -> Repository:
        """The repository of a reference; see `AsyncClient.connect`."""
        return self._repository(registry_reference(reference), writing=writing, mirrored=mirrored)

    @overload
    def open(
        self, place: AnyLocation, *, writing: Literal[True], mirrored: bool = ...
    ) -> AbstractAsyncContextManager[Store]: ...
    @overload
    def open(
        self, place: AnyLocation, *, writing: bool = ..., mirrored: bool = ...
    ) -> AbstractAsyncContextManager[Readable]: ...
    @asynccontextmanager
    async def open(self, place: AnyLocation, *, writing: bool = False, mirrored: bool = False) -> AsyncIterator[Any]:
        """The store of a location; see `AsyncClient.open`."""
        location = as_location(place)
        if location.reference is not None and location.is_registry:
            yield self._repository(location.reference, writing=writing, mirrored=mirrored)
        else:
            async with open_to_write(location, self.note) if writing else open_to_read(location) as store:
                yield store

    def change(self, location: Location, *, writing: bool = False) -> AbstractAsyncContextManager[Store]:
        """The store of a location, to change what is in it.

        Args:
            location: a place in a registry or elsewhere.
            writing: whether something will be written to a registry, so that the first token allows it.

        Raises:
            Unsupported: what is there can only be read, or replaced as a whole.
        """
        if location.is_registry:
            return nullcontext(self.connect(location, writing=writing))
        return open_to_change(location, self.note)

    def note(self, text: str) -> None:
        """Say what went otherwise than expected, and was got over, to whoever wants to know."""
        if self._options["on_note"] is not None:
            self._options["on_note"](text)

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None
        while self._others:
            await self._others.pop()[1].close()

    def _repository(self, reference: Reference, *, writing: bool, mirrored: bool) -> Repository:
        return Repository(self.session, reference.registry, reference.repository, writing=writing, mirrored=mirrored)

    def _after_fork(self) -> None:
        # The connections are the parent's, and what waits for them.
        self._of_parent += (self._session, self._others, self._credentials)
        self._session, self._others = None, []
        if self._uses_docker:
            self._credentials = None
