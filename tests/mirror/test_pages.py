"""What is written down of mirror files is what is read, and what the page shows is one."""

import importlib.util
import json
import re
from pathlib import Path

from lading.mirror.file import parse_mirror_file
from lading.mirror.rules import choose_tags

DOCS = Path(__file__).parents[2] / "docs"


def test_the_keys_and_the_schema_are_written_down() -> None:
    """Both are made from the structs: `python docs/describe_mirror.py`."""
    found = importlib.util.spec_from_file_location("describe_mirror", DOCS / "describe_mirror.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)

    assert (DOCS / "mirror-keys.md").read_text() == module.page()
    assert (DOCS / "mirror.schema.json").read_text() == module.schema()
    schema = json.loads(module.schema())
    assert schema["$defs"]["Mirror"]["additionalProperties"] is False
    assert all("description" in table for table in schema["$defs"].values())


def test_the_example_is_valid() -> None:
    page = (DOCS / "mirror.md").read_text()
    first, *others = re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert [mirror.name for mirror in parse_mirror_file(first).settled()] == ["alpine", "ghcr.io/acme/**"]
    for example in others:
        parse_mirror_file(example)


def test_ranges_take_what_the_page_says() -> None:
    rows = re.findall(r"^\| `(semver:.*?)` \| (.*?) \| (.*?) \|$", (DOCS / "mirror.md").read_text(), re.MULTILINE)
    assert len(rows) == 4
    for pattern, taken, left in rows:
        verdicts = choose_tags(re.findall(r"`(.*?)`", f"{taken} {left}"), patterns=pattern)
        assert [one.tag for one in verdicts if one.is_taken] == re.findall(r"`(.*?)`", taken)
