"""`--format TEMPLATE`: what does not fit the document is said before anything is sent."""

import pytest

from cli.failing import USAGE, assert_failed
from cli.place import AMD64, INDEX, Place
from lading.cli.documents import COMMANDS, document_of, fields_of
from lading.cli.templates import check
from lading.errors import UsageError
from support.fakes import Reply, ScriptedServer
from support.lading import Lading

ARGUMENTS = {
    "tag": "{ref} new",
    "copy": "{ref} {host}/b:1",
    "pull": "{ref} oci:layout",
    "push": "docker-archive:{file} {ref}",
    "delete": "{ref} --yes",
    "login": "{host} -u alice -p secret",
    "logout": "{host}",
    "repos": "{host}",
    "manifest ls": "",
    "auth ls": "",
    "registry config": "",
    "registry gc": "{folder}",
    "sync plan": "mirror.toml",
    "sync run": "mirror.toml",
    "sync prune": "mirror.toml --yes",
    "sync status": "mirror.toml",
    "version": "",
}
"""For each command what it is given, where that is not one reference."""


@pytest.mark.parametrize("command", COMMANDS)
def test_it_is_checked_before_anything_is_sent(command: str, lading: Lading) -> None:
    with ScriptedServer(lambda _: Reply(status=500)) as server:
        names = {"ref": f"{server.host}/a:1", "host": server.host, "file": "x.tar", "folder": str(lading.home)}
        words = [*command.split(), *ARGUMENTS.get(command, "{ref}").format_map(names).split()]
        for template, says in (
            ("{{ digets }}", "there is no field 'digets'"),
            ("{% for %}", "Expected"),
            ("{{ 1|jsno }}", "No filter named 'jsno'"),
        ):
            said = lading.run(*words, "--format", template, check=False)
            lines = [line for line in said.stderr.splitlines() if not line.startswith("warning: a password")]
            assert (said.returncode, said.stdout) == (USAGE, ""), said.stderr
            assert lines[0].startswith("error: the template "), said.stderr
            assert says in said.stderr
        assert server.requests == []


def test_nothing_is_done_whose_answer_cannot_be_printed(place: Place) -> None:
    ref = place.push("a", AMD64)
    for command in (["delete", "--yes", ref], ["tag", ref, "b"], ["copy", ref, f"{place.name}:c"]):
        said = place.lading.run(*command, "--format", "{{ digets }}", check=False)
        assert_failed(said, USAGE, ["the template does not fit", "no field 'digets'"])
    assert set(place.tags) == {"a"}


FITS = (
    "{{ digest }}",
    "{{ entries[0].platform }} {{ entries|length }} {{ entries|map(attribute='digest')|join(' ') }}",
    "{% for entry in entries %}{{ loop.index }} {{ entry.digest }} {{ entry.platform or '-' }}\n{% endfor %}",
    "{% for entry in entries if entry.platform %}{{ entry['digest'] }}{% else %}{{ digest }}{% endfor %}",
    "{{ (entries|first).digest }} {{ (entries|selectattr('platform')|list)[0].size }}",
    "{{ config.Labels['a.b'] }} {{ annotations['x.y'] }} {{ annotations.items()|list|json }}",
    "{{ digest.split(':')[1][:12] }} {{ media_type.startswith('application/') }} {{ size + 1 }}",
    "{% set first = entries[0] %}{{ first.digest }} {% if subject is defined %}{{ subject }}{% endif %}",
    "{% macro row(of) %}{{ of.anything }}{% endmacro %}{{ row(entries[0]) }}",
    "{{ nothing|default('-') }} {{ range(3)|list }} {{ {'a': digest}|json }}",
    "{% with one = entries[-1] %}{{ one.digest }}{% endwith %}{{ entries[1:][0].digest }}",
    "{% for key, value in annotations.items() %}{{ key }}{{ value }}{% endfor %}",
)
MISFITS = {
    "{{ digets }}": "there is no field 'digets'; did you mean 'digest'?",
    "{{ platfrom }}": "there is no field 'platfrom'; each of 'entries' has 'platform'",
    "{{ entries[0].digets }}": "there is no field 'digets'; did you mean 'digest'?",
    "{{ entries.digest }}": "a list has no field 'digest'",
    "{{ entries[0].platform.os }}": "a value that is no object has no field 'os'",
    "{{ entries|map(attribute='digets')|list }}": "there is no field 'digets'",
    "{{ entries|selectattr('digets')|list }}": "there is no field 'digets'",
    "{{ (entries|last).digets }}": "there is no field 'digets'",
    "{% for entry in entries %}{{ entry.digets }}{% endfor %}": "there is no field 'digets'",
    "{% if size > 3 %}{{ digest }}{% else %}{{ digets }}{% endif %}": "there is no field 'digets'",
    "{% set one = entries[0] %}{{ one.digets }}": "there is no field 'digets'",
    "{{ digest if size else digets }}": "there is no field 'digets'",
    "{{ digets|json }}": "there is no field 'digets'",
    "{% include 'a' %}": "no others to read",
    "{{ [digets] }}": "there is no field 'digets'",
    "{% macro row() %}{{ digets }}{% endmacro %}": "there is no field 'digets'",
}


@pytest.mark.parametrize("template", FITS)
def test_what_fits(template: str) -> None:
    check(template, document_of("inspect"))


@pytest.mark.parametrize("template", MISFITS)
def test_what_does_not_fit(template: str) -> None:
    with pytest.raises(UsageError, match="the template does not fit") as caught:
        check(template, document_of("inspect"))
    assert MISFITS[template] in (caught.value.cause or "")
    assert "its fields are " in (caught.value.remedy or "")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_field_fits(command: str) -> None:
    check("".join(f"{{{{ {name} }}}}" for name in fields_of(document_of(command))), document_of(command))


def test_an_answer_that_does_not_fit_is_no_mistake_on_the_command_line(place: Place) -> None:
    """What was to be done is done; only 2 says that nothing was sent."""
    ref = place.push("a", INDEX)
    said = place.lading.run("tag", ref, "b", "--format", "{{ tags[7].digest }}", check=False)
    assert_failed(said, 1, ["the answer does not fit the template", "--format json"])
    assert place.tags == {"a": INDEX.digest, "b": INDEX.digest}
