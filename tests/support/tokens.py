"""A token service for Bearer registries: distribution's token authentication, both of its dialects."""

import base64
import datetime
import fnmatch
import json
import secrets
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from support.certs import Authority, private_pem, self_signed
from support.http import Connection, Reply, Request, Server

SERVICE = "lading test registry"
ISSUER = "lading test tokens"

Grants = Mapping[str, set[str]]
"""What is allowed where: a pattern of repository names ("team/*") to actions ("pull", "push", "*")."""

EVERYTHING: Grants = {"*": {"*"}}


@dataclass(frozen=True)
class TokenRequest:
    """A request the service got. `params` are those of the query (GET) or of the form (POST)."""

    method: str
    path: str
    params: dict[str, list[str]]
    authorization: str | None
    account: str | None = None
    granted: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200

    @property
    def scopes(self) -> list[str]:
        """Every scope asked for, however many parameters they came in."""
        return [scope for value in self.params.get("scope", []) for scope in value.split()]

    @property
    def grant_type(self) -> str | None:
        return next(iter(self.params.get("grant_type", [])), None)


class TokenService(Server):
    """Gives tokens to `users` (names to passwords), for what `grants` allow each (everything, if not said).

    `anonymous` is what may be done without credentials; None refuses them with 401. `expires_in` is a token's
    life in seconds; `says_expires_in` is what the answer says of it (the same; None leaves it out). `oauth`
    off answers POST with 404 and gives no refresh tokens, as many registries do. `fail` may answer in its
    place: a function of the request.
    """

    def __init__(
        self,
        users: Mapping[str, str] | None = None,
        *,
        grants: Mapping[str, Grants] | None = None,
        anonymous: Grants | None = None,
        expires_in: int = 300,
        oauth: bool = True,
        service: str = SERVICE,
        token_fields: tuple[str, ...] = ("token", "access_token"),
        tls: Authority | None = None,
        hostname: str = "127.0.0.1",
    ) -> None:
        super().__init__(tls=tls, hostname=hostname)
        self.users = dict(users or {})
        self.grants: Mapping[str, Grants] = dict(grants or {})
        self.anonymous = anonymous
        self.expires_in = expires_in
        self.says_expires_in: int | None = expires_in
        self.oauth = oauth
        self.service = service
        self.token_fields = token_fields
        self.fail: Callable[[Request], Reply | None] | None = None
        self.refresh_tokens: dict[str, str] = {}
        """The refresh tokens given out, each with its user. Removing one revokes it."""
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = self_signed(self._key, ISSUER)
        self._requests: list[TokenRequest] = []
        self._recording = threading.Lock()

    @property
    def realm(self) -> str:
        return f"{self.url}/token"

    @property
    def root_certificate(self) -> bytes:
        """What a registry has to trust (PEM)."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def requests(self) -> list[TokenRequest]:
        """Every request since the last reset."""
        with self._recording:
            return list(self._requests)

    def reset(self) -> None:
        super().reset()
        with self._recording:
            self._requests.clear()

    def issue(self, account: str | None, access: list[dict[str, Any]], *, expires_in: int | None = None) -> str:
        """A token that allows `access`, for tests that need one of their own."""
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": account or "",
            "aud": self.service,
            "exp": now + (self.expires_in if expires_in is None else expires_in),
            "nbf": now - 30,
            "iat": now,
            "jti": secrets.token_hex(8),
            "access": access,
        }
        chain = [base64.b64encode(self._certificate.public_bytes(serialization.Encoding.DER)).decode()]
        return jwt.encode(claims, private_pem(self._key), algorithm="ES256", headers={"x5c": chain})

    def answer(self, request: Request, connection: Connection) -> bool:
        params = request.params
        if request.method == "POST":
            params = urllib.parse.parse_qs(request.body.decode(), keep_blank_values=True)
        asked = TokenRequest(request.method, request.path, params, request.headers.get("Authorization"))
        reply = self.fail(request) if self.fail is not None else None
        if reply is None:
            asked, reply = self._decide(asked)
        else:
            asked = replace(asked, status=reply.status)
        with self._recording:
            self._requests.append(asked)
        return connection.send(request, reply)

    def _decide(self, asked: TokenRequest) -> tuple[TokenRequest, Reply]:
        if asked.path != "/token" or asked.method not in {"GET", "POST"}:
            return replace(asked, status=404), Reply(status=404, body=b"404 page not found\n")
        if asked.method == "POST" and not self.oauth:
            return replace(asked, status=404), Reply(status=404, body=b"404 page not found\n")
        try:
            account = self._account(asked)
        except PermissionError as refusal:
            body = json.dumps({"errors": [{"code": "UNAUTHORIZED", "message": str(refusal)}]}).encode()
            headers = (("WWW-Authenticate", f'Basic realm="{ISSUER}"'), ("Content-Type", "application/json"))
            return replace(asked, status=401), Reply(status=401, headers=headers, body=body)
        granted = [entry for scope in asked.scopes if (entry := self._grant(account, scope))["actions"]]
        document = self._document(asked, account, granted)
        reply = Reply(headers=(("Content-Type", "application/json"),), body=json.dumps(document).encode())
        return replace(asked, account=account, granted=granted), reply

    def _account(self, asked: TokenRequest) -> str | None:
        """Who asks; None is anybody. Raises `PermissionError` for wrong credentials, or missing ones."""
        if asked.grant_type == "refresh_token":
            account = self.refresh_tokens.get(_one(asked, "refresh_token"))
            if account is None:
                raise PermissionError("invalid refresh token")
            return account
        if asked.grant_type == "password":
            return self._checked(_one(asked, "username"), _one(asked, "password"))
        if asked.method == "POST":
            raise PermissionError(f"unsupported grant type {asked.grant_type}")
        if asked.authorization is not None:
            scheme, _, encoded = asked.authorization.partition(" ")
            if scheme.lower() != "basic":
                raise PermissionError(f"unsupported scheme {scheme}")
            user, _, password = base64.b64decode(encoded).decode().partition(":")
            return self._checked(user, password)
        if self.anonymous is None:
            raise PermissionError("authentication required")
        return None

    def _checked(self, user: str, password: str) -> str:
        if self.users.get(user) != password:
            raise PermissionError("incorrect username or password")
        return user

    def _grant(self, account: str | None, scope: str) -> dict[str, Any]:
        """Of what a scope asks for, what is allowed. Names may hold colons: type:name:actions."""
        kind, _, rest = scope.partition(":")
        name, _, actions = rest.rpartition(":")
        grants = self.anonymous or {} if account is None else self.grants.get(account, EVERYTHING)
        allowed = {action for pattern, some in grants.items() if fnmatch.fnmatchcase(name, pattern) for action in some}
        given = [action for action in actions.split(",") if action in allowed or "*" in allowed]
        return {"type": kind, "name": name, "actions": given}

    def _document(self, asked: TokenRequest, account: str | None, granted: list[dict[str, Any]]) -> dict[str, Any]:
        token = self.issue(account, granted)
        fields = ("access_token",) if asked.method == "POST" else self.token_fields
        document: dict[str, Any] = dict.fromkeys(fields, token)
        if self.says_expires_in is not None:
            document["expires_in"] = self.says_expires_in
        document["issued_at"] = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        if asked.method == "POST":
            document["scope"] = " ".join(
                f"{entry['type']}:{entry['name']}:{','.join(entry['actions'])}" for entry in granted
            )
        wants_offline = asked.params.get("offline_token") == ["true"] or asked.params.get("access_type") == ["offline"]
        if account is not None and asked.grant_type == "refresh_token":
            document["refresh_token"] = _one(asked, "refresh_token")
        elif account is not None and wants_offline and self.oauth:
            refresh = secrets.token_urlsafe(16)
            self.refresh_tokens[refresh] = account
            document["refresh_token"] = refresh
        return document


def _one(asked: TokenRequest, name: str) -> str:
    return next(iter(asked.params.get(name, [])), "")
