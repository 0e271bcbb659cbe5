"""Bad input to turns: each has one typed error that says what to do, and leaves the thread as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from drawn import CIRCLE, shapes
from PIL import Image

from genllava.errors import ImageRejected, InvalidRequest
from genllava_agent import VisualAgent
from genllava_agent.errors import NothingPending, NothingToUndo, StoreFailed, UnknownImage

BAD_REQUESTS: list[tuple[Any, type[Exception], str]] = [
    (lambda ask: ask(""), InvalidRequest, "empty"),
    (lambda ask: ask("  \n"), InvalidRequest, "empty"),
    (lambda ask: ask(None), InvalidRequest, "text, not NoneType"),
    (lambda ask: ask("x " * 500_000), InvalidRequest, "characters"),
    (lambda ask: ask("\udcff"), InvalidRequest, "Unicode"),
    (lambda ask: ask("look", "nowhere.png"), ImageRejected, "nowhere.png"),
    (lambda ask: ask("look", b"not a picture"), ImageRejected, "PNG"),
    (lambda ask: ask("look", 7), ImageRejected, "int"),
    (lambda ask: ask("look", ["https://example.org/cat.png"]), ImageRejected, "URL"),
    (lambda ask: ask("look", [Image.new("RGB", (8, 8)), "nowhere.png"]), ImageRejected, "nowhere.png"),
    (lambda ask: ask("look", [Image.new("RGB", (8, 8))] * 200), InvalidRequest, "200 pictures"),
    (lambda ask: ask("draw", seed=-1), InvalidRequest, "seed"),
    (lambda ask: ask("draw", sed=1), InvalidRequest, "sed"),
    (lambda ask: ask("draw", limits={"steps": 0}), InvalidRequest, "limits.steps"),
    (lambda ask: ask("draw", task="paint"), InvalidRequest, "task"),
    (lambda ask: ask("draw", approve="all"), InvalidRequest, "approval"),
    (lambda ask: ask("draw", cancel=True), InvalidRequest, "cancel=True"),
]
"""Of an agent, and of a thread."""


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        *BAD_REQUESTS,
        (lambda a: a.thread("").stream("x").__next__(), InvalidRequest, "name"),
        (lambda a: VisualAgent(approve="all"), InvalidRequest, "approval"),
        (lambda a: VisualAgent(busy="no"), InvalidRequest, "queue or error"),
        (lambda a: a.batch(["x"], [None, None]), InvalidRequest, "one entry for each"),
        (lambda a: a.batch("two words"), InvalidRequest, "a list of requests"),
        (lambda a: a.batch(["x"], "picture.png"), InvalidRequest, "a list of requests"),
        (lambda a: VisualAgent(tools=[print, 5]), InvalidRequest, "5 is no tool"),
        (lambda a: VisualAgent(tools=[lambda x: x]), InvalidRequest, "is no tool"),
        (lambda a: VisualAgent(a.engine.pipeline, decider=5, store=":memory:"), InvalidRequest, "chat model"),
        (lambda a: VisualAgent(store=5).threads(), StoreFailed, "no place for threads"),
        (lambda a: VisualAgent(a.engine.pipeline, store=__file__)("hello"), StoreFailed, "py.*choose a folder"),
    ],
)
def test_bad_input_is_named(kept: VisualAgent, call: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        call(kept)
    assert kept.threads() == [], "a thread that nothing was said on is none"


def test_bad_input_leaves_a_thread_as_it_was(kept: VisualAgent, tmp_path: Path) -> None:
    thread = kept.thread("t")
    thread(CIRCLE, seed=1)
    thread("how many shapes are there?")
    thread("make the circle green", seed=1)
    thread.undo()
    other = kept("draw a large blue square in the middle", seed=1).thread
    theirs = other.images["image_1"]
    bad = [
        *BAD_REQUESTS,
        (lambda t: t("look", theirs), ImageRejected, "image_1 is in a thread"),
        (lambda t: t("what is this?", region=(900, 5)), InvalidRequest, "reaches out of image_1"),
        (lambda t: t("look", Image.new("RGB", (8, 8)), region=(9, 9)), InvalidRequest, "reaches out of image_2"),
        (lambda t: t.retry(""), InvalidRequest, "empty"),
        (lambda t: t.retry(seed=-1), InvalidRequest, "seed"),
        (lambda t: t.undo(3), NothingToUndo, "there are 2"),
        (lambda t: t.redo(2), NothingToUndo, "1 were taken back"),
        (lambda t: t.branch(other.name), InvalidRequest, "already"),
        (lambda t: t.approve(), NothingPending, "not asked"),
        (lambda t: t.choose("edit"), NothingPending, "not asked"),
        (lambda t: t.resume(), NothingPending, "finished"),
        (lambda t: t.discard(), NothingPending, "finished"),
        (lambda t: t.images["image_2"], UnknownImage, "image_1"),
        (lambda t: t.trace(tmp_path / "missing" / "page.html"), InvalidRequest, "cannot write"),
        (lambda t: t.trace(tmp_path / "page.html", turn="1"), InvalidRequest, "no number of a turn"),
    ]

    def stands() -> Any:
        files = {file: file.read_bytes() for file in (tmp_path / "store").rglob("*") if file.is_file()}
        pixels = [thread.images[name].image.tobytes() for name in thread.images]
        return kept.threads(), kept.runner.look("t").config, thread.history(), pixels, files

    before = stands()
    for call, error, says in bad:
        with pytest.raises(error, match=says):
            call(thread)
        assert stands() == before, says
    assert "two" in thread.retry("how many shapes are there?").text
    assert ("large", "green", "circle", "top left") in shapes(thread("make the circle green", seed=1).image)


def test_names_of_pictures_and_threads(agent: VisualAgent) -> None:
    thread = agent(CIRCLE, seed=1).thread
    for name in ("image_2", "image_0", "../image_1", 9):
        with pytest.raises(UnknownImage, match="image_1"):
            thread.images[name]
    other = agent.thread()
    with pytest.raises(UnknownImage, match="none so far"):
        other.images["image_1"]
    with pytest.raises(ImageRejected, match="image_1 is in a thread"):
        other("what is this?", thread.images["image_1"])
