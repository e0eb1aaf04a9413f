"""A program, not a test: lets the engines of this machine unpack awkward images, and writes down what came of each.

    python tests/images/observe.py [CASE…]

It needs root, containerd, ctr, dockerd, docker, podman and umoci; what is not there is left as it was observed. The
result is `tests/images/data/awkward.json`: for each case, each outcome with the engines that came to it.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import pytest

from lading.serve import background
from support.awkward import CASES, OUTSIDE
from support.docker import DockerCLI, dockerd, unmount_below
from support.images import Manifest, digest_of, push
from support.layers import tree, write_layout
from support.parts import need, need_containerd
from support.process import Ran, bare_environment, run

DATA = Path(__file__).parent / "data" / "awkward.json"
REFUSED = "refused"
Unpack = Callable[[str, Manifest], str]
"""Takes the name of a case and its image, and says what came of it: a listing, or `refused`."""


@contextmanager
def mounted(*options: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        run(["mount", *options, folder])
        try:
            yield Path(folder)
        finally:
            run(["umount", folder])


def chain_id(manifest: Manifest) -> str:
    """How Docker and containerd call the layers of an image together (image-spec config §Layer ChainID)."""
    chain, *others = json.loads(manifest.config)["rootfs"]["diff_ids"]
    for one in others:
        chain = digest_of(f"{chain} {one}".encode())
    return str(chain)


def umoci() -> Iterator[tuple[str, Unpack]]:
    program = need("umoci")

    def unpack(name: str, manifest: Manifest) -> str:
        with tempfile.TemporaryDirectory() as folder:
            write_layout(Path(folder) / "l", manifest)
            ran = run([program, "raw", "unpack", "--image", f"{folder}/l:t", f"{folder}/root"], check=False)
            return REFUSED if ran.returncode else tree(Path(folder) / "root")

    yield f"umoci {_version(run([program, '--version']))}", unpack


def podman() -> Iterator[tuple[str, Unpack]]:
    program = need("podman")
    for driver in ("vfs", "overlay"):
        with tempfile.TemporaryDirectory(prefix="p-", ignore_cleanup_errors=True) as folder:
            options = [f"--root={folder}/root", f"--runroot={folder}/run", f"--storage-driver={driver}"]
            command = [str(program), *options, "--events-backend=file"]
            version = _version(run([program, "--version"]))

            def unpack(name: str, manifest: Manifest, folder: str = folder, command: list[str] = command) -> str:
                layout = Path(folder) / "l"
                shutil.rmtree(layout, ignore_errors=True)
                write_layout(layout, manifest)
                ran = run([*command, "pull", "-q", f"oci:{layout}:t"], check=False)
                if ran.returncode:
                    return REFUSED
                image = ran.stdout.split()[-1]
                try:
                    mount = run([*command, "image", "mount", image], check=False)
                    return tree(Path(mount.stdout.strip())) if not mount.returncode else REFUSED
                finally:
                    run([*command, "image", "unmount", image], check=False)
                    run([*command, "rmi", "-f", image], check=False)

            yield f"podman {version} {driver}", unpack


def docker(host: str) -> Iterator[tuple[str, Unpack]]:
    for driver in ("vfs", "overlay2"):
        with dockerd(storage_driver=driver) as cli:
            root = Path(cli.run("info", "-f", "{{.DockerRootDir}}").stdout.strip())
            version = cli.run("version", "-f", "{{.Server.Version}}").stdout.partition("+")[0].strip()

            def unpack(
                name: str, manifest: Manifest, cli: DockerCLI = cli, root: Path = root, driver: str = driver
            ) -> str:
                reference = f"{host}/{name.lower()}:t"
                if cli.run("pull", reference, check=False).returncode:
                    return REFUSED
                try:
                    layer = root / "image" / driver / "layerdb/sha256" / chain_id(manifest).removeprefix("sha256:")
                    layer_id = (layer / "cache-id").read_text()
                    if driver == "vfs":
                        return tree(root / "vfs/dir" / layer_id)
                    folder = root / "overlay2" / layer_id
                    lower = folder / "lower"
                    below = [root / "overlay2" / one for one in lower.read_text().split(":")] if lower.exists() else []
                    with _overlaid([folder / "diff", *below]) as merged:
                        return tree(merged)
                finally:
                    cli.run("rmi", "-f", reference)

            yield f"docker {version} {driver}", unpack


@contextmanager
def _overlaid(layers: list[Path]) -> Iterator[Path]:
    if len(layers) == 1:
        yield layers[0]
        return
    with mounted("-t", "overlay", "-o", f"ro,lowerdir={':'.join(map(str, layers))}", "overlay") as merged:
        yield merged


def containerd(host: str, major: int) -> Iterator[tuple[str, Unpack]]:
    program, ctr = need_containerd(major)
    with tempfile.TemporaryDirectory(prefix="c-", ignore_cleanup_errors=True) as at_folder:
        folder = Path(at_folder)
        (folder / "config.toml").write_text(
            f'version = 2\nroot = "{folder}/root"\nstate = "{folder}/state"\n'
            'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
            f'[grpc]\naddress = "{folder}/c.sock"\n[ttrpc]\naddress = "{folder}/t.sock"\n'
        )
        with (folder / "log").open("wb") as log:
            daemon = subprocess.Popen(
                [program, "--config", folder / "config.toml"], stdout=log, stderr=log, env=bare_environment(folder)
            )
        try:
            for _ in range(200):
                if not _ctr(ctr, folder, "default", "version", check=False).returncode:
                    break
                time.sleep(0.1)
            version = _version(run([ctr, "--version"]))
            for snapshotter in ("native", "overlayfs"):
                call = partial(_ctr, ctr, folder)
                yield f"containerd {version} {snapshotter}", partial(_unpacked, call, host, major, snapshotter)
        finally:
            daemon.terminate()
            daemon.wait(timeout=30)
            unmount_below(folder)


def _ctr(ctr: Path, folder: Path, space: str, *arguments: str, check: bool = True) -> Ran:
    environment = bare_environment(folder)
    return run([ctr, f"--address={folder}/c.sock", f"--namespace={space}", *arguments], check=check, env=environment)


def _unpacked(call: Callable[..., Ran], host: str, major: int, snapshotter: str, name: str, manifest: Manifest) -> str:
    # Layers that a namespace has are not unpacked again, however they come.
    call = partial(call, f"{snapshotter}-{name}")
    local = ["--local"] if major > 1 else []
    pull = ["images", "pull", *local, "--plain-http", f"--snapshotter={snapshotter}", f"{host}/{name.lower()}:t"]
    if call(*pull, check=False).returncode:
        return REFUSED
    snapshots, key = ["snapshots", f"--snapshotter={snapshotter}"], ""
    for attempt in range(10):
        # What nothing refers to may be collected as garbage before it says that it is to stay.
        key = f"{name}-{attempt}"
        seen = call(*snapshots, "view", key, chain_id(manifest), check=False)
        kept = call(*snapshots, "label", key, "containerd.io/gc.root=now", check=False)
        if not seen.returncode and not kept.returncode:
            break
    with tempfile.TemporaryDirectory() as at:
        run(["sh", "-c", call(*snapshots, "mounts", at, key).stdout])
        try:
            return tree(Path(at))
        finally:
            run(["umount", at])


def _version(ran: Ran) -> str:
    return (
        next(word for word in ran.stdout.split() if word.lstrip("v")[:1].isdigit())
        .lstrip("v")
        .partition("~")[0]
        .partition("+")[0]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs="*", help="only these")
    parser.add_argument("--engine", default="", help="only engines with this in their names")
    options = parser.parse_args()
    chosen = options.case or list(CASES)
    shutil.rmtree(OUTSIDE, ignore_errors=True)
    Path(OUTSIDE).mkdir()
    Path(OUTSIDE, "kept").write_text("kept")
    with background() as url:
        host = url.removeprefix("http://")
        for name in chosen:
            push(host, name.lower(), "t", CASES[name])
        for engine, unpack in engines(host):
            if options.engine not in engine:
                continue
            say(engine)
            for name in chosen:
                try:
                    keep(name, engine, unpack(name, CASES[name]))
                except Exception as error:
                    say(f"  {name}: {error!r}")
                if [one.name for one in Path(OUTSIDE).iterdir()] != ["kept"] or Path("/etc/lading-pwned").exists():
                    sys.exit(f"{engine} wrote outside of the root: {name}")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def engines(host: str) -> Iterator[tuple[str, Unpack]]:
    for some in (umoci(), podman(), docker(host), containerd(host, 1), containerd(host, 2)):
        try:
            yield from some
        except pytest.skip.Exception as skipped:
            say(str(skipped))


def keep(name: str, engine: str, outcome: str) -> None:
    """Write down what an engine made of a case, in the place of what it made of it before."""
    known: dict[str, dict[str, list[str]]] = json.loads(DATA.read_text()) if DATA.exists() else {}
    before = known.get(name, {})
    others = {said: [one for one in by if one != engine] for said, by in before.items()}
    others.setdefault(outcome, []).append(engine)
    known[name] = {said: sorted(by) for said, by in sorted(others.items()) if by}
    DATA.write_text(json.dumps({one: known[one] for one in CASES if one in known}, indent=1) + "\n")


if __name__ == "__main__":
    main()
