"""The embedded registry: serves a storage by the distribution protocol, in this process or as a command.

This room knows the model, and nothing of clients, stores or the command line. What it serves is kept in a
`Storage`: `Memory`, or a `Folder` of OCI image layouts. Nothing heavy is imported before something is served.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from lading.errors import UsageError
from lading.serve.settings import Settings

if TYPE_CHECKING:
    from lading.serve.folder import Folder as Folder
    from lading.serve.storage import Memory as Memory
    from lading.serve.storage import Storage as Storage

__all__ = ["ASGI", "Folder", "Memory", "Storage", "app", "background", "open_storage", "running", "serve"]

_Message = MutableMapping[str, Any]
ASGI = Callable[[_Message, Callable[[], Awaitable[_Message]], Callable[[_Message], Awaitable[None]]], Awaitable[None]]
"""An application that any ASGI server runs."""


def app(storage: Storage | None = None) -> ASGI:
    """The registry as an ASGI application, for a server of one's own.

    Args:
        storage: what holds the content; memory if not given.

    Raises:
        UsageError: the packages that serving takes are not installed.
    """
    protocol = _load("protocol")
    application: ASGI = protocol.Registry(storage or open_storage(), Settings())
    return application


@asynccontextmanager
async def running(storage: Storage | None = None, address: str = "127.0.0.1:0") -> AsyncIterator[str]:
    """Run a registry on the current event loop while the context lasts.

    Args:
        storage: what holds the content; memory if not given.
        address: `HOST:PORT`; port 0 takes any that is free.

    Returns:
        The URL of the registry, such as `http://127.0.0.1:5000`.

    Raises:
        UsageError: the address is none of this machine, or packages are not installed.
        Conflict: the address is in use.
    """
    async with _load("server").running(app(storage), address) as url:
        yield url


@contextmanager
def background(storage: Storage | None = None, address: str = "127.0.0.1:0") -> Iterator[str]:
    """Run a registry on a thread of its own while the context lasts.

    It takes, gives and raises what `running` does.
    """
    with _load("server").background(app(storage), address) as url:
        yield url


def serve(
    storage: Storage | None = None,
    address: str = "127.0.0.1:5000",
    ready: Callable[[str], None] = lambda url: None,
) -> None:
    """Serve a registry until the process gets SIGINT or SIGTERM. Call it on the main thread.

    Args:
        storage: what holds the content; memory if not given.
        address: `HOST:PORT`; port 0 takes any that is free.
        ready: called with the URL when the registry answers.

    Raises:
        UsageError: the address is none of this machine, or packages are not installed.
        Conflict: the address is in use.
    """
    _load("server").serve(app(storage), address, ready)


def open_storage(name: str = "memory") -> Storage:
    """The storage with a name: `memory`, or the path of a folder.

    Raises:
        UsageError: there can be no such folder.
    """
    if name == "memory":
        from lading.serve.storage import Memory

        return Memory()
    from lading.serve.folder import Folder

    return Folder(name)


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
        ) from None


def __getattr__(name: str) -> Any:
    """The storages, imported when they are first used."""
    module = {"Folder": "folder", "Memory": "storage", "Storage": "storage"}.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"lading.serve.{module}"), name)
