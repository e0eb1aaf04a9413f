"""How FILE is read: `[TITLE=]FILE[:TYPE]`, whatever is typed."""

import os
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from lading.artifacts.push import Packaging, check
from lading.cli.artifacts import FileAnnotations, typed_file
from lading.errors import LadingError, UsageError
from lading.model.media_types import is_media_type

PATHS = st.text("abü./- \t\"'\\", min_size=1, max_size=12).filter(
    lambda path: not os.path.lexists(path) and path != "-"
)
TITLES = st.text("abü./- :", min_size=1, max_size=12)
TYPES = st.sampled_from(["text/plain", "application/vnd.a+json", "a/b"])


@pytest.fixture(autouse=True, scope="module")
def _in_an_empty_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("empty"))
    yield
    os.chdir(before)


@given(TITLES | st.none(), PATHS, TYPES | st.none())
@example("a:b", "x", "a/b")
def test_what_was_put_together_is_taken_apart(title: str | None, path: str, media_type: str | None) -> None:
    typed = (f"{title}=" if title is not None else "") + path + (f":{media_type}" if media_type is not None else "")
    assume(media_type is not None or title is None or ":" not in title)
    assume(not os.path.lexists(typed))
    found = typed_file(typed, FileAnnotations())
    assert (found.title, found.content, found.media_type) == (title, path, media_type)


@given(st.text(max_size=30))
@example("=")
@example(":")
@example("a=:text/plain")
@example("\0=x")
@example("=a:a/b")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_typed_is_a_file_or_is_refused(typed: str) -> None:
    try:
        found = typed_file(typed, FileAnnotations())
    except (click.UsageError, LadingError):
        return
    assert found.media_type is None or is_media_type(found.media_type)
    try:
        (title,) = check(Packaging(files=[found]))
    except UsageError:
        return
    assert title is not None
    assert not title.startswith("/")
    assert ".." not in title.split("/")


@given(st.text("ab/", min_size=1, max_size=12))
def test_without_folders_a_title_is_a_name(path: str) -> None:
    assume(path.strip("/"))
    found = typed_file(path, FileAnnotations(), strips=True)
    assert found.title == path.rstrip("/").rpartition("/")[2]
