"""The Unix socket `comms/moonraker.sock` below the data path: JSON-RPC messages that end with 0x03."""

import asyncio
import logging
import os
import socket
from pathlib import Path

from services.gateway.access import User
from services.gateway.clients import Clients
from services.gateway.connection import MOST_UNREAD, Connection
from services.gateway.rpc import Rpc, Spawn

log = logging.getLogger("moonbus.gateway")

END = b"\x03"
MOST_MESSAGE_BYTES = 4 * 2**20
MODE = 0o660
CHUNK_BYTES = 65_536


class UnixSocket:
    """`user` is who its clients are: whoever may open the file is trusted."""

    def __init__(self, path: Path, user: User | None, clients: Clients, rpc: Rpc, spawn: Spawn) -> None:
        self.path = path
        self._user = user
        self._clients = clients
        self._rpc = rpc
        self._spawn = spawn
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def listen(self) -> None:
        """Raises OSError, also while another program answers at this path; a file left by a dead one is replaced."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._server = await asyncio.start_unix_server(self._accept, sock=_bind(self.path))

    async def close(self) -> None:
        if self._server is None:
            return
        self._server.close()
        for writer in self._open:
            writer.transport.abort()
        self.path.unlink(missing_ok=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Not a coroutine: asyncio would run it as a task that complains when it is cancelled at the end.
        self._spawn(self._serve(reader, writer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def send(frame: bytes) -> None:
            writer.write(frame + END)
            await writer.drain()

        def push(frames: list[bytes]) -> bool:
            transport = writer.transport
            if transport.is_closing() or transport.get_write_buffer_size() > MOST_UNREAD:
                return False
            transport.write(END.join([*frames, b""]))
            return True

        connection = self._clients.open("unix", self._user, push, send, writer.transport.abort)
        self._open.add(writer)
        self._spawn(connection.write())
        try:
            await self._read(connection, reader)
        except ConnectionError as error:
            log.debug("%s: %s", connection, error)
        finally:
            self._clients.close(connection)
            self._open.discard(writer)
            writer.close()

    async def _read(self, connection: Connection, reader: asyncio.StreamReader) -> None:
        buffer = b""
        while chunk := await reader.read(CHUNK_BYTES):
            *messages, buffer = (buffer + chunk).split(END)
            for message in messages:
                if message.strip():
                    await self._rpc.receive(connection, message)
            if len(buffer) > MOST_MESSAGE_BYTES:
                log.warning("%s sent a message of more than %d bytes: disconnected", connection, MOST_MESSAGE_BYTES)
                return


def _bind(path: Path) -> socket.socket:
    """A listening socket at `path` that only this user and group may open, from its first moment."""
    _take(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    former = os.umask(0o777 & ~MODE)
    try:
        listener.bind(str(path))
        listener.listen()
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(former)
    return listener


def _take(path: Path) -> None:
    """Removes what a dead program left. Raises OSError when a live one answers there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.2)
        try:
            probe.connect(str(path))
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
    raise OSError(f"another program listens on {path}")
