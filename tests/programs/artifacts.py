"""Files in a registry: pushed as an artifact, attached to another one, and pulled again.

What the user guide of oras-py does with its `Registry`: push, push with annotations, attach, discover, pull, pull only
what has a media type.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lading import Client, Descriptor, Manifest, UsageError

TITLE = "org.opencontainers.image.title"


class File(NamedTuple):
    """A file to be pushed."""

    path: Path
    media_type: str = "application/vnd.oci.image.layer.v1.tar"
    title: str | None = None
    """Where it is put when it is pulled; its name by default."""
    annotations: Mapping[str, str] = {}


def push(
    client: Client,
    target: str,
    files: Iterable[File],
    *,
    artifact_type: str = "application/vnd.unknown.artifact.v1",
    annotations: Mapping[str, str] | None = None,
    subject: str | None = None,
) -> Descriptor:
    """Push files as one artifact; with a subject it is found as a referrer of that."""
    layers: list[Descriptor] = []
    for file in files:
        blob = client.blobs.put(target, file.path, media_type=file.media_type)
        titled = {TITLE: file.title or file.path.name, **file.annotations}
        layers.append(Descriptor(media_type=blob.media_type, digest=blob.digest, size=blob.size, annotations=titled))
    client.blobs.put(target, b"{}")  # what the empty config is
    manifest = Manifest.of(
        layers,
        artifact_type=artifact_type,
        annotations=annotations,
        subject=client.get(subject).descriptor if subject is not None else None,
    )
    return client.put(manifest, target)


def pull(client: Client, source: str, folder: Path, *, media_types: Sequence[str] = ()) -> list[Path]:
    """Pull the files of an artifact into a folder, and nowhere else."""
    paths: list[Path] = []
    for layer in client.get_manifest(source).layers:
        title = layer.annotations.get(TITLE)
        if title is None or (media_types and layer.media_type not in media_types):
            continue
        path = (folder / title).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise UsageError(f"{title!r} leads out of {folder}")
        path.parent.mkdir(parents=True, exist_ok=True)
        paths.append(client.blobs.download(source, layer, path))
    return paths


def attached(client: Client, reference: str, artifact_type: str | None = None) -> list[Descriptor]:
    """What refers to something."""
    with client.open(reference) as store:
        return list(store.referrers(client.get(reference).descriptor, artifact_type))


def tags(client: Client, repository: str) -> list[str]:
    """The tags of a repository."""
    return [info.tag for info in client.tags(repository)]
