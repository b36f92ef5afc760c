"""Pictures of an event: fetched once, in a folder of the event's own, for all its pushes and all their attempts.

The folder goes with the event's last push. Send workers share it, each fetch under a lock of its address.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from services.notifier.core import Push


def folder_of(snapshots: Path, push: Push) -> Path:
    """Of the push's event: named by what all its pushes have in common and keep over a restart."""
    return snapshots / f"{push.at:.6f}-{push.event}"


def clear(snapshots: Path, waiting: Iterable[Push]) -> None:
    """Removes what no push waits for."""
    needed = {folder_of(snapshots, push).name for push in waiting}
    if snapshots.is_dir():
        for folder in snapshots.iterdir():
            if folder.name not in needed:
                shutil.rmtree(folder, ignore_errors=True)


def fetched_once(
    url: str, folder: Path, fetch: Callable[[str], Any], open_file: Callable[[str, str | None, str | None], Any]
) -> Any:
    """The attachment at `url`, as `open_file(path, name, mimetype)` makes it of a file; None where the one attempt failed.

    `fetch(url)` is Apprise's: an attachment with its content in a file, or None. Raises OSError where the disk refuses.
    """
    folder.mkdir(parents=True, exist_ok=True)
    key = hashlib.sha256(url.encode()).hexdigest()[:32]  # an address may hold a password
    content, about = folder / key, folder / f"{key}.json"
    with (folder / f"{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not about.exists():
            attachment = fetch(url)
            # Asked before the file is taken away: the attachment would fetch it again.
            said = {"name": attachment.name, "mimetype": attachment.mimetype} if attachment else None
            if attachment:
                shutil.move(attachment.path, content)
            about.with_suffix(".new").write_text(json.dumps(said))
            os.replace(about.with_suffix(".new"), about)
        said = json.loads(about.read_text())
    return open_file(str(content), said["name"], said["mimetype"]) if said else None
