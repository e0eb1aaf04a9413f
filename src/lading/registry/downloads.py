"""Downloading a manifest or a blob: on from where it broke off, and as it was pushed, whatever is done on the way.

This module knows the protocol's requests; how they get to their host is the session's business. A registry, a storage
or a proxy may send content with a coding that nobody asked for, or label what it stores with one: the bytes as they
come are tried first, then those without the coding.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator

from lading.errors import DigestMismatch, InvalidContent, Unreachable
from lading.io.sources import closing
from lading.model.descriptor import Descriptor
from lading.model.digest import Verifier
from lading.registry.call import Send
from lading.registry.http.transport import Response, Stalled, length_of
from lading.store import is_manifest

_RESUMES = 3
_TOTAL = r"bytes \d+-\d+/(\d+)"


class Download:
    """One manifest or blob of a repository.

    Args:
        send: sends a request to the repository.
        path: where the content is, below the repository.
        content: its descriptor; with the size 0 where only the digest is known.
        what: what it is called in messages.
    """

    def __init__(self, send: Send, path: str, content: Descriptor, what: str) -> None:
        self._send = send
        self._path = path
        self._content = content
        self._what = what

    async def is_plain(self, response: Response) -> bool:
        """Whether the bytes of an answer are the content itself, whatever coding they are said to have."""
        if not response.coding:
            return True
        total = re.fullmatch(_TOTAL, response.headers.get("content-range") or "")
        length = int(total[1]) if total else length_of(response.headers) if response.status == 200 else None
        if length is not None and self._content.size:
            return length == self._content.size
        return (await self.measured())[1]

    async def measured(self) -> tuple[int, bool]:
        """The size of content that comes with a coding, and whether it is the content without undoing that.

        It is read for that: only the digest tells.

        Raises:
            DigestMismatch: it is the content neither way.
        """
        from lading.registry.http.coding import Decoder

        plain, undone = Verifier(self._content.digest), Verifier(self._content.digest)
        async with self._send("GET", self._path, what=self._what) as response:
            coding = response.coding
            decoder: Decoder | None = None
            try:
                decoder = Decoder(coding, self._what) if coding else None
            except InvalidContent as error:
                unknown: str | None = error.cause
            else:
                unknown = None
            async for chunk in response.chunks():
                plain.update(chunk)
                try:
                    for piece in decoder.feed(chunk) if decoder is not None else ():
                        undone.update(piece)
                except InvalidContent:
                    decoder = None
        for verifier in (plain, undone):
            try:
                verifier.finish()
            except DigestMismatch:
                continue
            return verifier.seen, verifier is plain
        raise DigestMismatch(
            f"{self._what} does not match its digest",
            cause=unknown or f"it came with the coding {coding!r}, and matches neither with nor without it",
        )

    async def resumed(self, response: Response, *, plain: bool) -> AsyncIterator[bytes]:
        """The content of an answer; where it breaks off, the rest of other answers.

        Args:
            response: the answer to a request for all of it.
            plain: whether its bytes are the content itself.
        """
        got = 0
        try:
            async for chunk in self._bytes(response, plain=plain):
                got += len(chunk)
                yield chunk
            return
        except Unreachable:
            if is_manifest(self._content):
                raise
            if got == self._content.size:
                return
        async with closing(self.rest(got)) as rest:
            async for chunk in rest:
                yield chunk

    async def rest(self, start: int, *, whole: bool = False) -> AsyncGenerator[bytes, None]:
        """The bytes from an offset on, over as many connections as it takes.

        Args:
            start: the offset.
            whole: whether it is asked for from its first byte: a range of what is coded would be one of other bytes.
        """
        got, failures = start, 0
        while True:
            before = got
            headers = {"Range": f"bytes={got}-"} if got and not whole else {}
            try:
                async with self._send("GET", self._path, headers=headers, what=self._what) as rest:
                    plain = await self.is_plain(rest)
                    if not plain and rest.status == 206:
                        whole = True
                        continue
                    skip = got if rest.status == 200 else 0
                    async for chunk in self._bytes(rest, plain=plain):
                        taken, skip = chunk[skip:], max(0, skip - len(chunk))
                        got += len(taken)
                        if taken:
                            yield taken
                    return
            except Unreachable as error:
                if got == self._content.size:
                    return
                # What is too slow may go on like that for ever.
                failures = 1 if got > before and not isinstance(error, Stalled) else failures + 1
                if failures == _RESUMES:
                    raise

    def _bytes(self, response: Response, *, plain: bool) -> AsyncIterator[bytes]:
        if plain:
            return response.chunks()
        from lading.registry.http.coding import decoded

        return decoded(response.chunks(), response.coding, self._what)
