"""Uploads: a form's file goes to its disk as it arrives. 201 means: written, synced, under its final name."""

import asyncio
import os
import re
import shutil
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
from aiohttp import http_exceptions, web

from bus.errors import Fault, bad_request
from bus.node import Node
from services.gateway.files import GCODE, Roots
from services.gateway.form import FormReader, Part, read_boundary
from services.gateway.incoming import Incoming, move, sweep
from services.gateway.ufp import unpack

SILENCE_S = 60.0
"""Seconds without a byte after which an upload is given up."""
PRINT_START_S = 10.0
"""Seconds a client waits for Klipper to begin; G-code that heats a bed may keep it for minutes."""
SPARE_BYTES = 16 << 20
"""What an upload leaves free on the disk: the ledger and the outbox live there too."""
LONGEST_FIELD = 4096

FIELDS = {"root", "path", "print", "checksum"}
HOST = re.compile(r"[\w.\-:\[\]%]{1,255}", re.ASCII)

Announce = Callable[[str, dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a form asks for. `path` is the file's, below the root."""

    root: str
    path: str
    start: bool
    checksum: str


class Uploads:
    """`announce(action, item)` hears of each file that came (create_file) or changed (modify_file). `printing()` is the path
    below gcodes of the file that is printed or paused, or None."""

    def __init__(self, node: Node, roots: Roots, max_size_bytes: int, announce: Announce,
                 printing: Callable[[], str | None]) -> None:  # fmt: skip
        self._node = node
        self._roots = roots
        self._max_size_bytes = max_size_bytes
        self._announce = announce
        self._printing = printing

    def sweep(self) -> None:
        """Removes what a killed process left. Blocks; once, at the start."""
        for folder in self._roots.writable:
            for path in sweep(folder):
                self._node.log.info("removed an unfinished upload: %s", path)

    async def upload(self, request: web.Request) -> web.Response:
        """POST /server/files/upload"""
        return await self._answer(request, "/server/files")

    async def octoprint_upload(self, request: web.Request) -> web.Response:
        """POST /api/files/local; Cura finds the file again by the `api/` in Location."""
        return await self._answer(request, "/api/files/moonraker")

    async def _answer(self, request: web.Request, prefix: str) -> web.Response:
        action, item, wanted = await self._store(request)
        self._announce(action, item)
        result: dict[str, Any] = {"action": "create_file", "item": item}
        start = {"print_started": False, "print_queued": False}
        printable = item["root"] == "gcodes" and Path(item["path"]).suffix.lower() in GCODE
        if printable and wanted.start:
            start = await self._start(item["path"])
        host = request.headers.get("Host", "")
        host = host if HOST.fullmatch(host) else "localhost"
        location = f"{request.scheme}://{host}{prefix}/{item['root']}/{quote(item['path'])}"
        # Most clients read the top level, some expect `result` around it as in all other answers: both get theirs.
        body = {**result, **(start if printable else {}), "result": {**result, **start}}
        return web.Response(status=201, body=orjson.dumps(body), content_type="application/json", charset="utf-8",
                            headers={"Location": location})  # fmt: skip

    async def _store(self, request: web.Request) -> tuple[str, dict[str, Any], Wanted]:
        reader = FormReader(read_boundary(request.headers.get("Content-Type", "")))
        try:
            await asyncio.to_thread(self._check_room, request.content_length or 0)
            incoming = await asyncio.to_thread(Incoming, self._roots.folder("gcodes"))
            try:
                wanted = await self._receive(request, reader, incoming)
                action, item = await incoming.finish(partial(self._place, incoming, wanted, self._printing()))
            finally:
                await incoming.discard()
        except OSError as error:
            self._node.log.error("an upload could not be stored: %s", error)
            raise Fault(507, f"the file cannot be stored: {error.strerror or type(error).__name__}") from None
        return action, item, wanted

    def _check_room(self, length: int) -> None:
        if length > self._max_size_bytes:
            raise self._too_large()
        free = shutil.disk_usage(self._roots.folder("gcodes")).free
        if length + SPARE_BYTES > free:
            raise Fault(507, f"the file cannot be stored: the disk has {free >> 20} MiB left; delete files first")

    def _too_large(self) -> Fault:
        limit = f"{self._max_size_bytes / (1 << 20):g} MiB"
        return Fault(413, f"the upload is larger than {limit}: raise max_upload_size in [server]")

    async def _receive(self, request: web.Request, reader: FormReader, incoming: Incoming) -> Wanted:
        form = _Form(incoming)
        received = 0
        while data := await _next_bytes(request):
            received += len(data)
            if received > self._max_size_bytes:
                raise self._too_large()
            for event in reader.feed(data):
                await form.take(event)
        if not reader.ended:
            raise bad_request("the form is broken: it ends without its closing boundary")
        return form.wanted()

    def _place(self, incoming: Incoming, wanted: Wanted, printing: str | None) -> tuple[str, dict[str, Any]]:
        if wanted.checksum and incoming.sha256() != wanted.checksum:
            raise Fault(422, "checksum: the file arrived with another SHA-256: send it again")
        path, source = wanted.path, incoming.path
        packed = wanted.root == "gcodes" and Path(path).suffix.lower() == ".ufp"
        if packed:
            path, source = str(Path(path).with_suffix(".gcode")), source.with_name(f"{source.name}.gcode")
        target = self._roots.resolve(wanted.root, path, writing=True)
        self._check_target(target, wanted.root, printing)
        existed = target.exists()
        try:
            if packed:
                unpack(incoming.path, source, self._max_size_bytes)
            elif existed:
                incoming.keep_mode_of(target)
            move(source, target)
        except (FileExistsError, NotADirectoryError):
            raise bad_request(f"path: a part of {path!r} is a file, not a folder") from None
        finally:
            if packed:
                source.unlink(missing_ok=True)
        return ("modify_file" if existed else "create_file"), self._roots.item(wanted.root, path)

    def _check_target(self, target: Path, root: str, printing: str | None) -> None:
        if target.is_dir():
            raise bad_request(f"file: there is a folder named {target.name!r} already")
        if printing and root == "gcodes" and _same(target, self._roots.folder("gcodes") / printing):
            raise Fault(403, f"file: {printing!r} is being printed: it cannot be replaced before the end of the print")

    async def _start(self, path: str) -> dict[str, bool]:
        answer = {"print_started": False, "print_queued": False}
        if self._printing() is not None:
            return answer
        try:
            await self._node.call("printer.print.start", {"filename": path}, deadline_s=PRINT_START_S)
        except Fault as fault:
            self._node.log.warning("%s was uploaded, but its print did not start: %s", path, fault.message)
            # Too late means Klipper has the command and is busy: a client that sent it again would start it twice.
            return {**answer, "print_queued": fault.code == 504}
        return {**answer, "print_started": True}


class _Form:
    """The fields of a form in any order: Cura sends the file first, PrusaSlicer last."""

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming
        self._texts: dict[str, bytes] = {}
        self._filename: str | None = None
        self._part = ""

    async def take(self, event: Part | bytes) -> None:
        if isinstance(event, Part):
            self._begin(event)
        elif self._part == "file":
            await self._incoming.write(event)
        elif self._part in FIELDS:
            self._texts[self._part] += event
            if len(self._texts[self._part]) > LONGEST_FIELD:
                raise bad_request(f"{self._part}: expected at most {LONGEST_FIELD} bytes")

    def _begin(self, part: Part) -> None:
        self._part = part.name
        if part.name in FIELDS:
            self._texts[part.name] = b""
        elif part.name == "file":
            if self._filename is not None:
                raise bad_request("file: expected one file, got several: send them one by one")
            self._filename = (part.filename or "").strip().lstrip("/")
            if not self._filename:
                raise bad_request('file: the part has no file name: send filename="NAME.gcode" with it')

    def wanted(self) -> Wanted:
        if self._filename is None:
            raise bad_request("file: the form has no part of this name")
        folder = self._text("path").strip().strip("/")
        path = f"{folder}/{self._filename}" if folder else self._filename
        path = unicodedata.normalize("NFC", path)
        return Wanted(self._text("root").strip() or "gcodes", path, self._text("print") == "true",
                      self._text("checksum").strip().lower())  # fmt: skip

    def _text(self, field: str) -> str:
        try:
            return self._texts.get(field, b"").decode()
        except UnicodeDecodeError:
            raise bad_request(f"{field}: expected UTF-8") from None


async def _next_bytes(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(SILENCE_S):
            return await request.content.readany()
    except TimeoutError:
        raise Fault(408, f"nothing of the upload arrived for {SILENCE_S:g} s") from None
    except (OSError, web.RequestPayloadError, http_exceptions.PayloadEncodingError):
        raise bad_request("the connection ended before the upload did") from None


def _same(target: Path, other: Path) -> bool:
    try:
        return os.path.samefile(target, other)
    except OSError:
        return False
