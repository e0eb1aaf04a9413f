"""How containerd pulls: its Go client, which Docker's containerd store uses, too, and `ctr`, which has ways of its own.

The client keeps the best entry of every index on its way down. `ctr` downloads whatever is equal to what it is asked
for, and asks the client's question only afterwards, or, with the transfer service, not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

from lading.model.config import ImageConfig
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.index import Index, attested
from lading.model.manifest import Manifest
from lading.model.media_types import IMAGE_CONFIGS, IMAGES, INDEXES
from lading.model.platform import Platform
from lading.model.reach import Reach, visit
from lading.model.selection.docker import DAEMON, NO_PLATFORM, default_platform
from lading.model.selection.platforms import Library, Matcher, Refused, named, only, parse
from lading.model.selection.pull import Fit, Gap, Outcome, Pull, Selection

Judge = Callable[[Descriptor], Fit | str]


def pull_with_client(pull: Pull, top: Manifest | Index) -> Selection:
    """What containerd's Go client takes, or Docker with the containerd store."""
    is_docker = pull.client.name == "docker"
    try:
        matcher = _matcher(pull)
    except Refused as refused:
        text = f"{DAEMON}{refused}" if is_docker else f"invalid platform {pull.platform}: {refused}"
        return pull.ends("refused", error=text)
    return _Descent(pull, matcher, unpacks=is_docker or pull.client.variant == "unpack").run(top)


def pull_with_ctr(pull: Pull, top: Manifest | Index) -> Selection:
    """What `ctr images pull` takes."""
    library = pull.client.library
    try:
        equal = Matcher([asked_platform(pull)], library, pull.host)
    except Refused as refused:
        return pull.ends("refused", error=f"ctr: invalid platform {pull.platform}: {refused}")
    if pull.client.variant == "transfer" and not _can_unpack(pull, equal):
        return pull.ends(
            "fails",
            error="ctr: unable to initialize unpacker: no unpack platforms defined: invalid argument",
            reason="the transfer service does not unpack this platform here",
        )

    def fits(entry: Descriptor) -> bool:
        return entry.platform is None or equal.rank(entry.platform) is not None

    # From 2.0 on it reads the manifests of all platforms, so it follows every index, and misses what is missing.
    reads = fits if not pull.client.since("2") else lambda _: True
    every = list(_every_entry(pull, top, reads)) if isinstance(top, Index) else []
    for entry in every:
        failure = _unfetched(pull, entry)
        if failure is not None:
            reason = "the list has it, the repository does not have it so, and it reads whatever it may need"
            return pull.ends("fails", entry, error=f"ctr: {failure}", reason=reason)
    # Content that is listed twice is there once.
    fetched = list({entry.digest: entry for entry in every if entry.media_type in IMAGES and fits(entry)}.values())
    if pull.client.variant == "transfer":
        return _transferred(pull, top, equal, fetched)
    there = _There(manifests={entry.digest for entry in every}, fetched=fetched)
    return _Descent(pull, _matcher(pull), unpacks=True, there=there).run(top)


class _There(NamedTuple):
    """What has been downloaded."""

    manifests: set[Digest]
    """Without their layers."""
    fetched: list[Descriptor]
    """With their layers."""

    def has(self, entry: Descriptor) -> bool:
        """Whether an image is there, layers and all."""
        return any(item.digest == entry.digest for item in self.fetched)


class _Descent:
    """The way down from the top to one image.

    Args:
        pull: the pull.
        matcher: what is taken.
        unpacks: whether the image is unpacked, and so has to be one.
        there: what has been downloaded before the question is asked; None where the answer is downloaded.
    """

    def __init__(self, pull: Pull, matcher: Matcher, *, unpacks: bool, there: _There | None = None) -> None:
        self.pull = pull
        self.matcher = matcher
        self.unpacks = unpacks
        self.there = there
        self.judge = _judge(pull, matcher)
        self.is_docker = pull.client.name == "docker"

    def run(self, top: Manifest | Index) -> Selection:
        if isinstance(top, Manifest):
            return self._finish(self.pull.image(top), top, None, top)
        return self._descend(top, top, 0)

    def _descend(self, index: Index, top: Index, depth: int) -> Selection:
        self.pull.reach.enter(0, depth)
        order = self.pull.rank(index.manifests, self.judge)
        if not order:
            return self._no_match(top)
        entry = order[0]
        if self.there is not None and entry.digest not in self.there.manifests:
            return self._not_there(entry, f"content digest {entry.digest}: not found")
        found = self.pull.look(entry)
        failure = _unfetched(self.pull, entry)
        if failure is not None:
            return self._ends(
                "fails",
                entry,
                error=failure,
                reason="the list has it, the repository does not have it so, and no other entry is tried",
            )
        if isinstance(found, Index):
            return self._descend(found, top, depth + 1)
        if found is None and entry.media_type in INDEXES:
            return self._ends("taken", entry, reason="it is an index that has not been read")
        return self._finish(entry, found if isinstance(found, Manifest) else None, index, top)

    def _finish(
        self, entry: Descriptor, manifest: Manifest | None, index: Index | None, top: Manifest | Index
    ) -> Selection:
        if self.there is not None and index is not None and not self.there.has(entry):
            text = f'apply layer error for "{self.pull.name}": failed to extract layer …: failed to get reader from '
            return self._not_there(entry, f"{text}content store: content digest …: not found")
        if manifest is None:
            return self._taken(entry, index)
        is_image = _has_image_config(manifest)
        is_checked = index is not None and entry.platform is None and not (self.is_docker and is_image)
        if is_checked and not self._config_fits(manifest):
            is_unpacking = self.unpacks and not is_image and self.there is None
            return self._no_match(top, entry, is_unpacking=is_unpacking)
        if self.unpacks and _has_other_layers_only(manifest):
            return self._ends(
                "fails", entry, error=self._unpacking(manifest.layers[0]), reason="its layers are no file systems"
            )
        return self._taken(entry, index)

    def _taken(self, entry: Descriptor, index: Index | None) -> Selection:
        fetched = [entry] if self.there is None or index is None else self.there.fetched
        if self.is_docker and self.pull.client.since("29.1") and index is not None:
            about = [item for item in index.manifests if attested(item) == entry.digest and item.media_type in IMAGES]
            fetched = [*fetched, *about[-1:]]
        return self.pull.ends("taken", entry, fetched=fetched)

    def _no_match(
        self, top: Manifest | Index, entry: Descriptor | None = None, *, is_unpacking: bool = False
    ) -> Selection:
        """No entry fits; or one without a platform was taken, and its config says that it should not have been."""
        is_late = entry is not None or self.there is not None
        text = f"no match for platform in manifest{f' {top.digest}' if is_late else ''}: not found"
        if is_unpacking:
            text = f"failed to unpack image on snapshotter {'overlayfs' if self.is_docker else ''}: {text}"
        if self.is_docker and self.pull.client.since("27.1"):
            asked = named(asked_platform(self.pull))
            text = f"no matching manifest for {asked} in the manifest list entries: {text}"
        reason = "no entry fits" if entry is None else "it takes an entry without a platform, whose config has another"
        if self.is_docker and entry is None:
            text = f"{DAEMON}{text}"
        return self._ends("no match", error=text, reason=reason)

    def _ends(self, outcome: Outcome, *taken: Descriptor, error: str | None = None, reason: str) -> Selection:
        if error is not None and self.pull.client.name == "ctr":
            error = f"ctr: {error}"
        fetched = self.there.fetched if self.there is not None else None
        return self.pull.ends(outcome, *taken, error=error, reason=reason, fetched=fetched)

    def _not_there(self, entry: Descriptor, error: str) -> Selection:
        reason = "it fits, but only what is equal to the request was downloaded"
        return self._ends("fails", entry, error=error, reason=reason)

    def _config_fits(self, manifest: Manifest) -> bool:
        config = self.pull.config(manifest)
        if config is None:
            return True
        if not isinstance(config, ImageConfig):
            return False
        platform = config.platform
        if self.matcher.library <= Library.CONTAINERD_1_6:
            platform = Platform(os=platform.os, architecture=platform.architecture)
        return self.matcher.rank(platform) is not None

    def _unpacking(self, layer: Descriptor) -> str:
        is_new = self.pull.client.since("28" if self.is_docker else "2")
        text = (
            "mismatched image rootfs and manifest layers"
            if is_new
            else f"failed to extract layer …: failed to get stream processor for {layer.media_type}: "
            "no processor for media-type: unknown"
        )
        if self.pull.client.name == "ctr":
            return text
        return f"failed to unpack image on snapshotter {'overlayfs' if self.is_docker else ''}: {text}"


def is_layer(media_type: str) -> bool:
    """Whether containerd takes a blob of this type for a layer of an image."""
    kind = media_type.partition("+")[0]
    docker = "application/vnd.docker.image.rootfs."
    return media_type.startswith("application/vnd.oci.image.layer.") or kind in (
        f"{docker}diff.tar",
        f"{docker}diff.tar.gzip",
        f"{docker}diff.tar.zstd",
        f"{docker}foreign.diff.tar",
        f"{docker}foreign.diff.tar.gzip",
    )


def asked_platform(pull: Pull) -> Platform:
    """The platform that is asked for, or what the client asks for where none is given.

    Raises:
        Refused: the client does not understand it.
    """
    if pull.platform is not None:
        return parse(pull.platform, pull.client.library, pull.host)
    return default_platform(pull, levels=pull.client.name == "docker" and pull.client.since("29.6"))


def _matcher(pull: Pull) -> Matcher:
    """What fits for what is asked for, or for the machine."""
    library, host, asked = pull.client.library, pull.host, asked_platform(pull)
    if pull.platform is not None or (pull.client.name == "docker" and host.os != "windows"):
        return only(asked, library, host)
    if host.os in ("darwin", "freebsd"):
        linux = msgspec.structs.replace(asked, os="linux", variant=asked.variant if host.os == "freebsd" else "")
        return Matcher([asked, linux], library, host)
    if host.os == "windows" and library >= Library.RC_2:
        return Matcher([asked], library, host)
    return only(asked, library, host)


def _judge(pull: Pull, matcher: Matcher) -> Judge:
    is_windows = pull.platform is None and pull.host.os == "windows" and matcher.library >= Library.RC_2

    def judge(entry: Descriptor) -> Fit | str:
        if entry.platform is None:
            return Fit((1,), NO_PLATFORM)
        rank = matcher.rank(entry.platform)
        if rank is None:
            return matcher.why_not(entry.platform)
        if is_windows:
            return Fit((0, _Descending(entry.platform.os_version)), "the highest os.version that runs here")
        return Fit((0, *rank), matcher.why(entry.platform))

    return judge


class _Descending(str):
    """A text that is sorted in descending order."""

    __slots__ = ()

    def __lt__(self, other: str) -> bool:
        return str.__gt__(self, other)


def _can_unpack(pull: Pull, equal: Matcher) -> bool:
    """Whether the transfer service unpacks what it is asked for on this machine."""
    wanted = equal.vector[0]
    if pull.client.since("2.3"):
        return wanted.os == pull.host.os and not wanted.os_features
    if pull.client.since("2.1") or pull.platform is None:
        return True
    host = only(default_platform(pull, levels=False), pull.client.library, pull.host)
    return host.rank(wanted) is not None


def _transferred(pull: Pull, top: Manifest | Index, equal: Matcher, fetched: list[Descriptor]) -> Selection:
    def judge(entry: Descriptor) -> Fit | str:
        if entry.media_type in INDEXES:
            return Fit((), "an index, which is followed whatever its platform")
        if entry.platform is None:
            return Fit((), "has no platform, and is taken with whatever else fits")
        if equal.rank(entry.platform) is None:
            return f"{entry.platform} is not equal to {named(equal.vector[0])}"
        return Fit((), "equal to what is asked for: every such entry is taken")

    if isinstance(top, Manifest):
        return pull.ends("taken", pull.image(top))
    for index in _every_index(pull, top):
        pull.rank(index.manifests, judge, takes_all=True)
    taken = [entry for entry in fetched if _is_unpacked(pull, entry)]
    if not taken:
        return pull.ends("nothing", reason="no entry is equal to what is asked for, and it says it is done")
    return pull.ends("taken", *taken)


def _is_unpacked(pull: Pull, entry: Descriptor) -> bool:
    """The layers of what is no image are left where they are."""
    found = pull.look(entry)
    if not isinstance(found, Manifest):
        return True
    return _has_image_config(found)


def _has_image_config(manifest: Manifest) -> bool:
    """Whether the config is that of an image, whatever the artifact type."""
    return manifest.config is not None and manifest.config.media_type in IMAGE_CONFIGS


def _has_other_layers_only(manifest: Manifest) -> bool:
    """Whether there are layers, and none that containerd takes for a layer of an image."""
    return bool(manifest.layers) and not any(is_layer(layer.media_type) for layer in manifest.layers)


def _every_index(pull: Pull, top: Index) -> Iterator[Index]:
    """The index and all that are within it, each once."""
    indexes = {top.digest: top}
    for entry in _every_entry(pull, top, lambda _: True):
        found = pull.look(entry)
        if isinstance(found, Index):
            indexes.setdefault(found.digest, found)
    yield from indexes.values()


def _every_entry(pull: Pull, top: Index, reads: Callable[[Descriptor], bool]) -> Iterator[Descriptor]:
    """The entries of an index and of those within it, each of which is gone into once."""

    def within(entry: Descriptor, _: int) -> list[Descriptor]:
        found = pull.look(entry)
        return list(filter(reads, found.manifests)) if isinstance(found, Index) else []

    yield from visit(filter(reads, top.manifests), lambda entry: entry.digest, within, Reach(pull.name), {top.digest})


def _unfetched(pull: Pull, entry: Descriptor) -> str | None:
    """Why containerd cannot download the manifest of an entry; None where it can."""
    found = pull.look(entry)
    if entry.media_type not in IMAGES | INDEXES:
        if pull.client.name == "docker" and not pull.client.since("29"):
            return (
                f"failed to unpack image on snapshotter overlayfs: unexpected media type {entry.media_type} for "
                f"{entry.digest}: not found"
            )
        text = (
            f"failed to copy: httpReadSeeker: failed open: could not fetch content descriptor {entry.digest} "
            f"({entry.media_type}) from remote: not found"
        )
        return f"{DAEMON}{text}" if pull.client.name == "docker" else text
    if found is Gap.MISSING:
        return "failed to copy: httpReadSeeker: failed open: content at … not found: not found"
    if isinstance(found, Manifest | Index):
        if found.size != entry.size:
            sizes = f"unexpected commit size {found.size}, expected {entry.size}"
            return f"failed commit on ref …: {sizes}: failed precondition"
        if isinstance(found, Index) != (entry.media_type in INDEXES):
            wrong = "manifest but found index" if isinstance(found, Index) else "index but found manifest"
            return f"manifest: invalid desc {entry.digest}: media-type: expected {wrong} ({entry.media_type})"
    return None
