"""`SimulatedSpoolman`: REST and websockets of Spoolman 0.26 over a `Store`, with failures on request."""

import json
import os
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from simulators.spoolman.faults import Fault
from simulators.spoolman.gate import Gate, Request, cut
from simulators.spoolman.query import matching, number, page
from simulators.spoolman.store import Entity, Refused, check, example_store, not_valid

API = "/api/v1"
RESOURCES = "vendor|filament|spool"


class SimulatedSpoolman:
    """`port` 0 = any free one, kept over stop() and start(), as is all state. `prefix` is a path before /api/v1, as behind a
    reverse proxy; `basic_auth` (user, password) makes every request need it. `faults` are applied first match first.
    `state_file` keeps the database over processes; ValueError when it holds something else.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        prefix: str = "",
        basic_auth: tuple[str, str] | None = None,
        state_file: Path | None = None,
    ) -> None:
        self.host, self.port, self.prefix = host, port, prefix.rstrip("/")
        self.store = example_store(datetime.now(UTC))
        self._gate = Gate(self.prefix, basic_auth)
        self._state_file = state_file
        if state_file is not None and state_file.exists():
            self.store.load(json.loads(state_file.read_text("utf-8")))
        self._sockets: dict[web.WebSocketResponse, tuple[web.Request, str, int | None]] = {}
        self._runner: web.AppRunner | None = None

    @property
    def faults(self) -> list[Fault]:
        """Failures to come; append to it."""
        return self._gate.faults

    @property
    def requests(self) -> deque[Request]:
        """What clients sent, newest last."""
        return self._gate.requests

    @property
    def url(self) -> str:
        """What a user would configure: without /api."""
        return f"http://{self.host}:{self.port}{self.prefix}"

    @property
    def used_mm(self) -> dict[int, float]:
        """Spool → mm booked: the truth for accounting tests."""
        return {spool_id: self.store.used_mm(spool_id) for spool_id in self.store.rows["spool"]}

    @property
    def websocket_count(self) -> int:
        return len(self._sockets)

    async def start(self) -> None:
        self._gate.open()
        app = web.Application(middlewares=[self._gate.middleware()])
        api = self.prefix + API
        for path in ("/", "", f"/{{resource:{RESOURCES}}}", f"/{{resource:{RESOURCES}}}/{{id}}"):
            app.router.add_get(api + path, self._get)
        app.router.add_post(f"{api}/{{resource:{RESOURCES}}}", self._create)
        app.router.add_patch(f"{api}/{{resource:{RESOURCES}}}/{{id}}", self._update)
        app.router.add_delete(f"{api}/{{resource:{RESOURCES}}}/{{id}}", self._delete)
        app.router.add_put(f"{api}/spool/{{id}}/use", self._use)
        app.router.add_get(f"{api}/{{fixed:info|health}}", self._fixed)
        app.router.add_get(f"{api}/setting/{{key}}", self._setting)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.host, self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """From now on connections are refused, open ones are cut."""
        self._gate.close()
        self.cut_websockets()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def cut_websockets(self) -> None:
        """Closes the websockets without a word; REST goes on."""
        for request, _, _ in self._sockets.values():
            cut(request)

    def add(self, resource: str, **fields: Any) -> int:
        """Adds a vendor, filament or spool without a request and returns its id."""
        return self.store.create(resource, check(resource, fields, partial=False), datetime.now(UTC))

    async def use_spool(self, spool_id: int, mm: float) -> None:
        """Uses a spool as somebody else would; websocket clients hear of it."""
        self.store.use(spool_id, {"use_length": mm}, datetime.now(UTC))
        await self._announce("updated", "spool", self.store.show("spool", spool_id))

    async def delete_spool(self, spool_id: int) -> None:
        """Deletes a spool as somebody else would; websocket clients hear of it."""
        shown = self.store.show("spool", spool_id)
        self.store.delete("spool", spool_id)
        await self._announce("deleted", "spool", shown)

    async def _get(self, request: web.Request) -> web.StreamResponse:
        resource, text = request.match_info.get("resource", ""), request.match_info.get("id")
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._listen(
                request, resource, None if text is None else number(text, "path", f"{resource}_id")
            )
        if not resource:
            raise web.HTTPNotFound
        if text is not None:
            return web.json_response(self.store.show(resource, number(text, "path", f"{resource}_id")))
        everything = [self.store.show(resource, spool_id) for spool_id in self.store.rows[resource]]
        entities = matching(everything, request.query)
        return web.json_response(page(entities, request.query), headers={"X-Total-Count": str(len(entities))})

    async def _listen(self, request: web.Request, resource: str, entity_id: int | None) -> web.StreamResponse:
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        self._sockets[websocket] = (request, resource, entity_id)
        try:
            async for _ in websocket:
                pass
        finally:
            del self._sockets[websocket]
        return websocket

    async def _announce(self, kind: str, resource: str, payload: Entity) -> None:
        date = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        event = {"type": kind, "resource": resource, "date": date, "payload": payload}
        for websocket, (_, wanted, entity_id) in list(self._sockets.items()):
            if wanted in ("", resource) and entity_id in (None, payload["id"]):
                with suppress(ConnectionResetError):
                    await websocket.send_json(event)
        if self._state_file is not None:
            fresh = self._state_file.with_name(self._state_file.name + ".new")
            fresh.write_text(json.dumps(self.store.rows), "utf-8")
            os.replace(fresh, self._state_file)

    async def _create(self, request: web.Request) -> web.Response:
        resource = request.match_info["resource"]
        fields = check(resource, await _json(request), partial=False)
        shown = self.store.show(resource, self.store.create(resource, fields, datetime.now(UTC)))
        await self._announce("added", resource, shown)
        return web.json_response(shown)

    async def _update(self, request: web.Request) -> web.Response:
        resource = request.match_info["resource"]
        entity_id = number(request.match_info["id"], "path", f"{resource}_id")
        self.store.update(resource, entity_id, check(resource, await _json(request), partial=True))
        return await self._updated(resource, entity_id)

    async def _use(self, request: web.Request) -> web.Response:
        spool_id = number(request.match_info["id"], "path", "spool_id")
        self.store.use(spool_id, check("use", await _json(request), partial=True), datetime.now(UTC))
        return await self._updated("spool", spool_id)

    async def _updated(self, resource: str, entity_id: int) -> web.Response:
        shown = self.store.show(resource, entity_id)
        await self._announce("updated", resource, shown)
        return web.json_response(shown)

    async def _delete(self, request: web.Request) -> web.Response:
        resource = request.match_info["resource"]
        entity_id = number(request.match_info["id"], "path", f"{resource}_id")
        shown = self.store.show(resource, entity_id)
        self.store.delete(resource, entity_id)
        await self._announce("deleted", resource, shown)
        return web.json_response({"message": "Success!"})

    async def _fixed(self, request: web.Request) -> web.Response:
        if request.match_info["fixed"] == "health":
            return web.json_response({"status": "healthy"})
        folders = {"data_dir": "/data", "logs_dir": "/data/logs", "backups_dir": "/data/backups"}
        known = {"version": "0.26.1", "debug_mode": False, "automatic_backups": False, "db_type": "DatabaseType.SQLITE"}
        unknown = {"external_db_name": "SpoolmanDB", "git_commit": None, "build_date": None}
        return web.json_response(known | folders | unknown)

    async def _setting(self, request: web.Request) -> web.Response:
        if request.match_info["key"] != "currency":
            raise Refused(404, {"message": "Setting not found."})
        return web.json_response({"value": '"EUR"', "is_set": False, "type": "string"})


async def _json(request: web.Request) -> Any:
    body = await request.read()
    if not body:
        raise not_valid("missing", ["body"], "Field required", None)
    try:
        return json.loads(body)
    except ValueError as error:
        raise not_valid("json_invalid", ["body", 0], "JSON decode error", {"error": str(error)}) from None
