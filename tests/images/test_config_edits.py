"""Edits of configs: how a container runs, what it is for, its times and its history."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading import AsyncClient, NotFound, UsageError
from lading.edits import (
    Edit,
    LabelsToAnnotations,
    PromoteAnnotations,
    RemoveBuildArg,
    RemoveExternalUrls,
    RemoveHealthcheck,
    SetAnnotation,
    SetArgsEscaped,
    SetAuthor,
    SetBase,
    SetCommand,
    SetConfigTimes,
    SetCreated,
    SetEntrypoint,
    SetEnv,
    SetFormat,
    SetHealthcheck,
    SetHostname,
    SetInlineData,
    SetLabel,
    SetOnBuild,
    SetOsFeature,
    SetOsVersion,
    SetPlatform,
    SetPort,
    SetShell,
    SetStopSignal,
    SetStopTimeout,
    SetUser,
    SetVolume,
    SetWorkdir,
)
from lading.errors import InvalidDigest, InvalidPlatform
from lading.images.edits.times import moment_of, rfc3339
from lading.model.platform import Platform
from support.images import make_artifact, make_attestation, make_image, make_index, push
from support.lading import Lading
from support.parts import need
from support.process import run
from support.registry import RealRegistry

Change = Callable[..., Any]


@pytest.fixture
def change(client: AsyncClient, registry: RealRegistry, new_repository: Callable[[], str]) -> Change:
    """Apply edits to an image with a config; gives the whole new config."""

    async def changed(config: dict[str, Any], *edits: Edit, **fields: Any) -> dict[str, Any]:
        repository = new_repository()
        push(registry.host, repository, "1", make_image(kind="oci", config=config, **fields))
        place = f"{registry.host}/{repository}"
        await client.images.edit(f"{place}:1", *edits, targets=f"{place}:2")
        return (await client.config(f"{place}:2")).document

    return changed


NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "before, edits, after",
    [
        # What crane clears, stays.
        ({"Cmd": ["x"]}, [SetEntrypoint(("/app", "-v"))], {"Cmd": ["x"], "Entrypoint": ["/app", "-v"]}),
        ({"Cmd": ["x"]}, [SetCommand(None)], {}),
        ({"Cmd": None}, [SetCommand(None)], {"Cmd": None}),
        ({"Cmd": ["x"]}, [SetCommand(("y", "z"), append=True)], {"Cmd": ["x", "y", "z"]}),
        ({}, [SetCommand("echo $HOME")], {"Cmd": ["/bin/sh", "-c", "echo $HOME"]}),
        (
            {"Shell": ["/bin/bash", "-ec"]},
            [SetEntrypoint("exec a")],
            {"Shell": ["/bin/bash", "-ec"], "Entrypoint": ["/bin/bash", "-ec", "exec a"]},
        ),
        (
            {},
            [SetShell(("/bin/ash", "-c")), SetCommand("a")],
            {"Shell": ["/bin/ash", "-c"], "Cmd": ["/bin/ash", "-c", "a"]},
        ),
        ({"OnBuild": ["RUN a"]}, [SetOnBuild(("RUN b",), append=True)], {"OnBuild": ["RUN a", "RUN b"]}),
        ({"OnBuild": ["RUN a"]}, [SetOnBuild(None)], {}),
        (
            {"User": "a"},
            [SetUser("1000:1000"), SetWorkdir("/w"), SetHostname("h")],
            {"User": "1000:1000", "WorkingDir": "/w", "Hostname": "h"},
        ),
        ({"User": "", "Odd": 1}, [SetUser(None)], {"User": "", "Odd": 1}),
        (
            {"ExposedPorts": {"80": {}}},
            [SetPort("80"), SetPort("443"), SetPort("53/udp")],
            {"ExposedPorts": {"443/tcp": {}, "53/udp": {}, "80": {}}},
        ),
        (
            {"ExposedPorts": {"80/tcp": {}, "80/udp": {}}},
            [SetPort("80", present=False)],
            {"ExposedPorts": {"80/udp": {}}},
        ),
        ({"ExposedPorts": {"80/tcp": {}}}, [SetPort("80/tcp", present=False)], {}),
        ({}, [SetVolume("/data"), SetVolume("/a")], {"Volumes": {"/a": {}, "/data": {}}}),
        ({"Volumes": {"/data": {}}}, [SetVolume("/data", present=False)], {}),
        ({}, [SetStopSignal("SIGRTMIN+3"), SetStopTimeout(0)], {"StopSignal": "SIGRTMIN+3", "StopTimeout": 0}),
        ({"ArgsEscaped": True}, [SetArgsEscaped(False)], {"ArgsEscaped": False}),
        ({"ArgsEscaped": True}, [SetArgsEscaped(None)], {}),
        (
            {},
            [SetEnv("A", "1"), SetEnv("A", "2"), SetEnv("B", ""), SetEnv("C", "x=y")],
            {"Env": ["A=2", "B=", "C=x=y"]},
        ),
        ({"Env": ["A=1", "B=2", "A=3"]}, [SetEnv("A", None)], {"Env": ["B=2"]}),
        ({"Labels": {"a": ""}}, [SetLabel("b", "")], {"Labels": {"a": "", "b": ""}}),
    ],
)
async def test_how_a_container_runs(change: Change, before: Any, edits: list[Edit], after: Any) -> None:
    labels = {"Labels": before["Labels"]} if "Labels" in before else {"Labels": {}}
    document = await change({**before, **labels}, *edits)
    found = document["config"]
    found = {key: value for key, value in found.items() if key in after or key in before}
    assert found == after


async def test_a_health_check_changes_only_where_it_is_said(change: Change) -> None:
    old = {"Healthcheck": {"Test": ["CMD", "a"], "Interval": 1, "StartInterval": 7, "Odd": 1}}
    found = await change(old, SetHealthcheck(interval=30, retries=3), SetHealthcheck(test="curl x", timeout=0.5))
    assert found["config"]["Healthcheck"] == {
        "Test": ["CMD-SHELL", "curl x"],
        "Interval": 30_000_000_000,
        "Timeout": 500_000_000,
        "StartInterval": 7,
        "Retries": 3,
        "Odd": 1,
    }
    off = await change(old, SetHealthcheck(test=()))
    assert off["config"]["Healthcheck"]["Test"] == ["NONE"]
    assert "Healthcheck" not in (await change(old, RemoveHealthcheck()))["config"]


@pytest.mark.parametrize(
    "make",
    [
        lambda: SetEntrypoint(()),
        lambda: SetCommand(""),
        lambda: SetCommand("a", append=True),
        lambda: SetShell("sh -c"),
        lambda: SetUser(""),
        lambda: SetPort("0"),
        lambda: SetPort("65536/tcp"),
        lambda: SetPort("80/icmp"),
        lambda: SetPort("80/"),
        lambda: SetPort("٨٠"),
        lambda: SetVolume(""),
        lambda: SetStopSignal("term"),
        lambda: SetStopTimeout(-1),
        lambda: SetHealthcheck(retries=-1),
        lambda: SetHealthcheck(test=""),
        lambda: SetPlatform(Platform(os="linux")),
        lambda: SetCreated(datetime(2024, 1, 1)),  # noqa: DTZ001
        lambda: SetConfigTimes(),
        lambda: SetConfigTimes(time=NOON, label="a"),
        lambda: RemoveBuildArg("A=B"),
        lambda: RemoveBuildArg("A", "(", is_pattern=True),
        lambda: SetBase("debian@sha256:" + "0" * 64, "sha256:" + "0" * 64),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_said(make: Callable[[], Edit]) -> None:
    with pytest.raises(UsageError):
        make()


def test_platforms_and_digests_are_checked() -> None:
    with pytest.raises(InvalidPlatform):
        SetPlatform(Platform.parse("all"))
    with pytest.raises(InvalidDigest):
        SetBase("debian:12", "sha256:1")


async def test_the_platform_is_that_of_the_index_too(
    client: AsyncClient, registry: RealRegistry, new_repository: Callable[[], str]
) -> None:
    place = f"{registry.host}/{new_repository()}"
    index = make_index([make_image("linux/arm/v7", kind="oci"), make_image("linux/amd64", kind="oci")], kind="oci")
    push(registry.host, place.partition("/")[2], "1", index)
    edits = [SetPlatform(Platform.parse("linux/arm64")), SetOsVersion("6.1"), SetOsFeature("a"), SetOsFeature("b")]
    await client.images.edit(f"{place}:1", *edits, targets=f"{place}:2", platforms="linux/arm/v7")
    found = (await client.get_index(f"{place}:2")).document["manifests"]
    said = {"architecture": "arm64", "os": "linux", "os.version": "6.1", "os.features": ["a", "b"]}
    assert found[0]["platform"] == said
    assert found[1]["platform"] == {"architecture": "amd64", "os": "linux"}
    config = (await client.config(f"{place}:2", platform="linux/arm64")).document
    assert {key: config.get(key) for key in (*said, "variant")} == {**said, "variant": None}
    edits = [SetPlatform(Platform.parse("windows/arm64")), SetOsFeature("b", present=False)]
    await client.images.edit(f"{place}:2", *edits, targets=f"{place}:3", platforms="linux/arm64")
    config = (await client.config(f"{place}:3", platform="windows/arm64")).document
    assert not {"os.version", "os.features"} & config.keys()


HISTORY: list[dict[str, Any]] = [
    {"created": "2024-05-01T10:00:00Z", "created_by": "base"},
    {"created": "2024-05-01T11:00:00Z", "created_by": "ARG TOKEN=x", "empty_layer": True},
    {"created_by": "no time"},
    {"created": "2024-05-01T13:00:00.5+02:00", "created_by": "RUN |2 A=1 TOKEN=se cret /bin/sh -c make # buildkit"},
]


@pytest.fixture
def aged(client: AsyncClient, registry: RealRegistry, new_repository: Callable[[], str]) -> Change:
    """Apply edits to an image with a history; gives the new config."""

    async def changed(*edits: Edit, history: Any = HISTORY) -> dict[str, Any]:
        layers = sum(not entry.get("empty_layer") for entry in history)
        labels = {"at": "2024-05-01T12:00:00Z", "no": "yesterday"}
        image = make_image(kind="oci", layers=layers, config={"Labels": labels}, history=history)
        repository = new_repository()
        push(registry.host, repository, "1", image)
        place = f"{registry.host}/{repository}"
        await client.images.edit(f"{place}:1", *edits, targets=f"{place}:2")
        return (await client.config(f"{place}:2")).document

    return changed


def times(config: dict[str, Any]) -> list[str | None]:
    """When the image was made, and each step."""
    return [config["created"], *(step.get("created") for step in config["history"])]


async def test_times(aged: Change) -> None:
    """A step without a time gets none; those of the base are kept; a time that is the same keeps its spelling."""
    noon = "2024-05-01T12:00:00Z"
    assert times(await aged(SetConfigTimes(time=NOON))) == [noon, noon, noon, None, noon]
    assert times(await aged(SetConfigTimes(label="at", skip=1)))[:4] == [noon, HISTORY[0]["created"], noon, None]
    clamped = times(await aged(SetConfigTimes(time=datetime(2024, 5, 1, 10, 30, tzinfo=UTC), only_later=True)))
    half = "2024-05-01T10:30:00Z"
    assert clamped == ["2024-01-02T03:04:05Z", "2024-05-01T10:00:00Z", half, None, half]
    assert times(await aged(SetCreated(NOON)))[0] == noon
    kept = await aged(SetConfigTimes(time=datetime(2024, 5, 1, 11, 0, 0, 500_000, tzinfo=UTC), skip=2))
    assert kept["history"][3]["created"] == HISTORY[3]["created"]
    with pytest.raises(NotFound, match="no label"):
        await aged(SetConfigTimes(label="absent"))
    with pytest.raises(UsageError, match="is no time"):
        await aged(SetConfigTimes(label="no"))


async def test_a_history_with_nothing_in_it(aged: Change) -> None:
    found = await aged(SetConfigTimes(time=NOON), SetCreated(None), history=[{}, {"created": "soon"}])
    assert found["history"] == [{}, {"created": "2024-05-01T12:00:00Z"}]
    assert "created" not in found


@given(st.datetimes(min_value=datetime(1, 1, 2), timezones=st.just(UTC)))  # noqa: DTZ001
def test_times_are_read_as_they_are_written(time: datetime) -> None:
    assert moment_of(rfc3339(time)) == time


@pytest.mark.parametrize(
    "text", ["", "2024-05-01", "2024-13-01T00:00:00Z", "2024-05-01T00:00:00", "٢٠٢٤-05-01T00:00:00Z", None, 1]
)
def test_what_is_no_time(text: Any) -> None:
    assert moment_of(text) is None


@pytest.mark.parametrize(
    "edit, after",
    [
        (RemoveBuildArg("TOKEN"), "RUN |1 A=1 /bin/sh -c make # buildkit"),
        (RemoveBuildArg("TOKEN", "se cret"), "RUN |1 A=1 /bin/sh -c make # buildkit"),
        (RemoveBuildArg("TOKEN", "se.*", is_pattern=True), "RUN |1 A=1 /bin/sh -c make # buildkit"),
    ],
)
async def test_build_arguments_leave_the_history(aged: Change, edit: Edit, after: str) -> None:
    history = (await aged(edit))["history"]
    assert [step["created_by"] for step in history] == ["base", "no time", after]
    both = (await aged(edit, RemoveBuildArg("A")))["history"]
    assert both[-1]["created_by"] == "RUN /bin/sh -c make # buildkit"


async def test_build_arguments_that_are_not_there_or_unclear(aged: Change) -> None:
    with pytest.raises(NotFound, match="has the build argument B"):
        await aged(RemoveBuildArg("B"))
    with pytest.raises(NotFound, match="with this value"):
        await aged(RemoveBuildArg("A", "2"))
    unclear = [{"created_by": "RUN |2 A=1 X=2 B=3 /bin/sh -c make"}]  # A is `1 X=2`, or X is an argument
    with pytest.raises(UsageError, match="where the value of A ends"):
        await aged(RemoveBuildArg("A"), history=unclear)
    done = await aged(RemoveBuildArg("A", "1 X=2"), history=unclear)
    assert done["history"][0]["created_by"] == "RUN |1 B=3 /bin/sh -c make"
    classic = [
        {"created_by": "/bin/sh -c #(nop)  ARG A=b c", "empty_layer": True},
        {"created_by": "|1 A=b c /bin/sh -c x"},
    ]
    assert (await aged(RemoveBuildArg("A"), history=classic))["history"] == [{"created_by": "/bin/sh -c x"}]


async def test_annotations_from_labels_and_for_the_index(
    client: AsyncClient, registry: RealRegistry, new_repository: Callable[[], str]
) -> None:
    """An attestation is no image: what all images have in common is told all the same."""
    place = f"{registry.host}/{new_repository()}"
    images = [make_image(p, kind="oci", config={"Labels": {"a": "1", "p": p}}) for p in ("linux/amd64", "linux/arm64")]
    index = make_index([*images, make_attestation(images[0])], kind="oci")
    push(registry.host, place.partition("/")[2], "1", index)
    digest = "sha256:" + "1" * 64
    edits = [LabelsToAnnotations(), SetBase("debian:12", digest), PromoteAnnotations()]
    await client.images.edit(f"{place}:1", *edits, targets=f"{place}:2")
    base = {"org.opencontainers.image.base.digest": digest, "org.opencontainers.image.base.name": "debian:12"}
    assert (await client.get_index(f"{place}:2")).annotations == {"a": "1", **base}
    assert (await client.get_manifest(f"{place}:2", platform="linux/arm64")).annotations == {
        "a": "1",
        "p": "linux/arm64",
        **base,
    }
    await client.images.edit(f"{place}:1", SetBase("debian:12", digest), targets=f"{place}:3", platforms="linux/arm64")
    assert not (await client.get_index(f"{place}:3")).annotations


CRANE = [
    (["--label", "b=2", "--label", "a=<1>&"], [SetLabel("b", "2"), SetLabel("a", "<1>&")]),
    (["--env", "A=1", "--env", "PATH=/x"], [SetEnv("A", "1"), SetEnv("PATH", "/x")]),
    (["--entrypoint", "/a,b"], [SetEntrypoint(("/a", "b")), SetCommand(None)]),
    (["--cmd", "x,y"], [SetCommand(("x", "y"))]),
    (["--user", "1:2", "--workdir", "/w"], [SetUser("1:2"), SetWorkdir("/w")]),
    (["--exposed-ports", "80/tcp,53/udp"], [SetPort("80/tcp"), SetPort("53/udp")]),
    (["--set-platform", "linux/arm64/v8"], [SetPlatform(Platform.parse("linux/arm64/v8"))]),
    (["--annotation", "z=1", "--annotation", "a=é"], [SetAnnotation("z", "1"), SetAnnotation("a", "é")]),
]


# Docker's format has no place for annotations.
CASES = [(kind, *case) for kind in ("oci", "docker") for case in CRANE if kind == "oci" or case[0][0] != "--annotation"]


@pytest.mark.parametrize("kind, flags, edits", CASES, ids=[f"{kind}{flags[0]}" for kind, flags, _ in CASES])
async def test_the_same_bytes_as_crane(
    client: AsyncClient,
    registry: RealRegistry,
    new_repository: Callable[[], str],
    flags: list[str],
    edits: list[Edit],
    kind: Any,
) -> None:
    """Of an image that crane made: it writes every document anew, and so that comes first."""
    crane = need("crane")
    place = f"{registry.host}/{new_repository()}/app"
    push(
        registry.host, place.partition("/")[2], "0", make_image(kind=kind, config={"Env": ["PATH=/bin"], "Cmd": ["q"]})
    )
    run([crane, "mutate", f"{place}:0", "--label", "made=1", "-t", f"{place}:1"])
    run([crane, "mutate", f"{place}:1", *flags, "-t", f"{place}:crane"])
    await client.images.edit(f"{place}:1", *edits, targets=f"{place}:ours")
    theirs, ours = [await client.get_manifest(f"{place}:{tag}") for tag in ("crane", "ours")]
    configs = [(await client.config(f"{place}:{tag}")).raw for tag in ("crane", "ours")]
    assert configs[0] == configs[1]
    assert theirs.raw == ours.raw


REGCTL = [
    (["--config-time", "set=2024-05-01T12:00:00Z"], [SetConfigTimes(time=NOON)]),
    (
        ["--config-time", "set=2023-05-01T12:00:00Z,after=2023-05-01T12:00:00Z"],
        [SetConfigTimes(time=NOON.replace(year=2023), only_later=True)],
    ),
    (["--config-entrypoint", '["/a","b"]'], [SetEntrypoint(("/a", "b"))]),
    (["--config-cmd", "a b"], [SetCommand("a b")]),
    (["--expose-add", "80/tcp", "--volume-add", "/v"], [SetPort("80/tcp"), SetVolume("/v")]),
    (["--label-to-annotation"], [LabelsToAnnotations()]),
    (["--author", "a", "--user", "u", "--workdir", "/w"], [SetAuthor("a"), SetUser("u"), SetWorkdir("/w")]),
]


@pytest.mark.parametrize("flags, edits", REGCTL, ids=[flags[0] for flags, _ in REGCTL])
async def test_the_same_content_as_regctl(
    client: AsyncClient,
    registry: RealRegistry,
    new_repository: Callable[[], str],
    flags: list[str],
    edits: list[Edit],
) -> None:
    regctl = need("regctl")
    place = f"{registry.host}/{new_repository()}"
    push(
        registry.host, place.partition("/")[2], "0", make_image(kind="oci", config={"Labels": {"a": "1"}, "Cmd": ["q"]})
    )
    host = ["--host", f"reg={registry.host},tls=disabled"]
    run([regctl, *host, "image", "mod", f"{place}:0", "--author", "x", "--create", f"{place}:1"])
    run([regctl, *host, "image", "mod", f"{place}:1", *flags, "--create", f"{place}:regctl"])
    await client.images.edit(f"{place}:1", *edits, targets=f"{place}:ours")
    configs = [(await client.config(f"{place}:{tag}")).raw for tag in ("regctl", "ours")]
    assert configs[0] == configs[1]
    theirs, ours = [await client.get_manifest(f"{place}:{tag}") for tag in ("regctl", "ours")]
    assert theirs.raw == ours.raw


def test_the_command_line(lading: Lading, registry: RealRegistry, new_repository: Callable[[], str]) -> None:
    """Edits are applied in their order, and each is read as a Dockerfile reads it."""
    place = f"{registry.host}/{new_repository()}"
    push(registry.host, place.partition("/")[2], "1", make_image(kind="oci", config={"Cmd": ["q"]}))
    words = [
        *("--shell", '["/bin/bash","-c"]', "--entrypoint", "run $A", "--cmd", '["a"]', "--append-cmd", "b c"),
        *("--health-cmd", '["/check"]', "--health-interval", "1m30s", "--user", "u", "--clear", "user"),
        *("--created", "now", "--stop-timeout", "10s", "--port", "80", "--args-escaped", "true"),
    ]
    lading.run("image", "edit", f"{place}:1", *words, "-t", "2", env={"SOURCE_DATE_EPOCH": "86400"})
    config = json.loads(lading.run("image", "config", f"{place}:2", "--format", "json").stdout)
    assert config["created"] == "1970-01-02T00:00:00Z"
    container = config["config"]
    assert container["Entrypoint"] == ["/bin/bash", "-c", "run $A"]
    assert container["Cmd"] == ["a", "b c"]
    assert container["Healthcheck"] == {"Test": ["CMD", "/check"], "Interval": 90_000_000_000}
    assert (container.get("User"), container["StopTimeout"], container["ExposedPorts"]) == (None, 10, {"80/tcp": {}})
    for wrong in (
        ["--cmd", "[a]"],
        ["--entrypoint", ""],
        ["--clear", "all"],
        ["--created", "soon"],
        ["--stop-timeout", "1x"],
    ):
        assert lading.run("image", "edit", f"{place}:1", *wrong, "-t", "3", check=False).returncode == 2


async def test_daily_edits_are_methods(
    client: AsyncClient, registry: RealRegistry, new_repository: Callable[[], str]
) -> None:
    place = f"{registry.host}/{new_repository()}"
    push(registry.host, place.partition("/")[2], "1", make_image(kind="docker", config={"Cmd": ["q"]}))
    async with client.images.open(f"{place}:1") as image:
        edited = image.with_entrypoint(("/a",)).with_command(None).with_user("u").with_workdir("/w").with_port("80")
        edited = edited.with_platform("linux/arm64").with_created(NOON).in_format("oci")
        await client.images.push(edited, f"{place}:2")
    manifest, config = await client.get_manifest(f"{place}:2"), await client.config(f"{place}:2")
    assert manifest.media_type == "application/vnd.oci.image.manifest.v1+json"
    assert (str(config.platform), config.created) == ("linux/arm64", rfc3339(NOON))
    assert config.config == {
        "User": "u",
        "ExposedPorts": {"80/tcp": {}},
        "WorkingDir": "/w",
        "Entrypoint": ["/a"],
    }


async def test_an_index_with_an_attestation_and_an_artifact_takes_every_edit(
    client: AsyncClient, registry: RealRegistry, new_repository: Callable[[], str]
) -> None:
    """regctl ends in a crash or an error on such an index with several of these."""
    place = f"{registry.host}/{new_repository()}"
    images = [
        make_image(p, kind="oci", config={"Labels": {"a": "1"}}, history=[{}]) for p in ("linux/amd64", "linux/arm64")
    ]
    index = make_index([*images, make_attestation(images[0]), make_artifact()], kind="oci")
    push(registry.host, place.partition("/")[2], "1", index)
    edits = [
        *(SetConfigTimes(time=NOON), SetCreated(NOON), SetEntrypoint("a"), SetHealthcheck(retries=1), SetAuthor("a")),
        *(LabelsToAnnotations(), PromoteAnnotations(), SetFormat("oci"), RemoveExternalUrls(), SetInlineData(100)),
        *(
            SetPort("1"),
            SetVolume("/v"),
            SetOsFeature("f"),
            SetStopTimeout(1),
            SetShell(("s",)),
            SetOnBuild(("RUN a",)),
        ),
    ]
    before = await client.get_index(f"{place}:1")
    await client.images.edit(f"{place}:1", *edits, targets=f"{place}:2")
    after = await client.get_index(f"{place}:2")
    assert after.annotations == {"a": "1"}
    assert [old.digest == new.digest for old, new in zip(before.manifests, after.manifests, strict=True)] == [
        False,
        False,
        True,
        True,
    ]
