"""Every exception lading raises, each with the exit code its command ends with.

This room knows nothing of the others. An error is three sentences at most: what happened (`message`),
why (`cause`) and what to do next (`remedy`). None of them ever holds a secret.
"""

from __future__ import annotations

import re
from typing import Any


class LadingError(Exception):
    """Any failure lading reports; the base of all others.

    Args:
        message: what happened and to what, one line, without a full stop.
        cause: why, as far as it is known.
        remedy: what to do next, as a command where there is one.
        status: the HTTP status of the registry's final answer, if one came.
        code: the registry's own error code (distribution-spec §Error Codes), if it gave one.
    """

    exit_code = 1
    """The process exit status of a command that ends with this error."""
    retry_after: float | None = None
    """How many seconds the registry asks to wait before the next try (RFC 9110 §10.2.3), if it does."""

    def __init__(
        self,
        message: str,
        *,
        cause: str | None = None,
        remedy: str | None = None,
        status: int | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.cause = cause
        self.remedy = remedy
        self.status = status
        self.code = code

    def __str__(self) -> str:
        """The message, with its cause in brackets where one is known."""
        return f"{self.message} ({self.cause})" if self.cause else self.message


class UsageError(LadingError):
    """What the caller gave cannot be understood or combined; nothing was sent or changed."""

    exit_code = 2

    def __init__(self, message: str, *, cause: str | None = None, remedy: str | None = None, **rest: Any) -> None:
        # It repeats what was given, and that may be an address with a password in it.
        cause, remedy = (discreet(text) if text else text for text in (cause, remedy))
        super().__init__(discreet(message), cause=cause, remedy=remedy, **rest)


class InvalidReference(UsageError):
    """A text is not a reference (distribution-spec §Pulling manifests)."""


class InvalidDigest(UsageError):
    """A text is not a digest of a known algorithm (image-spec descriptor §Digests)."""


class InvalidPlatform(UsageError):
    """A text is not a platform `OS/ARCH[/VARIANT]`."""


class InvalidVersion(UsageError):
    """A text is not a version such as `1.27` or `v2.0.0-rc.1`."""


class InvalidPattern(UsageError):
    """A text is no pattern for names: a glob, `re:EXPRESSION` or `semver:RANGE`."""


class NotFound(LadingError):
    """The named manifest, blob, repository or draft does not exist."""

    exit_code = 3


class Denied(LadingError):
    """Not authenticated, or not allowed (HTTP 401 and 403)."""

    exit_code = 4


class RateLimited(LadingError):
    """The registry asks for fewer requests (HTTP 429), and went on asking."""

    exit_code = 5


class Unreachable(LadingError):
    """The host could not be reached: no address, no connection, a connection that broke, or TLS."""

    exit_code = 6


class TLSFailure(Unreachable):
    """The host was reached, but not with the TLS that was asked for."""


class InvalidContent(LadingError):
    """Content is malformed: not JSON, wrong types, too large, of an unknown kind."""

    exit_code = 7


class DigestMismatch(InvalidContent):
    """Content does not have the digest or the size that its descriptor promises."""


class Conflict(LadingError):
    """The present state forbids the change: a tag moved, a name is taken or immutable."""

    exit_code = 8


class Unsupported(LadingError):
    """The registry (or store) does not implement what was asked (HTTP 405 and the like)."""

    exit_code = 9


class RegistryFailure(LadingError):
    """The registry failed in a way no other error describes (HTTP 5xx and the unexpected)."""


_PASSWORD = r"((?:^|(?<=[\s'\"(=]))(?:[a-z+.-]+://)?)[^\s'\"/@:]+:[^\s'\"/@]+@(?!sha\d+:)"


def discreet(text: str) -> str:
    """A text without the users and passwords of addresses in it: `https://***@registry.example/app`."""
    return re.sub(_PASSWORD, r"\1***@", text)
