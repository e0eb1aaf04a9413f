"""New layers: what goes into them, what is refused, and that the same files give the same bytes."""

import bz2
import gzip
import hashlib
import io
import lzma
import os
import random
import socket
import subprocess
import sys
import tarfile
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lading import AsyncClient, Conflict, Event, InvalidContent, NotFound, PackingProgressed, UsageError
from lading.edits import Ignore, LayerFrom, ModeChange, NewLayer, Packing, SetEnv
from lading.io.inflate import Inflater
from lading.io.tarball import zstd_module
from lading.model.digest import Digest
from support.layers import END, Entry, archive, zstd_frame

PLAIN = archive("c=content d/ d/e=e l->c h~c")


async def make(client: AsyncClient, made_of: LayerFrom) -> tuple[NewLayer, bytes, bytes]:
    """A layer with its blob, and with that without compression."""
    async with client.images.new_layer(made_of) as layer:
        blob = b"".join([chunk async for chunk in layer.source()])
    inflater = Inflater("it")
    plain = b"".join([*inflater.feed(blob), *inflater.finish()])
    assert layer.descriptor.digest == Digest.of(blob)
    assert layer.descriptor.size == len(blob)
    assert layer.diff_id == Digest.of(plain)
    assert layer.compression == (inflater.compression or "none")
    return layer, blob, plain


@pytest.mark.parametrize("name", ["archive", "packed", "folder", "file"])
async def test_it_is_told_how_far_packing_is(
    client: AsyncClient, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lading.transfer.events._EVERY", -1.0)
    (tmp_path / "archive").write_bytes(PLAIN)
    (tmp_path / "packed").write_bytes(gzip.compress(PLAIN))
    (tmp_path / "folder").mkdir()
    for file in ("folder/a", "file"):
        (tmp_path / file).write_bytes(b"12345")
    size = {"archive": len(PLAIN), "packed": len(gzip.compress(PLAIN)), "file": 5}.get(name)
    events: list[Event] = []
    made_of = LayerFrom(path=str(tmp_path / name), place="/x" if name in ("folder", "file") else None)
    await client.images.append(None, made_of, targets=f"oci:{tmp_path}/out:1", on_event=events.append)
    told = [event for event in events if isinstance(event, PackingProgressed)]
    assert {(event.source, event.size) for event in told} == {(str(tmp_path / name), size)}
    assert [event.is_over for event in told] == [False] * (len(told) - 1) + [True]
    assert len(told) > 1
    assert told[-1].done == (size or 5)
    assert sorted(told, key=lambda event: event.done) == told


def listed(plain: bytes) -> list[str]:
    """The members of an archive, as `ls` shows them."""
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        return [
            f"{one.name}{'/' if one.isdir() else ''}{'->' + one.linkname if one.issym() else ''}"
            f"{'~' + one.linkname if one.islnk() else ''}@{one.mode:o},{one.uid},{one.gid},{one.mtime}"
            for one in tar
        ]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "site"
    (tree / "d/empty").mkdir(parents=True)
    (tree / "d/run").write_text("#!/bin/sh\n")
    (tree / "d/run").chmod(0o755)
    (tree / "b").write_bytes(b"b" * 3000)
    (tree / "b").chmod(0o640)
    os.link(tree / "b", tree / "d/b2")
    (tree / "link").symlink_to("../../etc/passwd")
    (tree / "to").symlink_to("d")
    (tree / "é").write_text("e")
    (tree / "é").chmod(0o644)
    for path in (tree, tree / "d", tree / "d/empty"):
        path.chmod(0o755)
    return tree


# Archives


ZSTD = [("zstd", zstd_frame(PLAIN))] if zstd_module() is not None else []


@pytest.mark.parametrize("name, content", [("gzip", gzip.compress(PLAIN, 9)), *ZSTD])
async def test_what_is_compressed_stays_as_it_is(
    client: AsyncClient, tmp_path: Path, name: str, content: bytes
) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(content)
    layer, blob, plain = await make(client, LayerFrom(path=str(path), compression="none"))
    assert (blob, plain, layer.compression) == (content, PLAIN, name)


@pytest.mark.parametrize("pack", [bytes, bz2.compress, lzma.compress], ids=["none", "bzip2", "xz"])
@pytest.mark.parametrize("compression", ["none", "gzip", *(["zstd"] if ZSTD else [])])
async def test_what_no_layer_can_be_is_compressed(client: AsyncClient, tmp_path: Path, pack, compression) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "a.tar"
    path.write_bytes(pack(PLAIN))
    layer, _, plain = await make(client, LayerFrom(path=str(path), compression=compression, level=None))
    assert plain == PLAIN
    assert layer.compression == compression
    assert any("compressed anew" in note for note in layer.notes) == (pack is not bytes)


async def test_a_pipe_gives_what_a_file_gives(client: AsyncClient, tmp_path: Path) -> None:
    path, pipe = tmp_path / "a.tar", tmp_path / "pipe"
    os.mkfifo(pipe)
    for content in (PLAIN, gzip.compress(PLAIN, 1, mtime=0)):
        path.write_bytes(content)
        writing = threading.Thread(target=pipe.write_bytes, args=(content,))
        writing.start()
        of_pipe = await make(client, LayerFrom(path=str(pipe)))
        writing.join()
        of_file = await make(client, LayerFrom(path=str(path)))
        assert of_pipe[1:] == of_file[1:]


@pytest.mark.parametrize("level", [1, 9])
async def test_levels(client: AsyncClient, tmp_path: Path, level: int) -> None:
    path = tmp_path / "a.tar"
    text = random.Random(1).choices(range(64, 90), k=40000)
    path.write_bytes(Entry("a", content=bytes(text)).archived() + END)
    _, usual, _ = await make(client, LayerFrom(path=str(path)))
    _, blob, _ = await make(client, LayerFrom(path=str(path), level=level))
    assert (len(blob) < len(usual)) == (level == 9)


BAD = {
    "leads out": ([Entry("../x")], "leads out of the root"),
    "leads out later": ([Entry("a/../../x")], "leads out of the root"),
    "hard link out": ([Entry("a", "1", link="../x")], "hard link"),
    "hard link to nothing": ([Entry("a", "1", link="b")], "not there"),
    "twice": ([Entry("a"), Entry("./a")], "there twice"),
    "a device that replaces a directory": ([Entry("d/", "5"), Entry("d", "3", device=(1, 3))], "there twice"),
    "no name": ([Entry(".wh.")], "whiteout of no name"),
    "long name": ([Entry("x", pax={"path": "n" * 256})], "longer than 255"),
    "deep": ([Entry("x", pax={"path": "d/" * 1500 + "x"})], "directories deep"),
    "contiguous": ([Entry("a", "7")], "not one that engines take"),
    "impossible owner": ([Entry("a", pax={"uid": str(2**32)})], "owner"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
async def test_what_engines_refuse_is_refused(client: AsyncClient, tmp_path: Path, name: str, pack) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "bad.tar"
    entries, cause = BAD[name]
    path.write_bytes(pack(archive(entries)))
    with pytest.raises(InvalidContent, match=cause) as refused:
        await make(client, LayerFrom(path=str(path)))
    assert "bad.tar" in refused.value.message
    assert refused.value.code == "malformed-layer"


NO_ARCHIVE = {
    "nothing": (b"", "no-archive"),
    "a line": (b"text\n", "no-archive"),
    "text": (b"text\n" * 1000, "no-archive"),
    "text with gzip": (gzip.compress(b"text\n" * 1000), "no-archive"),
    "nothing with gzip": (gzip.compress(b""), "no-archive"),
    "nothing with bzip2": (bz2.compress(b""), "no-archive"),
    "cut": (PLAIN[:515], "malformed-layer"),
    "gzip, cut": (gzip.compress(PLAIN)[:-9], "invalid-content"),
    "gzip, and something else": (gzip.compress(PLAIN) + b"\0", "invalid-content"),
    "xz, cut": (lzma.compress(PLAIN)[:-9], "invalid-content"),
    "bzip2, cut": (bz2.compress(PLAIN)[:-9], "invalid-content"),
}


@pytest.mark.parametrize("name", NO_ARCHIVE)
async def test_what_is_no_archive(client: AsyncClient, tmp_path: Path, name: str) -> None:
    content, code = NO_ARCHIVE[name]
    path = tmp_path / "bad"
    path.write_bytes(content)
    with pytest.raises(InvalidContent) as refused:
        await make(client, LayerFrom(path=str(path)))
    assert refused.value.code == code
    assert str(path) in refused.value.message


async def test_a_bomb(client: AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lading.images.edits import new_layer
    from lading.images.files import layers

    monkeypatch.setattr(new_layer, "LIMITS", layers.LayerLimits(allowance=1_000_000))
    path = tmp_path / "bomb"
    plain = Entry("a", content=bytes(20_000_000)).archived() + END
    path.write_bytes(lzma.compress(plain))
    with pytest.raises(InvalidContent, match="looks like an attack"):
        await make(client, LayerFrom(path=str(path)))


async def test_an_archive_with_nothing_in_it(client: AsyncClient, tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(END)
    layer, _, plain = await make(client, LayerFrom(path=str(path)))
    assert plain == END
    assert "nothing in it" in layer.notes[0]


async def test_a_failure_leaves_nothing(client: AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    path = tmp_path / "bad"
    path.write_bytes(archive([Entry("a"), Entry("a")]))
    with pytest.raises(InvalidContent):
        await make(client, LayerFrom(path=str(path)))
    assert list((tmp_path / "scratch").iterdir()) == []


# Files on disk


async def test_what_is_kept_of_a_folder(client: AsyncClient, tree: Path) -> None:
    _, _, plain = await make(client, LayerFrom(path=str(tree)))
    assert listed(plain) == [
        "b@640,0,0,0",
        "d/@755,0,0,0",
        "d/b2~b@640,0,0,0",
        "d/empty/@755,0,0,0",
        "d/run@755,0,0,0",
        "link->../../etc/passwd@777,0,0,0",
        "to->d@777,0,0,0",
        "é@644,0,0,0",
    ]
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        content = tar.extractfile("b")
        assert content is not None
        assert content.read() == b"b" * 3000
    assert plain.endswith(END)
    assert not plain.endswith(END + bytes(512))


async def test_a_place_in_the_image(client: AsyncClient, tree: Path) -> None:
    os.utime(tree / "b", (1700000000, 1700000000.75))
    packing = Packing(owner=(7, 8), times="keep", modes=ModeChange("go="), ignore=Ignore(["d", "!d/run", "*i*k", "é"]))
    layer, _, plain = await make(client, LayerFrom(path=str(tree), place="/tmp/./www/", packing=packing))
    found = listed(plain)
    assert found[0] == "tmp/@1777,0,0,0"
    assert [one.partition("@")[0] for one in found[1:]] == [
        *("tmp/www/", "tmp/www/b", "tmp/www/d/", "tmp/www/d/run", "tmp/www/to->d")
    ]
    assert found[2] == "tmp/www/b@600,7,8,1700000000"
    assert layer.created_by == "COPY site /tmp/www # lading"


@pytest.mark.parametrize(
    "place, path", [("/usr/bin/tool", "usr/bin/tool"), ("/usr/bin/", "usr/bin/b"), ("/", "b"), ("/x/../y", "y")]
)
async def test_one_file(client: AsyncClient, tree: Path, place: str, path: str) -> None:
    _, _, plain = await make(client, LayerFrom(path=str(tree / "b"), place=place))
    *parents, last = listed(plain)
    assert last == f"{path}@640,0,0,0"
    assert parents == [f"{'/'.join(path.split('/')[: n + 1])}/@755,0,0,0" for n in range(path.count("/"))]


@pytest.mark.parametrize("place", ["relative", "/..", "/a/../../b", "/a\0b", ""])
async def test_what_is_no_place(client: AsyncClient, tree: Path, place: str) -> None:
    with pytest.raises(UsageError, match="absolute path"):
        await make(client, LayerFrom(path=str(tree), place=place))


async def test_what_cannot_be_in_a_layer(client: AsyncClient, tmp_path: Path) -> None:
    (tmp_path / "t/d").mkdir(parents=True)
    (tmp_path / "t/d/.wh.x").touch()
    with pytest.raises(InvalidContent, match=r"d/\.wh\.x cannot be in a layer"):
        await make(client, LayerFrom(path=str(tmp_path / "t")))
    with pytest.raises(NotFound, match="does not exist"):
        await make(client, LayerFrom(path=str(tmp_path / "none"), place="/x"))


async def test_other_types_of_files(client: AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tmp_path / "t"
    tree.mkdir()
    monkeypatch.chdir(tree)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("s")
    os.mkfifo("p", 0o600)
    (tree / "su").touch()
    (tree / "su").chmod(0o4755)
    layer, _, plain = await make(client, LayerFrom(path=str(tree)))
    assert listed(plain) == ["p@600,0,0,0", "su@4755,0,0,0"]
    first, second = layer.notes
    assert "s is left out: no layer can have sockets" in first
    assert "su is setuid or setgid" in second


async def test_links_that_others_made_are_not_followed(client: AsyncClient, tree: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/key").write_text("secret")
    (tree / "out").symlink_to(tmp_path / "secret")
    _, _, plain = await make(client, LayerFrom(path=str(tree)))
    assert b"secret" not in plain.replace(str(tmp_path / "secret").encode(), b"")
    # What the user names may be a link.
    (tmp_path / "named").symlink_to(tree)
    _, _, again = await make(client, LayerFrom(path=str(tmp_path / "named")))
    assert again == plain


async def test_a_file_that_changes_while_it_is_read(
    client: AsyncClient, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = os.read

    def shortened(fd: int, size: int) -> bytes:
        data = read(fd, size)
        if data.startswith(b"bbb"):
            os.truncate(tree / "b", 10)
        return data

    monkeypatch.setattr(os, "read", shortened)
    with pytest.raises(Conflict, match="was changed while it was read") as refused:
        await make(client, LayerFrom(path=str(tree)))
    assert refused.value.code == "file-changed"


async def test_extended_attributes_only_if_asked_for(client: AsyncClient, tree: Path) -> None:
    try:
        os.setxattr(tree / "b", "user.a", b"1")
        os.setxattr(tree / "d", "user.d", b"2")
    except OSError:
        pytest.skip("this file system has no extended attributes")
    _, _, without = await make(client, LayerFrom(path=str(tree)))
    _, _, plain = await make(client, LayerFrom(path=str(tree), packing=Packing(xattrs=True)))
    assert b"SCHILY" not in without
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        assert tar.getmember("b").pax_headers == {"SCHILY.xattr.user.a": "1"}
        assert tar.getmember("d").pax_headers == {"SCHILY.xattr.user.d": "2"}


SCRIPT = """
import asyncio, os, sys
from lading import AsyncClient
from lading.edits import LayerFrom
async def main():
    os.umask(int(sys.argv[2], 8))
    async with AsyncClient() as client:
        async with client.images.new_layer(LayerFrom(path=sys.argv[1], place="/srv/www")) as layer:
            print(layer.descriptor.digest, layer.created_by)
asyncio.run(main())
"""


def test_the_same_files_give_the_same_layer(tree: Path, tmp_path: Path) -> None:
    (tree / os.fsdecode(b"\xff\xfe")).touch(0o644)
    (tree / "Z").touch(0o644)
    (tree / "a").touch(0o644)
    other = tmp_path / "elsewhere/site"
    other.parent.mkdir()
    subprocess.run(["cp", "-a", tree, other], check=True)
    os.utime(other / "a", (5, 5))
    said = set()
    for folder, umask, locale, zone in (
        (tree, "022", "C", "UTC"),
        (other, "077", "C.UTF-8", "Asia/Tokyo"),
        (f"{other}/../site/", "000", "POSIX", "America/Lima"),
    ):
        environment = {**os.environ, "LC_ALL": locale, "TZ": zone, "PYTHONHASHSEED": umask}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, folder, umask], env=environment, check=True, capture_output=True, text=True
        )
        said.add(done.stdout)
    assert len(said) == 1
    assert next(iter(said)).endswith(" COPY site /srv/www # lading\n")


NAMES = st.text(st.sampled_from("ab-.é"), min_size=1, max_size=3).filter(lambda name: name not in (".", ".."))
TREES = st.recursive(
    st.binary(max_size=20), lambda inner: st.dictionaries(NAMES, inner, max_size=4), max_leaves=8
).filter(lambda tree: isinstance(tree, dict))


@given(tree=TREES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_folder_comes_out_again(tree: dict[str, object], tmp_path: Path, client: AsyncClient) -> None:
    top = tmp_path / hashlib.sha256(repr(tree).encode()).hexdigest()
    build(top, tree)
    _, _, plain = await make(client, LayerFrom(path=str(top)))
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        names = [one.name for one in tar]
        assert names == sorted(names, key=lambda name: [os.fsencode(part) for part in name.split("/")])
        found: dict[str, Any] = {}
        for one in tar.getmembers():
            *parents, name = one.name.split("/")
            at = found
            for parent in parents:
                at = at[parent]
            file = tar.extractfile(one)
            at[name] = file.read() if file is not None else {}
    assert found == tree


def build(path: Path, tree: object) -> None:
    if isinstance(tree, dict):
        path.mkdir(exist_ok=True)
        for name, inner in tree.items():
            build(path / name, inner)
    else:
        assert isinstance(tree, bytes)
        path.write_bytes(tree)


async def test_a_new_image_from_code(client: AsyncClient, tree: Path, tmp_path: Path) -> None:
    place = f"oci:{tmp_path / 'out'}:1"
    layers = [LayerFrom(path=str(tree), place="/srv/www"), LayerFrom(path=str(tree / "b"), place="/b", created=5)]
    report = await client.images.append(
        None, *layers, edits=[SetEnv("A", "1")], targets=place, platforms="linux/arm64/v8"
    )
    assert report.notes == []
    config = (await client.config(place)).document
    assert (config["created"], config["config"]) == ("1970-01-01T00:00:05Z", {"Env": ["A=1"]})
    assert [entry["created"] for entry in config["history"]] == ["1970-01-01T00:00:00Z", "1970-01-01T00:00:05Z"]
    async with client.images.open(place) as image:
        assert await image.read("/srv/www/to/run") == b"#!/bin/sh\n"
    with pytest.raises(UsageError, match="one platform"):
        await client.images.append(None, *layers, targets=place, platforms=["linux/arm64", "linux/amd64"])
    with pytest.raises(UsageError, match="nowhere"):
        await client.images.append(None, *layers)


async def test_a_layer_is_used_for_several_images(client: AsyncClient, tree: Path, tmp_path: Path) -> None:
    base = f"oci:{tmp_path / 'out'}:base"
    await client.images.append(None, LayerFrom(path=str(tree / "b"), place="/b"), targets=base)
    async with (
        client.images.new_layer(LayerFrom(path=str(tree))) as layer,
        client.images.open(base) as image,
    ):
        for tag in ("1", "2"):
            await client.images.push(image.with_layer(layer).with_label("n", tag), base.replace(":base", f":{tag}"))
    found = [(await client.get_manifest(base.replace(":base", f":{tag}"))).layers for tag in ("1", "2")]
    assert found[0] == found[1]
    assert found[0][-1].digest == layer.descriptor.digest
