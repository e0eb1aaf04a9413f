"""`lading artifact`: files in registries and layouts, beside what oras makes of the same."""

import gzip
import io
import json
import os
import socket
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lading import ArtifactFile, Client
from lading.errors import UsageError
from lading.model.digest import Digest
from support.artifacts import packed, pushed, tree
from support.images import make_image, make_index, push
from support.lading import Lading
from support.parts import need
from support.process import run
from support.registry import RealRegistry

CREATED = "org.opencontainers.image.created=2024-05-01T12:00:00Z"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    (folder / "docs/in").mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    (folder / "docs/in/x").write_text("x")
    (folder / "docs/in/x").chmod(0o750)
    (folder / "docs/.wh.x").write_text("no whiteout")
    (folder / "docs/link").symlink_to("in/x")
    (folder / "docs/other").hardlink_to(folder / "docs/in/x")
    (folder / ("docs/" + "ü" * 100)).write_text("long")
    return folder


@pytest.fixture(params=["docker-registry", "embedded"])
def host(request: pytest.FixtureRequest) -> Any:
    return (
        request.getfixturevalue("registry").host
        if request.param == "docker-registry"
        else request.getfixturevalue("elsewhere")
    )


def oras(*args: str, cwd: Path) -> str:
    need("oras")
    return run(["oras", *args], cwd=cwd).stdout


def manifest(lading: Lading, place: str) -> Any:
    return json.loads(lading.run("manifest", "get", place).stdout)


def test_oras_pulls_what_was_pushed(lading: Lading, files: Path, host: str, repository: str, tmp_path: Path) -> None:
    place = f"{host}/{repository}:1"
    ran = lading.run("artifact", "push", place, "a.txt:text/plain", "docs", "from/in.txt=-", stdin=b"in", cwd=files)
    assert ran.stdout.strip() == f"{place}@{lading.run('digest', place).stdout.strip()}"
    out = tmp_path / "out"
    oras("pull", "--plain-http", place, "-o", str(out), cwd=tmp_path)
    (files / "from").mkdir()
    (files / "from/in.txt").write_text("in")
    assert tree(out) == tree(files)


@pytest.mark.parametrize(
    "typed, theirs",
    [
        (["a.txt"], ["a.txt"]),
        (["a.txt:text/plain", "docs/in/x"], ["./a.txt:text/plain", "docs//in/x"]),
        ([], []),
        (["a.txt", "--artifact-type", "application/vnd.a+json"], None),
        (["a.txt", "--config", "docs/in/x"], None),
        (["a.txt", "--config", "docs/in/x:text/x", "--artifact-type", "a/b"], None),
        (["a.txt", "--annotation", "k=<&>=ü"], None),
    ],
)
def test_the_manifest_is_that_of_oras(
    lading: Lading, files: Path, tmp_path: Path, typed: list[str], theirs: list[str] | None
) -> None:
    lading.run("artifact", "push", f"oci:{tmp_path}/l:1", *typed, "--annotation", CREATED, cwd=files)
    words = typed if theirs is None else theirs
    oras("push", "--oci-layout", f"{tmp_path}/o:1", *words, "--annotation", CREATED, cwd=files)
    ours, others = (lading.run("manifest", "get", f"oci:{tmp_path}/{name}:1").stdout for name in "lo")
    assert ours == others


def test_an_annotation_file_is_that_of_oras(lading: Lading, files: Path, tmp_path: Path) -> None:
    key, _, created = CREATED.partition("=")
    said = {
        "$manifest": {key: created},
        "$config": {"c": "1"},
        "a.txt": {"x": "y", "org.opencontainers.image.title": "b"},
    }
    (files / "said.json").write_text(json.dumps(said))
    words = ["a.txt:text/plain", "docs/in/x", "--annotation-file", "said.json", "--artifact-type", "a/b"]
    lading.run("artifact", "push", f"oci:{tmp_path}/l:1", *words, cwd=files)
    oras("push", "--oci-layout", f"{tmp_path}/o:1", *words, cwd=files)
    ours, others = (lading.run("manifest", "get", f"oci:{tmp_path}/{name}:1").stdout for name in "lo")
    assert ours == others


def test_the_same_files_give_the_same_digest(lading: Lading, files: Path, tmp_path: Path) -> None:
    first = lading.run("artifact", "push", f"oci:{tmp_path}/l:1", "docs", "a.txt", cwd=files).stdout
    for path in files.rglob("*"):
        os.utime(path, (1, 1), follow_symlinks=False)
    again = lading.run("artifact", "push", f"oci:{tmp_path}/m:1", "docs", "a.txt", cwd=files).stdout
    assert again.partition("@")[2] == first.partition("@")[2] != ""
    assert "annotations" not in manifest(lading, f"oci:{tmp_path}/l:1")
    epoch = {"SOURCE_DATE_EPOCH": "1700000000"}
    lading.run("artifact", "push", f"oci:{tmp_path}/l:2", "docs", cwd=files, env=epoch)
    said = manifest(lading, f"oci:{tmp_path}/l:2")["annotations"]
    assert said == {"org.opencontainers.image.created": "2023-11-14T22:13:20Z"}


def test_what_is_there_is_not_sent_again(lading: Lading, files: Path, registry: RealRegistry, repository: str) -> None:
    place = f"{registry.host}/{repository}"
    lading.run("artifact", "push", f"{place}:1", "docs", "a.txt", "--tag", "2", cwd=files)
    assert lading.run("digest", f"{place}:2").stdout == lading.run("digest", f"{place}:1").stdout
    assert "Nothing to copy" in lading.run("artifact", "push", f"{place}:1", "docs", "a.txt", cwd=files).stderr
    (files / "a.txt").write_text("b")
    ran = lading.run("artifact", "push", f"{place}:1", "docs", "a.txt", "--format", "json", cwd=files)
    outcomes = {step["digest"]: step["outcome"] for step in json.loads(ran.stdout)["steps"]}
    directory, file = (layer["digest"] for layer in manifest(lading, f"{place}:1")["layers"])
    assert (outcomes[directory], outcomes[file]) == ("present", "copied")
    planned = lading.run("artifact", "push", f"{place}:3", "a.txt", "--dry-run", cwd=files)
    assert "TO DO" in planned.stdout
    assert lading.run("digest", f"{place}:3", check=False).returncode == 3


def test_a_subject_is_beside_the_artifact(lading: Lading, files: Path, host: str, repository: str) -> None:
    place = f"{host}/{repository}"
    push(host, repository, "image", make_image("linux/amd64", kind="oci"))
    lading.run("artifact", "push", f"{place}:sbom", "a.txt", "--subject", "image", "--artifact-type", "a/b", cwd=files)
    digest = lading.run("digest", f"{place}:image").stdout.strip()
    assert manifest(lading, f"{place}:sbom")["subject"]["digest"] == digest
    assert "a/b" in oras("discover", "--plain-http", f"{place}:image", cwd=files)
    far = lading.run("artifact", "push", f"{place}-2:1", "a.txt", "--subject", f"{place}:image", cwd=files, check=False)
    assert (far.returncode, "where its subject is" in far.stderr) == (2, True)


def test_what_has_a_colon_or_an_equals_sign_in_its_name_is_found(lading: Lading, files: Path, tmp_path: Path) -> None:
    for name in ("a:b", "k=v", "t:text/x"):
        (files / name).parent.mkdir(exist_ok=True)
        (files / name).write_text(name)
    words = ["a:b", "k=v:text/plain", "t:text/x", "a.txt:"]
    ran = lading.run("artifact", "push", f"oci:{tmp_path}/l:1", *words, cwd=files)
    layers = manifest(lading, ran.stdout.strip())["layers"]
    assert [(one["annotations"]["org.opencontainers.image.title"], one["mediaType"]) for one in layers] == [
        ("a:b", TAR),
        ("k=v", "text/plain"),
        ("t:text/x", TAR),
        ("a.txt", TAR),
    ]


TITLE = "org.opencontainers.image.title"
TAR = "application/vnd.oci.image.layer.v1.tar"


def _absolute(files: Path) -> list[str]:
    return [str(files / "a.txt")]


@pytest.mark.parametrize(
    "words, code, said",
    [
        (_absolute, 2, "absolute path"),
        (["../files/a.txt"], 2, "leads out of the folder"),
        (["."], 2, "needs a title"),
        (["b=a.txt", "b=docs/in/x"], 2, "cannot both"),
        (["B=a.txt", "b=docs/in/x"], 2, "cannot both"),
        (["e\u0301=a.txt", "\xe9=docs/in/x"], 2, "cannot both"),
        (["b=a.txt", "b/c=docs/in/x"], 2, "cannot both"),
        (["b/c=a.txt", "b=docs"], 2, "cannot both"),
        ([f"{'n' * 300}=a.txt"], 2, "longer than 255 bytes"),
        (["-"], 2, "needs a title"),
        (["a=-", "b=-"], 2, "read once"),
        (["none.txt"], 3, "does not exist"),
        (["pipe"], 2, "neither a file nor a directory"),
        (["piped"], 7, "a device or a pipe"),
        (["away"], 7, "leads out of the directory"),
        (["a.txt", "--artifact-type", "bad"], 2, "no media type"),
        (["a.txt", "--annotation", "x"], 2, "KEY=VALUE"),
        (["a.txt", "--annotation-file", "a.txt"], 2, "as JSON"),
        (["a.txt", "--annotation-file", "other.json"], 2, "none of the files"),
    ],
)
def test_what_could_not_be_pulled_is_refused(
    lading: Lading, files: Path, tmp_path: Path, words: list[str] | Callable[[Path], list[str]], code: int, said: str
) -> None:
    os.mkfifo(files / "pipe")
    (files / "piped").mkdir()
    os.mkfifo(files / "piped/pipe")
    (files / "away").mkdir()
    (files / "away/x").symlink_to(".")
    (files / "away/y").symlink_to("x/x/../..")
    (files / "other.json").write_text('{"none": {"a": "b"}}')
    given = words(files) if callable(words) else words
    ran = lading.run("artifact", "push", f"oci:{tmp_path}/l:1", *given, cwd=files, check=False)
    assert (ran.returncode, said in ran.stderr) == (code, True), ran.stderr
    assert not (tmp_path / "l").exists()


def test_a_socket_is_left_out_and_said(
    lading: Lading, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files / "docs")  # the path of a socket has to be short
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("socket")
        ran = lading.run("artifact", "push", f"oci:{tmp_path}/l:1", "docs", cwd=files)
    assert "docs: socket is left out" in ran.stderr


def test_from_python(files: Path, registry: RealRegistry, repository: str) -> None:
    place = f"{registry.host}/{repository}:1"
    with Client() as client:
        with pytest.raises(UsageError, match="needs a title"):
            client.artifacts.push(place, files / "docs")
        with (files / "a.txt").open("rb") as file:
            made = [ArtifactFile(content=files / "docs", title="d"), ArtifactFile(content=file, title="a")]
            client.artifacts.push(place, *made, ArtifactFile(content=b"{}"), artifact_type="a/b")
        assert [layer.annotations.get(TITLE) for layer in client.get_manifest(place).layers] == ["d", "a", None]


# Pulling


def test_it_pulls_what_oras_pushed(lading: Lading, files: Path, host: str, repository: str, tmp_path: Path) -> None:
    place = f"{host}/{repository}:1"
    oras("push", "--plain-http", place, "a.txt:text/plain", "docs", cwd=files)
    ran = lading.run("artifact", "pull", place, "-o", str(tmp_path / "out"))
    assert ran.stdout.splitlines() == [str(tmp_path / "out/a.txt"), str(tmp_path / "out/docs")]
    assert tree(tmp_path / "out") == tree(files)


def test_it_pulls_what_it_pushed_and_keeps_what_is_right(
    lading: Lading, files: Path, host: str, repository: str, tmp_path: Path
) -> None:
    place, out = f"{host}/{repository}:1", tmp_path / "new/out"
    lading.run("artifact", "push", place, "a.txt", "docs", "same=a.txt", cwd=files)
    lading.run("artifact", "pull", place, "-o", str(out))
    (files / "same").write_text("a")
    assert tree(out) == tree(files)
    before = (out / "a.txt").stat()
    (out / "docs/mine").write_text("mine")
    (out / "same").write_text("b")
    ran = lading.run("artifact", "pull", place, "-o", str(out), "--no-clobber", check=False)
    assert (ran.returncode, (out / "same").read_text()) == (8, "b")
    ran = lading.run("artifact", "pull", place, "-o", str(out))
    assert "2 already there" in ran.stderr
    assert (out / "a.txt").stat().st_ino == before.st_ino
    assert ((out / "docs/mine").read_text(), (out / "same").read_text()) == ("mine", "a")


def test_files_are_chosen_by_title_and_media_type(lading: Lading, files: Path, tmp_path: Path) -> None:
    place = f"oci:{tmp_path}/l:1"
    lading.run("artifact", "push", place, "a.txt:text/plain", "docs", "b.json=-:text/json", cwd=files, stdin=b"{}")
    assert lading.run("artifact", "pull", place, "--title", "*.json", "-o", "-").stdout == "{}"
    ran = lading.run("artifact", "pull", place, "--media-type", "text/*", "--format", "{{files|length}}", cwd=tmp_path)
    assert ran.stdout.strip() == "2"
    assert (tmp_path / "a.txt").read_text() == "a"
    for words, code in ((["-o", "-"], 2), (["--title", "none"], 3)):
        assert lading.run("artifact", "pull", place, *words, check=False, cwd=tmp_path).returncode == code


def test_a_layer_without_a_title_is_called_by_its_digest(lading: Lading, tmp_path: Path) -> None:
    place = pushed(tmp_path, (b"x", {}), (b"x", {}), (b"y", {TITLE: "y"}))
    out = tmp_path / "out"
    lading.run("artifact", "pull", place, "-o", str(out))
    assert sorted(path.name for path in out.iterdir()) == [str(Digest.of(b"x")).replace(":", "-"), "y"]


@pytest.mark.parametrize(
    "title",
    ["../x", "/tmp/lading-x", "a/../../x", "..", "./..", "a/" + "n" * 300, "a\0b", "/"],
)
def test_no_title_leads_elsewhere(lading: Lading, tmp_path: Path, title: str) -> None:
    place = pushed(tmp_path, (b"good", {TITLE: "good"}), (b"x", {TITLE: title}))
    refused(lading, place, tmp_path)


@pytest.mark.parametrize(
    "titles", [("a", "a"), ("a", "A"), ("a", "a/b"), ("a/b", "a"), ("e\u0301", "\xe9"), ("a", "./a")]
)
def test_no_two_titles_are_one(lading: Lading, tmp_path: Path, titles: tuple[str, str]) -> None:
    refused(lading, pushed(tmp_path, *((title.encode(), {TITLE: title}) for title in titles)), tmp_path)


@pytest.mark.parametrize(
    "entries",
    [
        "d/ other/x=x",
        "d/ d/../x=x",
        "/d/x=x",
        "d/ d/l->/etc",
        "d/ d/l->..",
        "d/ d/l->. d/m->l/l/../..",
        "d/ d/l->in d/in/ d/l/x=x",
        "d->/etc d/x=x",
        "d->e",
        "d/ d/h~/etc/passwd",
        "d/ d/h~../a",
        "d/ d/l->x d/h~d/l",
        "d/ d/x=x d/x/y=y",
        "d/ d/x/ d/x=x",
    ],
)
def test_no_archive_leads_elsewhere(lading: Lading, tmp_path: Path, entries: str) -> None:
    refused(lading, pushed(tmp_path, (b"good", {TITLE: "good"}), packed(entries)), tmp_path)


def refused(lading: Lading, place: str, tmp_path: Path) -> None:
    """Nothing is written: neither elsewhere, nor in the folder, which is not even made."""
    before = sorted(tmp_path.rglob("*"))
    ran = lading.run("artifact", "pull", place, "-o", f"{tmp_path}/in/out", check=False)
    assert ran.returncode == 7, ran.stderr
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "planted, code",
    [("a/b", 0), ("a", 7), ("d", 7), ("d/in", 7), ("d/in/x", 0)],
)
def test_links_in_the_folder_are_not_followed(lading: Lading, tmp_path: Path, planted: str, code: int) -> None:
    place = pushed(tmp_path, (b"b", {TITLE: "a/b"}), packed("d/ d/in/ d/in/x=x"))
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "b").write_text("old")
    (out / planted).parent.mkdir(parents=True)
    is_file = code == 0
    (out / planted).symlink_to(elsewhere / "b" if is_file else elsewhere)
    ran = lading.run("artifact", "pull", place, "-o", str(out), check=False)
    assert ran.returncode in ((0,) if code == 0 else (7, 8)), ran.stderr
    assert [path.name for path in elsewhere.iterdir()] == ["b"]
    assert (elsewhere / "b").read_text() == "old"
    if code:
        assert [path for path in out.rglob("*") if path.is_file()] == []
    else:
        assert ((out / "a/b").read_text(), (out / "d/in/x").read_text()) == ("b", "x")


def test_a_damaged_blob_leaves_nothing(lading: Lading, tmp_path: Path) -> None:
    place = pushed(tmp_path, (b"good", {TITLE: "good"}), (b"bad", {TITLE: "bad"}))
    blob = tmp_path / "hostile/blobs/sha256" / Digest.of(b"bad").hex
    blob.chmod(0o644)
    blob.write_bytes(b"BAD")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/bad").write_text("mine")
    ran = lading.run("artifact", "pull", place, "-o", f"{tmp_path}/out", check=False)
    assert ran.returncode == 7
    assert tree(tmp_path / "out") == {"bad": ("file", 0o644, "mine")}


def test_devices_and_pipes_are_left_out_and_said(lading: Lading, tmp_path: Path) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, kind in (("d/pipe", tarfile.FIFOTYPE), ("d/device", tarfile.CHRTYPE)):
            member = tarfile.TarInfo(name)
            member.type = kind
            tar.addfile(member)
    layer = (gzip.compress(data.getvalue()), {TITLE: "d", "io.deis.oras.content.unpack": "true"})
    ran = lading.run("artifact", "pull", pushed(tmp_path, layer), "-o", f"{tmp_path}/out")
    assert ran.stderr.count("is left out") == 2
    assert list((tmp_path / "out").rglob("*")) == [tmp_path / "out/d"]


def test_an_index_and_an_image_are_no_artifacts(
    lading: Lading, tmp_path: Path, registry: RealRegistry, repository: str
) -> None:
    image = make_image("linux/amd64", kind="oci")
    push(registry.host, repository, "1", make_index([image], kind="oci"))
    place = f"{registry.host}/{repository}:1"
    ran = lading.run("artifact", "pull", place, "-o", f"{tmp_path}/out", check=False)
    assert (ran.returncode, "--platform" in ran.stderr) == (7, True), ran.stderr
    chosen = ("artifact", "pull", place, "-o", f"{tmp_path}/out", "--platform", "linux/amd64")
    ran = lading.run(*chosen, check=False)
    assert (ran.returncode, "lading image export" in ran.stderr) == (7, True), ran.stderr
    assert not (tmp_path / "out").exists()
    lading.run(*chosen, "--media-type", "*")
    assert len(list((tmp_path / "out").iterdir())) == len(image.document["layers"])


def test_permissions_are_those_of_the_artifact_as_far_as_the_umask_allows(lading: Lading, tmp_path: Path) -> None:
    place = pushed(tmp_path, (b"b", {TITLE: "b"}), packed("d/@777 d/x=x@666 d/s=s@4755 d/shut/@555 d/shut/y=y@444"))
    before = os.umask(0o027)
    try:
        lading.run("artifact", "pull", place, "-o", f"{tmp_path}/out")
    finally:
        os.umask(before)
    found = {name: oct(mode) for name, (_, mode, _) in tree(tmp_path / "out").items()}
    modes = {"d": 0o750, "d/x": 0o640, "d/s": 0o750, "d/shut": 0o550, "d/shut/y": 0o440, "b": 0o640}
    assert found == {name: oct(mode) for name, mode in modes.items()}
    assert (tmp_path / "out/d/s").stat().st_mode & 0o7000 == 0


def test_what_a_shell_gives_for_the_output_of_a_command_is_read_once(lading: Lading, tmp_path: Path) -> None:
    place = f"oci:{tmp_path}/l:1"
    reads, writes = os.pipe()
    try:
        os.write(writes, b"from a pipe")
        os.close(writes)
        lading.run("artifact", "push", place, f"a.txt=/dev/fd/{reads}:text/plain", "nothing=/dev/null", here=True)
    finally:
        os.close(reads)
    assert lading.run("artifact", "pull", place, "--title", "a.txt", "-o", "-").stdout == "from a pipe"
    assert lading.run("artifact", "pull", place, "--title", "nothing", "-o", "-").stdout == ""
