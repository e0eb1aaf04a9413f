"""`lading auth explain`: how access comes about, step by step."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from lading.cli.groups import Command
from lading.cli.options import Options, common, format_option, scope_option

if TYPE_CHECKING:
    from lading.registry.diagnose.explain import Explanation, SourceReport


@click.command(cls=Command, short_help="Explain how access comes about, or why it does not")
@click.argument("subject", metavar="REF")
@scope_option
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
    from lading.cli.wording import remedied

    document = remedied(options.run(lambda client: client.registries.explain(subject, scopes)))
    emit(document, format_, lambda: _explained(document))
    if document.outcome != "allowed":
        raise click.exceptions.Exit(1)


def _explained(document: Explanation) -> list[str]:
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
        lines += [line.rstrip() for line in table(rows)]
    lines += ["", *_what_happened(document)]
    if document.cause:
        lines.append(f"{_CAUSES.get(document.outcome, 'It failed')}: {document.cause}.")
    if document.remedy:
        lines += ["", f"What to do: {document.remedy}"]
    return lines


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
    if taken is not None and document.shown:
        lines.append(f"The credentials marked * are used: {document.reason}.")
    elif taken is not None:
        lines.append("The credentials marked * were not sent.")
    else:
        some = any(one.state in ("refused", "failed") for one in document.sources)
        lines.append(
            f"{'None of them can be used' if some else 'There are none'}, so the registry was asked without a login."
        )
    challenge = document.challenge
    if challenge is None:
        if document.outcome == "allowed":
            lines.append(f"{document.registry} asks for no login, and got none.")
        elif taken is not None and not document.shown and document.outcome != "failed":
            lines.append(f"{document.registry} names no way to log in: neither there nor at /v2/.")
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
