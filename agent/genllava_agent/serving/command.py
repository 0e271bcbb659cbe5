"""`genllava serve`: the server from a shell."""

from __future__ import annotations

import logging
import os
from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from genllava_agent.loading import keep_quiet, load_pipeline, public_name
from genllava_agent.option_parser import OptionParser, options_given
from genllava_agent.reporting import note
from genllava_agent.serving.listening import address, chosen, hosts_of, listen, refused_option, server_of, server_parser

if TYPE_CHECKING:
    import socket

    from genllava_agent.serving.settings import ServerSettings

_KEY: Final = "GENLLAVA_API_KEY"
"""Environment variable with a key, which then stands in no list of processes."""
_NEEDED: Final = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")
_LIMITS: Final = {
    "requests": "requests at work or waiting at once; one more is told to come again",
    "batch": "pictures that are drawn at once",
    "body_bytes": "bytes of a request",
    "pixels": "pixels of all pictures of a request",
    "pictures": "pictures that a request brings, and that it makes",
    "messages": "messages of a conversation",
    "tokens": "tokens that the language model reads and writes for a request",
    "seconds": "seconds for a request",
    "threads": "conversations kept in memory",
    "kept_bytes": "bytes of pictures that links lead to",
}


def run(words: Sequence[str]) -> int:
    """Serve until Ctrl-C.

    Args:
        words: what was typed behind `genllava serve`.

    Returns:
        The exit code.

    Raises:
        InvalidRequest: it cannot be served so; the message says what to type instead.
        CheckpointError, NotEnoughMemory: the model cannot be loaded.
    """
    options = _parser().parse_args(words)
    choice = chosen(options, "serve", _NEEDED)
    with listen(options.host, options.port) as listening:
        options.port = listening.getsockname()[1]  # where 0 was asked for, one that is free
        _serve(listening, _settings(options, choice.get("model")), choice, options.store)
    return 0


def _serve(listening: socket.socket, settings: ServerSettings, choice: dict[str, Any], store: str) -> None:
    keep_quiet()
    from genllava_agent import VisualAgent
    from genllava_agent.serving.app import create_app

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    for library in ("httpx", "PIL"):
        logging.getLogger(library).setLevel(logging.WARNING)
    note("loading the model")
    pipeline = load_pipeline(**choice)
    with VisualAgent(pipeline, store=store) as agent:
        app = create_app(agent, settings)
        note(f"serving at {settings.public_url}/v1")
        server_of(app).run(sockets=[listening])


def _settings(options: Namespace, model: str | None) -> ServerSettings:
    """What was typed, as settings.

    Raises:
        InvalidRequest: something cannot be.
    """
    from pydantic import ValidationError

    from genllava_agent.serving.settings import ServerSettings

    keys = (*options.api_key, *environment_keys())
    hosts = hosts_of(options, bool(keys), "--api-key")
    try:
        return ServerSettings(
            model=public_name(model),
            public_url=options.public_url or address(options.host, options.port),
            api_keys=keys,
            hosts=None if keys else hosts,
            origins=tuple(options.cors_origin),
            **options_given(options, *_LIMITS),
        )
    except ValidationError as error:
        raise refused_option(error) from None


def environment_keys() -> tuple[str, ...]:
    """The key that the environment has, if it has one."""
    return tuple(filter(None, [os.environ.get(_KEY)]))


def _parser() -> OptionParser:
    says = "Serve the model and the agent to programs that speak OpenAI's interface, over HTTP."
    limits = {name: f"at most: {limit}" for name, limit in _LIMITS.items()}
    parser = server_parser("serve", says, 8000, limits)
    add = parser.add_argument
    says = f"that clients send; may be repeated. Better in the environment, as {_KEY}. Default: none, for everybody"
    add("--api-key", action="append", default=[], metavar="KEY", help=says)
    says = "web page that may use the server, such as https://chat.example.org; may be repeated. Default: none"
    add("--cors-origin", action="append", default=[], metavar="ORIGIN", help=says)
    says = "keep threads there: a folder, or postgresql://...  Default: in memory, until the server ends"
    add("--store", default=":memory:", metavar="PLACE", help=says)
    return parser
