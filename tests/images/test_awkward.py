"""Awkward layers: what is made of each image is what container engines were seen to make of it.

`data/awkward.json` is what `observe.py` saw. Where the engines of containerd and Docker came to the same, all of them
or all but one, that is what lading shows. Else the specification decides, and where it says nothing, what can neither
leave the root nor lose a file: `DECIDED` says for each of these which engine did that, or that it is refused, and why.
"""

import io
import json
import os
from collections import Counter
from pathlib import Path

import pytest

from lading import AsyncClient
from lading.edits import Flatten, Squash
from lading.errors import LadingError
from lading.images.views import Image
from support.awkward import CASES, OUTSIDE
from support.layers import observed, tree, write_layout

SEEN: dict[str, dict[str, list[str]]] = json.loads((Path(__file__).parent / "data" / "awkward.json").read_text())
REFUSED = "refused"
DECIDED: dict[str, tuple[str, str]] = {
    name: (engine, why)
    for engine, why, names in (
        (
            "umoci 0.4.7",
            "whiteouts are for lower layers only: what the same layer has stays",
            "symlink-then-wh wh-implied-before",
        ),
        (
            "containerd 2.3.4 overlayfs",
            "opaque markers are for lower layers only: what the same layer has stays",
            "opq-sub-before-parent",
        ),
        (
            "containerd 2.3.4 native",
            "a link is followed, inside the root; overlays put a directory in its place",
            "wh-through-link opq-through-link opq-through-new-link parent-up-and-down parent-dot parent-root"
            " parent-dangling parent-dangling-same-layer parent-link-in-middle escape-etc escape-etc-same-layer"
            " escape-up escape-up-same-layer escape-by-steps escape-directory escape-whiteout escape-opaque"
            " escape-dots-in-link",
        ),
        ("umoci 0.4.7", "a link is followed; native copies links apart", "parent-hard-link-to-link"),
        (
            "containerd 2.3.4 native",
            "the layer is applied to the tree, in its order; overlays refuse the whiteout of what is there, or the link"
            " to a lower layer, and know no opaque root",
            "wh-parent-then-child wh-child-then-parent wh-implied-after wh-then-subdir opq-root opq-root-last"
            " opq-link-to-hidden-first hl-link-lower hl-over-three-layers hl-then-file hl-cross-then-change",
        ),
        (
            REFUSED,
            "layers MUST NOT have one name twice; containerd lets the last one win",
            "wh-twice wh-twice-spelled opq-twice escape-link-then-file escape-link-then-hard-link hl-twice"
            " dup-file-link dup-link-link dup-dir-file dup-hl-file dup-fifo-file dup-spelled dup-pax dup-dir-same"
            " dup-root",
        ),
        (
            REFUSED,
            "its parent is no directory, and nothing is to be lost; overlays put a directory in its place",
            "wh-below-file opq-through-link-to-file opq-over-link dir-over-file-implied parent-link-to-file parent-fifo"
            " parent-device",
        ),
        (REFUSED, "Linux follows no more than 40 links", "parent-45-links"),
        (REFUSED, "it leads out of the root; engines stop there", "name-parent name-parent-slash pax-path-up"),
        (REFUSED, "it would replace the root; engines leave it out", "name-root-file type-unnamed-V"),
        (
            REFUSED,
            "it becomes root's, or another device, in every engine",
            "pax-uid-negative pax-uid-nobody header-uid-256-huge header-uid-256-negative header-device-huge",
        ),
        (
            "docker 20.10.24 vfs",
            "attributes are kept; containerd drops trusted ones",
            "xattr-on-link xattr-trusted xattr-on-fifo",
        ),
        (
            "containerd 2.3.4 overlayfs",
            "what overlays keep their own things in is left out; attributes may be empty",
            "xattr-overlay-redirect xattr-empty",
        ),
        (
            "containerd 2.3.4 overlayfs",
            "zstd is read, skippable frames too; Docker 20.10 has no zstd",
            "stream-two-frames stream-skip-between stream-skip-behind stream-skip-only stream-skip-twice-first"
            " stream-empty-frame stream-empty-zstd stream-zstd-as-gzip",
        ),
        ("podman 4.3.1 vfs", "the bytes decide, not the media type", "stream-zstd-as-tar"),
        ("docker 20.10.24 vfs", "a layer of no bytes has no files", "stream-nothing-gzip"),
        (REFUSED, "bzip2 is no compression of layers; Docker reads it", "stream-bzip2"),
    )
    for name in names.split()
}


def expected(name: str) -> str:
    """What lading is to show."""
    if name in DECIDED:
        engine, _ = DECIDED[name]
        return engine if engine == REFUSED else next(said for said, by in SEEN[name].items() if engine in by)
    engines = [said for said, by in SEEN[name].items() for one in by if one.startswith(("containerd", "docker"))]
    ((outcome, count),) = Counter(engines).most_common(1)
    assert count >= len(engines) - 1, f"{name} is not decided"
    return outcome


@pytest.mark.parametrize("name", CASES)
async def test_an_image_is_what_engines_make_of_it(name: str, tmp_path: Path) -> None:
    place = write_layout(tmp_path / "layout", CASES[name])
    async with AsyncClient() as client:
        try:
            async with client.images.open(place) as opened:
                found = await listed(opened)
        except LadingError as error:
            found = REFUSED if error.exit_code == 7 else repr(error)
        assert found == expected(name)
        if found == REFUSED:
            for target in (io.BytesIO(), f"{tmp_path}/root/", tmp_path / "root.tar"):
                with pytest.raises(LadingError):
                    await client.images.export(place, target)
        else:
            done = await client.images.export(place, f"{tmp_path}/root/")
            if os.geteuid() == 0 and not done.lost:
                assert tree(tmp_path / "root") == found
    left = [*(["root"] if found != REFUSED else []), "layout"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(left)
    assert not Path("/etc/lading-pwned").exists()
    assert not Path(OUTSIDE, "pwned").exists()


@pytest.mark.parametrize("name", CASES)
async def test_layers_put_together_make_the_same(name: str, tmp_path: Path) -> None:
    """In one layer, and in one over the layers below, whichever these are."""
    place = write_layout(tmp_path / "layout", CASES[name])
    target = f"oci:{tmp_path}/edited:t"
    edits = [Flatten(compression="none"), *(Squash(from_layer=str(n)) for n in range(2, len(CASES[name].layers)))]
    async with AsyncClient() as client:
        for edit in edits:
            if expected(name) == REFUSED:
                if len(CASES[name].layers) > 1:
                    with pytest.raises(LadingError):
                        await client.images.edit(place, edit, targets=target)
                continue
            await client.images.edit(place, edit, targets=target)
            async with client.images.open(place) as before, client.images.open(target) as after:
                assert await listed(after) == await listed(before)


async def listed(image: Image) -> str:
    """What is in an image, as `support.layers.tree` writes it."""
    lines = []
    for entry in (await image.files(recursive=True)).entries:
        major, minor = (entry.device or "0:0").split(":")
        said = observed(
            entry.type,
            mode=entry.mode,
            uid=entry.uid,
            gid=entry.gid,
            mtime=entry.mtime,
            content=await image.read(entry.path) if entry.type == "file" else b"",
            link=entry.link,
            device=(int(major), int(minor)),
            hard_link=entry.hard_link,
            xattrs={key: bytes.fromhex(value) for key, value in entry.xattrs.items()},
        )
        lines.append(f"{entry.path} {said}")
    return "\n".join(lines)


def test_all_cases_were_observed() -> None:
    engines = {engine for outcomes in SEEN.values() for by in outcomes.values() for engine in by}
    assert len(engines) >= 9
    assert SEEN.keys() == CASES.keys()
    for name, outcomes in SEEN.items():
        assert len({engine for by in outcomes.values() for engine in by}) >= len(engines) - 2, name
