"""How many requests a server answers in a second, with drawings made together and with a lock, and how soon the first
token of a single client comes, over HTTP and without it."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from statistics import median
from typing import Any, Final

import httpx

from genllava import GenLlavaPipeline
from genllava_agent import VisualAgent

CLIENTS: Final = 16
REQUESTS: Final = 64
TURNS: Final = 9
_PROMPT: Final = "a large red circle at the top left and a small blue square in the middle"
_QUESTION: Final = "What colour is the circle?"


def measure(pipeline: GenLlavaPipeline) -> dict[str, object]:
    """Requests in a second of sixteen clients, by endpoint, and seconds to the first token."""
    drawing = pipeline.generate(_PROMPT, seed=1)
    assert drawing.image is not None
    file = BytesIO()
    drawing.image.save(file, "PNG")
    picture = file.getvalue()
    together, alone = _throughput(pipeline, picture, 8), _throughput(pipeline, picture, 1)
    return {
        "clients": CLIENTS,
        "batched_per_s": together,
        "lock_per_s": alone,
        "ratio": {kind: round(together[kind] / alone[kind], 2) for kind in together},
        "first_token": _first_tokens(pipeline, picture),
    }


def _throughput(pipeline: GenLlavaPipeline, picture: bytes, batch: int) -> dict[str, float]:
    def draw(http: httpx.Client, seed: int) -> httpx.Response:
        return http.post("/v1/images/generations", json={"prompt": _PROMPT, "seed": seed})

    def edit(http: httpx.Client, seed: int) -> httpx.Response:
        data = {"prompt": "make the circle green", "seed": str(seed)}
        return http.post("/v1/images/edits", files={"image": picture}, data=data)

    with VisualAgent(pipeline, store=":memory:") as agent, _served(agent, batch) as url:
        return {"generations": _rate(url, draw), "edits": _rate(url, edit)}


def _rate(url: str, ask: Callable[[httpx.Client, int], httpx.Response]) -> float:
    """Requests answered in a second by all clients together."""
    with httpx.Client(base_url=url, timeout=600, limits=httpx.Limits(max_connections=CLIENTS)) as http:
        ask(http, 0).raise_for_status()
        began = time.perf_counter()
        with ThreadPoolExecutor(CLIENTS) as pool:
            for answer in pool.map(lambda seed: ask(http, seed), range(REQUESTS)):
                answer.raise_for_status()
        return round(REQUESTS / (time.perf_counter() - began), 2)


def _first_tokens(pipeline: GenLlavaPipeline, picture: bytes) -> dict[str, float]:
    """Seconds to the first words of an answer about a picture: of the agent in this process, and of a server."""
    encoded = base64.b64encode(picture).decode()
    shown = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{encoded}"}}
    message = {"role": "user", "content": [{"type": "text", "text": _QUESTION}, shown]}
    here, over = list[float](), list[float]()
    with VisualAgent(pipeline, store=":memory:") as agent, _served(agent, 8) as url:
        model = agent.chat_model()
        sent = {"model": "genllava", "messages": [message], "stream": True}
        with httpx.Client(base_url=url, timeout=600) as http:
            for _ in range(TURNS):  # in turns, so that a busy machine slows down both
                here.append(_until_first(lambda: (piece.text for piece in model.stream([message]))))
                over.append(_until_first(lambda: _streamed(http, sent)))
    return {"agent_s": round(median(here), 4), "server_s": round(median(over), 4)}


def _until_first(words: Callable[[], Iterator[str]]) -> float:
    began = time.perf_counter()
    pieces = words()
    next(filter(None, pieces))
    seconds = time.perf_counter() - began
    list(pieces)
    return seconds


def _streamed(http: httpx.Client, sent: dict[str, Any]) -> Iterator[str]:
    with http.stream("POST", "/v1/chat/completions", json=sent) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: {"):
                for choice in json.loads(line.removeprefix("data: "))["choices"]:
                    yield choice["delta"].get("content") or ""


@contextmanager
def _served(agent: VisualAgent, batch: int) -> Iterator[str]:
    from genllava_agent.serving.app import create_app
    from genllava_agent.serving.command import server_of
    from genllava_agent.serving.settings import ServerSettings

    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        app = create_app(agent, ServerSettings(public_url=url, batch=batch))
        server = server_of(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield url
        finally:
            server.should_exit = True
            thread.join()
