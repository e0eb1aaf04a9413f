"""Digests: the names of content (image-spec descriptor §Digests)."""

from __future__ import annotations

import hashlib
import re

from lading.errors import DigestMismatch, InvalidDigest

ALGORITHMS = {"sha256": 64, "sha384": 96, "sha512": 128}
"""The algorithms understood, each with the length of its encoded part in hexadecimal characters."""

_SHAPE = r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+"
_HEX = r"[0-9a-f]+"


class Digest(str):
    """A digest such as `sha256:98f8…`: a string that is known to be well formed.

    Args:
        text: `ALGORITHM:HEX`, with an algorithm of `ALGORITHMS` and lower-case hexadecimal digits.

    Raises:
        InvalidDigest: the text is no digest, or of an algorithm that is not supported.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Digest:  # noqa: PYI034  # what is one already stays what it is
        """Check and keep the text."""
        if isinstance(text, Digest):
            return text
        if not re.fullmatch(_SHAPE, text):
            raise InvalidDigest(f"{text!r} is not a digest", remedy="a digest looks like sha256:<64 hex digits>")
        algorithm, _, encoded = text.partition(":")
        length = ALGORITHMS.get(algorithm)
        if length is None:
            raise _unsupported(algorithm)
        if len(encoded) != length or not re.fullmatch(_HEX, encoded):
            raise InvalidDigest(f"{text!r} is not a digest", cause=f"{algorithm} takes {length} lower-case hex digits")
        return super().__new__(cls, text)

    @classmethod
    def of(cls, data: bytes, algorithm: str = "sha256") -> Digest:
        """Compute the digest of `data`.

        Raises:
            InvalidDigest: the algorithm is none of `ALGORITHMS`.
        """
        if algorithm not in ALGORITHMS:
            raise _unsupported(algorithm)
        return str.__new__(cls, f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}")

    @property
    def algorithm(self) -> str:
        """The part before the colon: `sha256`, `sha384` or `sha512`."""
        return self.partition(":")[0]

    @property
    def hex(self) -> str:
        """The part after the colon: lower-case hexadecimal digits."""
        return self.partition(":")[2]

    @property
    def short(self) -> str:
        """The first 12 hexadecimal digits, as tables show it."""
        return self.hex[:12]


class Verifier:
    """Checks content against a digest and a size while it streams.

    Args:
        digest: what the whole content must hash to.
        size: how many bytes it must have, or None where that is not known.
        name: what the content is called in an error.
        is_hashed: whether the digest has to be computed; else the content was checked against it on its way, and only
            its size is looked at.
    """

    def __init__(
        self, digest: Digest, size: int | None = None, name: str | None = None, *, is_hashed: bool = True
    ) -> None:
        self.digest = digest
        self.size = size
        self.seen: int = 0
        """How many bytes have been given to `update` so far."""
        self._name = name or digest
        self._hash = hashlib.new(digest.algorithm) if is_hashed else None

    def update(self, chunk: bytes) -> None:
        """Take the next bytes.

        Raises:
            DigestMismatch: more bytes came than the size allows.
        """
        self.seen += len(chunk)
        if self.size is not None and self.seen > self.size:
            raise DigestMismatch(f"{self._name} is larger than it should be", cause=f"expected {self.size} bytes")
        if self._hash is not None:
            self._hash.update(chunk)

    def finish(self) -> None:
        """Say that the content has ended.

        Raises:
            DigestMismatch: the size or the digest is another than promised.
        """
        if self.size is not None and self.seen != self.size:
            raise DigestMismatch(
                f"{self._name} is not complete", cause=f"expected {self.size} bytes, received {self.seen}"
            )
        if self._hash is None:
            return
        found = f"{self.digest.algorithm}:{self._hash.hexdigest()}"
        if found != self.digest:
            raise DigestMismatch(
                f"{self._name} does not match its digest",
                cause=f"expected {self.digest}, the bytes have {found}",
            )


def verify(data: bytes, digest: Digest, size: int | None = None, name: str | None = None) -> bytes:
    """Check content against its digest.

    Args:
        data: the content.
        digest: what it must hash to.
        size: how many bytes it must have, or None where that is not known.
        name: what the content is called in an error.

    Returns:
        The content.

    Raises:
        DigestMismatch: it has another digest or size.
    """
    verifier = Verifier(digest, size, name)
    verifier.update(data)
    verifier.finish()
    return data


def _unsupported(algorithm: str) -> InvalidDigest:
    return InvalidDigest(
        f"the digest algorithm {algorithm!r} is not supported", remedy=f"use one of {', '.join(ALGORITHMS)}"
    )
