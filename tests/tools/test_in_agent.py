"""The tools in an agent: several calls in one turn, with lineage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import ToolMessage
from photos import levels, photo
from PIL import Image
from script import Follows, calls

from genllava.errors import InvalidRequest
from genllava_agent import VisualAgent
from genllava_tools import ToolUnavailable, find, visual_tools

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
    assert cup.image.getpixel((0, 0))[3] == 0, "transparent, where there was a table"


def specs(offered: Any) -> dict[str, Any]:
    return {spec["function"]["name"]: spec["function"] for spec in offered}


def test_few_are_offered_at_once_and_others_where_they_are_asked_for(pipeline: GenLlavaPipeline) -> None:
    script = [
        calls(("more_tools", {"names": ["grid", "flip"]})),
        calls(("flip", {"image": "image_1"})),
        calls(("grayscale", {"image": "image_2"})),
        "Done.",
        calls(("grid", {"images": ["image_1", "image_3"]})),
        "Done.",
    ]
    made = agent(pipeline, *script)
    reply = made("flip it, take its colours", images=[photo("cat")])
    first, second, *_ = map(specs, model_of(made).offered)
    ours = {"understand", "generate", "edit", "undo", "redo", "retry", "show_image"}
    assert first.keys() >= {*ours, "crop", "add_text", "segment", "more_tools"}
    assert first["crop"]["parameters"]["properties"]["image"]["enum"] == ["image_1"]
    assert set(first["crop"]["parameters"]["required"]) == {"image", "box"}
    assert all(len(specs(each)) == len(ours) + 12 for each in model_of(made).offered)
    assert "grid" not in first
    assert "grid: Put several pictures into one, in rows and columns" in first["more_tools"]["description"]
    assert second.keys() >= {"grid", "flip", "more_tools"}
    told = [message.text for message in model_of(made).heard[1] if isinstance(message, ToolMessage)]
    assert told[0].startswith("Can be called now: grid: Put several pictures into one")
    assert [(step.tool, step.outcome) for step in used(reply)] == [
        ("more_tools", "ok"), ("flip", "ok"), ("grayscale", "ok"),
    ], "one that stands in the index can be called as well"  # fmt: skip
    later = reply.thread("as a grid")
    assert later.images[0].record.parents == ("image_1", "image_3")
    assert "grid" in specs(model_of(made).offered[-1]), "and stays there"
    few = VisualAgent(pipeline, store=":memory:", decider=Follows(script=["Hello."]), tools=visual_tools(), offered=2)
    few("hello", images=[photo("cat")])
    assert len(specs(model_of(few).offered[0])) == len(ours) + 2
    assert len(few.tools) > 20


def test_what_is_no_tool_cannot_be_asked_for(pipeline: GenLlavaPipeline) -> None:
    made = agent(pipeline, calls(("more_tools", {"names": ["teleport"]})), "There is none.")
    reply = made("teleport it", images=[photo("cat")])
    assert reply.steps[0].outcome == "error"
    assert "there is no tool 'teleport'" in reply.steps[0].text


def test_they_are_there_without_being_given(pipeline: GenLlavaPipeline) -> None:
    """Crop, remove the background, put it elsewhere: three tools in one turn, with approval, lineage and undo."""
    script = [
        calls(
            ("crop", {"image": "image_1", "box": [0.15, 0, 1, 1]}),
            ("remove_background", {"image": "image_3", "box": [0.02, 0.02, 0.98, 0.98]}),
            ("paste", {"image": "image_2", "other": "image_4", "box": [0.5, 0.4, 1, 1]}),
        ),
        "The cat sits by the coffee.",
    ]
    made = VisualAgent(pipeline, store=":memory:", decider=Follows(script=script), approve="tool:paste")
    cat, coffee = photo("cat"), photo("coffee")
    thread, heard = made.thread(), list[Any]()
    for event in thread.stream("crop the photo to the cat, remove its background, put it on the coffee", [cat, coffee]):
        heard.append(event)
    assert [type(event).__name__ for event in heard].count("ToolFinished") == 2
    waiting = heard[-1].reply
    assert (waiting.pending.tool, waiting.pending.arguments["other"]) == ("paste", "image_4")
    assert "paste" not in [image.record.params.get("tool") for image in waiting.thread.images.values()]
    reply = thread.approve()
    assert reply.text == "The cat sits by the coffee."
    assert {name: image.record.parents for name, image in thread.images.items()} == {
        "image_1": (), "image_2": (), "image_3": ("image_1",), "image_4": ("image_3",),
        "image_5": ("image_2", "image_4"),
    }  # fmt: skip
    assert thread.images["image_5"].record.params["tool"] == "paste"
    assert "image_1" in reply.images[-1].lineage().svg()
    before, after = levels(coffee), levels(thread.images["image_5"].image)
    assert (after[:160] == before[:160]).all(), "above the box nothing has changed"
    changed = (after[165:395, 305:595] != before[165:395, 305:595]).any(axis=2).mean()
    assert 0.15 < changed < 0.6, "the cat is there, and its background is not"
    thread.undo()
    assert list(thread.images) == []
    thread.redo()
    assert list(thread.images) == [f"image_{number}" for number in range(1, 6)]


def test_a_person_calls_a_tool(pipeline: GenLlavaPipeline) -> None:
    """With approval, lineage and undo as for a model."""
    model = Follows(script=["A cat.", "So."])
    made = VisualAgent(pipeline, store=":memory:", decider=model, check_claims=False)
    thread, cat = made.thread(), photo("cat")
    thread("what is this?", images=[cat])
    reply = thread.call_tool("crop", image="image_1", box=BOX)
    assert [(step.tool, step.outcome) for step in reply.steps] == [("crop", "ok")]
    assert (levels(reply.image) == levels(cat.crop((113, 0, 338, 300)))).all()
    assert reply.images[0].record.parents == ("image_1",)
    both = thread.call_tool("grid", images=[thread.images["image_1"], reply.images[0]])
    assert both.images[0].record.parents == ("image_1", "image_2")
    assert (
        "I could not call rotate: rotate: `angle`: Input should be less than or equal to 360."
        in thread.call_tool("rotate", image="image_1", angle=720).text
    )
    with pytest.raises(InvalidRequest, match="there is no tool 'crap': crop"):
        thread.call_tool("crap", image="image_1")
    thread.undo(2)
    assert list(thread.images) == ["image_1", "image_2"]
    waiting = thread("flip it", call={"name": "flip", "args": {"image": "image_2"}}, approve="tool")
    assert waiting.pending.tool == "flip"
    assert thread.approve().images[0].record.parents == ("image_2",)
    thread("and?")
    assert "crop(image=" in str(model.heard[-1]), "the model reads what was done"
    assert [turn.steps[0].tool for turn in thread.history()][1:3] == ["crop", "flip"]


def test_transparency_comes_in_and_is_kept(pipeline: GenLlavaPipeline, tmp_path: Path) -> None:
    logo = Image.new("RGBA", (40, 20), (255, 0, 0, 0))
    logo.paste((0, 0, 255, 255), (10, 5, 30, 15))
    logo.save(tmp_path / "logo.png")
    paste = calls(("paste", {"image": "image_1", "other": "image_2", "box": [0, 0, 0.5, 0.5], "fit": "stretch"}))
    made = agent(pipeline, paste, "Done.", names=["paste"])
    cat = photo("cat")
    reply = made("put the logo on it", images=[cat, tmp_path / "logo.png"])
    pasted = levels(reply.images[0].image)
    assert (pasted[:30, :50] == levels(cat)[:30, :50]).all(), "where the logo is transparent, the photograph is seen"
    assert tuple(pasted[75, 112]) == (0, 0, 255)
    kept = reply.thread.images["image_2"]
    assert (kept.image.mode, kept.image.getpixel((0, 0))[3]) == ("RGBA", 0)
    kept.save(tmp_path / "logo.jpg")
    with Image.open(tmp_path / "logo.jpg") as flat:
        assert min(flat.getpixel((1, 1))) > 250


@pytest.mark.parametrize("box", [[0, 0, 2, 1], [0, 0, 1], "all of it"])
def test_arguments_that_do_not_fit_the_schema_are_mended_once(pipeline: GenLlavaPipeline, box: Any) -> None:
    wrong, right = (calls(("crop", {"image": "image_1", "box": each})) for each in (box, BOX))
    made = agent(pipeline, wrong, right, "Done.")
    reply = made("crop it", images=[photo("cat")])
    assert used(reply)[-1].outcome == "ok"
    assert reply.images[-1].image.size == (225, 300)


def test_visual_tools_are_given_as_they_are(pipeline: GenLlavaPipeline) -> None:
    cat = photo("cat")
    script = [calls(("flip", {"image": "image_1"})), "Done."]
    made = VisualAgent(pipeline, store=":memory:", decider=Follows(script=script), tools=[find("flip")])
    assert (levels(made("mirror it", images=[cat]).images[0].image) == levels(cat)[:, ::-1]).all()
    with pytest.raises(ToolUnavailable, match="depth_map needs the depth model: run `hf download"):
        VisualAgent(pipeline, store=":memory:", decider=Follows(script=[]), tools=[find("depth_map")])
