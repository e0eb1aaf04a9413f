"""What was observed of clients beyond the kept pulls, what their sources say, and what holds for every list."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.errors import InvalidPlatform, UsageError
from lading.model.config import ImageConfig
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.index import Index
from lading.model.manifest import Manifest, parse
from lading.model.media_types import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
)
from lading.model.platform import Platform
from lading.model.selection import (
    Content,
    Gap,
    PullClient,
    Selection,
    every,
    newest,
    select,
    spelled,
)

AMD64 = Platform(os="linux", architecture="amd64", variant="v4")
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
WINDOWS_2019, WINDOWS_2022 = "windows/amd64:10.0.17763", "windows/amd64:10.0.20348"
IMAGE_2019, IMAGE_2022 = "windows/amd64 10.0.17763.5", "windows/amd64 10.0.20348.1"
ALL = [str(client) for client in every()]
TAKES_ONE = [client for client in ALL if client != "ctr@2.3.4+transfer"]


def platform(text: str) -> Platform | None:
    """A platform as it stands, `-` for none: OS/ARCH[/VARIANT][ os.version][ +feature…]."""
    if text == "-":
        return None
    machine, *rest = text.split(" ")
    os, architecture, variant = (*machine.split("/"), "")[:3]
    return Platform(
        os=os,
        architecture=architecture,
        variant=variant,
        os_version=next((word for word in rest if not word.startswith("+")), ""),
        os_features=tuple(word[1:] for word in rest if word.startswith("+")),
    )


def entry(name: str, of: Platform | None, **more: Any) -> Descriptor:
    made = Descriptor(media_type=OCI_MANIFEST, digest=Digest.of(name.encode()), size=100, platform=of)
    return msgspec.structs.replace(made, **more)


def index(*texts: str, kind: str = OCI_INDEX) -> Index:
    """A list with an entry for each platform, called by its place: 0, 1, 2 …"""
    return Index.build([entry(str(place), platform(text)) for place, text in enumerate(texts)], kind, style="compact")


def place(found: Selection, of: Index) -> int | None:
    """Which entry is taken."""
    return [item.digest for item in of.manifests].index(found.digest) if found.digest is not None else None


@pytest.mark.parametrize(
    "entries,request_,client,expected",
    [
        # Two for one platform, and zstd
        ("linux/amd64/v1,linux/amd64", "linux/amd64", "docker@29", 0),
        ("linux/amd64/v1,linux/amd64", "linux/amd64", "podman", 1),
        ("linux/amd64/v1,linux/amd64", "linux/amd64/v2", "docker@20.10", None),
        ("linux/amd64/v1,linux/amd64", "linux/amd64/v2", "docker@28", 0),
        ("linux/amd64/v1,linux/amd64", "linux/amd64/v2", "ctr@2.3.4+local", None),
        # Docker's own builds of 20.10 take amd64/v1 for another platform, and forget a variant of x86_64
        ("linux/amd64/v1,linux/amd64", "linux/amd64", "docker@20.10+upstream", 1),
        ("linux/amd64/v2,linux/x86_64/v2", "linux/amd64", "docker@20.10+upstream", 1),
        ("linux/amd64/v2,linux/x86_64/v2", "linux/amd64", "docker@20.10", None),
        # Names as they stand, and aliases
        ("linux/armhf", "linux/arm/v7", "docker", 0),
        ("linux/armel", "linux/arm/v6", "containerd@1.6", 0),
        ("linux/armhf", "linux/arm/v7", "podman", None),
        ("LINUX/AMD64", "linux/amd64", "docker", 0),
        ("LINUX/AMD64", "linux/amd64", "skopeo", None),
        ("linux/arm64", "linux/aarch64", "podman", 0),
        ("linux/arm64", "linux/aarch64", "skopeo", None),
        ("linux/arm/v5", "linux/arm/v6", "docker@28", 0),
        # arm64: what a v9 runs, and from when on
        ("linux/arm64/v8,linux/arm64/v8.5,linux/arm64/v8.6", "linux/arm64/v9", "containerd@2.3", 1),
        ("linux/arm64/v8,linux/arm64/v8.5,linux/arm64/v8.6", "linux/arm64/v9.1", "containerd@2.3", 2),
        ("linux/arm64/v9,linux/arm64/v8", "linux/arm64/v9", "docker@27", 0),
        ("linux/arm64/v8", "linux/arm64/v9", "docker@27", None),
        ("linux/arm64/v8", "linux/arm64/v9", "docker@28", 0),
        ("linux/arm64/v10,linux/arm64", "linux/arm64/v10", "containerd@2.3", None),
        ("linux/arm/v6,linux/arm/v7", "linux/arm64", "docker@20.10", None),
        ("linux/arm/v6,linux/arm/v7", "linux/arm64", "docker@24", 1),
        # Windows: builds, and from when on they count outside of Windows
        ("windows/amd64 10.0.17763.1,windows/amd64 10.0.20348.1", "windows(10.0.26100)/amd64", "containerd@2.3", 1),
        ("windows/amd64 10.0.20348.1", "windows(10.0.26101)/amd64", "containerd@2.1", 0),
        ("windows/amd64 10.0.20348.1", "windows(10.0.26101)/amd64", "containerd@2.2", None),
        ("windows/amd64 10.0.17763.1", "windows(10.0.20348)/amd64", "containerd@2.0.0", 0),
        ("windows/amd64 10.0.17763.1", "windows(10.0.20348)/amd64", "containerd@2.0.2", None),
        ("windows/amd64 10.0.20348.1", "windows(10.0)/amd64", "containerd", 0),
        # Features of the operating system
        ("linux/amd64 +sse4,linux/amd64", "linux/amd64", "docker@29.5", 0),
        ("linux/amd64 +sse4,linux/amd64", "linux/amd64", "docker@29.6", 1),
        ("linux/amd64,linux/amd64 +sse4", "linux(+sse4)/amd64", "docker@29.6", 1),
        ("linux/amd64 +sse4", "linux/amd64", "docker@29.6", None),
        ("windows/amd64,windows/amd64 +win32k", "windows/amd64", "docker@28+containerd", 0),
        ("windows/amd64,windows/amd64 +win32k", "windows/amd64", "docker@29+containerd", 1),
        # No platform
        ("-,linux/arm64", "linux/amd64", "docker", 0),
        ("-,linux/arm64", "linux/amd64", "podman", 0),
        ("-,linux/arm64", "linux/amd64", "docker@20.10", None),
        # The ways of the options
        ("linux/amd64,linux/arm64", "arm64", "buildah@1.30", None),
        ("linux/amd64,linux/arm64", "arm64", "buildah@1.31", 1),
        ("linux/amd64,linux/arm64", "arm64", "podman", None),
        ("linux/amd64,linux/arm64", "linux", "skopeo", 0),
        ("linux/arm64/v8.2", "linux/arm64/v8.2", "podman@4.9", None),
        ("linux/arm64/v8.2", "linux/arm64/v8.2", "podman@5.4", 0),
    ],
)
def test_which_entry_is_taken(entries: str, request_: str, client: str, expected: int | None) -> None:
    listed = index(*entries.split(","))
    found = select(listed, request_, as_=client, host=AMD64)
    assert (place(found, listed) if found.is_pulled else None) == expected, found
    assert found.is_pulled or found.error or found.outcome == "nothing"


@pytest.mark.parametrize(
    "host,client,entries,expected",
    [
        ("linux/amd64/v3", "docker@29.7.2", "linux/amd64,linux/amd64/v2,linux/amd64/v3,linux/amd64/v4", 2),
        ("linux/amd64/v3", "docker@29.5", "linux/amd64,linux/amd64/v2,linux/amd64/v3", 0),
        ("linux/amd64/v3", "docker@29.5+graphdriver", "linux/amd64,linux/amd64/v2,linux/amd64/v3", 2),
        ("linux/amd64", "docker@29.7.2", "linux/amd64,linux/amd64/v2", 0),
        ("linux/amd64/v4", "containerd", "linux/amd64/v3,linux/amd64", 1),
        ("linux/arm/v6", "docker", "linux/arm/v7,linux/arm/v6,linux/arm/v5", 1),
        ("linux/arm/v6", "podman", "linux/arm/v7,linux/arm,linux/arm/v5", 2),
        ("linux/arm", "podman", "linux/arm/v6,linux/arm,linux/arm/v7", 2),
        ("linux/arm64", "podman", "linux/arm64,linux/arm64/v8", 1),
        ("linux/arm64", "docker", "linux/arm64,linux/arm64/v8", 0),
        ("linux/riscv64", "docker", "linux/amd64,linux/riscv64", 1),
        ("darwin/arm64", "docker", "darwin/arm64,linux/arm64", 1),
        ("darwin/arm64", "containerd", "linux/arm64,darwin/arm64", 1),
        ("darwin/arm64", "skopeo", "linux/arm64", None),
        ("freebsd/amd64", "containerd", "linux/amd64,linux/arm64", 0),
        (WINDOWS_2022, "docker+graphdriver", f"linux/amd64,{IMAGE_2019},{IMAGE_2022}", 2),
        (WINDOWS_2019, "docker+graphdriver", f"{IMAGE_2022},{IMAGE_2019}", 1),
        (WINDOWS_2019, "docker+graphdriver", f"linux/amd64,{IMAGE_2022}", None),
        (WINDOWS_2022, "containerd", "windows/amd64 10.0.20348.1,windows/amd64 10.0.20348.9", 1),
        (WINDOWS_2019, "containerd", IMAGE_2022, None),
    ],
)
def test_what_a_host_asks_for_where_nobody_says(host: str, client: str, entries: str, expected: int | None) -> None:
    listed = index(*entries.split(","))
    found = select(listed, as_=client, host=Platform.parse(host))
    assert (place(found, listed) if found.is_pulled else None) == expected, found


@pytest.mark.parametrize(
    "client,printed",
    [
        ("docker@20.10", "no matching manifest for linux/riscv64 in the manifest list entries"),
        ("docker@28.5.2+graphdriver", "no matching manifest for linux/riscv64 in the manifest list entries"),
        ("docker@29.7.2+graphdriver", "no matching manifest for linux/riscv64 in the manifest list entries"),
        (
            "docker@28.5.2+containerd",
            "Error response from daemon: no matching manifest for linux/riscv64 in the manifest list entries: "
            "no match for platform in manifest: not found",
        ),
        (
            "docker@29.7.2+containerd",
            "Error response from daemon: no matching manifest for linux/riscv64 in the manifest list entries: "
            "no match for platform in manifest: not found",
        ),
        ("containerd", "no match for platform in manifest: not found"),
        ("ctr@1.6.20", "ctr: no match for platform in manifest DIGEST: not found"),
        ("ctr@2.3.4+transfer", None),
        (
            "podman@4.3.1",
            "Error: choosing an image from manifest list docker://R: no image found in KIND for architecture riscv64, "
            'variant "", OS linux',
        ),
        (
            "podman@5.8.2",
            "Error: unable to copy from source docker://R: choosing an image from manifest list docker://R: no image "
            'found in KIND for architecture "riscv64", variant "", OS "linux"',
        ),
        (
            "skopeo@1.9.3+copy",
            "choosing an image from manifest list docker://R: no image found in KIND for architecture riscv64, "
            'variant "", OS linux',
        ),
        (
            "skopeo@1.22.2+inspect",
            "Error parsing manifest for image: choosing image instance: no image found in KIND for architecture "
            '"riscv64", variant "", OS "linux"',
        ),
    ],
)
@pytest.mark.parametrize("kind,name", [(OCI_INDEX, "image index"), (DOCKER_LIST, "manifest list")])
def test_what_is_printed_where_nothing_fits(client: str, printed: str | None, kind: str, name: str) -> None:
    listed = index("linux/amd64", "linux/arm64", kind=kind)
    found = select(listed, "linux/riscv64", as_=client, name="R")
    expected = printed.replace("KIND", name).replace("DIGEST", listed.digest) if printed else None
    assert (found.error, found.taken, found.is_pulled) == (expected, (), False)


def test_docker_29_names_the_level_it_looked_for() -> None:
    found = select(index("linux/arm64"), as_="docker@29.7.2+containerd", host=AMD64)
    assert found.error is not None
    assert "no matching manifest for linux/amd64/v4 in the manifest list entries" in found.error


def test_zstd_is_preferred_from_the_version_on_that_knows_it() -> None:
    zstd = {"io.github.containers.compression.zstd": "true"}
    entries = [entry("gzip", platform("linux/amd64")), entry("zstd", platform("linux/amd64"), annotations=zstd)]
    oci = Index.build(entries, OCI_INDEX)
    clients = ("podman@4.4", "podman@4.5", "skopeo@1.11", "skopeo@1.12", "buildah@1.29", "buildah@1.30", "docker")
    assert [place(select(oci, as_=client), oci) for client in clients] == [0, 1, 0, 1, 0, 1, 0]


def test_old_docker_crashes_on_a_capital_letter() -> None:
    found = select(index("Linux/amd64"), as_="docker@20.10")
    assert (found.outcome, found.error) == ("crashes", "unexpected EOF")
    assert select(index("Linux/amd64"), as_="docker@23").outcome == "taken"


def make_image(machine: str, name: str = "") -> tuple[Manifest, dict[Digest, Content]]:
    """An image with its config, as contents."""
    of = platform(machine) or Platform()
    raw = json.dumps({**of.to_document(), "id": name}).encode()
    config = Descriptor.of(raw, OCI_CONFIG)
    layer = Descriptor.of(name.encode(), LAYER)
    document = {"schemaVersion": 2, "config": config.to_document(), "layers": [layer.to_document()]}
    image = parse(json.dumps(document).encode(), OCI_MANIFEST)
    assert isinstance(image, Manifest)
    return image, {image.digest: image, config.digest: ImageConfig.parse(raw)}


def described(manifest: Manifest | Index, of: str = "-", **more: Any) -> Descriptor:
    return msgspec.structs.replace(manifest.descriptor, platform=platform(of), **more)


def test_who_gives_no_platform_is_asked_for_it_afterwards() -> None:
    arm, contents = make_image("linux/arm64", "first")
    amd, more = make_image("linux/amd64", "second")
    listed = Index.build([described(arm), described(amd)])
    contents |= more

    def takes(client: str, request: str | None = None) -> tuple[str, int | None]:
        found = select(listed, request, as_=client, host=AMD64, contents=contents)
        assert not found.needs
        return found.outcome, place(found, listed)

    assert takes("containerd") == ("no match", None)
    assert takes("docker+containerd") == ("taken", 0)
    assert takes("docker+graphdriver") == ("taken", 0)
    assert takes("docker+graphdriver", "linux/amd64") == ("crashes", 0)
    assert takes("podman") == ("taken", 0)
    assert takes("docker@20.10") == ("no match", None)
    transfer = select(listed, as_="ctr@2.3.4+transfer", host=AMD64, contents=contents)
    assert [item.digest for item in transfer.taken] == [arm.digest, amd.digest]
    local = select(listed, as_="ctr@2.3.4+local", host=AMD64, contents=contents)
    assert (local.outcome, [item.digest for item in local.fetched]) == ("no match", [arm.digest, amd.digest])


@pytest.mark.parametrize(
    "config,request_,client,expected",
    [
        # Docker holds an image without a variant for one of any, and falls over another one
        ("linux/arm", "linux/arm/v6", "docker+graphdriver", "taken"),
        ("linux/arm/v7", "linux/arm/v6", "docker+graphdriver", "crashes"),
        ("linux/arm/v5", "linux/arm/v6", "docker+graphdriver", "taken"),
        ("linux/arm64", "linux/amd64", "docker@25", "crashes"),
        ("linux/arm64", "linux/amd64", "docker@24", "taken"),
        # Old containerd does not look at the variant
        ("linux/amd64/v3", "linux/amd64", "containerd@1.6", "taken"),
        ("linux/amd64/v3", "linux/amd64", "containerd@2.0", "no match"),
        # podman parses the platform once more when all is there
        ("linux/arm64", "linux/arm64/v8.3", "podman@4.3.1", "fails"),
        ("linux/arm64", "linux/arm64/v8.3", "podman@5.8.2", "taken"),
        ("linux/arm64", "linux(+x)/arm64", "podman@5.8.2", "fails"),
    ],
)
def test_what_becomes_of_an_entry_without_a_platform(config: str, request_: str, client: str, expected: str) -> None:
    image, contents = make_image(config)
    listed = Index.build([described(image)])
    found = select(listed, request_, as_=client, host=AMD64, contents=contents, name="reg:5/app:1")
    assert found.outcome == expected, found
    assert not found.needs
    assert (found.error is None) == (expected == "taken")


@pytest.mark.parametrize(
    "name,crashes", [("app:latest", True), ("reg:5/app", True), ("app:1", False), ("app@d", False)]
)
def test_docker_before_25_crashes_on_what_is_called_latest(name: str, crashes: bool) -> None:
    """It looks for the image's platform in a list in which another entry has none; of other tags it finds nothing."""
    bare, contents = make_image("linux/amd64", "bare")
    lying, more = make_image("linux/amd64", "lying")
    listed = Index.build([described(bare), described(lying, "linux/arm64")])
    contents |= more
    for client in ("docker@20.10", "docker@24+graphdriver"):
        found = select(listed, "linux/arm64", as_=client, host=AMD64, contents=contents, name=name)
        assert found.digest == lying.digest
        assert (found.outcome == "crashes") == crashes
    # Old Docker takes an arm that is too new, and so does not find it again.
    newer, more = make_image("linux/arm/v8")
    listed = Index.build([described(newer, "linux/arm/v8"), described(bare)])
    found = select(listed, "linux/arm/v5", as_="docker@20.10", host=AMD64, contents=contents | more, name=name)
    assert (found.outcome == "crashes") == crashes
    other_way_round = Index.build([described(lying, "linux/arm64"), described(bare)])
    found = select(other_way_round, "linux/arm64", as_="docker@20.10", host=AMD64, contents=contents, name=name)
    assert found.is_pulled


def test_docker_goes_on_where_an_index_in_the_index_fails() -> None:
    image, contents = make_image("linux/amd64")
    gone = entry("gone", platform("linux/amd64"))
    inner = Index.build([gone])
    listed = Index.build([described(inner, "linux/amd64"), described(image, "linux/amd64")])
    contents |= {inner.digest: inner, gone.digest: Gap.MISSING}
    assert select(listed, as_="docker@28+graphdriver", contents=contents).digest == image.digest
    assert select(listed, as_="docker@28+containerd", contents=contents).outcome == "fails"
    # Where nothing in it fits, that is the answer.
    empty = Index.build([entry("arm", platform("linux/arm64"))])
    listed = Index.build([described(empty, "linux/amd64"), described(image, "linux/amd64")])
    found = select(listed, as_="docker@28+graphdriver", contents=contents | {empty.digest: empty})
    assert found.outcome == "no match"


def test_only_the_first_of_two_indexes_is_followed() -> None:
    arm, contents = make_image("linux/arm64")
    amd, more = make_image("linux/amd64")
    one, two = (Index.build([described(image, of)]) for image, of in ((arm, "linux/arm64"), (amd, "linux/amd64")))
    listed = Index.build([described(one), described(two)])
    contents |= more | {one.digest: one, two.digest: two}
    for client in ("docker+graphdriver", "docker+containerd", "containerd", "ctr+local"):
        assert select(listed, as_=client, contents=contents).outcome == "no match", client
    assert select(listed, as_="ctr+transfer", contents=contents).digest == amd.digest
    assert select(listed, as_="podman", contents=contents).outcome == "fails"
    assert select(listed, as_="skopeo+inspect", contents=contents).outcome == "no match"


def test_containerd_minds_what_the_list_says_of_size_and_type() -> None:
    image, contents = make_image("linux/amd64")
    larger = Index.build([described(image, "linux/amd64", size=image.size + 1)])
    untyped = Index.build([described(image, "linux/amd64", media_type="")])
    for listed in (larger, untyped):
        for client in ("containerd", "docker@29+containerd", "ctr@1.6"):
            assert select(listed, as_=client, contents=contents).outcome == "fails", client
        for client in ("docker@20.10", "docker@29+graphdriver", "podman", "skopeo"):
            assert select(listed, as_=client, contents=contents).outcome == "taken", client


def test_ctr_reads_the_whole_list_from_2_on() -> None:
    image, contents = make_image("linux/amd64")
    gone = entry("gone", platform("linux/s390x"))
    listed = Index.build([gone, described(image, "linux/amd64")])
    contents |= {gone.digest: Gap.MISSING}
    assert select(listed, as_="ctr@1.6", contents=contents).digest == image.digest
    for client in ("ctr@2.3.4+transfer", "ctr@2.3.4+local"):
        assert select(listed, as_=client, contents=contents).outcome == "fails", client


def test_docker_fetches_the_attestation_of_what_it_takes() -> None:
    image, _ = make_image("linux/amd64")
    about = {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": image.digest}
    others = [entry(name, platform("unknown/unknown"), annotations=about) for name in ("older", "newer")]
    listed = Index.build([described(image, "linux/amd64"), *others])
    found = select(listed, as_="docker@29.1+containerd")
    assert [item.digest for item in found.fetched] == [image.digest, others[1].digest]
    assert [item.digest for item in select(listed, as_="docker@29.0+containerd").fetched] == [image.digest]


def test_a_windows_image_alone_is_refused_by_docker_on_linux() -> None:
    image, contents = make_image("windows/amd64")
    found = select(image, as_="docker@29+graphdriver", contents=contents)
    assert found.outcome == "fails"
    assert "windows" in (found.error or "")
    assert select(image, "linux/arm64", as_="podman", contents=contents).outcome == "taken"


@pytest.mark.parametrize(
    "text,expected",
    [
        ("docker", "docker@29.7.2+containerd"),
        ("docker@28.5.2", "docker@28.5.2+graphdriver"),
        ("docker@28.5.2+containerd", "docker@28.5.2+containerd"),
        ("docker@v20.10.24", "docker@20.10.24+graphdriver"),
        ("docker@99", "docker@99+containerd"),
        ("containerd", "containerd@2.3.4"),
        ("ctr@1.6.20", "ctr@1.6.20+local"),
        ("ctr", "ctr@2.3.4+transfer"),
        ("podman@4.3.1", "podman@4.3.1"),
        ("skopeo+inspect", "skopeo@1.22.2+inspect"),
    ],
)
def test_clients_are_read(text: str, expected: str) -> None:
    client = PullClient.parse(text)
    assert str(client) == expected
    assert PullClient.parse(str(client)) == client


@pytest.mark.parametrize(
    "text,said",
    [
        ("dokker", "docker, containerd, ctr, podman, buildah, skopeo"),
        ("", "docker"),
        ("docker@", "docker"),
        ("docker@latest", "docker"),
        ("docker@19.03", "from 20.10 to 29.7.2"),
        ("docker@20.9", "from 20.10"),
        ("docker@20.10+containerd", "graphdriver and upstream"),
        ("docker@23+containerd", "graphdriver"),
        ("ctr@1.7+transfer", "local"),
        ("podman+copy", "no variants"),
        ("skopeo@1.2", "from 1.3"),
    ],
)
def test_other_clients_are_refused_with_what_is_known(text: str, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        PullClient.parse(text)
    assert said in (raised.value.cause or "")
    assert repr(text) in raised.value.message


def test_a_partial_version_is_the_newest_of_those() -> None:
    listed = index("linux/amd64", "linux/amd64/v2")
    assert [place(select(listed, as_=client, host=AMD64), listed) for client in ("docker@29", "docker@29.5")] == [1, 0]


@pytest.mark.parametrize(
    "text", ["", "/", "linux/", "linux/a/b/c", "linux amd64", "nonsense", "a\nb/c", "linux/*", "é/x"]
)
def test_what_no_client_reads_is_refused(text: str) -> None:
    with pytest.raises(InvalidPlatform):
        select(index("linux/amd64"), text, as_="docker")


def test_a_platform_is_spelled_as_clients_are_asked() -> None:
    assert spelled(Platform.parse("windows/amd64:10.0.20348.1")) == "windows(10.0.20348.1)/amd64"
    assert spelled("windows/amd64:10.0.20348.1") == "windows(10.0.20348.1)/amd64"
    assert spelled("linux/aarch64") == "linux/aarch64"
    assert spelled("armhf") == "armhf"
    assert (
        spelled(Platform(os="linux", architecture="arm", variant="v7", os_features=("b", "a"))) == "linux(+a+b)/arm/v7"
    )


def test_newest_and_every_are_known_clients() -> None:
    assert set(newest()) <= set(every())
    assert len(set(every())) == len(every())


# What holds for every list

NAMES = ["linux/amd64", "linux/amd64/v1", "linux/amd64/v2", "linux/amd64/v3", "linux/386", "linux/arm", "linux/arm/v5"]
NAMES += ["linux/arm/v6", "linux/arm/v7", "linux/arm/v8", "linux/arm64", "linux/arm64/v8", "linux/arm64/v9"]
PLAIN = st.sampled_from([*NAMES, "linux/riscv64", "linux/s390x", "unknown/unknown"])
ODD_NAMES = [
    "-",
    "/",
    "linux/",
    "/amd64",
    "linux/x86_64",
    "linux/aarch64",
    "linux/armhf",
    "LINUX/ARM64",
    "darwin/arm64",
]
ODD_NAMES += [IMAGE_2022, "windows/amd64 10.0.17763", "windows/amd64 ten", "windows/amd64 +win32k", "linux/amd64 6.1"]
ODD_NAMES += ["linux/amd64 +sse4", "linux/arm64/v8.2", "linux/amd64/v99999999999"]
ANY = st.one_of(PLAIN, st.sampled_from(ODD_NAMES))
UNMISTAKABLE = ["linux/amd64/v2", "linux/amd64/v3", "linux/386", "linux/arm/v5", "linux/arm/v6", "linux/arm/v8"]
UNMISTAKABLE += ["linux/arm64/v9", "linux/riscv64", "linux/s390x"]
REQUESTS = st.one_of(
    st.none(),
    st.sampled_from([*NAMES, "linux/aarch64", "arm64", "linux", "windows/amd64", "windows(10.0.20348)/amd64"]),
    st.sampled_from(["linux(+sse4)/amd64", "linux/arm64/v8.2", "linux/amd64/v99999999999", "linux/s390x"]),
)
HOSTS = st.sampled_from(
    ["linux/amd64", "linux/amd64/v3", "linux/arm/v6", "linux/arm64", "windows/amd64:10.0.20348", "darwin/arm64"]
).map(Platform.parse)
CLIENTS = st.sampled_from([*ALL, "docker@24+containerd", "docker@27.1", "containerd@1.7.20", "containerd@2.0.0+unpack"])


@st.composite
def lists(draw: st.DrawFn, platforms: st.SearchStrategy[str] = ANY) -> Index:
    texts = draw(st.lists(platforms, max_size=6))
    kind = draw(st.sampled_from([OCI_INDEX, DOCKER_LIST]))
    media_type = OCI_MANIFEST if kind == OCI_INDEX else DOCKER_MANIFEST
    entries = [entry(str(at), platform(text), media_type=media_type) for at, text in enumerate(texts)]
    return Index.build(entries, kind, style="compact")


def answer(found: Selection) -> tuple[Any, ...]:
    return found.outcome, [item.digest for item in found.taken], [item.digest for item in found.fetched], found.error


@given(lists(), REQUESTS, CLIENTS, HOSTS)
def test_nothing_comes_from_outside_the_list(listed: Index, request: str | None, client: str, host: Platform) -> None:
    found = select(listed, request, as_=client, host=host)
    there = {item.digest for item in listed.manifests}
    assert {item.digest for item in (*found.taken, *found.fetched)} <= there
    assert {item.digest for item in found.needs} <= there
    looked_at = [item.digest for item in found.candidates]
    assert sorted(looked_at) in ([], sorted(there))
    ranks = [item.rank for item in found.candidates if item.rank is not None]
    assert ranks == list(range(len(ranks)))
    assert [item.rank for item in found.candidates[len(ranks) :]] == [None] * (len(looked_at) - len(ranks))
    assert all(item.reason for item in found.candidates)
    assert found.is_pulled == (found.error is None and found.outcome != "nothing")
    if found.taken and not client.startswith("ctr@2.3.4+transfer"):
        assert [item.digest for item in found.taken] == [found.candidates[0].digest]


@given(lists(), REQUESTS, CLIENTS, HOSTS, st.data())
def test_what_clients_do_not_read_changes_nothing(
    listed: Index, request: str | None, client: str, host: Platform, data: st.DataObject
) -> None:
    more = st.fixed_dictionaries(
        {
            "annotations": st.dictionaries(st.sampled_from(["a", "b.c"]), st.sampled_from(["", "true"])),
            "urls": st.lists(st.just("https://reg.example/x"), max_size=1).map(tuple),
            "data": st.sampled_from(["", "e30="]),
            "artifact_type": st.sampled_from(["", "application/vnd.example"]),
            "extra": st.dictionaries(st.just("x-more"), st.integers()),
        }
    )
    changed = [msgspec.structs.replace(item, **data.draw(more)) for item in listed.manifests]
    other = msgspec.structs.replace(listed, manifests=tuple(changed), annotations={"of": "the index"})
    # The message of a client that looks again afterwards has the digest of the list.
    assert answer(select(other, request, as_=client, host=host)) == answer(
        select(listed, request, as_=client, host=host)
    )


@given(lists(), REQUESTS, st.sampled_from(TAKES_ONE), HOSTS, st.data())
def test_the_first_of_two_for_a_platform_is_taken(
    listed: Index, request: str | None, client: str, host: Platform, data: st.DataObject
) -> None:
    if not listed.manifests:
        return
    again = data.draw(st.sampled_from(listed.manifests))
    copy = msgspec.structs.replace(again, digest=Digest.of(b"the same again"))
    longer = msgspec.structs.replace(listed, manifests=(*listed.manifests, copy))
    before, after = (select(item, request, as_=client, host=host) for item in (listed, longer))
    assert (before.outcome, before.digest) == (after.outcome, after.digest)


@given(lists(), REQUESTS, st.sampled_from(TAKES_ONE), HOSTS, st.data())
def test_what_is_passed_over_could_as_well_not_be_there(
    listed: Index, request: str | None, client: str, host: Platform, data: st.DataObject
) -> None:
    before = select(listed, request, as_=client, host=host)
    others = [item for item in listed.manifests if item.digest != before.digest]
    if not others or not before.taken:
        return
    gone = data.draw(st.sampled_from(others))
    shorter = msgspec.structs.replace(
        listed, manifests=tuple(item for item in listed.manifests if item.digest != gone.digest)
    )
    after = select(shorter, request, as_=client, host=host)
    assert (before.outcome, before.digest) == (after.outcome, after.digest)


@given(lists(PLAIN), st.sampled_from(NAMES))
def test_dockers_stores_and_containerd_agree_where_they_are_asked_the_same(listed: Index, request: str) -> None:
    for old_and_new in (
        ("docker@28.5.2+graphdriver", "docker@28.5.2+containerd", "containerd@2.1.4"),
        ("docker@29.7.2+graphdriver", "docker@29.7.2+containerd", "containerd@2.3.4"),
        ("docker@24+graphdriver", "docker@24+containerd", "containerd@1.6.20"),
    ):
        assert len({select(listed, request, as_=client, host=AMD64).digest for client in old_and_new}) == 1


@given(lists(), st.sampled_from(NAMES[:1] + NAMES[4:5] + NAMES[6:]))
def test_the_tools_of_one_image_library_agree(listed: Index, request: str) -> None:
    newer = ("podman@5.8.2", "buildah@1.43.0", "skopeo@1.22.2+copy", "skopeo@1.22.2+inspect")
    older = ("podman@4.3.1", "buildah@1.28.2", "skopeo@1.9.3+copy", "skopeo@1.9.3+inspect")
    for clients in (newer, older):
        taken = {select(listed, request, as_=client, host=AMD64).digest for client in clients}
        assert len(taken) == 1, taken


@given(st.lists(PLAIN, max_size=5), st.sampled_from(UNMISTAKABLE), st.integers(0, 5))
def test_what_is_there_by_its_own_name_is_taken_by_all(texts: list[str], request: str, at: int) -> None:
    """Clients differ in what else would do, and in what they take for the same; not in what has one name only."""
    listed = index(*texts[:at], request, *texts[at:])
    first = [str(item.platform) for item in listed.manifests].index(request)
    taken = {client: place(select(listed, request, as_=client, host=AMD64), listed) for client in TAKES_ONE}
    assert set(taken.values()) == {first}, taken


@given(st.sampled_from(["docker", "containerd", "ctr", "podman", "buildah", "skopeo"]), st.data())
def test_every_version_falls_into_a_range(name: str, data: st.DataObject) -> None:
    major, minor = {"docker": (20, 10), "containerd": (1, 6), "ctr": (1, 6), "podman": (4, 0)}.get(name, (1, 24))
    parts = [data.draw(st.integers(0, 60)) for _ in range(data.draw(st.integers(0, 2)))]
    version = ".".join(map(str, [major + data.draw(st.integers(1, 20)), *parts]))
    client = PullClient.parse(f"{name}@{version}")
    assert PullClient.parse(str(client)) == client
    assert select(index("linux/amd64"), "linux/amd64", as_=client).is_pulled
    assert PullClient.parse(f"{name}@{major}.{minor}.{data.draw(st.integers(0, 99))}").title


@given(lists(PLAIN), REQUESTS, CLIENTS)
def test_the_lists_word_is_taken_where_it_is_true(listed: Index, request: str | None, client: str) -> None:
    """Whatever is read on the way, it changes nothing where every entry is the image that the list says it is."""
    contents: dict[Digest, Content] = {}
    entries = []
    for at, item in enumerate(listed.manifests):
        assert item.platform is not None
        image, more = make_image(str(item.platform), str(at))
        contents |= more
        entries.append(msgspec.structs.replace(image.descriptor, platform=item.platform))
    real = Index.build(entries)
    unread = select(real, request, as_=client, host=AMD64)
    assert unread.needs or unread.outcome in ("no match", "refused", "nothing", "fails")
    read = select(real, request, as_=client, host=AMD64, contents=contents)
    assert not read.needs
    assert answer(read) == answer(unread)


@given(st.text("linux/amd64v.3()+*%-_: \n\0é", max_size=30), CLIENTS)
def test_any_text_is_a_platform_or_refused(text: str, client: str) -> None:
    try:
        found = select(index("linux/amd64", "-"), text, as_=client)
    except InvalidPlatform:
        return
    assert found.outcome
