"""`Client.drafts`: everything that is done with drafts, bound to a client's registries and a user's store.

This module only binds; what the methods do is in the modules of their names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Final

from lading.drafts import annotate as _annotate
from lading.drafts import create as _create
from lading.drafts import inspect as _inspect
from lading.drafts import merge as _merge
from lading.drafts import pull as _pull
from lading.drafts import push as _push
from lading.drafts import remove as _remove
from lading.drafts import status as _status
from lading.drafts.draft import Draft, ListType
from lading.drafts.store import DraftStore
from lading.io.blocking import Face, blocking
from lading.model.platform import Platform
from lading.model.reference import Reference
from lading.store import Connect
from lading.stores.location import AnyLocation, registry_reference
from lading.transfer.events import OnEvent


class Drafts:
    """Manifest lists in the making, kept where Docker keeps its own: `docker manifest` sees the same ones.

    Args:
        connect: gives the store of a reference, such as `AsyncClient.connect`.
        store: where the drafts are kept.
    """

    def __init__(self, connect: Connect, store: DraftStore) -> None:
        self._connect = connect
        self._store = store

    @property
    def store(self) -> DraftStore:
        """Where the drafts are kept."""
        return self._store

    async def create(
        self,
        target: Reference | str,
        sources: Iterable[AnyLocation] | AnyLocation,
        *,
        amend: bool = False,
        replace: bool = False,
        platforms: Iterable[Platform | str] | Platform | str = (),
        attestations: bool = True,
        annotations: Mapping[str, str] | None = None,
        type: ListType | None = None,
    ) -> _merge.CreatedDraft:
        """Make a draft of images, in the order given; an index among them gives all of its own.

        Args:
            target: the draft's name.
            sources: images and indexes, of any registry; or in a layout or an archive, from which they are pushed with
                the list. `NAME:TAG@DIGEST` means the digest.
            amend: extend a draft that is there: its tags are looked up again, and the sources added.
            replace: start over where there is one.
            platforms: what to take from an index; empty for all.
            attestations: whether the attestations of an index come along.
            annotations: of the list itself.
            type: what it is pushed as; None for what an amended draft says already, else `auto`.

        Raises:
            Conflict: there is such a draft, and neither `amend` nor `replace`.
            NotFound: a source, or a child of an index, is not there, or none is for one of the platforms.
            UsageError: the sources cannot be put into a list of that type.
        """
        return await _create.create(
            self._connect,
            self.store,
            target,
            sources,
            amend=amend,
            replace=replace,
            platforms=platforms,
            attestations=attestations,
            annotations=annotations,
            type=type,
        )

    async def add(
        self,
        target: Reference | str,
        sources: Iterable[AnyLocation] | AnyLocation,
        *,
        platforms: Iterable[Platform | str] | Platform | str = (),
        attestations: bool = True,
    ) -> _merge.CreatedDraft:
        """Add images to a draft, and leave its other entries as they are. The arguments are those of `create`.

        Raises:
            NotFound: there is no such draft; or what `create` raises.
        """
        return await _create.add(
            self._connect, self.store, target, sources, platforms=platforms, attestations=attestations
        )

    async def pull(
        self,
        source: Reference | str,
        target: Reference | str | None = None,
        *,
        replace: bool = False,
        platforms: Iterable[Platform | str] | Platform | str = (),
        attestations: bool = True,
    ) -> _merge.CreatedDraft:
        """Make a draft of a list that is in a registry, to change it and push it again.

        What the list says is kept as it is, nested indexes included; its digest is remembered as the draft's `origin`.

        Args:
            source: the list.
            target: the draft's name; None for that of the source.
            replace: overwrite a draft of that name.
            platforms: what to take of it; empty for all.
            attestations: whether its attestations come along.

        Raises:
            NotFound: the list, or a child of it, is not there.
            Conflict: there is such a draft.
            InvalidContent: the source is an image.
        """
        return await _pull.pull(
            self._connect,
            self.store,
            source,
            target,
            replace=replace,
            platforms=platforms,
            attestations=attestations,
        )

    async def push(
        self,
        target: Reference | str,
        *,
        tags: Iterable[str] | str = (),
        if_digest: str | None = None,
        dry_run: bool = False,
        purge: bool = False,
        keep_going: bool = False,
        on_event: OnEvent | None = None,
    ) -> _push.PushedDraft:
        """Push a draft: first what its registry lacks of its entries, then the list, under its tag and any others.

        Args:
            target: the draft.
            tags: further tags, in the same repository.
            if_digest: push only if the list's tag names this digest, or does not exist (`absent`), or names what it
                did when the draft was last pulled or pushed (`origin`): before anything is sent, and still just before
                the tag is set.
            dry_run: only compute what would be pushed; nothing is sent but the question for `if_digest`.
            purge: remove the draft afterwards, unless a tag could not be set.
            keep_going: set those of several tags that can be set; `failed` of what is returned are the others.
            on_event: called with what happens while entries are brought: see `lading.transfer.events`.

        Raises:
            NotFound: there is no such draft, it is empty, or something an entry needs is not in the registry.
            UsageError: an entry has no operating system or architecture.
            Conflict: the tag has another digest than `if_digest`.
        """
        return await _push.push(
            self._connect,
            self.store,
            target,
            tags=tags,
            if_digest=if_digest,
            dry_run=dry_run,
            purge=purge,
            keep_going=keep_going,
            on_event=on_event,
        )

    async def inspect(
        self, target: Reference | str, image: str | None = None, *, verbose: bool = False, remote: bool = False
    ) -> bytes:
        """What `docker manifest inspect` prints, byte for byte: of the draft of this name, else of the registry's.

        Args:
            target: a draft; or an image or an index in a registry.
            image: an entry of the draft, as `Draft.find` takes it; then only a draft is inspected.
            verbose: descriptors, platforms and manifests, as with `-v`.
            remote: what is in the registry, whether there is a draft of this name or not.

        Raises:
            NotFound: there is neither a draft nor a manifest of this name, or the draft has no such entry.
            UsageError: the image means several entries.
            LadingError: Docker's store does not have the manifest of the entry.
        """
        return await _inspect.inspect(self._connect, self.store, target, image, verbose=verbose, remote=remote)

    async def annotate(
        self,
        target: Reference | str,
        image: str | None = None,
        *,
        os: str = "",
        architecture: str = "",
        variant: str = "",
        os_version: str = "",
        os_features: Iterable[str] | str = (),
        features: Iterable[str] | str = (),
        clear: Iterable[str] | str = (),
        annotations: Mapping[str, str] | None = None,
        remove_annotations: Iterable[str] | str = (),
        index_annotations: Mapping[str, str] | None = None,
        remove_index_annotations: Iterable[str] | str = (),
        type: ListType | None = None,
    ) -> _annotate.AnnotatedDraft:
        """Change what a draft says about one of its entries, or about itself. Nothing is sent.

        Args:
            target: the draft.
            image: the entry, as `Draft.find` takes it; None where only the list is annotated.
            os: operating system; aliases become Go's names. Empty leaves it as it is, here and below.
            architecture: aliases become Go's names, and bring their variant (`armhf` is `arm`, `v7`).
            variant: of the architecture.
            os_version: version of the operating system.
            os_features: added to the features that are there, each once.
            features: of the processor; added likewise. They are never pushed, by Docker or by lading.
            clear: fields to empty first: `os`, `architecture`, `variant`, `os_version`, `os_features`, `features`.
            annotations: set on the entry; the list becomes an OCI index.
            remove_annotations: keys to remove from the entry.
            index_annotations: set on the list; it becomes an OCI index.
            remove_index_annotations: keys to remove from the list.
            type: what the list is pushed as, from now on.

        Returns:
            The draft as it is then, with warnings about platforms that no client is known to ask for, and about a
            change of the type of the list.

        Raises:
            NotFound: no such draft, or no such entry.
            UsageError: the image means several entries, or the list cannot hold what it is given.
        """
        return await asyncio.to_thread(
            _annotate.annotate,
            self.store,
            target,
            image,
            os=os,
            architecture=architecture,
            variant=variant,
            os_version=os_version,
            os_features=os_features,
            features=features,
            clear=clear,
            annotations=annotations,
            remove_annotations=remove_annotations,
            index_annotations=index_annotations,
            remove_index_annotations=remove_index_annotations,
            type=type,
        )

    async def remove(self, target: Reference | str, *images: str) -> _remove.RemovedEntries:
        """Remove entries from a draft, with the attestations about them.

        Args:
            target: the draft.
            images: the entries, as `Draft.find` takes them.

        Raises:
            NotFound: no such draft, or no such entry; nothing was removed.
            UsageError: an image means several entries.
        """
        return await asyncio.to_thread(_remove.remove, self.store, target, images)

    async def discard(self, *targets: Reference | str) -> tuple[Reference, ...]:
        """Remove whole drafts from this machine; registries keep what was pushed.

        Args:
            targets: the drafts.

        Returns:
            The names among them for which there was no draft.
        """
        references = [registry_reference(target) for target in targets]
        return await asyncio.to_thread(self.store.remove, references)

    async def load(self, target: Reference | str) -> Draft:
        """A draft.

        Raises:
            NotFound: there is none of this name.
        """
        reference = registry_reference(target)
        return await asyncio.to_thread(self.store.load, reference)

    async def list(self) -> tuple[Draft, ...]:
        """Every draft, by name; one that cannot be read has a `problem` instead of entries."""
        return await asyncio.to_thread(self.store.list)

    async def status(self, drafts: Iterable[Draft]) -> tuple[_status.DraftStatus, ...]:
        """How drafts differ from what their registries have; all are asked at once.

        Args:
            drafts: the drafts, as `load` or `list` gives them.

        Returns:
            The states, in the order of the drafts; a registry that cannot be asked is a state, too.
        """
        return await _status.status(self._connect, drafts)

    async def prune(self, *, older_than: timedelta | None = None, dry_run: bool = False) -> tuple[Reference, ...]:
        """Remove the drafts that their registries have exactly as they are.

        Args:
            older_than: only drafts that have not changed for that long.
            dry_run: change nothing.

        Returns:
            The names of the drafts that were removed, or would be.
        """
        return await _status.prune(self._connect, self.store, older_than=older_than, dry_run=dry_run)


class SyncDrafts(Face[Drafts]):
    """`Drafts` for programs without an event loop: the same methods, each returning its result."""

    @property
    def store(self) -> DraftStore:
        """Where the drafts are kept."""
        return self._inner.store

    create: Final = blocking(Drafts.create)
    add: Final = blocking(Drafts.add)
    pull: Final = blocking(Drafts.pull)
    push: Final = blocking(Drafts.push)
    inspect: Final = blocking(Drafts.inspect)
    annotate: Final = blocking(Drafts.annotate)
    remove: Final = blocking(Drafts.remove)
    discard: Final = blocking(Drafts.discard)
    load: Final = blocking(Drafts.load)
    list: Final = blocking(Drafts.list)
    status: Final = blocking(Drafts.status)
    prune: Final = blocking(Drafts.prune)
