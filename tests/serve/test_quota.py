"""What a registry refuses: too large, too many, too much, and every change if it is read-only."""

import contextlib
import errno
import shutil
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from lading.errors import UsageError
from lading.serve import FolderStorage, MemoryStorage, Settings, Storage, background, open_storage
from lading.serve.protocol import upload_sessions
from serve.accounts import basic, htpasswd
from serve.caller import Answer, Caller
from serve.clock import Clock, serving
from support.docker import DockerCLI
from support.images import OCI_MANIFEST, digest_of, make_image, make_layer, noise, push
from support.lading import Lading


def put(call: Caller, repository: str, content: bytes) -> Answer:
    """Push a blob in one request."""
    return call("POST", f"/v2/{repository}/blobs/uploads/?digest={digest_of(content)}", content)


class TestReadOnly:
    @pytest.fixture
    def call(self, storage: Storage) -> Iterator[Caller]:
        with background(storage) as url:
            push(Caller(url).host, "a", "v1", make_image())
        with background(storage, settings=Settings(read_only=True)) as url:
            yield Caller(url)

    def test_is_pulled_from(self, call: Caller) -> None:
        image = make_image()
        assert call("GET", "/v2/a/manifests/v1").body == image.content
        for digest, blob in image.blobs.items():
            assert call("GET", f"/v2/a/blobs/{digest}").body == blob
        assert call("GET", "/v2/_catalog").document == {"repositories": ["a"]}

    @pytest.mark.parametrize(
        "method, path",
        [
            ("POST", "b/blobs/uploads/"),
            ("POST", "b/blobs/uploads/?mount=sha256:0&from=a"),
            ("PATCH", "a/blobs/uploads/x"),
            ("PUT", "a/manifests/v2"),
            ("DELETE", "a/manifests/v1"),
            ("DELETE", "a/blobs/sha256:0"),
        ],
    )
    def test_refuses_changes(self, call: Caller, method: str, path: str) -> None:
        answer = call(method, f"/v2/{path}", b"content" if method != "DELETE" else None)
        assert (answer.status, answer.code) == (405, "UNSUPPORTED")
        assert answer.headers["allow"] == "GET, HEAD"
        assert answer.document["errors"][0]["message"] == "this registry is read-only"

    def test_leaves_the_folder_alone(self, tmp_path: Path) -> None:
        with background(FolderStorage(tmp_path / "r")) as url:
            push(Caller(url).host, "a", "v1", make_image())
        shutil.rmtree(tmp_path / "r" / ".lading")
        before = sorted(tmp_path.rglob("*"))
        with background(open_storage(str(tmp_path / "r"), read_only=True), settings=Settings(read_only=True)) as url:
            assert Caller(url)("GET", "/v2/a/manifests/v1").status == 200
        assert sorted(tmp_path.rglob("*")) == before

    def test_needs_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="No such file"):
            open_storage(str(tmp_path / "missing"), read_only=True)

    def test_tells_strangers_nothing(self, tmp_path: Path) -> None:
        settings = Settings(auth=f"htpasswd={htpasswd(tmp_path / 'users')}", read_only=True)
        with background(settings=settings) as url:
            assert Caller(url)("POST", "/v2/a/blobs/uploads/").status == 401
            assert Caller(url)("POST", "/v2/a/blobs/uploads/", authorization=basic("alice")).status == 405

    def test_still_gives_tokens(self, tmp_path: Path) -> None:
        settings = Settings(auth=f"token={htpasswd(tmp_path / 'users')}", read_only=True)
        with background(settings=settings) as url:
            form = "grant_type=password&username=alice&password=secret"
            assert Caller(url)("POST", "/v2/token", form).status == 200

    def test_is_said_by_lading(self, call: Caller, lading: Lading) -> None:
        refused = lading.run("tag", f"{call.host}/a:v1", "v2", check=False)
        assert refused.returncode == 9
        assert "this registry is read-only" in refused.stderr


class TestManifests:
    @pytest.fixture
    def call(self, storage: Storage) -> Iterator[Caller]:
        with background(storage, settings=Settings(max_manifest=1000)) as url:
            yield Caller(url)

    @staticmethod
    def manifest(size: int) -> bytes:
        empty = b'{"schemaVersion":2,"mediaType":"application/vnd.example+json","padding":""}'
        return empty.replace(b'""', b'"' + b"x" * (size - len(empty)) + b'"')

    def test_have_a_size(self, call: Caller) -> None:
        for body in (self.manifest(1001), self.manifest(100_000)):
            answer = call("PUT", "/v2/a/manifests/v1", body)
            assert (answer.status, answer.code) == (413, "SIZE_INVALID")
            assert "1000 bytes" in answer.document["errors"][0]["message"]
            assert call("PUT", "/v2/a/manifests/v1", iter([body])).status == 413
        assert call("PUT", "/v2/a/manifests/v1", self.manifest(1000)).status == 201
        assert call("GET", "/v2/a/manifests/v1").body == self.manifest(1000)

    def test_may_be_larger_than_usual(self, storage: Storage) -> None:
        image = make_image(annotations={"note": "x" * 5_000_000}, kind="oci")
        with background(storage) as url, pytest.raises(AssertionError, match="413"):
            push(Caller(url).host, "a", "v1", image)
        with background(storage, settings=Settings(max_manifest=6_000_000)) as url:
            push(Caller(url).host, "a", "v1", image)
            assert Caller(url)("GET", "/v2/a/manifests/v1").body == image.content

    def test_may_lack_what_they_refer_to(self, storage: Storage) -> None:
        image = make_image(kind="oci")
        with background(storage, settings=Settings(allow_missing=True)) as url:
            call = Caller(url)
            assert call("PUT", "/v2/a/manifests/v1", image.content, content_type=OCI_MANIFEST).status == 201
            assert call("GET", "/v2/a/manifests/v1").body == image.content
            assert call("PUT", "/v2/a/manifests/v2", b"{}").status == 400


class TestUploadsAtOnce:
    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture(autouse=True)
    def _nobody_waits(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(upload_sessions, "_PATIENCE", 0)

    @pytest.fixture
    def call(self, storage: Storage, clock: Clock) -> Iterator[Caller]:
        with serving(clock, Settings(max_uploads=2), storage) as caller:
            yield caller

    @staticmethod
    def is_refused(answer: Answer) -> bool:
        if answer.status != 429:
            return False
        assert answer.code == "TOOMANYREQUESTS"
        assert int(answer.headers["retry-after"]) > 0
        return True

    def test_are_so_many(self, call: Caller) -> None:
        first = call.start("a")
        call.start("b")
        assert self.is_refused(call("POST", "/v2/a/blobs/uploads/"))
        assert self.is_refused(put(call, "a", b"in one request"))
        assert call("PATCH", first, b"those that have begun").status == 202
        assert call("GET", "/v2/_catalog").status == 200

    def test_make_room_when_they_end(self, call: Caller) -> None:
        first, second = call.start("a"), call.start("a")
        assert call("DELETE", first).status == 204
        third = call.start("a")
        assert self.is_refused(call("POST", "/v2/a/blobs/uploads/"))
        assert call("PUT", f"{second}?digest={digest_of(b'x')}", b"x").status == 201
        assert call("PUT", f"{third}?digest={digest_of(b'x')}", b"something else").status == 400
        assert put(call, "a", b"in one request").status == 201
        assert put(call, "a", b"and another").status == 201
        call.start("a")

    def test_do_not_count_while_nobody_goes_on_with_them(self, call: Caller, clock: Clock) -> None:
        """Or a client that went away would keep others out for a day."""
        first = call.start("a")
        call.start("a")
        clock.ahead = 3600
        third, fourth = call.start("a"), call.start("a")
        assert self.is_refused(call("PATCH", first, b"now it is too late"))
        call("DELETE", third)
        assert call("PATCH", first, b"now it goes on").status == 202
        call("DELETE", fourth)

    def test_count_while_they_receive(self, storage: Storage, clock: Clock) -> None:
        """However long that takes, if it is not too slow: 5,000 bytes in an hour are, by default."""
        with serving(clock, Settings(max_uploads=2, min_upload_rate=1), storage) as call:
            location = call.start("a")
            call.start("a")
            with contextlib.closing(HTTPConnection(call.host)) as connection:
                connection.putrequest("PATCH", location)
                connection.putheader("content-length", "10000")
                connection.putheader("expect", "100-continue")
                connection.endheaders()
                assert connection.sock.recv(1000).startswith(b"HTTP/1.1 100")  # the registry is receiving
                connection.send(b"a" * 5000)
                clock.ahead = 3600
                with open_upload(call):
                    assert self.is_refused(call("POST", "/v2/a/blobs/uploads/"))
                connection.send(b"b" * 5000)
                assert connection.getresponse().status == 202


class TestTurns:
    """Who is one too many waits a little: docker takes 429 for final."""

    def test_come_when_others_end(self, storage: Storage) -> None:
        with background(storage, settings=Settings(max_uploads=1)) as url:
            call = Caller(url)
            location = call.start("a")
            answers: list[Answer] = []
            pushes = [threading.Thread(target=lambda n=n: answers.append(put(call, "a", b"%d" % n))) for n in range(8)]
            for push_ in pushes:
                push_.start()
            assert call("PUT", f"{location}?digest={digest_of(b'first')}", b"first").status == 201
            for push_ in pushes:
                push_.join()
            assert [answer.status for answer in answers] == [201] * 8

    def test_let_every_layer_be_pushed(self, engine: DockerCLI, lading: Lading) -> None:
        image = make_image(layers=5)
        with background() as source, background(settings=Settings(max_uploads=1)) as target:
            here, there = f"{Caller(source).host}/team/app:v1", f"{Caller(target).host}/team/app"
            push(Caller(source).host, "team/app", "v1", image)
            engine.run("pull", here)
            engine.run("tag", here, f"{there}:docker")
            engine.run("push", f"{there}:docker")
            assert Caller(target)("GET", "/v2/team/app/manifests/docker").status == 200
            lading.run("copy", "-q", here, f"{there}:lading")
            assert Caller(target)("GET", "/v2/team/app/manifests/lading").body == image.content


def open_upload(call: Caller) -> Any:
    """One that is begun, and cancelled at the end."""

    @contextlib.contextmanager
    def opened() -> Iterator[str]:
        location = call.start("a")
        yield location
        call("DELETE", location)

    return opened()


class TestSize:
    LIMIT = 1_000_000

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def call(self, storage: Storage, clock: Clock) -> Iterator[Caller]:
        with serving(clock, Settings(max_size=self.LIMIT), storage) as caller:
            yield caller

    @staticmethod
    def is_refused(answer: Answer) -> bool:
        if answer.status != 403:
            return False
        assert answer.code == "DENIED"
        assert "the registry is full" in answer.document["errors"][0]["message"]
        return True

    def test_is_kept_to(self, call: Caller) -> None:
        assert put(call, "a", noise("1", 600_000)).status == 201
        content = noise("2", 600_000)
        for body in (content, iter([content])):  # of a length that is said, and in chunks
            assert self.is_refused(call("POST", f"/v2/a/blobs/uploads/?digest={digest_of(content)}", body))
        for body in (content, iter([content])):
            location = call.start("a")
            assert self.is_refused(call("PATCH", location, body))
            assert self.is_refused(call("GET", location))  # what it had is place for others
        assert put(call, "b", noise("3", 200_000)).status == 201
        assert call("GET", f"/v2/a/blobs/{digest_of(noise('1', 600_000))}").body == noise("1", 600_000)

    def test_counts_uploads_under_way(self, call: Caller) -> None:
        location = call.start("a")
        assert call("PATCH", location, noise("1", 600_000)).status == 202
        assert self.is_refused(put(call, "a", noise("2", 600_000)))
        assert call("DELETE", location).status == 204
        assert put(call, "a", noise("2", 600_000)).status == 201

    def test_counts_manifests(self, call: Caller) -> None:
        assert put(call, "a", noise("1", 999_000 - 3000)).status == 201
        big = b'{"schemaVersion":2,"mediaType":"application/vnd.example+json","x":"' + b"x" * 10_000 + b'"}'
        assert self.is_refused(call("PUT", "/v2/a/manifests/v1", big))

    def test_is_counted_once_for_what_is_shared(self, call: Caller) -> None:
        content = noise("1", 600_000)
        assert put(call, "a", content).status == 201
        for name in ("b", "c", "d"):
            mount = f"/v2/{name}/blobs/uploads/?mount={digest_of(content)}&from=a"
            assert call("POST", mount).status == 201
        assert put(call, "e", noise("2", 300_000)).status == 201

    def test_is_free_again_after_a_deletion(self, call: Caller) -> None:
        content = noise("1", 900_000)
        assert put(call, "a", content).status == 201
        assert self.is_refused(put(call, "a", noise("2", 200_000)))
        assert call("DELETE", f"/v2/a/blobs/{digest_of(content)}").status == 202
        assert put(call, "a", noise("2", 200_000)).status == 201

    def test_is_said_by_lading(self, call: Caller, lading: Lading, tmp_path: Path) -> None:
        image = make_image(layers=[make_layer({"file": noise(name, 900_000)}) for name in ("one", "two")])
        push(call.host, "a", "v1", make_image())
        with background() as url:
            there = url.partition("://")[2]
            push(there, "a", "v1", image)
            refused = lading.run("copy", "-q", f"{there}/a:v1", f"{call.host}/a:v2", check=False)
        assert refused.returncode == 1
        assert f"error: {call.host} has no room for" in refused.stderr
        assert "the registry is full: it may hold 1000000 bytes" in refused.stderr
        assert "make room there" in refused.stderr
        assert "log in" not in refused.stderr
        assert lading.run("tags", f"{call.host}/a").stdout.split() == ["v1"]

    def test_knows_what_was_there(self, storage: Storage, clock: Clock) -> None:
        with background(storage) as url:
            assert put(Caller(url), "a", noise("1", 900_000)).status == 201
        with serving(clock, Settings(max_size=self.LIMIT), storage) as call:
            assert self.is_refused(put(call, "a", noise("2", 200_000)))

    def test_sees_what_others_change(self, tmp_path: Path, clock: Clock) -> None:
        """Another process has the folder, too: it is measured again from time to time."""
        content = noise("1", 900_000)
        with (
            serving(clock, Settings(max_size=self.LIMIT), FolderStorage(tmp_path)) as call,
            background(FolderStorage(tmp_path)) as url,
        ):
            other = Caller(url)
            assert put(call, "a", b"small").status == 201
            assert put(other, "a", content).status == 201
            clock.ahead += 3600
            assert self.is_refused(put(call, "a", noise("2", 200_000)))
            assert other("DELETE", f"/v2/a/blobs/{digest_of(content)}").status == 202
            clock.ahead += 3600
            assert put(call, "a", noise("2", 200_000)).status == 201

    def test_holds_for_many_at_once(self, call: Caller) -> None:
        answers: list[Answer] = []
        threads = [
            threading.Thread(target=lambda n=n: answers.append(put(call, "a", noise(f"{n}", 100_000))))
            for n in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        taken = [answer for answer in answers if answer.status == 201]
        assert 0 < len(taken) <= 10
        assert all(self.is_refused(answer) for answer in answers if answer not in taken)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("method", ["append", "commit"])
def test_a_full_disk_is_said(number: int, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = MemoryStorage()
    real: Callable[..., Any] = storage.repository

    def failing(name: str) -> Any:
        repository = real(name)
        begin = repository.upload

        async def upload() -> Any:
            begun = await begin()

            async def fail(*_: object) -> None:
                raise OSError(number, "No space left")

            setattr(begun, method, fail)
            return begun

        repository.upload = upload
        return repository

    monkeypatch.setattr(storage, "repository", failing)
    with background(storage) as url:
        call = Caller(url)
        location = call.start("a")
        answer = call("PUT", f"{location}?digest={digest_of(b'x')}", b"x")
        assert (answer.status, answer.code) == (403, "DENIED")
        assert answer.document["errors"][0]["message"] == "the registry is full: no space left"
        assert call("GET", location).status == 404
