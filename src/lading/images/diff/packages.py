"""Packages that two images have: what the files of package managers say, parsed from their bytes.

dpkg, apk, Python and npm are read here; of rpm only its own library knows the format. What is malformed says nothing.
This module knows contents of files, and reads nothing.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from lading.errors import InvalidContent
from lading.images.diff.results import PackageChange
from lading.model.encoding import decode

Kind = Literal["deb", "apk", "rpm", "python", "npm"]

LIMIT = 32 * 1024 * 1024
"""How large the database of a package manager may be, in bytes."""
SMALL_LIMIT = 1024 * 1024
"""How large the file of one package may be, in bytes."""
_TEXT = 256
"""How long a name or a version may be."""
_MOST = 100_000
"""How many packages one file may have."""

_PATTERNS: dict[Kind, str] = {
    "deb": r"var/lib/dpkg/(?:status|status\.d/[^/]+(?<!\.md5sums))",
    "apk": r"(?:usr/)?lib/apk/db/installed",
    "rpm": r"(?:var/lib|usr/lib/sysimage|usr/share)/rpm/(?:Packages|Packages\.db|rpmdb\.sqlite)",
    "python": r"(?:.*/)?[^/]+(?:\.dist-info/METADATA|\.egg-info/PKG-INFO|\.egg-info)",
    "npm": r"(?:.*/)?node_modules/(?:@[^/]+/)?[^/@.][^/]*/package\.json",
}
_WHICH = re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in _PATTERNS.items()), re.DOTALL)


class Package(NamedTuple):
    """A package that a file names."""

    type: Kind
    name: str
    version: str
    architecture: str | None
    path: str
    """The file that says so."""


def kind_of(path: str) -> Kind | None:
    """Whose file it is that is at a path; None for no package manager's.

    Args:
        path: without a leading slash.
    """
    found = _WHICH.fullmatch(path)
    return found.lastgroup if found is not None else None  # type: ignore[return-value]


def limit_of(path: str) -> int:
    """How much of the file at a path is read, in bytes."""
    return SMALL_LIMIT if kind_of(path) in ("python", "npm") else LIMIT


def packages_in(path: str, content: bytes) -> list[Package]:
    """The packages that a file names.

    Args:
        path: where it is: that says whose file it is.
        content: the file.
    """
    kind = kind_of(path)
    found: Iterator[tuple[str, str, str | None]] = iter(())
    if kind == "deb":
        found = _dpkg(content)
    elif kind == "apk":
        found = _apk(content)
    elif kind == "python":
        found = _python(content)
    elif kind == "npm":
        found = _npm(content)
    packages: list[Package] = []
    for name, version, architecture in found:
        if name and len(name) <= _TEXT and len(version) <= _TEXT and len(architecture or "") <= _TEXT:
            assert kind is not None
            packages.append(Package(kind, name, version, architecture, path))
        if len(packages) == _MOST:
            break
    return packages


def package_changes(a: Iterable[Package], b: Iterable[Package]) -> tuple[PackageChange, ...]:
    """Which packages differ, sorted by type and name. One that is there in several versions is told by each.

    Args:
        a: the packages of A.
        b: those of B; what both have in files that are the same may be left out.
    """
    versions: list[dict[tuple[str, ...], Counter[str]]] = [defaultdict(Counter), defaultdict(Counter)]
    paths: dict[tuple[str, ...], str] = {}
    kinds: dict[tuple[str, ...], Package] = {}
    for side, packages in zip(versions, (a, b), strict=True):
        for package in packages:
            key: tuple[str, ...] = (package.type, package.name, package.architecture or "")
            side[key][package.version] += 1
            paths[key] = package.path
            kinds[key] = package
    changes = []
    for key in sorted(kinds):
        package, left, right = kinds[key], versions[0][key], versions[1][key]
        gone, new = sorted((left - right).elements()), sorted((right - left).elements())
        for number in range(max(len(gone), len(new))):
            one = gone[number] if number < len(gone) else None
            other = new[number] if number < len(new) else None
            changes.append(
                PackageChange(
                    state="added" if one is None else "removed" if other is None else "changed",
                    type=package.type,
                    name=package.name,
                    architecture=package.architecture,
                    a=one,
                    b=other,
                    path=paths[key],
                )
            )
    return tuple(changes)


def _dpkg(content: bytes) -> Iterator[tuple[str, str, str | None]]:
    for stanza in _stanzas(content, b": "):
        *_, status = stanza.get("Status", "installed").split() or [""]
        if status not in ("not-installed", "config-files"):  # of these only the settings are left
            yield stanza.get("Package", ""), stanza.get("Version", ""), stanza.get("Architecture")


def _apk(content: bytes) -> Iterator[tuple[str, str, str | None]]:
    for stanza in _stanzas(content, b":"):
        yield stanza.get("P", ""), stanza.get("V", ""), stanza.get("A")


def _python(content: bytes) -> Iterator[tuple[str, str, str | None]]:
    head = re.split(rb"\r?\n\r?\n", content, maxsplit=1)[0]
    fields = next(_stanzas(head.replace(b"\r\n", b"\n"), b": "), {})
    # Two spellings of a name are one package (packaging.python.org, name normalization).
    yield re.sub(r"[-_.]+", "-", fields.get("Name", "")).lower(), fields.get("Version", ""), None


def _npm(content: bytes) -> Iterator[tuple[str, str, str | None]]:
    try:
        document = decode(content)
    except InvalidContent:
        return
    name, version = document.get("name"), document.get("version")
    if isinstance(name, str) and isinstance(version, str):
        yield name, version, None


_FIELDS = frozenset({"Package", "Version", "Architecture", "Status", "Name", "P", "V", "A"})


def _stanzas(content: bytes, colon: bytes) -> Iterator[dict[str, str]]:
    """Paragraphs of `KEY: VALUE` lines (deb-control, apk-package); of a key in one of them the first counts."""
    stanza: dict[str, str] = {}
    at = 0
    while at < len(content):
        end = content.find(b"\n", at)
        end = len(content) if end < 0 else end
        line = content[at : min(end, at + 1024)]
        at = end + 1
        if not line.strip():
            if stanza:
                yield stanza
            stanza = {}
            continue
        key, found, value = line.partition(colon)
        name = key.decode("ascii", "replace") if found else ""
        if name in _FIELDS:
            stanza.setdefault(name, value.strip().decode("utf-8", "replace"))
    if stanza:
        yield stanza
