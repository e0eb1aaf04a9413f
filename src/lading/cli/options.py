"""The flags that commands share, and what a command works with: a client made as they say, notes and warnings."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lading.cli.groups import CommonOption, ReachOption, option
from lading.errors import LadingError, NotFound, UsageError

if TYPE_CHECKING:
    from lading.client import AsyncClient
    from lading.registry.hosts.configuration import Config
    from lading.transfer.report import Failure

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


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
        self.reach: dict[str, Any] = {name: value for name, value in (reach or {}).items() if value}

    def config(self) -> Config:
        """The configuration, with what this command line says over it.

        Raises:
            UsageError: one of them is not valid.
        """
        from lading.registry.hosts.configuration import Config
        from lading.registry.hosts.settings import Override, parse_addresses, parse_headers

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

    def run(self, work: Callable[[AsyncClient], Coroutine[Any, Any, T]], *, left: str = "") -> T:
        """Do asynchronous work with a client that is made for it and closed after it.

        Args:
            work: what is done with the client.
            left: what there is where the work is interrupted; said then.

        Raises:
            NotFound: a reference names nothing; where it is a tag, it is said which are nearest.
        """
        import asyncio

        from lading.client import AsyncClient
        from lading.registry.session import Session

        before = Session.answers

        async def main() -> T:
            with _woken_by_ctrl_c():
                async with AsyncClient(
                    insecure=self.insecure,
                    authfiles=self.reach.get("authfile", ()),
                    config=self.config() if self.reach.keys() - {"authfile"} else None,
                    create_repositories=self.create_repository,
                    on_warning=self._warn_from,
                    on_note=self.warn,
                    on_request=self._trace if self.verbose else None,
                ) as client:
                    try:
                        return await work(client)
                    except UsageError as error:
                        if Session.answers > before:
                            error.exit_code = LadingError.exit_code  # 2 says that nothing was sent
                        raise
                    except NotFound as error:
                        from lading.cli.suggestions import suggest

                        await suggest(client, error)
                        raise

        try:
            return asyncio.run(main())
        except KeyboardInterrupt as error:
            if left and not self.quiet:
                error.add_note(left)
            raise

    def note(self, text: str) -> None:
        """Tell people something on stderr that is not the answer."""
        from lading.cli.output import say

        if not self.quiet:
            say(text, err=True)

    def need_somebody(self, otherwise: str) -> None:
        """See that there is somebody to ask, before anything is sent.

        Args:
            otherwise: what was not done where there is nobody.
        """
        if not sys.stdin.isatty():
            raise UsageError(
                f"{otherwise}, because there is nobody to ask",
                remedy="see what would go with --dry-run; to go on without being asked: --yes",
            )

    def ask(self, question: str, otherwise: str) -> None:
        """Ask whether to go on; a no ends the command.

        Args:
            question: what to ask.
            otherwise: what to say after a no.
        """
        from lading.cli.output import ask

        if not ask(question):
            self.note(otherwise)
            raise click.exceptions.Exit(1)

    def warn(self, text: str, *more: str) -> None:
        """Warn on stderr.

        Args:
            text: what of.
            more: further lines.
        """
        from lading.cli.output import paint, say

        say(f"{paint('warning:', 'yellow', err=True)} {text}", *(f"  {line}" for line in more), err=True)

    def fail(self, failure: Failure) -> None:
        """Tell on stderr what failed of several things, as an error is told."""
        from lading.cli.output import paint, say

        lines = [f"  {line}" for line in (failure.cause, failure.remedy) if line]
        say(f"{paint('error:', 'red', err=True)} {failure.message}", *lines, err=True)

    def _warn_from(self, registry: str, text: str) -> None:
        self.warn(f"{registry} says: {text}")

    def _trace(self, line: str) -> None:
        from lading.cli.output import say

        say(line, err=True)


@contextmanager
def _woken_by_ctrl_c() -> Iterator[None]:
    """Have Ctrl-C end the event loop's wait, too, when it comes just before the loop begins to wait.

    `asyncio.run` handles the signal in Python code, which runs when a wait is over: a wait for a pipe that nobody
    empties never is. So each signal writes to a socket that the loop listens to.
    """
    import asyncio
    import signal
    import socket
    import threading

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    awake, signals = socket.socketpair()
    with awake, signals:
        awake.setblocking(False)
        signals.setblocking(False)
        loop.add_reader(awake, awake.recv, 4096)
        before = signal.set_wakeup_fd(signals.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            loop.remove_reader(awake)


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
            for name, (metavar, text) in reversed(_REACHING.items()):
                wrapped = option(
                    f"--{name.replace('_', '-')}",
                    cls=ReachOption,
                    is_described=described,
                    metavar=metavar,
                    multiple=name in ("authfile", "header", "resolve"),
                    help=text,
                )(wrapped)
            wrapped = _flag("--insecure", help="Accept plain HTTP and any certificate.")(wrapped)
        if pushes:
            wrapped = option("--create-repository", is_flag=True, help=_CREATE)(wrapped)
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
            try:
                with click.open_file(value[1:], encoding="utf-8") as file:
                    lines += [line for line in file.read().splitlines() if line.strip()]
            except (OSError, UnicodeDecodeError) as error:
                cause = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
                raise UsageError(
                    f"{value[1:]} cannot be read",
                    cause=str(cause).lower(),
                    remedy="--header @FILE takes a file with lines NAME: VALUE",
                ) from None
        else:
            lines.append(value)
    return lines


def authfile_option(name: str, *, help: str) -> Callable[[F], F]:
    """Add an option that names a file of credentials, which has to be there."""
    return option(name, type=click.Path(exists=True, dir_okay=False), metavar="FILE", help=help)


def scope_option(function: F) -> F:
    """Add `--scope`: what access is asked for."""
    return option(
        "--scope",
        "scopes",
        multiple=True,
        metavar="SCOPE",
        help="What for: pull (default), push, delete, or TYPE:NAME:ACTIONS. Repeatable.",
    )(function)


def _flag(*names: str, help: str) -> Callable[[F], F]:
    return option(*names, cls=CommonOption, is_flag=True, help=help)


def formats(*others: str) -> Callable[[F], F]:
    """Add `--format text|json|TEMPLATE`, with other formats that a command has."""

    def checked(context: click.Context, _param: click.Parameter, value: str) -> str:
        """What cannot be read, or does not fit what the command prints, is said before anything is done."""
        if value not in ("text", "json", *others):
            from lading.cli.documents import document_of
            from lading.cli.groups import path_of
            from lading.cli.templates import check

            check(value, document_of(path_of(context)))
        return value

    return option(
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
    return option(
        "--platform", "platforms" if multiple else "platform", multiple=multiple, metavar="OS/ARCH[/VARIANT]", help=help
    )


def layer_option(function: F) -> F:
    """Add `--layer`: one layer alone."""
    return option("--layer", metavar="N|DIGEST", help="One layer alone, as it is in its archive; 1 is the lowest.")(
        function
    )
