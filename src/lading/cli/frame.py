"""What every command shares: groups that load their commands late, the common flags, and a client to work with."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from functools import update_wrapper
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from lading.client import AsyncClient

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class Group(click.Group):
    """A group whose commands are loaded when they are used.

    Args:
        commands_in: for each command the module it is in; there it is called as here, or `NAME_command` where
            that would hide something else.
    """

    def __init__(self, *args: Any, commands_in: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._late = dict(commands_in or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Commands in the order they were given, not by name: daily ones come first."""
        return [*self._late, *self.commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command."""
        module = self._late.get(cmd_name)
        if module is None:
            return super().get_command(ctx, cmd_name)
        loaded = import_module(module)
        name = cmd_name.replace("-", "_")
        command = getattr(loaded, f"{name}_command", None) or getattr(loaded, name)
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


class Options:
    """The common flags of one command.

    Attributes:
        insecure: plain HTTP and unverifiable certificates are accepted.
        quiet: only the answer is printed.
        verbose: requests are shown.
    """

    def __init__(self, *, insecure: bool = False, quiet: bool = False, verbose: bool = False) -> None:
        self.insecure = insecure
        self.quiet = quiet
        self.verbose = verbose

    def run(self, work: Callable[[AsyncClient], Coroutine[Any, Any, T]]) -> T:
        """Do asynchronous work with a client that is made for it and closed after it."""
        import asyncio

        from lading.client import AsyncClient

        async def main() -> T:
            async with AsyncClient(
                insecure=self.insecure,
                on_warning=self._warn_from,
                on_request=self._trace if self.verbose else None,
            ) as client:
                return await work(client)

        return asyncio.run(main())

    def note(self, text: str) -> None:
        """Tell people something on stderr that is not the answer."""
        if not self.quiet:
            click.echo(text, err=True)

    def warn(self, text: str) -> None:
        """Warn on stderr."""
        from lading.cli.output import paint

        click.echo(f"{paint('warning:', 'yellow', err=True)} {text}", err=True)

    def _warn_from(self, registry: str, text: str) -> None:
        self.warn(f"{registry} says: {text}")

    def _trace(self, line: str) -> None:
        click.echo(line, err=True)


def common(*, verbose_flag: bool = True, insecure: bool = True) -> Callable[[F], F]:
    """Add the common flags to a command, which gets them as its first argument, an `Options`.

    Args:
        verbose_flag: False where `--verbose` has a meaning of its own, as in `manifest inspect`.
        insecure: False for commands that send nothing.
    """

    def decorate(function: F) -> F:
        def command(*args: Any, **kwargs: Any) -> Any:
            verbose = kwargs.pop("debug") or (verbose_flag and kwargs.pop("verbose"))
            options = Options(insecure=kwargs.pop("insecure", False), quiet=kwargs.pop("quiet"), verbose=verbose)
            return function(options, *args, **kwargs)

        wrapped = update_wrapper(command, function)
        wrapped = click.option("--debug", is_flag=True, help="Show requests, and tracebacks of errors.")(wrapped)
        if verbose_flag:
            wrapped = click.option("--verbose", is_flag=True, help="Show requests, with secrets masked.")(wrapped)
        wrapped = click.option("-q", "--quiet", is_flag=True, help="Print the answer only.")(wrapped)
        if insecure:
            wrapped = click.option(
                "--insecure", is_flag=True, help="Accept plain HTTP and certificates that cannot be verified."
            )(wrapped)
        return wrapped  # type: ignore[return-value]

    return decorate


def format_option(function: F) -> F:
    """Add `--format text|json|TEMPLATE`."""
    return click.option(
        "--format", "format_", default="text", metavar="text|json|TEMPLATE", help="How to print: TEMPLATE is Jinja2."
    )(function)


def platform_option(*, multiple: bool = False, help: str) -> Callable[[F], F]:
    """Add `--platform OS/ARCH[/VARIANT]`."""
    return click.option(
        "--platform", "platforms" if multiple else "platform", multiple=multiple, metavar="OS/ARCH[/VARIANT]", help=help
    )
