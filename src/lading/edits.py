"""Edits of images and indexes, as values, and what comes of them: `Image.edited`, `client.images.edit` and `push`."""

from __future__ import annotations

from lading.images.edited import Editable, EditedImage
from lading.images.edits.annotations import Scope, SetAnnotation
from lading.images.edits.apply import Attestations
from lading.images.edits.compression import Recompress
from lading.images.edits.config import SetEnv, SetLabel
from lading.images.edits.edit import Edit
from lading.images.edits.files import MakeReproducible, ReplaceFile, SetFileTimes, StripFiles
from lading.images.edits.rebase import Base, Rebase
from lading.images.edits.remove_layers import RemoveLayers
from lading.images.edits.report import EditReport, ManifestChange
from lading.images.edits.squash import Flatten, Squash
from lading.transfer.transform import Graph, HasGraph

__all__ = [
    "Attestations",
    "Base",
    "Edit",
    "EditReport",
    "Editable",
    "EditedImage",
    "Flatten",
    "Graph",
    "HasGraph",
    "MakeReproducible",
    "ManifestChange",
    "Rebase",
    "Recompress",
    "RemoveLayers",
    "ReplaceFile",
    "Scope",
    "SetAnnotation",
    "SetEnv",
    "SetFileTimes",
    "SetLabel",
    "Squash",
    "StripFiles",
]
