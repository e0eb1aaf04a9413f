"""A real Docker engine pulls and runs what lading retagged and pushed."""

from collections.abc import Callable

from support.docker import DockerCLI
from support.images import get_manifest, make_busybox, make_image, push
from support.lading import Lading
from support.registry import RealRegistry


def test_docker_runs_what_lading_retagged(
    engine: DockerCLI, registry: RealRegistry, repository: str, lading: Lading
) -> None:
    push(registry.host, repository, "1.0", make_busybox(seed="retagged by lading"))
    name = f"{registry.host}/{repository}"
    lading.run("tag", f"{name}:1.0", "stable")
    engine.run("pull", f"{name}:stable")
    assert engine.run("run", "--rm", "--network=none", f"{name}:stable").stdout == "retagged by lading\n"
    pulled = engine.run("image", "inspect", f"{name}:stable", "--format", "{{json .RepoDigests}}").stdout
    assert get_manifest(registry.host, repository, "1.0")[2] in pulled


def test_docker_runs_its_platform_of_a_list_that_lading_pushed(
    engine: DockerCLI, registry: RealRegistry, new_repository: Callable[[], str], lading: Lading
) -> None:
    """The list has Docker and OCI images of two repositories, and is pushed to a third."""
    target, first, second = new_repository(), new_repository(), new_repository()
    push(registry.host, first, "amd64", make_busybox(seed="the right one", kind="oci"))
    push(registry.host, second, "s390x", make_image("linux/s390x"))
    name = f"{registry.host}/{target}:list"
    lading.run(
        "manifest", "create", name, f"{registry.host}/{second}:s390x", f"{registry.host}/{first}:amd64", "--push"
    )
    engine.run("pull", name)
    assert engine.run("run", "--rm", "--network=none", name).stdout == "the right one\n"


def test_docker_runs_the_images_of_the_demo(engine: DockerCLI, registry: RealRegistry, repository: str) -> None:
    from lading import AsyncClient
    from lading.images.demo import PLATFORMS, hello

    async def fill() -> None:
        async with AsyncClient() as client:
            store = client.connect(f"{registry.host}/{repository}")
            await hello(PLATFORMS[0], "1.0").push(store, "hello")

    import asyncio

    asyncio.run(fill())
    name = f"{registry.host}/{repository}:hello"
    engine.run("pull", name)
    assert engine.run("run", "--rm", "--network=none", name).stdout == "hello from 1.0 on linux/amd64\n"
