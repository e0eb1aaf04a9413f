"""A registry that refuses every change. It knows the methods of requests, and nothing of what they are about."""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from lading.serve.protocol.problems import Problem, drain, respond

_READING = ("GET", "HEAD", "OPTIONS")


class ReadOnly:
    """Passes requests that read on to an application, and refuses all others (ASGI).

    Args:
        application: the application.
        reason: the message of the refusals.
    """

    def __init__(self, application: ASGIApp, reason: str) -> None:
        self._application = application
        self._reason = reason

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or refuse it."""
        if scope["type"] != "http" or scope["method"] in _READING:
            return await self._application(scope, receive, send)
        await drain(Request(scope, receive))
        problem = Problem(405, "UNSUPPORTED", self._reason, headers={"allow": "GET, HEAD"})
        await respond(problem.response(), scope, receive, send)
