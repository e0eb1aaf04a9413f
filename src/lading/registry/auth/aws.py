"""Amazon ECR: logins by AWS's own credential chain, and repositories that have to be made before the first push.

Knows AWS's names and its programming interface. `botocore` (the extra `aws`) is imported when AWS is asked, and at no
other time.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lading.errors import Denied, LadingError
from lading.folders import home
from lading.registry import failures
from lading.registry.auth.credentials import Credential, Login, Offer, Proof
from lading.registry.auth.scopes import Token, TokenCache
from lading.registry.quirks import AmazonRegistry, amazon_registry

MARGIN = 15 * 60.0
"""How long before its end a login is no longer used, in seconds: it lasts for twelve hours."""
USER = "AWS"
"""The user name of every login."""

# The identity that these give is decided neither by a variable nor by a file: AWS is asked for it every time.
_DECIDED_ELSEWHERE = ("iam-role", "custom-process")


class AwsCredentials:
    """AWS as a source of logins for its registries: profiles, SSO, roles of machines, containers and web identities.

    Args:
        cache: gives the cache of a registry, where logins outlive the run until shortly before they end; None for none.
        environ: the environment variables of the process.
    """

    name = "AWS"
    place = "AWS's own credentials"

    def __init__(
        self, cache: Callable[[str], TokenCache] | None = None, environ: Mapping[str, str] | None = None
    ) -> None:
        self._cache = cache
        self._environ = os.environ if environ is None else environ
        self._logins: dict[str, Credential] = {}
        self._renewed: set[str] = set()

    def absence(self, registry: str) -> str:
        """Why it can have nothing for a registry; empty where it might."""
        return "" if amazon_registry(registry) is not None else "for registries of Amazon ECR only"

    async def logins(self) -> Sequence[Login]:
        """None: AWS keeps no logins, and makes one for each that asks."""
        return ()

    def offers(self, registry: str, repository: str | None) -> Sequence[Offer]:
        """A login, for a registry of ECR; nothing for any other."""
        found = amazon_registry(registry)
        if found is None:
            return ()

        async def load() -> Credential | None:
            return await self._login(registry, found)

        async def renew() -> Credential | None:
            return await self._login(registry, found, anew=True)

        return (Offer(registry, 0, self.place, load, renew),)

    async def _login(self, registry: str, ecr: AmazonRegistry, *, anew: bool = False) -> Credential | None:
        known = self._logins.get(registry)
        if anew and registry in self._renewed:
            return known
        if anew or known is None or known.expires <= time.time():
            if anew:
                self._renewed.add(registry)
            cache = self._cache(registry) if self._cache is not None else None
            token = await _token(registry, ecr, cache, self._environ, anew=anew)
            if token is None:
                return None
            known = self._logins[registry] = Credential(
                username=USER, password=token.value, source=self.place, expires=token.expires
            )
        return known


async def create_repository(registry: str, repository: str) -> bool:
    """Make a repository; False where it is there already, or the registry is not ECR's and makes it by itself.

    Raises:
        Denied: AWS does not allow it, or has no credentials here.
    """
    ecr = amazon_registry(registry)
    if ecr is None:
        return False

    def create() -> bool:
        with _explained(registry, f"the repository {registry}/{repository} could not be made"):
            client = _client(_session(ecr), ecr)
            try:
                account = {} if ecr.is_public else {"registryId": ecr.account}
                client.create_repository(repositoryName=ecr.repository_name(repository), **account)
            except client.exceptions.RepositoryAlreadyExistsException:
                return False
            return True

    return await asyncio.to_thread(create)


async def _token(
    registry: str, ecr: AmazonRegistry, cache: TokenCache | None, environ: Mapping[str, str], *, anew: bool
) -> Token | None:
    """A login that lasts for a while yet; None for anonymous access to ECR Public."""
    proof: Proof = ("aws", await asyncio.to_thread(_fingerprint, environ))
    if cache is not None and not anew and (known := cache.tokens(proof, USER)):
        return known[-1]
    try:
        session, access_key = await asyncio.to_thread(_identity, registry, ecr)
    except LadingError:
        if ecr.is_public:
            return None
        raise
    if access_key:
        proof = (*proof, access_key)
        if cache is not None and not anew and (known := cache.tokens(proof, USER)):
            return known[-1]
    token = await asyncio.to_thread(_ask, session, registry, ecr)
    if cache is not None:
        cache.keep(proof, token)
    return token


def _identity(registry: str, ecr: AmazonRegistry) -> tuple[Any, str]:
    """A session of AWS; and its access key, where the identity may change without a variable or a file changing."""
    with _explained(registry):
        session = _session(ecr)
        credentials = session.get_credentials()
        if credentials is None:
            raise _failed(
                registry,
                "AWS has no credentials here: no profile, no variables, no role",
                f"aws configure, or aws sso login; or log in as AWS, with what this prints: {_by_hand(ecr)}",
                code="aws-credentials-missing",
                command=_by_hand(ecr),
            )
        elsewhere = credentials.method in _DECIDED_ELSEWHERE
        return session, (credentials.get_frozen_credentials().access_key if elsewhere else "")


def _ask(session: Any, registry: str, ecr: AmazonRegistry) -> Token:
    import base64
    import binascii

    with _explained(registry):
        client = _client(session, ecr)
        if ecr.is_public:
            data = client.get_authorization_token()["authorizationData"]
        else:
            (data,) = client.get_authorization_token(registryIds=[ecr.account])["authorizationData"]
        try:
            password = base64.b64decode(data["authorizationToken"], validate=True).decode("ascii").partition(":")[2]
        except (binascii.Error, ValueError):
            raise _failed(registry, "its answer holds no login") from None
        expires = data["expiresAt"].timestamp() - MARGIN
    return Token(password, (), expires, "aws", registry, USER)


def _session(ecr: AmazonRegistry) -> Any:
    import botocore.session

    session = botocore.session.Session()
    if ecr.is_public and not _is_on_ec2():
        # Everybody may pull: a machine that has no role is not to wait for the role's service, which is not there.
        session.get_component("credential_provider").remove("iam-role")
    return session


def _client(session: Any, ecr: AmazonRegistry) -> Any:
    from botocore.config import Config

    config = Config(
        use_fips_endpoint=ecr.fips or None,
        use_dualstack_endpoint=ecr.dual_stack or None,
        connect_timeout=10,
        read_timeout=20,
        retries={"mode": "standard", "total_max_attempts": 3},
    )
    return session.create_client(ecr.service, region_name=ecr.region, config=config)


class _explained:  # noqa: N801  # used as a function is
    """Turns what can go wrong with AWS into errors that say what to do."""

    def __init__(self, registry: str, what: str | None = None) -> None:
        self._registry = registry
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, LadingError) or not isinstance(error, Exception):
            return
        explained = self._explain(error)
        if explained is not None:
            raise explained from None

    def _explain(self, error: Exception) -> Denied | None:
        ecr = amazon_registry(self._registry)
        assert ecr is not None
        if isinstance(error, ImportError) and (error.name or "").partition(".")[0] == "botocore":
            return _failed(
                self._registry,
                "the extra 'aws' of lading is not installed",
                f"pip install 'lading[aws]'; or log in as AWS, with what this prints: {_by_hand(ecr)}",
                what=self._what,
                code="aws-extra-missing",
                command=_by_hand(ecr),
            )
        from botocore import exceptions

        if isinstance(error, exceptions.ClientError):
            said = error.response.get("Error", {})
            # Of what follows the first line, some answers make a copy of the request, with its secrets.
            words = str(said.get("Message", "")).partition("\n")[0]
            cause = failures.clean(f"{said.get('Code', 'an error')}: {words}".rstrip(": "))
            expired = "Expired" in str(said.get("Code", ""))
            return _failed(self._registry, cause, _LOGIN if expired else None, what=self._what)
        if isinstance(error, exceptions.CredentialRetrievalError):
            # It repeats what a program of the user's has printed.
            return _failed(
                self._registry, "AWS's credentials could not be had from where they are kept", what=self._what
            )
        if isinstance(error, exceptions.SSOError | exceptions.TokenRetrievalError):
            return _failed(self._registry, "the SSO login has ended, or there was none", _LOGIN, what=self._what)
        if isinstance(error, exceptions.BotoCoreError):
            cause = failures.clean(str(error).partition("\n")[0])
            return _failed(self._registry, cause[:1].lower() + cause[1:], what=self._what)
        return None


_LOGIN = "log in to AWS again: aws sso login, or renew the variables or the profile in use"


def _failed(
    registry: str,
    cause: str,
    remedy: str | None = None,
    *,
    what: str | None = None,
    code: str | None = None,
    command: str | None = None,
) -> Denied:
    message = what or f"AWS gave no login for {registry}"
    return Denied(message, cause=cause, remedy=remedy, code=code, fields={"registry": registry, "command": command})


def _by_hand(ecr: AmazonRegistry) -> str:
    """The command of AWS that prints the password."""
    return f"aws {ecr.service} get-login-password --region {ecr.region}"


def _fingerprint(environ: Mapping[str, str]) -> str:
    """A digest of what decides the identity that AWS gives: variables, profiles, SSO logins."""
    state = hashlib.sha256()
    for name in sorted(environ):
        if name.startswith("AWS_") or name == "HOME":
            state.update(f"{name}={environ[name]}\0".encode("utf-8", "surrogateescape"))
    folder = home(environ) / ".aws"
    files = [
        Path(environ.get("AWS_CONFIG_FILE") or folder / "config").expanduser(),
        Path(environ.get("AWS_SHARED_CREDENTIALS_FILE") or folder / "credentials").expanduser(),
        *sorted(folder.glob("sso/cache/*.json")),
        *sorted(folder.glob("login/cache/*.json")),
    ]
    for file in files:
        content = _content(file)
        state.update(f"{file}={len(content)}\0".encode("utf-8", "surrogateescape") + content)
    return state.hexdigest()


def _is_on_ec2() -> bool:
    """Whether this is a machine of Amazon's, as its firmware says."""
    vendor, hypervisor = Path("/sys/class/dmi/id/sys_vendor"), Path("/sys/hypervisor/uuid")
    return b"amazon" in _content(vendor).lower() or _content(hypervisor).lower().startswith(b"ec2")


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
