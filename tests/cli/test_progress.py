"""What is seen of a copy while it goes on: on a terminal, in a log, and by a program."""

import io
import json
import re
from pathlib import Path

import pytest

from cli.terminal import on_terminal
from lading.cli import progress
from lading.cli.output import short
from lading.model.digest import Digest
from lading.transfer.events import Event, Finished, PackingProgressed, Progressed, Started, Totals
from support import images
from support.lading import Lading
from support.proxy import Alter, CountingProxy, when
from support.registry import RealRegistry

IMAGES = [
    images.make_image(f"linux/{arch}", seed=f"{arch} in progress", layer_size=3_000_000)
    for arch in ("amd64", "arm64/v8")
]
DIGEST = Digest.of(b"blob")


@pytest.fixture
def slow(registry: RealRegistry, repository: str) -> str:
    """The reference of an index whose layers come slowly."""
    images.push(registry.host, repository, "1", images.make_index(IMAGES))
    return repository


def test_on_a_terminal_each_blob_has_a_line_and_all_of_it_the_last(
    lading: Lading, registry: RealRegistry, slow: str, tmp_path: Path
) -> None:
    with CountingProxy(registry.url) as proxy:
        proxy.intercept = when(Alter(pause=0.02), method="GET", path="/blobs/")
        seen = on_terminal(lading, "copy", f"{proxy.host}/{slow}:1", f"oci:{tmp_path}/layout:1", env={"COLUMNS": "100"})
    assert seen.returncode == 0
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen.text)
    frames = text.split("\r")
    whole = [frame for frame in frames if "left" in frame and "linux/amd64" in frame and "linux/arm64/v8" in frame]
    assert whole, text
    lines = whole[-1].strip("\n").splitlines()
    for image, platform in zip(IMAGES, ("linux/amd64", "linux/arm64/v8"), strict=True):
        layer = images.digest_of(image.layers[0])[7:19]
        line = next(line for line in lines if layer in line)
        assert re.search(rf"{platform} +{layer} .* \d+% +[\d.]+/3\.\d MB +[\d.]+ [kM]B/s", line), line
    assert re.search(r"^ +total .* \d+% +[\d.]+/[\d.]+ MB +[\d.]+ [kM]B/s +\d+ s left", lines[-1]), lines
    # The bars are gone at the end, and what stays is said once.
    last = seen.text.rpartition("\x1b[2K")[2]
    assert last.count("Copied 3 manifests and 4 blobs") == 1
    assert "total" not in last
    assert "\x1b[?25h" in seen.text, "the cursor is there again"


@pytest.mark.parametrize("columns,shown", [(80, r"100 MB/s  30 s left"), (60, r"3\.0/6\.0 GB"), (40, r"50%")])
def test_no_line_is_wider_than_the_terminal(columns: int, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a narrow one the rates go first, and then the sizes; a bar is always left."""
    from rich.console import Console

    screen = io.StringIO()
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    console = Console(file=screen, width=columns, force_terminal=True, color_system=None)
    with progress._bars(console) as bars:
        bars.tell(Started(target="t", digest=DIGEST, media_type="a/b", size=6_000_000_000, platform="linux/arm64/v8"))
        for now, moved in ((100, 0), (130, 3_000_000_000)):  # noqa: B007
            bars.tell(Progressed(target="t", digest=DIGEST, done=moved, size=6_000_000_000))
            bars.tell(Totals(contents=1, finished=0, size=6_000_000_000, done=moved, moved=moved))
        bars._progress.refresh()
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue())
    frame = [line for line in text.replace("\r", "\n").splitlines() if line.strip()][-2:]
    assert [line.split()[0] for line in frame] == ["linux/arm64/v8", "total"], frame
    assert all(len(line) <= columns and "…" not in line and "━" in line for line in frame), frame
    assert re.search(shown, frame[1]), frame


def test_in_a_low_window_the_total_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no column moves: sizes and rates keep their places, whatever they grow to."""
    from rich.console import Console

    screen = io.StringIO()
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    console = Console(file=screen, width=100, height=5, force_terminal=True, color_system=None)
    digests = [Digest.of(str(number).encode()) for number in range(9)]
    frames = []
    with progress._bars(console) as bars:
        bars.tell(Totals(contents=9, finished=0, size=9_000_000, done=0, moved=0))
        for digest in digests:
            bars.tell(Started(target="t", digest=digest, media_type="a/b", size=1_000_000, platform="linux/amd64"))
        for now, done in ((101, 5_000), (110, 99_000), (111, 900_000)):  # noqa: B007
            for digest in digests:
                bars.tell(Progressed(target="t", digest=digest, done=done, size=1_000_000))
            bars.tell(Totals(contents=9, finished=0, size=9_000_000, done=9 * done, moved=9 * done))
            bars._progress.refresh()
            shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue()).replace("\r", "\n").splitlines()
            frames.append([line for line in shown if line.strip()][-4:])
        bars.tell(Finished(target="t", digest=digests[0], media_type="a/b", size=1_000_000, outcome="copied"))
        bars._progress.refresh()
        assert short(digests[3]) in screen.getvalue().rpartition("total")[0], "the next comes into view"
    for frame in frames:
        assert [line.split()[0] for line in frame] == ["linux/amd64"] * 3 + ["total"], frame
    for unit in ("MB ", "B/s"):
        assert len({line.index(unit) for frame in frames[1:] for line in frame}) == 1, frames


def test_where_nothing_can_be_drawn_there_are_lines(
    lading: Lading, registry: RealRegistry, slow: str, tmp_path: Path
) -> None:
    for style in ("auto", "tty"):
        command = ["copy", f"{registry.host}/{slow}:1", f"oci:{tmp_path}/{style}:1", "--progress", style]
        seen = on_terminal(lading, *command, env={"TERM": "dumb", "NO_COLOR": ""})
        assert "\x1b" not in seen.text
        assert seen.text.startswith("Copied 3 manifests")


def test_sent_is_what_was_sent(lading: Lading, registry: RealRegistry, slow: str, tmp_path: Path) -> None:
    """Of a layer that an earlier run has brought in part, only the rest."""
    layer = IMAGES[0].layers[0]
    part = tmp_path / "layout" / ".lading" / images.digest_of(layer).replace(":", "-")
    part.parent.mkdir(parents=True)
    part.write_bytes(layer[:2_000_000])
    for options in ([], ["-q"]):
        ran = lading.run("copy", f"{registry.host}/{slow}:1", f"oci:{tmp_path}/layout:1", "--format", "json", *options)
        counts = json.loads(ran.stdout)["copied"]
        expected = sum(map(len, {**IMAGES[0].blobs, **IMAGES[1].blobs}.values())) - 2_000_000
        assert counts["bytes"] == (0 if options else expected)


def test_elsewhere_nothing_is_drawn_and_a_fast_copy_has_no_lines(
    lading: Lading, registry: RealRegistry, slow: str, tmp_path: Path
) -> None:
    ran = lading.run("copy", f"{registry.host}/{slow}:1", f"oci:{tmp_path}/layout:1")
    assert len(ran.stderr.splitlines()) == 1
    quiet = lading.run("copy", "-q", f"{registry.host}/{slow}:1", f"oci:{tmp_path}/other:1")
    assert quiet.stderr == ""


def test_lines_say_how_far_how_fast_and_how_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    with progress.shown_progress("plain") as tell:
        assert tell is not None
        # What was there already is no sign of how fast the rest comes.
        for now, done, moved in ((100, 50_000_000, 0), (103, 53_000_000, 3_000_000), (106, 56_000_000, 6_000_000)):  # noqa: B007
            tell(Totals(contents=9, finished=3, size=200_000_000, done=done, moved=moved))
        now = 107
        tell(Totals(contents=9, finished=3, size=200_000_000, done=57_000_000, moved=7_000_000))
    assert capsys.readouterr().err == "  28%  56.0 MB of 200 MB, 1.0 MB/s, 2 min left\n"


def test_packing_has_lines_and_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    with progress.shown_progress("plain") as tell:
        assert tell is not None
        for now, size in ((103, 8_000_000), (106, 8_000_000), (112, None)):  # noqa: B007
            tell(PackingProgressed(source="site\x1b", done=2_000_000, size=size))
    assert capsys.readouterr().err.splitlines() == [
        "  packing site\\x1b: 2.0 MB of 8.0 MB",
        "  packing site\\x1b: 2.0 MB",
    ]
    from rich.console import Console

    screen, long = io.StringIO(), "a/very/long/name/of/an/archive.tar"
    console = Console(file=screen, force_terminal=True, width=80, color_system=None)
    with progress._bars(console) as bars:
        for done in (1_000_000, 2_000_000):
            bars.tell(PackingProgressed(source=long, done=done, size=8_000_000))
        bars._progress.refresh()
        assert re.search(r"packing …/of/an/archive.tar .* 25% +2.0/8.0 MB", screen.getvalue())
        bars.tell(PackingProgressed(source=long, done=8_000_000, size=8_000_000, is_over=True))
        assert bars._progress.tasks == []


def test_json_has_every_event_in_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    events: list[Event] = [
        Started(target="t", digest=DIGEST, media_type="a/b", size=4, platform="linux/amd64"),
        Progressed(target="t", digest=DIGEST, done=2, size=4),
        Finished(target="t", digest=DIGEST, media_type="a/b", size=4, outcome="copied"),
        Totals(contents=1, finished=1, size=4, done=4, moved=2),
    ]
    with progress.shown_progress("json", quiet=True) as tell:
        assert tell is not None
        for event in events:
            tell(event)
    said = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [event["event"] for event in said] == ["started", "progressed", "finished", "totals"]
    assert said[0] | {"platform": None} == {
        "event": "started",
        "target": "t",
        "digest": DIGEST,
        "media_type": "a/b",
        "size": 4,
        "platform": None,
    }
    assert said[3] == {"event": "totals", "contents": 1, "finished": 1, "size": 4, "done": 4, "moved": 2}


def test_what_is_counted_has_a_line_every_few_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr("lading.cli.progress.time.monotonic", lambda: now)
    counts = [progress.Count("entries read"), progress.Count("entries read", quiet=True)]
    for now in range(12):
        for count in counts:
            count.tell(now * 100, 2_000)
    assert capsys.readouterr().err == "  25%  500 of 2,000 entries read\n  50%  1,000 of 2,000 entries read\n"
