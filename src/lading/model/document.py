"""Results as JSON documents: what `--format json` prints, and what a web framework can return."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

import msgspec

from lading.model.descriptor import Descriptor
from lading.model.encoding import encode_compact


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
        return {name: plain(getattr(self, name)) for name in self.document_fields or self.__struct_fields__}

    def to_json(self) -> bytes:
        """The document as compact JSON: UTF-8, with `<`, `>` and `&` escaped, so that a page can hold it."""
        return encode_compact(self.to_document())


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
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return msgspec.to_builtins(value)
    if isinstance(value, Result):
        return value.to_document()
    if isinstance(value, Descriptor):
        return plain(value.to_document())
    return str(value)
