"""What happens while content is copied, as it happens: for programs, and for a progress bar.

Pure values, and the meter that gives them out. Knows nothing of how they are shown.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Literal

import msgspec

from lading.io.sources import Source, closing
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest

Outcome = Literal["copied", "mounted", "present"]
"""What became of a blob or manifest: its bytes went through here, it was mounted from a sibling, or it was there."""

_EVERY = 0.1


class Started(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="started"):
    """The bytes of a blob begin to move."""

    target: str
    """The store they go to."""
    digest: Digest
    media_type: str
    size: int
    """In bytes."""
    platform: str | None = None
    """The platform of the image that it is for, where one is known."""


class Progressed(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="progressed"):
    """More bytes of a blob have moved."""

    target: str
    digest: Digest
    done: int
    """How many bytes are there, with the bytes that an earlier run has brought."""
    size: int


class Finished(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="finished"):
    """A blob or manifest is in the target."""

    target: str
    digest: Digest
    media_type: str
    size: int
    outcome: Outcome


class Totals(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="totals"):
    """How far all of it is. What there is to do grows as manifests are read."""

    contents: int
    """How many blobs and manifests are known of."""
    finished: int
    size: int
    """The bytes of all of them together."""
    done: int
    """The bytes that are in the targets."""
    moved: int
    """The bytes that went through here in this run; of what was mounted or there already, none."""


class PackingProgressed(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="packing"):
    """Files on this machine are made a new layer, before anything is copied."""

    source: str
    """The archive, directory or file, as it was named."""
    done: int
    """How many bytes of it were read."""
    size: int | None
    """How many there are; None where that is not known before, as of a directory."""
    is_over: bool = False
    """Whether the layer is made."""


Event = Started | Progressed | Finished | Totals | PackingProgressed
"""What happens while something is copied, or made to be copied."""
OnEvent = Callable[[Event], None]
"""Called with each event, on the thread that the copy runs on; it must not wait."""


class PackingMeter:
    """Counts what is read of files that become a layer, in threads, and tells of it on the event loop.

    Args:
        on_event: is called with each event; None where nothing is to be told.
        source: what is packed.
    """

    def __init__(self, on_event: OnEvent | None, source: str) -> None:
        self._tell = on_event
        self._source = source
        self._loop = asyncio.get_running_loop()
        self._done = 0
        self._told = time.monotonic()
        self.size: int | None = None
        """How many bytes there are to be read, where that is known."""

    def read(self, more: int) -> None:
        """So many bytes more were read; called in any thread."""
        self._done += more
        now = time.monotonic()
        if self._tell is not None and now - self._told > _EVERY:
            self._told = now
            self._loop.call_soon_threadsafe(self._tell, self._event())

    def over(self) -> None:
        """All of it was read, and the layer is made; called on the event loop."""
        if self._tell is not None:
            self._tell(self._event(is_over=True))

    def _event(self, *, is_over: bool = False) -> PackingProgressed:
        return PackingProgressed(source=self._source, done=self._done, size=self.size, is_over=is_over)


class Meter:
    """Counts what is copied, over any number of targets, and tells of it.

    Args:
        on_event: is called with each event; None where nothing is to be told.
    """

    def __init__(self, on_event: OnEvent | None = None) -> None:
        self._tell = on_event
        self._contents = self._finished = self._size = self._done = self._moved = 0
        self._told = 0.0

    def found(self, content: Descriptor) -> None:
        """Content that is to be in a target."""
        self._contents += 1
        self._size += content.size

    def counted(self, target: str, content: Descriptor, platform: str | None, source: Source) -> Counted:
        """The same source; what is read of it is counted, and told of."""
        if self._tell is not None:
            self._tell(
                Started(
                    target=target,
                    digest=content.digest,
                    media_type=content.media_type,
                    size=content.size,
                    platform=platform,
                )
            )
        return Counted(self, target, content, source)

    def finished(self, target: str, content: Descriptor, outcome: Outcome, counted: int = 0) -> None:
        """Content that is there; `counted` bytes of it were told of before."""
        self._finished += 1
        self._done += content.size - counted
        if self._tell is not None:
            self._tell(
                Finished(
                    target=target,
                    digest=content.digest,
                    media_type=content.media_type,
                    size=content.size,
                    outcome=outcome,
                )
            )
            self._tell_totals()

    def progressed(self, event: Progressed, more: int, moved: int) -> None:
        """More bytes are there, of which some have moved now; the others were there from an earlier run."""
        self._done += more
        self._moved += moved
        if self._tell is not None:
            self._tell(event)
            now = time.monotonic()
            if now - self._told > _EVERY:
                self._told = now
                self._tell_totals()

    def _tell_totals(self) -> None:
        if self._tell is not None:
            self._tell(
                Totals(
                    contents=self._contents,
                    finished=self._finished,
                    size=self._size,
                    done=self._done,
                    moved=self._moved,
                )
            )


class Counted(Source):
    """A source of which it is known how much was read.

    Attributes:
        done: how many bytes are where they go to, with those that an earlier run has brought.
        moved: how many bytes were read for that.
    """

    def __init__(self, meter: Meter, target: str, content: Descriptor, source: Source) -> None:
        self._meter = meter
        self._target = target
        self._content = content
        self._source = source
        self.digest: str | None = source.digest
        self.is_examined: bool = source.is_examined
        self.origin: object = source.origin
        self.done: int = 0
        self.moved: int = 0

    def since(self, start: int) -> AsyncIterator[bytes]:
        """Its chunks from a byte on, counted."""
        return self._read(start, self._source.since)

    def sent(self, start: int) -> AsyncIterator[bytes]:
        """Its chunks from a byte on as they are sent, counted."""
        return self._read(start, self._source.sent)

    async def _read(self, start: int, read: Callable[[int], AsyncIterator[bytes]]) -> AsyncIterator[bytes]:
        self._tell(start, moved=False)
        told = time.monotonic()
        done = start
        async with closing(read(start)) as chunks:
            async for chunk in chunks:
                yield chunk
                done += len(chunk)
                now = time.monotonic()
                if now - told > _EVERY:
                    told = now
                    self._tell(done)
        self._tell(done)

    def _tell(self, done: int, *, moved: bool = True) -> None:
        more, self.done = done - self.done, done
        if moved:
            self.moved += more
        if more:
            event = Progressed(target=self._target, digest=self._content.digest, done=done, size=self._content.size)
            self._meter.progressed(event, more, more if moved else 0)
