"""The credentials that are tried at one registry: the best first, and the next best where it refuses them.

This module asks the places where credentials are kept, and remembers which were refused. It sends nothing.
"""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple

from lading.errors import Denied
from lading.registry import failures
from lading.registry.auth.credentials import Credential, Credentials


class RefusedCredential(NamedTuple):
    """Credentials that a registry did not take."""

    credential: Credential
    repository: str | None
    """Where; None for everywhere."""
    refusal: failures.Refusal
    """What was answered."""

    @property
    def words(self) -> str:
        """The registry's own."""
        return str(failures.said(self.refusal.body))


class Attempts:
    """Finds the credentials for one registry, the best that it has not refused.

    Args:
        registry: its name.
        credentials: where to find them; None for nowhere.
        asking: held while a place is asked, so that helpers ask the user one after the other.
        alone: whether only the best credentials are tried: neither others, nor anonymous access.
    """

    def __init__(
        self, registry: str, credentials: Credentials | None, asking: asyncio.Lock, *, alone: bool = False
    ) -> None:
        self._registry = registry
        self.credentials = credentials
        self._asking = asking
        self._alone = alone
        self._found: dict[str | None, Credential | None] = {}
        self._untold: list[str] = []
        self.refused: list[RefusedCredential] = []
        """What the registry did not take, in the order of trying."""
        self.trouble: Denied | None = None
        """Why a helper, or AWS, could not be asked for credentials; None where all that were asked answered."""

    async def credential(self, repository: str | None) -> Credential | None:
        """The best credentials that were not refused; None for none.

        Args:
            repository: what they are for; None for the registry as a whole.

        Raises:
            UsageError: a file that may have some is corrupt.
        """
        if not self._is_known(repository):
            async with self._asking:
                if not self._is_known(repository):
                    self._found[repository] = await self._find(repository)
        return self._found[repository]

    def refuse(self, credential: Credential, repository: str | None, refusal: failures.Refusal) -> bool:
        """Note that credentials were refused.

        Args:
            credential: the credentials.
            repository: where they were refused; None for everywhere.
            refusal: what was answered.

        Returns:
            Whether to go on, with the next best credentials or without any.
        """
        if self._alone:
            return False
        if (credential, repository) not in [one[:2] for one in self.refused]:
            refused = RefusedCredential(credential, repository, refusal)
            self.refused.append(refused)
            words = f" ({refused.words})" if refused.words else ""
            self._untold.append(f"{self._registry} refused {whose(credential)}{words}")
            self._found.clear()
        return True

    async def told(self, repository: str | None) -> list[str]:
        """Sentences about the credentials that were refused or failed, and what was shown instead; each is given once.

        Args:
            repository: what was asked for with success; None for the registry as a whole.
        """
        if not self._untold:
            return []
        untold, self._untold = self._untold, []
        now = await self.credential(repository)
        instead = f"with those from {now.source}" if now is not None and now.source else "without credentials"
        return [f"{sentence}; going on {instead}" for sentence in untold]

    async def why_denied(self, repository: str | None, *, shown: bool, refused: bool) -> failures.Reason:
        """Why the registry did not allow something, as far as credentials tell.

        Args:
            repository: what it was about; None for the registry as a whole.
            shown: whether credentials, or a token that was given for them, were shown last.
            refused: whether these were refused, rather than what was asked for with them.
        """
        again = f"log in to {self._registry} again, or give other credentials"
        credential = await self.credential(repository)
        if credential is not None and not shown and not refused:
            why = f"{whose(credential)} were not shown: {self._registry} names no way to log in"
            return failures.Reason(why, f"check that {self._registry} is the right address", "credentials-not-shown")
        if credential is not None and not refused:
            another = f"log in to {self._registry} as somebody who may"
            return failures.Reason(f"{whose(credential)} do not allow it", another, "credentials-insufficient")
        if credential is not None:
            return failures.Reason(f"{whose(credential)} were refused", again, "credentials-refused")
        for one in self.refused:
            if one.repository in (None, repository):
                return failures.Reason(
                    f"{whose(one.credential)} were refused", again, "credentials-refused", one.refusal
                )
        if self.trouble is not None:
            code = self.trouble.code if self.trouble.code != Denied.code else "credentials-failed"
            fields = self.trouble.fields | {"remedy": self.trouble.remedy}
            return failures.Reason(str(self.trouble), self.trouble.remedy or again, code, fields=fields)
        why = f"no credentials were found for {self._registry}, and anonymous access was refused"
        return failures.Reason(why, f"log in to {self._registry}, or give credentials", "no-credentials")

    def _is_known(self, repository: str | None) -> bool:
        if self.credentials is None:
            return self._found.setdefault(repository, None) is None
        found = self._found.get(repository)
        return repository in self._found and (found is None or not 0 < found.expires <= time.time())

    async def _find(self, repository: str | None) -> Credential | None:
        assert self.credentials is not None
        refused = [one.credential for one in self.refused if one.repository in (None, repository)]
        try:
            return await self.credentials.find(self._registry, repository, refused=refused)
        except Denied as error:
            # What is public can be had all the same; if it is not, this is why.
            if self.trouble is None:
                self.trouble = error
                self._untold.append(f"{error.message}: {error.cause}" if error.cause else error.message)
            return None


def whose(credential: Credential) -> str:
    """Credentials in a sentence."""
    return f"the credentials from {credential.source}" if credential.source else "the credentials"
