"""What a process that watches mirrors answers over HTTP (ASGI): metrics, health, status; and notifications it takes."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

from lading.mirror.metrics import CONTENT_TYPE, metrics
from lading.mirror.watch import Watch

_LIMIT = 1024 * 1024
"""The largest notification read, in bytes."""
_PATHS = {"/metrics": "GET", "/healthz": "GET", "/status.json": "GET", "/notify": "POST"}
_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]


class Endpoints:
    """Answers for a watch; as long as there is none, with 503.

    `GET /metrics` (Prometheus), `/healthz`, `/status.json`; `POST /notify` takes what registries send when something
    is pushed or deleted: notifications of distribution, and Harbor's webhooks.
    """

    def __init__(self, watch: Callable[[], Watch | None]) -> None:
        self._watch = watch

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        method, path = scope["method"], scope["path"]
        wanted, watch = _PATHS.get(path), self._watch()
        if wanted is None:
            await _answer(send, 404, f"there are {', '.join(_PATHS)}\n")
        elif method != wanted and not (method == "HEAD" and wanted == "GET"):
            await _answer(send, 405, f"{path} takes {wanted}\n", allow=wanted)
        elif watch is None:
            await _answer(send, 503, "nothing is watched yet\n")
        elif path == "/metrics":
            await _answer(send, 200, metrics(watch.status), type=CONTENT_TYPE)
        elif path == "/healthz":
            await _answer(send, 200, "ok\n")
        elif path == "/status.json":
            await _answer(send, 200, watch.status.to_json() + b"\n", type="application/json")
        else:
            await _notified(watch, receive, send)


def changed_repositories(document: Any) -> Iterator[str]:
    """The repositories in which a notification says that a tag was pushed or something was deleted, without registries.

    Args:
        document: the decoded JSON: an envelope of distribution (`events`), or a webhook of Harbor (`event_data`).

    Raises:
        ValueError: it is neither.
    """
    if isinstance(document, dict) and isinstance(document.get("events"), list):
        for event in document["events"]:
            target = event.get("target") if isinstance(event, dict) else None
            if not isinstance(target, dict) or not isinstance(target.get("repository"), str):
                continue
            is_tagged = event.get("action") == "push" and target.get("tag")
            if is_tagged or event.get("action") == "delete":
                yield target["repository"]
        return
    if isinstance(document, dict) and isinstance(document.get("event_data"), dict):
        repository = document["event_data"].get("repository")
        name = repository.get("repo_full_name") if isinstance(repository, dict) else None
        if document.get("type") in ("PUSH_ARTIFACT", "DELETE_ARTIFACT") and isinstance(name, str):
            yield name
        return
    raise ValueError("it is of no known form")


async def _notified(watch: Watch, receive: _Receive, send: _Send) -> None:
    body = await _body(receive)
    if body is None:
        await _answer(send, 413, f"a notification has at most {_LIMIT:,} bytes\n")
        return
    try:
        repositories = set(changed_repositories(json.loads(body)))
    except (ValueError, RecursionError):
        await _answer(send, 400, "this is neither a notification of distribution nor a webhook of Harbor\n")
        return
    names = watch.notify(repositories)
    await _answer(send, 202, json.dumps({"mirrors": names}) + "\n", type="application/json")


async def _body(receive: _Receive) -> bytes | None:
    """All of a request's body; None where it is too large."""
    body: bytes = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > _LIMIT:
            return None
        if not message.get("more_body"):
            return body


async def _answer(send: _Send, status: int, text: str | bytes, *, type: str = "text/plain", allow: str = "") -> None:
    body = text.encode() if isinstance(text, str) else text
    headers = [(b"content-type", type.encode()), (b"content-length", str(len(body)).encode())]
    if allow:
        headers.append((b"allow", allow.encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _lifespan(receive: _Receive, send: _Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
