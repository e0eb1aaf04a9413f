"""Artifacts as strangers make them, and folders as they are found after a pull."""

import gzip
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lading import Client, Descriptor, Digest, Manifest
from support.layers import Entry, archive

TITLE = "org.opencontainers.image.title"
UNPACK = "io.deis.oras.content.unpack"
TAR = "application/vnd.oci.image.layer.v1.tar"


def pushed(
    place: Path | str,
    *layers: tuple[bytes, Mapping[str, str]] | tuple[bytes, Mapping[str, str], str],
    media_type: str = TAR,
    config: tuple[bytes, str] | None = None,
    **manifest: Any,
) -> str:
    """The location of an artifact that says what a stranger may say.

    Args:
        place: where it is put: a folder that gets a layout, or a location.
        layers: content, annotations and perhaps a media type of each.
        media_type: of the other layers.
        config: content and media type.
        manifest: what else `Manifest.of` takes.
    """
    where = f"oci:{place}/hostile:1" if isinstance(place, Path) else place
    blobs = [
        (
            Descriptor(
                media_type=rest[0] if rest else media_type, digest=Digest.of(data), size=len(data), annotations=said
            ),
            data,
        )
        for data, said, *rest in layers
    ]
    if config is not None:
        manifest["config"] = _described(*config)
    else:
        manifest.setdefault("artifact_type", "a/b")
    made = Manifest.of([about for about, _ in blobs], **manifest)
    with Client() as client:
        for data in {data for _, data in blobs} | {config[0] if config is not None else b"{}"}:
            client.blobs.put(where, data)
        client.put(made, where)
    return where


def _described(data: bytes, media_type: str, said: Mapping[str, str] | None = None) -> Descriptor:
    return Descriptor(media_type=media_type, digest=Digest.of(data), size=len(data), annotations=dict(said or {}))


def packed(entries: str | Iterable[Entry], title: str = "d", **said: str) -> tuple[bytes, dict[str, str]]:
    """A directory as a layer, of entries as `support.layers` has them."""
    return gzip.compress(archive(entries), 1, mtime=0), {TITLE: title, UNPACK: "true", **said}


def tree(folder: Path) -> dict[str, tuple[str, int, str]]:
    """What is in a folder: kind, permissions and content of everything."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = ("link", 0, str(path.readlink()))
        else:
            content = "" if path.is_dir() else path.read_text()
            found[name] = ("directory" if path.is_dir() else "file", path.stat().st_mode & 0o777, content)
    return found
