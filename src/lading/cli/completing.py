"""Completion in shells: what may follow what is typed. It asks nothing, says nothing else, and ends in time.

The scripts of `lading completion` start lading with `_LADING_COMPLETE`, once for each press of the key.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    split_arg_string,
)

if TYPE_CHECKING:
    from lading.client import AsyncClient
    from lading.stores.location import Location

VARIABLE = "_LADING_COMPLETE"
_PATIENCE = 1.5
"""How long registries are waited for, in seconds."""
_END = 2.5
"""After how many seconds completion ends, also in the middle of a request."""
_KEPT = 60.0
"""How long names are remembered, in seconds: whoever types presses the key again and again."""
_MOST = 1000
"""How many candidates are given at most."""

PLATFORMS = (
    "linux/amd64",
    "linux/arm64",
    "linux/arm/v7",
    "linux/arm/v6",
    "linux/386",
    "linux/ppc64le",
    "linux/riscv64",
    "linux/s390x",
    "windows/amd64",
)
_SCHEMES = ("oci:", "oci-archive:", "docker-archive:", "docker-daemon:", "dir:")
_MARKS = {"oci:": "oci-layout", "dir:": "manifest.json"}
"""The file by which a folder is known, where one is meant."""

# bash takes a colon and an equals sign for the ends of words, and replaces only what comes after the last of them.
_BASH = """\
%(complete_func)s() {
    local IFS=$'\\n' kind value
    COMPREPLY=()
    while IFS=, read -r kind value; do
        case $kind in
            plain) COMPREPLY+=("$value") ;;
            dir) compopt -o dirnames 2>/dev/null ;;
            file) compopt -o default 2>/dev/null ;;
        esac
        [[ $value == */ || $value == *: ]] && compopt -o nospace 2>/dev/null
    done < <(COMP_WORDS="${COMP_LINE:0:COMP_POINT}" COMP_CWORD=0 %(complete_var)s=bash_complete "$1" 2>/dev/null)
    return 0
}
complete -F %(complete_func)s %(prog_name)s
"""


_ZSH = """\
#compdef %(prog_name)s
%(complete_func)s() {
    local -a whole more described answer
    answer=("${(@f)$(COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) %(complete_var)s=zsh_complete \
%(prog_name)s 2>/dev/null)}")
    for kind value help in "${(@)answer}"; do
        case $kind in
            dir) _path_files -/ ;;
            file) _path_files -f ;;
            plain)
                if [[ $help != _ ]]; then described+=("$value:$help")
                elif [[ $value == */ || $value == *: ]]; then more+=("$value")
                else whole+=("$value")
                fi ;;
        esac
    done
    (( $#described )) && _describe -V unsorted described -U
    (( $#whole )) && compadd -U -V unsorted -a whole
    (( $#more )) && compadd -U -V unsorted -S '' -a more
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then %(complete_func)s "$@"
else compdef %(complete_func)s %(prog_name)s
fi
"""


class _Zsh(ZshComplete):
    """Zsh, which goes on where a name does."""

    source_template = _ZSH


class _Bash(BashComplete):
    """Bash, where a colon may begin a new word."""

    source_template = _BASH

    @staticmethod
    def _check_version() -> None:
        """Every bash that there is will do."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """What is typed already, and the word that is not whole."""
        line = os.environ.get("COMP_WORDS", "")
        words = split_arg_string(line)[1:]
        return (words, "") if not words or line[-1:].isspace() else (words[:-1], words[-1])

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """What bash puts in the place of the end of the word."""
        _, incomplete = self.get_completion_args()
        cut = max(incomplete.rfind(":"), incomplete.rfind("=")) + 1
        value = str(item.value)
        return f"{item.type},{value[cut:] if value.startswith(incomplete[:cut]) else value}"


def script(shell: str) -> str:
    """The script for a shell: `bash`, `zsh` or `fish`."""
    from lading.cli import lading

    return _class_of(shell)(lading, {}, "lading", VARIABLE).source()


def _class_of(shell: str) -> type[ShellComplete]:
    return {"bash": _Bash, "zsh": _Zsh, "fish": FishComplete}[shell]


def complete() -> None:
    """Print what may follow what is typed, as the environment tells it, and end the process."""
    import threading

    # Completion asks no question and prints only candidates: the line that the user types stays as it is.
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 2)
    timer = threading.Timer(_END, os._exit, [0])
    timer.daemon = True
    timer.start()
    text = ""
    with suppress(Exception, SystemExit):
        text = _answer(os.environ.get(VARIABLE, ""))
    from lading.cli.output import emit_bytes

    with suppress(OSError):
        emit_bytes(text.encode())
        sys.stdout.flush()
    os._exit(0)


def _answer(instruction: str) -> str:
    from lading.cli import lading

    shell, _, what = instruction.partition("_")
    if what == "source":
        return script(shell)
    completer = _class_of(shell)(lading, {}, "lading", VARIABLE)
    args, incomplete = completer.get_completion_args()
    items = _items(completer, args, incomplete)
    return "".join(f"{completer.format_completion(item)}\n" for item in items if _is_plain(str(item.value)))


def _items(completer: ShellComplete, args: list[str], incomplete: str) -> list[CompletionItem[Any]]:
    from click.shell_completion import _resolve_context, _resolve_incomplete

    context = _resolve_context(completer.cli, completer.ctx_args, completer.prog_name, args)
    what, word = _resolve_incomplete(context, args, incomplete)
    given = incomplete.removesuffix(word) if word != incomplete else ""
    find = _finder(context, what) if isinstance(what, click.Parameter) else None
    if find is None:
        return what.shell_complete(context, word)
    if find in (_files, _folders):
        return [CompletionItem(word, type="file" if find is _files else "dir")]
    names = sorted(dict.fromkeys(name for name in find(context, word) if name.startswith(word)), key=_order)
    return [CompletionItem(f"{given}{name}") for name in names[:_MOST]]


def _is_plain(value: str) -> bool:
    """Whether it is one word for every shell as it is: a registry may list names that would run as commands."""
    return not value or (value.isascii() and quote(value) == value)


def _order(name: str) -> list[tuple[int, str]]:
    """Numbers by their size: `1.9` before `1.10`."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


Finder = Callable[[click.Context, str], Iterable[str]]


def _finder(context: click.Context, param: click.Parameter) -> Finder | None:
    """What finds the values of an argument or an option; None if click knows them, or nobody does."""
    if isinstance(param.type, click.Choice | click.Path):
        return None
    if isinstance(param, click.Argument):
        if param.name == "manifests" and context.info_name == "remove":
            return _entries
        if param.name in ("entry", "entries"):
            return _entries_of_index
        return _ARGUMENTS.get(param.name or "", _places)
    return _OPTIONS.get(str(param.metavar or "").partition("=")[0])


def _places(_: click.Context, word: str) -> Iterator[str]:
    """References and other locations, whole or up to where they go on."""
    scheme = next((scheme for scheme in _SCHEMES if word.startswith(scheme)), None)
    if scheme is not None:
        yield from _in_files(scheme, word)
        return
    host, slash, rest = word.partition("/")
    if not slash:
        yield from (f"{name}/" for name in _hosts())
        yield from _aliases()
        yield from (scheme for scheme in _SCHEMES if word)
        yield from _drafts(_, word)
        name, colon, tag = word.partition(":")
        if colon and not tag.isdecimal():  # of Docker Hub; a number would be a port
            yield from (f"{name}:{tag}" for tag in _tags(name))
    elif ":" in rest or "@" in rest:
        place = word[: len(host) + 1 + min(rest.find(mark) for mark in ":@" if mark in rest)]
        yield from (f"{place}:{tag}" for tag in _tags(place))
    else:
        yield from _repositories(host)
        yield from _drafts(_, word)


def _in_files(scheme: str, word: str) -> Iterator[str]:
    """Paths after a scheme, and the names in a layout."""
    path, colon, _ = word.removeprefix(scheme).partition(":")
    if scheme == "docker-daemon:":
        return
    if colon and Path(path).exists():
        yield from (f"{scheme}{path}:{tag}" for tag in _tags(f"{scheme}{path}"))
        return
    mark = _MARKS.get(scheme)
    folder, slash, _ = path.rpartition("/")
    with suppress(OSError):
        for entry in os.scandir(f"{folder}/" if slash else "."):
            name = f"{scheme}{folder}{slash}{entry.name}"
            if entry.is_dir():
                yield f"{name}/"
            if entry.is_file() if mark is None else (Path(entry.path) / mark).is_file():
                yield name


def _repositories_of(_: click.Context, word: str) -> Iterator[str]:
    """Repositories, without what is in them."""
    yield from (place for place in _places(_, word) if ":" not in place.rpartition("/")[2] or place in _SCHEMES)


def _registries(_: click.Context, _word: str) -> Iterator[str]:
    yield from _hosts()


def _tags_beside(context: click.Context, word: str) -> Iterator[str]:
    """Tags of the repository that the first argument names; or other repositories."""
    source = str(context.params.get("source") or context.params.get("reference") or "")
    if "/" in word or ":" in word:
        yield from _places(context, word)
    elif source:
        from lading.stores.location import parse_location

        yield from _tags(str(parse_location(source).place))


def _drafts(_: click.Context, _word: str) -> Iterator[str]:
    """The local lists, as they may be typed."""
    from lading.drafts.store import DraftStore

    for draft in DraftStore().list():
        yield str(draft.reference)


def _drafts_and_places(context: click.Context, word: str) -> Iterator[str]:
    yield from _drafts(context, word)
    yield from _places(context, word)


def _entries(context: click.Context, _word: str) -> Iterator[str]:
    """The entries of the local list that the first argument names."""
    from lading.drafts.store import DraftStore
    from lading.stores.location import registry_reference

    draft = DraftStore().load(registry_reference(str(context.params["manifest_list"])))
    for entry in draft.entries:
        yield str(entry.reference)
        if entry.platform is not None:
            yield str(entry.platform)


def _entries_of_index(context: click.Context, _word: str) -> Iterator[str]:
    """The entries of the index that the first argument names: their platforms, positions and digests."""
    place = str(context.params.get("reference") or "")

    async def ask(client: AsyncClient) -> list[str]:
        listing = await client.indexes.entries(place)
        return [
            name
            for entry in listing.entries
            for name in (str(entry.platform or ""), f"@{entry.position}", entry.digest)
            if name and name != "unknown/unknown"
        ]

    yield from _asked(ask)


def _platforms(_: click.Context, _word: str) -> Iterable[str]:
    return PLATFORMS


def _clients(_: click.Context, _word: str) -> Iterator[str]:
    from lading.model.selection import every

    for client in every():
        yield str(client).partition("@")[0]
        yield str(client)


def _codes(_: click.Context, _word: str) -> Iterable[str]:
    from lading.images.lint import CODES
    from lading.images.validation.codes import CODES as MORE

    return [*CODES, *MORE]


def _files(_: click.Context, _word: str) -> Iterable[str]:
    return ()


def _folders(_: click.Context, _word: str) -> Iterable[str]:
    return ()


_ARGUMENTS: dict[str, Finder | None] = {
    "new": _tags_beside,
    "registry": _registries,
    "host": _registries,
    "repository": _repositories_of,
    "manifest_list": _drafts_and_places,
    "manifest_lists": _drafts,
    "image": _entries,
    "target": _files,
    "names": _drafts_and_places,
    "folder": _folders,
    "path": None,
}
"""By the names of arguments; all others are references or other locations."""
_OPTIONS: dict[str, Finder] = {
    "OS/ARCH[/VARIANT]": _platforms,
    "CLIENT": _clients,
    "CODE": _codes,
    "REF": _places,
    "TARGET": _tags_beside,
    "REGISTRY": _registries,
    "FILE": _files,
    "memory|FOLDER": _folders,
}
"""By what their values are called in help."""


def _hosts() -> Iterator[str]:
    """Registries that are configured, logged in to, or were asked lately."""
    from urllib.parse import unquote

    from lading.folders import user_folder
    from lading.registry.hosts.configuration import Config

    yield "docker.io"
    with suppress(Exception):
        yield from (name for name in Config.load().names() if "*" not in name)
    with suppress(Exception):
        yield from _logged_in()
    with suppress(OSError, RuntimeError):
        for file in os.scandir(user_folder("cache") / "registries"):
            yield unquote(file.name.removesuffix(".json"))


def _logged_in() -> list[str]:
    """What credentials are kept for, in Docker's file: no helper is asked."""
    import json

    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    document = json.loads((folder / "config.json").read_bytes())
    names = [*document.get("auths", {}), *document.get("credHelpers", {})]
    return [name.partition("://")[2].partition("/")[0] if "://" in name else name.partition("/")[0] for name in names]


def _aliases() -> Iterator[str]:
    from lading.registry.hosts.configuration import Config

    with suppress(Exception):
        yield from Config.load().all_aliases()


def _repositories(host: str) -> list[str]:
    async def ask(client: AsyncClient) -> list[str]:
        return [f"{host}/{name}" for name in await client.registries.repositories(host)]

    return _remembered(f"{host}/", ask)


def _tags(place: str) -> list[str]:
    async def ask(client: AsyncClient) -> list[str]:
        from lading.stores.location import parse_location

        location: Location = parse_location(place)
        return [info.tag for info in await client.tags(location)]

    return _remembered(place, ask) if not place.startswith(_SCHEMES) else _asked(ask)


def _asked(ask: Callable[[AsyncClient], Any]) -> list[str]:
    """What a registry answers in time; nothing otherwise."""
    import asyncio

    from lading.client import AsyncClient

    async def main() -> list[str]:
        async with AsyncClient() as client, asyncio.timeout(_PATIENCE):
            names: list[str] = await ask(client)
            return names

    try:
        return asyncio.run(main())
    except Exception:  # noqa: BLE001  # there is nobody to tell
        return []


def _remembered(what: str, ask: Callable[[AsyncClient], Any]) -> list[str]:
    """What a registry answers, or answered within the last minute."""
    import json
    import time

    from lading.folders import user_folder

    file = None
    if os.environ.get("LADING_CACHE") != "0":
        with suppress(OSError, RuntimeError):
            folder = user_folder("cache") / "completion"
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = folder / f"{_file_name(what)}.json"
    if file is not None:
        with suppress(OSError, ValueError, KeyError, TypeError):
            known = json.loads(file.read_bytes())
            if known["of"] == what and 0 <= time.time() - known["at"] < _KEPT:
                return [str(name) for name in known["names"]]
    names = _asked(ask)
    if names and file is not None:
        with suppress(OSError):
            temporary = file.with_name(f"{file.name}.{os.getpid()}")
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(handle, "w") as out:
                json.dump({"of": what, "at": time.time(), "names": names}, out)
            temporary.replace(file)
    return names


def _file_name(what: str) -> str:
    import hashlib

    return hashlib.sha256(what.encode("utf-8", "surrogatepass")).hexdigest()[:32]
