"""The configuration of all hosts: which of several settings counts, and which place has it. It sends nothing.

For each setting the first place that says something counts: what is given for this run (`Override`), lading's own
`config.toml`, `certs.d` of Docker and podman, podman's `registries.conf`, and the default.

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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import structs

from lading.errors import Denied, UsageError
from lading.folders import user_folder
from lading.registry.hosts.certs_d import certified_hosts, find_certificates
from lading.registry.hosts.registries_conf import Endpoint, RegistriesConf, RegistryTable
from lading.registry.hosts.settings import DEFAULTS, DOCKER_HUB, HostConfig, Mirror, Override, Setting, canonical


class Alternative(msgspec.Struct, frozen=True):
    """Where a repository is, or may be: a registry, and the repository's name there."""

    registry: str
    repository: str
    insecure: bool = False
    """Whether what names this place accepts plain HTTP and unverifiable TLS for it."""


class Config:
    """What is configured, by host.

    Args:
        hosts: configurations by the registry's name, such as `ghcr.io` or `10.0.0.5:5000`; `*` for what the others
            leave open.
        aliases: short names, each with the `registry/repository` it stands for.
        override: what counts over all others.
        others: whether Docker's and podman's files are looked at, too.
    """

    def __init__(
        self,
        hosts: Mapping[str, HostConfig] | None = None,
        *,
        aliases: Mapping[str, str] | None = None,
        override: Override | None = None,
        others: bool = False,
    ) -> None:
        self.hosts: dict[str, HostConfig] = {canonical(host): config for host, config in (hosts or {}).items()}
        self.aliases: dict[str, str] = dict(aliases or {})
        self.override: Override = override or Override()
        self._said = {host: _said(config) for host, config in self.hosts.items()}
        self._source = "the program"
        self._others = others
        self._registries_conf: RegistriesConf | None = None
        self._known: dict[tuple[str, bool], dict[str, Setting]] = {}
        self._configs: dict[tuple[str, bool], HostConfig] = {}
        self._alternatives: dict[tuple[str, str, str | None], tuple[Alternative, ...]] = {}

    @classmethod
    def load(cls, path: Path | None = None, *, override: Override | None = None, others: bool = True) -> Config:
        """Read the configuration file. One that is not there is an empty one, unless `$LADING_CONFIG` names it.

        Args:
            path: the file; None for `$LADING_CONFIG`, else `config.toml` in the user's folder for lading
                (`$XDG_CONFIG_HOME/lading` on Linux).
            override: what counts over all others.
            others: whether Docker's and podman's files are looked at, too.

        Raises:
            UsageError: the file cannot be read, or has a key or a value that lading does not know.
        """
        named = None if path is not None else os.environ.get("LADING_CONFIG")
        path = path or default_path()
        if _is_absent(path):
            if named:
                raise UsageError(
                    f"{path} cannot be read",
                    cause="LADING_CONFIG names it, and there is no such file",
                    remedy="correct the variable, or unset it",
                )
            return cls(override=override, others=others)
        from lading.registry.hosts.config_toml import read_config_file

        file = read_config_file(path)
        config = cls(
            {host: settings for host, (settings, _) in file.hosts.items()},
            aliases=file.aliases,
            override=override,
            others=others,
        )
        config._said = {
            canonical(host): {key: getattr(settings, key) for key in keys}
            for host, (settings, keys) in file.hosts.items()
        }
        config._source = str(path)
        return config

    def for_host(self, host: str, *, named: bool = True) -> HostConfig:
        """The configuration of a registry, by its name with port; defaults where nothing is configured.

        Args:
            host: its name.
            named: whether the caller asked for it; False for a mirror, a token service, and the target of a redirect.

        Raises:
            UsageError: a file of Docker's or podman's is not valid.
        """
        key = (canonical(host), named)
        if key not in self._configs:
            values = {name: setting.value for name, setting in self.settings(host, named=named).items()}
            self._configs[key] = HostConfig(**values)
        return self._configs[key]

    def settings(self, host: str, *, named: bool = True) -> dict[str, Setting]:
        """Every setting of a registry, with the place that has it; see `for_host`."""
        name = canonical(host)
        if (name, named) not in self._known:
            layers = [self._given(named), self._configured(name), self._configured("*")]
            if self._others:
                layers += [_certificates(name), self._of_registries_conf(name)]
            default = {key: Setting(getattr(DEFAULTS, key), "default") for key in HostConfig.__struct_fields__}
            settings: dict[str, Setting] = {}
            for layer in (*layers, default):
                # A certificate and its key are one thing: they come from the same place.
                taken = {"cert_file", "key_file"} if "cert_file" in settings else set()
                settings |= {key: layer[key] for key in layer if key not in settings and key not in taken}
            settings.setdefault("key_file", Setting(None, settings["cert_file"].source))
            self._known[name, named] = {key: settings[key] for key in HostConfig.__struct_fields__}
        return self._known[name, named]

    def alternatives(
        self, registry: str, repository: str, by: Literal["digest", "tag"] | None
    ) -> tuple[Alternative, ...]:
        """Where a repository may be, in the order in which they are asked; the last one decides.

        Args:
            registry: its registry's name.
            repository: its name there.
            by: how what is read is asked for; None where something is written, or must not come from a mirror.

        Raises:
            Denied: the registry is blocked.
            UsageError: a file of Docker's or podman's is not valid.
        """
        key = (registry, repository, by)
        if key not in self._alternatives:
            self._alternatives[key] = self._find_alternatives(registry, repository, by)
        return self._alternatives[key]

    def _find_alternatives(
        self, registry: str, repository: str, by: Literal["digest", "tag"] | None
    ) -> tuple[Alternative, ...]:
        host = self.settings(registry)
        entry = self._conf().find(f"{registry}/{repository}") if self._others else None
        _check_blocked(registry, host["blocked"], entry)
        itself = _itself(registry, repository, host, entry)
        if by is None:
            return (itself,)
        if entry is None or not self._is_of_registries_conf(host["mirrors"]):
            mirrors: Sequence[Endpoint] = [_endpoint(mirror) for mirror in host["mirrors"].value]
            cut = len(registry)
        else:
            mirrors, cut = entry.mirrors, entry.match(f"{registry}/{repository}") or 0
            if entry.origin.location and not host["path_prefix"].value:
                itself = _below(entry.origin, f"{registry}/{repository}"[cut:])
        found = [_below(mirror, f"{registry}/{repository}"[cut:]) for mirror in mirrors if mirror.pull in ("all", by)]
        if found and not host["fallback"].value:
            return tuple(found)
        return (*found, itself)

    def _is_of_registries_conf(self, setting: Setting) -> bool:
        """Whether no place but `registries.conf` has a setting: then the entry of the repository itself counts."""
        theirs = [entry.source for entry in self._conf().entries] if self._others else []
        return setting.source in ("default", *theirs)

    def expand(self, name: str) -> str:
        """A reference with its short name replaced by what that is an alias of; any other as it is.

        Raises:
            UsageError: a file of podman's is not valid.
        """
        bare = name.partition("@")[0]
        head, colon, tag = bare.rpartition(":")
        short = head if colon and "/" not in tag else bare
        found = self.aliases.get(short)
        if found is None and self._others:
            found = self._conf().aliases.get(short, ("", ""))[0]
        return found + name[len(short) :] if found else name

    def names(self) -> list[str]:
        """Every host of which a file says something; `*` for what holds for all others."""
        said = [*self._said]
        if self._others:
            said += [canonical(host) for host in certified_hosts()]
            for entry in self._conf().entries:
                place = entry.prefix if entry.prefix.startswith("*.") else _host_of(entry.prefix)
                said.append(canonical(place))
        return list(dict.fromkeys(said))

    def all_aliases(self) -> dict[str, str]:
        """Short names, each with what it stands for."""
        theirs = {name: value for name, (value, _) in self._conf().aliases.items()} if self._others else {}
        return theirs | self.aliases

    def _given(self, named: bool) -> dict[str, Setting]:
        given = {}
        if self.override.insecure:
            given["insecure"] = Setting(True, "given as insecure")
        if self.override.ca_file is not None:
            given["ca_file"] = Setting((self.override.ca_file,), "given as ca_file")
        if self.override.cert_file is not None and named:
            given["cert_file"] = Setting(self.override.cert_file, "given as cert_file")
            key = "key_file" if self.override.key_file else "cert_file"
            given["key_file"] = Setting(self.override.key_file, f"given as {key}")
        return given

    def _configured(self, host: str) -> dict[str, Setting]:
        where = f'{self._source}, hosts."{host}"'
        return {key: Setting(value, where) for key, value in self._said.get(host, {}).items()}

    def _of_registries_conf(self, host: str) -> dict[str, Setting]:
        entry = self._conf().find(host)
        if entry is None:
            return {}
        said: dict[str, Any] = {}
        if entry.origin.insecure and _host_of(entry.origin.location or host) == host:
            said["insecure"] = True
        if entry.blocked:
            said["blocked"] = True
        if entry.mirrors:
            said["mirrors"] = tuple(_mirror(mirror) for mirror in entry.mirrors)
        return {key: Setting(value, entry.source) for key, value in said.items()}

    def _conf(self) -> RegistriesConf:
        if self._registries_conf is None:
            self._registries_conf = RegistriesConf.load()
        return self._registries_conf


def default_path() -> Path:
    """Where the configuration file is looked for."""
    if named := os.environ.get("LADING_CONFIG"):
        return Path(named)
    return user_folder("config") / "config.toml"


def _is_absent(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:  # reading it says what is wrong
        pass
    return False


def _said(config: HostConfig) -> dict[str, Any]:
    values = {key: getattr(config, key) for key in HostConfig.__struct_fields__}
    return {key: value for key, value in values.items() if value != getattr(DEFAULTS, key)}


def _certificates(host: str) -> dict[str, Setting]:
    found = find_certificates(DOCKER_HUB if host == DOCKER_HUB[0] else (host,))
    if found is None:
        return {}
    source = str(found.folder)
    said = {"ca_file": Setting(found.ca_files, source)} if found.ca_files else {}
    if found.cert_file is not None:
        said |= {"cert_file": Setting(found.cert_file, source), "key_file": Setting(found.key_file, source)}
    return said


def _check_blocked(registry: str, blocked: Setting, entry: RegistryTable | None) -> None:
    if entry is not None and entry.blocked and blocked.source == "default":
        blocked = Setting(True, entry.source)
    if blocked.value:
        raise Denied(f"{registry} is blocked: nothing was sent", cause=f"{blocked.source} says so")


def _itself(registry: str, repository: str, host: Mapping[str, Setting], entry: RegistryTable | None) -> Alternative:
    """The place of a repository at its own registry, where it is also written."""
    prefix = host["path_prefix"].value
    itself = Alternative(registry, f"{prefix}/{repository}" if prefix else repository)
    if entry is not None and host["insecure"].source == "default":
        is_here = _host_of(entry.origin.location or registry) == registry
        itself = structs.replace(itself, insecure=is_here and entry.origin.insecure)
    return itself


def _endpoint(mirror: str | Mirror) -> Endpoint:
    if isinstance(mirror, str):
        return Endpoint(mirror)
    return Endpoint(mirror.location, pull=mirror.pull)


def _mirror(endpoint: Endpoint) -> str | Mirror:
    return endpoint.location if endpoint.pull == "all" else Mirror(endpoint.location, endpoint.pull)


def _below(endpoint: Endpoint, rest: str) -> Alternative:
    """The place of what is below an endpoint; `rest` begins with a slash, or is empty."""
    registry, _, repository = (endpoint.location + rest).partition("/")
    return Alternative(canonical(registry), repository, endpoint.insecure)


def _host_of(location: str) -> str:
    return location.partition("/")[0]
