"""Times `lading copy` beside crane, skopeo, oras and regctl, where they are installed, in the same run.

    python bench/copies.py [--runs 7] [--latency 0 0.04] [--shape index] [--place two] [--tool skopeo]

Tasks: a fresh copy, the same again, and a second tag of it; from one registry to another, and within one. Shapes: one
image of many small layers, an index of several platforms, one large layer. Latency is added to each round trip. The
tools are looked for in PATH, in $LADING_BENCH_BIN and in $GOBIN.

All tools run one after the other, `--runs` times, each time in another order and with content that is nowhere yet.
Prints for each the median and the least wall time of the whole process, start-up included, the median as a multiple
of lading's, CPU time (user and system) and peak memory of the process, and how many requests the registries saw.
`Client` is lading from Python, in a process that runs already: a new client, and so new connections, for each copy.
"""

import argparse
import gzip
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.images import Manifest, make_image, make_index, make_layer, noise, push
from support.process import bare_environment
from support.registry import RealRegistry

ARCHITECTURES = ("amd64", "arm64/v8", "arm/v7", "s390x")
SHAPES = {
    "small": "an image of 20 layers of 20 kB",
    "index": "an index of 4 platforms, each 6 layers of 1 MB",
    "large": "an image of one layer of 200 MB",
}
PLACES = {"two": "from one registry to another", "one": "within one registry"}
TASKS = ("fresh", "again", "second tag")

# Starts processes from a small one: what a process is said to have used at most includes what its parent had.
LAUNCHER = """
import json, os, sys, time
for line in sys.stdin:
    words, environment = json.loads(line)
    quiet = os.open(os.devnull, os.O_RDWR)
    to = [(os.POSIX_SPAWN_DUP2, quiet, 0), (os.POSIX_SPAWN_DUP2, quiet, 1), (os.POSIX_SPAWN_DUP2, quiet, 2)]
    started = time.perf_counter()
    process = os.posix_spawn(words[0], words, environment, file_actions=to)
    _, status, used = os.wait4(process, 0)
    elapsed = time.perf_counter() - started
    os.close(quiet)
    print(json.dumps([status, elapsed, used.ru_utime + used.ru_stime, used.ru_maxrss]), flush=True)
"""

# Copies with the library, each time with a client that knows nothing.
LIBRARY = """
import json, resource, sys, time
from lading import Client
def used():
    return resource.getrusage(resource.RUSAGE_SELF)
def most():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
for line in sys.stdin:
    source, target = json.loads(line)
    before, started = used(), time.perf_counter()
    with Client() as client:
        client.copy(source, target)
    elapsed, after = time.perf_counter() - started, used()
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps([0, elapsed, cpu, most()]), flush=True)
"""


class Run(NamedTuple):
    """What one run of a tool took: seconds, seconds of CPU, KiB of memory, requests."""

    wall: float
    cpu: float
    memory: int
    requests: int


def commands(source: str, target: str) -> dict[str, list[str]]:
    """What each tool calls a copy of all that a name stands for."""
    hosts = dict.fromkeys(name.partition("/")[0] for name in (source, target))
    skopeo = ["--all", "--quiet", "--insecure-policy", "--src-tls-verify=false", "--dest-tls-verify=false"]
    return {
        "lading": ["lading", "copy", source, target],
        "Client": [sys.executable, source, target],
        "crane": ["crane", "copy", "--insecure", source, target],
        "skopeo": ["skopeo", "copy", *skopeo, f"docker://{source}", f"docker://{target}"],
        "oras": ["oras", "cp", "--from-plain-http", "--to-plain-http", source, target],
        "regctl": ["regctl", *(f"--host=reg={host},tls=disabled" for host in hosts), "image", "copy", source, target],
    }


def make(shape: str, run: int) -> Manifest:
    """Content of a shape, other for each run."""
    if shape == "small":
        return make_image(layers=_layers("small", 20, 20_000, run))
    if shape == "large":
        return make_image(layers=_layers("large", 1, 200_000_000, run))
    return make_index(
        [
            make_image(f"linux/{architecture}", layers=_layers(architecture, 6, 1_000_000, run))
            for architecture in ARCHITECTURES
        ]
    )


def _layers(seed: str, count: int, size: int, run: int) -> list[bytes]:
    # Gzip files one after the other are one: another end makes it other content.
    return [_layer(seed, number, size) + gzip.compress(b"%d" % run, mtime=0) for number in range(count)]


@cache
def _layer(seed: str, number: int, size: int) -> bytes:
    return make_layer({"file": noise(f"{seed}/{number}", size)})


class Bench:
    """Two registries, perhaps at the end of slow lines, and the tools."""

    def __init__(self, stack: ExitStack, tools: dict[str, str], latency: float) -> None:
        self._tools = tools
        self._registries = [stack.enter_context(RealRegistry()) for _ in range(2)]
        self._hosts = [registry.host for registry in self._registries]
        if latency:
            self._hosts = stack.enter_context(_line(latency, self._hosts))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self._environment = bare_environment(folder)
        config = Path(self._environment["XDG_CONFIG_HOME"], "lading", "config.toml")
        config.parent.mkdir(parents=True)
        # Crane, oras and regctl are told so on their command lines, or know it of this machine.
        config.write_text("".join(f'[hosts."{host}"]\nplain_http = true\n' for host in self._hosts))
        self._launcher = self._helper(stack, "-S", "-E", "-c", LAUNCHER)
        self._library = self._helper(stack, "-c", LIBRARY)

    def round(self, shape: str, place: str, run: int) -> Iterator[tuple[str, str, Run]]:
        """Let each tool do each task with new content: the task, the tool, and what it took."""
        name = f"bench/{shape}-{place}-{run}"
        push(self._registries[0].host, name, "1", make(shape, run))
        target = self._hosts[1 if place == "two" else 0]
        tools = list(self._tools)
        turn = run % len(tools)
        for tool in tools[turn:] + tools[:turn]:
            for task in TASKS:
                tag = "2" if task == "second tag" else "1"
                # Repositories are named in lower case.
                words = commands(f"{self._hosts[0]}/{name}:1", f"{target}/{name}-{tool.lower()}:{tag}")[tool]
                yield task, tool, self._measure(tool, [self._tools[tool], *words[1:]])

    def _helper(self, stack: ExitStack, *arguments: str) -> subprocess.Popen[str]:
        process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=self._environment,
            )
        )
        stack.callback(process.terminate)
        return process

    def _measure(self, tool: str, words: list[str]) -> Run:
        before = self._requests()
        helper = self._library if tool == "Client" else self._launcher
        assert helper.stdin is not None
        assert helper.stdout is not None
        print(json.dumps(words[1:] if tool == "Client" else [words, self._environment]), file=helper.stdin, flush=True)
        status, wall, cpu, memory = json.loads(helper.stdout.readline())
        if status:
            sys.exit(f"{' '.join(words)} failed")
        return Run(wall, cpu, memory, self._requests() - before)

    def _requests(self) -> int:
        return sum(len(re.findall(r"^127\.0\.0\.1 - ", registry.log(), re.MULTILINE)) for registry in self._registries)


@contextmanager
def _line(latency: float, hosts: list[str]) -> Iterator[list[str]]:
    script = Path(__file__).with_name("line.py")
    with subprocess.Popen([sys.executable, script, f"{latency}", *hosts], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield [f"127.0.0.1:{port}" for port in process.stdout.readline().split()]
        process.terminate()


def find_tools(wanted: list[str]) -> dict[str, str]:
    """Where the tools are that are installed."""
    places = (str(Path(sys.executable).parent), *map(os.environ.get, ("LADING_BENCH_BIN", "GOBIN", "PATH")))
    path = os.pathsep.join(filter(None, places))
    found = {tool: shutil.which(command[0], path=path) for tool, command in commands("", "").items()}
    for tool, program in found.items():
        if program is None:
            print(f"{tool} is not installed")
    return {tool: program for tool, program in found.items() if program and tool in {"lading", "Client", *wanted}}


def show(task: str, runs: dict[tuple[str, str], list[Run]]) -> None:
    """Print a line for each tool."""
    base = statistics.median(run.wall for run in runs[task, "lading"])
    for (of, tool), taken in runs.items():
        if of == task:
            wall = statistics.median(run.wall for run in taken)
            print(
                f"  {task:11} {tool:7} {wall * 1000:6.0f} ms  {wall / base:5.2f} x"
                f"  least {min(run.wall for run in taken) * 1000:5.0f} ms"
                f"  CPU {statistics.median(run.cpu for run in taken) * 1000:5.0f} ms"
                f"  {max(run.memory for run in taken) / 1024:4.0f} MiB"
                f"  {statistics.median(run.requests for run in taken):g} requests",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7, help="how often each command runs")
    parser.add_argument("--latency", type=float, nargs="*", default=[0.0, 0.04], help="seconds added to round trips")
    parser.add_argument("--shape", nargs="*", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--place", nargs="*", choices=PLACES, default=list(PLACES))
    parser.add_argument("--tool", nargs="*", default=["crane", "skopeo", "oras", "regctl"], help="beside lading")
    options = parser.parse_args()
    tools = find_tools(options.tool)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    for latency in options.latency:
        for shape in options.shape:
            for place in options.place:
                print(f"{SHAPES[shape]}, {PLACES[place]}, {latency * 1000:g} ms, {options.runs} runs", flush=True)
                with ExitStack() as stack:
                    bench = Bench(stack, tools, latency)
                    for _ in bench.round("small", place, -1):
                        pass  # compiled, and in the cache of the system
                    runs: dict[tuple[str, str], list[Run]] = {(task, tool): [] for task in TASKS for tool in tools}
                    for number in range(options.runs):
                        for task, tool, run in bench.round(shape, place, number):
                            runs[task, tool].append(run)
                for task in TASKS:
                    show(task, runs)


if __name__ == "__main__":
    main()
