"""Which document each command prints with `--format`, and which fields it has: from the classes that are printed.

It is loaded for templates, and for the page that describes the documents.
"""

from __future__ import annotations

import importlib
import sys
import typing
from datetime import datetime
from typing import Any

from lading.model.document import Result

_COMMANDS = "lading.cli.commands"
COMMANDS = {
    "inspect": "lading.images.overview:Overview",
    "digest": f"{_COMMANDS}.digest:DigestDocument",
    "tag": f"{_COMMANDS}.tag:TagDocument",
    "tags": f"{_COMMANDS}.tags:TagsDocument",
    "repos": f"{_COMMANDS}.repos:ReposDocument",
    "copy": "lading.transfer.report:CopyReport",
    "pull": "lading.transfer.report:CopyReport",
    "push": "lading.transfer.report:CopyReport",
    "resolve": "lading.results:ResolveDocument",
    "lint": "lading.images.lint:LintReport",
    "validate": "lading.images.validation:Validation",
    "diff": "lading.images.diff.results:DiffReport",
    "tree": "lading.artifacts.tree_nodes:ArtifactTree",
    "delete": "lading.cli.deleting:DeleteDocument",
    "manifest inspect": f"{_COMMANDS}.manifest.inspect:ManifestDocument",
    "manifest push": "lading.drafts.push:PushDocument",
    "manifest put": f"{_COMMANDS}.manifest.put:PutDocument",
    "manifest head": f"{_COMMANDS}.manifest.head:HeadDocument",
    "manifest diff": f"{_COMMANDS}.manifest.diff:ManifestDiffDocument",
    "manifest delete": "lading.cli.deleting:DeleteDocument",
    "blob put": "lading.cli.blobs:BlobDocument",
    "blob head": "lading.cli.blobs:BlobDocument",
    "blob copy": "lading.cli.blobs:BlobDocument",
    "manifest ls": f"{_COMMANDS}.manifest.ls:DraftsDocument",
    "index create": "lading.images.indexes.report:IndexReport",
    "index add": "lading.images.indexes.report:IndexReport",
    "index remove": "lading.images.indexes.report:IndexReport",
    "index filter": "lading.images.indexes.report:IndexReport",
    "index annotate": "lading.images.indexes.report:IndexReport",
    "index ls": "lading.images.indexes.report:IndexListing",
    "image config": f"{_COMMANDS}.image.config:ConfigDocument",
    "image history": "lading.images.history:History",
    "image layers": "lading.images.layer_list:LayerList",
    "image size": f"{_COMMANDS}.image.size:SizeDocument",
    "image check-base": "lading.images.base_check:BaseReport",
    "image ls": "lading.images.files.reading:Files",
    "image create": "lading.images.edits.report:EditReport",
    "image edit": "lading.images.edits.report:EditReport",
    "image rebase": "lading.images.edits.report:EditReport",
    "image flatten": "lading.images.edits.report:EditReport",
    "image squash": "lading.images.edits.report:EditReport",
    "image append": "lading.images.edits.report:EditReport",
    "artifact push": "lading.artifacts.report:PushReport",
    "artifact pull": "lading.artifacts.pull:Pulled",
    "artifact attach": "lading.artifacts.attach:AttachReport",
    "artifact get": "lading.artifacts.pull:Pulled",
    "artifact ls": "lading.artifacts.referrer_list:ReferrerList",
    "artifact backup": "lading.artifacts.backups.parts:BackupReport",
    "artifact restore": "lading.artifacts.backups.parts:BackupReport",
    "artifact edit": "lading.images.edits.report:EditReport",
    "sync plan": "lading.mirror.plan:MirrorPlan",
    "sync run": "lading.mirror.report:MirrorReport",
    "sync watch": "lading.mirror.report:MirrorReport",
    "sync prune": "lading.mirror.prune:PruneReport",
    "sync status": f"{_COMMANDS}.sync.status:StatusDocument",
    "registry gc": f"{_COMMANDS}.registry.gc:GarbageDocument",
    "registry check": "lading.registry.diagnose.check:Checkup",
    "registry limits": "lading.registry.diagnose.pull_limits:PullLimits",
    "registry config": "lading.registry.diagnose.settings:ConfigDocument",
    "login": f"{_COMMANDS}.login:LoginDocument",
    "logout": f"{_COMMANDS}.logout:LogoutDocument",
    "auth explain": "lading.registry.diagnose.explain:Explanation",
    "auth token": f"{_COMMANDS}.auth.token:TokenDocument",
    "auth ls": f"{_COMMANDS}.auth.ls:LoginsDocument",
    "auth get": f"{_COMMANDS}.auth.get:CredentialDocument",
    "warm start": f"{_COMMANDS}.warm.start:WarmStartDocument",
    "warm status": f"{_COMMANDS}.warm.status:WarmStatusDocument",
    "warm stop": f"{_COMMANDS}.warm.stop:WarmStopDocument",
    "version": f"{_COMMANDS}.version:VersionDocument",
}
"""By command, in the order of the page: the class of its document."""


def document_of(command: str) -> type:
    """The class of the document that a command prints."""
    module, _, name = COMMANDS[command].partition(":")
    found: type = getattr(importlib.import_module(module), name)
    return found


def inner_document(kind: Any) -> type | None:
    """The class of an object within a document, from the class of the value; None for what is no such object."""
    from lading.drafts import draft
    from lading.model.selection import pull

    others: dict[Any, type] = {
        draft.Draft: draft.DraftDocument,
        draft.DraftEntry: draft.DraftEntryDocument,
        pull.Selection: pull.PullDocument,
    }
    inner = others.get(kind, kind)
    return inner if typing.is_typeddict(inner) or (isinstance(inner, type) and issubclass(inner, Result)) else None


def fields_of(document: type) -> dict[str, Any]:
    """The fields of a document, in their order, with the types of their values."""
    from lading import results
    from lading.drafts import draft
    from lading.images import sizes
    from lading.images.files import usage
    from lading.model.selection import pull
    from lading.registry.auth.credentials import Login
    from lading.transfer.report import Failure

    # What the documents import for type checkers only is not in their modules.
    names = vars(results) | vars(pull) | vars(draft) | {"datetime": datetime, "Login": Login, "Failure": Failure}
    names |= vars(sizes) | vars(usage)
    names |= vars(sys.modules[document.__module__])
    fields = typing.get_type_hints(document, localns=names)
    if not issubclass(document, Result):
        return fields
    for name in document.document_fields:
        if isinstance(found := getattr(document, name), property):
            fields[name] = typing.get_type_hints(found.fget, localns=names)["return"]
    return {name: fields[name] for name in document.document_fields or document.__struct_fields__}
