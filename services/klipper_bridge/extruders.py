"""The commanded position of every extruder since Klipper's start, pure.

`toolhead.position[3]` belongs to the active extruder and jumps at a tool change to that one's own last position, in the
same update as `toolhead.extruder`. A session lasts from Klipper's start, when all positions are 0, to its next.

What an extruder pushes between the last update and a change to another one shows when it is active again, and not before:
no object of Klipper's tells the position of an inactive extruder. Nothing is guessed instead. `print_stats.filament_used`
sums all extruders, but net of retractions and before M221, so it is a bound and no position; what an extruder pushed last in
a session in which it never becomes active again, at most some tenths of a second of it, stays uncounted.
"""

from typing import Any

ENDS_MOST = 8
"""Sessions whose ends are told. Klipper restarts that often in a row while somebody tries out a configuration."""

UNSEEN_DROP_MM = 200.0
"""A position that fell by more than this over a lost connection began anew: no retraction is that long."""


class Extruders:
    """`ended` is the end told last in the bridge's former life, of this session or of the one before."""

    def __init__(self, session: int, ended: dict[str, Any] | None = None) -> None:
        self.session = session
        self.active: str | None = None
        self.position: dict[str, float] = {}
        self.previous = ended
        self._highest: dict[str, float] = {}
        if ended is not None and ended["session"] == session:
            self.previous, self._highest = ended["previous"], dict(ended["position"])

    @property
    def value(self) -> dict[str, Any]:
        """As in the topic printer.extruders: also how the sessions before ended, for who was not there to see."""
        return {"session": self.session, "active": self.active, "position": dict(self.position),
                "previous": self.previous}  # fmt: skip

    def see(self, toolhead: dict[str, Any]) -> None:
        """Takes over what an update says; a toolhead Klipper does not know yet (nulls) says nothing."""
        name, mm = _extruded(toolhead)
        if name is not None:
            self.active = name
            self.position[name] = mm
            self._highest[name] = max(mm, self._highest.get(name, mm))

    def restarted(self, toolhead: dict[str, Any]) -> bool:
        """Whether this first sight after a lost connection can only be another session's. A shorter fall may be a
        retraction: a session that began too often would count all that was extruded once more."""
        name, mm = _extruded(toolhead)
        if name not in self.position:
            return False
        fell_mm = self.position[name] - mm
        return fell_mm > UNSEEN_DROP_MM or (mm == 0.0 and fell_mm > 0.0)

    @property
    def end(self) -> dict[str, Any] | None:
        """How the session stands, should it be over: the highest position of each extruder, for a retraction that never
        returns is no less filament; and the ends before it. None where no session was seen."""
        return _newest(self.session, self._highest, self.previous) if self._highest else self.previous

    def begin(self, session: int) -> None:
        """Klipper started: all positions are 0 and will be seen as they come."""
        self.previous = self.end
        self.session = session
        self.position, self._highest = {}, {}
        self.active = None


def _newest(session: int, highest: dict[str, float], previous: dict[str, Any] | None) -> dict[str, Any]:
    """One end more, and of those before it as many as are told."""
    ends: list[dict[str, Any]] = []
    while previous is not None and len(ends) < ENDS_MOST - 1:
        ends.append(previous)
        previous = previous["previous"]
    chain: dict[str, Any] | None = None
    for end in reversed(ends):
        chain = {**end, "previous": chain}
    return {"session": session, "position": highest, "previous": chain}


def untouched(toolhead: dict[str, Any]) -> bool:
    """Whether the active extruder has not moved yet: so after each start of Klipper's."""
    return _extruded(toolhead)[1] == 0.0


def _extruded(toolhead: dict[str, Any]) -> tuple[str | None, float]:
    """The active extruder and its position in mm; None while Klipper does not know."""
    name, position = toolhead.get("extruder"), toolhead.get("position")
    if not name or not isinstance(position, list) or len(position) < 4:
        return None, 0.0
    return str(name), float(position[3])
