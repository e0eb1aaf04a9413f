"""What runs leave for later ones, in SQLite: what was mirrored, what was learned of digests, and a journal of writes.

Losing it costs requests, and never correctness: what it does not know is asked for. Knows no stores.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from lading.model.digest import Digest

VERSION = 1
"""Of the tables; one that is newer is put aside, like one that cannot be read."""
_TABLES = """
CREATE TABLE tags (
    target TEXT, tag TEXT, source TEXT, origin TEXT, digest TEXT, written INTEGER, first_seen TEXT, last_seen TEXT,
    vanished TEXT, PRIMARY KEY (target, tag)
) WITHOUT ROWID;
CREATE TABLE created (digest TEXT PRIMARY KEY, time TEXT) WITHOUT ROWID;
CREATE TABLE made (origin TEXT, how TEXT, digest TEXT, PRIMARY KEY (origin, how)) WITHOUT ROWID;
CREATE TABLE referrers (
    target TEXT, digest TEXT, how TEXT, subjects TEXT, found TEXT, PRIMARY KEY (target, digest, how)
) WITHOUT ROWID;
CREATE TABLE blobs (registry TEXT, digest TEXT, repository TEXT, PRIMARY KEY (registry, digest)) WITHOUT ROWID;
CREATE TABLE journal (target TEXT, tag TEXT, digest TEXT, began TEXT, PRIMARY KEY (target, tag)) WITHOUT ROWID;
CREATE TABLE runs (
    id INTEGER PRIMARY KEY, started TEXT, ended TEXT, outcome TEXT, mirror TEXT, counts TEXT
);
"""
_BUSY = 30.0


class KnownTag(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a tag at a target."""

    source: str
    """Where it was mirrored from."""
    origin: Digest
    """What the source had then."""
    digest: Digest
    """What the target got."""
    written: bool
    """Whether this mirror wrote it; else it was there, as the source has it."""
    first_seen: datetime
    last_seen: datetime
    """When the source was last seen to have it."""
    vanished: datetime | None = None
    """When the source was first seen not to have it any more."""


class KnownRun(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a run, for one mirror."""

    mirror: str
    started: datetime
    ended: datetime | None
    outcome: str
    counts: dict[str, int]


class State:
    """The state of a mirror file.

    Args:
        path: the file; None keeps it in memory.
        on_note: is told what is wrong with the file, and was got over.
    """

    def __init__(self, path: Path | None, on_note: Callable[[str], None] = lambda _: None) -> None:
        self._path = path
        self._note = on_note
        self._is_told = False
        self._database = self._open(path)

    @staticmethod
    def name_of(file: Path) -> str:
        """The name of the state of a mirror file: its own, and a mark of where it is."""
        stem = re.sub(r"[^\w.-]", "_", file.stem)[:80] or "mirror"
        return f"{stem}-{hashlib.sha256(str(file.absolute()).encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"

    def close(self) -> None:
        """Close the file."""
        with suppress(sqlite3.Error):
            self._database.close()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Keep at once what is told while the context lasts: that is faster, and lost as one where the process dies."""
        self._do("BEGIN")
        try:
            yield
        finally:
            if self._database.in_transaction:
                self._do("COMMIT")

    # Tags

    def tags(self, target: str) -> dict[str, KnownTag]:
        """What is known of the tags of a target; of those whose write did not end, nothing."""
        rows = self._rows(
            "SELECT tag, source, origin, digest, written, first_seen, last_seen, vanished FROM tags WHERE target = ?"
            " AND tag NOT IN (SELECT tag FROM journal WHERE journal.target = tags.target)",
            target,
        )
        return {
            tag: KnownTag(
                source=source,
                origin=Digest(origin),
                digest=Digest(digest),
                written=bool(written),
                first_seen=datetime.fromisoformat(first),
                last_seen=datetime.fromisoformat(last),
                vanished=datetime.fromisoformat(vanished) if vanished else None,
            )
            for tag, source, origin, digest, written, first, last, vanished in rows
        }

    def begin(self, target: str, tag: str, digest: Digest | None) -> None:
        """A tag is about to be written."""
        self._do("INSERT OR REPLACE INTO journal VALUES (?, ?, ?, ?)", target, tag, digest, _now())

    def end(self, target: str, tag: str) -> None:
        """A tag was written, or surely was not."""
        self._do("DELETE FROM journal WHERE target = ? AND tag = ?", target, tag)

    def begun(self, target: str) -> dict[str, Digest]:
        """What was about to be written when a run died, by tag."""
        rows = self._rows("SELECT tag, digest FROM journal WHERE target = ? AND digest IS NOT NULL", target)
        return {tag: Digest(digest) for tag, digest in rows}

    def saw(self, target: str, tag: str, source: str, origin: Digest, digest: Digest, *, written: bool) -> None:
        """A tag is at the target as the source has it."""
        now = _now()
        self._do(
            "INSERT INTO tags VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL) ON CONFLICT (target, tag) DO UPDATE SET"
            " source = excluded.source, origin = excluded.origin, digest = excluded.digest,"
            " written = max(excluded.written, written AND digest = excluded.digest),"
            " last_seen = excluded.last_seen, vanished = NULL",
            *(target, tag, source, origin, digest, int(written), now, now),
        )

    def vanished(self, target: str, tag: str) -> None:
        """The source does not have a tag any more."""
        self._do("UPDATE tags SET vanished = coalesce(vanished, ?) WHERE target = ? AND tag = ?", _now(), target, tag)

    def adopt(self, target: str, tag: str, source: str, digest: Digest) -> None:
        """A tag is at the target that the source does not have, and that counts as one that has gone from it."""
        now = _now()
        self._do(
            "INSERT OR IGNORE INTO tags VALUES (?, ?, ?, ?, ?, 0, ?, ?, ?)",
            *(target, tag, source, digest, digest, now, now, now),
        )

    def forget(self, target: str, tag: str) -> None:
        """A tag is no longer at the target."""
        self._do("DELETE FROM tags WHERE target = ? AND tag = ?", target, tag)

    # What is true of a digest for ever

    def created(self, digests: Iterable[Digest]) -> dict[Digest, datetime | None]:
        """When images were made, as far as that was found out; None where an image does not say so."""
        found: dict[Digest, datetime | None] = {}
        for digest in digests:
            for (time,) in self._rows("SELECT time FROM created WHERE digest = ?", digest):
                found[digest] = datetime.fromisoformat(time) if time else None
        return found

    def learn_created(self, digest: Digest, time: datetime | None) -> None:
        """When an image was made."""
        self._do("INSERT OR REPLACE INTO created VALUES (?, ?)", digest, time.isoformat() if time else None)

    def made(self, origin: Digest, how: str) -> Digest | None:
        """What came of a manifest when it was changed so; None where that is not known."""
        rows = self._rows("SELECT digest FROM made WHERE origin = ? AND how = ?", origin, how)
        return next((Digest(digest) for (digest,) in rows), None)

    def learn_made(self, origin: Digest, how: str, digest: Digest) -> None:
        """What came of a manifest."""
        self._do("INSERT OR REPLACE INTO made VALUES (?, ?, ?)", origin, how, digest)

    # What refers to what is at a target

    def referrers(self, target: str, digest: Digest, how: str) -> tuple[list[Digest], str] | None:
        """What was looked at for referrers, and a mark of what was found; None where that is not known."""
        rows = self._rows(
            "SELECT subjects, found FROM referrers WHERE target = ? AND digest = ? AND how = ?", target, digest, how
        )
        return next(([Digest(one) for one in subjects.split()], found) for subjects, found in rows) if rows else None

    def learn_referrers(self, target: str, digest: Digest, how: str, subjects: Iterable[Digest], found: str) -> None:
        """What was looked at for referrers, and what was found and brought to the target."""
        self._do(
            "INSERT OR REPLACE INTO referrers VALUES (?, ?, ?, ?, ?)", target, digest, how, " ".join(subjects), found
        )

    # Blobs

    def home(self, registry: str, digest: Digest) -> str | None:
        """A repository of a registry that had a blob."""
        rows = self._rows("SELECT repository FROM blobs WHERE registry = ? AND digest = ?", registry, digest)
        return str(rows[0][0]) if rows else None

    def shelved(self, registry: str, digest: Digest, repository: str) -> None:
        """A repository of a registry has a blob."""
        self._do("INSERT OR REPLACE INTO blobs VALUES (?, ?, ?)", registry, digest, repository)

    # Runs

    def ran(self, mirror: str, started: datetime, ended: datetime, outcome: str, counts: dict[str, int]) -> None:
        """A run is over."""
        self._do(
            "INSERT INTO runs (started, ended, outcome, mirror, counts) VALUES (?, ?, ?, ?, ?)",
            *(started.isoformat(), ended.isoformat(), outcome, mirror, msgspec.json.encode(counts).decode()),
        )
        self._do(
            "DELETE FROM runs WHERE mirror = ? AND id NOT IN"
            " (SELECT id FROM runs WHERE mirror = ? ORDER BY id DESC LIMIT 20)",
            *(mirror, mirror),
        )

    def runs(self, mirror: str) -> list[KnownRun]:
        """The last runs of a mirror, the newest first."""
        rows = self._rows(
            "SELECT started, ended, outcome, counts FROM runs WHERE mirror = ? ORDER BY id DESC LIMIT 20", mirror
        )
        return [
            KnownRun(
                mirror=mirror,
                started=datetime.fromisoformat(started),
                ended=datetime.fromisoformat(ended) if ended else None,
                outcome=outcome,
                counts=msgspec.json.decode(counts, type=dict[str, int]),
            )
            for started, ended, outcome, counts in rows
        ]

    # The file

    def _open(self, path: Path | None) -> sqlite3.Connection:
        if path is None:
            return _prepared(":memory:")
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                return _prepared(str(path))
            except _Newer as newer:
                aside = path.with_name(f"{path.name}.v{newer.version}")
                self._note(f"{path} is of a newer lading: it is put aside as {aside.name}, and made again")
            except sqlite3.OperationalError:
                raise  # it cannot be opened, or there is no room
            except (sqlite3.DatabaseError, ValueError, TypeError) as error:
                aside = path.with_name(f"{path.name}.damaged")
                self._note(f"{path} is damaged ({error}): it is put aside as {aside.name}, and made again")
            for end in ("-wal", "-shm"):
                path.with_name(path.name + end).unlink(missing_ok=True)
            path.replace(aside)
            return _prepared(str(path))
        except (OSError, sqlite3.Error) as error:
            self._fail(error)
            return _prepared(":memory:")

    def _do(self, statement: str, *values: Any) -> None:
        try:
            self._database.execute(statement, values)
        except sqlite3.Error as error:
            self._fail(error)

    def _rows(self, statement: str, *values: Any) -> list[Any]:
        try:
            return self._database.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            self._fail(error)
            return []

    def _fail(self, error: Exception) -> None:
        """Say once that nothing is kept."""
        if not self._is_told:
            self._is_told = True
            self._note(f"{self._path} cannot be used ({str(error).lower()}): this run goes on, and the next asks again")


class _Newer(Exception):
    """A newer lading made the file."""

    def __init__(self, version: int) -> None:
        super().__init__(version)
        self.version = version


def _prepared(path: str) -> sqlite3.Connection:
    """A database with all tables.

    Raises:
        _Newer: it has others.
        sqlite3.Error: it is no database, or cannot be used.
    """
    database = sqlite3.connect(path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise _Newer(version)
        if version < VERSION:
            # Another run may be making the tables just now.
            database.execute("BEGIN IMMEDIATE")
            if database.execute("PRAGMA user_version").fetchone()[0] < VERSION:
                for statement in filter(str.strip, _TABLES.split(";")):
                    database.execute(statement)
                database.execute(f"PRAGMA user_version = {VERSION}")
            database.execute("COMMIT")
        if database.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("its pages do not fit together")
    except BaseException:
        database.close()
        raise
    return database


def _now() -> str:
    return datetime.now(UTC).isoformat()
