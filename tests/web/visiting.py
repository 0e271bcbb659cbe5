"""A page on a free port of this machine, and somebody who has it open in a browser."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from genllava_agent import VisualAgent
from genllava_agent.serving.listening import listen, server_of
from genllava_agent.web.app import create_page
from genllava_agent.web.settings import WebSettings

RED = "draw a large red circle at the top left"
TWO_STEPS = "draw a large red circle at the top left, then tell me what is at the top left"
LONG = ", then ".join(f"draw a small {color} star" for color in ("red", "green", "blue", "yellow", "orange", "pink"))
PATIENCE = 180_000
"""Milliseconds: the machine may be busy with other work."""
_SHOTS = os.environ.get("GENLLAVA_SCREENSHOTS")
"""Folder for pictures of the page; none are made without it."""
_WATCH = """
window.seen = [];
new MutationObserver(() => {
  for (const kind of ['preview', 'made']) {
    if (document.querySelector(`#steps img.${kind}`) && !window.seen.includes(kind)) window.seen.push(kind);
  }
}).observe(document, {subtree: true, childList: true, attributes: true});
"""
"""Notes in which order previews and pictures came into the panel of steps."""


@contextmanager
def served(agent: VisualAgent, **settings: Any) -> Iterator[str]:
    """Serve a page from a thread of this process, over a real socket; gives its address."""
    with listen("127.0.0.1", 0) as listening:
        server = server_of(create_page(agent, WebSettings(**settings)))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            until(lambda: server.started)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)


def until(true: Callable[[], Any], seconds: float = 120) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)


class Visit:
    """Somebody with the page open.

    Attributes:
        page: playwright's.
        elsewhere: addresses outside of the page that were asked for.
        faults: what the page's own scripts complained about.
    """

    def __init__(self, browser: Any, address: str, **context: Any) -> None:
        self._context = browser.new_context(viewport=context.pop("viewport", {"width": 1280, "height": 900}), **context)
        self._context.set_default_timeout(PATIENCE)
        self.page = self._context.new_page()
        self.elsewhere, self.faults = list[str](), list[str]()
        self.page.on("request", lambda request: self._asked(request.url, address))
        self.page.on("pageerror", lambda fault: self.faults.append(str(fault)))
        self.page.add_init_script(_WATCH)
        self.page.goto(address)
        self.ready()

    def _asked(self, url: str, address: str) -> None:
        if not url.startswith((address, "data:", "blob:")):
            self.elsewhere.append(url)

    def ready(self) -> None:
        """Wait until the page is there and nothing runs."""
        self.page.locator("#send:not([disabled])").wait_for()

    def ask(self, text: str) -> None:
        """Send a request."""
        self.page.fill("#text textarea", text)
        self.page.click("#send")
        self.page.locator("#stop").wait_for()

    def answered(self) -> str:
        """Wait for the end of the turn; what was said last."""
        self.page.locator("#send").wait_for()
        return self.said()

    def said(self) -> str:
        """The last message of the assistant."""
        return str(self.page.locator("#chat .bot.message").last.inner_text())

    def pictures(self) -> list[str]:
        """The names of the pictures in the strip."""
        return [str(name) for name in self.page.locator("#pictures .strip button").all_inner_texts()]

    def notice(self) -> str:
        """What the page tells its reader; waits for it."""
        return str(self.page.locator("#notice [role=alert]").inner_text())

    def thread(self) -> str:
        """The name of the thread that is open."""
        return str(self.page.evaluate("sessionStorage.getItem('genllava-thread')"))

    def tab_to(self, part: Any) -> None:
        """Reach a part of the page, a locator, by the Tab key alone."""
        for _ in range(60):
            self.page.keyboard.press("Tab")
            if part.evaluate("part => part === document.activeElement"):
                return
        raise AssertionError(f"Tab does not lead to {part}")

    def attach(self, *files: Path | dict[str, Any]) -> None:
        """Choose files for the next request."""
        self.page.set_input_files("#attached input[type=file]", list(files))

    def click(self, part: str) -> None:
        """Press a button by its id, once it can be pressed."""
        self.page.click(f"#{part}")

    def shot(self, name: str) -> None:
        """Take a picture of the page for the documentation, where a folder is named for it."""
        if _SHOTS is not None:
            self.page.wait_for_timeout(600)  # for what fades in
            self.page.screenshot(path=Path(_SHOTS) / f"web_{name}.png")

    def leave(self) -> None:
        """Close the tab and the browser's window, once."""
        self._context.close()  # of one that is closed nothing comes
