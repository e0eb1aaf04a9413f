"""Client: AsyncClient for programs without an event loop. This module only runs it; what it does is all in `client`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Self, TypeVar

from lading.client import AsyncClient

if TYPE_CHECKING:
    from lading.drafts.facade import SyncDrafts

P = ParamSpec("P")
T = TypeVar("T")


class _Face(Generic[P, T]):
    """The synchronous form of a method of AsyncClient."""

    def __init__(self, method: Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]) -> None:
        self._method = method
        self.__doc__ = method.__doc__

    def __get__(self, client: Client, owner: type[Client] | None = None) -> Callable[P, T]:
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            return client._run(self._method(client._client, *args, **kwargs))

        call.__doc__ = self.__doc__
        return call


class Client:
    """AsyncClient for programs without an event loop: the same code on a private thread.

    Takes what AsyncClient takes; use it as a context manager.

    >>> with Client() as client:
    ...     index = client.get(f"{registry}/app:1.0")
    ...     for entry in index.manifests:
    ...         print(entry.platform, entry.size)
    linux/amd64 ...
    linux/arm64/v8 ...
    """

    def __init__(self, **options: Any) -> None:
        self._client = AsyncClient(**options)
        self._loop: asyncio.AbstractEventLoop | None = None

    def __enter__(self) -> Self:
        """Nothing is sent before the first call."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close all connections and end the thread."""
        self.close()

    def close(self) -> None:
        """Close all connections and end the thread; the client can be used again."""
        if self._loop is None:
            return
        self._run(self._client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = None

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        import threading

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="lading", daemon=True)
            self._thread.start()
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            # The caller was interrupted: end the work, too, before saying so.
            future.cancel()
            raise

    get = _Face(AsyncClient.get)
    digest = _Face(AsyncClient.digest)
    config = _Face(AsyncClient.config)
    inspect = _Face(AsyncClient.inspect)
    resolve = _Face(AsyncClient.resolve)
    lint = _Face(AsyncClient.lint)
    tags = _Face(AsyncClient.tags)
    tags_of = _Face(AsyncClient.tags_of)
    tag = _Face(AsyncClient.tag)
    delete = _Face(AsyncClient.delete)
    deletion = _Face(AsyncClient.deletion)
    untag = _Face(AsyncClient.untag)
    copy = _Face(AsyncClient.copy)
    repositories = _Face(AsyncClient.repositories)
    check = _Face(AsyncClient.check)
    pull_limits = _Face(AsyncClient.pull_limits)
    login = _Face(AsyncClient.login)
    logout = _Face(AsyncClient.logout)
    logins = _Face(AsyncClient.logins)
    credential = _Face(AsyncClient.credential)
    token = _Face(AsyncClient.token)
    explain = _Face(AsyncClient.explain)

    @property
    def drafts(self) -> SyncDrafts:
        """Manifest lists in the making, in Docker's local store."""
        from lading.drafts.facade import SyncDrafts

        return SyncDrafts(self._client.drafts, self._run)
