"""`SimulatedKlipper`: lives of klippy following each other on one Unix socket path."""

import asyncio
import errno
import os
import socket
import time
from collections import deque
from pathlib import Path

from simulators.klipper.connection import Connection
from simulators.klipper.endpoints import Endpoints, Request, RequestLog, host_info
from simulators.klipper.host import Host
from simulators.klipper.printer import CONFIG_HINT, Printer

OLD_SOCKET_S = 0.01
"""The listening socket outlives the connections a little: who reconnects at once is reset at its first read."""


class SimulatedKlipper:
    """A Klipper host with its printer.

    `tick_s`: status ticks. `speed` divides the time motion and heating take. `restart_s`: how long connections are refused in a
    restart; `startup_s`: how long the state is `startup`. `patience_s`: when a client that does not read is cut off.

    `extruded_mm` is the truth per extruder, over all lives: everything pushed, retractions counted down. `requests` are what
    clients sent; `dropped` the malformed frames among it, `refused` the requests with wrong arguments or unknown methods.
    """

    def __init__(
        self,
        socket_path: str | os.PathLike[str],
        gcodes_dir: str | os.PathLike[str],
        *,
        tick_s: float = 0.25,
        speed: float = 1.0,
        restart_s: float = 1.0,
        startup_s: float = 0.3,
        extruders: int = 2,
        patience_s: float = 5.0,
    ) -> None:
        self.socket_path = Path(socket_path)
        self.gcodes_dir = Path(gcodes_dir).absolute()
        self.extruded_mm = {f"extruder{number or ''}": 0.0 for number in range(extruders)}
        self.config_error: str | None = None
        self.config_parsed = True
        self.mcu_is_shutdown = False
        self._tick_s, self._speed = tick_s, speed
        self._restart_s, self._startup_s, self._patience_s = restart_s, startup_s, patience_s
        self._log = RequestLog()
        self._process_id = os.getpid()
        self._connections = 0
        self._listener: asyncio.Server | None = None
        self._host: Host | None = None
        self._lives: asyncio.Task[None] | None = None

    @property
    def printer(self) -> Printer:
        """The machine of the present life (of the last one, after `kill` and `stop`)."""
        return self._current().printer

    @property
    def requests(self) -> deque[Request]:
        return self._log.requests

    @property
    def dropped(self) -> deque[bytes]:
        return self._log.dropped

    @property
    def refused(self) -> deque[tuple[Request, str]]:
        return self._log.refused

    @property
    def connection_count(self) -> int:
        """Clients connected now."""
        return len(self._current().connections)

    async def start(self) -> None:
        """Starts the process: state startup, then ready. Also after `kill` or `stop`; nothing of the print is remembered.

        OSError when the socket cannot be made, or somebody serves it already.
        """
        self._check_nobody_serves()
        self._process_id += 1
        await self._begin_life()
        self._lives = asyncio.create_task(self._restart_for_ever())

    async def kill(self) -> None:
        """kill -9: clients see EOF, the socket file stays and refuses."""
        await self._end()
        self._leave_stale_file()

    async def stop(self) -> None:
        """An end in good order; the socket file goes."""
        await self._end()
        self.socket_path.unlink(missing_ok=True)

    async def run_script(self, text: str) -> None:
        """Runs G-code as if typed at the printer. GcodeError when it fails."""
        await self._current().run_script(text)

    def shutdown(self, message: str) -> None:
        """The machine shuts down; `message` is the cause, e.g. `MCU 'mcu' shutdown: ADC out of range`."""
        self._current().console.shutdown(message, time.monotonic())

    def fail_config(self, message: str, parsed: bool = True) -> None:
        """The state becomes error, now and after each restart, until `config_error` is None again.

        `parsed` False (from the next restart on): the file cannot even be read, most objects do not exist.
        """
        self.config_error = f"{message}\n\n{CONFIG_HINT}"
        self.config_parsed = parsed
        self._current().printer.set_error(self.config_error)

    def _current(self) -> Host:
        if self._host is None:
            raise RuntimeError("the simulated Klipper was not started: call start() first")
        return self._host

    async def _begin_life(self) -> None:
        printer = Printer(self.extruded_mm, self._speed, time.monotonic())
        host = Host(printer, self.gcodes_dir, self._tick_s, self.config_error is None or self.config_parsed)
        endpoints = Endpoints(host, self._log, host_info(self._process_id))
        self._host = host

        def connection() -> Connection:
            self._connections += 1
            return Connection(
                self._connections, self._patience_s, host.connections.add, endpoints.receive, host.connections.discard
            )

        self._listener = await asyncio.get_running_loop().create_unix_server(connection, str(self.socket_path))
        host.spawn(host.boot(self._startup_s, self._start_failure()))

    def _check_nobody_serves(self) -> None:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.socket_path))
            except (FileNotFoundError, ConnectionRefusedError):
                return
        raise OSError(errno.EADDRINUSE, "another process serves this socket", str(self.socket_path))

    def _start_failure(self) -> str | None:
        if self.config_error is None and self.mcu_is_shutdown:
            return (
                "Can not update MCU 'mcu' config as it is shutdown\nOnce the underlying issue is corrected, use the\n"
                '"FIRMWARE_RESTART" command to reset the firmware, reload the\nconfig, and restart the host software.\n'
                "Error configuring printer\n"
            )
        return self.config_error

    async def _restart_for_ever(self) -> None:
        while True:
            host = self._current()
            await host.exited.wait()
            host.respond("// Klipper state: Disconnect")
            for connection in list(host.connections):
                connection.close()
            await self._end_life(host)
            await asyncio.sleep(self._restart_s)
            await self._begin_life()

    async def _end_life(self, host: Host) -> None:
        self.mcu_is_shutdown = self.mcu_is_shutdown or host.printer.state == "shutdown"
        if host.exit_command == "FIRMWARE_RESTART":
            self.mcu_is_shutdown = False
        await host.close()
        await asyncio.sleep(OLD_SOCKET_S)
        self._close_listener(host)

    def _close_listener(self, host: Host) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            self._leave_stale_file()
        for connection in list(host.connections):
            connection.abort()

    def _leave_stale_file(self) -> None:
        if not self.socket_path.exists():
            with socket.socket(socket.AF_UNIX) as unheard:
                unheard.bind(str(self.socket_path))

    async def _end(self) -> None:
        if self._lives is not None:
            self._lives.cancel()
            await asyncio.gather(self._lives, return_exceptions=True)
            self._lives = None
        host = self._current()
        self._close_listener(host)
        await self._end_life(host)
