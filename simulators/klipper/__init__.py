"""A simulated Klipper: the Unix socket API of klippy with a printer behind it.

`printer` and `job` are the state of the machine and of the print (pure; time is passed in). `parser` reads G-code, `commands` is
the table of what is understood, carried out in `motion` and `printing` on a `console`. `status` says how clients see the printer.
`host` is one life of the klippy process with its G-code mutex and ticks, `endpoints` the requests it answers, `connection` the
framing, and `server` is `SimulatedKlipper`: lives following each other on one socket path.
"""

from simulators.klipper.server import SimulatedKlipper

__all__ = ["SimulatedKlipper"]
