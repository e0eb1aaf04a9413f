"""Names as people type them: a registry without a repository, an address, a file without its scheme."""

import pytest

from cli.failing import USAGE, assert_failed
from cli.place import AMD64, Place
from lading.errors import InvalidReference
from lading.stores.location import parse_location
from support.lading import Lading

COMMANDS = (
    "digest {}",
    "inspect {}",
    "tags {}",
    "tag {} new",
    "tag localhost:1/a {}",
    "copy {} localhost:1/a",
    "copy localhost:1/a {}",
    "pull {}",
    "push docker-archive:x.tar {}",
    "resolve {}",
    "lint {}",
    "delete --yes {}",
    "manifest create {} localhost:1/a",
    "manifest create localhost:1/a {}",
    "manifest inspect {}",
    "manifest push {}",
    "manifest pull {}",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_registry_is_no_image_on_docker_hub(command: str, lading: Lading) -> None:
    said = lading.run(*command.format("localhost:5000").split(), check=False)
    assert_failed(said, USAGE, ["localhost:5000 is a registry", "lading repos localhost:5000"])


@pytest.mark.parametrize(
    "text, registry",
    [
        ("localhost", "localhost"),
        ("localhost:5000", "localhost:5000"),
        ("127.0.0.1:5000", "127.0.0.1:5000"),
        ("10.0.0.5", "10.0.0.5"),
        ("[::1]:5000", "[::1]:5000"),
        ("ghcr.io", "ghcr.io"),
        ("reg.example:443", "reg.example:443"),
        ("reg.example:latest", "reg.example"),
        ("oci://reg.example:443", "reg.example:443"),
    ],
)
def test_what_looks_like_a_registry(text: str, registry: str) -> None:
    with pytest.raises(InvalidReference, match="is a registry") as caught:
        parse_location(text)
    assert (caught.value.code, caught.value.fields) == ("is-registry", {"registry": registry})


@pytest.mark.parametrize("text", ["alpine", "alpine:3.20", "v1.2", "2024.01.01.5-rc", "hello-world", "localhosts:5"])
def test_what_is_an_image_on_docker_hub(text: str) -> None:
    assert parse_location(text).reference is not None


@pytest.mark.parametrize("text", ["x.tar", "images.tar.gz", "image.tgz"])
def test_a_file_has_a_scheme(text: str, lading: Lading) -> None:
    for command in (["copy", "localhost:1/a", text], ["pull", "localhost:1/a", text], ["push", text, "localhost:1/a"]):
        assert_failed(lading.run(*command, check=False), USAGE, [text, f"docker-archive:{text}"])


def test_addresses(place: Place) -> None:
    """As helm and others write it; what has another scheme is shown without it."""
    ref = place.push("a", AMD64)
    assert place.run("digest", f"oci://{ref}").strip() == AMD64.digest
    assert place.run("tags", f"oci://{place.name}").split() == ["a"]
    assert place.run("digest", f"docker://{ref}").strip() == AMD64.digest
    said = place.lading.run("digest", f"https://{ref}", check=False)
    assert_failed(said, USAGE, ["is not a reference", f"without https://, it is {ref}"])
    assert parse_location("oci:///layout:a").path == "///layout"
    said = place.lading.run("repos", place.name, check=False)
    assert_failed(said, USAGE, ["is not a registry", f"name it alone: {place.host}"])
