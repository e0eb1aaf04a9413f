"""Mirrors that run when their turn comes: a week in a moment, by a clock that the test moves."""

import asyncio
import json
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from lading.client import AsyncClient
from lading.errors import UsageError
from lading.mirror.endpoints import Endpoints, changed_repositories
from lading.mirror.report import MirrorReport
from lading.mirror.watch import Watch
from lading.serve.server import running
from support.images import make_image, push
from support.registry import RealRegistry

BEGIN = datetime(2026, 6, 1, 0, 30, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


class Week:
    """A clock that goes on as soon as no mirror runs; `at` has what happens at its times."""

    def __init__(self, last: timedelta, at: dict[timedelta, Any] | None = None) -> None:
        self.time = BEGIN
        self.last = BEGIN + last
        self.at = sorted((BEGIN + after, action) for after, action in (at or {}).items())
        self.watch: Watch | None = None
        self._turns: set[tuple[timedelta, str]] = set()

    def now(self) -> datetime:
        return self.time

    async def wait(self, until: datetime, woken: asyncio.Event) -> None:
        assert self.watch is not None
        if running := {(self.time - BEGIN, state.mirror) for state in self.watch.status.mirrors if state.is_running}:
            self._turns |= running
            await woken.wait()
            return
        if self.at and self.at[0][0] <= until:
            self.time, action = self.at.pop(0)
            action()
        self.time = max(self.time, until)
        if self.time >= self.last:
            self.watch.end()

    def of(self, name: str) -> list[timedelta]:
        """When a mirror had its turns, from the beginning on."""
        return sorted(time for time, mirror in self._turns if mirror == name)


async def watched(file: Path, week: Week, **given: Any) -> tuple[bool, list[MirrorReport], list[str]]:
    reports: list[MirrorReport] = []
    notes: list[str] = []

    def begun(watch: Watch) -> None:
        week.watch = watch

    async with AsyncClient(insecure=True, on_note=notes.append) as client:
        good = await client.mirror.watch(file, on_report=reports.append, on_begun=begun, clock=week, **given)
    return good, reports, notes


@pytest.fixture
def hub(registry: RealRegistry, repository: str) -> str:
    push(registry.host, repository, "1", make_image(seed="1"))
    return f"{registry.host}/{repository}"


def mirrors(tmp_path: Path, hub: str, **when: str) -> str:
    return "".join(
        f'[[mirror]]\nname = "{name}"\nfrom = "{hub}"\nto = "oci:{tmp_path / name}"\nimmutable = "*"\n{said}\n'
        for name, said in when.items()
    )


async def test_a_week(tmp_path: Path, hub: str, registry: RealRegistry, repository: str) -> None:
    file = tmp_path / "mirror.toml"
    file.write_text(mirrors(tmp_path, hub, often="schedule = '0 */3 * * *'", seldom="every = '1d'"))
    more = mirrors(tmp_path, hub, often="schedule = '0 */3 * * *'", seldom="every = '1d'", late="every = '12h'")

    def pushed() -> None:
        push(registry.host, repository, "2", make_image(seed="2"))

    def notified() -> None:
        assert week.watch is not None
        assert week.watch.notify([repository, "other"]) == ["often", "seldom", "late"]
        assert week.watch.notify(["other"]) == []

    week = Week(
        7 * DAY,
        {
            2 * DAY + 0.1 * HOUR: pushed,
            3 * DAY + 0.1 * HOUR: lambda: file.write_text("[[mirror]]\nwhat = 1\n"),
            4 * DAY + 0.1 * HOUR: lambda: file.write_text(more),
            5 * DAY + 5.2 * HOUR: notified,
        },
    )
    good, reports, notes = await watched(file, week)

    assert good
    assert len(week.of("often")) == 1 + 7 * 8 + 1  # at the beginning, each three hours, when it was notified
    assert {later - earlier for earlier, later in pairwise(week.of("often")[1:20])} == {3 * HOUR}
    soon = 5 * DAY + 5.2 * HOUR
    assert [round(time / DAY, 2) for time in week.of("seldom")] == [0, 1, 2, 3, 4, 5, 5.22, 6.22]
    assert timedelta() < week.of("seldom")[6] - soon < timedelta(minutes=1)
    assert 4 * DAY < week.of("late")[0] < 4 * DAY + HOUR
    new = [(item.mirror, item.target[-2:]) for report in reports for item in report.items if item.outcome == "new"]
    assert sorted(new) == [(name, tag) for name in ("late", "often", "seldom") for tag in (":1", ":2")]
    (broken, again) = notes
    assert "does not hold" in broken
    assert "'what'" in broken
    assert again.endswith("was read again")


def asked(url: str, body: object | None = None) -> tuple[int, str]:
    """The status and the text of an answer."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data), timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


async def test_what_is_answered_over_http(tmp_path: Path, hub: str, repository: str) -> None:
    file = tmp_path / "mirror.toml"
    file.write_text(mirrors(tmp_path, hub, a="every = '6h'", b="every = '1d'"))
    week = Week(7 * HOUR)
    async with running(Endpoints(lambda: week.watch), "127.0.0.1:0") as url:

        async def ask(path: str, body: object | None = None) -> tuple[int, str]:
            return await asyncio.to_thread(asked, url + path, body)

        assert await ask("/healthz") == (503, "nothing is watched yet\n")
        await watched(file, week)
        assert await ask("/healthz") == (200, "ok\n")
        status, text = await ask("/metrics")
        samples = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        assert status == 200
        assert samples['lading_sync_items{mirror="a",outcome="unchanged"}'] == "1"
        assert samples['lading_sync_last_success_timestamp_seconds{mirror="b"}'] == str(int(BEGIN.timestamp()))
        assert samples["lading_sync_file_valid"] == "1"
        assert {line.split()[3] for line in text.splitlines() if line.startswith("# TYPE")} == {"gauge", "counter"}
        document = json.loads((await ask("/status.json"))[1])
        assert [mirror["mirror"] for mirror in document["mirrors"]] == ["a", "b"]
        event = {"action": "push", "target": {"repository": repository, "tag": "1"}}
        assert await ask("/notify", {"events": [event]}) == (202, '{"mirrors": ["a", "b"]}\n')
        assert (await ask("/notify", b"{"))[0] == (await ask("/notify", b"[" * 100_000))[0] == 400
        assert (await ask("/notify", b" " * 2_000_000))[0] == 413
        assert (await ask("/notify"))[0] == (await ask("/metrics", {}))[0] == 405
        assert (await ask("/"))[0] == 404


async def test_failures_are_counted_and_the_next_turn_comes(tmp_path: Path) -> None:
    file = tmp_path / "mirror.toml"
    file.write_text(mirrors(tmp_path, "127.0.0.1:9/app", away="every = '6h'"))
    week = Week(DAY - HOUR)
    good, reports, _ = await watched(file, week)
    assert not good
    assert [time / HOUR for time in week.of("away")] == [0, 6, 12, 18]
    assert {report.exit_code for report in reports} == {6}
    assert week.watch is not None
    (state,) = week.watch.status.mirrors
    assert (state.failed_consecutive, state.last_success) == (4, None)
    assert state.troubles[0].registry == "127.0.0.1:9"

    again = Week(HOUR)
    await watched(file, again)
    assert again.watch is not None
    assert again.watch.status.mirrors[0].failed_consecutive == 5  # what was before is remembered


async def test_what_cannot_be_told_ends_the_watch(tmp_path: Path, hub: str) -> None:
    file = tmp_path / "mirror.toml"
    file.write_text(mirrors(tmp_path, hub, one="every = '6h'"))
    week = Week(DAY)

    def closed(_: MirrorReport) -> None:
        raise BrokenPipeError

    async with AsyncClient(insecure=True) as client:
        with pytest.raises(BrokenPipeError):
            await client.mirror.watch(
                file, on_report=closed, clock=week, on_begun=lambda watch: setattr(week, "watch", watch)
            )


async def test_jitter(tmp_path: Path, hub: str) -> None:
    file = tmp_path / "mirror.toml"
    file.write_text(mirrors(tmp_path, hub, one="every = '6h'\njitter = '1h'"))
    week = Week(3 * DAY)
    await watched(file, week)
    turns = week.of("one")
    pauses = [later - earlier for earlier, later in pairwise(turns)]
    assert all(6 * HOUR <= pause <= 7 * HOUR + timedelta(seconds=30) for pause in pauses)
    assert len(set(pauses)) > 8


@pytest.mark.parametrize(
    "more, only, says",
    [
        ("", (), "does not say when"),
        ("every = '1h'", ("b",), "has no mirror called 'b'"),
        ("every = '1 hour'", (), "no length of time"),
        ("schedule = '0 0 30 2 *'", (), "never comes"),
    ],
)
async def test_what_is_refused_at_the_beginning(tmp_path: Path, more: str, only: tuple[str, ...], says: str) -> None:
    file = tmp_path / "mirror.toml"
    file.write_text(mirrors(tmp_path, "127.0.0.1:9/app", a=more))
    async with AsyncClient() as client:
        with pytest.raises(UsageError, match=says):
            await client.mirror.watch(file, only=only)


def event(action: str, repository: object = "acme/app", **target: object) -> dict[str, object]:
    return {"action": action, "target": {"repository": repository, **target}}


@pytest.mark.parametrize(
    "document, repositories",
    [
        ({"events": [event("push", tag="1"), event("pull", "b", tag="1"), event("push", "c")]}, ["acme/app"]),
        ({"events": [event("delete"), {}, 1, event("push", 2, tag="1")]}, ["acme/app"]),
        ({"events": []}, []),
        (
            {"type": "PUSH_ARTIFACT", "event_data": {"repository": {"name": "app", "repo_full_name": "acme/app"}}},
            ["acme/app"],
        ),
        ({"type": "PULL_ARTIFACT", "event_data": {"repository": {"repo_full_name": "acme/app"}}}, []),
        ({"type": "PUSH_ARTIFACT", "event_data": {"repository": []}}, []),
    ],
)
def test_notifications(document: object, repositories: list[str]) -> None:
    assert list(changed_repositories(document)) == repositories


@pytest.mark.parametrize("document", [{}, [], None, 1, "events", {"events": {}}, {"event_data": []}])
def test_what_is_no_notification(document: object) -> None:
    with pytest.raises(ValueError, match="no known form"):
        list(changed_repositories(document))
