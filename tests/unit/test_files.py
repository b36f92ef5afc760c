"""Where a client's path leads: never outside its root; what listings show."""

import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus.errors import Fault
from services.gateway.files import TEMPORARY, Roots, check_path


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    return Roots(tmp_path / "data")


def code_of(work: Callable[[], object]) -> int:
    with pytest.raises(Fault) as fault:
        work()
    assert fault.value.message
    return fault.value.code


def write(path: Path, text: str = "G28\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_roots(roots: Roots, tmp_path: Path) -> None:
    assert roots.names == ["gcodes", "config", "logs"]
    assert [(r["name"], r["permissions"]) for r in roots.roots()] == [("gcodes", "rw"), ("config", "rw"), ("logs", "r")]
    assert roots.folder("gcodes").is_dir() and roots.folder("config").is_dir()
    assert roots.listing("logs") == []  # nobody made that folder yet
    assert code_of(lambda: roots.listing("docs")) == 400


NOT_PATHS = [
    "",
    "/",
    "/etc/passwd",
    "..",
    "../x",
    "a/../../x",
    "a/..",
    "./a",
    "a//b",
    "a/",
    "a\\b",
    "a\0b",
    "\udcff",
    "x" * 1025,
]


@pytest.mark.parametrize("path", NOT_PATHS)
def test_what_is_no_path_is_refused(roots: Roots, path: str) -> None:
    assert code_of(lambda: check_path(path)) == 400
    assert code_of(lambda: roots.resolve("gcodes", path)) == 400
    assert code_of(lambda: roots.resolve("gcodes", path, writing=True)) == 400


@pytest.mark.parametrize(
    ("path", "code"),
    [(".hidden.gcode", 403), ("a/.b/c.gcode", 403), ("line\nbreak.gcode", 400), ("a\u2028b.gcode", 400), ("a /b", 400),
     ("x" * 256, 400), ("ä" * 128, 400), (f"{TEMPORARY}1", 403)],
)  # fmt: skip
def test_names_no_upload_gets(roots: Roots, path: str, code: int) -> None:
    assert code_of(lambda: roots.resolve("gcodes", path, writing=True)) == code


ODD = ["a b'c.gcode", "ünï täst.gcode", "100%.gcode", "%2e%2e.gcode", "a..b", "日本/\N{MAN}\u200d\N{GIRL}.g", "x" * 255]


@pytest.mark.parametrize("path", ODD)
def test_odd_names_are_served(roots: Roots, path: str) -> None:
    target = roots.resolve("gcodes", path, writing=True)
    assert target == Path(os.path.realpath(roots.folder("gcodes"))) / path
    write(target)
    assert roots.resolve("gcodes", path).samefile(target)


def test_one_name_has_one_spelling(roots: Roots) -> None:
    decomposed = unicodedata.normalize("NFD", "bärä.gcode")
    target = roots.resolve("gcodes", decomposed, writing=True)
    assert target.name == "bärä.gcode" != decomposed
    write(target)
    assert roots.resolve("gcodes", decomposed) == roots.folder("gcodes") / "bärä.gcode"
    copied = write(roots.folder("gcodes") / unicodedata.normalize("NFD", "öl.gcode"))
    assert roots.resolve("gcodes", copied.name) == copied


def test_roots_that_are_not_there_or_read_only(roots: Roots) -> None:
    assert code_of(lambda: roots.resolve("docs", "x")) == 404
    assert code_of(lambda: roots.resolve("docs", "x", writing=True)) == 400
    assert code_of(lambda: roots.resolve("logs", "x", writing=True)) == 403


def test_only_files_are_read(roots: Roots) -> None:
    folder = roots.folder("gcodes")
    write(folder / "sub" / "a.gcode")
    write(folder / f"{TEMPORARY}77")
    os.mkfifo(folder / "pipe.gcode")
    (folder / "nowhere.gcode").symlink_to("gone")
    (folder / "circle.gcode").symlink_to("circle.gcode")
    for path in ("sub", "none.gcode", f"{TEMPORARY}77", "pipe.gcode", "nowhere.gcode", "circle.gcode", "x" * 256,
                 "sub/a.gcode/b"):  # fmt: skip
        assert code_of(lambda path=path: roots.resolve("gcodes", path)) == 404  # type: ignore[misc]
    assert roots.resolve("gcodes", "sub/a.gcode").read_text() == "G28\n"


def test_links_lead_readers_out_and_writers_never(roots: Roots, tmp_path: Path) -> None:
    stick = write(tmp_path / "stick" / "usb.gcode").parent
    folder = roots.folder("gcodes")
    (folder / "usb").symlink_to(stick)
    (folder / "alias.gcode").symlink_to("real.gcode")
    (folder / "out.gcode").symlink_to(tmp_path / "elsewhere.gcode")
    assert roots.resolve("gcodes", "usb/usb.gcode").read_text() == "G28\n"
    assert code_of(lambda: roots.resolve("gcodes", "usb/new.gcode", writing=True)) == 403
    assert code_of(lambda: roots.resolve("gcodes", "out.gcode", writing=True)) == 403
    assert roots.resolve("gcodes", "alias.gcode", writing=True).name == "real.gcode"


def test_a_sibling_whose_name_begins_alike_is_outside(roots: Roots, tmp_path: Path) -> None:
    evil = tmp_path / "data" / "gcodes_evil"
    evil.mkdir()
    (roots.folder("gcodes") / "link").symlink_to(evil)
    assert code_of(lambda: roots.resolve("gcodes", "../gcodes_evil/x.gcode", writing=True)) == 400
    assert code_of(lambda: roots.resolve("gcodes", "link/x.gcode", writing=True)) == 403


def test_a_root_may_itself_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "gcodes").symlink_to(tmp_path / "disk")
    assert Roots(tmp_path / "data").resolve("gcodes", "a.gcode", writing=True) == tmp_path / "disk" / "a.gcode"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.text(st.sampled_from("./\\~ aä%\0\n-"), max_size=20) | st.text(max_size=300), writing=st.booleans())
def test_no_text_leads_outside(roots: Roots, path: str, writing: bool) -> None:
    base = Path(os.path.realpath(roots.folder("gcodes")))
    try:
        target = roots.resolve("gcodes", path, writing=writing)
    except Fault as fault:
        assert fault.code in (400, 403, 404)
    else:
        assert target.parent.is_relative_to(base) and target != base


def test_a_listing(roots: Roots) -> None:
    folder = roots.folder("gcodes")
    for name in ("b.gcode", "sub/deep/a.GCODE", ".hidden.g", "note.txt", f"{TEMPORARY}1.gcode"):
        write(folder / name)
    (folder / "loop").symlink_to(folder)
    (folder / "sub" / "up").symlink_to("..")
    (folder / "gone.gcode").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.gcode")
    with open(os.fsencode(folder) + b"/\xff.gcode", "w"):
        pass  # a name no JSON can carry
    listed = roots.listing("gcodes")
    assert [item["path"] for item in listed] == [".hidden.g", "b.gcode", "sub/deep/a.GCODE"]
    state = (folder / "b.gcode").stat()
    assert listed[1] == {"path": "b.gcode", "modified": state.st_mtime, "size": 4, "permissions": "rw"}
    write(roots.folder("config") / ".theme" / "x.css")
    assert [item["path"] for item in roots.listing("config")] == [".theme/x.css"]
    assert roots.item("gcodes", "b.gcode") == {**listed[1], "root": "gcodes"}


def test_a_listing_survives_what_vanishes(roots: Roots, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.gcode", "sub/b.gcode"):
        write(roots.folder("gcodes") / name)
    scandir = os.scandir

    def vanish(place: str) -> object:
        if place.endswith("sub"):
            raise FileNotFoundError(place)
        entries = scandir(place)
        (Path(place) / "a.gcode").unlink()
        return entries

    monkeypatch.setattr(os, "scandir", vanish)
    assert roots.listing("gcodes") == []
