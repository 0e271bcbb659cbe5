"""The model that ships decides by task tokens; where it writes [TOOL], a call is chosen within the schemas of tools.

It has not learnt to write that token, so here it is made to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal
from unittest.mock import patch

from PIL import Image, ImageOps

from genllava.protocols.shapes.conversation import Conversation
from genllava_agent import VisualAgent
from genllava_finetune.shapes.parser import parse

if TYPE_CHECKING:
    from genllava import GenLlavaPipeline


def mirror(image: Image.Image, way: Literal["left", "up"]) -> Image.Image:
    """Mirror a picture."""
    return ImageOps.mirror(image) if way == "left" else ImageOps.flip(image)


def scale(image: Image.Image, factor: float) -> Image.Image:
    """Scale a picture; this model cannot choose a number."""
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
