"""Edits of configs as options: what is typed becomes an edit."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lading.cli.editing import EditOption, key_value
from lading.cli.times import moment, times

if TYPE_CHECKING:
    from lading.images.edits.annotations import Scope
    from lading.images.edits.edit import Edit

F = TypeVar("F", bound=Callable[..., Any])
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}


def first_options(function: F) -> F:
    """Add the edits that come first in the help of an `EditCommand`: labels, variables, annotations."""
    return _added(function, _FIRST, is_rare=False)


def daily_options(function: F) -> F:
    """Add the edits of configs that are wanted every day to an `EditCommand`."""
    return _added(function, _DAILY, is_rare=False)


def removal_options(function: F) -> F:
    """Add the edits that take labels, variables and annotations away."""
    return _added(function, _REMOVALS, is_rare=False)


def rare_options(function: F) -> F:
    """Add the others."""
    return _added(function, _RARE, is_rare=True)


def _added(function: F, table: tuple[tuple[str, Callable[[str], Edit], str, str], ...], *, is_rare: bool) -> F:
    for name, make, metavar, text in reversed(table):
        kind: dict[str, Any] = {"metavar": metavar} if metavar else {"is_flag": True}
        function = click.option(name, cls=EditOption, make=make, help=text, is_rare=is_rare, **kind)(function)
    return function


# Arguments


def arguments(text: str, option: str) -> tuple[str, ...] | str:
    """A command as a Dockerfile has it: a JSON array of arguments, or a text for a shell.

    Args:
        text: what was typed.
        option: what the option is called.
    """
    if not text.strip():
        raise click.UsageError(f"{option}: a command without arguments is none; --clear takes one away")
    if not text.lstrip().startswith("["):
        return text
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, list) or not found or not all(isinstance(one, str) for one in found):
        raise click.UsageError(
            f"{option}: {text!r} begins as a JSON array, and is none of texts, such as "
            '["sleep","1"]; a command for a shell that begins so is written ["/bin/sh","-c","[ … ]"]'
        )
    return tuple(found)


def _entrypoint(text: str) -> Edit:
    from lading.images.edits.container import SetEntrypoint

    return SetEntrypoint(arguments(text, "--entrypoint"))


def _more_entrypoint(text: str) -> Edit:
    from lading.images.edits.container import SetEntrypoint

    return SetEntrypoint(_listed(text, "--append-entrypoint"), append=True)


def _cmd(text: str) -> Edit:
    from lading.images.edits.container import SetCommand

    return SetCommand(arguments(text, "--cmd"))


def _more_cmd(text: str) -> Edit:
    from lading.images.edits.container import SetCommand

    return SetCommand(_listed(text, "--append-cmd"), append=True)


def _listed(text: str, option: str) -> tuple[str, ...]:
    """A JSON array of arguments, or one argument."""
    found = arguments(text, option)
    return (found,) if isinstance(found, str) else found


def _shell(text: str) -> Edit:
    from lading.images.edits.container import SetShell

    found = arguments(text, "--shell")
    if isinstance(found, str):
        raise click.UsageError(f'--shell: {text!r} is no JSON array such as ["/bin/bash","-c"]')
    return SetShell(found)


def _onbuild(text: str) -> Edit:
    from lading.images.edits.container import SetOnBuild

    return SetOnBuild((text,), append=True)


# How a container runs


def _user(text: str) -> Edit:
    from lading.images.edits.container import SetUser

    return SetUser(text)


def _workdir(text: str) -> Edit:
    from lading.images.edits.container import SetWorkdir

    return SetWorkdir(text)


def _hostname(text: str) -> Edit:
    from lading.images.edits.container import SetHostname

    return SetHostname(text)


def _port(text: str) -> Edit:
    from lading.images.edits.container import SetPort

    return SetPort(text)


def _no_port(text: str) -> Edit:
    from lading.images.edits.container import SetPort

    return SetPort(text, present=False)


def _volume(text: str) -> Edit:
    from lading.images.edits.container import SetVolume

    return SetVolume(text)


def _no_volume(text: str) -> Edit:
    from lading.images.edits.container import SetVolume

    return SetVolume(text, present=False)


def _stop_signal(text: str) -> Edit:
    from lading.images.edits.container import SetStopSignal

    return SetStopSignal(text)


def _stop_timeout(text: str) -> Edit:
    from lading.images.edits.container import SetStopTimeout

    return SetStopTimeout(round(_seconds(text, "--stop-timeout")))


def _args_escaped(text: str) -> Edit:
    from lading.images.edits.container import SetArgsEscaped

    if text not in ("true", "false"):
        raise click.UsageError(f"--args-escaped: {text!r} is not true or false")
    return SetArgsEscaped(text == "true")


def _health(field: str) -> Callable[[str], Edit]:
    option = f"--health-{field.replace('_', '-')}"

    def make(text: str) -> Edit:
        from lading.images.edits.container import SetHealthcheck

        if field == "cmd":
            return SetHealthcheck(test=arguments(text, option))
        if field == "retries":
            if not (text.isdecimal() and text.isascii()):
                raise click.UsageError(f"{option}: {text!r} is no number")
            return SetHealthcheck(retries=int(text))
        times: dict[str, Any] = {field: _seconds(text, option)}
        return SetHealthcheck(**times)

    return make


def _no_health(_: str) -> Edit:
    from lading.images.edits.container import SetHealthcheck

    return SetHealthcheck(test=())


def _seconds(text: str, option: str) -> float:
    """A length of time as Go writes it, such as `1m30s`; without a unit, in seconds."""
    if re.fullmatch(r"[0-9]{1,9}", text):
        return int(text)
    parts = re.findall(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ns|us|µs|ms|s|m|h)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise click.UsageError(f"{option}: {text!r} is no length of time such as 30s or 1m30s")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


# What the config says of the image


def _author(text: str) -> Edit:
    from lading.images.edits.config import SetAuthor

    return SetAuthor(text)


def _platform(text: str) -> Edit:
    from lading.images.edits.config import SetPlatform
    from lading.model.platform import Platform

    return SetPlatform(Platform.parse(text))


def _os_version(text: str) -> Edit:
    from lading.images.edits.config import SetOsVersion

    return SetOsVersion(text)


def _os_feature(text: str) -> Edit:
    from lading.images.edits.config import SetOsFeature

    return SetOsFeature(text)


def _no_os_feature(text: str) -> Edit:
    from lading.images.edits.config import SetOsFeature

    return SetOsFeature(text, present=False)


def _created(text: str) -> Edit:
    from lading.images.edits.times import SetCreated

    return SetCreated(moment(text, "--created"))


def _config_time(text: str) -> Edit:
    return _times(text, "--config-time", only_later=False)


def _config_time_max(text: str) -> Edit:
    return _times(text, "--config-time-max", only_later=True)


def _times(text: str, option: str, *, only_later: bool) -> Edit:
    from lading.images.edits.times import SetConfigTimes

    time, after, more = times(text, option, only_later=only_later)
    return SetConfigTimes(time=time, after=after, **more)


def _no_buildarg(text: str) -> Edit:
    from lading.images.edits.history import RemoveBuildArg

    name, equals, value = text.partition("=")
    if not equals:
        return RemoveBuildArg(name)
    return RemoveBuildArg(name, value.removeprefix("re:"), is_pattern=value.startswith("re:"))


def _clear(field: str) -> Edit:
    from lading.images.edits import config, container, times

    edits: dict[str, Edit] = {
        "entrypoint": container.SetEntrypoint(None),
        "cmd": container.SetCommand(None),
        "user": container.SetUser(None),
        "workdir": container.SetWorkdir(None),
        "hostname": container.SetHostname(None),
        "stop-signal": container.SetStopSignal(None),
        "stop-timeout": container.SetStopTimeout(None),
        "healthcheck": container.RemoveHealthcheck(),
        "shell": container.SetShell(None),
        "onbuild": container.SetOnBuild(None),
        "args-escaped": container.SetArgsEscaped(None),
        "author": config.SetAuthor(None),
        "os-version": config.SetOsVersion(None),
        "created": times.SetCreated(None),
    }
    if field not in edits:
        raise click.UsageError(f"--clear: {field!r} is none of {', '.join(edits)}")
    return edits[field]


# Annotations


def _label_to_annotation(_: str) -> Edit:
    from lading.images.edits.annotations import LabelsToAnnotations

    return LabelsToAnnotations()


def _promote(_: str) -> Edit:
    from lading.images.edits.annotations import PromoteAnnotations

    return PromoteAnnotations()


def _base(text: str) -> Edit:
    from lading.images.edits.annotations import SetBase

    name, at, digest = text.rpartition("@")
    if not at:
        raise click.UsageError(f"--base: {text!r} is not NAME@DIGEST")
    return SetBase(name, digest)


def label(text: str) -> Edit:
    """`KEY=VALUE` as a label."""
    from lading.images.edits.config import SetLabel

    return SetLabel(*key_value(text, "--label"))


# How the image is written down


def _format(text: str) -> Edit:
    from lading.images.edits.formats import SetFormat

    if text not in ("oci", "docker"):
        raise click.UsageError(f"--to: {text!r} is not oci or docker")
    return SetFormat("docker" if text == "docker" else "oci")


def _no_urls(_: str) -> Edit:
    from lading.images.edits.formats import RemoveExternalUrls

    return RemoveExternalUrls()


def _data(text: str) -> Edit:
    from lading.images.edits.formats import SetInlineData

    if text != "none" and not re.fullmatch(r"[0-9]{1,9}", text):
        raise click.UsageError(f"--data-max: {text!r} is no number of bytes, and not none")
    return SetInlineData(-1 if text == "none" else int(text))


def _algorithm(text: str) -> Edit:
    from lading.images.edits.formats import SetDigestAlgorithm

    if text not in ("sha256", "sha512"):
        raise click.UsageError(f"--digest-algorithm: {text!r} is not sha256 or sha512")
    return SetDigestAlgorithm("sha512" if text == "sha512" else "sha256")


def _to_referrers(_: str) -> Edit:
    from lading.images.edits.attestations import AttestationsToReferrers

    return AttestationsToReferrers()


def _to_attestations(_: str) -> Edit:
    from lading.images.edits.attestations import ReferrersToAttestations

    return ReferrersToAttestations()


_DAILY: tuple[tuple[str, Callable[[str], Edit], str, str], ...] = (
    ("--entrypoint", _entrypoint, "COMMAND", "JSON array, or shell text; Cmd stays."),
    ("--cmd", _cmd, "COMMAND", "Likewise: default arguments."),
)
_RARE: tuple[tuple[str, Callable[[str], Edit], str, str], ...] = (
    ("--user", _user, "USER[:GROUP]", "Who a container runs as."),
    ("--workdir", _workdir, "DIRECTORY", "Where a container begins."),
    ("--port", _port, "PORT[/PROTOCOL]", "Say that a container listens there."),
    ("--remove-port", _no_port, "PORT[/PROTOCOL]", "Say it no more."),
    ("--volume", _volume, "DIRECTORY", "Have each container make a volume there."),
    ("--remove-volume", _no_volume, "DIRECTORY", "Have it no more."),
    ("--append-entrypoint", _more_entrypoint, "ARGUMENTS", "Add a JSON array or one argument at the end."),
    ("--append-cmd", _more_cmd, "ARGUMENTS", "Likewise."),
    ("--clear", _clear, "FIELD", "Take away entrypoint, cmd, user, workdir, healthcheck, shell, author …"),
    ("--created", _created, "TIME", "When the image was made: a time, or now (SOURCE_DATE_EPOCH, if set)."),
    ("--config-time", _config_time, "TIME[,skip=N]", "Set created, and the history's times but those of N layers."),
    (
        "--config-time-max",
        _config_time_max,
        "TIME[,base=REF]",
        "Only later ones, none of base REF. TIME: also label:KEY.",
    ),
    ("--set-platform", _platform, "PLATFORM", "What the image is for: in its config, and in the index."),
    ("--os-version", _os_version, "VERSION", "Which version of its operating system it needs."),
    ("--os-feature", _os_feature, "FEATURE", "A feature that its operating system must have."),
    ("--remove-os-feature", _no_os_feature, "FEATURE", "Take one away."),
    ("--author", _author, "NAME", "Who made the image."),
    ("--hostname", _hostname, "NAME", "The name of a container's machine."),
    ("--shell", _shell, "ARRAY", "What runs commands that are texts."),
    ("--stop-signal", _stop_signal, "SIGNAL", "What ends a container, such as SIGTERM."),
    ("--stop-timeout", _stop_timeout, "TIME", "How long it has to end, such as 10s."),
    ("--health-cmd", _health("cmd"), "COMMAND", "What finds out whether a container works."),
    ("--health-interval", _health("interval"), "TIME", "Between two checks, such as 30s."),
    ("--health-timeout", _health("timeout"), "TIME", "How long a check may take."),
    ("--health-start-period", _health("start_period"), "TIME", "How long a container may take to begin."),
    ("--health-start-interval", _health("start_interval"), "TIME", "Between two checks while it begins."),
    ("--health-retries", _health("retries"), "N", "How many checks have to fail in a row."),
    ("--no-healthcheck", _no_health, "", "Turn the check of a base off."),
    ("--onbuild", _onbuild, "INSTRUCTION", "Add an instruction for builds on the image."),
    ("--args-escaped", _args_escaped, "true|false", "Whether a Windows command is one escaped text."),
    ("--remove-buildarg", _no_buildarg, "NAME[=VALUE]", "Remove a build argument from the history. VALUE or re:REGEX."),
    ("--label-to-annotation", _label_to_annotation, "", "Make the labels annotations, too."),
    ("--promote-annotations", _promote, "", "Annotate the index with what all its images have in common."),
    ("--to", _format, "oci|docker", "Write it in this format; what that has no place for is left out."),
    ("--remove-urls", _no_urls, "", "Have layers be where the image is: foreign ones become plain."),
    ("--data-max", _data, "BYTES|none", "Embed content up to this size in descriptors, and none that is larger."),
    ("--digest-algorithm", _algorithm, "sha256|sha512", "Name all content so; not in all registries."),
    ("--attestations-to-referrers", _to_referrers, "", "Have BuildKit's attestations refer to their images."),
    ("--referrers-to-attestations", _to_attestations, "", "List attestations that refer to the images in the index."),
    ("--base", _base, "NAME@DIGEST", "Say in annotations what the image is built on."),
)


def _no_label(name: str) -> Edit:
    from lading.images.edits.config import SetLabel

    return SetLabel(name, None)


def _env(text: str) -> Edit:
    from lading.images.edits.config import SetEnv

    return SetEnv(*key_value(text, "--env"))


def _no_env(name: str) -> Edit:
    from lading.images.edits.config import SetEnv

    return SetEnv(name, None)


def _annotation(text: str) -> Edit:
    from lading.images.edits.annotations import SetAnnotation

    scope, rest = _scoped(text)
    return SetAnnotation(*key_value(rest, "--annotation"), scope)


def _no_annotation(text: str) -> Edit:
    from lading.images.edits.annotations import SetAnnotation

    scope, name = _scoped(text)
    return SetAnnotation(name, None, scope)


def _scoped(text: str) -> tuple[Scope, str]:
    """Whose annotation is meant, and the rest of what was typed."""
    scopes: tuple[Scope, ...] = ("manifest", "index", "descriptor")
    for scope in scopes:
        if text.startswith(f"{scope}:"):
            return scope, text.removeprefix(f"{scope}:")
    return "manifest", text


_FIRST: tuple[tuple[str, Callable[[str], Edit], str, str], ...] = (
    ("--label", label, "KEY=VALUE", "Set a label."),
    ("--env", _env, "KEY=VALUE", "Set a variable."),
    ("--annotation", _annotation, "[SCOPE:]KEY=VALUE", "Set an annotation."),
)
_REMOVALS: tuple[tuple[str, Callable[[str], Edit], str, str], ...] = (
    ("--remove-label", _no_label, "KEY", "Take a label away."),
    ("--remove-env", _no_env, "KEY", "Take a variable away."),
    ("--remove-annotation", _no_annotation, "[SCOPE:]KEY", "Take an annotation away."),
)
