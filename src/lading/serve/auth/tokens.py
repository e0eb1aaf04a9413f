"""The token service: gives Bearer tokens for what users may do, and reads them (distribution's token authentication).

This module knows tokens and both dialects in which they are asked for (GET, and OAuth2's POST, RFC 6749). Tokens are
for this registry alone, which signs them and reads them.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import datetime
import logging
import os
import re
import secrets
import stat
import urllib.parse
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jwt
from starlette.requests import Request
from starlette.responses import Response

from lading.errors import UsageError, way_on
from lading.serve.auth.access import Caller, Need, Rules
from lading.serve.auth.users import Users
from lading.serve.protocol import routes
from lading.serve.protocol.problems import Problem, json_response

log: logging.Logger = logging.getLogger("lading.serve")

SERVICE = "lading"
"""What the registry is called where tokens are asked for."""
LIFETIME = 300
"""Seconds that a token is good for."""

LOG_IN = "log in first"
WRONG = "the user name or the password is wrong"

_ALGORITHM = "HS256"
_ACCESS = "lading registry"  # which kind of token it is
_REFRESH = "lading login"
_KEY_LENGTH = 32
_FORM_LIMIT = 64 * 1024
_HOST = re.compile(r"[A-Za-z0-9._-]+(?::\d+)?|\[[0-9A-Fa-f:.]+\](?::\d+)?")
_URL = re.compile(r"https?://[A-Za-z0-9._\[\]:-]+(?:/[A-Za-z0-9._~/-]*)?")


class _TokenLogin(NamedTuple):
    """The user that asks for a token (None for anonymous), and whether a refresh token is wanted."""

    user: str | None
    stays: bool = False


class TokenService:
    """Gives and reads the tokens of one registry.

    Args:
        users: the users that may ask for tokens.
        rules: what they may do.
        key_file: keeps the key that tokens are signed with; made if it does not exist. None for a key that is gone
            with the process. Only with a file there are refresh tokens, since clients forget the password for them.
        public_url: the address of the registry, where it is not the one that is asked.
        clock: gives the time, in seconds since the epoch.

    Raises:
        UsageError: the key or the address cannot be used.
    """

    def __init__(
        self,
        users: Users,
        rules: Rules,
        key_file: str | os.PathLike[str] | None,
        public_url: str | None,
        clock: Callable[[], float],
    ) -> None:
        if public_url is not None and not _URL.fullmatch(public_url):
            raise UsageError(f"{public_url!r} is not an address", remedy="give one such as https://registry.example")
        self._users = users
        self._rules = rules
        self._key = secrets.token_bytes(_KEY_LENGTH) if key_file is None else _key(Path(key_file))
        self._refreshes = key_file is not None
        self._public_url = public_url
        self._clock = clock

    def challenge(self, request: Request, needs: Iterable[Need] = (), error: str | None = None) -> str:
        """What a client has to ask for here, for `WWW-Authenticate` (RFC 6750 §3).

        Args:
            request: the one that is refused.
            needs: what it would have done.
            error: what is wrong with the token it had, `invalid_token` or `insufficient_scope`.
        """
        fields = {"realm": self._realm(request), "service": SERVICE}
        if scope := " ".join(map(scope_text, needs)):
            fields["scope"] = scope
        if error:
            fields["error"] = error
        return "Bearer " + ",".join(f'{name}="{value}"' for name, value in fields.items())

    def read(self, token: str) -> Caller | None:
        """The user of a token and what it allows; None where it is no token of this registry, or has expired."""
        claims = self._claims(token, _ACCESS)
        if claims is None or claims["exp"] <= self._clock():
            return None
        granted = {
            Need(entry["type"], entry["name"], action) for entry in claims["access"] for action in entry["actions"]
        }
        return Caller(claims["sub"] or None, frozenset(granted))

    async def answer(self, request: Request) -> Response:
        """Answer a request for a token.

        Raises:
            Problem: there is none for it.
        """
        if request.method == "GET":
            asked = request.query_params
            login = await self._login(request)
            scopes = asked.getlist("scope")
            login = login._replace(stays=asked.get("offline_token") == "true")
        elif request.method == "POST":
            form = await _form(request)
            login = await self._grant(form)
            scopes = form.get("scope", [])
        else:
            raise Problem(405, "UNSUPPORTED", "tokens are asked for by GET or POST", headers={"allow": "GET, POST"})
        request.scope[routes.USER] = login.user
        return self._give(login, self._granted(login.user, scopes))

    async def _login(self, request: Request) -> _TokenLogin:
        """Who sends a GET request (RFC 7617)."""
        header = credentials(request)
        if header is None:
            if not self._rules.for_anybody:
                raise _refused(LOG_IN)
            return _TokenLogin(None)
        user = await basic_user(self._users, header)
        if user is None:
            raise _refused(WRONG)
        return _TokenLogin(user)

    async def _grant(self, form: Mapping[str, Sequence[str]]) -> _TokenLogin:
        """Who sends a POST request, by what it gives (RFC 6749 §4.3, §6)."""
        values = {name: given[0] for name, given in form.items()}
        kind = values.get("grant_type", "")
        if kind == "password":
            user = values.get("username", "")
            if not user:
                raise _refused(LOG_IN)
            if not await self._users.verify(user, values.get("password", "").encode()):
                raise _refused(WRONG)
            return _TokenLogin(user, values.get("access_type") == "offline")
        if kind == "refresh_token":
            claims = self._claims(values.get("refresh_token", ""), _REFRESH)
            if claims is None:
                raise _refused("what was remembered of the login holds no longer; log in again")
            return _TokenLogin(claims["sub"], True)
        raise Problem(400, "UNSUPPORTED", f"the grant type {kind!r} is not supported; password and refresh_token are")

    def _granted(self, user: str | None, scopes: Iterable[str]) -> list[Need]:
        """Of what scopes ask for, what a user may do."""
        granted: dict[Need, None] = {}
        for text in (text for some in scopes for text in some.split()):
            kind, _, rest = text.partition(":")
            name, _, named = rest.rpartition(":")
            actions = named.split(",")
            if kind == "repository" and "*" in actions:
                actions += sorted(self._rules.actions(user, name))
            needs = (Need(kind, name, action) for action in actions)
            granted |= {need: None for need in needs if self._rules.permits(user, need)}
        return list(granted)

    def _give(self, login: _TokenLogin, granted: list[Need]) -> Response:
        now = int(self._clock())
        access: dict[tuple[str, str], list[str]] = {}
        for need in granted:
            access.setdefault((need.kind, need.name), []).append(need.action)
        entries = [{"type": kind, "name": name, "actions": actions} for (kind, name), actions in access.items()]
        token = self._sign(_ACCESS, login.user, exp=now + LIFETIME, iat=now, access=entries)
        document = {
            "token": token,
            "access_token": token,
            "scope": " ".join(f"{kind}:{name}:{','.join(actions)}" for (kind, name), actions in access.items()),
            "expires_in": LIFETIME,
            "issued_at": datetime.datetime.fromtimestamp(now, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        if login.stays and login.user is not None and self._refreshes:
            document["refresh_token"] = self._sign(_REFRESH, login.user, iat=now)
        return json_response(document, headers={"cache-control": "no-store"})

    def _sign(self, kind: str, user: str | None, **claims: Any) -> str:
        mark = self._users.mark(user) if user is not None else None
        return jwt.encode(
            {"iss": SERVICE, "aud": kind, "sub": user or "", "mark": mark, **claims}, self._key, _ALGORITHM
        )

    def _claims(self, token: str, kind: str) -> dict[str, Any] | None:
        """What a token of a kind says, if it is one of ours, and its owner's password is still the same."""
        try:
            # Its time is looked at by a clock that can be given.
            options: Any = {"verify_exp": False, "verify_iat": False}
            claims: dict[str, Any] = jwt.decode(token, self._key, [_ALGORITHM], options, audience=kind)
        except jwt.InvalidTokenError:
            return None
        user = claims["sub"]
        return claims if claims["mark"] == (self._users.mark(user) if user else None) else None

    def _realm(self, request: Request) -> str:
        scope = request.scope
        if self._public_url is not None:
            return f"{self._public_url.rstrip('/')}/v2/{routes.TOKEN}"
        host = request.headers.get("host", "")
        if not _HOST.fullmatch(host):
            name, port = scope.get("server") or ("localhost", None)
            host = (f"[{name}]" if ":" in name else name) + (f":{port}" if port else "")
        return f"{scope['scheme']}://{host}{routes.location(scope, routes.TOKEN)}"


def credentials(request: Request) -> str | None:
    """The `Authorization` of a request; None where there is none, or it names nobody (`Basic` of a lone colon)."""
    header = request.headers.get("authorization", "")
    scheme, _, value = header.strip().partition(" ")
    if not value:
        return None
    if scheme.lower() == "basic":
        with contextlib.suppress(binascii.Error):
            if base64.b64decode(value.strip(), validate=True) in {b"", b":"}:
                return None
    return header


async def basic_user(users: Users, header: str) -> str | None:
    """The user of an `Authorization` (RFC 7617); None where name and password are not those of a user."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        name = user.decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    return name if colon and await users.verify(name, password) else None


def scope_text(need: Need) -> str:
    """The scope that allows something; for a push also to pull, since clients look before they push."""
    actions = "pull,push" if need.action == "push" else need.action
    return f"{need.kind}:{need.name}:{actions}"


def _refused(message: str) -> Problem:
    return Problem(401, "UNAUTHORIZED", message, headers={"www-authenticate": f'Basic realm="{SERVICE}"'})


async def _form(request: Request) -> dict[str, list[str]]:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _FORM_LIMIT:
            raise Problem(413, "SIZE_INVALID", f"a request for a token may have {_FORM_LIMIT} bytes at most")
    try:
        return urllib.parse.parse_qs(body.decode(), keep_blank_values=True, max_num_fields=1000)
    except ValueError:
        raise Problem(400, "UNSUPPORTED", "the form cannot be read") from None


def _key(path: Path) -> bytes:
    """The key in a file, which is made, for its owner only, if it does not exist."""
    try:
        if not path.exists():
            new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123
                file.write(secrets.token_hex(_KEY_LENGTH).encode() + b"\n")
            with contextlib.suppress(FileExistsError):  # another process was faster
                path.hardlink_to(new)
            new.unlink()
        key = path.read_bytes().strip()
        if path.stat().st_mode & stat.S_IROTH:
            log.warning("everybody on this machine can read the key in %s", path)
    except OSError as error:
        raise UsageError(f"cannot keep a key in {path}", cause=error.strerror, remedy=way_on(error)) from None
    if len(key) < _KEY_LENGTH:
        raise UsageError(f"the key in {path} is too short", cause=f"it has {len(key)} bytes; {_KEY_LENGTH} are needed")
    return key
