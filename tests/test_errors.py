"""What every error carries, and keeps wherever it is sent."""

import copy
import inspect
import pickle

import pytest

from lading import errors
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
