"""The same lists made, changed and pushed by docker and by lading, in one store and one registry."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lading.drafts.annotate import annotate
from lading.drafts.create import create
from lading.drafts.docker_files import decode_entry, encode_entry, file_name
from lading.drafts.docker_inspect import docker_inspect, docker_inspect_verbose
from lading.drafts.inspect import inspect
from lading.drafts.push import push
from lading.drafts.store import DraftStore
from lading.errors import NotFound, UsageError
from lading.model.digest import Digest
from lading.model.platform import Platform
from lading.model.reference import Reference
from lading.store import Connect
from support.docker import DockerCLI
from support.images import Kind, Manifest, get_manifest, make_artifact, make_attestation, make_image, make_index
from support.images import push as put
from support.registry import RealRegistry

HTML = "<b>&amp;</b> é\u2028\u2029 \U0001f6a2"


def images(kind: Kind) -> dict[str, Manifest]:
    """One of each sort, by tag; the tags sort as they stand here."""
    return {
        "amd64": make_image("linux/amd64", kind=kind),
        "arm64": make_image("linux/arm64/v8", kind=kind),
        "html": make_image(
            "linux/s390x", kind=kind, os_version=HTML, annotations={"said": HTML} if kind == "oci" else None
        ),
        "loong": make_image("linux/loong64", kind=kind),
        "win": make_image("windows/amd64", kind=kind, os_version="10.0.17763.1817", os_features=["win32k"]),
    }


@pytest.fixture(params=["docker", "oci"])
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def tags(registry: RealRegistry, repository: str, kind: Kind) -> list[str]:
    """The tags of images that are in the registry."""
    for tag, image in images(kind).items():
        put(registry.host, repository, tag, image)
    return list(images(kind))


def folder(store: DraftStore, reference: str) -> Path:
    return store.root / file_name(Reference.parse(reference))


def documents(path: Path) -> dict[str, Any]:
    """The files of a list, without what lading adds to them."""
    found = {}
    for file in sorted(path.iterdir()):
        text = file.read_text()
        found[file.name] = text[: text.index(',"lading":')] + "}" if ',"lading":' in text else text
    return found


async def test_lading_writes_the_files_docker_writes(
    docker: DockerCLI, store: DraftStore, connect: Connect, name: str, tags: list[str]
) -> None:
    sources = [f"{name}:{tag}" for tag in tags]
    docker.run("manifest", "create", "--insecure", f"{name}:docker", *sources)
    made = await create(connect, store, f"{name}:lading", sources)
    by_docker, by_lading = documents(folder(store, f"{name}:docker")), documents(folder(store, f"{name}:lading"))
    assert by_docker == by_lading
    assert [change.kind for change in made.changes] == ["added"] * len(tags)
    for file in folder(store, f"{name}:lading").iterdir():
        assert file.stat().st_mode & 0o777 == 0o644
    assert folder(store, f"{name}:lading").stat().st_mode & 0o777 == 0o755


async def test_docker_files_are_read_and_written_byte_for_byte(
    docker: DockerCLI, store: DraftStore, name: str, tags: list[str]
) -> None:
    docker.run("manifest", "create", "--insecure", f"{name}:docker", *[f"{name}:{tag}" for tag in tags])
    for file in folder(store, f"{name}:docker").iterdir():
        entry, list_id = decode_entry(file.read_bytes(), str(file))
        assert encode_entry(entry) == file.read_bytes()
        assert (file.name, list_id) == (file_name(entry.reference), "")


async def test_both_push_the_same_digest(
    docker: DockerCLI,
    store: DraftStore,
    connect: Connect,
    registry: RealRegistry,
    repository: str,
    name: str,
    tags: list[str],
) -> None:
    sources = [f"{name}:{tag}" for tag in tags]
    docker.run("manifest", "create", "--insecure", f"{name}:docker", *sources)
    by_docker = docker.run("manifest", "push", "--insecure", f"{name}:docker").stdout.strip()
    await create(connect, store, f"{name}:lading", sources)
    assert (await push(connect, store, f"{name}:lading")).digest == by_docker
    assert get_manifest(registry.host, repository, "lading") == get_manifest(registry.host, repository, "docker")


async def test_each_pushes_what_the_other_made(
    docker: DockerCLI, store: DraftStore, connect: Connect, name: str, tags: list[str]
) -> None:
    sources = [f"{name}:{tag}" for tag in tags]
    docker.run("manifest", "create", "--insecure", f"{name}:docker", *sources)
    await create(connect, store, f"{name}:lading", sources)
    pushed = await push(connect, store, f"{name}:docker")
    assert docker.run("manifest", "push", "--insecure", f"{name}:lading").stdout == f"{pushed.digest}\n"


async def test_order_is_that_of_the_arguments_and_docker_s_is_that_of_the_files(
    docker: DockerCLI, store: DraftStore, connect: Connect, name: str, tags: list[str]
) -> None:
    backwards = [f"{name}:{tag}" for tag in reversed(tags)]
    docker.run("manifest", "create", "--insecure", f"{name}:docker", *backwards)
    await create(connect, store, f"{name}:lading", backwards)
    load = store.load
    assert [entry.reference.tag for entry in load(Reference.parse(f"{name}:lading")).entries] == tags[::-1]
    assert [entry.reference.tag for entry in load(Reference.parse(f"{name}:docker")).entries] == tags


async def test_inspect_prints_what_docker_prints(
    docker: DockerCLI, store: DraftStore, connect: Connect, name: str, tags: list[str]
) -> None:
    def said(*args: str) -> bytes:
        return docker.run("manifest", "inspect", "--insecure", *args).stdout_bytes

    async def printed(image: str, entry: str | None = None, verbose: bool = False, remote: bool = False) -> bytes:
        return await inspect(connect, store, image, entry, verbose=verbose, remote=remote)

    target = f"{name}:list"
    await create(connect, store, target, [f"{name}:{tag}" for tag in tags])
    assert await printed(target) == said(target)
    assert await printed(target, verbose=True) == said("-v", target)
    for entry in (f"{name}:{tag}" for tag in tags):
        assert await printed(target, entry) == said(target, entry)
        assert await printed(target, entry, verbose=True) == said("-v", target, entry)
    await push(connect, store, target)
    local = await printed(target)
    remote = await printed(target, remote=True), await printed(target, verbose=True, remote=True)
    assert await printed(target) == local
    store.remove([Reference.parse(target)])
    assert (await printed(target), await printed(target, verbose=True)) == remote
    assert remote == (said(target), said("-v", target))
    for image in (f"{name}:{tag}" for tag in tags):
        assert await printed(image) == said(image)
        assert await printed(image, verbose=True) == said("-v", image)


async def test_inspect_of_an_empty_list(docker: DockerCLI, store: DraftStore, connect: Connect, name: str) -> None:
    target = f"{name}:empty"
    folder(store, target).mkdir(parents=True)
    assert await inspect(connect, store, target) == docker.run("manifest", "inspect", target).stdout_bytes
    printed = await inspect(connect, store, target, verbose=True)
    assert printed == docker.run("manifest", "inspect", "-v", target).stdout_bytes


FLAGS: list[tuple[dict[str, Any], list[str]]] = [
    ({"os": "freebsd", "architecture": "arm"}, ["--os", "freebsd", "--arch", "arm"]),
    ({"variant": "v7"}, ["--variant", "v7"]),
    ({"os_version": HTML}, ["--os-version", HTML]),
    ({"os_features": ["b", "a", "b"]}, ["--os-features", "b,a", "--os-features", "b"]),
    ({}, []),
]


@pytest.mark.parametrize("maker", ["docker", "lading"])
@pytest.mark.parametrize("given, flags", FLAGS)
async def test_annotate_leaves_the_same_file(
    docker: DockerCLI,
    store: DraftStore,
    connect: Connect,
    registry: RealRegistry,
    repository: str,
    name: str,
    maker: str,
    given: dict[str, Any],
    flags: list[str],
) -> None:
    for tag in ("a", "b"):
        put(registry.host, repository, tag, make_image("linux/arm64/v8", seed=tag, os_features=["a", "z"]))
    sources = [f"{name}:b", f"{name}:a"]
    for target in (f"{name}:one", f"{name}:two"):
        if maker == "docker":
            docker.run("manifest", "create", "--insecure", target, *sources)
        else:
            await create(connect, store, target, sources)
    docker.run("manifest", "annotate", *flags, f"{name}:one", f"{name}:b")
    annotate(store, f"{name}:two", f"{name}:b", **given)
    assert documents(folder(store, f"{name}:one")) == documents(folder(store, f"{name}:two"))
    one = await push(connect, store, f"{name}:one")
    two = await push(connect, store, f"{name}:two")
    order = ["a", "b"] if maker == "docker" else ["b", "a"]
    assert one.digest == two.digest
    assert [entry.reference.tag for entry in store.load(Reference.parse(f"{name}:two")).entries] == order
    if maker == "docker":
        assert docker.run("manifest", "push", "--insecure", f"{name}:two").stdout == f"{two.digest}\n"


async def test_docker_amends_and_removes_what_lading_made(
    docker: DockerCLI, store: DraftStore, connect: Connect, name: str, tags: list[str]
) -> None:
    target = Reference.parse(f"{name}:list")
    await create(connect, store, target, [f"{name}:{tags[2]}", f"{name}:{tags[1]}"])
    docker.run("manifest", "create", "--insecure", "--amend", str(target), f"{name}:{tags[0]}", f"{name}:{tags[1]}")
    assert [entry.reference.tag for entry in store.load(target).entries] == [tags[2], tags[1], tags[0]]
    docker.run("manifest", "rm", str(target))
    with pytest.raises(NotFound, match="No such manifest"):
        store.load(target)


async def test_a_list_that_docker_made_anew_has_nothing_of_the_old(
    docker: DockerCLI, store: DraftStore, connect: Connect, name: str, tags: list[str]
) -> None:
    target = Reference.parse(f"{name}:list")
    sources = [f"{name}:{tag}" for tag in reversed(tags)]
    await create(connect, store, target, sources, annotations={"team": "web"})
    docker.run("manifest", "rm", str(target))
    docker.run("manifest", "create", "--insecure", str(target), *sources)
    draft = store.load(target)
    assert (draft.annotations, [entry.reference.tag for entry in draft.entries]) == ({}, tags)
    assert "anew" in draft.warnings[0]
    assert docker.run("manifest", "push", "--insecure", str(target)).stdout == f"{draft.index.digest}\n"


async def test_what_docker_annotates_keeps_lading_s_order_and_annotations(
    docker: DockerCLI, store: DraftStore, connect: Connect, name: str, tags: list[str]
) -> None:
    target = Reference.parse(f"{name}:list")
    await create(connect, store, target, [f"{name}:arm64", f"{name}:amd64"], annotations={"team": "web"})
    for tag in ("amd64", "arm64"):
        docker.run("manifest", "annotate", "--variant", "v9", str(target), f"{name}:{tag}")
    draft = store.load(target)
    assert draft.annotations == {"team": "web"}
    assert [str(platform) for platform in draft.platforms] == ["linux/arm64/v9", "linux/amd64/v9"]
    assert [entry.overridden for entry in draft.entries] == [{"variant"}, {"variant"}]


async def test_an_image_without_platform_is_refused_at_push(
    docker: DockerCLI, store: DraftStore, connect: Connect, registry: RealRegistry, repository: str, name: str
) -> None:
    put(registry.host, repository, "thing", make_artifact())
    await create(connect, store, f"{name}:list", [f"{name}:thing"])
    with pytest.raises(UsageError) as refused:
        await push(connect, store, f"{name}:list")
    said = docker.run("manifest", "push", "--insecure", f"{name}:list", check=False)
    assert said.stderr == f"{refused.value.message}\n"
    annotate(store, f"{name}:list", f"{name}:thing", os="linux", architecture="amd64")
    pushed = await push(connect, store, f"{name}:list")
    assert docker.run("manifest", "push", "--insecure", f"{name}:list").stdout == f"{pushed.digest}\n"


async def test_images_from_another_repository(
    docker: DockerCLI,
    store: DraftStore,
    connect: Connect,
    registry: RealRegistry,
    new_repository: Callable[[], str],
    kind: Kind,
) -> None:
    source, one, two = (f"{registry.host}/{new_repository()}" for _ in range(3))
    for tag, image in images(kind).items():
        put(registry.host, Reference.parse(source).repository, tag, image)
    sources = [f"{source}:{tag}" for tag in images(kind)]
    docker.run("manifest", "create", "--insecure", f"{one}:list", *sources)
    said = docker.run("manifest", "push", "--insecure", f"{one}:list").stdout.splitlines()
    await create(connect, store, f"{two}:list", sources)
    pushed = await push(connect, store, f"{two}:list")
    lines = [f"Pushed ref {two}@{entry.digest} with digest: {entry.digest}" for entry in pushed.copied]
    assert [line.replace(one, two) for line in said] == [*lines, pushed.digest]
    assert pushed.transfer.uploaded == 0
    for image in images(kind).values():
        content, media_type, _ = get_manifest(registry.host, Reference.parse(two).repository, image.digest)
        assert (content, media_type) == (image.content, image.media_type)


async def test_a_mixed_list(
    docker: DockerCLI, store: DraftStore, connect: Connect, registry: RealRegistry, repository: str, name: str
) -> None:
    put(registry.host, repository, "a", make_image("linux/amd64", kind="docker"))
    put(registry.host, repository, "b", make_image("linux/arm64", kind="oci"))
    for target, sources in {"x": ("a", "b"), "y": ("b", "a")}.items():
        await create(connect, store, f"{name}:{target}", [f"{name}:{tag}" for tag in sources])
        assert (await push(connect, store, f"{name}:{target}")).digest
    assert get_manifest(registry.host, repository, "x")[1].endswith("docker.distribution.manifest.list.v2+json")
    assert get_manifest(registry.host, repository, "y")[1].endswith("oci.image.index.v1+json")
    assert (
        docker.run("manifest", "push", "--insecure", f"{name}:x").stdout.strip()
        == get_manifest(registry.host, repository, "x")[2]
    )


def test_the_published_vector(store: DraftStore, docker: DockerCLI, registry: RealRegistry, repository: str) -> None:
    """A file with the least that Docker accepts, written by hand; the digest is that of docker's push."""
    path = store.root / f"{registry.host.replace(':', '-')}_x_app-multi"
    path.mkdir(parents=True)
    descriptor = {
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "digest": "sha256:62e6df75043c166e992c6d16dbcb19d3fd3aa5bfc915a4085015257de7ae4992",
        "size": 523,
        "platform": {"architecture": "amd64", "os": "linux"},
    }
    (path / "anything").write_text(json.dumps({"Ref": f"{registry.host}/x/app:amd64", "Descriptor": descriptor}))
    draft = store.load(Reference.parse(f"{registry.host}/x/app:multi"))
    assert draft.index.digest == "sha256:b63e73a11d6d2960d7be1ed939e2289e37fe056e1c89d4b29bd003fb33d37979"
    assert len(draft.index.raw) == 433
    assert draft.entries[0].raw is None
    assert docker_inspect(draft) == docker.run("manifest", "inspect", str(draft.reference)).stdout_bytes
    assert (
        docker_inspect_verbose(draft.entries)
        == docker.run("manifest", "inspect", "-v", str(draft.reference)).stdout_bytes
    )
    descriptor["platform"] = {"architecture": "amd64", "os": "linux", "os.version": "<&>é\u2028"}
    (path / "anything").write_text(json.dumps({"Ref": f"{registry.host}/x/app:amd64", "Descriptor": descriptor}))
    draft = store.load(Reference.parse(f"{registry.host}/x/app:multi"))
    assert draft.index.digest == Digest("sha256:3269406161feab569e17f0b756a90eeee929b50312618cb759f1ea6eaecd7aca")


async def test_an_index_is_flattened_into_what_docker_reads(
    docker: DockerCLI,
    store: DraftStore,
    connect: Connect,
    registry: RealRegistry,
    repository: str,
    name: str,
    kind: Kind,
) -> None:
    put(registry.host, repository, "index", make_index(list(images(kind).values()), kind=kind))
    await create(connect, store, f"{name}:list", [f"{name}:index"])
    draft = store.load(Reference.parse(f"{name}:list"))
    assert [entry.digest for entry in draft.entries] == [image.digest for image in images(kind).values()]
    assert docker.run("manifest", "inspect", str(draft.reference)).stdout_bytes == docker_inspect(
        msgspec.structs.replace(draft, entries=tuple(sorted(draft.entries, key=lambda entry: entry.digest)))
    )


async def test_both_may_write_at_once(
    docker: DockerCLI, store: DraftStore, connect: Connect, registry: RealRegistry, repository: str, name: str
) -> None:
    numbers = range(12)
    for number in numbers:
        put(registry.host, repository, f"t{number}", make_image(seed=str(number)))
    target = f"{name}:list"
    await create(connect, store, target, [f"{name}:t0"])

    async def by_docker(number: int) -> None:
        arguments = ("manifest", "create", "--insecure", "--amend", target, f"{name}:t{number}")
        await asyncio.to_thread(docker.run, *arguments)

    async def by_lading(number: int) -> None:
        await create(connect, store, target, [f"{name}:t{number}"], amend=True)

    await asyncio.gather(*((by_docker if number % 2 else by_lading)(number) for number in numbers))
    draft = store.load(Reference.parse(target))
    assert {entry.reference.tag for entry in draft.entries} == {f"t{number}" for number in numbers}
    assert docker.run("manifest", "inspect", target).returncode == 0


async def test_what_docker_annotated_stays_when_the_tag_moves(
    docker: DockerCLI, store: DraftStore, connect: Connect, registry: RealRegistry, repository: str, name: str
) -> None:
    put(registry.host, repository, "a", make_image("linux/arm64", seed="old"))
    put(registry.host, repository, "b", make_image("linux/amd64"))
    target = f"{name}:list"
    docker.run("manifest", "create", "--insecure", target, f"{name}:a", f"{name}:b")
    docker.run("manifest", "annotate", "--variant", "v9", target, f"{name}:a")
    new = put(registry.host, repository, "a", make_image("linux/arm64", seed="new", os_version="1"))
    put(registry.host, repository, "b", make_image("linux/s390x"))
    draft = (await create(connect, store, target, [], amend=True)).draft
    assert draft.entries[0].digest == new
    assert [entry.platform for entry in draft.entries] == [
        Platform("arm64", "linux", "1", variant="v9"),
        Platform("s390x", "linux"),
    ]
    assert docker.run("manifest", "push", "--insecure", target).stdout == f"{draft.index.digest}\n"


async def test_entries_named_by_digest(
    docker: DockerCLI, store: DraftStore, connect: Connect, registry: RealRegistry, repository: str, name: str
) -> None:
    digest = put(registry.host, repository, "a", make_image())
    sources = [f"{name}@{digest}", f"{name}:a@{digest}", f"{name}:a"]
    docker.run("manifest", "create", "--insecure", f"{name}:docker", *sources)
    await create(connect, store, f"{name}:lading", sources)
    assert documents(folder(store, f"{name}:docker")) == documents(folder(store, f"{name}:lading"))
    for source in sources:
        docker.run("manifest", "annotate", "--variant", "v2", f"{name}:lading", source)
        annotate(store, f"{name}:docker", source, variant="v2")
    assert documents(folder(store, f"{name}:docker")) == documents(folder(store, f"{name}:lading"))


async def test_docker_takes_lists_with_attestations(
    docker: DockerCLI, store: DraftStore, connect: Connect, registry: RealRegistry, repository: str, name: str
) -> None:
    image = make_image(kind="oci")
    put(registry.host, repository, "index", make_index([image, make_attestation(image)], kind="oci"))
    draft = (await create(connect, store, f"{name}:list", [f"{name}:index"])).draft
    docker.run("manifest", "push", "--insecure", f"{name}:list")
    assert docker_inspect(draft) == docker.run("manifest", "inspect", "--insecure", f"{name}:index").stdout_bytes
    verbose = docker.run("manifest", "inspect", "-v", f"{name}:list").stdout_bytes
    by_name = sorted(draft.entries, key=lambda entry: str(entry.reference))
    assert docker_inspect_verbose(by_name) == verbose
    assert b"attestation-manifest" in verbose
