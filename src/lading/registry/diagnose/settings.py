"""The configuration that counts, with the place of each setting: to be shown, without its secrets."""

from __future__ import annotations

import os
from typing import Any

import msgspec

from lading.model.document import Result
from lading.registry.hosts.configuration import Config, default_path
from lading.registry.hosts.proxies import find_proxy, masked
from lading.registry.hosts.settings import DOCKER_HUB, HostConfig, Mirror


class SettingDocument(Result, msgspec.Struct, frozen=True):
    """One setting of a host."""

    name: str
    """Its key in `config.toml`, or `proxy` or `address`."""
    value: str | int | float | bool | list[str] | dict[str, str] | None
    """What counts; secrets are `***`."""
    source: str
    """Who says so: a file with its table, a folder, an option, a variable, or `default`."""


class HostDocument(Result, msgspec.Struct, frozen=True):
    """How a host is spoken to."""

    host: str
    """Its name; `*` for what holds for all others."""
    settings: list[SettingDocument]
    """Its settings."""
    problem: str | None = None
    """Why nothing is sent to it, where that is so."""


class ConfigDocument(Result, msgspec.Struct, frozen=True):
    """What is configured."""

    file: str
    """lading's own configuration file."""
    exists: bool
    """Whether it is there."""
    hosts: list[HostDocument]
    """The host that was asked for, with all of its settings; or every host of which something is said, with that."""
    aliases: dict[str, str]
    """Short names, each with what it stands for."""


def effective(config: Config, host: str | None = None) -> ConfigDocument:
    """The configuration of a host, or of all.

    Args:
        config: the configuration.
        host: the host; None for every one of which something is said.

    Raises:
        UsageError: a file is not valid.
    """
    path = default_path()
    if host is not None:
        hosts = [_host(config, host, whole=True)]
    else:
        hosts = [_host(config, name, whole=False) for name in config.names()]
    return ConfigDocument(file=str(path), exists=path.exists(), hosts=hosts, aliases=config.all_aliases())


def _host(config: Config, host: str, *, whole: bool) -> HostDocument:
    settings = config.settings(host)
    shown = [
        SettingDocument(name, _shown(name, setting.value), setting.source)
        for name, setting in settings.items()
        if whole or setting.source != "default"
    ]
    if host != "*":
        shown += _ways(config, host)
    blocked = settings["blocked"]
    return HostDocument(host, shown, f"blocked by {blocked.source}" if blocked.value else None)


def _ways(config: Config, host: str) -> list[SettingDocument]:
    """What leads to a host: an address that was given for it, or a proxy of the environment."""
    name = DOCKER_HUB[2] if host == DOCKER_HUB[0] else host
    found = [
        SettingDocument("address", address, "given as addresses")
        for where, address in config.override.addresses.items()
        if where in (name, f"{name}:443")
    ]
    for scheme in () if found else ("https", "http"):
        proxy = find_proxy(scheme, name, os.environ)
        if proxy is not None:
            found.append(SettingDocument(f"{scheme}_proxy", masked(proxy.url), proxy.variable))
    return found


def _shown(name: str, value: Any) -> Any:
    if name == "headers":
        return dict.fromkeys(value, "***")
    if name == "mirrors":
        return [_mirror(mirror) for mirror in value]
    if name == "ca_file":
        return list(HostConfig(ca_file=value).ca_files)
    return value


def _mirror(mirror: str | Mirror) -> str:
    if isinstance(mirror, str):
        return mirror
    return mirror.location if mirror.pull == "all" else f"{mirror.location} (by {mirror.pull})"
