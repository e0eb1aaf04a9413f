"""Every scenario, with lading and every peer that can do it; writes docs/benchmarks.md, its charts and a JSON file.

    make bench                                  install the peers, then run everything
    python -m bench.run --only digest --runs 3  some of it, printed and not written
    python -m bench.run --from docs/benchmarks/results.json

Each round goes through the tools in another order, and with content of its own. On a machine that does something else
at the same time, the numbers say nothing.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
from contextlib import ExitStack
from pathlib import Path

from bench import artifacts, copies, images, lists, names, slopes, start
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
    "slopes": slopes,
}
DOCS = Path(__file__).parents[1] / "docs"


def main() -> None:
    """Run what is asked for."""
    parser = options_of(__doc__)
    parser.add_argument("--group", nargs="*", choices=GROUPS, default=list(GROUPS))
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md and what belongs to it")
    parser.add_argument("--from", dest="source", type=Path, metavar="FILE", help="make the page of these results")
    options = parser.parse_args()
    if options.source is not None:
        write(json.loads(options.source.read_text()))
        return
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    tools = find_tools(options.tool)
    document: report.Document = {
        "versions": {tool: version_of(tool, program) for tool, program in tools.items()},
        "machine": machine(),
        "runs": options.runs,
        "small": options.small,
        "entries": [],
    }
    for name in options.network:
        with ExitStack() as stack:
            site = Site(stack, stack.enter_context(network(name)), tools)
            print(f"{name}: {NETWORKS[name]}", flush=True)
            for group, scenario in _all(options.group, options.small):
                if name not in scenario.networks or not chosen([scenario], options.only):
                    continue
                found, failed = measure(site, scenario, options.runs)
                show(scenario, found)
                document["entries"].append(report.entry(scenario, group, name, found, failed))
                if options.write:  # what is there already is kept if the rest fails
                    write(document)


def write(document: report.Document) -> None:
    """Write the results, the page and the charts."""
    folder = DOCS / "benchmarks"
    folder.mkdir(exist_ok=True)
    (folder / "results.json").write_text(json.dumps(document, indent=1) + "\n")
    for name, chart in report.charts(document).items():
        (folder / name).write_text(chart)
    (DOCS / "benchmarks.md").write_text(report.page(document, introduction()))


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
