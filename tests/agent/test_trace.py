"""The page about a turn, and what notebooks show: all is there, none of it is live, and a browser shows it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from genllava.errors import InvalidRequest
from genllava_agent import VisualAgent
from genllava_agent.history import messages_of
from genllava_agent.pictures import ThreadImage
from genllava_agent.records import ImageRecord, Question, Region, Request, Step, Tried, Turn
from genllava_agent.reply import Reply
from genllava_agent.threads import Thread

NASTY = "<script>alert(1)</script><img src=x onerror=\"alert('2')\">"
CHANCES = {"[I2I]": 0.93, "[I2T]": 0.05, "[T2I]": 0.02}
TAGS = {
    *("html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "h3", "p", "div", "span", "ol", "li"),
    *("dl", "dt", "dd", "figure", "figcaption", "img", "svg", "rect", "ellipse", "path", "g", "text", "image"),
}


class Page(HTMLParser):
    """What is on a page: its tags with their attributes, and its text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def thread() -> Iterator[Thread]:
    """Two turns with one of everything; no model was asked."""
    with VisualAgent(store=":memory:") as agent:
        thread = agent.thread(f"al'{NASTY[:8]}")
        store = agent.store.artifacts(thread.name)

        def picture(number: int, color: str, origin: str, *parents: str, **fields: Any) -> ImageRecord:
            image = Image.new("RGB", (128, 128), "white")
            ImageDraw.Draw(image).ellipse((30, 30, 90, 90), fill=color)
            given = {"id": f"image_{number}", "key": store.put_image(image), "width": 128, "height": 128, "turn": 1}
            return ImageRecord.model_validate(given | {"origin": origin, "parents": parents} | fields)

        pictures = (
            picture(1, "red", "user", label=NASTY),
            picture(2, "blue", "edit", "image_1", instruction=NASTY, plan="a blue circle", seed=5, model="model-7"),
            picture(3, "green", "tool", "image_1", "image_2", params={"tool": "collage"}),
        )
        box = Region(image="image_1", box=(0.25, 0.25, 0.75, 0.75))
        steps = (
            Step(
                action="edit", source="image_1", image="image_2", plan="a blue circle",
                seen="image 1: a red circle in image 1, circle: red",
                probabilities=CHANCES, unsure="a star seems to be missing", attempts=3, tried=(
                    Tried(key=store.put_image(Image.new("RGB", (64, 64), "pink")), seed=77, unsure=NASTY),
                    Tried(key=store.put_image(Image.new("RGB", (64, 64), "gray")), seed=78),
                ), unet_rows=12, tokens=240,
                seconds=2.5,
            ),
            Step(action="tool", tool="collage", arguments={"a": NASTY}, source="image_1", image="image_3", text="done"),
            Step(action="understand", text=f"I see {NASTY}", probabilities={"[I2T]": 0.75, "</s>": 0.25}, tokens=60),
            Step(action="generate", outcome="error", text="the picture broke", probabilities={"[T2I]": 1.0}),
            Step(action="edit", outcome="rejected", text="not that one", probabilities=CHANCES),
        )  # fmt: skip
        first = Turn(
            id="a", parent=None, number=1, at=0.0, request=Request(text=NASTY, images=("image_1",), region=box),
            images=pictures, steps=steps, text=f"Said {NASTY}", stopped="the limit of 5 steps", seed=5, seconds=3.25,
        )  # fmt: skip
        region = Region(image="image_1", mask=store.put_image(Image.new("L", (128, 128), 255)))
        second = Turn(
            id="b", parent="a", number=2, at=0.0, request=Request(text="why?", task="understand", region=region),
            steps=(Step(action="generate", text="I cannot draw a dog."),), text="I cannot draw a dog.",
        )  # fmt: skip
        _keep(thread, first, second)
        yield thread


def _keep(thread: Thread, *turns: Turn) -> None:
    """Have these turns on a thread, behind those that are there."""
    agent = thread.agent
    messages = [message for turn in turns for message in messages_of(turn)]
    with agent.store.lock(thread.name, agent.waiting()):
        agent.runner.update(thread.name, {"messages": messages})


@pytest.fixture
def source(thread: Thread, tmp_path: Path) -> str:
    return thread.trace(tmp_path / "page.html", turn=1).read_text()


def test_all_of_a_turn_is_on_the_page(source: str) -> None:
    text = re.sub(r"\s+", " ", Page(source).text)
    for words in (
        *("Turn 1 of 2", "1970-01-01 00:00:00 UTC", "3.25 s", "5 steps", "300 tokens", "12 UNet rows", "seed 5"),
        *("model model-7", "about a part of image_1, given by a box", "1. Edited image_1 into image_2", "2.50 s"),
        *("image 1: a red circle", "a blue circle", "3 drawn, the best kept", "not sure: a star seems to be missing"),
        *("2. Called collage", "3. Answered", "4. Could not draw", "the picture broke", "5. Did not edit"),
        *("not that one", "Stopped early: the limit of 5 steps", "Where image_3 comes from", "made by collage"),
        *("Drawn and not kept", "seed 77: <script>", "seed 78"),
        *("edit93.0%", "answer5.0%", "end the turn25.0%"),
    ):
        assert words in text, words
    assert "image 1: a red circle\nin image 1, circle: red" in Page(source).text
    assert re.findall(r'class="badge (\w+)"', source) == ["ok", "ok", "ok", "error", "rejected"]
    shares = [attributes["width"] for tag, attributes in Page(source).tags if attributes.get("class") == "fill"]
    assert shares == ["93.0%", "5.0%", "2.0%", "75.0%", "25.0%", "100.0%", "93.0%", "5.0%", "2.0%"]
    assert source.count("<img") == 1 + 2 + 2 + 2 + 2  # asked about; before and after twice; not kept; in the reply
    assert source.count("<image") == 3


def test_the_last_turn_is_the_default_and_a_mask_is_shown(thread: Thread, tmp_path: Path) -> None:
    source = thread.trace(tmp_path / "page.html").read_text()
    for words in ("Turn 2 of 2", "asked to answer, not left to the model", "given by a mask", "Declined to draw"):
        assert words in source
    assert source.count("<img") == 2
    assert "comes from" not in source
    with pytest.raises(InvalidRequest, match="no turn 3"):
        thread.trace(tmp_path / "page.html", turn=3)


def test_nothing_on_the_page_is_live(source: str) -> None:
    page = Page(source)
    assert {tag for tag, _ in page.tags} <= TAGS
    for _tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        for name in ("src", "href"):
            assert (attributes.get(name) or "data:image/png;base64,").startswith("data:image/png;base64,")
    assert page.text.count(NASTY) >= 4  # as text: the request, an answer, the reply, a label
    assert "<script" not in source
    policy = next(attributes["content"] for _, attributes in page.tags if attributes.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy


def test_the_page_is_written_whole_or_not_at_all(thread: Thread, tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "missing" / "page.html", tmp_path / ("x" * 300)):
        with pytest.raises(InvalidRequest, match="cannot write"):
            thread.trace(place)
    path = tmp_path / "page.html"
    path.write_text("before")
    broken = thread.history()[0]
    lost = broken.images[0].model_copy(update={"key": "f" * 64, "turn": 3})
    _keep(thread, broken.model_copy(update={"images": (lost,), "id": "c", "parent": "b", "number": 3}))
    with pytest.raises(Exception, match="damaged"):
        thread.trace(path)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_notebooks_show_the_conversation(thread: Thread) -> None:
    source = thread._repr_html_()
    page = Page(source)
    assert {tag for tag, _ in page.tags} == {"p", "b", "figure", "img", "figcaption"}
    assert "2 turns, 3 pictures" in page.text
    assert f"You: {NASTY}" in page.text
    assert "Assistant: I cannot draw a dog." in page.text
    assert source.count("<img") == 3
    assert "0 turns, 0 pictures" in Page(thread.agent.thread("new")._repr_html_()).text
    assert thread.images._repr_html_().count("<img") == 3
    assert "no pictures" in thread.agent.thread("new").images._repr_html_()
    assert repr(thread.images["image_2"]) == "<image_2: edit, 128x128, a blue circle>"


def test_notebooks_show_the_end_of_a_long_conversation(thread: Thread) -> None:
    for number in range(3, 40):
        turn = Turn(id=f"t{number}", parent="b" if number == 3 else f"t{number - 1}", number=number, at=0.0,
                    request=Request(text=f"question {number}"), text=f"answer {number}")  # fmt: skip
        _keep(thread, turn)
    text = Page(thread._repr_html_()).text
    assert "39 turns" in text
    assert "the last 20 turns" in text
    assert "question 20" in text
    assert "question 19" not in text


def test_notebooks_and_terminals_show_a_reply(thread: Thread) -> None:
    history = thread.history()
    store = thread.agent.store.artifacts(thread.name)
    records = {record.id: record for record in history[0].images}
    made = (ThreadImage(records["image_2"], store, records),)
    question = Question(kind="approval", text="Should I?", action="edit", instruction="x", choices=("approve", "edit"))
    reply = Reply(f"Said {NASTY}", made, history[0].steps, thread, 1, question)
    page = Page(reply._repr_html_())
    assert {tag for tag, _ in page.tags} == {"p", "figure", "img", "figcaption"}
    assert f"Said {NASTY}" in page.text
    assert "image_2: a blue circle" in page.text
    assert "approve, edit" in page.text
    assert str(reply) == f"Said {NASTY}\n[image_2: a blue circle]"
    assert str(Reply("image_2: a blue circle.", made, (), thread, 1)) == "image_2: a blue circle."
    assert "image_2, waits for approval: turn 1" in repr(reply)
    assert len(repr(reply)) < 250


def test_notebooks_show_what_is_asked(agent: VisualAgent) -> None:
    thread = agent.thread()
    question = thread("Draw a red circle.", approve="generate").pending
    assert question is not None
    assert question.text in Page(thread._repr_html_()).text


def test_a_turn_of_the_shipped_model(agent: VisualAgent, tmp_path: Path) -> None:
    chat = agent.thread("alice")
    chat("Draw a large red circle at the top left.", seed=1)
    chat("Now make the circle green.", seed=1)
    text = Page(chat.trace(tmp_path / "page.html").read_text()).text
    assert "1. Edited image_1 into image_2" in text
    assert "in image 1, circle: at the top left a large red circle" in text
    assert "Where image_2 comes from" in text
    assert [node.id for node in chat.images["image_2"].lineage().nodes] == ["image_1", "image_2"]


def test_a_file_whose_name_is_not_text(agent: VisualAgent, tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode(b"a\xff.png")
    try:
        Image.new("RGB", (128, 128), "white").save(file, "PNG")
    except OSError:
        pytest.skip("this file system takes no such names")
    chat = agent.thread("alice", images=[str(file)])
    chat("How many shapes are there?")
    assert chat.images["image_1"].record.label == "a\ufffd.png"
    assert "a\ufffd.png" in chat.trace(tmp_path / "page.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), [(1000, 2400), (420, 3600)])
def test_a_browser_shows_the_page(browser: Any, thread: Thread, tmp_path: Path, width: int, height: int) -> None:
    page = thread.trace(tmp_path / "page.html", turn=1)
    screen = browser.picture(page, width, height)
    assert screen.size == (width, height)
    found = {color: count for count, color in screen.getcolors(maxcolors=width * height) or []}
    area = 3.14 / 4 * 60 * 60  # of a circle on a picture of 128 pixels
    for color, times in (((255, 0, 0), 3), ((0, 0, 255), 2), ((0, 128, 0), 2)):
        assert found.get(color, 0) > times * 0.5 * area, color  # the pictures are there
    assert found.get((0x3B, 0x6E, 0xA8), 0) > 100  # and the bars, so the style sheet is let in
    assert found.get((0xF6, 0xF5, 0xF1), 0) > width * height / 20

    dump = browser.dom(page)
    assert "5. Did not edit" in dump
    assert "<script" not in dump
