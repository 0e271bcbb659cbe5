"""The tools in an agent: several calls in one turn, with lineage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import ToolMessage
from photos import levels, photo
from PIL import Image
from script import Follows, calls

from genllava_agent import VisualAgent
from genllava_tools import visual_tools

if TYPE_CHECKING:
    from genllava import GenLlavaPipeline

BOX = [0.25, 0.0, 0.75, 1.0]


def agent(pipeline: GenLlavaPipeline, *script: Any, names: list[str] | None = None) -> VisualAgent:
    return VisualAgent(pipeline, store=":memory:", decider=Follows(script=list(script)), tools=visual_tools(names))


def model_of(made: VisualAgent) -> Follows:
    decider: Any = made._decider
    assert isinstance(decider, Follows)
    return decider


def used(reply: Any) -> list[Any]:
    """The steps of a turn in which a tool was called."""
    return [step for step in reply.steps if step.action == "tool"]


def test_crop_rotate_and_side_by_side_in_one_turn(pipeline: GenLlavaPipeline) -> None:
    cat = photo("cat")
    made = agent(
        pipeline,
        calls(
            ("crop", {"image": "image_1", "box": BOX}),
            ("rotate", {"image": "image_2", "angle": 90}),
            ("side_by_side", {"image": "image_2", "other": "image_3", "gap": 0}),
        ),
        "Here they are.",
    )
    reply = made("crop image_1 to its middle, turn that by 90 degrees, and put both side by side", images=[cat])
    assert [step.outcome for step in used(reply)] == ["ok", "ok", "ok"], [step.text for step in used(reply)]
    assert [step.tool for step in used(reply)] == ["crop", "rotate", "side_by_side"]
    records = {name: image.record for name, image in reply.thread.images.items()}
    assert {name: record.parents for name, record in records.items()} == {
        "image_1": (),
        "image_2": ("image_1",),
        "image_3": ("image_2",),
        "image_4": ("image_2", "image_3"),
    }
    assert records["image_2"].params == {"tool": "crop", "image": "image_1", "box": BOX}
    pictures = {image.id: image.image for image in reply.images}
    part = cat.crop((113, 0, 338, 300))
    assert (levels(pictures["image_2"]) == levels(part)).all()
    assert (levels(pictures["image_3"]) == levels(part.transpose(Image.Transpose.ROTATE_270))).all()
    assert pictures["image_4"].size == (225 + 400, 300)
    assert (levels(pictures["image_4"])[:, :225] == levels(part)).all()
    assert "The part of 225x300 pixels" in reply.steps[0].text


def test_any_earlier_picture_can_be_the_source(pipeline: GenLlavaPipeline) -> None:
    """A system whose crop always took the first picture."""
    made = agent(
        pipeline,
        calls(("crop", {"image": "image_2", "box": BOX}), ("flip", {"image": "image_1"})),
        "Done.",
        calls(("crop", {"image": "image_3", "box": BOX})),
        "Done.",
    )
    cat, coffee = photo("cat"), photo("coffee")
    first = made("the second one, please", images=[cat, coffee])
    assert (levels(first.images[0].image) == levels(coffee.crop((150, 0, 450, 400)))).all()
    assert (levels(first.images[1].image) == levels(cat)[:, ::-1]).all()
    second = first.thread("and once more")
    assert second.images[0].record.parents == ("image_3",)
    assert second.images[0].image.size == (150, 400)


def test_figures_reach_the_model(pipeline: GenLlavaPipeline) -> None:
    made = agent(pipeline, calls(("count_objects", {"image": "image_1"})), "There are 24.")
    reply = made("how many coins are there?", images=[photo("coins")])
    said = next(message for message in model_of(made).heard[-1] if isinstance(message, ToolMessage))
    assert "24 separate things" in said.text
    assert reply.text == "There are 24."
    assert not reply.images


def test_wrong_arguments_are_told_to_the_model(pipeline: GenLlavaPipeline) -> None:
    upside_down = calls(("crop", {"image": "image_1", "box": [0.5, 0.9, 0.7, 0.1]}))
    right = calls(("crop", {"image": "image_1", "box": [0.5, 0.1, 0.7, 0.9]}))
    made = agent(pipeline, upside_down, right, "Done.")
    reply = made("crop it", images=[photo("cat")])
    said = [message.text for message in model_of(made).heard[1] if isinstance(message, ToolMessage)]
    assert "upside down" in said[-1]
    assert [step.outcome for step in used(reply)] == ["error", "ok"]
    assert reply.images[0].image.size == (90, 240)


def test_a_mask_made_by_one_tool_is_taken_by_another(pipeline: GenLlavaPipeline) -> None:
    made = agent(
        pipeline,
        calls(
            ("segment", {"image": "image_1", "box": [0.2, 0.08, 0.85, 0.97]}),
            ("cut_out", {"image": "image_1", "mask": "image_2"}),
        ),
        "Done.",
    )
    reply = made("cut out the cup", images=[photo("coffee")])
    assert [step.outcome for step in used(reply)] == ["ok", "ok"], [step.text for step in used(reply)]
    cup = reply.images[1]
    assert cup.record.parents == ("image_1", "image_2")
    assert cup.image.getpixel((0, 0)) == (255, 255, 255), "white, where there was a table"


def test_all_tools_are_offered_as_schemas(pipeline: GenLlavaPipeline) -> None:
    made = agent(pipeline, "Hello.")
    made("hello", images=[photo("cat")])
    offered = {spec["function"]["name"]: spec["function"] for spec in model_of(made).offered[0]}
    assert offered.keys() >= {"crop", "add_text", "segment", "grid"}
    assert offered["crop"]["parameters"]["properties"]["image"]["enum"] == ["image_1"]
    assert set(offered["crop"]["parameters"]["required"]) == {"image", "box"}


@pytest.mark.parametrize("box", [[0, 0, 2, 1], [0, 0, 1], "all of it"])
def test_arguments_that_do_not_fit_the_schema_are_mended_once(pipeline: GenLlavaPipeline, box: Any) -> None:
    wrong, right = (calls(("crop", {"image": "image_1", "box": each})) for each in (box, BOX))
    made = agent(pipeline, wrong, right, "Done.")
    reply = made("crop it", images=[photo("cat")])
    assert used(reply)[-1].outcome == "ok"
    assert reply.images[-1].image.size == (225, 300)
