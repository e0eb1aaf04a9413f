"""Edits of where attestations are: listed in the index, as BuildKit has them, or as referrers of their images.

This module knows indexes while they are edited. An attestation says the same in both places, of the same image.
"""

from __future__ import annotations

from lading.images.edits.edit import Edit
from lading.images.edits.field_order import MANIFEST, set_field
from lading.images.edits.index_editing import IndexEditing
from lading.model.digest import Digest
from lading.model.encoding import Document, encode_like
from lading.model.index import ATTESTATION_OF, ATTESTATION_TYPE, attested, is_attestation
from lading.model.manifest import Manifest, parse
from lading.model.media_types import IMAGE_CONFIGS, is_docker
from lading.store import fetch_manifest, may_be_manifest
from lading.transfer.report import Note
from lading.transfer.transform import Attached

ARTIFACT_TYPE = "application/vnd.docker.attestation.manifest.v1+json"
"""What BuildKit calls attestations that are artifacts."""
_IN_TOTO = "application/vnd.in-toto+json"


class AttestationsToReferrers(Edit, frozen=True):
    """Have the attestations in an index refer to their images instead (`subject`, distribution-spec §Referrers)."""

    @property
    def changes_every_index(self) -> bool:
        """Indexes in the index, too."""
        return True

    async def apply_to_index(self, index: IndexEditing) -> None:
        """Take them out of the index, and put them beside it; one whose image the index does not list stays."""
        listed = index.listed
        images = {str(entry.digest): entry.content for entry in listed if not is_attestation(entry)}
        gone: list[int] = []
        for position, entry in enumerate(listed):
            subject = images.get(attested(entry) or "")
            if not is_attestation(entry):
                continue
            manifest = await fetch_manifest(index.overlay, entry.content)
            if subject is None or not isinstance(manifest, Manifest) or is_docker(manifest.media_type):
                said = f"the attestation {entry.digest.short} stays in {index.title}: it cannot refer to an image there"
                index.notes.append(Note(said, "attestation-stays", {"digest": str(entry.digest)}))
                continue
            document = manifest.document
            if not manifest.artifact_type:
                set_field(document, "artifactType", ARTIFACT_TYPE, MANIFEST)
            set_field(document, "subject", subject.to_document(), MANIFEST)
            made = await _written(index, document, manifest)
            index.attached.append(Attached(made.descriptor))
            gone.append(position)
        index.remove(gone)


class ReferrersToAttestations(Edit, frozen=True):
    """List the attestations that refer to the images of an index in the index, as BuildKit does.

    Those are referrers with in-toto statements that are not signed. They stay what refers to the images, too.
    """

    async def apply_to_index(self, index: IndexEditing) -> None:
        """Add them at the end of the index, each once."""
        listed = {str(entry.digest) for entry in index.listed}
        for position in list(index.meant):
            image = index.listed[position]
            original = index.originals.get(image.digest, image.content)
            if not may_be_manifest(image):
                continue
            async for referrer in index.overlay.referrers(original):
                manifest = await fetch_manifest(index.overlay, referrer.content)
                if not isinstance(manifest, Manifest) or not _is_in_toto(manifest):
                    continue
                document = manifest.document
                document.pop("subject", None)
                if manifest.config is not None and manifest.config.media_type in IMAGE_CONFIGS:
                    document.pop("artifactType", None)
                made = await _written(index, document, manifest)
                if str(made.digest) not in listed:
                    listed.add(str(made.digest))
                    about = {ATTESTATION_OF: str(image.digest), ATTESTATION_TYPE: "attestation-manifest"}
                    platform = {"architecture": "unknown", "os": "unknown"}
                    entry = made.descriptor.to_document() | {"annotations": about, "platform": platform}
                    index.check_place("annotations")
                    index.entries.append(entry)


def _is_in_toto(manifest: Manifest) -> bool:
    return bool(manifest.layers) and all(layer.media_type == _IN_TOTO for layer in manifest.layers)


async def _written(index: IndexEditing, document: Document, before: Manifest) -> Manifest:
    """An attestation encoded anew, in the overlay."""
    raw = encode_like(document, before.raw)
    made = parse(raw, before.media_type, digest=Digest.of(raw, before.digest.algorithm), what=index.title)
    assert isinstance(made, Manifest)  # as it was before
    await index.overlay.put(made)
    return made
