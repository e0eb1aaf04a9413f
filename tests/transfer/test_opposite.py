"""Copies in opposite directions at the same time: each needs both registries, and neither may wait for the other."""

import asyncio
from pathlib import Path

import pytest

from lading.client import AsyncClient
from lading.registry.hosts.configuration import Config
from lading.registry.hosts.settings import HostConfig
from support import images
from support.proxy import CountingProxy
from support.registry import RealRegistry

STREAMED = 3 * 1024 * 1024
"""More bytes than are held in memory: such a blob is read while it is sent."""


@pytest.mark.parametrize("mirrored", [False, True])
async def test_two_registries_that_allow_one_request_each(
    registry: RealRegistry, elsewhere: str, repository: str, tmp_path: Path, mirrored: bool
) -> None:
    here, there = (images.make_image(seed=f"{repository}-{side}", layers=4, layer_size=STREAMED) for side in "ab")
    with CountingProxy(registry.url) as one, CountingProxy(f"http://{elsewhere}") as other:
        images.push(one.host, repository, "1", here)
        images.push(other.host, repository, "1", there)
        one.reset()
        other.reset()
        hosts = {one.host: HostConfig(jobs=1), other.host: HostConfig(jobs=1)}
        source = other.host
        if mirrored:  # what is read of it is read where the other copy writes
            source = "127.0.0.1:1"
            hosts[source] = HostConfig(jobs=1, mirrors=(other.host,))
        async with AsyncClient(docker_config=tmp_path, config=Config(hosts), remember=False) as client:
            copies = [
                asyncio.create_task(client.copy(f"{one.host}/{repository}:1", f"{other.host}/{repository}:copy")),
                asyncio.create_task(client.copy(f"{source}/{repository}:1", f"{one.host}/{repository}:copy")),
            ]
            done, waiting = await asyncio.wait(copies, timeout=60)
            for task in waiting:
                task.cancel()
            assert not waiting, "they wait for each other"
            assert {task.result().images[0].digest for task in done} == {here.digest, there.digest}
        assert one.max_in_flight == other.max_in_flight == 1
