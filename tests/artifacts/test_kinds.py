"""What a file is told to be, from its name and its first bytes; and that no content of a stranger leads it astray."""

import io
import json
import struct
import tarfile
import zipfile
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lading.artifacts.kinds import HEAD, KINDS, kind_of, model_format, model_part


def tgz(*members: str) -> bytes:
    """A compressed archive with these files, each with its own name in it."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name in members:
            header = tarfile.TarInfo(name)
            header.size = len(name)
            tar.addfile(header, io.BytesIO(name.encode()))
    return file.getvalue()


def zipped(*members: str) -> bytes:
    """A zip archive with these files."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in members:
            archive.writestr(name, name)
    return file.getvalue()


def as_json(document: Any) -> bytes:
    """A document as JSON, with spaces."""
    return json.dumps(document, indent=1).encode()


SPDX3 = "https://spdx.org/rdf/3.0.1/spdx-context.jsonld"
STATEMENT = "https://in-toto.io/Statement/v1"
BOM = b'<?xml version="1.0"?>\n<bom serialNumber="x"\n xmlns="http://cyclonedx.org/schema/bom/1.5">'
SIGNED = b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n"


@pytest.mark.parametrize(
    "name, head, kind",
    [
        ("a", as_json({"spdxVersion": "SPDX-2.3"}), "spdx-json"),
        ("a", b"\xef\xbb\xbf" + as_json({"@context": SPDX3, "@graph": []}), "spdx-json"),
        ("a", as_json({"packages": {"spdxVersion": "SPDX-2.3"}}), None),
        ("a", as_json(["spdxVersion", "SPDX-2.3"]), None),
        ("a", b'{"name": "\\"spdxVersion\\": \\"SPDX-2.3\\""}', None),
        ("a", b"SPDXVersion: SPDX-2.3\nDataLicense: CC0-1.0\n", "spdx-text"),
        ("a", b"# of it\nSPDXVersion: SPDX-2.2\n", "spdx-text"),
        ("a", b'{"$schema":"x","bomFormat":"CycloneDX","components":[', "cyclonedx-json"),
        ("a", BOM, "cyclonedx-xml"),
        ("a", b"<bom>http://cyclonedx.org/schema/bom/1.5</bom>", None),
        ("a", as_json({"_type": STATEMENT, "subject": []}), "in-toto"),
        (
            "a",
            as_json({"payload": "x", "payloadType": "application/vnd.in-toto+json", "signatures": []}),
            "dsse-in-toto",
        ),
        ("a", as_json({"payload": "x", "payloadType": "text/x", "signatures": []}), "dsse"),
        ("a", as_json({"_type": STATEMENT}) + b"\n" + as_json({"_type": STATEMENT}), None),
        ("a", as_json({"version": "2.1.0", "runs": []}), "sarif"),
        ("a", as_json({"version": "2.1.0"}), None),
        ("app-1.0.tgz", tgz("app/Chart.yaml", "app/values.yaml"), "helm"),
        ("app.tar.gz", tgz("./app/values.yaml", "./app/Chart.yaml"), "helm"),
        ("app-1.0.tgz", tgz("app/charts/in/Chart.yaml"), None),
        ("app-1.0.tgz", tgz("Chart.yaml"), None),
        ("app-1.0.tgz", b"\x1f\x8b and no archive", None),
        ("app-1.0.tgz.prov", SIGNED, "provenance"),
        ("app-1.0.prov", SIGNED, None),
        ("a.wasm", b"\0asm\x01\0\0\0", "wasm-module"),
        ("a", b"\0asm\x0d\0\x01\0", "wasm-component"),
        ("a", b"\0asm\x09\0\0\0", None),
        ("m.zip", zipped("main.tf", "in/x.tf"), "tofu-module"),
        ("m.zip", zipped("in/x.tf"), None),
        ("terraform-provider-tls_4.0.6_linux_amd64.zip", zipped("x"), "tofu-provider"),
        ("jq--1.7.1.arm64_sonoma.bottle.tar.gz", b"\x1f\x8b", "bottle"),
        ("jq-1.7.1.x86_64_linux.bottle.2.tar.gz", b"\x1f\x8b", "bottle"),
        ("jq--1.7.1.arm64_sonoma.bottle.tar.gz", b"no gzip", None),
        ("a.gguf", b"GGUF\x03", "weights"),
        ("a.safetensors", struct.pack("<Q", 64) + b'{"', "weights"),
        ("a.safetensors", b"{} and no header", None),
        ("a.onnx", b"\x08\x07", "weights"),
        ("a", b"", None),
    ],
)
def test_a_kind_is_told_by_content_and_by_conventions_of_names(name: str, head: bytes, kind: str | None) -> None:
    assert kind_of(name, head) == kind


BEGINNINGS = (
    *(b"{", b'{"', b'{"spdxVersion":', b'{"runs":[', b"\x1f\x8b\x08\0", b"PK\x03\x04", b"\0asm", b"<bom ", b"GGUF"),
    *(tgz("app/values.yaml"), zipped("x"), b"-----BEGIN", b"SPDXVersion:", struct.pack("<Q", 2**63)),
)


@given(st.sampled_from(BEGINNINGS), st.binary(max_size=200), st.sampled_from(["a", "a.tgz", "a.safetensors", "a.zip"]))
def test_whatever_is_in_a_file_it_has_a_kind_or_none(beginning: bytes, rest: bytes, name: str) -> None:
    kind = kind_of(name, beginning + rest)
    assert kind is None or kind in KINDS


@given(st.sampled_from(BEGINNINGS), st.binary(min_size=1, max_size=6))
@example(b'{"', b'\\"')
@example(b"<bom ", b"<bom ")
@example(b"PK\x03\x04", b"PK\x03\x04")
@pytest.mark.slow
def test_a_stranger_does_not_make_it_slow(beginning: bytes, rest: bytes) -> None:
    kind_of("a.tgz", (beginning + rest * (HEAD // len(rest)))[:HEAD])


@given(
    st.dictionaries(st.text(max_size=8), st.one_of(st.text(max_size=8), st.lists(st.text(max_size=3))), max_size=6),
    st.sampled_from(["bomFormat", "other"]),
)
def test_a_field_of_an_object_is_found_wherever_it_stands(others: dict[str, Any], field: str) -> None:
    document = {key: value for key, value in others.items() if key not in ("spdxVersion", "@context", field)}
    found = kind_of("a", json.dumps({**document, field: "CycloneDX"}).encode())
    assert (found == "cyclonedx-json") == (field == "bomFormat")


@pytest.mark.parametrize(
    "name, part",
    [
        ("model-1.safetensors", "weight"),
        ("pytorch_model.bin", "weight"),
        ("config.json", "weight.config"),
        ("tokenizer.model", "weight.config"),
        ("README.md", "doc"),
        ("LICENSE", "doc"),
        ("modeling.py", "code"),
        ("train.parquet", "dataset"),
    ],
)
def test_a_file_beside_weights_is_a_part_of_the_model(name: str, part: str) -> None:
    assert model_part(name) == f"application/vnd.cncf.model.{part}.v1.raw"


def test_weights_have_a_format() -> None:
    assert [model_format(name) for name in ("a.gguf", "B.SAFETENSORS", "c.bin")] == ["gguf", "safetensors", ""]
