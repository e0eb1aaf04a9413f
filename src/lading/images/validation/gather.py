"""The walk of validation: every manifest and config that a reference leads to, and which blobs they say there are.

What manifests and configs say of each other is judged on the way; what blobs have to be is gathered for later. This
module knows stores and manifests, and reads no layer.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable, Sequence

import msgspec

from lading.errors import InvalidContent, InvalidDigest, NotFound, RegistryFailure
from lading.images.lint.codes import Finding
from lading.images.lint.content import too_large
from lading.images.lint.findings import short
from lading.images.lint.platforms import disagree
from lading.images.platforms import no_platform, platforms_in_configs
from lading.images.validation.blobs import STATEMENTS, BlobFacts, Blobs, Need
from lading.images.validation.codes import BUILD, finding
from lading.io.tasks import Once, gather
from lading.model.config import ImageConfig
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.index import ATTESTATION_OF, Index, attested, is_attestation
from lading.model.manifest import Manifest
from lading.model.media_types import IMAGE_CONFIGS, MANIFESTS, LayerType, is_foreign_layer
from lading.model.platform import Platform
from lading.model.reach import LARGE
from lading.model.text import counted, excerpt
from lading.store import AnyManifest, Readable, may_be_manifest
from lading.transfer.referrers import Finder, Referrer
from lading.walk import Walk, is_refused


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """A blob as one manifest has it."""

    store: Readable
    blob: Descriptor
    entry: Descriptor
    """Of the manifest."""
    title: str
    """What it is called at the beginning of a sentence: `Layer 2 of linux/amd64 (5a1c09ef31d2)`."""
    is_layer: bool = False
    """Whether it is unpacked when the image is run."""
    diff_id: Digest | None = None
    """What the config says."""
    about: Digest | None = None
    """The manifest that it has to be a statement about."""

    @property
    def need(self) -> Need:
        """What there is to read for it."""
        is_known = self.diff_id is None or self.diff_id.algorithm == "sha256"
        return Need(
            store=self.store,
            blob=self.blob.content,
            platform=str(self.entry.platform) if self.entry.platform is not None else None,
            is_layer=self.is_layer,
            diff_id=None if is_known else self.diff_id,
            is_statement=self.about is not None,
        )


class Gathered(msgspec.Struct, kw_only=True):
    """What a reference leads to."""

    name: str
    digest: Digest | None = None
    found: list[Finding] = []
    """What is wrong with manifests and configs."""
    images: list[tuple[Use, ...]] = []
    """The layers of each image of which all layers are to be unpacked."""
    uses: list[Use] = []
    """Every blob, but for configs of images."""
    manifests: set[Digest] = set()
    """Those that were read."""


class _Parsed(msgspec.Struct, frozen=True):
    """What a config says, with what is wrong with it."""

    facts: BlobFacts
    problem: str = ""
    platform: Platform | None = None
    diff_ids: tuple[str, ...] = ()
    layers: int | None = None
    """How many steps of the history have a layer; None where there is no history."""
    root: object = None
    """The type of the root file system; None where there is none at all."""


class Gatherer:
    """Follows what one reference leads to.

    Args:
        store: what it is in.
        name: what it is called.
        blobs: reads configs.
        configs: what was read of them, also for other references.
    """

    def __init__(self, store: Readable, name: str, blobs: Blobs, configs: Once) -> None:
        self.gathered: Gathered = Gathered(name=name)
        self._store = store
        self._blobs = blobs
        self._configs = configs
        self._walk = Walk(name)
        self._entered: set[tuple[Digest, str | None]] = set()
        """What was gone into: of an attestation for each manifest that it is about."""
        self._subjects: dict[Digest, Digest] = {}
        """Of a referrer that does not say what it refers to, such as one of cosign's tags, what that is."""

    async def follow(self, root: AnyManifest, platforms: Sequence[Platform] = (), *, referrers: bool = False) -> None:
        """Follow a manifest that was read.

        Args:
            root: the manifest.
            platforms: of an index only the entries for these.
            referrers: whether what refers to it, and to what it leads to, is followed as well.

        Raises:
            NotFound: nothing is for one of the platforms.
            InvalidContent: it leads to more than a walk follows.
        """
        self.gathered.digest = root.digest
        self._walk.count(root)
        entries = None
        if platforms:
            entries = await self._chosen(root, platforms)
        await self._manifest(root, root.descriptor, 0, entries)
        if referrers:
            await self._referrers()

    async def _chosen(self, root: AnyManifest, platforms: Sequence[Platform]) -> Sequence[Descriptor] | None:
        """The entries of an index for some platforms; None for an image, which is for one of them."""
        name = self.gathered.name
        if isinstance(root, Index):
            known = await platforms_in_configs(self._store, root, platforms, self._walk)
            for platform in platforms:
                if not root.select([platform], attestations=False, known=known):
                    raise no_platform(name, [platform], root, known)
            return root.select(platforms, known=known)
        real = (await self._config(root)).platform if root.is_image else None
        if real is None or not any(real.satisfies(platform) for platform in platforms):
            raise no_platform(name, platforms, None)
        return None

    # Manifests

    async def _manifest(
        self, manifest: AnyManifest, entry: Descriptor, depth: int, entries: Sequence[Descriptor] | None = None
    ) -> None:
        """A manifest, whoever lists it: gone into once."""
        key = (manifest.digest, attested(entry))
        if key in self._entered:
            return
        self._entered.add(key)
        self.gathered.manifests.add(manifest.digest)
        if isinstance(manifest, Index):
            await self._index(manifest, manifest.manifests if entries is None else entries, entry, depth + 1)
        else:
            await self._image(manifest, entry)

    async def _index(self, index: Index, entries: Sequence[Descriptor], own: Descriptor, depth: int) -> None:
        try:
            self._walk.enter(filter(may_be_manifest, entries), depth)
        except InvalidContent as error:
            if error.code == LARGE:
                raise
            self._tell("LAD305", f"{title(own)} cannot be followed: {error.cause}.", own)
            return
        listed = {str(entry.digest) for entry in index.manifests}
        for entry in entries:
            self._check_data(entry, title(entry), entry)
            about = attested(entry)
            if is_attestation(entry) and about not in listed:
                said = (
                    f"is about {short(about)}, which is not in the list" if about else "does not say what it is about"
                )
                self._tell("LAD306", f"{title(entry)} {said}.", entry)
        for entry in entries:
            if not may_be_manifest(entry):
                self._use(entry, entry, f"The entry {short(entry.digest)}")
        listed_manifests = [entry for entry in entries if may_be_manifest(entry)]
        for entry, manifest in await self._all(listed_manifests):
            self._check_entry(manifest, entry)
            await self._manifest(manifest, entry, depth)
            if isinstance(manifest, Manifest):
                await self._check_platform(manifest, entry)

    async def _all(self, entries: Sequence[Descriptor]) -> list[tuple[Descriptor, AnyManifest]]:
        """The manifests of descriptors, but for those that are not there, with their configs: read at once."""
        read = await gather(self._read(entry) for entry in entries)
        found = []
        for entry, manifest in zip(entries, read, strict=True):
            if isinstance(manifest, Finding):
                self.gathered.found.append(manifest)
            else:
                found.append((entry, manifest))
        # In their order they are judged later: what is read now is read once.
        await gather(self._config(one) for _, one in found if isinstance(one, Manifest) and one.is_image)
        return found

    async def _read(self, entry: Descriptor) -> AnyManifest | Finding:
        try:
            # Without its size: that one does not fit is a finding, and no reason to stop.
            return await self._walk.fetch(self._store, entry.digest)
        except NotFound:
            # A layout finds by its digest only what it can read.
            if await self._walk.contains(self._store, entry.content):
                return finding("LAD305", f"{title(entry)} cannot be read: it is no manifest.", entry)
            return finding("LAD301", f"{title(entry)} is not there.", entry)
        except InvalidContent as error:
            if error.code == LARGE:
                raise
            if error.code == "too-large":
                return too_large(title(entry), entry)
            return finding("LAD305", f"{title(entry)} cannot be read: {error.cause or error.message}.", entry)
        except RegistryFailure as error:
            if not is_refused(error):
                raise
            return finding("LAD305", f"{title(entry)} cannot be read: {error.message}.", entry)

    def _check_entry(self, manifest: AnyManifest, entry: Descriptor) -> None:
        if entry.size != manifest.size:
            said = f"{title(entry)} has {manifest.size:,} bytes, and its descriptor says {entry.size:,}."
            self._tell("LAD304", said, entry)
        if entry.media_type in MANIFESTS and entry.media_type != manifest.media_type:
            said = f"{title(entry)} is {manifest.media_type}, and its descriptor says {entry.media_type}."
            self._tell("LAD304", said, entry)
        types = {manifest.artifact_type}
        if isinstance(manifest, Manifest) and manifest.config is not None:
            types.add(manifest.config.media_type)
        if entry.artifact_type and entry.artifact_type not in types:
            real = excerpt(manifest.artifact_type or next(iter(types - {""}), "of none"))
            said = f"{title(entry)} is {real}, and its descriptor says {excerpt(entry.artifact_type)}."
            self._tell("LAD810", said, entry)

    async def _check_platform(self, manifest: Manifest, entry: Descriptor) -> None:
        said = entry.platform
        if said is None or said in (Platform(), Platform(os="unknown", architecture="unknown")):
            return
        config = await self._config(manifest) if manifest.is_image else None
        real = config.platform if config is not None else None
        if real is not None and real.architecture and disagree(said, real):
            self._tell("LAD104", f"{title(entry)} holds an image for {real}.", entry)

    # Images and artifacts

    async def _image(self, manifest: Manifest, entry: Descriptor) -> None:
        name = title(entry)
        for number, blob in enumerate(manifest.children):
            self._check_data(
                blob, f"{name}: a descriptor" if number else f"{name}: the descriptor of its config", entry
            )
        diff_ids: Sequence[Digest | None] = ()
        config = manifest.config
        if config is not None and manifest.is_image and config.media_type in IMAGE_CONFIGS:
            parsed = await self._config(manifest)
            diff_ids = self._check_config(parsed, manifest, entry)
        elif config is not None:
            self._use(config, entry, f"The config of {name}")
        self._layers(manifest, entry, diff_ids)

    def _layers(self, manifest: Manifest, entry: Descriptor, diff_ids: Sequence[Digest | None]) -> None:
        name, about = title(entry), _about(manifest, entry) or self._subjects.get(manifest.digest)
        uses = []
        for number, blob in enumerate(manifest.layers):
            is_layer = bool(diff_ids) and LayerType.parse(blob.media_type) is not None
            is_statement = about is not None and blob.media_type in STATEMENTS
            said = diff_ids[number] if number < len(diff_ids) else None
            if is_statement and said is not None and said.algorithm == blob.digest.algorithm and said != blob.digest:
                # Statements are not compressed.
                what = f"Layer {number + 1} of {name} has the diff ID {blob.digest}, and the config says {said}."
                self._tell("LAD802", what, entry, digest=blob.digest)
            uses.append(
                Use(
                    store=self._store,
                    blob=blob,
                    entry=entry,
                    title=f"{'Layer' if manifest.is_image else 'Blob'} {number + 1} of {name}",
                    is_layer=is_layer,
                    diff_id=said if is_layer else None,
                    about=about if is_statement else None,
                )
            )
        self.gathered.uses += uses
        if uses and all(use.is_layer for use in uses):
            self.gathered.images.append(tuple(uses))

    def _use(self, blob: Descriptor, entry: Descriptor, what: str) -> None:
        self.gathered.uses.append(Use(store=self._store, blob=blob, entry=entry, title=what))

    def _check_data(self, blob: Descriptor, what: str, entry: Descriptor) -> None:
        if blob.data and not has_content(blob):
            self._tell("LAD808", f"{what} has other content embedded than it names.", entry, digest=blob.digest)

    # Configs

    async def _config(self, manifest: Manifest) -> _Parsed:
        assert manifest.config is not None
        blob = manifest.config
        key = (self._store.name, blob.digest, blob.size, "config")
        return await self._configs.do(key, lambda: self._parsed(blob))

    async def _parsed(self, blob: Descriptor) -> _Parsed:
        facts = await self._blobs.look(Need(store=self._store, blob=blob.content, is_kept=True))
        raw = facts.raw
        if facts.state == "missing" and has_content(blob):
            raw, facts = b64decode(blob.data), BlobFacts(size=blob.size)
        if facts.state != "whole":
            return _Parsed(facts)
        facts = msgspec.structs.replace(facts, raw=b"")
        try:
            config = ImageConfig.parse(raw, "the config")
        except InvalidContent as error:
            return _Parsed(facts, problem=error.cause or error.message)
        root = config.document.get("rootfs")
        steps = sum(step.get("empty_layer") is not True for step in config.history) if config.history else None
        kind = root.get("type", "") if isinstance(root, dict) else None
        return _Parsed(facts, "", config.platform, config.diff_ids, steps, kind)

    def _check_config(self, config: _Parsed, manifest: Manifest, entry: Descriptor) -> Sequence[Digest | None]:
        """What a config says beside its manifest; returns the diff ID of each layer, None for one that is not known."""
        assert manifest.config is not None
        name, digest, layers = title(entry), manifest.config.digest, manifest.layers
        unknown = (None,) * len(layers)
        if config.facts.state == "missing":
            self._tell("LAD302", f"{name} lacks its config {short(digest)}.", entry, digest=digest)
            return unknown
        if config.facts.state == "damaged":
            said = f"The config of {name} is not what its digest says: {config.facts.cause}."
            self._tell("LAD801", said, entry, digest=digest)
            return unknown
        if config.facts.size != manifest.config.size:
            sizes = f"{config.facts.size:,} bytes, and its descriptor says {manifest.config.size:,}"
            message = f"The config of {name} has {sizes}."
            self.gathered.found.append(finding("LAD304", message, entry, digest=digest, remedy=BUILD))
        if config.problem:
            self._tell("LAD305", f"The config of {name} cannot be read: {config.problem}.", entry, digest=digest)
            return unknown
        if config.root is None and not any(LayerType.parse(layer.media_type) for layer in layers):
            return ()  # an artifact with an image's config, as tools wrote them before there was a type for it
        if config.root != "layers":
            what = f"is {excerpt(str(config.root))!r}" if config.root else "is not said"
            said = f"The config of {name} has no root file system: its type {what}, and should be 'layers'."
            self._tell("LAD806", said, entry, digest=digest)
        if len(config.diff_ids) != len(layers):
            has = f"{counted(len(layers), 'layer')}, and its config {counted(len(config.diff_ids), 'diff ID')}"
            self._tell("LAD806", f"{name} has {has}.", entry, digest=digest)
            return unknown
        if config.layers is not None and config.layers != len(layers):
            steps = f"{counted(config.layers, 'step')} with a layer, and there {'is' if len(layers) == 1 else 'are'}"
            said = f"The history of {name} has {steps} {counted(len(layers), 'layer')}."
            self._tell("LAD807", said, entry, digest=digest)
        return [self._diff_id(number, said, entry, digest) for number, said in enumerate(config.diff_ids)]

    def _diff_id(self, number: int, said: str, entry: Descriptor, config: Digest) -> Digest | None:
        try:
            return Digest(said)
        except InvalidDigest as error:
            what = f"the diff ID of layer {number + 1}"
            self._tell("LAD806", f"The config of {title(entry)}: {what}: {error.message}.", entry, digest=config)
            return None

    # Referrers

    async def _referrers(self) -> None:
        subjects = [Descriptor(digest=digest, size=0) for digest in sorted(self.gathered.manifests)]
        referrers = await Finder(self._store).of(subjects)
        by_content = {id(referrer.content): referrer for referrer in referrers}
        for entry, manifest in await self._all([referrer.content for referrer in referrers]):
            self._check_entry(manifest, entry)
            self._check_subject(manifest, by_content[id(entry)])
            self._subjects[manifest.digest] = by_content[id(entry)].subject
            await self._manifest(manifest, entry, 0)

    def _check_subject(self, manifest: AnyManifest, referrer: Referrer) -> None:
        if referrer.tag is not None or (manifest.subject and manifest.subject.digest == referrer.subject):
            return
        about = f"refers to {short(manifest.subject.digest)}" if manifest.subject else "refers to nothing"
        said = f"{title(referrer.content)} is listed as a referrer of {short(referrer.subject)}, and {about}."
        self._tell("LAD811", said, referrer.content)

    def _tell(self, code: str, message: str, entry: Descriptor, *, digest: Digest | None = None) -> None:
        self.gathered.found.append(finding(code, message, entry, digest=digest))


def title(entry: Descriptor) -> str:
    """What a manifest is called: its platform and the start of its digest, as lint has it."""
    name = short(entry.digest)
    if is_attestation(entry):
        return f"The attestation {name}"
    said = entry.platform
    return f"{said} ({name})" if said is not None and said != Platform() else name


def has_content(blob: Descriptor) -> bool:
    """Whether a descriptor has in itself what it describes."""
    try:
        data = b64decode(blob.data, validate=True)
    except ValueError:
        return False
    is_it = len(data) == blob.size and Digest.of(data, blob.digest.algorithm) == blob.digest
    return bool(blob.data) and is_it


def is_elsewhere(uses: Iterable[Use]) -> bool:
    """Whether a blob need not be there, because all who have it say that it is kept elsewhere."""
    return all(is_foreign_layer(use.blob.media_type) for use in uses)


def _about(manifest: Manifest, entry: Descriptor) -> Digest | None:
    """The manifest that a manifest attests to, by its entry in an index or by its own subject."""
    said = entry.annotations.get(ATTESTATION_OF) if is_attestation(entry) else None
    try:
        return Digest(said) if said else manifest.subject.digest if manifest.subject is not None else None
    except InvalidDigest:
        return None
