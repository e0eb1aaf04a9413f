"""Jinja2 templates for `--format`: read, checked against the fields of a document, and filled.

A template is checked before anything is sent: a deed whose answer cannot be printed would look like one that failed.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final, Union

import jinja2
from jinja2 import nodes

from lading.cli.documents import fields_of, inner_document
from lading.errors import LadingError, UsageError
from lading.model.text import json_printable, printable

_Scope = dict[str, Any]
"""The names that a part of a template sees, with their types; `Any` where the type is not known."""


def check(text: str, document: type) -> None:
    """Read a template, and see that each field which it names is one of the document's.

    Raises:
        UsageError: it cannot be read, or names what the document does not have.
    """
    environment, source = _environment(), _source(text)
    try:
        environment.from_string(source)
        tree = environment.parse(source)
    except jinja2.TemplateSyntaxError as error:
        remedy = "templates are Jinja2: {{ digest }}, not {{.Digest}}" if "{{." in text.replace(" ", "") else None
        remedy = remedy or "templates are Jinja2, such as '{{ digest }}'; see the fields with --format json"
        raise UsageError("the template cannot be read", cause=error.message, remedy=remedy) from None
    try:
        _Check(environment, fields_of(document)).see(tree, {})
    except _Misfit as misfit:
        raise UsageError(
            "the template does not fit the document",
            cause=str(misfit),
            remedy=_remedy(misfit.fields or fields_of(document)),
        ) from None


def render(text: str, fields: Mapping[str, Any]) -> str:
    """Fill a template with the fields of a document.

    Raises:
        LadingError: its values are not what the template takes; what the command did is done.
    """
    try:
        return _environment().from_string(_source(text)).render(_values(fields))
    except (jinja2.TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise LadingError(
            "the answer does not fit the template",
            cause=str(error),
            remedy=_remedy(fields),
        ) from None


def _source(text: str) -> str:
    if "{" not in text:
        raise UsageError(
            f"{text!r} is no output format", cause="formats are text, json or a template such as '{{ digest }}'"
        )
    return text.replace("\\n", "\n").replace("\\t", "\t")


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=False)  # noqa: S701  # no HTML
    environment.filters["json"] = environment.filters["tojson"] = _json
    return environment


class _Value(str):
    """A text of a document as a template prints it."""

    __slots__ = ("exact",)
    exact: str


def _values(value: Any) -> Any:
    """A document for a template: in its texts, what is no text is an escape."""
    if isinstance(value, str):
        shown = _Value(printable(value))
        shown.exact = value
        return shown
    if isinstance(value, dict):
        return {_values(key): _values(item) for key, item in value.items()}
    return [_values(item) for item in value] if isinstance(value, list) else value


def _json(value: Any) -> str:
    """The filter `json`: a value as it is in the document."""
    return json_printable(json.dumps(_exact(value), ensure_ascii=False))


def _exact(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_exact(key): _exact(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_exact(item) for item in value]
    return value.exact if isinstance(value, _Value) else value


def _remedy(fields: Iterable[str]) -> str:
    return f"its fields are {', '.join(fields)}; see them all with --format json"


class _Misfit(Exception):
    """What a template names and the document does not have.

    Args:
        cause: what that is.
        fields: what the object that it was looked for in has; empty where that is no object.
    """

    def __init__(self, cause: str, fields: Iterable[str] = ()) -> None:
        super().__init__(cause)
        self.fields = list(fields)


_SAME: Final = ("list", "sort", "reverse", "unique", "select", "reject", "selectattr", "rejectattr")
"""Filters whose result has the type of what they are given."""
_ONE: Final = ("first", "last", "random", "min", "max")
"""Filters that take one of several."""


class _Check:
    """A walk through a template that knows the type of each value as far as the document says it."""

    def __init__(self, environment: jinja2.Environment, fields: Mapping[str, Any]) -> None:
        self._environment = environment
        self._fields = fields

    def see(self, node: nodes.Node, scope: _Scope) -> Any:
        """See that a part of a template names only what there is.

        Args:
            node: the part.
            scope: the names that the template itself has given to values; more are added.

        Returns:
            The type of its value.
        """
        seen = getattr(self, f"_see_{type(node).__name__.lower()}", None)
        if seen is not None:
            return seen(node, scope)
        self._see_all(node.iter_child_nodes(), scope)
        return Any

    def _see_all(self, parts: Iterable[nodes.Node], scope: _Scope) -> None:
        for part in parts:
            self.see(part, scope)

    def _see_name(self, node: nodes.Name, scope: _Scope) -> Any:
        if node.name in scope:
            return scope[node.name]
        if node.name in self._fields:
            return self._fields[node.name]
        if node.name not in self._environment.globals:
            raise _no_such_field(node.name, self._fields)
        return Any

    def _see_const(self, node: nodes.Const, scope: _Scope) -> Any:
        return type(node.value)

    def _see_getattr(self, node: nodes.Getattr, scope: _Scope) -> Any:
        return _member(self.see(node.node, scope), node.attr)

    def _see_getitem(self, node: nodes.Getitem, scope: _Scope) -> Any:
        of = self.see(node.node, scope)
        self.see(node.arg, scope)
        if isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
            return _member(of, node.arg.value)
        return of if isinstance(node.arg, nodes.Slice) else _element(of)

    def _see_filter(self, node: nodes.Filter, scope: _Scope) -> Any:
        if node.name not in self._environment.filters:
            raise _Misfit(_no_such("filter", node.name, self._environment.filters))
        self._see_all([*node.args, *node.kwargs], scope)
        if node.node is None or node.name in ("default", "d"):
            return Any
        of = self.see(node.node, scope)
        attribute = _attribute(node)
        of_attribute = _path(_element(of), attribute) if attribute is not None else Any
        if node.name == "map":
            return list[of_attribute]  # type: ignore[valid-type]
        if node.name in _ONE:
            return _element(of)
        return of if node.name in _SAME else Any

    def _see_test(self, node: nodes.Test, scope: _Scope) -> Any:
        if node.name not in self._environment.tests:
            raise _Misfit(_no_such("test", node.name, self._environment.tests))
        self._see_all([*node.args, *node.kwargs], scope)
        if node.name not in ("defined", "undefined"):
            self.see(node.node, scope)
        return bool

    def _see_for(self, node: nodes.For, scope: _Scope) -> Any:
        inner = scope | {"loop": Any} | _targets(node.target, _element(self.see(node.iter, scope)))
        self._see_all([*([node.test] if node.test is not None else []), *node.body], inner)
        self._see_all(node.else_, scope)

    def _see_assign(self, node: nodes.Assign, scope: _Scope) -> Any:
        scope.update(_targets(node.target, self.see(node.node, scope)))

    def _see_assignblock(self, node: nodes.AssignBlock, scope: _Scope) -> Any:
        self._see_all(node.body, scope)
        scope.update(_targets(node.target, str))

    def _see_with(self, node: nodes.With, scope: _Scope) -> Any:
        inner = dict(scope)
        for target, value in zip(node.targets, node.values, strict=True):
            inner.update(_targets(target, self.see(value, scope)))
        self._see_all(node.body, inner)

    def _see_macro(self, node: nodes.Macro, scope: _Scope) -> Any:
        scope[node.name] = Any
        inner = scope | dict.fromkeys(("caller", "varargs", "kwargs", *(arg.name for arg in node.args)), Any)
        self._see_all(node.body, inner)

    def _see_callblock(self, node: nodes.CallBlock, scope: _Scope) -> Any:
        self.see(node.call, scope)
        self._see_all(node.body, scope | dict.fromkeys((arg.name for arg in node.args), Any))

    def _see_elsewhere(self, node: nodes.Node, scope: _Scope) -> Any:
        raise _Misfit("a template of a command is by itself: it has no others to read")

    _see_include = _see_import = _see_fromimport = _see_extends = _see_elsewhere


def _targets(target: nodes.Node, kind: Any) -> _Scope:
    """The names that a loop or an assignment gives, with their types."""
    if isinstance(target, nodes.Name):
        return {target.name: kind}
    return dict.fromkeys((name.name for name in target.find_all(nodes.Name)), Any)


def _attribute(node: nodes.Filter) -> str | None:
    """The attribute of each element that a filter is about, where it is written down."""
    said = [pair.value for pair in node.kwargs if pair.key == "attribute"]
    if node.name in ("selectattr", "rejectattr", "groupby"):
        said += node.args[:1]
    return said[0].value if said and isinstance(said[0], nodes.Const) and isinstance(said[0].value, str) else None


def _path(kind: Any, names: str) -> Any:
    for name in names.split("."):
        kind = _element(kind) if name.isdigit() else _member(kind, name)
    return kind


def _member(kind: Any, name: str) -> Any:
    """The type of what a value has under a name."""
    found = [_member_of(one, name) for one in _alternatives(kind)]
    there = [one for one in found if not isinstance(one, _Misfit)]
    if not there:
        raise found[0]
    return Union[tuple(there)] if all(one is not Any for one in there) else Any  # noqa: UP007


def _member_of(kind: Any, name: str) -> Any:
    if kind is Any:
        return Any
    document = inner_document(kind)
    if document is not None:
        fields = fields_of(document)
        if name in fields:
            return fields[name]
        return Any if hasattr(dict, name) else _no_such_field(name, fields)
    origin = typing.get_origin(kind) or kind
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _element(kind)
    is_list = isinstance(origin, type) and issubclass(origin, Sequence) and not issubclass(origin, str)
    plain = list if is_list else origin if origin in (int, bool, float) else str
    if hasattr(plain, name):
        return Any
    return _Misfit(f"a {'list' if is_list else 'value that is no object'} has no field {name!r}")


def _element(kind: Any) -> Any:
    """The type of what a list has, or of the values of an object."""
    for one in _alternatives(kind):
        arguments = typing.get_args(one)
        origin = typing.get_origin(one)
        if origin in (list, tuple, Sequence):
            return arguments[0]
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return Any if arguments[1] is object else arguments[1]
    return Any


def _alternatives(kind: Any) -> list[Any]:
    """The types that a value may have, without null."""
    if typing.get_origin(kind) in (types.UnionType, Union):
        return [one for one in typing.get_args(kind) if one is not type(None)] or [Any]
    return [Any if kind is object else kind]


def _no_such_field(name: str, fields: Mapping[str, Any]) -> _Misfit:
    said = _no_such("field", name, fields)
    if "?" not in said:
        for outer, kind in fields.items():
            inner = inner_document(_element(kind))
            if inner is not None and (close := get_close_matches(name, list(fields_of(inner)), n=1)):
                said += f"; each of {outer!r} has {close[0]!r}"
                break
    return _Misfit(said, fields)


def _no_such(what: str, name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, list(known), n=1)
    return f"there is no {what} {name!r}" + (f"; did you mean {close[0]!r}?" if close else "")
