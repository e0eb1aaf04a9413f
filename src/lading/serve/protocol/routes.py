"""What the paths of the protocol mean (distribution-spec §Endpoints), wherever the registry is mounted.

This module knows paths, and nothing of what is done with them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

ASGIScope = Mapping[str, Any]
"""Of a request (ASGI)."""

TOKEN = "token"
"""Where tokens are given, below `/v2/`; no repository can be meant."""
VISIBLE = "lading.visible"
"""The key of a request's scope under which the gate keeps what `visible` gives."""
USER = "lading.user"
"""The key of a request's scope under which its user is kept, once the user is known."""
ANSWERED = "lading.answered"
"""The key of a request's scope under which the server keeps the status that it answered in the application's place."""

# The last parts of a path say what it is about, so that a repository may be called `a/blobs/manifests`.
_ROUTES = (
    ("base", re.compile(r"")),
    ("catalog", re.compile(r"_catalog")),
    ("token", re.compile(TOKEN)),
    ("tags", re.compile(r"(?P<name>.+)/tags/list")),
    ("uploads", re.compile(r"(?P<name>.+)/blobs/uploads/?")),
    ("upload", re.compile(r"(?P<name>.+)/blobs/uploads/(?P<upload>[^/]+)")),
    ("blob", re.compile(r"(?P<name>.+)/blobs/(?P<digest>[^/]+)")),
    ("manifest", re.compile(r"(?P<name>.+)/manifests/(?P<reference>[^/]+)")),
    ("referrers", re.compile(r"(?P<name>.+)/referrers/(?P<digest>[^/]+)")),
)


class Resource(NamedTuple):
    """What a path is about."""

    kind: str
    """`base`, `catalog`, `token`, `tags`, `uploads`, `upload`, `blob`, `manifest` or `referrers`."""
    values: dict[str, str]
    """What is in the path, as it stands there: `name`, and `upload`, `digest` or `reference`."""


def find(scope: ASGIScope) -> Resource | None:
    """What a request's path is about; None if the protocol has no such path."""
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    inner = "" if path == "/v2" else path.removeprefix("/v2/")
    if inner == path:
        return None
    for kind, pattern in _ROUTES:
        if found := pattern.fullmatch(inner):
            return Resource(kind, found.groupdict())
    return None


def location(scope: ASGIScope, path: str) -> str:
    """A path below `/v2/` as the client of a request reaches it, for a header of the answer."""
    return f"{quote(scope.get('root_path', ''))}/v2/{path}"


def shown(scope: ASGIScope) -> str:
    """A request's path for a log: as it was sent, without its query, which may hold secrets."""
    raw = scope.get("raw_path") or quote(scope["path"]).encode()
    return raw.decode("ascii", "backslashreplace")


def visible(scope: ASGIScope) -> Callable[[str], bool]:
    """Tells of a repository whether the client of a request may know what is in it."""
    decide: Callable[[str], bool] = scope.get(VISIBLE, _everything)
    return decide


def _everything(_: str) -> bool:
    return True
