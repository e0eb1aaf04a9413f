"""What clients pull from a store: gives the selection what it needs to read, for all clients at once.

This module reads; what a client does with what is read is in `lading.model.selection`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from lading.errors import DigestMismatch, InvalidContent, NotFound
from lading.io.tasks import gather
from lading.model.config import ImageConfig
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.manifest import Manifest
from lading.model.platform import Platform
from lading.model.reach import LIMITS
from lading.model.selection import Content, Gap, PullClient, Selection, select
from lading.store import AnyManifest, Readable, read
from lading.walk import Walk


class Shelf:
    """What has been read of what a list leads to, and where more of it is.

    Args:
        name: what the list is called.
        store: where everything is that no other place is known of.
        homes: where else something is, by digest.
    """

    def __init__(self, name: str, store: Readable, homes: Mapping[Digest, Readable] | None = None) -> None:
        self.contents: dict[Digest, Content] = {}
        self._walk = Walk(name)
        self._depths: dict[Digest, int] = {}
        self._store = store
        self._homes = dict(homes or {})

    def add(self, manifest: AnyManifest, home: Readable) -> None:
        """Keep a manifest, whose children are in `home`."""
        self.contents[manifest.digest] = manifest
        depth = self._depths.get(manifest.digest, 1) + 1
        for child in manifest.children:
            self._homes[child.digest] = home
            self._depths.setdefault(child.digest, depth)

    async def read(self, content: Descriptor, *, is_config: bool) -> None:
        """Read a manifest or a config, or note that it is missing or unreadable.

        Args:
            content: what to read.
            is_config: whether it is a config, and no manifest.

        Raises:
            DigestMismatch: the bytes are not those of the digest.
            InvalidContent: there is more than a walk follows.
        """
        store = self._homes.get(content.digest, self._store)
        try:
            if is_config:
                raw = await read(store, content)
                self.contents[content.digest] = ImageConfig.parse(raw)
                return
            self._walk.enter([content], self._depths.get(content.digest, 1))
            # By its digest alone: what the list says of its size may be wrong, and is for the clients to find.
            found = await self._walk.fetch(store, content.digest)
        except NotFound:
            self.contents[content.digest] = Gap.MISSING
        except DigestMismatch:
            raise
        except InvalidContent as error:
            if error.code in LIMITS:
                raise
            self.contents[content.digest] = Gap.UNREADABLE
        else:
            self.add(found, store)


async def selections(
    shelf: Shelf,
    manifest: AnyManifest,
    clients: Sequence[PullClient],
    *,
    platform: Platform | str | None,
    host: Platform,
    name: str,
) -> list[Selection]:
    """What each client takes; whatever several of them read is read once, and all that can be at the same time.

    Args:
        shelf: where to read.
        manifest: what the name that is pulled stands for.
        clients: who pulls.
        platform: what is asked for; None for what each client asks for itself.
        host: the machine the clients run on.
        name: what is pulled, for the messages of the clients.

    Raises:
        InvalidContent: there is more than a walk follows.
    """
    # As the clients call it: what is on Docker Hub without saying so.
    short = name.removeprefix("docker.io/library/").removeprefix("docker.io/")
    while True:
        found = [
            select(manifest, platform, as_=client, host=host, contents=shelf.contents, name=short) for client in clients
        ]
        needs = {content.digest: content for selection in found for content in selection.needs}
        if not needs:
            return found
        configs = _configs(manifest, shelf.contents.values())
        await gather(shelf.read(content, is_config=content.digest in configs) for content in needs.values())


def _configs(top: AnyManifest, contents: Iterable[Content]) -> set[Digest]:
    """The digests that are configs, of what has been read."""
    return {item.config.digest for item in (top, *contents) if isinstance(item, Manifest) and item.config is not None}
