"""A server on a free port of this machine, for as long as a test needs it, and what tests send to it."""

from __future__ import annotations

import base64
import io
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from openai import OpenAI
from PIL import Image

from genllava_agent import VisualAgent
from genllava_agent.serving.app import create_app
from genllava_agent.serving.listening import listen, server_of
from genllava_agent.serving.settings import ServerSettings

RED = "draw a large red circle at the top left"
MODEL = "genllava"


@dataclass(frozen=True)
class Serving:
    """A server that runs; `url` is its address."""

    url: str

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def client(self, key: str = "none", retries: int = 0) -> OpenAI:
        return OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=retries, timeout=400)

    def post(self, path: str, **sent: Any) -> httpx.Response:
        return httpx.post(f"{self.url}{path}", timeout=400, **sent)

    def get(self, path: str, **sent: Any) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", timeout=400, **sent)

    def chat(self, *messages: dict[str, Any], **more: Any) -> httpx.Response:
        return self.post("/v1/chat/completions", json={"model": MODEL, "messages": list(messages), **more})

    def figure(self, name: str) -> float:
        """One of the server's own figures, the sum over its labels."""
        lines = [line.rpartition(" ") for line in self.get("/metrics").text.splitlines() if line[:1] != "#"]
        return sum(float(value) for label, _, value in lines if label.partition("{")[0] == name)


@contextmanager
def served(agent: VisualAgent, **settings: Any) -> Iterator[Serving]:
    """Serve an agent from a thread of this process, over a real socket."""
    with listen("127.0.0.1", 0) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, settings.pop("send_buffer", 1_000_000))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        app = create_app(agent, ServerSettings(**{"public_url": url, **settings}))
        server = server_of(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            until(lambda: server.started)
            yield Serving(url)
        finally:
            server.should_exit = True
            thread.join(30)


def free_port() -> int:
    """A port of this machine that nothing listens at."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def until(true: Any, seconds: float = 30) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


def user(text: str, *pictures: bytes) -> dict[str, Any]:
    """A message of the user."""
    parts = [{"type": "image_url", "image_url": {"url": data_url(file)}} for file in pictures]
    return {"role": "user", "content": [{"type": "text", "text": text}, *parts] if parts else text}


def data_url(file: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(file).decode()}"


def opened(file: bytes | str) -> Image.Image:
    """A picture from its file, from base64, or from a data URL."""
    data = base64.b64decode(file.rpartition(",")[2]) if isinstance(file, str) else file
    return Image.open(io.BytesIO(data))


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def mask_of(size: tuple[int, int], box: Sequence[int]) -> bytes:
    """A mask that is transparent in a box, where the picture may change."""
    mask = Image.new("RGBA", size, (0, 0, 0, 255))
    mask.paste((0, 0, 0, 0), tuple(box))
    return png(mask)


def error(answer: httpx.Response) -> tuple[int, str | None, str | None]:
    """Status, code and parameter of an error in OpenAI's form, which is all that there is in the answer."""
    body = answer.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert body["error"]["message"]
    return answer.status_code, body["error"]["code"], body["error"]["param"]
