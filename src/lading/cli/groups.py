"""How commands are found, loaded and described: click's classes as lading uses them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, TypeVar

import click

from lading.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])


class NobodyReads(Exception):
    """Whoever read the output has seen enough."""


def path_of(ctx: click.Context) -> str:
    """The command as it is typed after `lading`."""
    return ctx.command_path.removeprefix(ctx.find_root().command_path).strip()


@contextmanager
def _naming(ctx: click.Context) -> Iterator[None]:
    """Say with what cannot be understood which command it was given to."""
    try:
        yield
    except UsageError as error:
        error.fields["typed"] = f"lading {path_of(ctx)}"
        raise


class Described(click.Command):
    """A command with `--help-all` beside `--help`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(CommonOption(["--help-all"], callback=_help_all, help=_HELP_ALL, **_ENDS))
        self._help: CommonOption | None = None

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """What click makes anew for each command, with a look for translations of its help."""
        names = self.get_help_option_names(ctx)
        if self._help is None and names:
            self._help = CommonOption(names, callback=_show_help, help="Show this message and exit.", **_ENDS)
        return self._help


_HELP_ALL = "Describe everything, and exit."
_ENDS: dict[str, Any] = {"is_flag": True, "is_eager": True, "expose_value": False}


def _show_help(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from lading.cli.output import say

        say(*ctx.get_help().splitlines())
        ctx.exit()


def _help_all(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    if wanted:
        from lading.cli.help import show_all

        show_all(ctx, param, wanted)


class Command(Described):
    """A command whose help has what it does first, and apart from it how it talks, which is the same everywhere."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line. Of an option of other tools it is said what it is here."""
        try:
            with _naming(ctx):
                return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            from lading.cli.vocabulary import option

            if (here := option(error.option_name, self)) is None:
                raise
            raise UsageError(
                f"lading {path_of(ctx)} has no option {error.option_name}",
                remedy=f"{here}      see: lading {path_of(ctx)} --help",
            ) from error

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with _naming(ctx):
            return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options in their groups."""
        own: list[tuple[str, str]] = []
        common: list[tuple[str, str]] = []
        reach: list[tuple[str, str]] = []
        rare: list[tuple[str, str]] = []
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is None:
                continue
            if isinstance(param, ReachOption) and not param.is_described:
                reach = [_REACH]
            elif isinstance(param, Option) and param.is_rare:
                rare.append(record)
            else:
                is_common = isinstance(param, CommonOption) or "--help" in param.opts
                (common if is_common else own).append(record)
        from lading.cli.help import is_whole, write

        if rare and not is_whole(ctx):
            rare = [(f"{len(rare)} rarer option{'s' if len(rare) > 1 else ''}", "")]
        write(formatter, {"Options": own, "Rarely": rare, "How it talks": [*common, *reach]}, is_whole(ctx))


class Option(click.Option):
    """An option whose help says what there is to say itself.

    Args:
        is_rare: whether it is one that few need: without room for everything, these are only counted.
    """

    def __init__(self, *args: Any, is_rare: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.is_rare = is_rare

    def get_help_extra(self, ctx: click.Context) -> Any:
        """What click adds to the help, without the range of numbers (`x>=1`)."""
        extra = super().get_help_extra(ctx)
        extra.pop("range", None)
        return extra


def option(*names: str, **attributes: Any) -> Callable[[F], F]:
    """Add an `Option` to a command.

    Args:
        names: as click takes them.
        attributes: as click takes them.
    """
    return click.option(*names, **{"cls": Option, **attributes})


class CommonOption(Option):
    """An option that is the same for every command that has it."""


class ReachOption(CommonOption):
    """An option that says how hosts are reached, which few need: all of them are one line of help.

    Args:
        is_described: whether it has a line of its own.
    """

    def __init__(self, *args: Any, is_described: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.is_described = is_described


_REACH = ("--authfile, --ca-file, --header, --resolve", "And more: see lading registry check --help-all.")


class Group(Described, click.Group):
    """A group whose commands are loaded when they are used.

    Args:
        package: the package that has a module for each command. The module and the command in it are named as the
            command, with `_` for `-`.
        names: the commands, in the order in which help lists them.
    """

    def __init__(self, *args: Any, package: str, names: Sequence[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._package = package
        self._names = tuple(names)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Without any argument, what there is to say is the help; `help COMMAND` is `COMMAND --help`."""
        if not args and not ctx.resilient_parsing:
            from lading.cli.output import say

            say(*ctx.get_help().splitlines())
            ctx.exit()
        if args[:1] == ["help"]:
            args = [*args[1:], "--help"]
        try:
            return super().parse_args(ctx, list(args))
        except click.NoSuchOption as error:
            from lading.cli.vocabulary import misplaced

            if (said := misplaced(args, self._names)) is None:
                raise
            raise said from error

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Of how it may end, leave to click nothing that it would end in its own way."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupted:
            raise click.Abort from interrupted  # whose notes say what there is
        except BrokenPipeError as error:
            raise NobodyReads from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order in which they were given: daily ones come first."""
        return list(self._names)

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what the group is for; in one sentence where its commands need the room."""
        from lading.cli.help import is_whole

        text = self.help
        if text is not None and len(self._names) > _MANY and not is_whole(ctx):
            self.help = text.partition("\n\n")[0]
        super().format_help_text(ctx, formatter)
        self.help = text

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what each command is for, whole: a list of sentences that end in dots helps nobody."""
        from lading.cli.help import is_whole, write

        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        described = [(name, _summary(command)) for name, command in commands if command is not None]
        options = [record for param in self.get_params(ctx) if (record := param.get_help_record(ctx)) is not None]
        write(formatter, {"Commands": described, "Options": options}, is_whole(ctx))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command."""
        if cmd_name not in self._names:
            return None
        name = cmd_name.replace("-", "_")
        command = getattr(import_module(f"{self._package}.{name}"), name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command, or say which one does what was meant."""
        is_group_elsewhere = len(args) > 1 and args[0] in _GROUPS_ELSEWHERE and args[1] in _VERBS
        if args[0] in self._names and not is_group_elsewhere:
            return super().resolve_command(ctx, args)
        from lading.cli.vocabulary import refuse

        if args[0].startswith("-"):
            return super().resolve_command(ctx, args)
        raise refuse(path_of(ctx).split(), args, self._names)


_MANY = 12
_GROUPS_ELSEWHERE = ("tag", "tags", "repos", "inspect")
"""Commands that are groups in other tools: `tag ls REPOSITORY` lists tags, and gives none to an image `ls`."""
_VERBS = ("ls", "list", "rm", "remove", "delete", "del", "add", "create", "digest", "image")


def _summary(command: click.Command) -> str:
    return command.short_help or (command.help or "").partition("\n\n")[0].strip().rstrip(".")
