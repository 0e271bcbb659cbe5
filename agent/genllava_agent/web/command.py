"""`genllava web`: the page from a shell."""

from __future__ import annotations

import os
import sys
import webbrowser
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from genllava_agent.addresses import is_loopback
from genllava_agent.loading import keep_quiet, load_pipeline, public_name
from genllava_agent.option_parser import OptionParser, options_given
from genllava_agent.reporting import note
from genllava_agent.serving.listening import address, chosen, hosts_of, listen, refused_option, server_of, server_parser

if TYPE_CHECKING:
    import socket

    from genllava_agent.stores.base import Store
    from genllava_agent.web.settings import WebSettings

_AUTH: Final = "GENLLAVA_WEB_AUTH"
"""Environment variable with a login, which then stands in no list of processes."""
_NEEDED: Final = ("fastapi", "gradio", "uvicorn")
_LIMITS: Final = {
    "turns": "turns that run at once; the others wait in line. Default: 1",
    "waiting": "turns that wait at most. Default: 32",
    "body_bytes": "bytes of a picture that is sent. Default: 32 million",
    "pictures": "pictures of one request. Default: 10",
}
_TITLES: Final = "web-titles.json"


def run(words: Sequence[str]) -> int:
    """Serve the page until Ctrl-C.

    Args:
        words: what was typed behind `genllava web`.

    Returns:
        The exit code.

    Raises:
        InvalidRequest: it cannot be served so; the message says what to type instead.
        CheckpointError, NotEnoughMemory: the model cannot be loaded.
        StoreFailed: threads cannot be kept there.
    """
    options = _parser().parse_args(words)
    choice = chosen(options, "web", _NEEDED)
    with listen(options.host, options.port) as listening:
        options.port = listening.getsockname()[1]  # where 0 was asked for, one that is free
        settings = _settings(options, choice.get("model"))
        url = options.public_url or address(options.host, options.port)
        _serve(listening, settings, choice, options.store, url, options.browser and is_loopback(options.host))
    return 0


def _serve(
    listening: socket.socket, settings: WebSettings, choice: dict[str, Any], store: str | None, url: str, browser: bool
) -> None:
    keep_quiet()
    from genllava_agent import VisualAgent
    from genllava_agent.stores import open_store
    from genllava_agent.web.app import create_page

    opened = open_store(store)
    note("loading the model")
    pipeline = load_pipeline(**choice)
    with VisualAgent(pipeline, store=opened, previews=8) as agent:
        page = create_page(agent, settings, _titles(opened))
        note(f"the page is at {url}; Ctrl-C ends it")
        if browser and not _opened(url):  # the socket listens already: the browser waits until it is answered
            note("there is no browser here that could be opened: open that address yourself")
        server_of(page).run(sockets=[listening])


def _opened(url: str) -> bool:
    """Open the page in the reader's browser; whether there is one. One that works in the terminal is left alone."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    try:
        return webbrowser.open(url)
    except webbrowser.Error:
        return False


def _titles(store: Store) -> Path | None:
    """Where titles of threads are kept: beside the threads; with those of a database, in this user's data folder."""
    from genllava_agent.stores.folder import FolderStore
    from genllava_agent.stores.memory import MemoryStore

    if isinstance(store, MemoryStore):
        return None
    if isinstance(store, FolderStore):
        return store.root / _TITLES
    from platformdirs import user_data_path

    return user_data_path("genllava", appauthor=False) / _TITLES


def _settings(options: Namespace, model: str | None) -> WebSettings:
    """What was typed, as settings.

    Raises:
        InvalidRequest: something cannot be.
    """
    from pydantic import ValidationError

    from genllava_agent.web.settings import WebSettings

    logins = (*options.auth, *filter(None, [os.environ.get(_AUTH)]))
    hosts = hosts_of(options, bool(logins), "--auth")
    try:
        return WebSettings(
            model=public_name(model),
            logins=logins,
            public_url=options.public_url,
            hosts=hosts,
            shared=options.shared_threads,
            **options_given(options, *_LIMITS),
        )
    except ValidationError as error:
        raise refused_option(error, {"logins": "auth"}) from None


def _parser() -> OptionParser:
    says = "Open a page in the browser on which people talk with the model and the agent."
    parser = server_parser("web", says, 7860, _LIMITS)
    add = parser.add_argument
    says = f"who may open it; may be repeated. Better in the environment, as {_AUTH}. Default: none, for everybody"
    add("--auth", action="append", default=[], metavar="USER:PASSWORD", help=says)
    says = "keep threads there: a folder, :memory:, or postgresql://...  Default: your data folder"
    add("--store", metavar="PLACE", help=says)
    says = "show all threads of the store to everybody, those of genllava chat too. Default: everybody sees their own"
    add("--shared-threads", action="store_true", help=says)
    add("--no-browser", action="store_false", dest="browser", help="do not open the page in a browser")
    return parser
