"""How Docker pulls with a graph driver: 20.10 by equality, 23 and later by rank, and either on Windows."""

from __future__ import annotations

import msgspec

from lading.model.config import ImageConfig
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.index import Index
from lading.model.manifest import Manifest
from lading.model.media_types import IMAGES
from lading.model.platform import Platform
from lading.model.selection.platforms import (
    Matcher,
    Refused,
    named,
    normalize,
    only,
    parse,
    quoted,
    windows_build,
)
from lading.model.selection.pull import Fit, Gap, Pull, Selection, is_index

NO_PLATFORM = "has no platform, and is taken where nothing else fits"
DAEMON = "Error response from daemon: "
"""What Docker's CLI puts before an error that comes before anything was downloaded."""


def pull_with_graphdriver(pull: Pull, top: Manifest | Index) -> Selection:
    """What is pulled from a list, or of a name that is no list."""
    library = pull.client.library
    asked: Platform | None = None
    try:
        if pull.platform is not None:
            asked = parse(pull.platform, library, pull.host)
    except Refused as refused:
        return pull.ends("refused", error=f"{DAEMON}{refused}")
    if isinstance(top, Manifest):
        return _pull_image(pull, pull.image(top), top, asked, None)
    return _pull_list(pull, top, asked, set())


def default_platform(pull: Pull, *, levels: bool) -> Platform:
    """What Docker and containerd ask for where no platform is given.

    Args:
        pull: whose host it is.
        levels: whether the level of an amd64 (v1 to v4) counts.
    """
    variant = pull.host.variant
    if pull.host.architecture == "amd64" and not levels:
        variant = ""
    elif pull.host.architecture in ("arm", "arm64"):
        variant = variant or {"arm": "v7", "arm64": "v8"}[pull.host.architecture]
    return msgspec.structs.replace(pull.host, variant=variant)


def _pull_list(pull: Pull, index: Index, asked: Platform | None, failed: set[Digest], depth: int = 0) -> Selection:
    """What is pulled from a list; the lists within it that `failed` are passed over, and more of them are added."""
    pull.reach.enter(0, depth)
    for entry in _rank(pull, index, asked):
        found = pull.look(entry)
        if found is Gap.MISSING:
            return pull.ends(
                "fails",
                entry,
                error=f"manifest for {pull.name} not found: manifest unknown: manifest unknown",
                reason="the list has it, the repository does not, and no other entry is tried",
            )
        is_nested = is_index(entry, found)
        if not pull.client.since("23") and (is_nested or found is Gap.UNREADABLE):
            reason = "it is an index, and is not followed" if is_nested else "it is no image"
            return pull.ends("fails", entry, error="unsupported manifest format", reason=reason)
        if is_nested:
            if not isinstance(found, Index):
                return pull.ends("taken", entry, reason="it is an index that has not been read")
            if found.digest in failed:
                continue
            within = _pull_list(pull, found, asked, failed, depth + 1)
            if within.outcome == "fails":
                failed.add(found.digest)
                continue
            return within
        if found is not Gap.UNREADABLE:
            return _pull_image(pull, entry, found if isinstance(found, Manifest) else None, asked, index)
    text = named(asked or default_platform(pull, levels=False))
    return pull.ends(
        "no match",
        error=f"no matching manifest for {text} in the manifest list entries",
        reason="no entry fits",
    )


def _rank(pull: Pull, index: Index, asked: Platform | None) -> list[Descriptor]:
    """The entries that fit, the best first."""
    if pull.host.os == "windows":
        return _rank_for_windows(pull, index, asked)
    if pull.client.since("23"):
        matcher = only(asked or default_platform(pull, levels=True), pull.client.library, pull.host)
        return pull.rank(index.manifests, lambda entry: _judge(matcher, entry))
    return _rank_for_20_10(pull, index, asked or default_platform(pull, levels=False))


def _judge(matcher: Matcher, entry: Descriptor) -> Fit | str:
    platform = entry.platform
    if platform is None or platform == Platform():
        return Fit((1,), NO_PLATFORM)
    rank = matcher.rank(platform)
    return matcher.why_not(platform) if rank is None else Fit((0, *rank), matcher.why(platform))


def _rank_for_20_10(pull: Pull, index: Index, wanted: Platform) -> list[Descriptor]:
    library = pull.client.library
    matcher = Matcher([wanted], library, pull.host)
    normal = normalize(wanted, library, pull.host)
    equal = [entry for entry in index.manifests if entry.platform and matcher.rank(entry.platform) is not None]

    def judge(entry: Descriptor) -> Fit | str:
        platform = entry.platform
        if platform is None:
            return "has no platform, and such are never taken"
        if matcher.rank(platform) is not None:
            return Fit((), matcher.why(platform))
        if not equal and normal.architecture == "arm" and (platform.os, platform.architecture) == (normal.os, "arm"):
            return Fit((), "no exact match: any arm entry will do, whatever its variant")
        return matcher.why_not(platform)

    return pull.rank(index.manifests, judge)


def _rank_for_windows(pull: Pull, index: Index, asked: Platform | None) -> list[Descriptor]:
    """Windows takes what its build runs; whatever architecture is asked for, it takes its own."""
    build = windows_build(pull.host.os_version)

    def judge(entry: Descriptor) -> Fit | str:
        platform = entry.platform or Platform()
        if platform.architecture != pull.host.architecture:
            return f"{platform} is for another architecture than this machine"
        if (asked.os if asked else platform.os).lower() != "windows":
            return f"{platform} is for another operating system than windows"
        is_windows = platform.os.lower() == "windows"
        its = windows_build(platform.os_version)
        if is_windows and build and its and its[2] > build[2]:
            return f"its os.version {platform.os_version} is later than this machine's"
        same = build is not None and platform.os_version.startswith(".".join(map(str, build)) + ".")
        return Fit((not is_windows, not same), "of this machine's build" if same else "runs on this machine")

    return pull.rank(index.manifests, judge)


def _pull_image(
    pull: Pull, entry: Descriptor, manifest: Manifest | None, asked: Platform | None, index: Index | None
) -> Selection:
    """What becomes of an entry that was taken."""
    for blob in manifest.children if manifest is not None else ():
        if not _is_pulled(blob.media_type):
            error = f"unsupported media type {blob.media_type}"
            return pull.ends("fails", entry, error=error, reason="it is no image")
    wrong = _operating_system(pull, entry, manifest)
    if wrong is not None:
        return wrong
    if manifest is not None and index is not None and _crashes(pull, entry, manifest, asked, index):
        return pull.ends(
            "crashes",
            entry,
            fetched=[entry],
            error="unexpected EOF",
            reason="an image for another platform, beside an entry without one: the daemon's handler crashes",
        )
    return pull.ends("taken", entry)


def _operating_system(pull: Pull, entry: Descriptor, manifest: Manifest | None) -> Selection | None:
    """How the pull ends where the image is for another operating system than the machine's."""
    is_new = pull.client.since("23")
    unusable = "operating system is not supported"
    if entry.platform is not None and entry.platform.os:
        os = entry.platform.os
        error = unusable if is_new else f"image operating system {quoted(os)} cannot be used on this platform"
    else:
        config = pull.config(manifest) if manifest is not None and manifest.is_image else None
        os = config.platform.os if isinstance(config, ImageConfig) else ""
        error = f"image operating system {quoted(os)} cannot be used on this platform"
        error += f": {unusable}" if is_new else ""
    if not os or os == pull.host.os:
        return None
    if os.lower() != pull.host.os:
        return pull.ends("fails", entry, error=error, reason=f"it is for {os}, and this machine is {pull.host.os}")
    if is_new or entry.platform is None:
        return None
    return pull.ends("crashes", entry, error="unexpected EOF", reason=f"{os} has a capital letter: the daemon crashes")


def _crashes(pull: Pull, entry: Descriptor, manifest: Manifest, asked: Platform | None, index: Index) -> bool:
    """Whether the daemon looks for the image's platform in a list with an entry that has none, and falls over it."""
    if asked is None or not (pull.client.since("25") or _is_latest(pull.name)):
        return False
    matcher = only(asked, pull.client.library, pull.host)
    if not _meets_none(index, entry, matcher):
        return False
    config = pull.config(manifest)
    if not isinstance(config, ImageConfig):
        return False
    its = config.platform
    if matcher.rank(its) is not None:
        return False
    normal, wanted = (normalize(platform, pull.client.library, pull.host) for platform in (its, asked))
    return bool(its.variant) or (normal.os, normal.architecture) != (wanted.os, wanted.architecture)


def _meets_none(index: Index, entry: Descriptor, matcher: Matcher) -> bool:
    """Whether the search for the entry of an image, by its platform, meets an entry without a platform first."""
    for item in index.manifests:
        if item.media_type not in IMAGES:
            continue
        if item.platform is None:
            return True
        if item.digest == entry.digest and matcher.rank(item.platform) is not None:
            return False
    return False


def _is_latest(name: str) -> bool:
    """Whether a name is found again without its tag, which is how it was looked for before 25."""
    tag = name.rpartition("/")[2].partition(":")[2]
    return tag in ("", "latest") and "@" not in name


def _is_pulled(media_type: str) -> bool:
    kind = media_type.lower()
    return kind in _OLD_TYPES or kind.startswith(("application/vnd.oci.image.", "application/vnd.docker."))


_OLD_TYPES = ("", "application/octet-stream", "application/json", "text/html")
