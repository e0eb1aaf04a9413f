"""The store of drafts: Docker's own folder of local manifest lists, shared with Docker in both directions.

This module knows folders, locks and the order of writes. It knows neither the form of the files (`docker_files` and
`sidecar` do) nor registries. A change is made under a lock, whole or not at all: a single file is renamed into place,
and anything larger is a new folder that takes the place of the old one. What is saved lasts when the power is lost.

    manifests/<list>/<entry>             Docker's files
    manifests/.lading/<list>/<id>.json   what lading remembers of the list (Docker never looks here)
    manifests/.lading/<list>/new         a list that is being written
    manifests/.lading/locks/<nn>         locks, shared by few lists each
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from lading.drafts.atomic_folder import Stamp, finish_staged, put_in_place, remove_tree
from lading.drafts.docker_files import (
    docker_order,
    encode_entry,
    file_name,
    guess_reference,
    name_of,
    references_of,
)
from lading.drafts.draft import Draft, DraftEntry
from lading.drafts.folder import ListFolder, is_fresh, stamps_of
from lading.drafts.sidecar import Notes, read_notes, write_notes
from lading.errors import Conflict, InvalidContent, LadingError, NotFound, way_on
from lading.folders import NOWHERE, home
from lading.io.files import lock_inside, make_folder, open_inside, path_inside, sync_folder, write_file
from lading.io.locks import OnWait, Wait
from lading.model.encoding import check_text, decode
from lading.model.reference import Reference

LOCK_PATIENCE = 60
"""How long to wait for another process that is writing, in seconds. Writing takes milliseconds."""

_OURS = ".lading"
_READS = 20
_WRITES = 4
_PAUSE = 0.01

Change = Callable[[Draft | None], Draft]
"""Makes the new state of a draft from the present one; None where there is no draft."""


class DraftStore:
    """The drafts of one user.

    Args:
        root: the folder that holds them; by default `manifests` in Docker's configuration folder.
        config_dir: Docker's configuration folder; by default `$DOCKER_CONFIG`, else `~/.docker`.
        on_wait: is told when another process has been writing to a draft for some seconds.

    Its methods are synchronous, for the files are small. They raise `LadingError`s only.
    """

    def __init__(
        self, root: Path | None = None, *, config_dir: Path | None = None, on_wait: OnWait | None = None
    ) -> None:
        config = config_dir or Path(os.environ.get("DOCKER_CONFIG") or home() / ".docker")
        self.root: Path = root or config / "manifests"
        self._on_wait = on_wait

    def list(self) -> tuple[Draft, ...]:
        """Every draft, by name; one that cannot be read has a `problem` instead of entries."""
        if NOWHERE in self.root.parents:
            return ()
        with _reporting(self.root):
            drafts = [self._listed(name) for name in self._folders()]
        return tuple(sorted((draft for draft in drafts if draft is not None), key=lambda draft: draft.reference))

    def exists(self, reference: Reference) -> bool:
        """Whether there is a list of this name, or one of another name whose folder has the same name."""
        return (self.root / file_name(reference)).is_dir()

    def load(self, reference: Reference) -> Draft:
        """The draft of this name.

        Raises:
            NotFound: there is none.
            Conflict: there is one of another name whose folder has the same name.
            InvalidContent: a file of it is malformed or damaged; the message names the file.
        """
        with _reporting(self.root):
            state = self._read(file_name(reference), reference)
        if state is None:
            raise NotFound(
                f"No such manifest: {reference}",
                cause="there is no local manifest list of this name",
                remedy="make one, or load one that there is",
                code="draft-not-found",
                fields={"draft": str(reference)},
            )
        return state.draft

    def save(self, draft: Draft) -> Draft:
        """Write a draft; one of the same name is replaced. Returns the draft as it is then."""
        return self.update(draft.reference, lambda _: draft, replace=True)

    def update(self, reference: Reference, change: Change, *, replace: bool = False) -> Draft:
        """Change a draft while no other lading can: read, change, write.

        Args:
            reference: its name.
            change: makes the new state from the present one; what it raises leaves everything as it was.
            replace: a draft that cannot be read counts as none, and is overwritten.

        Returns:
            The draft as it is then.

        Raises:
            Conflict: there is a list of another name whose folder has the same name.
            InvalidContent: the draft cannot be read, or could not be read once it was written.
        """
        name = file_name(reference)
        with _reporting(self.root), self._locked(name):
            finish_staged(self._ours(name) / "staged", self._folder(name))
            before = self._read_for_change(name, reference, replace)
            draft = change(before.draft if before.readable else None)
            _check(draft)
            self._write(name, before, draft)
            after = self._read(name, reference)
        if after is None:
            raise Conflict(f"{reference} was removed by another program while it was being written")
        return after.draft

    def remove(self, references: Iterable[Reference]) -> tuple[Reference, ...]:
        """Remove drafts, readable or not.

        Returns:
            The names among them for which there was no draft.

        Raises:
            Conflict: there is a list of another name whose folder has the same name; the drafts before it are removed.
        """
        return tuple(reference for reference in references if not self._remove(reference))

    def remove_if_same(self, draft: Draft) -> bool:
        """Remove a draft unless it has changed since it was loaded. Returns whether it was removed."""
        return self._remove(draft.reference, expected=draft)

    def prune(self, *, older_than: timedelta | None = None, dry_run: bool = False) -> tuple[Reference, ...]:
        """Remove the drafts that have not changed for some time, and notes whose lists Docker has removed.

        Args:
            older_than: for how long; None for all drafts.
            dry_run: change nothing.

        Returns:
            The names of the drafts that were removed, or would be.
        """
        limit = datetime.now(UTC) - older_than if older_than is not None else None
        old = [draft for draft in self.list() if limit is None or draft.changed is None or draft.changed <= limit]
        if not dry_run:
            self.remove(draft.reference for draft in old)
            with _reporting(self.root):
                self._remove_leftovers()
        return tuple(draft.reference for draft in old)

    # Reading

    def _folders(self) -> Iterator[str]:
        try:
            names = {path.name: None for path in self.root.iterdir()}
        except FileNotFoundError:
            return
        for name in docker_order(names):
            if not name.startswith(".") and (self.root / name).is_dir():
                yield name

    def _listed(self, name: str) -> Draft | None:
        try:
            state = self._read(name)
        except (InvalidContent, OSError) as error:
            reference = self._recorded_reference(name) or guess_reference(name)
            return Draft(reference=reference, problem=str(error)) if reference is not None else None
        return state.draft if state is not None else None

    def _read(self, name: str, reference: Reference | None = None) -> _State | None:
        """The state of a list; None where there is none, or, without a reference, where it is no list at all."""
        if (self._ours(name) / "staged").is_dir():
            with self._locked(name):
                finish_staged(self._ours(name) / "staged", self._folder(name))
        for attempt in range(_READS):
            last = attempt == _READS - 1
            try:
                state = ListFolder.read(self._folder(name))
            except InvalidContent:
                # Docker truncates a file before it writes it.
                if attempt >= _WRITES or not is_fresh(self._folder(name)):
                    raise
            except FileNotFoundError:
                if last:
                    raise
            else:
                return None if state is None else self._with_notes(name, state, reference)
            time.sleep(_PAUSE)
        raise AssertionError("unreachable")

    def _read_for_change(self, name: str, reference: Reference, replace: bool) -> _State:
        try:
            return self._read(name, reference) or _State()
        except InvalidContent:
            if not replace:
                raise
            return _State(stamps=stamps_of(self._folder(name)))

    def _with_notes(self, name: str, folder: ListFolder, reference: Reference | None) -> _State | None:
        notes, forgotten = self._notes_of(name, folder)
        warnings = tuple(
            f"{self.root / name / file} is no part of a list: Docker fails on it" for file in folder.foreign
        )
        if notes is not None:
            draft = notes.describe(folder.entries)
        else:
            possible = references_of(name, folder.entries.values())
            if reference is not None and possible and reference not in possible:
                raise _collision(reference, possible[0])
            own = reference or next(iter(possible), None) or guess_reference(name)
            if own is None:
                return None
            entries = tuple(folder.entries[file] for file in docker_order(folder.entries))
            draft = Draft(reference=own, entries=entries, ordered=False)
            if forgotten:
                warnings = (*warnings, f"Docker made {own} anew: its annotations and its type are forgotten")
        if reference is not None and draft.reference != reference:
            raise _collision(reference, draft.reference)
        return _State(
            draft=msgspec.structs.replace(
                draft, changed=datetime.fromtimestamp(folder.changed, UTC), warnings=warnings
            ),
            list_id=notes.id if notes is not None else "",
            stamps=folder.stamps,
            foreign=folder.foreign,
            readable=True,
        )

    def _notes_of(self, name: str, folder: ListFolder) -> tuple[Notes | None, bool]:
        """The notes that belong to what is in the folder, and whether there are others that said something."""
        every = [notes for path in self._notes_files(name) if (notes := _load_notes(path, name)) is not None]
        for list_id, _ in Counter(folder.ids).most_common():
            for notes in every:
                if notes.id == list_id:
                    return notes, False
        # Docker may have rewritten every entry: then the folder alone shows that it is still the same list.
        same = next((notes for notes in every if notes.folder == folder.identity), None)
        return same, any(notes.annotations or notes.base or notes.type != "auto" for notes in every)

    def _recorded_reference(self, name: str) -> Reference | None:
        every = [_load_notes(path, name) for path in self._notes_files(name)]
        return next((Reference.parse(notes.reference) for notes in every if notes is not None), None)

    def _notes_files(self, name: str) -> tuple[Path, ...]:
        return tuple(sorted(self._ours(name).glob("*.json")))

    def _ours(self, name: str) -> Path:
        return path_inside(self.root, f"{_OURS}/{name}/file").parent

    def _folder(self, name: str) -> Path:
        """Docker's folder of a list."""
        return path_inside(self.root, f"{name}/file").parent

    # Writing

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        number = hashlib.sha256(os.fsencode(name)).hexdigest()[:2]
        locks = path_inside(self.root, f"{_OURS}/locks/{number}").parent
        make_folder(locks, 0o755)
        wait = Wait(self.root / name, locks / number, LOCK_PATIENCE, self._on_wait)
        while (lock := lock_inside(locks, number)) is None:
            time.sleep(wait.pause())
        try:
            yield
        finally:
            os.close(lock)

    def _write(self, name: str, before: _State, draft: Draft) -> None:
        if before.readable and _same(before.draft, draft):
            return
        if not before.readable and draft.created is None:
            draft = msgspec.structs.replace(draft, created=datetime.now(UTC))
        make_folder(self._ours(name), 0o755)
        small = _small_change(before, draft)
        list_id = before.list_id if small is not None and before.list_id else secrets.token_hex(8)
        if small is None:
            self._write_whole(name, before, draft, list_id)
        else:
            for entry in small:
                written = self._ours(name) / "entry"
                write_file(written, encode_entry(entry, list_id))
                written.replace(self._folder(name) / name_of(entry))
                sync_folder(self._folder(name))
            self._write_notes(name, draft, list_id)
        for other in self._notes_files(name):
            if other.stem != list_id:
                other.unlink(missing_ok=True)

    def _write_whole(self, name: str, before: _State, draft: Draft, list_id: str) -> None:
        ours, path = self._ours(name), self._folder(name)
        new = ours / "new"
        remove_tree(new)
        new.mkdir(0o755)
        for entry in draft.entries:
            write_file(new / name_of(entry), encode_entry(entry, list_id))
        for file in before.foreign:
            if stat.S_ISREG((path / file).lstat().st_mode):
                os.link(path / file, new / file)
        self._write_notes(name, draft, list_id, folder=new)
        kept = {name_of(entry) for entry in draft.entries}
        replaced = put_in_place(
            new, path, ours / "staged", lambda: [file for file in before.stamps if file not in kept]
        )
        if replaced:
            _rescue(new, path, before)
        else:
            self._write_notes(name, draft, list_id)
        remove_tree(new)

    def _write_notes(self, name: str, draft: Draft, list_id: str, folder: Path | None = None) -> None:
        status = (folder or self._folder(name)).stat()
        written = self._ours(name) / "notes"
        write_file(written, write_notes(draft, list_id, (status.st_ino, status.st_mtime_ns)))
        written.replace(self._ours(name) / f"{list_id}.json")
        sync_folder(self._ours(name))

    def _remove(self, reference: Reference, expected: Draft | None = None) -> bool:
        name = file_name(reference)
        with _reporting(self.root):
            if not self.exists(reference):
                return False
            with self._locked(name):
                finish_staged(self._ours(name) / "staged", self._folder(name))
                state = self._read_for_change(name, reference, replace=True)
                if not self.exists(reference) or (expected is not None and not _same(expected, state.draft)):
                    return False
                make_folder(self._ours(name), 0o755)
                old = self._ours(name) / "new"
                remove_tree(old)
                try:
                    self._folder(name).rename(old)
                except OSError:
                    remove_tree(self._folder(name))
                sync_folder(self.root)
                remove_tree(self._ours(name))
        return True

    def _remove_leftovers(self) -> None:
        try:
            names = [path.name for path in (self.root / _OURS).iterdir()]
        except FileNotFoundError:
            return
        for name in names:
            if name == "locks":
                continue
            with self._locked(name):
                if not self._folder(name).is_dir() and not (self._ours(name) / "staged").is_dir():
                    remove_tree(self._ours(name))


def must_exist(store: DraftStore, target: Reference) -> None:
    """Refuse a draft that does not exist before anything is locked: a lock would leave a file for a mistyped name.

    Raises:
        NotFound: there is no draft of this name.
    """
    if not store.exists(target):
        raise no_draft(target)


def no_draft(target: Reference) -> NotFound:
    """The error for a draft that does not exist but should."""
    return NotFound(
        f"No such manifest: {target}",
        cause="there is no local manifest list of this name",
        remedy="make one, or pull a list from a registry",
        code="draft-missing",
        fields={"draft": str(target)},
    )


def draft_exists(target: Reference, *, amend: bool = True) -> Conflict:
    """The error for a draft that exists but should not.

    Args:
        target: its name.
        amend: whether it could be extended instead.
    """
    return Conflict(
        f"there is a local manifest list {target} already",
        remedy="amend it, or start over and replace it" if amend else "start over and replace it",
        code="draft-exists",
        fields={"draft": str(target), "amend": amend},
    )


_NOTHING = Draft(reference=Reference("", ""))


class _State(msgspec.Struct, kw_only=True):
    """A list as it was read."""

    draft: Draft = _NOTHING
    list_id: str = ""
    stamps: dict[str, Stamp] = {}
    foreign: tuple[str, ...] = ()
    readable: bool = False


def _check(draft: Draft) -> None:
    """Refuse a draft that could not be read once it was written."""
    check_text({"annotations": draft.annotations, "base": draft.base}, str(draft.reference))
    for entry in draft.entries:
        check_text(entry.descriptor.to_document(), str(entry.reference))
        if entry.raw:
            check_text(decode(entry.raw, limit=len(entry.raw)), str(entry.reference))


def _load_notes(path: Path, name: str) -> Notes | None:
    try:
        with os.fdopen(open_inside(path.parent, path.name), "rb") as file:
            notes = read_notes(file.read())
        if notes is None or path.stem != notes.id or file_name(Reference.parse(notes.reference)) != name:
            return None
        notes.describe({})
    except (OSError, ValueError, OverflowError, LadingError):
        return None
    return notes


def _small_change(before: _State, draft: Draft) -> list[DraftEntry] | None:
    """The entries to write, at most one, where that alone makes the change; None where the list must be replaced."""
    if not before.readable:
        return None
    old = {name_of(entry): encode_entry(entry) for entry in before.draft.entries}
    new = {name_of(entry): entry for entry in draft.entries}
    if list(new)[: len(old)] != list(old):
        return None
    changed = [entry for name, entry in new.items() if encode_entry(entry) != old.get(name)]
    if len(changed) > 1 or (changed and _about_list(before.draft) != _about_list(draft)):
        return None
    return changed


def _about_list(draft: Draft) -> tuple[object, ...]:
    return draft.annotations, draft.base, draft.type


def _same(one: Draft, other: Draft) -> bool:
    return (one.entries, one.ordered, one.origin, *_about_list(one)) == (
        other.entries,
        other.ordered,
        other.origin,
        *_about_list(other),
    )


def _rescue(old: Path, path: Path, before: _State) -> None:
    """Carry over what another program wrote into a folder while it was being replaced, and foreign folders."""
    for name, now in stamps_of(old).items():
        if before.stamps.get(name) != now or (name in before.foreign and not (path / name).exists()):
            (old / name).replace(path / name)


def _collision(reference: Reference, other: Reference) -> Conflict:
    return Conflict(
        f"{reference} cannot be a local manifest list beside {other}",
        cause="Docker's store keeps both in one folder",
        remedy="push and remove the other first",
        code="draft-collision",
        fields={"draft": str(reference), "other": str(other)},
    )


@contextmanager
def _reporting(root: Path) -> Iterator[None]:
    """Turn the operating system's errors into ours."""
    try:
        yield
    except OSError as error:
        where = os.fsdecode(error.filename) if error.filename is not None else root
        if NOWHERE in root.parents:
            raise LadingError(
                "there is nowhere to keep local manifest lists",
                cause="this user has no home, and DOCKER_CONFIG is not set",
                remedy="set HOME, or DOCKER_CONFIG to a folder",
                code="no-home",
            ) from None
        cause = error.strerror or str(error)
        raise LadingError(f"{where} cannot be used", cause=cause, remedy=way_on(error)) from error
