"""A registry, or whatever else speaks HTTP, that answers exactly what a test says."""

import json
import threading
from collections.abc import Callable
from typing import Any

from support.certs import Authority
from support.http import Connection, Headers, Pairs, Reply, Request, Server

__all__ = ["Reply", "Request", "ScriptedServer", "error_reply", "json_reply"]


class ScriptedServer(Server):
    """A server whose answers come from a function, and which remembers every request.

    The function gets a `Request` and gives a `Reply`; it runs on the connection's thread. None is a 404.
    An exception it raises fails the test: `stop` raises it again.
    """

    def __init__(
        self,
        script: Callable[[Request], Reply | None] = lambda _: None,
        *,
        tls: Authority | None = None,
        hostname: str = "127.0.0.1",
    ) -> None:
        super().__init__(tls=tls, hostname=hostname)
        self.script = script
        self._requests: list[Request] = []
        self._recording = threading.Lock()

    @property
    def requests(self) -> list[Request]:
        """Every request so far, in the order they came."""
        with self._recording:
            return list(self._requests)

    @property
    def lines(self) -> list[str]:
        """Every request so far as `METHOD target`."""
        return [f"{request.method} {request.target}" for request in self.requests]

    def reset(self) -> None:
        super().reset()
        with self._recording:
            self._requests.clear()

    def answer(self, request: Request, connection: Connection) -> bool:
        with self._recording:
            self._requests.append(request)
        return connection.send(request, self.script(request) or error_reply(404, "NOT_FOUND"))


def json_reply(document: Any, *, status: int = 200, headers: Pairs = ()) -> Reply:
    fields = [*Headers.of(headers), ("Content-Type", "application/json")]
    return Reply(status=status, headers=fields, body=json.dumps(document).encode())


def error_reply(status: int, code: str, message: str = "", *, detail: Any = None, headers: Pairs = ()) -> Reply:
    """An error as the distribution specification has it."""
    entry = {"code": code, "message": message} | ({} if detail is None else {"detail": detail})
    return json_reply({"errors": [entry]}, status=status, headers=headers)
