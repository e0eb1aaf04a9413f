"""The folder storage: image layouts that other tools read and write."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from lading.errors import InvalidContent, UsageError
from lading.model import reach
from lading.serve import FolderStorage
from serve.caller import Caller
from support.images import OCI_INDEX, digest_of, make_artifact, make_image, make_index, noise, push

REF_NAME = "org.opencontainers.image.ref.name"
Serve = Callable[[], AbstractContextManager[str]]


def listed(layout: Path) -> Any:
    return json.loads((layout / "index.json").read_bytes())["manifests"]


def test_is_a_layout_for_each_repository(serve_folder: Serve, folder: Path) -> None:
    image = make_image(kind="oci")
    index = make_index([image], kind="oci")
    with serve_folder() as url:
        push(Caller(url).host, "team/app", "v1", index)
    layout = folder / "team" / "app"
    assert json.loads((layout / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    assert listed(layout) == [image.descriptor(), index.descriptor(annotations={REF_NAME: "v1"})]
    stored = {file.name: file.read_bytes() for file in (layout / "blobs" / "sha256").iterdir()}
    pushed = {**image.blobs, image.digest: image.content, index.digest: index.content}
    assert stored == {digest.removeprefix("sha256:"): blob for digest, blob in pushed.items()}
    assert list((folder / ".lading" / "uploads").iterdir()) == []


def test_survives_a_restart(serve_folder: Serve) -> None:
    image, other = make_image(kind="docker"), make_image(kind="oci", seed="other")
    with serve_folder() as url:
        push(Caller(url).host, "a", "v1", image)
        push(Caller(url).host, "a/b", None, other)
    with serve_folder() as url:
        call = Caller(url)
        assert call("GET", "/v2/_catalog").document == {"repositories": ["a", "a/b"]}
        answer = call("GET", "/v2/a/manifests/v1")
        assert (answer.body, answer.headers["content-type"]) == (image.content, image.media_type)
        assert call("GET", f"/v2/a/b/manifests/{other.digest}").body == other.content
        assert call("GET", "/v2/a/b/tags/list").document["tags"] == []


def test_keeps_a_blob_once_where_it_is_mounted(serve_folder: Serve, folder: Path) -> None:
    content = noise("mounted", 100)
    digest = digest_of(content)
    with serve_folder() as url:
        call = Caller(url)
        call.push_blob("a", digest, content)
        call("POST", f"/v2/b/blobs/uploads/?mount={digest}&from=a")
    files = [folder / name / "blobs" / "sha256" / digest.removeprefix("sha256:") for name in "ab"]
    assert files[0].samefile(files[1])


def test_copies_a_blob_where_it_cannot_be_linked(serve_folder: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(source: Path, target: Path, *, follow_symlinks: bool) -> None:
        raise PermissionError(1, "no links here")

    monkeypatch.setattr(os, "link", no_links)
    with serve_folder() as url:
        call = Caller(url)
        call.push_blob("a", digest_of(b"x"), b"x")
        assert call("POST", f"/v2/b/blobs/uploads/?mount={digest_of(b'x')}&from=a").status == 201
        assert call("GET", f"/v2/b/blobs/{digest_of(b'x')}").body == b"x"


def test_keeps_what_others_wrote_into_an_index(serve_folder: Serve, folder: Path) -> None:
    image, other = make_image(kind="oci"), make_image(kind="oci", seed="other")
    with serve_folder() as url:
        call = Caller(url)
        push(call.host, "a", "v1", image)
        layout = folder / "a"
        document = json.loads((layout / "index.json").read_bytes())
        document["annotations"] = {"of": "the index"}
        document["manifests"][0]["platform"] = {"architecture": "amd64", "os": "linux"}
        document["manifests"][0]["annotations"] |= {"more": "to say", REF_NAME: "docker.io/library/app:v1"}
        (layout / "index.json").write_text(json.dumps(document, indent=2))
        assert call("GET", "/v2/a/tags/list").document["tags"] == ["v1"]
        assert call("GET", "/v2/a/manifests/v1").body == image.content
        push(call.host, "a", "v2", other)
        changed = json.loads((layout / "index.json").read_bytes())
        assert changed["annotations"] == {"of": "the index"}
        assert changed["manifests"][0] == document["manifests"][0]
        assert len(changed["manifests"]) == 2


def test_untags_and_keeps_other_annotations(serve_folder: Serve, folder: Path) -> None:
    image = make_image(kind="oci")
    with serve_folder() as url:
        call = Caller(url)
        push(call.host, "a", "v1", image)
        document = json.loads((folder / "a" / "index.json").read_bytes())
        document["manifests"][0]["annotations"]["more"] = "to say"
        (folder / "a" / "index.json").write_text(json.dumps(document))
        assert call("DELETE", "/v2/a/manifests/v1").status == 202
        assert listed(folder / "a") == [image.descriptor(annotations={"more": "to say"})]
        push(call.host, "a", "v2", image)
        assert listed(folder / "a") == [image.descriptor(annotations={"more": "to say", REF_NAME: "v2"})]


def test_finds_manifests_that_only_an_index_lists(serve_folder: Serve, folder: Path) -> None:
    image, other = make_image(kind="oci"), make_image(kind="oci", seed="other")
    index = make_index([make_index([image], kind="oci"), other], kind="oci")
    with serve_folder() as url:
        call = Caller(url)
        push(call.host, "a", "v1", index)
        document = json.loads((folder / "a" / "index.json").read_bytes())
        document["manifests"] = [index.descriptor(annotations={REF_NAME: "v1"})]
        (folder / "a" / "index.json").write_text(json.dumps(document))
        answer = call("GET", f"/v2/a/manifests/{image.digest}")
        assert (answer.body, answer.headers["content-type"]) == (image.content, image.media_type)
        layer = next(iter(image.blobs))
        assert call("GET", f"/v2/a/manifests/{layer}").status == 404
        assert call("PUT", "/v2/a/manifests/v2", index.content, content_type=OCI_INDEX).status == 201
        assert call("DELETE", f"/v2/a/manifests/{image.digest}").status == 202
        assert call("GET", f"/v2/a/manifests/{image.digest}").status == 404


def test_fails_where_a_layout_is_broken(serve_folder: Serve, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "index.json").write_text('{"manifests": [{}]}')
    (folder / "file").write_text("not a folder")
    with serve_folder() as url:
        call = Caller(url)
        assert call("GET", "/v2/a/tags/list").code == "UNKNOWN"
        assert f"{folder / 'a' / 'index.json'} is malformed" in caplog.text
        assert call("GET", "/v2/file/b/manifests/v1").status == 404
        assert call("GET", f"/v2/file/b/blobs/{digest_of(b'')}").status == 404


def test_forgets_uploads_that_are_not_complete(serve_folder: Serve, folder: Path) -> None:
    with serve_folder() as url:
        call = Caller(url)
        call("PATCH", call.start("a"), b"123")
        assert received(folder) == [b"123"]
    assert list((folder / ".lading" / "uploads").iterdir()) == []
    assert not (folder / "a").exists()


def test_removes_what_a_killed_process_left_and_nothing_else(serve_folder: Serve, folder: Path) -> None:
    code = f"""
import os, asyncio
from lading.serve import FolderStorage
async def main():
    upload = await FolderStorage({str(folder)!r}).repository("a").upload()
    await upload.append(b"killed")
    os.kill(os.getpid(), 9)
asyncio.run(main())
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    assert received(folder) == [b"killed"]
    with serve_folder() as url:
        call = Caller(url)
        location = call.start("a")
        call("PATCH", location, b"123")
        with serve_folder():
            assert received(folder) == [b"123"]
        assert call("PUT", f"{location}?digest={digest_of(b'1234')}", b"4").status == 201


def received(folder: Path) -> list[bytes]:
    """What is in the files of uploads."""
    files = (folder / ".lading" / "uploads").iterdir()
    return [content for file in files if (content := file.read_bytes())]


def test_cannot_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot keep a registry in"):
        FolderStorage(tmp_path / "file")


def test_is_noticed_when_it_goes(serve_folder: Serve, folder: Path) -> None:
    with serve_folder() as url:
        call = Caller(url)
        push(call.host, "a", "v1", make_image())
        shutil.rmtree(folder / "a")
        assert call("GET", "/v2/a/tags/list").status == 404
        assert call("GET", "/v2/_catalog").document == {"repositories": []}


@pytest.mark.parametrize("there", [True, False])
def test_must_be_one_s_own(folder: Path, there: bool) -> None:
    """Whether or not it has been used before."""
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    if there:
        FolderStorage(folder)
    else:
        folder.mkdir()
    above = [path for path in folder.parents if path.is_relative_to("/tmp")]
    modes = [(path, path.stat().st_mode) for path in above]
    try:
        for path, mode in modes:
            path.chmod(mode | 0o055)
        os.seteuid(65534)
        with pytest.raises(UsageError) as refused:
            FolderStorage(folder)
        FolderStorage(folder, read_only=True)
    finally:
        os.seteuid(0)
        for path, mode in modes:
            path.chmod(mode)
    assert str(refused.value) == f"cannot keep a registry in {folder} (Permission denied)"


@pytest.mark.parametrize("place", [".lading", ".lading/uploads"])
def test_a_registry_is_not_kept_where_a_link_leads(folder: Path, tmp_path: Path, place: str) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (folder / place).parent.mkdir(parents=True)
    (folder / place).symlink_to(victim)
    with pytest.raises(InvalidContent, match="is a link"):
        FolderStorage(folder)
    assert list(victim.iterdir()) == []


@pytest.mark.parametrize("place", [".lading/blobs", ".lading/blobs/sha256", ".lading/blobs/sha256/{}"])
def test_what_repositories_share_leads_nowhere_else(
    serve_folder: Serve, folder: Path, tmp_path: Path, place: str
) -> None:
    content = noise("shared", 100)
    digest = digest_of(content)
    victim = tmp_path / "victim"
    victim.mkdir()
    with serve_folder() as url:
        call = Caller(url)
        link = folder / place.format(digest.removeprefix("sha256:"))
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(victim)
        answer = call("POST", f"/v2/a/blobs/uploads/?digest={digest}", content)
        assert answer.status == (201 if "{}" in place else 500)
    assert list(victim.iterdir()) == []


def test_a_list_that_leads_to_too_much_takes_nothing_from_the_others(
    serve_folder: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Referrers are found as before, and their list says that it may lack some; deleting the list mends that."""
    image = make_image(kind="oci")
    several = [make_image(kind="oci", seed=str(number)) for number in range(4)]
    signature = make_artifact(subject=image)
    with serve_folder() as url:
        call = Caller(url)
        push(call.host, "app", "many", many := make_index(several, kind="oci"))
        push(call.host, "app", "v1", image)
        push(call.host, "app", None, signature)
        monkeypatch.setattr(reach, "MANIFESTS", 3)
        assert call("PUT", "/v2/app/manifests/again", image.content, content_type=image.media_type).status == 201
        for path in (f"manifests/{several[3].digest}", f"manifests/{signature.digest}", "manifests/many"):
            assert call("GET", f"/v2/app/{path}").status == 200
        answer = call("GET", f"/v2/app/referrers/{image.digest}")
        assert [item["digest"] for item in answer.document["manifests"]] == [signature.digest]
        assert f"{many.digest} leads to more manifests than are looked through" in answer.headers["warning"]
        assert call("DELETE", f"/v2/app/manifests/{several[0].digest}").status == 202
        assert call("DELETE", f"/v2/app/manifests/{many.digest}").status == 202
        assert "warning" not in call("GET", f"/v2/app/referrers/{image.digest}").headers
        assert call("GET", f"/v2/app/manifests/{several[3].digest}").status == 200
