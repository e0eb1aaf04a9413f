"""One value where several are wanted is that one, and never its letters."""

from pathlib import Path
from typing import Any

import pytest

from lading.client import AsyncClient
from lading.errors import NotFound, UsageError
from lading.model.platform import Platform
from lading.registry.auth.lookup import default_sources
from lading.registry.hosts.configuration import Config
from lading.registry.hosts.settings import HostConfig, parse_addresses, parse_headers
from lading.serve import Settings, app
from support import images
from support.registry import RealRegistry

IMAGES = [images.make_image(f"linux/{arch}", kind="oci", seed=arch) for arch in ("amd64", "arm64")]
INDEX = images.make_index(IMAGES, kind="oci")


@pytest.fixture
def name(registry: RealRegistry, repository: str) -> str:
    """A repository with an index under three tags, and an image to which two artifacts refer."""
    for tag in ("latest", "1.0", "1.1"):
        images.push(registry.host, repository, tag, INDEX)
    return f"{registry.host}/{repository}"


async def test_one_tag_moves_no_others(client: AsyncClient, name: str, registry: RealRegistry, repository: str) -> None:
    await client.copy(f"{name}:1.0", f"{name}/copy:1", tags="stable")
    assert images.list_tags(registry.host, f"{repository}/copy") == ["1", "stable"]


@pytest.mark.parametrize("platform", ["linux/arm64", Platform.parse("linux/arm64")])
async def test_one_platform(client: AsyncClient, name: str, platform: Platform | str) -> None:
    await client.copy(f"{name}:1.0", f"{name}/copy:1", platforms=platform)
    found = await client.inspect(f"{name}/copy:1")
    assert [entry.digest for entry in found.entries] == [IMAGES[1].digest]
    shown = await client.inspect(f"{name}:1.0", platforms=platform)
    assert [entry.digest for entry in shown.entries] == [IMAGES[1].digest]


async def test_one_pattern(client: AsyncClient, name: str, registry: RealRegistry, repository: str) -> None:
    await client.copy(name, f"{name}/copy", all_tags=True, include="1.*", exclude="*.1")
    assert images.list_tags(registry.host, f"{repository}/copy") == ["1.0"]
    assert [info.tag for info in await client.tags(name, include="1.*", exclude="1.1")] == ["1.0"]
    assert f"{repository}" in await client.registries.repositories(
        registry.host, include=f"*{repository}", exclude="copy"
    )


async def test_one_type_of_artifacts(client: AsyncClient, name: str, elsewhere: str, repository: str) -> None:
    images.push(elsewhere, repository, "1", IMAGES[0])
    for kind in ("application/x", "application/y"):
        images.push(elsewhere, repository, None, images.make_artifact(kind, subject=IMAGES[0]))
    report = await client.copy(
        f"{elsewhere}/{repository}:1", f"{name}/copy:1", referrers=True, artifact_types="application/x"
    )
    assert report.images[0].referrers == 1


async def test_one_client_and_one_code(client: AsyncClient, name: str) -> None:
    found = await client.resolve(f"{name}:1.0", clients="podman")
    assert [selection.client.name for selection in found.selections] == ["podman"]
    assert (await client.lint(f"{name}:1.0", select="LAD1", ignore="LAD2")).findings == ()
    with pytest.raises(UsageError, match="'LAD9'"):
        await client.lint(f"{name}:1.0", ignore="LAD9")


async def test_one_image_of_a_list(client: AsyncClient, name: str, registry: RealRegistry, repository: str) -> None:
    made = await client.drafts.create(f"{name}:list", f"{name}:1.0", platforms="linux/arm64")
    assert [entry.digest for entry in made.draft.entries] == [IMAGES[1].digest]
    await client.drafts.add(f"{name}:list", f"{name}:1.1", platforms="linux/amd64")
    changed = await client.drafts.annotate(f"{name}:list", "linux/arm64", os_features="sse4", features="x")
    platform = changed.draft.entries[0].platform
    assert platform is not None
    assert platform.os_features == ("sse4",)
    await client.drafts.annotate(f"{name}:list", "linux/arm64", annotations={"a": "b", "note": "c"})
    changed = await client.drafts.annotate(
        f"{name}:list", "linux/arm64", remove_annotations="note", clear="os_features"
    )
    assert changed.draft.entries[0].descriptor.annotations == {"a": "b"}
    await client.drafts.push(f"{name}:list", tags="another")
    assert images.list_tags(registry.host, repository) == ["1.0", "1.1", "another", "latest", "list"]
    await client.drafts.discard(f"{name}:list")
    pulled = await client.drafts.pull(f"{name}:list", platforms="linux/amd64")
    assert len(pulled.draft.entries) == 1


async def test_one_file_of_credentials(tmp_path: Path) -> None:
    file = tmp_path / "auth.json"
    file.write_text('{"auths": {"reg.example": {"auth": "bWU6c2VjcmV0"}}}')
    for given in (file, str(file)):
        async with AsyncClient(authfiles=given, docker_config=tmp_path / "none") as client:
            credential = await client.registries.credential("reg.example")
            assert credential is not None
            assert credential.username == "me"
        first, *_ = default_sources(authfiles=given, environ={}).offers("reg.example", None)
        assert str(file) in first.offer.place


async def test_one_scope(tmp_path: Path) -> None:
    with RealRegistry(auth="token") as registry, pytest.raises(UsageError, match="'x' is not a scope"):
        async with AsyncClient(docker_config=tmp_path) as client:
            await client.registries.token(registry.host, "x")


def test_one_header_one_address_and_one_rule(tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_text("me:$2y$05$abcdefghijklmnopqrstuuK4bQK3X8p2pVwDgk8YlZJ8q0m5m3B0a\n")
    assert parse_headers("X-A: b") == (("", "X-A", "b"),)
    assert parse_addresses("reg.example:443:127.0.0.1") == {"reg.example:443": "127.0.0.1"}
    with pytest.raises(UsageError, match="'everything' is not a rule"):
        app(settings=Settings(auth=f"htpasswd={users}", allow="everything"))


@pytest.mark.parametrize("jobs", [0, -1])
async def test_no_job_at_all_is_refused(jobs: int, client: AsyncClient, name: str) -> None:
    with pytest.raises(UsageError, match="jobs"):
        await client.copy(f"{name}:1.0", f"{name}/copy:1", jobs=jobs)
    with pytest.raises(NotFound):
        await client.digest(f"{name}/copy:1")


async def test_several_may_come_from_anything(client: AsyncClient, name: str) -> None:
    given: Any = (tag for tag in ("a", "b"))
    report = await client.copy(f"{name}:1.0", f"{name}/copy:1", tags=given)
    assert len(report.images[0].targets) == 3


@pytest.mark.parametrize("jobs", [0, -1])
async def test_a_host_without_any_job_is_refused(jobs: int, name: str) -> None:
    host = name.partition("/")[0]
    async with AsyncClient(config=Config({host: HostConfig(insecure=True, jobs=jobs)})) as client:
        with pytest.raises(UsageError, match="jobs"):
            await client.digest(f"{name}:1.0")
