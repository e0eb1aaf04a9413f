"""The tree of an image, an index or an artifact, as a value: what it leads to, and what refers to each of it.

Pure: how it is read is in `referrer_tree.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec

from lading.artifacts.purposes import Purpose
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.document import Result
from lading.model.text import counted, excerpt
from lading.stores.location import Location

Kind = Literal["index", "image", "artifact", "blob"]
State = Literal["present", "listed", "missing", "unreadable", "repeated", "circle"]


class TreeNode(Result, msgspec.Struct, kw_only=True):
    """One manifest in a tree, or a blob that an index lists; with what is below it, each digest once."""

    digest: Digest
    media_type: str
    size: int
    """Of the manifest itself, in bytes."""
    kind: Kind | None = None
    """None where it was not read, and nothing that lists it says so."""
    state: State = "present"
    """`listed`: something lists it, and it was not read. `missing`: something lists it, and it is not there.
    `unreadable`: it is there, and `problem` says what is wrong. `repeated`: what is below it is shown where it comes
    first. `circle`: it is below itself."""
    problem: str | None = None
    """What is wrong with it."""
    platform: str | None = None
    """`OS/ARCH[/VARIANT]`; None where no index says so."""
    os_version: str | None = None
    artifact_type: str | None = None
    """Of an artifact; the media type of its config, where it has no type of its own."""
    purpose: Purpose | None = None
    """What an artifact is for, as far as its types and annotations tell. `report`: what a scanner has found. `bundle`:
    Sigstore's, which does not say whether it signs or attests."""
    predicates: list[str] = []
    """The predicate types of the statements in it, such as `https://slsa.dev/provenance/v1`."""
    created: str | None = None
    """RFC 3339, where its annotations say so."""
    annotations: Mapping[str, str] = {}
    """Its own, and those that the index has of it."""
    total_size: int | None = None
    """Config and layers, in bytes; of a blob its size. None for an index and for what was not read."""
    tag: str | None = None
    """The tag by which it refers to what is above it, where that is one of cosign's, such as `sha256-….sig`."""
    subject: Digest | None = None
    """What it says that it refers to; None where it was not read, and for what refers to nothing."""
    subject_state: Literal["present", "missing"] | None = None
    """Whether that is there; None where it refers to nothing."""
    config: Descriptor | None = None
    """None where it has none or was not read."""
    layers: list[Descriptor] = []
    """None are listed where it was not read."""
    attestations: list[TreeNode] = []
    """What the index that lists it has of attestations about it (BuildKit's provenance and SBOMs)."""
    children: list[TreeNode] = []
    """What an index lists; without attestations about others of its entries."""
    referrers: list[TreeNode] = []
    """What refers to it: by its subject, or by one of cosign's tags."""

    def walk(self) -> Iterator[TreeNode]:
        """This node, and every node below it: attestations, then children, then referrers, each with what it has."""
        yield self
        for node in (*self.attestations, *self.children, *self.referrers):
            yield from node.walk()

    def __repr__(self) -> str:
        """Such as `<TreeNode 5a1c09ef31d2 image linux/amd64 2 below>`."""
        what = excerpt(self.platform or self.purpose or self.artifact_type or "")
        words = [self.digest.short, self.kind or self.state, *([what] if what else [])]
        return f"<TreeNode {' '.join(words)} {sum(1 for _ in self.walk()) - 1} below>"


class ArtifactTree(Result, msgspec.Struct, kw_only=True):
    """What a reference names, with all that it leads to and that refers to it."""

    reference: Location
    depth: int | None = None
    """How many levels below it were looked at; None for all."""
    root: TreeNode
    notes: list[str] = []
    """What could not be looked at."""

    def walk(self) -> Iterator[TreeNode]:
        """Every node, the root first."""
        return self.root.walk()

    def __repr__(self) -> str:
        """Such as `<ArtifactTree localhost:5000/app:1.4 index 9 nodes>`."""
        return f"<ArtifactTree {self.reference} {self.root.kind} {counted(sum(1 for _ in self.walk()), 'node')}>"
