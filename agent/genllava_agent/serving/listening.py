"""A socket that listens, what serves an application on it, and what is typed about both."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from genllava.errors import InvalidRequest
from genllava_agent.addresses import is_loopback
from genllava_agent.reporting import note

if TYPE_CHECKING:
    import uvicorn
    from pydantic import ValidationError
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


def host_of(public_url: str) -> str:
    """The name in the address by which a server is reached.

    Raises:
        InvalidRequest: it is no address.
    """
    host = urlsplit(public_url).hostname
    if not public_url.startswith(("http://", "https://")) or host is None:
        raise InvalidRequest("--public-url is an address such as https://pictures.example.org")
    return host


def note_if_open(host: str, protected: bool, option: str) -> None:
    """Say so where other machines can reach a server and everybody may use it.

    Args:
        option: which would protect it.
    """
    if not protected and not is_loopback(host):
        note(f"{host} can be reached from other machines: without an {option} whoever reaches it may use it")


def refused_option(error: ValidationError, names: Mapping[str, str] | None = None) -> InvalidRequest:
    """What is wrong with an option, by what pydantic says of the setting.

    Args:
        names: of options that are not called as their settings.
    """
    first = error.errors(include_url=False, include_input=False)[0]
    setting = str(first["loc"][0])
    option = (names or {}).get(setting, setting).replace("_", "-")
    return InvalidRequest(f"--{option}: {first['msg'].removeprefix('Value error, ')}")
