"""Client: the synchronous face, as programs with threads use it."""

import subprocess
import sys

from support.images import make_image, push
from support.registry import RealRegistry

IN_TURN = """
import sys
from lading import Client

for number in range(8):
    with Client() as client:
        print(client.copy(f"{sys.argv[1]}:1", f"{sys.argv[1]}-copy:{number}").images[0].digest)
"""

AT_ONCE = """
import asyncio, sys
from concurrent.futures import ThreadPoolExecutor
from lading import AsyncClient

def copied(number):
    async def main():
        async with AsyncClient() as client:
            return await client.copy(f"{sys.argv[1]}:1", f"{sys.argv[1]}-copy:{number}")
    return asyncio.run(main()).images[0].digest

for _ in range(4):
    with ThreadPoolExecutor(4) as threads:
        for digest in threads.map(copied, range(4)):
            print(digest)
"""


def run(script: str, registry: RealRegistry, repository: str) -> None:
    image = make_image(layers=5)
    push(registry.host, repository, "1", image)
    ran = subprocess.run(
        [sys.executable, "-c", script, f"{registry.host}/{repository}"], capture_output=True, text=True, check=False
    )
    assert ran.stderr == ""
    assert ran.returncode == 0
    assert set(ran.stdout.split()) == {image.digest}


def test_one_client_after_another(registry: RealRegistry, repository: str) -> None:
    run(IN_TURN, registry, repository)


def test_clients_in_threads_that_come_and_go(registry: RealRegistry, repository: str) -> None:
    run(AT_ONCE, registry, repository)
