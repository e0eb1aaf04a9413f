"""Users for registries that ask who comes, and how a plain client shows who it is."""

import base64
import urllib.parse
from collections.abc import Mapping
from pathlib import Path

import bcrypt

from serve.caller import Answer, Caller

USERS = {"alice": "secret", "bob": "hunter2"}


def htpasswd(path: Path, users: Mapping[str, str] = USERS) -> Path:
    """A file with users, whose hashes are as cheap as bcrypt's can be."""
    lines = [f"{user}:{hashed(password)}\n" for user, password in users.items()]
    path.write_text("# made by a test\n\n" + "".join(lines))
    return path


def hashed(password: str, cost: int = 4) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()


def basic(user: str, password: str | None = None) -> str:
    """An `Authorization`."""
    pair = f"{user}:{USERS[user] if password is None else password}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def ask(call: Caller, *scopes: str, user: str | None = None, password: str | None = None, **query: str) -> Answer:
    """What the token service answers to a GET request."""
    asked = urllib.parse.urlencode([("service", "lading"), *(("scope", scope) for scope in scopes), *query.items()])
    headers = {} if user is None else {"authorization": basic(user, password)}
    return call("GET", f"/v2/token?{asked}", **headers)


def bearer(call: Caller, *scopes: str, user: str | None = None) -> str:
    """An `Authorization` with a token of the registry."""
    answer = ask(call, *scopes, user=user)
    assert answer.status == 200, answer
    return "Bearer " + str(answer.document["token"])
