"""Drafts made by hand, for tests that need no registry."""

from lading.drafts.draft import Draft, DraftEntry
from lading.drafts.entries import entry_of
from lading.images.indexes.entries import described
from lading.model.manifest import Manifest, parse
from lading.model.platform import Platform
from lading.model.reference import Reference
from support.images import Kind, make_image

APP = "localhost:5000/team/app"
LIST_NAME = f"{APP}:list"


def make_entry(
    tag: str, platform: str = "linux/amd64", *, kind: Kind = "docker", seed: str = "", of: str = APP
) -> DraftEntry:
    image = make_image(platform, kind=kind, seed=seed or tag)
    manifest = parse(image.content, image.media_type)
    assert isinstance(manifest, Manifest)
    said = Platform.from_document(image.platform or {})
    return entry_of(Reference.parse(f"{of}:{tag}"), described(manifest, said), manifest)


def make_draft(*tags: str, name: str = f"{APP}:list", kind: Kind = "docker") -> Draft:
    return Draft(reference=Reference.parse(name), entries=tuple(make_entry(tag, kind=kind) for tag in tags))


def tags_of(draft: Draft) -> list[str | None]:
    return [entry.reference.tag for entry in draft.entries]
