"""Credentials: where they are found, and how they are kept. Knows Docker's files and helpers, and nothing of HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

from lading.errors import Denied, UsageError
from lading.registry import docker_config

HELPER_TIMEOUT = 120.0
"""Seconds a credential helper may take: it may be asking the user for something."""

_TOKEN_USER = "<token>"  # whose secret is an identity token
_NO_CREDENTIALS = "credentials not found in native keychain"


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """What proves to a registry who asks. Its `repr` shows no secret."""

    username: str
    password: str
    identity_token: str = ""
    """A refresh token (OAuth2), taken instead of a password by token services only."""
    registry_token: str = ""
    """A Bearer token for the registry itself, used as it is."""
    source: str = ""
    """Where it was found, for messages, such as `/home/ada/.docker/config.json`."""

    def __repr__(self) -> str:
        """User and source only."""
        return f"<Credential of {self.username!r} from {self.source!r}>"

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing in it that could be shown to a registry."""
        return not (self.password or self.identity_token or self.registry_token)


class Credentials(Protocol):
    """Somewhere that credentials come from."""

    async def find(self, registry: str, repository: str | None = None) -> Credential | None:
        """The credentials for a registry, or for one repository in it; None where there are none.

        Raises:
            LadingError: they could not be looked up.
        """


def configured_credentials(setting: str | None, others: Credentials | None) -> Credentials | None:
    """Whose credentials a host gets by lading's configuration.

    Args:
        setting: `none`, a file of the form of Docker's `config.json`, or None where nothing is said.
        others: those that count where nothing is said.

    Raises:
        UsageError: there is no such file.
    """
    if setting is None:
        return others
    if setting == "none":
        return None
    path = Path(setting)
    if not path.is_file():
        raise UsageError(f"there is no file {path}", cause="lading's configuration says that credentials are there")
    return DockerCredentials.of_file(path)


class GivenCredentials:
    """One credential for every registry that is asked for.

    Args:
        credential: the credential.
    """

    def __init__(self, credential: Credential) -> None:
        self._credential = credential

    async def find(self, registry: str, repository: str | None = None) -> Credential | None:
        """The credential, whatever is asked for."""
        return self._credential


class DockerCredentials:
    """Credentials as Docker keeps them.

    They are looked for in `$DOCKER_AUTH_CONFIG`; then in `config.json`: its helper for the registry (`credHelpers`),
    its helper for all (`credsStore`), its `auths`. A helper runs once per registry.

    Args:
        config_dir: the folder of `config.json`; by default `$DOCKER_CONFIG`, else `~/.docker`.
        environ: the environment variables; by default those of the process.
    """

    def __init__(self, config_dir: Path | None = None, environ: Mapping[str, str] | None = None) -> None:
        self._environ = os.environ if environ is None else environ
        self._path = (config_dir or docker_config.default_directory(self._environ)) / "config.json"
        self._document: dict[str, Any] | None = None
        self._helped: dict[tuple[str, str], Credential | None] = {}
        self._helping = asyncio.Lock()

    @classmethod
    def of_file(cls, path: Path) -> DockerCredentials:
        """Those of a file of the same form, and nothing else."""
        environ = {name: value for name, value in os.environ.items() if name != "DOCKER_AUTH_CONFIG"}
        found = cls(path.parent, environ)
        found._path = path
        return found

    @property
    def path(self) -> Path:
        """The `config.json` in use, whether it is there or not."""
        return self._path

    @property
    def http_headers(self) -> dict[str, str]:
        """The `HttpHeaders` that every request to a registry is to have, without `User-Agent`.

        Raises:
            UsageError: `config.json` is corrupt.
        """
        headers: dict[str, str] = self._read().get("HttpHeaders") or {}
        return {name: value for name, value in headers.items() if name.lower() != "user-agent"}

    async def find(self, registry: str, repository: str | None = None) -> Credential | None:
        """The credentials for a registry; None where there are none, or no file at all.

        Raises:
            UsageError: `config.json` or `$DOCKER_AUTH_CONFIG` is corrupt.
            Denied: a helper is missing or failed.
        """
        variable = self._environ.get("DOCKER_AUTH_CONFIG")
        if variable:
            document = docker_config.decode(variable, "$DOCKER_AUTH_CONFIG")
            credential = _from_entry(document, registry, repository, "$DOCKER_AUTH_CONFIG")
            if credential is not None:
                return credential
        document = self._read()
        helper = _helper(document, registry)
        if helper:
            credential = await self._ask(helper, docker_config.server_key(registry))
            if credential is not None:
                return credential
        return _from_entry(document, registry, repository, str(self._path))

    async def store(self, registry: str, credential: Credential) -> str:
        """Keep credentials as `docker login` does: with the registry's helper, else in `config.json`.

        Returns:
            Where they are kept, in words.

        Raises:
            UsageError: `config.json` is corrupt or cannot be written; nothing was changed.
            Denied: the helper is missing or failed; nothing was changed.
        """
        document = docker_config.read(self._path)
        key = docker_config.server_key(registry)
        helper = _helper(document, registry)
        entry: docker_config.Entry = {}
        if helper:
            username = _TOKEN_USER if credential.identity_token else credential.username
            secret = credential.identity_token or credential.password
            payload = {"ServerURL": key, "Username": username, "Secret": secret}
            await _run_helper(helper, "store", json.dumps(payload) + "\n", self._environ)
        elif credential.identity_token:
            if credential.username:
                entry["auth"] = docker_config.encode_auth(credential.username, "")
            entry["identitytoken"] = credential.identity_token
        else:
            entry["auth"] = docker_config.encode_auth(credential.username, credential.password)
        auths = document.get("auths")
        if auths is None:
            auths = document["auths"] = {}
        auths[key] = entry  # empty with a helper, as Docker leaves it
        self._write(document)
        return f"the credential helper {helper}" if helper else str(self._path)

    async def erase(self, registry: str) -> bool:
        """Forget the credentials of a registry as `docker logout` does; False where there were none.

        Raises:
            UsageError: `config.json` is corrupt or cannot be written.
            Denied: the helper is missing or failed.
        """
        document = docker_config.read(self._path)
        key = docker_config.server_key(registry)
        helper = _helper(document, registry)
        known = False
        if helper and await self._ask(helper, key) is not None:
            await _run_helper(helper, "erase", key, self._environ)
            known = True
        if docker_config.remove_entries(document, registry):
            known = True
            self._write(document)
        self._helped.clear()
        return known

    def _read(self) -> dict[str, Any]:
        if self._document is None:
            self._document = docker_config.read(self._path)
        return self._document

    def _write(self, document: dict[str, Any]) -> None:
        docker_config.write(self._path, document)
        self._document = None
        self._helped.clear()

    async def _ask(self, helper: str, key: str) -> Credential | None:
        # One at a time: what would be asked for twice is found the second time, and the user is not asked in a crowd.
        async with self._helping:
            if (helper, key) not in self._helped:
                self._helped[helper, key] = await _from_helper(helper, key, self._environ)
            return self._helped[helper, key]


def _helper(document: Mapping[str, Any], registry: str) -> str:
    """The helper for a registry; empty where there is none."""
    helpers: dict[str, str] = document.get("credHelpers") or {}
    key = docker_config.server_key(registry)
    return helpers.get(key) or helpers.get(registry) or document.get("credsStore") or ""


def _from_entry(document: Mapping[str, Any], registry: str, repository: str | None, source: str) -> Credential | None:
    entry = docker_config.find_entry(document, registry, repository)
    if entry is None:
        return None
    where = f"what {source} says of {registry}"
    texts = {}
    for name in ("auth", "username", "password", "identitytoken", "registrytoken"):
        value = entry.get(name) or ""
        if not isinstance(value, str):
            raise UsageError(f"{where} is not valid", cause=f"{name!r} is not a text")
        texts[name] = value
    username, password = texts["username"], texts["password"]
    if texts["auth"]:
        username, password = docker_config.decode_auth(texts["auth"], where)
    credential = Credential(
        username=username,
        password=password,
        identity_token=texts["identitytoken"],
        registry_token=texts["registrytoken"],
        source=source,
    )
    return None if credential.is_empty else credential


async def _from_helper(helper: str, key: str, environ: Mapping[str, str]) -> Credential | None:
    text = await _run_helper(helper, "get", key, environ)
    if text is None:
        return None
    try:
        document = json.loads(text)
        username, secret = document["Username"], document["Secret"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise _helper_failed(helper, "its answer is not what the protocol for helpers asks for") from None
    if not isinstance(username, str) or not isinstance(secret, str):
        raise _helper_failed(helper, "its answer is not what the protocol for helpers asks for")
    source = f"the credential helper {helper}"
    if username == _TOKEN_USER:
        credential = Credential(username="", password="", identity_token=secret, source=source)
    else:
        credential = Credential(username=username, password=secret, source=source)
    return None if credential.is_empty else credential


async def _run_helper(helper: str, action: str, payload: str, environ: Mapping[str, str]) -> str | None:
    """Run `docker-credential-HELPER ACTION`; its output, or None where it knows no such credentials."""
    program = f"docker-credential-{helper}"
    if "/" in helper or "\\" in helper:
        raise _helper_failed(helper, "a helper's name has no slash in it")
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            action,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # What helpers say there is for their programmers, and may hold secrets.
            stderr=asyncio.subprocess.DEVNULL,
            env=environ,
        )
    except FileNotFoundError:
        raise _helper_failed(helper, f"there is no program {program} on the PATH") from None
    except OSError as error:
        raise _helper_failed(helper, (error.strerror or "it cannot be run").lower()) from None
    try:
        async with asyncio.timeout(HELPER_TIMEOUT):
            output, _ = await process.communicate(payload.encode())
    except TimeoutError:
        raise _helper_failed(helper, f"it did not answer within {HELPER_TIMEOUT:g} seconds") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    text = output.decode("utf-8", "replace").strip()
    if process.returncode == 0:
        return text
    # Errors come on stdout, and are told apart by their text.
    if text == _NO_CREDENTIALS:
        return None
    raise _helper_failed(helper, _complaint(text) or f"it ended with status {process.returncode}")


def _complaint(text: str) -> str:
    """What a failed helper says, unless it could be credentials."""
    line = "".join(c for c in text.partition("\n")[0] if c.isprintable())[:200]
    # A single word is more likely the secret itself than a reason.
    return "" if "{" in text or "secret" in text.lower() or " " not in line else line


def _helper_failed(helper: str, cause: str) -> Denied:
    return Denied(
        f"the credential helper {helper} failed",
        cause=cause,
        remedy="it is named in Docker's config.json, as credsStore or in credHelpers",
    )
