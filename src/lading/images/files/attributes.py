"""What container engines keep of what an entry of a layer says: times and attributes; knows nothing of paths."""

from __future__ import annotations

from msgspec.structs import replace

from lading.io.tar_stream import Member

_LATEST = (2**63 - 1) / 1e9
"""The last second that engines know (in nanoseconds since 1970, a signed number of 64 bits)."""
_OVERLAY = "trusted.overlay."
_NAMESPACES = ("user.", "trusted.", "security.", "system.posix_acl_")
"""The attributes that Linux has; engines leave out what it refuses (xattr(7))."""


def kept(member: Member) -> tuple[Member, tuple[str, ...]]:
    """An entry as it counts, and what is not kept of it, in words that follow its path.

    Args:
        member: the entry.

    Returns:
        The entry itself where all of it is kept.
    """
    if not member.xattrs and 0 <= member.mtime <= _LATEST:
        return member, ()
    said = []
    if not 0 <= member.mtime <= _LATEST:
        member = replace(member, mtime=0)
        said.append("has a time that engines do not keep: it is from 1970")
    overlay = {key for key in member.xattrs if key.startswith(_OVERLAY)}
    unknown = {key for key in member.xattrs if not _is_known(key, member.type)}
    if overlay:
        said.append("has attributes of overlays, which are left out")
    if unknown:
        said.append("has attributes that Linux does not have there, which are left out")
    if overlay or unknown:
        left = {key: value for key, value in member.xattrs.items() if key not in overlay | unknown}
        member = replace(member, xattrs=left)
    return member, tuple(said)


def _is_known(key: str, kind: str) -> bool:
    """Whether a file of a type can have an attribute: those of users are for files and directories."""
    return key.startswith(_NAMESPACES) and (kind in "015" or not key.startswith("user."))
