"""Scenarios, and how they run: every tool does each one, in turn, several times, with content of its own."""

from __future__ import annotations

import argparse
import math
import os
import shlex
import shutil
import statistics
import string
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bench.harness.network import NETWORKS, Network, network
from bench.harness.process import Failed, Helper
from bench.harness.tools import find_tools
from support.images import Manifest, push

MIB = 1024 * 1024
TOOLS = ("crane", "oras", "regctl", "regsync", "skopeo", "docker", "podman")
FIRST, WARM, LIBRARY = "lading, first", "lading, warm", "library"
OURS = ("lading", FIRST, WARM, LIBRARY)
"""The rows of lading: the command where it ran before (tokens and hosts are known), where nothing is remembered, with a
warm start, and the library in a process that runs."""

Names = Mapping[str, str]


class Step(NamedTuple):
    """A part of a scenario that is measured by itself: the command of each tool, and the same with the library.

    The library's statements know a `client`. In both, `$NAME` is a name that the harness or the scenario gives: `$HOST`
    and `$OTHER`, the two registries; `$TAG`, one that no other round has; `$TOOL`, the tool; `$MINE`, a repository's
    path of this tool's own; `$FOLDER`, a folder of this tool's own, empty at first and the same in all steps; and the
    words that a tool needs in a network (`harness.network`).
    """

    commands: Mapping[str, str]
    library: str = ""


@dataclass(frozen=True)
class Scenario:
    """A task, and how each tool does it.

    Args:
        name: what it is called in tables.
        steps: its parts, by name, one after the other; a single part has the name "".
        prepare: makes content for a round before it is measured, and gives the names that commands use for it.
        group: the table and the chart it belongs to.
        runs: how often it runs at most, for one that takes long.
        networks: where it makes sense.
        rows: the only ones that it has, where it would take others too long; all, if there are none.
        keeps: what it made stays, for the scenarios after it.
        measured: runs it in place of the harness, so many times and in about so many seconds; commands only say what.
    """

    name: str
    steps: Mapping[str, Step]
    prepare: Callable[[Site, int], Names] = lambda site, run: {}
    group: str = ""
    runs: int = 1000
    networks: tuple[str, ...] = tuple(NETWORKS)
    note: str = ""
    rows: tuple[str, ...] = ()
    keeps: bool = False
    measured: Callable[[int, float], Runs] | None = None


class Run(NamedTuple):
    """What one run took: seconds, seconds of CPU, KiB, and what went over the network."""

    wall: float
    cpu: float
    memory: float
    requests: int
    connections: int
    bytes: int


class Site:
    """A network with the tools in it, where scenarios are prepared and run."""

    def __init__(self, stack: ExitStack, net: Network, tools: Mapping[str, str]) -> None:
        self.network = net
        self.tools = tools
        self._homes = {tool: net.folder / "homes" / tool.replace(", ", "-") for tool in (*tools, "python", *OURS)}
        self._environments = {tool: net.environment(home) for tool, home in self._homes.items()}
        path = os.pathsep.join([*dict.fromkeys(str(Path(tool).parent) for tool in tools.values()), os.environ["PATH"]])
        for environment in self._environments.values():
            environment["PATH"] = path
        self._launcher = stack.enter_context(Helper(self._environments["lading"]))
        self._library = stack.enter_context(Helper(self._environments[LIBRARY], is_library=True))
        self._has_warm_start = self._start_warm(stack)

    def push(self, repository: str, tag: str, manifest: Manifest, *, at: int = 0) -> str:
        """Put content into a registry, past the relay. Gives its name, as tools find it."""
        push(self.network.direct[at], repository, tag, manifest)
        return f"{self.network.hosts[at]}/{repository}:{tag}"

    @property
    def folder(self) -> Path:
        """Where a scenario may leave files; it is there as long as the network."""
        return self.network.folder

    def able(self, scenario: Scenario) -> list[str]:
        """The rows that a scenario has here."""
        step = next(iter(scenario.steps.values()))
        rows = [tool for tool in step.commands if tool in self.tools or tool == "python"]
        if "lading" in rows:
            rows.insert(1, FIRST)
            if self._has_warm_start:
                rows.insert(2, WARM)
            if step.library:
                rows.insert(rows.index(FIRST) + 1, LIBRARY)
        return [row for row in rows if not scenario.rows or row in scenario.rows]

    def clean(self) -> None:
        """Remove all that scenarios left that is large."""
        shutil.rmtree(self.folder / "work", ignore_errors=True)
        for registry in self.network.registries:
            for file in (registry.folder / "data").rglob("data"):
                if file.stat().st_size >= MIB:
                    file.unlink()

    def run(self, scenario: Scenario, tool: str, run: int, names: Names) -> Iterator[tuple[str, Run]]:
        """Let a tool do every step once: the name of each, and what it took."""
        mine = f"{scenario.name}-{tool}".replace(", ", "-").replace(" ", "-").replace(",", "").lower()
        folder = self.folder / "work"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        if tool == FIRST:
            for kept in (".cache", ".local"):
                shutil.rmtree(self._homes[tool] / kept, ignore_errors=True)
        given = {
            "HOST": self.network.hosts[0],
            "OTHER": self.network.hosts[1],
            "TAG": f"r{run}",
            "TOOL": tool.replace(", ", "-"),
            "MINE": f"bench/{mine}",
            "FOLDER": str(folder),
            **self.network.words,
            **names,
        }
        for step, said in scenario.steps.items():
            program = "lading" if tool in OURS else tool
            if not (said.library if tool == LIBRARY else program in said.commands):
                continue
            before = self.network.traffic()
            if tool == LIBRARY:
                used = self._library.code(string.Template(said.library).substitute(given))
            else:
                line = string.Template(said.commands[program]).substitute(given)
                used = self._launcher.command(
                    self._words(line), self._environments[tool], str(folder), str(self.folder / "said")
                )
            after = self.network.traffic()
            yield step, Run(*used, *(now - then for now, then in zip(after, before, strict=True)))

    def _start_warm(self, stack: ExitStack) -> bool:
        """Start the process that warm commands are run by; False where this version has none."""
        environment = self._environments[WARM]
        environment["LADING_WARM"] = "1"
        warm = [self.tools["lading"], "warm"]
        if subprocess.run([*warm, "start"], env=environment, capture_output=True, check=False).returncode:
            return False
        stack.callback(subprocess.run, [*warm, "stop"], env=environment, capture_output=True, check=False)
        return True

    def _words(self, line: str) -> list[str]:
        # Only where there is more than one command, a shell is the process, and its children are counted with it.
        if any(sign in line for sign in "|&;<>"):
            return ["/bin/sh", "-ec", line]
        program, *words = shlex.split(line)
        return [self.tools.get(program) or shutil.which(program) or program, *words]


Runs = dict[tuple[str, str], list[Run]]
"""What was measured of a scenario: by step and tool."""


_LONG = 20.0
"""Seconds: what is done once, and counts for little in a round that takes so long."""


def measure(site: Site, scenario: Scenario, runs: int, seconds: float = math.inf) -> tuple[Runs, dict[str, str]]:
    """Run a scenario, the tools in turn, each round in another order.

    The first round does not count, unless it is long or the only one.

    Args:
        site: where.
        scenario: which.
        runs: how many rounds count.
        seconds: the time in which it should end; one round is run in any case.

    Returns:
        What was measured, and of tools that failed what they said.
    """
    if scenario.measured is not None:
        return scenario.measured(min(runs, scenario.runs), seconds), {}
    able = site.able(scenario)
    found: Runs = {(step, tool): [] for step in scenario.steps for tool in able}
    failed: dict[str, str] = {}
    rounds = min(runs, scenario.runs)
    started = time.monotonic()
    counted = number = 0
    while counted < rounds:
        begun = time.monotonic()
        names = scenario.prepare(site, number)
        turn = number % len(able)
        for tool in able[turn:] + able[:turn]:
            if tool in failed:
                continue
            try:
                for step, run in site.run(scenario, tool, number, names):
                    found[step, tool].append(run)
            except Failed as error:
                failed[tool] = str(error)
                print(f"  {tool} failed: {error}", file=sys.stderr, flush=True)
        now = time.monotonic()
        if number == 0 and rounds > 1 and now - begun < _LONG:
            found = {key: [] for key in found}
        else:
            counted += 1
            if now - started + now - begun > seconds:
                break
        number += 1
    if not scenario.keeps:
        site.clean()
    return {key: value for key, value in found.items() if value and key[1] not in failed}, failed


def show(scenario: Scenario, found: Runs) -> None:
    """Print a line for each step and tool."""
    for step in scenario.steps:
        rows = {tool: taken for (of, tool), taken in found.items() if of == step}
        base = statistics.median(run.wall for run in rows["lading"]) if "lading" in rows else None
        print(f"  {scenario.name}{', ' if step else ''}{step}")
        for tool, taken in rows.items():
            walls = sorted(run.wall for run in taken)
            wall = statistics.median(walls)
            ratio = f"{wall / base:6.2f} x" if base else ""
            print(
                f"    {tool:14} {wall * 1000:8.0f} ms {ratio}  {walls[0] * 1000:.0f} to {walls[-1] * 1000:.0f} ms"
                f"  CPU {statistics.median(run.cpu for run in taken) * 1000:.0f} ms"
                f"  {max(run.memory for run in taken) / 1024:.0f} MiB"
                f"  {statistics.median(run.requests for run in taken):g} requests"
                f"  {statistics.median(run.connections for run in taken):g} connections"
                f"  {statistics.median(run.bytes for run in taken) / 1e6:.1f} MB",
                flush=True,
            )


def options_of(description: str | None) -> argparse.ArgumentParser:
    """The options that every script has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="how many rounds count (5)")
    parser.add_argument("--network", nargs="*", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--tool", nargs="*", choices=TOOLS, default=list(TOOLS), help="beside lading")
    parser.add_argument("--only", nargs="*", metavar="TEXT", default=[], help="scenarios whose name has a text in it")
    parser.add_argument("--small", action="store_true", help="small content, to see that it works")
    return parser


def chosen(scenarios: Sequence[Scenario], only: Sequence[str]) -> list[Scenario]:
    """The scenarios whose name has one of the texts in it; all, if there is none."""
    return [one for one in scenarios if not only or any(text in one.name for text in only)]


def main(description: str | None, scenarios: Callable[[bool], Sequence[Scenario]]) -> None:
    """Run the scenarios of a script, and print what was measured.

    Args:
        description: the script's own.
        scenarios: gives its scenarios; with True, those with small content.
    """
    options = options_of(description).parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    tools = find_tools(options.tool)
    for name in options.network:
        with ExitStack() as stack:
            site = Site(stack, stack.enter_context(network(name, on_disk=not options.small)), tools)
            print(f"{name}: {NETWORKS[name]}; medians of {options.runs}")
            for scenario in chosen(scenarios(options.small), options.only):
                if name in scenario.networks:
                    show(scenario, measure(site, scenario, options.runs)[0])
