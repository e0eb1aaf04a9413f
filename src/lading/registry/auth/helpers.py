"""Credential helpers: the programs `docker-credential-…` and their protocol. Knows no files and no registries."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping

from lading.errors import Denied
from lading.registry.auth.credentials import TOKEN_USER, Credential

HELPER_TIMEOUT = 120.0
"""Seconds a credential helper may take: it may be asking the user for something."""
_NO_CREDENTIALS = "credentials not found in native keychain"


class Helpers:
    """Runs credential helpers, one at a time, and asks none of them the same thing twice.

    Args:
        environ: their environment variables, `PATH` among them.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._known: dict[tuple[str, str], Credential | None] = {}
        self._busy = asyncio.Lock()

    async def get(self, helper: str, key: str) -> Credential | None:
        """The credentials that a helper keeps under a key; None where it knows none.

        Raises:
            Denied: it is missing, or it failed.
        """
        # One at a time: what would be asked for twice is found the second time, and the user is not asked in a crowd.
        async with self._busy:
            if (helper, key) not in self._known:
                self._known[helper, key] = await self._get(helper, key)
            return self._known[helper, key]

    async def store(self, helper: str, key: str, credential: Credential) -> None:
        """Have a helper keep credentials under a key.

        Raises:
            Denied: it is missing, or it failed.
        """
        username = TOKEN_USER if credential.identity_token else credential.username
        secret = credential.identity_token or credential.password
        payload = {"ServerURL": key, "Username": username, "Secret": secret}
        self._known.clear()
        await self._run(helper, "store", json.dumps(payload) + "\n")

    async def erase(self, helper: str, key: str) -> None:
        """Have a helper forget what it keeps under a key.

        Raises:
            Denied: it is missing, or it failed.
        """
        self._known.clear()
        await self._run(helper, "erase", key)

    async def list(self, helper: str) -> dict[str, str]:
        """Every key that a helper knows, with the user name.

        Raises:
            Denied: it is missing, or it failed.
        """
        document = _decoded(helper, await self._run(helper, "list", "unused") or "{}")
        if "Secret" in document:  # it answers every question with credentials
            raise _failed(helper, _NOT_THE_PROTOCOL)
        return {key: user for key, user in document.items() if isinstance(user, str)}

    async def _get(self, helper: str, key: str) -> Credential | None:
        text = await self._run(helper, "get", key)
        if text is None:
            return None
        document = _decoded(helper, text)
        username, secret = document.get("Username"), document.get("Secret")
        if not isinstance(username, str) or not isinstance(secret, str):
            raise _failed(helper, _NOT_THE_PROTOCOL)
        credential = Credential.of(username, secret, source=name(helper))
        return None if credential.is_empty else credential

    async def _run(self, helper: str, action: str, payload: str) -> str | None:
        """Run `docker-credential-HELPER ACTION`; its output, or None where it knows no such credentials."""
        program = f"docker-credential-{helper}"
        if "/" in helper or "\\" in helper:
            raise _failed(helper, "a helper's name has no slash in it")
        try:
            process = await asyncio.create_subprocess_exec(
                program,
                action,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                # What helpers say there is for their programmers, and may hold secrets.
                stderr=asyncio.subprocess.DEVNULL,
                env=self._environ,
            )
        except FileNotFoundError:
            raise _failed(helper, f"there is no program {program} on the PATH") from None
        except OSError as error:
            raise _failed(helper, (error.strerror or "it cannot be run").lower()) from None
        try:
            async with asyncio.timeout(HELPER_TIMEOUT):
                output, _ = await process.communicate(payload.encode())
        except TimeoutError:
            raise _failed(helper, f"it did not answer within {HELPER_TIMEOUT:g} seconds") from None
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
        raise _failed(helper, _complaint(text) or f"it ended with status {process.returncode}")


def name(helper: str) -> str:
    """What a helper is called in messages."""
    return f"the credential helper {helper}"


_NOT_THE_PROTOCOL = "its answer is not what the protocol for helpers asks for"


def _decoded(helper: str, text: str) -> dict[str, object]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise _failed(helper, _NOT_THE_PROTOCOL)
    return document


def _complaint(text: str) -> str:
    """What a failed helper says, unless it could be credentials."""
    line = "".join(c for c in text.partition("\n")[0] if c.isprintable())[:200]
    # A single word is more likely the secret itself than a reason.
    return "" if "{" in text or "secret" in text.lower() or " " not in line else line


def _failed(helper: str, cause: str) -> Denied:
    return Denied(
        f"the credential helper {helper} failed",
        cause=cause,
        remedy="repair it, or take it out of the file that names it (as credsStore, or in credHelpers)",
    )
