"""A socket that listens, what serves an application on it, and what `genllava serve` and `web` are told alike."""

from __future__ import annotations

import socket
from argparse import Namespace
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from genllava.errors import InvalidRequest
from genllava_agent.addresses import is_loopback
from genllava_agent.files import check_store
from genllava_agent.loading import KEYS, OPTIONS, choose
from genllava_agent.option_parser import OptionParser, options_given
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


def server_parser(command: str, description: str, port: int, limits: Mapping[str, str]) -> OptionParser:
    """A parser with what both commands may be told; `limits` are settings that are numbers, with their help."""
    parser = OptionParser(prog=f"genllava {command}", description=description)
    add = parser.add_argument
    for name, says in OPTIONS.items():
        add(*(("-m", "--model") if name == "model" else (f"--{name}",)), help=says)
    add("--host", default="127.0.0.1", help="address to listen at. Default: 127.0.0.1, this machine only")
    says = f"to listen at; 0: one that is free. Default: {port}"
    add("--port", type=int, default=port, metavar="NUMBER", help=says)
    add("--public-url", metavar="URL", help="how it is reached, through a proxy. Default: http://HOST:PORT")
    for name, says in limits.items():
        kind: Any = float if name == "seconds" else int
        add(f"--{name.replace('_', '-')}", type=kind, metavar="NUMBER", help=says)
    return parser


def chosen(options: Namespace, command: str, needed: Sequence[str]) -> dict[str, Any]:
    """Arguments of `load_pipeline`, once it is clear that the command can run and threads can be kept.

    Args:
        needed: packages of the extra that is called as the command.

    Raises:
        InvalidRequest, CheckpointError: it cannot be so.
    """
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise InvalidRequest(f"genllava {command} needs {', '.join(missing)}: pip install 'genllava[{command}]'")
    choice = choose(options_given(options, *KEYS))
    check_store(options.store)
    return choice


def hosts_of(options: Namespace, protected: bool, option: str) -> tuple[str, ...] | None:
    """The names of a server that this machine alone reaches; None where others do, and a note if everybody may use it.

    Args:
        protected: not everybody may, by `option`.

    Raises:
        InvalidRequest: its public address is none.
    """
    url = options.public_url or address(options.host, options.port)
    name = urlsplit(url).hostname
    if not url.startswith(("http://", "https://")) or name is None:
        raise InvalidRequest("--public-url is an address such as https://pictures.example.org")
    if is_loopback(options.host):
        return ("127.0.0.1", "localhost", "::1", name)
    if not protected:
        note(f"{options.host} can be reached from other machines: without an {option} whoever reaches it may use it")
    return None


def refused_option(error: ValidationError, names: Mapping[str, str] | None = None) -> InvalidRequest:
    """What is wrong with an option, by what pydantic says of the setting.

    Args:
        names: of options that are not called as their settings.
    """
    first = error.errors(include_url=False, include_input=False)[0]
    setting = str(first["loc"][0])
    option = (names or {}).get(setting, setting).replace("_", "-")
    return InvalidRequest(f"--{option}: {first['msg'].removeprefix('Value error, ')}")
