"""What hosted registries do in a way of their own, all in one place. Pure: names and words, and no requests.

A hosted registry does everything else as the specification says, or as any registry may. What an answer itself shows is
not here: it is dealt with where the answer is read, whichever registry gave it.
"""

from __future__ import annotations

import re

import msgspec

from lading.registry.hosts.settings import DOCKER_HUB
from lading.registry.urls import split_port

_AMAZON_PRIVATE = (
    r"(?P<account>[0-9]{12})\.dkr(?P<stack>[.-])ecr(?P<fips>-fips)?\.(?P<region>[a-z0-9][a-z0-9_-]*)\."
    r"(?:amazonaws\.(?:com(?:\.cn)?|eu)|on\.(?:aws|amazonwebservices\.com\.cn)"
    r"|sc2s\.sgov\.gov|c2s\.ic\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov)"
)
_AMAZON_PUBLIC = ("public.ecr.aws", "ecr-public.aws.com")


class AmazonRegistry(msgspec.Struct, frozen=True):
    """What the name of a registry of Amazon ECR says."""

    account: str
    """Empty for the public registry."""
    region: str
    fips: bool = False
    dual_stack: bool = False

    @property
    def service(self) -> str:
        """What AWS calls its programming interface."""
        return "ecr-public" if self.is_public else "ecr"

    def repository_name(self, path: str) -> str:
        """What AWS calls a repository: in ECR Public, the path of an image begins with the registry's alias."""
        return path.partition("/")[2] if self.is_public else path

    @property
    def is_public(self) -> bool:
        """Whether it is ECR Public, where anonymous clients may pull."""
        return not self.account


class Hosted(msgspec.Struct, frozen=True, kw_only=True):
    """How a registry differs from the others."""

    name: str = ""
    """What people call it; empty for one that is not known."""
    page: int = 1000
    """How many tags or repositories a page is asked to hold; registries give fewer as they like."""
    counts_pulls: bool = False
    """Whether it limits how often manifests are read, and not how often it is asked what a tag names."""
    no_catalog: str = ""
    """What to do instead, where it does not list its repositories; empty where it may list them."""
    delete_actions: tuple[str, ...] = ("pull", "push", "delete")
    """What a token has to allow for a deletion."""
    deletion: str = "deletion has to be allowed where the registry runs (REGISTRY_STORAGE_DELETE_ENABLED=true)"
    """What to do where it does not delete."""
    amazon: AmazonRegistry | None = None
    """Which of Amazon's registries it is; None for any other. Amazon's make no repository at the first push into it."""

    def how_to_make(self, repository: str) -> str:
        """The command of AWS that makes a repository before the first push; empty where the push makes it."""
        if self.amazon is None:
            return ""
        return (
            f"aws {self.amazon.service} create-repository --region {self.amazon.region} "
            f"--repository-name {self.amazon.repository_name(repository)}"
        )


_DEFAULT = Hosted()
_DOCKER_HUB = Hosted(
    name="Docker Hub",
    counts_pulls=True,
    no_catalog="search them at hub.docker.com",
    deletion="Docker Hub deletes on its web pages only: hub.docker.com",
)
_GHCR = Hosted(
    name="GitHub's registry",
    deletion="GitHub deletes versions of packages on its web pages, or by its REST API "
    "(DELETE /orgs/ORG/packages/container/NAME/versions/ID)",
)
# The answer to one request can hold ten times as many as elsewhere.
_GOOGLE = Hosted(name="Google's registry", page=10_000)
_ACR = Hosted(name="Azure's registry")
# Its token service answers 400 to any scope with another action than pull, push and *.
_QUAY = Hosted(name="Quay", delete_actions=("pull", "push"))


def hosted(registry: str) -> Hosted:
    """How a registry differs from the others, by its name."""
    if registry.lower() in DOCKER_HUB:
        return _DOCKER_HUB
    host = split_port(registry.lower())[0]
    if host == "ghcr.io":
        return _GHCR
    if host == "gcr.io" or host.endswith((".gcr.io", "-docker.pkg.dev")):
        return _GOOGLE
    if host.endswith((".azurecr.io", ".azurecr.cn", ".azurecr.us")):
        return _ACR
    if host == "quay.io":
        return _QUAY
    amazon = amazon_registry(registry)
    if amazon is None:
        return _DEFAULT
    return Hosted(
        name="Amazon ECR Public" if amazon.is_public else "Amazon ECR",
        deletion=f"AWS deletes images: aws {amazon.service} batch-delete-image --region {amazon.region}",
        amazon=amazon,
    )


def amazon_registry(registry: str) -> AmazonRegistry | None:
    """What the name of a registry of Amazon ECR says; None for any other registry."""
    host, port = split_port(registry.lower())
    if port not in (None, 443):
        return None
    if host in _AMAZON_PUBLIC:
        return AmazonRegistry("", "us-east-1")  # AWS answers for it there, and nowhere else
    match = re.fullmatch(_AMAZON_PRIVATE, host) if host[12:16] == ".dkr" else None
    if match is None:
        return None
    return AmazonRegistry(match["account"], match["region"], bool(match["fips"]), match["stack"] == "-")
