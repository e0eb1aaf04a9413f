"""Images with awkward layers, built byte by byte: what engines made of each is in `tests/images/data/awkward.json`.

`CASES` maps a name to an image. `tests/images/observe.py` lets engines unpack them and writes down what came of it.
A layer is written as in `support.layers`; entries that no such text describes are `Entry` objects.
"""

import bz2
import gzip
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from support.images import Manifest, digest_of
from support.layers import END, LAYER, AnyLayer, Blob, Entry, archive, entries, image, padded, record, zstd_frame

OLD = "a=old keep=keep"
TREE = "d/ d/x=x d/sub/ d/sub/old=old keep=keep"
LINKED = "real/ real/x=x link->real"
OUTSIDE = "/tmp/lading-outside"
"""Where layers that lead out lead to; nothing may be made there."""
UP = "../" * 12

CASES: dict[str, Manifest] = {}


def _case(
    name: str,
    *layers: AnyLayer,
    config: Mapping[str, Any] | None = None,
    history: Sequence[Mapping[str, Any]] | None = None,
) -> None:
    """Each image has a config of its own, so that no engine takes one for another; `docker create` needs a command."""
    assert name not in CASES, name
    said = {"config": {"Cmd": ["/x"], "Labels": {"case": name}}, **(config or {})}
    CASES[name] = image(*layers, config=said, history=history)


def _file(name: str | bytes, text: str | bytes = "x", **said: Any) -> Entry:
    return Entry(name, content=text.encode() if isinstance(text, str) else text, **said)


def _stream(content: bytes, plain: bytes, kind: str = "+gzip") -> Blob:
    return Blob(content, plain, f"{LAYER}{kind}")


def _raw(*blocks: bytes, end: bytes = END) -> Blob:
    return Blob.of(b"".join(blocks) + end)


def _base256(value: int, width: int) -> bytes:
    return ((1 << (8 * width - 1)) | (value & ((1 << (8 * width - 1)) - 1))).to_bytes(width, "big")


def _pax(records: bytes, kind: str = "x") -> bytes:
    """An extended header with exactly these bytes."""
    return Entry("pax", kind, records).archived()


def _long(kind: str, text: bytes) -> bytes:
    """A long name or a long link of GNU tar with exactly these bytes."""
    return Entry("././@LongLink", kind, text, is_gnu=True).archived()


# Whiteouts: of every type, in every place

_case("wh-one-of-two-names", "a=old b~a", "-a")
_case("wh-both-names", "a=old b~a keep=keep", "-a -b")
_case("wh-fifo", "p| keep=keep", "-p")
_case("wh-device", "c#c1.3 b#b8.1 keep=keep", "-c -b")
_case("wh-empty-dir", "d/ keep=keep", "-d")
_case("wh-deep", "d/ d/e/ d/e/f/ d/e/f/x=x", "-d/e/f")
_case("wh-then-dir", OLD, "-a a/ a/x=x")
_case("dir-then-wh", OLD, "a/ a/x=x -a")
_case("wh-then-symlink", OLD, "-a a->keep")
_case("symlink-then-wh", OLD, "a->keep -a")
_case("wh-then-hard-link", OLD, "-a n=n a~n")
_case("wh-then-fifo", OLD, "-a a|")
_case("wh-slash-behind", OLD, [Entry(".wh.a/")])
_case("wh-dot-before", OLD, [Entry("./.wh.a")])
_case("wh-two-slashes", TREE, [Entry("d//.wh.x")])
_case("wh-absolute", OLD, [Entry("/.wh.a")])
_case("wh-by-parent", TREE + " a=a", [Entry("d/../.wh.a")])
_case("wh-no-name", OLD, [Entry(".wh.")])
_case("wh-no-name-below", TREE, [Entry("d/.wh.")])
_case("wh-dot-root", OLD, [Entry(".wh..")])
_case("wh-dotdot-root", OLD, [Entry(".wh...")])
_case("wh-four-dots", OLD, [Entry(".wh....")])
_case("wh-of-wh", OLD, [Entry(".wh..wh.a"), *entries("c=c")])
_case("wh-opq-and-more", TREE, [Entry("d/.wh..wh..opqx"), *entries("d/n=n")])
_case("wh-plnk-file", OLD, [Entry(".wh..wh.plnk"), *entries("c=c")])
_case("wh-plnk-below", TREE, [Entry("d/.wh..wh.plnk/", "5", mode=0o700), *entries("d/n=n")])
_case("wh-orph-below", TREE, [Entry("d/.wh..wh.orph/", "5", mode=0o700), _file("d/.wh..wh.orph/f")])
_case("wh-with-content", OLD, [_file(".wh.a", "content", mode=0o4755, uid=3)])
_case("wh-is-fifo", OLD, [Entry(".wh.a", "6")])
_case("wh-is-device", OLD, [Entry(".wh.a", "3", device=(0, 0))])
_case("wh-is-link-to-nowhere", OLD, [Entry(".wh.a", "2", link="/nowhere")])
_case("wh-is-hard-link", OLD, "n=n .wh.a~n")
_case("hard-link-to-wh", OLD, "-a b~.wh.a")
_case("wh-twice", OLD, "-a -a")
_case("wh-twice-spelled", OLD, [Entry(".wh.a"), Entry("./.wh.a")])
_case("wh-through-link-same-layer", "real/ real/x=x", "link->real -link/x")
_case("wh-through-link", LINKED, "-link/x")
_case("wh-below-file", OLD, "-a/x")
_case("wh-below-missing", OLD, "-n/m/ghost")
_case("wh-parent-then-child", TREE, "-d -d/x")
_case("wh-child-then-parent", TREE, "-d/x -d")
_case("wh-implied-before", TREE, "d/new=new -d")
_case("wh-implied-after", TREE, "-d d/new=new")
_case("wh-then-subdir", TREE, "-d d/sub/ d/sub/n=n")
_case("wh-again-and-again", "a=1 k=k", "-a", "a=2", "-a", "a=3")
_case("wh-first-layer", "-a", OLD)
_case("wh-only-layers", "-a", "-b -c/d")
_case("wh-loop", "a->b b->a keep=keep", "-a")
_case("wh-not-utf8", [_file(b"caf\xe9"), _file("keep")], [Entry(b".wh.caf\xe9")])
_case("wh-255-bytes", [_file("n", pax={"path": "n" * 251})], [Entry("w", pax={"path": ".wh." + "n" * 251})])
_case("wh-259-bytes", [_file("n", pax={"path": "n" * 255})], [Entry("w", pax={"path": ".wh." + "n" * 255})])
_case("wh-other-case", "a=1 A=2", "-A")
_case("wh-one-normal-form", [_file("caf\u00e9", "c"), _file("cafe\u0301", "d")], [Entry(".wh.cafe\u0301")])
_case("wh-by-pax", OLD, [Entry("other", pax={"path": ".wh.a"})])
_case("wh-gnu-name", f"d/ d/{'n' * 120}=x", [Entry(f"d/.wh.{'n' * 120}", is_gnu=True)])
_case("wh-names-alike", "a=a", [_file(".wh"), _file(".whx"), _file("x.wh.a"), _file(".WH.a"), _file("wh.a")])
_case("wh-space", "a=a", [Entry(".wh. a"), Entry(".wh.a ")])
_case("wh-in-new-dir", TREE, "n/ n/f=f -n/g")
_case("wh-dir-with-links-in", "d/ d/a=a k~d/a keep=keep", "-d")
_case("wh-file-in-link-target", LINKED, "-real/x")

# Opaque directories

_case("opq-root", TREE, "! n=n")
_case("opq-root-last", TREE, "n=n !")
_case("opq-missing", OLD, "!n")
_case("opq-missing-deep", OLD, "!n/m")
_case("opq-then-entry", TREE, "!d d/@700,3,4")
_case("opq-entry-then", TREE, "d/@700,3,4 !d")
_case("opq-through-link", LINKED, "!link")
_case("opq-through-new-link", "real/ real/x=x", "link->real !link")
_case("opq-through-link-to-file", f"{OLD} s->a", "!s")
_case("opq-below-file", OLD, "!a/b")
_case("opq-is-dir", TREE, [Entry("d/.wh..wh..opq/", "5")])
_case("opq-is-link", TREE, [Entry("d/.wh..wh..opq", "2", link="x")])
_case("opq-with-content", TREE, [_file("d/.wh..wh..opq", "y")])
_case("opq-twice", TREE, "!d d/n=n !d")
_case("opq-in-base", "d/ d/x=x !d")
_case("opq-in-base-middle", "d/ d/x=x !d d/y=y")
_case("opq-on-new-dir", OLD, "a/ !a a/x=x")
_case("opq-sub-only", TREE, "!d/sub")
_case("opq-and-wh-child", TREE, "!d -d/x d/y=y")
_case("opq-dot-before", TREE, [Entry("./d/.wh..wh..opq")])
_case("opq-absolute", TREE, [Entry("/d/.wh..wh..opq")])
_case("opq-two-slashes", TREE, [Entry("d//.wh..wh..opq")])
_case("opq-then-next-layer", TREE, "!d", "d/x=again")
_case("opq-keeps-other-name", "d/ d/x=x k~d/x", "!d")
_case("opq-link-to-hidden", TREE, "!d n~d/x")
_case("opq-link-to-hidden-first", TREE, "n~d/x !d")
_case("opq-over-link", TREE, "d->keep !d")
_case("opq-sub-before-parent", TREE, "d/sub/n=n !d/sub !d")
_case("opq-same-name-new", TREE, "d/x=new !d")
_case("opq-fifo-in-it", TREE, "d/p| !d")
_case("opq-by-pax", TREE, [Entry("other", pax={"path": "d/.wh..wh..opq"})])

# One type takes the place of another

_case("fifo-over-dir", TREE, "d|")
_case("device-over-link", LINKED, "link#c1.3")
_case("file-over-fifo", "p| keep=keep", "p=file")
_case("dir-over-device", "c#c1.3", "c/ c/x=x")
_case("link-over-link", f"{LINKED} other/", "link->other")
_case("hard-link-over-link", f"{LINKED} a=a", "n=n link~n")
_case("link-over-one-name", "a=a b~a", "a->b")
_case("dir-over-one-name", "a=a b~a", "a/ a/x=x")
_case("file-over-one-name", "a=1 b~a", "a=2")
_case("mode-of-one-name", "a=1 b~a", "a=1@600")
_case("file-dir-file", "a=1", "a/ a/x=x", "a=2")
_case("link-dir-child", LINKED, "link/", "link/n=n")
_case("dir-over-dangling", "l->nowhere", "l/")
_case("link-to-itself-over-dir", TREE, "d->d")
_case("link-to-inside-over-dir", TREE, "d->d/sub")
_case("dir-over-file-implied", OLD, "a/b/=x")
_case("dir-again-plain", "d/@711,3,4 d/x=x", "d/")
_case("file-over-dir-then-child", TREE, "d=file", "d/ d/n=n")

# Parents

_case("parent-file-same-layer", "a=a a/x=x")
_case("parent-link-to-file", f"{OLD} s->a", "s/x=x")
_case("parent-dangling", "l->nowhere", "l/x=x")
_case("parent-dangling-same-layer", "l->nowhere l/x=x")
_case("parent-itself", "l->l", "l/x=x")
_case("parent-up-and-down", "a/ b/ a/l->../b", "a/l/n=n")
_case("parent-absolute-same-layer", "real/ l->/real l/n=n")
_case("parent-dot", "d/ l->d/.", "l/n=n")
_case("parent-root", "l->/", "l/n=n")
_case("parent-root-same-layer", "l->/ l/n=n")
_case("parent-fifo", "p|", "p/x=x")
_case("parent-device", "c#c1.3", "c/x=x")
_case("parent-becomes-link", "o/", "d/x=x d->o")
_case("parent-link-then-dir", "o/ l->o", "l/ l/x=x")
_case("parent-45-links", " ".join(["real/", *(f"l{n}->l{n + 1}" for n in range(44)), "l44->real"]), "l0/n=n")
_case("parent-link-in-middle", "a/ a/b/ a/l->b", "a/l/c/n=n")
_case("parent-hard-link-to-link", "real/ l->real h~l", "h/n=n")
_case("escape-etc", "l->/etc", "l/lading-pwned=x")
_case("escape-etc-same-layer", "l->/etc l/lading-pwned=x")
_case("escape-up", f"l->{UP}{OUTSIDE[1:]}", "l/pwned=x")
_case("escape-up-same-layer", f"l->{UP}{OUTSIDE[1:]} l/pwned=x")
_case("escape-by-steps", f"d/ d/up->../.. d/out->up{OUTSIDE}", "d/out/pwned=x")
_case("escape-hard-link", "l->/etc", "h~l/hostname")
_case("escape-hard-link-same-layer", "l->/etc h~l/hostname")
_case("escape-whiteout", f"l->{OUTSIDE} keep=keep", "-l/kept")
_case("escape-opaque", f"l->{OUTSIDE} keep=keep", "!l")
_case("escape-directory", f"l->{OUTSIDE}", "l/d/ l/d/e/")
_case("escape-absolute-name", OLD, [_file(f"{OUTSIDE}/pwned")])
_case("escape-link-then-file", OLD, f"s->{OUTSIDE}/pwned s=x")
_case("escape-link-then-hard-link", OLD, f"s->{OUTSIDE}/pwned h~s h=x")
_case("escape-dots-in-link", "d/ d/l->../../../d", "d/l/n=n")

# Hard links

_case("hl-link-to-dir", "real/ l->real h~l")
_case("hl-link-lower", LINKED, "h~link")
_case("hl-fifo", "p|@600,4,0 h~p@600,4,0")
_case("hl-device", "c#c1.3 h~c")
_case("hl-up-and-down", "d/ a=a h~d/../a")
_case("hl-slash-behind", "a=a h~a/")
_case("hl-two-slashes", "d/ d/a=a h~d//a")
_case("hl-over-three-layers", "a=a", "b~a", "c~b")
_case("hl-then-file", "a=a", "b~a", "b=new")
_case("hl-over-link", "a=a s->a", "n=n s~n")
_case("hl-over-file", "a=a b=b", "n=n b~n")
_case("hl-implied-dir", "d/x=x h~d")
_case("hl-pax-linkpath", [_file("a", "a"), Entry("h", "1", link="wrong", pax={"linkpath": "a"})])
_case("hl-gnu-link", [_file("t" * 110, "a", is_gnu=True), Entry("h", "1", link="t" * 110, is_gnu=True)])
_case("hl-xattr-on-link", [_file("a", "a"), Entry("h", "1", link="a", pax={"SCHILY.xattr.user.x": "1"})])
_case("hl-twice", "a=a b~a b~a")
_case("hl-not-utf8", [_file(b"\xff", "a"), Entry(b"\xfe", "1", link=b"\xff")])
_case("hl-in-hidden-dir", TREE, "-d k~d/x")
_case("hl-to-replaced", "a=1", "a=2 b~a")
_case("hl-size-said", [_file("a", "aaaa"), Entry("h", "1", link="a", size=4), _file("b", "b")])
_case("hl-empty-target", [_file("a"), Entry("h", "1", link="")])
_case("hl-through-link-same-layer", f"{LINKED} h~link/x")
_case("hl-target-absolute-up", "a=a h~/../a")
_case("hl-target-up", "a=a h~../a")
_case("hl-sparse-target", [_file("a", "a" * 600), Entry("h", "1", link="a", mode=0o600)], "-a")
_case("hl-setuid", "a=a@4755,3,0 b~a@4755,3,0", "-a")
_case("hl-before-parent", "a=a p/q/h~a p/@700")
_case("hl-to-whiteout-name", OLD, "h~.wh.a")
_case("hl-cross-then-change", "a=a", "b~a", "a=a@600")

# The same name twice

_case("dup-file-link", "a=1 keep=k a->keep")
_case("dup-link-link", "a->x a->y")
_case("dup-dir-file", "a/ a/x=x a=1")
_case("dup-hl-file", "k=k a~k a=1")
_case("dup-fifo-file", "a| a=1")
_case("dup-spelled", [_file("d/a", "1"), _file("./d//a", "2")])
_case("dup-pax", [_file("a", "1"), _file("b", "2", pax={"path": "a"})])
_case("dup-dir-same", "a/ a/x=x a/")
_case("dup-root", [Entry("./", "5", mode=0o755), Entry(".", "5", mode=0o711), _file("a")])
_case("dup-implied-then-dir", "a/x=x a/@700")
_case("dup-through-link", "real/ l->real real/a=1 l/a=2")
_case("dup-case", "a=1 A=2 b/ B/ b/x=1 B/x=2")

# Names

_case("name-link-slash", [_file("a"), Entry("s/", "2", link="a")])
_case("name-slashes-behind", [_file("a//"), _file("b")])
_case("name-fifo-slash", [Entry("p/", "6"), _file("b")])
_case("name-root-slash", [Entry("/", "5", mode=0o711, uid=3), _file("b")])
_case("name-root-dot", [Entry(".", "5", mode=0o711, uid=3), _file("b")])
_case("name-parent", [Entry("..", "5", mode=0o711, uid=3), _file("b")])
_case("name-parent-slash", [Entry("/../", "5", mode=0o711, uid=3), _file("b")])
_case("name-root-file", [_file("."), _file("b")])
_case("name-dots", [_file("..."), _file("..a"), _file(".../b"), _file("c..")])
_case("name-dot-behind", "d/ d/x=x", [Entry("d/.", "5", mode=0o700)])
_case("name-dotdot-behind", "d/ d/e/ d/x=x", [Entry("d/e/..", "5", mode=0o700)])
_case("name-255", [_file("n", pax={"path": "n" * 255}), _file("m", pax={"path": "ü" * 127 + "n"})])
_case("name-256-below", [_file("n", pax={"path": "d/" + "n" * 256})])
_case("name-parent-256", [_file("n", pax={"path": "n" * 256 + "/d"})])
_case("path-3800", [_file("n", pax={"path": "/".join(["n" * 199] * 19)})])
_case("path-5000", [_file("n", pax={"path": "/".join(["n" * 199] * 25)})])
_case("link-4095", [Entry("s", "2", pax={"linkpath": "/".join(["n" * 15] * 256)})])
_case("link-4096", [Entry("s", "2", pax={"linkpath": "/".join(["n" * 15] * 256) + "x"})])
_case("name-deep", [_file("n", pax={"path": "/".join("d" * 60)})])
_case("name-ustar-prefix-slash", [Entry("x", content=b"x", prefix=b"p/"), Entry("y", content=b"y", prefix=b"/q")])
_case("name-ustar-100", [_file("n" * 100)])
_case("name-control", [_file("a\tb"), _file("c\x1bd"), _file("e\rf"), _file("\x7f")])
_case("name-fullwidth", [_file("\uff41"), _file("\ufe4f"), _file("\u202egnp.exe")])
_case("name-surrogates", [_file(b"\xed\xa0\x80"), _file(b"\xc0\xaf"), _file(b"\xf4\x90\x80\x80")])
_case("name-backslash", [_file("a\\b"), _file("..\\c"), Entry("s", "2", link="..\\..\\x")])
_case("name-colon", [_file("C:\\x"), _file("a:b"), _file("NUL"), _file("con.txt")])

# Extended headers

_case("gnu-name-no-zero", _raw(_long("L", b"n" * 150), _file("short").archived()))
_case("gnu-name-zero-inside", _raw(_long("L", b"ab\0cd\0"), _file("short").archived()))
_case("gnu-name-and-pax", _raw(_long("L", b"gnu\0"), _file("n", pax={"path": "pax"}).archived()))
_case("pax-and-gnu-name", _raw(_pax(record("path", "pax")), _long("L", b"gnu\0"), _file("n").archived()))
_case("gnu-name-twice", _raw(_long("L", b"one\0"), _long("L", b"two\0"), _file("n").archived()))
_case("gnu-name-empty", _raw(_long("L", b"\0"), _file("n").archived()))
_case("gnu-name-at-end", _raw(_file("a").archived(), _long("L", b"name\0")))
_case("gnu-link-on-file", _raw(_long("K", b"target\0"), _file("n").archived(), Entry("s", "2", link="n").archived()))
_case("pax-at-end", _raw(_file("a").archived(), _pax(record("path", "b"))))
_case("pax-twice", _raw(_pax(record("path", "one")), _pax(record("uid", "5")), _file("n").archived()))
_case("pax-key-twice", _raw(_pax(record("path", "one") + record("path", "two")), _file("n").archived()))
_case("pax-path-slash", [_file("n", pax={"path": "dir/"}), _file("b")])
_case("pax-dir-no-slash", [Entry("n/", "5", mode=0o711, pax={"path": "dir"}), _file("b")])
_case("pax-path-up", [_file("n", pax={"path": f"{UP}{OUTSIDE[1:]}/pwned"})])
_case("pax-path-absolute", [_file("n", pax={"path": "/abs"})])
_case("pax-linkpath-on-file", [_file("n", pax={"linkpath": "other"})])
_case("pax-linkpath-empty", [Entry("s", "2", link="a", pax={"linkpath": ""})])
_case("pax-size", [Entry("a", content=b"12345", size=0, pax={"size": "5"}), _file("b")])
_case("pax-size-smaller", [Entry("a", content=b"12345" + bytes(507), size=512, pax={"size": "5"}), _file("b")])
_case("pax-size-on-dir", [Entry("d/", "5", mode=0o755, pax={"size": "5"}), _file("b")])
_case("pax-size-negative", [_file("a", pax={"size": "-1"})])
_case("pax-size-huge", [_file("a", pax={"size": str(2**63)})])
_case("pax-size-empty", [_file("a", "12345", pax={"size": ""}), _file("b")])
_case("pax-uid-negative", [_file("a", pax={"uid": "-1"})])
_case("pax-uid-text", [_file("a", pax={"uid": "root"})])
_case("pax-uid-plus", [_file("a", pax={"uid": "+5"})])
_case("pax-uid-spaces", [_file("a", pax={"uid": " 5"})])
_case("pax-uid-last", [_file("a", pax={"uid": str(2**32 - 2), "gid": str(2**32 - 2)})])
_case("pax-uid-nobody", [_file("a", pax={"uid": str(2**32 - 1)})])
_case("pax-mtime-negative", [_file("a", pax={"mtime": "-1.5"}), _file("b", pax={"mtime": "-86400"})])
_case("pax-mtime-fraction", [_file("a", pax={"mtime": "1000000000.999999999999"})])
_case("pax-mtime-tiny", [_file("a", pax={"mtime": "0.0000001"})])
_case("pax-mtime-huge", [_file("a", pax={"mtime": str(2**40)})])
_case("pax-mtime-dot", [_file("a", pax={"mtime": "5."}), _file("b", pax={"mtime": "6"})])
_case("pax-mtime-no-whole", [_file("a", pax={"mtime": ".5"})])
_case("pax-mtime-exponent", [_file("a", pax={"mtime": "1e9"})])
_case("pax-atime-bad", [_file("a", pax={"atime": "x"})])
_case("pax-hdrcharset", [_file("a", pax={"hdrcharset": "BINARY", "path": b"\xff"})])
_case("pax-length-short", _raw(_pax(b"5 path=b\n"), _file("a").archived()))
_case("pax-length-long", _raw(_pax(b"99 path=b\n"), _file("a").archived()))
_case("pax-length-text", _raw(_pax(b"xx path=b\n"), _file("a").archived()))
_case("pax-no-equals", _raw(_pax(b"8 path\n\n"), _file("a").archived()))
_case("pax-no-key", _raw(_pax(b"5 =b\n"), _file("a").archived()))
_case("pax-no-newline", _raw(_pax(b"9 path=bb"), _file("a").archived()))
_case("pax-no-records", _raw(_pax(b""), _file("a").archived()))
_case("pax-leading-zeros", _raw(_pax(b"011 path=b\n"), _file("a").archived()))
_case("pax-newline-in-value", [_file("a", pax={"path": "x\ny"})])
_case("pax-nul-in-link", [Entry("s", "2", pax={"linkpath": b"a\0b"})])
_case("pax-upper-x", _raw(Entry("pax", "X", record("path", "b")).archived(), _file("a").archived()))
_case("pax-mode", [_file("a", pax={"mode": "0600"})])
_case("pax-long-value", [_file("a", pax={"comment": "c" * 70000})])
_case("pax-huge", _raw(_pax(record("comment", "c" * 1_200_000)), _file("a").archived()))
_case("global-path", _raw(_pax(record("path", "other"), "g"), _file("a").archived()))
_case("global-between", _raw(_file("a").archived(), _pax(record("uid", "7"), "g"), _file("b").archived()))
_case("global-size", _raw(_pax(record("size", "0"), "g"), _file("a", "12345").archived(), _file("b").archived()))
_case("global-xattr", _raw(_pax(record("SCHILY.xattr.user.x", "1"), "g"), _file("a").archived()))
_case("global-after-pax", _raw(_pax(record("path", "b")), _pax(record("uid", "7"), "g"), _file("a").archived()))
_case("global-malformed", _raw(_pax(b"xx path=b\n", "g"), _file("a").archived()))

# Headers

_case("header-v7", [_file("a", raw={257: bytes(255)}), Entry("d/", "\0", raw={257: bytes(255)}, mode=0o755)])
_case("header-v7-dir-content", [Entry("d/", "\0", b"x", raw={257: bytes(255)}, mode=0o755), _file("b")])
_case("header-type-zero", [Entry("a", "\0", b"x"), Entry("d/", "\0", mode=0o711)])
_case("header-star", [_file("a", raw={508: b"tar\0", 476: b"00000001750 00000001750 "})])
_case("header-gnu-times", [Entry("a", content=b"x", is_gnu=True, raw={345: b"00000001750\000000001750\0"})])
_case("header-ustar-00-garbage", [_file("a", raw={500: b"garbage!"})])
_case("header-magic-unknown", [_file("a", raw={257: b"ustra\x0000"}), _file("b")])
_case("header-version", [_file("a", raw={263: b"99"}), _file("b")])
_case("header-checksum-signed", [_file(b"\xe9\xe9", checksum=-512)])
_case("header-checksum-spaces", [_file("a")])
_case("header-checksum-empty", [_file("a"), _file("b", checksum=7)])
_case("header-spaces", [_file("a", raw={100: b"   644 \0", 108: b"     3 \0", 116: b"   4   \0"})])
_case("header-uid-text", [_file("a", raw={108: b"xyz    \0"}), _file("b")])
_case("header-uid-eight", [_file("a", raw={108: b"0000008\0"}), _file("b")])
_case("header-uid-empty", [_file("a", raw={108: bytes(8), 116: b"        "}), _file("b")])
_case("header-uid-full", [_file("a", raw={108: b"00000003", 116: b"00000004"})])
_case("header-mode-text", [_file("a", raw={100: b"rw-r--r-"}), _file("b")])
_case("header-uid-256", [_file("a", raw={108: _base256(5_000_000, 8)})])
_case("header-uid-256-huge", [_file("a", raw={108: _base256(2**40, 8)})])
_case("header-uid-256-negative", [_file("a", raw={108: b"\xff" * 8})])
_case("header-size-256", [Entry("a", content=b"12345", raw={124: _base256(5, 12)}), _file("b")])
_case("header-size-negative", [Entry("a", raw={124: b"\xff" * 12}), _file("b")])
_case("header-size-huge", [Entry("a", raw={124: _base256(2**62, 12)}), _file("b")])
_case("header-size-empty", [Entry("a", raw={124: bytes(12)}), _file("b")])
_case("header-mtime-negative", [_file("a", raw={136: _base256(-86400, 12)})])
_case("header-mtime-far", [_file("a", raw={136: _base256(2**34, 12)})])
_case("header-mtime-text", [_file("a", raw={136: b"yesterday\0\0\0"}), _file("b")])
_case("header-device-256", [Entry("c", "3", raw={329: _base256(300, 8), 337: _base256(70000, 8)})])
_case("header-device-text", [_file("a", raw={329: b"xxxxxxx\0"}), _file("b")])
_case("header-device-huge", [Entry("c", "3", raw={329: _base256(2**33, 8)})])
_case("header-mode-256", [_file("a", raw={100: _base256(0o640, 8)})])
_case("header-link-on-file", [_file("a", link="other"), _file("b")])
_case("type-A", [Entry("a", "A", b"x"), _file("b")])
_case("type-M", [Entry("a", "M", b"x", is_gnu=True), _file("b")])
_case("type-N", [Entry("a", "N", b"x", is_gnu=True), _file("b")])
_case("type-I", [Entry("a", "I", b"x"), _file("b")])
_case("type-8", [Entry("a", "8", b"x"), _file("b")])
_case("type-unnamed-V", [Entry("", "V", is_gnu=True), _file("b")])

# Sparse files

_SPARSE = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "a"}


def _sparse10(mapped: str, data: bytes, size: int, **more: str) -> Entry:
    content = padded(mapped.encode()) + data
    return Entry("GNUSparseFile.0/a", content=content, pax={**_SPARSE, "GNU.sparse.realsize": str(size), **more})


_case("sparse-10-two", [_sparse10("2\n512\n3\n2048\n4\n", b"abcdefg", 4096), _file("b")])
_case("sparse-10-end", [_sparse10("2\n0\n3\n4096\n0\n", b"abc", 4096), _file("b")])
_case("sparse-10-empty", [_sparse10("0\n", b"", 4096), _file("b")])
_case("sparse-10-nothing", [_sparse10("0\n", b"", 0), _file("b")])
_case("sparse-10-overlap", [_sparse10("2\n0\n3\n2\n4\n", b"abcdefg", 4096), _file("b")])
_case("sparse-10-beyond", [_sparse10("1\n4094\n3\n", b"abc", 4096), _file("b")])
_case("sparse-10-too-little", [_sparse10("1\n0\n9\n", b"abc", 4096), _file("b")])
_case("sparse-10-too-much", [_sparse10("1\n0\n2\n", b"abc", 4096), _file("b")])
_case("sparse-10-text", [_sparse10("one\n0\n2\n", b"ab", 4096), _file("b")])
_case("sparse-10-cut-map", [Entry("GNUSparseFile.0/a", content=b"2\n0\n", pax={**_SPARSE, "GNU.sparse.realsize": "9"})])
_case("sparse-10-long-map", [_sparse10("200\n" + "".join(f"{n * 8}\n1\n" for n in range(200)), b"s" * 200, 1600)])
_case("sparse-10-on-link", [Entry("s", "2", link="x", pax={**_SPARSE, "GNU.sparse.realsize": "9"}), _file("b")])
_case(
    "sparse-01",
    [
        Entry(
            "GNUSparseFile.0/a",
            content=b"abcdefg",
            pax={
                "GNU.sparse.size": "4096",
                "GNU.sparse.numblocks": "2",
                "GNU.sparse.name": "a",
                "GNU.sparse.map": "512,3,2048,4",
            },
        ),
        _file("b"),
    ],
)
_case(
    "sparse-00",
    _raw(
        _pax(
            record("GNU.sparse.size", "4096")
            + record("GNU.sparse.numblocks", "2")
            + b"".join(
                record(f"GNU.sparse.{what}", str(number))
                for what, number in (("offset", 512), ("numbytes", 3), ("offset", 2048), ("numbytes", 4))
            )
        ),
        Entry("a", content=b"abcdefg").archived(),
        _file("b").archived(),
    ),
)
_case(
    "sparse-01-odd",
    [
        Entry(
            "a", content=b"abc", pax={"GNU.sparse.size": "9", "GNU.sparse.numblocks": "2", "GNU.sparse.map": "0,3,5"}
        ),
        _file("b"),
    ],
)
_case(
    "sparse-old-more",
    _raw(
        Entry(
            "a",
            "S",
            b"",
            size=10,
            is_gnu=True,
            raw={
                386: b"".join(b"%011o\0%011o\0" % (at * 512, 2) for at in range(4)),
                482: b"\1",
                483: b"%011o\0" % 4096,
            },
        ).archived(),
        (b"%011o\0%011o\0" % (2048, 2)).ljust(512, b"\0"),
        padded(b"aabbccddee"),
        _file("b").archived(),
    ),
)
_case("sparse-version-2", [Entry("a", content=b"abc", pax={"GNU.sparse.major": "2", "GNU.sparse.minor": "0"})])

# Attributes, modes, times

_CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")
_ACL = bytes.fromhex("0200000001000600ffffffff02000400e803000004000400ffffffff10000600ffffffff20000400ffffffff")
_case("xattr-capability-root", [_file("a", mode=0o755, pax={"SCHILY.xattr.security.capability": _CAPABILITY})])
_case(
    "xattr-capability-replaced",
    [_file("a", mode=0o755, pax={"SCHILY.xattr.security.capability": _CAPABILITY})],
    [_file("a", "new", mode=0o755)],
)
_case("xattr-on-link", [_file("a"), Entry("s", "2", link="a", pax={"SCHILY.xattr.trusted.x": "1"})])
_case("xattr-user-on-link", [_file("a"), Entry("s", "2", link="a", pax={"SCHILY.xattr.user.x": "1"})])
_case("xattr-trusted", [_file("a", pax={"SCHILY.xattr.trusted.x": "1"})])
_case("xattr-acl", [_file("a", mode=0o664, pax={"SCHILY.xattr.system.posix_acl_access": _ACL})])
_case("xattr-empty", [_file("a", pax={"SCHILY.xattr.user.x": ""})])
_case("xattr-no-name", [_file("a", pax={"SCHILY.xattr.": "1"})])
_case("xattr-no-namespace", [_file("a", pax={"SCHILY.xattr.x": "1"})])
_case("xattr-on-dir", [Entry("d/", "5", mode=0o755, pax={"SCHILY.xattr.user.x": "1"}), _file("d/x")])
_case("xattr-on-fifo", [Entry("p", "6", pax={"SCHILY.xattr.trusted.x": "1"})])
_case("xattr-setuid", [_file("a", mode=0o4755, uid=3, pax={"SCHILY.xattr.user.x": "1"})])
_case(
    "xattr-overlay-redirect", TREE, [Entry("n/", "5", mode=0o755, pax={"SCHILY.xattr.trusted.overlay.redirect": "/d"})]
)
_case("xattr-overlay-user", TREE, [Entry("d/", "5", mode=0o755, pax={"SCHILY.xattr.user.overlay.opaque": "y"})])
_case("mode-all", "f=x@7777 d/@7777")
_case("mode-setuid-dir", "d/@4755,3,0 d/x=x e/@2755,0,3 e/x=x")
_case("mode-sticky-file", "f=x@1644")
_case("mode-none", "f=x@0 d/@0 d/x=x")
_case("mode-beyond", [_file("a", mode=0o1000644), Entry("d/", "5", mode=0o170755)])
_case("mode-link", [_file("a"), Entry("s", "2", link="a", mode=0o600), Entry("t", "2", link="a", mode=0o4777)])
_case("owner-link", [_file("a"), Entry("s", "2", link="a", uid=3, gid=4)])
_case("owner-setuid", "f=x@6755,3,4 p|@6644,3,4")
_case("owner-names", [_file("a", uid=5, raw={265: b"nobody", 297: b"nogroup"})])
_case("time-zero", [_file("a", mtime=0), Entry("d/", "5", mtime=0, mode=0o755), Entry("s", "2", link="a", mtime=0)])
_case("time-2038", [_file("a", mtime=2**31), _file("b", mtime=2**32)])
_case("time-of-dir", [Entry("d/", "5", mtime=77, mode=0o755), _file("d/x")], "d/y=y")

# Streams

_A = archive([_file("a", "a" * 700), _file("b", "b")])
_HALF = len(_A) // 2
_THIRD = _A[:700], _A[700:1400], _A[1400:]
_NAMED = b"\x1f\x8b\x08\x1c" + bytes(4) + b"\0\xff" + struct.pack("<H", 4) + b"EX\0\0" + b"name\0comment\0"
_DEFLATED = zlib.compressobj(9, zlib.DEFLATED, -15)
_BODY = _DEFLATED.compress(_A) + _DEFLATED.flush()
_TRAILER = struct.pack("<II", zlib.crc32(_A), len(_A))


def _skip(number: int, text: bytes = b"abc") -> bytes:
    return struct.pack("<II", 0x184D2A50 + number, len(text)) + text


def _gzipped(content: bytes) -> bytes:
    return gzip.compress(content, 1, mtime=0)


_case("stream-three-members", _stream(b"".join(map(_gzipped, _THIRD)), _A))
_case("stream-empty-members", _stream(_gzipped(b"") + _gzipped(_A) + _gzipped(b""), _A))
_case("stream-member-per-byte", _stream(b"".join(_gzipped(_A[at : at + 40]) for at in range(0, len(_A), 40)), _A))
_case("stream-gzip-header", _stream(_NAMED + _BODY + _TRAILER, _A))
_case("stream-gzip-crc", _stream(b"\x1f\x8b\x08\0" + bytes(6) + _BODY + struct.pack("<II", 1, len(_A)), _A))
_case("stream-gzip-length", _stream(b"\x1f\x8b\x08\0" + bytes(6) + _BODY + struct.pack("<II", zlib.crc32(_A), 1), _A))
_case("stream-gzip-no-trailer", _stream(_gzipped(_A)[:-8], _A))
_case("stream-gzip-half", _stream(_gzipped(_A)[:-30], _A))
_case("stream-gzip-second-cut", _stream(_gzipped(_A[:_HALF]) + _gzipped(_A[_HALF:])[:-9], _A))
_case("stream-gzip-magic-behind", _stream(_gzipped(_A) + b"\x1f\x8b", _A))
_case("stream-zlib", _stream(zlib.compress(_A), _A))
_case("stream-bzip2", _stream(bz2.compress(_A), _A))
_case("stream-two-frames", _stream(zstd_frame(_A[:_HALF]) + zstd_frame(_A[_HALF:]), _A, "+zstd"))
_case("stream-skip-between", _stream(zstd_frame(_A[:_HALF]) + _skip(3) + zstd_frame(_A[_HALF:]), _A, "+zstd"))
_case("stream-skip-behind", _stream(zstd_frame(_A) + _skip(15) + _skip(0, b""), _A, "+zstd"))
_case("stream-skip-only", _stream(_skip(0), b"", "+zstd"))
_case("stream-skip-twice-first", _stream(_skip(1) + _skip(2) + zstd_frame(_A), _A, "+zstd"))
_case("stream-empty-frame", _stream(zstd_frame(b"") + zstd_frame(_A), _A, "+zstd"))
_case("stream-zstd-garbage", _stream(zstd_frame(_A) + b"garbage!", _A, "+zstd"))
_case("stream-zstd-zeros", _stream(zstd_frame(_A) + bytes(512), _A, "+zstd"))
_case("stream-zstd-half", _stream(zstd_frame(_A)[:-100], _A, "+zstd"))
_case("stream-zstd-as-gzip", _stream(zstd_frame(_A), _A))
_case("stream-gzip-as-zstd", _stream(_gzipped(_A), _A, "+zstd"))
_case("stream-zstd-as-tar", _stream(zstd_frame(_A), _A, ""))
_case("stream-tar-as-zstd", _stream(_A, _A, "+zstd"))
_case("stream-tar", _stream(_A, _A, ""))
_case("stream-gzip-then-zstd", _stream(_gzipped(_A[:_HALF]) + zstd_frame(_A[_HALF:]), _A))
_case("stream-gzip-in-gzip", _stream(_gzipped(_gzipped(_A)), _gzipped(_A)))
_case("stream-empty-gzip", OLD, _stream(_gzipped(b""), b""))
_case("stream-empty-zstd", OLD, _stream(zstd_frame(b""), b"", "+zstd"))
_case("stream-nothing-gzip", OLD, _stream(b"", b""))
_case("stream-docker-type", Blob(_gzipped(_A), _A, "application/vnd.docker.image.rootfs.diff.tar.gzip"))
_case("stream-text", _stream(b"this is no tar archive" * 40, b"this is no tar archive" * 40, ""))
_case("end-one-zero-block", Blob.of(_A[: -len(END)] + bytes(512)))
_case("end-one-zero-then-header", Blob.of(_file("a").archived() + bytes(512) + _file("b").archived() + END))
_case("end-first-zero", Blob.of(END + _file("b").archived() + END))
_case("end-many-zeros", Blob.of(_A + bytes(20 * 512)))
_case("end-odd-length", Blob.of(_A + b"\0" * 100))
_case("end-zero-and-rest", Blob.of(_A[: -len(END)] + bytes(512) + b"garbage" * 3))
_case("end-half-block", Blob.of(_A[: -len(END)] + bytes(300)))
_case("end-half-header", Blob.of(_A[: -len(END)] + _file("c").archived()[:300]))
_case("end-in-content", Blob.of(_file("a", "a" * 2000).archived()[:1500]))
_case("end-in-pax", Blob.of(_pax(record("comment", "c" * 600))[:800]))
_case("end-after-pax", Blob.of(_pax(record("path", "b"))))
_case("end-content-no-padding", Blob.of(_file("a", "a" * 5).archived()[:517]))
_case("only-zeros", OLD, Blob.of(bytes(512)))
_case("only-five-bytes", OLD, Blob.of(b"hello"))

# The image around its layers

_FILES = archive("a=a"), archive("b=b", 1)
_IDS = [digest_of(one) for one in _FILES]
_case("image-diff-ids-swapped", "a=a", "b=b", config={"rootfs": {"type": "layers", "diff_ids": _IDS[::-1]}})
_case("image-diff-id-wrong", "a=a", config={"rootfs": {"type": "layers", "diff_ids": [_IDS[1]]}})
_case("image-diff-ids-many", "a=a", config={"rootfs": {"type": "layers", "diff_ids": _IDS}})
_case("image-diff-ids-none", "a=a", config={"rootfs": {"type": "layers", "diff_ids": []}})
_case("image-no-rootfs", "a=a", config={"rootfs": None})
_case("image-diff-id-upper", "a=a", config={"rootfs": {"type": "layers", "diff_ids": [_IDS[0].upper()]}})
_case("image-diff-id-text", "a=a", config={"rootfs": {"type": "layers", "diff_ids": ["none"]}})
_case("image-history-short", "a=a", "b=b", history=[{"created_by": "one"}])
_case("image-history-none", "a=a", "b=b", history=[])
_case("image-equal-layers", Blob.of(_FILES[0]), Blob.of(_FILES[0]))
_case("image-wh-between", Blob.of(_FILES[0]), "-a", Blob.of(_FILES[0]), "-a")
