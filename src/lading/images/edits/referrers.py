"""What refers to images that are edited: it stays with them, is made anew for what they become, or is left out.

A signature covers one digest. It is never made to refer to another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from lading.images.edits.editing import redescribed
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.encoding import encode_like
from lading.model.manifest import Manifest, parse
from lading.model.tags import subject_of
from lading.model.text import counted
from lading.store import AnyManifest, Readable, Store, fetch_manifest, from_bytes
from lading.transfer.referrers import Finder, Referrer, refers_to_original
from lading.transfer.report import Note
from lading.transfer.transform import Attached, Graph

Referrers = Literal["keep", "copy", "drop"]
"""What becomes of what refers to images that are edited.

`keep`: it stays with the images as they were, and it is said what does not go along. `copy`: it is made anew for what
they become, but for signatures; what refers to images that did not change goes along as it is. `drop`: it is left out
without a word.
"""

_SIGNED = (
    "application/vnd.dev.cosign.",
    "application/vnd.dev.sigstore.",
    "application/vnd.cncf.notary.",
    "application/vnd.dsse.",
)
"""How the media types begin of what is signed, or is a signature, of one digest."""


async def refer(before: Graph, after: Graph, renamed: Mapping[Digest, Descriptor], policy: Referrers) -> Graph:
    """The graph of edited images with what is to refer to them.

    Args:
        before: the graph as it was.
        after: the graph as the edits made it; its store takes what is new.
        renamed: what the digests of changed manifests became.
        policy: what is to be done.

    Raises:
        LadingError: what refers to them cannot be read, and is to go along.
    """
    if policy == "drop" or (policy == "keep" and not renamed):
        return after
    if policy == "keep":
        # In a registry each question is a request: there only the root is asked for.
        asked = before.subjects[:1] if before.store.traits.is_remote else before.subjects
        subjects = [subject for subject in asked if subject.digest in renamed]
        note = await refers_to_original(before.store, before.title, subjects)
        return after.changed(note) if note is not None else after
    copying = _Copying(before.store, after.store, renamed)
    for referrer in await Finder(before.store).of(before.subjects):
        await copying.take(referrer)
    notes = [_signatures(before.title, copying.left)] if copying.left else []
    return after.changed(*notes, attached=(*after.attached, *copying.attached))


def is_signed(manifest: AnyManifest, tag: str | None) -> bool:
    """Whether a referrer covers one digest, by a signature of it or by being signed itself.

    Args:
        manifest: the manifest of the referrer.
        tag: the tag by which it is found, where that is one of cosign's.
    """
    if tag is not None and tag.endswith((".sig", ".att")):
        return True
    types = [manifest.artifact_type]
    if isinstance(manifest, Manifest):
        types += [content.media_type for content in manifest.children]
    return any(kind.startswith(_SIGNED) and not kind.endswith("sbom.v1+json") for kind in types)


class _Copying:
    """Referrers, while they are made anew; each once."""

    def __init__(self, source: Readable, target: Readable, renamed: Mapping[Digest, Descriptor]) -> None:
        assert isinstance(target, Store)  # an edit writes to its overlay
        self.attached: list[Attached] = []
        self.left: set[Digest] = set()
        self._source = source
        self._target = target
        self._renamed = dict(renamed)
        self._kept: set[Digest] = set()

    async def take(self, referrer: Referrer) -> None:
        """Take one along, as it is where its subject did not change; those that refer to it come after it."""
        if referrer.subject in self.left:
            self.left.add(referrer.content.digest)
            return
        new = self._renamed.get(referrer.subject)
        if new is None:
            self.attached.append(Attached(referrer.content, referrer.tag))
            return
        manifest = await fetch_manifest(self._source, referrer.content)
        if is_signed(manifest, referrer.tag):
            self.left.add(manifest.digest)
            return
        made = manifest
        if manifest.subject is not None:
            document = manifest.document
            document["subject"] = redescribed(document["subject"], new)
            raw = encode_like(document, manifest.raw)
            made = parse(raw, manifest.media_type, digest=Digest.of(raw, manifest.digest.algorithm))
            self._renamed[manifest.digest] = made.descriptor
            await self._target.write(made.descriptor, from_bytes(made.raw))
        self.attached.append(Attached(made.descriptor, _retagged(referrer.tag, new.digest)))


def _retagged(tag: str | None, digest: Digest) -> str | None:
    """One of cosign's tags, for another digest."""
    if tag is None or subject_of(tag) is None:
        return tag
    return f"{digest.algorithm}-{digest.hex}.{tag.partition('.')[2]}"


def _signatures(title: str, left: set[Digest]) -> Note:
    was, covers = ("was", "it covers") if len(left) == 1 else ("were", "they cover")
    return Note(
        f"{counted(len(left), 'signature')} of {title} {was} left behind: {covers} what it was before",
        "signatures-left-behind",
        {"reference": title, "count": len(left)},
    )
