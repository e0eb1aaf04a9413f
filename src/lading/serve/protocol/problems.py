"""Answers that are the same wherever they come from: errors as the specification's JSON, and how they are sent.

This module knows HTTP, and nothing of content or of access to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from lading.errors import Denied, LadingError, NotFound, RateLimited
from lading.io.sources import closing

_DRAIN_LIMIT = 8 * 1024 * 1024  # how much of a refused body is read, so that the client reads the answer
_DRAIN_PATIENCE = 10  # seconds that takes at most
_WINDOW = 60  # seconds over which the rate of what comes is measured
_HEADERS = {"docker-distribution-api-version": "registry/2.0"}


class Problem(Exception):
    """A request that is answered with an error (distribution-spec §Error Codes).

    Args:
        status: of HTTP.
        code: of the specification.
        message: for people.
        details: one error is reported for each; one without, if there is none.
        headers: of the answer.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *details: dict[str, Any],
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.details = details
        self.headers: dict[str, str] = dict(headers or {})

    def response(self) -> Response:
        """The answer: one error, or one for each detail."""
        error: dict[str, Any] = {"code": self.code, "message": str(self)}
        errors = [error | {"detail": detail} for detail in self.details] or [error]
        return json_response({"errors": errors}, status=self.status, headers=self.headers)


def json_response(
    document: dict[str, Any],
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    media_type: str = "application/json",
) -> Response:
    """An answer that is a document."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    content = text.encode("utf-8", "backslashreplace")
    return Response(content, status_code=status, headers={**(headers or {}), "content-type": media_type})


async def respond(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Send an answer, with what every one has, and without a body where HEAD asked."""
    if scope["method"] == "HEAD":
        response.body = b""
    response.headers.update(_HEADERS)
    await response(scope, receive, send)


async def steady(request: Request, rate: int, clock: Callable[[], float]) -> AsyncIterator[bytes]:
    """The body of a request, as it comes.

    Args:
        request: the one that pushes something.
        rate: how fast it must come, in bytes per second, over each minute of waiting for the client.
        clock: gives the time, in seconds.

    Raises:
        Problem: it comes more slowly.
    """
    waited, came = 0.0, 0
    begin = clock()
    async with closing(request.stream()) as parts:
        async for part in parts:
            waited += clock() - begin  # what this registry does between two parts is not the client's time
            came += len(part)
            if waited >= _WINDOW:
                if part and came < rate * waited:
                    message = f"fewer than {rate} bytes per second came in {waited:.0f} seconds"
                    raise Problem(408, "BLOB_UPLOAD_INVALID", message, headers={"connection": "close"})
                waited, came = 0.0, 0
            yield part
            begin = clock()


async def drain(request: Request) -> None:
    """Read the rest of a body that was refused, so that a client that only then reads gets the answer."""
    if "expect" in request.headers:
        return
    rest = _DRAIN_LIMIT
    with contextlib.suppress(ClientDisconnect, RuntimeError, TimeoutError):  # RuntimeError: it was read to its end
        async with asyncio.timeout(_DRAIN_PATIENCE):
            async for part in request.stream():
                rest -= len(part)
                if rest < 0:
                    return


def failed_elsewhere(error: LadingError) -> Problem:
    """The answer where another registry, which this one stands in front of, refused something or failed."""
    if isinstance(error, Denied):
        return Problem(403, "DENIED", str(error))  # not 401, which would ask the client to log in here
    if isinstance(error, NotFound):
        return Problem(404, "NAME_UNKNOWN", str(error))
    if isinstance(error, RateLimited):
        return Problem(429, "TOOMANYREQUESTS", str(error))
    return Problem(502, "UNAVAILABLE", str(error))
