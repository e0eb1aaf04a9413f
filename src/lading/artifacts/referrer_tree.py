"""How the tree of a reference is read: level by level, each manifest once, whoever lists it or refers to it.

First everything is looked at, many at once; then the nodes are made of what was found, in the order in which they are
shown. This module knows stores, and not how a tree is drawn.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from lading.artifacts.purposes import predicates_of, purpose_of
from lading.artifacts.tree_nodes import ArtifactTree, Kind, State, TreeNode
from lading.errors import InvalidContent, LadingError, NotFound, RegistryFailure, Unsupported
from lading.images.overview import CREATED, artifact_type_of, entries_for
from lading.images.platforms import image_config, is_for_any, no_platform
from lading.io.tasks import gather
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.index import Index, attested, is_attestation
from lading.model.manifest import Manifest
from lading.model.media_types import INDEXES, OCI_EMPTY
from lading.model.platform import Platform
from lading.model.reach import LIMITS
from lading.model.tags import fallback_tag
from lading.store import AnyManifest, Readable, may_be_manifest
from lading.stores.location import Location
from lading.transfer.referrers import ArtifactTypes, DigestTags, artifact_types
from lading.walk import Walk, is_refused


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What of a tree is wanted."""

    depth: int | None = None
    """How many levels below the root; None for all."""
    platforms: tuple[Platform, ...] = ()
    """Of an index only the entries for these, with their attestations; all where there are none."""
    artifact_types: tuple[str, ...] = ()
    """Only referrers with a type like one of these patterns, together with what refers to those; all where there are
    none."""
    annotations: Mapping[str, str | None] = {}
    """Only referrers that have these annotations; None for any value."""
    is_whole: bool = False
    """Whether referrers are read that lists say enough of."""


async def tree_of(
    store: Readable, reference: Location, root: AnyManifest, wanted: Wanted, referrers: Readable | None = None
) -> ArtifactTree:
    """The tree of a manifest.

    Args:
        store: where the manifest came from.
        reference: what it is called.
        root: the manifest.
        wanted: what of its tree.
        referrers: what refers to it is in there, and not in `store`.

    Raises:
        NotFound: it has nothing for one of the platforms.
        InvalidContent: there is more than a walk follows.
    """
    entries: Sequence[Descriptor] | None = None
    if isinstance(root, Index):
        entries = await entries_for(store, root, str(reference), wanted.platforms)
    elif wanted.platforms:
        config = await image_config(store, root)
        if not is_for_any(config, wanted.platforms):
            raise no_platform(str(reference), wanted.platforms, config)
    facts = _Facts(state="present", manifest=root, kind=_kind_of(root), entries=entries or ())
    return await _followed(store, reference, root.descriptor, facts, wanted, referrers)


async def tree_of_missing(
    store: Readable, reference: Location, digest: Digest, wanted: Wanted, referrers: Readable | None = None
) -> ArtifactTree:
    """The tree of what refers to a manifest that is not there, as it stays where one was deleted.

    Args:
        store: where the manifest would be.
        reference: what it is called.
        digest: its digest.
        wanted: what of its tree.
        referrers: what refers to it is in there, and not in `store`.
    """
    root = Descriptor(digest=digest, size=0)
    return await _followed(store, reference, root, _Facts(state="missing"), wanted, referrers)


async def _followed(
    store: Readable, reference: Location, root: Descriptor, facts: _Facts, wanted: Wanted, referrers: Readable | None
) -> ArtifactTree:
    reading = _Reading(store, referrers or store, str(reference), wanted)
    await reading.follow(root, facts)
    found = _Assembly(reading.facts, wanted.depth).node(_Listed(content=root), 0, ())
    return ArtifactTree(reference=reference, depth=wanted.depth, root=found, notes=reading.notes)


class _Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest, or a blob, as something lists it."""

    content: Descriptor
    """With all that is said of it there."""
    subject: Digest | None = None
    """Of a referrer, what it refers to."""
    tag: str | None = None
    """The tag by which it refers to that, where it is one of cosign's."""
    manifest: AnyManifest | None = None
    """The manifest itself, where it was read with the tag."""


class _Facts(msgspec.Struct, kw_only=True):
    """What was found out about one digest."""

    state: State
    kind: Kind | None = None
    problem: str | None = None
    manifest: AnyManifest | None = None
    entries: Sequence[Descriptor] = ()
    """Of an index, those that are wanted."""
    referrers: Sequence[_Listed] = ()
    has_subject: bool | None = None
    """Whether what it says that it refers to is there, where that is nothing else that was looked at."""


class _Reading:
    """One reading of a graph, with what refers to it.

    Args:
        store: has the graph.
        elsewhere: has what refers to it; the same store, as a rule.
        name: what the graph is called.
        wanted: what of it.
    """

    def __init__(self, store: Readable, elsewhere: Readable, name: str, wanted: Wanted) -> None:
        self.facts: dict[Digest, _Facts] = {}
        self.notes: list[str] = []
        self._store = store
        self._elsewhere = elsewhere
        self._wanted = wanted
        self._walk = Walk(name)
        self._tags = DigestTags()
        self._has_tags = False
        """Whether all tags are known."""

    async def follow(self, root: Descriptor, facts: _Facts) -> None:
        """Look at all that a manifest leads to, and at what refers to it, level by level.

        Args:
            root: the manifest.
            facts: what is known of it.

        Raises:
            InvalidContent: there is more than a walk follows.
        """
        if facts.manifest is not None:
            self._walk.count(facts.manifest)
        if facts.entries:
            self._walk.enter(facts.entries, 1)
        self.facts[root.digest] = facts
        # Alone, before other lists: its answer says whether the registry has such lists, or tags instead of them.
        _, listed = await gather([self._find_tags(), self._listed(root, 1)])
        facts.referrers = await self._chosen(_Listed(content=root), listed or [], 1)
        await self._see_subject(facts)
        level, last = 1, self._wanted.depth
        found = self._below([facts], level)
        while found and (last is None or level <= last):
            looks = await gather(self._look(listed, level) for listed in found)
            level += 1
            found = self._below(looks, level)

    def _below(self, looked_at: Iterable[_Facts], level: int) -> list[_Listed]:
        """What these list that was not seen before."""
        found: dict[Digest, _Listed] = {}
        for facts in looked_at:
            listed = {str(entry.digest) for entry in facts.entries}
            for entry in facts.entries:
                # An attestation is shown below what it is about, and so one level deeper.
                if level != self._wanted.depth or attested(entry) not in listed:
                    found.setdefault(entry.digest, _Listed(content=entry))
            for referrer in facts.referrers:
                found.setdefault(referrer.content.digest, referrer)
        return [listed for digest, listed in found.items() if digest not in self.facts]

    async def _look(self, listed: _Listed, level: int) -> _Facts:
        """Read a manifest, and at the same time what refers to it."""
        facts = self.facts[listed.content.digest] = _Facts(state="listed", kind=_kind_told(listed))
        if level == self._wanted.depth or not may_be_manifest(listed.content) or self._has_no_list(listed.content):
            await self._read(facts, listed, level)
            facts.referrers = await self._chosen(listed, [], level + 1) if level != self._wanted.depth else ()
        else:
            _, found = await gather([self._read(facts, listed, level), self._listed(listed.content, level + 1)])
            facts.referrers = await self._chosen(listed, found or [], level + 1)
        await self._see_subject(facts)
        return facts

    # Manifests

    async def _read(self, facts: _Facts, listed: _Listed, level: int) -> None:
        """Read a manifest, where what lists it does not say enough; of a blob, see whether it is there."""
        if self._is_told(listed) and not self._wanted.is_whole:
            return
        content, facts.state = listed.content, "present"
        try:
            if may_be_manifest(content):
                facts.manifest = await self._manifest(listed)
                facts.kind = _kind_of(facts.manifest)
                if isinstance(facts.manifest, Index) and level != self._wanted.depth:
                    facts.entries = facts.manifest.manifests
                    self._walk.enter(facts.entries, level + 1)
                return
        except NotFound:
            if content.media_type:
                facts.state = "missing"
                return
        except (InvalidContent, RegistryFailure) as error:
            if not _is_of_content(error):
                raise
            if content.media_type:
                facts.state, facts.problem = "unreadable", error.cause or error.message
                return
        # A layer of a cache, say: the index says what there is to say.
        is_there = await self._walk.contains(self._where(listed), content.content)
        facts.state, facts.kind = ("present", "blob") if is_there else ("missing", None)

    async def _manifest(self, listed: _Listed) -> AnyManifest:
        return listed.manifest or await self._walk.fetch(self._where(listed), listed.content.content)

    def _where(self, listed: _Listed) -> Readable:
        return self._store if listed.subject is None else self._elsewhere

    def _is_told(self, listed: _Listed) -> bool:
        """Whether what lists a referrer says enough of it, and is to be believed.

        A list under a fallback tag may be old, and cosign writes no annotations into it, and not always a type.
        """
        if listed.subject is None or listed.tag is not None or not self._elsewhere.traits.is_remote:
            return False
        is_sure = fallback_tag(listed.subject) not in self._tags.fallbacks
        return is_sure and listed.content.artifact_type not in ("", OCI_EMPTY)

    async def _see_subject(self, facts: _Facts) -> None:
        """Find out whether what a manifest refers to is there."""
        subject = facts.manifest.subject if facts.manifest is not None else None
        if subject is not None and subject.digest not in self.facts:
            facts.has_subject = await self._walk.contains(self._store, subject.content)

    # Referrers

    async def _find_tags(self) -> None:
        try:
            self._tags, self._has_tags = await DigestTags.of(self._elsewhere), True
        except LadingError as error:
            self._note(f"cosign's tags were not looked for: {error.message}")

    def _has_no_list(self, subject: Descriptor) -> bool:
        """Whether it is known, without a question, that nothing is listed as a referrer of a manifest."""
        by_tags = self._has_tags and self._elsewhere.traits.lists_under_tags
        return by_tags and fallback_tag(subject.digest) not in self._tags.fallbacks

    async def _listed(self, subject: Descriptor, level: int) -> list[_Listed]:
        """What the store lists as referrers: each is counted before the next one is asked for."""
        found: list[_Listed] = []
        try:
            async for entry in self._elsewhere.referrers(subject.content):
                self._walk.enter([entry], level)
                found.append(_Listed(content=entry, subject=subject.digest))
        except (NotFound, Unsupported):
            return found
        except InvalidContent as error:
            if not _is_of_content(error):
                raise
            self._note(f"not all that refers to {self._walk.name} is known: {error.message}")
        return found

    async def _chosen(self, subject: _Listed, listed: list[_Listed], level: int) -> Sequence[_Listed]:
        """What is listed, and what cosign's tags name, as far as it is wanted."""
        tags = self._tags.cosign.get(subject.content.digest, ())
        if tags:
            self._walk.enter((subject.content for _ in tags), level)
        tagged = await gather(self._tagged(tag, subject.content.digest) for tag in tags)
        found = [*listed, *(one for one in tagged if one is not None)]
        if subject.subject is not None or not (self._wanted.artifact_types or self._wanted.annotations):
            return found
        are_wanted = await gather(self._is_wanted(one) for one in found)
        return [one for one, is_wanted in zip(found, are_wanted, strict=True) if is_wanted]

    async def _tagged(self, tag: str, subject: Digest) -> _Listed | None:
        """What one of cosign's tags names."""
        try:
            manifest = await self._walk.fetch(self._elsewhere, tag)
        except NotFound:
            self._note(f"the tag {tag} is listed, and names nothing")
            return None
        return _Listed(content=manifest.descriptor, subject=subject, tag=tag, manifest=manifest)

    async def _is_wanted(self, referrer: _Listed) -> bool:
        types, annotations = {referrer.content.artifact_type}, dict(referrer.content.annotations)
        if not self._is_told(referrer):
            try:
                manifest = await self._manifest(referrer)
            except (NotFound, InvalidContent) as error:
                if isinstance(error, InvalidContent) and not _is_of_content(error):
                    raise
            else:
                types |= artifact_types(manifest, referrer.tag or "")
                annotations |= manifest.annotations
        return ArtifactTypes(self._wanted.artifact_types).has(types) and all(
            name in annotations and value in (None, annotations[name])
            for name, value in self._wanted.annotations.items()
        )

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


class _Assembly:
    """Makes the nodes of what was found, each with what is below it where it comes first.

    Args:
        facts: what was found, by its digest.
        depth: how many levels below the root there are to be; None for all.
    """

    def __init__(self, facts: Mapping[Digest, _Facts], depth: int | None) -> None:
        self._facts = facts
        self._depth = depth
        self._shown: set[Digest] = set()

    def node(self, listed: _Listed, level: int, above: Collection[Digest], about: Sequence[_Listed] = ()) -> TreeNode:
        """The node of what something lists.

        Args:
            listed: what it is.
            level: how many levels it is below the root.
            above: the digests that it is below.
            about: attestations about it.
        """
        digest = listed.content.digest
        facts = self._facts.get(digest) or _Facts(state="listed", kind=_kind_told(listed))
        node = self._alone(listed, facts)
        if digest in above:
            node.state = "circle"
        elif level == self._depth or not (about or facts.entries or facts.referrers):
            return node
        elif digest in self._shown:
            node.state = "repeated"
        else:
            self._shown.add(digest)
            path = {*above, digest}
            node.attestations = [self.node(one, level + 1, path) for one in about]
            node.children = self._children(facts.entries, level + 1, path)
            attesting = {one.content.digest for one in about}
            others = [one for one in facts.referrers if one.content.digest not in attesting]
            node.referrers = [self.node(one, level + 1, path) for one in others]
        return node

    def _children(self, entries: Sequence[Descriptor], level: int, above: Collection[Digest]) -> list[TreeNode]:
        """What an index lists; an attestation goes to the first entry with the digest that it is about."""
        about: dict[str, list[_Listed]] = {str(entry.digest): [] for entry in entries if not is_attestation(entry)}
        children: list[Descriptor] = []
        for entry in entries:
            if is_attestation(entry) and (said := attested(entry)) in about:
                about[said].append(_Listed(content=entry))
            else:
                children.append(entry)
        nodes = []
        for entry in children:
            node = self.node(_Listed(content=entry), level, above, about.pop(str(entry.digest), ()))
            if is_attestation(entry) and node.problem is None:
                said = attested(entry)
                node.problem = (
                    f"it is about {said}, which is not listed" if said else "it does not say what it is about"
                )
            nodes.append(node)
        return nodes

    def _alone(self, listed: _Listed, facts: _Facts) -> TreeNode:
        """The node without what is below it."""
        content, manifest = listed.content, facts.manifest
        image = manifest if isinstance(manifest, Manifest) else None
        annotations = {**content.annotations, **(manifest.annotations if manifest is not None else {})}
        is_artifact = is_attestation(content) or listed.subject is not None or facts.kind == "artifact"
        artifact_type = (artifact_type_of(image) if image is not None else None) or content.artifact_type or None
        predicates = predicates_of(annotations, image.layers if image is not None else ())
        types = [artifact_type or "", *(child.media_type for child in (image.children if image is not None else ()))]
        platform = content.platform if not is_attestation(content) else None
        subject = manifest.subject.digest if manifest is not None and manifest.subject is not None else None
        node = TreeNode(
            digest=content.digest,
            media_type=manifest.media_type if manifest is not None else content.media_type,
            size=manifest.size if manifest is not None else content.size,
            kind="artifact" if is_artifact and facts.kind == "image" else facts.kind,
            state=facts.state,
            problem=facts.problem,
            platform=str(platform) if platform not in (None, Platform()) else None,
            os_version=(platform.os_version or None) if platform is not None else None,
            artifact_type=artifact_type,
            purpose=purpose_of(types, predicates, annotations, listed.tag) if is_artifact else None,
            predicates=predicates,
            created=annotations.get(CREATED),
            annotations=annotations,
            total_size=image.total_size if image is not None else content.size if facts.kind == "blob" else None,
            tag=listed.tag,
            subject=subject,
            config=image.config if image is not None else None,
            layers=list(image.layers) if image is not None else [],
        )
        if subject is not None:
            known = self._facts.get(subject)
            is_there = facts.has_subject if known is None else known.state != "missing"
            node.subject_state = "present" if is_there else "missing"
        return node


def _kind_of(manifest: AnyManifest) -> Kind:
    if isinstance(manifest, Index):
        return "index"
    return "image" if manifest.is_image else "artifact"


def _kind_told(listed: _Listed) -> Kind | None:
    """What kind of manifest something is, as far as what lists it tells."""
    if listed.content.media_type in INDEXES:
        return "index"
    return "artifact" if listed.subject is not None and listed.content.artifact_type else None


def _is_of_content(error: InvalidContent | RegistryFailure) -> bool:
    """Whether a failure is that of one content: all others can be shown without it."""
    return is_refused(error) if isinstance(error, RegistryFailure) else error.code not in LIMITS
