"""What docker, podman, crane, oras, regctl and skopeo call things that lading calls otherwise: commands and options.

It is loaded when a command line cannot be understood, and knows commands only by their names.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence

import click

from lading.errors import UsageError

JOBS: tuple[tuple[str, str, str], ...] = (
    ("the config of an image", "lading image config REF", "config, image env"),
    ("how an image came about", "lading image history REF", "history, image log"),
    ("the layers of an image", "lading image layers REF", "layers, ls-layers, image ls-layers"),
    ("the size of an image", "lading image size REF", "size, du, image du, image df, dive"),
    ("the files of an image", "lading image ls REF", "files, image files, image list, ls-files"),
    ("a file in an image", "lading image cat REF PATH", "cat, image get-file, get-file, blob get-file"),
    (
        "its file system",
        "lading image export REF",
        "export, unpack, extract, image unpack, image extract, mount, image mount",
    ),
    (
        "a registry's repositories",
        "lading repos REGISTRY",
        "catalog, images, image list, list, ls, search, repo ls, repo list, repositories, registry "
        "ls, registry list, registry catalog, repository ls, repository list, repos ls",
    ),
    (
        "a repository's tags",
        "lading tags REPOSITORY",
        "images, image list, list, ls, list-tags, ls-tags, tag ls, tag list, tags ls, tags list, "
        "repo tags, repo show-tags, repo",
    ),
    (
        "what a name stands for",
        "lading inspect REF",
        "image inspect, inspect show, info, describe, image show, imagetools inspect, get",
    ),
    (
        "a name's digest",
        "lading digest REF",
        "head, image digest, manifest digest, manifest-digest, sha, tag digest, exists, "
        "manifest exists, image exists, resolve-digest",
    ),
    (
        "what refers to it",
        "lading tree REF",
        "discover, referrers, artifact tree, artifact discover, image tree, manifest index",
    ),
    (
        "what differs between two",
        "lading diff A B",
        "image diff, index diff, blob diff-config, blob diff-layer, compare, container-diff, diffoci",
    ),
    (
        "to put files into a registry",
        "lading artifact push REF FILE…",
        "artifact put, artifact create, artifact upload, upload",
    ),
    (
        "to attach files to an image",
        "lading artifact attach REF FILE… --artifact-type TYPE",
        "attach, referrer push, attach file",
    ),
    (
        "what is attached to an image",
        "lading artifact ls REF",
        "discover, referrers, artifact list, artifact discover, referrer ls",
    ),
    (
        "to get the files of an artifact",
        "lading artifact pull REF",
        "artifact download, artifact fetch, download",
    ),
    ("another tag", "lading tag REF NEW", "image tag, retag, promote, tag add, tag create, repo tag, alias"),
    (
        "to delete a manifest with its tags",
        "lading delete REF",
        "remove, rm, rmi, del, image rm, image remove, image rmi, image delete, repo rm, repo delete",
    ),
    (
        "to remove a tag alone",
        "lading delete --untag REF",
        "rm, untag, image untag, tag rm, tag delete, tag del, tag remove",
    ),
    ("to copy", "lading copy SRC DST", "cp, image copy, image cp, artifact copy, manifest copy, mv, rename, clone"),
    (
        "to copy every tag",
        "lading copy --all-tags SRC DST",
        "mirror, repo copy, repo sync, repo mirror, image sync",
    ),
    ("to mirror repositories by a file", "lading sync run FILE", "once, mirror run, sync once"),
    ("to delete what a mirror does not keep", "lading sync prune FILE", "mirror prune, retention, purge, cleanup-tags"),
    ("what a mirror would change", "lading sync plan FILE", "sync check, sync diff, mirror plan"),
    ("to run mirrors by a schedule", "lading sync watch FILE", "sync server, sync schedule, sync cron, mirror watch"),
    (
        "to keep whole repositories",
        "lading artifact backup REPOSITORY oci:DIR",
        "backup, image backup, repo backup, registry backup, artifact save, artifact export",
    ),
    (
        "to bring a backup back",
        "lading artifact restore oci:DIR REPOSITORY",
        "restore, image restore, repo restore, registry restore, artifact load, artifact import",
    ),
    ("to bring a layout to a registry", "lading push oci:DIR REPOSITORY", "layout push"),
    ("to write an archive", "lading pull REF docker-archive:FILE", "save, export, image save"),
    ("to write a layout", "lading pull REF oci:DIR:TAG", "export, download, layout pull"),
    (
        "to bring an archive to a registry",
        "lading push docker-archive:FILE REF",
        "load, import, image load, image import",
    ),
    ("to bring an image to this machine", "lading pull REF", "image pull, download, fetch, image get"),
    ("to bring an image to a registry", "lading push LOCATION REF", "image push, upload, put, image put"),
    (
        "a manifest",
        "lading manifest inspect REF",
        "manifest fetch, manifest show, manifest cat, cat, manifest view, image manifest, get, fetch, index inspect, "
        "index get",
    ),
    ("its exact bytes", "lading manifest get REF", "manifest fetch, raw, manifest raw, get, fetch"),
    ("to put a manifest", "lading manifest put REF FILE", "manifest push-raw, put"),
    ("to say what a config is", "lading image config REF", "manifest fetch-config, manifest config"),
    ("a blob", "lading blob get BLOB", "blob fetch, blob pull, blob cat, layer, layer get, layer pull"),
    ("to put a blob", "lading blob put REPOSITORY FILE", "blob push, blob upload, layer put, layer push"),
    ("whether a blob is there", "lading blob head BLOB", "blob digest, blob exists, layer head"),
    ("to copy a blob", "lading blob copy BLOB REPOSITORY", "blob cp, blob mount, layer copy"),
    ("to delete a blob", "lading blob delete BLOB", "blob rm, blob del, layer delete"),
    ("a local list of images", "lading manifest create LIST IMAGE…", "create, manifest new"),
    ("an index of images", "lading index create TARGET SOURCE…", "create, imagetools create, index new, index put"),
    (
        "more images for a local list",
        "lading manifest add LIST IMAGE…",
        "add, manifest append, manifest join",
    ),
    ("more images for an index", "lading index add TARGET SOURCE…", "add, index append, index insert"),
    ("the local lists", "lading manifest ls", "manifest list, manifests"),
    ("the entries of an index", "lading index ls REF", "index list, index show, manifest list-entries, platforms"),
    ("to take images out of a local list", "lading manifest remove LIST IMAGE…", "manifest drop"),
    ("to take entries out of an index", "lading index remove TARGET ENTRY…", "index delete, index rm, index del"),
    (
        "to say what an entry of a local list is for",
        "lading manifest annotate LIST IMAGE",
        "annotate, manifest edit, manifest update, edit",
    ),
    ("to say what an entry of an index is for", "lading index annotate TARGET ENTRY", "annotate, index edit"),
    ("which image a client takes", "lading resolve REF", "which, select, image resolve"),
    ("what is wrong with an image", "lading lint REF", "audit, check-image, scan"),
    ("whether every byte is what it should be", "lading validate REF", "verify, fsck, image validate, image verify"),
    ("to log in", "lading login REGISTRY", "auth login, registry login, signin, auth add"),
    ("to log out", "lading logout REGISTRY", "auth logout, registry logout, signout, auth rm, auth remove"),
    ("what credentials are kept for", "lading auth ls", "whoami, registry whoami, auth list, auth status, auth whoami"),
    ("how access comes about", "lading auth explain REF", "auth check, auth test, auth debug, why"),
    ("a token", "lading auth token REF", "token"),
    (
        "to examine a registry",
        "lading registry check REGISTRY",
        "check, ping, doctor, registry ping, registry test, status",
    ),
    (
        "the pulls that are left",
        "lading registry limits REF",
        "limits, ratelimit, image ratelimit, rate-limit, registry limit",
    ),
    (
        "the settings that count",
        "lading registry config",
        "set, config get, config set, registry set, settings, context",
    ),
    ("to run a registry", "lading registry serve", "serve, registry run, registry start, server, daemon, run-registry"),
    (
        "to tidy up a registry's folder",
        "lading registry gc FOLDER",
        "gc, garbage-collect, registry garbage-collect, registry prune",
    ),
    (
        "to remove the local lists that are pushed",
        "lading manifest prune",
        "prune, image prune, clean, cleanup, index prune",
    ),
    ("the versions", "lading version", "about, ver"),
    ("to keep a process ready for loops", "lading warm start", "daemon-start, warmup, prefork, cache warm"),
    ("a tour", "lading demo", "tour, tutorial, example, init, quickstart"),
    ("a list for its registry", "lading manifest push LIST", "index push"),
    ("a list to change", "lading manifest pull REF", "index pull"),
    ("to put files on an image", "lading image append BASE FILE", "append, add-layer, image add-layer"),
    (
        "to change an image",
        "lading image edit REF",
        "mutate, mod, image mod, image mutate, image config-edit, optimize",
    ),
    (
        "to change annotations of an artifact",
        "lading artifact edit REF",
        "annotate, artifact annotate, artifact mod, artifact set",
    ),
    ("to make one layer of all", "lading image flatten REF", "flatten, image optimize"),
    ("to make one layer of several", "lading image squash --from LAYER REF", "squash"),
    ("to put an image on another base", "lading image rebase REF", "rebase"),
    ("to make an image of files", "lading image create TARGET FILE", "image init, image new, image build"),
    ("whether a base is still the one", "lading image check-base REF", "check-base"),
)
"""What is to be done, the command for that, and what others call it."""

ELSEWHERE: tuple[tuple[str, str], ...] = (
    (
        "lading signs nothing; to copy an image with its signatures: lading copy --referrers SRC DST",
        "sign, standalone-sign, standalone-verify, trust, attest",
    ),
    (
        "lading builds no images and runs no containers; to bring a built one to a registry: lading push "
        "docker-daemon:NAME REF",
        "build, run, exec, ps, start, stop, kill, restart, logs, commit, container, compose, buildx, "
        "build, volume, network, system, top, stats, events, attach-container, rmc, pause, wait",
    ),
)
"""What no command does, and what others call it."""


def refuse(path: Sequence[str], args: Sequence[str], known: Iterable[str]) -> UsageError:
    """What to say of a command that there is not: the command that does its job, or one that is spelt like it.

    Args:
        path: the group that it was looked for in, such as `manifest`; empty for lading itself.
        args: what was typed after that.
        known: the commands of the group.
    """
    words = [*path, *_words(args)]
    typed = list(args)
    if words[:1] == ["buildx"] and words[1:2] == ["imagetools"]:
        words, typed = words[1:], typed[1:]
    for length in range(min(len(words), 2), len(path), -1):
        remedy = "      ".join(_found(" ".join(words[:length]), typed[length - len(path) :]))
        if remedy:
            return UsageError(f"there is no command {' '.join(words[:length])!r}", remedy=remedy)
    from difflib import get_close_matches

    close = get_close_matches(args[0], list(known), n=1)
    within = " ".join(["lading", *path])
    remedy = f"did you mean: {within} {close[0]}" if close else f"see those there are: {within} --help"
    return UsageError(f"there is no command {' '.join([*path, args[0]])!r}", remedy=remedy)


def _words(args: Sequence[str]) -> Iterator[str]:
    for word in args:
        if word.startswith("-"):
            return
        yield word


def _found(phrase: str, rest: Sequence[str]) -> list[str]:
    """What does the job of this phrase; with what was typed after it, where that is what the command takes."""
    jobs = dict.fromkeys((said, command) for said, command, names in JOBS if phrase in names.split(", "))
    if not jobs:
        return [said for said, names in ELSEWHERE if phrase in names.split(", ")][:1]
    ready = [(said, filled) for said, command in jobs if (filled := _filled(command, rest)) is not None]
    return [f"{said}: {command}" for said, command in ready or jobs]


def _filled(command: str, rest: Sequence[str]) -> str | None:
    """A command with what was typed; None where that is nothing, or does not fit."""
    holes = [word for word in command.split() if word.isupper()]
    if not rest or len(holes) != len(rest) or any(word.startswith("-") for word in rest):
        return None
    if ("REGISTRY" in holes) == ("/" in rest[0]) and {"REGISTRY", "REPOSITORY"} & set(holes):
        return None
    values = iter(rest)
    return " ".join(shlex.quote(next(values)) if word.isupper() else word for word in command.split())


_LOGIN = "credentials are kept by: lading login REGISTRY -u NAME --password-stdin"
_ALL = "everything that SRC names is copied, all platforms of an index, too; every tag: --all-tags"
_FILES = "files are arguments: [TITLE=]FILE[:TYPE]"
_TARGET = "DST is an argument, such as oci:DIR"
_SOURCE = "SRC is an argument, such as oci:DIR"
_BLOB_HEAD = "what a descriptor says: lading blob head PLACE@DIGEST"
_TAKES = {_FILES: "FILE", _TARGET: "DST", _SOURCE: "SRC", _BLOB_HEAD: "PLACE"}
"""Sentences that are said of commands with such an argument alone."""
OPTIONS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("-o", "--output"), (_TARGET, "--format json")),
    **dict.fromkeys(
        ("--go-template", "--template", "--pretty", "--json", "--format"),
        ("--format json", "content is written as it is: read it with jq"),
    ),
    **dict.fromkeys(
        (
            *("--plain-http", "--tls-verify", "--src-tls-verify", "--dest-tls-verify", "--insecure-registry", "--tls"),
            *("--from-plain-http", "--to-plain-http", "--src-plain-http", "--dst-plain-http", "--skip-tls-verify"),
            *("--insecure-skip-tls-verify", "--insecure-skip-verify", "--http", "--no-tls", "-k"),
        ),
        ("--insecure",),
    ),
    "--remote": ("leave it out: a reference is in a registry",),
    "--tarball": ("name the file: docker-archive:FILE",),
    **dict.fromkeys(("-f", "--force", "--assume-yes", "--no-prompt"), ("--yes", "--replace", _FILES)),
    **dict.fromkeys(("--file", "--file-media-type", "--file-title", "-m"), (_FILES,)),
    "--disable-path-validation": ("a file from elsewhere needs a title: TITLE=FILE",),
    "--allow-path-traversal": ("nothing is written outside of the folder; give another path with --rename TITLE=PATH",),
    "--input": (_SOURCE,),
    "--output-dir": ("--output DIR",),
    "--config-file": ("--config FILE",),
    "--config-type": ("--config FILE:TYPE",),
    "--content-type": ("--media-type TYPE",),
    "--external": ("--referrers-in LOCATION", "lading artifact attach SUBJECT FILE… --referrers-in LOCATION"),
    "--filter-artifact-type": ("--artifact-type PATTERN",),
    "--exclude-referrers": ("--no-referrers", "leave it out: without --referrers they stay behind"),
    "--sort-annotation": ("--sort KEY", "--latest"),
    "--sort-desc": ("--reverse", "--latest"),
    "--size": ("bytes are counted; nothing has to be said for it",),
    "--media-type": ("every media type is taken; nothing has to be said for it",),
    "--platform": ("lading digest --platform OS/ARCH REF",),
    "--referrers": ("what refers to it stays, and lists of referrers are kept right; see it: lading tree REF",),
    "--slow-referrers": ("what a list does not say is read from the manifests; nothing has to be said for it",),
    "--distribution-spec": ("what the registry has is found out; nothing has to be said for it",),
    "--strip-dirs": ("--flatten", "name it: TITLE=FILE"),
    "--include-subject": ("the subject is pulled by its own name: lading copy SUBJECT oci:DIR",),
    "--export-manifest": ("write the manifest to a file afterwards: lading manifest get REF -o FILE",),
    "--descriptor": (_BLOB_HEAD, "what a descriptor says: lading manifest head REF"),
    "--require-digest": ("the digest is always asked for; nothing has to be said for it",),
    "--require-list": ("what it is, its media type says: lading manifest head REF",),
    "--force-tag-dereference": ("a tag goes with what it names; the tag alone: lading delete --untag REF",),
    "--ignore-missing": ("what is missing ends with exit code 3",),
    **dict.fromkeys(
        (
            *("--oci-layout", "--oci-layout-path", "--from-oci-layout", "--to-oci-layout"),
            *("--from-oci-layout-path", "--to-oci-layout-path"),
        ),
        ("name it: oci:DIR:TAG",),
    ),
    **dict.fromkeys(
        (
            *("--arch", "--os", "--override-arch", "--override-os", "--override-variant", "--variant", "--platforms"),
            "--artifact-platform",
        ),
        ("--platform OS/ARCH",),
    ),
    **dict.fromkeys(
        (
            *("--creds", "--src-creds", "--dest-creds", "--username", "--user", "-u", "--password", "-p"),
            *(
                "--identity-token",
                "--registry-token",
                "--src-registry-token",
                "--dest-registry-token",
                "--from-username",
            ),
            *("--from-password", "--to-username", "--to-password", "--password-stdin", "--identity-token-stdin"),
        ),
        (_LOGIN,),
    ),
    **dict.fromkeys(("--cacert", "--cert-dir", "--ca", "--tls-ca", "--ca-cert", "--registry-ca"), ("--ca-file FILE",)),
    **dict.fromkeys(("--cert", "--tls-cert", "--client-cert"), ("--cert-file FILE",)),
    **dict.fromkeys(("--key", "--tls-key", "--client-key"), ("--key-file FILE",)),
    **dict.fromkeys(
        ("--registry-config", "--src-registry-config", "--to-registry-config", "--creds-file"), ("--authfile FILE",)
    ),
    **dict.fromkeys(
        ("-r", "--recursive", "--with-referrers", "--include-referrers", "--digest-tags"),
        ("--referrers", "what tags made of digests name is shown; nothing has to be said for it"),
    ),
    **dict.fromkeys(
        ("--concurrency", "-j", "--parallel", "--threads", "--image-parallel-copies"), ("--jobs N", "it is one request")
    ),
    **dict.fromkeys(("-d", "-v", "--log-level", "--trace"), ("--verbose",)),
    **dict.fromkeys(("-s", "--silent", "--no-tty"), ("--quiet",)),
    **dict.fromkeys(("-a", "--all", "--multi-arch"), ("--all-tags", "--all-clients", "--amend")),
    **dict.fromkeys(("-n", "--limit", "--last"), ("--latest N",)),
    **dict.fromkeys(("--filter", "--grep", "--match"), ("--include PATTERN",)),
    **dict.fromkeys(("--full-ref", "--with-digest"), ("--full", "--digests")),
    **dict.fromkeys(("--tags", "--additional-tag"), ("--tag TAG",)),
    **dict.fromkeys(("--dryrun", "--simulate", "--check", "--plan"), ("--dry-run",)),
    **dict.fromkeys(("--oci",), ("--to oci", "--type oci")),
    **dict.fromkeys(("--no-overwrite", "--keep-existing", "--keep-old-files"), ("--no-clobber",)),
    **dict.fromkeys(("--if-not-exists", "--if-absent"), ("--if-digest absent", "--no-clobber")),
    **dict.fromkeys(("--preserve-digests",), ("digests stay the same; nothing has to be said for it",)),
    **dict.fromkeys(("--retry", "--retry-times", "--retries"), ("lading tries again by itself",)),
    **dict.fromkeys(("-H",), ("--header 'NAME: VALUE'",)),
}
"""Options of others, and what they are here: the first that the command has, or a sentence."""


def option(name: str, command: click.Command) -> str | None:
    """What an option of others is here, where the command has such a thing.

    Args:
        name: the option that the command does not have.
        command: the command.
    """
    has = {opt for param in command.params for opt in param.opts}
    takes = {word for param in command.params for word in re.findall(r"[A-Z]+", str(param.metavar or ""))}
    for said in OPTIONS.get(name, ()):
        if _TAKES.get(said, "") not in {"", *takes}:
            continue
        if not said.startswith("-"):
            return said
        if said.partition(" ")[0] in has:
            return f"did you mean: {said}"
    return None


def misplaced(args: Sequence[str], names: Iterable[str]) -> UsageError | None:
    """What to say of options that stand before the command: where they belong."""
    known = set(names)
    name = next((word for word in args if word in known), None)
    if name is None:
        return None
    return UsageError(
        f"{args[0].partition('=')[0]} stands before the command",
        remedy=f"options come after it: lading {name} {args[0].partition('=')[0]} …",
    )
