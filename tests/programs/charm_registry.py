"""A registry as charmcraft's store uses it: is it there already, upload a blob, upload a manifest, an engine's image.

charmcraft pushes the image of a charm's resource to a repository that it was given for that, by digest and without a
tag, from a Docker engine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

from lading import Client, Credential, Digest, Event, Finished, GivenCredentials, NotFound


class OCIRegistry:
    """One repository of a registry."""

    def __init__(self, server: str, image_name: str, *, username: str = "", password: str = "") -> None:
        self.name = f"{server}/{image_name}"
        given = GivenCredentials(Credential(username=username, password=password)) if username else None
        self.client = Client(credentials=given)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def is_manifest_already_uploaded(self, reference: str) -> bool:
        """Whether a tag or a digest is there."""
        return self.client.contains(self._named(reference))

    def is_blob_already_uploaded(self, digest: str) -> bool:
        """Whether a blob is there."""
        return self.client.blobs.contains(self.name, digest)

    def upload_blob(self, path: Path) -> Digest:
        """Upload a file, unless it is there."""
        return self.client.blobs.put(self.name, path).digest

    def upload_manifest(self, data: bytes, reference: str) -> Digest:
        """Upload a manifest under a tag, or by its digest alone."""
        return self.client.put(data, self._named(reference)).digest

    def _named(self, reference: str) -> str:
        return f"{self.name}{'@' if ':' in reference else ':'}{reference}"


class ImageHandler:
    """Brings images from a Docker engine to a registry."""

    def __init__(self, registry: OCIRegistry) -> None:
        self.registry = registry
        self.log: list[str] = []

    def get_image_id(self, name: str) -> Digest | None:
        """The digest of an engine's image, by its name or its id; None where there is none."""
        try:
            return self.registry.client.digest(f"docker-daemon:{name}")
        except NotFound:
            return None

    def check_in_registry(self, digest: str) -> bool:
        """Whether an image is there already."""
        return self.registry.is_manifest_already_uploaded(digest)

    def upload_from_local(self, image: str) -> Digest:
        """Push an engine's image, by its name or its id, without giving it a tag."""
        source = f"docker-daemon:{image}"
        report = self.registry.client.copy(source, self.registry.name, by_digest=True, on_event=self._tell)
        return Digest(report.images[0].digest)

    def _tell(self, event: Event) -> None:
        if isinstance(event, Finished):
            self.log.append(f"{event.digest} {event.outcome}")
