"""Comparing: the two places are opened, what they name is read, and what differs is found by `images/diff`."""

from __future__ import annotations

from collections.abc import Sequence

from lading.client.context import Context
from lading.errors import UsageError
from lading.images.diff.compare import Opened, compare
from lading.images.diff.options import DiffOptions
from lading.images.diff.results import DiffReport
from lading.images.platforms import choose_image
from lading.io.tasks import gather
from lading.model.platform import Platform
from lading.store import Readable, fetch_manifest
from lading.stores.location import AnyLocation, Location, as_location
from lading.stores.opening import fetch_location


async def diff(
    context: Context, a: AnyLocation, b: AnyLocation, platforms: Sequence[Platform], options: DiffOptions
) -> DiffReport:
    """See `AsyncClient.diff`."""
    if len(platforms) > 2:
        raise UsageError("two are compared, for one platform or for two", cause=f"{len(platforms)} were given")
    wanted = (platforms[0], platforms[-1]) if platforms else (None, None)
    places = [as_location(place).full() for place in (a, b)]
    async with context.open(places[0], mirrored=True) as one, context.open(places[1], mirrored=True) as other:
        opened = await gather(map(_opened, (one, other), places, wanted))
        return await compare(opened[0], opened[1], options, context.remembered)


async def _opened(store: Readable, location: Location, platform: Platform | None) -> Opened:
    manifest = await fetch_location(store, location)
    if platform is not None:
        entry = await choose_image(store, manifest, platform, str(location))
        if entry.digest != manifest.digest:
            manifest = await fetch_manifest(store, entry.content)
    return Opened(store, str(location), manifest)
