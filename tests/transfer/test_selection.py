"""Which tags a pattern takes."""

import pytest

from lading.errors import UsageError
from lading.transfer.selection import choose_tags

TAGS = ["latest", "1", "1.2", "1.2.0", "1.2.3", "v1.3.0", "1.3.0-rc.1", "1.10.0", "2.0.0", "2.1", "10.0.0", "nightly-1"]


@pytest.mark.parametrize(
    "pattern,chosen",
    [
        ("1.2*", ["1.2", "1.2.0", "1.2.3"]),
        ("re:v?1\\.[0-9]+", ["1.2"]),
        ("re:night.*", ["nightly-1"]),
        ("semver:>=1.2 <2", ["1.2", "1.2.0", "1.2.3", "v1.3.0", "1.10.0"]),
        ("semver:>=1.2,<1.3", ["1.2", "1.2.0", "1.2.3"]),
        ("semver:^1.2.1", ["1.2.3", "v1.3.0", "1.10.0"]),
        ("semver:~1.2", ["1.2", "1.2.0", "1.2.3"]),
        ("semver:1.2.x", ["1.2", "1.2.0", "1.2.3"]),
        ("semver:1.2.3", ["1.2.3"]),
        ("semver:>=1.3.0-rc.0 <1.4", ["v1.3.0", "1.3.0-rc.1"]),
        ("semver:<=1", ["1", "1.2", "1.2.0", "1.2.3", "v1.3.0", "1.10.0"]),
        ("semver:>2", ["10.0.0"]),
        ("semver:2.x || 10", ["2.0.0", "2.1", "10.0.0"]),
        ("semver:*", ["1", "1.2", "1.2.0", "1.2.3", "v1.3.0", "1.10.0", "2.0.0", "2.1", "10.0.0"]),
    ],
)
def test_a_pattern_takes(pattern: str, chosen: list[str]) -> None:
    assert choose_tags(TAGS, [pattern]) == chosen
    assert choose_tags(TAGS, exclude=[pattern]) == [tag for tag in TAGS if tag not in chosen]


@pytest.mark.parametrize(
    "pattern", ["re:(", "semver:new", "semver:>=", "version:1", "semver:1.2.3.4", "", "semver:", "semver:1 ||"]
)
def test_what_is_no_pattern_is_said(pattern: str) -> None:
    with pytest.raises(UsageError):
        choose_tags(TAGS, [pattern])
