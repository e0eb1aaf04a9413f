"""Layers that say what is in them: eStargz and zstd:chunked are listed without being read, and are verified."""

import gzip
import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from support.images import Manifest, digest_of, push
from support.lading import Lading
from support.layers import Blob, Entry, archive, entries, image, padded, write_layout
from support.parts import need
from support.process import run
from support.proxy import CountingProxy
from support.registry import RealRegistry

TYPES = {"0": "reg", "1": "hardlink", "2": "symlink", "3": "char", "5": "dir", "6": "fifo"}
LARGE = Entry("large", content=b"".join(hashlib.sha256(bytes([n])).digest() * 40 for n in range(250)))
BASE = [*entries("d/@711 d/x=x a=hello@640,3,4 b~a s->a p| c#c5.1 e="), LARGE]
TOP = [*entries("t=top -d/x -e")]
CHUNK = 100_000


def estargz(described: Sequence[Entry], number: int, lie: str | None = None) -> tuple[Blob, str]:
    """A layer with a table of contents at its end (eStargz specification), and the digest of the table.

    With `lie`, that is what the table has for the digest of each content.
    """
    blob, plain = b"", b""
    table: list[dict[str, object]] = []
    for entry in described:
        whole = entry.archived(number)
        head = whole[: len(whole) - len(padded(entry.content))]
        blob, plain = blob + gzip.compress(head, mtime=0), plain + whole
        said: dict[str, object] = {
            "name": entry.name,
            "type": TYPES[entry.type],
            "mode": entry.mode,
            "uid": entry.uid,
            "gid": entry.gid,
            "linkName": entry.link,
            "modtime": f"1970-01-01T00:{(number + 1) * 1000 // 60:02}:{(number + 1) * 1000 % 60:02}Z",
            "devMajor": entry.device[0],
            "devMinor": entry.device[1],
        }
        if entry.type == "0":
            said |= {"size": len(entry.content), "digest": digest_of(entry.content)}
        for at in range(0, len(entry.content), CHUNK):
            chunk = entry.content[at : at + CHUNK]
            is_last = at + CHUNK >= len(entry.content)
            about: dict[str, object] = {"offset": len(blob), "chunkOffset": at, "chunkDigest": lie or digest_of(chunk)}
            about |= {} if is_last else {"chunkSize": len(chunk)}
            table.append((said if at == 0 else {"name": entry.name, "type": "chunk"}) | about)
            padding = bytes(-len(entry.content) % 512) if is_last else b""
            blob += gzip.compress(chunk + padding, mtime=0)
        if not entry.content:
            table.append(said)
    raw = json.dumps({"version": 1, "entries": table}).encode()
    end = archive([Entry("stargz.index.json", content=raw)], number)
    place = b"%016xSTARGZ" % len(blob)
    footer = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x1a\0SG\x16\0" + place + b"\x01\0\0\xff\xff" + bytes(8)
    return Blob(blob + gzip.compress(end, mtime=0) + footer, plain + end), digest_of(raw)


def stargz_image(*layers: Sequence[Entry], digest: str | None = None) -> Manifest:
    made = [estargz(layer, number) for number, layer in enumerate(layers)]
    annotations = {
        number: {"containerd.io/snapshot/stargz/toc.digest": digest or said} for number, (_, said) in enumerate(made)
    }
    return image(*(blob for blob, _ in made), annotations=annotations)


@pytest.fixture
def plain(lading: Lading, tmp_path: Path) -> str:
    """What is listed of the image when its layers are read."""
    place = write_layout(tmp_path / "plain", image(BASE, TOP))
    return shown(lading, place)


def shown(lading: Lading, place: str) -> str:
    """What is listed: all but the digests of layers."""
    template = (
        "{% for e in entries %}{{ [e.path, e.type, e.size, e.mode, e.uid, e.gid, e.mtime, e.link] }}\\n{% endfor %}"
    )
    return lading.run("image", "ls", place, "-R", "--format", template).stdout


def ranges(proxy: CountingProxy) -> list[int]:
    """The status of each answer with content of a layer."""
    return [one.status for one in proxy.exchanges if "/blobs/" in one.path and one.headers.get("Range")]


def test_estargz_is_listed_by_its_table(
    lading: Lading, plain: str, proxy: CountingProxy, registry: RealRegistry, repository: str
) -> None:
    push(registry.host, repository, "1", stargz_image(BASE, TOP))
    name = f"{proxy.host}/{repository}:1"
    assert shown(lading, name) == plain
    assert ranges(proxy) == [206] * 4  # of each layer where the table is, and the table
    assert proxy.count("GET", "/blobs/") == 5  # and the config
    for path, content in (("large", LARGE.content), ("a", b"hello"), ("s", b"hello"), ("b", b"hello"), ("t", b"top")):
        proxy.reset()
        assert lading.run("image", "cat", name, path).stdout_bytes == content
        assert ranges(proxy) == [206]
        assert proxy.count("GET", "/blobs/") == 1
    exported = lading.run("image", "export", name).stdout_bytes
    assert LARGE.content in exported


def test_zstd_chunked_is_listed_by_its_table(
    lading: Lading, plain: str, proxy: CountingProxy, registry: RealRegistry, repository: str, tmp_path: Path
) -> None:
    skopeo = need("skopeo")
    chunked = f"oci:{tmp_path}/chunked:t"
    run([skopeo, "copy", "--dest-compress-format", "zstd:chunked", f"oci:{tmp_path}/plain:t", chunked])
    lading.run("copy", chunked, f"{registry.host}/{repository}:1")
    name = f"{proxy.host}/{repository}:1"
    assert shown(lading, name) == plain
    assert ranges(proxy) == [206] * 2
    assert proxy.count("GET", "/blobs/") == 3
    for path, content in (("large", LARGE.content), ("a", b"hello"), ("t", b"top")):
        proxy.reset()
        assert lading.run("image", "cat", name, path).stdout_bytes == content
        assert ranges(proxy) == [206]
    shutil.rmtree(lading.home / ".cache")
    assert LARGE.content in lading.run("image", "export", name).stdout_bytes


def test_a_table_that_is_not_what_the_manifest_says_is_not_used(lading: Lading, plain: str, tmp_path: Path) -> None:
    place = write_layout(tmp_path / "other", stargz_image(BASE, TOP, digest=digest_of(b"other")))
    lines = shown(lading, place).splitlines()
    assert [line for line in lines if "stargz.index.json" not in line] == plain.splitlines()
    assert lading.run("image", "cat", place, "a").stdout == "hello"


def test_a_layer_without_the_table_that_it_should_have_is_read(lading: Lading, tmp_path: Path) -> None:
    blob, said = estargz(TOP, 0)
    other = Blob(gzip.compress(blob.plain, mtime=0), blob.plain)
    place = write_layout(
        tmp_path / "other", image(other, annotations={0: {"containerd.io/snapshot/stargz/toc.digest": said}})
    )
    assert lading.run("image", "cat", place, "t").stdout == "top"


def test_a_content_that_is_not_what_the_table_says_is_not_given_out(lading: Lading, tmp_path: Path) -> None:
    blob, said = estargz(BASE, 0, lie=digest_of(b"other"))
    annotations = {0: {"containerd.io/snapshot/stargz/toc.digest": said}}
    place = write_layout(tmp_path / "layout", image(blob, annotations=annotations))
    for path in ("a", "large"):
        failed = lading.run("image", "cat", place, path, check=False)
        assert (failed.returncode, failed.stdout) == (7, "")
