"""What an error says on the command line. The library names no flags and no commands; here they are, for each code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from shlex import quote
from typing import TYPE_CHECKING, Any, TypeVar

from lading.errors import LadingError
from lading.model.text import printable

if TYPE_CHECKING:
    from lading.registry.diagnose.check import Examined
    from lading.registry.diagnose.explain import Explanation
    from lading.registry.diagnose.settings import SettingDocument
    from lading.transfer.report import Failure

    Found = TypeVar("Found", Examined, Explanation, Failure)

Words = str | Callable[[Mapping[str, Any]], str | None]
"""A text with `{field}`s of an error in it, or what makes one of them."""


def worded(error: LadingError) -> list[str]:
    """An error in up to three lines: what happened, why, and what to do next."""
    message = _said(MESSAGES, error.code, error.fields) or error.message
    cause = _said(CAUSES, error.code, error.fields) or error.cause
    lines = (message, cause, remedy(error.remedy, error.code, error.fields) or _way_on(error))
    return [line for line in lines if line]


def _way_on(error: LadingError) -> str:
    """What there is to do about a kind of error, where nothing is known about the case: every error has a way on."""
    kinds = [error.code, *(vars(kind).get("code") for kind in type(error).__mro__)]
    return next(said for kind in kinds if kind in WAYS and (said := _said(WAYS, kind, _Typed(error.fields))))


def remedy(text: str | None, code: str, fields: Mapping[str, Any]) -> str | None:
    """What to do next.

    Args:
        text: in the library's words; None where there is nothing to be done.
        code: which case it is.
        fields: what it is about.
    """
    return text and (_said(REMEDIES, code, _Typed(fields)) or text)


def typed(text: str) -> str:
    """A text as a word of a command line, for bash and zsh; what is no text stays an escape there."""
    if printable(text) == text:
        return quote(text)
    escaped = "".join(
        c if c not in "\\'" and printable(c) == c else f"\\{c}" if c in "\\'" else f"\\U{ord(c):08x}" for c in text
    )
    return f"$'{escaped}'"


_TYPED_ALREADY = ("command", "instead", "remedy", "typed")


class _Typed(dict[str, Any]):
    """The fields of an error, names as they are typed."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        super().__init__((name, self._word(name, value)) for name, value in fields.items())

    def _word(self, name: str, value: Any) -> Any:
        return typed(value) if isinstance(value, str) and name not in _TYPED_ALREADY else value


def noted(text: str) -> str:
    """A note of a copy, with the options that it is about."""
    from lading.transfer.report import Note

    return (_said(NOTES, text.code, text.fields) if isinstance(text, Note) else None) or text


def sourced(setting: SettingDocument) -> SettingDocument:
    """A setting of a host, as it is printed: what is given to a client is an option here."""
    from msgspec.structs import replace

    name = setting.source.removeprefix("given as ")
    if name == setting.source:
        return setting
    return replace(setting, source="--resolve" if name == "addresses" else f"--{name.replace('_', '-')}")


def remedied(found: Found) -> Found:
    """A value that has a remedy, with the command line's words for it."""
    from msgspec.structs import replace

    return replace(found, remedy=remedy(found.remedy, found.code or "", found.fields))


def _said(words: Mapping[str, Words], code: str, fields: Mapping[str, Any]) -> str | None:
    wanted = words.get(code)
    if wanted is None:
        return None
    return wanted.format_map(fields) if isinstance(wanted, str) else wanted(fields)


def _denied(words: str) -> Callable[[Mapping[str, Any]], str]:
    """What to do about credentials, and, unless that is known, where to see which ones they are."""

    def both(of: Mapping[str, Any]) -> str:
        subject = of.get("subject")
        way = words.format_map(of)
        return f"{way}      see what was tried: lading auth explain {subject}" if subject else way

    return both


_AGAIN = "log in again with: lading login {registry}"


def _install(extra: str) -> str:
    from lading.cli.extras import install_line

    return f"install it: {install_line(extra)}"


_WITH_AWS = "{command} | lading login --username AWS --password-stdin {registry}"


def _referrers(of: Mapping[str, Any]) -> str:
    what = "1 referrer" if of["count"] == 1 else f"{of['count']} referrers"
    return f"{what} of {of['reference']}, such as signatures, {'refers' if of['count'] == 1 else 'refer'}"


NOTES: dict[str, Words] = {
    "referrers-left-behind": lambda of: (
        None
        if of["holder"]
        else f"{of['what']} stayed behind: --referrers brings {'them' if of['count'] > 1 else 'it'} along"
    ),
    "sources-referrers-left-behind": lambda of: (
        f"{of['what']} stayed behind: --referrers copy brings {'them' if of['count'] > 1 else 'it'} along"
    ),
    "referrers-of-original": lambda of: (
        f"{_referrers(of)} to it as it was, and not to the result: --referrers copy brings what is not signed along"
    ),
    "original-still-there": (
        "{original} is still there, and refers to {subject} as the result does: --drop-original takes it away"
    ),
    "name-without-tag": "{what} stayed behind: its name has no tag; to bring it: lading copy {what} REPOSITORY:TAG",
    "untagged-left-behind": "{what} stayed behind, to which something refers: --untagged brings them along",
    "entries-left-behind": "{what} stayed behind: of what is in a registry, only --verify brings them later",
}

MESSAGES: dict[str, Words] = {
    # Copies
    "all-tags-and-names": "--all-tags goes with neither --tag nor --if-digest",
    "patterns-of-one-tag": "--include and --exclude choose among all tags",
    "sparse-and-encoded": "--sparse keeps the index as it is, and --to and --compression change it",
    "sparse-without-platforms": "--sparse copies some entries of an index",
    "types-without-referrers": "--artifact-type chooses among referrers",
    # Edits
    "drop-not-in-place": "--drop-original goes with --in-place",
}

CAUSES: dict[str, Words] = {
    "repository-not-found": "the registry has no such repository, or does not show it to you",
    # Docker says it so.
    "draft-exists": lambda of: (
        "refusing to amend an existing manifest list with no --amend flag" if of["amend"] else None
    ),
}

REMEDIES: dict[str, Words] = {
    # Credentials
    "no-credentials": _denied("log in with: lading login {registry}"),
    "credentials-refused": _denied(_AGAIN),
    "credentials-insufficient": _denied("log in as somebody who may: lading login {registry}"),
    "credentials-not-shown": "check the address: lading registry check {registry}",
    "credentials-failed": lambda of: (_denied("{remedy}") if of["remedy"] else _denied(_AGAIN))(of),
    "aws-extra-missing": lambda of: f"{_install('aws')}      or: {_WITH_AWS.format_map(of)}",
    "extra-missing": lambda of: _install(of["extra"]),
    "aws-credentials-missing": _denied(f"aws configure, or aws sso login; or: {_WITH_AWS}"),
    "no-token": "see how access comes about: lading auth explain {subject}",
    # Hosts
    "plain-http": "if that is intended: --insecure, or insecure = true for this host in lading's config.toml",
    "untrusted-certificate": "if the host is trusted: --ca-file, or ca_file = … for this host in lading's config.toml",
    "invalid-certificate": "it has to be replaced where the registry runs; to see it: lading registry check HOST",
    "unverified-certificate": "--ca-file, or ca_file in lading's config.toml",
    "certificate-wanted": "show one: --cert-file and --key-file, or cert_file and key_file in lading's config.toml",
    "connection-broken": "try again; --debug shows the requests",
    "ambiguous-header": "name it: --header '{registry}={header}: …', or headers in lading's config.toml",
    # Registries
    "is-registry": "see its repositories: lading repos {registry}      or name one: {registry}/REPOSITORY",
    "not-accepted": "see what is there now: lading inspect {what}",
    "no-registry": "check its name and its port; see what answers there: lading registry check {registry}",
    "format-not-accepted": (
        "convert it: lading copy --to docker SRC DST      "
        "or, of a local list: lading manifest annotate --type docker LIST"
    ),
    "repository-missing": "--create-repository makes it; or: {command}",
    "repository-not-found": "see what there is: lading repos {registry}",
    "tag-not-removable": "to delete the manifest with all its tags: lading delete {reference}",
    "writing-needed": lambda of: f"lading registry check {of['registry']}/{of['repository'] or 'REPOSITORY'} --write",
    "repository-needed": "name one: lading registry check {registry}/REPOSITORY",
    # Places
    "not-in-a-registry": "bring it there: lading push {location} REFERENCE",
    "read-only-location": "write another: lading copy {location} {kind}:FILE",
    "tag-not-found": lambda of: None if of["nearest"] else f"see them: lading tags {of['store']}",
    "damaged-blob": "copy it here again, and it is replaced: lading copy --verify SRC {store}",
    "index-in-docker-archive": "write an oci-archive, or one of its images: lading copy --platform OS/ARCH SRC DST",
    # Local lists
    "draft-not-found": lambda of: (
        f"see them: lading manifest ls      in the registry: lading manifest inspect {of['image']}"
        if "image" in of
        else "see those there are: lading manifest ls"
    ),
    "draft-missing": (
        "make one: lading manifest create {draft} IMAGE…      of a pushed one: lading manifest pull {draft}"
    ),
    "draft-exists": lambda of: f"{'extend it with --amend, or ' if of['amend'] else ''}start over with --replace",
    "draft-collision": "push and remove the other first: lading manifest push --purge {other}",
    "damaged-draft": "make the list anew: lading manifest create --replace LIST IMAGE…",
    "empty-draft": "add some: lading manifest add {draft} IMAGE…",
    "entry-not-found": "see them: lading manifest inspect {draft}",
    "entry-not-kept": "read it from the registry: lading manifest inspect {reference}",
    "entries-missing": lambda of: (
        f"take it out: lading manifest remove {of['draft']} {typed(of['entries'][0])}"
        if "@" in of["entries"][0]
        else f"look it up again: lading manifest create --amend {of['draft']} {typed(of['entries'][0])}"
    ),
    "platform-unknown": "say it: lading manifest annotate --os OS --arch ARCH {draft} {entry}",
    "child-missing": "choose the platforms that are there: --platform OS/ARCH",
    "not-an-index": "make a list of it: lading manifest create NAME {reference}",
    "docker-list-loses": lambda of: (
        f"make it an OCI index: lading manifest create --type oci {of['draft']} IMAGE…      "
        f"or, of a list that is there: lading manifest annotate --type oci {of['draft']}"
    ),
    # Indexes
    "ambiguous-index-entry": "see them: lading index ls {index}",
    "docker-index-loses": lambda of: {
        ("new", False): "--type oci",
        ("new", True): "--type oci      or leave them out: --no-attestations",
        ("docker", False): f"make it an OCI index: lading index annotate --type oci {of['index']}",
        ("docker", True): f"make it an OCI index: lading index annotate --type oci {of['index']}      "
        f"or leave them out: lading index add --no-attestations {of['index']} SOURCE",
        ("oci", False): f"to convert it, with what is lost: lading copy --to docker {of['index']} TARGET",
        ("oci", True): f"take them out first: lading index filter --no-attestations --in-place {of['index']}",
    }[of["case"], of["attestations"]],
    "duplicate-platform": (
        "to list both: --allow-duplicate-platforms      "
        "to replace the one that is listed: lading index add --replace {index} SOURCE"
    ),
    "in-place-without-tag": "name the tag, or say where the result goes with -t TARGET",
    "index-empty": "delete it instead: lading delete {index}",
    "index-entry-not-found": "see them: lading index ls {index}",
    "is-no-index": "make an index of it: lading index create NAME {reference}",
    "source-of-several-entries": "choose one by its digest, or with --platform OS/ARCH",
    # Copies
    "by-digest-and-tags": "leave out --by-digest, or the tag",
    "index-incomplete": "copy the platforms that are there: lading copy --platform OS/ARCH SRC DST",
    "zstd-for-docker": lambda of: {
        "the format oci": "add --to oci",
        "the compression gzip": "add --compression gzip",
    }.get(of["instead"], "use --to oci, or --compression gzip"),
    "holds-no-referrers": "leave out --referrers, or write an oci-archive",
    "index-of-artifacts": (
        "choose one of its entries: --platform OS/ARCH      or by its digest: lading index ls {reference}"
    ),
    "no-artifact-type": "say what it is: --artifact-type TYPE, such as application/spdx+json",
    "no-artifact-index": "choose another tag for the index; see what is there: lading inspect {reference}",
    "index-without-platform": "say which: --platform OS/ARCH",
    "index-by-digest": "leave out --by-digest",
    "entry-of-another-type": "take it out first: lading index remove {index} {digest}",
    "no-title": "write TITLE=FILE, such as notes/a.txt=../a.txt",
    "titles-clash": "give one of them another title: TITLE=FILE",
    "several-files": "choose one: --title PATTERN",
    "bad-title": "give it another path: --rename TITLE=PATH",
    "paths-clash": "give one of them another path: --rename TITLE=PATH",
    "image-not-artifact": (
        "write its files: lading image export {reference} FOLDER/      or its layers: --media-type '*'"
    ),
    "nothing-to-attach": "give a FILE, or --annotation KEY=VALUE",
    "no-referrer": "see what is: lading artifact ls {reference}",
    "several-referrers": "take the newest with --latest, or see them, and choose one: lading artifact ls {reference}",
    "no-newest": "see them, and choose one by its digest: lading artifact ls {reference}",
    "several-repositories": (
        "say where each goes: --map {first}=REPOSITORY      or name a namespace for all, with a slash at its end"
    ),
    "no-such-file": "see what there is: lading manifest get {reference}",
    "no-platform": "choose one of those with --platform",
    "tag-dangling": "to go on with the others all the same: --keep-going",
    "no-tags-to-copy": "see them: lading tags {store}",
    "names-of-one-tag": "copy each under a tag of its own: lading copy {first} REPOSITORY:TAG",
    "patterns-of-one-tag": "add --all-tags",
    "sparse-without-platforms": "say which with --platform",
    "types-without-referrers": "add --referrers",
    # Edits
    "no-base-stated": "name the bases: --old-base OLD --new-base NEW",
    "not-its-base": "name what it was built on, by its digest where the tag has moved: --old-base NAME@DIGEST",
    "base-not-for-docker": "make it an OCI image first: lading copy --to oci REF TARGET",
    "docker-has-no-place": "make it an OCI image first: lading copy --to oci REF TARGET",
    "drop-not-in-place": "add --in-place",
    "in-place-and-elsewhere": "leave out -t, and copy the result: lading copy SRC DST",
    "index-edited-as-artifact": (
        "to annotate the index: lading index annotate {reference} --index-annotation KEY=VALUE      "
        "or name one of its entries by its digest"
    ),
    "no-archive": "to put the file itself into the image: {file}:/PATH",
    "zstd-layer-for-docker": "use --compression gzip, or convert the image first: lading copy --to oci SRC DST",
    # Bases
    "no-base": "say which: lading image check-base {reference} --base REF",
    "no-base-digest": "say which: lading image check-base {reference} --digest DIGEST",
    # Manifests
    "docker-schema-1": "push the image again with a current client, or convert it with skopeo copy --format v2s2",
    "docker-list-annotations": "make it an OCI index: lading manifest annotate --type oci LIST",
}


def _see(at_registry: str, otherwise: str) -> Callable[[Mapping[str, Any]], str]:
    """Where to look: at the registry that an error is about, if it is about one, or elsewhere."""

    def said(of: Mapping[str, Any]) -> str:
        return (at_registry if of.get("registry") else otherwise).format_map(of)

    return said


def _repository(reference: str) -> str:
    from lading.model.reference import Reference

    return Reference.parse(reference).name


WAYS: dict[str, Words] = {
    "failed": "see step by step what happened: --debug",
    "usage": lambda of: f"see what it takes: {of.get('typed', 'lading')} --help",
    "invalid-reference": "write it like ghcr.io/acme/web:1.4, or localhost:5000/app@sha256:…",
    "invalid-digest": "see one: lading digest REF",
    "invalid-platform": "write it like linux/amd64, or linux/arm/v7",
    "invalid-pattern": "write it like 'v1.*', 're:v[0-9]+' or 'semver:>=1.2'",
    "manifest-not-found": lambda of: f"see what there is: lading tags {_repository(of['reference'])}",
    "path-not-found": "see what is there: lading image ls {image}",
    "layer-not-found": "see its layers: lading image layers REF",
    "not-found": _see(
        "check the name; see what there is: lading repos {registry}", "check the name, and what there is"
    ),
    "denied": _see(
        "see how access comes about: lading auth explain {registry}", "see step by step what happened: --debug"
    ),
    "rate-limited": _see("try again later, or log in: lading login {registry}", "try again later"),
    "unreachable": _see(
        "see how far a connection comes: lading registry check {registry}", "see step by step what happened: --debug"
    ),
    "invalid-content": "write it there anew, from where it is whole; see its bytes: lading inspect --raw REF",
    "malformed-layer": "build the image anew; see what else is wrong with it: lading lint REF",
    "too-large-layer": "ask where the image comes from: an honest one has no such layer; build it anew",
    "digest-mismatch": "try again; what stays so is damaged where it is kept, and has to be written there anew",
    "conflict": lambda of: f"see what is there now: lading inspect {of.get('reference') or of.get('what') or 'REF'}",
    "unsupported": _see(
        "see what it supports: lading registry check {registry}", "choose another place for it, such as oci:DIR"
    ),
    "registry-failed": "try again later; see the requests: --debug",
}
"""For each kind of error what to do, where neither the library nor `REMEDIES` knows more."""
