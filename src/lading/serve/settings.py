"""How a registry behaves: one small value, for the command and for code."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from lading.errors import UsageError

MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a registry behaves. Every field may be left out.

    Raises:
        UsageError: a number is too small.
    """

    auth: str | None = None
    """How clients authenticate: `htpasswd=FILE` for Basic, `token=FILE` for Bearer with the registry's own token
    service. FILE has a line `USER:HASH` for each user, with bcrypt hashes, as `htpasswd -B` makes it. None lets every
    client do everything."""
    allow: Sequence[str] | str = ()
    """What users may do in which repositories: rules `USER:REPOSITORIES:ACTIONS`, or `@FILE` with such rules as its
    lines. USER is a name, `*` for every user that has logged in, or `anonymous` for every client (with `token`).
    REPOSITORIES is a glob, in which `*` is any text. ACTIONS are `pull`, `push` (which includes `pull`), `delete` or
    `*`, with commas between them. Without any rule, users that have logged in may do
    everything; with rules, what the rules say and nothing else."""
    token_key: str | os.PathLike[str] | None = None
    """A file with the key that tokens are signed with, made if it does not exist. With it, `docker login` outlives
    the process. Without it, the key is the process's own, and clients keep their password."""
    public_url: str | None = None
    """The address that clients know the registry by, where it is not what they send as `Host`: behind a proxy."""
    read_only: bool = False
    """Refuse everything that would change something."""
    allow_missing: bool = False
    """Take manifests although what they refer to is not there."""
    max_manifest: int = 4 * MIB
    """The largest manifest that is taken, in bytes."""
    max_uploads: int = 256
    """How many uploads may be under way at once."""
    min_upload_rate: int = 1024
    """How fast content must come while it is pushed, in bytes per second, over each minute of waiting for it."""
    max_size: int | None = None
    """How much the storage may hold, in bytes; None for as much as there is place."""
    upload_expiry: float = 24 * 60 * 60
    """Seconds without a request after which an upload is discarded."""

    def __post_init__(self) -> None:
        for name in ("max_manifest", "max_uploads", "min_upload_rate", "max_size", "upload_expiry"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UsageError(f"{name} is {value}", remedy="give a number greater than 0")
