"""`lading artifact pull`: what files are called, where they come, what stays, and what goes on."""

import asyncio
import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading import AsyncClient, Client, Descriptor, Digest, Manifest
from lading.artifacts.pull import Pulling, to_folder
from lading.artifacts.tree import Tree
from lading.artifacts.wanted import Choice
from lading.errors import LadingError
from lading.store import from_bytes
from lading.stores.memory import Memory
from lading.transfer.events import Meter, Progressed
from support.artifacts import TITLE, UNPACK, packed, pushed, tree
from support.images import make_artifact, make_image, make_index, push
from support.lading import Lading
from support.layers import Entry, archive, zstd_frame
from support.parts import need
from support.process import run
from support.proxy import Alter, CountingProxy
from support.registry import RealRegistry

HELM_CONFIG = "application/vnd.cncf.helm.config.v1+json"
HELM_CHART = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
HELM_PROVENANCE = "application/vnd.cncf.helm.chart.provenance.v1.prov"
MEBIBYTE = 1024 * 1024


def pull(lading: Lading, place: str, out: Path, *words: str, code: int = 0) -> str:
    """Pull into a folder; gives what was said."""
    ran = lading.run("artifact", "pull", place, "-o", str(out), *words, check=False)
    assert ran.returncode == code, ran.stderr
    return ran.stdout + ran.stderr


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def by_digest(data: bytes) -> str:
    return str(Digest.of(data)).replace(":", "-")


# What files are called


CHART = json.dumps({"name": "app", "version": "1.2.3+b"}).encode()


def test_a_helm_chart_comes_out_as_helm_pulls_it(lading: Lading, tmp_path: Path) -> None:
    layers: list[tuple[bytes, dict[str, str], str]] = [(b"chart", {}, HELM_CHART), (b"signed", {}, HELM_PROVENANCE)]
    pull(lading, pushed(tmp_path, *layers, config=(CHART, HELM_CONFIG)), tmp_path / "out")
    assert names(tmp_path / "out") == ["app-1.2.3+b.tgz", "app-1.2.3+b.tgz.prov"]
    said = {TITLE: "web", "org.opencontainers.image.version": "2.0.0"}
    place = pushed(tmp_path / "said", *layers[:1], config=(CHART, HELM_CONFIG), annotations=said)
    pull(lading, place, tmp_path / "again")
    assert names(tmp_path / "again") == ["web-2.0.0.tgz"]
    for number, config in enumerate((b"[]", b"{", b'{"name": 1, "version": "1"}')):
        place = pushed(tmp_path / str(number), *layers[:1], config=(config, HELM_CONFIG))
        pull(lading, place, tmp_path / f"bad-{number}")
        assert names(tmp_path / f"bad-{number}") == ["chart.tgz"]


def test_the_name_of_a_chart_leads_nowhere(lading: Lading, tmp_path: Path) -> None:
    config = json.dumps({"name": "../../evil", "version": "1"}).encode()
    place = pushed(tmp_path, (b"chart", {}, HELM_CHART), config=(config, HELM_CONFIG))
    said = pull(lading, place, tmp_path / "in/out", code=7)
    assert "leads out of the folder" in said
    assert "--rename" in said
    assert not (tmp_path / "in").exists()
    pull(lading, place, tmp_path / "out", "--rename", "chart.tgz")
    assert names(tmp_path / "out") == ["chart.tgz"]


@pytest.mark.parametrize(
    "media_type, said, artifact_type, name",
    [
        ("application/wasm", {}, "a/b", "module.wasm"),
        ("archive/zip", {}, "application/vnd.opentofu.modulepkg", "module.zip"),
        ("archive/zip", {}, "application/vnd.opentofu.provider-target", "provider.zip"),
        ("application/spdx+json", {}, "a/b", "sbom.spdx.json"),
        ("application/vnd.cyclonedx+xml", {}, "a/b", "sbom.cdx.xml"),
        ("application/vnd.in-toto+json", {}, "a/b", "attestation.intoto.json"),
        (
            "application/vnd.in-toto+json",
            {"in-toto.io/predicate-type": "https://slsa.dev/provenance/v1"},
            "a/b",
            "provenance.intoto.json",
        ),
        (
            "application/vnd.dsse.envelope.v1+json",
            {"predicateType": "https://spdx.dev/Document"},
            "a/b",
            "sbom.dsse.json",
        ),
        ("application/vnd.dev.cosign.simplesigning.v1+json", {}, "a/b", "signature.json"),
        (
            "application/vnd.docker.compose.file+yaml",
            {"com.docker.compose.file": "compose.dev.yaml"},
            "a/b",
            "compose.dev.yaml",
        ),
        ("application/vnd.cncf.model.weight.v1.raw", {"org.cncf.model.filepath": "w/a.gguf"}, "a/b", "w/a.gguf"),
        ("application/json", {}, "a/b", by_digest(b"x") + ".json"),
        ("application/vnd.example", {}, "a/b", by_digest(b"x")),
        ("application/spdx+json", {TITLE: "mine.json"}, "a/b", "mine.json"),
    ],
)
def test_files_of_known_kinds_have_names(
    lading: Lading, tmp_path: Path, media_type: str, said: dict[str, str], artifact_type: str, name: str
) -> None:
    place = pushed(tmp_path, (b"x", said, media_type), artifact_type=artifact_type)
    pull(lading, place, tmp_path / "out")
    assert names(tmp_path / "out") == [name]


def test_files_of_one_kind_are_told_apart_by_their_digests(lading: Lading, tmp_path: Path) -> None:
    kind = "application/spdx+json"
    place = pushed(tmp_path, (b"x", {}, kind), (b"y", {}, kind), (b"y", {}, kind), (b"z", {}, "application/wasm"))
    pull(lading, place, tmp_path / "out")
    sboms = [f"{by_digest(data)}.spdx.json" for data in (b"x", b"y")]
    assert names(tmp_path / "out") == sorted(["module.wasm", *sboms])


def test_archives_of_models_and_of_flux_are_unpacked(lading: Lading, tmp_path: Path) -> None:
    path = {"org.cncf.model.filepath": "w"}
    place = pushed(
        tmp_path,
        (archive("w/ w/a=a"), path, "application/vnd.cncf.model.weight.v1.tar"),
        (archive("README=r"), {"org.cncf.model.filepath": "README"}, "application/vnd.cncf.model.doc.v1.tar"),
        (gzip.compress(archive("./ ./b=b")), {}, "application/vnd.cncf.flux.content.v1.tar+gzip"),
    )
    for said in ("Wrote 3 files", "Wrote 1 file, 2 already there"):
        assert said in pull(lading, place, tmp_path / "out")
        assert tree(tmp_path / "out") == {
            "w": ("directory", 0o755, ""),
            "w/a": ("file", 0o644, "a"),
            "README": ("file", 0o644, "r"),
            "b": ("file", 0o644, "b"),
        }
        (tmp_path / "out/b").write_text("other")


def test_two_archives_do_not_have_one_file(lading: Lading, tmp_path: Path) -> None:
    flux = "application/vnd.cncf.flux.content.v1.tar+gzip"
    place = pushed(tmp_path, (gzip.compress(archive("b=b")), {}, flux), (gzip.compress(archive("b=c")), {}, flux))
    assert "another file has this name" in pull(lading, place, tmp_path / "out", code=7)
    assert not (tmp_path / "out").exists()


# Where they come


def test_files_get_other_paths(lading: Lading, tmp_path: Path) -> None:
    place = pushed(tmp_path, (b"1", {TITLE: "a/x"}), (b"2", {TITLE: "b/x"}), packed("c/d/ c/d/e=e c/d/l->e", "c/d"))
    pull(lading, place, tmp_path / "1", "--rename", "a/x=y", "--rename", "c/d=z")
    assert names(tmp_path / "1") == ["b/x", "y", "z/e", "z/l"]
    pull(lading, place, tmp_path / "2", "--flatten", "--rename", "a/x=n/y")
    assert names(tmp_path / "2") == ["d/e", "d/l", "n/y", "x"]
    said = pull(lading, place, tmp_path / "3", "--flatten", code=7)
    assert "cannot both be in one folder" in said
    assert "--rename" in said
    pull(lading, place, tmp_path / "3", "--title", "b/x", "--rename", "only")
    assert names(tmp_path / "3") == ["only"]


@pytest.mark.parametrize(
    "words, code, said",
    [
        (["--rename", "x"], 2, "2 files, and one name"),
        (["--rename", "none=x"], 3, "no file"),
        (["--rename", "a=../x"], 2, "leads out of the folder"),
        (["--rename", "a=/x"], 2, "absolute path"),
        (["--rename", "a="], 2, "names nothing"),
        (["--rename", "a=b"], 7, "cannot both"),
        (["--config", "../c"], 2, "leads out of the folder"),
        (["--config", "a"], 7, "cannot both"),
    ],
)
def test_what_cannot_be_renamed_so(lading: Lading, tmp_path: Path, words: list[str], code: int, said: str) -> None:
    place = pushed(tmp_path, (b"1", {TITLE: "a"}), (b"2", {TITLE: "b"}))
    assert said in pull(lading, place, tmp_path / "out", *words, code=code)
    assert not (tmp_path / "out").exists()


def test_the_only_file_is_the_target_where_that_ends_like_it(lading: Lading, tmp_path: Path) -> None:
    place = pushed(tmp_path, (b"1", {TITLE: "in/a.json"}))
    pull(lading, place, tmp_path / "new/b.json")
    assert (tmp_path / "new/b.json").read_bytes() == b"1"
    pull(lading, place, tmp_path / "folder")
    assert names(tmp_path / "folder") == ["in/a.json"]
    (tmp_path / "old").write_text("old")
    pull(lading, place, tmp_path / "old")
    assert (tmp_path / "old").read_bytes() == b"1"
    (tmp_path / "c.json").mkdir()
    pull(lading, place, tmp_path / "c.json")
    lading.run("artifact", "pull", place, "-o", f"{tmp_path}/d.json/")
    assert names(tmp_path / "c.json") == names(tmp_path / "d.json") == ["in/a.json"]


def test_the_config_is_a_file_too(lading: Lading, tmp_path: Path) -> None:
    place = pushed(tmp_path, (b"1", {TITLE: "a"}), config=(b"{'c'}", "text/x"))
    pull(lading, place, tmp_path / "out", "--config", "c/config.json")
    assert names(tmp_path / "out") == ["a", "c/config.json"]


def test_an_index_says_what_can_be_chosen(
    lading: Lading, tmp_path: Path, registry: RealRegistry, repository: str
) -> None:
    images = [make_image(platform, seed=platform) for platform in ("linux/amd64", "linux/arm64/v8")]
    push(registry.host, repository, "1", make_index([*images, make_artifact(artifact_type="application/x-one")]))
    said = pull(lading, f"{registry.host}/{repository}:1", tmp_path / "out", code=7)
    assert "it lists linux/amd64, linux/arm64/v8, " in said
    assert f"lading index ls {registry.host}/{repository}:1" in said
    assert not (tmp_path / "out").exists()


# What stays


@pytest.mark.parametrize(
    "there, layer",
    [
        ("a/", (b"x", {TITLE: "a"})),
        ("a", (b"x", {TITLE: "a/b"})),
        ("d", packed("d/ d/x=x")),
        ("d/x/", packed("d/ d/x=x")),
        ("d/x", packed("d/ d/x/ d/x/y=y")),
    ],
)
def test_what_is_of_another_kind_stays(
    lading: Lading, tmp_path: Path, there: str, layer: tuple[bytes, dict[str, str]]
) -> None:
    place, out = pushed(tmp_path, (b"good", {TITLE: "good"}), layer), tmp_path / "out"
    (out / there).parent.mkdir(parents=True)
    if there.endswith("/"):
        (out / there).mkdir()
    else:
        (out / there).write_text("mine")
    before = tree(out)
    ran = lading.run("artifact", "pull", place, "-o", str(out), check=False)
    assert (ran.returncode, tree(out)) == (7 if there == "a" else 8, before), ran.stderr


@pytest.mark.parametrize("planted", ["good", "a", "a/b", "d", "d/in", "d/in/x", "d/l", "d/in/new"])
@pytest.mark.parametrize("where", ["elsewhere", "elsewhere/b", "nowhere", "."])
def test_no_planted_link_leads_a_file_elsewhere(lading: Lading, tmp_path: Path, planted: str, where: str) -> None:
    directory = packed("d/ d/in/ d/in/x=x d/in/new/ d/in/new/y=y d/l->in")
    place = pushed(tmp_path, (b"good", {TITLE: "good"}), (b"b", {TITLE: "a/b"}), directory)
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    (elsewhere / "in").mkdir(parents=True)
    (elsewhere / "b").write_text("old")
    (out / planted).parent.mkdir(parents=True)
    (out / planted).symlink_to(tmp_path / where if where != "." else ".")
    before, outside = tree(out), tree(elsewhere)
    ran = lading.run("artifact", "pull", place, "-o", str(out), check=False)
    assert ran.returncode in (0, 7, 8), ran.stderr
    assert tree(elsewhere) == outside
    assert not (tmp_path / "nowhere").exists()
    if ran.returncode:
        assert tree(out) == before
    else:
        assert ((out / "good").read_text(), (out / "d/in/new/y").read_text()) == ("good", "y")


def test_a_directory_that_is_right_is_not_downloaded_again(
    lading: Lading, tmp_path: Path, registry: RealRegistry, repository: str, proxy: CountingProxy
) -> None:
    directory = packed("d/ d/x=x d/s=s@755 d/l->x d/h~d/x d/e=")
    place = pushed(f"{registry.host}/{repository}:1", directory, (b"f", {TITLE: "f"}))
    place = place.replace(registry.host, proxy.host)
    out = tmp_path / "out"
    pull(lading, place, out)
    proxy.reset()
    assert "Wrote 0 files, 2 already there" in pull(lading, place, out)
    assert [one.line.partition("/manifests/")[2] for one in proxy.exchanges] == ["1"]
    right = tree(out)

    def change(name: str, work: Callable[[Path], object]) -> None:
        work(out / name)
        assert "1 already there" in pull(lading, place, out), name
        assert tree(out) == right, name

    def linked(path: Path) -> None:
        path.unlink()
        path.symlink_to("e")

    def same_times(path: Path) -> None:
        before = path.stat()
        path.write_text("y")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    change("d/x", same_times)
    change("d/e", lambda path: path.write_text("more"))
    change("d/s", lambda path: path.chmod(0o644))
    change("d/s", lambda path: path.unlink())
    change("d/l", linked)
    change("d/x", linked)
    (out / "d/mine").write_text("mine")
    assert "2 already there" in pull(lading, place, out)
    no_cache = {"LADING_CACHE": "0"}
    ran = lading.run("artifact", "pull", place, "-o", str(out), env=no_cache)
    assert "1 already there" in ran.stderr
    assert (out / "d/mine").read_text() == "mine"


def test_what_is_remembered_of_directories_may_be_damaged(lading: Lading, tmp_path: Path) -> None:
    place, out = pushed(tmp_path, packed("d/ d/x=x")), tmp_path / "out"
    pull(lading, place, out)
    (kept,) = lading.home.glob(".cache/lading/artifacts/trees/*")
    for damage in (b"", b"x", kept.read_bytes()[:-8]):
        kept.write_bytes(damage)
        assert "Wrote 1 file" in pull(lading, place, out)
        assert "already there" in pull(lading, place, out)


def test_files_in_directories_that_are_the_same_are_left(lading: Lading, tmp_path: Path) -> None:
    place, out = pushed(tmp_path, packed("d/ d/x=x d/y=y d/l->x")), tmp_path / "out"
    (out / "d").mkdir(parents=True)
    (out / "d/x").write_text("x")
    before = (out / "d/x").stat()
    pull(lading, place, out, "--no-clobber")
    assert (out / "d/x").stat() == before
    (out / "d/y").write_text("z")
    pull(lading, place, out, "--no-clobber", code=8)
    assert (out / "d/y").read_text() == "z"


def test_what_got_its_place_goes_back_where_the_rest_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new, old, out = (tmp_path / name for name in ("new", "old", "out"))
    for folder in (new / "d", old, out):
        folder.mkdir(parents=True)
    for name, text in (("a", "new"), ("b", "new"), ("d/x", "new"), ("e", "new")):
        (new / name).write_text(text)
    (out / "b").write_text("old")
    before = tree(out)
    rename = os.rename

    def failing(one: str, *args: object, **kwargs: object) -> None:
        if one == "e":
            raise OSError(28, "No space left on device")
        rename(one, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "rename", failing)
    with Tree(out) as place, pytest.raises(LadingError, match="cannot be written"):
        place.place(new, old, clobber=True)
    assert tree(out) == before


def test_a_directory_that_is_closed_to_its_owner_gets_its_place(lading: Lading, tmp_path: Path) -> None:
    place = pushed(tmp_path, packed("d/@500 d/in/@500 d/in/x=x"))
    out = tmp_path / "out"
    pull(lading, place, out)
    assert [(out / name).stat().st_mode & 0o777 for name in ("d", "d/in")] == [0o500, 0o500]
    assert "1 already there" in pull(lading, place, out)


# Archives


def test_what_a_layer_says_of_its_archive_is_checked(lading: Lading, tmp_path: Path) -> None:
    plain = archive("d/ d/x=x")
    padded = plain + bytes(4096)
    key = "io.deis.oras.content.digest"
    for number, (data, said, code) in enumerate(
        [
            (plain, str(Digest.of(plain)), 0),
            (padded, str(Digest.of(plain)), 0),
            (padded, str(Digest.of(padded)), 0),
            (plain, str(Digest.of(b"other")), 7),
            (plain, "nonsense", 0),
            (archive("d/ d/x=x", end=b""), str(Digest.of(archive("d/ d/x=x", end=b""))), 0),
        ]
    ):
        place = pushed(tmp_path / str(number), (gzip.compress(data), {TITLE: "d", UNPACK: "true", key: said}))
        pull(lading, place, tmp_path / f"out-{number}", code=code)
        assert (tmp_path / f"out-{number}").exists() == (code == 0)


def test_plain_and_zstd_archives_and_sparse_files_are_unpacked(lading: Lading, tmp_path: Path) -> None:
    said = {UNPACK: "true"}
    sparse = Entry(
        "c/x",
        content=b"0123456789",
        pax={
            "GNU.sparse.major": "0",
            "GNU.sparse.minor": "1",
            "GNU.sparse.numblocks": "2",
            "GNU.sparse.map": "2,5,20,5",
            "GNU.sparse.size": "40",
        },
    )
    place = pushed(
        tmp_path,
        (archive("a/ a/x=a"), {TITLE: "a", **said}),
        (zstd_frame(archive("b/ b/x=b")), {TITLE: "b", **said}),
        packed([sparse], "c"),
    )
    for _ in range(2):
        pull(lading, place, tmp_path / "out")
        assert (tmp_path / "out/a/x").read_bytes() == b"a"
        assert (tmp_path / "out/b/x").read_bytes() == b"b"
        assert (tmp_path / "out/c/x").read_bytes() == bytes(2) + b"01234" + bytes(13) + b"56789" + bytes(15)


def bomb(kind: str) -> tuple[bytes, dict[str, str]]:
    if kind == "sparse":
        huge = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.numblocks": "0", "GNU.sparse.map": ""}
        return packed([Entry("d/x", pax={**huge, "GNU.sparse.size": str(2**60)})])
    if kind == "repeated":
        return packed("d/ " + "d/x=x " * 1200)
    if kind == "deep":
        return packed([Entry("d/x", pax={"path": "d/" + "a/" * 300 + "x"})])
    if kind == "long":
        return packed([Entry("d/x", pax={"path": "d/" + "a" * 300})])
    if kind == "links":
        return packed("d/ d/a->b d/b->c/x d/c->../d/a/.. d/c/y=y")
    if kind == "cut":
        return packed("d/ d/x=x")[0][:-20], packed("d/")[1]
    return gzip.compress(archive("d/") + b"trailing" * 100)[:40], packed("d/")[1]


@pytest.mark.parametrize("kind", ["sparse", "repeated", "deep", "long", "links", "cut", "damaged"])
def test_bombs_and_damaged_archives_leave_nothing(lading: Lading, tmp_path: Path, kind: str) -> None:
    place = pushed(tmp_path, (b"good", {TITLE: "good"}), bomb(kind))
    before = sorted(tmp_path.rglob("*"))
    said = pull(lading, place, tmp_path / "out", code=7)
    assert "Traceback" not in said
    assert sorted(path for path in tmp_path.rglob("*") if ".cache" not in path.parts) == before


def test_a_directory_that_is_too_deep_to_be_pulled_is_not_pushed(lading: Lading, tmp_path: Path) -> None:
    (tmp_path / "d" / "/".join("a" * 260)).mkdir(parents=True)
    ran = lading.run("artifact", "push", f"oci:{tmp_path}/l:1", "d", cwd=tmp_path, check=False)
    assert (ran.returncode, "it has more than 255 parts" in ran.stderr) == (7, True), ran.stderr


def test_later_members_take_the_place_of_earlier_ones(lading: Lading, tmp_path: Path) -> None:
    place = pushed(tmp_path, packed("d/ d/x=1 d/x=22 d/l->x d/l->y"))
    pull(lading, place, tmp_path / "out")
    assert ((tmp_path / "out/d/x").read_text(), str((tmp_path / "out/d/l").readlink())) == ("22", "y")


def test_names_that_differ_in_case_only_stay_two_in_a_directory(lading: Lading, tmp_path: Path) -> None:
    place = pushed(tmp_path, packed("d/ d/a=1 d/A=2 d/\xe9=3 d/e\u0301=4"))
    pull(lading, place, tmp_path / "out")
    assert len(list((tmp_path / "out/d").iterdir())) == 4


def test_titles_with_controls_are_written_and_shown_harmlessly(lading: Lading, tmp_path: Path) -> None:
    place = pushed(tmp_path, (b"x", {TITLE: "a\x1b[31m\n\u202eb"}))
    said = pull(lading, place, tmp_path / "out")
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert names(tmp_path / "out") == ["a\x1b[31m\n\u202eb"]


# Interruptions


@pytest.mark.parametrize("is_directory", [False, True])
def test_an_interrupted_download_goes_on(
    lading: Lading, tmp_path: Path, registry: RealRegistry, repository: str, proxy: CountingProxy, is_directory: bool
) -> None:
    content = os.urandom(6 * MEBIBYTE)
    layer = packed([Entry("d/x", content=content)]) if is_directory else (content, {TITLE: "d/x"})
    place = pushed(f"{registry.host}/{repository}:1", layer, (b"y", {TITLE: "y"})).replace(registry.host, proxy.host)
    blob = f"blobs/{Digest.of(layer[0])}"
    gone = Alter(status=404) if is_directory else Alter(drop="request")
    cuts = [Alter(truncate=5 * MEBIBYTE), *[gone] * 20]
    proxy.intercept = lambda request: cuts.pop(0) if blob in request.path and cuts else None
    out = tmp_path / "out"
    pull(lading, place, out, code=3 if is_directory else 6)
    assert not out.exists()
    cuts.clear()
    proxy.reset()
    pull(lading, place, out)
    assert (out / "d/x").read_bytes() == content
    (asked,) = [one for one in proxy.exchanges if blob in one.path]
    assert asked.response_bytes < 3 * MEBIBYTE
    assert list(lading.home.glob(".cache/lading/artifacts/partial/*")) == []
    assert (out / "d/x").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("is_directory", [False, True])
def test_a_beginning_that_is_damaged_is_not_used(lading: Lading, tmp_path: Path, is_directory: bool) -> None:
    content = os.urandom(6 * MEBIBYTE)
    layer = packed([Entry("d/x", content=content)]) if is_directory else (content, {TITLE: "d/x"})
    place = pushed(tmp_path, layer)
    partial = lading.home / ".cache/lading/artifacts/partial"
    partial.mkdir(parents=True, mode=0o700)
    for number, begun in enumerate((layer[0][:100] + b"damaged" + layer[0][107 : 5 * MEBIBYTE], layer[0] + b"more")):
        kept = partial / by_digest(layer[0])
        kept.write_bytes(begun)
        kept.chmod(0o600)
        pull(lading, place, tmp_path / f"out-{number}")
        assert (tmp_path / f"out-{number}/d/x").read_bytes() == content
        assert not kept.exists()


def test_no_file_of_an_artifact_is_taken_for_what_an_interrupted_pull_left(lading: Lading, tmp_path: Path) -> None:
    ours = f".lading.{'0' * 32}"
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "b.txt").write_text("b")
    lading.run("artifact", "push", "oci:x:1", f"{ours}/a.txt=a.txt", f"{ours[:-1]}1=d", cwd=tmp_path)
    lading.run("artifact", "push", "oci:x:2", "a.txt", cwd=tmp_path)
    for tag in ("1", "2"):
        lading.run("artifact", "pull", f"oci:x:{tag}", "-o", "out", cwd=tmp_path)
    assert (tmp_path / "out" / ours / "a.txt").read_text() == "a"
    assert (tmp_path / "out" / f"{ours[:-1]}1" / "b.txt").read_text() == "b"


def test_what_a_killed_pull_left_in_the_folder_goes_on(
    lading: Lading, tmp_path: Path, registry: RealRegistry, repository: str, proxy: CountingProxy
) -> None:
    content = os.urandom(6 * MEBIBYTE)
    place = pushed(f"{registry.host}/{repository}:1", (content, {TITLE: "x"})).replace(registry.host, proxy.host)
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    left = out / f".lading.{'0' * 32}/blobs"
    left.mkdir(parents=True)
    left.parent.chmod(0o1700)  # as a pull marks its own
    (left / by_digest(content)).write_bytes(content[: 5 * MEBIBYTE])
    planted = out / f".lading.{'1' * 32}"
    planted.mkdir()
    planted.chmod(0o1700)
    elsewhere.mkdir()
    (elsewhere / by_digest(content)).write_text("mine")
    (planted / "blobs").symlink_to(elsewhere)
    pull(lading, place, out)
    assert names(out) == ["x"]
    assert (out / "x").read_bytes() == content
    assert (elsewhere / by_digest(content)).read_text() == "mine"
    assert max(one.response_bytes for one in proxy.exchanges) < 3 * MEBIBYTE


async def test_a_pull_that_is_cancelled_leaves_nothing_and_goes_on(
    tmp_path: Path, registry: RealRegistry, repository: str, proxy: CountingProxy
) -> None:
    content = os.urandom(8 * MEBIBYTE)
    made = await asyncio.to_thread(pushed, f"{registry.host}/{repository}:1", (content, {TITLE: "x"}))
    place = made.replace(registry.host, proxy.host)
    blob = f"blobs/{Digest.of(content)}"
    proxy.intercept = lambda request: Alter(pause=0.005) if blob in request.path else None
    async with AsyncClient() as client:

        def cancel(event: object) -> None:
            if isinstance(event, Progressed) and event.done > 5 * MEBIBYTE:
                pulling.cancel()

        pulling = asyncio.create_task(client.artifacts.pull(place, tmp_path / "out", on_event=cancel))
        with pytest.raises(asyncio.CancelledError):
            await pulling
        assert not (tmp_path / "out").exists()
        proxy.intercept = None
        proxy.reset()
        await client.artifacts.pull(place, tmp_path / "out")
    assert (tmp_path / "out/x").read_bytes() == content
    assert max(one.response_bytes for one in proxy.exchanges) <= 4 * MEBIBYTE


# Anything a stranger may write


PARTS = st.sampled_from(["a", "b", "..", ".", "", "d", "A", "x" * 256])
PATHS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)


ENTRIES = st.builds(
    Entry, name=PATHS.map("d/".__add__) | PATHS, type=st.sampled_from("01257"), link=PATHS, content=st.just(b"x")
)


@settings(max_examples=30, deadline=None)
@given(
    entries=st.lists(ENTRIES, max_size=6),
    title=PATHS | st.just("d"),
    planted=st.sampled_from(["", "d", "a", "d/a", "d/b"]),
)
def test_nothing_is_ever_written_outside(entries: list[Entry], title: str, planted: str) -> None:
    with TemporaryDirectory() as name:
        here = Path(name).resolve()
        out, outside = here / "in/out", here / "outside"
        outside.mkdir()
        (outside / "a").write_text("mine")
        if planted:
            (out / planted).parent.mkdir(parents=True)
            (out / planted).symlink_to(outside)
        before = tree(out) if planted else None
        layers = {archive(entries): {TITLE: title, UNPACK: "true"}, b"good": {TITLE: "good"}}
        try:
            asyncio.run(pull_from_memory(layers, out))
        except LadingError:
            assert (tree(out) if out.exists() else None) == before
        else:
            assert (out / "good").read_text() == "good"
            for path in out.rglob("*"):
                if str(path.relative_to(out)) != planted:
                    assert path.resolve().is_relative_to(out)
        assert tree(outside) == {"a": ("file", 0o644, "mine")}
        assert {path.name for path in here.iterdir()} <= {"in", "outside"}


async def pull_from_memory(layers: dict[bytes, dict[str, str]], out: Path) -> None:
    store = Memory()
    listed = []
    for data, said in layers.items():
        listed.append(Descriptor(media_type="a/b", digest=Digest.of(data), size=len(data), annotations=said))
        await store.write(listed[-1].content, from_bytes(data))
    pulling = Pulling(wanted=Choice(), clobber=True, jobs=2, cache=None, meter=Meter())
    await to_folder(store, Manifest.of(listed, artifact_type="a/b"), pulling, str(out), "memory")


# Requests, and other tools


def test_a_blob_of_many_names_is_downloaded_once(
    lading: Lading, tmp_path: Path, registry: RealRegistry, repository: str, proxy: CountingProxy
) -> None:
    data, said = packed("d/ d/x=x")
    names_ = [{TITLE: "a.tgz"}, said, {TITLE: "in/b.tgz"}]
    place = pushed(f"{registry.host}/{repository}:1", *((data, one) for one in names_)).replace(
        registry.host, proxy.host
    )
    proxy.reset()
    pull(lading, place, tmp_path / "out")
    assert names(tmp_path / "out") == ["a.tgz", "d/x", "in/b.tgz"]
    assert len(proxy.exchanges) == 2
    assert (tmp_path / "out/a.tgz").read_bytes() == (tmp_path / "out/in/b.tgz").read_bytes() == data


def test_progress_is_told(lading: Lading, tmp_path: Path) -> None:
    place = pushed(tmp_path, (b"x" * 1000, {TITLE: "x"}), packed("d/ d/x=x"))
    said = pull(lading, place, tmp_path / "out", "--progress", "json")
    totals = [
        event for line in said.splitlines() if line.startswith("{") and (event := json.loads(line))["event"] == "totals"
    ]
    assert (totals[-1]["finished"], totals[-1]["contents"], totals[-1]["done"]) == (2, 2, totals[-1]["size"])
    ran = lading.run("artifact", "pull", place, "--title", "x", "-o", "-", "--progress", "json")
    assert (ran.stdout, '"finished"' in ran.stderr) == ("x" * 1000, True)


@pytest.mark.parametrize("words", [["--rename", "a"], ["--flatten"], ["--config", "c"], ["--no-clobber"]])
def test_what_is_about_a_folder_is_not_about_standard_output(lading: Lading, tmp_path: Path, words: list[str]) -> None:
    place = pushed(tmp_path, (b"x", {TITLE: "x"}))
    ran = lading.run("artifact", "pull", place, "-o", "-", *words, check=False)
    assert (ran.returncode, ran.stdout, "are about a folder" in ran.stderr) == (2, "", True)


def test_it_asks_no_more_than_oras(
    lading: Lading, tmp_path: Path, registry: RealRegistry, repository: str, proxy: CountingProxy
) -> None:
    need("oras")
    place = pushed(f"{registry.host}/{repository}:1", packed("d/ d/x=x"), (b"a", {TITLE: "a"}), (b"a", {TITLE: "b"}))
    place = place.replace(registry.host, proxy.host)
    counts = []
    for command in (["oras", "pull", "--plain-http", place, "-o", str(tmp_path / "oras")], None):
        for _ in range(2):
            proxy.reset()
            if command is not None:
                run(command, cwd=tmp_path)
            else:
                pull(lading, place, tmp_path / "lading")
            counts.append(len(proxy.exchanges))
    first, again, ours, ours_again = counts
    assert (ours, ours_again) == (3, 1)
    assert ours <= first
    assert ours_again < again
    assert tree(tmp_path / "lading") == tree(tmp_path / "oras")


def test_odd_directories_of_oras_come_out_as_oras_pulls_them(
    lading: Lading, tmp_path: Path, registry: RealRegistry, repository: str
) -> None:
    need("oras")
    odd = tmp_path / "files/a dir"
    (odd / "empty").mkdir(parents=True)
    (odd / "deep/er").mkdir(parents=True)
    for name, mode in (
        ("x", 0o4755),
        ("deep/er/ü" + "n" * 200, 0o600),
        ("-rf", 0o444),
        ("a:b", 0o640),
        ("c\nd", 0o644),
    ):
        (odd / name).write_text(name)
        (odd / name).chmod(mode)
        os.utime(odd / name, (1_000_000_000, 1_000_000_000))
    (odd / "hard").hardlink_to(odd / "x")
    (odd / "link").symlink_to("deep/er")
    (odd / "dangling").symlink_to("none")
    (odd / "deep").chmod(0o750)
    place = f"{registry.host}/{repository}:1"
    run(["oras", "push", "--plain-http", place, "a dir"], cwd=tmp_path / "files")
    run(["oras", "pull", "--plain-http", place, "-o", "oras"], cwd=tmp_path)
    pull(lading, place, tmp_path / "lading")
    assert tree(tmp_path / "lading") == tree(tmp_path / "oras")
    for path in (tmp_path / "oras").rglob("*"):
        ours = tmp_path / "lading" / path.relative_to(tmp_path / "oras")
        if path.is_file() and not path.is_symlink():
            assert int(ours.stat().st_mtime) == int(path.stat().st_mtime)
    assert "1 already there" in pull(lading, place, tmp_path / "lading")


def test_what_oras_pushes_from_beside_is_refused_and_can_be_renamed(
    lading: Lading, tmp_path: Path, registry: RealRegistry, repository: str
) -> None:
    need("oras")
    (tmp_path / "in").mkdir()
    (tmp_path / "x").write_text("x")
    (tmp_path / "y").write_text("y")
    place = f"{registry.host}/{repository}:1"
    paths = ["../x", str(tmp_path / "y")]
    run(["oras", "push", "--plain-http", "--disable-path-validation", place, *paths], cwd=tmp_path / "in")
    pull(lading, place, tmp_path / "out", code=7)
    pull(lading, place, tmp_path / "out", "--rename", "../x=x", "--rename", f"{tmp_path}/y=y")
    assert names(tmp_path / "out") == ["x", "y"]
    pull(lading, place, tmp_path / "flat", "--flatten")
    assert names(tmp_path / "flat") == ["x", "y"]


def test_it_pulls_what_regctl_pushed(lading: Lading, tmp_path: Path, registry: RealRegistry, repository: str) -> None:
    need("regctl")
    (tmp_path / "files/d").mkdir(parents=True)
    (tmp_path / "files/a.txt").write_text("a")
    (tmp_path / "files/d/x").write_text("x")
    place = f"{registry.host}/{repository}:1"
    environment = {**os.environ, "HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    run(["regctl", "registry", "set", "--tls", "disabled", registry.host], cwd=tmp_path, env=environment)
    words = ["--artifact-type", "a/b", "-f", "a.txt", "-m", "text/plain", "-f", "d", "-m", "application/x-tar"]
    run(["regctl", "artifact", "put", *words, "--file-title", place], cwd=tmp_path / "files", env=environment)
    pull(lading, place, tmp_path / "out")
    assert tree(tmp_path / "out") == tree(tmp_path / "files")


def test_an_image_in_an_artifact_is_said(
    lading: Lading, registry: RealRegistry, repository: str, tmp_path: Path
) -> None:
    push(registry.host, repository, "1", make_image())
    with Client() as client, pytest.raises(LadingError, match="is an image, not an artifact") as caught:
        client.artifacts.pull(f"{registry.host}/{repository}:1", tmp_path / "out")
    assert caught.value.code == "image-not-artifact"
    assert not (tmp_path / "out").exists()


def test_what_there_is_is_said_where_nothing_is_called_so(lading: Lading, tmp_path: Path) -> None:
    place = pushed(tmp_path, *((b"%d" % number, {TITLE: f"f{number}"}) for number in range(7)))
    ran = lading.run("artifact", "pull", place, "--title", "g*", check=False, cwd=tmp_path)
    assert (ran.returncode, "it has f0, f1, f2, f3, f4 and 2 more" in ran.stderr) == (3, True), ran.stderr
