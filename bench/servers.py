"""`lading registry serve` beside docker-registry and `crane registry serve`: blobs, manifests, tags.

    python -m bench.servers [--runs 3] [--small]

Tasks: push a blob, pull it, put manifests (over eight connections), get them, list their tags. The client sends and
receives raw bytes over sockets, so that it is not what is measured. CPU and memory are the server's.

All servers are measured one after the other, each round in another order, each time over storage that is empty. crane
is looked for in PATH, in $LADING_BENCH_BIN and in $GOBIN, and left out where it is not; it waits for no disk, and keeps
manifests in memory only.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bench.harness import MIB, Scenario, Step, main
from bench.harness.scenario import Run, Runs
from support.registry import RealRegistry

CONNECTIONS = 8
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
TICKS = os.sysconf("SC_CLK_TCK")


class Connection:
    """A connection that sends requests one after the other."""

    def __init__(self, host: str) -> None:
        self._host = host
        name, _, port = host.rpartition(":")
        self._socket = socket.create_connection((name, int(port)))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray(MIB)

    def ask(self, method: str, path: str, body: bytes = b"", file: Path | None = None, **headers: str) -> str:
        """Send a request, and throw the body of its answer away; gives the head."""
        size = file.stat().st_size if file else len(body)
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._host}", f"Content-Length: {size}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        if file is not None:
            with file.open("rb") as content:
                self._socket.sendfile(content)
        received = b""
        while b"\r\n\r\n" not in received:
            piece = self._socket.recv(65536)
            assert piece, received
            received += piece
        head, _, rest = received.partition(b"\r\n\r\n")
        text = head.decode("latin-1")
        assert text.split()[1][0] == "2", text
        left = 0 if method == "HEAD" else int(field(text, "content-length") or 0) - len(rest)
        while left:
            left -= self._socket.recv_into(self._buffer, min(left, MIB))
        return text

    def close(self) -> None:
        """Close it."""
        self._socket.close()


def field(head: str, name: str) -> str | None:
    """A header field of an answer."""
    for line in head.split("\r\n")[1:]:
        key, _, value = line.partition(":")
        if key.lower() == name:
            return value.strip()
    return None


def push(host: str, name: str, digest: str, *, file: Path | None = None, body: bytes = b"") -> None:
    """Push a blob as most clients do: POST, then PUT."""
    connection = Connection(host)
    location = field(connection.ask("POST", f"/v2/{name}/blobs/uploads/"), "location") or ""
    path = location.partition(host)[2] if "://" in location else location
    mark = "&" if "?" in path else "?"
    connection.ask("PUT", f"{path}{mark}digest={digest}", body, file, Content_Type="application/octet-stream")
    connection.close()


def many(host: str, requests: list[tuple[str, str, bytes]]) -> None:
    """Send requests over several connections."""

    def some(number: int) -> None:
        connection = Connection(host)
        for method, path, body in requests[number::CONNECTIONS]:
            connection.ask(method, path, body, Content_Type=MANIFEST, Accept=MANIFEST)
        connection.close()

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(some, range(CONNECTIONS)))


@contextmanager
def lading(folder: Path) -> Iterator[tuple[str, int]]:
    """This one, over a folder."""
    command = [sys.executable, "-m", "lading", "registry", "serve", "-q", "--address", "127.0.0.1:0"]
    process = subprocess.Popen([*command, "--storage", str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    url = process.stdout.readline().split()[1]
    try:
        yield url.partition("://")[2], process.pid
    finally:
        process.terminate()
        process.communicate()


@contextmanager
def docker_registry(folder: Path) -> Iterator[tuple[str, int]]:
    """The reference implementation, in Debian's version."""
    storage = {"filesystem": {"rootdirectory": str(folder)}, "delete": {"enabled": True}}
    config = {"storage": storage, "log": {"accesslog": {"disabled": True}}}
    with RealRegistry(config=config, on_disk=True) as one:
        assert one._process is not None
        yield one.host, one._process.pid


@contextmanager
def crane(folder: Path) -> Iterator[tuple[str, int]]:
    """`crane registry serve`, which keeps blobs on the disk and manifests in memory."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder.mkdir(exist_ok=True)
    program = find("crane")
    assert program is not None
    command = [program, "registry", "serve", "--address", f"127.0.0.1:{port}", "--disk", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.01)
        yield f"127.0.0.1:{port}", process.pid
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


SERVERS = {"lading": lading, "docker-registry": docker_registry, "crane": crane}


def find(name: str) -> str | None:
    """The path of a program."""
    places = [os.environ.get("PATH", ""), os.environ.get("LADING_BENCH_BIN", ""), os.environ.get("GOBIN", "")]
    return shutil.which(name, path=os.pathsep.join(filter(None, places)))


def measured(pid: int, task: Callable[[], None]) -> Run:
    """What a task takes of the time and of a server; what it sends is the same for all servers."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # forget the most memory so far
    cpu, begin = _cpu(pid), time.perf_counter()
    task()
    wall = time.perf_counter() - begin
    status = Path(f"/proc/{pid}/status").read_text()
    memory = int(status.partition("VmHWM:")[2].split()[0])
    return Run(wall, _cpu(pid) - cpu, memory, 0, 0, 0)


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def run(server: str, folder: Path, blob: Path, digest: str, count: int) -> dict[str, Run]:
    """Every task, on a server that is empty."""
    config = b"{}"
    descriptor = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": _digest(config), "size": 2}
    manifests = [
        json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": descriptor,
                "layers": [],
                "annotations": {"n": f"{n}"},
            }
        ).encode()
        for n in range(count)
    ]
    puts = [("PUT", f"/v2/bench/manifests/v{n}", manifest) for n, manifest in enumerate(manifests)]
    gets = [("GET", f"/v2/bench/manifests/v{n}", b"") for n in range(count)]
    with SERVERS[server](folder) as (host, pid):

        def pull() -> None:
            connection = Connection(host)
            connection.ask("GET", f"/v2/bench/blobs/{digest}")
            connection.close()

        def tags() -> None:
            connection = Connection(host)
            connection.ask("GET", "/v2/bench/tags/list")
            connection.close()

        tasks = {"push": lambda: push(host, "bench", digest, file=blob), "pull": pull}
        tasks |= {
            "put manifests": lambda: many(host, puts),
            "get manifests": lambda: many(host, gets),
            "list tags": tags,
        }
        push(host, "bench", _digest(config), body=config)
        return {task: measured(pid, one) for task, one in tasks.items()}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def measure(size: int, count: int, runs: int, seconds: float) -> Runs:
    """Run every task on every server, in turn.

    Args:
        size: of the blob, in MiB.
        count: how many manifests.
        runs: how many rounds.
        seconds: the time in which it should end; one round is run in any case.
    """
    servers = [name for name in SERVERS if name != "crane" or find("crane")]
    runs_of: Runs = {}
    with tempfile.TemporaryDirectory() as place:
        blob = Path(place) / "blob"
        hasher = hashlib.sha256()
        with blob.open("wb") as file:
            for _ in range(size):
                piece = os.urandom(MIB)
                hasher.update(piece)
                file.write(piece)
        begun = time.monotonic()
        for number in range(runs):
            if number and (time.monotonic() - begun) * (number + 1) / number > seconds:
                break
            for server in servers[number % len(servers) :] + servers[: number % len(servers)]:
                folder = Path(place) / f"{server}-{number}"
                for task, taken in run(server, folder, blob, f"sha256:{hasher.hexdigest()}", count).items():
                    runs_of.setdefault((task, server), []).append(taken)
                shutil.rmtree(folder, ignore_errors=True)
    return runs_of


def scenarios(small: bool) -> Sequence[Scenario]:
    """All of them, as one: the tasks follow from one another."""
    size, count = (16, 50) if small else (512, 2000)
    commands = {
        "lading": "lading registry serve",
        "docker-registry": "docker-registry serve",
        "crane": "crane registry serve",
    }
    tasks = ("push", "pull", "put manifests", "get manifests", "list tags")
    return [
        Scenario(
            f"a blob of {size} MiB and {count:,} manifests",
            {task: Step(commands) for task in tasks},
            runs=3,
            networks=("plain",),
            measured=partial(measure, size, count),
            note="CPU and memory are the server's. crane waits for no disk, and keeps manifests in memory only.",
        )
    ]


if __name__ == "__main__":
    main(__doc__, scenarios)
