"""`lading tree`: what a name leads to, and what refers to each of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import click

from lading.cli import values
from lading.cli.groups import Command, Option
from lading.cli.options import Options, common, format_option, platform_option
from lading.cli.referrers import REFERRERS_IN, referrer_options, wanted_annotations

if TYPE_CHECKING:
    from lading.artifacts.tree_nodes import ArtifactTree, TreeNode
    from lading.cli.drawing import Branch
    from lading.model.descriptor import Descriptor


@click.command(cls=Command, short_help="Show what a name leads to, and what refers to it: signatures, SBOMs")
@click.argument("reference", type=values.location, metavar="REF")
@click.option(
    "--depth", cls=Option, type=click.IntRange(min=1), metavar="N", help="How many levels below REF; by default all."
)
@platform_option(multiple=True, help="Of an index, only these entries. Repeatable.")
@referrer_options
@click.option("--layers", is_flag=True, help="Configs, layers and files, too; reads every referrer.")
@click.option("--annotations", is_flag=True, help="Annotations, too.")
@click.option("--no-trunc", is_flag=True, help="Print digests whole.")
@REFERRERS_IN
@format_option
@common()
def tree(
    options: Options,
    reference: str,
    platforms: tuple[str, ...],
    artifact_types: tuple[str, ...],
    filter_annotation: tuple[str, ...],
    depth: int | None,
    layers: bool,
    annotations: bool,
    no_trunc: bool,
    referrers_in: str | None,
    format_: str,
) -> None:
    """Show what REF leads to, and what refers to each of it: attestations, signatures, SBOMs, and what refers to those.

    \b
    lading tree reg.example/app:1.4
    lading tree reg.example/app:1.4 --artifact-type application/spdx+json
    """
    from lading.cli.output import emit

    wanted = wanted_annotations(filter_annotation)
    found = options.run(
        lambda client: client.artifacts.tree(
            reference,
            depth=depth,
            platforms=platforms,
            artifact_types=artifact_types,
            annotations=wanted,
            is_whole=layers,
            referrers_in=referrers_in,
        )
    )
    for note in found.notes:
        options.warn(note)
    emit(found, format_, lambda: _lines(found, _Style(layers, annotations, no_trunc)))


class _Style(NamedTuple):
    """What is shown of each node."""

    layers: bool
    annotations: bool
    whole: bool


def _lines(found: ArtifactTree, style: _Style) -> list[str]:
    from lading.cli.drawing import drawn
    from lading.cli.output import paint, short

    root = found.root
    head = f"{paint(str(found.reference), 'cyan')}  {short(root.digest, style.whole)}  {_root(root)}"
    return [head, *drawn(_below(root, None, style), right=(2,))]


def _root(root: TreeNode) -> str:
    """What the root is, in words."""
    from lading.cli.output import size
    from lading.model.text import counted

    if root.kind == "index":
        entries = [child for child in root.children if child.kind != "artifact"]
        has_all = bool(entries) and all(child.platform is not None for child in entries)
        nouns = ("platform",) if has_all else ("entry", "entries")
        return f"index of {counted(len(entries), *nouns)}"
    if root.state == "missing":
        return "not there"
    named = [root.purpose, root.artifact_type] if root.kind == "artifact" else ["image"]
    return ", ".join([*(name for name in named if name), size(root.total_size)])


def _below(node: TreeNode, parent: TreeNode | None, style: _Style) -> list[Branch]:
    """What is drawn below a node."""
    from lading.cli.drawing import Branch
    from lading.cli.output import short

    branches = [Branch([f"{key}={value}"]) for key, value in sorted(node.annotations.items()) if style.annotations]
    if node.subject is not None and (parent is None or node.subject != parent.digest):
        note = "not there" if node.subject_state == "missing" else ""
        branches.append(Branch(["subject", short(node.subject, style.whole), "", note]))
    if style.layers:
        branches += _blobs(node, style.whole)
    for attestation in node.attestations:
        branches += _attestation(attestation, node, style)
    branches += [_branch(child, node, style) for child in node.children]
    referrers = [_branch(referrer, node, style, "referrer") for referrer in node.referrers]
    # What an artifact has below it refers to it anyway.
    is_told = node.kind != "artifact" or (style.layers and node.layers)
    return [*branches, Branch(["referred to by"], referrers)] if is_told and referrers else [*branches, *referrers]


def _branch(node: TreeNode, parent: TreeNode, style: _Style, otherwise: str = "entry") -> Branch:
    """A node; where it is not known what it is, it is called otherwise."""
    from lading.cli.drawing import Branch

    name = _name(node) or otherwise
    return Branch(_cells(node, name, _notes(node, style.whole), style), _below(node, parent, style))


def _attestation(node: TreeNode, parent: TreeNode, style: _Style) -> list[Branch]:
    """An attestation, with a line for each statement in it."""
    from lading.artifacts.purposes import purpose_of_statement
    from lading.cli.drawing import Branch

    if len(node.predicates) < 2:
        return [_branch(node, parent, style)]
    lines = [_cells(node, purpose_of_statement(said), [said], style) for said in node.predicates]
    return [*(Branch(cells) for cells in lines[:-1]), Branch(lines[-1], _below(node, parent, style))]


def _cells(node: TreeNode, name: str, notes: list[str], style: _Style) -> list[str]:
    from lading.cli.output import short, size

    return [
        name,
        short(node.digest, style.whole),
        size(node.total_size) if node.total_size is not None else "",
        ", ".join(notes),
    ]


def _name(node: TreeNode) -> str | None:
    """What a node is called: by its platform, or by what it is for."""
    if node.platform is not None:
        return f"{node.platform} {node.os_version}" if node.os_version else node.platform
    return node.purpose or node.kind


def _notes(node: TreeNode, whole: bool) -> list[str]:
    """What there is to say of a node besides."""
    notes = [node.predicates[0] if len(node.predicates) == 1 else node.artifact_type or ""]
    if node.kind == "index" and node.platform is None:
        notes.append(f"an index with {len(node.children)}" if node.children else "")
    if node.kind == "blob":
        notes.append(node.media_type)
    if node.tag is not None:
        notes.append(f"tag {node.tag if whole else '….' + node.tag.rpartition('.')[2]}")
    if node.created is not None and node.kind == "artifact":
        notes.append(node.created.partition("T")[0])
    states: Mapping[str, str] = {"missing": "not there", "repeated": "shown above", "circle": "a circle: it is above"}
    unreadable = "cannot be read: " if node.state == "unreadable" else ""
    notes += [states.get(node.state, ""), f"{unreadable}{node.problem}" if node.problem else ""]
    return [note for note in notes if note]


def _blobs(node: TreeNode, whole: bool) -> list[Branch]:
    from lading.cli.drawing import Branch
    from lading.cli.output import short, size
    from lading.model.descriptor import EMPTY

    def line(name: str, blob: Descriptor) -> Branch:
        title = blob.annotations.get("org.opencontainers.image.title", "")
        notes = ", ".join(text for text in (title, blob.media_type) if text)
        return Branch([name, short(blob.digest, whole), size(blob.size), notes])

    config = [node.config] if node.config is not None and node.config.digest != EMPTY.digest else []
    kind = "layer" if node.kind == "image" else "file"
    return [*(line("config", blob) for blob in config), *(line(kind, blob) for blob in node.layers)]
