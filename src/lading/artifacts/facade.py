"""`Client.artifacts`: any files in a registry, or in another place, bound to a client.

This module only binds; what the methods do is in the modules that are called after them.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Protocol

import msgspec

from lading.arguments import several
from lading.errors import Conflict, InvalidContent, NotFound, UsageError
from lading.images.edited import parse_platforms
from lading.images.indexes.report import EntryChange
from lading.images.platforms import choose_image
from lading.io.blocking import Face, blocking
from lading.io.tasks import JOBS
from lading.io.threads import in_thread
from lading.model.descriptor import Descriptor
from lading.model.index import Index
from lading.model.manifest import Manifest
from lading.model.platform import Platform
from lading.model.text import excerpt
from lading.results import Deletion
from lading.store import AnyManifest, Readable, fetch_manifest
from lading.stores.location import AnyLocation, Location, as_location
from lading.stores.opening import fetch_location, resolve_location
from lading.stores.overlay import Overlay
from lading.transfer.events import Meter, OnEvent
from lading.transfer.guard import Guard, find_named
from lading.transfer.report import CopyReport
from lading.transfer.transform import Graph

if TYPE_CHECKING:
    from lading.artifacts.attach import AttachReport
    from lading.artifacts.backups.parts import BackupReport, OnPlan
    from lading.artifacts.pull import Pulled
    from lading.artifacts.push import ArtifactFile, ImageSpec, Packaged, Packaging
    from lading.artifacts.referrer_list import ReferrerList
    from lading.artifacts.report import Guess, PushReport
    from lading.artifacts.tree_nodes import ArtifactTree
    from lading.images.edits.edit import Edit
    from lading.images.edits.referrers import Referrers
    from lading.images.edits.report import EditReport


class Open(Protocol):
    """Gives the store of a location."""

    def __call__(
        self, place: AnyLocation, *, writing: bool = ..., mirrored: bool = ...
    ) -> AbstractAsyncContextManager[Readable]:
        """The store, to be read."""


_ATTEMPTS = 8
"""How often an artifact is put into an index that others change, too."""

_LISTED = 6
"""How many entries of an index are named in an error."""
Copy = Callable[..., Coroutine[Any, Any, CopyReport]]
"""Copies a graph to locations, as `AsyncClient.copy` does."""
Delete = Callable[[AnyLocation], Awaitable[Deletion]]
"""Deletes a manifest, or says what that would take: as `AsyncClient.delete` and `deletion` do."""


class Artifacts:
    """Artifacts: manifests whose layers are files, as oras has them (image-spec manifest §Guidelines).

    >>> with Client() as client:
    ...     done = client.artifacts.push(f"{registry}/notes:1", ArtifactFile(content=b"hello", title="a.txt"))
    ...     print(done)
    <CopyReport 1 image 1 manifest 2 blobs 7 B>

    Args:
        open: gives the store of a location, such as `AsyncClient.open`.
        copy: copies a graph, as `AsyncClient.copy` does.
        look: says what a deletion would take, as `AsyncClient.deletion` does.
        delete: deletes a manifest, as `AsyncClient.delete` does.
        cache: the folder for what later pulls can use; None for none.
    """

    def __init__(self, open: Open, copy: Copy, look: Delete, delete: Delete, cache: Path | None = None) -> None:
        self._open = open
        self._copy = copy
        self._look = look
        self._delete = delete
        self._cache = cache

    async def push(
        self,
        target: AnyLocation,
        *files: ArtifactFile | str | os.PathLike[str],
        artifact_type: str | None = None,
        config: ArtifactFile | str | os.PathLike[str] | None = None,
        annotations: Mapping[str, str] | None = None,
        config_annotations: Mapping[str, str] | None = None,
        subject: AnyLocation | None = None,
        platform: Platform | str | None = None,
        index: bool = False,
        image_spec: ImageSpec | None = None,
        guess: bool = True,
        times: int = 0,
        tags: Iterable[str] | str = (),
        by_digest: bool = False,
        clobber: bool = True,
        if_digest: str | None = None,
        dry_run: bool = False,
        jobs: int = JOBS,
        on_guess: Callable[[Sequence[Guess]], None] | None = None,
        on_event: OnEvent | None = None,
    ) -> PushReport:
        """Make an artifact of files and write it. What is there already is not sent.

        The same files give the same digest, on any machine and at any time. A directory becomes a tar archive with
        gzip, which `oras pull` unpacks, too: of what is in it names, contents, permissions and symbolic links count.

        Args:
            target: where to, such as `reg.example/notes:1`, or any other location that holds artifacts. A Helm chart
                gets its version for a tag where none is named.
            files: the files, in order: paths, or more exactly `ArtifactFile`s.
            artifact_type: the media type that says what the artifact is; without one, and without a config, it is
                guessed, or of an unknown type.
            config: the config; by default the empty one.
            annotations: of the manifest.
            config_annotations: of the config's descriptor.
            subject: what the artifact refers to: a tag or digest in the same place.
            platform: what it is for; its config says so, as an image's does.
            index: put the artifact into the index that the target names, for its platform: that is made where there is
                none, and everything else that it lists stays. The artifact itself gets no tag.
            image_spec: the version of the image specification, `1.0` or `1.1`. By 1.0 there is no artifact type, and
                the config's media type says what the artifact is, as registries older than 1.1 have it.
            guess: whether what is not said is told from names and contents: media types of files, and what the artifact
                is made like, such as a Helm chart.
            times: when everything in directories was modified, in seconds since the epoch.
            tags: more tags in the target.
            by_digest: give the artifact no tag.
            clobber: False leaves tags alone that name something else, or that appear meanwhile.
            if_digest: change tags only if they name this digest, or do not exist (`absent`).
            dry_run: write nothing; the report says what would be done.
            jobs: how many blobs are under way at once.
            on_guess: is called with what was guessed, before anything is sent; not where nothing was.
            on_event: called with what happens; see `AsyncClient.copy`.

        Raises:
            UsageError: a title or a media type cannot be one, or two titles cannot be in one folder; or what is asked
                for does not go together.
            NotFound: there is no such file, or no such subject.
            InvalidContent: a directory has something in it that could not be pulled; code `unfit-file`.
            Conflict: a tag is not to be changed, or a file was changed while it was read; or the index lists something
                of another type for the platform. Nothing was written.
        """
        from lading.artifacts.push import Packaging, as_files, check, package
        from lading.artifacts.report import PushReport

        packaging = Packaging(
            files=as_files(files),
            artifact_type=artifact_type,
            config=as_files([config])[0] if config is not None else None,
            annotations=annotations or {},
            config_annotations=config_annotations or {},
            times=times,
            platform=Platform.parse(platform) if isinstance(platform, str) else platform,
            image_spec=image_spec,
        )
        check(packaging, titles=False)
        guesses: tuple[Guess, ...] = ()
        if guess:
            from lading.artifacts.guessing import guessed

            packaging, guesses = await in_thread(guessed, packaging)
        check(packaging)
        place = _place(target, packaging, index=index, by_digest=by_digest)
        if guesses and on_guess is not None:
            on_guess(guesses)
        options: dict[str, Any] = {"tags": several(tags), "dry_run": dry_run, "jobs": jobs, "on_event": on_event}
        guard = Guard.of(if_digest, clobber=clobber)
        async with Overlay(name="the artifact") as overlay, AsyncExitStack() as resources:
            if subject is not None:
                packaging = msgspec.structs.replace(packaging, subject=await self._subject(subject, place))
            packaged = await package(overlay, packaging)
            notes = [*packaged.notes, *_other_tag(place, packaging, several(tags))]
            graph = Graph.of(overlay, packaged.manifest, str(place), resources).changed(*notes)
            changes: list[EntryChange] = []
            if index:
                assert packaging.platform is not None
                report, changes = await self._group(graph, packaged, packaging.platform, place, guard, options)
            else:
                report = await self._copy(
                    graph,
                    place,
                    clobber=clobber,
                    if_digest=if_digest,
                    by_digest=by_digest,
                    referrers=False,
                    **options,
                )
        return PushReport(
            **{name: getattr(report, name) for name in CopyReport.__struct_fields__},
            digest=packaged.manifest.digest,
            artifact_type=packaged.manifest.as_referrer.artifact_type,
            guesses=guesses,
            changes=changes,
        )

    async def _group(
        self,
        graph: Graph,
        packaged: Packaged,
        platform: Platform,
        place: Location,
        guard: Guard,
        options: Mapping[str, Any],
    ) -> tuple[CopyReport, list[EntryChange]]:
        """Put an artifact into an index. Where others put something into it meanwhile, theirs stays, too."""
        from lading.artifacts.indexing import grouped

        tags, dry_run = options["tags"], options["dry_run"]
        for _ in range(_ATTEMPTS):
            async with AsyncExitStack() as stack:
                store = await self._there(stack, place, writing=not dry_run)
                there = await _found(store, place)
                made = grouped(there, store or graph.store, graph.store, packaged, platform, str(place))
                guard.check(str(place), there.digest if there is not None else None, made.index.digest)
                fresh = graph.changed(store=made.store, manifest=made.index, subjects=(made.index.descriptor,))
                expected = str(there.digest) if there is not None else "absent"
                try:
                    alone = {**options, "tags": ()}
                    report = await self._copy(fresh, place, if_digest=expected, referrers=False, **alone)
                except Conflict:
                    # Somebody else was faster: what was asked for is true of the index as it is by then.
                    if guard.expected is not None:
                        raise
                    continue
                if not dry_run and store is not None and not await _is_kept(store, place, made.index):
                    continue
                if tags:
                    more = await self._copy(
                        fresh,
                        place.with_tag(tags[0]),
                        clobber=guard.clobber,
                        referrers=False,
                        **{**options, "tags": tags[1:]},
                    )
                    report.images[0].targets += more.images[0].targets
                return report, made.changes
        raise Conflict(
            f"{place} was not changed, because others keep changing it",
            remedy="do it again when they are done",
            fields={"reference": str(place)},
        )

    async def attach(
        self,
        subject: AnyLocation,
        *files: ArtifactFile | str | os.PathLike[str],
        artifact_type: str | None = None,
        config: ArtifactFile | str | os.PathLike[str] | None = None,
        annotations: Mapping[str, str] | None = None,
        config_annotations: Mapping[str, str] | None = None,
        platform: Platform | str | None = None,
        referrers_in: AnyLocation | None = None,
        guess: bool = True,
        times: int = 0,
        dry_run: bool = False,
        jobs: int = JOBS,
        on_guess: Callable[[Sequence[Guess]], None] | None = None,
        on_event: OnEvent | None = None,
    ) -> AttachReport:
        """Make an artifact of files that refers to a manifest, such as an SBOM of an image, and write it beside that.

        It gets no tag: it is found by what it refers to, which is not read. The same files attached again are there
        already: the artifact has the same digest.

        Args:
            subject: what it refers to, by a tag or digest, in a registry or any other place that holds artifacts.
            files: the files, in order, as `push` takes them; without any, it is its annotations that say something.
            artifact_type: the media type that says what the artifact is; None for what its files are told to be.
            config: the config; by default the empty one.
            annotations: of the manifest.
            config_annotations: of the config's descriptor.
            platform: of an index, the image that it refers to; None for the index itself.
            referrers_in: the place that the artifact is written to, if that is another one, such as a repository for
                what may not be written beside the subject.
            guess: whether what is not said is told from names and contents, as in `push`.
            times: when everything in directories was modified, in seconds since the epoch.
            dry_run: write nothing; the report says what would be done.
            jobs: how many blobs are under way at once.
            on_guess: is called with what was guessed, before anything is sent; not where nothing was.
            on_event: called with what happens; see `AsyncClient.copy`.

        Raises:
            UsageError: there are neither files nor annotations, or it cannot be told what they are; or see `push`.
            NotFound: there is no such subject, or no such file; nothing was written.
            InvalidContent: a directory has something in it that could not be pulled; code `unfit-file`.
            Conflict: a file was changed while it was read, or other writers kept overwriting the list of referrers.
        """
        from lading.artifacts.attach import AttachReport
        from lading.artifacts.push import Packaging, as_files, check, package

        given = Packaging(
            files=as_files(files),
            artifact_type=artifact_type,
            config=as_files([config])[0] if config is not None else None,
            annotations=annotations or {},
            config_annotations=config_annotations or {},
            times=times,
        )
        if not given.files and not given.annotations and config is None:
            raise UsageError(
                "there is nothing to attach", remedy="give a file, or an annotation", code="nothing-to-attach"
            )
        check(given, titles=False)
        guesses: tuple[Guess, ...] = ()
        if guess:
            from lading.artifacts.guessing import guessed

            given, guesses = await in_thread(guessed, given)
        if given.artifact_type is None and given.convention is None:
            raise UsageError(
                "it was not said what is attached",
                cause="what refers to an image is found by its type, and the files do not tell it",
                remedy="give an artifact type",
                code="no-artifact-type",
            )
        check(given)
        if guesses and on_guess is not None:
            on_guess(guesses)
        location = as_location(subject).full()
        async with self._open(location) as store:
            found = await _resolved(store, location, platform)
        async with Overlay(name="the artifact") as overlay, AsyncExitStack() as resources:
            packaged = await package(overlay, msgspec.structs.replace(given, subject=found))
            graph = Graph.of(overlay, packaged.manifest, f"an artifact of {location}", resources)
            report = await self._copy(
                graph.changed(*packaged.notes),
                (location if referrers_in is None else as_location(referrers_in).full()).place,
                by_digest=True,
                dry_run=dry_run,
                jobs=jobs,
                referrers=False,
                on_event=on_event,
            )
        return AttachReport.of(report, found.digest, guesses)

    async def referrers(
        self,
        subject: AnyLocation,
        *,
        artifact_types: Iterable[str] | str = (),
        annotations: Mapping[str, str | None] | None = None,
        sort: str = "created",
        reverse: bool = False,
        latest: bool = False,
        platform: Platform | str | None = None,
        digest_tags: bool = False,
        referrers_in: AnyLocation | None = None,
    ) -> ReferrerList:
        """What refers to a manifest, such as signatures and SBOMs: listed as a referrer, or found by cosign's tags.

        Args:
            subject: the manifest, by a tag or digest, in any place.
            artifact_types: only what has a type like one of these patterns, such as `application/spdx*`.
            annotations: only what has all these annotations; None for any value.
            sort: the order: `created` (the newest first, last what does not say it), `type`, `size`, `digest`, or the
                key of an annotation.
            reverse: the other way round.
            latest: only the newest of them.
            platform: of an index, what refers to the image for this platform; None for the index itself.
            digest_tags: every tag that is made of the digest, and not only cosign's: costs the list of all tags.
            referrers_in: where referrers are looked for, if they are in another place.

        Raises:
            NotFound: there is no such subject.
            Conflict: which is the newest cannot be told.
        """
        from lading.artifacts.referrer_list import ReferrerFilter, list_referrers

        location = as_location(subject).full()
        wanted = ReferrerFilter(
            artifact_types=several(artifact_types),
            annotations=annotations or {},
            sort=sort,
            reverse=reverse,
            latest=latest,
        )
        async with self._open(location) as store, self._elsewhere(referrers_in) as elsewhere:
            found = await _resolved(store, location, platform)
            what = str(location) if platform is None else f"{location.place}@{found.digest}"
            return await list_referrers(elsewhere or store, found, wanted, what, digest_tags=digest_tags)

    @asynccontextmanager
    async def _elsewhere(self, referrers_in: AnyLocation | None) -> AsyncIterator[Readable | None]:
        """The other place that referrers are looked for in; None where there is none."""
        if referrers_in is None:
            yield None
            return
        async with self._open(referrers_in) as store:
            yield store

    async def pull(
        self,
        reference: AnyLocation,
        target: Path | str | BinaryIO = ".",
        *,
        titles: Iterable[str] | str = (),
        media_types: Iterable[str] | str = (),
        rename: Mapping[str, str] | str | None = None,
        flatten: bool = False,
        config: str | None = None,
        platform: Platform | str | None = None,
        clobber: bool = True,
        jobs: int = JOBS,
        on_event: OnEvent | None = None,
    ) -> Pulled:
        """Write the files of an artifact into a folder, or one of them to a file object.

        Whatever the artifact says, nothing is written outside of the folder, and no link in there is followed. All
        of it is downloaded and verified first; then each file gets its place at once. What is there and right stays,
        and is not downloaded. A directory that was pushed as one is unpacked, and what else is in it stays. What was
        interrupted goes on with the next call: until then the client's cache has the beginnings of large blobs.

        Args:
            reference: its tag or digest, in a registry or any other location.
            target: the folder, which is made where it is missing; where one file is wanted, and the path has its ending
                or is that of a file, the file itself. Or a file object, which gets the bytes of the only file that is
                wanted, of a directory its archive.
            titles: only files with a title like one of these patterns, such as `*.txt`. A layer without a title is
                called as its own tools call it (`app-1.0.tgz` for a Helm chart), or else by its digest, such as
                `sha256-…`.
            media_types: only files with a media type like one of these patterns, such as `text/*`.
            rename: other paths in the folder, by titles; or that of the only file.
            flatten: leave out the folders in titles.
            config: the path in the folder that the artifact's config gets; None leaves it out.
            platform: which artifact of an index.
            clobber: False refuses to replace files that are there and differ.
            jobs: how many blobs are under way at once.
            on_event: called with what happens; see `AsyncClient.copy`.

        Raises:
            NotFound: there is no such artifact, or no such file in it.
            InvalidContent: it is an index, or an image and no files are chosen; or the artifact, or a link in the
                folder, would have something written elsewhere. Nothing was written.
            Conflict: something else is there that is not to be replaced, or cannot be. Nothing was written.
            DigestMismatch: a blob is damaged. Nothing was written into a folder; a file object has its beginning.
            UsageError: several files are wanted, and there is one file object, or one name.
        """
        from lading.artifacts.pull import Pulling, to_folder, to_stream
        from lading.artifacts.wanted import Choice

        location = as_location(reference).full()
        wanted = Choice(
            titles=several(titles),
            media_types=several(media_types),
            rename={"": rename} if isinstance(rename, str) else rename or {},
            flatten=flatten,
            config=config,
        )
        async with self._open(location, mirrored=True) as store:
            manifest = await _artifact(store, await fetch_location(store, location), platform, str(location))
            pulling = Pulling(wanted=wanted, clobber=clobber, jobs=jobs, cache=self._cache, meter=Meter(on_event))
            if isinstance(target, Path | str):
                return await to_folder(store, manifest, pulling, str(target), str(location))
            return await to_stream(store, manifest, pulling, target, str(location))

    async def get(
        self,
        subject: AnyLocation,
        target: Path | str | BinaryIO = ".",
        *,
        artifact_types: Iterable[str] | str = (),
        annotations: Mapping[str, str | None] | None = None,
        latest: bool = False,
        platform: Platform | str | None = None,
        referrers_in: AnyLocation | None = None,
        titles: Iterable[str] | str = (),
        media_types: Iterable[str] | str = (),
        rename: Mapping[str, str] | str | None = None,
        flatten: bool = False,
        config: str | None = None,
        clobber: bool = True,
        jobs: int = JOBS,
        on_event: OnEvent | None = None,
    ) -> Pulled:
        """Write the files of the one artifact that refers to a manifest, such as its SBOM, as `pull` does.

        Args:
            subject: the manifest, by a tag or digest, in any place.
            target: where to; this and what is not described here, `pull` says.
            artifact_types: which artifact, by patterns of its type; see `referrers`.
            annotations: which artifact, by its annotations; None for any value.
            latest: of several, the newest.
            platform: of an index, what refers to the image for this platform; None for the index itself.
            referrers_in: where the artifact is looked for, if that is another place.
            titles: only files with a title like one of these patterns.
            media_types: only files with a media type like one of these patterns.
            rename: other paths in the folder, by titles; or that of the only file.
            flatten: leave out the folders in titles.
            config: the path in the folder that the artifact's config gets.
            clobber: False refuses to replace files that are there and differ.
            jobs: how many blobs are under way at once.
            on_event: called with what happens; see `AsyncClient.copy`.

        Raises:
            NotFound: there is no such subject, or nothing like that refers to it.
            Conflict: several artifacts do, or which is the newest cannot be told; or see `pull`.
        """
        from lading.artifacts.referrer_list import the_only

        found = await self.referrers(
            subject,
            artifact_types=artifact_types,
            annotations=annotations,
            latest=latest,
            platform=platform,
            referrers_in=referrers_in,
        )
        place = as_location(subject if referrers_in is None else referrers_in)
        return await self.pull(
            place.with_digest(the_only(found).digest),
            target,
            titles=titles,
            media_types=media_types,
            rename=rename,
            flatten=flatten,
            config=config,
            clobber=clobber,
            jobs=jobs,
            on_event=on_event,
        )

    async def edit(
        self,
        reference: AnyLocation,
        *edits: Edit,
        targets: Iterable[AnyLocation] | AnyLocation = (),
        in_place: bool = False,
        drop_original: bool = False,
        referrers: Referrers = "keep",
        tags: Iterable[str] | str = (),
        clobber: bool = True,
        if_digest: str | None = None,
        dry_run: bool = False,
        jobs: int = JOBS,
        on_event: OnEvent | None = None,
    ) -> EditReport:
        """Apply edits to the manifest of an artifact, such as to its annotations, and write what comes of it.

        The result has another digest; the files stay, and everything that the manifest says besides.

        Args:
            reference: its tag or digest, in a registry or any other location.
            edits: what is changed, in order: `SetAnnotation`, `SetArtifactType`, `SetBlobAnnotation` and
                `ClearAnnotations` of `lading.edits`.
            targets: where the result is written to.
            in_place: give the tag of the source to the result, too, if nobody else has changed the tag meanwhile. An
                artifact that refers to something needs no tag: the result refers to the same, beside it. What it was
                stays there by its digest.
            drop_original: in place, delete what it was when the result is there, if no tag, index or referrer needs it.
            referrers: what becomes of what refers to the artifact, such as signatures; see `Referrers` of
                `lading.edits`.
            tags: more tags in each target.
            clobber: False leaves tags alone that name something else, or that appear meanwhile.
            if_digest: change tags only if they name this digest, or do not exist (`absent`).
            dry_run: write nothing; the report says what would be done.
            jobs: how many blobs are under way at once.
            on_event: called with what happens; see `AsyncClient.copy`.

        Raises:
            UsageError: there is nowhere to write to: no target, and in place neither a tag nor a subject.
            NotFound: there is no such artifact, or no such file in it.
            InvalidContent: it is an index; or without a type nothing would say what it is.
            Conflict: a tag is not to be changed; nothing was written.
            Unsupported: it cannot be changed so.
        """
        from lading.artifacts.edit import Editor

        return await Editor(self._open, self._copy, self._look, self._delete).edit(
            as_location(reference).full(),
            edits,
            several(targets),
            referrers,
            in_place=in_place,
            drop_original=drop_original,
            if_digest=if_digest,
            tags=tags,
            clobber=clobber,
            dry_run=dry_run,
            jobs=jobs,
            on_event=on_event,
        )

    async def tree(
        self,
        reference: AnyLocation,
        *,
        depth: int | None = None,
        platforms: Iterable[Platform | str] | Platform | str = (),
        artifact_types: Iterable[str] | str = (),
        annotations: Mapping[str, str | None] | None = None,
        is_whole: bool = False,
        referrers_in: AnyLocation | None = None,
    ) -> ArtifactTree:
        """What a reference leads to, and what refers to each of it: as deep as that goes, each manifest read once.

        Entries of indexes; attestations that BuildKit has put into an index, below what they are about; referrers, by
        the registry's list, by fallback tags and by cosign's tags, and their referrers. What is listed and not there,
        what cannot be read, and what leads to itself is in the tree, too, and says so.

        In a registry: one request for each manifest that an index lists and for each list of referrers, and one for
        all tags. A referrer itself is read only where its list does not say what it is, or may be wrong.

        Args:
            reference: a tag or digest, in a registry or any other location.
            depth: how many levels below it; None for all.
            platforms: of an index only the entries for these, with their attestations; without any all entries.
            artifact_types: only referrers with a type like one of these patterns, such as `application/spdx*`, with
                what refers to those; without any all referrers.
            annotations: only referrers that have these annotations; None is any value.
            is_whole: read every referrer, too, so that its layers and its size are known.
            referrers_in: where referrers are looked for, if they are in another place.

        Raises:
            NotFound: there is no such manifest, and nothing refers to one with this digest; or it has nothing for a
                platform.
            InvalidContent: there is more than a walk follows: more than 16 levels, or more than 10,000 manifests.
            UsageError: the depth is no number from 1 on.
        """
        from lading.artifacts.referrer_tree import Wanted, tree_of, tree_of_missing

        if depth is not None and depth < 1:
            raise UsageError(f"a tree has no depth of {depth}", remedy="give a number from 1 on, or none")
        wanted = Wanted(
            depth=depth,
            platforms=parse_platforms(platforms),
            artifact_types=several(artifact_types),
            annotations=annotations or {},
            is_whole=is_whole,
        )
        location = as_location(reference).full()
        async with self._open(location) as store, self._elsewhere(referrers_in) as elsewhere:
            try:
                root = await fetch_location(store, location)
            except NotFound:
                if location.pinned is None:
                    raise
                found = await tree_of_missing(store, location, location.pinned, wanted, elsewhere)
                if not found.root.referrers:
                    raise
                return found
            return await tree_of(store, location, root, wanted, elsewhere)

    async def backup(
        self,
        repositories: Iterable[AnyLocation] | AnyLocation,
        target: AnyLocation,
        *,
        include: Iterable[str] | str = (),
        exclude: Iterable[str] | str = (),
        referrers: bool | None = None,
        artifact_types: Iterable[str] | str = (),
        untagged: bool = False,
        prune: bool = False,
        dry_run: bool = False,
        keep_going: bool = False,
        jobs: int = JOBS,
        on_event: OnEvent | None = None,
        on_plan: OnPlan | None = None,
    ) -> BackupReport:
        """Back up whole repositories into an image layout or an archive, from where `restore` and oras bring them back.

        Again into the same, only what is new is downloaded: one request for the list of tags, and one for each tag.
        Tags that moved are moved; nothing is removed unless that is asked for. An archive takes the place of the one
        before at the end, whole.

        The tags of one repository are tags in the layout. Those of several are full names, such as
        `reg.example/app:1.0`; what a repository's names are in a layout, they stay.

        Args:
            repositories: repositories; with a tag, several (`reg.example/app:1.0,1.1`) or a digest only those; or image
                layouts.
            target: `oci:DIR` or `oci-archive:FILE`.
            include: of all tags only these: globs, `re:EXPRESSION`, `semver:RANGE`.
            exclude: of all tags not these.
            referrers: signatures, SBOMs and the like, too, with what refers to those. None leaves them behind, and asks
                what there is, to say so; False leaves them behind unasked.
            artifact_types: of referrers, only those with a type like one of these patterns.
            untagged: manifests without a tag, too: of a layout all; of a registry, which does not list them, those to
                which something with a tag refers.
            prune: remove tags from the backup that the repositories no longer have, with what only they and the tags
                that moved led to; of content that is younger than a day only the manifests.
            dry_run: write nothing; the report says what would be done.
            keep_going: back up what can be, of several tags and repositories; `failed` of the report is what could not.
            jobs: how many blobs are under way at once.
            on_event: called with what happens; see `AsyncClient.copy`.
            on_plan: called with what becomes of each tag, before anything is written.

        Raises:
            NotFound: there is no such repository, or nothing in it; or it lacks something. Tags that were complete stay
                in a layout; an archive is as it was.
            UsageError: the target is no place for a backup.

        >>> with Client() as client:
        ...     report = client.artifacts.backup(f"{registry}/app", "oci:backup")
        >>> [(tag.reference, tag.state) for tag in report.tags]
        [('oci:backup:1.0', 'new')]
        """
        from lading.artifacts.backups.backup import BackupOptions, backup
        from lading.artifacts.backups.parts import Wanted

        options = BackupOptions(
            include=several(include),
            exclude=several(exclude),
            referrers=referrers,
            artifact_types=several(artifact_types),
            untagged=untagged,
            prune=prune,
            dry_run=dry_run,
            keep_going=keep_going,
            jobs=jobs,
        )
        given: tuple[AnyLocation, ...] = several(repositories)
        wanted = [Wanted.of(place) for place in given]
        return await backup(self._open, wanted, as_location(target), options, on_event, on_plan)

    async def restore(
        self,
        source: AnyLocation,
        target: AnyLocation | None = None,
        *,
        maps: Mapping[str, AnyLocation] | None = None,
        include: Iterable[str] | str = (),
        exclude: Iterable[str] | str = (),
        referrers: bool = True,
        untagged: bool = False,
        clobber: bool = True,
        dry_run: bool = False,
        keep_going: bool = False,
        jobs: int = JOBS,
        on_event: OnEvent | None = None,
        on_plan: OnPlan | None = None,
    ) -> BackupReport:
        """Restore a backup, lading's or oras's, to a repository, to several, or to another layout.

        The backup is only read. What is in the target already is not sent; what is brought is there before the tags are
        that lead to it.

        Args:
            source: `oci:DIR` or `oci-archive:FILE`; with a tag only that.
            target: a repository; with a tag or several (`reg.example/app:1.0,1.1`) only those. A text that ends in a
                slash is a registry, or a namespace in one: every repository keeps its own path below. Or a layout.
            maps: by names of repositories in the backup, where they go instead. Without `target` only they are
                restored.
            include: of all tags only these: globs, `re:EXPRESSION`, `semver:RANGE`.
            exclude: of all tags not these.
            referrers: signatures, SBOMs and the like, too; also where the registry has no list of them.
            untagged: manifests without a tag, too.
            clobber: False leaves tags alone that name something else.
            dry_run: write nothing; the report says what would be done.
            keep_going: restore what can be, of several tags and repositories; `failed` of the report is what could not.
            jobs: how many blobs are under way at once.
            on_event: called with what happens; see `AsyncClient.copy`.
            on_plan: called with what becomes of each tag, before anything is written.

        Raises:
            NotFound: there is no such backup, nothing in it, or not all of it; no tag names something incomplete.
            UsageError: it has several repositories, and it is not said where each goes.
            Conflict: two repositories would go to one.

        >>> with Client() as client:
        ...     report = client.artifacts.restore("oci:backup", f"{registry}/restored")
        >>> [tag.state for tag in report.tags]
        ['new']
        """
        from lading.artifacts.backups.parts import Request
        from lading.artifacts.backups.restore import Goal, restore

        request = Request(
            include=several(include),
            exclude=several(exclude),
            referrers=referrers,
            untagged=untagged,
            clobber=clobber,
            dry_run=dry_run,
            keep_going=keep_going,
            jobs=jobs,
        )
        return await restore(self._open, as_location(source), Goal.of(target, maps or {}), request, on_event, on_plan)

    async def _there(self, stack: AsyncExitStack, place: Location, *, writing: bool) -> Readable | None:
        """The store of a place; None where there is none yet."""
        try:
            return await stack.enter_async_context(self._open(place, writing=writing and place.is_registry))
        except NotFound:
            return None

    async def _subject(self, subject: AnyLocation, target: AnyLocation) -> Descriptor:
        """The descriptor of a subject.

        Raises:
            UsageError: it is in another place.
        """
        there, place = as_location(subject).full(), as_location(target).place
        if there.place != place:
            raise UsageError(
                f"{there} is not in {place}",
                cause="an artifact is where its subject is",
                remedy="copy one of them there first",
                code="subject-elsewhere",
            )
        async with self._open(there) as store:
            return await _resolved(store, there, None)


async def _resolved(store: Readable, location: Location, platform: Platform | str | None) -> Descriptor:
    """The descriptor of what a location names, with nothing else in it; of an index, of the image for a platform."""
    if platform is None:
        return (await resolve_location(store, location)).content
    wanted = Platform.parse(platform) if isinstance(platform, str) else platform
    return (await choose_image(store, await fetch_location(store, location), wanted, str(location))).content


def _place(target: AnyLocation, packaging: Packaging, *, index: bool, by_digest: bool) -> Location:
    """Where an artifact goes: what has no tag gets that which its convention looks for.

    Raises:
        UsageError: it cannot go there in the way that is asked for.
    """
    place = as_location(target)
    if by_digest:
        if index:
            raise UsageError(
                "an index has a tag", remedy="leave out that no tag is to be given", code="index-by-digest"
            )
        return place
    if packaging.tag and not place.is_named and place.has_names:
        place = place.with_tag(packaging.tag)
    place = place.full()
    if not index:
        return place
    if packaging.platform is None:
        raise UsageError(
            "an index lists artifacts by what they are for",
            remedy="say for which platform",
            code="index-without-platform",
        )
    if place.own_tag is None or place.pinned is not None:
        raise UsageError(
            f"{place} names no tag, and an index has one",
            remedy="name a tag",
            code="index-without-tag",
            fields={"location": str(place)},
        )
    return place


def _other_tag(place: Location, packaging: Packaging, tags: Sequence[str]) -> list[str]:
    """What to say where nobody who goes by the convention finds the artifact under the tags that it gets."""
    if not packaging.tag or packaging.tag in (place.own_tag, *tags):
        return []
    return [f"helm looks for this chart under its version, and it gets no tag {packaging.tag}"]


async def _found(store: Readable | None, place: Location) -> AnyManifest | None:
    """What a place names; None for nothing."""
    if store is None:
        return None
    try:
        return await fetch_location(store, place)
    except NotFound:
        return None


async def _is_kept(store: Readable, place: Location, index: Index) -> bool:
    """Whether a registry still has an index under its tag: others may have set the tag since it was looked at last.

    Registries compare nothing when a tag is set. Who looked at the tag before this index was written, and wrote after
    it, has written by now.
    """
    if not store.traits.is_remote:
        return True
    now = await find_named(store, place.own_tag or "")
    return now is not None and now.digest == index.digest


async def _artifact(store: Readable, found: Manifest | Index, platform: Platform | str | None, what: str) -> Manifest:
    """The manifest of an artifact, of an index the one for a platform."""
    if platform is not None:
        wanted = Platform.parse(platform) if isinstance(platform, str) else platform
        entry = await choose_image(store, found, wanted, what)
        found = found if entry.digest == found.digest else await fetch_manifest(store, entry.content)
    if isinstance(found, Index):
        kinds = [str(entry.platform or entry.artifact_type or entry.digest) for entry in found.manifests]
        listed = ", ".join(excerpt(kind, 80) for kind in dict.fromkeys(kinds[:_LISTED]))
        more = f" and {len(kinds) - _LISTED} more" if len(kinds) > _LISTED else ""
        raise InvalidContent(
            f"{what} is an index, not an artifact",
            cause=f"it lists {listed}{more}" if kinds else "it lists nothing",
            remedy="choose one of its entries by a platform or by its digest",
            code="index-of-artifacts",
            fields={"reference": what},
        )
    return found


class SyncArtifacts(Face[Artifacts]):
    """`Artifacts` for programs without an event loop: the same methods, each returning its result."""

    push: Final = blocking(Artifacts.push)
    attach: Final = blocking(Artifacts.attach)
    referrers: Final = blocking(Artifacts.referrers)
    get: Final = blocking(Artifacts.get)
    pull: Final = blocking(Artifacts.pull)
    edit: Final = blocking(Artifacts.edit)
    tree: Final = blocking(Artifacts.tree)
    backup: Final = blocking(Artifacts.backup)
    restore: Final = blocking(Artifacts.restore)
