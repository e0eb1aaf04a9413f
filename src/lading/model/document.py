"""Results as JSON documents: what `--format json` prints, and what a web framework can return."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

import msgspec

from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.encoding import encode_compact
from lading.model.text import excerpt


class Result:
    """What a method gives back, with a form in JSON that stays as it is from version to version; for structs.

    The document has a key for each field, in their order. Texts that are known to be well formed (digests, references,
    locations, platforms) are strings in it; descriptors and other results are objects.
    """

    __slots__ = ()
    __struct_fields__: ClassVar[tuple[str, ...]]
    document_fields: ClassVar[tuple[str, ...]] = ()
    """The fields and properties that the document has, where these are not all the fields."""

    def to_document(self) -> dict[str, Any]:
        """The result as a JSON object: dicts, lists, strings, numbers, booleans and None alone."""
        names = self.document_fields or self.__struct_fields__
        return described({name: getattr(self, name) for name in names})

    def __repr__(self) -> str:
        """One line with what the document has, digests by their first digits, and of lists and objects their length."""
        shown = f"<{type(self).__name__}"
        for name in self.document_fields or self.__struct_fields__:
            value = getattr(self, name)
            if value is not None and value != "":
                shown += f" {name}={_brief(value)}"
            if len(shown) > _LINE:
                return f"{shown[: _LINE - 2]}…>"
        return f"{shown}>"

    def to_json(self) -> bytes:
        """The document as compact JSON: UTF-8, with `<`, `>` and `&` escaped, so that a page can hold it."""
        return encode_compact(self.to_document())


_LINE = 120


def _brief(value: Any) -> str:
    if isinstance(value, Digest):
        return value.short
    return str(len(value)) if isinstance(value, Mapping | list | tuple) else excerpt(str(value))


def described(fields: Mapping[str, object]) -> dict[str, Any]:
    """Fields with their values as JSON has them; see `plain`."""
    return {str(key): plain(value) for key, value in fields.items()}


def plain(value: Any) -> Any:
    """A value as JSON has it: what a document is made of.

    Args:
        value: a result, a text, a number, a time, None, or any mapping or sequence of such.
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return float(value)
    if isinstance(value, Mapping):
        return described(value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return msgspec.to_builtins(value)
    if isinstance(value, Result):
        return value.to_document()
    if isinstance(value, Descriptor):
        return described(value.to_document())
    return str(value)
