"""What may have been meant by a name that a registry or a layout does not have."""

from pathlib import Path

import pytest

from lading import AsyncClient, NotFound
from support.images import make_image, push
from support.registry import RealRegistry


async def test_a_tag_that_is_not_there(client: AsyncClient, registry: RealRegistry, repository: str) -> None:
    for tag in ("1.4", "1.4.1", "latest"):
        push(registry.host, repository, tag, make_image())
    reference = f"{registry.host}/{repository}:1.5"
    for look in (client.digest, client.get):
        with pytest.raises(NotFound) as caught:
            await look(reference)
        assert caught.value.code == "manifest-not-found"
        assert caught.value.fields["reference"] == reference
    found = await client.suggest_tags(reference)
    assert (found.repository, found.count) == (f"{registry.host}/{repository}", 3)
    assert found.nearest == ["1.4", "1.4.1"]
    assert (await client.suggest_tags(reference, count=1)).nearest == ["1.4"]


async def test_a_repository_that_is_not_there(client: AsyncClient, registry: RealRegistry, repository: str) -> None:
    with pytest.raises(NotFound) as caught:
        await client.suggest_tags(f"{registry.host}/{repository}:1")
    assert caught.value.code == "repository-not-found"
    assert caught.value.fields["registry"] == registry.host
    assert caught.value.fields["repository"] == repository


async def test_a_tag_that_a_layout_lacks(
    client: AsyncClient, registry: RealRegistry, repository: str, tmp_path: Path
) -> None:
    push(registry.host, repository, "1.0", make_image())
    await client.copy(f"{registry.host}/{repository}:1.0", f"oci:{tmp_path}/layout:1.0")
    with pytest.raises(NotFound) as caught:
        await client.digest(f"oci:{tmp_path}/layout:1.1")
    assert (caught.value.code, caught.value.fields["nearest"]) == ("tag-not-found", ["1.0"])
    assert (await client.suggest_tags(f"oci:{tmp_path}/layout:1.1")).nearest == ["1.0"]
