"""What the command line says of each case that the library tells apart: flags and commands that exist, and no other."""

import ast
import inspect
import pickle
import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest

import lading
from lading.cli import lading as root
from lading.cli.extras import install_line
from lading.cli.wording import CAUSES, MESSAGES, NOTES, REMEDIES, WAYS, noted, worded
from lading.errors import LadingError
from lading.transfer.report import Note

REF = "reg.example/app:1"
EXIT_CODES = (Path(__file__).parents[2] / "docs" / "exit-codes.md").read_text()
CREDENTIALS = {"registry": "reg.example", "subject": "reg.example/app"}
TRIED = "      see what was tried: lading auth explain reg.example/app"

SAID: dict[str, tuple[dict[str, Any], str]] = {
    "no-credentials": (CREDENTIALS, f"log in with: lading login reg.example{TRIED}"),
    "credentials-refused": (CREDENTIALS, f"log in again with: lading login reg.example{TRIED}"),
    "credentials-insufficient": (CREDENTIALS, f"log in as somebody who may: lading login reg.example{TRIED}"),
    "credentials-not-shown": (CREDENTIALS, "check the address: lading registry check reg.example"),
    "credentials-failed": (CREDENTIALS | {"remedy": "repair it"}, f"repair it{TRIED}"),
    "aws-extra-missing": (
        {"registry": "reg.example", "command": "aws ecr"},
        f"install it: {install_line('aws')}"
        "      or: aws ecr | lading login --username AWS --password-stdin reg.example",
    ),
    "extra-missing": ({"extra": "serve"}, f"install it: {install_line('serve')}"),
    "aws-credentials-missing": (
        {"registry": "reg.example", "command": "aws ecr"},
        "aws configure, or aws sso login; or: aws ecr | lading login --username AWS --password-stdin reg.example",
    ),
    "no-token": ({"subject": "reg.example"}, "see how access comes about: lading auth explain reg.example"),
    "plain-http": ({}, "if that is intended: --insecure, or insecure = true for this host in lading's config.toml"),
    "untrusted-certificate": (
        {},
        "if the host is trusted: --ca-file, or ca_file = … for this host in lading's config.toml",
    ),
    "invalid-certificate": (
        {},
        "it has to be replaced where the registry runs; to see it: lading registry check HOST",
    ),
    "unverified-certificate": ({}, "--ca-file, or ca_file in lading's config.toml"),
    "certificate-wanted": (
        {},
        "show one: --cert-file and --key-file, or cert_file and key_file in lading's config.toml",
    ),
    "connection-broken": ({}, "try again; --debug shows the requests"),
    "ambiguous-header": (
        {"registry": "reg.example", "header": "X-A"},
        "name it: --header 'reg.example=X-A: …', or headers in lading's config.toml",
    ),
    "is-registry": (
        {"registry": "localhost:5000"},
        "see its repositories: lading repos localhost:5000      or name one: localhost:5000/REPOSITORY",
    ),
    "not-accepted": ({"what": REF}, f"see what is there now: lading inspect {REF}"),
    "no-registry": (
        {"registry": "reg.example"},
        "check its name and its port; see what answers there: lading registry check reg.example",
    ),
    "format-not-accepted": (
        {"what": REF},
        "convert it: lading copy --to docker SRC DST      "
        "or, of a local list: lading manifest annotate --type docker LIST",
    ),
    "repository-missing": ({"command": "aws ecr"}, "--create-repository makes it; or: aws ecr"),
    "repository-not-found": ({"registry": "reg.example"}, "see what there is: lading repos reg.example"),
    "tag-not-removable": ({"reference": REF}, f"to delete the manifest with all its tags: lading delete {REF}"),
    "writing-needed": (
        {"registry": "reg.example", "repository": None},
        "lading registry check reg.example/REPOSITORY --write",
    ),
    "repository-needed": ({"registry": "reg.example"}, "name one: lading registry check reg.example/REPOSITORY"),
    "not-in-a-registry": ({"location": "oci:a"}, "bring it there: lading push oci:a REFERENCE"),
    "read-only-location": (
        {"location": "docker-archive:a", "kind": "docker-archive"},
        "write another: lading copy docker-archive:a docker-archive:FILE",
    ),
    "tag-not-found": ({"store": "oci:a", "nearest": []}, "see them: lading tags oci:a"),
    "damaged-blob": (
        {"store": "oci:a b"},
        "copy it here again, and it is replaced: lading copy --verify SRC 'oci:a b'",
    ),
    "index-in-docker-archive": (
        {},
        "write an oci-archive, or one of its images: lading copy --platform OS/ARCH SRC DST",
    ),
    "draft-not-found": ({"draft": REF}, "see those there are: lading manifest ls"),
    "draft-missing": (
        {"draft": REF},
        f"make one: lading manifest create {REF} IMAGE…      of a pushed one: lading manifest pull {REF}",
    ),
    "draft-exists": ({"draft": REF, "amend": False}, "start over with --replace"),
    "draft-collision": (
        {"draft": REF, "other": "reg.example/app-1"},
        "push and remove the other first: lading manifest push --purge reg.example/app-1",
    ),
    "damaged-draft": ({"file": "a"}, "make the list anew: lading manifest create --replace LIST IMAGE…"),
    "empty-draft": ({"draft": REF}, f"add some: lading manifest add {REF} IMAGE…"),
    "entry-not-found": ({"draft": REF, "image": "b"}, f"see them: lading manifest inspect {REF}"),
    "entry-not-kept": ({"reference": REF}, f"read it from the registry: lading manifest inspect {REF}"),
    "entries-missing": (
        {"draft": REF, "entries": ["reg.example/app:2"]},
        f"look it up again: lading manifest create --amend {REF} reg.example/app:2",
    ),
    "platform-unknown": (
        {"draft": REF, "entry": "reg.example/app:2"},
        f"say it: lading manifest annotate --os OS --arch ARCH {REF} reg.example/app:2",
    ),
    "child-missing": ({}, "choose the platforms that are there: --platform OS/ARCH"),
    "not-an-index": ({"reference": REF}, f"make a list of it: lading manifest create NAME {REF}"),
    "docker-list-loses": (
        {"draft": REF, "attestations": True},
        f"make it an OCI index: lading manifest create --type oci {REF} IMAGE…      "
        f"or, of a list that is there: lading manifest annotate --type oci {REF}",
    ),
    "ambiguous-index-entry": ({"index": REF}, f"see them: lading index ls {REF}"),
    "docker-index-loses": (
        {"index": REF, "case": "docker", "attestations": True},
        f"make it an OCI index: lading index annotate --type oci {REF}      "
        f"or leave them out: lading index add --no-attestations {REF} SOURCE",
    ),
    "duplicate-platform": (
        {"index": REF},
        "to list both: --allow-duplicate-platforms      "
        f"to replace the one that is listed: lading index add --replace {REF} SOURCE",
    ),
    "in-place-without-tag": ({"location": REF}, "name the tag, or say where the result goes with -t TARGET"),
    "drop-not-in-place": ({}, "add --in-place"),
    "in-place-and-elsewhere": ({}, "leave out -t, and copy the result: lading copy SRC DST"),
    "index-edited-as-artifact": (
        {"reference": REF},
        f"to annotate the index: lading index annotate {REF} --index-annotation KEY=VALUE      "
        "or name one of its entries by its digest",
    ),
    "index-empty": ({"index": REF}, f"delete it instead: lading delete {REF}"),
    "index-entry-not-found": ({"index": REF}, f"see them: lading index ls {REF}"),
    "is-no-index": ({"reference": REF}, f"make an index of it: lading index create NAME {REF}"),
    "source-of-several-entries": ({"source": REF}, "choose one by its digest, or with --platform OS/ARCH"),
    "by-digest-and-tags": ({}, "leave out --by-digest, or the tag"),
    "index-incomplete": ({}, "copy the platforms that are there: lading copy --platform OS/ARCH SRC DST"),
    "zstd-for-docker": ({"instead": "the format oci"}, "add --to oci"),
    "no-archive": ({"file": "a.txt"}, "to put the file itself into the image: a.txt:/PATH"),
    "zstd-layer-for-docker": (
        {"reference": REF},
        "use --compression gzip, or convert the image first: lading copy --to oci SRC DST",
    ),
    "holds-no-referrers": ({}, "leave out --referrers, or write an oci-archive"),
    "index-of-artifacts": (
        {"reference": "oci:a:1"},
        "choose one of its entries: --platform OS/ARCH      or by its digest: lading index ls oci:a:1",
    ),
    "no-artifact-type": ({}, "say what it is: --artifact-type TYPE, such as application/spdx+json"),
    "no-artifact-index": (
        {"reference": REF},
        f"choose another tag for the index; see what is there: lading inspect {REF}",
    ),
    "index-without-platform": ({}, "say which: --platform OS/ARCH"),
    "index-by-digest": ({}, "leave out --by-digest"),
    "entry-of-another-type": (
        {"index": REF, "digest": "sha256:abc"},
        f"take it out first: lading index remove {REF} sha256:abc",
    ),
    "no-title": ({}, "write TITLE=FILE, such as notes/a.txt=../a.txt"),
    "titles-clash": ({}, "give one of them another title: TITLE=FILE"),
    "several-repositories": (
        {"first": "reg.example/app"},
        "say where each goes: --map reg.example/app=REPOSITORY      "
        "or name a namespace for all, with a slash at its end",
    ),
    "several-files": ({}, "choose one: --title PATTERN"),
    "bad-title": ({}, "give it another path: --rename TITLE=PATH"),
    "paths-clash": ({}, "give one of them another path: --rename TITLE=PATH"),
    "image-not-artifact": (
        {"reference": "oci:a:1"},
        "write its files: lading image export oci:a:1 FOLDER/      or its layers: --media-type '*'",
    ),
    "nothing-to-attach": ({}, "give a FILE, or --annotation KEY=VALUE"),
    "no-referrer": ({"reference": "oci:a:1"}, "see what is: lading artifact ls oci:a:1"),
    "several-referrers": (
        {"reference": "oci:a:1"},
        "take the newest with --latest, or see them, and choose one: lading artifact ls oci:a:1",
    ),
    "no-newest": (
        {"reference": "oci:a:1"},
        "see them, and choose one by its digest: lading artifact ls oci:a:1",
    ),
    "no-such-file": ({"reference": "oci:a:1"}, "see what there is: lading manifest get oci:a:1"),
    "no-platform": ({}, "choose one of those with --platform"),
    "tag-dangling": ({}, "to go on with the others all the same: --keep-going"),
    "no-tags-to-copy": ({"store": "oci:a"}, "see them: lading tags oci:a"),
    "names-of-one-tag": (
        {"store": "oci:a", "names": ["b:1", "c:1"], "first": "oci:a:b:1"},
        "copy each under a tag of its own: lading copy oci:a:b:1 REPOSITORY:TAG",
    ),
    "patterns-of-one-tag": ({}, "add --all-tags"),
    "sparse-without-platforms": ({}, "say which with --platform"),
    "types-without-referrers": ({}, "add --referrers"),
    "no-base": ({"reference": REF}, f"say which: lading image check-base {REF} --base REF"),
    "no-base-digest": ({"reference": REF}, f"say which: lading image check-base {REF} --digest DIGEST"),
    "no-base-stated": ({}, "name the bases: --old-base OLD --new-base NEW"),
    "not-its-base": (
        {},
        "name what it was built on, by its digest where the tag has moved: --old-base NAME@DIGEST",
    ),
    "base-not-for-docker": ({}, "make it an OCI image first: lading copy --to oci REF TARGET"),
    "docker-has-no-place": ({}, "make it an OCI image first: lading copy --to oci REF TARGET"),
    "docker-schema-1": (
        {},
        "push the image again with a current client, or convert it with skopeo copy --format v2s2",
    ),
    "docker-list-annotations": ({}, "make it an OCI index: lading manifest annotate --type oci LIST"),
}
"""For each code the fields that an error has, and what is to be done about it."""


@pytest.mark.parametrize("code", REMEDIES)
def test_what_is_to_be_done(code: str) -> None:
    fields, said = SAID[code]
    lines = worded(LadingError("it failed", remedy="in other words", code=code, fields=fields))
    assert (lines[0], lines[-1]) == (MESSAGES.get(code, "it failed"), said)


def test_every_error_has_a_way_on() -> None:
    """Of every kind and every case, also where the library knows nothing to be done."""
    kinds = [kind for kind in vars(lading.errors).values() if isinstance(kind, type) and issubclass(kind, LadingError)]
    assert len(kinds) > 15
    codes = set(re.findall(r"`([a-z-]+)`", EXIT_CODES.partition("## Codes of errors")[2].partition("A copy")[0]))
    for kind in kinds:
        for code in (None, *codes):
            fields = {"reference": REF, "image": REF} | (SAID[code][0] if code in SAID else {})
            message, *_, way = worded(kind("it failed", code=code, fields=fields))
            assert message == MESSAGES.get(code or "", "it failed")
            assert way not in (message, CAUSES.get(code or "")), (kind, code)
    cases = {"manifest-not-found", "path-not-found", "layer-not-found", "malformed-layer", "too-large-layer"}
    assert set(WAYS) == {kind.code for kind in kinds} - {"tls"} | cases


def test_what_is_known_of_a_case_comes_first() -> None:
    assert worded(LadingError("it failed", cause="so", remedy="do", code="other")) == ["it failed", "so", "do"]


def test_an_explanation_is_pointed_to_where_there_is_one() -> None:
    given = LadingError("no", remedy="do", code="credentials-refused", fields=CREDENTIALS | {"subject": None})
    assert worded(given)[-1] == "log in again with: lading login reg.example"
    other = LadingError("no", remedy="do", code="credentials-failed", fields=CREDENTIALS | {"remedy": None})
    assert worded(other)[-1] == f"log in again with: lading login reg.example{TRIED}"
    near = LadingError("no", remedy="the nearest: b", code="tag-not-found", fields={"nearest": ["b"]})
    assert worded(near)[-1] == "the nearest: b"


def test_what_docker_says_of_a_list_that_is_there() -> None:
    given = LadingError("it is there", remedy="do", code="draft-exists", fields={"draft": REF, "amend": True})
    assert worded(given)[1:] == [
        "refusing to amend an existing manifest list with no --amend flag",
        "extend it with --amend, or start over with --replace",
    ]
    entry = LadingError("no", remedy="do", code="draft-not-found", fields={"draft": REF, "image": "reg.example/b"})
    assert worded(entry)[1:] == [
        "see them: lading manifest ls      in the registry: lading manifest inspect reg.example/b"
    ]


def test_notes() -> None:
    def told(**fields: Any) -> str:
        return noted(Note("in other words", "referrers-left-behind", {"what": "2 referrers", "holder": None} | fields))

    assert told(count=2) == "2 referrers stayed behind: --referrers brings them along"
    assert told(count=1).endswith("--referrers brings it along")
    assert told(count=1, holder="a.tar") == "in other words"
    source = Note("in other words", "sources-referrers-left-behind", {"what": "1 referrer", "count": 1})
    assert noted(source) == "1 referrer stayed behind: --referrers copy brings it along"
    referred = noted(Note("in other words", "referrers-of-original", {"reference": "a", "count": 2}))
    assert referred.startswith("2 referrers of a, such as signatures, refer to it as it was")
    assert "--referrers copy" in referred
    entries = Note("in other words", "entries-left-behind", {"what": "1 of the 2 entries of a"})
    assert noted(entries) == (
        "1 of the 2 entries of a stayed behind: of what is in a registry, only --verify brings them later"
    )
    assert noted("a note without a code") == "a note without a code"
    again = pickle.loads(pickle.dumps(entries))
    assert (again, again.code, again.fields) == (entries, entries.code, entries.fields)


def test_the_library_has_every_case() -> None:
    """No words are kept for a case that no longer is."""
    assert set(MESSAGES) | set(NOTES) | set(CAUSES) | set(REMEDIES) <= texts_of_the_library()


def test_what_is_named_is_there() -> None:
    """Every command and every flag in what the command line says."""
    flags = {flag for command in every_command(root) for param in command.params for flag in param.opts}
    for code, (_, said) in SAID.items():
        for words in re.findall(r"lading ((?:[a-z]+ ?)+)", said):
            command: click.Command = root
            for word in shlex.split(words):
                found = command.get_command(click.Context(command), word) if isinstance(command, click.Group) else None
                if found is None:
                    break
                command = found
            assert command is not root, code
        assert set(re.findall(r"(?<!\S)--[a-z-]+", said)) - {"--format"} <= flags, code


def every_command(command: click.Command) -> list[click.Command]:
    if not isinstance(command, click.Group):
        return [command]
    context = click.Context(command)
    inner = [command.get_command(context, name) for name in command.list_commands(context)]
    return [command, *(found for one in inner if one is not None for found in every_command(one))]


def texts_of_the_library() -> set[str]:
    """Every text in the library that stands by itself."""
    package = Path(inspect.getfile(lading)).parent
    return {
        node.value
        for path in package.rglob("*.py")
        if "cli" not in path.relative_to(package).parts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
