"""What every command shares: groups that load their commands late, the common flags, and a client to work with."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import update_wrapper
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from lading.client import AsyncClient
    from lading.registry.hosts.settings import Config

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class NobodyReads(Exception):
    """Whoever read the output has seen enough."""


class Command(click.Command):
    """A command whose help has what it does first, and apart from it how it talks, which is the same everywhere."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options in their groups."""
        own: list[tuple[str, str]] = []
        common: list[tuple[str, str]] = []
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if isinstance(param, ReachOption) and not param.is_described:
                record = _REACH if param.opts == ["--authfile"] else None
            if record is not None:
                is_common = isinstance(param, CommonOption) or "--help" in param.opts
                (common if is_common else own).append(record)
        for title, records in (("Options", own), ("How it talks", common)):
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


class Option(click.Option):
    """An option whose help says what there is to say itself."""

    def get_help_extra(self, ctx: click.Context) -> Any:
        """What click adds to the help, without the range of numbers (`x>=1`)."""
        extra = super().get_help_extra(ctx)
        extra.pop("range", None)
        return extra


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


_REACH = ("--authfile, --ca-file, --header, --resolve", "And more: see lading registry check --help.")


class Group(click.Group):
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
        """Without any argument, what there is to say is the help."""
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help())
            ctx.exit()
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Of how it may end, leave to click nothing that it would end in its own way."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise click.Abort from None
        except BrokenPipeError as error:
            raise NobodyReads from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order in which they were given: daily ones come first."""
        return list(self._names)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what each command is for, whole: a list of sentences that end in dots helps nobody."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, _summary(command)) for name, command in commands if command is not None])

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
        """Find a command, or say which one may have been meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            close = get_close_matches(args[0], self.list_commands(ctx), n=1)
            if not close or args[0].startswith("-"):
                raise
            message = f"there is no command {args[0]!r}; did you mean {close[0]!r}?"
            raise click.UsageError(message, ctx) from error


def _summary(command: click.Command) -> str:
    return command.short_help or (command.help or "").partition("\n\n")[0].strip().rstrip(".")


class Options:
    """The common flags of one command.

    Attributes:
        insecure: plain HTTP and unverifiable certificates are accepted.
        quiet: only the answer is printed.
        verbose: requests are shown.
        create_repository: a repository that is missing is made.
        reach: how hosts are reached: the values of `ReachOption`s, by their names.
    """

    def __init__(
        self,
        *,
        insecure: bool = False,
        quiet: bool = False,
        verbose: bool = False,
        create_repository: bool = False,
        reach: Mapping[str, Any] | None = None,
    ) -> None:
        self.insecure = insecure
        self.quiet = quiet
        self.verbose = verbose
        self.create_repository = create_repository
        self.reach = {name: value for name, value in (reach or {}).items() if value}

    @property
    def authfile(self) -> str | None:
        """The file of credentials that is given; of several, the first."""
        return next(iter(self.reach.get("authfile", ())), None)

    def config(self) -> Config:
        """The configuration, with what this command line says over it.

        Raises:
            UsageError: one of them is not valid.
        """
        from lading.registry.hosts.settings import Config, Override, parse_addresses, parse_headers

        reach = self.reach
        if "key_file" in reach and "cert_file" not in reach:
            raise click.UsageError("--key-file is the key of a certificate: give --cert-file, too")
        override = Override(
            insecure=self.insecure,
            ca_file=reach.get("ca_file"),
            cert_file=reach.get("cert_file"),
            key_file=reach.get("key_file"),
            headers=parse_headers(_header_lines(reach.get("header", ()))),
            addresses=parse_addresses(reach.get("resolve", ())),
        )
        return Config.load(override=override)

    def run(self, work: Callable[[AsyncClient], Coroutine[Any, Any, T]]) -> T:
        """Do asynchronous work with a client that is made for it and closed after it."""
        import asyncio

        from lading.client import AsyncClient

        async def main() -> T:
            async with AsyncClient(
                insecure=self.insecure,
                authfiles=self.reach.get("authfile", ()),
                config=self.config() if self.reach.keys() - {"authfile"} else None,
                create_repositories=self.create_repository,
                on_warning=self._warn_from,
                on_note=self.warn,
                on_request=self._trace if self.verbose else None,
            ) as client:
                return await work(client)

        return asyncio.run(main())

    def note(self, text: str) -> None:
        """Tell people something on stderr that is not the answer."""
        from lading.cli.output import shown

        if not self.quiet:
            click.echo(shown(text), err=True)

    def ask(self, question: str, otherwise: str) -> None:
        """Ask whether to go on; a no ends the command.

        Args:
            question: what to ask.
            otherwise: what to say after a no.
        """
        if not click.confirm(question, err=True):
            self.note(otherwise)
            raise click.exceptions.Exit(1)

    def warn(self, text: str) -> None:
        """Warn on stderr."""
        from lading.cli.output import paint, shown

        click.echo(shown(f"{paint('warning:', 'yellow', err=True)} {text}"), err=True)

    def _warn_from(self, registry: str, text: str) -> None:
        self.warn(f"{registry} says: {text}")

    def _trace(self, line: str) -> None:
        from lading.cli.output import shown

        click.echo(shown(line), err=True)


def common(
    *, verbose_flag: bool = True, insecure: bool = True, pushes: bool = False, described: bool = False
) -> Callable[[F], F]:
    """Add the common flags to a command, which gets them as its first argument, an `Options`.

    Args:
        verbose_flag: False where `--verbose` has a meaning of its own, as in `manifest inspect`.
        insecure: False for commands that send nothing.
        pushes: whether it may push into a repository that is missing.
        described: whether help has a line for each option that says how hosts are reached.
    """

    def decorate(function: F) -> F:
        def command(*args: Any, **kwargs: Any) -> Any:
            debug, verbose = kwargs.pop("debug"), verbose_flag and kwargs.pop("verbose")
            options = Options(
                insecure=kwargs.pop("insecure", False),
                quiet=kwargs.pop("quiet"),
                verbose=debug or verbose,
                create_repository=kwargs.pop("create_repository", False),
                reach={name: kwargs.pop(name, None) for name in _REACHING} if insecure else {},
            )
            return function(options, *args, **kwargs)

        wrapped = update_wrapper(command, function)
        wrapped = _flag("--debug", help="Show requests, and tracebacks of errors.")(wrapped)
        if verbose_flag:
            wrapped = _flag("--verbose", help="Show requests, with secrets masked.")(wrapped)
        wrapped = _flag("-q", "--quiet", help="Print the answer only.")(wrapped)
        if insecure:
            for name, (metavar, help) in reversed(_REACHING.items()):
                wrapped = click.option(
                    f"--{name.replace('_', '-')}",
                    cls=ReachOption,
                    is_described=described,
                    metavar=metavar,
                    multiple=name in ("authfile", "header", "resolve"),
                    help=help,
                )(wrapped)
            wrapped = _flag("--insecure", help="Accept plain HTTP and any certificate.")(wrapped)
        if pushes:
            wrapped = click.option("--create-repository", is_flag=True, help=_CREATE)(wrapped)
        return wrapped  # type: ignore[return-value]

    return decorate


_CREATE = "Make a missing repository (Amazon ECR)."
_REACHING = {
    "authfile": ("FILE", "Credentials that come before all others."),
    "ca_file": ("FILE", "Authorities to trust beside the system's (PEM)."),
    "cert_file": ("FILE", "A certificate to show to a registry that wants one (PEM)."),
    "key_file": ("FILE", "Its key, where that is in another file."),
    "header": ("'NAME: VALUE'", "A header for the registry, or REGISTRY=NAME: VALUE, or @FILE with lines of such."),
    "resolve": ("HOST:PORT:ADDRESS", "The IP address at which a host is reached."),
}


def _header_lines(values: Sequence[str]) -> list[str]:
    """Header fields as they were typed; `@FILE` for the lines of a file, `@-` for those of standard input."""
    lines: list[str] = []
    for value in values:
        if value.startswith("@"):
            with click.open_file(value[1:], encoding="utf-8") as file:
                lines += [line for line in file.read().splitlines() if line.strip()]
        else:
            lines.append(value)
    return lines


def authfile_option(name: str, *, help: str) -> Callable[[F], F]:
    """Add an option that names a file of credentials, which has to be there."""
    return click.option(name, type=click.Path(exists=True, dir_okay=False), metavar="FILE", help=help)


def scope_option(function: F) -> F:
    """Add `--scope`: what access is asked for."""
    return click.option(
        "--scope",
        "scopes",
        multiple=True,
        metavar="SCOPE",
        help="What for: pull (default), push, delete, or TYPE:NAME:ACTIONS. Repeatable.",
    )(function)


def _flag(*names: str, help: str) -> Callable[[F], F]:
    return click.option(*names, cls=CommonOption, is_flag=True, help=help)


def formats(*others: str) -> Callable[[F], F]:
    """Add `--format text|json|TEMPLATE`, with other formats that a command has."""

    def checked(_context: click.Context, _param: click.Parameter, value: str) -> str:
        """What cannot be read is said before anything is done."""
        if value not in ("text", "json", *others):
            from lading.cli.output import template

            template(value)
        return value

    return click.option(
        "--format",
        "format_",
        cls=CommonOption,
        default="text",
        metavar="|".join(["text", "json", *others, "TEMPLATE"]),
        callback=checked,
        help="How to print; TEMPLATE is Jinja2.",
    )


def format_option(function: F) -> F:
    """Add `--format text|json|TEMPLATE`."""
    return formats()(function)


def platform_option(*, multiple: bool = False, help: str) -> Callable[[F], F]:
    """Add `--platform OS/ARCH[/VARIANT]`."""
    return click.option(
        "--platform", "platforms" if multiple else "platform", multiple=multiple, metavar="OS/ARCH[/VARIANT]", help=help
    )


def place(text: str) -> str:
    """A reference or another location, as the type of an argument: an alias is replaced by what it stands for.

    Not for `lading manifest`, where names are Docker's.
    """
    first, slash, _ = text.partition("/")
    if slash and (":" in first or "." in first or first == "localhost"):
        return text  # it names its registry, or a place on this machine
    from lading.registry.hosts.settings import Config

    return Config.load().expand(text)
