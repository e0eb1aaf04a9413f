"""A registry of lading's own, once with each storage."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from lading.serve import FolderStorage, MemoryStorage, Storage, background
from serve.caller import Caller


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "registry"


@pytest.fixture(params=["memory", "folder"])
def storage(request: pytest.FixtureRequest, folder: Path) -> Storage:
    return MemoryStorage() if request.param == "memory" else FolderStorage(folder)


@pytest.fixture
def call(storage: Storage) -> Iterator[Caller]:
    with background(storage) as url:
        yield Caller(url)


@pytest.fixture
def serve_folder(folder: Path) -> Callable[[], AbstractContextManager[str]]:
    """Starts a registry on the same folder again and again."""
    return lambda: background(FolderStorage(folder))
