"""What images are built on, as edits need it: which image of it is below an image, and whether it is."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from lading.errors import LadingError, Unsupported
from lading.images.edits.editing import Editing
from lading.images.platforms import choose_image
from lading.model.index import Index
from lading.model.text import counted
from lading.store import AnyManifest, Readable, fetch_manifest
from lading.stores.overlay import Overlay


class Base(msgspec.Struct, frozen=True):
    """What images are built on: an image, or an index of one for each platform."""

    store: Readable
    manifest: AnyManifest
    name: str
    """What it is called in messages."""
    reference: str | None = None
    """What annotations call it, such as `docker.io/library/debian:12`; None for what is in no registry."""

    async def image(self, like: Editing) -> Editing:
        """The image of it that is for the platform of an image.

        Raises:
            NotFound: it has none.
            InvalidContent: it is malformed.
        """
        manifest = self.manifest
        wanted = msgspec.structs.replace(like.platform, os_version="", os_features=())
        entry = await choose_image(self.store, manifest, wanted, self.name)
        found = manifest if entry.digest == manifest.digest else await fetch_manifest(self.store, entry.content)
        if isinstance(found, Index) or not found.is_image:
            raise Unsupported(f"{self.name} cannot be a base", cause="it is no image")
        image = Editing(Overlay(self.store), found, self.name)
        await image.read()
        return image

    def check(self, title: str, layers: Sequence[str], below: Sequence[str]) -> None:
        """Refuse an image whose first layers are not those of the base, whatever their compression.

        Args:
            title: what the image is called.
            layers: its diff IDs.
            below: those of the base.

        Raises:
            LadingError: they are not.
        """
        fields = {"reference": title, "base": self.name}
        if len(below) > len(layers):
            cause = f"the base has {counted(len(below), 'layer')}, and the image {len(layers)}"
            raise LadingError(f"{title} is not built on {self.name}", cause=cause, code="not-its-base", fields=fields)
        for number, (ours, theirs) in enumerate(zip(layers, below, strict=False), 1):
            if ours != theirs:
                cause = f"its layer {number} is {_short(ours)}, and that of the base {_short(theirs)}"
                raise LadingError(
                    f"{title} is not built on {self.name}",
                    cause=f"{cause} (diff IDs)",
                    remedy="name the base that it was built on, by its digest where its tag has moved",
                    code="not-its-base",
                    fields=fields,
                )


def _short(digest: str) -> str:
    return digest.partition(":")[2][:12]
