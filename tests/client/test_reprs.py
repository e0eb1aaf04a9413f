"""What values are called in a debugger or a notebook: one line, and no bytes."""

from pathlib import Path

import pytest

from lading import AsyncClient
from lading.images.lint.gather import gather_facts
from lading.store import fetch_manifest
from support.images import make_image, make_index, push
from support.registry import RealRegistry

AMD64 = make_image("linux/amd64", kind="oci")
ARM64 = make_image("linux/arm64/v8", kind="oci")
INDEX = make_index([AMD64, ARM64], kind="oci")


def short(digest: str) -> str:
    return digest.partition(":")[2][:12]


async def test_everything_fits_on_a_line(
    registry: RealRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    push(registry.host, "reprs", "1.0", INDEX)
    push(registry.host, "reprs", "1.0-amd64", AMD64)
    app = f"{registry.host}/reprs"
    async with AsyncClient() as client:
        store = client.connect(app)
        overview = await client.inspect(f"{app}:1.0")
        resolution = await client.resolve(f"{app}:1.0", platform="linux/arm64")
        copied = await client.copy(f"{app}:1.0", f"{app}-copy:1.0", dry_run=True)
        created = await client.drafts.create(f"{app}:list", [f"{app}:1.0-amd64"])
        pushed = await client.drafts.push(f"{app}:list", dry_run=True)
        (status,) = await client.drafts.status([created.draft])
        (info,) = await client.tags(app, include="1.0", digests=True)
        (change,) = await client.tag(f"{app}:1.0", "1.0-amd64", dry_run=True)
        index = await fetch_manifest(store, "1.0")
        facts = await gather_facts(app, index, lambda _: store)
        expected: list[tuple[object, str]] = [
            (index, f"<Index {short(INDEX.digest)} oci 2 platforms {index.size} B>"),
            (overview, f"<Overview {app}:1.0 {short(INDEX.digest)} index of 2 "),
            (resolution, f"<Resolution {app}:1.0 linux/arm64 4 clients>"),
            (resolution.selections[0], f"<Selection docker@29.7.2+containerd taken {short(ARM64.digest)}>"),
            (copied, "<CopyReport 1 image "),
            (created, f"<CreatedDraft draft=<Draft {app}:list 1 entry> changes=1"),
            (created.draft, f"<Draft {app}:list 1 entry>"),
            (created.draft.entries[0], f"<DraftEntry {app}:1.0-amd64 {short(AMD64.digest)} linux/amd64>"),
            (pushed, f"<PushedDraft {app}:list@sha256:"),
            (status, "<DraftStatus "),
            (info, f"<TagInfo tag=1.0 digest={short(INDEX.digest)} media_type={INDEX.media_type}>"),
            (change, f"<TagChange reference={app}:1.0-amd64 digest={short(INDEX.digest)} state=moved previous="),
            (facts, f"<Facts {app} "),
            (facts.parts[0], f"<Part <Descriptor {short(AMD64.digest)}"),
            (await client.config(f"{app}:1.0-amd64"), "<ImageConfig linux/amd64 "),
        ]
    for value, beginning in expected:
        assert repr(value).startswith(beginning), repr(value)
        assert len(repr(value)) <= 140
        assert "b'" not in repr(value)
        assert "\n" not in repr(value)
