"""Reading a mirror file, in TOML or in YAML with the same names; what is wrong is said with its line and column."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from lading.arguments import several
from lading.errors import UsageError
from lading.mirror.config import Mirror, MirrorFile, Policy, Verify
from lading.mirror.positions import Path as Keys
from lading.mirror.positions import Position, locate
from lading.mirror.rules import Patterns
from lading.mirror.schedule import Schedule
from lading.mirror.shape import Misshapen, shaped
from lading.mirror.yaml_text import YamlText, invalid
from lading.model.platform import Platform
from lading.stores.location import Location, parse_location

SIZE_LIMIT = 1024 * 1024
"""The largest file read, in bytes."""
EVERYTHING = "/**"
"""What a source ends with that is every repository below a path."""
_TOML_PLACE = r" \(at (?:line (\d+), column (\d+)|end of document)\)$"


def read_mirror_file(path: str | Path) -> MirrorFile:
    """Read a mirror file.

    Args:
        path: the file; one that ends in `.yaml` or `.yml` is YAML, every other TOML.

    Raises:
        UsageError: it cannot be read, or is not valid; `fields` has the `file`, the `line` and the `column`.
        ModuleNotFoundError: it is YAML, and the package for that is not installed.
    """
    path = Path(path)
    what = str(path)
    try:
        with path.open("rb") as file:
            raw = file.read(SIZE_LIMIT + 1)
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise invalid(what, None, f"it cannot be read: {(error.strerror or str(error)).lower()}") from None
    except UnicodeDecodeError:
        raise invalid(what, None, "it is not UTF-8 text") from None
    if len(raw) > SIZE_LIMIT:
        raise invalid(what, None, f"it is larger than {SIZE_LIMIT:,} bytes")
    return parse_mirror_file(text, what, is_yaml=path.suffix.lower() in (".yaml", ".yml"))


def parse_mirror_file(text: str, what: str = "the text", *, is_yaml: bool = False) -> MirrorFile:
    """Read the text of a mirror file.

    Args:
        text: the TOML or YAML.
        what: what it is called in messages.
        is_yaml: whether it is YAML.

    Raises:
        UsageError: it is not valid.
        ModuleNotFoundError: it is YAML, and the package for that is not installed.
    """
    yaml = YamlText(text, what) if is_yaml else None
    document = _toml(text, what) if yaml is None else yaml.value

    def place(keys: Keys) -> Position | None:
        return locate(text, keys) if yaml is None else yaml.locate(keys)

    try:
        found = shaped({} if document is None else document, MirrorFile, is_text=is_yaml)
        _check(found)
    except Misshapen as error:
        raise invalid(what, place(error.path), error.cause, error.remedy) from None
    return found


def _toml(text: str, what: str) -> object:
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        said = str(error)
        where = re.search(_TOML_PLACE, said)
        place = (int(where[1]), int(where[2])) if where and where[1] else _end(text)
        cause = re.sub(_TOML_PLACE, "", said)
        raise invalid(what, place, f"this is no TOML: {cause[:1].lower()}{cause[1:]}") from None
    except RecursionError:
        raise invalid(what, None, "it is nested too deeply") from None


def _end(text: str) -> Position:
    return text.count("\n") + 1, len(text) - text.rfind("\n")


def _check(file: MirrorFile) -> None:
    """See whether what a file says can be.

    Raises:
        Misshapen: it cannot.
    """
    if not file.mirror:
        raise Misshapen((), "it has no [[mirror]], and so mirrors nothing")
    for host in file.hosts:
        if "/" in host or not host.strip():
            raise Misshapen(("hosts", host), f"{host!r} is no host", "write HOST[:PORT]")
    _check_policy(file.defaults, ("defaults",))
    names: dict[str, int] = {}
    for at, mirror in enumerate(file.settled()):
        path = ("mirror", at)
        said = file.mirror[at]
        if names.setdefault(mirror.name, at) != at:
            raise Misshapen(
                (*path, "name" if said.name else "from"),
                f"two mirrors are called {mirror.name!r}",
                "give each a name of its own",
            )
        _check_policy(said, path)
        _check_places(said, path)
        _check_tags(said, path)


def _check_policy(policy: Policy, path: Keys) -> None:
    if policy.schedule is not None:
        if policy.every is not None:
            raise Misshapen((*path, "every"), "there are 'schedule' and 'every', and one is enough")
        try:
            Schedule.parse(policy.schedule)
        except UsageError as error:
            raise Misshapen((*path, "schedule"), error.message, error.remedy) from None
    if policy.every is not None and not policy.every:
        raise Misshapen((*path, "every"), "more than no time is needed")
    _check_patterns(policy.immutable or (), (*path, "immutable"))
    for keys, platform in _each(policy.platforms or (), (*path, "platforms")):
        try:
            Platform.parse(platform)
        except UsageError as error:
            raise Misshapen(keys, error.message, error.remedy) from None
    if policy.platforms is not None and not several(policy.platforms):
        raise Misshapen((*path, "platforms"), "without a platform, nothing is left")
    if policy.sparse and not policy.platforms:
        raise Misshapen((*path, "sparse"), "an index is only sparse where 'platforms' leaves some out")
    if policy.verify is not None:
        _check_verify(policy.verify, (*path, "verify"))


def _check_verify(verify: Verify, path: Keys) -> None:
    by_identity = verify.identity is not None or verify.issuer is not None
    if (verify.key is not None) == by_identity:
        raise Misshapen(path, "a signature is verified by a 'key', or by an 'identity' and its 'issuer'")
    if by_identity and (verify.identity is None or verify.issuer is None):
        raise Misshapen(path, "an 'identity' and its 'issuer' are said together")


def _check_places(mirror: Mirror, path: Keys) -> None:
    source, is_many = mirror.source.removesuffix(EVERYTHING), mirror.source.endswith(EVERYTHING)
    found = _location(source, (*path, "from"), is_many=is_many)
    if is_many and not found.is_registry:
        raise Misshapen((*path, "from"), f"only registries have repositories below a path: {source} is none")
    if not several(mirror.to):
        raise Misshapen((*path, "to"), "it names no place")
    for keys, text in _each(mirror.to, (*path, "to")):
        target = _location(text, keys, is_many=is_many)
        if target.pinned is not None:
            raise Misshapen(keys, f"{text} has a digest, and what is written there has its own")
        if target.is_named and not found.is_named:
            raise Misshapen(keys, f"{text} has a tag, and {mirror.source} may have many")
        if target.place == found.place and (not target.is_named or target == found):
            raise Misshapen(keys, f"{text} is where it comes from")
    if found.is_named and (mirror.tags or mirror.newest is not None or mirror.newer_than is not None):
        chosen = next(key for key in ("tags", "newest", "newer_than") if getattr(mirror, key))
        key = chosen.replace("_", "-")
        raise Misshapen((*path, key), f"{mirror.source} is one tag, and {key!r} chooses among many")


def _location(text: str, keys: Keys, *, is_many: bool) -> Location:
    """The location that a text is; of many repositories, that of one of them."""
    try:
        return parse_location(f"{text}/any" if is_many else text)
    except UsageError as error:
        raise Misshapen(keys, str(error), error.remedy) from None


def _check_tags(mirror: Mirror, path: Keys) -> None:
    _check_patterns(mirror.tags, (*path, "tags"))
    if mirror.prune is not None:
        _check_patterns(mirror.prune.keep, (*path, "prune", "keep"))
    for at, rule in enumerate(mirror.retain):
        keys = (*path, "retain", at)
        if not several(rule.match):
            raise Misshapen((*keys, "match"), "it names no tags", "every tag is '*'")
        _check_patterns(rule.match, (*keys, "match"))
        if rule.newest is None and rule.newer_than is None:
            raise Misshapen(keys, "it does not say which tags stay", "add 'newest' or 'newer-than'")


def _check_patterns(patterns: str | tuple[str, ...], path: Keys) -> None:
    for keys, pattern in _each(patterns, path):
        try:
            Patterns(pattern)
        except UsageError as error:
            raise Misshapen(keys, str(error), error.remedy) from None


def _each(values: str | tuple[str, ...], path: Keys) -> Iterator[tuple[Keys, str]]:
    """Values with their paths; one alone has that of its key."""
    if isinstance(values, str):
        yield path, values
    else:
        for at, value in enumerate(values):
            yield (*path, at), value
