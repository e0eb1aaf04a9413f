"""Times `lading registry serve` beside docker-registry and `crane registry serve`, in the same run.

    python -m bench.servers [--runs 3] [--size 1024] [--requests 2000] [--server lading crane]

Tasks: push a blob (of --size MiB), pull it, put manifests (--requests of them, over eight connections) and get them.
The client sends and receives raw bytes over sockets, so that it is not what is measured. crane is looked for in PATH,
in $LADING_BENCH_BIN and in $GOBIN, and left out where it is not.

All servers are measured one after the other, `--runs` times, each time in another order. Prints for each the median
of the time, as a multiple of the faster of the others, and of the server its CPU time and the most memory it held.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.registry import RealRegistry

MIB = 1024 * 1024
CONNECTIONS = 8
TASKS = ("push", "pull", "put manifests", "get manifests")
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
TICKS = os.sysconf("SC_CLK_TCK")


class Run(NamedTuple):
    """What one task took: seconds, seconds of the server's CPU, MiB of its memory."""

    wall: float
    cpu: float
    memory: float


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
    """What a task takes of the time and of a server."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # forget the most memory so far
    cpu, begin = _cpu(pid), time.perf_counter()
    task()
    wall = time.perf_counter() - begin
    status = Path(f"/proc/{pid}/status").read_text()
    memory = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    return Run(wall, _cpu(pid) - cpu, memory)


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

        tasks = {"push": lambda: push(host, "bench", digest, file=blob), "pull": pull}
        tasks |= {"put manifests": lambda: many(host, puts), "get manifests": lambda: many(host, gets)}
        push(host, "bench", _digest(config), body=config)
        return {task: measured(pid, tasks[task]) for task in TASKS}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def report(runs: dict[str, list[dict[str, Run]]], size: int, count: int) -> None:
    """A table for each task."""
    amounts = {"push": f"{size} MiB", "pull": f"{size} MiB", "put manifests": f"{count}", "get manifests": f"{count}"}
    for task in TASKS:
        print(f"\n{task} ({amounts[task]})")
        walls = {server: statistics.median(one[task].wall for one in found) for server, found in runs.items()}
        others = [wall for server, wall in walls.items() if server != "lading"]
        for server, found in runs.items():
            cpu = statistics.median(one[task].cpu for one in found)
            memory = max(one[task].memory for one in found)
            times = f"  {walls[server] / min(others):5.2f} x" if others else ""
            print(f"  {server:16} {walls[server]:7.3f} s{times}  CPU {cpu:6.2f} s  memory {memory:5.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--size", type=int, default=1024, help="of the blob, in MiB")
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--server", nargs="*", choices=SERVERS, default=list(SERVERS))
    options = parser.parse_args()
    servers = [name for name in options.server if name != "crane" or find("crane")]
    runs: dict[str, list[dict[str, Run]]] = {server: [] for server in servers}
    with tempfile.TemporaryDirectory() as place:
        blob = Path(place) / "blob"
        hasher = hashlib.sha256()
        with blob.open("wb") as file:
            for _ in range(options.size):
                piece = os.urandom(MIB)
                hasher.update(piece)
                file.write(piece)
        for number in range(options.runs):
            for server in servers[number % len(servers) :] + servers[: number % len(servers)]:
                folder = Path(place) / f"{server}-{number}"
                runs[server].append(run(server, folder, blob, f"sha256:{hasher.hexdigest()}", options.requests))
                shutil.rmtree(folder, ignore_errors=True)
    report(runs, options.size, options.requests)


if __name__ == "__main__":
    main()
