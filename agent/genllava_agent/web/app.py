"""The page as an application that any ASGI server runs."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

from starlette.types import ASGIApp

from genllava_agent.web.abilities import abilities, examples
from genllava_agent.web.conversations import Conversations
from genllava_agent.web.gate import Gate
from genllava_agent.web.own_threads import OwnThreads
from genllava_agent.web.picture_routes import routes
from genllava_agent.web.running_turns import RunningTurns
from genllava_agent.web.settings import WebSettings
from genllava_agent.web.titles import Titles
from genllava_agent.web.turn_queue import TurnQueue
from genllava_agent.web.uploads import Uploads

if TYPE_CHECKING:
    from genllava_agent.agent import VisualAgent

_SWITCHES: Final = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_RUN_HISTORY": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
"""Environment variables that keep Gradio from calling home, and from keeping requests besides; read when it is
imported."""


def create_page(agent: VisualAgent, settings: WebSettings, titles: Path | None = None) -> ASGIApp:
    """The page of an agent; loads the model.

    Args:
        titles: the file for titles of threads; None keeps them in memory.

    Raises:
        StoreFailed: that file cannot be read.
    """
    os.environ.update(_SWITCHES)
    import gradio as gr
    from fastapi import FastAPI

    from genllava_agent.web.layout import page_parts
    from genllava_agent.web.wiring import wire

    threads, uploads = OwnThreads(agent, Titles(titles), settings.shared), Uploads(settings.upload_bytes)
    queue = TurnQueue(settings.turns, settings.waiting)
    acts = Conversations(threads, uploads, queue, RunningTurns(), settings.pictures)
    tries = examples(agent)
    with gr.Blocks(title=f"GenLLaVA: {settings.model}", analytics_enabled=False, fill_width=True) as blocks:
        parts = page_parts(abilities(agent, settings.model), tries)
        wire(blocks, parts, acts, tries)
    blocks.queue(default_concurrency_limit=None, api_open=False)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.router.routes += routes(agent, threads, uploads, settings.body_bytes)
    assets = files("genllava_agent.web") / "assets"
    script = (assets / "page.js").read_text(encoding="utf-8")
    theme = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    gr.mount_gradio_app(
        app, blocks, "/", footer_links=[], show_error=False, ssr_mode=False, mcp_server=False,
        pwa=False, enable_monitoring=False, theme=theme, css=(assets / "page.css").read_text(encoding="utf-8"),
        head=f"<script>{script}</script>",
    )  # fmt: skip
    return Gate(app, settings)
