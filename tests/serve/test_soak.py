"""Two thousand requests of thirty-two clients, some broken off, some malformed: nothing leaks, nothing is crossed."""

from __future__ import annotations

import gc
import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest
from drawn import shapes
from serving import MODEL, Serving, opened, png, served, until, user

if TYPE_CHECKING:
    from genllava import GenLlavaPipeline
    from genllava_agent import VisualAgent

REQUESTS = 2000
CLIENTS = 32
WARM = 300
"""Requests before memory is looked at."""
COLORS = ("red", "blue", "green", "yellow")
MALFORMED = (b"{", b'{"messages": 1}', b'{"model": "gpt-9", "messages": [{"role": "user", "content": "a"}]}')


class Clients:
    """What thirty-two clients ask, and what becomes of it.

    Attributes:
        counts: of outcomes.
        wrong: answers that are another one's, or none.
    """

    def __init__(self, server: Serving, pictures: dict[str, bytes]) -> None:
        self.server, self.pictures = server, pictures
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._left = iter(range(REQUESTS + WARM))
        self._lock = threading.Lock()

    def run(self, most: int) -> None:
        """So many requests, of all clients at once."""
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(self._client, [most] * CLIENTS))

    def _client(self, most: int) -> None:
        with httpx.Client(base_url=self.server.url, timeout=300) as http:
            while True:
                with self._lock:
                    number = next(self._left, None)
                if number is None:
                    return
                self._ask(http, number)
                if number + 1 >= most:
                    return

    def _ask(self, http: httpx.Client, number: int) -> None:
        color = COLORS[number % len(COLORS)]
        if number % 20 == 7:
            body = MALFORMED[number % len(MALFORMED)]
            answer = http.post("/v1/chat/completions", content=body, headers={"Content-Type": "application/json"})
            self._count("malformed", answer.status_code in (400, 404, 429), answer.text)
        elif number % 10 == 3:
            with suppress(httpx.TimeoutException):
                http.post("/v1/images/generations", json={"prompt": f"a {color} circle"}, timeout=0.01)
            self._count("broken off", True, "")
        elif number % 3 == 0:
            said = self._again(http, lambda: http.post("/v1/chat/completions", json=self._question(color)))
            content = said["choices"][0]["message"]["content"]
            self._count("question", content == f"The circle is {color}.", content)
        elif number % 3 == 1:
            sent = {"prompt": f"a large {color} circle at the top left", "seed": number}
            said = self._again(http, lambda: http.post("/v1/images/generations", json=sent))
            shown = shapes(opened(said["data"][0]["b64_json"]))
            self._count("drawing", shown == {("large", color, "circle", "top left")}, str(shown))
        else:
            files = {"image": ("a.png", self.pictures["red"])}
            data = {"prompt": f"make the circle {color}", "seed": str(number)}
            said = self._again(http, lambda: http.post("/v1/images/edits", files=files, data=data))
            shown = shapes(opened(said["data"][0]["b64_json"]))
            self._count("edit", ("large", color, "circle", "top left") in shown, str(shown))

    def _question(self, color: str) -> dict[str, Any]:
        return {"model": MODEL, "messages": [user("What colour is the circle?", self.pictures[color])]}

    def _again(self, http: httpx.Client, ask: Any) -> Any:
        """Ask until there is room."""
        while (answer := ask()).status_code == 429:
            assert int(answer.headers["retry-after"]) >= 1
            threading.Event().wait(random.random())
        assert answer.status_code == 200, answer.text
        return answer.json()

    def _count(self, kind: str, right: bool, said: str) -> None:
        with self._lock:
            self.counts[kind] += 1
            if not right:
                self.wrong.append(f"{kind}: {said[:200]}")


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_two_thousand_requests(pipeline: GenLlavaPipeline, agent: VisualAgent) -> None:
    prompts = [f"a large {color} circle at the top left" for color in COLORS]
    drawn = [drawing.image for drawing in pipeline.generate(prompts, seed=1)]
    pictures = {color: png(image) for color, image in zip(COLORS, drawn, strict=True) if image is not None}
    process = psutil.Process()
    with served(agent, kept_bytes=1_000_000, requests=28) as server:
        clients = Clients(server, pictures)
        clients.run(WARM)
        until(lambda: server.figure("genllava_requests_at_work") == 0, 120)
        gc.collect()
        before = process.memory_info().rss
        clients.run(REQUESTS + WARM)
        until(lambda: server.figure("genllava_requests_at_work") == 0, 120)
        gc.collect()
        after = process.memory_info().rss
        assert server.get("/health").status_code == 200
    print(f"\n{dict(clients.counts)}, memory {before / 1e6:.0f} -> {after / 1e6:.0f} MB")
    assert len(clients.wrong) <= 0.05 * sum(clients.counts.values()), clients.wrong[:5]  # the model's own slips
    assert clients.counts["malformed"] >= REQUESTS // 25
    assert after / before <= 1.1
