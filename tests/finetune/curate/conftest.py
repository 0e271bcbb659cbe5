"""A server that speaks OpenAI's chat completions, answers in each step's form, and fails in the ways it is told."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

BUSY, TOO_LONG, BROKEN, LIMITED, GARBAGE, NOT_JSON, REFUSED, FILTERED, SLOW = (
    "busy", "too long", "broken", "limited", "garbage", "not json", "refused", "filtered", "slow",
)  # fmt: skip


class ChatServer:
    """Attributes:
    faults: what goes wrong with a request: of its messages, its number (8 hexadecimal digits of their hash) and how
        often it came before; None: nothing.
    asked: how often each request came.
    answered: how often each was answered whole, by its number.
    numbers: of requests, by the text that they were answered with.
    times: when requests came.
    peak: most requests at a time.
    """

    def __init__(self) -> None:
        self.faults: Callable[[list[dict[str, Any]], str, int], str | None] = lambda messages, number, before: None
        self.retry_after = "0"
        self.delay = 0.0
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.numbers = dict[str, str]()
        self.times = list[float]()
        self.bodies = list[dict[str, Any]]()
        self.active = self.peak = 0
        self.lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                server.serve(self, body)

            def log_message(self, *words: Any) -> None: ...

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def serve(self, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        number = sha256(json.dumps(body["messages"]).encode()).hexdigest()[:8]
        with self.lock:
            before = self.asked[number]
            self.asked[number] += 1
            self.times.append(time.monotonic())
            self.bodies.append(body)
            self.active += 1
            self.peak = max(self.peak, self.active)
        time.sleep(self.delay)
        with self.lock:
            self.active -= 1  # before the answer is sent, after which the next request may come at once
        if body["model"] != "small":
            return self.send(handler, 404, {"error": {"message": "no such model", "code": "model_not_found"}})
        if handler.headers["authorization"] == "Bearer wrong":
            return self.send(handler, 401, {"error": {"message": "Incorrect API key provided: wrong"}})
        fault = self.faults(body["messages"], number, before)
        if fault == BUSY:
            return self.send(handler, 500, {"error": {"message": f"busy {handler.headers['authorization']}"}})
        if fault == LIMITED:
            return self.send(handler, 429, {"error": {"message": "slowly"}}, {"Retry-After": self.retry_after})
        if fault == TOO_LONG:
            return self.send(handler, 400, {"error": {"message": "too long"}})
        if fault == BROKEN:
            handler.close_connection = True
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
            return None
        if fault == SLOW:
            time.sleep(1.5)
        if fault == NOT_JSON:
            return self.send(handler, 200, "<html>gateway</html>")
        message: dict[str, Any] = {"role": "assistant", "content": self.answer(number, body)}
        if fault == REFUSED:
            message = {"role": "assistant", "content": None, "refusal": f"no {number}"}
        elif fault == GARBAGE:
            message["content"] = message["content"][:-3]  # cut off
        finish = "content_filter" if fault == FILTERED else "stop"
        with self.lock:
            self.answered[number] += 1
            self.numbers[message["content"] or message["refusal"]] = number
        usage = {"prompt_tokens": 30, "completion_tokens": 10, "total_tokens": 40}
        reply = {"id": number, "object": "chat.completion", "created": 1, "model": "small", "usage": usage}
        return self.send(handler, 200, reply | {"choices": [{"index": 0, "message": message, "finish_reason": finish}]})

    @staticmethod
    def send(
        handler: BaseHTTPRequestHandler, status: int, value: object, headers: dict[str, str] | None = None
    ) -> None:
        data = value.encode() if isinstance(value, str) else json.dumps(value).encode()
        handler.send_response(status)
        kind = "text/html" if isinstance(value, str) else "application/json"
        for name, text in ({"Content-Type": kind, "Content-Length": str(len(data))} | (headers or {})).items():
            handler.send_header(name, text)
        handler.end_headers()
        handler.wfile.write(data)

    def answer(self, number: str, body: dict[str, Any]) -> str:
        """What fits the form that the request asks for, with the request's number in it."""
        said = body["messages"][0]["content"].splitlines()
        form = body.get("response_format", {}).get("json_schema", {}).get("name")
        form = form or next(json.loads(line)["title"] for line in said if line.startswith("{"))
        value: dict[str, Any] = {
            "Conversation": {"turns": [{"question": f"What is {i}?", "answer": f"A {number}."} for i in range(2)]},
            "Detail": {"description": f"All of {number}."},
            "Reasoning": {"question": f"Why {number}?", "answer": f"Since {number}."},
            "Generation": {"request": f"Draw {number}", "prompt": f"a {number}"},
            "Editing": {"changes": True, "request": f"Please change {number}", "instruction": f"change {number}"},
            "Invented": {"instructions": [f"Write a {word} {number}." for word in ("poem", "letter", "list")]},
            "Summary": {"instruction": f"Write about this, {number}."},
            "Suits": {"reason": f"It does, {number}.", "makes_sense": number[0] not in "01"},
            "Carried": {"answer": f"Here you are, {number}."},
            "Verdict": {
                "reason": f"Good, {number}.",
                "coherent": number[0] not in "2",
                "grounded": number[0] not in "3",
            },
        }[form]
        return json.dumps(value)


@pytest.fixture
def chat_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    server = ChatServer()
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-of-the-test")
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def scene_files(tmp_path: Path) -> dict[str, Path]:
    """Files of four pictures: `llava` and `mm_instruct` have captions and boxes, `gvit` has two pairs as well."""
    folder = tmp_path / "scenes"
    folder.mkdir()
    names = ("red", "green", "blue", "white")
    for name in names:
        Image.new("RGB", (8, 8), name).save(folder / f"{name}.png")
    lines = [
        {
            "image": f"{name}.png",
            "captions": [f"A {name} wall.", f"The wall is {name}, and it is tall."],
            "boxes": [{"category": "wall", "box": [0.1, 0.2, 0.9, 1]}],
        }
        for name in names
    ]
    pairs = [
        {"id": "e1", "image": "red.png", "edited_image": "blue.png", "captions": ["a red wall"]}
        | {"edited_captions": ["a blue wall"]},
        {"id": "e2", "image": "green.png", "edited_image": "white.png", "instruction": "make it white"},
    ]
    made = {"llava": lines, "mm_instruct": lines, "gvit": [*lines[:2], *pairs]}
    paths = {}
    for name, records in made.items():
        paths[name] = folder / f"{name}.jsonl"
        paths[name].write_text("".join(json.dumps(record) + "\n" for record in records))
    return paths
