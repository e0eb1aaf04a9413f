"""podman's `registries.conf`: which places stand for a name. Knows files, and nothing of HTTP.

Read as podman reads it (containers/image, `sysregistriesv2`): one file, the user's own or the system's or the one named
by `CONTAINERS_REGISTRIES_CONF`, and drop-ins over it, from both `registries.conf.d`. Honoured are `[[registry]]` with
`prefix`, `location`, `insecure`, `blocked`, `mirror-by-digest-only` and its mirrors with `pull-from-mirror`, and
`[aliases]`; not the list of aliases that distributions ship (`shortnames.conf`), which would give `fedora` another
meaning than Docker's, nor `unqualified-search-registries`, since a name without a registry is Docker Hub's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from lading.errors import UsageError
from lading.folders import home

SYSTEM = Path("/etc/containers/registries.conf")
_SHIPPED_ALIASES = "shortnames.conf"
_PULLS: dict[str, Literal["all", "digest", "tag"]] = {
    "": "all",
    "all": "all",
    "digest-only": "digest",
    "tag-only": "tag",
}


class Endpoint(msgspec.Struct, frozen=True):
    """A place that stands for the names of an entry."""

    location: str
    """`HOST[:PORT][/PATH]`; empty for the name as it is."""
    insecure: bool = False
    pull: Literal["all", "digest", "tag"] = "all"
    """What is taken from it: `all`, or only what is asked for by `digest` or by `tag`."""


class RegistryTable(msgspec.Struct, frozen=True):
    """What is said of the names that begin with a prefix."""

    prefix: str
    origin: Endpoint
    """Where they are."""
    mirrors: tuple[Endpoint, ...] = ()
    """Where to look before that."""
    blocked: bool = False
    source: str = ""
    """The file that says so."""

    def match(self, name: str) -> int | None:
        """How much of a name the prefix is; None for nothing.

        Args:
            name: `registry/repository`.
        """
        if self.prefix.startswith("*."):
            start = name.find(self.prefix[1:])
            end = start + len(self.prefix) - 1
            if start < 0 or "/" in name[:start]:
                return None
        elif name.startswith(self.prefix):
            end = len(self.prefix)
        else:
            return None
        return end if end == len(name) or name[end] == "/" else None


class RegistriesConf(msgspec.Struct, frozen=True):
    """All that the files say."""

    entries: tuple[RegistryTable, ...] = ()
    aliases: Mapping[str, tuple[str, str]] = {}
    """Short names, each with the `registry/repository` it stands for and the file that says so."""

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> RegistriesConf:
        """Read the files. None of them has to be there, but the one that the environment names.

        Raises:
            UsageError: one cannot be read, or says what podman would not take, either.
        """
        entries: dict[str, RegistryTable] = {}
        aliases: dict[str, tuple[str, str]] = {}
        for path, is_required in _files(os.environ if environ is None else environ):
            document = _document(path, is_required)
            found = [_entry(path, table) for table in _tables(path, document, "registry")]
            found += _old_entries(path, document)
            seen: set[str] = set()
            for entry in found:
                if entry.prefix not in seen:  # in one file the first counts, of several files the last
                    entries[entry.prefix] = entry
                    seen.add(entry.prefix)
            if not path.name.endswith(_SHIPPED_ALIASES):
                aliases |= _aliases(path, document)
        return cls(tuple(entries.values()), {name: value for name, value in aliases.items() if value[0]})

    def find(self, name: str) -> RegistryTable | None:
        """The entry for a name, `registry/repository`: the one with the longest prefix."""
        matching = [entry for entry in self.entries if entry.match(name) is not None]
        return max(matching, key=lambda entry: len(entry.prefix), default=None)


def _files(environ: Mapping[str, str]) -> Iterable[tuple[Path, bool]]:
    """Every file in the order in which they count, and whether it has to be there."""
    user = home(environ) / ".config" / "containers"
    named = environ.get("CONTAINERS_REGISTRIES_CONF")
    own = user / SYSTEM.name
    folders = [SYSTEM.with_suffix(".conf.d"), user / "registries.conf.d"]
    if named:
        yield Path(named), True
    elif own.exists():
        yield own, False
        del folders[0]
    else:
        yield SYSTEM, False
    for folder in folders:
        try:
            files = sorted(folder.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise _invalid(folder, (error.strerror or "it cannot be read").lower()) from None
        yield from ((file, False) for file in files if file.suffix == ".conf")


def _document(path: Path, is_required: bool) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if not is_required:
            return {}
        raise _invalid(path, "CONTAINERS_REGISTRIES_CONF names it, and there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else None
        raise _invalid(path, (why or "it is not UTF-8 text").lower()) from None
    # Most of these files say nothing of what is asked for here, and a parser takes its time.
    tables = set(re.findall(r"^\s*\[+\s*(\w+)", text, re.MULTILINE))
    if path.name.endswith(_SHIPPED_ALIASES):
        tables.discard("aliases")
    if not tables:
        return {}

    import tomllib

    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise _invalid(path, f"it is not TOML: {error}") from None


def _tables(path: Path, document: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    value = document.get(key, [])
    if not isinstance(value, list) or not all(isinstance(table, dict) for table in value):
        raise _invalid(path, f"[[{key}]] is not a list of tables")
    return value


def _entry(path: Path, table: Mapping[str, Any]) -> RegistryTable:
    location = _location(path, table, "location")
    prefix = _location(path, table, "prefix") or location
    where = f"[[registry]] {prefix!r}"
    if not prefix:
        raise _invalid(path, "a [[registry]] has neither prefix nor location")
    if prefix.startswith("*."):
        if any(character in prefix for character in "/@:"):
            raise _invalid(path, f"{where}: a prefix with * is *.HOST, without port or path")
    elif not location:
        raise _invalid(path, f"{where} has no location")
    by_digest = _flag(path, table, "mirror-by-digest-only")
    mirrors = []
    for mirror in _tables(path, table, "mirror"):
        place = _location(path, mirror, "location")
        said = mirror.get("pull-from-mirror", "")
        if not place:
            raise _invalid(path, f"{where}: a mirror has no location")
        if said not in _PULLS or (said and by_digest):
            raise _invalid(path, f"{where}: pull-from-mirror = {said!r} is not possible here")
        mirrors.append(Endpoint(place, _flag(path, mirror, "insecure"), "digest" if by_digest else _PULLS[said]))
    return RegistryTable(
        prefix=prefix,
        origin=Endpoint(location, _flag(path, table, "insecure")),
        mirrors=tuple(mirrors),
        blocked=_flag(path, table, "blocked"),
        source=str(path),
    )


def _old_entries(path: Path, document: Mapping[str, Any]) -> list[RegistryTable]:
    """What the first version of the format says: lists of hosts."""
    old = document.get("registries")
    if not isinstance(old, dict):
        return []
    hosts: dict[str, dict[str, bool]] = {}
    for key in ("insecure", "block"):
        table = old.get(key)
        for host in table.get("registries", ()) if isinstance(table, dict) else ():
            hosts.setdefault(str(host).rstrip("/"), {})[key] = True
    return [
        RegistryTable(
            prefix=host,
            origin=Endpoint(host, "insecure" in said),
            blocked="block" in said,
            source=str(path),
        )
        for host, said in hosts.items()
    ]


def _aliases(path: Path, document: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    table = document.get("aliases", {})
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        raise _invalid(path, "[aliases] is not a table of names")
    for name, value in table.items():
        # An empty one takes back what another file says.
        if value and (":" in value.rpartition("/")[2] or "@" in value or "/" not in value):
            raise _invalid(path, f"[aliases] {name!r}: {value!r} is not REGISTRY/REPOSITORY")
    return {name: (value, str(path)) for name, value in table.items()}


def _location(path: Path, table: Mapping[str, Any], key: str) -> str:
    value = table.get(key, "")
    if not isinstance(value, str) or "://" in value:
        raise _invalid(path, f"{key} = {value!r} is not HOST[:PORT][/PATH]")
    return value.rstrip("/")


def _flag(path: Path, table: Mapping[str, Any], key: str) -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        raise _invalid(path, f"{key} = {value!r} is neither true nor false")
    return value


def _invalid(path: Path, cause: str) -> UsageError:
    return UsageError(f"{path} is not a valid registries.conf", cause=cause)
