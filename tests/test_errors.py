"""What every error carries, and keeps wherever it is sent."""

import ast
import copy
import inspect
import pickle
import re
from pathlib import Path

import pytest

import lading
from lading import errors
from lading.cli.wording import CAUSES, MESSAGES, NOTES, REMEDIES
from lading.errors import LadingError, NotFound, UsageError
from lading.registry.http import transport

KINDS = [
    kind
    for module in (errors, transport)
    for _, kind in inspect.getmembers(module, inspect.isclass)
    if issubclass(kind, LadingError)
]


def made(kind: type[LadingError]) -> LadingError:
    error = kind(
        "it failed",
        cause="because",
        remedy="try again",
        code="a-case",
        fields={"tags": ["a", "b"], "digest": None},
        status=404,
        registry_code="MANIFEST_UNKNOWN",
    )
    error.retry_after = 2.5
    return error


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_keeps_everything(kind: type[LadingError]) -> None:
    error = made(kind)
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(other) is kind
        assert vars(other) == vars(error)
        assert (str(other), repr(other)) == (str(error), repr(error))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_code(kind: type[LadingError]) -> None:
    assert kind("it failed").code == kind.code != "a-case"
    assert made(kind).code == "a-case"


def test_a_repr_is_one_line() -> None:
    assert repr(NotFound("a\nb was not found")) == r"NotFound('a\nb was not found', code='not-found')"


def test_what_was_given_is_repeated_without_passwords() -> None:
    secret = "https://me:s3cret@reg.example/app"
    error = UsageError(f"{secret} is wrong", cause=secret, remedy=secret, fields={"location": secret, "count": 3})
    assert "s3cret" not in f"{error!r}{error}{error.remedy}{error.fields}"
    assert error.fields == {"location": "https://***@reg.example/app", "count": 3}


@pytest.mark.parametrize(
    "text", ["u:s3cret@reg.example/a:v", "u:s3/cret@reg.example:5000/a:v", "https://u:s3/cr/et@reg.example/a"]
)
def test_a_login_before_a_host_is_none_that_is_repeated(text: str) -> None:
    assert "s3" not in str(UsageError(f"'{text}' is not a reference"))


@pytest.mark.parametrize(
    "text",
    [
        "expected http://[USER:PASSWORD@]HOST[:PORT]",
        f"reg.example:5000/app@sha256:{'1' * 64}",
        "localhost:5000/a@latest",
        "docker-archive:two.tar:@1",
        "oci:dir/a@b/c:v",
    ],
)
def test_what_is_no_login_is_left_as_it_is(text: str) -> None:
    assert str(UsageError(text)) == text


OTHER_PROGRAMS = {
    # Commands of AWS, arguments of Docker and podman, what a client prints, names that lading's registry calls itself.
    "images/lint/codes.py",
    "model/selection/c_image.py",
    "registry/auth/aws.py",
    "registry/quirks.py",
    "serve/auth/tokens.py",
    "serve/server.py",
    "stores/docker/engine.py",
}


def test_the_library_names_no_flags_and_no_commands() -> None:
    package = Path(inspect.getfile(lading)).parent
    named = re.compile(r"(?<![\w-])--[a-z][a-z-]+|\blading (auth|copy|delete|inspect|lint|login|manifest|push|tags?) ")
    for path in package.rglob("*.py"):
        name = path.relative_to(package).as_posix()
        if name.startswith("cli/") or name in {"quick.py", *OTHER_PROGRAMS}:
            continue
        tree = ast.parse(path.read_text())
        docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
                assert not named.search(node.value), f"{name}:{node.lineno}: {node.value}"


def test_findings_name_no_commands() -> None:
    from lading.images.lint import CODES

    assert not [code.code for code in CODES.values() if "lading " in code.remedy]


def test_every_code_is_written_down() -> None:
    package = Path(inspect.getfile(lading)).parent
    page = (Path(__file__).parents[1] / "docs" / "exit-codes.md").read_text().partition("## Codes of errors")[2]
    written = set(re.findall(r"`([a-z]+(?:-[a-z0-9]+)*)`", page)) - {"code", "fields", "nearest", *FIELDS}
    given = {kind.code for kind in KINDS} | set(MESSAGES) | set(CAUSES) | set(REMEDIES) | set(NOTES)
    texts = set()
    for path in package.rglob("*.py"):
        name = path.relative_to(package).as_posix()
        if name.startswith(("cli/", "images/lint/")):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "code" and isinstance(node.value, ast.Constant):
                if not (name.startswith("serve/") and str(node.value.value).isupper()):  # which is the protocol's own
                    given.add(str(node.value.value))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.add(node.value)
    assert given - EXAMINED <= written
    assert written <= texts


FIELDS = {"reference", "registry", "repository", "digest", "platform"}
EXAMINED = {"unverified-certificate", "writing-needed", "repository-needed"}
"""Cases of what an examination of a registry finds, which are no errors."""
