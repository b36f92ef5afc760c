"""The requests of the API socket: what is dropped, what is refused, what is answered, and when.

`AT_ONCE` answers immediately, `AFTER_GCODE` when its G-code ended, `AT_TICK` with the next status tick.
"""

import json
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from simulators.klipper.commands import help_texts
from simulators.klipper.connection import Connection
from simulators.klipper.host import Host
from simulators.klipper.printer import GcodeError
from simulators.klipper.status import UNPARSED_OBJECTS, Status, Wanted, objects, pick

REMEMBERED_REQUESTS = 10_000


class RequestError(Exception):
    """A refused request; the text is the answer's message."""


class Request(NamedTuple):
    """`id` None = no answer is wanted. `connection` counts connections from 1."""

    connection: int
    id: Any
    method: str
    params: dict[str, Any]

    def get(self, key: str, kind: type, default: object = None) -> Any:
        """The argument. RequestError when it is missing without default, or not of the kind (str or dict)."""
        value = self.params.get(key, default)
        if value is None:
            raise RequestError(f"Missing Argument [{key}]")
        if not isinstance(value, kind):
            raise RequestError(f"Invalid Argument Type [{key}]")
        return value


class RequestLog:
    """What clients sent, newest last: all requests, frames dropped as malformed, and (request, message) of refused ones."""

    def __init__(self) -> None:
        self.requests: deque[Request] = deque(maxlen=REMEMBERED_REQUESTS)
        self.dropped: deque[bytes] = deque(maxlen=REMEMBERED_REQUESTS)
        self.refused: deque[tuple[Request, str]] = deque(maxlen=REMEMBERED_REQUESTS)


def parse_request(connection: int, frame: bytes) -> Request | None:
    """None = malformed, which Klipper drops without an answer."""
    try:
        message = json.loads(frame)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict):
        return None
    method, params = message.get("method"), message.get("params", {})
    if not isinstance(method, str) or not isinstance(params, dict):
        return None
    return Request(connection, message.get("id"), method, params)


class Endpoints:
    """Answers the requests of one life of klippy. `info` is the constant part of the `info` answer."""

    def __init__(self, host: Host, log: RequestLog, info: dict[str, Any]) -> None:
        self._host = host
        self._log = log
        self._info = info

    def receive(self, connection: Connection, frame: bytes) -> None:
        """One frame from a client. After the end of this life nobody reads it."""
        if self._host.exited.is_set():
            return
        request = parse_request(connection.number, frame)
        if request is None:
            self._log.dropped.append(frame)
            return
        self._log.requests.append(request)
        try:
            if request.method in AT_ONCE:
                self._answer(connection, request, AT_ONCE[request.method](self, connection, request))
            elif request.method in AFTER_GCODE and request.method in self.names():
                script = AFTER_GCODE[request.method] or request.get("script", str)
                self._host.spawn(self._run(connection, request, script))
            elif request.method in AT_TICK:
                AT_TICK[request.method](self, connection, request)
            else:
                raise RequestError(f"webhooks: No registered callback for path '{request.method}'")
        except RequestError as error:
            self._refuse(connection, request, str(error))

    def names(self) -> list[str]:
        """The methods there are; without a readable configuration pause_resume/* is missing."""
        names = [*AT_ONCE, *AFTER_GCODE, *AT_TICK]
        return names if self._host.parsed else [name for name in names if not name.startswith("pause_resume/")]

    def _answer(self, connection: Connection, request: Request, result: dict[str, Any]) -> None:
        if request.id is not None:
            connection.send({"id": request.id, "result": result})

    def _fail(self, connection: Connection, request: Request, message: str) -> None:
        if request.id is not None:
            connection.send({"id": request.id, "error": {"error": "WebRequestError", "message": message}})

    def _refuse(self, connection: Connection, request: Request, message: str) -> None:
        self._log.refused.append((request, message))
        self._fail(connection, request, message)

    async def _run(self, connection: Connection, request: Request, script: str) -> None:
        try:
            await self._host.run_script(script)
        except GcodeError as error:
            self._fail(connection, request, str(error))
        else:
            self._answer(connection, request, {})

    def info(self, connection: Connection, request: Request) -> dict[str, Any]:
        printer = self._host.printer
        return {"state": printer.state, "state_message": printer.state_message} | self._info

    def list_endpoints(self, connection: Connection, request: Request) -> dict[str, Any]:
        return {"endpoints": self.names()}

    def list_objects(self, connection: Connection, request: Request) -> dict[str, Any]:
        if not self._host.parsed:
            return {"objects": list(UNPARSED_OBJECTS)}
        return {"objects": list(objects(self._host.printer, time.monotonic(), {}))}

    def emergency_stop(self, connection: Connection, request: Request) -> dict[str, Any]:
        self._host.console.shutdown("Shutdown due to webhooks request", time.monotonic())
        return {}

    def register_remote_method(self, connection: Connection, request: Request) -> dict[str, Any]:
        name = request.get("remote_method", str)
        connection.remote_methods[name] = request.get("response_template", dict)
        return {}

    def subscribe_output(self, connection: Connection, request: Request) -> dict[str, Any]:
        connection.output_template = request.get("response_template", dict, {})
        return {}

    def gcode_help(self, connection: Connection, request: Request) -> dict[str, Any]:
        return dict(help_texts())

    def query_endstops(self, connection: Connection, request: Request) -> dict[str, Any]:
        return dict.fromkeys("xyz", "open")

    def query(self, connection: Connection, request: Request) -> None:
        wanted = _wanted(request)

        def answer(full: Status, now: float) -> None:
            self._answer(connection, request, {"eventtime": now, "status": pick(full, wanted)})

        self._host.at_next_tick(answer)

    def subscribe(self, connection: Connection, request: Request) -> None:
        wanted = _wanted(request)
        template = request.get("response_template", dict, {})
        connection.unsubscribe()

        def answer(full: Status, now: float) -> None:
            status = connection.subscribe(full, wanted, template)
            self._answer(connection, request, {"eventtime": now, "status": status})

        self._host.at_next_tick(answer)


def _wanted(request: Request) -> Wanted:
    wanted: dict[str, list[str] | None] = request.get("objects", dict)
    for fields in wanted.values():
        if fields is not None and not (isinstance(fields, list) and all(isinstance(field, str) for field in fields)):
            raise RequestError("Invalid argument")
    return wanted


AT_ONCE: dict[str, Callable[[Endpoints, Connection, Request], dict[str, Any]]] = {
    "info": Endpoints.info,
    "list_endpoints": Endpoints.list_endpoints,
    "emergency_stop": Endpoints.emergency_stop,
    "register_remote_method": Endpoints.register_remote_method,
    "objects/list": Endpoints.list_objects,
    "gcode/help": Endpoints.gcode_help,
    "gcode/subscribe_output": Endpoints.subscribe_output,
    "query_endstops/status": Endpoints.query_endstops,
}

AFTER_GCODE: dict[str, str | None] = {
    "gcode/script": None,
    "gcode/restart": "RESTART",
    "gcode/firmware_restart": "FIRMWARE_RESTART",
    "pause_resume/pause": "PAUSE",
    "pause_resume/resume": "RESUME",
    "pause_resume/cancel": "CANCEL_PRINT",
}
"""Method → the script it runs; None = the request's own."""

AT_TICK: dict[str, Callable[[Endpoints, Connection, Request], None]] = {
    "objects/query": Endpoints.query,
    "objects/subscribe": Endpoints.subscribe,
}


def host_info(process_id: int) -> dict[str, Any]:
    """The constant fields of the `info` answer."""
    return {
        "hostname": socket.gethostname(),
        "klipper_path": "/home/pi/klipper",
        "python_path": "/home/pi/klippy-env/bin/python",
        "process_id": process_id,
        "user_id": 0,
        "group_id": 0,
        "log_file": "/home/pi/printer_data/logs/klippy.log",
        "config_file": "/home/pi/printer_data/config/printer.cfg",
        "software_version": "simulated",
        "cpu_info": "simulated",
    }
