"""Docker's `config.json`: reading and changing it without losing anything in it. Knows files, and runs nothing.

The rules are docker/cli's (`cli/config`), as `docker login` and `docker pull` apply them. Podman's `auth.json` has the
same form (containers-auth.json(5)), with keys that may name a namespace or a repository.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lading.errors import LadingError, UsageError, way_on
from lading.folders import NOWHERE, home
from lading.model.encoding import respelled
from lading.registry.auth.credentials import depth, rank, split_key

_FIELDS = ("auths", "credHelpers", "credsStore", "HttpHeaders")
_AUTH_FIELDS = ("auth", "username", "password", "identitytoken", "registrytoken")

AuthEntry = dict[str, Any]
"""What `auths` says of one registry."""


def default_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of `config.json`: `$DOCKER_CONFIG`, else `~/.docker`."""
    named = environ.get("DOCKER_CONFIG")
    return Path(named) if named else home(environ) / ".docker"


def docker_file(folder: Path | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """Docker's `config.json`, in a folder or where Docker looks for it."""
    return (folder or default_directory(environ)) / "config.json"


def docker_headers(folder: Path | None = None) -> dict[str, str]:
    """The `HttpHeaders` in Docker's `config.json`, without `User-Agent`: every request to a registry has them.

    Args:
        folder: the folder of `config.json`; by default `$DOCKER_CONFIG`, else `~/.docker`.

    Raises:
        UsageError: the file is corrupt.
    """
    headers: dict[str, str] = read(docker_file(folder)).get("HttpHeaders") or {}
    return {name: value for name, value in headers.items() if name.lower() != "user-agent"}


def read(path: Path) -> dict[str, Any]:
    """The document in a configuration file; an empty one where there is no file.

    Raises:
        UsageError: it cannot be read, or is not a JSON object.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is not UTF-8 text"
        remedy = way_on(error) if isinstance(error, OSError) else "repair or remove it"
        raise UsageError(f"{path} cannot be read", cause=reason.lower(), remedy=remedy) from None
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
    document = respelled(document, _FIELDS)
    _check(document, where)
    if auths := document.get("auths"):
        document["auths"] = {key: entry and respelled(entry, _AUTH_FIELDS) for key, entry in auths.items()}
    return document


def _check(document: Mapping[str, Any], where: str) -> None:
    """Check the types of the parts about credentials and headers."""
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


def check_writable(path: Path) -> None:
    """See that a configuration file can be written, as far as that can be told without writing.

    Raises:
        UsageError: it cannot.
    """
    target = Path(os.path.realpath(path))
    if NOWHERE in target.parents:
        raise UsageError(
            "there is nowhere to keep credentials",
            cause="this user has no home, and neither DOCKER_CONFIG nor REGISTRY_AUTH_FILE is set",
            remedy="set HOME, or DOCKER_CONFIG to a folder",
        )
    _check_file(target, path)
    folder = next(parent for parent in target.parents if parent.exists())
    if target.is_dir() or not folder.is_dir():
        number = errno.EISDIR if target.is_dir() else errno.ENOTDIR
    elif not os.access(folder, os.W_OK | os.X_OK):
        number = errno.EROFS if os.statvfs(folder).f_flag & os.ST_RDONLY else errno.EACCES
    else:
        return
    error = OSError(number, os.strerror(number))
    raise UsageError(f"{path} cannot be written", cause=os.strerror(number).lower(), remedy=way_on(error))


def write(path: Path, document: Mapping[str, Any]) -> None:
    """Replace a configuration file atomically, readable by its owner only; a link stays a link.

    Raises:
        LadingError: it cannot be written; the old one is still there.
        UsageError: it is a device or a pipe.
    """
    import tempfile

    target = Path(os.path.realpath(path))
    _check_file(target, path)
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
        cause = (error.strerror or str(error)).lower()
        raise LadingError(f"{path} cannot be written", cause=cause, remedy=way_on(error)) from None


def _check_file(target: Path, path: Path) -> None:
    """See that no device is replaced, such as `/dev/null`."""
    if target.exists() and not (target.is_file() or target.is_dir()):
        raise UsageError(
            f"{path} cannot be written", cause="it is a device or a pipe", remedy="name a file to keep credentials in"
        )


def matching(table: Mapping[str, Any] | None, registry: str, repository: str | None) -> list[tuple[int, str]]:
    """The keys of a table, such as `auths`, that are about a repository: each with its depth, the deepest first.

    Of keys that mean the same, the order is always the same, however the file is written.
    """
    found = [(found, key) for key in table or {} if (found := depth(key, registry, repository)) is not None]
    return sorted(found, key=lambda match: (-match[0], rank(match[1], registry)))


def remove_entries(document: dict[str, Any], key: str) -> bool:
    """Remove what `auths` says under a key, in any of its spellings; whether there was something."""
    auths = document.get("auths") or {}
    same = [known for known in auths if split_key(known) == split_key(key)]
    for known in same:
        del auths[known]
    return bool(same)


def decode_auth(text: str, where: str) -> tuple[str, str]:
    """The user and the password in an `auth` value, which may be broken into lines (as Go reads base64).

    Raises:
        UsageError: it is not the base64 of `user:password`.
    """
    try:
        decoded = base64.b64decode(text.replace("\r", "").replace("\n", ""), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        raise _corrupt(where, "its 'auth' is not base64") from None
    username, colon, password = decoded.partition(":")
    if not colon or not username:
        raise _corrupt(where, "its 'auth' is not the base64 of user:password")
    return username, password.strip("\x00")


def encode_auth(username: str, password: str) -> str:
    """An `auth` value."""
    return base64.b64encode(f"{username}:{password}".encode()).decode("ascii")


def _corrupt(where: str, cause: str) -> UsageError:
    return UsageError(f"{where} is not a valid Docker configuration", cause=cause, remedy="repair or remove it")
