"""How mirrors are doing, as Prometheus reads it (text format 0.0.4). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from lading.mirror.report import OUTCOMES
from lading.mirror.watch import WatchStatus

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PREFIX = "lading_sync"
_Sample = tuple[Mapping[str, str], float]


def metrics(status: WatchStatus) -> str:
    """The metrics of a status: one block for each, with what it means before its numbers."""
    lines: list[str] = []
    for name, kind, text, samples in _families(status):
        if samples:
            lines += [f"# HELP {_PREFIX}_{name} {text}", f"# TYPE {_PREFIX}_{name} {kind}"]
            lines += [f"{_PREFIX}_{name}{_labels(labels)} {_number(value)}" for labels, value in samples]
    return "".join(f"{line}\n" for line in lines)


def _families(status: WatchStatus) -> Iterator[tuple[str, str, str, list[_Sample]]]:
    def of_mirrors(values: Iterator[tuple[str, float | datetime | None]]) -> list[_Sample]:
        return [
            ({"mirror": mirror}, value.timestamp() if isinstance(value, datetime) else value)
            for mirror, value in values
            if value is not None
        ]

    mirrors = status.mirrors
    yield (
        *("items", "gauge", "Tags by what became of them in the last run."),
        [
            ({"mirror": one.mirror, "outcome": outcome}, one.counts.get(outcome, 0))
            for one in mirrors
            for outcome in OUTCOMES
            if one.counts
        ],
    )
    yield (
        *("last_success_timestamp_seconds", "gauge", "When the last run ended in which nothing failed."),
        of_mirrors((one.mirror, one.last_success) for one in mirrors),
    )
    yield (
        *("last_attempt_timestamp_seconds", "gauge", "When the last run began."),
        of_mirrors((one.mirror, one.last_attempt) for one in mirrors),
    )
    yield (
        *("next_timestamp_seconds", "gauge", "When the next run begins."),
        of_mirrors((one.mirror, one.next) for one in mirrors),
    )
    yield (
        *("running", "gauge", "Whether a run is under way."),
        of_mirrors((one.mirror, float(one.is_running)) for one in mirrors),
    )
    yield (
        *("duration_seconds", "gauge", "How long the last run took."),
        of_mirrors((one.mirror, one.seconds) for one in mirrors),
    )
    yield (
        *("failed_consecutive", "gauge", "How many runs have failed since the last success."),
        of_mirrors((one.mirror, float(one.failed_consecutive)) for one in mirrors),
    )
    yield (
        *("bytes_total", "counter", "Bytes of blobs at targets, by how they came there."),
        [
            ({"mirror": one.mirror, "how": how}, value)
            for one in mirrors
            for how, value in (("written", one.bytes_written), ("mounted", one.bytes_mounted))
        ],
    )
    yield (
        *("requests_total", "counter", "Requests sent, by method; `limited` were answered that there are too many."),
        [
            ({"host": host, "method": method}, number)
            for host, methods in sorted(status.requests.items())
            for method, number in sorted(methods.items())
        ],
    )
    yield (
        *("pulls_remaining", "gauge", "How many pulls a host said are left."),
        [({"host": host}, left) for host, left in sorted(status.pulls_left.items())],
    )
    yield (
        *("file_valid", "gauge", "Whether the mirror file that is there holds."),
        [({}, float(status.problem is None))],
    )
    yield (
        *("file_reloaded_timestamp_seconds", "gauge", "When the mirror file that holds was read."),
        [({}, status.reloaded.timestamp())],
    )


def _labels(labels: Mapping[str, str]) -> str:
    named = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{named}}}" if named else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
