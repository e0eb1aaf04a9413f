"""Whether a registry accepts credentials, before they are kept."""

from __future__ import annotations

from lading.registry.auth.credentials import Credential, GivenCredentials
from lading.registry.call import PING
from lading.registry.session import Session


async def verify(session: Session, registry: str, credential: Credential) -> bool:
    """Check credentials with a registry: whether it lets their owner in.

    Args:
        session: its configuration is used, and its credentials are not.
        registry: the registry's name.
        credential: what is to be checked.

    Returns:
        Whether they were looked at: a registry that asks for nothing accepts any.

    Raises:
        Denied: the registry, or its token service, refuses them.
        Unsupported: it is no registry.
    """
    async with session.with_credentials(GivenCredentials(credential), alone=True) as other:
        what = f"a login as {credential.username}" if credential.username else "a login"
        async with other.request("GET", registry, PING, what=what):
            return other.authenticator(registry).challenge is not None
