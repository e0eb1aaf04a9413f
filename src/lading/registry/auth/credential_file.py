"""A file that keeps credentials, or says which helper does: Docker's `config.json`, podman's `auth.json`.

Knows neither where such files are (`lookup` does) nor HTTP.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lading.errors import UsageError
from lading.registry.auth import docker_config, helpers
from lading.registry.auth.credentials import Credential, Login, Offer, server_key, split_key
from lading.registry.auth.helpers import Helpers


class CredentialFile:
    """Credentials as Docker and podman keep them.

    For a repository count, the deepest key first: the helper for the key (`credHelpers`), the helper for all
    (`credsStore`), what the file itself says (`auths`). The helper for all is asked for registries, and for what
    `auths` says that it keeps: an entry with nothing in it.

    Args:
        path: the file; it need not be there.
        name: what it is, for messages, such as `Docker's config.json`.
        environ: the environment variables of the helpers; by default those of the process.
        runner: runs the helpers; by default one of its own.
        required: whether it is an error when it is not there.
    """

    def __init__(
        self,
        path: Path,
        name: str = "Docker's config.json",
        *,
        environ: Mapping[str, str] | None = None,
        runner: Helpers | None = None,
        required: bool = False,
    ) -> None:
        self.path = path
        self.name = name
        self._helpers = runner or Helpers(os.environ if environ is None else environ)
        self._required = required
        self._document: dict[str, Any] | None = None

    @property
    def place(self) -> str:
        """Its path."""
        return str(self.path)

    def absence(self, registry: str) -> str:
        """Why it can have nothing for a registry; empty where it might."""
        return "" if self._required or self.path.exists() else "there is no such file"

    def offers(self, registry: str, repository: str | None) -> Sequence[Offer]:
        """What it may have for a repository, the best first.

        Raises:
            UsageError: the file is corrupt.
        """
        return offers_of(self._read(), self.place, self._helpers, registry, repository)

    async def logins(self) -> Sequence[Login]:
        """Everything that it keeps, by its keys.

        Raises:
            UsageError: the file is corrupt.
            Denied: a helper is missing or failed.
        """
        return await logins_of(self._read(), self.place, self._helpers)

    def check_writable(self) -> None:
        """See that credentials can be kept here, before anybody is asked about them.

        Raises:
            UsageError: the file is corrupt or cannot be written.
        """
        docker_config.read(self.path)
        docker_config.check_writable(self.path)

    async def store(self, key: str, credential: Credential) -> str:
        """Keep credentials as `docker login` does: with the registry's helper, else in the file.

        Args:
            key: the registry, or a namespace or repository in it.
            credential: what is to be kept.

        Returns:
            Where they are kept, in words.

        Raises:
            UsageError: the file is corrupt; nothing was changed.
            LadingError: it cannot be written; nothing was changed.
            Denied: the helper is missing or failed; nothing was changed.
        """
        document = docker_config.read(self.path)
        key = server_key(key)
        helper = _helper(document, key)
        entry: docker_config.AuthEntry = {}
        if helper:
            await self._helpers.store(helper, key, credential)
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
        return helpers.name(helper) if helper else self.place

    async def erase(self, key: str) -> bool:
        """Forget the credentials under a key as `docker logout` does; False where there were none.

        Raises:
            UsageError: the file is corrupt.
            LadingError: it cannot be written.
            Denied: the helper is missing or failed.
        """
        document = docker_config.read(self.path)
        key = server_key(key)
        helper = _helper(document, key)
        known = False
        if helper and await self._helpers.get(helper, key) is not None:
            await self._helpers.erase(helper, key)
            known = True
        if docker_config.remove_entries(document, key):
            known = True
            self._write(document)
        return known

    def _read(self) -> dict[str, Any]:
        if self._document is None:
            if self._required and not self.path.exists():
                raise UsageError(
                    f"{self.path} cannot be read", cause="there is no such file", remedy="name a file that is there"
                )
            self._document = docker_config.read(self.path)
        return self._document

    def _write(self, document: dict[str, Any]) -> None:
        docker_config.write(self.path, document)
        self._document = None


def offers_of(
    document: Mapping[str, Any], place: str, runner: Helpers, registry: str, repository: str | None
) -> list[Offer]:
    """What a configuration in Docker's form may have for a repository, the best first."""
    by_depth: dict[int, list[Offer]] = {}

    def add(depth: int, key: str, helper: str) -> None:
        if not helper:

            async def load() -> Credential | None:
                return _from_entry(document, key, place)

        else:

            async def load() -> Credential | None:
                return await runner.get(helper, key)

        by_depth.setdefault(depth, []).append(Offer(key, depth, helpers.name(helper) if helper else place, load))

    own: dict[str, str] = document.get("credHelpers") or {}
    in_file = set()
    for depth, key in docker_config.matching(own, registry, repository):
        if own[key]:
            add(depth, server_key(registry) if depth == 0 else key, own[key])
        else:  # what Docker writes for no helper at all
            in_file.add(depth)
    entries = docker_config.matching(document.get("auths"), registry, repository)
    if store := document.get("credsStore"):
        for depth, key in entries:
            if depth and depth not in in_file and not document["auths"][key]:
                add(depth, key, store)
        if 0 not in by_depth and 0 not in in_file:
            add(0, server_key(registry), store)
    for depth, key in entries:
        if document["auths"][key]:
            add(depth, key, "")
    return [offer for depth in sorted(by_depth, reverse=True) for offer in by_depth[depth]]


async def logins_of(document: Mapping[str, Any], place: str, runner: Helpers) -> list[Login]:
    """Everything that a configuration in Docker's form keeps, by its keys."""
    found: dict[str, Login] = {}
    own: dict[str, str] = document.get("credHelpers") or {}
    for key in document.get("auths") or {}:
        credential = _from_entry(document, key, place)
        if credential is not None:
            found[key] = Login(key, credential.username, place)
    if store := document.get("credsStore"):
        for key, username in (await runner.list(store)).items():
            if own.get(key) != "":
                found[key] = Login(key, username, helpers.name(store))
    for key, helper in own.items():
        if not helper:
            continue
        found.pop(key, None)
        if (credential := await runner.get(helper, key)) is not None:
            found[key] = Login(key, credential.username, helpers.name(helper))
    return sorted(found.values())


def _helper(document: Mapping[str, Any], key: str) -> str:
    """The helper that keeps what is under a key; empty where there is none."""
    own: dict[str, str] = document.get("credHelpers") or {}
    host, parts = split_key(key)
    matches = docker_config.matching(own, host, "/".join(parts) or None)
    return own[matches[0][1]] if matches else document.get("credsStore") or ""


def _from_entry(document: Mapping[str, Any], key: str, place: str) -> Credential | None:
    entry = document["auths"][key] or {}
    where = f"what {place} says of {key}"
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
        source=place,
    )
    return None if credential.is_empty else credential
