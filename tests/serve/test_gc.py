"""Garbage collection: what goes and what stays, beside a registry that is being pushed to."""

import asyncio
import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from cli.terminal import on_terminal
from lading.serve import FolderStorage, Garbage, background
from serve.caller import Caller
from support.images import (
    OCI_INDEX,
    Manifest,
    RegistryClient,
    digest_of,
    make_artifact,
    make_image,
    make_index,
    make_layer,
    noise,
    push,
)
from support.lading import Lading
from support.parts import times

Serve = Callable[[], AbstractContextManager[str]]


@pytest.fixture
def call(serve_folder: Serve) -> Iterator[Caller]:
    with serve_folder() as url:
        yield Caller(url)


def collect(folder: Path, *, dry_run: bool = False, grace: float = 0, untagged: bool = False) -> Garbage:
    return asyncio.run(FolderStorage(folder).gc(dry_run=dry_run, grace=grace, untagged=untagged))


def digests(garbage: Garbage) -> set[tuple[str, str]]:
    return {(name, item.digest) for name, item in garbage.content}


def everything(name: str, *manifests: Manifest) -> set[tuple[str, str]]:
    return {(name, digest) for manifest in manifests for digest in (manifest.digest, *manifest.blobs)}


def age(folder: Path, *, seconds: float = 2 * 24 * 60 * 60) -> None:
    """Make everything as old as that."""
    before = time.time() - seconds
    for file in folder.rglob("*"):
        if file.is_file():
            os.utime(file, (before, before))


class TestKeeps:
    def test_all_that_a_tag_leads_to(self, call: Caller, folder: Path) -> None:
        images = [make_image(f"linux/{arch}", kind="oci", layers=2, seed=arch) for arch in ("amd64", "arm64")]
        nested = make_index([make_index(images, kind="oci")], kind="oci")
        push(call.host, "team/app", "v1", nested)
        push(call.host, "team/app", None, make_artifact(subject=nested))
        push(call.host, "other", "v1", make_image(seed="other"))
        assert collect(folder, untagged=True) == Garbage()
        assert call("GET", "/v2/team/app/manifests/v1").body == nested.content

    def test_what_has_no_tag_until_it_is_asked_away(self, call: Caller, folder: Path) -> None:
        old, new = (make_image(kind="oci", seed=seed) for seed in ("old", "new"))
        signature = make_artifact(subject=old)
        orphan = make_artifact(subject=make_image(seed="never pushed"), files={"a": b"orphan"})
        for tag, manifest in {"v1": old, None: signature}.items():
            push(call.host, "a", tag, manifest)
        push(call.host, "a", "v1", new)
        push(call.host, "a", None, orphan)
        push(call.host, "a", "kept", orphan)
        assert collect(folder) == Garbage()
        going = collect(folder, untagged=True)
        shared = everything("a", new, orphan)
        assert digests(going) == everything("a", old, signature) - shared
        assert {item.media_type for _, item in going.content} == {"", old.media_type}
        assert going.bytes == sum(item.size for _, item in going.content)
        assert call("GET", f"/v2/a/manifests/{old.digest}").status == 404
        assert call("GET", f"/v2/a/referrers/{old.digest}").document["manifests"] == []
        assert call("GET", "/v2/a/manifests/v1").body == new.content

    def test_the_entries_of_an_index_that_lost_its_tag_and_was_deleted(self, call: Caller, folder: Path) -> None:
        image = make_image(kind="oci")
        index = make_index([image], kind="oci")
        push(call.host, "a", "v1", index)
        assert call("DELETE", f"/v2/a/manifests/{index.digest}").status == 202
        assert collect(folder) == Garbage()
        assert call("GET", f"/v2/a/manifests/{image.digest}").body == image.content

    def test_what_was_used_of_late(self, call: Caller, folder: Path) -> None:
        for content in (b"old", b"asked for", b"mounted", b"pushed again"):
            call.push_blob("a", digest_of(content), content)
        age(folder)
        call.push_blob("a", digest_of(b"young"), b"young")
        assert call("HEAD", f"/v2/a/blobs/{digest_of(b'asked for')}").status == 200
        assert call("POST", f"/v2/b/blobs/uploads/?mount={digest_of(b'mounted')}&from=a").status == 201
        call.push_blob("b", digest_of(b"pushed again"), b"pushed again")
        going = collect(folder, grace=24 * 60 * 60)
        assert digests(going) == {("a", digest_of(b"old"))}
        assert going.bytes == len(b"old")

    def test_what_is_being_uploaded(self, call: Caller, folder: Path) -> None:
        location = call.start("a")
        call("PATCH", location, b"first, ")
        age(folder)
        assert collect(folder) == Garbage()
        assert call("PUT", f"{location}?digest={digest_of(b'first, then')}", b"then").status == 201
        assert call("GET", f"/v2/a/blobs/{digest_of(b'first, then')}").body == b"first, then"

    def test_what_cannot_be_understood(self, call: Caller, folder: Path) -> None:
        image, other = make_image(kind="oci"), make_image(kind="oci", seed="other")
        for name in ("broken", "whole"):
            push(call.host, name, "v1", image)
            call.push_blob(name, digest_of(b"forgotten"), b"forgotten")
        push(call.host, "broken", "v2", other)
        (folder / "broken" / "blobs" / other.digest.replace(":", "/")).write_bytes(b"{}")
        garbage = collect(folder)
        assert digests(garbage) == {("whole", digest_of(b"forgotten"))}
        assert garbage.bytes == 0  # the other repository has it still
        assert [name for name, _ in garbage.failed] == ["broken"]
        assert "is damaged" in str(garbage.failed[0][1])


class TestRemoves:
    def test_exactly_what_it_said(self, call: Caller, folder: Path) -> None:
        shared, own = noise("shared", 5000), noise("own", 3000)
        for name, contents in {"a": [shared, own], "b": [shared]}.items():
            for content in contents:
                call.push_blob(name, digest_of(content), content)
        before = {file: file.stat().st_ino for file in folder.rglob("*") if file.parent.name == "sha256"}
        planned = collect(folder, dry_run=True)
        assert {file: file.stat().st_ino for file in folder.rglob("*") if file.parent.name == "sha256"} == before
        assert digests(planned) == {("a", digest_of(shared)), ("a", digest_of(own)), ("b", digest_of(shared))}
        assert planned.bytes == len(shared) + len(own)
        assert call("HEAD", f"/v2/a/blobs/{digest_of(own)}").status == 200
        assert collect(folder) == planned
        assert call("HEAD", f"/v2/a/blobs/{digest_of(own)}").status == 404
        assert [file for file in (folder / ".lading" / "blobs").rglob("*") if file.is_file()] == []

    def test_what_a_killed_server_left(self, call: Caller, folder: Path) -> None:
        uploads = folder / ".lading" / "uploads"
        (uploads / "ended").touch()
        (uploads / "ended-1").write_bytes(b"12345")
        assert (collect(folder, dry_run=True).unfinished, collect(folder).unfinished) == (1, 1)
        assert not (uploads / "ended").exists()

    def test_and_what_comes_too_late_is_refused(self, call: Caller, folder: Path) -> None:
        """Never is a manifest taken whose content has just gone."""
        image = make_image(kind="oci")
        with RegistryClient(call.host, "a") as client:
            for digest, blob in image.blobs.items():
                client.put_blob(digest, blob)
        assert len(collect(folder).content) == len(image.blobs)
        answer = call("PUT", "/v2/a/manifests/v1", image.content, content_type=image.media_type)
        assert (answer.status, answer.code) == (404, "MANIFEST_BLOB_UNKNOWN")
        push(call.host, "a", "v1", image)
        index = make_index([image], kind="oci")
        call("DELETE", "/v2/a/manifests/v1")
        collect(folder, untagged=True)
        answer = call("PUT", "/v2/a/manifests/v2", index.content, content_type=OCI_INDEX)
        assert (answer.status, answer.code) == (404, "MANIFEST_BLOB_UNKNOWN")


@pytest.mark.parametrize("untagged", [False, True])
@pytest.mark.parametrize("call_", ["open", "stat", "replace", "listdir"])
def test_passes_over_what_goes_at_any_moment(
    serve_folder: Serve, folder: Path, monkeypatch: pytest.MonkeyPatch, call_: str, untagged: bool
) -> None:
    """Each file, and each folder of files, goes just before the collector opens it, looks at it, or moves it."""
    with serve_folder() as url:
        host = Caller(url).host
        kept, old = (make_image(kind="oci", seed=seed) for seed in ("kept", "old"))
        push(host, "a", "v1", kept)
        for loose in (make_artifact(subject=kept), old, make_artifact(subject=old)):
            push(host, "a", None, loose)
        push(host, "b", "v1", kept)
        for name in "ab":
            Caller(url).push_blob(name, digest_of(b"{ no manifest"), b"{ no manifest")
        push(host, "a", "v2", old)
        Caller(url)("DELETE", "/v2/a/manifests/v2")
        Caller(url)("DELETE", f"/v2/a/manifests/{old.digest}")
    (folder / ".lading" / "uploads" / "ended-1").write_bytes(b"12345")
    (folder / "a" / ".lading" / "0123").write_bytes(b"12345")
    real = getattr(os, call_)
    left = 0

    def goes_first(path: Any, *args: Any, **options: Any) -> Any:
        nonlocal left
        name = os.fspath(path) if isinstance(path, str | os.PathLike) else ""
        is_meant = "/blobs/" in name or "/uploads/" in name or name.endswith("0123")
        if is_meant and name.startswith(str(copy)) and (left := left - 1) == 0:
            shutil.rmtree(name) if os.path.isdir(name) else Path(name).unlink(missing_ok=True)  # noqa: PTH112
        return real(path, *args, **options)

    turn = 0
    while left <= 0:
        turn += times(3, 1)
        copy = folder.with_name(f"{turn}")
        shutil.copytree(folder, copy)
        with monkeypatch.context() as patched:
            patched.setattr(os, call_, goes_first)
            left = turn
            assert collect(copy, untagged=untagged).failed == ()
    assert turn > times(3, 1)


class TestCommand:
    def run(self, lading: Lading, folder: Path, *args: str, check: bool = True) -> tuple[str, str, int]:
        ran = lading.run("registry", "gc", str(folder), *args, check=check)
        return ran.stdout, ran.stderr, ran.returncode

    def test_says_what_would_go_and_what_went(self, call: Caller, folder: Path, lading: Lading) -> None:
        image = make_image(kind="oci")
        push(call.host, "team/app", "v1", image)
        assert self.run(lading, folder) == ("", "Nothing to remove\n", 0)
        content = noise("gone", 123_000)
        call.push_blob("team/app", digest_of(content), content)
        assert self.run(lading, folder) == ("", "Nothing to remove\n", 0)
        assert self.run(lading, folder, "-q", "--dry-run", "--older-than", "0s") == ("", "", 0)
        assert self.run(lading, folder, "--dry-run", "--older-than", "0s")[1] == "Would remove 1 blob: 123 kB\n"
        age(folder)
        table, summary, _ = self.run(lading, folder, "--dry-run")
        short = digest_of(content).partition(":")[2][:12]
        assert [line.split() for line in table.splitlines()] == [
            ["REPOSITORY", "WHAT", "DIGEST", "SIZE"],
            ["team/app", "blob", short, "123", "kB"],
        ]
        assert summary == "Would remove 1 blob: 123 kB\n"
        assert self.run(lading, folder, "-q", "--dry-run") == ("", "", 0)
        assert self.run(lading, folder, "--older-than", "3d") == ("", "Nothing to remove\n", 0)
        stdout, stderr, _ = self.run(lading, folder, "--format", "json")
        assert (json.loads(stdout), stderr) == (
            {
                "folder": str(folder),
                "removed": [
                    {"repository": "team/app", "digest": digest_of(content), "size": 123_000, "media_type": None}
                ],
                "unfinished": 0,
                "bytes": 123_000,
                "failed": {},
                "dry_run": False,
            },
            "",
        )

    def test_asks_before_manifests_go(self, call: Caller, folder: Path, lading: Lading) -> None:
        image = make_image(kind="oci")
        push(call.host, "a", None, image)
        age(folder)
        stdout, stderr, code = self.run(lading, folder, "--untagged", check=False)
        assert (stdout, code) == ("", 2)
        assert stderr.splitlines() == [
            "error: nothing was removed, because there is nobody to ask",
            "  see what would go with --dry-run; to go on without being asked: --yes",
        ]
        seen = on_terminal(lading, "registry", "gc", str(folder), "--untagged", answers=[("Remove?", "n\n")])
        assert f"would remove a@{image.digest}\n" in seen.text
        assert (seen.text.splitlines()[-1], seen.returncode) == ("nothing was removed", 1)
        assert call("HEAD", f"/v2/a/manifests/{image.digest}").status == 200
        age(folder)
        _, stderr, _ = self.run(lading, folder, "--untagged", "--yes")
        assert stderr.startswith(f"Removed 1 manifest and {len(image.blobs)} blobs: ")
        assert call("HEAD", f"/v2/a/manifests/{image.digest}").status == 404

    def test_fails_where_it_has_to(self, call: Caller, folder: Path, lading: Lading) -> None:
        _, stderr, code = self.run(lading, folder / "nothing", check=False)
        assert (stderr.splitlines()[0], code) == (f"error: {folder / 'nothing'} does not exist", 3)
        assert not (folder / "nothing").exists()
        image = make_image(kind="oci")
        push(call.host, "a", "v1", image)
        (folder / "a" / "blobs" / image.digest.replace(":", "/")).write_bytes(b"{}")
        _, stderr, code = self.run(lading, folder, check=False)
        assert (stderr.splitlines()[0], code) == ("Nothing to remove", 7)
        assert stderr.splitlines()[1].startswith("warning: nothing was removed from a: ")


@pytest.mark.slow
def test_many_pushes_while_it_collects_again_and_again(folder: Path) -> None:
    """Without any grace a push may have to be done again; what was acknowledged is there, always."""
    base = make_layer({"base": noise("base", 300_000)})
    ended = threading.Event()
    draw = random.Random(11)

    def pusher(number: int, host: str) -> list[tuple[str, Manifest]]:
        done = []
        for turn in range(6):
            name = f"app/{number % 3}"
            own = make_layer({"own": noise(f"{number}/{turn}", 20_000)})
            image = make_image(kind="oci", layers=[base, own], seed=f"{number}/{turn}")
            index = make_index([image], kind="oci")
            for _ in range(50):
                with contextlib.suppress(AssertionError):  # the answer was another one than 201
                    push(host, name, f"{number}-{turn}", index)
                    done.append((name, index))
                    break
            else:
                raise RuntimeError("fifty times in vain")
        return done

    def collector() -> int:
        removed = 0
        while not ended.is_set():
            garbage = collect(folder, grace=draw.choice([0, 0.05, 1]), untagged=draw.random() < 0.5)
            assert garbage.failed == ()
            removed += len(garbage.content)
        return removed

    with background(FolderStorage(folder)) as url, ThreadPoolExecutor(9) as pool:
        host = Caller(url).host
        collecting = pool.submit(collector)
        pushing = [pool.submit(pusher, number, host) for number in range(8)]
        pushed = [item for future in pushing for item in future.result()]
        ended.set()
        removed = collecting.result()
        assert len(pushed) == 48
        for name, index in pushed:
            with RegistryClient(host, name) as client:
                for manifest in (index, *index.children):
                    assert client.manifest(manifest.digest)[0] == manifest.content
                    for digest, blob in manifest.blobs.items():
                        assert client.blob(digest) == blob
    assert removed > 0


def test_a_push_within_the_grace_is_never_refused(folder: Path) -> None:
    """A client that asks for a blob and does not send it again can rely on it."""
    image = make_image(kind="oci", layers=3)
    with background(FolderStorage(folder)) as url:
        call = Caller(url)
        for digest, blob in image.blobs.items():
            call.push_blob("a", digest, blob)
        for turn in range(20):
            age(folder, seconds=3600)
            for digest in image.blobs:
                assert call("HEAD", f"/v2/a/blobs/{digest}").status == 200
            assert collect(folder, grace=1800, untagged=True).content == ()
            answer = call("PUT", f"/v2/a/manifests/v{turn}", image.content, content_type=image.media_type)
            assert answer.status == 201
            call("DELETE", f"/v2/a/manifests/{image.digest}")


COLLECTOR = """
import asyncio, sys
from lading.serve import FolderStorage
folder = FolderStorage(sys.argv[1])
print("ready", flush=True)
asyncio.run(folder.gc(grace=0, untagged=True))
"""


@pytest.mark.slow
def test_a_collection_that_is_killed_leaves_all_whole(folder: Path) -> None:
    draw = random.Random(5)
    killed = 0
    with background(FolderStorage(folder)) as url:
        call = Caller(url)
        kept = make_image(kind="oci", layers=4, seed="kept")
        push(call.host, "a", "kept", kept)
        for turn in range(12):
            for seed in range(3):
                push(call.host, "a", None, make_image(kind="oci", layers=6, seed=f"{turn}/{seed}"))
            with subprocess.Popen(
                [sys.executable, "-c", COLLECTOR, folder], stdout=subprocess.PIPE, text=True
            ) as process:
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(draw.uniform(0.01, 0.06))
                process.kill()
            killed += process.returncode != 0
            with RegistryClient(call.host, "a") as client:
                for entry in json.loads((folder / "a" / "index.json").read_bytes())["manifests"]:
                    document = json.loads(client.manifest(entry["digest"])[0])
                    for blob in (document["config"], *document["layers"]):
                        assert digest_of(client.blob(blob["digest"])) == blob["digest"]
        assert killed
        assert call("GET", "/v2/a/manifests/kept").body == kept.content
        collect(folder, untagged=True)
        files = [file for file in (folder / "a").rglob("*") if file.is_file() and file.name != "lock"]
        assert len(files) == 2 + 1 + len(kept.blobs)
