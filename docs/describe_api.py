"""Writes `docs/reference.md`: the public names, from their docstrings and signatures.

    python docs/describe_api.py > docs/reference.md

A name that is in several public modules is described in the first of them. Of the synchronous faces only what differs
from the asynchronous ones is described.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import msgspec

MODULES = ["lading", "lading.errors", "lading.model", "lading.store", "lading.edits", "lading.serve"]
_WIDTH = 100
SECTIONS = {
    "Clients": ["AsyncClient", "Client"],
    "Namespaces of a client": [
        "Drafts",
        "Images",
        "Artifacts",
        "ArtifactFile",
        "PushReport",
        "Guess",
        "Pulled",
        "PulledFile",
        "ArtifactTree",
        "TreeNode",
        "BackupReport",
        "PlannedTag",
        "OnPlan",
        "Mirrors",
        "MirrorPlan",
        "MirrorReport",
        "PrunePlan",
        "PruneReport",
        "Indexes",
        "Blobs",
        "Registries",
        "SyncDrafts",
        "SyncImages",
        "SyncArtifacts",
        "SyncMirrors",
        "SyncIndexes",
        "SyncBlobs",
        "SyncRegistries",
    ],
    "Images in their places": ["Image", "ImageIndex", "Layer", "SyncImage", "SyncImageIndex"],
    "Stores": ["Readable", "Store", "Reader", "Source", "SyncReadable", "SyncStore", "SyncReader"],
    "What manifests are made of": [
        "Manifest",
        "Index",
        "Descriptor",
        "Digest",
        "ImageConfig",
        "Platform",
        "Reference",
        "Location",
        "Version",
        "AnyLocation",
        "AnyPlatform",
    ],
    "Results": [
        "TagDetails",
        "TagInfo",
        "TagSuggestions",
        "TagChange",
        "Deletion",
        "Place",
        "CopyReport",
        "AttachReport",
        "ReferrerList",
        "ReferrerEntry",
        "IndexSource",
        "IndexReport",
        "EntryChange",
        "IndexListing",
        "ListedEntry",
        "Overview",
        "LintReport",
        "Finding",
        "BaseReport",
        "Validation",
        "ValidationReport",
        "DiffReport",
        "History",
        "LayerList",
        "SizeReport",
        "FilesReport",
        "Files",
        "FileEntry",
        "Exported",
        "Resolution",
        "Selection",
        "PullClient",
        "Checkup",
        "PullLimits",
        "Explanation",
        "Login",
        "Token",
    ],
    "What happens in a copy": ["Event", "OnEvent", "Started", "Progressed", "Finished", "Totals", "PackingProgressed"],
    "Drafts": ["Draft", "DraftEntry", "CreatedDraft", "PushedDraft", "AnnotatedDraft", "RemovedEntries", "DraftStatus"],
    "Configuration and credentials": [
        "Config",
        "HostConfig",
        "Override",
        "Credential",
        "Credentials",
        "GivenCredentials",
    ],
}
"""The names of `lading` but for its errors, which are in the section of `lading.errors`."""
HEAD = """\
# The public names

Everything that [can be relied on](stability.md) from Python, as the docstrings say it. `from lading import …` has the
names of the first sections, and the errors that programs tell apart; the other modules are said where they begin.

This page is made by `docs/describe_api.py`.
"""


def page() -> str:
    """All of it."""
    parts = [HEAD]
    seen: set[int] = set()
    lading = import_module("lading")
    for title, names in SECTIONS.items():
        parts.append(f"## {title}\n")
        for name in names:
            seen.add(id(getattr(lading, name)))
            parts.append(_described(lading, name))
    for module in map(import_module, MODULES[1:]):
        summary = (inspect.getdoc(module) or "").partition("\n\n")[0]
        parts.append(f"## `{module.__name__}`\n\n{_joined(summary)}\n")
        known = [name for name in module.__all__ if id(getattr(module, name)) in seen]
        if known:
            parts.append(f"Also here: {', '.join(f'`{name}`' for name in known)}.\n")
        own = [name for name in module.__all__ if name not in known]
        errors = [name for name in own if _is_error(getattr(module, name)) and name != "LadingError"]
        constants = [name for name in own if not isinstance(getattr(module, name), type | FunctionType)]
        parts += [_described(module, name) for name in own if name not in (*errors, *constants)]
        if errors:
            parts += ["| error | code | exit code | |", "|---|---|---|---|", *map(_error, _kinds(module, errors)), ""]
        if constants:
            parts += ["| constant | |", "|---|---|", *(_constant(module, name) for name in constants), ""]
    return "\n".join(parts)


def missing() -> set[str]:
    """The public names of `lading` that no section has."""
    listed = {name for names in SECTIONS.values() for name in names}
    errors = set(import_module("lading.errors").__all__)
    return set(import_module("lading").__all__) - listed - errors - {"__version__"}


def _described(module: ModuleType, name: str) -> str:
    value = getattr(module, name)
    if isinstance(value, type):
        return _class(name, value)
    if isinstance(value, FunctionType):
        return f"### `{name}`\n\n{_code(name, value)}\n\n{_text(value)}\n"
    return f"### `{name}`\n\n{_meaning_of(module, name)}\n"


def _is_error(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Exception)


def _kinds(module: ModuleType, names: list[str]) -> list[Any]:
    """Errors, each after the one that it is a kind of."""
    kinds = [getattr(module, name) for name in names]
    return sorted(kinds, key=lambda kind: [base.__name__ for base in reversed(kind.__mro__)])


def _error(kind: Any) -> str:
    base = kind.__mro__[1].__name__
    of = "" if base == "LadingError" else f" A kind of `{base}`."
    return f"| `{kind.__name__}` | `{kind.code}` | {kind.exit_code} | {_joined(inspect.getdoc(kind) or '')}{of} |"


def _constant(module: ModuleType, name: str) -> str:
    value = getattr(module, name)
    return f"| `{name}` | {f'`{value}`' if isinstance(value, str) else _escaped(_meaning_of(module, name))} |"


def _class(name: str, kind: type) -> str:
    lines = [f"### `{name}`", ""]
    if name.startswith("Sync") or name == "Client":
        behind = "AsyncClient" if name == "Client" else name.removeprefix("Sync")
        lines += [_code(name, kind), ""] if name == "Client" else []
        lines += [_text(kind), "", f"Its methods are those of `{behind}`, and each waits for the result.", ""]
        return "\n".join(lines)
    if _is_made(kind):
        lines += [_code(name, kind), ""]
    lines += [_text(kind), ""]
    members = dict(_members(kind))
    rows = list(_fields(kind))
    rows += [_property(method, value) for method, value in members.items() if isinstance(value, property)]
    if rows:
        lines += ["| | type | |", "|---|---|---|"]
        lines += [f"| `{field}` | `{_escaped(type_)}` | {_escaped(said)} |" for field, type_, said in rows]
        lines.append("")
    for method, value in members.items():
        if not isinstance(value, property):
            lines += [f"#### `{name}.{method}`", "", _code(method, getattr(kind, method)), "", _text(value), ""]
    return "\n".join(lines)


def _property(name: str, value: property) -> tuple[str, str, str]:
    returned = _unquoted(inspect.signature(value.fget).return_annotation) if value.fget is not None else ""
    return name, returned.strip("'"), _joined((inspect.getdoc(value) or "").partition("\n\n")[0])


def _is_made(kind: type) -> bool:
    """Whether a program calls it: what a client gives, errors, structs and protocols are shown without parameters."""
    if kind.__name__ in (*SECTIONS["Namespaces of a client"], *SECTIONS["Stores"]):
        return False
    return not (issubclass(kind, Exception | msgspec.Struct | str | tuple) or getattr(kind, "_is_protocol", False))


def _members(kind: type) -> Iterator[tuple[str, Any]]:
    """The public methods and properties, those of bases that are not public among them, in the order of the source."""
    found: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        if base.__module__.startswith("lading."):
            for name, value in vars(base).items():
                is_method = isinstance(value, FunctionType | classmethod | staticmethod | property)
                late = inspect.isdatadescriptor(value) or hasattr(value, "func")
                if not name.startswith("_") and (is_method or (late and hasattr(value, "func"))):
                    found[name] = value if is_method else property(value.func)
    inherited = {name for base in kind.__mro__[1:] if issubclass(base, Exception) for name in vars(base)}
    for name, value in found.items():
        if name not in inherited:
            yield name, value


def _fields(kind: type) -> Iterator[tuple[str, str, str]]:
    """The annotated fields of a class and of its bases: name, type, and the text below."""
    for base in reversed(kind.__mro__):
        if not base.__module__.startswith("lading.") or (base is not kind and issubclass(base, Exception)):
            continue
        try:
            (body,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        except (OSError, TypeError):
            continue
        assert isinstance(body, ast.ClassDef)
        for field, after in zip(body.body, [*body.body[1:], None], strict=True):
            if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
                continue
            name, annotation = field.target.id, ast.unparse(field.annotation)
            if name.startswith("_") or annotation.startswith(("Final", "ClassVar")):
                continue
            said = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
            yield name, annotation, " ".join(str(said).split())


def _code(name: str, value: Any) -> str:
    """How it is called, in a block: one line, or one for each parameter."""
    signature = inspect.signature(value)
    parameters = [each for each in signature.parameters.values() if each.name not in ("self", "cls")]
    begin = f"{'async ' if inspect.iscoroutinefunction(value) else ''}{name}"
    result = "" if isinstance(value, type) else f" -> {_unquoted(signature.return_annotation)}"
    bare = signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty)
    line = f"{begin}{_unquoted(bare)}{result}"
    if len(line) > _WIDTH:
        texts = [_unquoted(each) for each in parameters]
        first = next((at for at, each in enumerate(parameters) if each.kind is each.KEYWORD_ONLY), None)
        if first is not None and all(each.kind is not each.VAR_POSITIONAL for each in parameters):
            texts.insert(first, "*")
        line = f"{begin}(\n" + "".join(f"    {text},\n" for text in texts) + f"){result}"
    return f"```text\n{line}\n```"


def _unquoted(value: object) -> str:
    """A signature's text without the quotes around its annotations, and without addresses of functions."""
    return re.sub(r"(?<=[:>] )'([^']*)'", r"\1", re.sub(r"<function .* at 0x[0-9a-f]+>", "...", str(value)))


def _text(value: Any) -> str:
    """A docstring as Markdown: its sections are lists, and examples are code."""
    lines: list[str] = []
    in_list = False
    for line in (inspect.getdoc(value) or "").splitlines():
        if re.fullmatch(r"(Args|Returns|Raises|Attributes):", line):
            lines += [f"**{line.rstrip(':')}**", ""] if line != "Args:" else ["**Arguments**", ""]
            in_list = line != "Returns:"
        elif in_list and (item := re.match(r"    (\*{0,2}\w+(?:, \w+)*): (.*)", line)):
            lines.append(f"- `{item[1]}`: {item[2]}")
        elif in_list and line.startswith("        "):
            lines.append(f"  {line.strip()}")
        elif line.startswith("    ") and lines and lines[-2:-1] == ["**Returns**"]:
            lines.append(line.strip())
        else:
            in_list = in_list and line.startswith("    ")
            lines.append(line.strip() if not line.startswith(("    ", ">>>", "...")) else line)
    return _fenced("\n".join(lines))


def _fenced(text: str) -> str:
    """Examples of an interpreter, in a block."""
    return re.sub(
        r"((?:^>>>.*\n?(?:^(?!$).*\n?)*)+)",
        lambda found: f"```pycon\n{found[1].rstrip()}\n```\n",
        text,
        flags=re.MULTILINE,
    )


def _meaning_of(module: ModuleType, name: str) -> str:
    """What is written below a constant or an alias, where it is defined; else what it is made of."""
    homes = [at for at, names in getattr(module, "_HOME", {}).items() if name in names]
    for home in [import_module(f"{module.__name__}.{at}") for at in homes] or [module]:
        for node, after in pairwise(ast.parse(Path(home.__file__ or "").read_text()).body):
            targets = node.targets if isinstance(node, ast.Assign) else []
            if not any(isinstance(target, ast.Name) and target.id == name for target in targets):
                continue
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                return _joined(str(after.value.value))
            return f"`{ast.unparse(node.value)}`" if isinstance(node, ast.Assign) else ""
    return ""


def _joined(text: str) -> str:
    return " ".join(text.split())


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(page())
