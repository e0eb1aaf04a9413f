"""The distribution protocol, request by request, over each storage."""

import concurrent.futures
import hashlib
import http.client
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serve.caller import Caller
from support.images import (
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
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

FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
LIMIT = 4 * 1024 * 1024


def put_manifest(call: Caller, path: str, content: bytes | dict[str, Any], kind: str = OCI_MANIFEST) -> tuple[int, str]:
    """Put a manifest; gives the status, and the code of the first error if there is one."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    answer = call("PUT", path, body, content_type=kind)
    return answer.status, answer.code if answer.body else ""


class TestBase:
    @pytest.mark.parametrize("path", ["/v2/", "/v2"])
    def test_says_that_it_is_a_registry(self, call: Caller, path: str) -> None:
        answer = call("GET", path)
        assert (answer.status, answer.document) == (200, {})
        assert answer.headers["docker-distribution-api-version"] == "registry/2.0"

    @pytest.mark.parametrize(
        "method, path, status, code",
        [
            ("GET", "/", 404, "UNSUPPORTED"),
            ("GET", "/v1/search", 404, "UNSUPPORTED"),
            ("GET", "/v2/a/nothing", 404, "UNSUPPORTED"),
            ("POST", "/v2/a/manifests/v1", 405, "UNSUPPORTED"),
            ("GET", "/v2/A/manifests/v1", 400, "NAME_INVALID"),
            ("GET", "/v2/../../etc/manifests/v1", 400, "NAME_INVALID"),
            ("GET", "/v2/a/%2e%2e/b/tags/list", 400, "NAME_INVALID"),
            ("GET", f"/v2/{'a' * 256}/tags/list", 400, "NAME_INVALID"),
            ("GET", "/v2/a/tags/list", 404, "NAME_UNKNOWN"),
            ("GET", "/v2/a/manifests/v1", 404, "MANIFEST_UNKNOWN"),
            ("GET", "/v2/a/manifests/sha256:123", 400, "DIGEST_INVALID"),
            ("GET", f"/v2/a/manifests/md5:{'0' * 32}", 400, "DIGEST_INVALID"),
            ("GET", f"/v2/a/blobs/sha256:{'0' * 64}", 404, "BLOB_UNKNOWN"),
            ("GET", "/v2/a/blobs/nothing", 400, "DIGEST_INVALID"),
            ("DELETE", f"/v2/a/blobs/sha256:{'0' * 64}", 404, "BLOB_UNKNOWN"),
            ("DELETE", f"/v2/a/manifests/sha256:{'0' * 64}", 404, "MANIFEST_UNKNOWN"),
            ("DELETE", "/v2/a/manifests/v1", 404, "MANIFEST_UNKNOWN"),
            ("PATCH", "/v2/a/blobs/uploads/none", 404, "BLOB_UPLOAD_UNKNOWN"),
            ("PUT", f"/v2/a/blobs/uploads/none?digest=sha256:{'0' * 64}", 404, "BLOB_UPLOAD_UNKNOWN"),
            ("POST", "/v2/a/blobs/uploads/?digest-algorithm=md5", 400, "DIGEST_INVALID"),
            ("GET", "/v2/_catalog?n=many", 400, "PAGINATION_NUMBER_INVALID"),
            ("GET", "/v2/a/referrers/sha256:12", 400, "DIGEST_INVALID"),
        ],
    )
    def test_refuses_in_the_words_of_the_specification(
        self, call: Caller, method: str, path: str, status: int, code: str
    ) -> None:
        answer = call(method, path)
        assert (answer.status, answer.code) == (status, code)
        assert answer.headers["content-type"] == "application/json"
        assert answer.document["errors"][0]["message"]

    def test_says_which_methods_are_for_a_path(self, call: Caller) -> None:
        assert call("PATCH", "/v2/a/manifests/v1").headers["allow"] == "GET, HEAD, PUT, DELETE"

    @pytest.mark.parametrize(
        "repository",
        [
            "a/manifests/b",
            "blobs",
            "a/blobs/uploads",
            "tags/list",
            "manifests/manifests/manifests",
            "a/blobs/sha256",
            "a/index.json",
            "a/oci-layout",
            "referrers",
        ],
    )
    def test_takes_repositories_with_names_like_its_paths(self, call: Caller, repository: str) -> None:
        image = make_image(kind="oci")
        push(call.host, "a", "other", image)
        push(call.host, repository, "v1", image)
        assert call("GET", f"/v2/{repository}/manifests/v1").body == image.content
        assert call("GET", f"/v2/{repository}/tags/list").document == {"name": repository, "tags": ["v1"]}
        assert call("GET", "/v2/_catalog").document == {"repositories": sorted({"a", repository})}


class TestManifests:
    @pytest.mark.parametrize("kind", ["docker", "oci"])
    def test_come_back_as_they_were(self, call: Caller, kind: Any) -> None:
        image = make_image(kind=kind)
        digest = push(call.host, "a/b", "v1", image)
        for method in ("GET", "HEAD"):
            for reference in ("v1", digest):
                answer = call(method, f"/v2/a/b/manifests/{reference}")
                assert answer.status == 200
                assert answer.body == (image.content if method == "GET" else b"")
                assert answer.headers["content-type"] == image.media_type
                assert answer.headers["content-length"] == str(image.size)
                assert answer.headers["docker-content-digest"] == digest

    @pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
    def test_are_known_by_any_digest(self, call: Caller, algorithm: str) -> None:
        image = make_image(kind="oci")
        push(call.host, "a", None, image)
        digest = f"{algorithm}:{hashlib.new(algorithm, image.content).hexdigest()}"
        path = f"/v2/a/manifests/{digest}"
        answer = call("PUT", f"{path}?tag=v1&tag=v2", image.content, content_type=OCI_MANIFEST)
        assert answer.status == 201
        assert (answer.headers["location"], answer.headers["docker-content-digest"]) == (path, digest)
        assert answer.headers["oci-tag"] == "v1, v2"
        assert call("GET", "/v2/a/manifests/v2").headers["docker-content-digest"] == digest

    def test_must_have_the_digest_they_are_put_under(self, call: Caller) -> None:
        image = make_image(kind="oci")
        push(call.host, "a", None, image)
        path = f"/v2/a/manifests/sha256:{'0' * 64}"
        assert put_manifest(call, path, image.content) == (400, "DIGEST_INVALID")

    @pytest.mark.parametrize(
        "content, kind",
        [
            (b"", OCI_MANIFEST),
            (b"{", OCI_MANIFEST),
            (b"[]", OCI_MANIFEST),
            (b'{"schemaVersion":2}', OCI_MANIFEST),
            (b'{"schemaVersion":2,"schemaVersion":2,"manifests":[]}', OCI_INDEX),
            (b'{"schemaVersion":2,"manifests":[{}]}', OCI_INDEX),
            (b'{"schemaVersion":2,"manifests":[],"layers":[]}', OCI_INDEX),
            (b'{"schemaVersion":2,"mediaType":"application/x-other","manifests":[]}', OCI_INDEX),
            (b'{"schemaVersion":2,"mediaType":["x"],"manifests":[]}', ""),
            (b'{"mediaType":"text/plain\\r\\nX-Evil: 1"}', ""),
            (b'{"schemaVersion":1,"fsLayers":[]}', "application/vnd.docker.distribution.manifest.v1+json"),
            (b'{"schemaVersion":2}', "not a media type"),
            (b"{}", ""),
        ],
    )
    def test_must_be_well_formed(self, call: Caller, content: bytes, kind: str) -> None:
        assert put_manifest(call, "/v2/a/manifests/v1", content, kind) == (400, "MANIFEST_INVALID")

    def test_of_an_unknown_kind_are_kept_as_they_are(self, call: Caller) -> None:
        kind = "application/vnd.example.new+json"
        content = b'{"something": "new",\n "subject": {"digest": "sha256:' + b"0" * 64 + b'"}}'
        assert put_manifest(call, "/v2/a/manifests/v1", content, f"{kind}; charset=utf-8") == (201, "")
        answer = call("GET", "/v2/a/manifests/v1")
        assert (answer.body, answer.headers["content-type"]) == (content, kind)
        referrers = call("GET", f"/v2/a/referrers/sha256:{'0' * 64}").document["manifests"]
        assert [entry["digest"] for entry in referrers] == [digest_of(content)]

    def test_without_a_content_type_are_what_they_say(self, call: Caller) -> None:
        assert put_manifest(call, "/v2/a/manifests/v1", {"schemaVersion": 2, "manifests": []}, "")[0] == 201
        assert call("GET", "/v2/a/manifests/v1").headers["content-type"] == OCI_INDEX

    def test_need_their_blobs(self, call: Caller) -> None:
        image = make_image(kind="oci", layers=2)
        answer = call("PUT", "/v2/a/manifests/v1", image.content, content_type=OCI_MANIFEST)
        assert answer.status == 404
        errors = answer.document["errors"]
        assert {error["code"] for error in errors} == {"MANIFEST_BLOB_UNKNOWN"}
        assert {error["detail"]["digest"] for error in errors} == set(image.blobs)
        assert call("GET", "/v2/a/manifests/v1").status == 404

    def test_do_not_need_layers_that_are_not_distributed(self, call: Caller) -> None:
        image = make_image(kind="docker")
        document = image.document
        call.push_blob("a", digest_of(image.config), image.config)
        document["layers"][0] |= {"mediaType": FOREIGN, "urls": ["https://example.com/layer"]}
        assert put_manifest(call, "/v2/a/manifests/v1", document, DOCKER_MANIFEST) == (201, "")

    def test_of_an_index_need_to_be_there(self, call: Caller) -> None:
        image = make_image(kind="oci")
        index = make_index([image], kind="oci")
        path = "/v2/a/manifests/v1"
        for digest, blob in {**image.blobs, image.digest: image.content}.items():
            call.push_blob("a", digest, blob)
        assert put_manifest(call, path, index.content, OCI_INDEX) == (404, "MANIFEST_BLOB_UNKNOWN")
        push(call.host, "a", None, image)
        assert put_manifest(call, path, index.content, OCI_INDEX) == (201, "")

    @pytest.mark.parametrize("chunked", [False, True])
    def test_have_a_largest_size(self, call: Caller, chunked: bool) -> None:
        def manifest(size: int) -> bytes:
            frame = b'{"schemaVersion":2,"manifests":[],"x":"%s"}'
            return frame % (b"x" * (size - len(frame) + 2))

        def put(content: bytes) -> int:
            body = iter([content]) if chunked else content
            return call("PUT", "/v2/a/manifests/v1", body, content_type=OCI_INDEX).status

        assert put(manifest(LIMIT)) == 201
        assert put(manifest(LIMIT + 1)) == 413

    def test_move_a_tag_and_stay(self, call: Caller) -> None:
        first, second = (make_image(kind="oci", seed=seed) for seed in "12")
        for image in (first, second, second):
            push(call.host, "a", "v1", image)
        push(call.host, "a", "v2", first)
        assert call("GET", "/v2/a/manifests/v1").body == second.content
        assert call("GET", f"/v2/a/manifests/{first.digest}").body == first.content
        assert call("GET", "/v2/a/tags/list").document["tags"] == ["v1", "v2"]

    def test_outlive_their_tag(self, call: Caller) -> None:
        image = make_image(kind="oci")
        push(call.host, "a", "v1", image)
        push(call.host, "a", "v2", image)
        for tag in ("v1", "v2"):
            assert call("DELETE", f"/v2/a/manifests/{tag}").status == 202
            assert call("DELETE", f"/v2/a/manifests/{tag}").status == 404
        assert call("GET", "/v2/a/tags/list").document["tags"] == []
        assert call("GET", f"/v2/a/manifests/{image.digest}").status == 200

    def test_go_with_all_their_tags(self, call: Caller) -> None:
        image, other = (make_image(kind="oci", seed=seed) for seed in "12")
        for tag, pushed in {"v1": image, "v2": image, "v3": other}.items():
            push(call.host, "a", tag, pushed)
        assert call("DELETE", f"/v2/a/manifests/{image.digest}").status == 202
        assert call("GET", f"/v2/a/manifests/{image.digest}").status == 404
        assert call("GET", "/v2/a/tags/list").document["tags"] == ["v3"]

    @pytest.mark.parametrize("tag", ["-v1", ".v1", "v" * 129, "v%201"])
    def test_take_only_valid_tags(self, call: Caller, tag: str) -> None:
        path = f"/v2/a/manifests/{tag}"
        assert put_manifest(call, path, {"schemaVersion": 2, "manifests": []}, OCI_INDEX) == (
            400,
            "TAG_INVALID",
        )


class TestBlobs:
    CONTENT = noise("blob", 5000)
    DIGEST = digest_of(CONTENT)

    @pytest.mark.parametrize(
        "asked, first, last",
        [
            ("bytes=0-0", 0, 0),
            ("bytes=500-1499", 500, 1499),
            ("bytes=4000-", 4000, 4999),
            ("bytes=-10", 4990, 4999),
            ("bytes=-9999", 0, 4999),
            ("bytes=2000-9999", 2000, 4999),
        ],
    )
    def test_are_read_in_part(self, call: Caller, asked: str, first: int, last: int) -> None:
        call.push_blob("a", self.DIGEST, self.CONTENT)
        answer = call("GET", f"/v2/a/blobs/{self.DIGEST}", range=asked)
        assert answer.status == 206
        assert answer.body == self.CONTENT[first : last + 1]
        assert answer.headers["content-range"] == f"bytes {first}-{last}/5000"

    @pytest.mark.parametrize("asked", ["bytes=5000-", "bytes=10-5", "bytes=-0", "bytes=5000-6000"])
    def test_have_no_such_part(self, call: Caller, asked: str) -> None:
        call.push_blob("a", self.DIGEST, self.CONTENT)
        answer = call("GET", f"/v2/a/blobs/{self.DIGEST}", range=asked)
        assert (answer.status, answer.headers["content-range"]) == (416, "bytes */5000")

    @pytest.mark.parametrize("asked", ["", "bytes=0-1,3-4", "lines=1-2", "bytes=-", "bytes=a-b"])
    def test_are_read_whole(self, call: Caller, asked: str) -> None:
        call.push_blob("a", self.DIGEST, self.CONTENT)
        answer = call("GET", f"/v2/a/blobs/{self.DIGEST}", range=asked)
        assert (answer.status, answer.body) == (200, self.CONTENT)
        assert answer.headers["accept-ranges"] == "bytes"

    def test_are_there_or_not(self, call: Caller) -> None:
        assert call("HEAD", f"/v2/a/blobs/{self.DIGEST}").status == 404
        call.push_blob("a", self.DIGEST, self.CONTENT)
        answer = call("HEAD", f"/v2/a/blobs/{self.DIGEST}")
        assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "5000")
        assert answer.headers["docker-content-digest"] == self.DIGEST
        assert call("HEAD", f"/v2/b/blobs/{self.DIGEST}").status == 404
        assert call("DELETE", f"/v2/a/blobs/{self.DIGEST}").status == 202
        assert call("GET", f"/v2/a/blobs/{self.DIGEST}").status == 404

    def test_may_be_empty(self, call: Caller) -> None:
        call.push_blob("a", digest_of(b""), b"")
        assert call("GET", f"/v2/a/blobs/{digest_of(b'')}").body == b""
        assert call("GET", f"/v2/a/blobs/{digest_of(b'')}", range="bytes=0-").status == 416

    def test_that_are_manifests_are_not_deleted_unseen(self, call: Caller) -> None:
        image = make_image(kind="oci")
        push(call.host, "a", "v1", image)
        answer = call("DELETE", f"/v2/a/blobs/{image.digest}")
        assert (answer.status, answer.code) == (405, "UNSUPPORTED")
        assert call("GET", "/v2/a/manifests/v1").status == 200

    @pytest.mark.parametrize("query", ["&from=a", ""])
    def test_are_mounted(self, call: Caller, query: str) -> None:
        call.push_blob("a", self.DIGEST, self.CONTENT)
        answer = call("POST", f"/v2/b/blobs/uploads/?mount={self.DIGEST}{query}")
        assert (answer.status, answer.headers["location"]) == (201, f"/v2/b/blobs/{self.DIGEST}")
        call("DELETE", f"/v2/a/blobs/{self.DIGEST}")
        assert call("GET", f"/v2/b/blobs/{self.DIGEST}").body == self.CONTENT

    @pytest.mark.parametrize("source", ["other", "../a", "b"])
    def test_are_uploaded_where_they_cannot_be_mounted(self, call: Caller, source: str) -> None:
        call.push_blob("a", self.DIGEST, self.CONTENT)
        answer = call("POST", f"/v2/b/blobs/uploads/?mount={self.DIGEST}&from={source}")
        assert answer.status == 202
        done = call("PUT", f"{answer.headers['location']}?digest={self.DIGEST}", self.CONTENT)
        assert done.status == 201
        assert call("GET", f"/v2/b/blobs/{self.DIGEST}").body == self.CONTENT


class TestUploads:
    @settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        chunks=st.lists(st.binary(min_size=1, max_size=200), max_size=5),
        last=st.binary(max_size=200),
        ranges=st.booleans(),
        algorithm=st.sampled_from(["sha256", "sha384", "sha512"]),
    )
    def test_come_in_any_pieces(
        self, call: Caller, chunks: list[bytes], last: bytes, ranges: bool, algorithm: str
    ) -> None:
        content = b"".join([*chunks, last])
        digest = f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"
        location = call.start("a")
        sent = 0
        for chunk in chunks:
            headers = {"content_range": f"{sent}-{sent + len(chunk) - 1}"} if ranges else {}
            answer = call("PATCH", location, chunk, **headers)
            sent += len(chunk)
            assert (answer.status, answer.headers["range"]) == (202, f"0-{sent - 1}")
            location = answer.headers["location"]
        assert call("PUT", f"{location}?digest={digest}", last).status == 201
        assert call("GET", f"/v2/a/blobs/{digest}").body == content

    def test_are_larger_than_a_chunk(self, call: Caller) -> None:
        content = noise("large", 5_000_001)
        location = call.start("a")
        pieces = iter([content[:1_500_000], content[1_500_000:3_000_000]])
        assert call("PATCH", location, pieces).headers["range"] == "0-2999999"
        digest = f"sha512:{hashlib.sha512(content).hexdigest()}"
        assert call("PUT", f"{location}?digest={digest}", content[3_000_000:]).status == 201
        assert call("GET", f"/v2/a/blobs/{digest}").body == content
        assert call("GET", f"/v2/a/blobs/{digest}", range="bytes=1048570-3145730").body == (content[1048570:3145731])

    @pytest.mark.parametrize("asked", ["0-4", "6-9", "4-8", "5-4", "5-7", "x", "5-"])
    def test_come_in_order(self, call: Caller, asked: str) -> None:
        location = call.start("a")
        assert call("PATCH", location, b"12345", content_range="0-4").status == 202
        refused = call("PATCH", location, b"6789", content_range=asked)
        assert (refused.status, refused.headers["range"]) == (416, "0-4")
        assert call("GET", location).headers["range"] == "0-4"
        digest = digest_of(b"123456789")
        assert call("PUT", f"{location}?digest={digest}", b"6789", content_range="5-8").status == 201

    @pytest.mark.parametrize("asked", ["0-1", "0-9"])
    def test_are_as_long_as_they_say(self, call: Caller, asked: str) -> None:
        location = call.start("a")
        refused = call("PATCH", location, iter([b"12345"]), content_range=asked)
        assert (refused.status, refused.code) == (400, "SIZE_INVALID")
        assert call("GET", location).status == 404

    def test_must_have_their_digest(self, call: Caller) -> None:
        digest = digest_of(b"other")
        monolithic = call("POST", f"/v2/a/blobs/uploads/?digest={digest}", b"this")
        assert (monolithic.status, monolithic.code) == (400, "DIGEST_INVALID")
        location = call.start("a")
        refused = call("PUT", f"{location}?digest={digest}", b"this")
        assert (refused.status, refused.code) == (400, "DIGEST_INVALID")
        assert call("GET", f"/v2/a/blobs/{digest}").status == 404

    def test_need_a_digest_to_end(self, call: Caller) -> None:
        location = call.start("a")
        assert call("PUT", location, b"this").code == "DIGEST_INVALID"
        assert call("PUT", f"{location}?digest={digest_of(b'this')}", b"this").status == 201

    def test_can_be_cancelled(self, call: Caller) -> None:
        location = call.start("a")
        call("PATCH", location, b"123")
        assert call("DELETE", location).status == 204
        assert call("GET", location).code == "BLOB_UPLOAD_UNKNOWN"

    def test_belong_to_one_repository(self, call: Caller) -> None:
        location = call.start("a").replace("/v2/a/", "/v2/b/")
        assert call("PATCH", location, b"123").status == 404

    def test_go_on_after_a_broken_connection(self, call: Caller) -> None:
        content = noise("broken", 3_000_000)
        location = call.start("a")
        connection = http.client.HTTPConnection(call.host)
        connection.putrequest("PATCH", location)
        connection.putheader("Content-Length", str(len(content)))
        connection.endheaders(content[:2_000_000])
        connection.close()
        assert call("PATCH", location).status == 202  # waits for the one before
        received = int(call("GET", location).headers["range"].removeprefix("0-")) + 1
        assert received <= 2_000_000
        digest = digest_of(content)
        rest = content[received:] if received > 1 else content
        assert call("PUT", f"{location}?digest={digest}", rest).status == 201

    def test_wait_for_permission_to_send(self, call: Caller) -> None:
        connection = http.client.HTTPConnection(call.host)
        connection.request("PUT", "/v2/A/manifests/v1", headers={"Expect": "100-continue", "Content-Length": "9"})
        assert connection.getresponse().status == 400
        connection.close()


class TestLists:
    def test_come_in_pages(self, call: Caller) -> None:
        image = make_image(kind="oci")
        tags = ["v10", "V1", "v2", "latest", "0"]
        for tag in tags:
            push(call.host, "a/b", tag, image)
        found, path, pages = [], "/v2/a/b/tags/list?n=2", 0
        while path:
            answer = call("GET", path)
            found += answer.document["tags"]
            link = answer.headers.get("link", "")
            path = link.partition(">")[0].removeprefix("<")
            pages += 1
        assert (found, pages) == (sorted(tags), 3)

    def test_can_be_entered_anywhere(self, call: Caller) -> None:
        for repository in ("a", "a/b", "b"):
            call.push_blob(repository, digest_of(b""), b"")
        answer = call("GET", "/v2/_catalog?n=1&last=a")
        assert answer.document == {"repositories": ["a/b"]}
        assert answer.headers["link"] == '</v2/_catalog?n=1&last=a%2Fb>; rel="next"'
        assert call("GET", "/v2/_catalog?last=a0").document == {"repositories": ["b"]}
        assert call("GET", "/v2/_catalog?last=z").document == {"repositories": []}
        empty = call("GET", "/v2/_catalog?n=0")
        assert empty.document == {"repositories": []}
        assert "link" not in empty.headers


class TestReferrers:
    def referrers(self, call: Caller, subject: Manifest, query: str = "") -> Any:
        answer = call("GET", f"/v2/a/referrers/{subject.digest}{query}")
        assert (answer.status, answer.headers["content-type"]) == (200, OCI_INDEX)
        assert ("oci-filters-applied" in answer.headers) == bool(query)
        assert answer.document["mediaType"] == OCI_INDEX
        return answer.document["manifests"]

    def test_of_nothing_are_none(self, call: Caller) -> None:
        assert self.referrers(call, make_image()) == []

    def test_are_listed_with_their_type_and_annotations(self, call: Caller) -> None:
        image = make_image(kind="oci")
        sbom = make_artifact("application/x-sbom", subject=image, annotations={"a": "b"})
        built = make_image(kind="oci", seed="2", subject=image)
        index = make_index([], kind="oci", subject=image)
        for referrer in (sbom, built, index):  # before their subject
            push(call.host, "a", None, referrer)
        put = call("PUT", "/v2/a/manifests/again", sbom.content, content_type=OCI_MANIFEST)
        assert put.headers["oci-subject"] == image.digest
        push(call.host, "a", "v1", image)
        expected: list[dict[str, Any]] = [
            sbom.descriptor(annotations={"a": "b"}) | {"artifactType": "application/x-sbom"},
            built.descriptor() | {"artifactType": built.document["config"]["mediaType"]},
            index.descriptor(),
        ]
        assert self.referrers(call, image) == sorted(expected, key=lambda entry: str(entry["digest"]))
        assert self.referrers(call, image, "?artifactType=application/x-sbom") == [expected[0]]
        call("DELETE", f"/v2/a/manifests/{sbom.digest}")
        assert self.referrers(call, image, "?artifactType=application/x-sbom") == []


def test_many_push_at_once(call: Caller) -> None:
    shared = [make_layer({f"shared-{n}": noise(f"shared/{n}", 200_000)}) for n in range(3)]

    def one(number: int) -> Manifest:
        own = make_layer({"own": noise(f"own/{number}", 100_000)})
        image = make_image(kind="oci", layers=[*shared, own], seed=str(number))
        with RegistryClient(call.host, "many/images") as client:
            client.push(f"v{number}", image)
        return image

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        images = list(pool.map(one, range(32)))
    assert len(call("GET", "/v2/many/images/tags/list").document["tags"]) == 32
    for number, image in enumerate(images):
        assert call("GET", f"/v2/many/images/manifests/v{number}").body == image.content
        for digest, blob in image.blobs.items():
            assert call("GET", f"/v2/many/images/blobs/{digest}").body == blob
