"""Times `lading copy` beside crane, skopeo, oras and regctl, where they are installed, in the same run.

    python bench/copies.py [--runs 5] [--latency 0.04] [--layers 6] [--layer-size 1000000] [--platforms 4]

Tasks: a fresh copy, a repeated one, and a second tag, from one registry to another and within one. Prints for each the
median wall time of each tool and its ratio to lading's, the CPU time and the peak memory of the process, and how many
requests it sent. Times are those of whole processes, start-up included. Each tool goes through proxies that add the
same latency to each request; both registries are Debian's docker-registry.
"""

import argparse
import itertools
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.images import make_image, make_index, push
from support.process import bare_environment
from support.proxy import CountingProxy
from support.registry import RealRegistry

ARCHITECTURES = ("amd64", "arm64/v8", "arm/v7", "s390x", "ppc64le", "riscv64", "386", "mips64le")

MEASURED = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
if code.returncode: sys.exit(code.stderr.decode())
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
"""


def commands(source: str, target: str) -> dict[str, list[str]]:
    """What each installed tool calls a copy of an index with everything in it."""
    known = {
        "crane": ["crane", "copy", "--insecure", source, target],
        "skopeo": [
            "skopeo",
            "copy",
            "--all",
            "--quiet",
            "--insecure-policy",
            "--src-tls-verify=false",
            "--dest-tls-verify=false",
            f"docker://{source}",
            f"docker://{target}",
        ],
        "oras": ["oras", "cp", "--from-plain-http", "--to-plain-http", source, target],
        "regctl": [
            "regctl",
            *(f"--host=reg={host},tls=disabled" for host in {source.partition("/")[0], target.partition("/")[0]}),
            "image",
            "copy",
            source,
            target,
        ],
    }
    installed = {tool: command for tool, command in known.items() if shutil.which(tool)}
    return {"lading": [sys.executable, "-m", "lading", "copy", source, target], **installed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="how often each command runs; the median counts")
    parser.add_argument("--latency", type=float, default=0.04, help="seconds added to each request")
    parser.add_argument("--layers", type=int, default=6, help="of each image")
    parser.add_argument("--layer-size", type=int, default=1_000_000, help="in bytes")
    parser.add_argument("--platforms", type=int, default=4, choices=range(1, len(ARCHITECTURES) + 1), metavar="N")
    options = parser.parse_args()
    index = make_index(
        [
            make_image(f"linux/{architecture}", seed=architecture, layers=options.layers, layer_size=options.layer_size)
            for architecture in ARCHITECTURES[: options.platforms]
        ]
    )
    numbers = itertools.count()
    with (
        RealRegistry() as first,
        RealRegistry() as second,
        CountingProxy(first.url, latency=options.latency) as near,
        CountingProxy(second.url, latency=options.latency) as far,
        tempfile.TemporaryDirectory() as folder,
    ):
        push(first.host, "bench/app", "1", index)
        environment = bare_environment(Path(folder)) | {"PATH": os.environ["PATH"]}
        print(
            f"{options.platforms} platforms of {options.layers} layers of {options.layer_size:,} bytes, "
            f"{options.latency * 1000:g} ms a request, median of {options.runs} runs"
        )
        for where, target in (("two registries", far), ("one registry", near)):
            results: dict[tuple[str, str], list[tuple[float, float, int, int]]] = {}
            for tool in commands("", ""):
                for _ in range(options.runs):
                    repository = f"{target.host}/bench/copy{next(numbers)}"
                    for task, tag in (("fresh", "1"), ("repeated", "1"), ("second tag", "2")):
                        command = commands(f"{near.host}/bench/app:1", f"{repository}:{tag}")[tool]
                        near.reset()
                        far.reset()
                        started = time.perf_counter()
                        ran = subprocess.run(
                            [sys.executable, "-c", MEASURED, *command],
                            env=environment,
                            check=True,
                            stdout=subprocess.PIPE,
                            text=True,
                        )
                        elapsed = time.perf_counter() - started
                        cpu, memory = ran.stdout.split()
                        requests = len(near.exchanges) + len(far.exchanges)
                        results.setdefault((task, tool), []).append((elapsed, float(cpu), int(memory), requests))
            for (task, tool), runs in sorted(results.items()):
                wall, cpu_time, peak, count = (statistics.median(column) for column in zip(*runs, strict=True))
                base = statistics.median(run[0] for run in results[task, "lading"])
                print(
                    f"{where:15} {task:11} {tool:7} {wall * 1000:6.0f} ms {wall / base:5.2f} x"
                    f"  {cpu_time * 1000:5.0f} ms CPU  {peak / 1024:4.0f} MiB  {count:g} requests"
                )


if __name__ == "__main__":
    main()
