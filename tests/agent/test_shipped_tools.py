"""The model that ships decides by task tokens; where it writes [TOOL], a call is written within the schemas of tools.

It has not learnt to write that token, so here it is made to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from unittest.mock import patch

import pytest
from PIL import Image, ImageOps

from genllava.protocols.shapes.conversation import Conversation
from genllava.protocols.verbs import check_call
from genllava_agent import VisualAgent
from genllava_agent.create import as_tools
from genllava_agent.deciders.arguments import CallWriter, can_choose
from genllava_agent.deciders.offers import tool_spec
from genllava_agent.deciders.task_tokens import TaskTokens
from genllava_finetune.worlds.shapes.parser import parse
from genllava_tools import visual_tools
from genllava_tools.registry import built_in

if TYPE_CHECKING:
    from genllava import GenLlavaPipeline

WORLD: dict[str, str] = {  # tools that make sense in its world, and how they may be asked for
    "crop": "crop it",
    "rotate": "turn it by 90 degrees",
    "flip": "flip it",
    "grayscale": "take its colours out",
    "edge_map": "show its edges",
    "side_by_side": "put the two side by side",
    "upscale": "make it larger",
    "measure": "measure it",
    "add_text": "write hello on it",
    "palette": "which colours has it?",
}
QUARTERS = (0, 0.25, 0.5, 0.75, 1)


def mirror(image: Image.Image, way: Literal["left", "up"]) -> Image.Image:
    """Mirror a picture."""
    return ImageOps.mirror(image) if way == "left" else ImageOps.flip(image)


def scale(image: Image.Image, factor: float) -> Image.Image:
    """Scale a picture; a number without bounds cannot be chosen."""
    raise AssertionError("called")


def wants_a_tool(times: int) -> Any:
    """The first decisions are [TOOL], wherever that is possible."""
    decide, left = Conversation.next_action, times

    def decided(self: Conversation, allowed: Any = None, cancel: Any = None) -> dict[str, float]:
        nonlocal left
        if allowed is not None and "[TOOL]" in allowed and left:
            left -= 1
            return {"[TOOL]": 1.0}
        return decide(self, allowed, cancel)

    return patch.object(Conversation, "next_action", decided)


def forced(pipeline: GenLlavaPipeline, *calls: tuple[str, Mapping[str, Any]], store: Any = ":memory:") -> VisualAgent:
    tools = as_tools(visual_tools(list(WORLD)))
    decider = TaskTokens(tools, forced=calls)
    return VisualAgent(pipeline, store=store, seed=1, tools=list(tools.values()), decider=decider)


@pytest.fixture(scope="module")
def drawn(pipeline: GenLlavaPipeline) -> list[Image.Image]:
    """A large red circle at the top left, with a small blue square at the bottom right; and a green star."""
    requests = ["a large red circle at the top left and a small blue square at the bottom right", "a large green star"]
    return [pipeline.generate(f"draw {what}", seed=1).image for what in requests]


def test_a_call_fits_the_schema_and_its_picture_joins_the_conversation(pipeline: GenLlavaPipeline) -> None:
    thread = VisualAgent(pipeline, store=":memory:", seed=1, tools=[mirror, scale]).thread()
    thread("draw a large red circle at the top left")
    asked = thread("how many shapes are there?")
    assert asked.steps[0].probabilities["[TOOL]"] < 1e-6, "it has not learnt to call tools"
    with wants_a_tool(1):
        reply = thread("what is there?")
    (step, *rest) = reply.steps
    assert (step.tool, step.outcome) == ("mirror", "ok")
    assert step.arguments.keys() == {"image", "way"}
    assert step.arguments["way"] in ("left", "up")
    assert not rest
    (made,) = reply.images
    assert made.record.parents == ("image_1",)
    scene = parse(made.image).scene
    assert scene is not None
    where = {"left": "top right", "up": "bottom left"}[step.arguments["way"]]
    assert [thing.position for thing in scene.things] == [where]
    assert "red circle" in thread(f"what is at the {where}?").text, "the model sees what the tool gave"
    assert thread("make the circle green").image is not None
    assert list(thread.images) == ["image_1", "image_2", "image_3"]


def test_a_tool_that_needs_what_it_cannot_choose_is_not_called(pipeline: GenLlavaPipeline) -> None:
    agent = VisualAgent(pipeline, store=":memory:", seed=1, tools=[scale])
    with wants_a_tool(5):
        reply = agent("draw a large red circle at the top left")
    assert [step.action for step in reply.steps] == ["generate"]


def test_it_has_visual_tools_where_they_are_asked_for(pipeline: GenLlavaPipeline) -> None:
    usual, asked = (VisualAgent(pipeline, store=":memory:", tools=tools) for tools in (None, "visual"))
    deciders: list[Any] = [usual.parts.decider(), asked.parts.decider()]
    assert not deciders[0].tools, "it has not learnt to call them, and decides as it always did"
    assert deciders[1].tools.keys() >= WORLD.keys()
    assert not {"generate_image", "edit_image"} & deciders[1].tools.keys(), "it draws and edits itself"


@pytest.mark.parametrize(
    "name",
    [name if name == "flip" else pytest.param(name, marks=pytest.mark.slow) for name in WORLD],
)
def test_each_tool_of_its_world(pipeline: GenLlavaPipeline, drawn: list[Image.Image], name: str) -> None:
    """Written within the schema, carried out, shown to the model; and then what else was asked is done about that."""
    pictures = drawn if name == "side_by_side" else drawn[:1]
    agent = forced(pipeline, (name, {}))
    reply = agent(f"{WORLD[name]}, then tell me how many shapes there are", images=pictures)
    step, *others = reply.steps
    assert (step.tool, step.outcome) == (name, "ok"), step.text
    assert not check_call([tool_spec(agent.tools[name], list(reply.thread.images))], name, step.arguments)
    assert [other.action for other in others] == ["understand"], "the next step is decided"
    assert reply.text == f"{step.text} {others[0].text}"
    if name in ("measure", "palette"):
        assert reply.images == ()
        assert any(character.isdigit() for character in step.text)
        assert others[0].text == "There are two shapes."
        return
    (made,) = reply.images
    expected = ("image_1", "image_2") if name == "side_by_side" else ("image_1",)
    assert set(made.record.parents) == set(expected)
    assert made.record.params == {"tool": name, **step.arguments}
    assert step.image == made.id == f"image_{len(pictures) + 1}"
    if name in ("rotate", "flip"):
        assert others[0].text == "There are two shapes."
        assert f"in {made.id.replace('_', ' ')}" in others[0].seen, "it looks at what the tool gave"


def test_a_person_calls_a_tool_on_it(pipeline: GenLlavaPipeline, drawn: list[Image.Image]) -> None:
    """It calls none by itself, and sees what comes of the person's call."""
    thread = VisualAgent(pipeline, store=":memory:").thread(images=drawn[:1])
    flipped = thread.call_tool("flip", image="image_1")
    assert flipped.image is not None
    assert flipped.image.tobytes() == ImageOps.mirror(drawn[0]).tobytes()
    assert "red circle" in thread("what is at the top right?").text


def test_what_is_said_to_a_tool_is_kept_and_taken_back(
    pipeline: GenLlavaPipeline, drawn: list[Image.Image], tmp_path: Path
) -> None:
    """Two calls in one turn, the second of what the first gave; the thread is read by another process and goes on."""
    calls = ("flip", {"direction": "horizontal"}), ("flip", {"image": "image_2", "direction": "vertical"})
    with forced(pipeline, *calls, store=tmp_path) as agent:
        reply = agent.thread("t")("flip it both ways", images=drawn[:1])
        assert [(step.tool, step.outcome) for step in reply.steps[:2]] == [("flip", "ok"), ("flip", "ok")]
        assert [image.record.parents for image in reply.images] == [("image_1",), ("image_2",)]
        assert reply.images[1].image.tobytes() == ImageOps.flip(ImageOps.mirror(drawn[0])).tobytes()
    with VisualAgent(pipeline, store=tmp_path) as agent:
        thread = agent.thread("t", must_exist=True)
        assert [step.tool for step in thread.history()[0].steps][:2] == ["flip", "flip"]
        assert "red circle" in thread("what is at the bottom right?").text, "the latest, as another process shows it"
        thread.undo(2)
        assert list(thread.images) == []
        assert thread("draw a large red circle").image is not None
        assert list(thread.images) == ["image_1"]


@pytest.mark.slow
def test_an_error_of_a_tool_is_said_and_the_rest_is_done(pipeline: GenLlavaPipeline, drawn: list[Image.Image]) -> None:
    reply = forced(pipeline, ("crop", {"box": [0.5, 0.9, 0.7, 0.1]}))("crop it, then make the circle green", drawn[:1])
    assert (reply.steps[0].outcome, reply.steps[0].fate) == ("error", "mendable")
    assert "upside down" in reply.text
    assert reply.image is not None
    scene = parse(reply.image).scene
    assert scene is not None
    assert "green" in {thing.color for thing in scene.things}


# --- writing arguments ---


class Wants:
    """Likes some texts, the later ones better, and notes what it was asked."""

    def __init__(self, *words: str) -> None:
        self.words = words
        self.asked: list[tuple[str, list[str]]] = []

    def __call__(self, begin: str, texts: Sequence[str]) -> list[float]:
        self.asked.append((begin, list(texts)))
        liked = [self.words.index(text) if text in self.words else -1.0 for text in texts]
        return [each / 100 - 0.1 if each >= 0 else -1.0 - place for place, each in enumerate(liked)]


def written(tool: str, wants: Wants, request: str = "write good morning on it", **given: Any) -> dict[str, Any]:
    """The arguments of a call of a visual tool, where there are two pictures."""
    made = as_tools(visual_tools([tool]))[tool]
    parameters = tool_spec(made, ["image_1", "image_2"])["function"]["parameters"]
    pictures = [name for name in parameters["properties"] if name in ("image", "other", "images", "mask")]
    arguments = CallWriter(wants, lambda names: names[-1], request, tool).write(parameters, pictures, given)
    assert not check_call([tool_spec(made, ["image_1", "image_2"])], tool, arguments)
    return arguments


def test_boxes_points_numbers_colours_words_and_pictures() -> None:
    assert written("crop", Wants("0.5", "1")) == {"box": [0.5, 0.5, 1, 1], "image": "image_2"}
    turned = Wants("-90")
    assert written("rotate", turned) == {"angle": -90, "image": "image_2"}
    assert turned.asked[0][1] == [str(angle) for angle in range(-360, 361, 90)]
    assert written("rotate", Wants("90", "color=", "yellow")) == {"angle": 90, "image": "image_2", "color": "yellow"}
    arrow = written("draw_arrow", Wants("0.25"))
    assert arrow == {"start": [0.25, 0.25], "end": [0.25, 0.25], "image": "image_2"}
    assert written("upscale", Wants("factor=", "4")) == {"image": "image_2", "factor": 4}
    assert written("upscale", Wants()) == {"image": "image_2"}, "what may be left out is, where nothing speaks for it"
    assert written("side_by_side", Wants()) == {"image": "image_2", "other": "image_1"}, "two different ones"
    assert written("grid", Wants()) == {"images": ["image_2", "image_1"]}
    assert written("add_text", Wants("good", "good morning"))["text"] == "good morning", "words of the request"
    placed = written("add_text", Wants("good", "position=", "top left"))
    assert (placed["text"], placed["position"]) == ("good", "top left")
    assert written("crop", Wants(), box=[0, 0, 1, 0.5])["box"] == [0, 0, 1, 0.5], "what is given is not chosen"


def test_boxes_are_never_empty() -> None:
    wants = Wants("0.75")
    left, top, right, bottom = written("crop", wants)["box"]
    assert left < right
    assert top < bottom
    assert [texts for begin, texts in wants.asked if "box=" in begin][2] == ["1"]


def test_calls_of_all_visual_tools_can_be_written() -> None:
    for tool in built_in():
        parameters = tool.schema()
        unfit = [name for name in parameters["required"] if not can_choose(parameters["properties"][name])]
        assert not unfit, tool.name
