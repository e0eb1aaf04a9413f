"""Two lists beside each other: what of one is in the other, within bounds that no input can exceed.

This module knows lists, and nothing of what is in them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from difflib import SequenceMatcher
from typing import Any

_PAIRS = 400_000
"""How many pairs of equal items are looked at; the work grows with them."""
_ITEMS = 50_000


def aligned(a: Sequence[Hashable], b: Sequence[Hashable]) -> list[tuple[int | None, int | None]]:
    """The places of both lists beside each other: equal items are one row, and every other has a row of its own.

    Args:
        a: the first list.
        b: the second.

    Returns:
        For each row the place in `a` and that in `b`, from 0; None where there is none.
    """
    rows: list[tuple[int | None, int | None]] = []
    for kind, a_from, a_to, b_from, b_to in matched(a, b).get_opcodes():
        if kind == "equal":
            rows += zip(range(a_from, a_to), range(b_from, b_to), strict=True)
        else:
            rows += [(at, None) for at in range(a_from, a_to)]
            rows += [(None, at) for at in range(b_from, b_to)]
    return rows


def matched(a: Sequence[Hashable], b: Sequence[Hashable]) -> SequenceMatcher[Hashable]:
    """How one list becomes the other. Lists that are too much alike within are replaced between their equal ends.

    Args:
        a: the first list.
        b: the second.
    """
    return SequenceMatcher(None, a, b) if _is_cheap(a, b) else _Ends(a, b)


class _Ends(SequenceMatcher[Hashable]):
    """Looks for nothing but what is equal at the beginning and at the end."""

    def __init__(self, a: Sequence[Hashable], b: Sequence[Hashable]) -> None:
        super().__init__(None, a, b)
        self._both = a, b

    def get_opcodes(self) -> list[Any]:
        """The equal beginning, all that is replaced, and the equal end."""
        a, b = self._both
        begin, end = 0, 0
        shorter = min(len(a), len(b))
        while begin < shorter and a[begin] == b[begin]:
            begin += 1
        while end < shorter - begin and a[-1 - end] == b[-1 - end]:
            end += 1
        a_end, b_end = len(a) - end, len(b) - end
        codes = [
            ("equal", 0, begin, 0, begin),
            ("replace", begin, a_end, begin, b_end),
            ("equal", a_end, len(a), b_end, len(b)),
        ]
        return [code for code in codes if code[1] < code[2] or code[3] < code[4]]


def _is_cheap(a: Sequence[Hashable], b: Sequence[Hashable]) -> bool:
    if max(len(a), len(b)) > _ITEMS:
        return False
    in_a, in_b = Counter(a), Counter(b)
    # What is in a long list all the time is not looked for: SequenceMatcher's own rule.
    often = len(b) // 100 + 1 if len(b) >= 200 else len(b)
    return sum(count * in_a[item] for item, count in in_b.items() if count <= often) <= _PAIRS
