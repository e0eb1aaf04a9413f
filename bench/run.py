"""Every scenario, with lading and every peer that can do it; writes docs/benchmarks.md, its charts and a JSON file.

    make bench                                  install the peers, then run everything
    python -m bench.run --only digest --runs 3  some of it, printed and not written
    python -m bench.run --group lists --write   measure a group again; the rest of the page stays
    python -m bench.run --from docs/benchmarks/results.json

Each round goes through the tools in another order, and with content of its own. On a machine that does something else
at the same time, the numbers say nothing. Every scenario gets an equal part of the time that is left (`--minutes`):
where that is too short for all rounds there are fewer, and what has not begun in time is left out and named.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import time
from contextlib import ExitStack
from pathlib import Path

from bench import artifacts, copies, images, lists, names, servers, slopes, start
from bench.harness import report
from bench.harness.network import NETWORKS, network
from bench.harness.scenario import Scenario, Site, chosen, measure, options_of, show
from bench.harness.tools import find_tools, version_of

GROUPS = {
    "start-up": start,
    "names and tags": names,
    "lists": lists,
    "copies": copies,
    "images": images,
    "artifacts": artifacts,
    "the embedded registry": servers,
    "slopes": slopes,
}
DOCS = Path(__file__).parents[1] / "docs"


def main() -> None:
    """Run what is asked for."""
    parser = options_of(__doc__)
    parser.add_argument("--group", nargs="*", choices=GROUPS, default=list(GROUPS))
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md and what belongs to it")
    parser.add_argument("--from", dest="source", type=Path, metavar="FILE", help="make the page of these results")
    parser.add_argument("--minutes", type=float, default=40, help="the time that it may take, about (40)")
    parser.add_argument("--docs", type=Path, default=DOCS, metavar="FOLDER", help="where to write (docs)")
    options = parser.parse_args()
    if options.source is not None:
        write(json.loads(options.source.read_text()), options.docs)
        return
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    tools = find_tools(options.tool)
    found: report.Document = {
        "versions": {tool: version_of(tool, program) for tool, program in tools.items()},
        "machine": machine(),
        "runs": options.runs,
        "small": options.small,
        "entries": [],
    }
    wanted = [
        (name, group, scenario)
        for name in options.network
        for group, scenario in _all(options.group, options.small)
        if name in scenario.networks and chosen([scenario], options.only)
    ]
    end = time.monotonic() + options.minutes * 60
    for name in options.network:
        with ExitStack() as stack:
            site = Site(stack, stack.enter_context(network(name, on_disk=not options.small)), tools)
            print(f"{name}: {NETWORKS[name]}", flush=True)
            while wanted and wanted[0][0] == name:
                left = end - time.monotonic()
                part = left / len(wanted)
                _, group, scenario = wanted.pop(0)
                if left <= 0:
                    print(f"  left out: {scenario.name}", flush=True)
                    continue
                runs, failed = measure(site, scenario, options.runs, part)
                show(scenario, runs)
                found["entries"].append(report.entry(scenario, group, name, runs, failed))
                if options.write:  # what is there already is kept if the rest fails
                    write(merged(kept(options.docs), found), options.docs)


def kept(docs: Path) -> report.Document | None:
    """The results that are there already."""
    file = docs / "benchmarks" / "results.json"
    return json.loads(file.read_text()) if file.is_file() else None


def merged(before: report.Document | None, found: report.Document) -> report.Document:
    """What was measured before, and what was measured now in place of the same scenarios, in the order of the groups.

    Small content and large content do not mix, nor do machines or versions: then, what was measured before is gone.
    """

    def same(one: report.Document) -> list[object]:
        return [{**one["machine"], "date": ""}, one["versions"].get("lading"), one["small"]]

    if before is None or same(before) != same(found):
        return found
    entries = {report.key(one): one for one in before["entries"]} | {report.key(one): one for one in found["entries"]}
    order = [
        (name, group, scenario.name) for group, scenario in _all(list(GROUPS), found["small"]) for name in NETWORKS
    ]
    there = [key for key in order if key in entries]
    versions = before["versions"] | found["versions"]
    return {**found, "versions": versions, "entries": [entries[key] for key in there]}


def write(document: report.Document, docs: Path) -> None:
    """Write the results, the page and the charts."""
    folder = docs / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(document, indent=1) + "\n")
    for name, chart in report.charts(document).items():
        (folder / name).write_text(chart)
    (docs / "benchmarks.md").write_text(report.page(document, introduction()))


def introduction() -> str:
    """What the page says before the numbers."""
    return (Path(__file__).parent / "introduction.md").read_text()


def machine() -> dict[str, object]:
    """What it runs on."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    total = Path("/proc/meminfo").read_text().split()[1]
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "processors": os.cpu_count(),
        "model": models[0].partition(":")[2].strip() if models else platform.machine(),
        "memory_gib": round(int(total) / 1024 / 1024),
        "system": f"Linux {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
    }


def _all(groups: list[str], small: bool) -> list[tuple[str, Scenario]]:
    return [
        (scenario.group or group, scenario)
        for group, script in GROUPS.items()
        if group in groups
        for scenario in script.scenarios(small)
    ]


if __name__ == "__main__":
    main()
