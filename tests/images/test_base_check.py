"""Whether the base of an image is still the one that it was built on: by digests, or by layers and histories."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from lading import AsyncClient
from lading.errors import InvalidContent, InvalidDigest, NotFound
from lading.images.bases import BASE_DIGEST, BASE_NAME
from support.images import (
    OCI_CONFIG,
    OCI_MANIFEST,
    Entry,
    Manifest,
    digest_of,
    make_artifact,
    make_attestation,
    make_descriptor,
    make_index,
    push,
)
from support.lading import Lading
from support.layers import LAYER, Blob, archive, zstd_frame
from support.parts import need
from support.process import bare_environment, run
from support.proxy import CountingProxy
from support.registry import RealRegistry

A, B, C, OWN = (Blob.of(archive(f"{name}={name}")) for name in ("a", "b", "c", "own"))
STEPS = ["ADD a", "ADD b", "COPY own"]
TIME = "2024-01-02T03:04:05Z"


def built(
    *layers: Blob,
    history: Sequence[Mapping[str, Any]] | None = None,
    platform: str = "amd64",
    annotations: Mapping[str, str] | None = None,
) -> Manifest:
    """An image of layers, each with a step of history."""
    steps = [{"created": TIME, "created_by": f"ADD {digest_of(one.plain)[7:19]}"} for one in layers]
    config = json.dumps(
        {
            "architecture": platform,
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(one.plain) for one in layers]},
            "history": list(steps if history is None else history),
        }
    ).encode()
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": make_descriptor(config, OCI_CONFIG, "oci"),
        "layers": [make_descriptor(one.content, one.media_type, "oci") for one in layers],
        "annotations": dict(annotations or {}),
    }
    blobs = {digest_of(content): content for content in (config, *(one.content for one in layers))}
    return Manifest(
        json.dumps(document).encode(), OCI_MANIFEST, "oci", {"architecture": platform, "os": "linux"}, blobs
    )


OLD, NEW = built(A, B), built(A, C)


class There:
    """A repository with a base, and images that are built on it."""

    def __init__(self, host: str, repository: str) -> None:
        self.host = host
        self.repository = repository

    @property
    def base(self) -> str:
        return f"{self.host}/{self.repository}:base"

    def put(self, tag: str, manifest: Manifest) -> str:
        push(self.host, self.repository, tag, manifest)
        return f"{self.host}/{self.repository}:{tag}"

    def said(self, digest: str | None = None) -> dict[str, str]:
        return {BASE_NAME: self.base} | ({BASE_DIGEST: digest} if digest else {})


@pytest.fixture
def there(elsewhere: str, repository: str) -> There:
    return There(elsewhere, repository)


async def test_a_digest_that_is_known_is_compared(client: AsyncClient, there: There) -> None:
    there.put("base", OLD)
    name = there.put("app", built(A, B, OWN, annotations=there.said(OLD.digest)))
    found = await client.images.check_base(name)
    assert (found.is_current, found.reference) == (True, name)
    [image] = found.images
    assert (image.base, image.compared, image.previous, image.current, image.reason) == (
        there.base,
        "digest",
        OLD.digest,
        OLD.digest,
        None,
    )
    there.put("base", NEW)
    found = await client.images.check_base(name)
    assert not found.is_current
    [image] = found.images
    assert (image.previous, image.current) == (OLD.digest, NEW.digest)
    assert image.reason == f"it was {OLD.digest}, and is {NEW.digest} now"


async def test_builders_write_the_digest_of_the_index_or_of_its_image(client: AsyncClient, there: There) -> None:
    arm = built(A, C, platform="arm64")
    index = make_index([OLD, arm, make_attestation(OLD)], kind="oci")
    there.put("base", index)
    for digest, is_current in (
        (index.digest, True),
        (OLD.digest, True),
        (NEW.digest, False),
        (make_attestation(OLD).manifest.digest, False),
    ):
        name = there.put("app", built(A, B, OWN, annotations=there.said(digest)))
        assert (await client.images.check_base(name)).is_current == is_current


LAYERS: dict[str, tuple[Manifest, Manifest, bool]] = {
    "on top": (OLD, built(A, B, OWN), True),
    "the base itself": (OLD, built(A, B), True),
    "another layer": (OLD, built(A, C, OWN), False),
    "another order": (OLD, built(B, A, OWN), False),
    "too few": (OLD, built(A), False),
    "nothing below": (built(), built(A), True),
    "no history": (OLD, built(A, B, OWN, history=[]), True),
    "no history of the base": (built(A, B, history=[]), built(A, B, OWN), True),
    "no times in the history": (
        built(A, history=[{"created_by": "ADD a"}]),
        built(A, OWN, history=[{"created_by": "ADD a", "created": TIME}, {"created_by": "own"}]),
        True,
    ),
    "times of different kinds": (
        built(A, history=[{"created_by": "ADD a", "created": TIME}]),
        built(A, OWN, history=[{"created_by": "ADD a", "created": "2025-01-01T00:00:00Z"}, {}]),
        False,
    ),
    "a history that is not the base's": (
        built(A, history=[{"created_by": "ADD a"}, {"created_by": "ENV A=1", "empty_layer": True}]),
        built(A, OWN, history=[{"created_by": "ADD a"}, {"created_by": "ENV A=2", "empty_layer": True}, {}]),
        False,
    ),
    "a history that is shorter": (
        built(A, history=[{"created_by": "ADD a"}, {"created_by": "ENV A=1", "empty_layer": True}]),
        built(A, history=[{"created_by": "ADD a"}]),
        False,
    ),
    "another compression": (
        OLD,
        built(Blob(zstd_frame(A.plain), A.plain, f"{LAYER}+zstd"), Blob(B.plain, B.plain, LAYER), OWN),
        True,
    ),
}


@pytest.mark.parametrize("name", LAYERS)
async def test_without_a_digest_layers_and_histories_are_compared(client: AsyncClient, there: There, name: str) -> None:
    base, image, is_current = LAYERS[name]
    there.put("base", base)
    app = there.put("app", image)
    [found] = (await client.images.check_base(app, base=there.base)).images
    assert (found.compared, found.is_current, found.previous) == ("layers", is_current, None)
    assert (found.reason is None) == is_current
    alone = await client.images.check_base(app, base=there.base, layers_only=True)
    assert alone.is_current == (is_current or "history" in name or "times" in name)


async def test_the_image_for_the_same_platform_is_compared(client: AsyncClient, there: There) -> None:
    arm = built(A, C, platform="arm64")
    there.put("base", make_index([OLD, arm], kind="oci"))
    for platform, layers in (("amd64", (A, B, OWN)), ("arm64", (A, C, OWN))):
        name = there.put(platform, built(*layers, platform=platform, annotations=there.said()))
        assert (await client.images.check_base(name)).is_current
    wrong = there.put("wrong", built(A, B, OWN, platform="arm64", annotations=there.said()))
    assert not (await client.images.check_base(wrong)).is_current
    gone = there.put("gone", built(A, B, OWN, platform="s390x", annotations=there.said()))
    [found] = (await client.images.check_base(gone)).images
    assert found.reason is not None
    assert "linux/s390x any more" in found.reason


async def test_all_images_of_an_index_are_checked(client: AsyncClient, there: There) -> None:
    old = make_index([OLD, built(A, B, platform="arm64")], kind="oci")
    there.put("base", old)
    images = [
        built(A, B, OWN, annotations=there.said(old.digest)),
        built(A, B, OWN, platform="arm64", annotations=there.said("sha256:" + "0" * 64)),
    ]
    index = make_index([*images, make_attestation(images[0]), Entry(make_artifact(), {})], kind="oci")
    name = there.put("app", index)
    found = await client.images.check_base(name)
    assert [(str(image.platform), image.is_current) for image in found.images] == [
        ("linux/amd64", True),
        ("linux/arm64", False),
    ]
    assert not found.is_current
    assert found.digest == index.digest
    assert (await client.images.check_base(name, platforms="linux/amd64")).is_current


async def test_what_an_index_or_an_entry_says_is_meant_for_its_images(client: AsyncClient, there: There) -> None:
    there.put("base", OLD)
    image = built(A, B, OWN)
    for tag, index in {
        "index": make_index([image], kind="oci", annotations=there.said(OLD.digest)),
        "entry": make_index([Entry(image, annotations=there.said(OLD.digest))], kind="oci"),
    }.items():
        name = there.put(tag, index)
        [found] = (await client.images.check_base(name)).images
        assert (found.compared, found.is_current) == ("digest", True)


async def test_what_is_given_comes_before_what_is_said(client: AsyncClient, there: There) -> None:
    there.put("base", NEW)
    other = there.put("other", OLD)
    name = there.put("app", built(A, B, OWN, annotations=there.said(OLD.digest)))
    assert not (await client.images.check_base(name)).is_current
    assert (await client.images.check_base(name, digest=NEW.digest)).is_current
    # The digest that is said is that of another base.
    [found] = (await client.images.check_base(name, base=other)).images
    assert (found.compared, found.is_current) == ("layers", True)
    [found] = (await client.images.check_base(name, base=there.base)).images
    assert (found.compared, found.is_current) == ("digest", False)
    assert not (await client.images.check_base(name, base=other, digest=NEW.digest)).is_current


async def test_a_base_may_be_anywhere_if_it_is_given(client: AsyncClient, there: There, tmp_path: Path) -> None:
    base = there.put("base", OLD)
    app = there.put("app", built(A, B, OWN))
    await client.copy(base, f"oci:{tmp_path}:base")
    await client.copy(app, f"oci:{tmp_path}:app")
    for one in (app, f"oci:{tmp_path}:app"):
        assert (await client.images.check_base(one, base=f"oci:{tmp_path}:base")).is_current


async def test_a_name_with_a_tag_and_a_digest_says_both(client: AsyncClient, there: There) -> None:
    there.put("base", OLD)
    name = there.put("app", built(A, B, OWN, annotations={BASE_NAME: f"{there.base}@{OLD.digest}"}))
    assert (await client.images.check_base(name)).is_current
    there.put("base", NEW)
    [found] = (await client.images.check_base(name)).images
    assert (found.base, found.is_current, found.previous) == (there.base, False, OLD.digest)


async def test_what_is_said_leads_to_no_place_on_this_machine(
    client: AsyncClient, there: There, tmp_path: Path
) -> None:
    await client.copy(there.put("base", OLD), f"oci:{tmp_path}:base")
    for said in (f"oci:{tmp_path}:base", "evil\nFORGED", "a b", "x@sha256:1"):
        name = there.put("app", built(A, B, OWN, annotations={BASE_NAME: said}))
        with pytest.raises(InvalidContent) as raised:
            await client.images.check_base(name)
        assert (raised.value.code, raised.value.exit_code) == ("no-base", 7)
        assert (await client.images.check_base(name, base=there.base)).is_current


async def test_what_is_not_said_is_asked_for(client: AsyncClient, there: There) -> None:
    there.put("base", OLD)
    plain = there.put("plain", built(A, B, OWN))
    with pytest.raises(NotFound) as raised:
        await client.images.check_base(plain)
    assert raised.value.code == "no-base"
    wrong = there.put("wrong", built(A, B, OWN, annotations=there.said("sha256:none")))
    with pytest.raises(InvalidContent) as malformed:
        await client.images.check_base(wrong)
    assert malformed.value.code == "no-base-digest"
    with pytest.raises(InvalidDigest):
        await client.images.check_base(wrong, digest="none")
    gone = there.put("gone", built(A, B, OWN, annotations={BASE_NAME: f"{there.base}-gone"}))
    with pytest.raises(NotFound):
        await client.images.check_base(gone)


async def test_requests(lading: Lading, registry: RealRegistry, repository: str, proxy: CountingProxy) -> None:
    there = There(proxy.host, repository)
    push(registry.host, repository, "base", make_index([OLD], kind="oci"))
    said = there.said(make_index([OLD], kind="oci").digest)
    push(
        registry.host,
        repository,
        "app",
        make_index(
            [built(A, B, OWN, annotations=said), built(A, B, OWN, platform="arm64", annotations=said)], kind="oci"
        ),
    )
    proxy.reset()
    lading.run("image", "check-base", f"{proxy.host}/{repository}:app")
    # The index, its images, and what the base's name stands for, once.
    assert sorted(exchange.method for exchange in proxy.exchanges) == ["GET", "GET", "GET", "HEAD"]


async def test_the_command_answers_and_ends(lading: Lading, there: There) -> None:
    there.put("base", OLD)
    name = there.put("app", built(A, B, OWN, annotations=there.said(OLD.digest)))
    ran = lading.run("image", "check-base", name)
    assert ran.stdout == f"{there.base} is still the base of {name}\n"
    there.put("base", NEW)
    ran = lading.run("image", "check-base", name, check=False)
    assert ran.returncode == 1
    assert ran.stdout == (
        f"{there.base} is not the base of {name} any more: it was {OLD.digest}, and is {NEW.digest} now\n"
    )
    assert ran.stderr.startswith("to put it on the base as it is now: lading image rebase ")
    command = ran.stderr.strip().partition("lading ")[2].split()
    lading.run(*command[:-1], "new")
    rebased = f"{there.host}/{there.repository}:new"
    assert lading.run("image", "check-base", rebased).stdout == f"{there.base} is still the base of {rebased}\n"
    ran = lading.run("image", "check-base", name, "--quiet", check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (1, "", "")
    ran = lading.run("image", "check-base", name, "--format", "json", check=False)
    assert json.loads(ran.stdout)["images"][0]["current"] == NEW.digest
    plain = there.put("plain", built(A, B, OWN))
    ran = lading.run("image", "check-base", plain, check=False)
    assert ran.returncode == 3
    assert "--base REF" in ran.stderr
    ran = lading.run("image", "check-base", plain, "--base", there.base, check=False)
    assert ran.returncode == 1
    assert "its layer 2 is" in ran.stdout
    assert NEW.digest in ran.stdout
    assert lading.run("image", "check-base", plain, "--digest", "none", check=False).returncode == 2
    assert lading.run("image", "check-base", f"{name}-none", check=False).returncode == 3


def test_what_regctl_panics_at_is_compared(
    lading: Lading, registry: RealRegistry, repository: str, tmp_path: Path
) -> None:
    there = There(registry.host, repository)
    there.put("base", built(A, history=[{"created_by": "ADD a"}]))
    name = there.put("app", built(A, OWN, history=[{"created_by": "ADD a"}, {"created_by": "own"}]))
    assert lading.run("image", "check-base", name, "--base", there.base).returncode == 0
    config = tmp_path / "regctl.json"
    config.write_text(json.dumps({"hosts": {registry.host: {"tls": "disabled"}}}))
    environment = bare_environment(tmp_path) | {"REGCTL_CONFIG": str(config)}
    said = run(
        [need("regctl"), "image", "check-base", name, "--base", there.base, "--platform", "linux/amd64"],
        check=False,
        env=environment,
    )
    assert said.returncode == 2
    assert "panic" in said.stderr
