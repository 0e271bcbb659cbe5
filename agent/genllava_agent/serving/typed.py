"""What is typed behind `genllava serve` and `genllava web` alike: the model, where to listen, limits."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from genllava.errors import InvalidRequest
from genllava_agent.addresses import is_loopback
from genllava_agent.files import check_store
from genllava_agent.loading import KEYS, OPTIONS, choose
from genllava_agent.option_parser import OptionParser, options_given
from genllava_agent.reporting import note

if TYPE_CHECKING:
    from pydantic import ValidationError


def server_parser(command: str, description: str, port: int, limits: Mapping[str, str]) -> OptionParser:
    """A parser with what both commands may be told.

    Args:
        command: `serve` or `web`.
        port: where it listens by default.
        limits: settings that are numbers, with their help.
    """
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
