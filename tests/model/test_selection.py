"""What clients take from lists: every pull that was observed, and what holds for all."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from lading.model.config import ImageConfig
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.index import Index
from lading.model.manifest import Manifest, parse
from lading.model.platform import Platform
from lading.model.selection import Content, Gap, Selection, select

OBSERVED = json.loads((Path(__file__).parent / "data" / "pulls.json").read_text())["cases"]
HOST = Platform(os="linux", architecture="amd64", variant="v4")
TYPES = {
    "oci-manifest": "application/vnd.oci.image.manifest.v1+json",
    "oci-index": "application/vnd.oci.image.index.v1+json",
    "docker-manifest": "application/vnd.docker.distribution.manifest.v2+json",
    "docker-list": "application/vnd.docker.distribution.manifest.list.v2+json",
}
CONFIG = {
    "oci-manifest": "application/vnd.oci.image.config.v1+json",
    "docker-manifest": "application/vnd.docker.container.image.v1+json",
}
LAYER = {
    "oci-manifest": "application/vnd.oci.image.layer.v1.tar+gzip",
    "docker-manifest": "application/vnd.docker.image.rootfs.diff.tar.gzip",
}
CRASHES = {"unexpected EOF"}
"""What the CLI says when its daemon's handler has crashed."""


class World:
    """A list as the observations describe it, with all that it leads to."""

    def __init__(self, case: dict[str, Any]) -> None:
        self.labels: dict[Digest, str] = {}
        self.contents: dict[Digest, Content] = {}
        self.top: Manifest | Index
        if "image" in case:
            self.top = self._image({"label": "S", "mediaType": f"{case['case'].split('/')[1]}-manifest"}, case["image"])
        else:
            kind = "docker-list" if case["case"].endswith("/docker") else "oci-index"
            self.top = self._index(case["entries"], TYPES[kind])

    def names(self, entries: tuple[Descriptor, ...]) -> list[str]:
        return [self.labels[entry.digest] for entry in entries]

    def _index(self, entries: list[dict[str, Any]], media_type: str) -> Index:
        made: dict[str, Manifest | Index] = {}
        for entry in entries:
            if "nested" in entry:
                found: Manifest | Index = self._index(entry["nested"], TYPES[entry["mediaType"]])
            else:
                found = self._image(entry, entry.get("config") or {})
            self.contents[found.digest] = Gap.MISSING if entry.get("missing") else found
            made[entry["label"]] = found
        documents = []
        for entry in entries:
            found = made[entry["label"]]
            document = {
                "mediaType": TYPES.get(entry["mediaType"], entry["mediaType"]),
                "digest": found.digest,
                "size": found.size,
            }
            document |= {key: entry[key] for key in ("platform", "artifactType") if key in entry}
            annotations = dict(entry.get("annotations", {}))
            of = "vnd.docker.reference.digest"
            if of in annotations:
                annotations[of] = made[annotations[of]].digest if annotations[of] in made else "sha256:" + "0" * 64
            documents.append(document | ({"annotations": annotations} if annotations else {}))
        raw = json.dumps({"schemaVersion": 2, "mediaType": media_type, "manifests": documents}).encode()
        index = parse(raw, media_type)
        assert isinstance(index, Index)
        return index

    def _image(self, entry: dict[str, Any], config: dict[str, Any]) -> Manifest:
        kind = entry["mediaType"] if entry["mediaType"] in CONFIG else "oci-manifest"
        label = entry["label"]
        raw = json.dumps(config | {"config": {"Labels": {"id": label}}}).encode()
        blob = Descriptor.of(raw, entry.get("configMediaType", CONFIG[kind]))
        self.contents[blob.digest] = ImageConfig.parse(raw)
        layer = "application/vnd.in-toto+json" if label.startswith("ATT") else LAYER[kind]
        document = {
            "schemaVersion": 2,
            "mediaType": TYPES[kind],
            "config": blob.to_document(),
            "layers": [Descriptor.of(label.encode(), layer).to_document()],
        }
        if "artifactType" in entry:
            document["artifactType"] = entry["artifactType"]
        made = parse(json.dumps(document).encode(), TYPES[kind])
        assert isinstance(made, Manifest)
        self.labels[made.digest] = label
        return made


@pytest.mark.parametrize("case", OBSERVED, ids=lambda case: case["case"])
def test_every_observed_pull_is_predicted(case: dict[str, Any]) -> None:
    world = World(case)
    wrong = []
    for request, outcomes in case["pulls"].items():
        platform = None if request == "(default)" else request
        for observed, clients in outcomes.items():
            for client in clients:
                found = select(world.top, platform, as_=client, host=HOST, contents=world.contents, name="REF:t")
                assert not found.needs
                if not is_as_observed(world, found, observed):
                    wrong.append(f"{client} {request}: {observed!r}, not {describe(world, found)}")
    assert not wrong, "\n".join(wrong)


def is_as_observed(world: World, found: Selection, observed: str) -> bool:
    said, _, fetched = observed.partition(" fetched=")
    if fetched and world.names(found.fetched) != ([] if fetched == "-" else fetched.split("+")):
        return False
    if said.startswith("ERR "):
        is_crash = said.removeprefix("ERR ") in CRASHES
        return is_crash == (found.outcome == "crashes") and prints(found, said.removeprefix("ERR "))
    if said == "NM":
        return found.outcome == "no match" and not found.taken and found.error is not None
    if said == "none" and fetched == "-":
        return found.outcome == "nothing" and not found.taken and found.error is None
    labels = said.removesuffix(" WARN").split("+")
    if not found.is_pulled or found.error is not None:
        return False
    # Docker's own downloads are noted where it takes more than the image.
    taken = found.fetched if found.client.name == "docker" else found.taken
    return world.names(taken) == labels


def prints(found: Selection, observed: str) -> bool:
    """Whether the error is what was printed, as far as that was kept; what depends on the place is left open."""
    if found.error is None:
        return False
    is_cut = len(observed) >= 140
    if observed.startswith('"'):
        observed = observed[1:].removesuffix('"').replace('\\"', '"')
    texts = re.sub(r"sha256:[0-9a-f]{64}", "<digest>", found.error).split("…")
    parts = [re.escape(text) for text in texts]
    if re.fullmatch(".*".join(parts), observed):
        return True
    return is_cut and any(
        re.fullmatch(".*".join([*parts[:at], re.escape(text[:length])]), observed)
        for at, text in enumerate(texts)
        for length in range(1, len(text) + 1)
    )


def describe(world: World, found: Selection) -> str:
    return f"{found.outcome} {world.names(found.taken)} fetched {world.names(found.fetched)} {found.error}"
