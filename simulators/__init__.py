"""The other side of the project: a printer, a Spoolman and a push service that are not there.

Theory of operation. Each simulator is a class with `start()` and `stop()` that serves the real wire protocol from inside one
asyncio loop, and a small command line (`python -m simulators.klipper | spoolman | push_sink`). The demo runs them as
processes; tests hold the objects and so have both ends: what a client sent (`requests`, `pushes`) and the truth to compare an
answer with (`SimulatedKlipper.extruded_mm`, `SimulatedSpoolman.used_mm`). What the real programs do badly, the simulators do
too, since that is what clients have to survive: Klipper drops malformed requests without a word and forgets everything at
RESTART, Spoolman books twice when asked twice.

They import nothing else of the project, so nothing can agree with itself by sharing a mistake.
"""
