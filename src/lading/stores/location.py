"""Locations: one syntax that names content in any store.

    docker://REF, REF               a registry
    oci:DIR[:NAME][@DIGEST]         an image layout directory; also oci-layout://DIR… and ocidir://DIR…
    oci-archive:FILE[:NAME][@DIGEST]    an image layout in a tar file
    docker-archive:FILE[:REF][@DIGEST]  what `docker save` writes
    dir:DIR[@DIGEST]                the directory of one image that skopeo and podman call so; nothing in it has a name
    docker-daemon:REF               a Docker engine; also docker-daemon:ID for the id of an image, sha256:… or its hex

FILE may be `-` for standard input and output. NAME is a tag, or another name that something has in a layout, such as
`app:1.0` or `ghcr.io/acme/web:1.4`; in its place, and in that of REF, `@N` is what is listed at position N, from 0 on.
A bare word after docker-archive:FILE is the name of an image, as Docker reads it, or else the tag of one.

The path ends at the first colon after what exists on this machine, or after the folder that it would be made in; so
nothing is made with a colon in its name by accident. A colon that belongs to the path is written `\\:`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import msgspec

from lading.errors import InvalidDigest, InvalidReference, UsageError, discreet
from lading.model.digest import Digest
from lading.model.reference import DEFAULT_REGISTRY, DEFAULT_TAG, Reference, check_name, check_tag, is_tag


class Kind(msgspec.Struct, frozen=True):
    """A kind of place: how its locations are written, and the module that opens its stores."""

    schemes: tuple[str, ...]
    """What a location begins with; the first is the one that is written."""
    path: Literal["directory", "file", ""]
    """What its path leads to; empty where it has none."""
    names: Literal["tags", "names", "references", "none"]
    """What manifests are named by in a store of this kind; `names` may be more than tags, such as `app:1.0`."""
    module: str
    """The module with `open_to_read` and `open_to_write`; empty for registries, which are reached through a session."""
    is_replaced: bool = False
    """Whether it is always written as a whole, so that single names in it are not changed."""


KINDS = {
    "registry": Kind(("docker://",), "", "tags", ""),
    "oci": Kind(("oci:", "oci-layout://", "ocidir://"), "directory", "names", "lading.stores.layout.layout"),
    "oci-archive": Kind(("oci-archive:",), "file", "names", "lading.stores.layout.archive"),
    "docker-archive": Kind(
        ("docker-archive:",), "file", "references", "lading.stores.docker.archive", is_replaced=True
    ),
    "dir": Kind(("dir:",), "directory", "none", "lading.stores.directory", is_replaced=True),
    "docker-daemon": Kind(("docker-daemon:",), "", "references", "lading.stores.docker.engine"),
}
"""Every kind of place there is, by its name: another one is a line here, and its module."""

_OTHERS = {
    "oci-layout": "oci:",
    "oci-dir": "oci:",
    "containers-storage": "docker-daemon:",
    "docker-tar": "docker-archive:",
}
"""What other tools call places, where no image on Docker Hub is called so."""
_ESCAPED = r"\\([:@\\])"
_SPECIAL = r"[:@\\]"
_ADDRESS = r"(?:https?|oci)://"
_BARE_HOST = r"(?:localhost|\[[0-9a-fA-F:.]+\]|\d+(?:\.\d+){3}|[\w.-]*\w\.[A-Za-z][\w-]*)(?::[\w.-]+)?(?:@\S*)?$"
"""What has no slash and looks like a host: `localhost:5000`, `ghcr.io`, `10.0.0.5:5000`."""
_TAG_OF_HOST = r"@.*|:(?!\d+(?:@|$))[^:\]]*$"
_ARCHIVE = r"\.(?:tar|tgz|tar\.\w+|zip|json)$"
_DIGEST = r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[0-9a-fA-F]{32,}"
_BARE_HEX = r"[a-f0-9]{64}"
_POSITION = r"@[0-9]{1,9}"
_COLON = r"write \: for a colon that belongs to the path"
_HIDDEN = {":": "\0c", "@": "\0a", "\\": "\0b"}


class Location(msgspec.Struct, frozen=True, kw_only=True):
    """Where content is, or is to be. `str(location)` parses back to the same value."""

    kind: str
    """One of `KINDS`."""
    path: str = ""
    """The directory or file of a layout or archive; `-` for standard input and output."""
    tag: str | None = None
    """The tag or another name in a layout or an OCI archive; or `@N`, the position in these or in a Docker archive."""
    digest: Digest | None = None
    """The digest in a layout or an archive, or the id of an image in a Docker engine."""
    reference: Reference | None = None
    """The name in a registry, a Docker archive or a Docker engine; without a tag where none was said."""

    def __str__(self) -> str:
        """The text that means this location, with a scheme unless it is a plain reference."""
        if self.kind == "registry":
            plain = str(self.reference)
            return f"docker://{plain}" if _scheme(plain) else plain
        named = self.word or (str(self.reference) if self.reference is not None else self.tag)
        digest = f"{'@' if self.path else ':'}{self.digest}" if self.digest is not None else ""
        if not self.path:
            return self._scheme + ((f":{named}" if named is not None else "") + digest).removeprefix(":")
        said = ""
        # A colon in the path is always escaped, whatever exists here now; the rest where it would mean something else.
        for in_path, in_name in ((":", ""), (_SPECIAL, ""), (_SPECIAL, _SPECIAL)):
            name = f":{_escaped(named, in_name)}" if named is not None else ""
            said = f"{self._scheme}{_escaped(self.path, in_path)}{name}{digest}"
            try:
                if parse_location(said) == self:
                    break
            except UsageError:
                pass
        return said

    @property
    def _scheme(self) -> str:
        first, *others = KINDS[self.kind].schemes
        # `oci://` is how other tools begin what is in a registry.
        return others[0] if _is_address(f"{first}{self.path}") else first

    def __repr__(self) -> str:
        """Such as `<Location oci:web:1.4>`."""
        return f"<Location {self}>"

    @property
    def is_registry(self) -> bool:
        """Whether it is in a registry."""
        return self.kind == "registry"

    @property
    def is_stream(self) -> bool:
        """Whether it is standard input or output."""
        return self.path == "-" and KINDS[self.kind].path == "file"

    @property
    def is_docker(self) -> bool:
        """Whether it is in a Docker archive or engine, where names are whole references."""
        return KINDS[self.kind].names == "references"

    @property
    def takes_names(self) -> bool:
        """Whether a name there may be more than a tag, as in a layout."""
        return KINDS[self.kind].names == "names"

    @property
    def has_names(self) -> bool:
        """Whether anything there has a name."""
        return KINDS[self.kind].names != "none"

    @property
    def is_replaced(self) -> bool:
        """Whether it is always written as a whole."""
        return KINDS[self.kind].is_replaced

    @property
    def is_named(self) -> bool:
        """Whether it says which manifest is meant; a repository without a tag does not."""
        said = (self.pinned, self.tag, self.reference.tag if self.reference is not None else None)
        return any(part is not None for part in said)

    @property
    def pinned(self) -> Digest | None:
        """The digest that it says."""
        return self.digest or (self.reference.digest if self.reference is not None else None)

    @property
    def name(self) -> str | None:
        """What names the manifest within its store: the digest, else the tag or reference; None if nothing does."""
        if self.is_registry and self.reference is not None:
            return self.reference.locator
        if self.digest is not None and self.tag is not None and not is_tag(self.tag):
            return f"{self.tag}@{self.digest}"  # which may be a name itself
        named = self.word or (str(self.reference) if self.reference is not None else None)
        return self.digest or self.tag or named

    @property
    def is_position(self) -> bool:
        """Whether it says the position of a manifest: `@N`."""
        return self.tag is not None and re.fullmatch(_POSITION, self.tag) is not None

    @property
    def own_tag(self) -> str | None:
        """The tag or other name that it says, or `latest` where a reference says neither tag nor digest."""
        if self.reference is None:
            is_name = self.tag is not None and not self.is_position and (self.digest is None or is_tag(self.tag))
            return self.tag if is_name else None
        return self.reference.tag or (None if self.pinned is not None else DEFAULT_TAG)

    @property
    def word(self) -> str | None:
        """The bare word that is all a location says of the name in a Docker archive or engine."""
        found = self.reference if self.is_docker else None
        if found is None or found.tag is not None or found.digest is not None or found.registry != DEFAULT_REGISTRY:
            return None
        library, _, word = found.repository.partition("/")
        return word if library == "library" and is_tag(word) and not re.fullmatch(_BARE_HEX, word) else None

    @property
    def place(self) -> str:
        """What it is in: its repository, directory or file, or the engine."""
        if self.is_registry and self.reference is not None:
            return self.reference.name
        return str(Location(kind=self.kind, path=self.path)) if self.path else self.kind

    def full(self) -> Location:
        """The same with the tag that it stands for where it says none in a registry: `latest`."""
        if not self.is_registry or self.is_named or self.reference is None:
            return self
        return msgspec.structs.replace(self, reference=self.reference.with_tag(DEFAULT_TAG))

    def absolute(self) -> Location:
        """The same, from wherever it is looked at."""
        return msgspec.structs.replace(self, path=str(Path(self.path).absolute())) if self.path else self

    def with_tag(self, tag: str) -> Location:
        """The same place with this tag, and no digest; in a layout it may be another name, such as `app:1.0`.

        Raises:
            InvalidReference: the text cannot be a tag.
            UsageError: names are whole references there, and this one has no repository for the tag to be in.
        """
        (check_name if self.takes_names else check_tag)(tag)
        if not self.has_names:
            raise UsageError(f"nothing has a name in {self.place}", remedy="copy it to an image layout")
        if self.reference is not None:
            return msgspec.structs.replace(self, reference=self.reference.with_tag(tag), digest=None)
        if self.is_docker:
            raise UsageError(
                f"{self} has no repository for the tag {tag} to be in",
                remedy=f"give the whole name: {self.place}:REPOSITORY:{tag}",
            )
        return msgspec.structs.replace(self, tag=tag, digest=None)

    def with_digest(self, digest: Digest) -> Location:
        """The same place with this digest; of a name in a Docker engine also the tag, for engines go by that."""
        if self.is_docker and not self.path:
            if self.reference is None:
                return self  # the id of an image pins it already
            return msgspec.structs.replace(
                self, reference=msgspec.structs.replace(self.reference, tag=self.own_tag, digest=digest)
            )
        if self.is_registry and self.reference is not None:
            return msgspec.structs.replace(self, reference=self.reference.with_digest(digest))
        return msgspec.structs.replace(self, tag=None, reference=None, digest=digest)


AnyLocation = Location | Reference | str
"""A location, a reference, or the text of either."""


def as_location(place: AnyLocation) -> Location:
    """A location from its text or from a reference."""
    if isinstance(place, Location):
        return place
    if isinstance(place, Reference):
        return Location(kind="registry", reference=place)
    return parse_location(place)


def registry_reference(place: AnyLocation) -> Reference:
    """The reference of a location in a registry, with the tag that it stands for.

    Raises:
        UsageError: it is somewhere else.
    """
    location = as_location(place).full()
    if not location.is_registry or location.reference is None:
        raise UsageError(
            f"{location} is not in a registry, and has to be",
            remedy="copy it to a registry first",
            code="not-in-a-registry",
            fields={"location": str(location)},
        )
    return location.reference


def parse_location(text: str) -> Location:
    """Read a location; what has no scheme is a reference, as Docker reads it.

    Raises:
        InvalidReference: a tag, digest or reference in it is malformed.
        UsageError: it names no directory or file.
    """
    found = _scheme(text)
    if found is None or _is_address(text):
        return Location(kind="registry", reference=_reference(text.removeprefix("oci://")))
    kind, scheme = found
    rest = text.removeprefix(scheme)
    if kind == "registry":
        return Location(kind=kind, reference=Reference.parse_repository(rest))
    if not KINDS[kind].path:
        if not rest:
            raise UsageError(f"{text!r} names no image", remedy=f"put its name after {scheme!r}")
        if re.fullmatch(_DIGEST, rest):
            return Location(kind=kind, digest=_digest(rest, text))
        if re.fullmatch(_BARE_HEX, rest):
            return Location(kind=kind, digest=Digest(f"sha256:{rest}"))
        return Location(kind=kind, reference=Reference.parse_repository(rest))
    if "\0" in rest:
        raise UsageError(f"{text!r} is not a location", cause="there is a NUL character in it")
    # What is escaped separates nothing: it is out of sight until the parts are known.
    hidden = re.sub(_ESCAPED, lambda match: _HIDDEN[match[1]], rest)
    return _SPLIT[KINDS[kind].names](kind, hidden, text)


def _is_address(text: str) -> bool:
    """Whether `oci://` begins it as in other tools: a registry's host follows, and no folder is called so."""
    return (
        text.startswith("oci://") and not text.startswith("oci:///") and not _exists(f"/{text[6:].partition('/')[0]}")
    )


def _scheme(text: str) -> tuple[str, str] | None:
    """The kind and the scheme that a text begins with."""
    schemes = ((name, scheme) for name, kind in KINDS.items() for scheme in kind.schemes)
    return next(((name, scheme) for name, scheme in schemes if text.startswith(scheme)), None)


def _reference(text: str) -> Reference:
    """What has no scheme, as Docker reads it; with a way on for what is meant otherwise."""
    other, colon, rest = text.partition(":")
    if colon and other in _OTHERS:
        ours = _OTHERS[other]
        raise UsageError(f"lading knows no places that begin with {other}:", remedy=f"is it {ours}{rest.lstrip('/')}?")
    if "/" not in text.partition("@")[0] and re.match(_BARE_HOST, text):
        _refuse_host(text)
    try:
        return Reference.parse_repository(text)
    except InvalidReference as error:
        if text.startswith((".", "/", "~")) or _exists(text):
            error.remedy = _ways_to(text)
        elif address := re.match(_ADDRESS, text):
            error.remedy = discreet(f"without {address.group()}, it is {text[address.end() :]}")
        raise


def _refuse_host(text: str) -> None:
    """Refuse what Docker reads as an image of Docker Hub, and what nobody means so: a registry, or a file.

    Raises:
        InvalidReference: it names no repository.
    """
    if _exists(text) or re.search(_ARCHIVE, text):
        raise InvalidReference(
            f"{text} would be an image on Docker Hub", cause="a file has a scheme", remedy=_ways_to(text)
        )
    host = re.sub(_TAG_OF_HOST, "", text)
    raise InvalidReference(
        f"{text} is a registry, and a repository is wanted",
        cause="without a slash, it would be an image on Docker Hub",
        remedy=f"list its repositories, or name one of them: {host}/REPOSITORY",
        code="is-registry",
        fields={"registry": host},
    )


def _ways_to(path: str) -> str:
    return f"a directory is oci:{path}, an archive oci-archive:{path} or docker-archive:{path}"


def _split_name(kind: str, hidden: str, text: str) -> Location:
    digest: Digest | None = None
    before, at, ending = hidden.rpartition("@")
    if at and re.fullmatch(_DIGEST, ending):
        digest, hidden = _digest(ending, text), before
    path, named = _split(hidden, kind)
    tag = _shown(named) if named is not None else None
    if tag == "" and digest is None:
        raise InvalidReference(f"{text!r} has no name after its colon", cause="nothing follows it", remedy=_COLON)
    return Location(kind=kind, path=_path(path, kind, text), tag=tag or None, digest=digest)


def _split_reference(kind: str, hidden: str, text: str) -> Location:
    before, at, ending = hidden.rpartition("@")
    if at and ":" not in before.removesuffix(":") and re.fullmatch(_DIGEST, ending):
        path = _path(before.removesuffix(":"), kind, text)
        return Location(kind=kind, path=path, digest=_digest(ending, text))
    plain, named = _split(hidden, kind)
    path = _path(plain, kind, text)
    if named is None:
        return Location(kind=kind, path=path)
    if re.fullmatch(_POSITION, named):
        return Location(kind=kind, path=path, tag=named)
    try:
        return Location(kind=kind, path=path, reference=Reference.parse_repository(_shown(named)))
    except InvalidReference as error:
        raise InvalidReference(f"{text!r} has no reference after its colon", cause=error.cause, remedy=_COLON) from None


def _split_digest(kind: str, hidden: str, text: str) -> Location:
    before, at, ending = hidden.rpartition("@")
    if at and re.fullmatch(_DIGEST, ending):
        return Location(kind=kind, path=_path(before, kind, text), digest=_digest(ending, text))
    return Location(kind=kind, path=_path(hidden, kind, text))


_SPLIT = {"references": _split_reference, "names": _split_name, "tags": _split_name, "none": _split_digest}


def _split(hidden: str, kind: str) -> tuple[str, str | None]:
    """The path, and what follows the colon after it, where there is one: see the top of this module."""
    colons = [match.start() for match in re.finditer(":", hidden)]
    for colon in (*colons, len(hidden)):
        path = _shown(hidden[:colon])
        if _exists(path) or (path == "-" and KINDS[kind].path == "file"):
            return hidden[:colon], hidden[colon + 1 :] if colon in colons else None
    folders = (match.start() for match in reversed([*re.finditer("/", hidden)]))
    inside = next((end for end in folders if ":" in hidden[:end] and _exists(_shown(hidden[:end]))), 0)
    path, colon_, named = hidden[inside:].partition(":")
    return hidden[:inside] + path, named if colon_ else None


def _exists(path: str) -> bool:
    try:
        return path != "" and Path(path).exists()
    except OSError:  # such as a name that is too long
        return False


def _path(hidden: str, kind: str, text: str) -> str:
    path = _shown(hidden)
    what = KINDS[kind].path
    if not path:
        raise UsageError(f"{text!r} names no {what}", remedy=f"put one after {KINDS[kind].schemes[0]!r}")
    if path == "-" and what == "directory":
        raise UsageError(
            "a directory cannot be read from standard input, or written to standard output",
            remedy="use oci-archive:- for a stream, or oci:./- for a directory of that name",
        )
    return path


def _escaped(text: str, special: str) -> str:
    return re.sub(special, r"\\\g<0>", text) if special else text


def _shown(hidden: str) -> str:
    for shown, code in _HIDDEN.items():
        hidden = hidden.replace(code, shown)
    return hidden


def _digest(digest: str, text: str) -> Digest:
    try:
        return Digest(digest)
    except InvalidDigest as error:
        raise InvalidReference(f"{text!r} has no digest after its '@'", cause=str(error)) from None
