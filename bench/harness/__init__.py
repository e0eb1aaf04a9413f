"""What every script in `bench/` is made of: scenarios, the networks they run in, and how a run is measured.

A script names its scenarios and calls `main`. A scenario says, for each tool, the command that does one task; the same
task is one expression for the library. All that is measured is the whole process, start-up included.
"""

from bench.harness.scenario import MIB, Scenario, Step, main

__all__ = ["MIB", "Scenario", "Step", "main"]
