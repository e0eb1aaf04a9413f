"""Modules that others import and few commands use are loaded when they are first used; for the program only.

`asyncio` imports TLS and its enums, `click` the source code inspector, `msgspec` decimal numbers and a backport of
`typing`: together they take longer to load than a whole command takes to run. The program `lading` has such a module
stand there empty until somebody asks it for a name. It does so in its own process alone: who imports lading as a
library finds nothing changed. This module is loaded before anything else, so it imports next to nothing.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os
import sys
from _thread import RLock  # what `threading` has, which takes longer to import than all of this
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

TYPE_CHECKING = False  # that of `typing` takes longer to import
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.abc import Loader
    from traceback import StackSummary
    from types import FrameType
    from typing import Any

LATER = frozenset(
    {
        "array",
        "ast",
        "asyncio.sslproto",
        "asyncio.staggered",
        "base64",
        "binascii",
        "concurrent.futures",
        "decimal",
        "dis",
        "fnmatch",
        "gettext",
        "hashlib",
        "hmac",
        "html",
        "inspect",
        "ipaddress",
        "json",
        "lading.registry.failures",
        "linecache",
        "locale",
        "logging",
        "msgspec.inspect",
        "msgspec.msgpack",
        "msgspec.toml",
        "msgspec.yaml",
        "ntpath",
        "platform",
        "random",
        "shutil",
        "signal",
        "ssl",
        "subprocess",
        "tempfile",
        "textwrap",
        "tokenize",
        "traceback",
        "unicodedata",
        "uuid",
    }
)
"""What is loaded later. None of them does anything that others rely on by being loaded."""


def _gettext(message: str) -> str:
    """A message of click's as it is, as there is no translation of lading's own."""
    return message


def _ngettext(singular: str, plural: str, number: int) -> str:
    return singular if number == 1 else plural


def _cleandoc(doc: str) -> str:
    if "\n" not in doc:
        return doc.expandtabs().lstrip()
    from inspect import getdoc  # which loads it

    return str(getdoc(type("", (), {"__doc__": doc})))


def _extract_stack(f: FrameType | None = None, limit: int | None = None) -> StackSummary:
    import traceback

    stack = traceback.StackSummary.extract(traceback.walk_stack(f or sys._getframe(1)), limit=limit)  # noqa: SLF001
    stack.reverse()
    return stack


class _Logger:
    """A logger of `logging`, which is loaded when something is to be logged.

    Args:
        name: the logger's name.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def debug(self, *args: object, **kwargs: Any) -> None:
        """Log what nobody has asked for, unless somebody has loaded `logging`."""
        if not is_waiting(sys.modules["logging"]):
            self.__getattr__("debug")(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        """What the logger itself has."""
        import logging

        return getattr(logging.root.manager.getLogger(self._name), name)


_EARLY: dict[str, dict[str, object]] = {
    "concurrent.futures": {
        name: name for name in ("FIRST_COMPLETED", "FIRST_EXCEPTION", "ALL_COMPLETED")
    },  # `asyncio` has the same constants
    "gettext": {"gettext": _gettext, "ngettext": _ngettext},  # click takes them when it is imported
    "inspect": {"cleandoc": _cleandoc},  # click has it look at the help of each option
    "logging": {"getLogger": _Logger, "DEBUG": 10},  # `asyncio` has a logger
    "platform": {"system": lambda: os.uname().sysname},  # `uuid` asks when it is loaded
    # `asyncio.run` asks who handles Ctrl-C; `signal` would look for its enums first, and describe a task for that.
    "signal": {
        name: getattr(_signal, name)
        for name in ("SIGINT", "default_int_handler", "getsignal", "set_wakeup_fd", "signal")
    },
    "subprocess": {"PIPE": -1, "STDOUT": -2, "DEVNULL": -3},  # defaults of what `asyncio` defines
    "traceback": {"extract_stack": _extract_stack},  # `asyncio` takes it for its debug mode
}
"""Names that stand in such a module before it is loaded: what is asked for at once, and is known without it."""


class _Unused:
    """Stands for a type of values that lading has nowhere: not in JSON, and not on the command line."""

    unknown = None
    """Of the UUIDs that `msgspec` reads."""


_TYPES = {"decimal": ("Decimal",), "uuid": ("UUID", "SafeUUID")}
"""Such types by their modules: `msgspec` and click take them while they are loaded, and no others get `_Unused`."""


def is_waiting(module: ModuleType) -> bool:
    """Whether a module has not been loaded yet."""
    return _WAITING in module.__dict__


def load_later() -> None:
    """From now on, let the modules of `LATER` wait for their first use, those that are not loaded already."""
    sys.meta_path.insert(0, _Finder())


class _Finder:
    """Finds what is to be loaded later, and leaves all else to the finders after it."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, _target: ModuleType | None = None) -> ModuleSpec | None:
        """Find a module; None where this one has nothing to say of it.

        Raises:
            ModuleNotFoundError: it is not for the one who asks.
        """
        if name == "typing_extensions" and _is_loading("msgspec"):
            # It asks there for what `typing` has since Python 3.11, and asks `typing` next.
            raise ModuleNotFoundError(name=name)
        if name not in LATER:
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)  # type: ignore[assignment]  # one in all but its base class
        return spec


_LAST = {"click": "click.decorators", "msgspec": "msgspec.json"}
"""By library, its module that is loaded last: the ones before take something of other libraries."""


def _is_loading(library: str) -> bool:
    return library in sys.modules and _LAST[library] not in sys.modules


class _Loader:
    """Makes a module that loads itself."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Make it, empty."""
        return _Later(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Leave it so, with what will load it."""
        module.__dict__.update(_EARLY.get(module.__name__, {}))
        module.__dict__[_WAITING] = _Waiting(self._loader)


class _Waiting:
    """What a module is waiting with."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader
        self.lock = RLock()
        self.is_loading = False


_WAITING = "__lading_later__"


class _Later(ModuleType):
    """A module that is loaded when it is asked for a name that it does not have yet."""

    def __getattr__(self, name: str) -> object:
        """Load the module, where no other thread does so meanwhile, and ask it again."""
        if name in _TYPES.get(self.__name__, ()) and any(map(_is_loading, _LAST)):
            return _Unused
        waiting = self.__dict__.get(_WAITING)
        if waiting is not None and name != "__path__":
            with waiting.lock:
                # While it is loaded it is asked by itself, too, and has what it has by then.
                if not waiting.is_loading and _WAITING in self.__dict__:
                    _load(self, waiting)
        return ModuleType.__getattribute__(self, name)


def _load(module: ModuleType, waiting: _Waiting) -> None:
    """Load a module; of one that is not written in Python, its names are taken."""
    assert module.__spec__ is not None
    waiting.is_loading = True
    try:
        module.__loader__ = module.__spec__.loader = waiting.loader
        made = waiting.loader.create_module(module.__spec__)
        waiting.loader.exec_module(made or module)
        if made is not None:
            module.__dict__.update(made.__dict__)
        module.__class__ = ModuleType
        module.__dict__.pop(_WAITING, None)
    finally:
        waiting.is_loading = False
