"""Trees as lines of text, with the characters that boxes are drawn with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from lading.cli.output import table


class Branch(NamedTuple):
    """A line of a tree with what is below it."""

    cells: Sequence[str]
    """What is in the line. Several are aligned with those of the lines beside it, without columns that are empty."""
    below: Sequence[Branch] = ()


def drawn(branches: Sequence[Branch], *, right: Iterable[int] = ()) -> list[str]:
    """The lines of a tree below its first line.

    Args:
        branches: what is below that.
        right: columns that are aligned to the right.
    """
    return list(_drawn(branches, tuple(right), ""))


def _drawn(branches: Sequence[Branch], right: Sequence[int], indent: str) -> Iterator[str]:
    aligned = iter(_aligned([branch.cells for branch in branches if len(branch.cells) > 1], right))
    for number, branch in enumerate(branches, 1):
        is_last = number == len(branches)
        line = next(aligned) if len(branch.cells) > 1 else branch.cells[0]
        yield f"{indent}{'└─' if is_last else '├─'} {line}"
        yield from _drawn(branch.below, right, f"{indent}{'   ' if is_last else '│  '}")


def _aligned(rows: Sequence[Sequence[str]], right: Sequence[int]) -> list[str]:
    filled = [column for column, cells in enumerate(zip(*rows, strict=True)) if any(cells)]
    kept = [[row[column] for column in filled] for row in rows]
    return table(kept, right=[filled.index(column) for column in right if column in filled]) if kept else []
