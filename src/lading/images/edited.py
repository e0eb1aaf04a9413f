"""Edited images as values: an image or an index, and the edits that are to be applied to it when it is written.

This module knows views, and neither locations nor how content is copied.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from lading.arguments import several
from lading.model.platform import Platform
from lading.transfer.transform import Graph, HasGraph

if TYPE_CHECKING:
    from lading.images.convert import Compression
    from lading.images.edits.annotations import Scope
    from lading.images.edits.apply import Attestations
    from lading.images.edits.edit import Edit
    from lading.images.edits.new_layer import NewLayer
    from lading.images.edits.referrers import Referrers
    from lading.images.edits.report import ManifestChange


class Editable:
    """What can be edited: each method gives a new value, and nothing is read or written."""

    @abstractmethod
    def edited(self, *edits: Edit, platforms: Iterable[Platform | str] | Platform | str | None = None) -> EditedImage:
        """The same with edits, after those that it has.

        Args:
            edits: what is changed; an index has them in each of its images, and then in itself.
            platforms: of an index, only the images for these; None for those that were chosen before, at first all.
        """

    def with_label(self, name: str, value: str | None) -> EditedImage:
        """The same with a label in its config; None takes the label away."""
        from lading.images.edits.config import SetLabel

        return self.edited(SetLabel(name, value))

    def with_env(self, name: str, value: str | None) -> EditedImage:
        """The same with a variable of its containers; None takes the variable away.

        Raises:
            UsageError: no variable can have this name.
        """
        from lading.images.edits.config import SetEnv

        return self.edited(SetEnv(name, value))

    def with_entrypoint(self, arguments: tuple[str, ...] | str | None) -> EditedImage:
        """The same with another entrypoint; the default arguments stay.

        Args:
            arguments: the command; a text is run by the image's shell; None for no entrypoint.

        Raises:
            UsageError: there are no arguments.
        """
        from lading.images.edits.container import SetEntrypoint

        return self.edited(SetEntrypoint(arguments))

    def with_command(self, arguments: tuple[str, ...] | str | None) -> EditedImage:
        """The same with other default arguments (`Cmd`).

        Args:
            arguments: of the entrypoint, or the command; a text is run by the image's shell; None for none.

        Raises:
            UsageError: there are no arguments.
        """
        from lading.images.edits.container import SetCommand

        return self.edited(SetCommand(arguments))

    def with_user(self, user: str | None) -> EditedImage:
        """The same with another user that containers run as; None for none."""
        from lading.images.edits.container import SetUser

        return self.edited(SetUser(user))

    def with_workdir(self, directory: str | None) -> EditedImage:
        """The same with another directory that containers begin in; None for none."""
        from lading.images.edits.container import SetWorkdir

        return self.edited(SetWorkdir(directory))

    def with_port(self, port: str, *, present: bool = True) -> EditedImage:
        """The same with a port that containers listen on, such as `80` or `53/udp`; or without it.

        Raises:
            UsageError: it is no port.
        """
        from lading.images.edits.container import SetPort

        return self.edited(SetPort(port, present))

    def with_platform(self, platform: Platform | str) -> EditedImage:
        """The same for another platform: in its config, and in the index.

        Raises:
            InvalidPlatform: the text is none.
        """
        from lading.images.edits.config import SetPlatform

        return self.edited(SetPlatform(Platform.parse(platform) if isinstance(platform, str) else platform))

    def with_created(self, time: datetime | None) -> EditedImage:
        """The same with another time at which it was made, with a time zone; None for none.

        Raises:
            UsageError: the time has no time zone.
        """
        from lading.images.edits.times import SetCreated

        return self.edited(SetCreated(time))

    def in_format(self, format: Literal["oci", "docker"]) -> EditedImage:
        """The same in OCI's words or in Docker's."""
        from lading.images.edits.formats import SetFormat

        return self.edited(SetFormat(format))

    def with_layer(self, layer: NewLayer) -> EditedImage:
        """The same with a new layer on top, which `client.images.new_layer` makes."""
        from lading.images.edits.append import Append

        return self.edited(Append(layer))

    def with_annotation(self, name: str, value: str | None, *, scope: Scope = "manifest") -> EditedImage:
        """The same with an annotation; None takes the annotation away.

        Args:
            name: the key.
            value: the value.
            scope: whose: `manifest`, `index`, or `descriptor`, an entry of the index.
        """
        from lading.images.edits.annotations import SetAnnotation

        return self.edited(SetAnnotation(name, value, scope))

    def flatten(self, compression: Compression | None = None, *, level: int | None = None) -> EditedImage:
        """The same with all its layers in one.

        Args:
            compression: of the new layer; None for that of the lowest layer.
            level: of the compression; None for what is usual.
        """
        from lading.images.edits.squash import Flatten

        return self.edited(Flatten(compression=compression, level=level))

    def squash(
        self, from_layer: int | str, compression: Compression | None = None, *, level: int | None = None
    ) -> EditedImage:
        """The same with its layers from one to the top in one.

        Args:
            from_layer: the lowest of them: its number from 1; its digest or diff ID, or the beginning of one; or a part
                of the text that says in the history what made it.
            compression: of the new layer; None for that of the lowest of them.
            level: of the compression; None for what is usual.
        """
        from lading.images.edits.squash import Squash

        return self.edited(Squash(from_layer=str(from_layer), compression=compression, level=level))

    def without_layers(self, *layers: int | str, created_by: str | None = None) -> EditedImage:
        """The same without some layers.

        Args:
            layers: of each its number from 1, in the image as it is then; or its digest or diff ID, or the beginning of
                one.
            created_by: a regular expression: layers go of which the history says that they were made by that.
        """
        from lading.images.edits.remove_layers import RemoveLayers

        named = [RemoveLayers(layer=str(layer)) for layer in layers]
        return self.edited(*named, *([RemoveLayers(created_by=created_by)] if created_by is not None else []))

    def without_files(self, *paths: str) -> EditedImage:
        """The same with files left out of all layers.

        Args:
            paths: paths in the layers, or globs; of a directory all that is in it goes, too.
        """
        from lading.images.edits.files import StripFiles

        return self.edited(StripFiles(paths))

    def with_file(self, path: str, content: bytes) -> EditedImage:
        """The same with other content in a file, in the layer that it comes from.

        Args:
            path: of a file that is there; symbolic links are followed, within the image.
            content: what it has then.
        """
        from lading.images.edits.files import ReplaceFile

        return self.edited(ReplaceFile(path, content))

    def recompressed(self, compression: Compression, *, level: int | None = None) -> EditedImage:
        """The same with its layers compressed in another way.

        Args:
            compression: of the layers: `gzip`, `zstd` or `none`.
            level: of the compression, with which every layer is compressed anew; None for what is usual.

        Raises:
            UsageError: the compression has no such level.
        """
        from lading.images.edits.compression import Recompress

        return self.edited(Recompress(compression, level))


class EditedImage(Editable):
    """An image or an index with edits. It is a value: it is written by `client.images.push` or `client.copy`.

    Args:
        source: what is edited.
        edits: the edits, in order.
        platforms: of an index, only the images for these.
        attestations: what becomes of the attestations of edited images: `keep` or `drop`.
        referrers: what becomes of what refers to edited images; see `Referrers`.
    """

    def __init__(
        self,
        source: HasGraph,
        edits: tuple[Edit, ...] = (),
        platforms: tuple[Platform, ...] = (),
        attestations: Attestations = "keep",
        referrers: Referrers = "keep",
    ) -> None:
        self.source = source
        self.edits = edits
        self.platforms = platforms
        self.attestations: Attestations = attestations
        self.referrers: Referrers = referrers

    def __repr__(self) -> str:
        """Such as `<EditedImage docker.io/library/alpine:3.20 2 edits>`."""
        return f"<EditedImage {self.source.graph().title} {len(self.edits)} edits>"

    def edited(self, *edits: Edit, platforms: Iterable[Platform | str] | Platform | str | None = None) -> EditedImage:
        """The same with edits, after those that it has; see `Editable.edited`."""
        wanted = self.platforms if platforms is None else parse_platforms(platforms)
        return EditedImage(self.source, (*self.edits, *edits), wanted, self.attestations, self.referrers)

    def graph(self, changes: list[ManifestChange] | None = None) -> Graph:
        """What a copy reads, with the edits as its transform.

        Args:
            changes: gets what the edits have changed, once they were applied.
        """
        from lading.images.edits.apply import edit
        from lading.images.platforms import what_is_there

        graph = self.source.graph()
        transform = edit(
            self.edits,
            self.platforms,
            attestations=self.attestations,
            referrers=self.referrers,
            changes=changes,
        )
        first = (what_is_there(),) if graph.store.traits.is_partial else ()
        return graph.changed(transforms=(*graph.transforms, *first, transform))


def parse_platforms(platforms: Iterable[Platform | str] | Platform | str) -> tuple[Platform, ...]:
    """Platforms from their texts, or as they are.

    Raises:
        InvalidPlatform: a text is none.
    """
    return tuple(Platform.parse(one) if isinstance(one, str) else one for one in several(platforms))
