"""Writes `docs/mirror-keys.md` and `docs/mirror.schema.json`: the keys of a mirror file, from the structs that read it.

python docs/describe_mirror.py
"""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect as types

from lading.mirror.config import CUSTOM, Host, Mirror, MirrorFile, Newest, Policy, Prune, Retain, Verify

FOLDER = Path(__file__).parent
TABLES: dict[type, str] = {
    Policy: "`[defaults]`, and every `[[mirror]]`",
    Host: '`[hosts."HOST"]`',
    Mirror: "`[[mirror]]`",
    Newest: "`newest`",
    Verify: "`verify`",
    Prune: "`[mirror.prune]`",
    Retain: "`[[mirror.retain]]`",
}
WORDS = {
    types.StrType: "text",
    types.IntType: "whole number",
    types.FloatType: "number",
    types.BoolType: "true or false",
}
HEAD = """\
# The keys of a mirror file

What they are for is in [mirror.md](mirror.md). A key in **bold** has to be there. A list of one may be written without
its brackets. Lengths of time are such as `90d`, `12h` and `1h30m`, amounts such as `20` and `"10%"`.

This page is made by `docs/describe_mirror.py`, and so is the JSON Schema for editors,
[mirror.schema.json](mirror.schema.json).
"""


def page() -> str:
    """The keys of each table."""
    lines = [HEAD]
    for table, title in TABLES.items():
        inherited = Policy.__struct_fields__ if table is Mirror else ()
        meanings = _meanings(table)
        lines += [f"## {title}", "", "| key | type | |", "|---|---|---|"]
        info = types.type_info(table)
        assert isinstance(info, types.StructType)
        lines += [
            f"| {_key(field)} | {_named(field.type)} | {meanings.get(field.name, '')} |"
            for field in info.fields
            if field.name not in inherited
        ]
        lines.append("")
    return "\n".join(lines)


def schema() -> str:
    """The JSON Schema of a file (draft 2020-12)."""
    made = msgspec.json.schema(MirrorFile, schema_hook=lambda kind: CUSTOM[kind].schema)
    made = {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}
    for kind in (MirrorFile, *TABLES):
        table = made["$defs"][kind.__name__]
        table["description"] = " ".join((inspect.getdoc(kind) or "").split())
        names = {field.name: field.encode_name for field in msgspec.structs.fields(kind)}
        for name, said in (_meanings(Policy) | _meanings(kind)).items():
            if name in names:
                table["properties"][names[name]]["description"] = said
    return json.dumps(msgspec.to_builtins(made), indent=2, ensure_ascii=False) + "\n"


def _key(field: types.Field) -> str:
    return f"**`{field.encode_name}`**" if field.required else f"`{field.encode_name}`"


def _meanings(table: type) -> dict[str, str]:
    """What is written below each field."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(table))).body
    assert isinstance(body, ast.ClassDef)
    meanings = {}
    for field, after in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(after, ast.Expr):
            assert isinstance(after.value, ast.Constant)
            meanings[field.target.id] = " ".join(str(after.value.value).split())
    return meanings


def _named(kind: Any) -> str:
    match kind:
        case types.Metadata():
            return _named(kind.type)
        case types.UnionType():
            one = [_named(part) for part in kind.types if not isinstance(part, types.NoneType)]
            return " or ".join(part for part in one if f"list of {part}" not in one)
        case types.LiteralType():
            return ", ".join(f"`{value}`" for value in kind.values)
        case types.VarTupleType():
            return f"list of {_named(kind.item_type)}"
        case types.StructType():
            return f"table {TABLES[kind.cls]}"
        case types.CustomType():
            return {"Duration": "length of time", "Amount": "amount", "OnMove": "text"}[kind.cls.__name__]
        case _:
            return WORDS[type(kind)]


def main() -> None:
    """Write both."""
    (FOLDER / "mirror-keys.md").write_text(page(), encoding="utf-8")
    (FOLDER / "mirror.schema.json").write_text(schema(), encoding="utf-8")


if __name__ == "__main__":
    main()
