"""Access rules: which users may do what in which repositories.

This module knows users, repositories and actions by name, and nothing of requests or passwords.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from lading.arguments import several
from lading.errors import UsageError
from lading.serve.reloaded_file import Watched

ANONYMOUS = "anonymous"
"""In a rule: every client, logged in or not."""
EVERYBODY = "*"
"""In a rule: every user that has logged in."""
ACTIONS = ("pull", "push", "delete")
"""What may be done with a repository. Permission to push includes permission to pull: clients look before they push."""

_FORM = "a rule is USER:REPOSITORIES:ACTIONS, such as 'ci:team/*:pull,push'"


class Need(NamedTuple):
    """One thing that a request does (distribution's token authentication, `scope`)."""

    kind: str
    """`repository` or `registry`."""
    name: str
    """Of the repository; `catalog` of the registry."""
    action: str
    """`pull`, `push` or `delete`; `*` with the catalog."""


CATALOG = Need("registry", "catalog", "*")
"""Listing the repositories: allowed to every client that is allowed anything. It sees those that it may pull from."""


class Caller(NamedTuple):
    """The client that sent a request."""

    user: str | None = None
    """None for a client that has not logged in."""
    granted: frozenset[Need] | None = None
    """What its token allows; None where it may do all that the rules allow its user."""


class Rule(NamedTuple):
    """What one user, or a group of them, may do in some repositories."""

    user: str
    repositories: str
    actions: frozenset[str]

    def is_for(self, user: str | None) -> bool:
        """Whether it is about a user; None for a client that has not logged in."""
        return self.user == ANONYMOUS or (user is not None and self.user in {EVERYBODY, user})


class Rules:
    """The access rules of a registry: what no rule allows is refused.

    Args:
        texts: rules `USER:REPOSITORIES:ACTIONS`, or `@FILE` with such rules as its lines, which may change at any
            time. Without any rule, every user that has logged in may do everything.

    Raises:
        UsageError: one cannot be read.
    """

    def __init__(self, texts: Sequence[str] | str) -> None:
        self._sources = [_source(text) for text in several(texts) or (f"{EVERYBODY}:*:*",)]

    def permits(self, user: str | None, need: Need) -> bool:
        """Whether a user may do something."""
        if need == CATALOG:
            return user is not None or self.for_anybody
        return need.kind == "repository" and need.action in self.actions(user, need.name)

    def actions(self, user: str | None, repository: str) -> set[str]:
        """What a user may do in a repository."""
        return {
            action
            for rules in self._sources
            for rule in rules()
            if rule.is_for(user) and fnmatchcase(repository, rule.repositories)
            for action in rule.actions
        }

    @property
    def for_anybody(self) -> bool:
        """Whether a client that has not logged in may do anything."""
        return any(rule.user == ANONYMOUS for rules in self._sources for rule in rules())


def parse_rule(text: str) -> Rule:
    """Read `USER:REPOSITORIES:ACTIONS`.

    Raises:
        UsageError: it has another form.
    """
    parts = text.strip().split(":")
    if len(parts) != 3 or not all(parts):
        raise UsageError(f"{text!r} is not a rule", remedy=_FORM)
    user, repositories, named = parts
    actions = {action.strip() for action in named.split(",")}
    unknown = sorted(actions - {*ACTIONS, "*"})
    if unknown:
        raise UsageError(
            f"{unknown[0]!r} in the rule {text!r} is no action", remedy="actions are pull, push, delete, *"
        )
    if "*" in actions:
        actions = set(ACTIONS)
    if "push" in actions:
        actions.add("pull")
    return Rule(user, repositories, frozenset(actions))


def _source(text: str) -> Callable[[], Sequence[Rule]]:
    if text.startswith("@"):
        file = Watched(text[1:], _parse_file)
        return lambda: file.value
    rules = [parse_rule(text)]
    return lambda: rules


def _parse_file(text: str, name: str) -> Sequence[Rule]:
    rules = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                rules.append(parse_rule(line))
            except UsageError as error:
                raise UsageError(f"line {number} of {name}: {error.message}", remedy=error.remedy) from None
    return rules
