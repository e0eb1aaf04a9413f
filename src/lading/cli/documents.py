"""The documents that `--format json` prints, where the library has none of its own. `docs/json.md` describes them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from lading.results import Deletion, TagChange, TagInfo

if TYPE_CHECKING:
    from lading.drafts.draft import Draft
    from lading.drafts.operations import Status
    from lading.results import Resolution


class DigestDocument(msgspec.Struct):
    """`lading digest`."""

    reference: str
    """`REPOSITORY@DIGEST`."""
    digest: str


class TagDocument(msgspec.Struct):
    """`lading tag`."""

    digest: str
    """What all the tags name now."""
    tags: list[TagChange]
    dry_run: bool = False


class TagsDocument(msgspec.Struct):
    """`lading tags`."""

    repository: str
    tags: list[TagInfo]


class ReposDocument(msgspec.Struct):
    """`lading repos`."""

    registry: str
    repositories: list[str]


class DeleteDocument(msgspec.Struct):
    """`lading delete`."""

    deleted: list[Deletion]
    untag: bool = False
    """Whether only tags are removed, and the manifests stay."""
    dry_run: bool = False


class LoginDocument(msgspec.Struct):
    """`lading login`."""

    registry: str
    username: str
    """Empty where an identity token was given."""
    kept_in: str
    """A path, or the helper."""


class LogoutDocument(msgspec.Struct):
    """`lading logout`."""

    registry: str
    removed: bool
    """Whether there was something to forget."""
    left: str | None
    """Where there still are credentials for it, if anywhere."""


class TokenDocument(msgspec.Struct):
    """`lading auth token`."""

    token: str
    """A secret."""
    account: str
    """Whose it is; empty for anybody's."""
    scopes: list[str]
    """What was asked for."""
    expires: datetime
    """When lading stops using it, a little before its end."""


class LoginSummary(msgspec.Struct):
    """Credentials that are kept somewhere."""

    registry: str
    """What they are for: a registry, or a namespace or repository in it."""
    username: str
    """Empty where there is a token only."""
    kept_in: str
    """A path, a variable or a helper."""


class LoginsDocument(msgspec.Struct):
    """`lading auth ls`."""

    logins: list[LoginSummary]


class CredentialDocument(msgspec.Struct):
    """`lading auth get`."""

    registry: str
    username: str
    """`<token>` where the secret is a token without a user."""
    secret: str
    kind: str
    """`password`, `identity token` or `registry token`."""
    source: str
    """Where they were found."""


class VersionDocument(msgspec.Struct):
    """`lading version`."""

    version: str
    python: str
    platform: str


class ManifestDocument(msgspec.Struct):
    """`lading manifest inspect`."""

    reference: str
    digest: str
    media_type: str
    size: int
    """Of the manifest itself, in bytes."""
    local: bool
    """Whether it is a local list, or of one."""
    manifest: dict[str, Any]
    """The manifest, decoded."""


class PushDocument(msgspec.Struct):
    """`lading manifest push`."""

    reference: str
    """The list's name with its digest."""
    digest: str
    media_type: str
    size: int
    """In bytes."""
    tags: list[str]
    """Those that name the list now, its own first."""
    copied: list[str]
    """The entries that were brought from another repository."""
    blobs_mounted: int
    blobs_uploaded: int
    bytes_uploaded: int
    dry_run: bool = False


class DraftEntryDocument(msgspec.Struct):
    """An entry of a local manifest list."""

    reference: str
    digest: str
    media_type: str
    size: int
    """Of the manifest itself, in bytes."""
    platform: str | None
    """`OS/ARCH[/VARIANT]`; None where the list does not say."""
    annotations: dict[str, str]


class DraftDocument(msgspec.Struct):
    """A local manifest list."""

    reference: str
    media_type: str | None
    """What it would be pushed as; None where it cannot be read."""
    entries: list[DraftEntryDocument]
    annotations: dict[str, str]
    changed: datetime | None
    origin: str | None
    """The digest that the registry had when it was last pulled or pushed."""
    problem: str | None = None
    """Why it cannot be read."""
    registry: str | None = None
    """With `--remote`: `absent`, `same`, `older`, `differs` or `unknown`."""
    registry_digest: str | None = None
    """With `--remote`, what the list's name names there."""


class DraftsDocument(msgspec.Struct):
    """`lading manifest ls`."""

    lists: list[DraftDocument]


class CandidateDocument(msgspec.Struct):
    """An entry that a client looked at."""

    digest: str
    rank: int | None
    """Its place among the entries of its index that would do, the best being 0; None where it would not do."""
    reason: str
    """Why it is taken or passed over."""


class PullDocument(msgspec.Struct):
    """What a client takes."""

    client: str
    version: str
    variant: str | None
    """Such as Docker's `containerd` and `graphdriver`."""
    digest: str | None
    """What it takes, also where it then fails; None where it takes nothing."""
    error: str | None
    """What it prints where there is no image in the end; `…` stands for what depends on the place."""
    fetched: list[str]
    """The manifests whose content it downloads."""
    candidates: list[CandidateDocument]
    """Of each index first the entries that would do, best first, then the others."""


class ResolveDocument(msgspec.Struct):
    """`lading resolve`."""

    reference: str
    platform: str | None
    """None where each client asks for what its host is."""
    results: list[PullDocument]


def resolve_document(found: Resolution) -> ResolveDocument:
    """Describe what clients take."""
    results = [
        PullDocument(
            client=selection.client.name,
            version=selection.client.version,
            variant=selection.client.variant,
            digest=selection.digest,
            error=selection.error,
            fetched=[str(entry.digest) for entry in selection.fetched],
            candidates=[CandidateDocument(item.digest, item.rank, item.reason) for item in selection.candidates],
        )
        for selection in found.selections
    ]
    return ResolveDocument(found.reference, found.platform, results)


class GarbageItemDocument(msgspec.Struct):
    """Content that nothing refers to."""

    repository: str
    digest: str
    size: int
    """In bytes."""
    media_type: str | None
    """Of a manifest; null for a blob."""


class GarbageDocument(msgspec.Struct):
    """`lading registry gc`."""

    folder: str
    removed: list[GarbageItemDocument]
    unfinished: int
    """How many files that were never finished went: uploads of processes that ended, and the like."""
    bytes: int
    """The room that all of it took on the disk; content that another repository keeps takes it still."""
    failed: dict[str, str]
    """The repositories in which nothing was removed, because something there cannot be read, with the reasons."""
    dry_run: bool = False


def draft_document(draft: Draft, status: Status | None = None) -> DraftDocument:
    """Describe a draft, and how it stands against its registry where that was asked."""
    return DraftDocument(
        reference=str(draft.reference),
        media_type=None if draft.problem else draft.media_type,
        entries=[
            DraftEntryDocument(
                reference=str(entry.reference),
                digest=entry.digest,
                media_type=entry.descriptor.media_type,
                size=entry.descriptor.size,
                platform=str(entry.platform) if entry.platform else None,
                annotations=entry.descriptor.annotations,
            )
            for entry in draft.entries
        ],
        annotations=draft.annotations,
        changed=draft.changed,
        origin=draft.origin,
        problem=draft.problem or None,
        registry=status.state if status else None,
        registry_digest=status.digest if status else None,
    )
