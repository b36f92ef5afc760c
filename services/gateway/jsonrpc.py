"""JSON-RPC 2.0: what a message asks for, and the frames that answer it. Pure: bytes in, bytes out.

Error codes as Moonraker's clients know them: a 404 is -32601, a 401 is -32602, any other failure keeps its HTTP number.
An absent or null id makes a notification: carried out, never answered. 0 is an id like any other.
"""

from dataclasses import dataclass
from typing import Any

import orjson

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602

MOST_IN_A_BATCH = 1000

_CODES = {404: METHOD_NOT_FOUND, 401: INVALID_PARAMS}


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `answered` is False for a notification."""

    method: str
    params: dict[str, Any]
    id: str | int | float | None
    answered: bool


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message as it came: calls to carry out in order, between them replies that are already certain."""

    items: tuple[Call | bytes, ...]
    batch: bool


def read(data: bytes | str) -> Incoming:
    """Never raises: what is no request is answered with an error, a client's own response with nothing."""
    try:
        message = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        return Incoming((failure(None, PARSE_ERROR, f"Parse error: {error}"),), False)
    if not isinstance(message, list):
        return Incoming(_read_one(message), False)
    if not message:
        return Incoming((failure(None, INVALID_REQUEST, "Invalid Request: the batch is empty"),), False)
    if len(message) > MOST_IN_A_BATCH:
        text = f"Invalid Request: {len(message)} requests in a batch, at most {MOST_IN_A_BATCH}"
        return Incoming((failure(None, INVALID_REQUEST, text),), False)
    return Incoming(tuple(item for one in message for item in _read_one(one)), True)


def _read_one(message: Any) -> tuple[Call | bytes, ...]:
    """One item, or none for a response."""
    if not isinstance(message, dict):
        return (_invalid(None, "expected an object"),)
    id_ = message.get("id")
    if isinstance(id_, bool | list | dict):
        return (_invalid(None, "id: expected a string, a number or null"),)
    if message.get("jsonrpc") != "2.0":
        return (_invalid(id_, 'jsonrpc: expected "2.0"'),)
    if "method" not in message and ("result" in message or "error" in message):
        return ()
    method, params = message.get("method"), message.get("params", {})
    if not isinstance(method, str):
        return (_invalid(id_, "method: expected a string"),)
    if not isinstance(params, dict):
        text = "Invalid params: expected an object; leave `params` out where there are none"
        return () if id_ is None else (failure(id_, INVALID_PARAMS, text),)
    return (Call(method, params, id_, answered=id_ is not None),)


def _invalid(id_: Any, why: str) -> bytes:
    return failure(id_, INVALID_REQUEST, f"Invalid Request: {why}")


def success(id_: Any, result: bytes) -> bytes:
    """`result` is JSON. It is never null on the wire: clients take that for no result at all."""
    return b'{"jsonrpc":"2.0","result":%b,"id":%b}' % (b"{}" if result == b"null" else result, orjson.dumps(id_))


def failure(id_: Any, code: int, message: str) -> bytes:
    """`code` is JSON-RPC's own or an HTTP status."""
    error = {"code": _CODES.get(code, code), "message": message}
    return orjson.dumps({"jsonrpc": "2.0", "error": error, "id": id_})


def join(replies: list[bytes], batch: bool) -> bytes | None:
    """What goes back for a message; None when nothing does."""
    if not replies:
        return None
    return b"[%b]" % b",".join(replies) if batch else replies[0]


def notification(method: str, params: bytes | None) -> bytes:
    """`params` is a JSON array; without any the key is left out, as clients read `params[0]` where there is one."""
    head = b'{"jsonrpc":"2.0","method":%b' % orjson.dumps(method)
    return head + b"}" if params is None else head + b',"params":%b}' % params
