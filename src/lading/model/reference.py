"""References: names of images in registries, normalised as Docker does.

The grammar is distribution/reference's; the words are the specification's (distribution-spec §Definitions).
"""

from __future__ import annotations

import re
from typing import Self

import msgspec

from lading.errors import InvalidDigest, InvalidReference
from lading.model.digest import Digest

DEFAULT_REGISTRY = "docker.io"
DEFAULT_TAG = "latest"

_HOST = (
    r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
    r"(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*(?::[0-9]+)?"
    r"|\[[a-fA-F0-9:]+\](?::[0-9]+)?"
)
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = rf"{_COMPONENT}(?:/{_COMPONENT})*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST_SHAPE = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_BARE_HEX = r"[a-f0-9]{64}"
_PATH_LIMIT = 255
_NAME = r"[A-Za-z0-9]+(?:(?:[-._:@+/]|--)[A-Za-z0-9]+)*"


def is_tag(text: str) -> bool:
    """Whether a text can be a tag: `[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}`."""
    return re.fullmatch(_TAG, text) is not None


def check_tag(text: str) -> None:
    """Refuse what cannot be a tag.

    Raises:
        InvalidReference: the text cannot be a tag.
    """
    if not is_tag(text):
        raise InvalidReference(
            f"{text!r} is not a tag",
            cause="a tag has 1 to 128 letters, digits, '_', '.' and '-', and starts with no '.' or '-'",
        )


def is_name(text: str) -> bool:
    """Whether a text can name something in an image layout: a tag, or such as `app:1.0` (image-spec annotations)."""
    return is_tag(text) or re.fullmatch(_NAME, text) is not None


def check_name(text: str) -> None:
    """Refuse what cannot name something in an image layout.

    Raises:
        InvalidReference: the text cannot be such a name.
    """
    if not is_name(text):
        raise InvalidReference(
            f"{text!r} is not a name", cause="a name is a tag, or such as app:1.0 or ghcr.io/acme/web:1.4"
        )


class Reference(msgspec.Struct, frozen=True, order=True):
    """A name in a registry: registry, repository, and a tag, a digest, both or neither.

    `str(reference)` is the full normalised text, which parses back to the same value.
    """

    registry: str
    """Host and port, such as `docker.io`, `localhost:5000` or `[::1]:5000`."""
    repository: str
    """The path within the registry, such as `library/alpine`."""
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a reference as Docker does: `alpine` is `docker.io/library/alpine:latest`.

        A tag is added only where there is neither tag nor digest.

        Raises:
            InvalidReference: the text is not a reference; the message says what is wrong with it.
        """
        reference = cls.parse_repository(text)
        if reference.tag is None and reference.digest is None:
            return reference.with_tag(DEFAULT_TAG)
        return reference

    @classmethod
    def parse_repository(cls, text: str) -> Self:
        """Read a reference, but add no tag: for commands that take a repository.

        Raises:
            InvalidReference: the text is not a reference.
        """
        if re.fullmatch(_BARE_HEX, text):
            raise _invalid(text, f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings")
        registry, rest = _split_registry(text)
        name, at, digest_text = rest.partition("@")
        path, colon, tag = name.partition(":")
        if path != path.lower():
            raise _invalid(text, f"repository name ({path}) must be lowercase")
        if (
            not re.fullmatch(_HOST, registry)
            or not re.fullmatch(_PATH, path)
            or (colon and not is_tag(tag))
            or (at and not re.fullmatch(_DIGEST_SHAPE, digest_text))
        ):
            raise _invalid(text, _what_is_wrong(text))
        if len(path) > _PATH_LIMIT:
            raise _invalid(text, f"repository name must not be more than {_PATH_LIMIT} characters")
        try:
            digest = Digest(digest_text) if at else None
        except InvalidDigest as error:
            raise _invalid(text, str(error)) from None
        return cls(registry, path, tag if colon else None, digest)

    def __str__(self) -> str:
        """The full text: `registry/repository[:tag][@digest]`."""
        tag = f":{self.tag}" if self.tag is not None else ""
        digest = f"@{self.digest}" if self.digest is not None else ""
        return f"{self.name}{tag}{digest}"

    def __repr__(self) -> str:
        """Such as `<Reference docker.io/library/alpine:3.20>`."""
        return f"<Reference {self}>"

    @property
    def name(self) -> str:
        """`registry/repository`."""
        return f"{self.registry}/{self.repository}"

    @property
    def locator(self) -> str:
        """What names the manifest within the repository: the digest, else the tag, else `latest`."""
        return self.digest or self.tag or DEFAULT_TAG

    def with_tag(self, tag: str) -> Self:
        """The same repository with this tag and no digest.

        Raises:
            InvalidReference: the text cannot be a tag.
        """
        check_tag(tag)
        return msgspec.structs.replace(self, tag=tag, digest=None)

    def with_digest(self, digest: Digest) -> Self:
        """The same repository with this digest and no tag."""
        return msgspec.structs.replace(self, tag=None, digest=digest)


def _split_registry(text: str) -> tuple[str, str]:
    """The registry's name and the rest; a repository of Docker Hub without a namespace is in `library`."""
    first, slash, rest = text.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        first, rest = DEFAULT_REGISTRY, text
    elif first == "index.docker.io":
        first = DEFAULT_REGISTRY
    if first == DEFAULT_REGISTRY and "/" not in rest:
        rest = f"library/{rest}"
    return first, rest


def _what_is_wrong(text: str) -> str:
    if not text:
        return "it is empty"
    if "://" in text:
        return "a reference has no scheme: leave out what comes before the registry's name"
    if text != text.strip() or " " in text:
        return "it has a space in it"
    if text.endswith((":", "@", "/")):
        return f"nothing follows the last {text[-1]!r}"
    return "expected [REGISTRY/]REPOSITORY[:TAG][@DIGEST]"


def _invalid(text: str, cause: str) -> InvalidReference:
    return InvalidReference(f"{text!r} is not a reference", cause=cause)
