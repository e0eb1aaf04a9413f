"""Rules about content: what is missing, unreadable, elsewhere, mixed, too large, or says other than its descriptor."""

from __future__ import annotations

from collections.abc import Iterator

from lading.images.lint.codes import Finding
from lading.images.lint.findings import entry_of, finding, short
from lading.images.lint.gather import TOO_LARGE, Facts, Part, each_once
from lading.model.descriptor import Descriptor
from lading.model.encoding import SIZE_LIMIT
from lading.model.index import Index, attested
from lading.model.manifest import Manifest
from lading.model.media_types import MANIFESTS, SCHEMA1, is_docker, is_foreign_layer


def check_content(facts: Facts) -> Iterator[Finding]:
    """Everything about content, for a manifest and all that is under it."""
    yield from _whole(facts)
    yield from _attestations(facts.parts)
    for part in each_once(facts.parts):
        yield from _attestations(part.parts)
        yield from check_part_content(part)


def check_part_content(part: Part) -> Iterator[Finding]:
    """What can be said of the content of one part, whatever else there is."""
    yield from _entry(part)
    yield from _blobs(part)
    yield from _family(part)


def _whole(facts: Facts) -> Iterator[Finding]:
    manifest = facts.manifest
    if manifest.size > SIZE_LIMIT:
        yield too_large(facts.name, manifest.descriptor)
    if not isinstance(manifest, Index):
        return
    if not manifest.manifests:
        yield finding("LAD402", f"{facts.name} has no entries: nothing can be pulled.")
    docker = is_docker(manifest.media_type)
    others = [part for part in facts.parts if part.entry.media_type and is_docker(part.entry.media_type) != docker]
    if others:
        ours, theirs = ("a Docker list", "OCI") if docker else ("an OCI index", "Docker")
        count = f"{len(others)} of its {len(facts.parts)} entries are" if len(others) > 1 else "one of its entries is"
        yield finding("LAD401", f"{facts.name} is {ours}, and {count} {theirs}'s.")


def too_large(name: str, content: Descriptor) -> Finding:
    """The finding of a manifest that registries do not have to take (distribution-spec §Pushing Manifests)."""
    said = f"{name} has {content.size:,} bytes" if content.size > SIZE_LIMIT else f"{name} is larger than it says"
    return finding("LAD403", f"{said}; registries take {SIZE_LIMIT:,}.", digest=content.digest)


def _entry(part: Part) -> Iterator[Finding]:
    entry = part.entry
    if entry.media_type in SCHEMA1:
        yield finding("LAD305", f"{entry_of(part)} is in Docker's schema 1, which current clients refuse.", part)
    elif entry.media_type not in MANIFESTS and not part.is_artifact:
        said = f"has the media type {entry.media_type}" if entry.media_type else "has no media type"
        yield finding("LAD405", f"{entry_of(part)} {said}, and containerd refuses it.", part)
    if part.state == TOO_LARGE:
        yield too_large(entry_of(part), entry)
    elif part.state == "missing":
        yield finding("LAD301", f"{entry_of(part)} is not there: pulling it fails in every client.", part)
    elif part.state not in ("present", "unread"):
        yield finding("LAD305", f"{entry_of(part)} cannot be read: {part.state.rstrip('.')}.", part)
    elif part.manifest is not None:
        found = part.manifest
        if entry.size != found.size:
            said = f"{entry_of(part)} has {found.size:,} bytes, and its entry says {entry.size:,}."
            yield finding("LAD304", f"{said} containerd refuses it.", part)
        if entry.media_type in MANIFESTS and entry.media_type != found.media_type:
            said = f"{entry_of(part)} is {found.media_type}, and its entry says {entry.media_type}."
            yield finding("LAD304", said, part)


def _blobs(part: Part) -> Iterator[Finding]:
    if not isinstance(part.manifest, Manifest):
        return
    for blob in part.missing:
        kind = "config" if blob == part.manifest.config else "layer"
        yield finding("LAD302", f"{entry_of(part)} lacks its {kind} {short(blob.digest)}.", part, digest=blob.digest)
    for layer in part.manifest.layers:
        if layer.urls or is_foreign_layer(layer.media_type):
            where = f"at {layer.urls[0]}" if layer.urls else "nowhere that is said"
            message = f"{entry_of(part)} has a foreign layer {short(layer.digest)}, which is {where}."
            yield finding("LAD303", message, part, digest=layer.digest)


def _family(part: Part) -> Iterator[Finding]:
    manifest = part.manifest
    if not isinstance(manifest, Manifest) or not manifest.is_image:
        return
    docker = is_docker(manifest.media_type)
    others = [blob for blob in manifest.children if blob.media_type and is_docker(blob.media_type) != docker]
    if others:
        ours, theirs = ("a Docker manifest", "OCI") if docker else ("an OCI manifest", "Docker")
        count = f"{len(others)} of its blobs are" if len(others) > 1 else "one of its blobs is"
        yield finding("LAD401", f"{entry_of(part)} is {ours}, and {count} {theirs}'s.", part)


def _attestations(parts: tuple[Part, ...]) -> Iterator[Finding]:
    listed = {str(part.entry.digest) for part in parts}
    for part in parts:
        if not part.is_attestation:
            continue
        about = attested(part.entry)
        if not about:
            yield finding("LAD306", f"{entry_of(part)} does not say which image it is about.", part)
        elif about not in listed:
            yield finding("LAD306", f"{entry_of(part)} is about {short(about)}, which is not in the list.", part)
