"""Every exception lading raises, each with a code, fields, and the exit code its command ends with.

This room knows nothing of the others. An error is three sentences at most: what happened (`message`),
why (`cause`) and what to do next (`remedy`). None of them ever holds a secret, and none names a flag or a command:
the command line words those, by `code` and `fields`.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping
from typing import Any

__all__ = [
    "Conflict",
    "Denied",
    "DigestMismatch",
    "InvalidContent",
    "InvalidDigest",
    "InvalidPattern",
    "InvalidPlatform",
    "InvalidReference",
    "InvalidVersion",
    "LadingError",
    "NotFound",
    "RateLimited",
    "RegistryFailure",
    "TLSFailure",
    "Unreachable",
    "Unsupported",
    "UsageError",
]


class LadingError(Exception):
    """Any failure lading reports; the base of all others.

    Args:
        message: what happened and to what, one line, without a full stop.
        cause: why, as far as it is known.
        remedy: what to do next, in the words of a program that uses the library.
        code: which case it is, where a kind of error has several that a program may tell apart; by default the kind's
            own. Codes are stable, and in `docs/exit-codes.md`.
        fields: what the sentences are about, as plain values: `reference`, `registry`, `repository`, `tag`, `tags` …
            Which of them there are depends on the code.
        status: the HTTP status of the registry's final answer, if one came.
        registry_code: the registry's own error code, such as `MANIFEST_UNKNOWN` (distribution-spec §Error Codes), if it
            gave one.
    """

    exit_code = 1
    """The process exit status of a command that ends with this error."""
    code: str = "failed"
    """Which case it is, as a word such as `not-found`."""
    retry_after: float | None = None
    """How many seconds the registry asks to wait before the next try (RFC 9110 §10.2.3), if it does."""
    retries: int = 0
    """How often the request was sent again before: an earlier try may have done what the last one was refused."""

    def __init__(
        self,
        message: str,
        *,
        cause: str | None = None,
        remedy: str | None = None,
        code: str | None = None,
        fields: Mapping[str, Any] | None = None,
        status: int | None = None,
        registry_code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.cause = cause
        self.remedy = remedy
        self.fields: dict[str, Any] = dict(fields or {})
        self.status = status
        self.registry_code = registry_code
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        """The message, with its cause in brackets where one is known."""
        return f"{self.message} ({self.cause})" if self.cause else self.message

    def __repr__(self) -> str:
        """Its kind, message and code, on one line."""
        return f"{type(self).__name__}({self.message!r}, code={self.code!r})"


class UsageError(LadingError):
    """What the caller gave cannot be understood or combined; nothing was sent or changed."""

    exit_code = 2
    code = "usage"

    def __init__(
        self,
        message: str,
        *,
        cause: str | None = None,
        remedy: str | None = None,
        code: str | None = None,
        fields: Mapping[str, Any] | None = None,
        status: int | None = None,
        registry_code: str | None = None,
    ) -> None:
        # They repeat what was given, and that may be an address with a password in it.
        super().__init__(
            discreet(message),
            cause=discreet(cause) if cause else cause,
            remedy=discreet(remedy) if remedy else remedy,
            code=code,
            fields={name: discreet(value) if type(value) is str else value for name, value in (fields or {}).items()},
            status=status,
            registry_code=registry_code,
        )


class InvalidReference(UsageError):
    """A text is not a reference (distribution-spec §Pulling manifests)."""

    code = "invalid-reference"


class InvalidDigest(UsageError):
    """A text is not a digest of a known algorithm (image-spec descriptor §Digests)."""

    code = "invalid-digest"


class InvalidPlatform(UsageError):
    """A text is not a platform `OS/ARCH[/VARIANT]`."""

    code = "invalid-platform"


class InvalidVersion(UsageError):
    """A text is not a version such as `1.27` or `v2.0.0-rc.1`."""


class InvalidPattern(UsageError):
    """A text is no pattern for names: a glob, `re:EXPRESSION` or `semver:RANGE`."""

    code = "invalid-pattern"


class NotFound(LadingError):
    """The named manifest, blob, repository or draft does not exist."""

    exit_code = 3
    code = "not-found"


class Denied(LadingError):
    """Not authenticated, or not allowed (HTTP 401 and 403)."""

    exit_code = 4
    code = "denied"


class RateLimited(LadingError):
    """The registry asks for fewer requests (HTTP 429), and went on asking."""

    exit_code = 5
    code = "rate-limited"


class Unreachable(LadingError):
    """The host could not be reached: no address, no connection, a connection that broke, or TLS."""

    exit_code = 6
    code = "unreachable"


class TLSFailure(Unreachable):
    """The host was reached, but not with the TLS that was asked for."""

    code = "tls"


class InvalidContent(LadingError):
    """Content is malformed: not JSON, wrong types, too large, of an unknown kind."""

    exit_code = 7
    code = "invalid-content"


class DigestMismatch(InvalidContent):
    """Content does not have the digest or the size that its descriptor promises."""

    code = "digest-mismatch"


class Conflict(LadingError):
    """The present state forbids the change: a tag moved, a name is taken or immutable."""

    exit_code = 8
    code = "conflict"


class Unsupported(LadingError):
    """The registry (or store) does not implement what was asked (HTTP 405 and the like)."""

    exit_code = 9
    code = "unsupported"


class RegistryFailure(LadingError):
    """The registry failed in a way no other error describes (HTTP 5xx and the unexpected)."""

    code = "registry-failed"


_WAYS_ON = {
    errno.EACCES: "allow it to this user, or use another place",
    errno.EPERM: "allow it to this user, or use another place",
    errno.EROFS: "nothing can be written there: use another place",
    errno.ENOSPC: "make room there, or use another place",
    errno.EDQUOT: "make room there, or use another place",
    errno.EFBIG: "no file can be as large there: use another place",
    errno.ENOENT: "name one that is there",
    errno.ENOTDIR: "a part of its path is a file: name another place",
    errno.EISDIR: "name a file",
    errno.ENAMETOOLONG: "give it a shorter name",
    errno.EMFILE: "allow more open files (ulimit -n), or do less at once",
    errno.ENFILE: "close other programs, or do less at once",
    errno.EIO: "see whether the disk or the network drive works",
}


def way_on(error: OSError) -> str:
    """What to do about a file or a folder that the operating system refused."""
    return _WAYS_ON.get(error.errno or 0, "see whether it can be used, or use another place")


_PLACE = r"(?:oci|oci-archive|docker-archive|docker-daemon|dir):"
# A password may have a slash in it, where a host and a path follow. What a help text says of them is none.
_PASSWORD = (
    rf"((?:^|(?<=[\s'\"(=]))(?:[a-z+.-]+://)?)(?!{_PLACE}|\[?USER:PASSWORD@)[^\s'\"/@:]+:"
    r"(?:[^\s'\"/@]+@(?!sha\d+:)|[^\s'\"@]+@(?=[\w.\[\]-]+(?::\d+)?/))"
)


def discreet(text: str) -> str:
    """A text without the users and passwords of addresses in it: `https://***@registry.example/app`."""
    return re.sub(_PASSWORD, r"\1***@", text)
