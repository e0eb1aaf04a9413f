"""Docker's `config.json`: reading and changing it without losing anything in it. Knows files, and runs nothing.

The rules are docker/cli's (`cli/config`), as `docker login` and `docker pull` apply them.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lading.errors import UsageError
from lading.registry.config import DOCKER_HUB

HUB_KEY = "https://index.docker.io/v1/"
"""What Docker Hub's credentials are kept under."""

Entry = dict[str, Any]
"""What `auths` says of one registry."""


def default_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of `config.json`: `$DOCKER_CONFIG`, else `~/.docker`."""
    named = environ.get("DOCKER_CONFIG")
    return Path(named) if named else Path.home() / ".docker"


def server_key(registry: str) -> str:
    """What a registry is called in `auths`, in `credHelpers` and by helpers: its name, except for Docker Hub."""
    return HUB_KEY if registry.lower() in DOCKER_HUB else registry


def read(path: Path) -> dict[str, Any]:
    """The document in a configuration file; an empty one where there is no file.

    Raises:
        UsageError: it cannot be read, or is not a JSON object.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is not UTF-8 text"
        raise UsageError(f"{path} cannot be read", cause=reason.lower()) from None
    return decode(text, str(path))


def decode(text: str, where: str) -> dict[str, Any]:
    """Decode a configuration; `where` names it in an error. An empty text is an empty configuration.

    Raises:
        UsageError: it is not a JSON object, or the parts about credentials have the wrong types.
    """
    if not text.strip():
        return {}
    try:
        document = json.loads(text)
    except RecursionError:
        raise _corrupt(where, "it is nested too deeply") from None
    except json.JSONDecodeError as error:
        # The text itself may hold passwords: only say where.
        raise _corrupt(where, f"it is not JSON: line {error.lineno}, column {error.colno}") from None
    if not isinstance(document, dict):
        raise _corrupt(where, "it is not a JSON object")
    for key in ("auths", "credHelpers", "HttpHeaders"):
        value = document.get(key)
        if value is not None and not isinstance(value, dict):
            raise _corrupt(where, f"{key!r} is not an object")
    for registry, entry in (document.get("auths") or {}).items():
        if entry is not None and not isinstance(entry, dict):
            raise _corrupt(where, f"what 'auths' says of {registry!r} is not an object")
    for key in ("credHelpers", "HttpHeaders"):
        for name, value in (document.get(key) or {}).items():
            if not isinstance(value, str):
                raise _corrupt(where, f"what {key!r} says of {name!r} is not a text")
    if not isinstance(document.get("credsStore", ""), str):
        raise _corrupt(where, "'credsStore' is not a text")
    return document


def write(path: Path, document: Mapping[str, Any]) -> None:
    """Replace a configuration file atomically, readable by its owner only; a link stays a link.

    Raises:
        UsageError: it cannot be written; the old one is still there.
    """
    import tempfile

    target = Path(os.path.realpath(path))
    text = json.dumps(document, indent="\t", ensure_ascii=False) + "\n"
    temporary: str | None = None
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # mkstemp makes files that only the owner can read.
        descriptor, temporary = tempfile.mkstemp(prefix=f"{target.name}.", dir=target.parent)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        Path(temporary).replace(target)
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
        raise UsageError(f"{path} cannot be written", cause=(error.strerror or str(error)).lower()) from None


def find_entry(document: Mapping[str, Any], registry: str, repository: str | None = None) -> Entry | None:
    """What `auths` says of a registry.

    The most exact key counts: the repository's (`host/a/b`) and the namespaces' above it, as podman writes them;
    then the registry's own; then any in the form of an address (`https://host/v1/`), as old versions of Docker
    wrote them.
    """
    auths: dict[str, Entry | None] = document.get("auths") or {}
    if repository:
        parts = repository.split("/")
        for count in range(len(parts), 0, -1):
            entry = auths.get("/".join((registry, *parts[:count])))
            if entry:
                return entry
    entry = auths.get(server_key(registry))
    if entry:
        return entry
    wanted = _host(server_key(registry))
    for key, entry in auths.items():
        if entry and _host(key) == wanted:
            return entry
    return None


def remove_entries(document: dict[str, Any], registry: str) -> bool:
    """Remove everything that `auths` says of a registry as a whole; whether there was something."""
    auths = document.get("auths") or {}
    wanted = _host(server_key(registry))
    keys = [key for key in auths if _host(key) == wanted]
    for key in keys:
        del auths[key]
    return bool(keys)


def decode_auth(text: str, where: str) -> tuple[str, str]:
    """The user and the password in an `auth` value.

    Raises:
        UsageError: it is not the base64 of `user:password`.
    """
    try:
        decoded = base64.b64decode(text, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        raise _corrupt(where, "its 'auth' is not base64") from None
    username, colon, password = decoded.partition(":")
    if not colon or not username:
        raise _corrupt(where, "its 'auth' is not the base64 of user:password")
    return username, password.strip("\x00")


def encode_auth(username: str, password: str) -> str:
    """An `auth` value."""
    return base64.b64encode(f"{username}:{password}".encode()).decode("ascii")


def _host(key: str) -> str:
    """The host that a key of `auths` is about; of keys with a path other than `/v1/` and `/v2/`, the key itself."""
    bare = key.lower().removeprefix("https://").removeprefix("http://")
    host, _, path = bare.partition("/")
    if path.strip("/") not in {"", "v1", "v2"}:
        return bare
    return "index.docker.io" if host in DOCKER_HUB else host


def _corrupt(where: str, cause: str) -> UsageError:
    return UsageError(f"{where} is not a valid Docker configuration", cause=cause, remedy="repair or remove it")
