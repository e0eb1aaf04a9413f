"""Times lading beside the docker CLI (and crane, where it is installed) on the same registry, in the same run.

    python bench/manifest.py [--runs 7] [--latency 0.04] [--platforms 8]

Prints, for each task, the median wall time of each tool in milliseconds and its ratio to lading's. Times are those of
whole processes, start-up included. Each tool goes through a proxy that adds the same latency to each request; the
registry is Debian's docker-registry. crane: go install github.com/google/go-containerregistry/cmd/crane@v0.20.6
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.images import make_image, make_index, push
from support.parts import find
from support.process import bare_environment
from support.proxy import CountingProxy
from support.registry import RealRegistry

ARCHITECTURES = ("amd64", "arm64/v8", "arm/v7", "s390x", "ppc64le", "riscv64", "386", "mips64le", "arm/v6", "loong64")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7, help="how often each command runs; the median counts")
    parser.add_argument("--latency", type=float, default=0.04, help="seconds added to each request")
    parser.add_argument("--platforms", type=int, default=8, choices=range(1, len(ARCHITECTURES) + 1), metavar="N")
    options = parser.parse_args()
    with (
        RealRegistry() as registry,
        CountingProxy(registry.url, latency=options.latency) as proxy,
        tempfile.TemporaryDirectory() as folder,
    ):
        images = [make_image(f"linux/{architecture}", seed=architecture) for architecture in ARCHITECTURES]
        images = images[: options.platforms]
        push(registry.host, "bench/app", "list", make_index(images))
        sources = []
        for number, image in enumerate(images):
            push(registry.host, "bench/app", f"image{number}", image)
            sources.append(f"{proxy.host}/bench/app:image{number}")
        name = f"{proxy.host}/bench/app"
        lading = [sys.executable, "-m", "lading"]
        docker, crane = find("docker"), shutil.which("crane")
        tasks: dict[str, dict[str, list[str]]] = {
            "inspect a list": {
                "lading": [*lading, "manifest", "inspect", f"{name}:list"],
                "docker": [str(docker), "manifest", "inspect", "--insecure", f"{name}:list"],
                "crane": [str(crane), "manifest", f"{name}:list"],
            },
            "create a list": {
                "lading": [*lading, "manifest", "create", "--replace", f"{name}:new", *sources],
                "docker": [str(docker), "manifest", "create", "--insecure", f"{name}:new", *sources],
            },
            "digest of a tag": {
                "lading": [*lading, "digest", f"{name}:list"],
                "crane": [str(crane), "digest", f"{name}:list"],
            },
            "three new tags": {
                "lading": [*lading, "tag", f"{name}:list", "one", "two", "three"],
                "crane": ["sh", "-c", " && ".join(f"{crane} tag {name}:list {tag}" for tag in ("one", "two", "three"))],
            },
        }
        absent = {tool for tool, path in (("docker", docker), ("crane", crane)) if path is None}
        print(f"{options.platforms} platforms, {options.latency * 1000:g} ms a request, median of {options.runs} runs")
        for task, tools in tasks.items():
            times = {}
            for tool, command in tools.items():
                if tool in absent:
                    continue
                environment = bare_environment(Path(folder)) | {
                    "DOCKER_CONFIG": f"{folder}/{tool}",
                    "PATH": os.environ["PATH"],
                }
                forget = (lambda: shutil.rmtree(f"{folder}/docker", ignore_errors=True)) if tool == "docker" else None
                proxy.reset()
                times[tool] = median(command, environment, options.runs, forget)
                requests = len(proxy.exchanges) / options.runs
                ratio = times[tool] / times["lading"]
                print(f"{task:18} {tool:8} {times[tool] * 1000:7.0f} ms  {ratio:5.1f} x  {requests:g} requests")


def median(command: list[str], environment: dict[str, str], runs: int, before: Callable[[], None] | None) -> float:
    """The median wall time of a command in seconds; it has to succeed."""
    times = []
    for _ in range(runs):
        if before is not None:
            before()
        started = time.perf_counter()
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


if __name__ == "__main__":
    main()
