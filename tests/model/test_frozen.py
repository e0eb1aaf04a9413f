"""A dict of an immutable value is a dict that does not change."""

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from lading.model.descriptor import Descriptor
from lading.model.frozen import FrozenDict, frozen


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one.__setitem__("a", 2),
        lambda one: one.__delitem__("a"),
        lambda one: one.__ior__({"a": 2}),
        lambda one: one.clear(),
        lambda one: one.pop("a"),
        lambda one: one.popitem(),
        lambda one: one.setdefault("b", 2),
        lambda one: one.update(a=2),
    ],
)
def test_it_refuses_changes(change: Callable[[FrozenDict[str, int]], Any]) -> None:
    one = frozen({"a": 1})
    with pytest.raises(TypeError, match="does not change"):
        change(one)
    assert one == {"a": 1}


def test_it_is_a_dict() -> None:
    source = {"a": 1}
    one = frozen(source)
    source["b"] = 2
    assert one == {"a": 1}
    assert json.dumps(one) == '{"a": 1}'
    assert frozen(one) is one
    for other in (one | {"b": 2}, {"b": 2} | one, dict(one)):
        assert type(other) is dict
    for same in (copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert same == one
        assert type(same) is FrozenDict


def test_what_a_descriptor_says_does_not_change() -> None:
    said = {"a": "b"}
    one = Descriptor.of(b"", "application/x")
    other = Descriptor(
        media_type="application/x", digest=one.digest, size=0, annotations=said, extra={"platform": {"x": 1}}
    )
    said["c"] = "d"
    assert other.annotations == {"a": "b"}
    for descriptor in (one, other, Descriptor.from_document(other.to_document())):
        for held in (descriptor.annotations, descriptor.extra):
            with pytest.raises(TypeError, match="does not change"):
                held["c"] = "d"  # type: ignore[index]
        assert pickle.loads(pickle.dumps(descriptor)) == copy.deepcopy(descriptor) == descriptor
