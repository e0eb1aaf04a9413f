"""The warm process: it waits for commands, and has a child for each. It runs none itself, and reads nothing of them.

The child for the next command is forked ahead of time, when one has ended: it gets ready while nobody waits for it.

It begins no thread, since a fork has none of them, and its environment is what Python reads at its start, and no more.
It ends when nobody has asked for a while, and when what it has imported is no longer what is installed.
"""

from __future__ import annotations

import fcntl
import gc
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import msgspec

from lading.errors import Conflict, LadingError
from lading.warm import address, open_folder
from lading.warm.child import GO, NO_COMMAND, Run, wait
from lading.warm.client import peer

_LOOK = 30.0
"""How often it looks whether it is still needed, in seconds."""
_PAUSE = 0.05
"""How long nothing has to happen while commands run before a child for the next one gets ready, in seconds."""


class Status(msgspec.Struct):
    """What a warm process says of itself."""

    pid: int
    began: float
    """Seconds since the epoch."""
    idle: float
    """After how many seconds without a command it ends."""
    commands: int
    """How many commands it has run."""
    used: float
    """When the last one came, in seconds since the epoch; when it began, if none has come."""


def keep(idle: float, run: Run, rehearse: Callable[[], object]) -> None:
    """Be the warm process until it is not needed any more.

    Args:
        idle: after how many seconds without a command that is so.
        run: runs a command, in a child.
        rehearse: does something like a command, which leaves nothing behind; the first time in this process.

    Raises:
        Conflict: there is one already.
        LadingError: there is no folder for it that is the user's alone.
    """
    path = Path(address())
    with _Lock(path) as folder:
        rehearse()
        _Keeper(path, idle, run, rehearse).run(folder)


class _Lock:
    """Held by the warm process as long as it lives."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(f"{path.name}.lock")

    def __enter__(self) -> int:
        """Take it; gives the folder, opened."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise LadingError(f"{self._path.parent} cannot be made", cause=str(error.strerror).lower()) from None
        opened = open_folder(str(self._path.parent))
        if opened is None:
            raise LadingError(
                f"{self._path.parent} is not yours alone",
                cause="it belongs to another user, is a link, or others may do something in it",
                remedy=f"set its permissions: chmod 700 {self._path.parent}",
            )
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            os.close(opened)
            raise Conflict("there is a warm process already", remedy="see: lading warm status") from None
        return opened

    def __exit__(self, *_: object) -> None:
        os.close(self._file)


class _Keeper:
    def __init__(self, path: Path, idle: float, run: Run, rehearse: Callable[[], object]) -> None:
        self._path = path
        self._run_command = run
        self._rehearse = rehearse
        now = time.time()
        self._status = Status(os.getpid(), now, idle, 0, now)
        self._installed = _installed()
        self._children: dict[int, socket.socket] = {}
        """The children that have a command, with the connections that they came on."""
        self._killed: set[int] = set()
        """Those of them that nobody waits for any more."""
        self._next: tuple[int, socket.socket] | None = None
        """The child for the next command, and the way to it."""
        self._is_due = True
        """Whether there is to be a new one: one for each command, so that what ends them does not go on for ever."""
        self._ends = False

    def run(self, folder: int) -> None:
        """Do so, with the socket in a folder that is open."""
        awake, signals = socket.socketpair()
        listener = socket.socket(socket.AF_UNIX)
        with awake, signals, listener:
            self._run(folder, listener, awake, signals)

    def _run(self, folder: int, listener: socket.socket, awake: socket.socket, signals: socket.socket) -> None:
        for one in (awake, signals):
            one.setblocking(False)
        signal.set_wakeup_fd(signals.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._end)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        with suppress(FileNotFoundError):
            self._path.unlink()
        mask = os.umask(0o177)
        listener.bind(f"/proc/self/fd/{folder}/{self._path.name}")
        os.umask(mask)
        listener.listen(64)
        listener.setblocking(False)
        place = self._path.stat()
        gc.disable()
        gc.collect()
        gc.freeze()
        try:
            while not self._ends:
                if self._is_due and not self._children:
                    self._get_ready()
                if not self._wait(listener, awake):
                    if self._is_done(place):
                        break
                    if self._is_due:
                        self._get_ready()
        finally:
            if _same(self._path, place):
                self._path.unlink()
            listener.close()
            os.close(folder)
            if self._next is not None:
                self._next[1].close()
        # Who has handed a command over waits for its end.
        while self._children:
            self._wait(None, awake)

    def _end(self, *_: object) -> None:
        self._ends = True

    def _is_done(self, place: os.stat_result) -> bool:
        unused = not self._children and time.time() - self._status.used > self._status.idle
        return unused or not _same(self._path, place) or _installed() != self._installed

    def _wait(self, listener: socket.socket | None, awake: socket.socket) -> bool:
        """Wait for a command, for the end of one, or for one that nobody waits for any more; False if nothing came."""
        poll = select.poll()
        poll.register(awake, select.POLLIN)
        if listener is not None:
            poll.register(listener, select.POLLIN)
        waiting = {one.fileno(): pid for pid, one in self._children.items() if pid not in self._killed}
        for number in waiting:
            poll.register(number, 0)  # told is only that the other end is closed
        left = self._status.used + self._status.idle - time.time()
        seconds = _LOOK if self._children else max(0.0, min(_LOOK, left))
        if self._is_due and listener is not None:
            seconds = min(_PAUSE, seconds)
        events = poll.poll(1000 * seconds)
        for number, _ in events:
            if number == awake.fileno():
                with suppress(BlockingIOError):
                    awake.recv(4096)
            elif listener is not None and number == listener.fileno():
                self._accept(listener)
            elif number in waiting:
                self._killed.add(waiting[number])
                with suppress(ProcessLookupError):
                    os.kill(waiting[number], signal.SIGKILL)
        self._reap()
        return bool(events)

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return  # whoever it was has gone
        if peer(connection)[1] != os.geteuid():
            connection.close()
            return
        pid, line = self._next or self._fork(None)
        self._next, self._is_due = None, True
        self._children[pid] = connection
        # It reads what it is to do meanwhile.
        with line, suppress(OSError):  # it may have been killed
            socket.send_fds(line, [msgspec.json.encode(self._status)], [connection.fileno()])
            if _installed() == self._installed:
                line.send(GO)
            else:
                self._ends = True

    def _get_ready(self) -> None:
        self._next, self._is_due = self._fork(self._rehearse), False

    def _fork(self, rehearse: Callable[[], object] | None) -> tuple[int, socket.socket]:
        line, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            wait(its, self._run_command, rehearse)
        its.close()
        return pid, line

    def _reap(self) -> None:
        """Say of commands that have ended how they did."""
        while self._children or self._next is not None:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._killed.discard(pid)
            if self._next is not None and self._next[0] == pid:
                self._next[1].close()
                self._next = None
            connection = self._children.pop(pid, None)
            if connection is None:
                continue
            if os.WIFSIGNALED(status):
                with suppress(OSError):
                    connection.sendall(b"S%d\n" % os.WTERMSIG(status))
            connection.close()
            if not os.WIFEXITED(status) or os.WEXITSTATUS(status) != NO_COMMAND:
                self._status.commands += 1
                self._status.used = time.time()


def _same(path: Path, place: os.stat_result) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == (place.st_dev, place.st_ino)


def _installed() -> list[tuple[int, int, int]]:
    """What changes when lading, what it needs, or the interpreter is installed again."""
    found = []
    for path in _watched():
        try:
            status = os.stat(path)  # noqa: PTH116
        except OSError:
            return []
        found.append((status.st_mtime_ns, status.st_ino, status.st_size))
    return found


def _watched() -> Iterable[str]:
    if not _files:
        ours = (module.__file__ for name, module in list(sys.modules.items()) if name.partition(".")[0] == "lading")
        _files.extend(str(file) for file in ours if file)
        _files.append(sys.executable)
        _files.extend(place for place in sys.path if place.endswith(("site-packages", "dist-packages")))
    return _files


_files: list[str] = []
