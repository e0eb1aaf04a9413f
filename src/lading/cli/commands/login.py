"""`lading login`: credentials that are checked and kept."""

from __future__ import annotations

import sys
from typing import TypedDict

import click

from lading.cli.groups import Command
from lading.cli.options import Options, common, format_option


class LoginDocument(TypedDict):
    """`lading login`."""

    registry: str
    username: str
    """Empty where an identity token was given."""
    kept_in: str
    """A path, or the helper."""


@click.command(cls=Command, short_help="Check credentials and keep them")
@click.argument("registry", default="docker.io")
@click.option("-u", "--username", metavar="NAME", help="The user name.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--identity-token-stdin", is_flag=True, help="Read an identity (refresh) token from standard input.")
@click.option("-p", "--password", metavar="PASSWORD", help="The password; others on this machine can read it here.")
@format_option
@common()
def login(
    options: Options,
    registry: str,
    username: str | None,
    password_stdin: bool,
    identity_token_stdin: bool,
    password: str | None,
    format_: str,
) -> None:
    """Check credentials with a REGISTRY (docker.io by default) and keep them where Docker does.

    With a namespace or a repository (ghcr.io/acme) they are for that alone. Kept in --authfile, $REGISTRY_AUTH_FILE or
    Docker's config.json; the helper that is named there gets them.

    \b
    lading login ghcr.io -u NAME
    echo "$TOKEN" | lading login ghcr.io -u NAME --password-stdin
    """
    from lading.cli.output import ask_for, emit

    if password is not None:
        options.warn("a password on the command line can be read by others on this machine; use --password-stdin")
    if (password is not None) + password_stdin + identity_token_stdin > 1:
        raise click.UsageError("give the password once: --password-stdin or --identity-token-stdin")
    if identity_token_stdin:
        if username:
            raise click.UsageError("an identity token has no user name: leave out --username")
        username, password = "<token>", _from_stdin()
    if username is None:
        if not sys.stdin.isatty():
            raise click.UsageError("there is nobody to ask for a user name: give --username and --password-stdin")
        username = ask_for("Username")
    if password_stdin:
        password = _from_stdin()
    if password is None:
        if not sys.stdin.isatty():
            raise click.UsageError("there is nobody to ask for a password: give --password-stdin")
        password = ask_for("Password", hidden=True)
    if not password:
        raise click.UsageError("the password is empty: give it on standard input, or where it is asked for")
    name, secret = username, password
    # It may be a new one, and is written to: credentials are not looked for in it.
    authfile = next(iter(options.reach.pop("authfile", ())), None)
    where = options.run(lambda client: client.registries.login(registry, name or "", secret, authfile=authfile))
    if format_ == "text":
        options.note(f"kept in {where}")
    shown_name = "" if identity_token_stdin else name or ""
    emit(LoginDocument(registry=registry, username=shown_name, kept_in=where), format_, lambda: "Login Succeeded")


def _from_stdin() -> str:
    try:
        text = sys.stdin.read()
    except UnicodeDecodeError:
        raise click.UsageError("standard input is not UTF-8 text") from None
    return text.removesuffix("\n").removesuffix("\r")
