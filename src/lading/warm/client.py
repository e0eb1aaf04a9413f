"""Hands a command to the warm process, and ends as it ends. It knows no command, and imports next to nothing.

The command runs in a child of the warm process, with this process's standard streams, folder, environment, limits and
all else that a program is started with. This process passes signals on to it, and takes its exit code.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # what `signal` has, which takes longer to import than this to run
import _socket  # likewise
import os
import resource
import sys

from lading.warm import address, identity, open_folder

TYPE_CHECKING = False  # that of `typing` takes longer to import than all of this
if TYPE_CHECKING:
    from collections.abc import Sequence

_LIMITS = 16
"""How many limits Linux knows (`getrlimit(2)`)."""
MOST_FILES = 200
"""How many open files can go along."""
_SIZE = 12
"""How large a `struct ucred` is, in bytes: process, user, group."""
_ALONE = (_signal.SIGTERM, _signal.SIGUSR1, _signal.SIGUSR2, _signal.SIGALRM)
_GROUP = (_signal.SIGINT, _signal.SIGQUIT, _signal.SIGHUP)
"""What a terminal sends goes to all processes of a command."""
_IGNORED_BY_PYTHON = (_signal.SIGPIPE, _signal.SIGXFSZ)


def hand_over(arguments: Sequence[str]) -> int | None:
    """Have the warm process run a command.

    Args:
        arguments: the command line without the program's name.

    Returns:
        The exit code; None where the command did not run, and is to be run here. Where a signal ended the command, the
        same signal ends this process.
    """
    connection = connect()
    if connection is None:
        return None
    try:
        message, files = _request(arguments)
    except OSError:
        connection.close()
        return None
    signals = _Signals()
    try:
        send(connection, message, files)
        os.close(files[0])
        answer = connection.recv(32)
        if answer[:1] != b"+":
            return None
        # What follows in the same packet is its end.
        begun, _, rest = answer[1:].partition(b"\n")
        signals.lead_to(int(begun))
        while not rest.endswith(b"\n"):
            more = connection.recv(32)
            if not more:
                break
            rest += more
    except OSError:
        return None if signals.child is None else _lost()
    finally:
        connection.close()
        signals.restore()
    return _end(rest.partition(b"\n")[0])


def connect() -> _socket.socket | None:
    """A connection to the warm process; None where there is none, or it is somebody else's."""
    path = address()
    place, _, name = path.rpartition("/")
    opened = open_folder(place) if path and hasattr(_socket, "SO_PEERCRED") else None
    if opened is None:
        return None
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.connect(f"/proc/self/fd/{opened}/{name}")
        if peer(connection)[1] == os.geteuid():
            return connection
    except OSError:
        pass
    finally:
        os.close(opened)
    connection.close()
    return None


def peer(connection: _socket.socket) -> tuple[int, int]:
    """The process at the other end of a connection, and its user."""
    said = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, _SIZE)
    return int.from_bytes(said[:4], sys.byteorder), int.from_bytes(said[4:8], sys.byteorder)


def send(connection: _socket.socket, message: bytes, files: Sequence[int] = ()) -> None:
    """Send a message, after its length, with open files."""
    rights = b"".join(number.to_bytes(4, sys.byteorder) for number in files)
    head = len(message).to_bytes(8, "big")
    connection.sendmsg([head], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)] if files else [])
    connection.sendall(message)


def _request(arguments: Sequence[str]) -> tuple[bytes, list[int]]:
    """What is sent of this process: texts, and the files that are open, after the working directory.

    Raises:
        OSError: it cannot be found out, or cannot be handed over.
    """
    if None in (sys.stdin, sys.stdout, sys.stderr) or _is_in_background():
        raise OSError
    numbers = [0, 1, 2, *_further()]
    if len(numbers) >= MOST_FILES:
        raise OSError
    mask = os.umask(0o077)
    os.umask(mask)
    limits = [resource.getrlimit(kind) for kind in range(_LIMITS)]
    ignored = [
        number
        for number in range(1, _signal.NSIG)
        if _signal.getsignal(number) == _signal.SIG_IGN and number not in _IGNORED_BY_PYTHON
    ]
    state = {
        "umask": mask,
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "processors": sorted(os.sched_getaffinity(0)),
        "limits": limits,
        "ignored": ignored,
        "blocked": sorted(_signal.pthread_sigmask(_signal.SIG_BLOCK, [])),
        "files": numbers,
        "arguments": [sys.argv[0], *arguments],
        "path": sys.path,
    }
    environment = b"".join(name + b"=" + value + b"\0" for name, value in os.environb.items())
    # The texts of this process have no zero byte, and ASCII has all that there is in a literal.
    message = identity() + b"\0" + ascii(state).encode() + b"\0" + environment
    return message, [os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC), *numbers]


def _is_in_background() -> bool:
    """Whether reading from the terminal would stop this process, and not that which runs the command."""
    try:
        return os.isatty(0) and os.tcgetpgrp(0) != os.getpgrp()
    except OSError:
        return False  # the terminal is that of another session


def _further() -> list[int]:
    """The files beyond the standard streams that programs started here would have open."""
    found = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        number = int(name)
        try:
            if number > 2 and os.get_inheritable(number):
                found.append(number)
        except OSError:
            pass  # it was open for the listing
    return sorted(found)


class _Signals:
    """Passes signals on to the process that runs the command, as soon as there is one."""

    def __init__(self) -> None:
        self.child: int | None = None
        self._handle: int | None = None
        self._early: list[int] = []
        self._before = {
            number: _signal.signal(number, self._pass)
            for number in (*_ALONE, *_GROUP, _signal.SIGTSTP)
            if _signal.getsignal(number) != _signal.SIG_IGN
        }

    def lead_to(self, child: int) -> None:
        """From now on, and for those that came already, this is the process."""
        self.child = child
        try:
            self._handle = os.pidfd_open(child)
        except OSError:
            return  # it has ended already
        for number in self._early:
            self._send(number)

    def restore(self) -> None:
        """Leave signals to those that had them. Without a process that runs the command, they are for this one."""
        for number, before in self._before.items():
            _signal.signal(number, before)
        if self._handle is not None:
            os.close(self._handle)
        elif self._early and self.child is None:
            os.kill(os.getpid(), self._early[0])

    def _pass(self, number: int, _frame: object) -> None:
        if self.child is None:
            self._early.append(number)
        else:
            self._send(number)

    def _send(self, number: int) -> None:
        if self._handle is None or self.child is None:
            return
        try:
            # The number of a process may be another's when it has ended; the handle never is.
            _signal.pidfd_send_signal(self._handle, 0)
            if number == _signal.SIGTSTP:
                os.killpg(self.child, _signal.SIGSTOP)
                os.kill(os.getpid(), _signal.SIGSTOP)
                os.killpg(self.child, _signal.SIGCONT)
            elif number in _GROUP:
                os.killpg(self.child, number)
            else:
                _signal.pidfd_send_signal(self._handle, number)
        except OSError:
            pass  # it has ended: its exit code is on its way


def _end(said: bytes) -> int:
    """End as the command did: `E` and its exit code, or `S` and the signal that ended it."""
    if said[:1] == b"E":
        return int(said[1:])
    if said[:1] != b"S":
        return _lost()
    number = int(said[1:])
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if number != _signal.SIGKILL:
        _signal.signal(number, _signal.SIG_DFL)
    os.kill(os.getpid(), number)
    return 128 + number


def _lost() -> int:
    text = b"error: the process that ran the command was killed\n  how far it came is not known: run it again\n"
    os.write(2, text)
    return 1
