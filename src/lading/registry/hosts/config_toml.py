"""Reading lading's `config.toml`: what is wrong in it is said with its file, its table and its key."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from lading.errors import UsageError
from lading.registry.hosts.settings import HostConfig, Mirror

_KEYS = ("hosts", "aliases", "warm")
_FILES = ("ca_file", "cert_file", "key_file")
_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_LEAST_CHUNK = 64 * 1024


class ConfigFile(msgspec.Struct, frozen=True):
    """What a file says."""

    hosts: dict[str, tuple[HostConfig, tuple[str, ...]]]
    """The configuration of each host, and which of its keys are in the file."""
    aliases: dict[str, str]


def read_config_file(path: Path) -> ConfigFile:
    """Read a configuration file; one that is not there says nothing.

    Args:
        path: the file.

    Raises:
        UsageError: it cannot be read, or has a key or a value that lading does not know.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ConfigFile({}, {})
    except (OSError, UnicodeDecodeError) as error:
        raise _invalid(path, f"it cannot be read: {_why(error)}") from None

    import tomllib

    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise _invalid(path, f"it is not TOML: {error}") from None
    for key in document:
        if key not in _KEYS:
            raise _unknown(path, key, _KEYS, "the keys")
    # What it says is heeded before the command line is loaded: see `lading.warm`.
    if not isinstance(document.get("warm", False), bool):
        raise _invalid(path, "'warm' is neither true nor false")
    hosts = document.get("hosts", {})
    if not isinstance(hosts, dict):
        raise _invalid(path, "'hosts' is not a table")
    aliases = document.get("aliases", {})
    if not isinstance(aliases, dict) or not all(isinstance(value, str) for value in aliases.values()):
        raise _invalid(path, "'aliases' is not a table of names")
    for name, value in aliases.items():
        if not re.fullmatch(r"[^/\s:@]+(:\d+)?(/[^/\s:@]+)+", value):
            raise _invalid(path, f"aliases.{name}: {value!r} is not REGISTRY/REPOSITORY")
    return ConfigFile({host: _host(path, host, values) for host, values in hosts.items()}, aliases)


def _host(path: Path, host: str, values: Any) -> tuple[HostConfig, tuple[str, ...]]:
    where = f'hosts."{host}"'
    if "/" in host or not host.strip():
        raise _invalid(path, f"{where} is no host", "expected HOST[:PORT], or * for all others")
    if not isinstance(values, dict):
        raise _invalid(path, f"{where} is not a table")
    known = HostConfig.__struct_fields__
    for key in values:
        if key not in known:
            raise _unknown(path, f"{where}.{key}", known, "the keys of a host")
    values = dict(values)
    if isinstance(values.get("chunk_size"), str):
        values["chunk_size"] = _size(path, f"{where}.chunk_size", values["chunk_size"])
    try:
        config = msgspec.convert(values, HostConfig)
    except msgspec.ValidationError as error:
        what, _, key = str(error).partition(" - at `$.")
        key = key.rstrip("`") or "mirrors"
        raise _invalid(path, f"{where}.{key}: {what[:1].lower()}{what[1:]}") from None
    _check(path, where, config)
    return _with_paths(path, where, config), tuple(values)


def _with_paths(path: Path, where: str, config: HostConfig) -> HostConfig:
    """A configuration whose files have their full paths: in the file a path begins at the file's own folder."""
    changes: dict[str, Any] = {}
    for name in _FILES:
        value = getattr(config, name)
        if value:
            found = tuple(
                _file(path, f"{where}.{name}", file) for file in ((value,) if isinstance(value, str) else value)
            )
            changes[name] = found if name == "ca_file" else found[0]
    if config.credentials not in (None, "none"):
        changes["credentials"] = str(path.parent / Path(config.credentials or "").expanduser())
    return msgspec.structs.replace(config, **changes)


def _check(path: Path, where: str, config: HostConfig) -> None:
    # One list of rules, each with its message: the first that is broken is told, so the order is seen here.
    if config.jobs < 1:
        raise _invalid(path, f"{where}.jobs: at least 1 is needed")
    if config.requests_per_second is not None and not 0 < config.requests_per_second < float("inf"):
        raise _invalid(path, f"{where}.requests_per_second: more than 0 is needed")
    if config.chunk_size is not None and config.chunk_size < _LEAST_CHUNK:
        raise _invalid(path, f"{where}.chunk_size: at least 64KiB is needed")
    if config.key_file is not None and config.cert_file is None:
        raise _invalid(path, f"{where}.key_file: it is the key of no certificate", "add cert_file")
    if config.path_prefix and not _is_path(config.path_prefix):
        raise _invalid(path, f"{where}.path_prefix: {config.path_prefix!r} is no path of a repository")
    for mirror in config.mirrors:
        location = mirror.location if isinstance(mirror, Mirror) else mirror
        if not _is_location(location):
            raise _invalid(path, f"{where}.mirrors: {location!r} is not HOST[:PORT][/PATH]")
    for name, value in config.headers.items():
        if not _is_field(name, value):
            raise _invalid(path, f"{where}.headers.{name!r} is no header field")  # the value may be a secret
    if config.insecure and config.ca_files:
        raise _invalid(
            path, f"{where}: insecure accepts any certificate, and ca_file says which ones", "leave one of them out"
        )


def _is_location(text: str) -> bool:
    """Whether a text is `HOST[:PORT][/PATH]`."""
    registry, slash, prefix = text.partition("/")
    if not re.fullmatch(r"[A-Za-z0-9._-]+(:\d+)?|\[[0-9a-fA-F:]+\](:\d+)?", registry):
        return False
    return not slash or _is_path(prefix)


def _is_field(name: str, value: str) -> bool:
    """Whether a header can have this name and this value (RFC 9110 §5)."""
    is_token = re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) is not None
    return is_token and re.fullmatch(r"[^\r\n\0]*", value) is not None


def _is_path(text: str) -> bool:
    return re.fullmatch(r"[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*", text) is not None


def _file(path: Path, where: str, name: str) -> str:
    file = path.parent / Path(name).expanduser()
    if not file.is_file():
        raise _invalid(path, f"{where}: there is no file {file}")
    return str(file)


def _size(path: Path, where: str, text: str) -> int:
    match = re.fullmatch(r"(\d+)\s*([kmg]?i?b?)", text.strip(), re.IGNORECASE)
    unit = match[2].lower() if match else "?"
    factor = _UNITS.get(unit) or _UNITS.get(f"{unit}b")
    if match is None or factor is None:
        raise _invalid(path, f"{where}: {text!r} is no size", "sizes are such as 8MiB, 100MB or 1048576")
    return int(match[1]) * factor


def _unknown(path: Path, key: str, known: Iterable[str], what: str) -> UsageError:
    from difflib import get_close_matches

    known = tuple(known)
    close = get_close_matches(key.rpartition(".")[2], known, n=1)
    remedy = f"did you mean {close[0]!r}?" if close else f"{what} are: {', '.join(known)}"
    return _invalid(path, f"the key {key if '.' in key else repr(key)} is unknown", remedy)


def _why(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or str(error)).lower() if isinstance(error, OSError) else "it is not UTF-8 text"


def _invalid(path: Path, cause: str, remedy: str | None = None) -> UsageError:
    return UsageError(f"{path} is not a valid configuration", cause=cause, remedy=remedy)
