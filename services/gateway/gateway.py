"""The gateway put together: who hears what, which handler serves which method and path."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from bus.envelope import Message, boot_time_s, until_next
from bus.mirror import Status, union
from bus.node import Node
from bus.secrets import Secrets
from services.gateway.access import Access
from services.gateway.answers import Answers
from services.gateway.callers import Callers
from services.gateway.clients import Clients
from services.gateway.connection import Connection
from services.gateway.download import Downloads
from services.gateway.files import Roots
from services.gateway.http import Handler, Http, page, wire_log
from services.gateway.info import Info, unserved
from services.gateway.klippysocket import KlippySocket
from services.gateway.machine import Machine
from services.gateway.methods import Methods
from services.gateway.notifications import Announcer, announced
from services.gateway.outgoing import Update
from services.gateway.printer import WANTED, Printer
from services.gateway.repeats import Repeats, Runner
from services.gateway.routes import available, routes
from services.gateway.rpc import Rpc
from services.gateway.settings import read_settings
from services.gateway.shown_config import shown
from services.gateway.subscriptions import Subscriptions
from services.gateway.unix_socket import UnixSocket
from services.gateway.upload import Uploads
from services.gateway.websocket import Websockets

COMPONENTS = ("application", "websockets", "jsonrpc", "authorization", "file_manager", "machine", "proc_stats")
TICK_S = 1.0
RETRY_S = 1.0
CLOSED_WITHIN_S = 0.2
MOST_LINE_BYTES = 2**16
"""Of a request's first line and of each header: clients send whole scripts in the query."""


class Gateway:
    """`start` wires everything up and returns; listening goes on in the background until the node closes."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._settings = read_settings(node.config, node.data, os.environ)
        self._secrets = Secrets(node.data)
        self._access = Access(node.config, node.data, boot_time_s, time.time())
        self._roots = Roots(node.data)
        self._announcer = Announcer()
        self._subscriptions: Subscriptions[Connection] = Subscriptions()
        self._clients = Clients(self._subscriptions, self._publish_wants)
        self._printer = Printer(node, self._hear_objects, self._announce_printer_state)
        rows = available(node.config, self._settings.debug)
        self._answers = Answers(node, self._printer, rows.values())
        callers = Callers(self._access, self._printer, self._subscriptions, self._publish_wants)
        self._info = Info(node, self._printer, lambda: len(self._websockets), lambda: self._roots.names)
        ready = {"server.info": self._info.at_once}
        self._methods = Methods(node, rows, self._answers, callers.handlers(), ready)
        rpc = Rpc(self._methods, node.spawn)
        self._websockets = Websockets(self._clients, rpc, node.spawn, self._settings.most_websockets)
        self._machine = Machine(lambda: len(self._websockets))
        self._unix_socket = UnixSocket(
            node.data / "comms" / "moonraker.sock", self._access.admit("unix", {}, {}), self._clients, rpc, node.spawn
        )
        self._uploads = Uploads(
            node, self._roots, self._settings.most_upload_bytes, self._announce_file, lambda: self._printer.printing
        )
        self._http = self._make_http(rpc)
        self.runner = Runner(
            self._http.application, Repeats(), CLOSED_WITHIN_S,
            access_log=None, logger=wire_log, max_line_size=MOST_LINE_BYTES, max_field_size=MOST_LINE_BYTES,
        )  # fmt: skip

    def _make_http(self, rpc: Rpc) -> Http:
        prefix = self._settings.prefix
        table = routes(self._methods.rows.values(), prefix)
        raw: dict[str, Handler] = {
            "server.files.upload": self._uploads.upload,
            "octoprint.files_local": self._uploads.octoprint_upload,
            "server.files.download": Downloads(self._roots).download,
            "klippysocket": KlippySocket(self._settings.klippy_address).connect,
        }
        http = Http(
            self._methods, rpc, self._access, table, raw, public=frozenset({f"{prefix}/", f"{prefix}/websocket"})
        )
        http.add("GET", f"{prefix}/", page)
        http.add("HEAD", f"{prefix}/", page)
        http.add("GET", f"{prefix}/websocket", self._websockets.connect)
        http.add("POST", f"{prefix}/server/jsonrpc", http.jsonrpc)
        http.application.on_shutdown.append(self._websockets.close)
        return http

    async def start(self) -> None:
        self._node.serve(
            {
                "server.info": self._info.server_info,
                "server.config": self._server_config,
                "server.files.roots": self._file_roots,
                "server.files.list": self._file_list,
                "access.get_api_key": self._api_key,
                "access.post_api_key": self._new_api_key,
                "access.oneshot_token": self._oneshot_token,
                "machine.system_info": self._system_info,
                "machine.proc_stats": self._proc_stats,
            }
        )
        self._printer.listen()
        self._answers.listen()
        self._info.listen()
        for topic in announced():
            self._node.subscribe(topic, self._announce)
        self._publish_component()
        self._publish_wants()
        await self.runner.setup()
        self._node.stack.push_async_callback(self.runner.cleanup)
        self._node.stack.push_async_callback(self._unix_socket.close)
        self._node.spawn(self._sweep())
        self._node.spawn(self._persist(self._listen_on_port, f"port {self._settings.port}"))
        self._node.spawn(self._persist(self._unix_socket.listen, str(self._unix_socket.path)))
        self._node.spawn(self._every_second())

    # -- saying --------------------------------------------------------------------------------------------------

    def _publish_component(self) -> None:
        sections = unserved(list(self._node.config.sections))
        others = (
            [f"sections that nobody here serves: {', '.join(f'[{name}]' for name in sections)}"] if sections else []
        )
        warnings = [*self._node.config.warnings, *self._settings.warnings, *self._secrets.warnings,
                    *self._access.warnings, *others]  # fmt: skip
        for warning in warnings:
            self._node.log.warning("%s", warning)
        said = {"components": list(COMPONENTS), "failed": [], "warnings": warnings}
        self._node.publish("gateway.component", said)

    def _publish_wants(self) -> None:
        self._node.publish("gateway.wants", union(WANTED, self._subscriptions.union()))

    def _publish_load(self) -> None:
        # Measuring the host takes longer than all else an idle gateway does. One of the listeners is this process itself.
        if self._clients.connections or self._node.listeners("machine.proc_stats") > 1:
            self._node.publish("machine.proc_stats", self._machine.sample())
        else:
            self._machine.note()

    def _announce_file(self, action: str, item: dict[str, Any]) -> None:
        self._node.publish("files.changed", {"action": action, "item": item})

    # -- what was heard goes to the clients ----------------------------------------------------------------------

    def _announce(self, message: Message) -> None:
        frame = self._announcer.frame(message.topic, message.body)
        if frame is not None:
            self._clients.broadcast(frame)

    def _announce_printer_state(self) -> None:
        frame = self._announcer.printer_state(self._printer.state)
        if frame is not None:
            self._clients.broadcast(frame)

    def _hear_objects(self, changes: Status, eventtime: float) -> None:
        for part, connections in self._subscriptions.updates(changes):
            self._clients.update(Update(part, eventtime), connections)

    # -- methods of our own --------------------------------------------------------------------------------------

    async def _server_config(self) -> dict[str, Any]:
        return shown(self._node.config, self._secrets.mask)

    async def _file_roots(self) -> list[dict[str, Any]]:
        return list(self._roots.roots())

    async def _file_list(self, root: str) -> list[dict[str, Any]]:
        return await asyncio.to_thread(self._roots.listing, root)

    async def _api_key(self) -> str:
        return self._access.api_key()

    async def _new_api_key(self) -> str:
        return await asyncio.to_thread(self._access.new_api_key)

    async def _oneshot_token(self) -> str:
        return self._access.oneshot_token()

    async def _system_info(self) -> dict[str, Any]:
        return await asyncio.to_thread(self._machine.system_info)

    async def _proc_stats(self) -> dict[str, Any]:
        return self._machine.proc_stats()

    # -- background ----------------------------------------------------------------------------------------------

    async def _sweep(self) -> None:
        await asyncio.to_thread(self._uploads.sweep)

    async def _listen_on_port(self) -> None:
        site = web.TCPSite(self.runner, self._settings.host, self._settings.port)
        try:
            await site.start()
        except OSError:
            await site.stop()
            raise
        self._node.log.info("listening on %s", self.runner.addresses)

    async def _persist(self, listen: Callable[[], Awaitable[None]], where: str) -> None:
        """Listens as soon as it is possible; whoever holds the port may let go of it."""
        told = False
        while True:
            try:
                return await listen()
            except OSError as error:
                if not told:
                    self._node.log.error("cannot listen on %s: %s; trying again until it works", where, error)
                told = True
                await asyncio.sleep(RETRY_S)

    async def _every_second(self) -> None:
        while True:
            self._publish_load()
            # A bridge that hangs says nothing, and what it said last is not true for ever.
            self._announce_printer_state()
            await asyncio.sleep(until_next(TICK_S))
