"""Layers of two images beside each other, and files of two artifacts: which are shared, which differ.

This module knows manifests and configs, and reads nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from lading.images.diff.alignment import aligned
from lading.images.diff.documents import descriptor_changes
from lading.images.diff.results import Change, DiffLayer, LayerPair, LayersDiff
from lading.images.history import history
from lading.model.config import ImageConfig
from lading.model.manifest import Manifest

TITLE = "org.opencontainers.image.title"
PREDICATE = "in-toto.io/predicate-type"


def diff_layers(a: Sequence[DiffLayer], b: Sequence[DiffLayer], *, by_title: bool = False) -> LayersDiff:
    """Align layers, from the lowest up.

    Args:
        a: those of A.
        b: those of B.
        by_title: whether they are the files of artifacts: then those with one title belong together.
    """
    pairs = [*(_by_title(a, b) if by_title else _by_content(a, b))]
    shared = [pair.state in ("same", "recompressed") for pair in pairs]
    return LayersDiff(
        shared=sum(shared),
        base=next((number for number, one in enumerate(shared) if not one), len(shared)),
        size=_size(b) - _size(a),
        pairs=tuple(pairs),
    )


def listed_layers(manifest: Manifest, config: ImageConfig | None) -> tuple[DiffLayer, ...]:
    """The layers of a manifest, with what its config says of them.

    Args:
        manifest: the manifest.
        config: its config, where it is an image.
    """
    told = history("", config, manifest).steps if config is not None else ()
    steps = {step.number: step.instruction or step.created_by for step in told if step.number is not None}
    diff_ids = config.diff_ids if config is not None and len(config.diff_ids) == len(manifest.layers) else ()
    return tuple(
        DiffLayer(
            number=number,
            digest=layer.digest,
            diff_id=diff_ids[number - 1] if diff_ids else None,
            media_type=layer.media_type,
            size=layer.size,
            title=layer.annotations.get(TITLE) or layer.annotations.get(PREDICATE),
            instruction=steps.get(number),
        )
        for number, layer in enumerate(manifest.layers, 1)
    )


def layer_changes(found: LayersDiff, a: Sequence[Any], b: Sequence[Any]) -> list[Change]:
    """What the descriptors of layers that are in both say differently.

    Args:
        found: which layers belong together.
        a: the descriptors of A, as decoded.
        b: those of B.
    """
    changes: list[Change] = []
    for pair in found.pairs:
        if pair.a is None or pair.b is None:
            continue
        one, other = a[pair.a.number - 1], b[pair.b.number - 1]
        changes += descriptor_changes(one, other, f"layers[{pair.b.number - 1}]", "manifest")
    return changes


def _size(layers: Sequence[DiffLayer]) -> int:
    return sum({layer.digest: layer.size for layer in layers}.values())


def _by_content(a: Sequence[DiffLayer], b: Sequence[DiffLayer]) -> Iterator[LayerPair]:
    for left, right in aligned([layer.diff_id or layer.digest for layer in a], [x.diff_id or x.digest for x in b]):
        one, other = a[left] if left is not None else None, b[right] if right is not None else None
        if one is None or other is None:
            yield LayerPair(state="added" if one is None else "removed", a=one, b=other)
        else:
            yield LayerPair(state="same" if one.digest == other.digest else "recompressed", a=one, b=other)


def _by_title(a: Sequence[DiffLayer], b: Sequence[DiffLayer]) -> Iterator[LayerPair]:
    left, right = _named(a), _named(b)
    for name in dict.fromkeys([*left, *right]):
        one, other = left.get(name), right.get(name)
        if one is None or other is None:
            yield LayerPair(state="added" if one is None else "removed", a=one, b=other)
        else:
            yield LayerPair(state="same" if one.digest == other.digest else "changed", a=one, b=other)


def _named(layers: Sequence[DiffLayer]) -> dict[tuple[str, int], DiffLayer]:
    """Layers by what they are called, and which of those with this name they are."""
    counts: dict[str, int] = {}
    named = {}
    for layer in layers:
        name = layer.title or layer.media_type
        counts[name] = counts.get(name, 0) + 1
        named[name, counts[name]] = layer
    return named
