"""Talks to the agent through LangChain's Agent Chat UI in a real browser, and takes pictures of it: see README.md."""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw
from playwright.sync_api import Error, Locator, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[3]
# Without these a browser calls home, and as root or without a graphics card it does not start.
BROWSER_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
QUESTION = "What is this?"
ORDER = "draw a large red circle at the top left"
CHANGE = "make it blue"


class Failed(Exception):
    """A step did not happen."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def until(what: str, seconds: float, holds: Callable[[], Any]) -> Any:
    """The first true value of `holds`, asked again and again for so many seconds."""
    end = time.monotonic() + seconds
    while True:
        value = holds()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {seconds:g} s")
        time.sleep(0.25)


@contextlib.contextmanager
def service(name: str, command: list[str], folder: Path, log: Path, url: str, extra: dict[str, str]) -> Iterator[None]:
    """A process that answers at `url`, ended with whatever it started."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **extra}, stdin=subprocess.DEVNULL,
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def up() -> bool:
        if process.poll() is not None:
            raise Failed(f"{name} ended with {process.returncode} before it answered")
        return answers(url)

    try:
        until(f"{name} answers", 180, up)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def complaints(log: Path) -> list[str]:
    """The last lines of a server's log that are more than information, without their colours."""
    if not log.is_file():
        return []
    lines = re.sub(r"\x1b\[[0-9;]*m", "", log.read_text(errors="replace")).splitlines()
    start = next((number for number, line in enumerate(lines) if "[info " in line), 0)  # after its greeting
    return [line[:300] for line in lines[start:] if "[info " not in line and line.strip()][-30:]


def a_picture(path: Path) -> Path:
    image = Image.new("RGB", (256, 256), "white")
    ImageDraw.Draw(image).rectangle((70, 70, 190, 190), fill=(30, 160, 60))
    image.save(path)
    return path


def post(url: str, body: dict[str, Any], seconds: float) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=seconds) as reply:
        return json.load(reply)


class Chat:
    """The page, as its user sees it."""

    def __init__(self, page: Page, api: str, ui: str, graph: str, wait: float) -> None:
        self.page, self.api, self.graph, self.wait = page, api, graph, wait
        self.address = f"{ui}/?apiUrl={api}&assistantId={graph}"
        self.box = page.get_by_placeholder("Type your message...")
        self.cancel = page.get_by_role("button", name="Cancel")
        # Agent Chat UI says "Approve" to requests of LangChain's present form; of the older form, "Accept".
        self.approve = page.get_by_role("button", name=re.compile("^(Approve|Accept)$"))

    def open(self, thread: str | None = None) -> None:
        self.page.goto(self.address + (f"&threadId={thread}" if thread else ""))
        self.box.wait_for(timeout=60_000)

    def texts(self) -> list[str]:
        return [text for text in self.page.locator(".markdown-content").all_inner_texts() if text.strip()]

    def pictures(self) -> list[tuple[str, int]]:
        """Address and width of the answers' pictures; the width of one that cannot be shown is 0."""
        found: list[list[Any]] = self.page.locator(".markdown-content img").evaluate_all(
            "all => all.map(one => [one.src, one.complete ? one.naturalWidth : -1])"
        )
        return [(str(address), int(width)) for address, width in found]

    def idle(self) -> bool:
        if self.page.get_by_text("An error occurred").count():
            raise Failed("the page reports: " + " ".join(self.page.locator("[data-sonner-toast]").all_inner_texts()))
        return not self.cancel.count()

    def say(self, text: str) -> None:
        until("the page is ready for a message", self.wait, self.idle)
        self.box.fill(text)
        self.box.press("Enter")
        self.page.locator("p", has_text=text).first.wait_for(timeout=10_000)

    def answered(self, before: int) -> str:
        """The answer: text of the assistant's, more than there was, in a page that has come to rest."""
        until("an answer", self.wait, lambda: len(self.texts()) > before and self.idle())
        return self.texts()[-1]

    def new_picture(self, before: list[tuple[str, int]]) -> str:
        def shown() -> str | None:
            now = self.pictures()
            if any(width == 0 for _, width in now):
                raise Failed(f"a picture is not shown: {[address for address, width in now if width == 0]}")
            fresh = [address for address, _ in now if address not in dict(before)]
            return fresh[-1] if fresh and self.idle() and all(width > 0 for _, width in now) else None

        return str(until("a new picture", self.wait, shown))

    def show_card(self) -> None:
        """Turns the wheel until the card's upper edge is in sight: the page itself keeps to its lower end."""
        time.sleep(2.0)  # it has glided there
        card = self.page.locator('[class*="80vh"]').last
        place = card.bounding_box() if card.count() else None
        if place and place["y"] < 100:
            self.page.mouse.move(1060, 400)
            self.page.mouse.wheel(0, place["y"] - 140)

    def ask_with_picture(self, text: str, picture: Path) -> str:
        """Uploads a picture with a question. How that was done is returned: the older page has no upload."""
        upload: Locator = self.page.locator("input[type=file]")
        if upload.count():
            upload.first.set_input_files(picture)
            self.page.locator('img[src^="data:image"], img[src^="blob:"]').first.wait_for(timeout=10_000)
            self.say(text)
            return "uploaded in the page"
        block = {
            "type": "image",
            "mimeType": "image/png",
            "data": base64.b64encode(picture.read_bytes()).decode(),
            "metadata": {"name": picture.name},
        }
        message = {"type": "human", "content": [{"type": "text", "text": text}, block]}
        thread = post(f"{self.api}/threads", {"metadata": {"graph_id": self.graph}}, 30)["thread_id"]
        run = {"assistant_id": self.graph, "input": {"messages": [message]}}
        post(f"{self.api}/threads/{thread}/runs/wait", run, self.wait)
        self.open(thread)
        return "this page has no upload: the message it would send was sent to the server, and its thread opened"


def converse(chat: Chat, picture: Path, shots: Path) -> None:
    def shot(name: str) -> None:
        until("messages of success go away", 30, lambda: not chat.page.locator("[data-sonner-toast]").count())
        time.sleep(1.0)  # what slides in has slid in
        chat.page.screenshot(path=shots / f"agent_chat_{name}.png")
        print(f"  saw it: agent_chat_{name}.png", flush=True)

    chat.open()
    print(f"> {QUESTION}  ({picture.name})", flush=True)
    how = chat.ask_with_picture(QUESTION, picture)
    print(f"  {how}\n< {chat.answered(0)}", flush=True)
    shot("1_question")

    print(f"> {ORDER}", flush=True)
    before, texts = chat.pictures(), len(chat.texts())
    chat.say(ORDER)
    print(f"< {chat.answered(texts)}  [{chat.new_picture(before)}]", flush=True)
    shot("2_picture")

    print(f"> {CHANGE}", flush=True)
    before = chat.pictures()
    chat.say(CHANGE)
    until("a card that asks for approval", chat.wait, lambda: chat.approve.count() and chat.idle())
    if [address for address, _ in chat.pictures()] != [address for address, _ in before]:
        raise Failed("the picture was edited before it was approved")
    chat.show_card()
    shot("3_approval")
    texts = len(chat.texts())
    chat.approve.first.click()
    print(f"  approved\n< {chat.answered(texts - 1)}  [{chat.new_picture(before)}]", flush=True)
    until("the card goes away", chat.wait, lambda: chat.approve.count() == 0)
    shot("4_edited")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shots", type=Path, help="folder for the screenshots, such as docs/images")
    parser.add_argument("--ui", type=Path, required=True, help="the built front end: the folder .next is in")
    parser.add_argument("--config", type=Path, default=ROOT / "langgraph.json", help="the server's langgraph.json")
    parser.add_argument("--graph", default="genllava", help="the graph's name there")
    parser.add_argument("--picture", type=Path, help="the PNG to upload; without, a green square is drawn")
    parser.add_argument("--wait", type=float, default=120, help="seconds to wait for each answer")
    parser.add_argument("--browser", default=shutil.which("chromium") or shutil.which("google-chrome"))
    parser.add_argument("--logs", type=Path, help="folder to keep the two servers' logs in")
    return parser.parse_args()


def next_of(ui: Path) -> Path:
    """Next.js's command, of the front end or of the workspace that it is a part of."""
    for folder in (ui.resolve(), *ui.resolve().parents):
        if (command := folder / "node_modules/next/dist/bin/next").is_file():
            return command
    raise SystemExit(f"{ui}: no node_modules with Next.js; run `npm install` and `npx next build` there")


def main() -> int:
    options = arguments()
    if not options.browser:
        raise SystemExit("no browser found; name one with --browser")
    options.shots.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as stack:
        logs = options.logs or Path(place)
        logs.mkdir(parents=True, exist_ok=True)
        # Of our own choice: asked for a port that is taken, LangGraph's server takes another and goes on.
        api_port, ui_port = free_port(), free_port()
        api, ui = f"http://127.0.0.1:{api_port}", f"http://127.0.0.1:{ui_port}"
        server = [
            sys.executable, "-m", "langgraph_cli", "dev", "--no-browser", "--no-reload",
            "--config", str(options.config.resolve()), "--port", str(api_port),
        ]  # fmt: skip
        front = ["node", str(next_of(options.ui)), "start", "-H", "127.0.0.1", "-p", str(ui_port)]
        settings = {"GENLLAVA_INTERRUPT_ON": "edit", "LANGSMITH_TRACING": "false", "LANGGRAPH_CLI_NO_ANALYTICS": "1"}
        folder = options.config.resolve().parent
        try:
            stack.enter_context(
                service("LangGraph's server", server, folder, logs / "server.log", f"{api}/ok", settings)
            )
            stack.enter_context(
                service("Agent Chat UI", front, options.ui, logs / "ui.log", ui, {"NEXT_TELEMETRY_DISABLED": "1"})
            )
            play = stack.enter_context(sync_playwright())
            browser = play.chromium.launch_persistent_context(
                tempfile.mkdtemp(dir=place), executable_path=options.browser, args=BROWSER_FLAGS,
                viewport={"width": 1100, "height": 1000},
            )  # fmt: skip
            stack.callback(browser.close)
            page = browser.new_page()
            try:
                picture = options.picture or a_picture(Path(place) / "square.png")
                converse(Chat(page, api, ui, options.graph, options.wait), picture, options.shots)
            except (Failed, Error):
                page.screenshot(path=logs / "failed.png")
                raise
        except (Failed, Error, urllib.error.URLError) as problem:
            print("\n".join([*complaints(logs / "server.log"), f"FAILED: {problem}"]), file=sys.stderr)
            return 1
    print("Everything happened.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
