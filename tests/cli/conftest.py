"""A repository for each test of a command."""

import pytest

from cli.place import AMD64, Place
from support.images import push
from support.lading import Lading
from support.registry import RealRegistry


@pytest.fixture
def place(lading: Lading, registry: RealRegistry, repository: str) -> Place:
    """A repository in the shared registry."""
    return Place(lading, registry.host, repository)


@pytest.fixture
def team(basic_registry: RealRegistry, repository: str) -> str:
    """An image that only alice may read."""
    push(basic_registry.host, repository, "a", AMD64, auth=("alice", "secret"))
    return f"{basic_registry.host}/{repository}:a"
