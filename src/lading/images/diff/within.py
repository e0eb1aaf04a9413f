"""What differs within layers: files, packages and texts. It is loaded where layers are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from lading.images.diff.files import compare_files
from lading.images.diff.inside import Inside
from lading.images.diff.options import DiffOptions
from lading.images.diff.packages import kind_of
from lading.images.diff.results import ContentDiff, DiffLayer, ImageDiff
from lading.images.diff.text import LIMIT, TOTAL, content_diff
from lading.images.files.entries import glob, is_glob
from lading.images.files.indexing import Remembered
from lading.images.files.reading import Reading
from lading.images.views import Image
from lading.io.threads import in_thread
from lading.model.descriptor import Descriptor
from lading.store import Readable, read


async def with_files(
    result: ImageDiff, a: Image, b: Image, options: DiffOptions, remembered: Remembered
) -> tuple[ImageDiff, list[str]]:
    """Add to what differs between two images what differs in their files.

    Args:
        result: what is known.
        a: one image.
        b: the other.
        options: what is asked for.
        remembered: what was read before.

    Returns:
        All of it, and warnings.
    """
    chosen = matching(options.paths)
    finds_packages = options.files or options.packages

    def wants(path: str) -> bool:
        is_chosen = (options.files or options.content) and chosen(path)
        return is_chosen or (finds_packages and kind_of(path) is not None)

    async with await _reading(a, remembered) as one, await _reading(b, remembered) as other:
        found = await compare_files(one, other, remembered, times=options.times, wants=wants, keep=True)
        texts = (lambda difference: chosen(difference.path)) if options.content else None
        inside = Inside(found, packages=finds_packages, content=texts)
        await inside.look()
        contents = await inside.contents() if options.content else None
        packages = inside.packages() if finds_packages else None
        if options.paths:
            found.found[:] = [one for one in found.found if chosen(one.path) or chosen(one.path_in_a or one.path)]
        files = await found.result() if options.files else None
    whole = msgspec.structs.replace(result, files=files, packages=packages, contents=contents)
    return whole, [*found.warnings, *inside.warnings]


async def with_contents(
    result: ImageDiff,
    stores: tuple[Readable, Readable],
    blobs: tuple[Sequence[Descriptor], Sequence[Descriptor]],
    options: DiffOptions,
) -> ImageDiff:
    """Add to what differs between two artifacts what differs in their files, by their titles.

    Args:
        result: what is known.
        stores: where they are.
        blobs: the descriptors of their files.
        options: which files are meant.
    """
    chosen = matching(options.paths)
    contents: list[ContentDiff] = []
    total = 0
    for pair in result.layers.pairs if result.layers is not None else ():
        layer = pair.b or pair.a
        if layer is None or pair.state == "same" or not chosen(layer.title or ""):
            continue
        sides = (pair.a, pair.b)
        sizes = [side.size if side is not None else None for side in sides]
        path = layer.title or layer.digest
        total += sum(size or 0 for size in sizes)
        if max(size or 0 for size in sizes) > LIMIT or total > TOTAL:
            contents.append(ContentDiff(path=path, state="too-large", a_size=sizes[0], b_size=sizes[1]))
            continue
        texts = [await _blob(store, all_of, side) for store, all_of, side in zip(stores, blobs, sides, strict=True)]
        contents.append(await in_thread(content_diff, path, texts[0], texts[1]))
    return msgspec.structs.replace(result, contents=tuple(contents))


def matching(paths: Sequence[str]) -> Callable[[str], bool]:
    """What says whether one of these paths or globs means a path: a directory means what is in it, too.

    Args:
        paths: the paths and globs; none means all.
    """
    plain = ["/".join(part for part in path.split("/") if part not in ("", ".")) for path in paths]
    globs = [glob(path) for path in plain if is_glob(path)]

    def chosen(path: str) -> bool:
        if not plain or any(matches(path) for matches in globs):
            return True
        return any(not one or path == one or path.startswith(f"{one}/") for one in plain)

    return chosen


async def _reading(image: Image, remembered: Remembered) -> Reading:
    layers, config = await image.layers(), await image.config()
    platform = config.platform if config.platform.os else None
    return Reading(image.store, layers, remembered, name=image.name, digest=image.digest, platform=platform)


async def _blob(store: Readable, blobs: Sequence[Descriptor], layer: DiffLayer | None) -> bytes | None:
    return await read(store, blobs[layer.number - 1], LIMIT) if layer is not None else None
