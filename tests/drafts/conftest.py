"""Fixtures of the drafts' tests: a store that docker and lading share, and a way into registries."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lading.drafts.store import DraftStore
from lading.model.reference import Reference
from lading.registry.hosts.configuration import Config
from lading.registry.repository import Repository
from lading.registry.session import Session
from lading.store import Connect, Store
from support.docker import DockerCLI
from support.registry import RealRegistry


@pytest.fixture
def store(docker: DockerCLI) -> DraftStore:
    """The store of drafts that `docker` uses too."""
    return DraftStore(config_dir=docker.config)


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Gives the repository of a reference, in whatever registry it is."""
    async with Session(config=Config()) as session:

        def to(reference: Reference, /, *, writing: bool = False) -> Store:
            return Repository(session, reference.registry, reference.repository, writing=writing)

        yield to


@pytest.fixture
def name(registry: RealRegistry, repository: str) -> str:
    """`registry/repository` of a repository that no other test uses."""
    return f"{registry.host}/{repository}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store's folder, for tests without docker."""
    return tmp_path / "manifests"
