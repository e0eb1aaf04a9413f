"""Credential helpers: the programs `docker-credential-…` and their protocol. Knows no files and no registries."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterable, Mapping

from lading.errors import Denied, discreet
from lading.io.programs import why_not_found
from lading.registry.auth.credentials import TOKEN_USER, Credential
from lading.registry.failures import clean
from lading.registry.masking import Mask

HELPER_TIMEOUT = 120.0
"""Seconds a credential helper may take: it may be asking the user for something."""
_GRACE = 1.0
"""Seconds for what a helper said last, once it has ended: what it started may keep its pipes open for ever."""
_OUTPUT_LIMIT = 1024 * 1024
_COMPLAINT_LIMIT = 300
_NO_CREDENTIALS = "credentials not found in native keychain"


class Helpers:
    """Runs credential helpers, one at a time, and asks none of them the same thing twice.

    Args:
        environ: their environment variables, `PATH` among them.
        on_note: called with what a helper that succeeds says to the user.
    """

    def __init__(self, environ: Mapping[str, str], on_note: Callable[[str], None] | None = None) -> None:
        self._environ = environ
        self._on_note = on_note
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
            process = await _Process.start(program, action, self._environ)
        except FileNotFoundError:
            raise _failed(helper, clean(why_not_found(program, self._environ))) from None
        except OSError as error:
            raise _failed(helper, (error.strerror or "it cannot be run").lower()) from None
        try:
            async with asyncio.timeout(HELPER_TIMEOUT):
                await process.answer(payload.encode())
        except TimeoutError:
            said = _told([process.errors], [payload])
            silence = f"it did not answer within {HELPER_TIMEOUT:g} seconds"
            raise _failed(helper, f"{silence}; it said: {said}" if said else silence) from None
        finally:
            await process.end()
        text = process.output.strip()
        if process.status == 0:
            if self._on_note is not None and (said := _told([process.errors], [payload, text])):
                self._on_note(f"{name(helper)} says: {said}")
            return text
        # The protocol has errors on stdout, where they are told apart by their text; not all helpers keep to it.
        if text == _NO_CREDENTIALS:
            return None
        said = _told([text, process.errors], [payload])
        raise _failed(helper, said or f"it ended with status {process.status}")


class _Process(asyncio.SubprocessProtocol):
    """A helper that runs. What it starts itself may outlive it, and is not waited for."""

    def __init__(self) -> None:
        self._transport: asyncio.SubprocessTransport
        self._said: dict[int, bytearray] = {1: bytearray(), 2: bytearray()}
        self._open = {1, 2}
        self._exited = asyncio.Event()
        self._is_silent = asyncio.Event()

    @classmethod
    async def start(cls, program: str, action: str, environ: Mapping[str, str]) -> _Process:
        """Run a program with an action for its argument."""
        loop = asyncio.get_running_loop()
        process = cls()
        process._transport, _ = await loop.subprocess_exec(lambda: process, program, action, env=environ)
        return process

    async def answer(self, question: bytes) -> None:
        """Ask it, and wait for its end."""
        pipe = self._transport.get_pipe_transport(0)
        assert isinstance(pipe, asyncio.WriteTransport)
        pipe.write(question)
        pipe.write_eof()
        await self._exited.wait()
        try:
            async with asyncio.timeout(_GRACE):
                await self._is_silent.wait()
        except TimeoutError:
            return  # its own end is what counts

    async def end(self) -> None:
        """End it, if it has not ended."""
        self._transport.close()
        try:
            async with asyncio.timeout(_GRACE):
                await self._exited.wait()
        except TimeoutError:
            return

    @property
    def status(self) -> int | None:
        """Its exit status."""
        return self._transport.get_returncode()

    @property
    def output(self) -> str:
        """What it wrote to standard output."""
        return self._said[1].decode("utf-8", "replace")

    @property
    def errors(self) -> str:
        """What it wrote to standard error."""
        return self._said[2].decode("utf-8", "replace")

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Keep what it says, but for what is too much."""
        self._said[fd] += data[: _OUTPUT_LIMIT - len(self._said[fd])]

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """Note that it says no more."""
        self._open.discard(fd)
        if not self._open:
            self._is_silent.set()

    def process_exited(self) -> None:
        """Note that it has ended."""
        self._exited.set()


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


def _told(texts: Iterable[str], secrets: Iterable[str]) -> str:
    """What a helper tells its user, on one line, without what may be a secret.

    Args:
        texts: what it wrote.
        secrets: what it was given and gave: JSON with a secret in it, or any other text.
    """
    mask = Mask()
    for secret in secrets:
        mask.add(_secret_of(secret))
    lines = [line.strip() for text in texts for line in text.splitlines() if line.strip()]
    if "Traceback (most recent call last):" in lines:
        lines = lines[-1:]
    # A single word, or a document, is more likely the secret itself than a reason.
    lines = [line for line in dict.fromkeys(lines) if " " in line and "{" not in line and "secret" not in line.lower()]
    text = discreet(mask.foreign("; ".join(lines)))
    text = re.sub(_NAMED_SECRET, r"\1***", text)
    return clean(re.sub(_SECRET_LIKE, _masked, text), _COMPLAINT_LIMIT)


_NAMED_SECRET = (
    r"(?i)((?:\b(?:pass(?:word|phrase|wd)?|token|key|credentials?)\b\s*(?:is|was|[:=])|\b(?:bearer|basic))\s*['\"]?)"
    r"(?!(?:not|an?|the|no|expired|invalid|wrong|missing|locked)\b)[^\s'\"]+"
)
_SECRET_LIKE = r"\beyJ[\w.=-]{8,}|[\w+=-]{20,}"


def _masked(match: re.Match[str]) -> str:
    """`***` for a word that looks like a token: of letters and digits, and long."""
    word = match[0]
    return "***" if re.search(r"\d", word) and re.search("[A-Za-z]", word) else word


def _secret_of(text: str) -> str:
    """The secret in a document of the protocol; empty where there is none."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    secret = document.get("Secret") if isinstance(document, dict) else None
    return secret if isinstance(secret, str) else ""


def _failed(helper: str, cause: str) -> Denied:
    return Denied(
        f"the credential helper {helper} failed",
        cause=cause,
        remedy="repair it, or take it out of the file that names it (as credsStore, or in credHelpers)",
    )
