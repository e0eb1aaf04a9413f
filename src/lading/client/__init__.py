"""AsyncClient: everything lading does, from code; `lading.client.sync` has its synchronous face.

This room puts the others together. It may use everything but the command line, and holds no protocol of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn, Self, overload

from lading.arguments import several
from lading.client.context import Context
from lading.errors import InvalidContent, NotFound
from lading.model.digest import Digest
from lading.model.platform import Platform
from lading.stores.location import AnyLocation, as_location
from lading.stores.opening import check_changeable, fetch_location, resolve_location

if TYPE_CHECKING:
    from lading.artifacts.facade import Artifacts
    from lading.client.blobs import Blobs
    from lading.client.indexes import Indexes
    from lading.client.registries import Registries
    from lading.drafts.draft import Draft
    from lading.drafts.facade import Drafts
    from lading.images.convert import Compression, Format
    from lading.images.diff.results import DiffReport
    from lading.images.facade import Images
    from lading.images.lint import Finding, LintReport
    from lading.images.overview import Overview
    from lading.images.validation import Validation
    from lading.mirror.facade import Mirrors
    from lading.model.config import ImageConfig
    from lading.model.descriptor import Descriptor
    from lading.model.index import Index
    from lading.model.manifest import Manifest
    from lading.model.patterns import TagOrder
    from lading.model.selection import PullClient
    from lading.registry.auth.credentials import Credentials
    from lading.registry.hosts.configuration import Config
    from lading.results import Deletion, Resolution, TagChange, TagInfo, TagSuggestions
    from lading.store import AnyManifest, Readable, Store
    from lading.transfer.events import OnEvent
    from lading.transfer.place import Place
    from lading.transfer.report import CopyReport
    from lading.transfer.transform import HasGraph

AnyPlatform = Platform | str
"""A platform, or its text: `OS/ARCH[/VARIANT]`."""


class AsyncClient:
    """Talks to any number of registries; use it as an asynchronous context manager.

    Most methods take a reference as Docker reads it, such as `ghcr.io/acme/web:1.4` or `alpine@sha256:…`; or a location
    of another kind: `oci:DIR[:NAME]`, `oci-archive:FILE[:NAME]`, `docker-archive:FILE[:REF]`, `docker-daemon:REF`,
    `dir:DIR`.

    Args:
        insecure: accept plain HTTP and certificates that cannot be verified, from every host.
        credentials: where to find credentials; by default everywhere that Docker, podman, AWS and `.netrc` keep them.
        authfiles: files in Docker's or podman's form whose credentials come before all others.
        docker_config: the folder of Docker's `config.json` and of the drafts; by default `$DOCKER_CONFIG`, else
            `~/.docker`.
        config: lading's configuration; by default read from its file.
        create_repositories: make a repository that is missing where a registry does not do so itself when something is
            pushed (Amazon ECR).
        remember: whether tokens, and what is learned of registries, are kept in the user's cache for the next run;
            `LADING_CACHE=0` says no, too.
        on_warning: called with registry and text, once for each `Warning` header a registry sends.
        on_note: called with a sentence about what went otherwise than expected, and was got over.
        on_request: called with a line for each request, secrets masked.

    Every method raises `LadingError`s only: see `lading.errors`.

    >>> import asyncio
    >>> async def main() -> None:
    ...     async with AsyncClient() as client:
    ...         print(await client.digest(f"{registry}/app:1.0"))
    >>> asyncio.run(main())
    sha256:...
    """

    def __init__(
        self,
        *,
        insecure: bool = False,
        credentials: Credentials | None = None,
        authfiles: Iterable[Path | str] | Path | str = (),
        docker_config: Path | str | None = None,
        config: Config | None = None,
        create_repositories: bool = False,
        remember: bool = True,
        on_warning: Callable[[str, str], None] | None = None,
        on_note: Callable[[str], None] | None = None,
        on_request: Callable[[str], None] | None = None,
    ) -> None:
        self._context = Context(
            insecure=insecure,
            credentials=credentials,
            authfiles=authfiles,
            docker_config=docker_config,
            config=config,
            create_repositories=create_repositories,
            remember=remember,
            on_warning=on_warning,
            on_note=on_note,
            on_request=on_request,
        )

    def __reduce__(self) -> NoReturn:
        """A client has connections: it goes nowhere, and there are never two of it."""
        raise unshared()

    async def __aenter__(self) -> Self:
        """Nothing is sent before the first call."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections."""
        await self.close()

    async def close(self) -> None:
        """Close all connections; the client can be used again."""
        await self._context.close()

    @property
    def credentials(self) -> Credentials:
        """Where credentials are found."""
        return self._context.credentials

    def connect(self, reference: AnyLocation, *, writing: bool = False, mirrored: bool = False) -> Store:
        """The repository of a reference, as a Store.

        Args:
            reference: any reference in it.
            writing: whether something will be written, so that the first token allows it.
            mirrored: whether manifests and blobs may come from the registry's mirrors, where some are configured.
        """
        return self._context.connect(reference, writing=writing, mirrored=mirrored)

    @property
    def registries(self) -> Registries:
        """Registries themselves: what they have and support, their limits, and the credentials for them."""
        from lading.client.registries import Registries

        return Registries(self._context)

    @property
    def blobs(self) -> Blobs:
        """Single blobs in any store: put, get, open, contains, download, delete."""
        from lading.client.blobs import Blobs

        return Blobs(self._context)

    @property
    def drafts(self) -> Drafts:
        """Manifest lists in the making, in Docker's local store."""
        from lading.drafts.facade import Drafts
        from lading.drafts.store import DraftStore

        return Drafts(self.connect, DraftStore(config_dir=self._context.docker_config, on_wait=self._context.note))

    @property
    def indexes(self) -> Indexes:
        """Indexes, made of images from anywhere and changed, in any place that holds some."""
        from lading.client.indexes import Indexes

        return Indexes(self._context)

    @property
    def images(self) -> Images:
        """Images and indexes as views: their configs, history, layers, sizes, and the files in them."""
        from lading.images.facade import Images

        return Images(self.open, self.copy, lambda: self._context.remembered, self._context.note)

    @property
    def artifacts(self) -> Artifacts:
        """Artifacts: any files in a registry, or in another place."""
        from lading.artifacts.facade import Artifacts

        return Artifacts(self.open, self.copy, self.deletion, self.delete, self._context.cache_folder("artifacts"))

    @property
    def mirror(self) -> Mirrors:
        """Mirrors by a file that says what is kept where: what would change, and the change itself."""
        from lading.mirror.facade import Mirrors

        return Mirrors(
            self._context.open,
            lambda: self._context.session,
            self._context.note,
            self.untag,
            self.delete,
            self.deletion,
        )

    @overload
    def open(
        self, place: AnyLocation, *, writing: Literal[True], mirrored: bool = ...
    ) -> AbstractAsyncContextManager[Store]: ...
    @overload
    def open(
        self, place: AnyLocation, *, writing: bool = ..., mirrored: bool = ...
    ) -> AbstractAsyncContextManager[Readable]: ...
    def open(
        self, place: AnyLocation, *, writing: bool = False, mirrored: bool = False
    ) -> AbstractAsyncContextManager[Readable]:
        """The store of a location: a repository, an image layout, an archive or a container engine.

        Args:
            place: a reference, or any other location, such as `oci:DIR`; a tag or digest in it is ignored.
            writing: whether something will be written; a layout or archive that does not exist is made then.
            mirrored: whether manifests and blobs may come from the registry's mirrors, where some are configured.

        Raises:
            NotFound: the directory or file does not exist.
            InvalidContent: it is something else.
        """
        return self._context.open(place, writing=writing, mirrored=mirrored)

    # Manifests

    async def get(self, reference: AnyLocation, *, platform: AnyPlatform | None = None) -> AnyManifest:
        """Get a manifest or an index, verified: one request.

        Args:
            reference: its tag or digest, in a registry or any other location.
            platform: go on from an index to its entry for this platform; an image has to be for it, which its config
                says.

        Raises:
            NotFound: there is none, or none for the platform.
        """
        from lading.client import manifests

        return await manifests.get(self._context, reference, _wanted(platform))

    async def get_manifest(self, reference: AnyLocation, *, platform: AnyPlatform | None = None) -> Manifest:
        """Get the manifest of an image or an artifact, verified: one request, and one more for an entry of an index.

        Args:
            reference: its tag or digest, in a registry or any other location.
            platform: go on from an index to its entry for this platform, as `get` does.

        Raises:
            NotFound: there is none, or none for the platform.
            InvalidContent: it is an index, and no platform was given; or the index's entry is an index itself.
        """
        from lading.client import manifests

        return await manifests.get_manifest(self._context, reference, _wanted(platform))

    async def get_index(self, reference: AnyLocation) -> Index:
        """Get an index (Docker: a manifest list), verified: one request.

        Args:
            reference: its tag or digest, in a registry or any other location.

        Raises:
            NotFound: there is none.
            InvalidContent: it is the manifest of an image or an artifact.
        """
        from lading.client import manifests

        return await manifests.get_index(self._context, reference)

    async def contains(self, reference: AnyLocation) -> bool:
        """Whether there is a manifest or an index with this name: one request, which counts as no pull.

        Where the place itself does not exist, it is not there.

        Args:
            reference: its tag or digest, in a registry or any other location.
        """
        location = as_location(reference).full()
        try:
            async with self.open(location, mirrored=True) as store:
                await resolve_location(store, location)
        except NotFound:
            return False
        return True

    async def put(
        self,
        manifest: AnyManifest | bytes,
        target: AnyLocation,
        *,
        if_digest: Digest | str | None = None,
        media_type: str | None = None,
        look: bool = False,
        dry_run: bool = False,
    ) -> Descriptor:
        """Put a manifest or an index (distribution-spec §Pushing Manifests). What it refers to has to be there first.

        Args:
            manifest: the manifest or index, or its bytes, which are put as they are.
            target: the tag that it gets, in a registry or a layout, which is made where it does not exist. With a
                digest and no tag it is there by its digest only.
            if_digest: put it only if the tag names this digest now, or, with `absent`, if there is no such tag.
            media_type: of bytes that do not say what they are themselves.
            look: say what is missing of what the manifest refers to: a registry is asked first for what is listed last,
                unless it is asked for the manifest itself, and for all of it where that is missing or the registry
                refuses. Most registries look themselves, and none says all that is missing. Elsewhere, and in a dry
                run, all is looked at first.
            dry_run: put nothing; look whether it could be put.

        Returns:
            Its descriptor.

        Raises:
            DigestMismatch: `target` has another digest than the manifest; or the registry stored other bytes.
            InvalidContent: the bytes are no manifest that lading reads.
            Conflict: the tag names something else than `if_digest`; nothing was changed.
            NotFound: something that the manifest refers to is not there.
            Unsupported: single manifests are not written there.
        """
        from lading.client import manifests

        return await manifests.put(self._context, manifest, target, if_digest, media_type, look=look, dry_run=dry_run)

    async def digest(self, reference: AnyLocation, *, platform: AnyPlatform | None = None) -> Digest:
        """The digest a tag names: one request, which counts as no pull.

        Args:
            reference: the tag, in a registry or any other location.
            platform: the digest of an index's entry for this platform instead; the index is read then. An image has
                to be for it.
        """
        location = as_location(reference).full()
        wanted = _wanted(platform)
        async with self.open(location, mirrored=True) as store:
            if wanted is None:
                return (await resolve_location(store, location)).digest
            from lading.images.platforms import choose_image

            manifest = await fetch_location(store, location)
            return (await choose_image(store, manifest, wanted, str(location))).digest

    async def config(self, reference: AnyLocation, *, platform: AnyPlatform | None = None) -> ImageConfig:
        """The config of an image.

        Raises:
            UsageError: the reference names an index, and no platform was given.
        """
        from lading.client import manifests

        return await manifests.config(self._context, reference, _wanted(platform))

    async def inspect(self, reference: AnyLocation, *, platforms: Iterable[AnyPlatform] | AnyPlatform = ()) -> Overview:
        """An overview of an index, an image or an artifact: 1 + N requests for N platforms, in two round trips."""
        from lading.images.overview import overview

        location = as_location(reference).full()
        wanted = [parse_platform(platform) for platform in several(platforms)]
        async with self.open(location, mirrored=True) as store:
            return await overview(store, location, await fetch_location(store, location), wanted)

    async def resolve(
        self,
        reference: AnyLocation | Draft,
        *,
        platform: AnyPlatform | None = None,
        clients: Iterable[PullClient | str] | PullClient | str | None = None,
        host: AnyPlatform | None = None,
    ) -> Resolution:
        """What clients take when they pull this: which image of an index, and why.

        Reads what the clients would, of several the same only once: the index, the manifest of the image that is
        taken, indexes in the index, and in places a config.

        Args:
            reference: a reference or another location; or a draft, as what it will be when it is pushed.
            platform: what the clients are asked for, in their own notation, such as `linux/arm/v7`; by default each
                asks for what its host is.
            clients: which clients, such as `docker@20.10` or `podman`; by default the newest Docker, containerd,
                podman and skopeo. `lading.model.every()` gives one for each behaviour.
            host: the machine they run on; by default this one. The variant of an amd64 is its level (v1 to v4).

        Raises:
            UsageError: a client or a platform is not known.

        >>> with Client() as client:
        ...     found = client.resolve(f"{registry}/app:1.0", platform="linux/arm64", clients=["docker", "podman"])
        ...     for selection in found.selections:
        ...         print(selection.client, selection.taken[0].platform)
        docker@29.7.2+containerd linux/arm64/v8
        podman@5.8.2 linux/arm64/v8
        """
        from lading.drafts.content import homes_of
        from lading.drafts.draft import Draft
        from lading.images.machine import this_machine
        from lading.images.pulls import Shelf, selections
        from lading.model.selection import newest, parse_clients, spelled
        from lading.results import Resolution

        who = newest() if clients is None else parse_clients(clients)
        machine = this_machine() if host is None else parse_platform(host)
        asked = spelled(platform)
        name = as_location(reference.reference if isinstance(reference, Draft) else reference).full()
        if isinstance(reference, Draft):
            async with homes_of(reference, self.connect) as homes:
                by_digest = {entry.digest: home for entry, home in zip(reference.entries, homes, strict=True)}
                shelf = Shelf(str(name), self.connect(reference.reference), by_digest)
                for entry in reference.entries:
                    if entry.raw is not None:
                        shelf.add(entry.manifest(), by_digest[entry.digest])
                found = await selections(shelf, reference.index, who, platform=asked, host=machine, name=str(name))
        else:
            async with self.open(name, mirrored=True) as store:
                manifest = await fetch_location(store, name)
                shelf = Shelf(str(name), store)
                found = await selections(shelf, manifest, who, platform=asked, host=machine, name=str(name))
        return Resolution(reference=name, platform=asked, host=machine, selections=found)

    async def lint(
        self,
        reference: AnyLocation | Draft,
        *,
        against: AnyLocation | None = None,
        select: Iterable[str] | str = (),
        ignore: Iterable[str] | str = (),
        on_finding: Callable[[Finding], None] | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> LintReport:
        """Find what is wrong with an image, an index or a draft, or may surprise its author when it is pulled.

        Reads every manifest and config of it, and asks for every layer, many at once.

        Args:
            reference: a reference or another location; or a draft, as what it will be when it is pushed.
            against: the last release, whose platforms should all be there.
            select: only these codes, or all that start so, such as `LAD1`.
            ignore: not these.
            on_finding: called with each finding of the report as soon as it is found, in any order: what one entry of
                a list has when that is read, what only the whole shows at the end. It is called, too, with what was
                found before an error.
            on_progress: called with how many entries of lists have been read, and how many are known by then.

        Raises:
            UsageError: there is no such code.

        >>> with Client() as client:
        ...     report = client.lint(f"{registry}/app:1.0")
        >>> [found.code for found in report.findings]
        []
        """
        from lading.drafts.content import homes_of
        from lading.drafts.draft import Draft
        from lading.images.lint import Telling, gather_facts, lint, lint_unread, platforms_of, wanted_codes
        from lading.model.index import Index

        wanted_codes(select, ignore)  # a wrong one is refused before anything is sent
        compared = None
        if against is not None:
            other = as_location(against).full()
            async with self.open(other) as store:
                compared = str(other), await platforms_of(store, await fetch_location(store, other))
        name = str(reference.reference if isinstance(reference, Draft) else as_location(reference).full())
        telling = Telling(name, on_finding or (lambda _: None), select=select, ignore=ignore)
        gathered = partial(
            gather_facts, name, against=compared, on_part=on_finding and telling.part, on_progress=on_progress
        )
        if isinstance(reference, Draft):
            names = [str(entry.reference) for entry in reference.entries]
            async with homes_of(reference, self.connect) as homes:
                facts = await gathered(reference.index, homes.__getitem__, names=names)
        else:
            location = as_location(reference).full()
            async with self.open(location, mirrored=True) as store:
                try:
                    manifest = await fetch_location(store, location)
                except InvalidContent as error:
                    if error.code != "too-large":
                        raise
                    found = await resolve_location(store, location)
                    report = lint_unread(name, found, select=select, ignore=ignore)
                    telling.report(report)
                    return report
                repository = location.reference.name if location.is_registry and location.reference else None
                children = manifest.manifests if isinstance(manifest, Index) and repository else ()
                names = [f"{repository}@{entry.digest}" for entry in children]
                facts = await gathered(manifest, lambda _: store, names=names)
        report = lint(facts, select=select, ignore=ignore)
        telling.report(report)
        return report

    async def validate(
        self,
        references: Iterable[AnyLocation] | AnyLocation,
        *,
        platforms: Iterable[AnyPlatform] | AnyPlatform = (),
        all_tags: bool = False,
        include: Iterable[str] | str = (),
        exclude: Iterable[str] | str = (),
        referrers: bool = False,
        fast: bool = False,
        ignore: Iterable[str] | str = (),
        jobs: int = 8,
        on_event: OnEvent | None = None,
    ) -> Validation:
        """Read every byte of images, indexes and artifacts, and say what of them is not what it should be.

        What is damaged is told, and no error. A blob is downloaded once, whatever has it: also where several
        references in one repository have it.

        Args:
            references: what is validated, in registries or any other locations.
            platforms: of an index only the entries for these.
            all_tags: the references are repositories, of which all tags are validated.
            include: of all tags only these: globs, `re:EXPRESSION`, `semver:RANGE`.
            exclude: of all tags not these.
            referrers: signatures, SBOMs and the like, too, with what refers to those.
            fast: download no layers: ask whether they are there, and how large they are.
            ignore: leave out findings with these codes, or all that start so, such as `LAD3`.
            jobs: how many blobs are under way at once.
            on_event: called with what happens, as `copy` does.

        Raises:
            NotFound: a reference names nothing, or nothing is for one of the platforms.
            InvalidContent: one leads to more than a walk follows.
            UsageError: there is no such code.

        >>> with Client() as client:
        ...     client.validate(f"{registry}/app:1.0").verdict
        'whole'
        """
        from lading.client.validating import Roots
        from lading.images.validation import validate, wanted
        from lading.model.patterns import listed

        codes = wanted(ignore)  # what cannot be understood is refused before anything is sent
        listed((), include=include, exclude=exclude)
        images = tuple(parse_platform(platform) for platform in several(platforms))
        given: tuple[AnyLocation, ...] = several(references)
        places = [as_location(reference) for reference in given]
        async with Roots(self._context, mirrored=not referrers) as roots:
            if all_tags:
                found = [root for one in places for root in await roots.tags(one, several(include), several(exclude))]
            else:
                found = [await roots.named(one) for one in places]
            return await validate(
                found, codes, platforms=images, referrers=referrers, is_fast=fast, jobs=jobs, on_event=on_event
            )

    async def diff(
        self,
        a: AnyLocation,
        b: AnyLocation,
        *,
        platforms: Iterable[AnyPlatform] | AnyPlatform = (),
        files: bool = False,
        packages: bool = False,
        content: bool = False,
        paths: Iterable[str] | str = (),
        times: bool = False,
    ) -> DiffReport:
        """What differs between any two: indexes, images, artifacts, wherever each of them is.

        Two of one digest cost a request each. Otherwise manifests and configs are read, and layers only where files,
        packages or contents are asked for. Of two indexes each entry is compared with the one for the same platform; of
        an index and an image the image for the same platform.

        Args:
            a: one of them.
            b: the other.
            platforms: of an index the image for this platform; of two, the first is for `a`, the second for `b`.
            files: compare the merged file systems of images, and the packages in them.
            packages: compare the packages that dpkg, apk, rpm, Python and npm say are installed.
            content: compare text files line by line.
            paths: files and contents only at these paths, below them, or where these globs match.
            times: whether times of modification count.

        Raises:
            NotFound: one of them is not there, or has nothing for the platform.
            UsageError: there are more than two platforms.

        >>> with Client() as client:
        ...     found = client.diff(f"{registry}/app:1.0", f"{registry}/app:1.0")
        >>> found.is_same
        True
        """
        from lading.client import comparing
        from lading.images.diff.options import DiffOptions

        wanted = [parse_platform(platform) for platform in several(platforms)]
        options = DiffOptions(files=files, packages=packages, content=content, paths=several(paths), times=times)
        return await comparing.diff(self._context, a, b, wanted, options)

    # Tags

    async def tags(
        self,
        repository: AnyLocation,
        *,
        include: Iterable[str] | str = (),
        exclude: Iterable[str] | str = (),
        sort: TagOrder | None = None,
        latest: int | None = None,
        digests: bool = False,
        details: bool = False,
    ) -> list[TagInfo]:
        """The tags of a repository, in the registry's order; of a layout, an archive or an engine likewise.

        Args:
            repository: the repository; a tag or digest in it is ignored.
            include: only the tags that match one of these patterns: globs, `re:EXPRESSION`, `semver:RANGE`.
            exclude: none of the tags that match one of these.
            sort: another order than the registry's: `name` is alphabetical; `semver` has first what is no version, then
                the versions, ascending; `created` the newest image first, and last what does not say it, which costs
                the requests of `details`.
            latest: only so many of the highest versions, the highest first; with the order `created`, of the newest.
            digests: ask what each of these tags names, with one request each, many at once; a tag that is
                listed and names nothing has no digest, and one that names nothing that can be read a `problem`.
            details: read what each of these tags names, too: when it was made, its platforms, its size.

        Raises:
            InvalidPattern: a pattern cannot be read.

        >>> with Client() as client:
        ...     [info.tag for info in client.tags(f"{registry}/app", include="semver:>=1", latest=5)]
        ['1.0']
        """
        from lading.client import tagging
        from lading.model.patterns import listed
        from lading.results import TagInfo

        by_time = sort == "created"
        arrange = partial(listed, include=include, exclude=exclude, sort=sort, latest=latest)
        arrange(())  # which refuses what cannot be understood before anything is sent
        location = as_location(repository)
        async with self.open(location) as store:
            names = arrange([tag async for tag in tagging.tags_in(store, location)])
            if not (digests or details or by_time):
                return [TagInfo(tag=name) for name in names]
            found = await tagging.look_up(store, location, names, details=details or by_time)
            return tagging.newest(found, latest) if by_time else found

    async def suggest_tags(self, reference: AnyLocation, *, count: int = 3) -> TagSuggestions:
        """The tags most like one that was not found; for telling people what they may have meant.

        Args:
            reference: what was not found, such as `error.fields["reference"]` of a `NotFound` with the code
                `manifest-not-found`.
            count: how many tags at most.

        Raises:
            NotFound: there is no such repository, or it is not shown.
        """
        from lading.model.tags import nearest
        from lading.results import TagSuggestions

        location = as_location(reference).full()
        names = [info.tag for info in await self.tags(location)]
        return TagSuggestions(
            repository=location.place, count=len(names), nearest=nearest(location.own_tag or "", names, count)
        )

    async def tags_of(self, reference: AnyLocation) -> list[str]:
        """The tags of a repository that name the same manifest as this reference."""
        location = as_location(reference).full()
        digest = location.pinned or await self.digest(location)
        return [info.tag for info in await self.tags(location, digests=True) if info.digest == digest]

    async def tag(
        self,
        source: AnyLocation,
        *targets: AnyLocation,
        if_digest: str | None = None,
        dry_run: bool = False,
        keep_going: bool = False,
    ) -> list[TagChange]:
        """Give an image or index more tags without pulling it; the digest stays the same.

        Costs one request, and two more for each tag in the same repository, one where that names it already: what the
        tag named before is read beside the source. In another repository of the registry its blobs are mounted; in
        another registry, copied.

        Args:
            source: what gets the tags.
            targets: tags of the same repository, or references; or other locations.
            if_digest: change tags only if they name this digest, or do not exist (`absent`): before anything is
                written, and still just before they are set.
            dry_run: change nothing, and say what each tag names now.
            keep_going: set those of several tags that can be set; the `state` of the others is `failed`.

        Raises:
            Conflict: a tag names something else than `if_digest`; no tag was changed.
        """
        from lading.client import tagging

        location = as_location(source).full()
        goals = [tagging.goal_of(location, target) for target in targets]
        do = tagging.plan if dry_run else tagging.tag
        return await do(self._context, location, goals, if_digest, keep_going=keep_going)

    async def delete(self, reference: AnyLocation, *, if_digest: str | None = None) -> Deletion:
        """Delete a manifest, and with it every tag that names it.

        Ask `deletion` first for the tags; they are not asked for again here.

        Args:
            reference: a tag of it, or its digest.
            if_digest: delete only if the tag names this digest: it is asked for just before.

        Raises:
            Conflict: the tag names something else than `if_digest`; or it is in a layout, and an index there lists it.
            Unsupported: nothing is deleted there; nothing was changed.
        """
        from lading.client import tagging

        location = as_location(reference).full()
        async with self._context.change(location) as store:
            return await tagging.delete(store, location, if_digest)

    async def deletion(self, reference: AnyLocation) -> Deletion:
        """What deleting this would take: every tag that names it, and the indexes that list it.

        Costs one request for each tag of the repository, and one for each of its indexes, many at once.
        """
        from lading.client import tagging

        location = as_location(reference).full()
        check_changeable(location)
        async with self.open(location) as store:
            return await tagging.deletion(store, location)

    async def untag(self, reference: AnyLocation, *, if_digest: str | None = None) -> None:
        """Remove a tag and leave the manifest.

        Args:
            reference: the tag.
            if_digest: remove it only if it names this digest: it is asked for just before, with one request more.

        Raises:
            Conflict: the tag names something else than `if_digest`.
            Unsupported: that cannot be done there; nothing was changed.
        """
        from lading.client import tagging

        location = as_location(reference).full()
        tagging.tag_to_remove(location)
        async with self._context.change(location) as store:
            await tagging.untag(store, location, if_digest)

    async def copy(
        self,
        source: AnyLocation | Place | Readable | HasGraph,
        *targets: AnyLocation | Place | Store,
        tags: Iterable[str] | str = (),
        platforms: Iterable[AnyPlatform] | AnyPlatform = (),
        sparse: bool = False,
        all_tags: bool | None = False,
        include: Iterable[str] | str = (),
        exclude: Iterable[str] | str = (),
        referrers: bool | None = None,
        artifact_types: Iterable[str] | str = (),
        clobber: bool = True,
        if_digest: str | None = None,
        dry_run: bool = False,
        keep_going: bool = False,
        verify: bool = False,
        jobs: int = 8,
        to: Format | None = None,
        compression: Compression | None = None,
        by_digest: bool = False,
        source_credentials: Credentials | None = None,
        target_credentials: Credentials | None = None,
        on_event: OnEvent | None = None,
    ) -> CopyReport:
        """Copy an image, an index or an artifact with everything it refers to, from any place to any others.

        Within a registry blobs are mounted; what a target has is not sent again, and what was interrupted goes on
        where it stopped. A tag is set last: it never names something incomplete.

        Args:
            source: a reference, or any other location, such as `oci:DIR:TAG`; or a store, or a `Place` in one; or an
                image or index as a view, edited or not.
            targets: where to, said the same way; a store without a name gets the tag that the source has. Several in
                one registry cost one transfer.
            tags: more tags in each target.
            platforms: of an index, only the entries for these; the index is rewritten to what was copied.
            sparse: keep the index as it is all the same.
            all_tags: every tag of the source, under its own name; None for that only where neither side names a tag and
                the source has some.
            include: of all tags only these: globs, `re:EXPRESSION`, `semver:RANGE`.
            exclude: of all tags not these.
            referrers: signatures, SBOMs and the like, too, with what refers to those. None leaves them behind, and asks
                what there is, to say so; False leaves them behind unasked.
            artifact_types: of referrers, only those with a type like one of these patterns.
            clobber: False leaves tags alone that name something else, or that appear meanwhile.
            if_digest: change tags only if they name this digest, or do not exist (`absent`): before anything is
                written, and still just before they are set.
            dry_run: write nothing; the report says what would be done.
            keep_going: copy what can be copied of several tags or targets; `failed` of the report is what was not.
            verify: believe no target that it has something: walk everything, and read it back.
            jobs: how many blobs are under way at once; a registry for which nothing else is configured gets as many
                requests at once, and never fewer than 8.
            to: encode manifests in this format, `oci` or `docker`; digests change.
            compression: compress layers so, `gzip`, `zstd` or `none`; digests change.
            by_digest: give no tag: the content is in the targets by its digest alone.
            source_credentials: where to find those for the source, if not where the client finds all others.
            target_credentials: the same for the targets.
            on_event: called with what happens: `Totals`, and for each blob and manifest `Started`, `Progressed`,
                `Finished`.

        Raises:
            Conflict: a tag is not to be changed; nothing was written.
            NotFound: the source lacks something; no tag was changed.
        """
        from lading.client.copying import Copying, Shape
        from lading.transfer.guard import Guard
        from lading.transfer.report import CopyOptions

        options = CopyOptions(
            tags=several(tags),
            all_tags=bool(all_tags),
            include=several(include),
            exclude=several(exclude),
            referrers=referrers,
            artifact_types=several(artifact_types),
            guard=Guard.of(if_digest, clobber=clobber),
            dry_run=dry_run,
            keep_going=keep_going,
            verify=verify,
            jobs=jobs,
        )
        wanted = tuple(parse_platform(platform) for platform in several(platforms))
        copying = Copying(
            self._context,
            options,
            Shape(platforms=wanted, sparse=sparse, format=to, compression=compression),
            keeps_tags=all_tags is None,
            by_digest=by_digest,
            source_credentials=source_credentials,
            target_credentials=target_credentials,
        )
        return await copying.run(source, targets, on_event)


def unshared() -> TypeError:
    """The error for a client that is to be pickled or copied."""
    return TypeError(
        "a client cannot be pickled or copied: it has connections, so make another one where it is to be used"
    )


def parse_platform(platform: AnyPlatform) -> Platform:
    """A platform from its text, or as it is."""
    return Platform.parse(platform) if isinstance(platform, str) else platform


def _wanted(platform: AnyPlatform | None) -> Platform | None:
    return parse_platform(platform) if platform is not None else None
