"""What was acknowledged stays, whoever pushes beside it and whenever the server dies."""

import contextlib
import hashlib
import http.client
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lading.serve import FolderStorage, Storage, background
from serve.caller import Caller
from serve.served import Served
from support.images import (
    Manifest,
    RegistryClient,
    digest_of,
    list_tags,
    make_artifact,
    make_image,
    make_index,
    make_layer,
    noise,
    push,
)
from support.lading import Lading

REF_NAME = "org.opencontainers.image.ref.name"
KILLS = 20
PUSHERS = 32


# --- a server that is killed


class Acknowledged:
    """What a server has acknowledged, and what was under way to it."""

    def __init__(self) -> None:
        self.count = 0
        self.looked_at: dict[Path, int] = {}
        self.blobs: set[tuple[str, str]] = set()
        self.manifests: set[tuple[str, str]] = set()
        self.tags: dict[tuple[str, str], str | None] = {}
        self.under_way: dict[tuple[str, str], str] = {}


class Pusher(threading.Thread):
    """Pushes and tags until the server is gone, and notes what was acknowledged."""

    def __init__(self, host: str, number: int, seed: str, known: Acknowledged) -> None:
        super().__init__()
        self._host = host
        self._number = number
        self._seed = seed
        self._known = known

    def run(self) -> None:
        draw = random.Random(f"{self._seed}/{self._number}")
        with contextlib.suppress(OSError, http.client.HTTPException):
            for turn in range(1000):
                repository = draw.choice(["a", "a/b", "c"])
                with RegistryClient(self._host, repository) as client:
                    self._push(client, repository, draw, turn)

    def _push(self, client: RegistryClient, repository: str, draw: random.Random, turn: int) -> None:
        seed = f"{self._seed}/{self._number}/{turn}"
        layers = [make_layer({"own": noise(seed, draw.choice([100, 100_000, 1_500_000]))})]
        layers.append(make_layer({"shared": noise("shared", 50_000)}))
        image = make_image(kind="oci", layers=layers, seed=seed)
        top = make_index([image], kind="oci") if draw.random() < 0.5 else image
        for manifest in (image, top, make_artifact(subject=image, files={"seed": seed.encode()})):
            for digest, blob in manifest.blobs.items():
                self._put_blob(client, digest, blob, draw)
                self._known.blobs.add((repository, digest))
                self._known.count += 1
            tag = f"tag{self._number}" if manifest is top else None
            self._put_manifest(client, repository, manifest, tag)

    def _put_blob(self, client: RegistryClient, digest: str, blob: bytes, draw: random.Random) -> None:
        if draw.random() < 0.5:
            return client.put_blob(digest, blob)
        _, headers, _ = client.request("POST", "/blobs/uploads/", expect=202)
        middle = draw.randrange(len(blob) + 1)
        client.request("PATCH", headers["Location"], blob[:middle], expect=202, absolute=True)
        last = f"{headers['Location']}?digest={digest}"
        client.request("PUT", last, blob[middle:], expect=201, absolute=True)

    def _put_manifest(self, client: RegistryClient, repository: str, manifest: Manifest, tag: str | None) -> None:
        if tag is not None:
            self._known.under_way[repository, tag] = manifest.digest
        headers = {"Content-Type": manifest.media_type}
        client.request("PUT", f"/manifests/{tag or manifest.digest}", manifest.content, headers, expect=201)
        self._known.manifests.add((repository, manifest.digest))
        if tag is not None:
            self._known.tags[repository, tag] = manifest.digest
            del self._known.under_way[repository, tag]


@pytest.mark.slow
@pytest.mark.parametrize("batch", range(5))
def test_a_server_that_is_killed_keeps_what_it_acknowledged(lading: Lading, tmp_path: Path, batch: int) -> None:
    """Five times twenty kills, each in the middle of six pushes."""
    folder = tmp_path / "registry"
    draw = random.Random(batch)
    known = Acknowledged()
    for number in range(KILLS):
        with Served(lading, folder) as server:
            pushers = [Pusher(server.host, one, f"{batch}/{number}", known) for one in range(6)]
            for pusher in pushers:
                pusher.start()
            enough = known.count + draw.randrange(40)
            while known.count < enough:
                time.sleep(0.001)
            time.sleep(draw.uniform(0, 0.02))
            server.kill()
            for pusher in pushers:
                pusher.join()
        check(folder, known)
        # Nobody was told what came of these; now it shows.
        known.tags |= {name: tags_of(folder / name[0]).get(name[1]) for name in known.under_way}
        known.under_way.clear()
    assert len(known.manifests) > KILLS
    with Served(lading, folder) as server:
        for repository, digest in known.manifests:
            with RegistryClient(server.host, repository) as client:
                assert client.manifest(digest)[2] == digest
        for (repository, tag), target in known.tags.items():
            assert target in {None, Caller(server.url)("HEAD", f"/v2/{repository}/manifests/{tag}").headers[DIGEST]}
        assert server.stop() == 0
    assert list((folder / ".lading" / "uploads").iterdir()) == []


DIGEST = "docker-content-digest"


def check(folder: Path, known: Acknowledged) -> None:
    """All that was acknowledged is there, all that has a name is whole, and nothing else has one."""
    repositories = [file.parent for file in folder.rglob("index.json")]
    for layout in repositories:
        for file in (layout / "blobs").rglob("*"):
            if file.is_file() and known.looked_at.get(file) != file.stat().st_ino:
                known.looked_at[file] = file.stat().st_ino
                assert hashlib.sha256(file.read_bytes()).hexdigest() == file.name
        document = json.loads((layout / "index.json").read_bytes())
        assert json.loads((layout / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
        for entry in document["manifests"]:
            assert_whole(layout, entry)
        repository = str(layout.relative_to(folder))
        for tag, digest in tags_of(layout).items():
            allowed = {known.tags.get((repository, tag)), known.under_way.get((repository, tag))}
            assert digest in allowed, f"nobody was told that {repository}:{tag} is {digest}"
    for repository, digest in known.blobs | known.manifests:
        assert (folder / repository / "blobs" / digest.replace(":", "/")).is_file()
    for repository in {name for name, _ in known.manifests}:
        listed = {entry["digest"] for entry in entries_of(folder / repository)}
        assert {digest for name, digest in known.manifests if name == repository} <= listed
    for name, target in known.tags.items():
        assert tags_of(folder / name[0]).get(name[1]) in {target, known.under_way.get(name)}


def assert_whole(layout: Path, descriptor: Any) -> None:
    raw = (layout / "blobs" / descriptor["digest"].replace(":", "/")).read_bytes()
    assert len(raw) == descriptor["size"]
    document = json.loads(raw)
    for child in document.get("manifests", ()):
        assert_whole(layout, child)
    for blob in filter(None, [document.get("config"), *document.get("layers", ())]):
        assert (layout / "blobs" / blob["digest"].replace(":", "/")).stat().st_size == blob["size"]


def entries_of(layout: Path) -> Any:
    return json.loads((layout / "index.json").read_bytes())["manifests"]


def tags_of(layout: Path) -> dict[str, str]:
    if not (layout / "index.json").exists():
        return {}
    names = {entry.get("annotations", {}).get(REF_NAME): entry["digest"] for entry in entries_of(layout)}
    return {name: digest for name, digest in names.items() if name}


def test_what_is_acknowledged_has_been_given_to_the_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that loses its power loses what was not synced: files first, then the folders with their names."""
    order: list[int] = []
    fsync = os.fsync

    def noted(file: int) -> None:
        fsync(file)
        order.append(os.fstat(file).st_ino)

    monkeypatch.setattr(os, "fsync", noted)
    image = make_image(kind="oci", layers=2)
    with background(FolderStorage(folder)) as url:
        push(Caller(url).host, "team/app", "v1", image)
        synced = list(order)
    layout = folder / "team" / "app"
    last = {inode: position for position, inode in enumerate(synced)}
    for digest in (*image.blobs, image.digest):
        file = layout / "blobs" / digest.replace(":", "/")
        assert last[file.stat().st_ino] < last[file.parent.stat().st_ino] < last[(layout / "index.json").stat().st_ino]
    assert last[(layout / "index.json").stat().st_ino] < last[layout.stat().st_ino]
    for above in (layout.parent, folder, folder.parent, layout / "blobs"):
        assert above.stat().st_ino in last


# --- many at once


def push_all(hosts: list[str], jobs: list[tuple[str, str, Manifest]]) -> None:
    """Push all of it, each by a client of its own, beginning at the same moment."""
    ready = threading.Barrier(len(jobs))

    def one(number: int) -> None:
        repository, tag, manifest = jobs[number]
        ready.wait()
        push(hosts[number % len(hosts)], repository, tag, manifest)

    with ThreadPoolExecutor(len(jobs)) as pool:
        for future in [pool.submit(one, number) for number in range(len(jobs))]:
            future.result()


def assert_there(host: str, jobs: list[tuple[str, str, Manifest]]) -> None:
    for repository, tag, manifest in jobs:
        with RegistryClient(host, repository) as client:
            assert client.manifest(tag)[0] == manifest.content
            for one in (manifest, *manifest.children):
                assert client.manifest(one.digest)[0] == one.content
                for digest, blob in one.blobs.items():
                    assert client.blob(digest) == blob


def same(count: int) -> list[tuple[str, str, Manifest]]:
    index = make_index([make_image(kind="oci", layers=3, seed="same")], kind="oci")
    return [(["a", "b"][number % 2], f"v{number % 5}", index) for number in range(count)]


def different(count: int) -> list[tuple[str, str, Manifest]]:
    layer = make_layer({"shared": noise("shared", 100_000)})
    images = [
        make_image(kind="oci", layers=[layer, make_layer({"own": noise(str(number), 50_000)})], seed=str(number))
        for number in range(count)
    ]
    return [(["a", "b", "b/c"][number % 3], f"v{number}", image) for number, image in enumerate(images)]


@pytest.fixture
def hosts(storage: Storage) -> Iterator[list[str]]:
    with background(storage) as url:
        yield [Caller(url).host]


@pytest.mark.parametrize("jobs", [same(PUSHERS), different(PUSHERS)], ids=["same", "different"])
def test_many_who_push_at_once_lose_nothing(hosts: list[str], jobs: list[tuple[str, str, Manifest]]) -> None:
    push_all(hosts, jobs)
    assert_there(hosts[0], jobs)
    for repository in {name for name, _, _ in jobs}:
        assert list_tags(hosts[0], repository) == sorted({tag for name, tag, _ in jobs if name == repository})


@pytest.mark.parametrize("jobs", [same(PUSHERS), different(PUSHERS)], ids=["same", "different"])
def test_two_servers_and_a_copy_on_one_folder_lose_nothing(
    lading: Lading, folder: Path, tmp_path: Path, jobs: list[tuple[str, str, Manifest]]
) -> None:
    aside = make_image(kind="oci", seed="aside")
    with Served(lading, folder) as one, Served(lading, folder) as two:
        push(one.host, "aside", "v1", aside)
        copies = [
            subprocess.Popen(
                [sys.executable, "-m", "lading", "copy", "-q", f"{one.host}/aside:v1", f"oci:{folder}/a:copy{number}"],
                env=lading.environment,
                stdout=subprocess.DEVNULL,
            )
            for number in range(3)
        ]
        push_all([one.host, two.host], jobs)
        for copy in copies:
            assert copy.wait(60) == 0
        copied = [("a", f"copy{number}", aside) for number in range(3)]
        for server in (one, two):
            assert_there(server.host, [*jobs, *copied])
        assert sorted(list_tags(two.host, "a")) == sorted({tag for name, tag, _ in [*jobs, *copied] if name == "a"})
    ran = lading.run("copy", f"oci:{folder}/a:v0", f"oci:{tmp_path}/out:v0")
    assert ran.stdout.strip() == f"oci:{tmp_path}/out:v0@{jobs[0][2].digest}"


def test_what_comes_twice_is_on_the_disk_once(folder: Path) -> None:
    content = noise("twice", 300_000)
    path = digest_of(content).replace(":", "/")
    with background(FolderStorage(folder)) as url:
        call = Caller(url)
        for name in ("a", "b", "b/c"):
            call.push_blob(name, digest_of(content), content)
        files = [folder / name / "blobs" / path for name in ("a", "b", "b/c")]
        assert len({file.stat().st_ino for file in files}) == 1
        # What is damaged is not shared, but replaced by what has just been verified.
        files[0].write_bytes(content[:-1] + b"x")
        for name in ("a", "d"):
            call.push_blob(name, digest_of(content), content)
            assert call("GET", f"/v2/{name}/blobs/{digest_of(content)}").body == content
        for name in ("a", "b", "b/c", "d"):
            assert call("DELETE", f"/v2/{name}/blobs/{digest_of(content)}").status == 202
    assert not [file for file in folder.rglob("*") if file.name == path.rpartition("/")[2]]
