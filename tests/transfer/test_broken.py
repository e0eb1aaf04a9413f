"""Sources and targets that break: a clear error with its exit code, the state as before, and a next run repairs."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lading import Client
from support import images
from support.http import Reply, Request
from support.lading import Lading
from support.process import Ran
from support.proxy import Action, Alter, CountingProxy, when
from support.registry import RealRegistry

MIB = 1024 * 1024
LAYER = images.make_layer({"layer": images.noise("layer", 3 * MIB)})
IMAGES = [
    images.make_image(
        f"linux/{arch}", kind="oci", layers=[LAYER, images.make_layer({"own": images.noise(arch, 100_000)})]
    )
    for arch in ("amd64", "arm64/v8")
]
INDEX = images.make_index(IMAGES, kind="oci")
BEFORE = images.make_image(kind="oci", seed="before")
OWN = IMAGES[1].layers[1]


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """For all but the copies that are to fail, which are commands."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "client-cache"))
    with Client(docker_config=tmp_path / "client-docker") as running:
        yield running


@pytest.fixture
def source(elsewhere: str) -> str:
    images.push(elsewhere, "app", "1", INDEX)
    images.push(elsewhere, "app", "before", BEFORE)
    return f"{elsewhere}/app"


@pytest.fixture
def layout(client: Client, source: str, tmp_path: Path) -> Path:
    """A layout with the index."""
    path = tmp_path / "layout"
    client.copy(f"{source}:1", f"oci:{path}:1")
    return path


class Target:
    """A place whose tag names something before, which it is to name afterwards, too.

    Args:
        name: how it is called on the command line, without the tag.
    """

    def __init__(self, client: Client, name: str, folder: Path) -> None:
        self.full = f"{name}:1"
        self.name = name
        self._client = client
        self._folder = folder

    def assert_has(self, manifest: images.Manifest) -> None:
        """The tag names the manifest, with everything that belongs to it, and nothing is damaged."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._client.copy(self.full, f"oci:{self._folder}:1")
        (entry,) = json.loads((self._folder / "index.json").read_bytes())["manifests"]
        assert entry["digest"] == manifest.digest
        there = {f"sha256:{path.name}": path.read_bytes() for path in self._folder.glob("blobs/sha256/*")}
        assert there == contents(manifest)


def contents(manifest: images.Manifest) -> dict[str, bytes]:
    found = {manifest.digest: manifest.content, **manifest.blobs}
    for child in manifest.children:
        found |= contents(child)
    return found


@pytest.fixture(params=["registry", "layout", "oci-archive"])
def target(
    request: pytest.FixtureRequest, client: Client, source: str, registry: RealRegistry, repository: str, tmp_path: Path
) -> Target:
    name = {
        "registry": f"{registry.host}/{repository}",
        "layout": f"oci:{tmp_path}/target",
        "oci-archive": f"oci-archive:{tmp_path}/target.tar",
    }[request.param]
    client.copy(f"{source}:before", f"{name}:1")
    return Target(client, name, tmp_path / "check")


in_a_registry = pytest.mark.parametrize("target", ["registry"], indirect=True)


def fails(lading: Lading, code: int, *arguments: str, said: str = "", env: dict[str, str] | None = None) -> Ran:
    """The command fails as it should, and says so in three lines at most."""
    ran = lading.run(*arguments, check=False, env=env)
    assert ran.returncode == code, ran.stderr
    assert ran.stdout == ""
    lines = ran.stderr.splitlines()
    assert lines[0].startswith("error: ")
    assert len(lines) <= 3
    assert said in ran.stderr
    return ran


def blob_file(layout: Path, content: bytes) -> Path:
    return layout / "blobs" / images.digest_of(content).replace(":", "/")


def spoil(path: Path) -> None:
    """Other bytes, and as many."""
    whole = path.read_bytes()
    path.unlink()
    path.write_bytes(whole[:-10] + bytes([whole[-10] ^ 1]) + whole[-9:])


# Sources


@pytest.mark.parametrize(
    "content,target",
    [
        (OWN, "registry"),
        (OWN, "layout"),
        (OWN, "oci-archive"),
        (LAYER, "registry"),
        (IMAGES[1].config, "registry"),
        (IMAGES[1].content, "registry"),
    ],
    indirect=["target"],
)
def test_content_that_a_layout_lacks(
    content: bytes, lading: Lading, client: Client, source: str, layout: Path, target: Target
) -> None:
    blob_file(layout, content).unlink()
    ran = fails(lading, 3, "copy", f"oci:{layout}:1", target.full, said=images.digest_of(content))
    assert str(layout) in ran.stderr
    target.assert_has(BEFORE)
    client.copy(f"{source}:1", target.full)
    target.assert_has(INDEX)


@pytest.mark.parametrize(
    "content,target",
    [
        (OWN, "registry"),
        (OWN, "layout"),
        (OWN, "oci-archive"),
        (LAYER, "registry"),
        (IMAGES[1].config, "registry"),
        (IMAGES[1].content, "registry"),
        (INDEX.content, "registry"),
    ],
    indirect=["target"],
)
def test_content_that_is_damaged_in_a_layout(
    content: bytes, lading: Lading, client: Client, source: str, layout: Path, target: Target
) -> None:
    spoil(blob_file(layout, content))
    ran = fails(lading, 7, "copy", f"oci:{layout}:1", target.full, said=str(blob_file(layout, content)))
    assert "--verify" in ran.stderr
    target.assert_has(BEFORE)
    # As the error says.
    client.copy(f"{source}:1", f"oci:{layout}:1", verify=True)
    client.copy(f"oci:{layout}:1", target.full)
    target.assert_has(INDEX)


@pytest.mark.parametrize(
    "answer,code,said,target",
    [
        (Reply(status=404), 3, "does not have", "registry"),
        (Alter(corrupt=500), 7, "does not match its digest", "registry"),
        (Alter(corrupt=500), 7, "does not match its digest", "layout"),
        (Alter(corrupt=500), 7, "does not match its digest", "oci-archive"),
        (Reply(body=b"short"), 7, "another size", "registry"),
        (Alter(truncate=500), 6, "broke", "layout"),
        (Reply(status=500), 1, "failed to answer", "registry"),
        (Reply(status=429), 5, "fewer requests", "layout"),
        (Reply(status=403), 4, "did not allow", "registry"),
    ],
    indirect=["target"],
)
def test_a_blob_that_a_registry_does_not_give(
    answer: Action, code: int, said: str, lading: Lading, client: Client, source: str, target: Target
) -> None:
    host, _, name = source.partition("/")
    with CountingProxy(f"http://{host}") as proxy:
        proxy.intercept = when(answer, method="GET", path=images.digest_of(OWN))
        fails(lading, code, "copy", f"{proxy.host}/{name}:1", target.full, said=said)
        target.assert_has(BEFORE)
        proxy.intercept = None
        client.copy(f"{proxy.host}/{name}:1", target.full)
    target.assert_has(INDEX)


def test_a_registry_that_dies_while_it_is_read(lading: Lading, client: Client, source: str, target: Target) -> None:
    host, _, name = source.partition("/")
    with CountingProxy(f"http://{host}") as proxy:
        proxy.intercept = when(Alter(drop="request"), after=4)
        fails(lading, 6, "copy", f"{proxy.host}/{name}:1", target.full, said=proxy.host)
    target.assert_has(BEFORE)
    client.copy(f"{source}:1", target.full)
    target.assert_has(INDEX)


def test_a_tag_that_moves_while_it_is_read(client: Client, source: str, target: Target) -> None:
    """What the tag named in the beginning is copied, whole."""
    host, _, name = source.partition("/")
    with CountingProxy(f"http://{host}") as proxy:

        def move(request: Request) -> None:
            if "/blobs/" in request.path:
                images.push(host, name, "1", BEFORE)

        proxy.intercept = move
        client.copy(f"{proxy.host}/{name}:1", target.full)
    target.assert_has(INDEX)


def test_a_tag_that_moves_and_what_it_named_is_deleted(lading: Lading, source: str, target: Target) -> None:
    host, _, name = source.partition("/")
    with CountingProxy(f"http://{host}") as proxy:

        def delete(request: Request) -> None:
            if request.method == "GET" and request.path.endswith(IMAGES[1].digest):
                proxy.intercept = None
                images.push(host, name, "1", BEFORE)
                with images.RegistryClient(host, name) as client:
                    client.delete(IMAGES[1].digest)

        proxy.intercept = delete
        fails(lading, 3, "copy", f"{proxy.host}/{name}:1", target.full, said=IMAGES[1].digest)
    target.assert_has(BEFORE)


@in_a_registry
@pytest.mark.parametrize("change", ["replaced", "removed", "overwritten"])
def test_a_layout_that_changes_while_it_is_read(
    change: str,
    lading: Lading,
    client: Client,
    source: str,
    layout: Path,
    target: Target,
    repository: str,
    registry: RealRegistry,
) -> None:
    """What was opened is read to its end, if nobody writes into it; and what is not what it should be is noticed."""
    file = blob_file(layout, OWN)
    with CountingProxy(registry.url) as proxy:

        def act(request: Request) -> None:
            # The first blob that is uploaded: not all have been opened.
            if request.method != "POST":
                return
            proxy.intercept = None
            if change == "removed":
                file.unlink(missing_ok=True)
            elif change == "replaced":
                spoil(file)
            else:
                with file.open("r+b") as writing:
                    writing.write(b"\0" * 1000)

        proxy.intercept = act
        name = f"{proxy.host}/{repository}:1"
        ran = lading.run("copy", f"oci:{layout}:1", name, "--jobs", "1", check=False)
    if ran.returncode == 0:
        target.assert_has(INDEX)
    else:
        assert ran.returncode == (3 if change == "removed" else 7)
        target.assert_has(BEFORE)
    client.copy(f"{source}:1", f"oci:{layout}:1", verify=True)
    client.copy(f"oci:{layout}:1", target.full)
    target.assert_has(INDEX)


def test_an_archive_that_becomes_shorter_while_it_is_read(
    lading: Lading, client: Client, source: str, repository: str, registry: RealRegistry, tmp_path: Path
) -> None:
    archive = tmp_path / "source.tar"
    client.copy(f"{source}:1", f"oci-archive:{archive}:1")
    with CountingProxy(registry.url) as proxy:

        def act(request: Request) -> None:
            if request.method == "POST":
                os.truncate(archive, 2 * MIB)

        proxy.intercept = act
        fails(lading, 7, "copy", f"oci-archive:{archive}:1", f"{proxy.host}/{repository}:1", said="source.tar")
    assert images.list_tags(registry.host, repository) == []


# Targets


def test_a_registry_that_dies_while_it_is_written_to(
    lading: Lading, client: Client, source: str, repository: str
) -> None:
    host = source.partition("/")[0]
    images.push(host, repository, "1", BEFORE)
    with CountingProxy(f"http://{host}") as proxy:
        for after in (1, 5, 9, 12):
            proxy.intercept = when(Alter(drop="request"), after=after)
            fails(lading, 6, "copy", f"{source}:1", f"{proxy.host}/{repository}:1", said=proxy.host)
            assert images.get_manifest(host, repository, "1")[2] == BEFORE.digest
        proxy.intercept = None
        client.copy(f"{source}:1", f"{proxy.host}/{repository}:1")
    assert images.get_manifest(host, repository, "1")[2] == INDEX.digest


@pytest.mark.parametrize(
    "what,answer,code",
    [
        ("/blobs/uploads/", Reply(status=500), 1),
        ("/blobs/uploads/", Reply(status=507), 1),
        ("/blobs/uploads/", Reply(status=403), 4),
        ("/blobs/uploads/", Reply(status=413), 7),
        (f"manifests/{IMAGES[1].digest}", Reply(status=429), 5),
        ("manifests/1$", Reply(status=503), 1),
        ("manifests/1$", Reply(status=409), 8),
    ],
)
def test_a_registry_that_takes_no_more(
    what: str, answer: Reply, code: int, lading: Lading, client: Client, source: str, repository: str
) -> None:
    host = source.partition("/")[0]
    images.push(host, repository, "1", BEFORE)
    with CountingProxy(f"http://{host}") as proxy:
        proxy.intercept = lambda request: (
            when(answer, path=what)(request) if request.method in ("POST", "PUT", "PATCH") else None
        )
        fails(lading, code, "copy", f"{source}:1", f"{proxy.host}/{repository}:1", said=proxy.host)
        assert images.get_manifest(host, repository, "1")[2] == BEFORE.digest
        proxy.intercept = None
        client.copy(f"{source}:1", f"{proxy.host}/{repository}:1")
    assert images.get_manifest(host, repository, "1")[2] == INDEX.digest


@pytest.mark.parametrize("instead", ["nothing", "a directory", "a file"])
def test_a_layout_that_is_taken_away_while_it_is_written_to(
    instead: str, lading: Lading, client: Client, source: str, tmp_path: Path
) -> None:
    """As when a disk is unmounted."""
    host, _, name = source.partition("/")
    target, aside = tmp_path / "target", tmp_path / "aside"
    with CountingProxy(f"http://{host}") as proxy:

        def act(request: Request) -> None:
            if request.path.endswith(images.digest_of(OWN)):
                target.rename(aside)
                if instead == "a directory":
                    target.mkdir()
                elif instead == "a file":
                    target.write_text("something else")

        proxy.intercept = act
        arguments = ("copy", f"{proxy.host}/{name}:1", f"oci:{target}:1", "--jobs", "1")
        ran = lading.run(*arguments, check=False)
    assert ran.returncode in (1, 8), ran.stderr
    assert str(target) in ran.stderr
    assert len(ran.stderr.splitlines()) <= 3
    if target.is_dir():
        assert not (target / "index.json").exists()
        shutil.rmtree(target)
    else:
        target.unlink(missing_ok=True)
    aside.rename(target)
    client.copy(f"{source}:1", f"oci:{target}:1")
    Target(client, f"oci:{target}", tmp_path / "check").assert_has(INDEX)


# No room


@contextmanager
def small_disk(path: Path, size: int) -> Iterator[Callable[[int], None]]:
    """A file system of so many bytes; it gives what makes it larger."""
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path], check=False, capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")

    def enlarge(more: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={more}", path], check=True)

    try:
        yield enlarge
    finally:
        subprocess.run(["umount", path], check=True)


@pytest.mark.parametrize("kind", ["oci", "oci-archive", "docker-archive"])
def test_a_full_disk(kind: str, lading: Lading, client: Client, source: str, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with small_disk(disk, 2 * MIB) as enlarge:
        target = Target(client, f"{kind}:{disk}/target{'' if kind == 'oci' else '.tar'}", tmp_path / "check")
        full = f"{target.full}" if kind != "docker-archive" else f"{target.name}:app:1"
        platform = ["--platform", "linux/amd64"] if kind == "docker-archive" else []
        client.copy(f"{source}:before", full)
        before = files(disk)
        fails(lading, 1, "copy", f"{source}:1", full, *platform, said="No space left on device")
        if kind == "oci":
            assert before.items() <= files(disk).items()
            target.assert_has(BEFORE)
        else:
            assert files(disk) == before
        enlarge(20 * MIB)
        lading.run("copy", f"{source}:1", full, *platform)
        if kind != "docker-archive":
            target.assert_has(INDEX)


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "lock"
    }


@pytest.mark.parametrize("kind", ["oci", "oci-archive", "docker-archive"])
def test_a_limit_of_the_size_of_files(kind: str, lading: Lading, source: str, tmp_path: Path) -> None:
    target = tmp_path / "target"
    full = f"{kind}:{target}" + (":app:1" if kind == "docker-archive" else ":1")
    platform = ["--platform", "linux/amd64"] if kind == "docker-archive" else []
    command = [sys.executable, "-m", "lading", "copy", f"{source}:1", full, *platform]
    ran = subprocess.run(
        ["sh", "-c", 'ulimit -f 2048; exec "$@"', "sh", *command],
        env=lading.environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 1
    assert "File too large" in ran.stderr
    assert len(ran.stderr.splitlines()) <= 3
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith((".target", "target"))] == (
        ["target"] if kind == "oci" else []
    )
    lading.run("copy", f"{source}:1", full, *platform)


def test_a_cache_that_is_full_stops_no_copy(
    lading: Lading, source: str, registry: RealRegistry, repository: str, tmp_path: Path
) -> None:
    image = images.make_image(layers=[images.make_layer({"large": images.noise("large", 6 * MIB)})])
    host, _, name = source.partition("/")
    images.push(host, name, "large", image)
    cache = tmp_path / "cache"
    with small_disk(cache, 8192):
        with contextlib.suppress(OSError):
            (cache / "full").write_bytes(bytes(100_000))
        lading.run("copy", f"{source}:large", f"{registry.host}/{repository}:1", env={"XDG_CACHE_HOME": str(cache)})
    assert images.get_manifest(registry.host, repository, "1")[2] == image.digest


def test_no_room_for_temporary_files(lading: Lading, client: Client, source: str, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    archive = tmp_path / "image.tar.gz"
    client.copy(f"{source}:1", f"oci-archive:{archive}:1")
    with small_disk(disk, 2 * MIB):
        env = {"TMPDIR": str(disk)}
        for arguments in (
            (f"{source}:1", f"oci:{tmp_path}/target:1", "--compression", "none"),
            (f"oci-archive:{archive}:1", f"oci:{tmp_path}/target:1"),
            (f"{source}:1", f"docker-archive:{tmp_path}/saved.tar:app:1", "--platform", "linux/amd64"),
        ):
            ran = fails(lading, 1, "copy", *arguments, said="No space left on device", env=env)
            assert str(disk) in ran.stderr
            assert list(disk.iterdir()) == []
        assert not (tmp_path / "saved.tar").exists()
