"""Docker archives of every form are read, and what is written every Docker loads."""

import asyncio
import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import sys
import tarfile
import threading
import tracemalloc
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lading.errors import (
    DigestMismatch,
    InvalidContent,
    InvalidReference,
    LadingError,
    NotFound,
    Unsupported,
    UsageError,
)
from lading.io.tarball import has_zstd
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.index import Index
from lading.model.manifest import Manifest, parse
from lading.registry.repository import Repository
from lading.registry.session import Session
from lading.store import Readable, Store, fetch_manifest, from_bytes, from_chunks, read
from lading.stores.docker.archive import DockerArchive, NewDockerArchive
from lading.stores.memory import Memory
from lading.transfer.graph import Copier
from support import images
from support.docker import DockerCLI
from support.lading import Lading
from support.parts import need, times
from support.process import run
from support.registry import RealRegistry

PLAIN = "application/vnd.docker.image.rootfs.diff.tar"
OCI_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"

Files = dict[str, bytes | str]
"""Files of an archive by name; a text is the target of a symbolic link."""


def tar(files: Mapping[str, bytes | str], **kinds: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type, member.linkname = kinds.get("link", tarfile.SYMTYPE), content
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def hex_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def entry(config: str, layers: list[str], tags: list[str] | None) -> dict[str, Any]:
    return {"Config": config, "RepoTags": tags, "Layers": layers}


def legacy(image: images.Manifest, tags: list[str] | None, *, name: str = "id") -> Files:
    """As Docker before 25 saves: a folder for each layer; the same layer again is a link."""
    files: Files = {f"{hex_of(image.config)}.json": image.config}
    first: dict[bytes, str] = {}
    paths = []
    for number, layer in enumerate(map(gzip.decompress, image.layers)):
        folder = hex_of(f"{name}{number}".encode())
        paths.append(f"{folder}/layer.tar")
        files |= {f"{folder}/VERSION": b"1.0", f"{folder}/json": b"{}"}
        files[paths[-1]] = f"../{first[layer]}" if layer in first else layer
        first.setdefault(layer, paths[-1])
    files["manifest.json"] = json.dumps([entry(f"{hex_of(image.config)}.json", paths, tags)]).encode()
    files["repositories"] = b"{}"
    return files


def crane(image: images.Manifest, tags: list[str] | None) -> Files:
    """As crane pulls: layers as they are in the registry, by their digests."""
    config = f"sha256:{hex_of(image.config)}"
    layers: Files = {f"{hex_of(layer)}.tar.gz": layer for layer in image.layers}
    names = [f"{hex_of(layer)}.tar.gz" for layer in image.layers]
    return {config: image.config} | layers | {"manifest.json": json.dumps([entry(config, names, tags)]).encode()}


def modern(root: images.Manifest, tags: list[str], *, leave_out: tuple[str, ...] = ()) -> Files:
    """As Docker 25 and later save: an OCI layout, and manifest.json beside it."""
    files: Files = {}

    def add(manifest: images.Manifest) -> None:
        if manifest.digest in leave_out:
            return
        files[f"blobs/sha256/{hex_of(manifest.content)}"] = manifest.content
        for content in manifest.blobs.values():
            files[f"blobs/sha256/{hex_of(content)}"] = content
        for child in manifest.children:
            add(child)

    add(root)
    image = root.children[0] if root.children else root
    described = [
        root.descriptor(
            annotations={
                "io.containerd.image.name": f"docker.io/library/{tag}",
                "org.opencontainers.image.ref.name": tag.partition(":")[2],
            }
        )
        for tag in tags
    ] or [root.descriptor()]
    paths = [f"blobs/sha256/{hex_of(layer)}" for layer in image.layers]
    saved = entry(f"blobs/sha256/{hex_of(image.config)}", paths, tags or None)
    index = {"schemaVersion": 2, "mediaType": images.OCI_INDEX, "manifests": described}
    return files | {
        "index.json": json.dumps(index).encode(),
        "manifest.json": json.dumps([saved]).encode(),
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
    }


def both(first: Files, second: Files) -> Files:
    """Two archives in one."""
    entries = [item for files in (first, second) for item in json.loads(files["manifest.json"])]
    return first | second | {"manifest.json": json.dumps(entries).encode()}


def write(path: Path, files: Mapping[str, bytes | str]) -> Path:
    path.write_bytes(tar(files))
    return path


def zstd(content: bytes) -> bytes:
    if not has_zstd():
        pytest.skip("this Python has no zstd (install backports.zstd)")
    try:
        module = import_module("compression.zstd")
    except ImportError:
        module = import_module("backports.zstd")
    return bytes(module.compress(content))


def with_zstd(image: images.Manifest) -> images.Manifest:
    """The same image with its layers in zstd, as an OCI image."""
    layers = [zstd(gzip.decompress(layer)) for layer in image.layers]
    document = {
        "schemaVersion": 2,
        "mediaType": images.OCI_MANIFEST,
        "config": images.make_descriptor(image.config, images.OCI_CONFIG, "oci"),
        "layers": [images.make_descriptor(layer, OCI_ZSTD, "oci") for layer in layers],
    }
    blobs = {images.digest_of(blob): blob for blob in (image.config, *layers)}
    return images.Manifest(json.dumps(document).encode(), images.OCI_MANIFEST, "oci", image.platform, blobs)


async def memory(*roots: images.Manifest) -> Memory:
    store = Memory()

    async def add(manifest: images.Manifest) -> None:
        for child in manifest.children:
            await add(child)
        for digest, blob in manifest.blobs.items():
            described = Descriptor(digest=Digest(digest), size=len(blob))
            if not await store.contains(described):
                await store.write(described, from_bytes(blob))
        described = Descriptor(
            media_type=manifest.media_type, digest=Digest(manifest.digest), size=len(manifest.content)
        )
        await store.write(described, from_bytes(manifest.content))

    for root in roots:
        await add(root)
    return store


async def save(path: Path | str, *named: tuple[images.Manifest, list[str]], repository: str | None = None) -> None:
    source = await memory(*(image for image, _ in named))
    async with NewDockerArchive(path, repository=repository) as archive:
        copier = Copier(archive)
        for image, names in named:
            await copier.copy(source, await source.resolve(image.digest), names=names)


async def manifest_in(archive: DockerArchive, name: str) -> Manifest:
    manifest = await fetch_manifest(archive, name)
    assert isinstance(manifest, Manifest)
    return manifest


@asynccontextmanager
async def repository_of(registry: RealRegistry, repository: str) -> AsyncIterator[Repository]:
    async with Session() as session:
        yield Repository(session, registry.host, repository)


IMAGE = images.make_image(layers=2, seed="one")
OTHER = images.make_image(layers=1, seed="two")
TWICE = images.make_image(layers=[IMAGE.layers[0], OTHER.layers[0], IMAGE.layers[0]], seed="twice")


class TestForms:
    async def test_legacy_gives_a_docker_manifest_with_the_layers_as_they_are(self, tmp_path: Path) -> None:
        async with DockerArchive(write(tmp_path / "a.tar", legacy(TWICE, ["app:1"]))) as archive:
            manifest = await manifest_in(archive, "app:1")
            assert manifest.media_type == images.DOCKER_MANIFEST
            assert [layer.media_type for layer in manifest.layers] == [PLAIN] * 3
            assert manifest.config is not None
            assert manifest.config.digest == images.digest_of(TWICE.config)
            for layer, packed in zip(manifest.layers, TWICE.layers, strict=True):
                assert await read(archive, layer) == gzip.decompress(packed)
            assert await read(archive, manifest.config) == TWICE.config

    async def test_crane_gives_the_manifest_that_docker_pushed(self, tmp_path: Path) -> None:
        async with DockerArchive(write(tmp_path / "a.tar", crane(IMAGE, ["reg.example/app:1"]))) as archive:
            manifest = await manifest_in(archive, "")
            assert manifest.raw == IMAGE.content
            assert [await read(archive, layer) for layer in manifest.layers] == IMAGE.layers

    @pytest.mark.parametrize("kind", ["docker", "oci"])
    async def test_modern_gives_the_manifests_of_its_layout(self, tmp_path: Path, kind: images.Kind) -> None:
        image = images.make_image(kind=kind)
        async with DockerArchive(write(tmp_path / "a.tar", modern(image, ["app:1", "app:2"]))) as archive:
            assert await read(archive, await archive.resolve("app:2")) == image.content
            assert [name async for name in archive.tags()] == ["app:1", "app:2"]
            assert (await archive.resolve("")).digest == image.digest

    async def test_modern_gives_an_index_of_which_only_a_part_was_saved(self, tmp_path: Path) -> None:
        away = images.make_image("linux/arm64")
        index = images.make_index([IMAGE, away], kind="oci")
        files = modern(index, ["app:1"], leave_out=(away.digest,))
        async with DockerArchive(write(tmp_path / "a.tar", files)) as archive:
            found = await fetch_manifest(archive, "app:1")
            assert isinstance(found, Index)
            assert found.digest == index.digest
            here, gone = found.manifests
            assert await archive.contains(here)
            assert not await archive.contains(gone)
            with pytest.raises(NotFound):
                await read(archive, gone)

    async def test_modern_without_names_is_found_by_its_config(self, tmp_path: Path) -> None:
        async with DockerArchive(write(tmp_path / "a.tar", modern(IMAGE, []))) as archive:
            assert (await archive.resolve("")).digest == IMAGE.digest
            assert (await archive.resolve(images.digest_of(IMAGE.config))).digest == IMAGE.digest

    async def test_modern_lists_referrers(self, tmp_path: Path) -> None:
        about = images.make_artifact("application/vnd.example.sbom", subject=IMAGE)
        files = modern(images.make_index([IMAGE, about], kind="oci"), ["app:1"])
        async with DockerArchive(write(tmp_path / "a.tar", files)) as archive:
            subject = Descriptor(digest=Digest(IMAGE.digest), size=IMAGE.size)
            found = [referrer async for referrer in archive.referrers(subject)]
            assert [(item.digest, item.artifact_type) for item in found] == [
                (about.digest, "application/vnd.example.sbom")
            ]
            assert not [referrer async for referrer in archive.referrers(subject, "text/plain")]

    async def test_zstd_layers_make_an_oci_manifest(self, tmp_path: Path) -> None:
        packed = zstd(gzip.decompress(OTHER.layers[0]))
        files = legacy(OTHER, ["app:1"])
        path = next(name for name in files if name.endswith("layer.tar"))
        async with DockerArchive(write(tmp_path / "a.tar", files | {path: packed})) as archive:
            manifest = await manifest_in(archive, "")
            assert manifest.media_type == images.OCI_MANIFEST
            assert [layer.media_type for layer in manifest.layers] == [OCI_ZSTD]
            assert await read(archive, manifest.layers[0]) == packed

    @pytest.mark.parametrize("compress", [bz2.compress, lzma.compress])
    async def test_layers_without_a_media_type_for_their_compression_lose_it(
        self, tmp_path: Path, compress: Callable[[bytes], bytes]
    ) -> None:
        plain = gzip.decompress(OTHER.layers[0])
        files = legacy(OTHER, ["app:1"])
        path = next(name for name in files if name.endswith("layer.tar"))
        async with DockerArchive(write(tmp_path / "a.tar", files | {path: compress(plain)})) as archive:
            layer = (await manifest_in(archive, "")).layers[0]
            assert (layer.media_type, layer.digest, layer.size) == (PLAIN, images.digest_of(plain), len(plain))
            assert await read(archive, layer) == plain

    async def test_a_foreign_layer_keeps_its_place_on_the_web(self, tmp_path: Path) -> None:
        files = legacy(OTHER, ["win:1"])
        diff_id = images.digest_of(gzip.decompress(OTHER.layers[0]))
        source = {
            "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            "size": 10,
            "digest": images.digest_of(b"elsewhere"),
            "urls": ["https://example.com/layer"],
        }
        entries = json.loads(files["manifest.json"])
        entries[0]["LayerSources"] = {diff_id: source}
        async with DockerArchive(
            write(tmp_path / "a.tar", files | {"manifest.json": json.dumps(entries).encode()})
        ) as archive:
            assert (await manifest_in(archive, "")).layers[0].urls == ("https://example.com/layer",)

    @pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress, zstd])
    @pytest.mark.parametrize("piped", [False, True])
    @pytest.mark.parametrize("form", [legacy, crane, modern])
    async def test_any_compression_of_the_whole_from_a_file_or_a_pipe(
        self,
        tmp_path: Path,
        form: Callable[[images.Manifest, list[str]], Files],
        piped: bool,
        compress: Callable[[bytes], bytes],
    ) -> None:
        (tmp_path / "plain.tar").write_bytes(tar(form(IMAGE, ["app:1"])))
        path = tmp_path / "archive"
        content = compress((tmp_path / "plain.tar").read_bytes())
        writing = threading.Thread(target=path.write_bytes, args=(content,))
        if piped:
            os.mkfifo(path)
        writing.start()
        if not piped:
            writing.join()
        async with DockerArchive(tmp_path / "plain.tar") as plain, DockerArchive(path) as archive:
            manifest = await manifest_in(archive, "app:1")
            assert manifest == await manifest_in(plain, "app:1")
            for child in manifest.children:
                assert await read(archive, child) == await read(plain, child)
        writing.join()

    def test_standard_input_is_read_in_one_pass(self, tmp_path: Path) -> None:
        program = (
            "import asyncio\n"
            "from lading.stores.docker.archive import DockerArchive, NewDockerArchive\n"
            "async def main():\n"
            "    async with DockerArchive('-') as archive:\n"
            "        print((await archive.resolve('app:1')).digest)\n"
            "asyncio.run(main())\n"
        )
        said = run([sys.executable, "-c", program], stdin=tar(crane(IMAGE, ["app:1"])))
        assert said.stdout.strip() == IMAGE.digest

    async def test_names_that_were_written_with_a_dot_are_found(self, tmp_path: Path) -> None:
        """As in an archive that was unpacked and packed again with `tar -c .`."""
        files = {f"./{name}": content for name, content in legacy(TWICE, ["app:1"]).items()}
        async with DockerArchive(write(tmp_path / "a.tar", files)) as archive:
            assert await archive.contains((await manifest_in(archive, "app:1")).layers[2])

    async def test_hard_links_and_linked_folders_are_followed(self, tmp_path: Path) -> None:
        files = legacy(OTHER, ["app:1"])
        layer = next(name for name in files if name.endswith("layer.tar"))
        entries = json.loads(files["manifest.json"])
        entries[0]["Layers"] = ["linked/layer.tar"]
        files |= {"linked": layer.partition("/")[0], "manifest.json": json.dumps(entries).encode()}
        async with DockerArchive(write(tmp_path / "a.tar", files)) as archive:
            assert (await archive.resolve("app:1")).media_type == images.DOCKER_MANIFEST
        entries[0]["Layers"] = ["hard"]
        files = {name: data for name, data in files.items() if name != "linked"}
        files |= {"hard": layer, "manifest.json": json.dumps(entries).encode()}
        (tmp_path / "b.tar").write_bytes(tar(files, link=tarfile.LNKTYPE))
        async with DockerArchive(tmp_path / "b.tar") as archive:
            assert (await archive.resolve("app:1")).media_type == images.DOCKER_MANIFEST


class TestNames:
    @pytest.mark.parametrize(
        "name",
        [
            "app:1",
            "docker.io/library/app:1",
            "1",
            "app:1@" + IMAGE.digest,
            IMAGE.digest,
            images.digest_of(IMAGE.config),
        ],
    )
    async def test_every_way_to_say_it(self, tmp_path: Path, name: str) -> None:
        files = both(crane(IMAGE, ["app:1", "reg.example/x:stable"]), crane(OTHER, ["other:2"]))
        async with DockerArchive(write(tmp_path / "a.tar", files)) as archive:
            assert (await archive.resolve(name)).digest == IMAGE.digest
            assert [tag async for tag in archive.tags()] == ["app:1", "reg.example/x:stable", "other:2"]

    async def test_bare_tags_in_the_archive(self, tmp_path: Path) -> None:
        files = both(crane(IMAGE, ["1.0"]), crane(OTHER, ["V2"]))
        async with DockerArchive(write(tmp_path / "a.tar", files)) as archive:
            assert (await archive.resolve("1.0")).digest == IMAGE.digest
            assert (await archive.resolve("V2")).digest == OTHER.digest

    @pytest.mark.parametrize("name", ["", "1"])
    async def test_what_is_ambiguous_lists_what_there_is(self, tmp_path: Path, name: str) -> None:
        files = both(crane(IMAGE, ["app:1"]), crane(OTHER, ["other:1"]))
        async with DockerArchive(write(tmp_path / "a.tar", files)) as archive:
            with pytest.raises(UsageError, match="app:1, other:1"):
                await archive.resolve(name)

    async def test_images_without_names_are_told_apart_by_their_ids(self, tmp_path: Path) -> None:
        files = both(legacy(IMAGE, None), legacy(OTHER, None, name="other"))
        async with DockerArchive(write(tmp_path / "a.tar", files)) as archive:
            with pytest.raises(UsageError, match=images.digest_of(OTHER.config)):
                await archive.resolve("")
            manifest = await manifest_in(archive, images.digest_of(OTHER.config))
            assert manifest.config is not None
            assert manifest.config.digest == images.digest_of(OTHER.config)

    async def test_the_same_image_twice_is_one(self, tmp_path: Path) -> None:
        files = both(crane(IMAGE, ["app:1"]), crane(IMAGE, ["other:1"]))
        async with DockerArchive(write(tmp_path / "a.tar", files)) as archive:
            assert (await archive.resolve("1")).digest == IMAGE.digest
            assert (await archive.resolve("")).digest == IMAGE.digest

    @pytest.mark.parametrize("name", ["app:2", "sha256:" + "0" * 64, "app:1@sha256:" + "0" * 64, "A B"])
    async def test_what_is_not_there(self, tmp_path: Path, name: str) -> None:
        async with DockerArchive(write(tmp_path / "a.tar", crane(IMAGE, ["app:1"]))) as archive:
            with pytest.raises(NotFound, match="it has app:1"):
                await archive.resolve(name)

    async def test_no_images(self, tmp_path: Path) -> None:
        async with DockerArchive(write(tmp_path / "a.tar", {"manifest.json": b"[]"})) as archive:
            with pytest.raises(NotFound, match="no images"):
                await archive.resolve("")


def changed(**fields: Any) -> Files:
    files = legacy(OTHER, ["app:1"])
    entries = json.loads(files["manifest.json"])
    return files | {"manifest.json": json.dumps([entries[0] | fields]).encode()}


LAYER = json.loads(legacy(OTHER, [])["manifest.json"])[0]["Layers"][0]
CONFIG = f"{hex_of(OTHER.config)}.json"


async def use(path: Path) -> None:
    async with DockerArchive(path) as archive:
        for name in [name async for name in archive.tags()] or [""]:
            manifest = await fetch_manifest(archive, name)
            if isinstance(manifest, Manifest):
                for child in manifest.children:
                    await read(archive, child)


def renamed(form: Files, rename: Callable[[str], str], say: Callable[[str], str]) -> Files:
    """The same archive with members of other names, and a manifest.json that calls them in another way."""
    files = {name if name == "manifest.json" else rename(name): content for name, content in form.items()}
    (found,) = json.loads(form["manifest.json"])
    found |= {"Config": say(found["Config"]), "Layers": [say(layer) for layer in found["Layers"]]}
    return files | {"manifest.json": json.dumps([found]).encode()}


@pytest.mark.parametrize("form", [legacy, crane])
@pytest.mark.parametrize(
    "rename, say",
    [
        (lambda name: f"/{name}", lambda name: f"/{name}"),
        (lambda name: f"/{name}", lambda name: name),
        (lambda name: f"./{name}", lambda name: f"/{name}"),
        (lambda name: f"./a/../{name}", lambda name: f"./{name}"),
        (lambda name: f"{'long/' * 40}{name}", lambda name: f"{'long//' * 40}{name}"),
        (lambda name: name, lambda name: f"{name}/"),
    ],
    ids=["absolute", "absolute members", "absolute paths", "dots", "long", "a slash at the end"],
)
@pytest.mark.parametrize("tar_format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
async def test_members_are_found_as_other_programs_find_them(
    form: Callable[..., Files],
    rename: Callable[[str], str],
    say: Callable[[str], str],
    tar_format: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tarfile, "DEFAULT_FORMAT", tar_format)
    paths = [tmp_path / "plain.tar", tmp_path / "odd.tar"]
    for path, files in zip(paths, (form(IMAGE, None), renamed(form(IMAGE, None), rename, say)), strict=True):
        path.write_bytes(tar(files))
    digests = []
    for path in paths:
        await use(path)
        async with DockerArchive(path) as archive:
            digests.append((await archive.resolve("")).digest)
    assert digests[0] == digests[1]


async def test_a_link_may_be_absolute_and_the_last_member_of_a_name_counts(tmp_path: Path) -> None:
    files = legacy(OTHER, ["app:1"])
    layer = LAYER
    content = files.pop(layer)
    path = tmp_path / "a.tar"
    path.write_bytes(tar(files | {"/real.tar": content, layer: "/real.tar"}))
    await use(path)
    once = io.BytesIO(path.read_bytes())
    with tarfile.open(fileobj=once, mode="a") as archive:
        member = tarfile.TarInfo("./manifest.json")
        raw = files["manifest.json"]
        assert isinstance(raw, bytes)
        raw = raw.replace(b"app:1", b"app:2")
        member.size = len(raw)
        archive.addfile(member, io.BytesIO(raw))
    path.write_bytes(once.getvalue())
    async with DockerArchive(path) as archive_:
        assert [name async for name in archive_.tags()] == ["app:2"]


async def test_the_keys_of_its_list_are_read_as_go_reads_them(tmp_path: Path) -> None:
    files = legacy(IMAGE, ["app:1"])
    raw = files["manifest.json"]
    assert isinstance(raw, bytes)
    for key in (b"Config", b"RepoTags", b"Layers"):
        raw = raw.replace(key, key.lower())
    path = tmp_path / "a.tar"
    path.write_bytes(tar(files | {"manifest.json": raw}))
    await use(path)
    async with DockerArchive(path) as archive:
        assert [name async for name in archive.tags()] == ["app:1"]


@pytest.mark.parametrize("key", [b"manifests", b"digest", b"mediaType", b"annotations", b"schemaVersion"])
async def test_the_keys_of_its_layout_are_read_as_go_reads_them(tmp_path: Path, key: bytes) -> None:
    files = modern(OTHER, ["app:1"])
    raw = files["index.json"]
    assert isinstance(raw, bytes)
    path = write(tmp_path / "a.tar", files | {"index.json": raw.replace(b'"%s"' % key, b'"%s"' % key.upper())})
    async with DockerArchive(path) as archive:
        assert (await archive.resolve("app:1")).digest == OTHER.digest


@pytest.mark.parametrize("name", ["not a name", "Team/App:1", ":", "app:1:2"])
async def test_a_name_that_is_none_spoils_no_other(tmp_path: Path, name: str) -> None:
    """It is listed, found as it is written, and stays where an image is added."""
    path = write(tmp_path / "a.tar", legacy(IMAGE, [name, "app:1"]))
    async with DockerArchive(path) as archive:
        assert [listed async for listed in archive.tags()] == [name, "app:1"]
        found = {await archive.resolve(text) for text in (name, "app:1", "@0", "")}
        assert len(found) == 1
    await save(path, (OTHER, ["app:2"]))
    async with DockerArchive(path) as archive:
        names = {listed async for listed in archive.tags()}
        assert names == {name, "docker.io/library/app:1", "docker.io/library/app:2"}
        assert await archive.resolve(name) == await archive.resolve("app:1")


def test_a_name_that_is_none_stays_behind_and_is_told(lading: Lading, tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", legacy(IMAGE, ["not a name", "app:1"]))
    for target in (f"oci:{tmp_path}/layout", f"docker-archive:{tmp_path}/b.tar"):
        done = lading.run("copy", "--all-tags", f"docker-archive:{path}", target)
        assert "not a name stayed behind: its name has no tag\n" in done.stderr
        assert len(lading.run("tags", target).stdout.splitlines()) == 1
    assert "not a name" in lading.run("tags", f"docker-archive:{path}").stdout
    lading.run("inspect", f"docker-archive:{path}")


class TestMalformed:
    @pytest.mark.parametrize(
        "files, says",
        [
            ({"hello": b"world"}, "no manifest.json"),
            ({"manifest.json": b"["}, "manifest.json"),
            ({"manifest.json": b"{}"}, "manifest.json"),
            ({"manifest.json": b"null"}, "manifest.json"),
            ({"manifest.json": b"\xff"}, "manifest.json"),
            ({"manifest.json": b"[" * 100_000}, "manifest.json"),
            ({"repositories": b"{}"}, "before Docker 1.10"),
            ({"index.json": b"{}", "oci-layout": b"{}"}, "OCI layout without manifest.json"),
            (changed(Config="gone.json"), "gone.json: there is no such file"),
            (changed(Layers=["gone/layer.tar"]), "gone/layer.tar: there is no such file"),
            (changed(Layers=[]), "names 1 layers, and manifest.json has 0"),
            (changed(Config="../config.json"), "leads out of the archive"),
            (changed(Config="/etc/passwd"), "/etc/passwd: there is no such file"),
            (changed(Layers=["a/../../layer.tar"]), "leads out of the archive"),
            (changed(Config=["x"]), "manifest.json"),
            (changed() | {LAYER: "/etc/passwd"}, "there is no such file"),
            (changed() | {LAYER: "../../../etc/passwd"}, "a link leads out of the archive"),
            (changed() | {LAYER: "layer.tar"}, "in a circle"),
            (changed() | {CONFIG: OTHER.config + b" "}, "does not match its digest"),
            (changed() | {LAYER: gzip.decompress(IMAGE.layers[0])}, "does not match its digest"),
            (changed(Config="x.json") | {"x.json": b"{"}, "not valid JSON"),
            (changed(Config="x.json") | {"x.json": b'{"rootfs":{"diff_ids":["md5:1"]}}'}, "names the layer md5:1"),
            (changed(Layers=["x"]) | {"x": b"\x1f\x8bnonsense"}, "."),
            (changed(Layers=["x"]) | {"x": b"BZhnonsense"}, "damaged"),
            (modern(OTHER, ["app:1"]) | {"index.json": b"[]"}, "index.json"),
            (modern(OTHER, ["app:1"]) | {f"blobs/sha256/{hex_of(OTHER.content)}": b"{}"}, "does not match its digest"),
        ],
    )
    async def test_is_a_clear_error(self, tmp_path: Path, files: Files, says: str) -> None:
        path = write(tmp_path / "a.tar", files)
        fifo = tmp_path / "pipe"
        os.mkfifo(fifo)
        writing = threading.Thread(target=fifo.write_bytes, args=(path.read_bytes(),))
        writing.start()
        for source in (path, fifo):
            if says == ".":
                # The bytes of a layer are nobody's business before it is unpacked.
                await use(source)
                continue
            with pytest.raises(InvalidContent, match=says) as raised:
                await use(source)
            assert raised.value.exit_code == 7
        writing.join()

    @pytest.mark.parametrize(
        "content", [b"", b"hello", b"\0" * 100, gzip.compress(b"hello", mtime=0), b"\x1f\x8b", b"BZh9"]
    )
    async def test_what_is_no_tar(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "a.tar").write_bytes(content)
        with pytest.raises(InvalidContent, match="archive"):
            await use(tmp_path / "a.tar")

    @pytest.mark.parametrize("compress", [bytes, gzip.compress])
    async def test_what_is_truncated(self, tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
        whole = compress(tar(crane(IMAGE, ["app:1"])).rstrip(b"\0"))
        for share in range(1, 10):
            (tmp_path / "a.tar").write_bytes(whole[: len(whole) * share // 14])
            with pytest.raises(InvalidContent):
                await use(tmp_path / "a.tar")

    async def test_what_is_not_there_or_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(NotFound):
            await use(tmp_path / "none.tar")
        with pytest.raises(UsageError):
            await use(tmp_path)

    async def test_a_file_that_shrinks_while_it_is_read(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.tar", crane(IMAGE, ["app:1"]))
        async with DockerArchive(path) as archive:
            manifest = await manifest_in(archive, "")
            os.truncate(path, 600)
            with pytest.raises(InvalidContent):
                await read(archive, manifest.layers[0])

    @settings(max_examples=times(50, 400), suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    async def test_any_manifest_json(self, tmp_path: Path, data: st.DataObject) -> None:
        files = legacy(OTHER, ["app:1"])
        text = st.one_of(st.sampled_from([LAYER, CONFIG, "app:1", "", "..", "/"]), st.text(max_size=8))
        value = st.recursive(
            st.none() | st.booleans() | st.integers() | text,
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
            max_leaves=6,
        )
        texts = st.lists(text, max_size=3)
        fields = {"Config": text | value, "RepoTags": texts | value, "Layers": texts | value, "LayerSources": value}
        entries = data.draw(st.lists(st.fixed_dictionaries({}, optional=fields) | value, max_size=3) | value)
        files["manifest.json"] = json.dumps(entries).encode()
        try:
            await use(write(tmp_path / "a.tar", files))
        except LadingError as error:
            assert error.exit_code in (3, 7)  # noqa: PT017  # other exceptions are the failure

    @settings(max_examples=times(50, 400), suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    async def test_any_damage(self, tmp_path: Path, data: st.DataObject) -> None:
        whole = bytearray(tar(modern(OTHER, ["app:1"])))
        for _ in range(data.draw(st.integers(1, 4))):
            whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
        (tmp_path / "a.tar").write_bytes(whole)
        try:
            await use(tmp_path / "a.tar")
        except LadingError as error:
            assert error.exit_code in (3, 7)  # noqa: PT017


class TestWriting:
    @pytest.mark.parametrize("kind", ["docker", "oci"])
    async def test_what_is_written_is_read_with_its_digest(self, tmp_path: Path, kind: images.Kind) -> None:
        image = images.make_image(layers=3, kind=kind)
        await save(tmp_path / "a.tar", (image, ["app:1", "reg.example/app:2"]))
        async with DockerArchive(tmp_path / "a.tar") as archive:
            assert [name async for name in archive.tags()] == ["docker.io/library/app:1", "reg.example/app:2"]
            for name in ("app:1", "2", ""):
                assert (await manifest_in(archive, name)).raw == image.content
            await use(tmp_path / "a.tar")

    async def test_equal_images_give_equal_bytes_in_any_order(self, tmp_path: Path) -> None:
        await save(tmp_path / "a.tar", (IMAGE, ["b:1", "a:1"]), (OTHER, ["c:1"]))
        await save(tmp_path / "b.tar", (OTHER, ["c:1"]), (IMAGE, ["a:1", "b:1"]))
        assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
        with tarfile.open(tmp_path / "a.tar") as archive:
            assert {(member.mtime, member.uid, member.uname) for member in archive} == {(0, 0, "")}
            shared = archive.getnames()
        assert len(shared) == len(set(shared))

    @pytest.mark.parametrize("suffix", [".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst"])
    async def test_the_suffix_tells_the_compression(self, tmp_path: Path, suffix: str) -> None:
        if suffix == ".tar.zst":
            zstd(b"")
        path = tmp_path / f"a{suffix}"
        await save(path, (IMAGE, ["app:1"]))
        assert path.read_bytes()[:2] == {".tar.gz": b"\x1f\x8b", ".tar.bz2": b"BZ"}.get(suffix, path.read_bytes()[:2])
        assert path.read_bytes()[257:262] != b"ustar"
        await use(path)

    async def test_layers_that_not_every_docker_reads_are_there_plain_too(self, tmp_path: Path) -> None:
        image = with_zstd(IMAGE)
        await save(tmp_path / "a.tar", (image, ["app:1"]))
        async with DockerArchive(tmp_path / "a.tar") as archive:
            assert (await manifest_in(archive, "app:1")).raw == image.content
        with tarfile.open(tmp_path / "a.tar") as tar_file:
            document = json.loads(tar_file.extractfile("manifest.json").read())  # type: ignore[union-attr]
            plain = [tar_file.extractfile(path).read() for path in document[0]["Layers"]]  # type: ignore[union-attr]
        assert plain == [gzip.decompress(layer) for layer in IMAGE.layers]

    async def test_a_zstd_layer_that_is_another_one_is_refused(self, tmp_path: Path) -> None:
        image = with_zstd(IMAGE)
        wrong = image.content.replace(
            images.digest_of(image.layers[0]).encode(), images.digest_of(image.layers[1]).encode()
        ).replace(f'"size": {len(image.layers[0])}'.encode(), f'"size": {len(image.layers[1])}'.encode())
        bad = images.Manifest(wrong, image.media_type, "oci", blobs=image.blobs)
        with pytest.raises(DigestMismatch):
            await save(tmp_path / "a.tar", (bad, ["app:1"]))

    async def test_a_failure_leaves_what_was_there(self, tmp_path: Path) -> None:
        path = tmp_path / "a.tar"
        path.write_bytes(tar(legacy(OTHER, ["other:1"])))
        before = path.read_bytes()
        source = await memory(IMAGE)
        with pytest.raises(InvalidReference):
            async with NewDockerArchive(path) as archive:
                await Copier(archive).copy(source, await source.resolve(IMAGE.digest), names=["app:1", "no name"])
        assert path.read_bytes() == before
        assert list(tmp_path.iterdir()) == [path]

    async def test_wrong_bytes_are_not_taken(self, tmp_path: Path) -> None:
        content = Descriptor(digest=Digest.of(b"right"), size=5)
        async with NewDockerArchive(tmp_path / "a.tar") as archive:
            for wrong in (b"wrong", b"right and more", b""):
                with pytest.raises(DigestMismatch):
                    await archive.write(content, from_bytes(wrong))
                assert not await archive.contains(content)
            await archive.write(content, from_bytes(b"right"))
            assert await read(archive, content) == b"right"
        assert not (tmp_path / "a.tar").exists()

    async def test_an_index_is_refused_with_a_way_on(self, tmp_path: Path) -> None:
        index = images.make_index([IMAGE])
        with pytest.raises(UsageError) as raised:
            await save(tmp_path / "a.tar", (index, ["app:1"]))
        assert raised.value.code == "index-in-docker-archive"
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("what", [images.make_artifact(), images.make_attestation(IMAGE).manifest])
    async def test_what_is_no_image_is_refused(self, tmp_path: Path, what: images.Manifest) -> None:
        with pytest.raises(Unsupported, match="cannot hold"):
            await save(tmp_path / "a.tar", (what, ["app:1"]))

    async def test_a_manifest_before_its_layers_is_refused(self, tmp_path: Path) -> None:
        async with NewDockerArchive(tmp_path / "a.tar") as archive:
            with pytest.raises(NotFound, match="needs it"):
                await archive.put(parse(IMAGE.content))

    async def test_a_name_moves(self, tmp_path: Path) -> None:
        await save(tmp_path / "a.tar", (IMAGE, ["app:1", "app:2"]), (OTHER, ["app:1"]))
        async with DockerArchive(tmp_path / "a.tar") as archive:
            assert (await archive.resolve("app:1")).digest == OTHER.digest
            assert (await archive.resolve("app:2")).digest == IMAGE.digest

    async def test_bare_tags_need_a_repository(self, tmp_path: Path) -> None:
        await save(tmp_path / "a.tar", (IMAGE, ["1.0"]), repository="reg.example/app")
        async with DockerArchive(tmp_path / "a.tar") as archive:
            assert [name async for name in archive.tags()] == ["reg.example/app:1.0"]

    @pytest.mark.parametrize("name", ["a b", "app@" + IMAGE.digest])
    async def test_names_that_nobody_can_have(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(UsageError):
            await save(tmp_path / "a.tar", (IMAGE, [name]))

    async def test_places_where_nothing_can_be(self, tmp_path: Path) -> None:
        for path in (tmp_path, tmp_path / "none" / "a.tar"):
            with pytest.raises(UsageError):
                await save(path, (IMAGE, ["app:1"]))

    async def test_an_archive_that_is_read_is_not_changed(self, tmp_path: Path) -> None:
        async with DockerArchive(write(tmp_path / "a.tar", crane(IMAGE, ["app:1"]))) as archive:
            assert isinstance(archive, Readable)
            assert not isinstance(archive, Store)

    async def test_a_pipe_gets_the_same_bytes(self, tmp_path: Path) -> None:
        await save(tmp_path / "a.tar", (IMAGE, ["app:1"]))
        os.mkfifo(tmp_path / "pipe")
        reading = asyncio.create_task(asyncio.to_thread((tmp_path / "pipe").read_bytes))
        await save(tmp_path / "pipe", (IMAGE, ["app:1"]))
        assert await reading == (tmp_path / "a.tar").read_bytes()

    def test_standard_output_gets_the_same_bytes(self, tmp_path: Path) -> None:
        (tmp_path / "a.tar").write_bytes(tar(crane(IMAGE, ["app:1"])))
        program = (
            "import asyncio, sys\n"
            "from lading.stores.docker.archive import DockerArchive, NewDockerArchive\n"
            "from lading.transfer.graph import Copier\n"
            "async def main(target):\n"
            "    async with DockerArchive('-') as source, NewDockerArchive(target) as archive:\n"
            "        await Copier(archive).copy(source, await source.resolve(''), names=['app:1'])\n"
            "asyncio.run(main(sys.argv[1]))\n"
        )
        archive = (tmp_path / "a.tar").read_bytes()
        out = run([sys.executable, "-c", program, "-"], stdin=archive).stdout_bytes
        run([sys.executable, "-c", program, str(tmp_path / "b.tar")], stdin=archive)
        assert out == (tmp_path / "b.tar").read_bytes()

    async def test_waiting_for_a_pipe_can_be_cancelled(self) -> None:
        source, target = os.pipe()
        try:
            opening = asyncio.create_task(use(Path(f"/dev/fd/{source}")))
            await asyncio.sleep(0.2)
            opening.cancel()
            async with asyncio.timeout(60):
                with pytest.raises(asyncio.CancelledError):
                    await opening
        finally:
            os.close(source)
            os.close(target)

    async def test_a_large_layer_takes_no_memory(self, tmp_path: Path) -> None:
        size, piece = 96 << 20, os.urandom(1 << 20)
        diff_id, count = hashlib.sha256(), size // len(piece)
        for _ in range(count):
            diff_id.update(piece)
        layer = Descriptor(media_type=PLAIN, digest=Digest(f"sha256:{diff_id.hexdigest()}"), size=size)
        config = json.dumps({"rootfs": {"type": "layers", "diff_ids": [layer.digest]}}).encode()
        described = Descriptor.of(config, images.DOCKER_CONFIG)
        manifest = Manifest.build(
            {
                "schemaVersion": 2,
                "mediaType": images.DOCKER_MANIFEST,
                "config": described.to_document(),
                "layers": [layer.to_document()],
            },
            images.DOCKER_MANIFEST,
        )

        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(count):
                yield piece

        tracemalloc.start()
        try:
            async with NewDockerArchive(tmp_path / "a.tar") as archive:
                await archive.write(layer, from_chunks(pieces))
                await archive.write(described, from_bytes(config))
                await archive.put(manifest, "app:1")
            reading = await asyncio.create_subprocess_exec("cat", tmp_path / "a.tar", stdout=(pipe := os.pipe())[1])
            os.close(pipe[1])
            async with DockerArchive(f"/dev/fd/{pipe[0]}") as saved, saved.open(layer) as reader:
                assert sum([len(chunk) async for chunk in reader]) == size
            os.close(pipe[0])
            await reading.wait()
            assert tracemalloc.get_traced_memory()[1] < 24 << 20
        finally:
            tracemalloc.stop()


RUNNABLE = ["docker", "oci", "zstd"]


def runnable(kind: str, says: str) -> images.Manifest:
    if kind == "zstd":
        return with_zstd(images.make_busybox(seed=says, kind="oci"))
    return images.make_busybox(seed=says, kind="docker" if kind == "docker" else "oci")


class TestRealParts:
    @pytest.mark.parametrize("kind", RUNNABLE)
    async def test_docker_loads_and_runs_what_came_from_a_registry(
        self, engine: DockerCLI, registry: RealRegistry, repository: str, tmp_path: Path, kind: str
    ) -> None:
        says = f"{kind} from an archive"
        images.push(registry.host, repository, "1", runnable(kind, says))
        path = tmp_path / "a.tar"
        async with repository_of(registry, repository) as source, NewDockerArchive(path) as archive:
            names = [f"archived/{kind}:1", f"reg.example/{kind}:2"]
            await Copier(archive).copy(source, await source.resolve("1"), names=names)
        loaded = engine.run("load", "--input", str(path)).stdout
        assert loaded.splitlines() == [f"Loaded image: {name}" for name in sorted(names)]
        for name in names:
            assert engine.run("run", "--rm", "--network=none", name).stdout == f"{says}\n"

    async def test_docker_pulls_and_runs_what_it_saved(
        self, engine: DockerCLI, registry: RealRegistry, repository: str, tmp_path: Path
    ) -> None:
        """Its layers are not compressed, and get to the registry as they are."""
        await save(tmp_path / "a.tar", (images.make_busybox(seed="saved and pulled"), ["saved/app:1"]))
        engine.run("load", "--input", str(tmp_path / "a.tar"))
        engine.run("tag", "saved/app:1", "reg.example/saved:2")
        (tmp_path / "b.tar").write_bytes(engine.run("save", "saved/app:1", "reg.example/saved:2").stdout_bytes)
        async with repository_of(registry, repository) as target, DockerArchive(tmp_path / "b.tar") as archive:
            assert [name async for name in archive.tags()] == ["saved/app:1", "reg.example/saved:2"]
            content = await archive.resolve("saved/app:1")
            assert content == await archive.resolve("reg.example/saved:2")
            await Copier(target).copy(archive, content, names=["1"])
        name = f"{registry.host}/{repository}:1"
        image = engine.run("image", "inspect", "--format", "{{.Id}}", "saved/app:1").stdout
        engine.run("image", "rm", "saved/app:1", "reg.example/saved:2")
        engine.run("pull", name)
        assert engine.run("run", "--rm", "--network=none", name).stdout == "saved and pulled\n"
        assert engine.run("image", "inspect", "--format", "{{.Id}}", name).stdout == image

    async def test_docker_loads_several_images(self, engine: DockerCLI, tmp_path: Path) -> None:
        path = tmp_path / "a.tar.gz"
        first, second, third = (images.make_busybox(seed=seed) for seed in ("first", "second", "third"))
        await save(path, (first, ["many/first:1"]), (second, ["many/second:1"]), (third, []))
        engine.run("load", "--input", str(path))
        for name, says in (
            ("many/first:1", "first"),
            ("many/second:1", "second"),
            (images.digest_of(third.config), "third"),
        ):
            assert engine.run("run", "--rm", "--network=none", name).stdout == f"{says}\n"

    async def test_skopeo_reads_what_lading_wrote(self, tmp_path: Path) -> None:
        skopeo = need("skopeo")
        await save(tmp_path / "a.tar", (IMAGE, ["app:1"]), (OTHER, ["other:1", "other:2"]))
        listed = json.loads(run([skopeo, "list-tags", f"docker-archive:{tmp_path / 'a.tar'}"]).stdout)
        assert listed["Tags"] == [f"docker.io/library/{name}" for name in ("app:1", "other:1", "other:2")]
        run(
            [skopeo, "--insecure-policy", "copy", f"docker-archive:{tmp_path / 'a.tar'}:app:1", f"dir:{tmp_path / 'd'}"]
        )
        document = json.loads((tmp_path / "d" / "manifest.json").read_text())
        assert document["config"]["digest"] == images.digest_of(IMAGE.config)

    async def test_lading_reads_what_skopeo_wrote(
        self, registry: RealRegistry, repository: str, tmp_path: Path
    ) -> None:
        skopeo = need("skopeo")
        images.push(registry.host, repository, "1", TWICE)
        run(
            [
                *(skopeo, "--insecure-policy", "copy", "--src-tls-verify=false"),
                *(f"docker://{registry.host}/{repository}:1", f"docker-archive:{tmp_path / 'a.tar'}:app:1"),
            ]
        )
        async with DockerArchive(tmp_path / "a.tar") as archive:
            manifest = await manifest_in(archive, "app:1")
            assert manifest.config is not None
            assert manifest.config.digest == images.digest_of(TWICE.config)
            for layer, packed in zip(manifest.layers, TWICE.layers, strict=True):
                assert await read(archive, layer) == gzip.decompress(packed)

    @pytest.mark.parametrize("form", ["tarball", "legacy"])
    async def test_lading_reads_what_crane_wrote(
        self, registry: RealRegistry, repository: str, tmp_path: Path, form: str
    ) -> None:
        crane = need("crane")
        images.push(registry.host, repository, "1", IMAGE)
        name = f"{registry.host}/{repository}:1"
        run([crane, "pull", "--insecure", f"--format={form}", name, tmp_path / "a.tar"])
        async with DockerArchive(tmp_path / "a.tar") as archive:
            manifest = await manifest_in(archive, name)
            if form == "tarball":
                assert manifest.raw == IMAGE.content
            await use(tmp_path / "a.tar")

    async def test_podman_loads_what_lading_wrote(self, podman: Path, tmp_path: Path) -> None:
        image = images.make_busybox(seed="for podman")
        await save(tmp_path / "a.tar", (image, ["app:1", "reg.example/app:2"]), (OTHER, ["other:1"]))
        run([podman, "load", "--input", tmp_path / "a.tar"])
        for name in ("docker.io/library/app:1", "reg.example/app:2"):
            found = run([podman, "image", "inspect", "--format", "{{.Id}}", name]).stdout
            assert found.strip() == hex_of(image.config)

    async def test_lading_reads_what_podman_saved(self, podman: Path, tmp_path: Path) -> None:
        await save(tmp_path / "a.tar", (IMAGE, ["app:1"]), (OTHER, ["other:1"]))
        run([podman, "load", "--input", tmp_path / "a.tar"])
        run([podman, "save", "--multi-image-archive", "--output", tmp_path / "b.tar", "app:1", "other:1"])
        async with DockerArchive(tmp_path / "b.tar") as archive:
            manifest = await manifest_in(archive, "docker.io/library/app:1")
            assert manifest.config is not None
            assert manifest.config.digest == images.digest_of(IMAGE.config)
        await use(tmp_path / "b.tar")
