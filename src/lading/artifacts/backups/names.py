"""What an image layout has under which names: the repositories that its names are of, and the tags in each.

A name in a layout is a tag, or a full name with one (`reg.example/app:1.0`). Where an entry has the full name as
containerd writes it, too, its tag is of that repository. Knows what is listed, and nothing of where it goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from lading.errors import Conflict, InvalidReference
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.reference import Reference, is_tag
from lading.model.tags import tag_in
from lading.model.text import counted, excerpt
from lading.stores.layout.listing import REF_NAME, is_digest, lists_referrers, names_of


class Group(msgspec.Struct):
    """What a layout has of one repository."""

    repository: str | None
    """Its full name; None where the layout does not say which repository its tags are of."""
    names: dict[str, str] = {}
    """By tags: the names in the layout."""
    contents: dict[str, Descriptor | None] = {}
    """By tags: what they name, as it is listed; None where that is several manifests."""
    untagged: list[Digest] = []
    """The manifests without a tag that nothing else leads to."""
    is_bare: bool = False
    """Whether any of its names is a tag alone."""


class Names:
    """The names in a layout.

    Args:
        entries: what `index.json` lists.
        roots: the entries that nothing else leads to; they are needed for what has no tag.
    """

    def __init__(self, entries: Sequence[Descriptor], roots: Iterable[Descriptor] = ()) -> None:
        self.groups: dict[str | None, Group] = {}
        """By their repositories."""
        self.nameless: list[str] = []
        """The names that have no tag, or none that could be one, shortened."""
        self.stray: list[Digest] = []
        """The manifests without a tag of which it is not known whose they are."""
        for entry in entries:
            if names_of(entry) and lists_referrers(entry) is None:
                self._take(entry)
        self._join()
        # The order of entries is that in which they happened to be written.
        self.groups = dict(sorted(self.groups.items(), key=lambda item: item[0] or ""))
        for group in self.groups.values():
            group.names = dict(sorted(group.names.items()))
        self._take_untagged(roots)

    def of(self, repository: str | None) -> Group:
        """What there is of a repository."""
        return self.groups.get(repository) or Group(repository)

    def only(self, name: str) -> None:
        """Leave out all but what has a name: a tag in each repository that has it, or a full name."""
        for repository, group in [*self.groups.items()]:
            tag = next((tag for tag, full in group.names.items() if name in (tag, full, f"{repository}:{tag}")), None)
            if tag is None:
                del self.groups[repository]
            else:
                group.names, group.untagged = {tag: group.names[tag]}, []
        self.stray = []

    def to_write(self, repository: str | None, *, alone: bool) -> tuple[Group, bool]:
        """What there is of a repository that is written, and whether its names are tags alone; else they are full.

        They stay what they are. In a layout with nothing else, the tags of one repository are: every tool finds them.

        Args:
            repository: the repository.
            alone: whether it is the only one that is written.

        Raises:
            Conflict: it is not known which repository the tags are of, and there are tags of one.
        """
        known = self.groups.get(repository)
        owner = next((name for name, group in self.groups.items() if name is not None and group.is_bare), None)
        if repository is None and owner is not None:
            raise Conflict(
                f"tags of no named repository would take the place of those of {owner}",
                remedy="write them to a place of their own",
            )
        if repository is None or known is not None:
            return self.of(repository), known is None or known.is_bare
        if alone and self.groups.keys() <= {None}:
            return self.of(None), True
        return Group(repository), False

    def notes(self, store: str) -> list[str]:
        """What is to be said of names that have no tag; `store` is what the layout is called."""
        return [f"{store}:{name} stayed behind: its name has no tag" for name in self.nameless]

    def stray_notes(self, store: str) -> list[str]:
        """What is to be said of manifests without a tag of which it is not known whose they are."""
        if not self.stray:
            return []
        return [f"{counted(len(self.stray), 'manifest')} of {store} without a tag stayed behind: it is not known whose"]

    def _take(self, entry: Descriptor) -> None:
        found = [(name, *parts) for name in names_of(entry) if (parts := _parts(name)) is not None]
        if not found:
            self.nameless += map(excerpt, names_of(entry)[:1])
            return
        # The name with a repository says more, and names one entry where several repositories have the same tag.
        name, repository, tag = next((one for one in found if one[1] is not None), found[0])
        group = self.groups.setdefault(repository, Group(repository))
        if is_digest(tag):
            group.untagged.append(entry.digest)
            return
        group.names[tag] = name
        before = group.contents.setdefault(tag, entry.content)
        group.contents[tag] = before if before is not None and before.digest == entry.digest else None
        group.is_bare = group.is_bare or is_tag(entry.annotations.get(REF_NAME, ""))

    def _join(self) -> None:
        """Tags alone are of the repository that the others alone are of, where that is one."""
        owners = [group for group in self.groups.values() if group.repository is not None and group.is_bare]
        if len(owners) == 1 and None in self.groups:
            found = self.groups.pop(None)
            owners[0].names = found.names | owners[0].names
            owners[0].contents = found.contents | owners[0].contents

    def _take_untagged(self, roots: Iterable[Descriptor]) -> None:
        taken = {digest for group in self.groups.values() for digest in group.untagged}
        self.stray = [root.digest for root in roots if not names_of(root) and root.digest not in taken]
        if len(self.groups) <= 1:
            group = next(iter(self.groups.values()), None) or self.groups.setdefault(None, Group(None))
            group.untagged += self.stray
            self.stray = []
            if not group.names and not group.untagged:
                del self.groups[group.repository]


def _parts(name: str) -> tuple[str | None, str] | None:
    """The repository of a name, if it has one, and its tag or digest; None where it cannot be such a name."""
    if is_tag(name):
        return None, name
    repository, at, digest = name.partition("@")
    tag = digest if at else tag_in(name)
    if tag is None or (at and not is_digest(digest)):
        return None
    try:
        found = Reference.parse_repository(repository if at else name.removesuffix(f":{tag}"))
    except InvalidReference:
        return None
    return (found.name, tag) if found.tag is None and found.digest is None else None
