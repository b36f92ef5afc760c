"""multipart/form-data, read piece by piece as it arrives: no I/O, nothing of the content kept, bounds on all else."""

import re
from dataclasses import dataclass
from urllib.parse import unquote

from bus.errors import Fault, bad_request

LARGEST_HEADER = 16_384
LARGEST_PADDING = 200
MOST_PARTS = 200

BOUNDARY = re.compile(r';\s*boundary\s*=\s*(?:"([^"\r\n]{1,200})"|([^\s;"]{1,200}))', re.I)
PARAMETER = re.compile(r';\s*([\w*-]+)\s*=\s*(?:"((?:\\.|[^"\\])*)"|([^;\s]*))')
ESCAPED = re.compile(r'\\(["\\])')


@dataclass(frozen=True, slots=True)
class Part:
    """A part begins; the pieces of its content follow. `filename` as sent: `%41` stays `%41`, as in what browsers send."""

    name: str
    filename: str | None


def read_boundary(content_type: str) -> bytes:
    """Raises Fault 400 for what is not multipart/form-data."""
    found = BOUNDARY.search(content_type)
    if not content_type.lower().startswith("multipart/form-data") or found is None:
        raise bad_request("Content-Type: expected multipart/form-data with a boundary: send the file as a form")
    return (found[1] or found[2]).encode(errors="replace")


class FormReader:
    """`feed()` what arrives; `ended` when the closing boundary was seen, whatever comes behind it."""

    def __init__(self, boundary: bytes) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._buffer = b"\r\n"  # so the first delimiter looks like the others
        self._parts = 0
        self._state = "preamble"
        self._steps = {
            "preamble": self._skip,
            "delimiter": self._end_delimiter,
            "header": self._read_header,
            "content": self._read_content,
            "ended": self._drop,
        }

    @property
    def ended(self) -> bool:
        return self._state == "ended"

    def feed(self, data: bytes) -> list[Part | bytes]:
        """What these bytes complete. Raises Fault 400 for a broken form."""
        self._buffer += data
        events: list[Part | bytes] = []
        while self._steps[self._state](events):
            pass
        return events

    def _skip(self, _: list[Part | bytes]) -> bool:
        return self._read_content([])

    def _read_content(self, events: list[Part | bytes]) -> bool:
        at = self._buffer.find(self._delimiter)
        end = at if at >= 0 else max(0, len(self._buffer) - len(self._delimiter) + 1)
        if end:
            events.append(self._buffer[:end])
        if at < 0:
            self._buffer = self._buffer[end:]
            return False
        self._buffer = self._buffer[at + len(self._delimiter) :]
        self._state = "delimiter"
        return True

    def _end_delimiter(self, _: list[Part | bytes]) -> bool:
        if self._buffer.startswith(b"--"):
            self._state = "ended"
            return True
        end = self._buffer.find(b"\r\n")
        if end < 0 and len(self._buffer) <= LARGEST_PADDING:
            return False
        if end < 0 or self._buffer[:end].strip(b" \t"):
            raise bad_request("the form is broken: something stands behind a boundary on its line")
        self._buffer = self._buffer[end:]  # its line end begins the header: an empty header is two in a row
        self._state = "header"
        return True

    def _read_header(self, events: list[Part | bytes]) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if max(end, len(self._buffer) if end < 0 else 0) > LARGEST_HEADER:
            raise bad_request(f"the form is broken: a part's header is longer than {LARGEST_HEADER} bytes")
        if end < 0:
            return False
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise Fault(413, f"the form has more than {MOST_PARTS} parts")
        events.append(_read_part(self._buffer[:end]))
        self._buffer = self._buffer[end + 4 :]
        self._state = "content"
        return True

    def _drop(self, _: list[Part | bytes]) -> bool:
        self._buffer = b""
        return False


def _read_part(header: bytes) -> Part:
    try:
        lines = header.decode().split("\r\n")
    except UnicodeDecodeError:
        raise bad_request("file: expected a name in UTF-8") from None
    fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if fields.get("content-transfer-encoding", "binary").lower() not in ("binary", "8bit", "7bit"):
        raise bad_request("Content-Transfer-Encoding: expected binary: send the file as it is")
    return _read_disposition(fields.get("content-disposition", ""))


def _read_disposition(text: str) -> Part:
    values: dict[str, str] = {}
    for found in PARAMETER.finditer(text):
        values[found[1].lower()] = ESCAPED.sub(r"\1", found[2]) if found[2] is not None else found[3]
    filename = values.get("filename")
    if extended := values.get("filename*"):
        charset, _, rest = extended.partition("'")
        try:
            filename = unquote(rest.partition("'")[2], encoding=charset or "utf-8", errors="strict")
        except (UnicodeDecodeError, LookupError):
            raise bad_request("file: filename* cannot be read: expected UTF-8''NAME") from None
    return Part(values.get("name", ""), filename)
