"""What was measured, as a JSON document, as a page with tables, and as a chart for each group.

The document is the source of the others: `python -m bench.run --from FILE` makes the page from one.
"""

from __future__ import annotations

import html
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.harness.network import NETWORKS
from bench.harness.scenario import FIRST, LIBRARY, OURS, WARM, Runs, Scenario

Document = dict[str, Any]

COLOURS = {
    "lading": "#0b6e4f",
    FIRST: "#7fbf9f",
    WARM: "#f08a24",
    LIBRARY: "#12355b",
    "crane": "#d1495b",
    "oras": "#8d6cab",
    "regctl": "#3d8fb5",
    "regsync": "#5bb7b7",
    "skopeo": "#b08900",
    "docker": "#555555",
    "podman": "#a05195",
    "python": "#999999",
    "docker-registry": "#8d6cab",
}
_ROW, _LEFT, _WIDTH, _TOP = 22, 330, 900, 54


def entry(scenario: Scenario, group: str, network: str, found: Runs, failed: Mapping[str, str]) -> Document:
    """What was measured of a scenario in a network."""
    steps = []
    for step in scenario.steps:
        rows = {tool: taken for (of, tool), taken in found.items() if of == step}
        tools = {}
        for tool, taken in rows.items():
            walls = sorted(run.wall for run in taken)
            tools[tool] = {
                "wall_ms": _thousandths(statistics.median(walls)),
                "wall_ms_least": _thousandths(walls[0]),
                "wall_ms_most": _thousandths(walls[-1]),
                "cpu_ms": _thousandths(statistics.median(run.cpu for run in taken)),
                "memory_mib": round(max(run.memory for run in taken) / 1024, 1),
                "requests": statistics.median(run.requests for run in taken),
                "connections": statistics.median(run.connections for run in taken),
                "bytes": round(statistics.median(run.bytes for run in taken)),
                "runs": len(taken),
            }
        steps.append({"step": step, "tools": tools})
    return {
        "group": group,
        "network": network,
        "scenario": scenario.name,
        "note": scenario.note,
        "steps": steps,
        "failed": dict(failed),
    }


def key(entry: Document) -> tuple[str, str, str]:
    """What tells an entry from all others."""
    return entry["network"], entry["group"], entry["scenario"]


def _thousandths(seconds: float) -> float:
    return round(seconds * 1000, 1)


def page(document: Document, introduction: str) -> str:
    """The page: the introduction, the machine, a chart and two tables for each group and network."""
    machine = document["machine"]
    lines = [
        introduction.rstrip(),
        "",
        f"Measured on {machine['date']}: {machine['processors']} processors ({machine['model']}), "
        f"{machine['memory_gib']} GiB of memory, {machine['system']}, Python {machine['python']}; "
        + ", ".join(f"{tool} {version}" for tool, version in document["versions"].items())
        + f". Medians of up to {document['runs']} rounds.",
        "",
        *_summary(document["entries"]),
    ]
    for group, network in _pairs(document):
        entries = [one for one in document["entries"] if (one["group"], one["network"]) == (group, network)]
        lines += [f"## {group[:1].upper()}{group[1:]}, {network}", "", f"{NETWORKS[network]}.", ""]
        lines += [f"![{group}, {network}](benchmarks/{chart_name(group, network)})", ""]
        lines += _table(entries, _wall, "Wall time in ms, and as a multiple of lading's")
        lines += _table(
            entries,
            _cost,
            "CPU in ms · memory in MiB · requests · connections · MB · least and most wall time in ms",
        )
        for one in entries:
            lines += [f"{one['scenario']}: {one['note']}", ""] if one["note"] else []
            for tool, said in one["failed"].items():
                lines += [f"{one['scenario']}: {tool} fails: `{_last_line(said)}`", ""]
    return "\n".join(lines).rstrip() + "\n"


def _summary(entries: Sequence[Document]) -> list[str]:
    """A table of all tasks: the fastest other tool, and what part of its time lading takes."""
    lines = []
    for network in NETWORKS:
        rows = []
        for one in entries:
            for step in one["steps"] if one["network"] == network else []:
                walls = {tool: taken["wall_ms"] for tool, taken in step["tools"].items()}
                peers = {tool: wall for tool, wall in walls.items() if tool not in (*OURS, "python")}
                if not peers or "lading" not in walls:
                    continue
                best = min(peers, key=peers.__getitem__)
                cells = [f"{walls[tool] / peers[best]:.2f}" if tool in walls else "" for tool in OURS]
                rows.append(f"| {_label(one, step)} | {best}, {peers[best]:,.0f} ms | {' | '.join(cells)} |")
        if rows:
            lines += [
                f"## In short, {network}",
                "",
                "The fastest of the others, and lading's wall time as a multiple of its: below 1, lading is faster.",
                "",
                f"| | fastest other | {' | '.join(OURS)} |",
                f"|---|---|{'---:|' * len(OURS)}",
                *rows,
                "",
            ]
    return lines


def chart_name(group: str, network: str) -> str:
    """The file of a chart."""
    return f"{group.replace(' ', '-')}-{network}.svg"


def charts(document: Document) -> dict[str, str]:
    """The charts of all groups, by file name."""
    found = {}
    for group, network in _pairs(document):
        entries = [one for one in document["entries"] if (one["group"], one["network"]) == (group, network)]
        found[chart_name(group, network)] = _chart(f"{group}, {network}", entries)
    return found


def _pairs(document: Document) -> list[tuple[str, str]]:
    return list(dict.fromkeys((one["group"], one["network"]) for one in document["entries"]))


def _label(entry: Document, step: Document) -> str:
    return f"{entry['scenario']}, {step['step']}" if step["step"] else str(entry["scenario"])


def _tools(entries: Iterable[Document]) -> list[str]:
    there = {tool for one in entries for step in one["steps"] for tool in step["tools"]}
    return [tool for tool in COLOURS if tool in there]


def _table(entries: Sequence[Document], cell: Any, title: str) -> list[str]:
    tools = _tools(entries)
    lines = [f"{title}:", "", f"| | {' | '.join(tools)} |", f"|---|{'---:|' * len(tools)}"]
    for one in entries:
        for step in one["steps"]:
            cells = [cell(step["tools"], tool) if tool in step["tools"] else "" for tool in tools]
            lines.append(f"| {_label(one, step)} | {' | '.join(cells)} |")
    return [*lines, ""]


def _wall(tools: Mapping[str, Document], tool: str) -> str:
    wall = tools[tool]["wall_ms"]
    if "lading" not in tools:
        return f"{wall:,.0f}"
    return f"{wall:,.0f} ({wall / tools['lading']['wall_ms']:.2f})"


def _cost(tools: Mapping[str, Document], tool: str) -> str:
    one = tools[tool]
    numbers = f"{one['cpu_ms']:,.0f} · {one['memory_mib']:.0f} · {one['requests']:g} · {one['connections']:g}"
    return f"{numbers} · {one['bytes'] / 1e6:,.1f} · {one['wall_ms_least']:,.0f} to {one['wall_ms_most']:,.0f}"


def _last_line(said: str) -> str:
    return ([line.strip() for line in said.splitlines() if line.strip()] or ["it says nothing"])[-1][:160]


def _chart(title: str, entries: Sequence[Document]) -> str:
    """A dot for each tool, on a line for each task; the scale is logarithmic."""
    rows = [(_label(one, step), step["tools"]) for one in entries for step in one["steps"] if step["tools"]]
    walls = [tool["wall_ms"] for _, tools in rows for tool in tools.values()]
    least, most = math.floor(math.log10(min(walls))), math.ceil(math.log10(max(walls) * 1.05))

    def at(wall: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - 30) * (math.log10(wall) - least) / max(1, most - least)

    height = _TOP + _ROW * len(rows) + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'font-family="sans-serif" font-size="12"><title>{html.escape(title)}: wall time in ms</title>',
        "<style>text{fill:#222}.g{stroke:#ccc}@media(prefers-color-scheme:dark){text{fill:#ddd}.g{stroke:#555}}</style>",
    ]
    x = 10
    for tool in _tools(entries):
        parts += [
            f'<circle cx="{x}" cy="14" r="5" fill="{COLOURS[tool]}"/>',
            f'<text x="{x + 9}" y="18">{html.escape(tool)}</text>',
        ]
        x += 26 + 7 * len(tool)
    for power in range(least, most + 1):
        parts += [
            f'<line class="g" x1="{at(10**power):.1f}" x2="{at(10**power):.1f}" y1="{_TOP - 10}" y2="{height - 24}"/>',
            f'<text x="{at(10**power):.1f}" y="{height - 8}" text-anchor="middle">{10**power:g} ms</text>',
        ]
    for number, (label, tools) in enumerate(rows):
        y = _TOP + _ROW * number
        parts += [
            f'<text x="{_LEFT - 12}" y="{y + 4}" text-anchor="end">{html.escape(label)}</text>',
            f'<line class="g" x1="{_LEFT}" x2="{_WIDTH - 30}" y1="{y}" y2="{y}"/>',
        ]
        for tool, taken in reversed(tools.items()):
            radius, said = 6 if tool in OURS else 5, f"{tool}: {taken['wall_ms']:,.0f} ms"
            parts.append(
                f'<circle cx="{at(taken["wall_ms"]):.1f}" cy="{y}" r="{radius}" fill="{COLOURS[tool]}">'
                f"<title>{html.escape(said)}</title></circle>"
            )
    return "\n".join([*parts, "</svg>"]) + "\n"
