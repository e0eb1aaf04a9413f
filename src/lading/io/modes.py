"""Changes of permissions as `chmod` takes them: `755`, or `u=rwX,go=rX`. Touches no files."""

from __future__ import annotations

import re

import msgspec

from lading.errors import UsageError

_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=][rwxXst]*)+)")
_ACTION = re.compile(r"([-+=])([rwxXst]*)")
_SHIFTS = {"u": 6, "g": 3, "o": 0}
_BITS = {"r": 4, "w": 2, "x": 1}


class ModeChange(msgspec.Struct, frozen=True):
    """A change of permissions. Without `u`, `g`, `o` or `a` it is for all; a umask does not count.

    Raises:
        UsageError: it is none.
    """

    text: str

    def __post_init__(self) -> None:
        """Refuse what is no change."""
        if not re.fullmatch(r"[0-7]{1,4}", self.text) and not all(map(_CLAUSE.fullmatch, self.text.split(","))):
            raise UsageError(f"{self.text!r} is no mode", remedy="give one such as 755 or u=rwX,go=rX")

    def apply(self, mode: int, *, is_directory: bool) -> int:
        """The permissions that come of others.

        Args:
            mode: the old ones.
            is_directory: whether they are a directory's: `X` is for these, and for what anybody may execute.
        """
        if self.text[0].isdigit():
            return int(self.text, 8)
        for clause in self.text.split(","):
            match = _CLAUSE.fullmatch(clause)
            assert match is not None
            whose = "ugo" if not match[1] or "a" in match[1] else match[1]
            for operator, letters in _ACTION.findall(match[2]):
                bits, mask = _meant(whose, letters, is_directory or bool(mode & 0o111))
                mode = mode | bits if operator == "+" else mode & ~bits if operator == "-" else mode & ~mask | bits
        return mode


def _meant(whose: str, letters: str, may_execute: bool) -> tuple[int, int]:
    """The bits that are meant, and all bits of those who are meant."""
    bits = mask = 0
    for one in set(whose):
        shift = _SHIFTS[one]
        mask |= 7 << shift
        for letter in letters:
            bits |= (1 if letter == "X" and may_execute else _BITS.get(letter, 0)) << shift
        special = {"u": 0o4000, "g": 0o2000}.get(one, 0)
        mask |= special
        bits |= special if "s" in letters else 0
    if "o" in whose:
        mask |= 0o1000
    if "t" in letters:
        bits |= 0o1000
    return bits, mask
