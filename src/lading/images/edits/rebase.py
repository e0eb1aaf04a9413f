"""Rebasing: the layers and the config that an image has from its base are replaced by those of another one.

This module knows images, and not where their bases come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from lading.errors import Unsupported
from lading.images.bases import BASE_DIGEST, BASE_NAME
from lading.images.edits.base import Base
from lading.images.edits.edit import Edit
from lading.images.edits.editing import EditedLayer, Editing, HistoryEntry
from lading.images.edits.index_editing import IndexEditing
from lading.model.encoding import Document
from lading.model.media_types import LayerType
from lading.store import from_store

_MAPS = ("Labels", "ExposedPorts", "Volumes")
"""What a container has several of, by name."""
_OWN = ("Hostname", "Domainname", "Image")
"""What is about the build of one image, and nothing that an image has from its base."""
_PLATFORM = ("architecture", "os", "os.version", "os.features", "variant")


class Rebase(Edit, frozen=True):
    """Put an image on another base: its own layers, its own history, and what its config says of its own, stay."""

    old: Base
    new: Base

    async def apply(self, image: Editing) -> None:
        """Replace what the image has from its base.

        Raises:
            LadingError: the image is not built on the old base: its first layers are not those of the base.
            NotFound: one of the bases has nothing for the platform of the image.
            Unsupported: the image is an artifact; or its format has no place for a layer of the new base.
        """
        old, new = await self.old.image(image), await self.new.image(image)
        diff_ids = [[layer.diff_id for layer in one.layers] for one in (image, old)]
        self.old.check(image.title, *diff_ids)
        own = image.history[steps_of_base(image.history, old.history) :]
        layers = [_taken(layer, image, self.new) for layer in new.layers]
        taken = iter(layers)
        below = [
            HistoryEntry(document=entry.document, layer=next(taken) if entry.layer is not None else None)
            for entry in new.history
        ]
        if any(entry.document is not None for entry in (*own, *below)):
            for entry in (*below, *own):
                if entry.document is None:
                    entry.document = {}
        image.history = [*below, *own]
        for layer in new.layers:
            image.overlay.refer(layer.content, from_store(self.new.store, layer.content))
        merged = _merged(image.container, old.container, new.container)
        for key in {**image.container, **merged}:
            if merged.get(key) != image.container.get(key):
                image.set_container(key, merged.get(key))
        for key in _PLATFORM:
            if image.config.get(key) != new.config.get(key):
                image.set_config(key, new.config.get(key))
        if not image.layers[len(layers) :]:
            image.notes.append(f"{image.title} has no layers but those of its base")
        elif [layer.diff_id for layer in new.layers] == [layer.diff_id for layer in old.layers]:
            image.notes.append(f"{image.title}: the layers of both bases are the same")
        if image.family == "oci":
            image.set_manifest("annotations", self._annotated(image.manifest))

    async def apply_to_index(self, index: IndexEditing) -> None:
        """An index says what the base is only where it did before."""
        if {BASE_NAME, BASE_DIGEST} & (index.document.get("annotations") or {}).keys():
            index.set_field("annotations", self._annotated(index.document))

    def _annotated(self, document: Document) -> dict[str, str]:
        """The annotations of a manifest or an index on the new base."""
        annotations = dict(document.get("annotations") or {})
        annotations.pop(BASE_NAME, None)
        if self.new.reference is not None:
            annotations[BASE_NAME] = self.new.reference
        annotations[BASE_DIGEST] = str(self.new.manifest.digest)
        return dict(sorted(annotations.items()))


def steps_of_base(history: list[HistoryEntry], base: list[HistoryEntry]) -> int:
    """How many entries of a history are those of the base, whose layers are the first ones.

    Args:
        history: of an image that is built on it.
        base: of the base.
    """
    documents = [entry.document for entry in base]
    if [entry.document for entry in history[: len(base)]] == documents and all(
        (ours.layer is None) == (theirs.layer is None) for ours, theirs in zip(history, base, strict=False)
    ):
        return len(base)
    # The history tells another story: what counts then is where the layers of the base end.
    layers = sum(entry.layer is not None for entry in base)
    end = 0
    while layers and end < len(history):
        layers -= history[end].layer is not None
        end += 1
    last = max((n for n, entry in enumerate(base) if entry.layer is not None), default=-1)
    for entry in base[last + 1 :]:
        if end < len(history) and history[end].layer is None and history[end].document == entry.document:
            end += 1
    return end


def _taken(layer: EditedLayer, image: Editing, base: Base) -> EditedLayer:
    """A layer of the new base, with a media type in the words of the image's format."""
    content = layer.content
    said = LayerType.parse(content.media_type)
    document = dict(layer.descriptor)
    if said is not None and said.family != image.family:
        if image.family == "docker" and said.compression == "zstd":
            raise Unsupported(
                f"{image.title} cannot have the layers of {base.name}",
                cause="they are compressed with zstd, and Docker's format has no place for that",
                remedy="make the image an OCI image first",
                code="base-not-for-docker",
                fields={"reference": image.title, "base": base.name},
            )
        document["mediaType"] = str(msgspec.structs.replace(said, family=image.family))
    return EditedLayer(descriptor=document, diff_id=layer.diff_id)


def _merged(ours: Document, old: Document, new: Document) -> Document:
    """How a container runs on the new base: what the image changed of the old base stays, the rest is the new one's."""
    merged: Document = {}
    for key in {**new, **ours}:
        if key in _OWN:
            value = ours.get(key)
        elif key == "Env":
            value = _merged_env(ours.get(key) or [], old.get(key) or [], new.get(key) or []) or None
        elif key in _MAPS:
            value = _merged_map(ours.get(key) or {}, old.get(key) or {}, new.get(key) or {}) or None
        else:
            value = new.get(key) if _same(ours.get(key), old.get(key)) else ours.get(key)
        if value is not None or (key in ours and ours[key] is None):
            merged[key] = value
    return merged


def _same(ours: Any, old: Any) -> bool:
    """Whether an image says what its base says; nothing, an empty text and an empty list are the same."""
    return ours == old or not (ours or old)


def _merged_map(ours: Mapping[str, Any], old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    own = {name: value for name, value in ours.items() if name not in old or old[name] != value}
    gone = old.keys() - ours.keys()
    merged = {name: value for name, value in new.items() if name not in gone} | own
    return dict(sorted(merged.items()))


def _merged_env(ours: list[str], old: list[str], new: list[str]) -> list[str]:
    """Variables, those of the base first. One that has the base's value within it, as `PATH` often has, follows it."""
    mine, base, other = map(_variables, (ours, old, new))
    merged = {name: value for name, value in other.items() if name not in base or name in mine}
    for name, value in mine.items():
        before, after = base.get(name), other.get(name)
        if value == before:
            if after is None:
                merged.pop(name, None)
        elif before and after is not None and name == "PATH" and value.count(before) == 1:
            merged[name] = value.replace(before, after)
        else:
            merged[name] = value
    return [f"{name}={value}" for name, value in merged.items()]


def _variables(env: list[str]) -> dict[str, str]:
    """The values of variables by their names."""
    parts = (said.partition("=") for said in env)
    return {name: value for name, _, value in parts}
