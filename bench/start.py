"""What a command costs before it does anything: the interpreter, the imports, the words on the command line.

    python -m bench.start [--runs 20]

`python -c pass` is the interpreter alone, of the same environment. No network is used.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from bench.harness import Scenario, Step, main


def scenarios(small: bool) -> Sequence[Scenario]:
    """All of them."""
    runs = 3 if small else 20
    given: dict[str, dict[str, str]] = {
        "--version": {
            "lading": "lading --version",
            "crane": "crane version",
            "oras": "oras version",
            "regctl": "regctl version",
            "skopeo": "skopeo --version",
            "docker": "docker --version",
            "python": f"{sys.executable} -c pass",
        },
        "help": {
            "lading": "lading --help",
            "crane": "crane --help",
            "oras": "oras --help",
            "regctl": "regctl --help",
            "skopeo": "skopeo --help",
            "docker": "docker --help",
        },
        "completion of a command": {
            "lading": "env COMP_WORDS='lading ta' COMP_CWORD=1 _LADING_COMPLETE=bash_complete lading",
            "crane": "crane __complete ta",
            "oras": "oras __complete ta",
            "regctl": "regctl __complete ta",
            "skopeo": "skopeo __complete ta",
            "docker": "docker __complete ta",
        },
    }
    return [
        Scenario(name, {"": Step(commands)}, runs=runs, networks=("plain",), group="start-up")
        for name, commands in given.items()
    ]


if __name__ == "__main__":
    main(__doc__, scenarios)
