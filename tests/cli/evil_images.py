#!/usr/bin/env python3
"""Writes images that must be refused, and what each refusal must name.

    evil_images.py DIR        DIR/NAME (a file or a layout) and DIR/NAME.expect (a regular expression)
    evil_images.py --good DIR images that look odd and are right; NAME.expect is what `find` must list
"""
import gzip
import hashlib
import io
import json
import os
import struct
import sys
import tarfile


def tar(*entries):
    """Each entry: (name, dict of TarInfo attributes, data)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as t:
        for name, fields, data in entries:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.mtime = 1
            for key, value in fields.items():
                setattr(info, key, value)
            t.addfile(info, io.BytesIO(data))
    return out.getvalue()


def file(name, data=b"x", **fields):
    return (name, fields, data)


def directory(name, **fields):
    return (name, dict(type=tarfile.DIRTYPE, mode=0o755, **fields), b"")


def link(name, target):
    return (name, dict(type=tarfile.SYMTYPE, linkname=target), b"")


def hard(name, target):
    return (name, dict(type=tarfile.LNKTYPE, linkname=target), b"")


BASE = directory("etc"), file("etc/passwd", b"root\n")


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)


class Layout:
    """An OCI layout; what a test spoils is changed before save()."""

    def __init__(self, *layers):
        self.blobs = {}
        self.config = {
            "architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/sh"]},
            "rootfs": {"type": "layers", "diff_ids": [digest(l) for l in layers]},
        }
        self.manifest = {"schemaVersion": 2, "layers": [self.put(l) for l in layers]}
        self.index = None

    def put(self, data, kind="application/vnd.oci.image.layer.v1.tar"):
        d = digest(data)
        self.blobs[d] = data
        return {"mediaType": kind, "digest": d, "size": len(data)}

    def put_json(self, value, kind):
        return self.put(json.dumps(value).encode(), kind)

    def save(self, path):
        self.manifest.setdefault("config", self.put_json(self.config, "application/vnd.oci.image.config.v1+json"))
        if self.index is None:
            self.index = {"schemaVersion": 2, "manifests": [
                self.put_json(self.manifest, "application/vnd.oci.image.manifest.v1+json")]}
        write(path + "/oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        index = self.index if isinstance(self.index, bytes) else json.dumps(self.index).encode()
        write(path + "/index.json", index)
        for d, data in self.blobs.items():
            write(path + "/blobs/sha256/" + d[7:], data)


def evil_tars():
    yield "dotdot", tar(*BASE, file("etc/../../vsandbox-escaped")), r"entry etc/\.\./\.\./vsandbox-escaped: its name has '\.\.'"
    yield "absolute", tar(*BASE, file("/tmp/vsandbox-escaped")), r"entry /tmp/vsandbox-escaped: its name is absolute"
    yield "link-absolute", tar(*BASE, link("out", "/etc"), file("out/vsandbox-escaped")), \
        r"entry out/vsandbox-escaped: its directory is a link that leaves the root"
    yield "link-dotdot", tar(*BASE, link("etc/out", "../../.."), file("etc/out/vsandbox-escaped")), \
        r"entry etc/out/vsandbox-escaped: its directory is a link that leaves the root"
    yield "link-of-link", tar(*BASE, link("a", "b"), link("b", "../.."), file("a/vsandbox-escaped")), \
        r"entry a/vsandbox-escaped: its directory is a link that leaves the root"
    yield "hard-absolute", tar(*BASE, hard("h", "/etc/shadow")), r"entry h: it is a hard link out of the root"
    yield "hard-dotdot", tar(*BASE, hard("h", "../../../../etc/shadow")), r"entry h: it is a hard link out of the root"
    yield "hard-through-link", tar(*BASE, link("out", "/etc"), hard("h", "out/shadow")), \
        r"entry h: its directory is a link that leaves the root"
    yield "hard-missing", tar(*BASE, hard("h", "nothing")), r"entry h: it is a hard link to what is not there"
    yield "hard-directory", tar(*BASE, hard("h", "etc")), r"entry h: it is a hard link to a directory"
    yield "twice", tar(*BASE, file("etc/passwd", b"evil")), r"entry etc/passwd: it is there twice"
    yield "file-as-directory", tar(*BASE, file("etc/passwd/x")), \
        r"entry etc/passwd/x: what should be its directory is none"
    yield "long-name", tar(*BASE, file("n" * 256)), r"entry n+…: a name in it is longer than 255 bytes"
    yield "long-path", tar(*BASE, file("/".join(["d" * 200] * 30))), r"entry d+.*: its name is longer than 4095"
    yield "deep", tar(*BASE, file("d/" * 300 + "f")), r"entry d/d/.*: it lies deeper than 256 directories"
    for mark in "user.overlay.redirect", "trusted.overlay.opaque", "user.overlay.whiteout":
        yield "mark-" + mark, tar(*BASE, file("m", pax_headers={"SCHILY.xattr." + mark: "y"})), \
            r"entry m: it carries " + mark.replace(".", r"\.")
    # a header that claims 8 EiB, with nothing behind it
    huge = bytearray(tar(*BASE, file("huge", b"")))
    at = huge.index(b"huge\0")
    huge[at + 124:at + 136] = b"\x80" + b"\0" * 3 + struct.pack(">Q", 1 << 62)
    huge[at + 148:at + 156] = b" " * 8
    huge[at + 148:at + 156] = b"%06o\0 " % sum(huge[at:at + 512])
    yield "huge", bytes(huge), r"entry huge: it claims 4611686018427387904 bytes"
    # sparse: a terabyte of hole in 3 KiB
    yield "sparse", tar(*BASE, file("sparse", b"1\n1099511627776\n0\n" + b"\0" * 494, pax_headers={
        "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "sparse",
        "GNU.sparse.realsize": "1099511627776"})), r"entry sparse: it claims 1099511627776 bytes"
    yield "bomb", gzip.compress(tar(*BASE, file("zeros", b"\0" * (300 << 20)))), r"entry zeros: a bomb: [0-9]+ bytes out of [0-9]+"
    yield "truncated", tar(*BASE, file("f", b"x" * 100000))[:50000], r"[Tt]runcated"
    yield "truncated-gzip", gzip.compress(tar(*BASE, file("f", os.urandom(100000))))[:50000], r"[Tt]runcated"
    yield "empty", b"", r"neither a tar nor a compressed one"
    yield "noise", os.urandom(4096), r"."
    yield "nothing-in-it", tar(), r"there is nothing in it"


def evil_layouts():
    l = Layout(tar(*BASE))
    next(iter(l.blobs.items()))
    spoilt = l.manifest["layers"][0]["digest"]
    l.blobs[spoilt] = tar(*BASE, file("added"))
    yield "layer-digest", l, r"layer 1 of 1: its digest is sha256:\w+, not " + spoilt
    l = Layout(tar(*BASE))
    l.config["rootfs"]["diff_ids"] = [digest(b"other")]
    yield "diff-id", l, r"layer 1 of 1: its content has the digest"
    l = Layout(tar(*BASE))
    l.config["rootfs"]["diff_ids"] *= 2
    yield "diff-id-count", l, r"the image has 1 layers, its config names 2"
    l = Layout(tar(*BASE))
    l.manifest["config"] = {"digest": digest(b"none"), "size": 4}
    yield "no-config", l, r"the image config blobs/sha256/\w+ cannot be opened"
    l = Layout(tar(*BASE))
    l.manifest["layers"][0]["digest"] = "sha256:../../../../../etc/passwd"
    yield "digest-path", l, r"layer 1 of the image manifest has no valid sha256 digest"
    l = Layout(tar(*BASE))
    l.manifest["layers"] = []
    l.config["rootfs"]["diff_ids"] = []
    yield "no-layers", l, r"the image has no layers"
    l = Layout(tar(*BASE))
    l.index = {"manifests": []}
    yield "no-manifests", l, r"the image index has 0 images"
    # an index cannot hold its own digest, but a blob may be put under a name that is not its own
    l = Layout(tar(*BASE))
    row = {"mediaType": "application/vnd.oci.image.index.v1+json", "digest": digest(b"cycle"), "size": 1}
    l.index = {"manifests": [row]}
    l.blobs[row["digest"]] = json.dumps(l.index).encode()
    yield "cycle", l, r"the image index is not what its digest"
    # and one may lead to the next without end
    l = Layout(tar(*BASE))
    row = l.put_json(l.manifest, "application/vnd.oci.image.manifest.v1+json")
    for _ in range(9):
        row = l.put_json({"manifests": [row]}, "application/vnd.oci.image.index.v1+json")
    l.index = {"manifests": [row]}
    yield "index-of-index", l, r"indexes lead from one to another more than 4 times"
    l = Layout(tar(*BASE))
    l.index = b'{"manifests":' + b"[" * 100000
    yield "deep-json", l, r"the image index is no JSON"
    l = Layout(tar(*BASE))
    l.index = {"manifests": [l.put_json({"n": i}, "x") for i in range(2)]}
    yield "which", l, r"the image index has 2 images: name one as PATH:TAG"
    for name, mark in ("wh-dotdot", ".wh..."), ("wh-dot", ".wh.."), ("wh-none", ".wh."), ("wh-wh", ".wh..wh.plnk"):
        yield name, Layout(tar(*BASE), tar(file("etc/" + mark, b""))), \
            r"layer 2 of 2: entry etc/" + mark.replace(".", r"\.") + ": it is a whiteout of nothing"
    yield "wh-slip", Layout(tar(*BASE, link("out", "/tmp")), tar(file("out/.wh.vsandbox-escaped", b""))), \
        r"layer 2 of 2: entry out/\.wh\.vsandbox-escaped: its directory is a link that leaves the root"
    yield "wh-opaque-slip", Layout(tar(*BASE, link("out", "/tmp")), tar(file("out/.wh..wh..opq", b""))), \
        r"layer 2 of 2: entry out/\.wh\.\.wh\.\.opq: its directory is a link that leaves the root"


def good_layouts():
    """What whiteouts between layers come to."""
    base = tar(directory("a"), file("a/1"), file("a/2"), directory("b"), file("b/1"), directory("b/s"),
               file("b/s/x"), directory("c"), file("c/1"))
    yield "whiteout", Layout(base, tar(file("a/.wh.1", b""), file("a/3"))), "a a/2 a/3 b b/1 b/s b/s/x c c/1"
    # whatever the order in the archive, an opaque mark never takes what its own layer brings
    yield "opaque-after", Layout(base, tar(directory("b"), file("b/new"), file("b/.wh..wh..opq", b""))), \
        "a a/1 a/2 b b/new c c/1"
    yield "whiteout-directory", Layout(base, tar(file(".wh.b", b""))), "a a/1 a/2 c c/1"
    yield "whiteout-then-again", Layout(base, tar(file(".wh.b", b""), directory("b"), file("b/z"))), \
        "a a/1 a/2 b b/z c c/1"
    yield "whiteout-of-nothing", Layout(base, tar(file("none/.wh.x", b""))), "a a/1 a/2 b b/1 b/s b/s/x c c/1"
    yield "type-change", Layout(base, tar(file("c"), directory("a/2"), file("a/2/in"))), \
        "a a/1 a/2 a/2/in b b/1 b/s b/s/x c"
    yield "first-layer-whiteout", Layout(tar(directory("a"), file("a/.wh.x", b""), file("a/1"))), "a a/1"
    same = tar(directory("a"), file("a/1"))
    yield "layer-twice", Layout(same, same), "a a/1"
    yield "link-inside", Layout(tar(directory("usr"), directory("usr/lib"), link("lib", "usr/lib"), file("lib/so"))), \
        "lib usr usr/lib usr/lib/so"
    yield "closed-directory", Layout(tar(("d", dict(type=tarfile.DIRTYPE, mode=0), b""), file("d/f")),
                                     tar(file("d/g"))), "d d/f d/g"


def main():
    good = sys.argv[1] == "--good"
    out = sys.argv[-1]
    os.makedirs(out, exist_ok=True)
    if not good:
        for name, data, expect in evil_tars():
            write(out + "/" + name, data)
            write(out + "/" + name + ".expect", expect.encode() + b"\n")
    for name, layout, expect in good_layouts() if good else evil_layouts():
        layout.save(out + "/" + name)
        write(out + "/" + name + ".expect", expect.encode() + b"\n")


main()
