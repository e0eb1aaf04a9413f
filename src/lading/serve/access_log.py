"""The log of requests: one line for each, and nothing in it that is secret.

This module knows what a request was and how it ended. Paths are logged without their queries, and of credentials only
the user.
"""

from __future__ import annotations

import json
import logging
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lading.serve.protocol import routes

log: logging.Logger = logging.getLogger("lading.serve.access")

_GONE = 499  # what logs say, since nginx, of a client that left before it was answered


class AccessLog:
    """Passes requests on to an application, and logs them with the logger `lading.serve.access` (ASGI).

    A record's `request` has the fields as a dict: `client`, `user`, `method`, `path`, `status`, `received` and `sent`
    (bytes of the bodies), `seconds`, `agent`.
    """

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, and log it when it has been answered."""
        if scope["type"] != "http" or not log.isEnabledFor(logging.INFO):
            return await self._application(scope, receive, send)
        begin = time.perf_counter()
        status, received, sent = _GONE, 0, 0

        async def count_received() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            return message

        async def count_sent(message: Message) -> None:
            nonlocal status, sent
            await send(message)
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                sent += message.get("count") or len(message.get("body", b""))

        try:
            await self._application(scope, count_received, count_sent)
        finally:
            agents = [value.decode("latin-1") for name, value in scope["headers"] if name == b"user-agent"]
            request = {
                "client": (scope.get("client") or ("-",))[0],
                "user": scope.get(routes.USER),
                "method": scope["method"],
                "path": routes.shown(scope),
                "status": scope.get(routes.ANSWERED, status),
                "received": received,
                "sent": sent,
                "seconds": round(time.perf_counter() - begin, 6),
                "agent": agents[0] if agents else "",
            }
            log.info("%(client)s %(user)s %(method)s %(path)s %(status)s", request, extra={"request": request})


class TextFormatter(logging.Formatter):
    """A record as a line of text.

    Args:
        tracebacks: whether the tracebacks of errors are shown.
    """

    def __init__(self, *, tracebacks: bool = False) -> None:
        super().__init__()
        self._tracebacks = tracebacks

    def format(self, record: logging.LogRecord) -> str:
        """`TIME CLIENT USER "METHOD PATH" STATUS RECEIVED SENT SECONDS "AGENT"`, or `TIME LEVEL MESSAGE`."""
        time = _time(record)
        request: dict[str, Any] | None = getattr(record, "request", None)
        if request is None:
            lines = [f"{time} {record.levelname.lower()} {_plain(_message(record))}"]
            if self._tracebacks and record.exc_info:
                lines.append(self.formatException(record.exc_info))
            return "\n".join(lines)
        client, user, method, path, status, received, sent, seconds, agent = request.values()
        asked = f'{_plain(user or "-")} "{_plain(method)} {_plain(path)}"'
        return f'{time} {client} {asked} {status} {received} {sent} {seconds} "{_plain(agent)}"'


class JSONFormatter(TextFormatter):
    """A record as a JSON object on a line of its own: `time`, `level` and `message`, or the fields of a request."""

    def format(self, record: logging.LogRecord) -> str:
        """An object."""
        fields: dict[str, Any] = {"time": _time(record), "level": record.levelname.lower()}
        request: dict[str, Any] | None = getattr(record, "request", None)
        fields |= {"message": _message(record)} if request is None else request
        if self._tracebacks and record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields)


def _message(record: logging.LogRecord) -> str:
    """What happened, and by which exception."""
    error = record.exc_info[1] if record.exc_info else None
    return f"{record.getMessage()}: {type(error).__name__}: {error}" if error else record.getMessage()


def _time(record: logging.LogRecord) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z"


def _plain(text: str) -> str:
    """A text that ends neither its line nor its quotes."""
    return text if text.isalnum() and text.isascii() else json.dumps(text)[1:-1]
