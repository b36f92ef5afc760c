"""`python -m simulators.spoolman --port N [--state FILE]`: a Spoolman for the demo, until SIGTERM or SIGINT."""

import argparse
import asyncio
import signal
from pathlib import Path

from simulators.spoolman.server import SimulatedSpoolman


async def _serve(port: int, host: str, state_file: Path | None) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    spoolman = SimulatedSpoolman(port=port, host=host, state_file=state_file)
    await spoolman.start()
    print(f"simulated Spoolman on {spoolman.url}, spools {', '.join(map(str, spoolman.used_mm))}", flush=True)
    await stop.wait()
    await spoolman.stop()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m simulators.spoolman", description="A simulated Spoolman.")
    parser.add_argument("--port", type=int, required=True, help="TCP port; 0 = any free one")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--state", type=Path, help="file that keeps the spools from one start to the next")
    arguments = parser.parse_args()
    try:
        asyncio.run(_serve(arguments.port, arguments.host, arguments.state))
    except ValueError as error:
        parser.exit(
            1, f"simulated Spoolman: --state {arguments.state} holds no spools: {error}; remove it to start anew\n"
        )
    except OSError as error:
        where = f"{arguments.host}:{arguments.port}"
        parser.exit(1, f"simulated Spoolman: cannot listen on {where}: {error.strerror or error}\n")


if __name__ == "__main__":
    main()
