"""Users and their passwords: an htpasswd file with bcrypt hashes.

This module knows passwords, and nothing of what users may do. It keeps no password, and shows none.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Mapping

import bcrypt

from lading.errors import UsageError
from lading.serve.auth.access import ANONYMOUS, EVERYBODY
from lading.serve.reloaded_file import Watched

_HASH = re.compile(r"\$2[aby]\$(0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{53}")
_OTHER_HASHES = (("$apr1$", "an MD5 hash"), ("{SHA}", "a SHA-1 hash"), ("$5$", "a SHA-256"), ("$6$", "a SHA-512 hash"))
_REMEDY = "make the line anew with bcrypt: htpasswd -B FILE USER"
_LENGTH = 72  # bytes of a password that bcrypt looks at
_REMEMBERED = 1024  # how many passwords are known to be right
_AT_ONCE = 2  # how many are checked at once: bcrypt is slow on purpose, and others need the processor, too


class Users:
    """The users in an htpasswd file, which may change at any time.

    Args:
        path: the file; each of its lines is `USER:HASH`, empty, or a comment that begins with `#`.

    Raises:
        UsageError: it cannot be read, or has hashes of another kind than bcrypt.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._hashes: Watched[Mapping[str, bytes]] = Watched(path, parse_htpasswd)
        self._salt = secrets.token_bytes(32)
        self._right: dict[bytes, None] = {}
        self._checking = asyncio.Semaphore(_AT_ONCE)

    def mark(self, user: str) -> str | None:
        """A text that changes when a user's password does; None for a name that no user has."""
        known = self._hashes.value.get(user)
        return None if known is None else hashlib.sha256(b"lading\0" + known).hexdigest()[:32]

    async def verify(self, user: str, password: bytes) -> bool:
        """Whether this is a user's password. It takes as long if there is no such user."""
        hashes = self._hashes.value
        known = hashes.get(user)
        # A password that was right is known again by a hash that is of no use outside of this process, nor after the
        # line in the file has changed.
        key = hmac.digest(self._salt, b"\0".join((user.encode(), known or b"", password)), "sha256")
        if key in self._right:
            return True
        async with self._checking:
            if key in self._right:  # others have asked for the same
                return True
            wanted = known or _decoy(hashes)
            right = await asyncio.to_thread(_check, password, wanted) and known is not None
        if right:
            if len(self._right) >= _REMEMBERED:
                del self._right[next(iter(self._right))]
            self._right[key] = None
        return right


def parse_htpasswd(text: str, name: str) -> Mapping[str, bytes]:
    """The users of an htpasswd file, with their hashes.

    Args:
        text: its content.
        name: what it is called in errors.

    Raises:
        UsageError: a line is not `USER:HASH`, or its hash not bcrypt's.
    """
    users: dict[str, bytes] = {}
    for number, line in enumerate(map(str.strip, text.split("\n")), 1):
        if not line or line.startswith("#"):
            continue
        user, colon, hashed = line.partition(":")
        if not user or not colon:
            raise UsageError(f"line {number} of {name} is not USER:HASH", remedy=_REMEDY)
        if not _HASH.fullmatch(hashed):
            other = next((kind for prefix, kind in _OTHER_HASHES if hashed.startswith(prefix)), "none")
            raise UsageError(
                f"the hash in line {number} of {name} is not of bcrypt", cause=f"it is {other}", remedy=_REMEDY
            )
        if user in users:
            raise UsageError(f"{name} has the user {user} twice", cause=f"the second time in line {number}")
        if user in {ANONYMOUS, EVERYBODY}:
            raise UsageError(f"line {number} of {name} has a user {user}", cause="rules mean something else by it")
        users[user] = hashed.encode()
    return users


def _check(password: bytes, hashed: bytes) -> bool:
    try:
        return bcrypt.checkpw(password[:_LENGTH], hashed)
    except ValueError:  # what no password can have in it
        return False


def _decoy(hashes: Mapping[str, bytes]) -> bytes:
    """A hash that nothing has, and that takes as long as the others."""
    cost = max((hashed.split(b"$")[2] for hashed in hashes.values()), default=b"10")
    return b"$2b$%s$%s" % (cost, b"." * 53)
