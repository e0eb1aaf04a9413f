"""Docker's files: names, bytes, older forms, and whatever else may be found in a folder."""

import base64
import contextlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drafts.entries import APP, make_draft, make_entry
from lading.drafts.docker_files import compact, decode_entry, encode_entry, file_name, guess_reference
from lading.drafts.sidecar import read_notes
from lading.drafts.store import DraftStore
from lading.errors import DigestMismatch, InvalidContent, LadingError
from lading.model.digest import Digest
from lading.model.platform import Platform
from lading.model.reference import Reference
from support.parts import times

DIGEST = "sha256:" + 64 * "1"


@pytest.mark.parametrize(
    "reference, name",
    [
        ("localhost:5101/exp-a/app:multi", "localhost-5101_exp-a_app-multi"),
        ("alpine", "docker.io_library_alpine-latest"),
        (f"u/a:t@{DIGEST}", f"docker.io_u_a-t@{DIGEST.replace(':', '-')}"),
        ("[::1]:5000/app", "[--1]-5000_app-latest"),
        (f"localhost:5101/exp-a/app@{DIGEST}", f"localhost-5101_exp-a_app@{DIGEST.replace(':', '-')}"),
    ],
)
def test_names(reference: str, name: str) -> None:
    parsed = Reference.parse(reference)
    assert file_name(parsed) == name
    assert guess_reference(name) == parsed


@given(st.text("abc09-_.:/@[]", max_size=40))
def test_a_guessed_name_is_that_name(name: str) -> None:
    guessed = guess_reference(name)
    assert guessed is None or file_name(guessed) == name


def test_the_first_form_had_digest_and_platform() -> None:
    manifest = b'{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","layers":[]}'
    text = (
        f'{{"Ref":"{APP}:a","Digest":"{Digest.of(manifest)}","SchemaV2Manifest":{manifest.decode()},'
        '"Platform":{"architecture":"arm64","os":"linux","variant":"v8"}}'
    ).encode()
    entry, _ = decode_entry(text, "the file")
    assert (entry.digest, entry.raw, str(entry.platform)) == (Digest.of(manifest), manifest, "linux/arm64/v8")
    assert entry.descriptor.media_type == "application/vnd.docker.distribution.manifest.v2+json"
    again, _ = decode_entry(encode_entry(entry), "the file")
    assert again == entry
    with pytest.raises(InvalidContent, match="the file is damaged"):
        decode_entry(text.replace(b'"layers":[]', b'"layers": []'), "the file")


@pytest.mark.parametrize("kind, indent", [("docker", 3), ("oci", 2)])
def test_bytes_are_found_again_where_raw_is_missing(kind: str, indent: int) -> None:
    media_type = make_entry("a", kind=kind).descriptor.media_type  # type: ignore[arg-type]
    raw = json.dumps({"schemaVersion": 2, "mediaType": media_type, "config": {}, "layers": []}, indent=indent).encode()
    key = "SchemaV2Manifest" if kind == "docker" else "OCIManifest"
    document = {
        "Ref": f"{APP}:a",
        "Descriptor": {"mediaType": media_type, "digest": Digest.of(raw), "size": len(raw)},
        key: json.loads(raw),
    }
    entry, _ = decode_entry(json.dumps(document).encode(), "the file")
    assert entry.raw == raw


def test_unknown_keys_are_kept() -> None:
    text = encode_entry(make_entry("a"))[:-1] + b',"New":{"b":1.50,"a":"<"}}'
    entry, _ = decode_entry(text, "the file")
    assert encode_entry(entry) == text.replace(b'"<"', b'"\\u003c"')
    assert encode_entry(entry, "12").endswith(b',"lading":{"list":"12"}}')
    assert decode_entry(encode_entry(entry, "12"), "the file") == (entry, "12")


def test_compact_is_go_s() -> None:
    text = '{ "a" : "x < \\" >  &\u2028",\n\t"b":[ ], "c": { "d" : 1.0E+2 } }'.encode()
    assert compact(text) == b'{"a":"x \\u003c \\" \\u003e  \\u0026\\u2028","b":[],"c":{"d":1.0E+2}}'


BAD = {
    "not JSON": b"{",
    "no object": b"[]",
    "empty": b"",
    "no Ref": b'{"Descriptor":{}}',
    "Ref of a wrong type": b'{"Ref":5,"Descriptor":{}}',
    "Ref that is not full": b'{"Ref":"alpine:3","Descriptor":{"digest":"%s","size":1}}' % DIGEST.encode(),
    "no Descriptor": f'{{"Ref":"{APP}:a"}}'.encode(),
    "no digest": f'{{"Ref":"{APP}:a","Descriptor":{{"size":1}}}}'.encode(),
    "Raw that is not base64": b'{"Ref":"%s:a","Descriptor":{"digest":"%s","size":1},"Raw":"*"}'
    % (APP.encode(), DIGEST.encode()),
    "Raw of a wrong type": b'{"Ref":"%s:a","Descriptor":{"digest":"%s","size":1},"Raw":[1]}'
    % (APP.encode(), DIGEST.encode()),
    "a manifest of a wrong type": b'{"Ref":"%s:a","Descriptor":{"digest":"%s","size":1},"OCIManifest":"x"}'
    % (APP.encode(), DIGEST.encode()),
    "two manifests": b'{"Ref":"%s:a","Descriptor":{"digest":"%s","size":1},"OCIManifest":{},"SchemaV2Manifest":{}}'
    % (APP.encode(), DIGEST.encode()),
    "lone surrogate": b'{"Ref":"\\ud800","Descriptor":{}}',
    "deep": b'{"Ref":' + 100 * b"[" + 100 * b"]" + b"}",
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD.keys())
def test_a_malformed_entry_is_named(root: Path, content: bytes) -> None:
    store = DraftStore(root)
    store.save(make_draft("a"))
    file = root / file_name(Reference.parse(f"{APP}:list")) / file_name(Reference.parse(f"{APP}:b"))
    file.write_bytes(content)
    with pytest.raises(InvalidContent, match="app-b") as refused:
        store.load(Reference.parse(f"{APP}:list"))
    assert refused.value.exit_code == 7
    (listed,) = store.list()
    assert (str(listed.reference), listed.entries) == (f"{APP}:list", ())
    assert file.name in listed.problem
    store.save(make_draft("c"))
    assert not file.exists()


def test_damaged_raw_is_noticed() -> None:
    entry = make_entry("a")
    document = json.loads(encode_entry(entry))
    document["Raw"] = base64.b64encode((entry.raw or b"") + b" ").decode()
    with pytest.raises(DigestMismatch, match="the file"):
        decode_entry(json.dumps(document).encode(), "the file")


def test_foreign_files_are_passed_over(root: Path) -> None:
    store = DraftStore(root)
    reference = store.save(make_draft("a")).reference
    folder = root / file_name(reference)
    (folder / ".DS_Store").write_bytes(b"junk")
    (folder / ".#emacs").symlink_to("nowhere")
    (folder / "sub").mkdir()
    (folder / "sub" / "kept").write_text("kept")
    draft = store.load(reference)
    assert sorted(warning.split()[0] for warning in draft.warnings) == [
        str(folder / name) for name in (".#emacs", ".DS_Store", "sub")
    ]
    store.save(make_draft("b", "c"))
    assert sorted(file.name for file in folder.iterdir() if file.name[0] != "l") == [".#emacs", ".DS_Store", "sub"]
    assert (folder / "sub" / "kept").read_text() == "kept"
    assert [entry.reference.tag for entry in store.load(reference).entries] == ["b", "c"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(DIGEST) | st.just(f"{APP}:a"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
KEYS = st.sampled_from(["Ref", "Descriptor", "Raw", "SchemaV2Manifest", "OCIManifest", "Digest", "Platform", "lading"])
FIELDS = st.sampled_from(
    ["mediaType", "digest", "size", "platform", "annotations", "urls", "data", "list", "descriptor"]
)
FILES = (
    st.binary(max_size=100)
    | st.dictionaries(KEYS | st.text(max_size=3), JSON | st.dictionaries(FIELDS, JSON)).map(
        lambda document: json.dumps(document).encode()
    )
    | st.builds(
        lambda at, byte: bytes([*(whole := encode_entry(make_entry("a"), "1"))[:at], byte, *whole[at + 1 :]]),
        st.integers(0, 900),
        st.integers(0, 255),
    )
)


@settings(max_examples=times(80, 600), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(FILES, st.sampled_from(["localhost-5000_team_app-a", ".DS_Store", "x"]))
def test_no_file_makes_lading_crash(root: Path, content: bytes, name: str) -> None:
    store = DraftStore(root)
    reference = Reference.parse(f"{APP}:list")
    folder = root / file_name(reference)
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.iterdir():
        file.unlink()
    (folder / name).write_bytes(content)
    os.utime(folder / name, (1, 1))  # A file that was just written may be in the making, and is waited for.
    store.list()
    with contextlib.suppress(LadingError):
        draft = store.load(reference)
        assert [decode_entry(encode_entry(entry), "again")[0].digest for entry in draft.entries] == [
            entry.digest for entry in draft.entries
        ]
    store.remove([reference])


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_notes_make_lading_crash(content: bytes) -> None:
    read_notes(content)


def test_platform_is_kept_as_it_is() -> None:
    entry = make_entry("a", "linux/arm64/v8")
    assert b'"platform":{"architecture":"arm64","os":"linux","variant":"v8"}' in encode_entry(entry)
    assert decode_entry(encode_entry(entry), "")[0].platform == Platform("arm64", "linux", variant="v8")
