"""lading's own configuration of registries: `config.toml`. Knows files, and nothing of HTTP.

```toml
[hosts."10.0.0.5:5000"]
insecure = true

[hosts."registry.example"]
ca_file = "ca.pem"
jobs = 4
```
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from lading.errors import UsageError

DOCKER_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")
"""The names of Docker Hub: the one in references, the one of credentials, the one of requests."""


class HostConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How lading talks to one host."""

    insecure: bool = False
    """Accept plain HTTP, and TLS that cannot be verified."""
    ca_file: str | None = None
    """A PEM file of authorities to trust beside the system's own."""
    jobs: int = 8
    """How many requests may be under way at once."""


class Config:
    """What is configured, by host.

    Args:
        hosts: configurations by the registry's name, such as `ghcr.io` or `10.0.0.5:5000`.
    """

    def __init__(self, hosts: Mapping[str, HostConfig] | None = None) -> None:
        self.hosts = {_canonical(host): config for host, config in (hosts or {}).items()}

    @classmethod
    def load(cls, path: Path | None = None) -> Config:
        """Read the configuration file. One that is not there is an empty one.

        Args:
            path: the file; None for `$LADING_CONFIG`, else `config.toml` in the user's folder for lading
                (`$XDG_CONFIG_HOME/lading` on Linux).

        Raises:
            UsageError: the file cannot be read, or has a key or a value that lading does not know.
        """
        path = path or default_path()
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return cls()
        except (OSError, UnicodeDecodeError) as error:
            raise _invalid(path, f"it cannot be read: {_why(error)}") from None

        import tomllib

        try:
            document = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise _invalid(path, f"it is not TOML: {error}") from None
        for key in document:
            if key != "hosts":
                raise _invalid(path, f"the key {key!r} is unknown", "the keys are: hosts")
        hosts = document.get("hosts", {})
        if not isinstance(hosts, dict):
            raise _invalid(path, "'hosts' is not a table")
        return cls({host: _host_config(path, host, values) for host, values in hosts.items()})

    def for_host(self, host: str) -> HostConfig:
        """The configuration of a registry, by its name with port; defaults where nothing is configured."""
        return self.hosts.get(_canonical(host), _DEFAULT)


def default_path() -> Path:
    """Where the configuration file is looked for."""
    if named := os.environ.get("LADING_CONFIG"):
        return Path(named)
    return user_folder("config") / "config.toml"


def user_folder(kind: Literal["config", "cache"]) -> Path:
    """Where lading keeps what is the user's: as `platformdirs` says, which on Linux need not be loaded for it."""
    if sys.platform == "linux":
        named = os.environ.get(f"XDG_{kind.upper()}_HOME", "").strip()
        base = Path(named) if named.startswith("/") else Path.home() / f".{kind}"
        return base / "lading"
    else:
        import platformdirs

        find = platformdirs.user_config_path if kind == "config" else platformdirs.user_cache_path
        return find("lading", appauthor=False)


_DEFAULT = HostConfig()


def _canonical(host: str) -> str:
    host = host.lower()
    return DOCKER_HUB[0] if host in DOCKER_HUB else host


def _host_config(path: Path, host: str, values: Any) -> HostConfig:
    where = f'hosts."{host}"'
    if not isinstance(values, dict):
        raise _invalid(path, f"{where} is not a table")
    known = HostConfig.__struct_fields__
    for key in values:
        if key not in known:
            raise _invalid(path, f"the key {where}.{key} is unknown", f"the keys of a host are: {', '.join(known)}")
    try:
        config = msgspec.convert(values, HostConfig)
    except msgspec.ValidationError as error:
        what, _, key = str(error).partition(" - at `$.")
        raise _invalid(path, f"{where}.{key.rstrip('`')}: {what[:1].lower()}{what[1:]}") from None
    if config.jobs < 1:
        raise _invalid(path, f"{where}.jobs: at least 1 is needed")
    if config.ca_file is not None:
        file = path.parent / Path(config.ca_file).expanduser()
        if not file.is_file():
            raise _invalid(path, f"{where}.ca_file: there is no file {file}")
        config = msgspec.structs.replace(config, ca_file=str(file))
    return config


def _why(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or str(error)).lower() if isinstance(error, OSError) else "it is not UTF-8 text"


def _invalid(path: Path, cause: str, remedy: str | None = None) -> UsageError:
    return UsageError(f"{path} is not a valid configuration", cause=cause, remedy=remedy)
