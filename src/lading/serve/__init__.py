"""The embedded registry: serves a storage by the distribution protocol, in this process or as a command.

A `Storage` holds the content: `MemoryStorage`, or `FolderStorage`, which keeps OCI image layouts in a folder.
`proxy_of` makes a `ProxyStorage`, which fetches missing content from another registry. This room knows the model, the
stores and, for `proxy_of`, the registry room; it knows nothing of the client and the command line. Importing it loads
neither a server nor a storage.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from lading.errors import UsageError
from lading.serve.settings import Settings

if TYPE_CHECKING:
    from lading.serve.proxy.proxy import ProxyStorage as ProxyStorage
    from lading.serve.proxy.upstream import proxy_of as proxy_of
    from lading.serve.storage.folder import FolderStorage as FolderStorage
    from lading.serve.storage.folder import Garbage as Garbage
    from lading.serve.storage.storage import MemoryStorage as MemoryStorage
    from lading.serve.storage.storage import Storage as Storage

__all__ = [
    "ASGI",
    "FolderStorage",
    "Garbage",
    "MemoryStorage",
    "ProxyStorage",
    "Settings",
    "Storage",
    "app",
    "background",
    "open_storage",
    "proxy_of",
    "running",
    "serve",
]

_HOME = {
    "FolderStorage": "storage.folder",
    "Garbage": "storage.folder",
    "MemoryStorage": "storage.storage",
    "ProxyStorage": "proxy.proxy",
    "Storage": "storage.storage",
    "proxy_of": "proxy.upstream",
}
_READ_ONLY = "this registry is read-only"
_Message = MutableMapping[str, Any]
ASGI = Callable[[_Message, Callable[[], Awaitable[_Message]], Callable[[_Message], Awaitable[None]]], Awaitable[None]]
"""An application that any ASGI server runs."""


def app(
    storage: Storage | None = None, settings: Settings | None = None, *, clock: Callable[[], float] = time.time
) -> ASGI:
    """The registry as an ASGI application, for a server of one's own.

    Clients look for it at `/v2/` of a host. Mounted at another path, it answers with that path in its headers.

    Args:
        storage: what holds the content; memory if not given.
        settings: how it behaves; without, every client may do everything.
        clock: gives the time, in seconds since the epoch, by which uploads and tokens expire.

    Raises:
        UsageError: the settings contradict each other, a file in them cannot be read, or the packages that serving
            takes are not installed.
    """
    settings = settings or Settings()
    storage = storage or open_storage()
    application: ASGI = _load("protocol.application").RegistryApplication(storage, settings, clock)
    if refusal := storage.refuses or (_READ_ONLY if settings.read_only else None):
        application = _load("read_only").ReadOnly(application, refusal)
    if settings.auth is not None:
        application = _load("auth.gate").Gate(application, settings, clock)
    elif settings.allow or settings.token_key is not None or settings.public_url is not None:
        raise UsageError(
            "rules, a key for tokens and an address are of no use while everybody may do everything",
            remedy="say how users log in: htpasswd=FILE or token=FILE",
        )
    logged: ASGI = _load("access_log").AccessLog(application)
    return logged


@asynccontextmanager
async def running(
    storage: Storage | None = None,
    address: str = "127.0.0.1:0",
    settings: Settings | None = None,
    *,
    tls_cert: str | os.PathLike[str] | None = None,
    tls_key: str | os.PathLike[str] | None = None,
) -> AsyncIterator[str]:
    """Run a registry on the current event loop while the context lasts.

    Args:
        storage: what holds the content; memory if not given.
        address: `HOST:PORT`; port 0 takes any that is free.
        settings: how it behaves; without, every client may do everything.
        tls_cert: a file (PEM) with a certificate and the chain up to its authority.
        tls_key: a file (PEM) with its private key.

    Returns:
        The URL of the registry, such as `http://127.0.0.1:5000`.

    Raises:
        UsageError: the address is none of this machine, the certificate cannot be used, or what `app` raises.
        Conflict: the address is in use.
    """
    server = _load("server")
    async with server.running(app(storage, settings), address, _tls(tls_cert, tls_key)) as url:
        yield url


@contextmanager
def background(
    storage: Storage | None = None,
    address: str = "127.0.0.1:0",
    settings: Settings | None = None,
    *,
    tls_cert: str | os.PathLike[str] | None = None,
    tls_key: str | os.PathLike[str] | None = None,
) -> Iterator[str]:
    """Run a registry on a thread of its own while the context lasts.

    Args:
        storage: what holds the content; memory if not given.
        address: `HOST:PORT`; port 0 takes any that is free.
        settings: how it behaves; without, every client may do everything.
        tls_cert: a file (PEM) with a certificate and the chain up to its authority.
        tls_key: a file (PEM) with its private key.

    Returns:
        The URL of the registry, such as `http://127.0.0.1:5000`.

    Raises:
        UsageError: the address is none of this machine, the certificate cannot be used, or what `app` raises.
        Conflict: the address is in use.
    """
    with _load("server").background(app(storage, settings), address, _tls(tls_cert, tls_key)) as url:
        yield url


def serve(
    storage: Storage | None = None,
    address: str = "127.0.0.1:5000",
    settings: Settings | None = None,
    *,
    tls_cert: str | os.PathLike[str] | None = None,
    tls_key: str | os.PathLike[str] | None = None,
    ready: Callable[[str], None] = lambda url: None,
) -> None:
    """Serve a registry until the process gets SIGINT or SIGTERM. Call it on the main thread.

    What is under way when the signal comes has some seconds to end; a second signal ends it.

    Args:
        storage: what holds the content; memory if not given.
        address: `HOST:PORT`; port 0 takes any that is free.
        settings: how it behaves; without, every client may do everything.
        tls_cert: a file (PEM) with a certificate and the chain up to its authority.
        tls_key: a file (PEM) with its private key.
        ready: called with the URL when the registry answers.

    Raises:
        UsageError: the address is none of this machine, the certificate cannot be used, or what `app` raises.
        Conflict: the address is in use.
    """
    _load("server").serve(app(storage, settings), address, ready, _tls(tls_cert, tls_key))


def open_storage(
    name: str = "memory", *, read_only: bool = False, on_wait: Callable[[str], None] | None = None
) -> Storage:
    """The storage with a name: `memory`, or the path of a folder.

    Args:
        name: its name.
        read_only: whether a folder must be there, and is never written to.
        on_wait: is told when another process holds the lock of a repository in a folder for some seconds.

    Returns:
        A `MemoryStorage` or a `FolderStorage`.

    Raises:
        UsageError: there can be no such folder.
    """
    if name == "memory":
        from lading.serve.storage.storage import MemoryStorage

        return MemoryStorage()
    from lading.serve.storage.folder import FolderStorage

    return FolderStorage(name, read_only=read_only, on_wait=on_wait)


def _tls(certificate: str | os.PathLike[str] | None, key: str | os.PathLike[str] | None) -> Any:
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise UsageError("a certificate and its key are given together", remedy="give both, or neither")
    return _load("server").TLS(certificate, key)


def _load(module: str) -> Any:
    """A module of this room that needs what not everyone has installed."""
    try:
        return import_module(f"lading.serve.{module}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "lading":
            raise
        raise UsageError(
            "serving a registry takes packages that are not installed",
            cause=f"{error.name} is missing",
            remedy="pip install 'lading[serve]'",
            code="extra-missing",
            fields={"extra": "serve"},
        ) from None


def __getattr__(name: str) -> Any:
    """The storages, imported when they are first used."""
    module = _HOME.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"lading.serve.{module}"), name)
