"""The commanded position of every extruder since Klipper's start, pure.

`toolhead.position[3]` belongs to the active extruder and jumps at a tool change to that one's own last position, in the
same update as `toolhead.extruder`. A session lasts from Klipper's start, when all positions are 0, to its next.
"""

from typing import Any

UNSEEN_DROP_MM = 200.0
"""A position that fell by more than this while nobody was connected began anew: no retraction is that long."""


class Extruders:
    def __init__(self, session: int) -> None:
        self.session = session
        self.active: str | None = None
        self.position: dict[str, float] = {}

    @property
    def value(self) -> dict[str, Any]:
        return {"session": self.session, "active": self.active, "position": dict(self.position)}

    def see(self, toolhead: dict[str, Any]) -> None:
        """Takes over what an update says; a toolhead Klipper does not know yet (nulls) says nothing."""
        name, position = toolhead.get("extruder"), toolhead.get("position")
        if name and isinstance(position, list) and len(position) > 3:
            self.active = name
            self.position[name] = float(position[3])

    def restarted(self, toolhead: dict[str, Any]) -> bool:
        """Whether this first sight after a lost connection can only be another session's."""
        name, position = toolhead.get("extruder"), toolhead.get("position")
        if name not in self.position or not isinstance(position, list) or len(position) < 4:
            return False
        fell_mm = self.position[name] - position[3]
        return bool(fell_mm > UNSEEN_DROP_MM or (position[3] == 0.0 and fell_mm > 0.0))

    def begin(self, session: int) -> None:
        """Klipper started: all positions are 0 and will be seen as they come."""
        self.session = session
        self.position.clear()
        self.active = None
