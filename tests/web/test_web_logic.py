"""The page without a browser: who comes in, who waits, what is taken in, and the command as it is typed."""

from __future__ import annotations

import base64
import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from genllava.errors import Cancelled, ImageRejected, InvalidRequest
from genllava_agent.errors import ThreadBusy
from genllava_agent.web import command
from genllava_agent.web.gate import Gate
from genllava_agent.web.running_turns import RunningTurns
from genllava_agent.web.settings import WebSettings
from genllava_agent.web.shown import Asked
from genllava_agent.web.titles import Titles
from genllava_agent.web.turn_queue import TooManyWaiting, TurnQueue
from genllava_agent.web.uploads import Uploads


def png(side: int = 8) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), "red").save(file, "PNG")
    return file.getvalue()


# --- who comes in ---


def client(base: str = "http://localhost:7860", **settings: Any) -> TestClient:
    """A client of a page that only says who asked for it."""

    async def who(request: Request) -> PlainTextResponse:
        await request.body()
        return PlainTextResponse(str(request.state.owner))

    paths = ("/", "/config", "/uploads", "/gradio_api/upload", "/gradio_api/file=/etc/passwd", "/gradio_api/queue/join")
    app = Starlette(routes=[Route(path, who, methods=["GET", "POST"]) for path in paths])
    return TestClient(Gate(app, WebSettings(**settings)), base_url=base)


def test_a_browser_is_known_again_and_is_not_another_one() -> None:
    her, him = client(), client()
    assert her.get("/config").status_code == 403  # before the page
    owner = her.get("/").text
    assert her.get("/config").text == owner
    assert len({owner, him.get("/").text}) == 2


def test_a_login_is_asked_for_and_is_somebody_wherever_they_are() -> None:
    closed = client(logins=("ann:one two", "bob:three"))
    refused = closed.get("/")
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Basic")
    assert closed.get("/", auth=("ann", "three")).status_code == 401
    assert closed.get("/", headers={"Authorization": "Basic ???"}).status_code == 401
    ann = closed.get("/", auth=("ann", "one two"))
    assert ann.status_code == 200
    assert ann.text == client(logins=("ann:one two",)).get("/", auth=("ann", "one two")).text
    assert ann.text != closed.get("/", auth=("bob", "three")).text


def test_other_names_and_other_pages_are_refused() -> None:
    local = client(hosts=("localhost", "127.0.0.1"))
    assert local.get("/").status_code == 200
    assert local.get("/", headers={"Host": "evil.example"}).status_code == 403
    for origin in ("http://evil.example", "null", "http://["):
        assert local.get("/", headers={"Origin": origin}).status_code == 403
    assert local.get("/", headers={"Origin": "http://localhost:7860"}).status_code == 200


def test_ways_in_that_the_page_does_not_need_are_closed() -> None:
    her = client(body_bytes=1000)
    policy = her.get("/").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert her.post("/gradio_api/upload", content=b"x").status_code == 404
    assert her.get("/gradio_api/file=/etc/passwd").status_code == 404
    assert her.post("/uploads", content=b"x" * 1000).status_code == 200
    assert her.post("/uploads", content=b"x" * 1001).status_code == 413
    assert her.post("/uploads", content=iter([b"x"])).status_code == 411


def test_no_event_names_a_file() -> None:
    her = client()
    her.get("/")
    join = "/gradio_api/queue/join"
    assert her.post(join, json={"data": ["hello", {"selected": "image_1"}], "fn_index": 0}).status_code == 200
    for path in ("http://127.0.0.1:9/x.png", "/etc/passwd"):
        file = {"path": path, "meta": {"_type": "gradio.FileData"}}
        for data in ([file], ["x", {"region": [file]}]):
            assert her.post(join, json={"data": data, "fn_index": 0}).status_code == 400
            assert her.post(f"{join}/", json={"data": data, "fn_index": 0}).status_code == 400
    assert her.post(join, content=b"{").status_code == 400
    assert her.post(join, content=b"[" * 100_000).status_code == 400


# --- who waits ---


def test_everybody_comes_before_anybody_twice() -> None:
    queue = TurnQueue()
    ann = [queue.place("ann") for _ in range(3)]
    first, second, third = (place.__enter__() for place in ann)
    with queue.place("bob") as other:
        assert [queue.ahead(each) for each in (first, second, third, other)] == [0, 2, 3, 1]
        ann[0].__exit__(None, None, None)
        assert queue.ahead(second) == 1  # bob is next
        assert queue.ahead(other) == 0
    assert queue.ahead(second) == 0
    for place in ann[1:]:
        place.__exit__(None, None, None)


def test_the_line_has_an_end_and_can_be_left() -> None:
    queue = TurnQueue(waiting=1)
    with queue.place("ann") as running:
        assert queue.ahead(running) == 0
        with queue.place("bob") as waits:
            with pytest.raises(TooManyWaiting, match="try again"), queue.place("eve"):
                pass
            with pytest.raises(Cancelled):
                list(queue.wait(waits, lambda: True))
        with queue.place("eve") as now:
            assert queue.ahead(now) == 1


def test_a_page_has_one_turn_and_stops_its_own() -> None:
    running = RunningTurns()
    with running.one("hers", "a") as stop:
        with pytest.raises(ThreadBusy), running.one("hers", "b"):
            pass
        assert not running.stop("his")
        assert not stop.is_set()
        assert running.runs("a")
        assert running.stop("hers")
        assert stop.is_set()
    assert not running.stop("hers")
    assert not running.runs("a")


# --- what is taken in ---


def test_uploads_are_pictures_and_their_owners() -> None:
    uploads = Uploads(3 * len(png()))
    kept = uploads.put("ann", png())
    assert uploads.get("ann", kept.token).data == png()
    with pytest.raises(ImageRejected):
        uploads.get("bob", kept.token)
    with pytest.raises(ImageRejected):
        uploads.put("ann", b"PK\x03\x04 no picture")
    hers = [uploads.put("bob", png()).token for _ in range(4)]  # whoever has most loses what came first
    assert uploads.get("ann", kept.token)
    with pytest.raises(ImageRejected):
        uploads.get("bob", hers[0])
    assert uploads.get("bob", hers[-1])


def test_requests_are_what_the_page_makes() -> None:
    mask = "data:image/png;base64," + base64.b64encode(png()).decode()
    pictures = {"images": [], "selected": "image_1", "region": {"image": "image_1", "mask": mask}}
    asked = Asked.read("what is this?", [{"token": "t", "name": "../../x.png"}], pictures, ["edit"])
    assert asked.region is not None
    assert asked.region.region() == {"image": "image_1", "mask": png()}
    bad: list[dict[str, Any]] = [
        {"image": "image_1"},
        {"image": "../x", "point": [0, 0]},
        {"image": "image_1", "point": [0, 2]},
        {"image": "image_1", "point": [0, 0], "box": [0, 0, 1, 1]},
    ]
    for region in bad:
        with pytest.raises(InvalidRequest):
            Asked.read("x", [], {"region": region}, [])
    for path in ("/etc/passwd", "http://example.org/x.png", "data:image/png;base64,!"):
        asked = Asked.read("x", [], {"region": {"image": "image_1", "mask": path}}, [])
        assert asked.region is not None
        with pytest.raises(InvalidRequest, match="the mask is no picture"):
            asked.region.region()


def typed(*percent: Any) -> dict[str, Any]:
    """The region that a request has whose part was given by numbers."""
    asked = Asked.read("what is this?", [], {"region": {"image": "image_1", "percent": percent}}, [])
    assert asked.region is not None
    return asked.region.region()


def test_numbers_are_a_box_or_a_point() -> None:
    assert typed(0, 12.5, 50, 100) == {"image": "image_1", "box": [0, 0.125, 0.5, 1]}
    assert typed(100, 0, None, None) == {"image": "image_1", "point": [1, 0]}


@pytest.mark.parametrize(
    "percent",
    [
        (50, 0, 50, 10), (60, 0, 50, 10), (0, 10, 50, 10), (0, 20, 50, 10), (0, 0, 101, 10), (-1, 0, 10, 10),
        (0, 101, None, None), (0, None, None, None), (0, None, 10, None), (None, None, 10, 10), (0, 0, 10, None),
        (float("nan"), 0, None, None), (None, None, None, None),
    ],
    ids=str,
)  # fmt: skip
def test_numbers_that_make_no_part_are_told(percent: tuple[float | None, ...]) -> None:
    with pytest.raises(InvalidRequest, match="left less than right and top less than bottom"):
        typed(*percent)


def test_numbers_are_four() -> None:
    for wrong in ((0, 0, 10), ("left", 0, 10, 10)):
        with pytest.raises(InvalidRequest, match=r"region\.percent"):
            typed(*wrong)


def test_titles_outlive_the_page(tmp_path: Path) -> None:
    titles = Titles(tmp_path / "titles.json")
    titles.set("a", " Ships ")
    for wrong in ("", "x" * 81, "two\nlines"):
        with pytest.raises(InvalidRequest, match="one line"):
            titles.set("a", wrong)
    assert Titles(tmp_path / "titles.json").get("a") == "Ships"
    titles.forget("a")
    assert Titles(tmp_path / "titles.json").get("a") is None


@pytest.mark.slow
def test_the_empty_page_says_what_a_stock_model_can_do(tmp_path: Path) -> None:
    from genllava_agent import VisualAgent
    from genllava_agent.web.abilities import abilities, examples
    from tests.genllava.forced import Layouts

    stock = Layouts(tmp_path).shared("qwen3_vl", "sd15", "instruct_pix2pix")
    with VisualAgent(stock, store=":memory:") as agent:
        said = abilities(agent, "owner/<name>")
        assert "owner/&lt;name&gt;" in said
        assert "draw new ones, and edit them" in said
        assert "crop" in said
        assert "make the sky pink" in examples(agent)


# --- the command ---


@pytest.mark.slow
def test_the_command_serves_until_it_is_told_to_end(tmp_path: Path) -> None:
    typed = [sys.executable, "-m", "genllava_agent.cli", "web", "--port", "0", "--store", str(tmp_path), "--no-browser"]
    login = {**os.environ, "GENLLAVA_WEB_AUTH": "ann:secret"}
    page = subprocess.Popen(typed, stderr=subprocess.PIPE, text=True, env=login)
    try:
        assert page.stderr is not None
        told = [page.stderr.readline(), page.stderr.readline()]
        assert "the page is at http://127.0.0.1:" in told[1], told
        address = told[1].partition(" is at ")[2].partition(";")[0]
        assert httpx.get(address, timeout=120).status_code == 401
        opened = httpx.get(address, auth=("ann", "secret"), timeout=120)
        assert opened.status_code == 200
        assert "genllava" in opened.text
    finally:
        page.send_signal(signal.SIGINT)
        _, rest = page.communicate(timeout=60)
    assert "Traceback" not in rest


def test_a_machine_without_a_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(command.sys, "platform", "linux")
    assert not command._opened("http://localhost:7860")


def test_settings_hide_passwords() -> None:
    assert "secret" not in repr(WebSettings(logins=("ann:secret",)))
    with pytest.raises(ValidationError):
        WebSettings(logins=("ann:",))
