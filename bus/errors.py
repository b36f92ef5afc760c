"""The one error that crosses the bus. Its code says whose fault it is, in HTTP's numbers.

4xx: the caller's. 500: a bug of the owner. 503: somebody needed is away. 504: too late.
"""


class Fault(Exception):
    """A request that failed: `code` is an HTTP status, `message` is for the person who asked."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def bad_request(message: str) -> Fault:
    return Fault(400, message)


def not_found(message: str) -> Fault:
    return Fault(404, message)


def unavailable(message: str) -> Fault:
    return Fault(503, message)


def too_late(message: str) -> Fault:
    return Fault(504, message)
