"""Images, indexes and artifacts made by hand, and a small client that puts them into a registry.

The bytes are those other tools write: `kind="docker"` as `docker push` does (3 spaces, size before digest),
`kind="oci"` compact with the field order of the OCI Go types. Everything is deterministic: the same arguments
give the same digests.
"""

import base64
import functools
import gzip
import hashlib
import http.client
import io
import json
import os
import random
import re
import ssl
import tarfile
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

from support.certs import Authority
from support.parts import need

Kind = Literal["docker", "oci"]
Document = dict[str, Any]

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
IN_TOTO = "application/vnd.in-toto+json"

ACCEPT = (OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST)


@dataclass(frozen=True)
class Manifest:
    """A manifest of any kind with all that belongs to it: an image, an artifact, an index with children."""

    content: bytes
    media_type: str
    kind: Kind
    platform: Document | None = None
    blobs: Mapping[str, bytes] = field(default_factory=dict)
    children: tuple["Manifest", ...] = ()

    @property
    def digest(self) -> str:
        return digest_of(self.content)

    @property
    def size(self) -> int:
        return len(self.content)

    @property
    def document(self) -> Document:
        document: Document = json.loads(self.content)
        return document

    @property
    def config(self) -> bytes:
        """The bytes of the config blob."""
        return self.blobs[self.document["config"]["digest"]]

    @property
    def layers(self) -> list[bytes]:
        """The bytes of the layer blobs, in order."""
        return [self.blobs[layer["digest"]] for layer in self.document["layers"]]

    def descriptor(self, *, annotations: Mapping[str, str] | None = None) -> Document:
        """The descriptor of this manifest, in the field order of its kind, without a platform."""
        return make_descriptor(self.content, self.media_type, self.kind, annotations=annotations)


@dataclass(frozen=True)
class Entry:
    """A child of an index that is to be listed otherwise than by itself. `platform={}` lists none."""

    manifest: Manifest
    platform: Document | None = None
    annotations: Mapping[str, str] | None = None


def make_image(
    platform: str = "linux/amd64",
    *,
    kind: Kind = "docker",
    os_version: str | None = None,
    os_features: Sequence[str] = (),
    layers: int | Sequence[bytes] = 1,
    layer_size: int = 64,
    seed: str = "",
    config: Mapping[str, Any] | None = None,
    history: Sequence[Document] | None = None,
    annotations: Mapping[str, str] | None = None,
    subject: Manifest | None = None,
) -> Manifest:
    """An image for a platform. `seed` makes it another one; images with equal seeds share their layers.

    `layers` are how many to make, each with a file of `layer_size` incompressible bytes, or the layers
    themselves (tar.gz). `config` is the runtime part of the config: Cmd, Env, Labels and so on.
    """
    contents = _layers(layers, layer_size, seed) if isinstance(layers, int) else list(layers)
    described = platform_document(platform, os_version=os_version, os_features=os_features)
    config_content = _compact(
        {
            **described,
            "config": dict(config or {"Labels": {"seed": seed}}),
            "created": "2024-01-02T03:04:05Z",
            "history": history
            if history is not None
            else [{"created": "2024-01-02T03:04:05Z", "created_by": f"layer {n}"} for n in range(len(contents))],
            "rootfs": {
                "type": "layers",
                "diff_ids": [digest_of(gzip.decompress(layer)) for layer in contents],
            },
        }
    )
    media_type, config_type, layer_type = (
        (DOCKER_MANIFEST, DOCKER_CONFIG, DOCKER_LAYER) if kind == "docker" else (OCI_MANIFEST, OCI_CONFIG, OCI_LAYER)
    )
    document: Document = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": make_descriptor(config_content, config_type, kind),
        "layers": [make_descriptor(layer, layer_type, kind) for layer in contents],
    }
    if subject is not None:
        document["subject"] = subject.descriptor()
    if annotations:
        document["annotations"] = dict(annotations)
    blobs = {digest_of(blob): blob for blob in (config_content, *contents)}
    return Manifest(_encode(document, kind), media_type, kind, described, blobs)


def make_index(
    entries: Sequence[Manifest | Entry],
    *,
    kind: Kind = "docker",
    annotations: Mapping[str, str] | None = None,
    artifact_type: str | None = None,
    subject: Manifest | None = None,
) -> Manifest:
    """A manifest list (docker) or image index (oci) of images, in the order given."""
    media_type = DOCKER_LIST if kind == "docker" else OCI_INDEX
    document: Document = {"schemaVersion": 2, "mediaType": media_type}
    if artifact_type is not None:
        document["artifactType"] = artifact_type
    listed = [entry if isinstance(entry, Entry) else Entry(entry) for entry in entries]
    document["manifests"] = [_index_entry(entry, kind) for entry in listed]
    if subject is not None:
        document["subject"] = subject.descriptor()
    if annotations:
        document["annotations"] = dict(annotations)
    return Manifest(_encode(document, kind), media_type, kind, children=tuple(entry.manifest for entry in listed))


def make_artifact(
    artifact_type: str = "application/vnd.example.thing",
    files: Mapping[str, bytes] | None = None,
    *,
    subject: Manifest | None = None,
    annotations: Mapping[str, str] | None = None,
    layer_type: str = "application/octet-stream",
) -> Manifest:
    """An OCI 1.1 artifact: an empty config, a layer with a title per file, and what it refers to."""
    empty = b"{}"
    contents = {"thing.txt": b"a thing\n"} if files is None else dict(files)
    layers = [
        make_descriptor(content, layer_type, "oci", annotations={"org.opencontainers.image.title": name})
        for name, content in contents.items()
    ]
    document: Document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": artifact_type,
        "config": {**make_descriptor(empty, OCI_EMPTY, "oci"), "data": "e30="},
        "layers": layers or [{**make_descriptor(empty, OCI_EMPTY, "oci"), "data": "e30="}],
    }
    if subject is not None:
        document["subject"] = subject.descriptor()
    if annotations:
        document["annotations"] = dict(annotations)
    blobs = {digest_of(blob): blob for blob in (empty, *contents.values())}
    return Manifest(_compact(document), OCI_MANIFEST, "oci", blobs=blobs)


def make_attestation(of: Manifest, *, predicate: str = "https://slsa.dev/provenance/v1") -> Entry:
    """The attestation of an image as buildx makes it, with its place in the index that lists the image."""
    statement = _compact(
        {
            "_type": "https://in-toto.io/Statement/v0.1",
            "predicateType": predicate,
            "subject": [{"name": "image", "digest": {"sha256": of.digest.removeprefix("sha256:")}}],
            "predicate": {},
        }
    )
    config = _compact(
        {
            "architecture": "unknown",
            "os": "unknown",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(statement)]},
        }
    )
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": make_descriptor(config, OCI_CONFIG, "oci"),
        "layers": [make_descriptor(statement, IN_TOTO, "oci", annotations={"in-toto.io/predicate-type": predicate})],
    }
    unknown = {"architecture": "unknown", "os": "unknown"}
    blobs = {digest_of(blob): blob for blob in (config, statement)}
    return Entry(
        Manifest(_compact(document), OCI_MANIFEST, "oci", unknown, blobs),
        annotations={
            "vnd.docker.reference.digest": of.digest,
            "vnd.docker.reference.type": "attestation-manifest",
        },
    )


def make_busybox(*command: str, kind: Kind = "docker", seed: str = "", platform: str | None = None) -> Manifest:
    """An image that runs: a static busybox, also as /bin/sh. If not said, its command echoes `seed`.

    Images of different seeds have no blob in common: what one test leaves in a daemon is no other's.
    """
    config = {
        "Cmd": list(command or ("/bin/busybox", "echo", seed or "hello from lading")),
        "Env": ["PATH=/bin"],
    }
    return make_image(platform or _this_platform(), kind=kind, layers=[_busybox_layer(seed)], config=config, seed=seed)


@functools.cache
def _busybox_layer(seed: str) -> bytes:
    files: dict[str, bytes | str] = {"bin/": b"", "bin/busybox": need("busybox").read_bytes(), "bin/sh": "busybox"}
    return make_layer(files | {"seed": seed.encode()})


def make_layer(files: Mapping[str, bytes | str]) -> bytes:
    """A tar.gz of files by path: bytes are a file's content, a text is the target of a symbolic link.

    A path that ends in "/" is a directory. Whiteouts are files like any other (".wh.name").
    """
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, content in files.items():
            member = tarfile.TarInfo(path.rstrip("/"))
            member.mode = 0o755 if path.endswith("/") or "bin/" in path else 0o644
            if path.endswith("/"):
                member.type = tarfile.DIRTYPE
                archive.addfile(member)
            elif isinstance(content, str):
                member.type = tarfile.SYMTYPE
                member.linkname = content
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return gzip.compress(tar.getvalue(), compresslevel=1, mtime=0)


def make_descriptor(
    content: bytes, media_type: str, kind: Kind, *, annotations: Mapping[str, str] | None = None
) -> Document:
    described: Document = {"mediaType": media_type}
    if kind == "docker":
        described |= {"size": len(content), "digest": digest_of(content)}
    else:
        described |= {"digest": digest_of(content), "size": len(content)}
    return described | ({"annotations": dict(annotations)} if annotations else {})


def platform_document(platform: str, *, os_version: str | None = None, os_features: Sequence[str] = ()) -> Document:
    """A platform written OS/ARCH[/VARIANT] as a document, in the field order of the Go types."""
    system, architecture, *variant = platform.split("/")
    document: Document = {"architecture": architecture, "os": system}
    if os_version is not None:
        document["os.version"] = os_version
    if os_features:
        document["os.features"] = list(os_features)
    return document | ({"variant": variant[0]} if variant else {})


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


_AT_ONCE = 128 * 1024 * 1024


def noise(seed: str, size: int) -> bytes:
    """Bytes that do not compress, the same for the same seed."""
    chance = random.Random(seed)
    # Python 3.11 gives fewer than 256 MiB at once.
    return b"".join(chance.randbytes(min(_AT_ONCE, size - start)) for start in range(0, size, _AT_ONCE))


def _layers(count: int, size: int, seed: str) -> list[bytes]:
    return [make_layer({f"layer-{n}": noise(f"{seed}/{n}", size)}) for n in range(count)]


def _index_entry(entry: Entry, kind: Kind) -> Document:
    manifest = entry.manifest
    described = make_descriptor(manifest.content, manifest.media_type, kind, annotations=entry.annotations)
    platform = manifest.platform if entry.platform is None else entry.platform
    return described | ({"platform": platform} if platform else {})


def _encode(document: Document, kind: Kind) -> bytes:
    return json.dumps(document, indent=3).encode() if kind == "docker" else _compact(document)


def _compact(document: Document) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _this_platform() -> str:
    machine = os.uname().machine
    return "linux/" + {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


class RegistryClient:
    """The plainest client of a registry that can do what tests need. Use it as a context manager.

    `auth` is a user and a password, sent as the registry's challenge asks (Basic or Bearer).
    """

    def __init__(
        self,
        host: str,
        repository: str,
        *,
        scheme: str = "http",
        auth: tuple[str, str] | None = None,
        trust: Authority | None = None,
    ) -> None:
        context: ssl.SSLContext | None = None if trust is None else trust.client_context()
        self._connection = (
            http.client.HTTPSConnection(host, context=context)
            if scheme == "https"
            else http.client.HTTPConnection(host)
        )
        self._base = f"/v2/{repository}"
        self._auth = auth
        self._authorization: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def push(self, tag: str | None, manifest: Manifest) -> str:
        """Push all that belongs to a manifest, then itself, by tag or by digest. Returns its digest."""
        for child in manifest.children:
            self.push(None, child)
        for digest, blob in manifest.blobs.items():
            self.put_blob(digest, blob)
        reference = tag or manifest.digest
        self.request(
            "PUT",
            f"/manifests/{reference}",
            manifest.content,
            {"Content-Type": manifest.media_type},
            expect=201,
        )
        return manifest.digest

    def put_blob(self, digest: str, content: bytes) -> None:
        status, _, _ = self.request("HEAD", f"/blobs/{digest}")
        if status == 200:
            return
        _, headers, _ = self.request("POST", "/blobs/uploads/", expect=202)
        location = urllib.parse.urlsplit(headers["Location"])
        query = "&".join(filter(None, (location.query, f"digest={digest}")))
        headers_out = {"Content-Type": "application/octet-stream"}
        self.request("PUT", f"{location.path}?{query}", content, headers_out, expect=201, absolute=True)

    def manifest(self, reference: str) -> tuple[bytes, str, str]:
        """The bytes, the media type and the digest of a manifest. Raises `LookupError` if it is not there."""
        status, headers, body = self.request("GET", f"/manifests/{reference}", headers={"Accept": ", ".join(ACCEPT)})
        if status == 404:
            raise LookupError(f"{self._base}: no manifest {reference}")
        _expect(status, 200, body)
        return body, headers["Content-Type"], digest_of(body)

    def blob(self, digest: str) -> bytes:
        status, _, body = self.request("GET", f"/blobs/{digest}")
        if status == 404:
            raise LookupError(f"{self._base}: no blob {digest}")
        _expect(status, 200, body)
        return body

    def tags(self) -> list[str]:
        status, _, body = self.request("GET", "/tags/list")
        if status == 404:
            return []
        _expect(status, 200, body)
        return sorted(json.loads(body)["tags"] or [])

    def delete(self, digest: str) -> None:
        self.request("DELETE", f"/manifests/{digest}", expect=202)

    def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        expect: int | None = None,
        absolute: bool = False,
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """One request below the repository (or the root, if `absolute`); logs in when the registry asks."""
        target = path if absolute else self._base + path
        answer = self._once(method, target, body, headers or {})
        if answer[0] == 401 and self._auth is not None:
            self._authorization = self._answer(answer[1]["WWW-Authenticate"], self._auth)
            answer = self._once(method, target, body, headers or {})
        if expect is not None:
            _expect(answer[0], expect, answer[2])
        return answer

    def _once(
        self, method: str, target: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        authorization = {"Authorization": self._authorization} if self._authorization else {}
        self._connection.request(method, target, body, {**headers, **authorization})
        response = self._connection.getresponse()
        return response.status, response.headers, response.read()

    @staticmethod
    def _answer(challenge: str, auth: tuple[str, str]) -> str:
        basic = "Basic " + base64.b64encode(":".join(auth).encode()).decode()
        if challenge.lower().startswith("basic"):
            return basic
        asked = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        realm = urllib.parse.urlsplit(asked.pop("realm"))
        connection = http.client.HTTPConnection(realm.netloc)
        try:
            connection.request("GET", f"{realm.path}?{urllib.parse.urlencode(asked)}", headers={"Authorization": basic})
            return "Bearer " + str(json.loads(connection.getresponse().read())["token"])
        finally:
            connection.close()


def push(
    host: str,
    repository: str,
    tag: str | None,
    manifest: Manifest,
    *,
    scheme: str = "http",
    auth: tuple[str, str] | None = None,
    trust: Authority | None = None,
) -> str:
    """Push a manifest and all that belongs to it; returns its digest."""
    with RegistryClient(host, repository, scheme=scheme, auth=auth, trust=trust) as client:
        return client.push(tag, manifest)


def get_manifest(
    host: str,
    repository: str,
    reference: str,
    *,
    scheme: str = "http",
    auth: tuple[str, str] | None = None,
    trust: Authority | None = None,
) -> tuple[bytes, str, str]:
    """The bytes, the media type and the digest of a manifest. Raises `LookupError` if it is not there."""
    with RegistryClient(host, repository, scheme=scheme, auth=auth, trust=trust) as client:
        return client.manifest(reference)


def list_tags(host: str, repository: str) -> list[str]:
    """The tags of a repository, sorted; none if there is no such repository."""
    with RegistryClient(host, repository) as client:
        return client.tags()


def _expect(status: int, expected: int, body: bytes) -> None:
    if status != expected:
        raise AssertionError(f"the registry answered {status}, not {expected}: {body.decode(errors='replace')}")
