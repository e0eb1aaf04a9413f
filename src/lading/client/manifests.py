"""Manifests in any store: getting and putting them, and the config of an image. `AsyncClient` says what each does.

Knows stores and locations; a client's `Context` reaches them.
"""

from __future__ import annotations

from lading.client.context import Context
from lading.errors import DigestMismatch, InvalidContent, NotFound, Unsupported, UsageError
from lading.io.tasks import gather
from lading.model.config import ImageConfig
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.index import Index
from lading.model.manifest import Manifest, parse
from lading.model.media_types import is_foreign_layer
from lading.model.platform import Platform
from lading.store import AnyManifest, Readable, Remembers, fetch_manifest, put_manifest
from lading.stores.location import AnyLocation, Location, as_location
from lading.stores.opening import fetch_location
from lading.transfer.guard import Guard, find_named


async def get(context: Context, reference: AnyLocation, platform: Platform | None) -> AnyManifest:
    """See `AsyncClient.get`."""
    location = as_location(reference).full()
    async with context.open(location, mirrored=True) as store:
        return await _fetch(store, location, platform)


async def get_manifest(context: Context, reference: AnyLocation, platform: Platform | None) -> Manifest:
    """See `AsyncClient.get_manifest`."""
    found = await get(context, reference, platform)
    if not isinstance(found, Manifest):
        raise InvalidContent(
            f"{as_location(reference).full()} is an index, not the manifest of an image",
            remedy="choose one of its images by a platform" if platform is None else "choose one of its entries",
            code="is-index",
        )
    return found


async def get_index(context: Context, reference: AnyLocation) -> Index:
    """See `AsyncClient.get_index`."""
    found = await get(context, reference, None)
    if not isinstance(found, Index):
        raise InvalidContent(
            f"{as_location(reference).full()} is the manifest of an image, not an index", code="is-no-index"
        )
    return found


async def put(
    context: Context,
    manifest: AnyManifest | bytes,
    target: AnyLocation,
    if_digest: Digest | str | None,
    media_type: str | None,
    *,
    look: bool,
    dry_run: bool,
) -> Descriptor:
    """See `AsyncClient.put`."""
    location = as_location(target).full()
    parsed = parse(manifest, media_type) if isinstance(manifest, bytes) else manifest
    if location.pinned not in (None, parsed.digest):
        raise DigestMismatch(f"what is to be put as {location} has another digest", cause=f"it is {parsed.digest}")
    if location.is_docker:
        raise Unsupported(f"a single manifest cannot be put into {location.place}", remedy="copy the image there")
    tag = location.own_tag
    guard = Guard.of(if_digest)
    async with context.change(location, writing=True) as store:
        now: Descriptor | None = None
        # What was put here before is likely to be there still, with all that it lists; a digest tells whether it is.
        is_likely = look and isinstance(store, Remembers) and (tag is None or store.remembered(tag) == parsed.digest)
        if (guard and tag is not None) or (is_likely and not dry_run):
            now = await find_named(store, tag or parsed.digest, surely=bool(guard))
            guard.check(str(location), now.digest if now is not None else None, parsed.digest)
        if look and store.traits.is_remote and now is not None and now.digest == parsed.digest and not parsed.subject:
            return parsed.descriptor
        if look or not store.traits.is_remote:  # a registry looks itself, or does not: some take everything
            await _check_children(store, parsed)
        if dry_run:
            return parsed.descriptor
        check = guard.of_names({tag: (str(location), None)}, parsed.digest) if tag is not None else None
        await put_manifest(store, parsed, [tag] if tag is not None else [], check=check)
    return parsed.descriptor


async def _check_children(store: Readable, manifest: AnyManifest) -> None:
    """Raise NotFound where a store lacks something that a manifest refers to."""
    children = [
        child
        for child in dict.fromkeys(child.content for child in manifest.children)
        if not is_foreign_layer(child.media_type)
    ]
    there = await gather(map(store.contains, children))
    missing = [str(child.digest) for child, is_there in zip(children, there, strict=True) if not is_there]
    if missing:
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise NotFound(
            f"{store.name} lacks {', '.join(missing[:_SHOWN])}{more}, which the manifest refers to",
            remedy="put that there first",
            code="children-missing",
            fields={"store": store.name, "digests": missing},
        )


_SHOWN = 5


async def config(context: Context, reference: AnyLocation, platform: Platform | None) -> ImageConfig:
    """See `AsyncClient.config`."""
    from lading.images.platforms import image_config

    location = as_location(reference).full()
    async with context.open(location, mirrored=True) as store:
        manifest = await _fetch(store, location, platform)
        if isinstance(manifest, Index) and platform is None:
            raise UsageError(
                f"{location} is an index", remedy="choose one of its images by a platform", code="is-index"
            )
        found = await image_config(store, manifest) if isinstance(manifest, Manifest) else None
    if found is None:
        raise NotFound(f"{location} has no image config", cause="it is an artifact")
    return found


async def _fetch(store: Readable, location: Location, platform: Platform | None) -> AnyManifest:
    """The manifest of a location; with a platform, the image for it."""
    manifest = await fetch_location(store, location)
    if platform is None:
        return manifest
    from lading.images.platforms import choose_image

    entry = await choose_image(store, manifest, platform, str(location))
    return manifest if entry.digest == manifest.digest else await fetch_manifest(store, entry.content)
