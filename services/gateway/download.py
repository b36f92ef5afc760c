"""Downloads: ranges, ETag, Last-Modified, HEAD."""

import asyncio
import os
from pathlib import Path
from urllib.parse import quote

from aiohttp import web

from bus.errors import not_found
from services.gateway.files import Roots


class _Verbatim(web.FileResponse):
    """A file and nothing else: aiohttp would answer `klippy.log` with the `klippy.log.gz` beside it, an older file."""

    def _get_file_path_stat_encoding(self, accept_encoding: str) -> tuple[Path | None, os.stat_result, str | None]:
        return super()._get_file_path_stat_encoding("")


class Downloads:
    """GET and HEAD /server/files/{root}/{path}. Raises Fault."""

    def __init__(self, roots: Roots) -> None:
        self._roots = roots

    async def download(self, request: web.Request) -> web.StreamResponse:
        root, path = request.match_info["root"], request.match_info["path"]
        if not path or path.endswith("/"):
            raise not_found(f"no such file: {root}/{path[:1024]}")
        found = await asyncio.to_thread(self._roots.resolve, root, path)
        # As an attachment and never guessed at: an uploaded page must not run as one of ours.
        headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(Path(path).name, safe='')}",
                   "X-Content-Type-Options": "nosniff"}  # fmt: skip
        return _Verbatim(found, headers=headers)
