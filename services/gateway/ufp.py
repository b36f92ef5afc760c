"""Ultimaker Format Package, what Cura sends when it is told to: a zip file with the G-code inside."""

import os
import zipfile
import zlib
from pathlib import Path

from bus.errors import Fault, bad_request

MODEL = "3D/model.gcode"
CHUNK = 1 << 20


def unpack(package: Path, target: Path, max_size_bytes: int) -> None:
    """Writes the package's G-code to `target`, synced. Raises Fault 400, Fault 413 when it is too large, OSError. Blocks."""
    try:
        with zipfile.ZipFile(package) as archive:
            names = [name for name in archive.namelist() if name.lstrip("/") == MODEL]
            if not names:
                raise bad_request(f"file: this .ufp holds no {MODEL}: save it as .gcode")
            with archive.open(names[0]) as source, target.open("xb") as sink:
                written = 0
                while piece := source.read(CHUNK):
                    written += len(piece)
                    if written > max_size_bytes:
                        raise Fault(413, f"file: the G-code in this .ufp is larger than {max_size_bytes} bytes")
                    sink.write(piece)
                sink.flush()
                os.fsync(sink.fileno())
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
        # RuntimeError: encrypted, or packed in a way Python cannot unpack
        raise bad_request(f"file: this is no .ufp ({type(error).__name__}): save it as .gcode") from None
