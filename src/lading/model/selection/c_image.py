"""How podman, buildah and skopeo pull: `containers/image` compares names as they are, in an order of its own."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from lading.model.descriptor import Descriptor
from lading.model.index import Index
from lading.model.manifest import Manifest
from lading.model.media_types import IMAGE_CONFIGS, OCI_INDEX
from lading.model.platform import Platform
from lading.model.selection.containerd import is_layer
from lading.model.selection.docker import NO_PLATFORM
from lading.model.selection.platforms import Refused, normalize, parse, quoted
from lading.model.selection.pull import Fit, Gap, Outcome, Pull, Selection, is_index

ZSTD = "io.github.containers.compression.zstd"
"""The annotation of an entry whose layers are compressed with zstd."""


class Choice(NamedTuple):
    """What is asked for, as `containers/image` has it; what is empty was not said."""

    os: str
    architecture: str
    variant: str
    problem: str = ""
    """Why it could not be normalized; what is pulled all the same is refused afterwards."""


def pull_with_image_library(pull: Pull, top: Manifest | Index) -> Selection:
    """What podman, buildah or skopeo takes."""
    try:
        choice = _choice(pull)
    except Refused as refused:
        return _ends(pull, "refused", error=f"Error: {refused}", reason="")
    if isinstance(top, Manifest):
        found = _finish(pull, pull.image(top), top)
    else:
        found = _choose(pull, top, _wanted(choice, pull.host))
    if choice.problem and found.is_pulled:
        error = f"Error: checking platform of image …: parsing host platform: {choice.problem}"
        return pull.ends("fails", *found.taken, fetched=found.fetched, error=error, reason="the platform is malformed")
    return found


def _choose(pull: Pull, index: Index, wanted: list[Platform], depth: int = 0) -> Selection:
    pull.reach.enter(0, depth)
    order = pull.rank(index.manifests, lambda entry: _judge(pull, index, wanted, entry))
    if not order:
        return _no_match(pull, index, wanted[0])
    entry = order[0]
    found = pull.look(entry)
    if found is Gap.MISSING:
        return _missing(pull, index, entry)
    if is_index(entry, found):
        if pull.client.variant == "inspect":
            if isinstance(found, Index):
                return _choose(pull, found, wanted, depth + 1)
            return _ends(pull, "taken", entry, reason="it is an index that has not been read")
        return _ends(
            pull,
            "fails",
            entry,
            error="copying system image from manifest list: Unexpectedly received a manifest list instead of a "
            "manifest for a single image",
            reason="it is an index, and is not followed",
        )
    return _finish(pull, entry, found if isinstance(found, Manifest) else None)


def _judge(pull: Pull, index: Index, wanted: list[Platform], entry: Descriptor) -> Fit | str:
    platform, first = entry.platform, wanted[0]
    zstd = entry.annotations.get(ZSTD) == "true" and pull.client.image_library >= (5, 25)
    is_oci = index.media_type == OCI_INDEX
    if platform is None:
        if not is_oci:
            return "has no platform, and such are not taken from a Docker list"
        return Fit((len(wanted), not zstd), NO_PLATFORM)
    named = (platform.os, platform.architecture, platform.variant)
    for place, item in enumerate(wanted):
        if named == (item.os, item.architecture, item.variant):
            return Fit((place, not (zstd and is_oci)), _why(item, first) + (", with zstd" if zstd and is_oci else ""))
    if (platform.os, platform.architecture) == (first.os, first.architecture):
        variants = [item.variant or "none" for item in wanted]
        takes = variants[0] if len(variants) == 1 else f"{', '.join(variants[:-1])} or {variants[-1]}"
        return f"its variant is {platform.variant or 'none'}, and {first} takes {takes}"
    return f"{platform} is not {first}, and names are compared as they are"


def _why(item: Platform, first: Platform) -> str:
    if item == first:
        return "the platform itself"
    if not item.variant:
        return "has no variant, and is taken where none of those before it is there"
    return f"nearest variant below {first.variant}" if first.variant else "the highest variant, as none was asked for"


def _finish(pull: Pull, entry: Descriptor, manifest: Manifest | None) -> Selection:
    """What becomes of an image that was taken."""
    if manifest is None or manifest.config is None:
        return _ends(pull, "taken", entry)
    if manifest.config.media_type not in IMAGE_CONFIGS and pull.client.variant != "copy":
        kind = manifest.config.media_type
        if pull.client.image_library >= (5, 28) and manifest.artifact_type:
            kind = manifest.artifact_type
        text = f"unsupported image-specific operation on artifact with type {quoted(kind)}"
        if pull.client.variant == "inspect":
            text = f"Error reading OCI-formatted configuration data: {text}"
        else:
            text = f"copying system image from manifest list: parsing image configuration: {text}"
        return _ends(pull, "fails", entry, error=text, reason="it is no image")
    if (
        pull.client.variant is None
        and manifest.layers
        and not any(is_layer(item.media_type) for item in manifest.layers)
    ):
        text = "copying system image from manifest list: writing blob: adding layer with blob …"
        return _ends(pull, "fails", entry, error=text, reason="its layers are no file systems")
    return _ends(pull, "taken", entry)


def _no_match(pull: Pull, index: Index, wanted: Platform) -> Selection:
    if pull.client.image_library >= (5, 31):
        names = f"architecture {quoted(wanted.architecture)}, variant {quoted(wanted.variant)}, OS {quoted(wanted.os)}"
    else:
        names = f"architecture {wanted.architecture}, variant {quoted(wanted.variant)}, OS {wanted.os}"
    how = (
        "Error parsing manifest for image: choosing image instance"
        if pull.client.variant == "inspect"
        else f"choosing an image from manifest list docker://{pull.name}"
    )
    return _ends(pull, "no match", error=f"{how}: no image found in {_kind(index)} for {names}", reason="no entry fits")


def _missing(pull: Pull, index: Index, entry: Descriptor) -> Selection:
    how = (
        f"Error parsing manifest for image: fetching target platform image selected from {_kind(index)}"
        if pull.client.variant == "inspect"
        else f"copying system image from manifest list: determining manifest MIME type for docker://{pull.name}"
    )
    return _ends(
        pull,
        "fails",
        entry,
        error=f"{how}: reading manifest {entry.digest} in …: manifest unknown…",
        reason="the list has it, the repository does not, and no other entry is tried",
    )


def _kind(index: Index) -> str:
    return "image index" if index.media_type == OCI_INDEX else "manifest list"


def _ends(pull: Pull, outcome: Outcome, *taken: Descriptor, error: str | None = None, reason: str = "") -> Selection:
    is_failure = error is not None and outcome in ("no match", "fails")
    if is_failure and pull.client.name != "skopeo":
        from_source = pull.client.since("5.5" if pull.client.name == "podman" else "1.40")
        error = f"Error: {f'unable to copy from source docker://{pull.name}: ' if from_source else ''}{error}"
    return pull.ends(outcome, *taken, error=error, reason=reason)


def _choice(pull: Pull) -> Choice:
    """What becomes of `--platform`."""
    if pull.platform is None:
        return _normalized(pull, Choice("", "", "")) if pull.client.name != "skopeo" else Choice("", "", "")
    parts = pull.platform.split("/")
    if pull.client.name == "skopeo":
        # It has three options of their own, into which an os.version does not go.
        return _parts([parts[0].partition("(")[0], *parts[1:]])
    if pull.client.name == "podman":
        return _normalized(pull, _parts(parts if pull.client.since("5") else pull.platform.split("/", 1)))
    if pull.client.since("1.31"):
        try:
            platform = parse(pull.platform, pull.client.library, pull.host)
        except Refused as refused:
            text = f"invalid platform syntax for --platform={quoted(pull.platform)}: {refused}"
            raise Refused(f"unable to parse platform {quoted(pull.platform)}: {text}") from None
        return _normalized(pull, Choice(platform.os, platform.architecture, platform.variant))
    if len(parts) == 1:
        text = f"invalid platform syntax for {quoted(pull.platform)} (use OS/ARCH[/VARIANT][,...])"
        raise Refused(f"unable to parse platform {quoted(pull.platform)}: {text}")
    return _normalized(pull, _parts(parts))


def _parts(parts: list[str]) -> Choice:
    return Choice(*(*parts, "", "")[:3])


def _normalized(pull: Pull, raw: Choice) -> Choice:
    """What libimage makes of it: containerd's spelling, of what was said; as it is where that cannot be parsed."""
    said = Platform(os=raw.os, architecture=raw.architecture, variant=raw.variant)
    normal = normalize(said, pull.client.library, pull.host)
    variant = normal.variant or raw.variant
    text = "/".join(part for part in (normal.os, normal.architecture or pull.host.architecture, variant) if part)
    try:
        parsed = parse(text, pull.client.library, pull.host)
    except Refused as refused:
        return raw._replace(problem=str(refused))
    return Choice(parsed.os if raw.os else "", parsed.architecture if raw.architecture else "", parsed.variant)


def _wanted(choice: Choice, host: Platform) -> list[Platform]:
    """The platforms that are taken, best first."""
    architecture = choice.architecture or host.architecture
    # The machine's own variant counts where no architecture was said.
    own = host.variant or {"arm": "v7", "arm64": "v8"}.get(host.architecture, "")
    is_arm = host.architecture in ("arm", "arm64")
    variant = choice.variant or (own if not choice.architecture and is_arm else "")
    known = {"arm": ["v8", "v7", "v6", "v5"], "arm64": ["v8"]}.get(architecture, [])
    if not variant:
        variants = ["", *known]
    elif variant in known:
        variants = [*known[known.index(variant) :], ""]
    else:
        variants = [variant, ""]
    platform = Platform(os=choice.os or host.os, architecture=architecture)
    return [msgspec.structs.replace(platform, variant=name) for name in variants]
