"""`python -m simulators.klipper --socket PATH --gcodes DIR [--speed X]`: a printer for the demo, until SIGTERM or SIGINT."""

import argparse
import asyncio
import signal
from pathlib import Path

from simulators.klipper.server import SimulatedKlipper


async def _serve(klipper: SimulatedKlipper) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await klipper.start()
    print(f"simulated Klipper on {klipper.socket_path}, G-code files from {klipper.gcodes_dir}", flush=True)
    await stop.wait()
    await klipper.stop()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m simulators.klipper", description="A simulated Klipper with a printer."
    )
    parser.add_argument("--socket", type=Path, required=True, help="path of the API socket to serve")
    parser.add_argument("--gcodes", type=Path, required=True, help="folder with the G-code files to print")
    parser.add_argument("--speed", type=float, default=1.0, help="how many times faster than a real printer (1)")
    parser.add_argument("--extruders", type=int, default=2, choices=range(1, 5), help="number of extruders (2)")
    arguments = parser.parse_args()
    if arguments.speed <= 0:
        parser.error("--speed must be greater than 0, for example 10")
    if len(bytes(arguments.socket)) > 107:
        parser.error(f"--socket: {arguments.socket} is longer than the 107 bytes a Unix socket path may have")
    arguments.gcodes.mkdir(parents=True, exist_ok=True)
    klipper = SimulatedKlipper(arguments.socket, arguments.gcodes, speed=arguments.speed, extruders=arguments.extruders)
    try:
        asyncio.run(_serve(klipper))
    except OSError as error:
        parser.exit(1, f"simulated Klipper: cannot serve {arguments.socket}: {error.strerror or error}\n")


if __name__ == "__main__":
    main()
