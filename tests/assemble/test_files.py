import os
import socket
from dataclasses import replace

import pytest

from staunch.assemble.files import FilesReader, files_digest, files_parts
from staunch.errors import HostError, SpecError, UntrustedError
from staunch.model.entry import Inline, Kind
from staunch.model.spec import FilesSpec, Place

PLACE = Place("spec.yaml", 7, 3)


def spec(source, target="/app", exclude=()):
    return FilesSpec(source, target, tuple(exclude), PLACE)


@pytest.fixture
def app(tmp_path):
    root = tmp_path / "app"
    (root / "lib/tests").mkdir(parents=True)
    (root / "main.py").write_bytes(b"print(1)\n")
    (root / "run").write_bytes(b"#!/usr/bin/python3\n")
    (root / "run").chmod(0o700)
    (root / "lib/x.py").write_bytes(b"x = 1\n")
    (root / "lib/tests/t.py").write_bytes(b"")
    (root / "link").symlink_to("lib/x.py")
    (root / "lib/up").symlink_to("../lib")
    return root


def listing(part):
    return [(e.path, e.kind, e.mode, e.link) for e in part.entries]


def test_a_folder_lands_below_the_target(app):
    (part,) = files_parts([spec(app, exclude=["tests"])])
    assert part.id == "files:0"
    assert listing(part) == [
        ("app", Kind.DIR, 0o755, ""),
        ("app/lib", Kind.DIR, 0o755, ""),
        ("app/lib/up", Kind.SYMLINK, 0o777, "../lib"),
        ("app/lib/x.py", Kind.FILE, 0o644, ""),
        ("app/link", Kind.SYMLINK, 0o777, "lib/x.py"),
        ("app/main.py", Kind.FILE, 0o644, ""),
        ("app/run", Kind.FILE, 0o755, ""),
    ]
    assert {(e.uid, e.gid) for e in part.entries} == {(0, 0)}
    assert part.size == sum(e.size for e in part.entries)


def test_readers_give_the_bytes_back(app):
    item = spec(app)
    (part,) = files_parts([item])
    wanted = {e.body.name: e for e in part.entries if e.kind is Kind.FILE}
    got = {name: b"".join(pieces) for name, pieces in FilesReader(item).payloads(wanted)}
    assert got["main.py"] == b"print(1)\n"
    assert {name: len(data) for name, data in got.items()} == {n: e.size for n, e in wanted.items()}


@pytest.mark.parametrize(
    ("target", "path"),
    [("/app/serve.py", "app/serve.py"), ("/app/", "app/main.py"), ("/", "main.py")],
)
def test_a_file_lands_at_or_in_the_target(app, target, path):
    item = spec(app / "main.py", target)
    (part,) = files_parts([item])
    assert [e.path for e in part.entries] == [path]
    assert [b"".join(p) for _, p in FilesReader(item).payloads([part.entries[0].body.name])] == [
        b"print(1)\n"
    ]


def test_the_digest_tells_contents_and_the_executable_bit_and_no_more(app):
    before = files_digest(files_parts([spec(app)]))
    os.utime(app / "main.py", (1, 1))
    (app / "main.py").chmod(0o666)
    (app / "__pycache__").mkdir()
    (app / "__pycache__/x.pyc").write_bytes(b"x")
    (app / ".git").mkdir()
    assert files_digest(files_parts([spec(app)])) == before
    (app / "main.py").chmod(0o755)
    after = files_digest(files_parts([spec(app)]))
    assert after != before
    (app / "main.py").write_bytes(b"print(2)\n")
    assert files_digest(files_parts([spec(app)])) != after


def test_the_source_itself_may_be_a_link(app, tmp_path):
    (tmp_path / "current").symlink_to(app)
    (part,) = files_parts([spec(tmp_path / "current")])
    assert "app/main.py" in [e.path for e in part.entries]


@pytest.mark.parametrize("target", ["/etc/passwd", "../../x", "lib/../../x", "lib/up/../../out"])
def test_links_that_lead_out_are_refused(app, target):
    (app / "bad").symlink_to(target)
    with pytest.raises(SpecError, match="leads out of") as caught:
        files_parts([spec(app)])
    assert target in caught.value.why
    assert "files[0].from (spec.yaml:7:3)" in caught.value.what
    files_parts([spec(app, exclude=["bad"])])


@pytest.mark.parametrize("links", [{"self": "self"}, {"a": "b", "b": "a"}, {"d": "d/x"}])
def test_links_in_a_circle_are_refused(app, links):
    for name, target in links.items():
        (app / name).symlink_to(target)
    with pytest.raises(SpecError, match="runs in a circle"):
        files_parts([spec(app)])


def test_a_link_may_dangle_inside(app):
    (app / "later").symlink_to("made/at/run/time")
    (part,) = files_parts([spec(app)])
    assert "app/later" in [e.path for e in part.entries]


def test_special_files_are_refused(app, tmp_path):
    os.mkfifo(app / "pipe")
    with pytest.raises(SpecError, match="pipe is a FIFO"):
        files_parts([spec(app)])
    with pytest.raises(SpecError, match="pipe is a FIFO"):
        files_parts([spec(app / "pipe")])
    (app / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as one:
        here = os.open(app, os.O_RDONLY)
        try:
            one.bind(f"/proc/self/fd/{here}/sock")
        finally:
            os.close(here)
        with pytest.raises(SpecError, match="sock is a socket"):
            files_parts([spec(app)])


def test_names_that_are_not_utf8_are_refused(app):
    (app / os.fsdecode(b"caf\xe9")).write_bytes(b"")
    with pytest.raises(SpecError, match=r"the name caf\\xe9 is not UTF-8"):
        files_parts([spec(app)])


def test_long_paths_are_refused(app):
    deep = app
    here = os.open(app, os.O_RDONLY)
    try:
        for _ in range(18):
            os.mkdir("d" * 250, dir_fd=here)
            below = os.open("d" * 250, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
    finally:
        os.close(here)
    with pytest.raises((SpecError, HostError), match=r"bytes long|cannot read"):
        files_parts([spec(deep)])


def test_a_missing_source(tmp_path):
    with pytest.raises(SpecError, match="there is no"):
        files_parts([spec(tmp_path / "none")])


@pytest.mark.parametrize("target", ["/a/../b", "/a//b"])
def test_a_target_that_is_no_path(app, target):
    with pytest.raises(SpecError, match="is no path of an image"):
        files_parts([spec(app, target)])


def test_what_changed_since_is_told(app):
    item = spec(app)
    (part,) = files_parts([item])
    assert part.entries
    (app / "main.py").unlink()
    with pytest.raises(UntrustedError, match="has changed while"):
        list(FilesReader(item).payloads(["main.py"]))
    (app / "main.py").symlink_to("/etc/passwd")
    with pytest.raises(UntrustedError, match="has changed while"):
        list(FilesReader(item).payloads(["main.py"]))
    (app / "lib").rename(app / "other")
    (app / "lib").symlink_to("/etc")
    with pytest.raises(UntrustedError, match="has changed while"):
        list(FilesReader(item).payloads(["lib/passwd"]))
    (app / "main.py").unlink()
    (app / "main.py").mkdir()
    with pytest.raises(UntrustedError, match="has changed while"):
        list(FilesReader(item).payloads(["main.py"]))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_unreadable(app):
    (app / "main.py").chmod(0)
    with pytest.raises(HostError, match="cannot read"):
        files_parts([spec(app)])


def test_a_file_that_stands_in_the_spec(app):
    written = FilesSpec(None, "/etc/app.conf", (), PLACE, content=b"workers: 2\n")
    (part,) = files_parts([written])
    (entry,) = part.entries
    assert (entry.path, entry.mode, entry.size) == ("etc/app.conf", 0o644, 11)
    assert entry.body == Inline(b"workers: 2\n")
    assert part.digest != files_parts([replace(written, content=b"workers: 3\n")])[0].digest


def test_text_without_a_file_to_stand_in():
    with pytest.raises(SpecError, match="names no file"):
        files_parts([FilesSpec(None, "/", (), PLACE, content=b"x")])


def test_owner_and_mode_are_the_specs(app):
    item = replace(spec(app, exclude=["lib", "link"]), owner=(65532, 0), mode=0o640)
    (part,) = files_parts([item])
    assert {(e.path, e.mode, e.uid, e.gid) for e in part.entries} == {
        ("app", 0o755, 65532, 0),
        ("app/main.py", 0o640, 65532, 0),
        ("app/run", 0o640, 65532, 0),
    }


def test_dockerignore_counts_from_the_context(app):
    item = replace(spec(app), ignore=("*.py", "app/lib", "!app/lib/tests/t.py"), inner="app")
    (part,) = files_parts([item])
    paths = [entry.path for entry in part.entries]
    assert "app/main.py" in paths  # `*.py` is read from the top of the context only
    assert "app/lib/tests/t.py" in paths
    assert "app/lib/x.py" not in paths
    assert "app/lib/up" not in paths


def test_folders_that_are_left_out_do_not_stay_hollow(app):
    (app / "lib/empty").mkdir()
    item = replace(spec(app), ignore=("lib", "!lib/none"))
    (part,) = files_parts([item])
    assert [e.path for e in part.entries] == ["app", "app/link", "app/main.py", "app/run"]


def test_a_pattern_that_leaves_out_everything(app):
    for item in (replace(spec(app), ignore=("**",)), spec(app, exclude=["*"])):
        with pytest.raises(SpecError, match=r"nothing of .* is left"):
            files_parts([item])
