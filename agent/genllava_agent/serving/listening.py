"""A socket that listens, and what serves an application on it."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

from genllava.errors import InvalidRequest

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp

CONNECTIONS: Final = 1000
"""Open at once, those that ask for nothing included."""
_UNREAD: Final = 60
"""Seconds after which a connection is closed whose client takes no answer, where the system can tell (Linux)."""
_GOODBYE: Final = 10
"""Seconds that requests have to end when the server is told to."""


def server_of(app: ASGIApp) -> uvicorn.Server:
    """What serves an application; its own log would have the paths that clients ask for, and is silent."""
    import uvicorn

    config = uvicorn.Config(
        app, access_log=False, log_config=None, log_level="warning", server_header=False,
        limit_concurrency=CONNECTIONS, timeout_graceful_shutdown=_GOODBYE,
    )  # fmt: skip
    return uvicorn.Server(config)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; asked for before the model is loaded, which takes longer.

    Raises:
        InvalidRequest: it cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD * 1000)
        return listening
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        said = f"cannot listen at {host}, port {port}: {reason}; choose another --port or --host"
        raise InvalidRequest(said) from None


def address(host: str, port: int) -> str:
    """The address of a server by where it listens."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
