"""`lading sync`: plans and runs as people see them, and what is left of a run that ended before its end."""

import gzip
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from support.http import Reply, Request
from support.images import RegistryClient, get_manifest, make_image, push
from support.lading import Lading
from support.parts import need
from support.process import bare_environment, run
from support.proxy import CountingProxy
from support.registry import RealRegistry

CHANGES = 1
UNREACHABLE = 6
INTERRUPTED = 130


@pytest.fixture(scope="module")
def target() -> Iterator[RealRegistry]:
    """A second real registry."""
    with RealRegistry() as running:
        yield running


def file(lading: Lading, *entries: tuple[str, str], more: str = "") -> str:
    """A mirror file with these entries, from and to; gives its path."""
    path = lading.home / "mirror.toml"
    path.write_text("".join(f'[[mirror]]\nfrom = "{source}"\nto = "{to}"\n{more}\n' for source, to in entries))
    return str(path)


def test_plan_and_run(lading: Lading, registry: RealRegistry, target: RealRegistry, repository: str) -> None:
    for tag in ("1.0", "1.1"):
        push(registry.host, repository, tag, make_image(seed=tag))
    there = f"{target.host}/{repository}"
    path = file(lading, (f"{registry.host}/{repository}", there))

    said = lading.run("sync", "plan", path, "--check", check=False)
    assert said.returncode == CHANGES
    digest = make_image(seed="1.0").digest[7:19]
    assert f"{there}:1.0  new  {digest}" in said.stdout.splitlines()
    assert re.fullmatch(r"2 new: \d+ requests\n", said.stderr)

    plan, report = lading.home / "plan.json", lading.home / "report.json"
    lading.run("sync", "plan", path, "--out", str(plan), "-q")
    said = lading.run("sync", "run", "--plan", str(plan), "--report", str(report))
    assert f"{there}:1.0  new  {digest}" in said.stdout.splitlines()
    assert re.fullmatch(r"2 new: [\d.]+ k?B written, \d+ requests\n", said.stderr)
    assert json.loads(report.read_text())["counts"]["new"] == 2
    assert get_manifest(target.host, repository, "1.1")[2] == make_image(seed="1.1").digest

    said = lading.run("sync", "plan", path, "--check")
    assert (said.stdout, said.stderr.partition(":")[0]) == ("", "2 unchanged")
    document = json.loads(lading.run("sync", "run", path, "--format", "json").stdout)
    assert (document["outcome"], document["counts"]["unchanged"]) == ("done", 2)


def test_explain_names_the_rule(lading: Lading, registry: RealRegistry, repository: str) -> None:
    for tag in ("1.0", "1.1", "2.0-rc1", "sha256-" + "a" * 64):
        push(registry.host, repository, tag, make_image(seed=tag))
    source = f"{registry.host}/{repository}"
    path = file(lading, (source, "oci:nowhere"), more='tags = ["semver:*", "!re:.*rc.*"]\nnewest = 1')
    for tag, says in {
        "1.1": "takes 1.1: it is matched by 'semver:*' (tags)",
        "1.0": "leaves 1.0: it is number 2 of 2 by semver, and the first 1 count (newest)",
        "2.0-rc1": "leaves 2.0-rc1: it is left out by '!re:.*rc.*' (tags)",
        "9": "has no 9",
        "sha256-" + "a" * 64: "it is made of a digest: 'referrers' and 'digest-tags' say whether it goes along",
    }.items():
        assert says in lading.run("sync", "plan", path, "--explain", tag).stdout
    assert not (Path.cwd() / "nowhere").exists()


def test_a_host_that_is_away_is_one_error(lading: Lading, registry: RealRegistry, repository: str) -> None:
    entries = [(f"127.0.0.1:9/a{number}", f"{registry.host}/{repository}{number}") for number in range(40)]
    said = lading.run("sync", "run", file(lading, *entries), check=False)
    assert said.returncode == UNREACHABLE
    assert said.stderr.count("error:") <= 2, said.stderr
    assert "could not be reached" in said.stderr
    assert "40 failed" in said.stderr


@pytest.mark.parametrize(
    "words, says",
    [
        ("run", "name one: a FILE, or a plan with --plan"),
        ("run {file} --plan x.json", "name one"),
        ("run --plan {file}", "is no plan of a mirror"),
        ("run --plan {home}/none.json", "cannot be read"),
        ("run {file} --from-report {file}", "is no report of a mirror"),
        ("run {file} --shard 4/4", "is no shard"),
        ("run {file} --max-failures many", "is no amount"),
        ("run {file} --report {home}/none/r.json", "cannot be written"),
        ("run {file} --only mine", "there is no mirror called 'mine'"),
        ("plan {file} --explain 1 --check", "--explain goes with --only alone"),
        ("plan {home}/none.toml", "cannot be read"),
    ],
)
def test_what_cannot_be_meant_is_said_before_anything_is_sent(lading: Lading, words: str, says: str) -> None:
    path = file(lading, ("127.0.0.1:9/a", "127.0.0.1:9/b"))
    said = lading.run("sync", *words.format(file=path, home=lading.home).split(), check=False)
    assert said.returncode == 2, said.stderr
    assert says in said.stderr


def test_beside_regsync(lading: Lading, registry: RealRegistry, target: RealRegistry, repository: str) -> None:
    """The same repository by regsync and by lading: the same tags and digests, and fewer requests."""
    regsync = need("regsync")
    shared = gzip.compress(random.Random(7).randbytes(5000), mtime=0)
    tags = [f"1.{number}" for number in range(20)]
    for tag in tags:
        push(
            registry.host,
            repository,
            tag,
            make_image(seed=tag, layers=[shared, gzip.compress(tag.encode(), mtime=0)]),
        )
    with CountingProxy(registry.url) as here, CountingProxy(target.url) as there:
        config = lading.home / "regsync.yml"
        config.write_text(
            f"""
version: 1
creds:
  - {{registry: "{here.host}", tls: disabled, reqConcurrent: 8}}
  - {{registry: "{there.host}", tls: disabled, reqConcurrent: 8}}
defaults: {{skipDockerConfig: true}}
sync:
  - {{source: "{here.host}/{repository}", target: "{there.host}/{repository}-r", type: repository}}
"""
        )
        path = file(
            lading, (f"{here.host}/{repository}", f"{there.host}/{repository}-l"), more='immutable = "semver:*"'
        )

        def cost(command: list[str]) -> int:
            here.reset()
            there.reset()
            if command[0] == "sync":
                lading.run(*command)
            else:
                run([regsync, *command], env=bare_environment(lading.home))
            return here.count() + there.count()

        first = cost(["sync", "run", path]), cost(["once", "-c", str(config)])
        again = cost(["sync", "run", path]), cost(["once", "-c", str(config)])
        assert first[0] < first[1]
        assert again[0] == 2
        assert again[1] > 2 * len(tags)
        # And where tags may move: a question a tag and side.
        path = file(lading, (f"{here.host}/{repository}", f"{there.host}/{repository}-l"))
        moving = cost(["sync", "run", path])
        assert moving == 1 + 2 * len(tags) <= again[1]
    ours, theirs = (digests(target, f"{repository}-{one}") for one in "lr")
    assert ours == theirs
    assert len(ours) == len(tags)


def digests(registry: RealRegistry, repository: str) -> dict[str, str]:
    with RegistryClient(registry.host, repository) as client:
        tags = json.loads(client.request("GET", "/tags/list")[2])["tags"]
    return {tag: get_manifest(registry.host, repository, tag)[2] for tag in tags}


# Runs that end before their end


class Held:
    """A proxy in front of a target that lets so many writes through, and holds all that comes after."""

    def __init__(self, proxy: CountingProxy) -> None:
        self._lock = threading.Lock()
        self._left = self._held = 0
        self._is_free = threading.Event()
        self.is_reached = threading.Event()
        proxy.intercept = self._intercept

    def after(self, writes: int) -> None:
        self._left, self._held = writes, 0
        self._is_free = threading.Event()
        self.is_reached.clear()

    def lets_some_through(self, proxy: CountingProxy) -> bool:
        """Whether something that was let through is still under way."""
        with self._lock:
            writes = [exchange for exchange in proxy.exchanges if exchange.method in ("PUT", "POST")]
            return sum(not exchange.ended for exchange in writes) != self._held

    def let_go(self) -> None:
        self._is_free.set()

    def _intercept(self, request: object) -> Reply | None:
        if getattr(request, "method", "") not in ("PUT", "POST"):
            return None
        free = self._is_free
        with self._lock:
            self._left -= 1
            is_held = self._left < 0
            self._held += is_held
        if is_held:
            self.is_reached.set()
            free.wait(60)
            return Reply(status=500, drop=True)
        return None


def started(lading: Lading, *args: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "lading", *args],
        env=lading.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )


def landed(proxy: CountingProxy) -> set[str]:
    """The digests of the blobs that the target took."""
    return {
        found[1].replace("%3A", ":")
        for exchange in proxy.exchanges
        if exchange.method == "PUT"
        and exchange.status == 201
        and (found := re.search(r"digest=(sha256(?::|%3A)[0-9a-f]{64})", exchange.query))
    }


def remembered(lading: Lading) -> set[str]:
    """The digests of the blobs that the state knows the target to have."""
    found: set[str] = set()
    for path in (lading.home / ".local" / "state").rglob("*.db"):
        with closing(sqlite3.connect(path)) as database:
            found |= {digest for (digest,) in database.execute("SELECT digest FROM blobs")}
    return found


def test_a_mirror_that_is_killed_goes_on_and_fetches_nothing_twice(
    lading: Lading, registry: RealRegistry, target: RealRegistry, repository: str
) -> None:
    chance = random.Random(3)
    layers = [gzip.compress(chance.randbytes(3000), mtime=0) for _ in range(6)]
    images = {
        (f"{repository}-{number % 6}", f"1.{number}"): make_image(seed=str(number), layers=chance.sample(layers, 3))
        for number in range(60)
    }
    for (name, tag), image in images.items():
        push(registry.host, name, tag, image)
    names = sorted({name for name, _ in images})
    had: set[str] = set()
    killed = 0
    with CountingProxy(registry.url) as here, CountingProxy(target.url) as there:
        path = file(lading, *((f"{here.host}/{name}", f"{there.host}/{name}") for name in names))
        held = Held(there)
        for writes in (3, 11, 30, 60, 40):
            here.reset()
            there.reset()
            held.after(writes)
            with started(lading, "sync", "run", path) as process:
                assert held.is_reached.wait(60)
                while held.lets_some_through(there) or not landed(there) <= remembered(lading):
                    assert process.poll() is None
                process.kill()
                process.communicate()
            held.let_go()
            killed += process.returncode == -signal.SIGKILL
            fetched = {line.rpartition("/")[2] for line in here.lines if line.startswith("GET") and "/blobs/" in line}
            assert not fetched & had
            had |= landed(there)
        here.reset()
        there.intercept = None
        document = json.loads(lading.run("sync", "run", path, "--format", "json").stdout)
        assert document["outcome"] == "done", document
        last = [line.rpartition("/")[2] for line in here.lines if line.startswith("GET") and "/blobs/" in line]
        assert not set(last) & had
        assert len(last) == len(set(last))
        assert document["counts"]["new"] + document["counts"]["unchanged"] == len(images)
        assert document["counts"]["unchanged"] > 0
    assert killed == 5
    for (name, tag), image in images.items():
        assert get_manifest(target.host, name, tag)[2] == image.digest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_interrupted_says_what_is_done(
    lading: Lading, registry: RealRegistry, target: RealRegistry, repository: str, number: signal.Signals
) -> None:
    for tag in "123456":
        push(registry.host, repository, tag, make_image(seed=tag))
    report = lading.home / "report.json"
    with CountingProxy(target.url) as there:
        path = file(lading, (f"{registry.host}/{repository}", f"{there.host}/{repository}"))
        held = Held(there)
        held.after(6)
        with started(lading, "sync", "run", path, "--report", str(report)) as process:
            assert held.is_reached.wait(60)
            os.kill(process.pid, number)
            held.let_go()
            _, errors = process.communicate(timeout=60)
        assert process.returncode == INTERRUPTED, errors
        assert "Traceback" not in errors
        document = json.loads(report.read_text())
        assert document["outcome"] == "interrupted"
        assert document["counts"]["skipped"] > 0
        there.intercept = None
        document = json.loads(lading.run("sync", "run", path, "--format", "json").stdout)
        assert document["outcome"] == "done"
        assert document["counts"]["new"] + document["counts"]["unchanged"] == 6


def asked(url: str, body: object | None = None) -> str:
    """What is answered to a request, whatever its status."""
    data = json.dumps(body).encode() if body is not None else None
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data), timeout=30) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return f"{error.code} {error.read().decode()}"


def test_watch_runs_what_a_registry_tells_of(lading: Lading, target: RealRegistry, repository: str) -> None:
    there = f"{target.host}/{repository}"
    push(target.host, f"{repository}-first", "1", make_image(seed="first"))
    path = file(lading, (f"{target.host}/{repository}-first", there), more="every = '1d'")
    with started(lading, "sync", "watch", path, "--listen", "127.0.0.1:0") as process:
        assert process.stderr is not None
        assert process.stdout is not None
        try:
            url = process.stderr.readline().removeprefix("listening at ").strip()
            assert process.stdout.readline().startswith(f"{there}:1")
            endpoint = {"name": "lading", "url": f"{url}/notify", "timeout": "5s", "threshold": 3, "backoff": "1s"}
            with RealRegistry(config={"notifications": {"endpoints": [endpoint]}}) as source:
                file(lading, (f"{source.host}/{repository}", f"{there}-two"), more="every = '1d'\noptional = true")
                process.send_signal(signal.SIGHUP)
                while "read again" not in process.stderr.readline():
                    pass
                push(source.host, repository, "2", make_image(seed="2"))  # the registry tells it
                assert process.stdout.readline().startswith(f"{there}-two:2")
                status = json.loads(asked(f"{url}/status.json"))
                name = f"{source.host}/{repository}"
                assert [mirror["mirror"] for mirror in status["mirrors"]] == [name]
                assert (status["problem"], asked(f"{url}/healthz")) == (None, "ok\n")
                lines = asked(f"{url}/metrics").splitlines()
                assert f'lading_sync_failed_consecutive{{mirror="{name}"}} 0' in lines
                assert "# TYPE lading_sync_last_success_timestamp_seconds gauge" in lines
                assert asked(f"{url}/notify", {"events": []}) == '{"mirrors": []}\n'
                assert asked(f"{url}/notify", []).startswith("400 this is neither")
                assert asked(f"{url}/notify").startswith("405")
                assert asked(f"{url}/x").startswith("404")
                process.send_signal(signal.SIGTERM)
                _, errors = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 0, errors
    assert "Traceback" not in errors


def test_watch_lets_end_what_runs_and_a_second_signal_ends_it(
    lading: Lading, registry: RealRegistry, target: RealRegistry, repository: str
) -> None:
    for tag in "123456":
        push(registry.host, repository, tag, make_image(seed=tag))
    for signals, expected in ((1, 0), (2, INTERRUPTED)):
        is_reached, free = threading.Event(), threading.Event()

        def hold(request: Request, is_reached: threading.Event = is_reached, free: threading.Event = free) -> None:
            if request.method == "PUT" and "/manifests/" in request.path:
                is_reached.set()
                assert free.wait(60)

        with CountingProxy(target.url) as there:
            there.intercept = hold
            path = file(
                lading, (f"{registry.host}/{repository}", f"{there.host}/{repository}{signals}"), more="every = '1h'"
            )
            with started(lading, "sync", "watch", path) as process:
                assert process.stderr is not None
                assert is_reached.wait(60)
                process.send_signal(signal.SIGTERM)
                assert "goes on to its end" in process.stderr.readline()
                if signals == 2:
                    process.send_signal(signal.SIGTERM)
                    assert process.wait(60) == INTERRUPTED
                free.set()
                _, errors = process.communicate(timeout=60)
        assert (process.returncode, "Traceback" in errors) == (expected, False), errors
        if signals == 1:
            assert len(digests(target, f"{repository}{signals}")) == 6


@pytest.mark.parametrize(
    "words, says",
    [
        (["--listen", "9090"], "is not an address"),
        (["--listen", "192.0.2.1:80"], "cannot listen"),
        (["--only", "x"], "has no mirror called 'x'"),
        ([], "does not say when"),
    ],
)
def test_watch_says_at_once_what_cannot_be(lading: Lading, words: list[str], says: str) -> None:
    ran = lading.run("sync", "watch", file(lading, ("127.0.0.1:9/a", "oci:x")), *words, check=False)
    assert (ran.returncode, says in ran.stderr) == (2, True), ran.stderr


# What is deleted, and how it went


def test_prune_shows_what_goes_and_asks(
    lading: Lading, registry: RealRegistry, target: RealRegistry, repository: str
) -> None:
    for tag in ("1", "2", "3"):
        push(registry.host, repository, tag, make_image(seed=tag))
    there = f"{target.host}/{repository}"
    rules = '[mirror.prune]\nvanished = "0s"\nmax = "40%"\n'
    path = file(lading, (f"{registry.host}/{repository}", there), more=rules)
    lading.run("sync", "run", path)
    with RegistryClient(registry.host, repository) as client:
        client.request("DELETE", f"/manifests/{make_image(seed='1').digest}", expect=202)

    said = lading.run("sync", "prune", path, "--dry-run")
    assert said.stdout == f"{there}:1  goes  vanished from the source lately\n"
    assert said.stderr == "1 tag would go\n"
    said = lading.run("sync", "prune", path, check=False)
    assert said.returncode == 2
    assert "nothing was deleted, because there is nobody to ask" in said.stderr
    said = lading.run("sync", "prune", path, "--yes", "--max", "0", check=False)
    assert said.returncode == CHANGES
    assert "nothing is deleted" in said.stderr
    assert sorted(digests(target, repository)) == ["1", "2", "3"]
    said = lading.run("sync", "prune", path, "--yes")
    assert said.stdout == f"{there}:1  deleted  vanished from the source lately\n"
    assert said.stderr == "1 tag deleted\n"
    assert sorted(digests(target, repository)) == ["2", "3"]
    said = lading.run("sync", "prune", path, "--yes", "--format", "json")
    assert json.loads(said.stdout) == {"items": [], "kept": [], "troubles": [], "dry_run": True}


def test_status_says_how_the_last_runs_ended(
    lading: Lading, registry: RealRegistry, target: RealRegistry, repository: str
) -> None:
    path = file(lading, (f"{registry.host}/{repository}", f"{target.host}/{repository}"))
    said = lading.run("sync", "status", path, check=False)
    assert (said.returncode, said.stdout.split("  ")[1]) == (1, "never ran\n")
    lading.run("sync", "run", path, check=False)
    said = lading.run("sync", "status", path, check=False)
    assert "failed just now  1 failed; no success yet" in said.stdout
    push(registry.host, repository, "1", make_image())
    lading.run("sync", "run", path)
    said = lading.run("sync", "status", path)
    assert "done just now  1 new" in said.stdout
    (mirror,) = json.loads(lading.run("sync", "status", path, "--format", "json").stdout)["mirrors"]
    assert [run["outcome"] for run in mirror["runs"]] == ["done", "failed"]
    assert mirror["last_success"] == mirror["runs"][0]["ended"]
