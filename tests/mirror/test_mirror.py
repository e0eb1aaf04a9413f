"""Planning and running mirrors, between real registries and layouts."""

import gzip
import json
import pickle
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lading import ArtifactFile
from lading.client import AsyncClient
from lading.errors import UsageError
from lading.mirror.file import parse_mirror_file
from lading.mirror.plan import MirrorPlan
from lading.mirror.report import MirrorReport
from lading.mirror.run import Shard
from support.images import RegistryClient, digest_of, get_manifest, make_image, make_index, push
from support.proxy import Alter, CountingProxy, when
from support.registry import RealRegistry

BOTH = 2


@pytest.fixture(scope="module")
def target() -> Iterator[RealRegistry]:
    """A second real registry."""
    with RealRegistry() as running:
        yield running


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


class Mirror:
    """A mirror file with one entry, from one registry to another, both behind counting proxies."""

    def __init__(self, client: AsyncClient, file: Path, here: CountingProxy, there: CountingProxy, name: str) -> None:
        self.client = client
        self.file = file
        self.here, self.there = here, there
        self.name = name
        self.source, self.target = f"{here.host}/{name}", f"{there.host}/{name}"
        self.write()

    def write(self, more: str = "", *, source: str | None = None, to: str | None = None) -> None:
        self.file.write_text(
            f'[[mirror]]\nname = "m"\nfrom = "{source or self.source}"\nto = "{to or self.target}"\n{more}\n'
        )

    async def plan(self) -> MirrorPlan:
        self.here.reset()
        self.there.reset()
        return await self.client.mirror.plan(self.file)

    async def run(self) -> MirrorReport:
        return await self.client.mirror.run(await self.plan())

    def there_is(self, tag: str) -> str:
        return get_manifest(self.there.host, self.name, tag)[2]


@pytest.fixture
def mirror(
    client: AsyncClient, tmp_path: Path, registry: RealRegistry, target: RealRegistry, repository: str
) -> Iterator[Mirror]:
    with CountingProxy(registry.url) as here, CountingProxy(target.url) as there:
        yield Mirror(client, tmp_path / "mirror.toml", here, there, repository)


def states(plan: MirrorPlan) -> dict[str, str]:
    return {item.tag: item.state for _, item in plan.items()}


async def test_what_is_new_comes_and_then_nothing_is_to_be_done(mirror: Mirror, registry: RealRegistry) -> None:
    images = {tag: make_image(seed=tag, layers=2) for tag in ("1.0", "1.1", "latest")}
    for tag, image in images.items():
        push(registry.host, mirror.name, tag, image)

    plan = await mirror.plan()
    assert states(plan) == {"1.0": "new", "1.1": "new", "latest": "new"}
    assert {line.split()[0] for line in mirror.there.lines} == {"GET"}
    report = await mirror.client.mirror.run(plan)
    assert report.outcome == "done"
    assert report.counts["new"] == 3
    assert {tag: mirror.there_is(tag) for tag in images} == {tag: image.digest for tag, image in images.items()}
    assert states(await mirror.plan()) == dict.fromkeys(images, "unchanged")


async def test_a_plan_is_a_value(mirror: Mirror, registry: RealRegistry) -> None:
    push(registry.host, mirror.name, "1", make_image())
    plan = await mirror.plan()
    assert pickle.loads(pickle.dumps(plan)) == plan
    assert MirrorPlan.from_json(plan.to_json()) == plan
    report = await mirror.client.mirror.run(MirrorPlan.from_json(plan.to_json()))
    assert MirrorReport.from_json(report.to_json()) == report
    for raw in (b"{}", b"[1]", b"\xff", b'{"version": 1}', b"[" * 10000):
        with pytest.raises(UsageError, match="is no plan"):
            MirrorPlan.from_json(raw)
    with pytest.raises(UsageError, match="of version 2"):
        MirrorPlan.from_json(b'{"version": 2}')


async def test_an_unchanged_mirror_of_immutable_tags_is_one_list_a_side(mirror: Mirror, registry: RealRegistry) -> None:
    mirror.write('immutable = ["semver:*"]')
    for number in range(5):
        push(registry.host, mirror.name, f"1.{number}", make_image(seed=str(number)))
    await mirror.run()
    report = await mirror.run()
    assert report.counts["unchanged"] == 5
    assert mirror.here.count() == 1
    assert mirror.there.count() == 1


async def test_an_unchanged_mirror_of_tags_that_move_is_a_question_a_tag_and_side(
    mirror: Mirror, registry: RealRegistry
) -> None:
    for number in range(5):
        push(registry.host, mirror.name, f"1.{number}", make_image(seed=str(number)))
    await mirror.run()
    report = await mirror.run()
    assert report.counts["unchanged"] == 5
    assert (mirror.here.count(), mirror.here.count("HEAD")) == (6, 5)
    assert (mirror.there.count(), mirror.there.count("HEAD")) == (5, 5)
    assert sum(methods["head"] for methods in report.requests.values()) == 0  # the plan asked, and the run did not


async def test_without_its_state_a_mirror_asks_and_changes_nothing(mirror: Mirror, registry: RealRegistry) -> None:
    mirror.write('immutable = ["*"]')
    push(registry.host, mirror.name, "1", make_image())
    await mirror.run()
    for file in (mirror.file.parent / "state").rglob("*.db*"):
        file.unlink()
    report = await mirror.run()
    assert report.counts["unchanged"] == 1
    assert mirror.here.count("HEAD") == mirror.there.count("HEAD") == 1
    await mirror.run()
    assert mirror.here.count("HEAD") == mirror.there.count("HEAD") == 0


@pytest.mark.parametrize(
    "on_move, state, named", [("replace", "moved", "new"), ("keep", "kept", "old"), ("backup:bk-{tag}", "moved", "new")]
)
async def test_what_moved(mirror: Mirror, registry: RealRegistry, on_move: str, state: str, named: str) -> None:
    mirror.write(f'on-move = "{on_move}"\ntags = ["v"]')
    images = {"old": make_image(seed="old"), "new": make_image(seed="new")}
    push(registry.host, mirror.name, "v", images["old"])
    await mirror.run()
    push(registry.host, mirror.name, "v", images["new"])
    plan = await mirror.plan()
    (item,) = plan.legs[0].items
    assert (item.state, item.previous, item.digest) == (state, images["old"].digest, images["new"].digest)
    report = await mirror.client.mirror.run(plan)
    assert report.outcome == "done"
    assert mirror.there_is("v") == images[named].digest
    if on_move.startswith("backup"):
        assert mirror.there_is("bk-v") == images["old"].digest


async def test_what_must_not_move_fails_and_the_rest_goes_on(mirror: Mirror, registry: RealRegistry) -> None:
    mirror.write('on-move = "fail"')
    push(registry.host, mirror.name, "v", make_image(seed="old"))
    await mirror.run()
    push(registry.host, mirror.name, "v", make_image(seed="new"))
    push(registry.host, mirror.name, "w", make_image(seed="w"))
    plan = await mirror.plan()
    assert [trouble.code for trouble in plan.troubles] == ["tag-moved"]
    assert plan.exit_code == 8
    report = await mirror.client.mirror.run(plan)
    assert (report.outcome, report.exit_code) == ("partial", 8)
    assert report.counts["new"] == report.counts["failed"] == 1
    assert mirror.there_is("w") == make_image(seed="w").digest


async def test_a_tag_that_another_moved_since_the_plan_is_left(mirror: Mirror, registry: RealRegistry) -> None:
    push(registry.host, mirror.name, "1", make_image(seed="1"))
    push(registry.host, mirror.name, "2", make_image(seed="2"))
    plan = await mirror.plan()
    push(mirror.there.host, mirror.name, "1", make_image(seed="another"))
    report = await mirror.client.mirror.run(plan)
    assert report.counts["failed"] == report.counts["new"] == 1
    assert report.exit_code == 8
    assert mirror.there_is("1") == make_image(seed="another").digest


async def test_tags_of_one_digest_are_copied_once(mirror: Mirror, registry: RealRegistry) -> None:
    image = make_image(layers=3)
    for tag in ("1", "1.2", "1.2.3", "latest"):
        push(registry.host, mirror.name, tag, image)
    plan = await mirror.plan()
    mirror.here.reset()
    mirror.there.reset()
    report = await mirror.client.mirror.run(plan)
    assert report.counts["new"] == 4
    assert mirror.here.count("GET", "/manifests/") == 1
    assert mirror.here.count("GET", "/blobs/") == 4
    assert mirror.there.count("PUT", "/manifests/") == 4


async def test_a_layer_that_many_share_goes_over_the_network_once(
    client: AsyncClient, tmp_path: Path, registry: RealRegistry, target: RealRegistry, new_repository: Callable[[], str]
) -> None:
    shared = gzip.compress(random.Random(1).randbytes(20_000), mtime=0)
    names = [new_repository() for _ in range(6)]
    for name in names:
        push(registry.host, name, "1", make_image(seed=name, layers=[shared, gzip.compress(name.encode(), mtime=0)]))
    with CountingProxy(registry.url) as here, CountingProxy(target.url) as there:
        (tmp_path / "m.toml").write_text(
            "".join(f'[[mirror]]\nfrom = "{here.host}/{name}"\nto = "{there.host}/{name}"\n' for name in names)
        )
        report = await client.mirror.run(await client.mirror.plan(tmp_path / "m.toml"))
        assert report.outcome == "done"
        assert here.count("GET", f"/blobs/{digest_of(shared)}") == 1
        assert here.count("GET", "/blobs/") == 1 + 2 * len(names)
        assert report.bytes_mounted == len(shared) * (len(names) - 1)
    for name in names:
        assert (
            get_manifest(target.host, name, "1")[2]
            == make_image(seed=name, layers=[shared, gzip.compress(name.encode(), mtime=0)]).digest
        )


async def test_platforms_are_chosen_and_the_plan_says_the_digest(mirror: Mirror, registry: RealRegistry) -> None:
    mirror.write('platforms = ["linux/amd64", "linux/arm64"]\nimmutable = "*"')
    images = [make_image(f"linux/{one}", seed=one) for one in ("amd64", "arm64", "s390x")]
    push(registry.host, mirror.name, "1", make_index(images))
    plan = await mirror.plan()
    (item,) = plan.legs[0].items
    assert item.original == make_index(images).digest
    report = await mirror.client.mirror.run(plan)
    assert report.outcome == "done", report
    assert mirror.there_is("1") == item.digest
    raw, _, _ = get_manifest(mirror.there.host, mirror.name, "1")
    assert [entry["digest"] for entry in json.loads(raw)["manifests"]] == [image.digest for image in images[:2]]
    assert states(await mirror.plan()) == {"1": "unchanged"}
    assert mirror.here.count() == mirror.there.count() == 1


async def test_referrers_go_along_and_what_is_new_of_them_comes_later(
    mirror: Mirror, registry: RealRegistry, target: RealRegistry
) -> None:
    mirror.write("referrers = true")
    image = make_image(kind="oci")
    push(registry.host, mirror.name, "1", image)

    async def attach(name: str) -> None:
        file = mirror.file.with_name(name)
        file.write_text(name)
        place = f"{registry.host}/{mirror.name}:1"
        await mirror.client.artifacts.attach(
            place, ArtifactFile(content=file, title=name), artifact_type=f"application/x-{name}"
        )

    await attach("one")
    await mirror.run()

    async def types(place: str) -> set[str]:
        async with mirror.client.open(place) as store:
            return {item.artifact_type async for item in store.referrers(await store.resolve("1"))}

    there = f"{target.host}/{mirror.name}"
    assert await types(there) == {"application/x-one"}
    report = await mirror.run()
    assert report.counts["unchanged"] == 1
    assert mirror.there.count() == 1
    await attach("two")
    plan = await mirror.plan()
    assert states(plan) == {"1": "referrers"}
    await mirror.client.mirror.run(plan)
    assert await types(there) == {"application/x-one", "application/x-two"}
    assert states(await mirror.plan()) == {"1": "unchanged"}


async def test_a_first_copy_asks_nothing_that_the_file_answers(mirror: Mirror, registry: RealRegistry) -> None:
    for number in range(3):
        push(registry.host, mirror.name, str(number), make_image(seed=str(number)))
    await mirror.run()
    assert mirror.here.count() == 1 + 3 * (1 + 1 + 2)  # the list; of each HEAD, the manifest, two blobs
    assert mirror.there.count("HEAD", "/manifests/") == 3 * BOTH
    assert not [line for line in mirror.here.lines if "referrers" in line or "sha256-" in line]


async def test_several_targets_are_read_for_once(mirror: Mirror, registry: RealRegistry, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    mirror.file.write_text(
        f'[[mirror]]\nfrom = "{mirror.source}"\nto = ["{mirror.target}", "oci:{layout}", "{mirror.target}-b"]\n'
    )
    push(registry.host, mirror.name, "1", make_index([make_image("linux/amd64"), make_image("linux/arm64", seed="a")]))
    report = await mirror.run()
    assert report.outcome == "done", report.troubles
    assert mirror.here.count("GET", "/manifests/") == 3
    assert mirror.here.count("GET", "/blobs/") == 4
    digest = mirror.there_is("1")
    assert str(await mirror.client.digest(f"oci:{layout}:1")) == digest
    assert get_manifest(mirror.there.host, f"{mirror.name}-b", "1")[2] == digest
    assert (await mirror.run()).counts["unchanged"] == 3


async def test_from_a_layout_to_a_registry_and_below_a_path(
    client: AsyncClient, tmp_path: Path, target: RealRegistry, new_repository: Callable[[], str]
) -> None:
    with RealRegistry() as source:
        for name in ("team/a", "team/b/c", "other/d"):
            push(source.host, name, "1", make_image(seed=name))
        above = new_repository()
        file = tmp_path / "m.toml"
        file.write_text(
            f'[[mirror]]\nfrom = "{source.host}/team/**"\nto = ["{target.host}/{above}", "oci:{tmp_path}/l"]\n'
        )
        report = await client.mirror.run(await client.mirror.plan(file))
        assert report.counts["new"] == 4, report.troubles
        assert get_manifest(target.host, f"{above}/b/c", "1")[2] == make_image(seed="team/b/c").digest
        assert str(await client.digest(f"oci:{tmp_path}/l/a:1")) == make_image(seed="team/a").digest
    file.write_text(f'[[mirror]]\nfrom = "oci:{tmp_path}/l/a"\nto = "{target.host}/{above}/back"\n')
    report = await client.mirror.run(await client.mirror.plan(file))
    assert report.outcome == "done"
    assert get_manifest(target.host, f"{above}/back", "1")[2] == make_image(seed="team/a").digest


async def test_one_tag_is_mirrored_under_another(mirror: Mirror, registry: RealRegistry) -> None:
    image = make_image()
    push(registry.host, mirror.name, "1", image)
    mirror.write(source=f"{mirror.source}:1", to=f"{mirror.target}:stable")
    await mirror.run()
    assert mirror.there_is("stable") == image.digest
    assert states(await mirror.plan()) == {"stable": "unchanged"}
    assert mirror.here.count() == mirror.there.count() == 1
    mirror.write(source=f"{mirror.source}@{image.digest}", to=f"{mirror.target}-b")
    assert (await mirror.run()).outcome == "done"
    assert get_manifest(mirror.there.host, f"{mirror.name}-b", image.digest)[2] == image.digest


# What goes wrong


async def test_what_is_chosen_by_nothing_and_what_is_away(
    client: AsyncClient, tmp_path: Path, registry: RealRegistry, target: RealRegistry, repository: str
) -> None:
    push(registry.host, repository, "1", make_image())
    away = "127.0.0.1:9"
    file = tmp_path / "m.toml"
    file.write_text(
        f"""
        [[mirror]]
        name = "nothing"
        from = "{registry.host}/{repository}"
        to = "{target.host}/{repository}-a"
        tags = "v*"
        [[mirror]]
        name = "nothing, and that is all right"
        from = "{registry.host}/{repository}"
        to = "{target.host}/{repository}-b"
        tags = "v*"
        optional = true
        [[mirror]]
        name = "away"
        from = "{away}/{repository}"
        to = "{target.host}/{repository}-c"
        [[mirror]]
        name = "refused"
        from = "{registry.host}/{repository}"
        to = "{away}/{repository}"
        [[mirror]]
        name = "not there"
        from = "{registry.host}/{repository}-not-there"
        to = "{target.host}/{repository}-d"
        [[mirror]]
        name = "good"
        from = "{registry.host}/{repository}"
        to = "{target.host}/{repository}"
        """
    )
    plan = await client.mirror.plan(file)
    found = {trouble.mirror: (trouble.code, trouble.exit) for trouble in plan.troubles}
    assert found == {
        "nothing": ("nothing-chosen", 1),
        "away": ("connection-refused", 6),
        "refused": ("connection-refused", 6),
        "not there": ("repository-not-found", 3),
    }
    assert plan.exit_code == 1
    report = await client.mirror.run(plan)
    assert report.outcome == "partial"
    assert (report.counts["new"], report.counts["failed"]) == (1, 4)
    assert (await client.mirror.plan(file, only=["away", "refused"])).exit_code == 6
    with pytest.raises(UsageError, match="no mirror called 'god'"):
        await client.mirror.plan(file, only="god")


async def test_two_entries_that_write_one_tag_write_it_not_at_all(
    client: AsyncClient, tmp_path: Path, registry: RealRegistry, target: RealRegistry, repository: str
) -> None:
    for tag in ("1", "2"):
        push(registry.host, repository, tag, make_image(seed=tag))
    file = tmp_path / "m.toml"
    entry = f'from = "{registry.host}/{repository}"\nto = "{target.host}/{repository}"\n'
    file.write_text(f'[[mirror]]\nname = "a"\n{entry}\n[[mirror]]\nname = "b"\n{entry}tags = "2"\n')
    plan = await client.mirror.plan(file)
    assert states(plan) == {"1": "new"}
    (trouble,) = plan.troubles
    assert (trouble.code, trouble.exit) == ("tag-written-twice", 8)


async def test_a_host_that_is_away_is_given_up(
    client: AsyncClient, tmp_path: Path, registry: RealRegistry, repository: str
) -> None:
    entry = '[[mirror]]\nname = "{at}"\nfrom = "127.0.0.1:9/a{at}"\nto = "{host}/{repository}"\n'
    file = tmp_path / "m.toml"
    file.write_text(
        "".join(entry.format(at=at, host=registry.host, repository=f"{repository}-{at}") for at in range(200))
    )
    plan = await client.mirror.plan(file)
    codes = [trouble.code for trouble in plan.troubles]
    assert len(codes) == 200
    assert codes.count("host-given-up") >= 100
    assert plan.exit_code == 6


async def test_what_is_to_be_verified_is_not_mirrored_unverified(mirror: Mirror, registry: RealRegistry) -> None:
    push(registry.host, mirror.name, "1", make_image())
    mirror.write('verify = { key = "cosign.pub" }')
    plan = await mirror.plan()
    assert [trouble.code for trouble in plan.troubles] == ["verify-not-done"]
    assert plan.legs == ()


async def test_a_tag_that_goes_during_the_run_fails_alone(mirror: Mirror, registry: RealRegistry) -> None:
    for tag in ("1", "2"):
        push(registry.host, mirror.name, tag, make_image(seed=tag))
    plan = await mirror.plan()
    with RegistryClient(registry.host, mirror.name) as there:
        there.request("DELETE", f"/manifests/{make_image(seed='1').digest}", expect=202)
    report = await mirror.client.mirror.run(plan)
    assert report.counts["new"] == report.counts["failed"] == 1
    assert report.exit_code == 3
    again = await mirror.client.mirror.run(await mirror.plan(), unfinished=report)
    assert again.items == ()


async def test_pulls_are_kept_for_others(mirror: Mirror, registry: RealRegistry) -> None:
    for tag in "12345":
        push(registry.host, mirror.name, tag, make_image(seed=tag))
    mirror.file.write_text(f'{mirror.file.read_text()}\n[hosts."{mirror.here.host}"]\nkeep-pulls = 7\n')
    left = 10

    def told(request: object) -> Alter:
        nonlocal left
        left -= getattr(request, "method", "") == "GET" and "/manifests/" in getattr(request, "path", "")
        return Alter(set_headers=(("RateLimit-Remaining", f"{left};w=21600"),))

    mirror.here.intercept = told
    report = await mirror.run()
    assert report.counts["new"] == 3
    assert report.counts["skipped"] == 2
    assert report.exit_code == 5
    assert left == 7
    assert report.pulls_left[mirror.here.host] == 7


async def test_so_many_failures_are_enough(mirror: Mirror, registry: RealRegistry) -> None:
    for number in range(30):
        push(registry.host, mirror.name, str(number), make_image(seed=str(number)))
    mirror.there.intercept = when(Alter(status=500), method="POST")
    plan = await mirror.plan()
    report = await mirror.client.mirror.run(plan, max_failures=0)
    assert report.counts["failed"] < 30
    assert report.counts["failed"] + report.counts["skipped"] == 30
    assert report.outcome == "failed"
    mirror.there.intercept = None
    again = await mirror.client.mirror.run(await mirror.plan(), unfinished=report)
    assert again.counts["new"] == 30


async def test_shards_are_all_of_it_and_no_tag_is_in_two(mirror: Mirror, registry: RealRegistry) -> None:
    assert all(sum(Shard(number, 4).has(f"r/{name}") for number in range(4)) == 1 for name in range(100))
    push(registry.host, mirror.name, "1", make_image())
    plan = await mirror.plan()
    reports = [await mirror.client.mirror.run(plan, shard=f"{number}/3") for number in range(3)]
    assert sum(report.counts["new"] for report in reports) == 1
    for text in ("3/3", "a/b", "1", "-1/2", "1/0"):
        with pytest.raises(UsageError, match="is no shard"):
            await mirror.client.mirror.run(plan, shard=text)


async def test_what_vanished_is_said_and_stays(mirror: Mirror, registry: RealRegistry) -> None:
    for tag in ("1", "2"):
        push(registry.host, mirror.name, tag, make_image(seed=tag))
    push(mirror.there.host, mirror.name, "own", make_image(seed="own"))
    await mirror.run()
    with RegistryClient(registry.host, mirror.name) as there:
        there.request("DELETE", f"/manifests/{make_image(seed='1').digest}", expect=202)
    report = await mirror.run()
    assert report.counts["vanished"] == 1
    assert report.outcome == "done"
    plan = await mirror.plan()
    gone = {item.tag: item for _, item in plan.items()}["1"]
    assert gone.state == "vanished"
    assert gone.since is not None
    assert mirror.there_is("1") == make_image(seed="1").digest


@pytest.mark.parametrize("how", ["damaged", "newer", "a folder"])
async def test_a_state_that_cannot_be_used_is_made_again_and_that_is_said(
    tmp_path: Path, registry: RealRegistry, target: RealRegistry, repository: str, how: str
) -> None:
    import sqlite3

    notes: list[str] = []
    push(registry.host, repository, "1", make_image())
    file = tmp_path / "m.toml"
    file.write_text(f'[[mirror]]\nfrom = "{registry.host}/{repository}"\nto = "{target.host}/{repository}"\n')
    async with AsyncClient(docker_config=tmp_path / "docker", on_note=notes.append) as client:
        await client.mirror.run(await client.mirror.plan(file))
        (database,) = (tmp_path / "state").rglob("*.db")
        if how == "damaged":
            database.write_bytes(b"no database" * 1000)
        elif how == "newer":
            with sqlite3.connect(database) as connection:
                connection.execute("PRAGMA user_version = 99")
        else:
            database.unlink()
            database.mkdir()
        report = await client.mirror.run(await client.mirror.plan(file))
    assert report.counts["unchanged"] == 1
    assert notes
    assert str(database) in notes[0]
    if how == "newer":
        assert database.with_name(f"{database.name}.v99").exists()


async def test_what_a_file_says_needs_no_file(
    client: AsyncClient, registry: RealRegistry, target: RealRegistry, repository: str
) -> None:
    push(registry.host, repository, "1", make_image())
    file = parse_mirror_file(f'[[mirror]]\nfrom = "{registry.host}/{repository}"\nto = "{target.host}/{repository}"\n')
    plan = await client.mirror.plan(file)
    assert plan.state is None
    assert (await client.mirror.run(plan)).outcome == "done"
    with pytest.raises(UsageError, match="no name of a state"):
        await client.mirror.plan(file, state="../x")
