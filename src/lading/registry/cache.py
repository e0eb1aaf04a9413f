"""The cache: what runs of lading leave for later ones about registries. It knows files, and sends nothing.

In its folder are `registries`, with one small file for each registry (its scheme, its challenge, its tokens, the
names that were set last), and
`uploads` (see `upload_journal`). The files are readable by their owner only. Nothing depends on them: a file that is
lost, damaged or not ours costs a few requests, and nothing else. They hold no password and no refresh token. A token is
kept under a keyed hash of the credential that it was given for, and found with that credential only.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
import time
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from lading.folders import user_folder
from lading.registry import urls
from lading.registry.auth.challenge import Challenge
from lading.registry.auth.credentials import Proof
from lading.registry.auth.scopes import Scope, Token, granted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lading.registry.upload_journal import Journal

KEPT = 7 * 24 * 3600.0
"""How long what is known of a registry is remembered, in seconds, after it was last learned."""
ABSENCE_KEPT = 3600.0
"""How long a registry is remembered to lack something, in seconds: it may get a referrers API, or logins, any day."""
_VERSION = 1
_SIZE_LIMIT = 1024 * 1024
_TOKENS = 200
_NAMES = 200
_LEAST_LIFE = 5.0


class Cache:
    """What is remembered of all registries, and of uploads to them.

    Args:
        folder: where it is kept; None for memory only, so that it ends with the run.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder / "registries" if folder is not None else None
        self._hosts: dict[tuple[str, bool], HostCache] = {}
        self._uploads = folder / "uploads" if folder is not None else None

    @classmethod
    def of_user(cls) -> Cache:
        """The cache in the user's folder; one without a folder where the environment has `LADING_CACHE=0`."""
        if os.environ.get("LADING_CACHE") == "0":
            return cls()
        return cls(user_folder("cache"))

    @property
    def is_kept(self) -> bool:
        """Whether it is left for later runs."""
        return self._folder is not None

    @cached_property
    def uploads(self) -> Journal | None:
        """The uploads that were begun and not finished; None where there is no folder."""
        if self._uploads is None:
            return None
        from lading.registry.upload_journal import Journal

        return Journal(self._uploads)

    def host(self, registry: str, *, verified: bool = True) -> HostCache:
        """What is remembered of a registry.

        Args:
            registry: its name.
            verified: whether its certificate is verified. What is not verified may have been another server.
        """
        key = (registry, verified)
        if key not in self._hosts:
            self._hosts[key] = HostCache(registry, self._path(registry), verified=verified)
        return self._hosts[key]

    def save(self) -> None:
        """Write what was learned, beside what others have written meanwhile; where that fails, it is not remembered."""
        if self._folder is None:
            return
        for host in self._hosts.values():
            if host.changed and _is_ours(self._folder):
                with suppress(OSError):
                    host.save()
                    _prune(self._folder)

    def forget(self, registry: str) -> None:
        """Forget a registry."""
        for verified in (True, False):
            self._hosts.pop((registry, verified), None)
        if (path := self._path(registry)) is not None:
            with suppress(OSError):
                path.unlink()

    def _path(self, registry: str) -> Path | None:
        return self._folder / f"{quote(registry, safe='')}.json" if self._folder is not None else None


class HostCache:
    """What is remembered of one registry.

    Args:
        registry: its name.
        path: its file, which is read when something is asked for; None for none.
        verified: whether its certificate is verified.
    """

    def __init__(self, registry: str, path: Path | None = None, *, verified: bool = True) -> None:
        self._registry = registry
        self._path = path
        self._verified = verified
        self._read: _File | None = None
        self._kept: list[tuple[Proof | None, Token]] = []
        self._dropped: set[str] = set()
        self._before: set[str] = set()
        self._named: dict[str, str] = {}
        self.changed: bool = False

    @property
    def scheme(self) -> str:
        """`https` or `http`, as it answered last; empty where that is not known."""
        return self._file.scheme

    @scheme.setter
    def scheme(self, scheme: str) -> None:
        if self._file.scheme != scheme:
            self._file.scheme, self.changed = scheme, True

    @property
    def challenge(self) -> Challenge | None:
        """How it wants to be answered, without what is of one request only; None where that is not known."""
        return self._file.challenge

    @challenge.setter
    def challenge(self, challenge: Challenge | None) -> None:
        bare = challenge.bare if challenge is not None and self._may_trust(challenge) else None
        if self._file.challenge != bare:
            self._file.challenge, self.changed = bare, True

    @property
    def has_no_referrers(self) -> bool:
        """Whether it had no referrers API when it was asked for it, not long ago."""
        return _is_recent(self._file.no_referrers)

    @has_no_referrers.setter
    def has_no_referrers(self, absent: bool) -> None:
        if self.has_no_referrers != absent:
            self._file.no_referrers, self.changed = (time.time() if absent else 0.0), True

    @property
    def lists_referrers(self) -> bool:
        """Whether its referrers API was seen to list something."""
        return self._file.lists_referrers

    @lists_referrers.setter
    def lists_referrers(self, seen: bool) -> None:
        if self._file.lists_referrers != seen:
            self._file.lists_referrers, self.changed = seen, True

    @property
    def asks_nothing(self) -> bool:
        """Whether it named no way to log in when it was asked for one, not long ago."""
        return _is_recent(self._file.asks_nothing)

    @asks_nothing.setter
    def asks_nothing(self, nothing: bool) -> None:
        if self.asks_nothing != nothing:
            self._file.asks_nothing, self.changed = (time.time() if nothing else 0.0), True

    def named(self, name: str) -> str | None:
        """The digest that was put under a name from here last: it may be otherwise by now, and tells what to ask first.

        Args:
            name: a reference.
        """
        return self._file.names.get(name)

    def name(self, name: str, digest: str) -> None:
        """Remember the digest that was put under a name."""
        if next(reversed(self._file.names.items()), None) != (name, digest):
            self._file.names.pop(name, None)
            self._file.names[name] = self._named[name] = digest
            self.changed = True

    def tokens(self, proof: Proof | None, account: str = "") -> Sequence[Token]:
        """The tokens that were given for a proof and have not expired.

        Args:
            proof: of the credential; None for anonymous access.
            account: the user name that the tokens get.
        """
        now = time.time()
        whose = _identity(self._file.key, proof)
        found = []
        for kept in self._file.tokens:
            if kept.expires > now and hmac.compare_digest(kept.identity, whose):
                scopes = tuple(scope for text in kept.scopes if (scope := Scope.parse(text)) is not None)
                found.append(Token(kept.value, scopes, kept.expires, kept.realm, kept.service, account))
                self._before.add(kept.value)
        return found

    def keep(self, proof: Proof | None, token: Token) -> None:
        """Remember a token, unless it is of no use to another run: it ends soon, or allows less than was asked for.

        Args:
            proof: of the credential; None for anonymous access.
            token: the token.
        """
        allowed = granted(token)
        whole = allowed is None or all(any(one.covers(scope) for one in allowed) for scope in token.scopes)
        if self._path is not None and whole and token.expires - time.time() > _LEAST_LIFE:
            self._kept.append((proof, token))
            self.changed = True

    def drop(self, token: Token) -> None:
        """Forget a token: the registry does not take it."""
        self._dropped.add(token.value)
        self.changed = True

    def is_from_before(self, token: Token) -> bool:
        """Whether a token is of an earlier run."""
        return token.value in self._before

    def save(self) -> None:
        """Write what was learned into the file.

        Raises:
            OSError: it cannot be written.
        """
        if self._path is None:
            return
        now = time.time()
        mine, theirs = self._file, _load(self._path) or self._file
        tokens = {
            (kept.identity, tuple(kept.scopes), kept.realm, kept.service): kept
            for kept in theirs.tokens
            if kept.expires > now
        }
        for proof, token in self._kept:
            kept = _KeptToken(
                identity=_identity(theirs.key, proof),
                value=token.value,
                scopes=[str(scope) for scope in token.scopes],
                expires=token.expires,
                realm=token.realm,
                service=token.service,
            )
            tokens[kept.identity, tuple(kept.scopes), kept.realm, kept.service] = kept
        alive = [kept for kept in tokens.values() if kept.value not in self._dropped]
        older = {name: digest for name, digest in theirs.names.items() if name not in self._named}
        file = _File(
            version=_VERSION,
            learned=now,
            key=theirs.key,
            scheme=mine.scheme,
            challenge=mine.challenge,
            no_referrers=mine.no_referrers,
            lists_referrers=mine.lists_referrers,
            asks_nothing=mine.asks_nothing,
            tokens=sorted(alive, key=lambda kept: kept.expires)[-_TOKENS:],
            names=dict([*older.items(), *self._named.items()][-_NAMES:]),
        )
        # A file of its own, which only the owner can read; the rename is all or nothing, whatever other processes do.
        # (`tempfile` does no more, and takes longer to import than this whole room.)
        temporary = self._path.with_name(f"{self._path.name}.{os.urandom(8).hex()}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(msgspec.json.encode(file))
            temporary.replace(self._path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        self.changed = False

    def _may_trust(self, challenge: Challenge) -> bool:
        """Whether a token service may be asked in another run, before the registry names it there.

        A program that passed for a registry on this machine for a moment must not get its credentials for days.
        """
        if self._verified or challenge.scheme != "bearer":
            return True
        try:
            there = urls.origin(challenge.realm).host
        except ValueError:
            return False
        here = urls.split_port(self._registry.lower())[0]
        return there == here or (urls.is_loopback(there) and urls.is_loopback(here))

    @property
    def _file(self) -> _File:
        if self._read is None:
            self._read = _load(self._path) or _File(version=_VERSION, learned=time.time(), key=os.urandom(32))
        return self._read


class _KeptToken(msgspec.Struct):
    identity: bytes
    value: str
    scopes: list[str]
    expires: float
    realm: str
    service: str


class _File(msgspec.Struct):
    version: int
    learned: float
    """Seconds since the epoch."""
    key: bytes
    """What identities are hashed with."""
    scheme: str = ""
    challenge: Challenge | None = None
    no_referrers: float = 0.0
    """When it was found out, in seconds since the epoch; 0 for never."""
    lists_referrers: bool = False
    """Whether the referrers API was seen to list something."""
    asks_nothing: float = 0.0
    """When it was found out, likewise."""
    tokens: list[_KeptToken] = []
    names: dict[str, str] = {}
    """The digests that were put under references, the latest last."""


def _is_recent(moment: float) -> bool:
    """Whether what was found missing at a moment is still believed to be."""
    return 0 <= time.time() - moment < ABSENCE_KEPT


def _identity(key: bytes, proof: Proof | None) -> bytes:
    """What the tokens of a proof are kept under: a keyed hash, which does not tell the proof."""
    return hmac.new(key, msgspec.json.encode(proof), hashlib.sha256).digest()


def _load(path: Path | None) -> _File | None:
    """Read a file; None where there is none, or none that can be trusted and understood."""
    try:
        if path is None or not _is_ours(path.parent, make=False):
            return None
        # Neither a link nor a pipe is followed or waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            status = os.fstat(descriptor)
            private = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077
            if not private or status.st_size > _SIZE_LIMIT:
                return None
            file = msgspec.json.decode(stream.read(_SIZE_LIMIT), type=_File)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    fresh = -60 < time.time() - file.learned < KEPT
    sound = file.version == _VERSION and len(file.key) == 32 and file.scheme in ("", "http", "https")
    printable = all(all("!" <= character <= "~" for character in kept.value) for kept in file.tokens)
    return file if fresh and sound and printable else None


def _is_ours(folder: Path, *, make: bool = True) -> bool:
    """Whether only the user can change what is in a folder; it is made where it is not there."""
    try:
        if make:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022


def _prune(folder: Path) -> None:
    for path in folder.iterdir():
        with suppress(OSError):
            if time.time() - path.lstat().st_mtime > KEPT:
                path.unlink()
