"""A simulated Spoolman: `store` is its database (pure), `faults` what may go wrong on request, `server` REST and websockets."""

from simulators.spoolman.faults import Fault
from simulators.spoolman.server import SimulatedSpoolman

__all__ = ["Fault", "SimulatedSpoolman"]
