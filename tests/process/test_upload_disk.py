"""Uploads and the disk they go to: full, failing, another one; clients that vanish; packages."""

import asyncio
import errno
import hashlib
import io
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from bus.testing import eventually
from services.gateway import incoming, upload
from services.gateway.files import TEMPORARY
from tests.process.upload_bench import GCODE, LIMIT, MULTIPART, Bench, form, run


def test_too_much_is_refused_before_and_while_it_comes() -> None:
    async def pieces() -> Any:
        yield form(content="").removesuffix(b"\r\n--golden-boundary--\r\n")
        for _ in range(LIMIT // 65536 + 2):
            yield b"x" * 65536

    async def scenario(bench: Bench) -> None:
        for body in (form(content=b"x" * (LIMIT + 1)), pieces()):
            status, answer, _ = await bench.post(body)
            assert status == 413 and "max_upload_size" in answer["error"]["message"]
        assert bench.left() == []
        fitting = form(content=b"x" * (LIMIT - len(form(content=b""))))
        assert len(fitting) == LIMIT
        assert (await bench.post(fitting))[0] == 201

    run(scenario)


def test_a_large_file_arrives_as_it_was_sent() -> None:
    async def scenario(bench: Bench) -> None:
        content = os.urandom(3 << 20) + b"\r\n--golden-bound\r\n" * 100
        checksum = hashlib.sha256(content).hexdigest()
        status, answer, _ = await bench.post(form(content=content, checksum=checksum.upper()))
        assert status == 201 and answer["item"]["size"] == len(content)
        assert (bench.gcodes / "a.gcode").read_bytes() == content

    run(scenario)


def test_a_client_that_goes_away_leaves_nothing() -> None:
    async def scenario(bench: Bench) -> None:
        port = int(bench.url.rpartition(":")[2])
        for length in ("Content-Length: 3000000", "Transfer-Encoding: chunked"):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            kind = MULTIPART["Content-Type"]
            head = f"POST /server/files/upload HTTP/1.1\r\nHost: h\r\nContent-Type: {kind}\r\n{length}\r\n\r\n"
            body = form(content=b"x" * 2_000_000)[:1_500_000]
            writer.write(head.encode() + (b"%x\r\n" % len(body) if "chunked" in length else b"") + body)
            await eventually(lambda: any(TEMPORARY in name for name in bench.left()))
            writer.transport.abort()
            await eventually(lambda: bench.left() == [])
        assert not bench.announced

    run(scenario)


def test_a_client_that_falls_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "SILENCE_S", 0.05)

    async def pieces() -> Any:
        yield form()[:100]
        await asyncio.Event().wait()

    async def scenario(bench: Bench) -> None:
        status, answer, _ = await bench.post(pieces())
        assert status == 408 and "arrived" in answer["error"]["message"]
        assert bench.left() == []

    run(scenario)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_disk_that_refuses_keeps_the_old_file(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(_: int) -> None:
        raise OSError(number, os.strerror(number))

    async def scenario(bench: Bench) -> None:
        (bench.gcodes / "a.gcode").write_text("old")
        monkeypatch.setattr(os, "fsync", refuse)
        status, answer, _ = await bench.post(form())
        assert status == 507 and os.strerror(number) in answer["error"]["message"]
        assert bench.left() == ["gcodes/a.gcode"] and (bench.gcodes / "a.gcode").read_text() == "old"

    run(scenario)


def test_a_full_disk_is_told_before_the_file_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(bench: Bench) -> None:
        monkeypatch.setattr(upload, "SPARE_BYTES", 1 << 60)
        status, answer, _ = await bench.post(form())
        assert status == 507 and "MiB left" in answer["error"]["message"]

    run(scenario)


def test_a_folder_on_another_disk_gets_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    replace = Path.replace

    def other_disk(self: Path, target: Path) -> Path:
        if self.parent != Path(target).parent:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return replace(self, target)

    async def scenario(bench: Bench) -> None:
        monkeypatch.setattr(Path, "replace", other_disk)
        assert (await bench.post(form(path="usb")))[0] == 201
        assert bench.left() == ["gcodes/usb/a.gcode"] and (bench.gcodes / "usb" / "a.gcode").read_text() == GCODE

    run(scenario)


def test_a_killed_process_s_remains_go_and_a_running_one_s_stay() -> None:
    async def scenario(bench: Bench) -> None:
        (bench.gcodes / "sub").mkdir()
        for stale in (bench.gcodes, bench.gcodes / "sub", bench.config):
            (stale / f"{TEMPORARY}dead").write_text("half")
        (bench.gcodes / "a.gcode").write_text("whole")
        alive = incoming.Incoming(bench.gcodes)
        await asyncio.to_thread(bench.uploads.sweep)
        assert bench.left() == [f"gcodes/{alive.path.name}", "gcodes/a.gcode"]
        await alive.discard()
        assert bench.left() == ["gcodes/a.gcode"]

    run(scenario)


def test_a_replaced_file_keeps_its_permissions_and_its_links() -> None:
    async def scenario(bench: Bench) -> None:
        real = bench.config / "repository" / "printer.cfg"
        real.parent.mkdir()
        real.write_text("old")
        real.chmod(0o640)
        (bench.config / "printer.cfg").symlink_to(real)
        assert (await bench.post(form("printer.cfg", "new", root="config")))[0] == 201
        assert (bench.config / "printer.cfg").is_symlink() and real.read_text() == "new"
        assert real.stat().st_mode & 0o777 == 0o640

    run(scenario)


def package(name: str, content: bytes) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return held.getvalue()


def test_packages_of_cura_are_unpacked() -> None:
    async def scenario(bench: Bench) -> None:
        body = form("cube.ufp", package("/3D/model.gcode", b"G28\n"), path="cura", print="true")
        status, answer, headers = await bench.post(body, "/api/files/local")
        assert status == 201 and answer["item"]["path"] == "cura/cube.gcode" and answer["item"]["size"] == 4
        assert headers["Location"].endswith("/api/files/moonraker/gcodes/cura/cube.gcode")
        assert bench.started == ["cura/cube.gcode"]
        bad = [
            (package("3D/other", b""), 400),
            (package("/3D/model.gcode", b"\0" * (LIMIT + 1)), 413),
            (b"PK\3\4 rubbish", 400),
        ]
        for content, code in bad:
            status, answer, _ = await bench.post(form("x.ufp", content))
            assert status == code and "file" in answer["error"]["message"]
        assert bench.left() == ["gcodes/cura/cube.gcode"]

    run(scenario)


def test_many_uploads_at_once() -> None:
    async def scenario(bench: Bench) -> None:
        names = [f"{n}.gcode" for n in range(20)]
        bodies = [form(name, name.encode() * 100_000) for name in names]
        answers = await asyncio.gather(*(bench.post(body) for body in bodies))
        assert all(status == 201 for status, _, _ in answers)
        for name in names:
            assert (bench.gcodes / name).read_bytes() == name.encode() * 100_000
        assert len(bench.left()) == 20

    run(scenario)
