"""What is deleted at the targets of mirrors, and above all what is not."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading import ArtifactFile
from lading.client import AsyncClient
from lading.mirror.prune import PrunePlan, PruneReport
from support.images import Manifest, RegistryClient, digest_of, make_image, make_index, push
from support.proxy import Alter, CountingProxy, when
from support.registry import RealRegistry

DUE = '[mirror.prune]\nvanished = "0s"\nmax = "60%"\n'


@pytest.fixture(scope="module")
def target() -> Iterator[RealRegistry]:
    """A registry that deletes manifests, and no tags alone."""
    with RealRegistry() as running:
        yield running


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


class Place:
    """A mirror from a real registry to another place."""

    def __init__(self, client: AsyncClient, file: Path, source: str, name: str, there: str) -> None:
        self.client, self.file, self.host, self.name, self.there = client, file, source, name, there

    def write(self, more: str, source: str | None = None) -> None:
        self.file.write_text(
            f'[[mirror]]\nname = "m"\nfrom = "{source or f"{self.host}/{self.name}"}"\nto = "{self.there}"\n{more}'
        )

    async def mirror(self, more: str, *tags: str) -> None:
        """Fill the source, and mirror it."""
        for tag in tags:
            push(self.host, self.name, tag, make_image(seed=tag))
        self.write(more)
        report = await self.client.mirror.run(await self.client.mirror.plan(self.file))
        assert report.outcome == "done", report.troubles

    def vanish(self, *tags: str) -> None:
        """Delete tags of the source, whose images no other tag names."""
        with RegistryClient(self.host, self.name) as client:
            for tag in tags:
                client.request("DELETE", f"/manifests/{make_image(seed=tag).digest}", expect=202)

    async def plan(self, **how: object) -> PrunePlan:
        return await self.client.mirror.plan_prune(self.file, **how)  # type: ignore[arg-type]  # as they are given

    async def prune(self) -> PruneReport:
        return await self.client.mirror.prune(await self.plan())

    async def tags(self) -> set[str]:
        return {info.tag for info in await self.client.tags(self.there)}


@pytest.fixture(params=["real", "embedded", "layout"])
def place(
    request: pytest.FixtureRequest,
    client: AsyncClient,
    tmp_path: Path,
    registry: RealRegistry,
    target: RealRegistry,
    elsewhere: str,
    repository: str,
) -> Place:
    there = {
        "real": f"{target.host}/{repository}",
        "embedded": f"{elsewhere}/{repository}",
        "layout": f"oci:{tmp_path}/layout",
    }[request.param]
    return Place(client, tmp_path / "m.toml", registry.host, repository, there)


async def test_what_vanished_goes_and_the_rest_stays(place: Place) -> None:
    await place.mirror(DUE, "1", "2", "3")
    await place.client.copy(f"{place.host}/{place.name}:3", f"{place.there}:own")
    place.vanish("1")
    plan = await place.plan()
    assert [(item.tag, item.goes) for item in plan.items] == [("1", True), ("own", False)]
    assert await place.tags() == {"1", "2", "3", "own"}
    report = await place.client.mirror.prune(plan)
    assert [item.outcome for item in report.items] == ["deleted"], report.failures
    assert await place.tags() == {"2", "3", "own"}
    assert (await place.plan()).going == ()


async def test_it_stays_for_its_time(place: Place) -> None:
    await place.mirror('[mirror.prune]\nvanished = "7d"\nmax = "60%"\n', "1", "2")
    place.vanish("1")
    (item,) = (await place.plan()).items
    assert not item.goes
    assert "stays for 7 days" in item.because
    place.write(DUE)
    assert [one.tag for one in (await place.plan()).going] == ["1"]


async def test_what_was_not_written_by_the_mirror_stays(place: Place) -> None:
    push(place.host, place.name, "1", make_image(seed="1"))
    await place.client.copy(f"{place.host}/{place.name}:1", f"{place.there}:1")
    await place.mirror(DUE, "1", "2", "3")
    place.vanish("1")
    (item,) = (await place.plan()).items
    assert (item.tag, item.goes, item.because) == ("1", False, "was not written by this mirror")
    place.write(f"{DUE}owned-only = false\n")
    assert [one.tag for one in (await place.plan()).going] == ["1"]


async def test_what_somebody_moved_stays(place: Place) -> None:
    await place.mirror(DUE, "1", "2", "3")
    await place.client.copy(f"{place.host}/{place.name}:3", f"{place.there}:1")
    place.vanish("1")
    (item,) = (await place.plan()).items
    assert (item.goes, item.because) == (False, "names something else than this mirror wrote")


async def test_what_moves_after_the_plan_stays(place: Place) -> None:
    await place.mirror(DUE, "1", "2", "3")
    place.vanish("1")
    plan = await place.plan()
    assert len(plan.going) == 1
    await place.client.copy(f"{place.host}/{place.name}:3", f"{place.there}:1")
    report = await place.client.mirror.prune(plan)
    assert report.exit_code == 8
    assert "1" in await place.tags()


async def test_what_is_kept_by_name_stays(place: Place) -> None:
    await place.mirror(f'{DUE}keep = "1*"\n', "1", "2", "3")
    place.vanish("1")
    (item,) = (await place.plan()).items
    assert not item.goes


async def test_nothing_goes_where_more_would_than_may(place: Place) -> None:
    await place.mirror('[mirror.prune]\nvanished = "0s"\n', "1", "2", "3", "4")
    place.vanish("1", "2")
    plan = await place.plan()
    assert plan.going == ()
    assert [trouble.code for trouble in plan.troubles] == ["source-shrank"]
    plan = await place.plan()  # which is no longer news
    assert plan.going == ()
    assert plan.troubles
    assert len((await place.plan(max="50%")).going) == 2
    assert len((await place.plan(max=2)).going) == 2
    assert (await place.plan(max=1)).going == ()


async def test_nothing_goes_where_the_source_is_empty_or_away(place: Place) -> None:
    await place.mirror('[mirror.prune]\nvanished = "0s"\nmax = "100%"\n', "1", "2")
    place.vanish("1", "2")
    plan = await place.plan()
    assert plan.going == ()
    assert len(plan.troubles) == 1
    place.write(f'{DUE}[[mirror.retain]]\nmatch = "*"\nnewest = 1\n', source="127.0.0.1:9/a")
    plan = await place.plan()
    assert plan.going == ()
    assert [trouble.exit for trouble in plan.troubles] == [6]
    with CountingProxy(f"http://{place.host}") as proxy:
        proxy.intercept = when(Alter(status=500), path="/tags/list")
        place.write(DUE, source=f"{proxy.host}/{place.name}")
        plan = await place.plan()
        assert plan.going == ()
        assert plan.troubles
    assert await place.tags() == {"1", "2"}


async def test_what_a_rule_does_not_retain_goes_unless_it_is_mirrored(place: Place) -> None:
    rules = '[mirror.prune]\nmax = "100%"\n[[mirror.retain]]\nmatch = "ci-*"\nnewest = { count = 2, by = "name" }\n'
    await place.mirror(f'tags = "1"\n{rules}', "1")
    for number in range(4):
        image = f"{place.host}/{place.name}-other"
        push(place.host, f"{place.name}-other", f"ci-{number}", make_image(seed=f"ci-{number}"))
        await place.client.copy(f"{image}:ci-{number}", f"{place.there}:ci-{number}")
    report = await place.prune()
    assert not report.failures
    assert await place.tags() == {"1", "ci-2", "ci-3"}
    # What the source has, and is mirrored, would only come again.
    for number in range(4):
        push(place.host, place.name, f"ci-{number}", make_image(seed=f"ci-{number}"))
    await place.mirror(rules, "1")
    plan = await place.plan()
    assert plan.going == ()
    assert {item.tag for item in plan.items} == {"ci-0", "ci-1"}


async def test_what_a_rule_retains_stays_though_it_vanished(place: Place) -> None:
    rules = f'{DUE}[[mirror.retain]]\nmatch = ["1", "2"]\nnewest = {{ count = 1, by = "name" }}\n'
    await place.mirror(rules, "1", "2", "3", "4", "5")
    place.vanish("1", "2", "3")
    assert {item.tag for item in (await place.plan()).going} == {"1", "3"}


async def test_what_is_newest_goes_by_the_time_that_images_say(place: Place) -> None:
    await place.mirror('tags = "1"\n[mirror.prune]\nmax = 9\n[[mirror.retain]]\nmatch = "n-*"\nnewest = 1\n', "1")
    for day, tag in enumerate(("n-c", "n-a", "n-b"), 1):
        image = made_on(day, make_image(seed=tag))
        push(place.host, f"{place.name}-other", tag, image)
        await place.client.copy(f"{place.host}/{place.name}-other:{tag}", f"{place.there}:{tag}")
    assert {item.tag for item in (await place.plan()).going} == {"n-c", "n-a"}


def made_on(day: int, image: Manifest) -> Manifest:
    """An image with another time in its config."""
    before = next(blob for blob in image.blobs.values() if blob.startswith(b"{"))
    after = before.replace(b"2024-01-02T", f"2025-01-{day:02}T".encode())
    content = image.content.replace(digest_of(before).encode(), digest_of(after).encode())
    blobs = {digest_of(blob): blob for blob in (*image.blobs.values(), after) if blob != before}
    return dataclasses.replace(image, content=content, blobs=blobs)


async def test_tags_of_other_mirrors_are_theirs(
    client: AsyncClient, tmp_path: Path, registry: RealRegistry, target: RealRegistry, repository: str
) -> None:
    there = f"{target.host}/{repository}"
    for name in "ab":
        push(registry.host, f"{repository}-{name}", name, make_image(seed=name))
    file = tmp_path / "m.toml"
    file.write_text(
        "".join(
            f'[[mirror]]\nfrom = "{registry.host}/{repository}-{name}"\nto = "{there}"\n'
            '[mirror.prune]\nvanished = "0s"\nmax = "100%"\nowned-only = false\n'
            '[[mirror.retain]]\nmatch = "*"\nnewest = { count = 1, by = "name" }\n'
            for name in "ab"
        )
    )
    await client.mirror.run(await client.mirror.plan(file))
    assert (await client.mirror.plan_prune(file)).going == ()
    # Nor where the state knows of none of them.
    for database in (tmp_path / "state").rglob("*.db*"):
        database.unlink()
    assert (await client.mirror.plan_prune(file)).going == ()


# Where a registry removes no tags, a manifest would go with all that names it


async def test_other_tags_indexes_and_subjects_are_not_taken_along(
    client: AsyncClient, tmp_path: Path, registry: RealRegistry, target: RealRegistry, repository: str
) -> None:
    place = Place(client, tmp_path / "m.toml", registry.host, repository, f"{target.host}/{repository}")
    rules = f"{DUE.replace('60%', '100%')}"
    await place.mirror(rules, "same", "child", "subject", "alone", "stays")
    images = {tag: make_image(seed=tag) for tag in ("same", "child", "subject", "alone")}
    push(target.host, repository, "another", images["same"])
    push(target.host, repository, "index", make_index([images["child"]], kind="oci"))
    (tmp_path / "note").write_text("a note")
    note = ArtifactFile(content=tmp_path / "note", title="note")
    await client.artifacts.attach(f"{place.there}:subject", note, artifact_type="a/b")
    place.vanish(*images)
    report = await place.prune()
    outcomes = {item.target.rpartition(":")[2]: item.outcome for item in report.items}
    assert outcomes == {"same": "failed", "child": "failed", "subject": "failed", "alone": "deleted"}
    causes = {trouble.reference.rpartition(":")[2]: trouble.cause for trouble in report.failures}
    assert causes["same"] == "another would go with it"
    assert causes["child"] == "index would break"
    assert "would refer to nothing" in (causes["subject"] or "")
    assert {"same", "child", "subject", "another", "index", "stays"} <= await place.tags()


TAGS = [f"{number}" for number in range(8)]


@given(
    gone=st.sets(st.sampled_from(TAGS)),
    foreign=st.sets(st.sampled_from(["x", "y", "z"])),
    keep=st.sets(st.sampled_from(TAGS)),
    allowed=st.integers(0, 11),
)
def test_a_model_says_the_same(gone: set[str], foreign: set[str], keep: set[str], allowed: int) -> None:
    """Whatever has vanished, is kept, or is somebody else's: what goes is what the page says."""
    import asyncio

    from lading.mirror.config import Amount
    from lading.mirror.file import parse_mirror_file
    from lading.mirror.prune import plan_prune
    from lading.mirror.state import State
    from lading.model.digest import Digest

    digests = {tag: Digest.of(tag.encode()) for tag in [*TAGS, *foreign]}

    class There:
        """Places without stores: the lists of both sides."""

        name = "there"

        async def tags(self, location: str) -> list[str]:
            return [tag for tag in TAGS if tag not in gone]

        async def tags_there(self, location: str) -> list[str]:
            return [*TAGS, *foreign]

        async def read(self, location: str) -> "There":
            return self

        async def resolve(self, tag: str) -> object:
            class Found:
                digest = digests[tag]

            return Found

        async def asked(self, locations: object, work: object) -> object:
            return await work()  # type: ignore[operator]  # a coroutine function

    state = State(None)
    for tag in TAGS:
        state.saw("r.example/b", tag, "r.example/a", digests[tag], digests[tag], written=True)
    kept = json.dumps(sorted(keep))
    file = parse_mirror_file(
        f'[[mirror]]\nfrom = "r.example/a"\nto = "r.example/b"\n[mirror.prune]\nvanished = "0s"\nkeep = {kept}\n'
    )

    async def plan() -> PrunePlan:
        return await plan_prune(There(), state, file, max=Amount(str(allowed)))  # type: ignore[arg-type]  # stands for one

    found = asyncio.run(plan())
    due = gone - keep
    is_in_doubt = len(gone) == len(TAGS) or len(gone) > allowed or len(due) > allowed
    assert {item.tag for item in found.going} == (set() if is_in_doubt else due)
    assert bool(found.troubles) == is_in_doubt
