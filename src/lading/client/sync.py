"""Client: AsyncClient for programs without an event loop. This module only runs it; what it does is all in `client`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NoReturn, Self, overload

from lading.client import AsyncClient, unshared
from lading.client.sync_store import SyncReadable, SyncStore
from lading.io.blocking import Face, Runner, blocking
from lading.stores.location import AnyLocation

if TYPE_CHECKING:
    from lading.artifacts.facade import SyncArtifacts
    from lading.client.blobs import SyncBlobs
    from lading.client.indexes import SyncIndexes
    from lading.client.registries import SyncRegistries
    from lading.drafts.facade import SyncDrafts
    from lading.images.facade import SyncImages
    from lading.mirror.facade import SyncMirrors
    from lading.registry.auth.credentials import Credentials
    from lading.registry.hosts.configuration import Config
    from lading.store import Store


class Client(Face[AsyncClient]):
    """AsyncClient for programs without an event loop: the same code on a private thread.

    Any number of threads may use one client at once. A child that is forked may go on using it, too, with connections
    of its own.

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

    What is called with something is called on the private thread, and cannot use the client.

    >>> with Client() as client:
    ...     index = client.get_index(f"{registry}/app:1.0")
    ...     for entry in index.manifests:
    ...         print(entry.platform, entry.size)
    linux/amd64 ...
    linux/arm64/v8 ...
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
        client = AsyncClient(
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
        super().__init__(client, Runner())

    def __reduce__(self) -> NoReturn:
        """A client has connections: it goes nowhere, and there are never two of it."""
        raise unshared()

    def __enter__(self) -> Self:
        """Nothing is sent before the first call."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close all connections and end the thread."""
        self.close()

    def close(self) -> None:
        """Close all connections and end the thread, and the calls of other threads; the client can be used again."""
        self._runner.close(self._inner.close)

    @property
    def credentials(self) -> Credentials:
        """Where credentials are found."""
        return self._inner.credentials

    @overload
    def open(
        self, place: AnyLocation, *, writing: Literal[True], mirrored: bool = False
    ) -> AbstractContextManager[SyncStore]: ...
    @overload
    def open(
        self, place: AnyLocation, *, writing: bool = False, mirrored: bool = False
    ) -> AbstractContextManager[SyncReadable]: ...
    def open(
        self, place: AnyLocation, *, writing: bool = False, mirrored: bool = False
    ) -> AbstractContextManager[SyncReadable]:
        """The store of a location: a repository, an image layout, an archive or a container engine.

        Args:
            place: a reference, or any other location, such as `oci:DIR`; a tag or digest in it is ignored.
            writing: whether something will be written; a layout or archive that does not exist is made then.
            mirrored: whether manifests and blobs may come from the registry's mirrors, where some are configured.

        Raises:
            NotFound: the directory or file does not exist.
            InvalidContent: it is something else.
        """
        return self._opened(place, writing, mirrored)

    def connect(self, reference: AnyLocation, *, writing: bool = False, mirrored: bool = False) -> SyncStore:
        """The repository of a reference.

        Args:
            reference: any reference in it.
            writing: whether something will be written, so that the first token allows it.
            mirrored: whether manifests and blobs may come from the registry's mirrors, where some are configured.
        """

        async def connected() -> Store:
            # On the loop's thread, like everything: the first one makes what carries the requests.
            return self._inner.connect(reference, writing=writing, mirrored=mirrored)

        return SyncStore(self._runner.run(connected()), self._runner)

    get: Final = blocking(AsyncClient.get)
    get_manifest: Final = blocking(AsyncClient.get_manifest)
    get_index: Final = blocking(AsyncClient.get_index)
    contains: Final = blocking(AsyncClient.contains)
    put: Final = blocking(AsyncClient.put)
    digest: Final = blocking(AsyncClient.digest)
    config: Final = blocking(AsyncClient.config)
    inspect: Final = blocking(AsyncClient.inspect)
    resolve: Final = blocking(AsyncClient.resolve)
    lint: Final = blocking(AsyncClient.lint)
    validate: Final = blocking(AsyncClient.validate)
    diff: Final = blocking(AsyncClient.diff)
    tags: Final = blocking(AsyncClient.tags)
    suggest_tags: Final = blocking(AsyncClient.suggest_tags)
    tags_of: Final = blocking(AsyncClient.tags_of)
    tag: Final = blocking(AsyncClient.tag)
    delete: Final = blocking(AsyncClient.delete)
    deletion: Final = blocking(AsyncClient.deletion)
    untag: Final = blocking(AsyncClient.untag)
    copy: Final = blocking(AsyncClient.copy)

    @contextmanager
    def _opened(self, place: AnyLocation, writing: bool, mirrored: bool) -> Iterator[SyncReadable]:
        with self._runner.entered(self._inner.open(place, writing=writing, mirrored=mirrored)) as (store, _):
            yield (SyncStore if writing else SyncReadable)(store, self._runner)

    @property
    def registries(self) -> SyncRegistries:
        """Registries themselves: what they have and support, their limits, and the credentials for them."""
        from lading.client.registries import SyncRegistries

        return SyncRegistries(self._inner.registries, self._runner)

    @property
    def blobs(self) -> SyncBlobs:
        """Single blobs in any store: put, get, open, contains, download, delete."""
        from lading.client.blobs import SyncBlobs

        return SyncBlobs(self._inner.blobs, self._runner)

    @property
    def drafts(self) -> SyncDrafts:
        """Manifest lists in the making, in Docker's local store."""
        from lading.drafts.facade import SyncDrafts

        return SyncDrafts(self._inner.drafts, self._runner)

    @property
    def indexes(self) -> SyncIndexes:
        """Indexes, made of images from anywhere and changed, in any place that holds some."""
        from lading.client.indexes import SyncIndexes

        return SyncIndexes(self._inner.indexes, self._runner)

    @property
    def images(self) -> SyncImages:
        """Images and indexes as views: their configs, history, layers, sizes, and the files in them."""
        from lading.images.facade import SyncImages

        return SyncImages(self._inner.images, self._runner)

    @property
    def artifacts(self) -> SyncArtifacts:
        """Artifacts: any files in a registry, or in another place."""
        from lading.artifacts.facade import SyncArtifacts

        return SyncArtifacts(self._inner.artifacts, self._runner)

    @property
    def mirror(self) -> SyncMirrors:
        """Mirrors by a file that says what is kept where: what would change, and the change itself."""
        from lading.mirror.facade import SyncMirrors

        return SyncMirrors(self._inner.mirror, self._runner)
