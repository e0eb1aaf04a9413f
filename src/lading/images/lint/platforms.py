"""Rules about platforms: how they are spelled, whether they exist, and whether they are those of the images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from lading.images.lint.codes import Finding
from lading.images.lint.findings import annotate, entry_of, finding
from lading.images.lint.gather import Facts, Part
from lading.model.index import Index
from lading.model.platform import Platform

_VARIANTS = {"arm": ("v5", "v6", "v7", "v8"), "arm64": ("v8",), "amd64": ("v2", "v3", "v4")}

_WASI = Platform(os="wasi", architecture="wasm")
"""What Docker and containerd's shims for WebAssembly are asked for, and Go calls otherwise."""


def check_platforms(facts: Facts) -> Iterator[Finding]:
    """Everything about the platforms of a list's entries, and of an image's own config."""
    if isinstance(facts.manifest, Index):
        for part in facts.images:
            yield from check_entry_platform(part)
        yield from _against_configs(facts.images)
    yield from _compared(facts)


def check_entry_platform(part: Part) -> Iterator[Finding]:
    """What can be said of the platform of one entry of a list, whatever else that has."""
    if not part.is_attestation:
        yield from _spelling(part)
        yield from _absent(part)


def _spelling(part: Part) -> Iterator[Finding]:
    said = part.platform
    if said is None or (said.os, said.architecture) == ("unknown", "unknown"):
        return
    meant = said.canonical()
    if said.os != said.os.lower():
        message = f"{entry_of(part)} ends a Docker 20.10 daemon that pulls from this list."
        small = msgspec.structs.replace(said, os=said.os.lower())
        yield finding("LAD601", message, part, remedy="write it in small letters", **annotate(part, small))
    if (said.os, said.architecture) != (meant.os, meant.architecture):
        message = f"{entry_of(part)} is not how platforms are spelled: podman and skopeo do not find it."
        yield finding("LAD201", message, part, remedy=f"call it {meant}", **annotate(part, meant))
    base = Platform(os=meant.os, architecture=meant.architecture)
    if not base.is_known and base != _WASI:
        yield finding("LAD202", f"{entry_of(part)} is no platform that exists.", part)
    else:
        yield from _variant(part, said, meant)
    if meant.os == "windows" and not said.os_version:
        message = f"{entry_of(part)} does not say which build of Windows it needs."
        its = part.config.platform.os_version if part.config is not None else ""
        how = annotate(part, msgspec.structs.replace(said, os_version=its)) if its else {}
        yield finding("LAD205", message, part, remedy="say it" if its else None, **how)


def _variant(part: Part, said: Platform, meant: Platform) -> Iterator[Finding]:
    if meant.architecture == "arm" and not meant.variant:
        yield finding("LAD203", f"{entry_of(part)} has no variant. Clients read it as v7.", part)
    elif said.variant != _written(meant):
        message = f"{entry_of(part)} has a variant that not all clients read as {_written(meant) or 'none'}."
        wanted = msgspec.structs.replace(meant, variant=_written(meant))
        yield finding("LAD204", message, part, remedy=f"call it {wanted}", **annotate(part, wanted))
    elif not meant.is_known and meant.variant:
        known = ", ".join(_VARIANTS.get(meant.architecture, ())) or "none"
        message = f"{entry_of(part)} has a variant that no client asks for."
        yield finding("LAD204", message, part, remedy=f"variants of {meant.architecture}: {known}")


def _written(platform: Platform) -> str:
    """The one spelling of a variant that every client understands."""
    variant = platform.variant
    if variant[:1].isdigit():
        variant = f"v{variant}"
    variant = variant.removesuffix(".0")
    return "" if (platform.architecture, variant) == ("amd64", "v1") else variant


def _absent(part: Part) -> Iterator[Finding]:
    if part.platform is not None:
        if part.is_artifact and part.platform.os not in ("", "unknown"):
            yield finding("LAD406", f"{entry_of(part)} is an artifact: clients take it for the image.", part)
        return
    if part.is_artifact or part.is_nested:
        return
    real = part.config.platform if part.config is not None else Platform()
    how: dict[str, Any] = {}
    if real.os and real.architecture:
        how = {"remedy": "say what it is for", **annotate(part, real)}
    yield finding("LAD106", f"{entry_of(part)} does not say what it is for.", part, **how)
    if how:
        message = f"{entry_of(part)} is for {real}: Docker 28 and 29 break off when another platform is pulled."
        yield finding("LAD602", message, part, **how)


def _against_configs(images: tuple[Part, ...]) -> Iterator[Finding]:
    """Whether the images are for what the index says; the same build under several names is told once."""
    pairs = [
        (part, part.platform, part.config.platform)
        for part in images
        if part.platform is not None and part.config is not None and part.platform.os != "unknown"
    ]
    pairs = [(part, said, real) for part, said, real in pairs if real.architecture]
    wrong = [(part, real) for part, said, real in pairs if disagree(said, real)]
    everywhere = _built_once((said, real) for _, said, real in pairs)
    for architecture in sorted(everywhere):
        yield _one_build(architecture, [part for part, real in wrong if real.canonical().architecture == architecture])
    for part, real in wrong:
        if real.canonical().architecture not in everywhere:
            remedy = "build it for its platform, or say what it is for"
            message = f"{entry_of(part)} holds an image for {real}."
            yield finding("LAD104", message, part, remedy=remedy, **annotate(part, real.canonical()))


def _one_build(architecture: str, parts: list[Part]) -> Finding:
    names = ", ".join(str(part.platform) for part in parts)
    built = f"images for {names} were built" if len(parts) > 1 else f"image for {names} was built"
    return finding("LAD105", f"The {built} for {architecture}.", parts[0])


def _built_once(pairs: Iterable[tuple[Platform, Platform]]) -> set[str]:
    """The architectures whose images the index lists under their own name and under another one, too.

    That is one mistake, a build that went out under several names, and not one for each entry.

    Args:
        pairs: what the index says of each image, and what its config says.
    """
    names: dict[str, set[str]] = defaultdict(set)
    for said, real in pairs:
        names[real.canonical().architecture].add(said.canonical().architecture)
    return {real for real, said in names.items() if len(said) > 1 and real in said}


def disagree(said: Platform, real: Platform) -> bool:
    """Whether an image is for another platform than is said of it.

    Args:
        said: what a list says.
        real: what the image's config says.
    """
    a, b = said.normalized(), real.normalized()
    if (a.os, a.architecture) != (b.os, b.architecture):
        return True
    # What an image's config does not say, it does not contradict.
    if said.variant and real.variant and a.variant != b.variant:
        return True
    return bool(said.os_version and real.os_version and said.os_version != real.os_version)


def _compared(facts: Facts) -> Iterator[Finding]:
    if facts.against is None:
        return
    if isinstance(facts.manifest, Index):
        here = {part.platform.normalized() for part in facts.images if part.platform is not None}
    else:
        here = {part.config.platform.normalized() for part in facts.parts if part.config is not None}
    kept = {_without_build(platform) for platform in here}
    for platform in dict.fromkeys(facts.expected):
        if _without_build(platform.normalized()) not in kept:
            yield finding("LAD701", f"{facts.against} has an image for {platform}, and {facts.name} has none.")


def _without_build(platform: Platform) -> Platform:
    # The build of Windows moves with every release.
    return Platform(os=platform.os, architecture=platform.architecture, variant=platform.variant)
