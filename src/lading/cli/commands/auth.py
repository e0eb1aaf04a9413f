"""Credentials: `login`, `logout`, and `auth`, which explains them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lading.cli.frame import Command, Group, Options, authfile_option, common, format_option

if TYPE_CHECKING:
    from lading.registry.diagnose.explain import Explanation, SourceReport

F = TypeVar("F", bound=Callable[..., Any])


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
    from lading.cli.documents import LoginDocument
    from lading.cli.output import emit

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
        username = click.prompt("Username", err=True)
    if password_stdin:
        password = _from_stdin()
    if password is None:
        if not sys.stdin.isatty():
            raise click.UsageError("there is nobody to ask for a password: give --password-stdin")
        password = click.prompt("Password", hide_input=True, err=True)
    if not password:
        raise click.UsageError("the password is empty")
    name, secret = username, password
    authfile = options.authfile
    where = options.run(lambda client: client.login(registry, name or "", secret, authfile=authfile))
    if format_ == "text":
        options.note(f"kept in {where}")
    shown_name = "" if identity_token_stdin else name or ""
    emit(LoginDocument(registry, shown_name, where), format_, lambda: "Login Succeeded")


@click.command(cls=Command, short_help="Forget credentials")
@click.argument("registry", default="docker.io")
@click.option("--authfile", metavar="FILE", help="The file that they are kept in.")
@format_option
@common(insecure=False)
def logout(options: Options, registry: str, authfile: str | None, format_: str) -> None:
    """Forget the credentials of a REGISTRY (docker.io by default), and the tokens that were got with them.

    \b
    lading logout ghcr.io
    """
    from lading.cli.documents import LogoutDocument
    from lading.cli.output import emit
    from lading.client import AsyncClient
    from lading.errors import LadingError

    async def forget(client: AsyncClient) -> LogoutDocument:
        known = await client.logout(registry, authfile=authfile)
        try:
            left = await client.credential(registry)
        except LadingError:
            left = None  # what is left cannot be read; that is another matter
        return LogoutDocument(registry, known, left.source if left is not None else None)

    document = options.run(forget)
    if document.left and format_ == "text":
        options.note(f"credentials for {registry} are still in {document.left}")
    emit(
        document,
        format_,
        lambda: f"{'Removing login credentials for' if document.removed else 'Not logged in to'} {registry}",
    )


@click.group(cls=Group)
def auth() -> None:
    """See which credentials are used, and why."""


def _scope_option(function: F) -> F:
    return click.option(
        "--scope",
        "scopes",
        multiple=True,
        metavar="SCOPE",
        help="What for: pull (default), push, delete, or TYPE:NAME:ACTIONS. Repeatable.",
    )(function)


@auth.command(short_help="Explain how access comes about, or why it does not")
@click.argument("subject", metavar="REF")
@_scope_option
@format_option
@common()
def explain(options: Options, subject: str, scopes: tuple[str, ...], format_: str) -> None:
    """Try to get access to REF, a reference or a registry, and tell step by step how it went.

    Nothing that is remembered is used, and no secret is printed.

    \b
    lading auth explain ghcr.io/acme/web:1.4
    lading auth explain ghcr.io/acme/web --scope push
    """
    from lading.cli.output import emit

    document = options.run(lambda client: client.explain(subject, scopes))
    emit(document, format_, lambda: _explained(document))
    if document.outcome != "allowed":
        raise click.exceptions.Exit(1)


@auth.command(short_help="Print a token that a registry takes")
@click.argument("subject", metavar="REF")
@_scope_option
@format_option
@common()
def token(options: Options, subject: str, scopes: tuple[str, ...], format_: str) -> None:
    """Print a Bearer token for REF, a reference or a registry: a secret, for as long as it lasts.

    \b
    curl -H "Authorization: Bearer $(lading auth token ghcr.io/acme/web)" https://ghcr.io/v2/acme/web/tags/list
    """
    from lading.cli.documents import TokenDocument
    from lading.cli.output import emit

    found = options.run(lambda client: client.token(subject, scopes))
    expires = datetime.fromtimestamp(found.expires, UTC)
    document = TokenDocument(found.value, found.account, [str(scope) for scope in found.scopes], expires)
    emit(document, format_, lambda: found.value)


@auth.command("ls", short_help="List what credentials are kept for")
@format_option
@common(insecure=False)
def list_command(options: Options, format_: str) -> None:
    """List what credentials are kept for, in the order of the places that they are kept in; no secret is printed.

    \b
    lading auth ls
    """
    from lading.cli.documents import LoginsDocument, LoginSummary
    from lading.cli.output import emit, table

    logins = options.run(lambda client: client.logins())
    document = LoginsDocument([LoginSummary(login.key, login.username, login.place) for login in logins])

    def text() -> str:
        rows = [[one.registry, one.username or "(a token)", one.kept_in] for one in document.logins]
        return "\n".join(row[0] for row in rows) if options.quiet else table([["FOR", "USER", "KEPT IN"], *rows])

    if document.logins or format_ != "text":
        emit(document, format_, text)
    else:
        options.note("no credentials are kept; log in with: lading login REGISTRY")


@auth.command(short_help="Print the credentials for a registry, with their secret")
@click.argument("subject", metavar="REF")
@authfile_option("--authfile", help="Credentials that come before all others.")
@format_option
@common(insecure=False)
def get(options: Options, subject: str, authfile: str | None, format_: str) -> None:
    """Print the credentials that are used for REF, a reference or a registry: its secret is printed, too.

    As text, they have the form that credential helpers use.

    \b
    lading auth get ghcr.io
    """
    from lading.cli.documents import CredentialDocument
    from lading.cli.output import emit
    from lading.errors import NotFound

    if authfile:
        options.reach["authfile"] = (authfile,)
    found = options.run(lambda client: client.credential(subject))
    if found is None:
        raise NotFound(
            f"there are no credentials for {subject}",
            remedy=f"log in with: lading login {subject}      see what was tried: lading auth explain {subject}",
        )
    secret = found.registry_token or found.identity_token or found.password
    username = found.username if found.kind == "password" else "<token>"
    document = CredentialDocument(subject, username, secret, found.kind, found.source)

    def text() -> str:
        import json

        return json.dumps({"ServerURL": subject, "Username": username, "Secret": secret})

    emit(document, format_, text)


def _from_stdin() -> str:
    return sys.stdin.read().removesuffix("\n").removesuffix("\r")


def _explained(document: Explanation) -> str:
    from lading.cli.output import paint, table

    verdicts = {
        "allowed": "access is allowed",
        "allowed in part": f"access is allowed in part; not allowed: {' '.join(document.missing)}",
        "denied": "access is denied",
        "not found": "it was not found",
        "failed": "access could not be tried",
    }
    colour = "green" if document.outcome == "allowed" else "yellow" if document.outcome == "allowed in part" else "red"
    lines = [f"{document.subject}: {paint(verdicts[document.outcome], colour)}"]
    if document.known_as:
        lines.append(f"{document.registry} is {document.known_as}.")
    if document.sources:
        lines += ["", "Credentials were looked for in these places, in this order:"]
        rows = [["  *" if one.state == "answers" else "   ", one.place, _finding(one)] for one in document.sources]
        lines += [line.rstrip() for line in table(rows).splitlines()]
    lines += ["", *_what_happened(document)]
    if document.cause:
        lines.append(f"{_CAUSES.get(document.outcome, 'It failed')}: {document.cause}.")
    if document.remedy:
        lines += ["", f"What to do: {document.remedy}"]
    return "\n".join(lines)


_CAUSES = {"denied": "It was not allowed", "not found": "It was not found"}


def _finding(source: SourceReport) -> str:
    whose = f"the {source.kind} of {source.username}" if source.username else f"an {source.kind}"
    found = f"{whose}, kept under {source.key}"
    return {
        "answers": found,
        "refused": f"{found}: refused" + (f" ({source.detail})" if source.detail else ""),
        "failed": f"could not be asked: {source.detail}",
        "not asked": "not asked any more",
    }.get(source.state, source.detail)


def _what_happened(document: Explanation) -> list[str]:
    taken = next((one for one in document.sources if one.state == "answers"), None)
    lines = []
    if taken is not None:
        lines.append(f"The credentials marked * are used: {document.reason}.")
    else:
        some = any(one.state in ("refused", "failed") for one in document.sources)
        lines.append(
            f"{'None of them can be used' if some else 'There are none'}, so the registry was asked without a login."
        )
    challenge = document.challenge
    if challenge is None:
        if document.outcome == "allowed":
            lines.append(f"{document.registry} asks for no login, and got none.")
    elif challenge.scheme == "basic":
        lines.append(f"{document.registry} asks for a user name and a password with every request (Basic).")
    else:
        service = f", for the service {challenge.service}" if challenge.service else ""
        lines.append(f"{document.registry} asks for a token (Bearer), which {challenge.realm} gives{service}.")
    if document.token is not None:
        lines += _token_lines(document)
    if document.remembered is not None:
        lines.append(f"An earlier run left a token that is used until {_moment(document.remembered)}.")
    return lines


def _token_lines(document: Explanation) -> list[str]:
    token = document.token
    assert token is not None
    granted = "the token does not say" if token.granted is None else " ".join(token.granted) or "nothing"
    return [
        f"It gave a token {f'to {token.account}' if token.account else 'to somebody without a login'}:",
        f"    asked for  {' '.join(token.asked) or 'nothing'}",
        f"    granted    {granted}",
        f"    used until {_moment(token.expires)}",
    ]


def _moment(moment: datetime) -> str:
    seconds = max(0, round((moment - datetime.now(UTC)).total_seconds()))
    left = f"{seconds} seconds" if seconds < 120 else f"{seconds // 60} minutes" if seconds < 7200 else None
    left = left or f"{seconds // 3600} hours"
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC, for {left} more"
