"""A warm start: a command does the same in a fork of the warm process, and the way there is the user's alone."""

import gc
import io
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from lading import warm
from lading.errors import Conflict, LadingError, Unsupported
from lading.warm import child, client, control, keeper
from support.images import make_image, push
from support.lading import Lading
from support.process import Ran
from support.registry import RealRegistry

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a warm start is for Linux")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lading]:
    """A user who has a warm process."""
    lading = Lading(tmp_path_factory.mktemp("kept"))
    lading.warm()
    yield lading
    lading.run("warm", "stop")


@pytest.fixture(scope="module")
def image(registry: RealRegistry) -> str:
    push(registry.host, "test/warm", "1", make_image())
    return f"{registry.host}/test/warm:1"


def commands(lading: Lading) -> int:
    """How many commands the warm process has run, all of which have ended."""
    pid = int(lading.run("warm", "status", "--format", "{{ pid }}").stdout)
    assert waited(lambda: not children(pid)), "it hears of the last one's end after the one who waits for it"
    return int(lading.run("warm", "status", "--format", "{{ commands }}").stdout)


def waited(condition: Callable[[], object]) -> bool:
    until = time.monotonic() + 20
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def shell(lading: Lading, script: str, cwd: Path, *, is_warm: bool) -> Ran:
    """What a shell script gives, in which `$LADING` is the program."""
    env = lading.environment | {"LADING": f"{sys.executable} -m lading", "LADING_WARM": "1" if is_warm else "0"}
    ran = subprocess.run(["bash", "-c", script], env=env, cwd=cwd, capture_output=True, check=False, timeout=60)
    return Ran((script,), ran.returncode, ran.stdout, ran.stderr)


SAME = [
    "$LADING digest {image}-not",
    "$LADING tags {image} --debug",
    "umask 077; $LADING pull {image} oci:private:1 -q; stat -c %a private private/index.json; rm -r private",
    "$LADING inspect --raw {image} | $LADING manifest put {image}2 -",
    "$LADING manifest put {image}3 /dev/fd/7 7< <($LADING inspect --raw {image})",
    "$LADING digest {image} > /dev/full",
    "trap '' HUP INT; nice -n 3 $LADING digest {image}",
]
SAME_TOO = [
    "$LADING digest {image}",
    "$LADING digest --no-such-option",
    "$LADING inspect {image} --format json",
    "$LADING digest --help; COLUMNS=60 $LADING tag -h",
    "$LADING manifest ls; $LADING frobnicate",
    "LADING_CONFIG=nothing.toml $LADING registry config {image} --format json",
    "echo 'warm = 3' > bad.toml; LADING_CONFIG=bad.toml $LADING digest {image}",
    "mkdir -p a && cd a && $LADING copy {image} oci:layout:1 -q && stat -c '%n %a' layout/* && rm -r layout",
    "$LADING digest {image} >&-",
    "$LADING digest {image} <&-",
    "ulimit -f 0; trap '' XFSZ; $LADING copy {image} oci:limited:1 -q; rm -rf limited",
    "ulimit -n 30; $LADING digest {image}",
    "$LADING tags {image} | true; echo ${{PIPESTATUS[0]}}",
    "TZ=Asia/Tokyo NO_COLOR= TERM=dumb $LADING version",
    "$LADING digest $'\\xff\\xfe'",
]


@pytest.mark.parametrize("script", [*SAME, *(pytest.param(script, marks=pytest.mark.slow) for script in SAME_TOO)])
def test_a_command_does_the_same(script: str, kept: Lading, image: str, tmp_path: Path) -> None:
    text = script.format(image=image)
    before = commands(kept)
    here, there = (shell(kept, text, tmp_path, is_warm=is_warm) for is_warm in (False, True))
    assert (there.returncode, there.stdout_bytes) == (here.returncode, here.stdout_bytes), there.stderr
    assert _untimed(there) == _untimed(here)
    assert commands(kept) > before or "&-" in script, "it was handed over"


def _untimed(ran: Ran) -> list[str]:
    """What was said on stderr, without how long requests took."""
    return [re.sub(r"[\d.]+ m?s\b", "", line) for line in ran.stderr.splitlines()]


class TestSignals:
    @pytest.fixture
    def silent(self) -> Iterator[str]:
        """A registry that never answers."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            yield f"127.0.0.1:{server.getsockname()[1]}/a:1"

    @pytest.mark.parametrize(
        "number, code",
        [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM), (signal.SIGHUP, -signal.SIGHUP)],
    )
    def test_a_signal_ends_both(self, number: int, code: int, kept: Lading, silent: str) -> None:
        with begun(kept, silent) as (process, runner):
            process.send_signal(number)
            assert process.wait(20) == code
            assert waited(lambda: not is_alive(runner))

    def test_the_command_ends_with_whoever_waits_for_it(self, kept: Lading, silent: str) -> None:
        with begun(kept, silent) as (process, runner):
            process.kill()
            process.wait(20)
            assert waited(lambda: not is_alive(runner))

    def test_what_ends_the_command_ends_whoever_waits_for_it(self, kept: Lading, silent: str) -> None:
        with begun(kept, silent) as (process, runner):
            os.kill(runner, signal.SIGSEGV)
            assert process.wait(20) == -signal.SIGSEGV

    def test_both_stop_and_go_on(self, kept: Lading, silent: str) -> None:
        with begun(kept, silent) as (process, runner):
            process.send_signal(signal.SIGTSTP)
            assert waited(lambda: state(process.pid) == state(runner) == "T")
            process.send_signal(signal.SIGCONT)
            assert waited(lambda: "T" not in (state(process.pid), state(runner)))
            process.terminate()
            assert process.wait(20) == -signal.SIGTERM


class begun:  # noqa: N801
    """A command that waits for an answer, and the process that runs it."""

    def __init__(self, lading: Lading, reference: str) -> None:
        self._pid = int(lading.run("warm", "status", "--format", "{{ pid }}").stdout)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lading", "digest", reference, "--insecure"],
            env=lading.environment | {"LADING_WARM": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> tuple[subprocess.Popen[bytes], int]:
        found: list[int] = []

        def runs() -> bool:
            found[:] = [pid for pid in children(self._pid) if is_waiting(pid)]
            return bool(found)

        assert waited(runs)
        return self._process, found[0]

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


def children(pid: int) -> list[int]:
    """The children that run a command: each has a session of its own. The one that is ready for the next has none."""
    return [child for child in all_children(pid) if stat(child)[3:4] == [str(child)]]


def all_children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_waiting(pid: int) -> bool:
    """Whether a command is so far that it has a connection of its own, besides that to whoever waits for it."""
    with suppress(OSError):
        places = [str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()]
        return any("eventpoll" in place for place in places)
    return False


def stat(pid: int) -> list[str]:
    """What the system says of a process, from its state on; nothing where there is none."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return []


def state(pid: int) -> str:
    return (stat(pid) or [""])[0]


def is_alive(pid: int) -> bool:
    return state(pid) not in ("", "Z")


def test_a_terminal_is_one_for_the_command(kept: Lading, image: str) -> None:
    """Its colours are there, and it can be asked on it."""
    answers = []
    for is_warm in ("0", "1"):
        main, sub = pty.openpty()
        env = {name: value for name, value in kept.environment.items() if name != "NO_COLOR"} | {"LADING_WARM": is_warm}
        process = subprocess.Popen(
            [sys.executable, "-m", "lading", "digest", f"{image}-not"],
            env=env | {"TERM": "xterm"},
            stdin=sub,
            stdout=sub,
            stderr=sub,
            start_new_session=True,
        )
        os.close(sub)
        said = b""
        with suppress(OSError):  # the other side is closed
            while piece := os.read(main, 4096):
                said += piece
        os.close(main)
        answers.append((process.wait(20), said))
    assert answers[0] == answers[1]
    assert b"\x1b[31m" in answers[0][1]


@pytest.mark.parametrize(
    "other",
    [{"LANG": "C.UTF-8", "PYTHONUTF8": "1"}, {"PYTHONUNBUFFERED": "x"}, {"LD_LIBRARY_PATH": "/nowhere"}],
)
def test_what_is_read_at_the_start_has_to_be_the_same(other: dict[str, str], kept: Lading) -> None:
    before = commands(kept)
    kept.run("version", env={"LADING_WARM": "1"} | other, process=True)
    assert commands(kept) == before


class TestTheProcess:
    def test_it_is_begun_once_and_ended_once(self, lading: Lading) -> None:
        assert lading.run("warm", "status", check=False).returncode == 1
        lading.warm("90s")
        again = lading.run("warm", "start", process=True)
        assert "kept warm already" in again.stdout
        assert "90 seconds" in lading.run("warm", "status").stdout
        assert lading.run("warm", "stop").stdout == "no process is kept warm any more\n"
        assert lading.run("warm", "stop").stdout == "no process was kept warm\n"
        assert list((lading.home / ".run" / "lading" / "warm").glob("*[0-9a-f]")) == []

    def test_two_that_begin_at_once_are_one(self, lading: Lading) -> None:
        command = [sys.executable, "-m", "lading", "warm", "start"]
        both = [subprocess.Popen(command, env=lading.environment, stdout=subprocess.PIPE) for _ in range(2)]
        said = [process.communicate(timeout=60)[0].split()[-9:-8] for process in both]
        assert [process.returncode for process in both] == [0, 0]
        assert said[0] == said[1], "the process that they name is one"
        lading.run("warm", "stop")

    def test_it_has_nothing_of_the_environment(self, kept: Lading) -> None:
        pid = kept.run("warm", "status", "--format", "{{ pid }}").stdout.strip()
        names = {item.partition(b"=")[0] for item in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")}
        assert names <= {b"", b"HOME", b"XDG_RUNTIME_DIR", b"XDG_CACHE_HOME", b"PYTHONWARNINGS", b"LANG", b"LC_ALL"} | {
            name for name in names if name.startswith(b"PYTHON")
        }

    def test_a_child_is_ready_before_there_is_a_command(self, kept: Lading) -> None:
        pid = int(kept.run("warm", "status", "--format", "{{ pid }}").stdout)
        kept.run("version", env={"LADING_WARM": "1"}, process=True)
        assert waited(lambda: len(all_children(pid)) == 1 and not children(pid))
        before = commands(kept)
        assert waited(lambda: all_children(pid))
        os.kill(all_children(pid)[0], signal.SIGKILL)
        assert kept.run("version", env={"LADING_WARM": "1"}, process=True).stdout.startswith("lading ")
        assert waited(lambda: commands(kept) == before + 1), "it has a child all the same"

    def test_no_child_outlives_it(self, lading: Lading) -> None:
        lading.warm()
        pid = int(lading.run("warm", "status", "--format", "{{ pid }}").stdout)
        assert waited(lambda: all_children(pid))
        ready = all_children(pid)
        os.kill(pid, signal.SIGKILL)
        assert waited(lambda: not any(is_alive(one) for one in ready))

    def test_a_rehearsal_reads_nothing_of_the_user_and_sends_nothing(self, lading: Lading) -> None:
        code = """
import os, sys, threading
from lading.cli import main
from lading.warm.control import load_everything
from lading.warm.rehearsal import rehearse
load_everything()
seen = []
sys.addaudithook(lambda event, given: seen.append((event, str(given))))
before = dict(os.environ)
print(rehearse(main), os.environ == before, threading.active_count())
never = ("socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.mkdir", "os.rename")
print(*(event for event, _ in seen if event in never))
seen = [(event, what) for event, what in seen if event != "os.putenv"]
print(*(what for event, what in seen if sys.argv[1] in what or (event == "open" and ", 'w" in what)))
"""
        (lading.docker_config / "config.json").write_text('{"auths": {"registry.invalid": {"auth": "YTpi"}}}')
        ran = subprocess.run(
            [sys.executable, "-c", code, str(lading.home)],
            env=lading.environment | {"LADING_TOKEN": "x"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (ran.stdout, ran.stderr) == ("[0, 0, 0] True 1\n\n\n", "")

    def test_a_socket_that_nobody_listens_at_is_in_nobodys_way(self, lading: Lading) -> None:
        lading.warm()
        pid = int(lading.run("warm", "status", "--format", "{{ pid }}").stdout)
        os.kill(pid, signal.SIGKILL)
        assert waited(lambda: not is_alive(pid))
        assert lading.run("version", env={"LADING_WARM": "1"}, process=True).stdout.startswith("lading ")
        lading.warm()
        lading.run("warm", "stop")

    def test_the_configuration_may_ask_for_it(self, kept: Lading, tmp_path: Path) -> None:
        file = tmp_path / "config.toml"
        for text, is_used in [
            ("warm = true # always\n", True),
            ("warm = false\n", False),
            ("[hosts]\nwarm = true\n", False),
            ("", False),
        ]:
            file.write_text(text)
            before = commands(kept)
            kept.run("manifest", "ls", "--help", env={"LADING_CONFIG": str(file)}, process=True)
            assert (commands(kept) > before) == is_used


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """This process as a user with a folder for the socket, which it gives."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("LADING_WARM", "1")
    # The streams of a process that runs tests are not those that it was started with.
    unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))
    monkeypatch.setattr(sys, "__stdout__", io.TextIOWrapper(io.BytesIO(), write_through=unbuffered))
    yield tmp_path / "lading" / "warm"
    control.stop()


def keep_while(work: Callable[[], None]) -> None:
    """Keep a warm process, which is this one, until it ends, and do some work in a thread; leave all as it was."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
    handlers = {number: signal.getsignal(number) for number in numbers}
    working = threading.Thread(target=work)
    working.start()
    try:
        keeper.keep(60, lambda _: 0, lambda: None)
    finally:
        signal.set_wakeup_fd(-1)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        gc.unfreeze()
        gc.enable()
        working.join()


class TestWithin:
    """What happens in the processes, seen from within."""

    def test_a_command_is_handed_over(self, user: Path, capfd: pytest.CaptureFixture[str]) -> None:
        assert client.hand_over(["version"]) is None, "there is nobody yet"
        there, is_new = control.start(["warm", "start", "--foreground"])
        assert is_new
        assert control.start([]) == (there, False)
        assert client.hand_over(["version"]) == 0
        assert client.hand_over(["digest", "--nothing"]) == 2
        assert capfd.readouterr().out.startswith("lading ")
        user.chmod(0o755)
        assert client.hand_over(["version"]) is None, "others may look into the folder"
        user.chmod(0o700)
        assert control.stop()
        assert not control.stop()

    @pytest.mark.parametrize("answer", [b"", b"-", b"+1\n", b"+1\nE7\n", b"+1\nE0\n"])
    def test_an_answer_is_the_exit_code(
        self, answer: bytes, user: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        user.mkdir(mode=0o700, parents=True)
        with socket.socket(socket.AF_UNIX) as server:
            monkeypatch.chdir(user)
            server.bind(Path(warm.address()).name)
            server.listen()

            def serve() -> None:
                connection, _ = server.accept()
                with connection:
                    message, files = child._receive(connection)
                    assert message.startswith(warm.identity())
                    for number in files:
                        os.close(number)
                    connection.sendall(answer.replace(b"+1", b"+%d" % os.getpid()))

            serving = threading.Thread(target=serve)
            serving.start()
            code = client.hand_over(["version"])
            serving.join()
        expected = {b"": None, b"-": None, b"+1\n": 1, b"+1\nE7\n": 7, b"+1\nE0\n": 0}
        assert code == expected[answer]
        assert ("was killed" in capfd.readouterr().err) == (code == 1)

    def test_signals_wait_for_the_command(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sleeper = subprocess.Popen(["sleep", "60"], start_new_session=True)
        signals = client._Signals()
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGINT)
        signals.lead_to(sleeper.pid)
        assert sleeper.wait(20) in (-signal.SIGUSR1, -signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)  # it has ended: nobody is meant
        signals.restore()

    def test_a_command_may_have_ended_before_it_is_known(self) -> None:
        """Its exit code is on its way: it does not run once more."""
        ended = subprocess.Popen(["true"])
        ended.wait()
        signals = client._Signals()
        signals.lead_to(ended.pid)
        os.kill(os.getpid(), signal.SIGTERM)
        signals.restore()
        assert signals.child == ended.pid

    def test_a_signal_without_a_command_is_for_the_one_who_waits(self) -> None:
        signals = client._Signals()
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signals.restore()

    def test_a_signal_that_ended_the_command_ends_this_process(self, monkeypatch: pytest.MonkeyPatch) -> None:
        killed: list[tuple[int, int]] = []
        monkeypatch.setattr(os, "kill", lambda pid, number: killed.append((pid, number)))
        monkeypatch.setattr("lading.warm.client.resource.setrlimit", lambda *_: None)
        assert client._end(b"S9") == 137
        assert killed == [(os.getpid(), 9)]

    def test_the_keeper(self, user: Path) -> None:
        """It runs here; its children are forks of this process."""
        found: list[object] = []

        def ask() -> None:
            assert waited(lambda: control.status() is not None)
            found.append(control.status())
            with pytest.raises(Conflict):
                keeper._Lock(Path(warm.address())).__enter__()
            half = client.connect()
            assert half is not None
            half.close()
            os.kill(os.getpid(), signal.SIGTERM)

        keep_while(ask)
        (said,) = found
        assert isinstance(said, keeper.Status)
        assert (said.pid, said.idle, said.commands) == (os.getpid(), 60, 0)
        assert not Path(warm.address()).exists()

    def test_nothing_runs_where_something_was_installed_anew(self, user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The command that finds it out runs where it came from."""
        looks = iter(range(100))
        monkeypatch.setattr(keeper, "_installed", lambda: [(next(looks), 0, 0)])
        message, files = client._request(["version"])
        connection: Any = None
        answers: list[bytes] = []

        def connected() -> bool:
            nonlocal connection
            connection = client.connect()
            return connection is not None

        def ask() -> None:
            assert waited(connected)
            with closing(connection), suppress(ConnectionError):  # it has not read it all
                client.send(connection, message, files)
                answers.append(connection.recv(10))

        keep_while(ask)
        os.close(files[0])
        assert answers in ([], [b""])

    @pytest.mark.parametrize("reason", ["unused", "another", "installed"])
    def test_when_it_ends(self, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "socket"
        path.touch()
        one = keeper._Keeper(path, 60, lambda _: 0, lambda: None)
        place = path.lstat()
        assert not one._is_done(place)
        if reason == "unused":
            one._status.used -= 61
        elif reason == "another":
            path.unlink()
        else:
            monkeypatch.setattr(keeper, "_files", [*keeper._files, str(tmp_path / "gone")])
        assert one._is_done(place)

    def test_a_folder_that_is_not_ones_own_is_not_used(self, user: Path) -> None:
        user.mkdir(mode=0o755, parents=True)
        with pytest.raises(LadingError, match="is not yours alone"):
            keeper.keep(1, lambda _: 0, lambda: None)
        user.rmdir()
        user.symlink_to(user.parent)
        assert warm.open_folder(str(user)) is None
        user.unlink()
        user.touch()
        with pytest.raises(LadingError, match="cannot be made"):
            keeper.keep(1, lambda _: 0, lambda: None)

    def test_where_there_can_be_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "HOME"):
            monkeypatch.delenv(name, raising=False)
        assert (warm.folder(), warm.address(), control.status(), control.stop()) == ("", "", None, False)
        with pytest.raises(LadingError, match="no folder"):
            control.check()
        monkeypatch.setattr(sys, "platform", "darwin")
        with pytest.raises(Unsupported):
            control.check()

    def test_one_that_does_not_begin_says_why(self, user: Path) -> None:
        with pytest.raises(LadingError, match="no warm process began") as caught:
            control.start(["warm", "start", "--idle", "never"])
        assert "is not a time" in str(caught.value.cause)

    def test_a_child_becomes_what_it_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            message, files = client._request(["version"])
            client.send(ours, message, files)
            received, numbers = child._receive(theirs)
        assert received == message
        assert len(numbers) == len(files)
        for number in (files[0], *numbers):
            os.close(number)
        who, text, environment = message.split(b"\0", 2)
        assert who == warm.identity()
        import ast

        child._take_limits(ast.literal_eval(text.decode()))
        before = dict(os.environ)
        monkeypatch.setenv("LADING_LATE", "1")
        child._take_environment(environment)
        assert dict(os.environ) == before
        for name in ("stdin", "stdout", "stderr"):
            monkeypatch.setattr(sys, name, getattr(sys, name))
            monkeypatch.setattr(sys, f"__{name}__", getattr(sys, f"__{name}__"))
        child._make_streams()
        assert (sys.stdin.fileno(), sys.stdout.fileno(), sys.stderr.fileno()) == (0, 1, 2)
        assert sys.stderr.line_buffering

    @pytest.mark.parametrize("message", [b"status", b"", b"x" * 20, b"another\0{'files': []}\0"])
    def test_a_child_that_runs_no_command(self, message: bytes) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            client.send(ours, message)
            ours.shutdown(socket.SHUT_WR)
            code = child.serve(theirs, theirs, lambda _: 0, b"fine", b"this")
            theirs.close()
            assert ours.recv(10) == (b"fine" if message == b"status" else b"")
        assert code == child.NO_COMMAND

    def test_a_message_that_does_not_come_whole_is_none(self) -> None:
        for sent in (b"", b"123", (10).to_bytes(8, "big") + b"half", (2**40).to_bytes(8, "big")):
            ours, theirs = socket.socketpair()
            with theirs:
                with ours:
                    ours.sendall(sent)
                assert child._receive(theirs)[0] == b""
