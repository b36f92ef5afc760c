"""What a person is told of the link and the ledger, pure: the value of spoolman.status."""

from dataclasses import dataclass
from typing import Any

from services.spoolman_sync.held import Unassigned, Uncertain
from services.spoolman_sync.ledger import Ledger


@dataclass(frozen=True, slots=True)
class LinkState:
    """The websocket to Spoolman: up or down `since` then, and when it is tried again. Wall times, s."""

    connected: bool
    since: float
    next_try: float | None = None


def status(ledger: Ledger, link: LinkState, last_error: str | None) -> dict[str, Any]:
    """The first three fields are Moonraker's. Lengths in mm, times in seconds since 1970, null where nobody knows."""
    pending = [{"spool_id": spool, "filament_used": round(mm, 5)} for spool, mm in ledger.unreported().items()]
    return {
        "spoolman_connected": link.connected,
        "pending_reports": pending,
        "spool_id": ledger.spool_id,
        "since": link.since,
        "last_error": last_error,
        "next_try": link.next_try,
        "unassigned": {
            "filament_used": round(ledger.unassigned_mm, 5),
            "jobs": [_unassigned(row) for row in ledger.unassigned.rows],
        },
        "uncertain": [_uncertain(row) for row in ledger.uncertain.rows],
    }


def _unassigned(row: Unassigned) -> dict[str, Any]:
    return {"filename": row.job.filename, "began": row.job.began_at or None, "at": row.at or None,
            "spool_id": row.spool_id, "filament_used": round(row.mm, 5)}  # fmt: skip


def _uncertain(row: Uncertain) -> dict[str, Any]:
    return {"spool_id": row.spool_id, "filament_used": round(row.mm, 5), "before": round(row.before_mm, 5),
            "after": round(row.after_mm, 5), "at": row.at}  # fmt: skip
