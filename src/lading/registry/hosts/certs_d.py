"""Certificates where Docker and podman have them: `certs.d/HOST[:PORT]/`. Knows files, and nothing of HTTP.

Each `*.crt` there is an authority's certificate, each `*.cert` a client's, with its key in `*.key`. The user's folders
come before the system's, and the first that has something for a host counts, alone.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from lading.errors import UsageError
from lading.folders import home


class Certificates(msgspec.Struct, frozen=True):
    """What a folder has for a host."""

    folder: Path
    ca_files: tuple[str, ...]
    cert_file: str | None
    key_file: str | None


def find_certificates(names: Sequence[str], environ: Mapping[str, str] | None = None) -> Certificates | None:
    """The certificates for a host; None where no folder has any.

    Args:
        names: what the host is called, with its port where it has one; the first name that has a folder counts.
        environ: the environment; `LADING_CERTS_D` has the folders, separated as in `PATH`, in place of Docker's and
            podman's.

    Raises:
        UsageError: a folder has a client's certificate without its key or the other way round.
    """
    for folder in folders(os.environ if environ is None else environ):
        for name in names:
            if "/" not in name and name not in {"", ".", ".."} and (found := _read(folder / name)) is not None:
                return found
    return None


def certified_hosts(environ: Mapping[str, str] | None = None) -> list[str]:
    """The hosts that have a folder of certificates, which may be empty."""
    found: list[str] = []
    for folder in folders(os.environ if environ is None else environ):
        with contextlib.suppress(OSError):  # there is none, or another user's
            found += sorted(place.name for place in folder.iterdir() if place.is_dir())
    return list(dict.fromkeys(found))


def folders(environ: Mapping[str, str]) -> list[Path]:
    """Where they are looked for, in this order."""
    named = environ.get("LADING_CERTS_D")
    if named is not None:
        places = [Path(part) for part in named.split(os.pathsep) if part]
        if places and not any(place.is_dir() for place in places):
            raise UsageError(
                f"{places[0]} is no folder", cause="LADING_CERTS_D names it", remedy="correct the variable, or unset it"
            )
        return places
    user = home(environ) / ".config"
    # Rootless Docker goes by the variable, podman does not.
    docker = Path(environ.get("XDG_CONFIG_HOME") or user) / "docker"
    kept = (docker, user / "docker", user / "containers", Path("/etc/docker"), Path("/etc/containers"))
    return [place / "certs.d" for place in dict.fromkeys(kept)]


def _read(folder: Path) -> Certificates | None:
    try:
        files = sorted(file.name for file in folder.iterdir())
    except OSError:  # there is none, or another user's
        return None
    authorities = tuple(str(folder / name) for name in files if name.endswith(".crt"))
    certificates = {Path(name).stem for name in files if name.endswith(".cert")}
    keys = {Path(name).stem for name in files if name.endswith(".key")}
    for stem in sorted(certificates ^ keys):
        has, lacks = ("cert", "key") if stem in certificates else ("key", "cert")
        raise UsageError(
            f"{folder} has {stem}.{has} without {stem}.{lacks}",
            cause="a client's certificate is in NAME.cert, its key in NAME.key, and an authority's in NAME.crt",
        )
    if not authorities and not certificates:
        return None
    client = min(certificates, default=None)
    return Certificates(
        folder,
        authorities,
        str(folder / f"{client}.cert") if client else None,
        str(folder / f"{client}.key") if client else None,
    )
