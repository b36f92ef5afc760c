"""The commanded position of every extruder since Klipper's start, pure.

`toolhead.position[3]` belongs to the active extruder and jumps at a tool change to that one's own last position, in the
same update as `toolhead.extruder`. A session lasts from Klipper's start, when all positions are 0, to its next.
"""

from typing import Any


class Extruders:
    def __init__(self, session: int) -> None:
        self.session = session
        self.active: str | None = None
        self.position: dict[str, float] = {}
        self.previous: dict[str, Any] | None = None

    @property
    def value(self) -> dict[str, Any]:
        """As in the topic printer.extruders: also where the session before ended, for who was not there to see."""
        return {"session": self.session, "active": self.active, "position": dict(self.position),
                "previous": self.previous}  # fmt: skip

    def see(self, toolhead: dict[str, Any]) -> None:
        """Takes over what an update says; a toolhead Klipper does not know yet (nulls) says nothing."""
        name, position = toolhead.get("extruder"), toolhead.get("position")
        if name and isinstance(position, list) and len(position) > 3:
            self.active = name
            self.position[name] = float(position[3])

    def restarted(self, toolhead: dict[str, Any]) -> bool:
        """Whether this first sight after a lost connection is another session's. Klipper closes connections when it
        restarts and else hardly ever, so a position that fell meanwhile began anew and is no retraction."""
        name, position = toolhead.get("extruder"), toolhead.get("position")
        if name not in self.position or not isinstance(position, list) or len(position) < 4:
            return False
        return bool(position[3] < self.position[name])

    def begin(self, session: int) -> None:
        """Klipper started: all positions are 0 and will be seen as they come."""
        self.previous = {"session": self.session, "position": self.position} if self.position else None
        self.session = session
        self.position = {}
        self.active = None
