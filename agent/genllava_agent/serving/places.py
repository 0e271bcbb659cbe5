"""How many requests are answered at once; one more is told when to come again."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from genllava_agent.serving.errors import ApiError

_LATEST: Final = 0.2
"""How much the latest request counts in the average of times."""
_LONGEST: Final = 60


class Places:
    """Room for so many requests, and for so many bytes of their bodies. Used by one event loop alone.

    Args:
        most: requests.
        max_bytes: of all their bodies.

    Attributes:
        taken: by requests now.
    """

    def __init__(self, most: int, max_bytes: int) -> None:
        self._most, self._max_bytes = most, max_bytes
        self.taken = 0
        self._bytes = 0
        self._seconds = 1.0  # that a request takes, on average

    @contextmanager
    def one(self) -> Iterator[Body]:
        """A place for a request, while it is answered.

        Raises:
            ApiError: there is none.
        """
        if self.taken >= self._most:
            raise self._full("requests")
        self.taken += 1
        body, began = Body(self), time.monotonic()
        try:
            yield body
        finally:
            self.taken -= 1
            self._bytes -= body.size
            self._seconds += _LATEST * (time.monotonic() - began - self._seconds)

    def hold(self, size: int) -> None:
        """So many more bytes came in.

        Raises:
            ApiError: they are too many.
        """
        if self._bytes + size > self._max_bytes:
            raise self._full("large requests")
        self._bytes += size

    def _full(self, what: str) -> ApiError:
        seconds = min(_LONGEST, max(1, math.ceil(self._seconds)))
        said = f"too many {what} at once: try again in {seconds} s"
        headers = {"Retry-After": str(seconds)}
        return ApiError(429, said, "rate_limit_exceeded", kind="rate_limit_error", headers=headers)


class Body:
    """What has come in of the body of a request.

    Attributes:
        size: in bytes.
    """

    def __init__(self, places: Places) -> None:
        self._places = places
        self.size = 0

    def grow(self, size: int) -> None:
        """So many more bytes came in; errors as for `Places.hold`."""
        self._places.hold(size)
        self.size += size
