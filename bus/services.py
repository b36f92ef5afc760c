"""TABLE 1: the services. Folder = process = supervisord program = owner in the other two tables."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Service:
    """One process of the system. `heartbeat_s` is the period it declares; silence for longer than
    `SILENT_PERIODS` of them means it is gone or hung."""

    name: str
    owns: str
    heartbeat_s: float = 2.0


SILENT_PERIODS = 2.5
"""supervisord needs 1-2 s to bring a killed process back and Python one more to import it:
answers from retained state bridge that time."""

HANG_S = 10.0
"""A process whose event loop stands still for this long prints where and ends itself, in seconds.
Longer than the stalls a worn SD card causes, shorter than a person's patience."""

SERVICES: dict[str, Service] = {
    service.name: service
    for service in (
        Service("klipper_bridge", "the one connection to Klipper; the printer's state; the journal of job events"),
        Service("gateway", "HTTP, websocket and Unix socket: the only door to the outside; files"),
        Service("notifier", "notifiers and their outbox of pushes"),
        Service("spoolman_sync", "the active spool, the filament ledger, the link to Spoolman"),
        Service("octo_shim", "everything an OctoPrint client sees"),
    )
}


def silent_after_s(service: str) -> float:
    """Seconds without a heartbeat after which retained answers of this service are no longer served."""
    return SERVICES[service].heartbeat_s * SILENT_PERIODS
