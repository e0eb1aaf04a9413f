"""What `make bench` writes: a page, charts and a document that agree; and that the scenarios run."""

import json
import string
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import cast

import pytest

from bench import run as bench
from bench.harness import report
from bench.harness.network import NETWORKS
from bench.harness.process import Failed, Helper
from bench.harness.scenario import FIRST, Run, Scenario, Site, Step, measure
from support.parts import need
from support.process import run

BENCH = Path(__file__).parents[1] / "bench"


def measured(*walls: float) -> list[Run]:
    return [Run(wall, wall / 2, 40 * 1024, 3, 1, 5000) for wall in walls]


def document() -> report.Document:
    scenario = Scenario("digest <of> a tag", {"": Step({}), "again": Step({})})
    found = {
        ("", "lading"): measured(0.1, 0.3, 0.2),
        ("", FIRST): measured(0.4),
        ("", "crane"): measured(0.05),
        ("again", "lading"): measured(0.1),
    }
    entries = [
        report.entry(scenario, "names and tags", network, found, {"oras": "a line\nError: it <fails>\n"})
        for network in NETWORKS
    ]
    machine = {
        "date": "2026-01-02",
        "processors": 2,
        "model": "x",
        "memory_gib": 8,
        "system": "Linux 6",
        "python": "3.11",
    }
    return {"versions": {"lading": "0.1"}, "machine": machine, "runs": 3, "small": False, "entries": entries}


def test_a_row_says_medians_and_their_ratio_to_lading() -> None:
    page = report.page(document(), "# Benchmarks\n\nWords.\n")
    assert page.startswith("# Benchmarks\n\nWords.\n")
    assert "| | lading | lading, first | crane |" in page
    assert "| digest <of> a tag | 200 (1.00) | 400 (2.00) | 50 (0.25) |" in page
    assert "| digest <of> a tag, again | 100 (1.00) |  |  |" in page
    assert "| digest <of> a tag | 100 · 40 · 3 · 1 · 0.0 · 100 to 300 | 200 · 40 · 3 · 1 · 0.0 · 400 to 400 |" in page
    assert "| digest <of> a tag | crane, 50 ms | 4.00 | 8.00 |  |  |" in page
    assert "| digest <of> a tag, again |  |" not in page
    assert "oras fails: `Error: it <fails>`" in page


def test_each_group_has_a_chart_that_is_valid_and_named_by_the_page() -> None:
    page, charts = report.page(document(), ""), report.charts(document())
    assert sorted(charts) == ["names-and-tags-plain.svg", "names-and-tags-realistic.svg"]
    for name, chart in charts.items():
        assert f"(benchmarks/{name})" in page
        texts = [one.text for one in ET.fromstring(chart).iter("{http://www.w3.org/2000/svg}text")]
        assert {"digest <of> a tag", "digest <of> a tag, again", "crane", "10 ms", "1000 ms"} <= set(texts)


def test_the_page_that_is_kept_is_made_of_the_results_that_are_kept() -> None:
    kept = bench.DOCS / "benchmarks" / "results.json"
    if not kept.is_file():
        pytest.skip("nothing was measured yet")
    results = json.loads(kept.read_text())
    assert not results["small"]
    assert (bench.DOCS / "benchmarks.md").read_text() == report.page(results, bench.introduction())
    for name, chart in report.charts(results).items():
        assert (bench.DOCS / "benchmarks" / name).read_text() == chart


def test_a_group_that_is_measured_again_replaces_its_scenarios_and_no_others() -> None:
    names = [("start-up", "help"), ("names and tags", "digest"), ("names and tags", "one more tag")]

    def results(*chosen: int, wall: float) -> report.Document:
        entries = [
            report.entry(
                Scenario(names[n][1], {"": Step({})}), names[n][0], "plain", {("", "lading"): measured(wall)}, {}
            )
            for n in chosen
        ]
        return {**document(), "small": True, "entries": entries}

    before, after = results(2, 0, wall=0.1), results(1, 2, wall=0.2)
    both = bench.merged(before, after)
    walls = {one["scenario"]: one["steps"][0]["tools"]["lading"]["wall_ms"] for one in both["entries"]}
    assert list(walls.items()) == [("help", 100), ("digest", 200), ("one more tag", 200)]
    assert bench.merged({**before, "small": False}, after) == after
    assert bench.merged(None, after) == after


def test_a_scenario_ends_in_its_time_but_runs_once() -> None:
    class Place:
        """Stands for a site: a tool that takes next to no time."""

        def able(self, scenario: Scenario) -> list[str]:
            return ["lading"]

        def run(self, *_: object) -> list[tuple[str, Run]]:
            return [("", measured(0.1)[0])]

        def clean(self) -> None:
            """Nothing is left."""

    scenario = Scenario("digest", {"": Step({})}, runs=4)
    place = cast("Site", Place())
    assert len(measure(place, scenario, 9)[0]["", "lading"]) == 4
    assert len(measure(place, scenario, 9, seconds=0)[0]["", "lading"]) == 1


@pytest.mark.parametrize("group", bench.GROUPS)
def test_scenarios_have_names_of_their_own_and_say_only_what_is_given(group: str) -> None:
    scenarios = bench.GROUPS[group].scenarios(True)
    assert len({one.name for one in scenarios}) == len(scenarios)
    for one in scenarios:
        for step in one.steps.values():
            assert "lading" in step.commands
            for text in (*step.commands.values(), step.library):
                assert string.Template(text).is_valid()


def test_a_command_is_measured_with_its_children_and_a_failure_says_what_it_said(tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    with Helper({"PATH": "/usr/bin:/bin"}) as helper:
        used = helper.command(["/bin/sh", "-c", "sleep 0.05; pwd > there"], {}, str(tmp_path), log)
        assert used.wall > 0.05
        assert used.memory > 0
        assert (tmp_path / "there").read_text().strip() == str(tmp_path)
        with pytest.raises(Failed, match="no such tag"):
            helper.command(["/bin/sh", "-c", "echo no such tag >&2; exit 3"], {}, str(tmp_path), log)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("network", NETWORKS)
def test_scenarios_run(network: str) -> None:
    need("docker-registry")
    words = [
        "--small",
        "--runs",
        "1",
        "--network",
        network,
        "--tool",
        "--only",
        "one more tag",
        "5 more",
        "8 platforms",
        "set",
        "attached",
        "each a layer",
        "backup",
    ]
    said = run([sys.executable, "-m", "bench.run", *words], cwd=BENCH.parent, timeout=300)
    assert "failed" not in said.stderr
    assert "5 more tags\n    lading " in said.stdout
    assert "an index of 8 platforms, second tag\n    lading " in said.stdout
    for step in ("a file attached", "10 files, each a layer, pulled again", "a backup of 3 tags, again"):
        assert f"{step}\n    lading " in said.stdout
