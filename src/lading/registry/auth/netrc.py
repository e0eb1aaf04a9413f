"""`~/.netrc` as a source of credentials, by the registry's host. Knows the file, and nothing of HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lading.errors import UsageError, way_on
from lading.registry.auth.credentials import Credential, Login, Offer, depth
from lading.registry.urls import split_port


class Netrc:
    """`$NETRC` or `~/.netrc`, by the registry's host; its `default` entry is for no registry.

    Args:
        path: the file; it need not be there.
    """

    name = "netrc"

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def place(self) -> str:
        """Its path."""
        return str(self._path)

    def absence(self, registry: str) -> str:
        """Why it can have nothing for a registry; empty where it might."""
        return "" if self._path.exists() else "there is no such file"

    def offers(self, registry: str, repository: str | None) -> Sequence[Offer]:
        """What it has for the registry's host with its port, then for the host alone."""
        if not self._path.exists():
            return ()

        async def load() -> Credential | None:
            return self._load(registry)

        return (Offer(registry, 0, self.place, load),)

    async def logins(self) -> Sequence[Login]:
        """Everybody in it; what of that is for registries, it does not say."""
        return [Login(machine, login, self.place) for machine, login, _ in self._machines()]

    def _load(self, registry: str) -> Credential | None:
        machines = self._machines()
        exact = [found for found in machines if depth(found[0], registry, None) == 0]
        for _, login, password in exact or [
            found for found in machines if found[0].lower() == split_port(registry.lower())[0]
        ]:
            return Credential(username=login, password=password, source=self.place)
        return None

    def _machines(self) -> list[tuple[str, str, str]]:
        """Names, users and passwords."""
        import netrc

        if not self._path.exists():
            return []
        try:
            hosts = netrc.netrc(self.place).hosts
        except netrc.NetrcParseError as error:
            raise UsageError(
                f"{self._path} is not a valid netrc file",
                cause=f"line {error.lineno} cannot be read",
                remedy="repair it, or name another one in NETRC",
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is not UTF-8 text"
            remedy = way_on(error) if isinstance(error, OSError) else "repair or remove it"
            raise UsageError(f"{self._path} cannot be read", cause=reason.lower(), remedy=remedy) from None
        return [
            (machine, login or account, password)
            for machine, (login, account, password) in hosts.items()
            if machine != "default" and password
        ]
