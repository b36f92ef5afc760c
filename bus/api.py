"""TABLE 3: the methods. HTTP routes, JSON-RPC dispatch, parameter checks, documentation and contract tests come out of it.

A new method is one row here and one handler at its owner; the gateway has no code per feature.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from bus.params import Param
from bus.services import SERVICES

QUICK_S = 5.0
"""Seconds an owner has for an answer that needs nobody else."""
SLOW_S = 30.0
"""Seconds for an answer that needs a third party (Spoolman, a push service)."""
UNLIMITED = None
"""G-code may heat a bed for minutes. The end of the owner still ends the call at once."""


@dataclass(frozen=True, slots=True)
class Method:
    """`http` routes are "VERB /path", path parameters in braces, `{path:*}` takes the rest. `answer` names the state
    topic the gateway serves the result from; a mirror is asked for the objects wanted. `section`: exists only when
    the configuration has it. `connection`: handled on the connection it came over, so only for websockets and the
    Unix socket. `raw`: HTTP only, handled with the request itself. `bare`: the answer is not wrapped in "result".
    `idempotent`: asking twice does no more than once, always or when this parameter has this value. Such a call waits
    for an owner that restarts; any other fails at once, for nothing may happen later than its caller thinks. `urgent`: taken
    however much its caller has under way."""

    name: str
    http: tuple[str, ...]
    owner: str
    params: tuple[Param, ...]
    meaning: str
    deadline_s: float | None = QUICK_S
    answer: str | None = None
    section: str | None = None
    rpc: bool = True
    connection: bool = False
    raw: bool = False
    bare: bool = False
    status: int = 200
    debug: bool = False
    public: bool = False
    idempotent: bool | tuple[str, str] = False
    urgent: bool = False

    def repeatable(self, params: Mapping[str, Any]) -> bool:
        """Whether this call of it is idempotent."""
        if isinstance(self.idempotent, bool):
            return self.idempotent
        name, value = self.idempotent
        return params.get(name) == value


def _both(path: str) -> tuple[str, ...]:
    return (f"GET {path}", f"POST {path}")


def _post(path: str) -> tuple[str, ...]:
    return (f"POST {path}",)


def _get(path: str) -> tuple[str, ...]:
    return (f"GET {path}",)


OBJECTS = Param("objects", "objects", "which of Klipper's objects, and which of their fields (null: all)")
FILENAME = Param("filename", "string", "path below the gcodes root", max_length=1024)
SCRIPT = Param("script", "string", "lines of G-code", max_length=1_000_000)
SPOOL_ID = Param("spool_id", "integer", "null or absent: no spool", default=None, nullable=True, minimum=1)
ROOT = Param("root", "string", "gcodes, config or logs", max_length=64)

NOTIFIER = Param("name", "string", "of the notifier", max_length=256)

_PRINTER = (
    Method("printer.info", _both("/printer/info"), "klipper_bridge", (), "Klipper's state, versions and paths",
           idempotent=True),
    Method("printer.objects.list", _both("/printer/objects/list"), "klipper_bridge", (), "names of Klipper's objects",
           idempotent=True),
    Method("printer.objects.query", _both("/printer/objects/query"), "klipper_bridge", (OBJECTS,),
           "current values of objects; from the mirror when it has them", answer="printer.objects", idempotent=True),
    Method("printer.objects.subscribe", _post("/printer/objects/subscribe"), "gateway", (OBJECTS,),
           "current values, then notify_status_update for each change", connection=True),
    Method("printer.gcode.script", _both("/printer/gcode/script"), "klipper_bridge", (SCRIPT,),
           "runs G-code; the answer comes when Klipper has processed it", deadline_s=UNLIMITED),
    Method("printer.gcode.help", _both("/printer/gcode/help"), "klipper_bridge", (), "{command: description}",
           idempotent=True),
    Method("printer.print.start", _post("/printer/print/start"), "klipper_bridge", (FILENAME,), "starts a print",
           deadline_s=UNLIMITED),
    Method("printer.print.pause", _post("/printer/print/pause"), "klipper_bridge", (), "pauses", deadline_s=UNLIMITED),
    Method("printer.print.resume", _post("/printer/print/resume"), "klipper_bridge", (), "resumes",
           deadline_s=UNLIMITED),
    Method("printer.print.cancel", _post("/printer/print/cancel"), "klipper_bridge", (), "cancels",
           deadline_s=UNLIMITED),
    Method("printer.emergency_stop", _post("/printer/emergency_stop"), "klipper_bridge", (),
           "halts the printer; overtakes everything", urgent=True),
    Method("printer.restart", _post("/printer/restart"), "klipper_bridge", (), "restarts Klipper's host software",
           deadline_s=UNLIMITED),
    Method("printer.firmware_restart", _post("/printer/firmware_restart"), "klipper_bridge", (),
           "resets the microcontrollers and restarts Klipper", deadline_s=UNLIMITED),
    Method("printer.query_endstops.status", _both("/printer/query_endstops/status"), "klipper_bridge", (),
           "{endstop: open or TRIGGERED}", deadline_s=UNLIMITED, idempotent=True),
)  # fmt: skip

_SERVER = (
    Method("server.info", _both("/server/info"), "gateway", (), "what runs, what failed, is Klipper there"),
    Method("server.config", _both("/server/config"), "gateway", (), "the configuration read, secrets masked"),
    Method("server.connection.identify", (), "gateway",
           (Param("client_name", "string"), Param("version", "string"), Param("type", "string"), Param("url", "string"),
            Param("api_key", "string", default="", nullable=True),
            Param("access_token", "string", default="", nullable=True)),
           "who a websocket client is; answers {connection_id}", connection=True, public=True),
    Method("server.websocket.id", (), "gateway", (), "{websocket_id} of this connection", connection=True),
    Method("server.files.roots", _get("/server/files/roots"), "gateway", (), "[{name, path, permissions}]"),
    Method("server.files.list", _get("/server/files/list"), "gateway",
           (Param("root", "string", "gcodes, config or logs", default="gcodes", max_length=64),),
           "[{path, modified, size, permissions}] of all files below a root"),
    Method("server.files.upload", _post("/server/files/upload"), "gateway", (),
           "multipart: file, root, path, checksum (sha256), print", status=201, rpc=False, raw=True),
    Method("server.files.download", _get("/server/files/{root}/{path:*}"), "gateway", (), "a file's bytes", rpc=False,
           raw=True),
)  # fmt: skip

_ACCESS_AND_MACHINE = (
    Method("access.info", _get("/access/info"), "gateway", (), "how to log in; open to everyone", connection=True,
           public=True),
    Method("access.get_user", _get("/access/user"), "gateway", (), "the user of this connection", connection=True),
    Method("access.get_api_key", _get("/access/api_key"), "gateway", (), "the API key"),
    Method("access.post_api_key", _post("/access/api_key"), "gateway", (), "makes a new API key"),
    Method("access.oneshot_token", _get("/access/oneshot_token"), "gateway", (),
           "a token good for one request within 5 seconds"),
    Method("machine.system_info", _get("/machine/system_info"), "gateway", (), "the host's hardware and system"),
    Method("machine.proc_stats", _get("/machine/proc_stats"), "gateway", (), "the host's and the services' load"),
    Method("klippysocket", _get("/klippysocket"), "gateway", (), "a websocket straight to Klipper's API socket",
           rpc=False, raw=True),
)  # fmt: skip

_NOTIFIER = (
    Method("server.notifiers.list", _get("/server/notifiers/list"), "notifier", (), "the notifiers as configured",
           answer="notifier.list", section="notifier", idempotent=True),
    Method("server.notifiers.status", _get("/server/notifiers/status"), "notifier", (),
           "per notifier: queued, last delivery, last error, dead letters", answer="notifier.status", section="notifier",
           idempotent=True),
    Method("server.notifiers.retry", _post("/server/notifiers/retry"), "notifier",
           (replace(NOTIFIER, meaning="only this notifier's", default=None, nullable=True),
            Param("id", "integer", "only this dead letter", default=None, nullable=True, minimum=1)),
           "sends dead letters again; answers {retried}", section="notifier"),
    Method("server.notifiers.test", _post("/server/notifiers/test"), "notifier", (NOTIFIER,),
           "pushes a test and answers with what happened", deadline_s=SLOW_S, section="notifier"),
    Method("debug.notifiers.test", _post("/debug/notifiers/test"), "notifier", (NOTIFIER,), "the same",
           deadline_s=SLOW_S, section="notifier", debug=True),
)  # fmt: skip

_SPOOLMAN = (
    Method("server.spoolman.status", _get("/server/spoolman/status"), "spoolman_sync", (),
           "connection (since when, last error, next try), active spool, reports not yet confirmed, filament of no spool "
           "by job, reports of uncertain outcome", answer="spoolman.status", section="spoolman", idempotent=True),
    Method("server.spoolman.get_spool_id", _get("/server/spoolman/spool_id"), "spoolman_sync", (), "the active spool",
           answer="spoolman.active", section="spoolman", idempotent=True),
    Method("server.spoolman.post_spool_id", _post("/server/spoolman/spool_id"), "spoolman_sync", (SPOOL_ID,),
           "sets or unsets the active spool", section="spoolman"),
    Method("server.spoolman.proxy", _post("/server/spoolman/proxy"), "spoolman_sync",
           (Param("request_method", "string", "GET, POST, PUT, PATCH or DELETE", max_length=16),
            Param("path", "string", "of Spoolman's API, starting with /v1/"),
            Param("query", "string", "query string", default=None, nullable=True, max_length=16_384),
            Param("body", "any", "sent as JSON", default=None, nullable=True, max_length=1_000_000),
            Param("use_v2_response", "boolean", "errors of Spoolman's as a result", default=False)),
           "passes a request on to Spoolman", deadline_s=SLOW_S, section="spoolman",
           idempotent=("request_method", "GET")),
)  # fmt: skip


def _octoprint(name: str, http: tuple[str, ...], meaning: str, params: tuple[Param, ...] = (), status: int = 200,
               deadline_s: float | None = QUICK_S, answer: str | None = None) -> Method:  # fmt: skip
    reads = not any(route.startswith("POST") and "login" not in route for route in http)
    return Method(f"octoprint.{name}", http, "octo_shim", params, meaning, deadline_s=deadline_s,
                  section="octoprint_compat", rpc=False, bare=True, status=status, idempotent=reads,
                  answer=answer)  # fmt: skip


_OCTOPRINT = (
    _octoprint("version", _get("/api/version"), "versions, as slicers probe for them",
               answer="octoprint.version"),
    _octoprint("server", _get("/api/server"), "{server, safemode}", answer="octoprint.server"),
    _octoprint("login", _both("/api/login"), "the user an API key stands for", answer="octoprint.user"),
    _octoprint("currentuser", _get("/api/currentuser"), "the same", answer="octoprint.user"),
    _octoprint("settings", _get("/api/settings"), "plugins, features, webcam", answer="octoprint.settings"),
    _octoprint("job", _get("/api/job"), "file, progress, state", answer="octoprint.job"),
    _octoprint("job_command", _post("/api/job"), "start, cancel, restart, or pause with its action",
               (Param("command", "string", "start, cancel, restart or pause", max_length=64),
                Param("action", "string", "with pause: pause, resume or toggle", default="toggle", max_length=64)),
               status=204, deadline_s=UNLIMITED),
    _octoprint("printer", _get("/api/printer"), "temperatures and state", answer="octoprint.printer"),
    _octoprint("printer_command", _post("/api/printer/command"), "runs lines of G-code",
               (Param("commands", "strings", "lines of G-code", default=None, nullable=True),
                Param("command", "string", "a single line", default=None, nullable=True)), deadline_s=UNLIMITED),
    _octoprint("printerprofiles", _get("/api/printerprofiles"), "the one profile",
               answer="octoprint.printerprofiles"),
    _octoprint("select", (*_post("/api/files/moonraker/{root}/{path:*}"), *_post("/api/files/local/{path:*}")),
               "selects a file and prints it when asked to",
               (replace(ROOT, default="gcodes"), Param("path", "string", "below the root", max_length=1024),
                Param("command", "string", "select", max_length=64),
                Param("print", "boolean", default=False)), status=204, deadline_s=UNLIMITED),
    Method("octoprint.files_local", _post("/api/files/local"), "gateway", (), "upload, as slicers send it",
           section="octoprint_compat", status=201, rpc=False, raw=True),
)  # fmt: skip

METHODS: dict[str, Method] = {
    method.name: method for method in (*_PRINTER, *_SERVER, *_ACCESS_AND_MACHINE, *_NOTIFIER, *_SPOOLMAN, *_OCTOPRINT)
}

BUILT_IN: dict[str, tuple[Param, ...]] = {
    "ping": (),
    "info": (),
    "stats": (),
    "journal": (Param("topic", "string"), Param("journal_id", "string", default=""),
                Param("number", "integer", default=0, minimum=0)),
}  # fmt: skip
"""Answered by every service itself, called as SERVICE.ping and so on: alive? who? how busy? journal entries after a
cursor."""


def owner_of(method: str) -> str | None:
    """The service that answers this method, or None where no row and no built-in has the name."""
    if method in METHODS:
        return METHODS[method].owner
    service, _, verb = method.rpartition(".")
    return service if verb in BUILT_IN and service in SERVICES else None
