"""Edits of images and indexes, as values, and what comes of them: `Image.edited`, `client.images.edit` and `push`."""

from __future__ import annotations

from lading.artifacts.edits import ClearAnnotations, SetArtifactType, SetBlobAnnotation
from lading.images.edited import Editable, EditedImage
from lading.images.edits.annotations import LabelsToAnnotations, PromoteAnnotations, Scope, SetAnnotation, SetBase
from lading.images.edits.append import Append
from lading.images.edits.apply import Attestations
from lading.images.edits.attestations import AttestationsToReferrers, ReferrersToAttestations
from lading.images.edits.base import Base
from lading.images.edits.compression import Recompress
from lading.images.edits.config import SetAuthor, SetEnv, SetLabel, SetOsFeature, SetOsVersion, SetPlatform
from lading.images.edits.container import (
    RemoveHealthcheck,
    SetArgsEscaped,
    SetCommand,
    SetEntrypoint,
    SetHealthcheck,
    SetHostname,
    SetOnBuild,
    SetPort,
    SetShell,
    SetStopSignal,
    SetStopTimeout,
    SetUser,
    SetVolume,
    SetWorkdir,
)
from lading.images.edits.edit import Edit
from lading.images.edits.files import MakeReproducible, ReplaceFile, SetArchiveTimes, SetFileTimes, StripFiles
from lading.images.edits.formats import RemoveExternalUrls, SetDigestAlgorithm, SetFormat, SetInlineData
from lading.images.edits.history import RemoveBuildArg
from lading.images.edits.new_layer import LayerFrom, NewLayer
from lading.images.edits.rebase import Rebase
from lading.images.edits.referrers import Referrers
from lading.images.edits.remove_layers import RemoveLayers
from lading.images.edits.report import EditReport, ManifestChange
from lading.images.edits.squash import Flatten, Squash
from lading.images.edits.times import SetConfigTimes, SetCreated
from lading.io.folder_tar import Packing
from lading.io.ignore_file import Ignore
from lading.io.modes import ModeChange
from lading.transfer.transform import Attached, Graph, HasGraph

__all__ = [
    "Append",
    "Attached",
    "Attestations",
    "AttestationsToReferrers",
    "Base",
    "ClearAnnotations",
    "Edit",
    "EditReport",
    "Editable",
    "EditedImage",
    "Flatten",
    "Graph",
    "HasGraph",
    "Ignore",
    "LabelsToAnnotations",
    "LayerFrom",
    "MakeReproducible",
    "ManifestChange",
    "ModeChange",
    "NewLayer",
    "Packing",
    "PromoteAnnotations",
    "Rebase",
    "Recompress",
    "Referrers",
    "ReferrersToAttestations",
    "RemoveBuildArg",
    "RemoveExternalUrls",
    "RemoveHealthcheck",
    "RemoveLayers",
    "ReplaceFile",
    "Scope",
    "SetAnnotation",
    "SetArchiveTimes",
    "SetArgsEscaped",
    "SetArtifactType",
    "SetAuthor",
    "SetBase",
    "SetBlobAnnotation",
    "SetCommand",
    "SetConfigTimes",
    "SetCreated",
    "SetDigestAlgorithm",
    "SetEntrypoint",
    "SetEnv",
    "SetFileTimes",
    "SetFormat",
    "SetHealthcheck",
    "SetHostname",
    "SetInlineData",
    "SetLabel",
    "SetOnBuild",
    "SetOsFeature",
    "SetOsVersion",
    "SetPlatform",
    "SetPort",
    "SetShell",
    "SetStopSignal",
    "SetStopTimeout",
    "SetUser",
    "SetVolume",
    "SetWorkdir",
    "Squash",
    "StripFiles",
]
