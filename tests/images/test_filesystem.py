"""The merged file system of an image: what container engines make of the same layers is what is shown.

Each row was observed with containerd, Docker, Podman and umoci. Where they agree, that is what is expected; else what
the specification says. `refused` is for what would leave the root or lose a file, and for what engines refuse.
"""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading import AsyncClient
from lading.errors import InvalidContent
from lading.images.files.filesystem import Filesystem
from lading.io.tar_stream import Member
from support.layers import AnyLayer, Entry, image, listing, write_layout

OLD = "a=old keep=keep"
TREE = "d/ d/x=x d/sub/ d/sub/old=old keep=keep"
LINKED = "real/ real/x=x link->real"
FULL = "d/ d/sub/ d/sub/old=old d/x=x keep=keep"

MERGED: dict[str, tuple[list[str], str]] = {
    # Whiteouts
    "a file is hidden": ([OLD, "-a"], "keep=keep"),
    "a directory is hidden with what is in it": ([TREE, "-d"], "keep=keep"),
    "a link is hidden, and not its target": ([f"{OLD} s->a", "-s"], OLD),
    "a link to a directory is hidden, and not the directory": ([LINKED, "-link"], "real/ real/x=x"),
    "nothing is hidden": ([OLD, "-ghost"], OLD),
    "nothing is hidden in a directory that is not there": ([OLD, "-none/ghost"], f"{OLD} none/"),
    "a file of the same layer stays, hidden after it": ([OLD, "a=new -a"], "a=new keep=keep"),
    "a file of the same layer stays, hidden before it": ([OLD, "-a a=new"], "a=new keep=keep"),
    "a new file of the same layer stays": ([OLD, "n=new -n"], f"{OLD} n=new"),
    "the lowest layer hides nothing of its own": (["a=a b=b -a", "c=c"], "a=a b=b c=c"),
    "a directory is made again": ([TREE, "-d d/@700 d/new=new"], "d/@700 d/new=new keep=keep"),
    "a directory that is implied stays, hidden after it": ([OLD, "n/f=f -n"], f"{OLD} n/ n/f=f"),
    "a directory is implied again": (["d/@700,7,0 d/x=x", "d/new=new -d"], "d/ d/new=new"),
    "a file takes the place of a hidden directory": ([TREE, "-d", "d=file"], "d=file keep=keep"),
    "a hidden directory comes back with a file": (["d/@700,7,0 d/x=x", "-d", "d/y=y"], "d/ d/y=y"),
    "a whiteout leaves its directory as it is": (["d/@711,3,4 d/x=x d/y=y", "-d/x"], "d/@711,3,4 d/y=y"),
    "a directory is named as a whiteout": ([OLD, ".wh.d/ .wh.d/f=in"], f"{OLD} .wh.d/ .wh.d/f=in"),
    "a directory is implied that is named as a whiteout": (
        ["d/ d/x=x", ".wh.d/f=in"],
        "d/ d/x=x .wh.d/ .wh.d/f=in",
    ),
    "a whiteout is a directory": ([OLD, ".wh.a/"], "keep=keep"),
    "a whiteout is a link": ([OLD, ".wh.a->keep"], "keep=keep"),
    "a whiteout is a hard link": ([OLD, ".wh.a~keep"], "keep=keep"),
    "names of aufs hide nothing": ([OLD, ".wh..wh.aufs= .wh..wh.orph/ c=c"], f"{OLD} c=c"),
    "links of aufs are files": (
        [".wh..wh.plnk/@700 .wh..wh.plnk/1=p b~.wh..wh.plnk/1"],
        ".wh..wh.plnk/ .wh..wh.plnk/1=p b~.wh..wh.plnk/1",
    ),
    "the same layer twice, a whiteout between": (["a=a", "-a", "a=a"], "a=a"),
    "the same whiteout twice, a file between": (["-a b=b", "a=a", "-a b=b"], "b=b"),
    # Opaque directories
    "opaque, said last": ([TREE, "d/ d/new=new !d"], "d/ d/new=new keep=keep"),
    "opaque, said first": ([TREE, "!d d/ d/new=new"], "d/ d/new=new keep=keep"),
    "opaque, said in between": ([TREE, "d/ d/1=1 !d d/2=2"], "d/ d/1=1 d/2=2 keep=keep"),
    "opaque and nothing else": (["d/@711,3,4 d/x=x", "!d"], "d/@711,3,4"),
    "opaque, and below, too": ([TREE, "d/sub/n=n !d/sub !d d/m=m"], "d/ d/m=m d/sub/ d/sub/n=n keep=keep"),
    "opaque above what is new": ([TREE, "d/sub/n=n !d"], "d/ d/sub/ d/sub/n=n keep=keep"),
    "opaque, and hidden": ([TREE, "!d -d"], "keep=keep"),
    "opaque root": ([TREE, "n=n !"], "n=n"),
    "opaque where nothing is": ([OLD, "!n/m"], f"{OLD} n/ n/m/"),
    "opaque through a link": ([LINKED, "!link link/n=n"], "real/ real/n=n link->real"),
    # One type takes the place of another
    "a file for a directory": ([TREE, "d=file"], "d=file keep=keep"),
    "a link for a directory": ([f"{TREE} o/", "d->o"], "d->o keep=keep o/"),
    "a directory for a link": ([LINKED, "link/@700 link/n=n"], "link/@700 link/n=n real/ real/x=x"),
    "a directory for a file": ([OLD, "a/ a/x=x"], "a/ a/x=x keep=keep"),
    "a file for a link": ([f"{OLD} s->a", "s=new"], f"{OLD} s=new"),
    "a hard link for a directory": ([f"b=b {TREE}", "d~b"], "b=b d~b keep=keep"),
    "a pipe and a device": ([TREE, "keep| d#c1.3"], "keep| d#c1.3"),
    "a directory again": (["d/ d/x=x", "d/@1711,5,6"], "d/@1711,5,6 d/x=x"),
    # Parents that are links
    "through a link": ([LINKED, "link/n=n"], f"{LINKED} real/n=n"),
    "through an absolute link": (["real/ link->/real", "link/n=n"], "real/ real/n=n link->/real"),
    "through a link of the same layer": ([f"{LINKED} link/n=n"], f"{LINKED} real/n=n"),
    "through a link above the root": (["real/ link->../../real", "link/n=n"], "real/ real/n=n link->../../real"),
    "through two links": (["real/ l2->real l1->l2", "l1/n=n"], "real/ real/n=n l1->l2 l2->real"),
    "through a link to nowhere": (["link->/out/side", "link/n=n"], "link->/out/side out/ out/side/ out/side/n=n"),
    "a whiteout through a link": ([LINKED, "-link/x"], "real/ link->real"),
    "a link up and down": (["a/ b/ a/up->../b", "a/up/n=n"], "a/ a/up->../b b/ b/n=n"),
    # Hard links
    "a link before its file is hidden": ([OLD, "b~a -a"], "b=old keep=keep"),
    "a link to what comes again": ([OLD, "b~a a=new"], "a=new b=old keep=keep"),
    "a link to a link to nowhere": (["s->none b~s"], "b->none s~b"),
    "a chain of links": (["d/ a=a b~a c~b d/e~c"], "a=a b~a c~a d/ d/e~a"),
    "a pair over two files": (["a=1 b=2", "a=3 b~a"], "a=3 b~a"),
    "the last entry says who owns it": (["a=a@640,3,4 b~a@4755,7,8"], "a=a@4755,7,8 b~a@4755,7,8"),
    "targets with a slash or a dot": (["a=a b~/a c~./a"], "a=a b~a c~a"),
    "a link to a lower file": ([OLD, "b~a@600"], "a=old@600 b~a@600 keep=keep"),
    "a link through a link": ([LINKED, "b~link/x"], "b=x link->real real/ real/x~b"),
    # Parents, names
    "parents that nobody says": (["p/q/r/f=x@600,5,6"], "p/ p/q/ p/q/r/ p/q/r/f=x@600,5,6"),
    "parents that come later": (["p/q/f=x p/q/@711,3,0 p/@700,9,9"], "p/@700,9,9 p/q/@711,3,0 p/q/f=x"),
    "a dot before": ([TREE, "./ ./d/@711 -./d/x ./keep=new"], "./ d/@711 d/sub/ d/sub/old=old keep=new"),
    "two slashes": (["d/ d/x=x", "d//x=new .//y=y d/./z=z"], "d/ d/x=new d/z=z y=y"),
    "up and down again": ([TREE, "d/../x=x"], f"{FULL} x=x"),
    "an absolute name": (["/a=a /d/b=b"], "a=a d/ d/b=b"),
    "the root itself": (["./@700,12,13 a=a"], "./@700,12,13 a=a"),
    "bits of the type in the mode": (["a=a@100644 d/@40755 s->a"], "a=a d/ s->a"),
    "special bits": (["u=x@4755,3,0 g=x@2755,0,3 t/@1777 n=x@0"], "u=x@4755,3,0 g=x@2755,0,3 t/@1777 n=x@0"),
    "devices": (["c#c5.1@620,0,5 b#b8.17@660 p|@600,4,0"], "c#c5.1@620,0,5 b#b8.17@660 p|@600,4,0"),
    "a device 0:0": ([OLD, "a#c0.0"], "a#c0.0 keep=keep"),
    # Layers without entries
    "no layers": ([], ""),
    "nothing but the end": ([OLD, ""], OLD),
}

REFUSED: dict[str, tuple[list[str], str]] = {
    "a whiteout of this directory": ([TREE, "-d/."], "d/.wh..: it is a whiteout of no name"),
    "a whiteout of the parent": ([TREE, "-d/.."], "a whiteout of no name"),
    "a whiteout of nothing": ([TREE, "-d/"], "a whiteout of no name"),
    "a whiteout of a directory of the same layer": ([TREE, "d/@700 d/new=new -d"], "that the same layer has before it"),
    "a whiteout of what a directory of the same layer is in": (
        [TREE, "d/sub/ -d"],
        "that the same layer has before it",
    ),
    "opaque, and it is a file": ([OLD, "!a"], "its parent a is no directory"),
    "a directory after a link": ([f"{LINKED} link/"], "link: it is there twice"),
    "a loop of links": (["a->b b->a", "a/n=n"], "loop of symbolic links"),
    "a link to itself": (["a->a a/n=n"], "loop of symbolic links"),
    "through a file": ([OLD, "a/x=x"], "its parent a is no directory"),
    "through a link to a file": ([f"{OLD} s->a", "s/x=x"], "no directory"),
    "a hard link to what is hidden": ([OLD, "-a b~a"], "a hard link to a, which is not there"),
    "a hard link to nothing": ([OLD, "b~none"], "a hard link to none, which is not there"),
    "a hard link to what comes later": (["b~a a=a"], "not there"),
    "a hard link to a directory": ([TREE, "b~d"], "a hard link to a directory"),
    "a hard link to the root": ([TREE, "b~/"], "a hard link to a directory"),
    "a hard link to itself": ([OLD, "a~a"], "which is not there"),
    "a hard link to what is in the directory that it replaces": ([TREE, "d~d/x"], "not there"),
    "a hard link out": ([OLD, "b~../../etc/passwd"], "a hard link to ../../etc/passwd, which is not there"),
    "a hard link to no name": ([OLD, "b~"], "a link to no name"),
    "a symbolic link to no name": (["s->"], "a link to no name"),
    "a file twice": (["a=1 b=b a=2"], "a: it is there twice"),
    "a file, then a directory": (["a=1 a/ a/x=x"], "there twice"),
    "a directory twice": (["a/@700 a/x=x a/@755,4,0"], "there twice"),
    "a file twice, spelled otherwise": (["d/a=1 ./d//a=2"], "there twice"),
    "a file again after its hard link": (["a=old b~a a=new"], "there twice"),
    "the root as a link": (["a=a", ".->a"], "it would replace the root"),
    "out of the root": ([OLD, "../../pwned=x"], "it leads out of the root"),
    "out of the root, from within": ([OLD, "d/../../pwned=x"], "it leads out of the root"),
    "a device that is not possible": (["a#c9999999.1"], "not possible"),
}


@pytest.mark.parametrize("name", MERGED)
async def test_layers_are_merged_as_engines_do(name: str, tmp_path: Path) -> None:
    layers, expected = MERGED[name]
    place = write_layout(tmp_path, image(*layers))
    async with AsyncClient() as client, client.images.open(place) as opened:
        found = await opened.files(recursive=True)
        root = (await opened.files(directory=True)).entries
        contents = {entry.path: await opened.read(entry.path) for entry in found.entries if entry.type == "file"}
    shown = [*found.entries, *(entry for entry in root if entry.mtime is not None)]
    assert listing(shown, contents) == sorted(expected.split())


@pytest.mark.parametrize("name", REFUSED)
async def test_what_engines_refuse_is_refused(name: str, tmp_path: Path) -> None:
    layers, cause = REFUSED[name]
    place = write_layout(tmp_path, image(*layers))
    async with AsyncClient() as client:
        with pytest.raises(InvalidContent) as refused:
            await client.images.files(place, recursive=True)
        assert cause in (refused.value.cause or "")
        with pytest.raises(InvalidContent):
            await client.images.export(place, tmp_path / "out.tar")
        with pytest.raises(InvalidContent):
            await client.images.export(place, f"{tmp_path}/out/")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["blobs", "index.json", "oci-layout"]


LONG = "/".join(["x" * 49] * 6)
ODD: dict[str, tuple[AnyLayer, str]] = {
    "no name": ([Entry(""), Entry("b")], "it has no name"),
    "a name of 256 bytes": ([Entry("n", pax={"path": "n" * 256})], "longer than 255 bytes"),
    "a name of 256 bytes in 128 letters": ([Entry("n", pax={"path": "ü" * 128})], "longer than 255 bytes"),
    "a path of 5000 bytes": ([Entry("n", pax={"path": "/".join(["n" * 99] * 50)})], "longer than 4095 bytes"),
    "1500 directories": ([Entry("n", pax={"path": "/".join("n" * 1500)})], "deep"),
    "a link to 5000 bytes": ([Entry("s", "2", pax={"linkpath": "n" * 5000})], "4095 bytes"),
    "the owner 2^32": ([Entry("a", pax={"uid": str(2**32)})], "owner 4294967296:0 is not possible"),
    "the group -1": ([Entry("a", pax={"gid": "-1"})], "is not possible"),
    "the type 7": ([Entry("a", "7", b"x")], "its type '7'"),
    "the type S": ([Entry("a", "S", b"x", is_gnu=True)], "its type 'S'"),
    "the type V": ([Entry("label", "V", is_gnu=True)], "its type 'V'"),
    "the type D": ([Entry("d", "D", is_gnu=True)], "its type 'D'"),
    "the type Z": ([Entry("z", "Z")], "its type 'Z'"),
}


@pytest.mark.parametrize("name", ODD)
async def test_entries_that_engines_refuse_are_refused(name: str, tmp_path: Path) -> None:
    layer, cause = ODD[name]
    place = write_layout(tmp_path, image(layer))
    async with AsyncClient() as client:
        with pytest.raises(InvalidContent) as refused:
            await client.images.files(place, recursive=True)
    assert cause in (refused.value.cause or "")


async def test_names_keep_every_byte(tmp_path: Path) -> None:
    names: list[bytes] = [b"caf\xe9", "caf\u00e9".encode(), "cafe\u0301".encode(), b"new\nline", b"space "]
    names += [b"back\\slash", b"st*r?[x]", b"-rf", b"C:", LONG.encode()]
    layer = [Entry(b"n", content=name, pax={"path": name}) for name in names]
    layer += [Entry("s", "2", link=b"\xff\xfe"), Entry("t", "2", pax={"linkpath": LONG})]
    place = write_layout(tmp_path, image(layer))
    async with AsyncClient() as client, client.images.open(place) as opened:
        found = {entry.path: entry for entry in (await opened.files(recursive=True)).entries}
        for name in names:
            path = name.decode("utf-8", "surrogateescape")
            assert path in found
            assert await opened.read(path) == name
        assert found["s"].link == "\udcff\udcfe"
        assert found["t"].link == LONG


async def test_attributes_are_those_of_the_last_entry(tmp_path: Path) -> None:
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    lower = [
        Entry("d/", "5", mode=0o755, pax={"SCHILY.xattr.user.one": "1"}),
        Entry("a", pax={"SCHILY.xattr.security.capability": capability, "SCHILY.xattr.user.y": b"\0=\xff"}),
        Entry("b", "1", link="a"),
        Entry("e", pax={"LIBARCHIVE.xattr.user.x": "MQ", "comment": "hello", "uid": "3000000000", "mtime": "5.25"}),
    ]
    upper = [
        Entry("d/", "5", mode=0o700, pax={"SCHILY.xattr.user.two": "2", "SCHILY.xattr.trusted.overlay.opaque": "y"})
    ]
    place = write_layout(tmp_path, image(lower, upper))
    async with AsyncClient() as client:
        found = await client.images.files(place)
    by_path = {entry.path: entry for entry in found.entries}
    assert by_path["d"].xattrs == {"user.two": b"2".hex()}
    assert by_path["a"].xattrs == {"security.capability": capability.hex(), "user.y": "003dff"}
    assert by_path["b"].xattrs == by_path["a"].xattrs
    assert (by_path["e"].xattrs, by_path["e"].uid, by_path["e"].mtime) == ({}, 3000000000, 5.25)
    assert by_path["d"].mtime == 2000
    assert found.warnings == ("layer 2: d has attributes of overlays, which are left out",)


async def test_what_engines_do_not_agree_on_is_said(tmp_path: Path) -> None:
    place = write_layout(tmp_path, image(f"{LINKED} z=z", "link/n=n link/m=m y~z", "y=y -y"))
    async with AsyncClient() as client:
        found = await client.images.files(place)
    through, hard, hidden = found.warnings
    assert through.startswith("layer 2: link/n (and 1 more) is below a symbolic link of a lower layer")
    assert hard == "layer 2: y is a hard link to a file of a lower layer, which engines with overlays refuse"
    assert hidden == "layer 3: .wh.y is a whiteout of what the same layer has, which engines do not agree on"


# Whiteouts beside a model of the specification: what a layer hides it hides of the layers below, wherever it says so

FOLDERS = ["a", "b", "a/a", "a/b", "b/a", "b/b", "a/a/a"]
FILES = ["x", "y", *(f"{folder}/{name}" for folder in FOLDERS for name in "xy")]


@st.composite
def layer_texts(draw: st.DrawFn) -> str:
    words = [f"{folder}/@{draw(st.sampled_from(['700', '711']))}" for folder in draw(st.sets(st.sampled_from(FOLDERS)))]
    words += [f"{name}={draw(st.sampled_from('12'))}" for name in draw(st.sets(st.sampled_from(FILES), max_size=6))]
    words += [f"-{name}" for name in draw(st.sets(st.sampled_from(FILES + FOLDERS), max_size=4))]
    words += [f"!{folder}" for folder in draw(st.sets(st.sampled_from(FOLDERS), max_size=2))]
    # A whiteout of a directory that the same layer has before it is refused.
    return " ".join(sorted(draw(st.permutations(words)), key=lambda word: word[0] != "-" or word[1:] not in FOLDERS))


def modelled(layers: list[str]) -> dict[str, str]:
    """Paths with what is there: a content, or the mode of a directory, empty where none is said."""
    tree: dict[str, str] = {}
    for text in layers:
        words = text.split()
        for word in words:
            if word[0] == "-":
                tree = {path: it for path, it in tree.items() if not f"{path}/".startswith(f"{word[1:]}/")}
            elif word[0] == "!":
                tree = {path: it for path, it in tree.items() if not path.startswith(f"{word[1:]}/")}
        for word in words:
            if word[0] in "-!":
                continue
            path, said = word.split("/@") if "/@" in word else word.split("=")
            tree[path] = said
            while "/" in path:
                path = path.rpartition("/")[0]
                tree.setdefault(path, "")
    return tree


def pruned(tree: dict[str, str]) -> dict[str, str]:
    """Without empty directories that are only implied: a whiteout makes those above it."""
    empty = {path for path, said in tree.items() if not said and not any(p.startswith(f"{path}/") for p in tree)}
    return pruned({path: said for path, said in tree.items() if path not in empty}) if empty else tree


@given(st.lists(layer_texts(), min_size=1, max_size=4))
def test_whiteouts_hide_what_the_model_hides(layers: list[str]) -> None:
    from support.layers import entries

    files, contents = Filesystem("an image"), {}
    for number, text in enumerate(layers):
        members = []
        for position, entry in enumerate(entries(text)):
            contents[number, position] = entry.content.decode()
            members.append(
                Member(
                    name=str(entry.name),
                    type=entry.type,
                    mode=entry.mode,
                    uid=0,
                    gid=0,
                    size=len(entry.content),
                    mtime=0,
                    offset=position,
                )
            )
        files.apply(number, members)
    found = {}
    for path, node in files.walk("", files.root):
        if node.children is None:
            found[path] = contents[node.inode.layer, node.inode.member.offset]
        else:
            found[path] = "" if node.is_implied else f"{node.inode.member.mode:o}"
    assert pruned(found) == pruned(modelled(layers))


def test_an_order_of_entries_that_says_the_same_gives_the_same() -> None:
    """Directories, files and whiteouts of one layer, shuffled."""
    from support.layers import entries

    seen = set()
    for seed in range(20):
        files = Filesystem("an image")
        for number, text in enumerate([TREE, "-d/x !d/sub d/sub/new=new d/y=y e/ e/f=f"]):
            described = entries(text)
            random.Random(seed).shuffle(described)
            files.apply(
                number,
                [Member(name=str(e.name), type=e.type, mode=e.mode, uid=0, gid=0, size=0, mtime=0) for e in described],
            )
        seen.add(tuple(path for path, _ in files.walk("", files.root)))
    assert seen == {("d", "d/sub", "d/sub/new", "d/y", "e", "e/f", "keep")}
