"""Times what `lading image` does beside crane and regctl, where they are installed, in the same run.

    python bench/images.py [--runs 5] [--size 500] [--task "file, cold" export] [--tool crane]

The image has `--size` MiB of layers, half of it text and half of it noise, in five layers. Tasks: a file of the lowest
and of the top layer, with nothing known of the image and again; the names of all files; the whole file system as an
archive; a layer put on top, a label and an environment variable set, all layers made one. A task that a tool does not
have is left out: regctl makes no archive of a file system, and flattens nothing; crane reads a file by an export.

All tools run one after the other, `--runs` times, each time in another order. Prints for each the median and the least
wall time of the whole process, start-up included, the median as a multiple of lading's, CPU time (user and system) and
peak memory of the largest process, and how many requests the registry saw. The tools are looked for in PATH, in
$LADING_BENCH_BIN and in $GOBIN.
"""

import argparse
import gzip
import io
import json
import os
import random
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.images import Manifest, push
from support.layers import Blob, image
from support.process import bare_environment
from support.registry import RealRegistry

LAYERS = 5
MEBIBYTE = 1024 * 1024

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


class Run(NamedTuple):
    """What one run of a tool took: seconds, seconds of CPU, KiB of memory, requests."""

    wall: float
    cpu: float
    memory: int
    requests: int


class Task(NamedTuple):
    """What each tool calls a task: a command of the shell, in which `IMAGE`, `TARGET`, `ADDED` and `OUT` are names."""

    commands: dict[str, str]
    is_warm: bool = False
    """Whether what a tool remembers of the run before may help it."""


LOW, TOP = "data/0/noise-2", f"data/{LAYERS - 1}/text-3"
ONE = "crane export --insecure IMAGE - | tar -xOf - {}"
TASKS = {
    "file, cold": Task(
        {
            "lading": f"lading image cat IMAGE {LOW}",
            "crane": ONE.format(LOW),
            "regctl": f"regctl image get-file IMAGE {LOW}",
        }
    ),
    "file, again": Task(
        {
            "lading": f"lading image cat IMAGE {LOW}",
            "crane": ONE.format(LOW),
            "regctl": f"regctl image get-file IMAGE {LOW}",
        },
        is_warm=True,
    ),
    "top file, cold": Task(
        {
            "lading": f"lading image cat IMAGE {TOP}",
            "crane": ONE.format(TOP),
            "regctl": f"regctl image get-file IMAGE {TOP}",
        }
    ),
    "names, cold": Task(
        {"lading": "lading image ls -R IMAGE", "crane": "crane export --insecure IMAGE - | tar -tf -"},
    ),
    "names, again": Task(
        {"lading": "lading image ls -R IMAGE", "crane": "crane export --insecure IMAGE - | tar -tf -"},
        is_warm=True,
    ),
    "export": Task({"lading": "lading image export IMAGE OUT", "crane": "crane export --insecure IMAGE OUT"}),
    "export, again": Task(
        {"lading": "lading image export IMAGE OUT", "crane": "crane export --insecure IMAGE OUT"}, is_warm=True
    ),
    "append": Task(
        {
            "lading": "lading image append IMAGE ADDED -t TARGET",
            "crane": "crane append --insecure -b IMAGE -f ADDED -t TARGET",
            "regctl": "regctl image mod IMAGE --layer-add tar=ADDED --create TARGET",
        }
    ),
    "edit": Task(
        {
            "lading": "lading image edit IMAGE --label a=b --env C=D -t TARGET",
            "crane": "crane mutate --insecure IMAGE --label a=b --env C=D -t TARGET",
            "regctl": "regctl image mod IMAGE --label a=b --env C=D --create TARGET",
        }
    ),
    "flatten": Task(
        {
            "lading": "lading image flatten IMAGE -t TARGET",
            "crane": "crane flatten --insecure IMAGE -t TARGET",
        }
    ),
}


def make(size: int) -> Manifest:
    """The image, of layers of about so many bytes together."""
    chance = random.Random(1)
    words = [bytes(chance.choices(b"abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 10))) for _ in range(5000)]
    layers = []
    for number in range(LAYERS):
        plain = io.BytesIO()
        with tarfile.open(fileobj=plain, mode="w") as tar:
            at, made = 0, 0
            while made < size // LAYERS:
                length = int(chance.paretovariate(0.9) * 4000) % (8 * MEBIBYTE)
                is_text = at % 2
                content = b" ".join(chance.choices(words, k=length // 7)) if is_text else chance.randbytes(length)
                member = tarfile.TarInfo(f"data/{number}/{'text' if is_text else 'noise'}-{at}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
                at, made = at + 1, made + (len(content) * 2 // 5 if is_text else len(content))
        content = plain.getvalue()
        layers.append(Blob(gzip.compress(content, 6, mtime=0), content))
    return image(*layers, config={"config": {"Cmd": ["/x"]}})


class Bench:
    """A registry with the image, and the tools."""

    def __init__(self, stack: ExitStack, tools: dict[str, str], size: int) -> None:
        self._tools = tools
        self._registry = stack.enter_context(RealRegistry())
        self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self._environment = bare_environment(self._folder)
        self._environment["PATH"] = os.pathsep.join(
            [*(str(Path(tool).parent) for tool in tools.values()), self._environment["PATH"]]
        )
        regctl = Path(self._environment["HOME"], ".regctl", "config.json")
        regctl.parent.mkdir(parents=True)
        regctl.write_text(json.dumps({"hosts": {self._registry.host: {"tls": "disabled"}}}))
        config = Path(self._environment["XDG_CONFIG_HOME"], "lading", "config.toml")
        config.parent.mkdir(parents=True)
        config.write_text(f'[hosts."{self._registry.host}"]\nplain_http = true\n')
        self._image = f"{self._registry.host}/bench/image:1"
        self._added = self._folder / "added.tar"
        with tarfile.open(self._added, "w") as tar:
            member = tarfile.TarInfo("added/file")
            member.size = 5 * MEBIBYTE
            tar.addfile(member, io.BytesIO(random.Random(2).randbytes(member.size)))
        made = make(size)
        push(self._registry.host, "bench/image", "1", made)
        sizes = [len(layer) for layer in made.layers]
        print(f"the image has {sum(sizes) / MEBIBYTE:.0f} MiB of layers", flush=True)
        self._launcher = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-S", "-E", "-c", LAUNCHER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=self._environment,
            )
        )
        stack.callback(self._launcher.terminate)

    def run(self, name: str, tool: str, run: int) -> Run:
        """Let a tool do a task once."""
        task = TASKS[name]
        cache = Path(self._environment["XDG_CACHE_HOME"])
        if not task.is_warm:
            shutil.rmtree(cache, ignore_errors=True)
        target = f"{self._registry.host}/bench/{tool}-{re.sub(r'[^a-z]', '', name)}:{run}"
        names = {"IMAGE": self._image, "TARGET": target, "ADDED": str(self._added), "OUT": str(self._folder / "out")}
        words = task.commands[tool]
        for one, place in names.items():
            words = words.replace(one, place)
        # Where there is a pipe, a shell is the process, and what its children used is counted with it.
        command = ["/bin/sh", "-c", words] if "|" in words else [self._tools[tool], *shlex.split(words)[1:]]
        before = self._requests()
        print(json.dumps([command, self._environment]), file=self._launcher.stdin, flush=True)
        assert self._launcher.stdout is not None
        status, wall, cpu, memory = json.loads(self._launcher.stdout.readline())
        if status:
            sys.exit(f"{words} failed")
        return Run(wall, cpu, memory, self._requests() - before)

    def _requests(self) -> int:
        return len(re.findall(r"^127\.0\.0\.1 - ", self._registry.log(), re.MULTILINE))


def find_tools(wanted: list[str]) -> dict[str, str]:
    """Where the tools are that are installed."""
    places = (str(Path(sys.executable).parent), *map(os.environ.get, ("LADING_BENCH_BIN", "GOBIN", "PATH")))
    path = os.pathsep.join(filter(None, places))
    found = {tool: shutil.which(tool, path=path) for tool in ("lading", *wanted)}
    for tool, program in found.items():
        if program is None:
            print(f"{tool} is not installed")
    return {tool: program for tool, program in found.items() if program}


def show(name: str, runs: dict[str, list[Run]]) -> None:
    """Print a line for each tool."""
    base = statistics.median(run.wall for run in runs["lading"])
    for tool, taken in runs.items():
        wall = statistics.median(run.wall for run in taken)
        print(
            f"  {name:15} {tool:7} {wall * 1000:6.0f} ms  {wall / base:5.2f} x"
            f"  least {min(run.wall for run in taken) * 1000:5.0f} ms"
            f"  CPU {statistics.median(run.cpu for run in taken) * 1000:5.0f} ms"
            f"  {max(run.memory for run in taken) / 1024:4.0f} MiB"
            f"  {statistics.median(run.requests for run in taken):g} requests",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="how often each command runs")
    parser.add_argument("--size", type=int, default=500, help="MiB of layers")
    parser.add_argument("--task", nargs="*", choices=TASKS, default=list(TASKS))
    parser.add_argument("--tool", nargs="*", default=["crane", "regctl"], help="beside lading")
    options = parser.parse_args()
    tools = find_tools(options.tool)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with ExitStack() as stack:
        bench = Bench(stack, tools, options.size * MEBIBYTE)
        for name in options.task:
            able = [tool for tool in tools if tool in TASKS[name].commands]
            runs: dict[str, list[Run]] = {tool: [] for tool in able}
            for tool in able:
                bench.run(name, tool, options.runs)  # compiled, in the cache of the system, and known where that counts
            for number in range(options.runs):
                turn = number % len(able)
                for tool in able[turn:] + able[:turn]:
                    runs[tool].append(bench.run(name, tool, number))
            show(name, runs)


if __name__ == "__main__":
    main()
