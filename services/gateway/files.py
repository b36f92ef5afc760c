"""The folders clients see: gcodes, config, logs. Where a client's path leads on disk, never outside its root.

Everything here blocks: call it in a thread.
"""

import os
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bus.errors import Fault, bad_request, not_found

TEMPORARY = ".moonbus-upload-"
"""How names of unfinished uploads begin. They are neither listed nor served."""

GCODE = {".gcode", ".g", ".gco", ".nc", ".ufp"}
CONTROL = {"Cc", "Zl", "Zp"}
"""Unicode's categories of what breaks a line: a name ends up in a line of G-code."""
LONGEST_NAME = 255
LONGEST_PATH = 1024
"""Bytes, of one part and of the whole."""


@dataclass(frozen=True, slots=True)
class Root:
    name: str
    folder: Path
    writable: bool

    @property
    def permissions(self) -> str:
        return "rw" if self.writable else "r"


class Roots:
    """Below the data path; gcodes and config are made where they are missing."""

    def __init__(self, data: Path) -> None:
        self._roots = {name: Root(name, data / name, name != "logs") for name in ("gcodes", "config", "logs")}
        for root in self._roots.values():
            if root.writable:
                root.folder.mkdir(parents=True, exist_ok=True)

    @property
    def names(self) -> list[str]:
        return list(self._roots)

    @property
    def writable(self) -> list[Path]:
        return [root.folder for root in self._roots.values() if root.writable]

    def roots(self) -> list[dict[str, str]]:
        return [{"name": r.name, "path": str(r.folder), "permissions": r.permissions} for r in self._roots.values()]

    def folder(self, root: str) -> Path:
        return self._root(root).folder

    def listing(self, root: str) -> list[dict[str, Any]]:
        """[{path, modified, size, permissions}] of all files below a root, sorted by path; of gcodes only those a printer
        prints. Raises Fault 400 for a root that does not exist."""
        found = self._root(root)
        items = []
        for path, entry in _walk(found.folder):
            if root == "gcodes" and Path(path).suffix.lower() not in GCODE:
                continue
            try:
                state = entry.stat()
            except OSError:
                continue  # gone since, or a link into nowhere
            if stat.S_ISREG(state.st_mode):
                items.append({"path": path, **describe(state, found.permissions)})
        return sorted(items, key=lambda item: str(item["path"]))

    def item(self, root: str, path: str) -> dict[str, Any]:
        """One file as clients see it. Raises OSError."""
        found = self._root(root)
        return {**describe((found.folder / path).stat(), found.permissions), "path": path, "root": root}

    def resolve(self, root: str, path: str, *, writing: bool = False) -> Path:
        """Where a client's path leads. Raises Fault: 400 for what is no path, 403 for what may not be written, 404 for what
        is not there to be read.

        Reading follows links: whoever may write below the root by other ways than ours made them. Writing does not leave
        the root by one.
        """
        if writing:
            return self._resolve_for_writing(self._root(root), path)
        if root not in self._roots:
            raise not_found(f"root: expected one of {', '.join(self._roots)}, got {root[:64]!r}")
        if TEMPORARY in path:
            raise not_found(f"no such file: {root}/{path[:LONGEST_PATH]}")
        for spelling in (path, unicodedata.normalize("NFC", path)):
            target = self._roots[root].folder.joinpath(*check_path(spelling))
            try:
                if stat.S_ISREG(target.stat().st_mode):
                    return target
            except OSError:
                continue
        raise not_found(f"no such file: {root}/{path[:LONGEST_PATH]}")

    def _resolve_for_writing(self, root: Root, path: str) -> Path:
        if not root.writable:
            raise Fault(403, f"root: {root.name} is for reading only")
        parts = check_path(unicodedata.normalize("NFC", path))
        for part in parts:
            if part.startswith("."):
                raise Fault(403, f"path: names beginning with a dot are reserved, got {part[:64]!r}")
            if any(unicodedata.category(character) in CONTROL for character in part):
                raise bad_request(f"path: control characters do not belong in a name, got {part[:64]!r}")
            if part != part.strip():
                raise bad_request(f"path: a name neither begins nor ends with white space, got {part[:64]!r}")
            if len(part.encode()) > LONGEST_NAME:
                raise bad_request(f"path: a name has at most {LONGEST_NAME} bytes, got {len(part.encode())}")
        base = os.path.realpath(root.folder)
        target = os.path.realpath(os.path.join(base, *parts))
        if not target.startswith(base.rstrip(os.sep) + os.sep):
            raise Fault(403, f"path: {path!r} is a link that leads out of {root.name}: uploads do not follow it")
        return Path(target)

    def _root(self, name: str) -> Root:
        if name not in self._roots:
            raise bad_request(f"root: expected one of {', '.join(self._roots)}, got {name[:64]!r}")
        return self._roots[name]


def check_path(path: str) -> list[str]:
    """The parts of a relative path with `/` between them. Raises Fault 400."""
    try:
        length = len(path.encode())
    except UnicodeEncodeError:
        raise bad_request("path: expected UTF-8") from None
    if length > LONGEST_PATH:
        raise bad_request(f"path: expected at most {LONGEST_PATH} bytes, got {length}")
    if "\0" in path or "\\" in path:
        raise bad_request(f"path: NUL and backslash do not belong in a path, got {path[:64]!r}")
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise bad_request(f"path: expected names with a / between them, without . and .., got {path[:64]!r}")
    return parts


def describe(state: os.stat_result, permissions: str) -> dict[str, Any]:
    return {"modified": state.st_mtime, "size": state.st_size, "permissions": permissions}


def _walk(folder: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Everything below that is no folder, with its path. Links to folders are followed, each folder is entered once: a link to
    a parent ends there. What vanishes or may not be read is left out, and so are names JSON cannot carry."""
    entered: set[tuple[int, int]] = set()
    pending = [(str(folder), "")]
    while pending:
        place, prefix = pending.pop()
        try:
            here = os.stat(place)
            if (here.st_dev, here.st_ino) in entered:
                continue
            entered.add((here.st_dev, here.st_ino))
            with os.scandir(place) as entries:
                found = list(entries)
        except OSError:
            continue
        for entry in found:
            if entry.name.startswith(TEMPORARY) or not _is_text(entry.name):
                continue
            if _is_folder(entry):
                pending.append((entry.path, f"{prefix}{entry.name}/"))
            else:
                yield f"{prefix}{entry.name}", entry


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
