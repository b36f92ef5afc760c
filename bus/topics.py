"""TABLE 2: the topics. Who says what, what a subscriber may rely on, and which websocket notification it becomes.

state    the newest value, also for who comes late: retained by the owner, sent again to whoever subscribes
mirror   a dictionary kept in step: a full copy first, then changes
event    now or never
journal  never lost: in the owner's database before it is published; consumers keep a cursor
"""

from dataclasses import dataclass
from enum import StrEnum

from bus.services import SERVICES


class Kind(StrEnum):
    STATE = "state"
    MIRROR = "mirror"
    EVENT = "event"
    JOURNAL = "journal"


@dataclass(frozen=True, slots=True)
class Topic:
    """`notification` is the JSON-RPC notification the gateway makes of it; `{state}` in it stands for that value."""

    name: str
    owner: str
    kind: Kind
    meaning: str
    notification: str | None = None


def _of_every_service() -> list[Topic]:
    rows = []
    for name in SERVICES:
        rows += [
            Topic(f"{name}.heartbeat", name, Kind.EVENT, "{pid, uptime_s, lag_s, numbers}: alive, each period"),
            Topic(f"{name}.component", name, Kind.STATE, "{components, failed, warnings}: what its configuration made"),
            Topic(
                f"{name}.exit",
                name,
                Kind.STATE,
                "{pid, reason, at} | null: how the process before this one ended, when it did not end cleanly",
            ),
            Topic(f"{name}.wants", name, Kind.STATE, "{object: null | [field]}: what it wants mirrored of the printer"),
            Topic(
                f"{name}.trace", name, Kind.EVENT, "{method, caller, duration_ms, outcome}: each request it answered"
            ),
        ]
    return rows


TOPICS: dict[str, Topic] = {
    topic.name: topic
    for topic in (
        Topic("printer.state", "klipper_bridge", Kind.STATE,
              "{connected, state, message, software_version}: state is disconnected, startup, ready, shutdown or error",
              "notify_klippy_{state}"),
        Topic("printer.objects", "klipper_bridge", Kind.MIRROR,
              "{eventtime, status, covers}: Klipper's objects, one message per update of Klipper's",
              "notify_status_update"),
        Topic("printer.extruders", "klipper_bridge", Kind.STATE,
              "{session, active, position: {extruder: mm}, previous: {session, position, previous} | null}: extrusion "
              "commanded since Klipper's start, which a session is, and the highest positions of the sessions before"),
        Topic("printer.gcode", "klipper_bridge", Kind.EVENT, "{response}: a line of Klipper's output",
              "notify_gcode_response"),
        Topic("printer.jobs", "klipper_bridge", Kind.JOURNAL,
              "{event, previous, current, message, extruders}: started, paused, resumed, complete, error, cancelled, standby; "
              "extruders as in printer.extruders at that moment"),
        Topic("printer.remote_calls", "klipper_bridge", Kind.JOURNAL,
              "{method, params, extruders}: a macro called a remote method; extruders as in printer.extruders at that moment"),
        Topic("notifier.list", "notifier", Kind.STATE, "{notifiers}: the notifiers as configured"),
        Topic("notifier.status", "notifier", Kind.STATE,
              "{notifiers: [{name, queued, sending, last_delivery, last_error, next_try, dead_letters}]}"),
        Topic("notifier.outbox", "notifier", Kind.STATE, "{pending, failed}: pushes under way and pushes given up"),
        Topic("spoolman.active", "spoolman_sync", Kind.STATE, "{spool_id}: the spool that usage is booked on",
              "notify_active_spool_set"),
        Topic("spoolman.link", "spoolman_sync", Kind.STATE, "{spoolman_connected}: the websocket to Spoolman is up",
              "notify_spoolman_status_changed"),
        Topic("spoolman.status", "spoolman_sync", Kind.STATE,
              "{spoolman_connected, pending_reports, spool_id, since, last_error, next_try, unassigned: {filament_used, "
              "jobs: [{filename, began, at, spool_id, filament_used}]}, uncertain: [{spool_id, filament_used, before, "
              "after, at}]}"),
        Topic("spoolman.ledger", "spoolman_sync", Kind.STATE,
              "{extruded_mm, booked_mm, pending_mm, unassigned_mm, uncertain_mm}: the first is the sum of the others"),
        Topic("octoprint.version", "octo_shim", Kind.STATE, "the answer of GET /api/version"),
        Topic("octoprint.server", "octo_shim", Kind.STATE, "the answer of GET /api/server"),
        Topic("octoprint.user", "octo_shim", Kind.STATE, "the answer of GET /api/login and /api/currentuser"),
        Topic("octoprint.settings", "octo_shim", Kind.STATE, "the answer of GET /api/settings"),
        Topic("octoprint.job", "octo_shim", Kind.STATE, "the answer of GET /api/job"),
        Topic("octoprint.printer", "octo_shim", Kind.STATE, "the answer of GET /api/printer"),
        Topic("octoprint.printerprofiles", "octo_shim", Kind.STATE, "the answer of GET /api/printerprofiles"),
        Topic("files.changed", "gateway", Kind.EVENT, "{action, item}: a file came, changed or went",
              "notify_filelist_changed"),
        Topic("machine.proc_stats", "gateway", Kind.EVENT, "the host's load, each second", "notify_proc_stat_update"),
        *_of_every_service(),
    )
}  # fmt: skip
