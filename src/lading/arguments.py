"""How arguments are read that take one value or several. Knows nothing of the other rooms."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar, overload

T = TypeVar("T")


@overload
def several(given: Iterable[str] | str) -> tuple[str, ...]: ...
@overload
def several(given: Iterable[T | str] | T | str) -> tuple[T | str, ...]: ...
def several(given: Any) -> tuple[Any, ...]:
    """The values that were given, of one alone that one: a `str` is one value, and not its letters."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        return (given,)
    return tuple(given)
