"""Stores for programs without an event loop: what `Client.open` gives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, cast

from lading.io.blocking import Face, Run, blocking, each
from lading.model.descriptor import Descriptor
from lading.store import Readable, Reader, Store, Traits


class SyncReader:
    """Content that is verified while it is read: `store.Reader`, read without an event loop.

    Args:
        reader: what reads it.
        run: what runs that.
    """

    def __init__(self, reader: Reader, run: Run) -> None:
        self._reader = reader
        self._run = run

    @property
    def content(self) -> Descriptor:
        """What it must turn out to be."""
        return self._reader.content

    def __iter__(self) -> Iterator[bytes]:
        """Yield the content in chunks of any size.

        Raises:
            DigestMismatch: the content is not what the descriptor says; raised before the last chunk is yielded.
        """
        return each(self._reader, self._run)

    def read(self, limit: int | None = None) -> bytes:
        """Read the whole content.

        Args:
            limit: the largest size accepted, in bytes; None for any.

        Raises:
            InvalidContent: it is larger than `limit`.
            DigestMismatch: the content is not what the descriptor says.
        """
        return self._run(self._reader.read(limit))


class SyncReadable(Face[Readable]):
    """A store that is read without an event loop: the same methods, each returning its result."""

    @property
    def name(self) -> str:
        """What the store is called in messages, such as `docker.io/library/alpine`."""
        return self._inner.name

    @property
    def traits(self) -> Traits:
        """What the store is like."""
        return self._inner.traits

    @property
    def store(self) -> Readable:
        """The store itself, as `Client.copy` and `Place` take it."""
        return self._inner

    resolve: Final = blocking(Readable.resolve)
    contains: Final = blocking(Readable.contains)

    @contextmanager
    def open(self, content: Descriptor) -> Iterator[SyncReader]:
        """Read a manifest or blob; it is verified while it streams.

        Args:
            content: its descriptor.

        Raises:
            NotFound: it is not there.
            DigestMismatch: it is there, but damaged.
        """
        with self._runner.entered(self._inner.open(content)) as (reader, run):
            yield SyncReader(reader, run)

    def tags(self) -> Iterator[str]:
        """All tags, in the store's own order."""
        return each(self._inner.tags(), self._runner.run)

    def referrers(self, subject: Descriptor, artifact_type: str | None = None) -> Iterator[Descriptor]:
        """The manifests whose `subject` is this one (distribution-spec §Listing Referrers).

        Args:
            subject: the manifest's descriptor.
            artifact_type: only those of this type; None for all.
        """
        return each(self._inner.referrers(subject, artifact_type), self._runner.run)


class SyncStore(SyncReadable):
    """A store that is also written to without an event loop: the same methods, each returning its result."""

    @property
    def store(self) -> Store:
        """The store itself, as `Client.copy` and `Place` take it."""
        return cast("Store", self._inner)

    write: Final = blocking(Store.write)
    tag: Final = blocking(Store.tag)
    delete: Final = blocking(Store.delete)
