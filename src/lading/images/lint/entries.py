"""Rules about which client takes which entry of a list, for every client that lading knows and every platform listed.

How clients choose is `model.selection`'s; this module only asks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from lading.errors import InvalidPlatform
from lading.images.lint.codes import Finding
from lading.images.lint.findings import entry_of, finding, short
from lading.images.lint.gather import Facts, Part, each_once
from lading.model.digest import Digest
from lading.model.index import Index
from lading.model.manifest import Manifest
from lading.model.platform import Platform
from lading.model.selection import Content, Gap, PullClient, every, select

_TRIED = 20_000
"""How many platforms are tried, times how many entries there are: that takes some seconds."""
_ZSTD = "io.github.containers.compression.zstd"


def check_entries(facts: Facts) -> Iterator[Finding]:
    """Which entries hide others, which no client takes, and where clients take different ones."""
    index = facts.manifest
    if not isinstance(index, Index):
        return
    for part in facts.images:
        if part.is_nested:
            message = f"{entry_of(part)} is a list itself: podman and Docker 20.10 pull nothing through it."
            yield finding("LAD404", message, part, **_apart(facts, part))
    asked = _Asked(facts, index)
    if asked.untried:
        tried = f"{len(asked.platforms):,} of {len(asked.platforms) + len(asked.untried):,} platforms"
        yield finding("LAD107", f"{facts.name} has {len(index.manifests):,} entries: {tried} were tried with clients.")
    yield from _hidden(facts, asked)
    yield from _disagreements(facts, asked)


class _Asked:
    """What every client takes for every platform that is listed.

    `ctr` is left out: it downloads whatever fits, and runs nothing.
    """

    def __init__(self, facts: Facts, index: Index) -> None:
        self._index = index
        self._contents = dict(_contents(facts.parts))
        self._tops = _tops(facts.parts)
        self._clients = [client for client in every() if client.name != "ctr"]
        platforms = list(dict.fromkeys(_tried_as(part.platform) for part in facts.images if _is_tried(part)))
        count = max(1, _TRIED // len(index.manifests)) if platforms else 0
        self.platforms = platforms[:count]
        self.untried = frozenset(platforms[count:])
        self._taken: dict[tuple[str | None, Platform], list[tuple[PullClient, int]]] = {}
        self.takers: dict[int, list[PullClient]] = defaultdict(list)
        """By the position of an entry, the clients that take it for some platform."""
        for platform in self.platforms:
            for text, host in _requests(platform):
                for client, position in self.taken(text, host):
                    self.takers[position].append(client)

    def taken(self, text: str | None, host: Platform) -> list[tuple[PullClient, int]]:
        """For each client that takes something, the position of the entry. Each question is asked once.

        Args:
            text: the platform that is asked for; None for the client's own default.
            host: where the client runs.
        """
        question = (text, host)
        if question not in self._taken:
            self._taken[question] = list(self._ask(text, host))
        return self._taken[question]

    def _ask(self, text: str | None, host: Platform) -> Iterator[tuple[PullClient, int]]:
        for client in self._clients:
            try:
                selection = select(self._index, text, as_=client, host=host, contents=self._contents)
            except InvalidPlatform:
                return  # Nobody can ask for it.
            part = self._tops.get(id(selection.taken[0])) if selection.taken else None
            if part is not None:
                yield client, part.position


def _hidden(facts: Facts, asked: _Asked) -> Iterator[Finding]:
    alike: dict[Platform, int] = defaultdict(int)
    firsts: dict[Platform, Part] = {}
    for part in facts.images:
        if part.platform is not None:
            alike[part.platform.normalized()] += 1
            if asked.takers.get(part.position):
                firsts.setdefault(part.platform.normalized(), part)
    for part in facts.images:
        platform = part.platform
        if platform is None or (part.is_artifact and not _is_named(platform)) or asked.takers.get(part.position):
            continue
        if _tried_as(platform) in asked.untried:
            continue
        first = firsts.get(platform.normalized())
        if first is None:
            yield finding("LAD102", f"{entry_of(part)} is taken by no client, whatever platform is asked for.", part)
            continue
        times = alike[platform.normalized()]
        name, count = short(part.entry.digest), "twice" if times == 2 else f"{times} times"
        if part.entry.digest == first.entry.digest:
            message = f"{platform} ({name}) is listed {count} with the same manifest."
            yield finding("LAD101", message, part, severity="warning", **_once(facts, part, first))
            continue
        order = "the first" if first.position < part.position else "another"
        message = f"{platform} is listed {count}. Every client takes {order} ({short(first.entry.digest)})"
        message = f"{message}; {name} can never be pulled."
        yield finding("LAD101", message, part, remedy="remove it", action="remove")


def _once(facts: Facts, part: Part, first: Part) -> dict[str, Any]:
    """How to list once what is listed twice; a draft has the same under two names."""
    names = facts.names
    if names and names[part.position] != names[first.position]:
        return {"remedy": "remove one", "action": "remove", "fields": {"image": names[part.position]}}
    return {"remedy": "list it once", "action": "pull and push"}


def _apart(facts: Facts, part: Part) -> dict[str, Any]:
    if not facts.names:
        return {}
    return {"remedy": "take it apart", "action": "add", "fields": {"image": facts.names[part.position]}}


def _disagreements(facts: Facts, asked: _Asked) -> Iterator[Finding]:
    found: dict[tuple[int, ...], tuple[list[Platform], str]] = {}
    for platform in asked.platforms:
        if platform.os == "windows":
            continue  # Which build is taken depends on the host's, and is meant to.
        takes: dict[int, list[PullClient]] = defaultdict(list)
        for client, position in asked.taken(str(platform), _host(platform)):
            takes[position].append(client)
        parts = [facts.parts[position] for position in sorted(takes)]
        if len({part.entry.digest for part in parts}) < 2 or _is_by_compression(parts):
            continue
        said = ", ".join(f"{names} {entry_of(facts.parts[position])}" for position, names in _names(takes).items())
        found.setdefault(tuple(sorted(takes)), ([], said))[0].append(platform)
    for positions, (platforms, said) in found.items():
        yield finding(
            "LAD103",
            f"Asked for {' or '.join(str(platform) for platform in platforms)}, clients take different images: {said}.",
            facts.parts[positions[0]],
            remedy="see who takes what",
            action="resolve",
            fields={"platform": str(platforms[0])},
        )


def _names(takes: Mapping[int, list[PullClient]]) -> dict[int, str]:
    """Who takes which entry; clients by name, with their version where another version takes another one."""
    all_of = {
        name: [position for position, clients in takes.items() if any(client.name == name for client in clients)]
        for name in dict.fromkeys(client.name for clients in takes.values() for client in clients)
    }
    found = {}
    for position, clients in takes.items():
        texts = (client.name if len(all_of[client.name]) == 1 else client.title for client in clients)
        unique = list(dict.fromkeys(texts))
        last = f"{', '.join(unique[:-1])} and {unique[-1]} take" if len(unique) > 1 else f"{unique[0]} takes"
        found[position] = last
    return found


def _is_by_compression(parts: list[Part]) -> bool:
    """Whether the entries are one image in two compressions, which newer podmans choose from."""
    same = {part.platform.normalized() for part in parts if part.platform is not None}
    return len(same) == 1 and any(part.entry.annotations.get(_ZSTD) == "true" for part in parts)


def _is_tried(part: Part) -> bool:
    """Whether clients are asked for the platform of an entry."""
    return part.platform is not None and _is_named(part.platform)


def _tried_as(platform: Platform | None) -> Platform:
    """A platform as clients are asked for it: an operating system that is not said they take for their own."""
    found = platform or Platform()
    return msgspec.structs.replace(found, os=found.os or "linux", features=())


def _is_named(platform: Platform) -> bool:
    return platform.os != "unknown" and platform.architecture not in ("", "unknown")


def _requests(platform: Platform) -> Iterator[tuple[str | None, Platform]]:
    """The ways in which a client on such a machine is asked for its platform."""
    host = _host(platform)
    normal = platform.normalized()
    texts = (str(platform), str(normal), f"{normal.os}/{normal.architecture}", _with_version(normal))
    for text in dict.fromkeys(texts):
        yield text, host
    yield None, host


def _with_version(platform: Platform) -> str:
    options = platform.os_version + "".join(f"+{feature}" for feature in platform.os_features)
    os = f"{platform.os}({options})" if options else platform.os
    return "/".join(part for part in (os, platform.architecture, platform.variant) if part)


def _host(platform: Platform) -> Platform:
    host = platform.normalized()
    return msgspec.structs.replace(host, os_features=(), features=())


def _contents(parts: tuple[Part, ...]) -> Iterator[tuple[Digest, Content]]:
    for part in each_once(parts):
        if part.state == "missing":
            yield part.entry.digest, Gap.MISSING
        elif part.manifest is not None:
            yield part.entry.digest, part.manifest
        elif part.state != "unread":
            yield part.entry.digest, Gap.UNREADABLE
        if isinstance(part.manifest, Manifest) and part.manifest.config is not None and part.config is not None:
            yield part.manifest.config.digest, part.config


def _tops(parts: tuple[Part, ...]) -> dict[int, Part]:
    """By each descriptor within the parts, the first of them that leads to it; selections hold these very objects."""
    tops = {id(part.entry): part for part in parts}
    seen: set[Digest] = set()
    for part in parts:
        tops |= {id(inner.entry): part for inner in each_once([part], seen)}
    return tops
