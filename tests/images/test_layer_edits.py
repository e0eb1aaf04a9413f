"""Edits of layers: removed, stripped, recompressed, put together. What is not meant stays, and everything agrees."""

import gzip
import io
import json
import tarfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lading import AsyncClient, Conflict, DigestMismatch, InvalidContent, LadingError, NotFound, Unsupported, UsageError
from lading.edits import (
    Edit,
    Flatten,
    MakeReproducible,
    Recompress,
    RemoveLayers,
    ReplaceFile,
    SetArchiveTimes,
    SetConfigTimes,
    SetDigestAlgorithm,
    SetFileTimes,
    Squash,
    StripFiles,
)
from lading.io.tarball import zstd_module
from lading.model.config import ImageConfig
from lading.model.manifest import Manifest
from support.images import Entry as Listed
from support.images import digest_of, make_artifact, make_attestation, make_image, make_index, push
from support.layers import LAYER, AnyLayer, Blob, Entry, archive, image, write_layout
from support.proxy import CountingProxy
from support.registry import RealRegistry

LATER = datetime(2030, 1, 1, tzinfo=UTC)
BASE = "bin/ bin/sh=shell@755 etc/ etc/hosts=h var/ var/cache/ var/cache/a=a"
APP = "app/ app/main=one var/ var/cache/ var/cache/b=b etc/ -etc/hosts"
TOP = "app/ app/main=two app/link~app/main"
HISTORY: list[dict[str, Any]] = [
    {"created": "2024-01-02T03:04:05Z", "created_by": "ADD base"},
    {"created_by": "ENV A=1", "empty_layer": True},
    {"created_by": "COPY app", "comment": "buildkit"},
    {"created_by": "RUN change"},
    {"created_by": "CMD x", "empty_layer": True},
]
CONFIG = {"created": "2024-05-05T05:05:05Z", "Odd": {"kept": [1.50]}, "config": {"Cmd": ["/bin/sh"]}}


@pytest.fixture
def place(tmp_path: Path) -> str:
    return write_layout(tmp_path / "layout", image(BASE, APP, TOP, history=HISTORY, config=CONFIG))


class Result:
    """An image after an edit, read back."""

    def __init__(self, manifest: Manifest, config: ImageConfig, plains: Sequence[bytes], files: Sequence[str]) -> None:
        self.manifest = manifest
        self.config = config
        self.plains = plains
        self.files = files
        self.steps = [(entry.get("created_by"), bool(entry.get("empty_layer"))) for entry in config.history]


async def edited(client: AsyncClient, place: str, *edits: Edit) -> Result:
    target = place.rpartition(":")[0] + ":edited"
    await client.images.edit(place, *edits, targets=target)
    return await read(client, target)


async def read(client: AsyncClient, place: str) -> Result:
    """Read an image back; its config, its layers, and what they are without compression agree."""
    async with client.images.open(place) as opened:
        config, manifest = await opened.config(), opened.manifest
        files = await opened.files(recursive=True)
        plains = []
        for layer in await opened.layers():
            async with opened.store.open(layer.descriptor) as reader:
                blob = b"".join([chunk async for chunk in reader])
            undo: dict[str, Callable[[bytes], bytes]] = {
                "+gzip": gzip.decompress,
                ".gzip": gzip.decompress,
                ".tar": bytes,
                "zstd": unpacked,
            }
            plain = next(way(blob) for end, way in undo.items() if layer.descriptor.media_type.endswith(end))
            assert digest_of(plain) == layer.diff_id
            plains.append(plain)
    assert sum(not entry.get("empty_layer") for entry in config.history) == len(manifest.layers)
    return Result(manifest, config, plains, [entry.path for entry in files.entries if entry.type != "dir"])


def unpacked(blob: bytes) -> bytes:
    module = zstd_module()
    assert module is not None
    plain: bytes = module.decompress(blob)
    return plain


def names(plain: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        return tar.getnames()


ALL = ["app/link", "app/main", "bin/sh", "var/cache/a", "var/cache/b"]


async def test_a_flat_image_has_the_same_files_in_one_layer(client: AsyncClient, place: str) -> None:
    before = await read(client, place)
    after = await edited(client, place, Flatten())
    assert before.files == after.files == ALL
    assert len(after.plains) == 1
    assert names(after.plains[0]) == [
        *("app", "app/link", "app/main", "bin", "bin/sh", "etc", "var", "var/cache", "var/cache/a", "var/cache/b")
    ]
    assert after.steps == [
        *((step, True) for step, _ in before.steps),
        (f"lading image flatten {before.manifest.digest}", False),
    ]
    assert after.config.history[-1]["created"] == "2024-05-05T05:05:05Z"
    assert after.config.history[-1]["comment"] == "3 layers in one"
    left = {key: value for key, value in after.config.document.items() if key not in ("rootfs", "history")}
    assert left == {key: value for key, value in before.config.document.items() if key not in ("rootfs", "history")}


async def test_the_same_image_is_flat_in_the_same_bytes(client: AsyncClient, place: str) -> None:
    one = await edited(client, place, Flatten())
    other = await edited(client, place, Flatten())
    assert one.manifest.raw == other.manifest.raw
    # What is flat stays as it is.
    again = await edited(client, place.replace(":t", ":edited"), Flatten())
    assert again.manifest.raw == one.manifest.raw


@pytest.mark.parametrize("layer", ["2", "COPY", "digest", "diff_id"])
async def test_upper_layers_are_squashed(layer: str, client: AsyncClient, place: str) -> None:
    before = await read(client, place)
    named = {"digest": before.manifest.layers[1].digest.hex[:12], "diff_id": digest_of(before.plains[1])}
    after = await edited(client, place, Squash(from_layer=named.get(layer, layer)))
    assert after.files == ALL
    assert after.manifest.layers[0] == before.manifest.layers[0]
    assert names(after.plains[1]) == [
        *("app", "app/link", "app/main", "etc", "etc/.wh.hosts", "var", "var/cache", "var/cache/b")
    ]
    assert [empty for _, empty in after.steps] == [False, True, True, True, True, False]


async def test_what_is_not_there_is_an_error(client: AsyncClient, place: str) -> None:
    for edit in (
        Squash(from_layer="9"),
        RemoveLayers(layer="9"),
        RemoveLayers(created_by="nothing"),
        StripFiles(("/no/such",)),
        ReplaceFile("/no/such", b""),
    ):
        with pytest.raises(NotFound):
            await edited(client, place, edit)
    for wrong in ("(", "[a"):
        with pytest.raises(UsageError):
            RemoveLayers(created_by=wrong)


@pytest.mark.parametrize(
    "edit, layers, steps",
    [
        (RemoveLayers(layer="3"), [0, 1], ["ADD base", "ENV A=1", "COPY app", "CMD x"]),
        (RemoveLayers(created_by="^(COPY|RUN)"), [0], ["ADD base", "ENV A=1", "CMD x"]),
    ],
)
async def test_layers_are_removed(
    edit: Edit, layers: Sequence[int], steps: Sequence[str], client: AsyncClient, place: str
) -> None:
    before = await read(client, place)
    after = await edited(client, place, edit)
    assert list(after.manifest.layers) == [before.manifest.layers[number] for number in layers]
    assert [step for step, _ in after.steps] == steps


async def test_not_all_layers_are_removed(client: AsyncClient, place: str) -> None:
    with pytest.raises(Conflict, match="nothing would be left"):
        await edited(client, place, RemoveLayers(created_by="."))
    with pytest.raises(Conflict, match="nothing would be left"):
        await edited(client, place, StripFiles(("*",)))


async def test_files_are_stripped_from_every_layer(client: AsyncClient, place: str) -> None:
    before = await read(client, place)
    after = await edited(client, place, StripFiles(("/var/cache/*", "app/main", "/etc/hosts")))
    assert after.files == ["app/link", "bin/sh"]
    assert names(after.plains[0]) == ["bin", "bin/sh", "etc", "var", "var/cache"]
    assert names(after.plains[1]) == ["app", "var", "var/cache", "etc"]
    assert names(after.plains[2]) == ["app", "app/link"]
    assert after.steps == before.steps
    async with client.images.open(place.replace(":t", ":edited")) as opened:
        assert await opened.read("app/link") == b"two"


async def test_a_layer_without_anything_left_is_taken_away(client: AsyncClient, place: str) -> None:
    before = await read(client, place)
    after = await edited(client, place, StripFiles(("app", "var", "etc")))
    assert [names(plain) for plain in after.plains] == [["bin", "bin/sh"]]
    assert after.steps == [(step, empty or number > 0) for number, (step, empty) in enumerate(before.steps)]


async def test_a_layer_that_does_not_change_keeps_its_bytes(client: AsyncClient, place: str) -> None:
    before = await read(client, place)
    after = await edited(client, place, StripFiles(("/var/cache/b",)))
    same = [old == new for old, new in zip(before.manifest.layers, after.manifest.layers, strict=True)]
    assert same == [True, False, True]
    assert after.manifest.layers[1].media_type == before.manifest.layers[1].media_type


async def test_a_link_into_another_layer_is_not_left_without_its_file(client: AsyncClient, tmp_path: Path) -> None:
    place = write_layout(tmp_path / "layout", image("a=a b=b", "c~a"))
    with pytest.raises(Conflict) as caught:
        await edited(client, place, StripFiles(("a",)))
    assert caught.value.code == "hard-link-left"
    assert (await edited(client, place, StripFiles(("[ac]",)))).files == ["b"]


async def test_a_file_is_replaced_where_it_comes_from(client: AsyncClient, place: str) -> None:
    before = await read(client, place)
    after = await edited(client, place, ReplaceFile("/app/link", b"three"), ReplaceFile("bin/sh", b"new shell"))
    assert after.files == before.files
    assert after.manifest.layers[1] == before.manifest.layers[1]
    async with client.images.open(place.replace(":t", ":edited")) as opened:
        assert [await opened.read(path) for path in ("app/main", "app/link", "bin/sh")] == [
            *(b"three", b"three", b"new shell")
        ]
        (entry,) = (await opened.files("bin/sh")).entries
    assert (entry.mode, entry.size, entry.mtime) == (0o755, 9, 1000)


def mtimes(plain: bytes) -> set[float]:
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        return {member.mtime for member in tar}


async def test_times_of_files(client: AsyncClient, place: str) -> None:
    def times(result: Result) -> list[set[float]]:
        return [mtimes(plain) for plain in result.plains]

    assert times(await edited(client, place, SetFileTimes(seconds=77))) == [{77}] * 3
    after = await edited(client, place, SetFileTimes(seconds=1500, only_later=True))
    assert times(after) == [{1000}, {1500}, {1500}]
    assert times(await edited(client, place, SetFileTimes(seconds=5, skip=2))) == [{1000}, {2000}, {5}]
    with pytest.raises(UsageError):
        await edited(client, place, SetFileTimes(seconds=-1))


async def test_times_but_those_of_the_base(client: AsyncClient, place: str, tmp_path: Path) -> None:
    """The base is known by its layers as they were, whatever edits came before."""
    base = write_layout(tmp_path / "base", image(BASE, history=HISTORY[:2]))
    strip = StripFiles(("etc/hosts",))
    edits = [strip, SetFileTimes(seconds=77, base=base), SetConfigTimes(time=LATER, base=base)]
    after = await edited(client, place, *edits)
    assert [sorted(mtimes(plain)) for plain in after.plains] == [[1000], [77], [77]]
    assert after.config.history[0]["created"] == HISTORY[0]["created"]
    assert after.config.document["created"] == "2030-01-01T00:00:00Z"
    other = write_layout(tmp_path / "other", image(APP))
    for edit in (SetFileTimes(seconds=77, base=other), SetConfigTimes(time=LATER, base=other)):
        with pytest.raises(LadingError) as caught:
            await edited(client, place, edit)
        assert caught.value.code == "not-its-base"
    async with client.images.open(place) as opened:
        opened_too = opened.edited(SetFileTimes(seconds=77, base=base))
        await client.images.push(opened_too, place.replace(":t", ":pushed"))
        with pytest.raises(UsageError, match="was not read"):
            await client.copy(opened_too, place.replace(":t", ":copied"))


async def test_times_within_an_archive(client: AsyncClient, tmp_path: Path) -> None:
    inside = archive([Entry("x", content=b"x" * 3000, mtime=5, pax={"mtime": "5.25"}), Entry("y", "5", mtime=9)])
    layers: list[AnyLayer] = [[Entry("srv/", "5"), Entry("srv/in.tar", content=inside, mode=0o600)], "a=a"]
    layers.append([Entry("srv/in.tar")])
    place = write_layout(tmp_path / "layout", image(*layers))
    before = await read(client, place)
    after = await edited(client, place, SetArchiveTimes(path="/srv/in.tar", seconds=7, only_later=True))
    assert after.plains[1:] == before.plains[1:]
    with tarfile.open(fileobj=io.BytesIO(after.plains[0])) as tar:
        content, member = tar.extractfile("srv/in.tar"), tar.getmember("srv/in.tar")
        assert content is not None
        assert (member.mtime, member.mode) == (1000, 0o600)
        assert {one.name: one.mtime for one in tarfile.open(fileobj=content)} == {"x": 5.25, "y": 7}  # noqa: SIM115
    same = await edited(client, place, SetArchiveTimes(path="srv/in.tar", seconds=9, only_later=True))
    assert same.manifest.layers == before.manifest.layers
    with pytest.raises(NotFound):
        await edited(client, place, SetArchiveTimes(path="srv/no.tar", seconds=7))
    with pytest.raises(UsageError):
        await edited(client, place, SetArchiveTimes(path="..", seconds=7))
    with pytest.raises(InvalidContent, match="no tar archive"):
        await edited(client, write_layout(tmp_path / "text", image("b=text")), SetArchiveTimes(path="b", seconds=7))


async def test_a_time_from_a_label(client: AsyncClient, tmp_path: Path) -> None:
    labels = {"config": {"Labels": {"at": "2001-01-01T00:00:00Z"}}}
    place = write_layout(tmp_path / "layout", image("a=a", config=labels))
    (plain,) = (await edited(client, place, SetFileTimes(label="at"))).plains
    assert mtimes(plain) == {978307200}
    with pytest.raises(UsageError):
        SetFileTimes()


async def test_a_time_of_access_that_is_none_stays(client: AsyncClient, tmp_path: Path) -> None:
    strange = Entry("a", is_gnu=True, raw={345: b"no number\0\0\0"})
    place = write_layout(tmp_path / "layout", image([strange]))
    (plain,) = (await edited(client, place, SetFileTimes(seconds=77))).plains
    assert plain[345:357] == b"no number\0\0\0"
    assert plain[136:147] == b"%011o" % 77


async def test_what_differs_between_builds_is_left_out(client: AsyncClient, tmp_path: Path) -> None:
    def layer(number: int) -> list[Entry]:
        owner = {265: b"user%d" % number, 297: b"group%d" % number}
        pax = {"atime": f"{number}.5", "ctime": f"{number}", "uname": f"ü{number}", "SCHILY.xattr.user.a": "kept"}
        gnu = Entry("gnu", is_gnu=True, mtime=5, raw={**owner, 345: b"%011o\0" % number, 357: b"%011o\0" % number})
        return [Entry("pax", mtime=50 + number, pax=pax, raw=owner), gnu]

    results = []
    for number in (1, 2):
        place = write_layout(tmp_path / str(number), image(layer(number), config=CONFIG))
        results.append(await edited(client, place, MakeReproducible(latest=10)))
    assert results[0].manifest.raw == results[1].manifest.raw
    with tarfile.open(fileobj=io.BytesIO(results[0].plains[0])) as tar:
        assert [(member.mtime, member.uname, member.gname) for member in tar] == [(10, "", ""), (5, "", "")]
        assert tar.getmember("pax").pax_headers == {"SCHILY.xattr.user.a": "kept"}


@pytest.mark.parametrize(
    "compression, level, ending", [("zstd", None, ".tar+zstd"), ("zstd", 1, ".tar+zstd"), ("none", None, ".tar")]
)
async def test_layers_are_compressed_in_another_way(
    compression: Any, level: int | None, ending: str, client: AsyncClient, tmp_path: Path
) -> None:
    about = {"containerd.io/snapshot/stargz/toc.digest": "sha256:x", "mine": "kept"}
    place = write_layout(tmp_path / "layout", image(BASE, APP, annotations={0: about}))
    before = await read(client, place)
    after = await edited(client, place, Recompress(compression, level))
    assert [layer.media_type for layer in after.manifest.layers] == [LAYER.removesuffix(".tar") + ending] * 2
    assert after.plains == before.plains
    assert after.config.raw == before.config.raw
    assert dict(after.manifest.layers[0].annotations) == {"mine": "kept"}
    back = await edited(client, place.replace(":t", ":edited"), Recompress("gzip"))
    assert back.plains == before.plains


async def test_what_is_compressed_so_already_stays(client: AsyncClient, place: str) -> None:
    before = await read(client, place)
    assert (await edited(client, place, Recompress("gzip"))).manifest.raw == before.manifest.raw
    after = await edited(client, place, Recompress("gzip", 9))
    assert after.plains == before.plains
    for wrong in ({"compression": "gzip", "level": 10}, {"compression": "none", "level": 1}):
        with pytest.raises(UsageError):
            Recompress(**wrong)  # type: ignore[arg-type]


EDITS: list[Edit] = [
    Flatten(),
    Squash(from_layer="1"),
    RemoveLayers(layer="1"),
    StripFiles(("a",)),
    ReplaceFile("a", b""),
    SetFileTimes(seconds=1),
    MakeReproducible(),
    Recompress("none"),
]


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: type(edit).__name__)
async def test_an_artifact_is_refused_by_name(
    edit: Edit, client: AsyncClient, registry: RealRegistry, repository: str
) -> None:
    push(registry.host, repository, "1", make_artifact())
    with pytest.raises(Unsupported, match="is an artifact"):
        await client.images.edit(f"{registry.host}/{repository}:1", edit, targets=f"{registry.host}/{repository}:2")


async def test_a_layer_that_is_no_archive_is_named(client: AsyncClient, tmp_path: Path) -> None:
    odd = Blob(b"wasm", b"wasm", "application/vnd.wasm.content.layer.v1+wasm")
    place = write_layout(tmp_path / "layout", image("a=a b=b", odd))
    with pytest.raises(Unsupported, match="cannot be merged") as caught:
        await edited(client, place, Flatten())
    assert caught.value.fields["layer"] == 2
    report = await client.images.edit(place, StripFiles(("a",)), targets=place.replace(":t", ":edited"))
    assert any("layer 2" in note and "wasm" in note for note in map(str, report.notes))


async def test_a_layer_that_is_not_what_it_should_be_is_refused(client: AsyncClient, tmp_path: Path) -> None:
    plain = archive("a=a b=b")
    place = write_layout(tmp_path / "layout", image(Blob(gzip.compress(plain), archive("a=other")), "c=c"))
    for edit in (Flatten(), StripFiles(("a",)), Recompress("none")):
        with pytest.raises(DigestMismatch):
            await edited(client, place, edit)


@pytest.mark.parametrize("kind", ["oci", "docker"])
async def test_types_stay_those_of_the_family(
    kind: Any, client: AsyncClient, registry: RealRegistry, repository: str
) -> None:
    source, target = (f"{registry.host}/{repository}:{tag}" for tag in "12")
    push(registry.host, repository, "1", make_image(kind=kind, layers=3))
    before = await client.get_manifest(source)
    await client.images.edit(source, Flatten(), targets=target)
    after = await client.get_manifest(target)
    assert after.config is not None
    assert before.config is not None
    assert (after.media_type, after.config.media_type) == (before.media_type, before.config.media_type)
    assert {layer.media_type for layer in after.layers} == {layer.media_type for layer in before.layers}
    if kind == "docker":
        with pytest.raises(UsageError, match="zstd"):
            await client.images.edit(source, Recompress("zstd"), targets=target)


async def test_an_index_shares_its_layers(
    client: AsyncClient, registry: RealRegistry, proxy: CountingProxy, repository: str
) -> None:
    shared = [gzip.compress(archive("a=a b=b"), mtime=0), gzip.compress(archive("c=c"), mtime=0)]
    images = [make_image(platform, kind="oci", layers=shared) for platform in ("linux/amd64", "linux/arm64")]
    index = make_index([*images, make_attestation(images[0])], kind="oci", annotations={"of": "index"})
    push(registry.host, repository, "1", index)
    place = f"{proxy.host}/{repository}"
    await client.images.edit(f"{place}:1", StripFiles(("a",)), Recompress("none"), targets=f"{place}:2")
    blobs = [one.path.rpartition("/")[2] for one in proxy.exchanges if one.method == "GET" and "/blobs/" in one.path]
    # The configs of both images, and what they share: by the second edit only the layer that the first one left alone.
    contents = [digest_of(content) for content in (images[0].config, images[1].config, *shared, shared[1])]
    assert sorted(blobs) == sorted(contents)
    after = await client.get_index(f"{registry.host}/{repository}:2")
    assert after.annotations == {"of": "index"}
    both = [await client.get_manifest(f"{registry.host}/{repository}@{entry.digest}") for entry in after.images]
    assert both[0].layers == both[1].layers
    assert len(after.attestations) == 1


async def test_what_only_some_images_have_is_found(
    client: AsyncClient, registry: RealRegistry, repository: str
) -> None:
    layers = [[gzip.compress(archive(text), mtime=0)] for text in ("a=a b=b", "b=b")]
    images = [
        make_image(platform, kind="oci", layers=one)
        for platform, one in zip(("linux/amd64", "linux/arm64"), layers, strict=True)
    ]
    push(registry.host, repository, "1", make_index(images, kind="oci"))
    place = f"{registry.host}/{repository}"
    await client.images.edit(f"{place}:1", StripFiles(("a",)), targets=f"{place}:2")
    before, after = await client.get_index(f"{place}:1"), await client.get_index(f"{place}:2")
    changed = [one.digest != other.digest for one, other in zip(before.images, after.images, strict=True)]
    assert changed == [True, False]
    with pytest.raises(NotFound):
        await client.images.edit(f"{place}:1", StripFiles(("c",)), targets=f"{place}:3")


async def test_values(client: AsyncClient, place: str) -> None:
    target = place.replace(":t", ":values")
    async with client.images.open(place) as opened:
        value = (
            opened.without_files("var").with_file("bin/sh", b"x").squash(2).without_layers(created_by="nothing^|ADD")
        )
        assert len(value.edits) == 4
        await client.images.push(value.recompressed("none"), target)
        await client.images.push(opened.flatten("none"), place.replace(":t", ":flat"))
    after = await read(client, target)
    assert after.files == ["app/link", "app/main"]
    assert json.loads(after.config.raw)["rootfs"]["diff_ids"] == [digest_of(after.plains[0])]


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: type(edit).__name__)
async def test_attestations_and_artifacts_in_an_index_are_let_be(
    edit: Edit, client: AsyncClient, registry: RealRegistry, repository: str, tmp_path: Path
) -> None:
    """regctl fails on images with attestations, and crashes on artifacts."""
    layers = [gzip.compress(archive(text), mtime=0) for text in ("a=a b=b", "c=c", "d=d")]
    images = [make_image(platform, kind="oci", layers=layers) for platform in ("linux/amd64", "linux/arm/v7")]
    artifact = Listed(make_artifact(), annotations={"of": "artifact"})
    index = make_index([images[0], make_attestation(images[0]), artifact, Listed(images[1], annotations={"k": "v"})])
    push(registry.host, repository, "1", index)
    place, target = f"{registry.host}/{repository}:1", f"oci:{tmp_path}/layout"
    await client.images.edit(place, edit, targets=f"{target}:2")
    before, after = await client.get_index(place), await client.get_index(f"{target}:2")
    assert [entry.platform for entry in after.manifests] == [entry.platform for entry in before.manifests]
    assert after.manifests[2] == before.manifests[2]
    assert after.manifests[1].digest == before.manifests[1].digest
    assert after.manifests[3].annotations == before.manifests[3].annotations == {"k": "v"}
    for number in (0, 3):
        await read(client, f"{target}@{after.manifests[number].digest}")


@pytest.mark.parametrize("order", [1, -1])
async def test_what_a_layer_is_called_is_what_it_is(order: int, client: AsyncClient, place: str) -> None:
    """regctl writes gzip and calls it zstd where a layer is changed and compressed at once."""
    edits: list[Edit] = [Recompress("zstd"), SetFileTimes(seconds=1), StripFiles(("etc",))]
    after = await edited(client, place, *edits[::order])
    assert {layer.media_type for layer in after.manifest.layers} == {LAYER + "+zstd"}


@pytest.mark.parametrize("edit", [*EDITS, SetDigestAlgorithm("sha512")], ids=lambda edit: type(edit).__name__)
async def test_a_history_may_say_less_than_there_is(edit: Edit, client: AsyncClient, tmp_path: Path) -> None:
    """crane loses layers of images without a history, and regctl fails where a time is missing."""
    histories: list[list[dict[str, Any]]] = [[], [{}], [{"created_by": None}, {"empty_layer": True}]]
    for number, history in enumerate(histories):
        place = write_layout(tmp_path / str(number), image("a=a x=x", "b=b", "c=c", history=history))
        target = place.replace(":t", ":edited")
        await client.images.edit(place, edit, targets=target)
        async with client.images.open(place) as before, client.images.open(target) as after:
            gone = {"a"} if isinstance(edit, StripFiles) else {"a", "x"} if isinstance(edit, RemoveLayers) else set()
            paths = [entry.path for entry in (await before.files(recursive=True)).entries]
            assert [entry.path for entry in (await after.files(recursive=True)).entries] == [
                path for path in paths if path not in gone
            ]
            said = [entry for entry in (await after.config()).history if not entry.get("empty_layer")]
            assert len(said) <= len(await after.layers())


async def test_content_is_named_by_another_algorithm(
    client: AsyncClient, registry: RealRegistry, elsewhere: str, repository: str, tmp_path: Path
) -> None:
    """The embedded registry takes it; Docker's knows manifests by sha256 only."""
    images = [make_image(one, kind="oci", layers=2, seed=one) for one in ("linux/amd64", "linux/arm64")]
    push(registry.host, repository, "1", make_index(images, kind="oci"))
    place = f"{registry.host}/{repository}"
    for target in (f"oci:{tmp_path}/layout:512", f"{elsewhere}/{repository}:512"):
        await client.images.edit(f"{place}:1", SetDigestAlgorithm("sha512"), Flatten(), targets=target)
        index = await client.get_index(target)
        assert {entry.digest.algorithm for entry in index.manifests} == {"sha512"}
        before = await client.config(f"{place}:1", platform="linux/arm64")
        manifest = await client.get_manifest(target, platform="linux/arm64")
        assert {one.digest.algorithm for one in manifest.children} == {"sha512"}
        after = await client.config(target, platform="linux/arm64")
        assert after.config == before.config
        assert [said.partition(":")[0] for said in after.diff_ids] == ["sha256"]
        async with client.images.open(target, platform="linux/arm64") as opened:
            files = await opened.files(recursive=True)
        assert len(files.entries) > 1
    back = f"oci:{tmp_path}/layout:256"
    await client.images.edit(f"oci:{tmp_path}/layout:512", SetDigestAlgorithm("sha256"), targets=back)
    assert {entry.digest.algorithm for entry in (await client.get_index(back)).manifests} == {"sha256"}
