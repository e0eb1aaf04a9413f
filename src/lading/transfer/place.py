"""Places: what is copied and where it goes, as a store and a name in it. Knows stores, and not which ones."""

from __future__ import annotations

import msgspec

from lading.errors import InvalidReference
from lading.model.digest import ALGORITHMS, Digest
from lading.model.reference import Reference, is_name, is_tag
from lading.model.tags import tag_in
from lading.store import Readable


class Place(msgspec.Struct, frozen=True):
    """A store, and a name in it: what is copied, or where it goes."""

    store: Readable
    """The store; that of a target is a `Store`."""
    name: str | None = None
    """A tag or a digest, or a whole reference where the store is named by references; None for none."""
    repository: str | None = None
    """The repository that bare tags are in, where the store is named by references."""

    def named(self, tag: str) -> str:
        """What a tag is called in the store."""
        return f"{self.repository}:{tag}" if self.repository is not None else tag

    def name_of(self, name: str, source: Readable) -> str | None:
        """What a name of the source is called in the store, where all that has names is copied.

        Returns:
            The name; None where it can be none there: it has no tag.
        """
        mine, its = self.store.traits, source.traits
        if not (is_tag(name) or its.takes_names or its.is_named_by_references):
            return None  # a registry lists what nobody could ask it for
        if mine.takes_names and its.takes_names:
            return name
        if mine.is_named_by_references and self.repository is None:
            return name if not its.is_named_by_references or _tag_of(name) is not None else None
        tag = _tag_of(name) if its.is_named_by_references else tag_in(name)
        if tag is None:
            return name if mine.takes_names and is_name(name) else None
        return self.named(tag)

    def has(self, name: str) -> bool:
        """Whether a name of the store is in the repository; any is, where there is none."""
        return self.repository is None or (not is_tag(name) and Reference.parse(name).name == self.repository)

    def title(self, name: str | None) -> str:
        """What a manifest of the store is called in messages."""
        if name is None:
            return self.store.name
        return f"{self.store.name}{'@' if is_digest(name) else ':'}{name}"

    def full_title(self, name: str | None, digest: Digest) -> str:
        """What it is called for good: with its digest, where the store knows manifests by digest."""
        if name is None or is_digest(name):
            return self.title(digest)
        if name.endswith(f"@{digest}"):
            return self.title(name)
        return f"{self.title(name)}@{digest}" if self.store.traits.takes_indexes else self.title(name)


def is_digest(name: str) -> bool:
    """Whether a name is a digest, and no tag or reference."""
    return name.partition(":")[0] in ALGORITHMS and "/" not in name


def _tag_of(name: str) -> str | None:
    """The tag of a name of Docker's, which may be a whole reference; None where that has no tag, or is none."""
    if is_tag(name):
        return name
    try:
        return Reference.parse(name).tag
    except InvalidReference:
        return None
