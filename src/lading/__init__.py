"""Container image manifests, registries and OCI artifacts, without a daemon.

What is public is in `__all__` here and in `lading.errors`, `lading.model`, `lading.store`, `lading.edits` and
`lading.serve`; see `docs/stability.md`. Names are loaded when they are first used, so that `import lading` costs next
to nothing.
"""

from __future__ import annotations

from lading._version import __version__

TYPE_CHECKING = False  # that of `typing` takes longer to import than all of this

if TYPE_CHECKING:
    from lading.artifacts.attach import AttachReport
    from lading.artifacts.backups.parts import BackupReport, OnPlan, PlannedTag
    from lading.artifacts.facade import Artifacts, SyncArtifacts
    from lading.artifacts.pull import Pulled, PulledFile
    from lading.artifacts.push import ArtifactFile
    from lading.artifacts.referrer_list import ReferrerEntry, ReferrerList
    from lading.artifacts.report import Guess, PushReport
    from lading.artifacts.tree_nodes import ArtifactTree, TreeNode
    from lading.client import AnyPlatform, AsyncClient
    from lading.client.blobs import Blobs, SyncBlobs
    from lading.client.indexes import Indexes, SyncIndexes
    from lading.client.registries import Registries, SyncRegistries
    from lading.client.sync import Client
    from lading.client.sync_store import SyncReadable, SyncReader, SyncStore
    from lading.drafts.annotate import AnnotatedDraft
    from lading.drafts.draft import Draft, DraftEntry
    from lading.drafts.facade import Drafts, SyncDrafts
    from lading.drafts.merge import CreatedDraft
    from lading.drafts.push import PushedDraft
    from lading.drafts.remove import RemovedEntries
    from lading.drafts.status import DraftStatus
    from lading.errors import (
        Conflict,
        Denied,
        DigestMismatch,
        InvalidContent,
        LadingError,
        NotFound,
        RateLimited,
        Unreachable,
        Unsupported,
        UsageError,
    )
    from lading.images.base_check import BaseReport
    from lading.images.diff.results import DiffReport
    from lading.images.facade import Images, SyncImages
    from lading.images.files.entries import FileEntry
    from lading.images.files.export import Exported
    from lading.images.files.layers import Layer
    from lading.images.files.reading import Files
    from lading.images.files.usage import FilesReport
    from lading.images.history import History
    from lading.images.indexes.report import EntryChange, IndexListing, IndexReport, ListedEntry
    from lading.images.indexes.sources import IndexSource
    from lading.images.layer_list import LayerList
    from lading.images.lint import Finding, LintReport
    from lading.images.overview import Overview
    from lading.images.sizes import SizeReport
    from lading.images.sync_views import SyncImage, SyncImageIndex
    from lading.images.validation import Validation, ValidationReport
    from lading.images.views import Image, ImageIndex
    from lading.mirror.facade import Mirrors, SyncMirrors
    from lading.mirror.plan import MirrorPlan
    from lading.mirror.prune import PrunePlan, PruneReport
    from lading.mirror.report import MirrorReport
    from lading.model.config import ImageConfig
    from lading.model.descriptor import Descriptor
    from lading.model.digest import Digest
    from lading.model.index import Index
    from lading.model.manifest import Manifest
    from lading.model.platform import Platform
    from lading.model.reference import Reference
    from lading.model.selection import PullClient, Selection
    from lading.model.version import Version
    from lading.registry.auth.credentials import Credential, Credentials, GivenCredentials, Login
    from lading.registry.auth.scopes import Token
    from lading.registry.diagnose.check import Checkup
    from lading.registry.diagnose.explain import Explanation
    from lading.registry.diagnose.pull_limits import PullLimits
    from lading.registry.hosts.configuration import Config
    from lading.registry.hosts.settings import HostConfig, Override
    from lading.results import Deletion, Resolution, TagChange, TagDetails, TagInfo, TagSuggestions
    from lading.store import Readable, Reader, Source, Store
    from lading.stores.location import AnyLocation, Location
    from lading.transfer.events import Event, Finished, OnEvent, PackingProgressed, Progressed, Started, Totals
    from lading.transfer.place import Place
    from lading.transfer.report import CopyReport

_HOME = {
    "artifacts.attach": ("AttachReport",),
    "artifacts.facade": ("Artifacts", "SyncArtifacts"),
    "artifacts.backups.parts": ("BackupReport", "OnPlan", "PlannedTag"),
    "artifacts.pull": ("Pulled", "PulledFile"),
    "artifacts.push": ("ArtifactFile",),
    "artifacts.tree_nodes": ("ArtifactTree", "TreeNode"),
    "artifacts.referrer_list": ("ReferrerEntry", "ReferrerList"),
    "artifacts.report": ("Guess", "PushReport"),
    "client": ("AnyPlatform", "AsyncClient"),
    "client.blobs": ("Blobs", "SyncBlobs"),
    "client.indexes": ("Indexes", "SyncIndexes"),
    "client.registries": ("Registries", "SyncRegistries"),
    "client.sync": ("Client",),
    "client.sync_store": ("SyncReadable", "SyncReader", "SyncStore"),
    "drafts.annotate": ("AnnotatedDraft",),
    "drafts.draft": ("Draft", "DraftEntry"),
    "drafts.facade": ("Drafts", "SyncDrafts"),
    "drafts.merge": ("CreatedDraft",),
    "drafts.push": ("PushedDraft",),
    "drafts.remove": ("RemovedEntries",),
    "drafts.status": ("DraftStatus",),
    "errors": (
        "Conflict",
        "Denied",
        "DigestMismatch",
        "InvalidContent",
        "LadingError",
        "NotFound",
        "RateLimited",
        "Unreachable",
        "Unsupported",
        "UsageError",
    ),
    "images.base_check": ("BaseReport",),
    "images.files.entries": ("FileEntry",),
    "images.files.export": ("Exported",),
    "images.diff.results": ("DiffReport",),
    "images.facade": ("Images", "SyncImages"),
    "images.history": ("History",),
    "images.indexes.report": ("EntryChange", "IndexListing", "IndexReport", "ListedEntry"),
    "images.indexes.sources": ("IndexSource",),
    "images.layer_list": ("LayerList",),
    "images.files.layers": ("Layer",),
    "images.lint": ("Finding", "LintReport"),
    "images.overview": ("Overview",),
    "images.files.reading": ("Files",),
    "images.sizes": ("SizeReport",),
    "images.sync_views": ("SyncImage", "SyncImageIndex"),
    "images.files.usage": ("FilesReport",),
    "images.validation": ("Validation", "ValidationReport"),
    "images.views": ("Image", "ImageIndex"),
    "mirror.facade": ("Mirrors", "SyncMirrors"),
    "mirror.plan": ("MirrorPlan",),
    "mirror.prune": ("PrunePlan", "PruneReport"),
    "mirror.report": ("MirrorReport",),
    "model.config": ("ImageConfig",),
    "model.descriptor": ("Descriptor",),
    "model.digest": ("Digest",),
    "model.index": ("Index",),
    "model.manifest": ("Manifest",),
    "model.platform": ("Platform",),
    "model.reference": ("Reference",),
    "model.selection": ("PullClient", "Selection"),
    "model.version": ("Version",),
    "registry.auth.credentials": ("Credential", "Credentials", "GivenCredentials", "Login"),
    "registry.auth.scopes": ("Token",),
    "registry.diagnose.check": ("Checkup",),
    "registry.diagnose.explain": ("Explanation",),
    "registry.diagnose.pull_limits": ("PullLimits",),
    "registry.hosts.configuration": ("Config",),
    "registry.hosts.settings": ("HostConfig", "Override"),
    "results": ("Deletion", "Resolution", "TagChange", "TagDetails", "TagInfo", "TagSuggestions"),
    "store": ("Readable", "Reader", "Source", "Store"),
    "stores.location": ("AnyLocation", "Location"),
    "transfer.events": ("Event", "Finished", "OnEvent", "PackingProgressed", "Progressed", "Started", "Totals"),
    "transfer.place": ("Place",),
    "transfer.report": ("CopyReport",),
}
"""For each module the public names that it has."""

__all__ = [
    "AnnotatedDraft",
    "AnyLocation",
    "AnyPlatform",
    "ArtifactFile",
    "ArtifactTree",
    "Artifacts",
    "AsyncClient",
    "AttachReport",
    "BackupReport",
    "BaseReport",
    "Blobs",
    "Checkup",
    "Client",
    "Config",
    "Conflict",
    "CopyReport",
    "CreatedDraft",
    "Credential",
    "Credentials",
    "Deletion",
    "Denied",
    "Descriptor",
    "DiffReport",
    "Digest",
    "DigestMismatch",
    "Draft",
    "DraftEntry",
    "DraftStatus",
    "Drafts",
    "EntryChange",
    "Event",
    "Explanation",
    "Exported",
    "FileEntry",
    "Files",
    "FilesReport",
    "Finding",
    "Finished",
    "GivenCredentials",
    "Guess",
    "History",
    "HostConfig",
    "Image",
    "ImageConfig",
    "ImageIndex",
    "Images",
    "Index",
    "IndexListing",
    "IndexReport",
    "IndexSource",
    "Indexes",
    "InvalidContent",
    "LadingError",
    "Layer",
    "LayerList",
    "LintReport",
    "ListedEntry",
    "Location",
    "Login",
    "Manifest",
    "MirrorPlan",
    "MirrorReport",
    "Mirrors",
    "NotFound",
    "OnEvent",
    "OnPlan",
    "Override",
    "Overview",
    "PackingProgressed",
    "Place",
    "PlannedTag",
    "Platform",
    "Progressed",
    "PrunePlan",
    "PruneReport",
    "PullClient",
    "PullLimits",
    "Pulled",
    "PulledFile",
    "PushReport",
    "PushedDraft",
    "RateLimited",
    "Readable",
    "Reader",
    "Reference",
    "ReferrerEntry",
    "ReferrerList",
    "Registries",
    "RemovedEntries",
    "Resolution",
    "Selection",
    "SizeReport",
    "Source",
    "Started",
    "Store",
    "SyncArtifacts",
    "SyncBlobs",
    "SyncDrafts",
    "SyncImage",
    "SyncImageIndex",
    "SyncImages",
    "SyncIndexes",
    "SyncMirrors",
    "SyncReadable",
    "SyncReader",
    "SyncRegistries",
    "SyncStore",
    "TagChange",
    "TagDetails",
    "TagInfo",
    "TagSuggestions",
    "Token",
    "Totals",
    "TreeNode",
    "Unreachable",
    "Unsupported",
    "UsageError",
    "Validation",
    "ValidationReport",
    "Version",
    "__version__",
]


def __getattr__(name: str) -> object:
    """Load a public name from its module."""
    from importlib import import_module

    for module, names in _HOME.items():
        if name in names:
            return getattr(import_module(f"lading.{module}"), name)
    raise AttributeError(f"module 'lading' has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names."""
    return __all__
