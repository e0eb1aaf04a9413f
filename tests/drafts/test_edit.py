"""Annotate, remove, and how entries are named."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from drafts.entries import APP, LIST_NAME, make_draft, make_entry, tags_of
from lading.drafts.annotate import annotate
from lading.drafts.draft import Draft
from lading.drafts.remove import remove
from lading.drafts.store import DraftStore
from lading.errors import NotFound, UsageError
from lading.model.digest import Digest
from lading.model.media_types import DOCKER_LIST, OCI_INDEX
from lading.model.platform import Platform
from lading.model.reference import Reference

LIST = Reference.parse(LIST_NAME)


@pytest.fixture
def store(root: Path) -> DraftStore:
    """A store with one draft: amd64, arm64/v8 and a Windows."""
    store = DraftStore(root)
    platforms = {"amd": "linux/amd64", "arm": "linux/arm64/v8", "win": "windows/amd64"}
    entries = tuple(make_entry(tag, platform) for tag, platform in platforms.items())
    store.save(Draft(reference=LIST, entries=entries))
    return store


@pytest.mark.parametrize(
    "given, platform",
    [
        ({"architecture": "x86_64", "os": "Linux"}, Platform("amd64", "linux", variant="v8")),
        ({"architecture": "aarch64"}, Platform("arm64", "linux", variant="v8")),
        ({"architecture": "armhf"}, Platform("arm", "linux", variant="v7")),
        ({"architecture": "armhf", "variant": "v6"}, Platform("arm", "linux", variant="v6")),
        ({"os": "macos"}, Platform("arm64", "darwin", variant="v8")),
        ({"clear": ["variant"]}, Platform("arm64", "linux")),
        ({"clear": ["variant"], "variant": "v9"}, Platform("arm64", "linux", variant="v9")),
        ({"os_version": "1", "clear": ["architecture"]}, Platform("", "linux", "1", variant="v8")),
        ({"os_features": ["b", "a", "b"]}, Platform("arm64", "linux", "", ("b", "a"), "v8")),
        ({"features": ["sse4"]}, Platform("arm64", "linux", "", (), "v8", ("sse4",))),
    ],
)
def test_platforms(store: DraftStore, given: dict[str, Any], platform: Platform) -> None:
    done = annotate(store, LIST, "arm", **given)
    assert done.entry is not None
    assert done.entry.platform == platform
    assert store.load(LIST).entries[1] == done.entry
    assert tags_of(store.load(LIST)) == ["amd", "arm", "win"]


def test_features_are_added_to_and_can_be_cleared(store: DraftStore) -> None:
    annotate(store, LIST, "win", os_features=["a"])
    annotate(store, LIST, "win", os_features=["b", "a"])
    assert store.load(LIST).entries[2].platform == Platform("amd64", "windows", "", ("a", "b"))
    annotate(store, LIST, "win", clear=["os_features"], os_features=["c"])
    assert store.load(LIST).entries[2].platform == Platform("amd64", "windows", "", ("c",))


def test_what_was_set_by_hand_is_remembered(store: DraftStore) -> None:
    annotate(store, LIST, "arm", variant="v9", clear=["os_version"])
    entry = store.load(LIST).entries[1]
    assert entry.overridden == {"variant", "os_version"}
    assert entry.found is not None
    assert str(entry.found.platform) == "linux/arm64/v8"


def test_platforms_that_nobody_knows_are_allowed_and_said(store: DraftStore) -> None:
    assert annotate(store, LIST, "arm", variant="v9").warnings == ()
    (warning,) = annotate(store, LIST, "arm", architecture="pdp11").warnings
    assert "linux/pdp11" in warning
    assert annotate(store, LIST, "arm", os="unknown", architecture="unknown").warnings == ()


def test_annotations_make_the_list_oci_and_that_is_said(store: DraftStore) -> None:
    assert store.load(LIST).media_type == DOCKER_LIST
    done = annotate(store, LIST, "arm", annotations={"a": "1", "b": "<"})
    assert done.warnings == (f"{LIST} becomes an OCI image index: a Docker manifest list holds no annotations",)
    done = annotate(store, LIST, "arm", annotations={"a": "2"}, remove_annotations=["b"], index_annotations={"x": "y"})
    assert done.warnings == ()
    assert (done.draft.media_type, done.draft.index.annotations) == (OCI_INDEX, {"x": "y"})
    assert [entry.annotations for entry in done.draft.index.manifests] == [{}, {"a": "2"}, {}]
    done = annotate(store, LIST, None, remove_index_annotations=["x"])
    done = annotate(store, LIST, "arm", remove_annotations=["a", "missing"])
    assert (done.draft.media_type, store.load(LIST).media_type) == (DOCKER_LIST, DOCKER_LIST)


def test_a_docker_list_holds_no_annotations(store: DraftStore) -> None:
    annotate(store, LIST, type="docker")
    before = store.load(LIST)
    cases: list[dict[str, Any]] = [{"index_annotations": {"a": "1"}}, {"image": "arm", "annotations": {"a": "1"}}]
    for given in cases:
        with pytest.raises(UsageError, match="cannot be a Docker manifest list"):
            annotate(store, LIST, **given)
    assert store.load(LIST) == before
    assert annotate(store, LIST, index_annotations={"a": "1"}, type="oci").draft.media_type == OCI_INDEX


def test_what_cannot_be_done(store: DraftStore) -> None:
    with pytest.raises(UsageError, match="colour is no field"):
        annotate(store, LIST, "arm", clear=["colour"])
    with pytest.raises(UsageError, match="os-version is no field"):
        annotate(store, LIST, "arm", clear=["os-version"])
    with pytest.raises(UsageError, match="which image"):
        annotate(store, LIST, None, os="linux")
    with pytest.raises(NotFound, match=f"manifest for image nothing does not exist in {LIST}"):
        annotate(store, LIST, "nothing", os="linux")
    for action in (lambda: annotate(store, f"{APP}:x", "a"), lambda: remove(store, f"{APP}:x", ["a"])):
        with pytest.raises(NotFound, match=f"No such manifest: {APP}:x"):
            action()
    assert [path.name for path in store.root.iterdir() if path.name.endswith("-x")] == []


@pytest.mark.parametrize(
    "text", [f"{APP}:arm", "team/app:arm", "app:arm", "arm", ":arm", "linux/arm64", "linux/arm64/v8", "linux/aarch64"]
)
def test_names_of_an_entry(store: DraftStore, text: str) -> None:
    assert store.load(LIST).find(text).reference.tag == "arm"


def test_digests_of_an_entry(store: DraftStore) -> None:
    draft = store.load(LIST)
    digest = draft.entries[1].digest
    for text in (digest, f"@{digest}", f"{APP}@{digest}", digest.short, digest[:20], digest.hex):
        assert draft.find(text).reference.tag == "arm"
    with pytest.raises(NotFound):
        draft.find(f"other/app@{digest}")
    with pytest.raises(NotFound):
        draft.find(digest.hex[:5])


def test_a_name_that_means_several(store: DraftStore) -> None:
    other = make_entry("arm", "linux/arm64", of="localhost:5000/other/app", seed="o")
    draft = store.load(LIST)
    store.save(msgspec.structs.replace(draft, entries=(*draft.entries, other)))
    for text in ("arm", "app:arm"):
        with pytest.raises(UsageError, match=f"{text} means more than one entry") as refused:
            store.load(LIST).find(text)
        assert "localhost:5000/other/app:arm" in (refused.value.cause or "")
    assert store.load(LIST).find("linux/arm64/v8").digest == store.load(LIST).entries[1].digest


def test_an_exact_platform_is_preferred() -> None:
    entries = (make_entry("arm", "linux/arm"), make_entry("v6", "linux/arm/v6"))
    draft = Draft(reference=LIST, entries=entries)
    assert draft.find("linux/arm/v6").reference.tag == "v6"
    assert draft.find("linux/arm/v7").reference.tag == "arm"
    assert draft.find("linux/arm").reference.tag == "arm"


def test_remove(store: DraftStore) -> None:
    done = remove(store, LIST, ["arm", "windows/amd64"])
    assert [entry.reference.tag for entry in done.entries] == ["arm", "win"]
    assert tags_of(store.load(LIST)) == ["amd"]
    with pytest.raises(NotFound, match="manifest for image arm does not exist"):
        remove(store, LIST, ["amd", "arm"])
    remove(store, LIST, ["amd"])
    assert store.load(LIST).entries == ()
    with pytest.raises(NotFound) as refused:
        remove(store, LIST, ["amd"])
    assert refused.value.cause == "it has no entries"


def test_the_type_goes_by_the_first_entry() -> None:
    docker, oci = make_entry("a"), make_entry("b", kind="oci")
    assert Draft(reference=LIST, entries=(docker, oci)).media_type == DOCKER_LIST
    assert Draft(reference=LIST, entries=(oci, docker)).media_type == OCI_INDEX
    assert Draft(reference=LIST).media_type == DOCKER_LIST
    assert make_draft("a", kind="oci").index.digest == Digest.of(make_draft("a", kind="oci").index.raw)
