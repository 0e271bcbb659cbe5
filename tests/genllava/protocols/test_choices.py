"""Models without tools in their chat template: real scores of choices, pushed where a test wants one of them."""

from __future__ import annotations

import pytest

from genllava import Drawing
from genllava.errors import Cancelled, ModelReplyError
from genllava.protocols.choices import ANSWER, NOTHING
from genllava.protocols.parts import user_message
from genllava.protocols.verbs import verb_tools
from tests.genllava.forced import SMALL, Layouts, force, picture, same

DRAW = "draw a new picture from a description"
CHANGE = "change a picture as told; the picture itself stays, and a changed copy is made"
CROP = {
    "type": "function",
    "function": {
        "name": "crop",
        "description": "Cut a part out. More words.",
        "parameters": {
            "type": "object",
            "properties": {
                "side": {"type": "string", "enum": ["left", "right"]},
                "pixels": {"type": "integer", "description": "How many."},
                "note": {"type": "string"},
            },
            "required": ["side", "pixels"],
        },
    },
}


@pytest.mark.parametrize("vlm", ["llava15", "gemma3"])  # Gemma's template refuses roles that are not in turns
def test_it_answers_and_then_draws(layouts: Layouts, vlm: str) -> None:
    pipe = layouts.shared(vlm, "sd15")
    assert pipe.protocol.name == "choices"
    model = force(pipe, ["A harbour.", "a woodcut of 'NO PARKING'"], [ANSWER, DRAW, NOTHING])
    photo = picture(160, 90)
    answer, drawing = pipe.conversation().ask("what is it? draw it as a woodcut", photo, seed=3, **SMALL)
    model.done()
    assert answer.text == "A harbour."
    assert isinstance(drawing, Drawing)
    assert drawing.plan == "a woodcut of 'NO PARKING'"
    assert same(drawing, pipe.generate("a woodcut of 'NO PARKING'", seed=3, **SMALL))
    assert model.choices == [[DRAW, CHANGE, ANSWER], [DRAW, CHANGE, NOTHING], [DRAW, CHANGE, NOTHING]]
    assert same(model.shown[0][0], photo)
    assert "Already answered: A harbour." in model.asked[1]
    assert "So far: Done: image_2 was made." in model.asked[2]
    assert "Write only that, and nothing else." in model.read[1]


def test_several_actions_and_turns(layouts: Layouts) -> None:
    pipe = layouts.shared("gemma3", "sd15", "instruct_pix2pix")
    one, two = picture(97, 61, 1), picture(61, 97, 2)
    model = force(
        pipe,
        ["at night", "a cat", "Both done.", "Hello."],
        [CHANGE, "image_2", DRAW, ANSWER, NOTHING, ANSWER, NOTHING],
    )
    conversation = pipe.conversation()
    edited, drawing, said = conversation.ask(
        "the second one at night, and a cat", [one, two], seed=5, height=64, width=64
    )
    assert (edited.source, edited.plan, drawing.plan, said.text) == (2, "at night", "a cat", "Both done.")
    assert same(edited, pipe.edit(two, "at night", seed=5))
    assert model.choices[1] == ["image_1", "image_2"]
    assert [result.text for result in conversation.ask("hi")] == ["Hello."]
    model.done()
    turns = [part.split("\n")[0] for part in model.read[-1].split("<start_of_turn>")[1:]]
    assert turns == ["user", "model", "user", "model"]
    assert len(model.shown[-1]) == 4


def test_choices_see_the_picture_and_follow_the_heading(layouts: Layouts) -> None:
    pipe = layouts.shared("llava15", "sd15")
    scores = []
    for seed in (1, 2):
        model = force(pipe, ["x", "x"], [None] * 2)
        pipe.protocol.reply([user_message("draw it", [picture(48, 48, seed)])], verb_tools(0))
        scores.append(model.scores[0])
        assert model.asked[0].endswith("ASSISTANT: "), "choices come behind the space that the template has there"
    assert scores[0] != pytest.approx(scores[1], abs=1e-4)


def test_arguments_of_other_tools(layouts: Layouts) -> None:
    pipe = layouts.shared("llava15", "sd15")
    tools = [*verb_tools(0), CROP]
    model = force(pipe, ["16"], ["cut a part out", "right"])
    reply = pipe.protocol.reply([user_message("cut")], tools)
    model.done()
    assert [(call.name, call.arguments) for call in reply.tool_calls] == [("crop", {"side": "right", "pixels": 16})]
    assert "How many. Write only that, and nothing else. Write it as JSON, of the type integer." in model.read[0]
    assert reply.new_tokens >= 2
    assert reply.prompt_tokens > 10
    force(pipe, ["many"], ["cut a part out", "left"])
    reply = pipe.protocol.reply([user_message("cut")], tools)
    assert reply.tool_calls == []
    assert reply.invalid[0].text == "many"
    assert "not JSON" in reply.invalid[0].reason


def test_an_empty_prompt_goes_back_once(layouts: Layouts) -> None:
    pipe = layouts.shared("gemma3", "sd15")
    model = force(pipe, [" ", "a cat"], [DRAW, DRAW, NOTHING])
    conversation = pipe.conversation()
    (drawing,) = conversation.ask("draw", seed=1, **SMALL)
    assert drawing.plan == "a cat"
    assert "Not done: prompt of generate_image must not be empty." in model.asked[1]
    force(pipe, [" ", " "], [DRAW, DRAW])
    before = len(conversation.messages)
    with pytest.raises(ModelReplyError):
        conversation.ask("draw", seed=1, **SMALL)
    assert len(conversation.messages) == before


def test_what_is_no_choice_is_not_asked(layouts: Layouts) -> None:
    pipe = layouts.shared("llava15")
    model = force(pipe, ["Hello."])
    assert [result.text for result in pipe("hi").results] == ["Hello."]
    assert model.choices == []
    assert "draw and edit" not in model.read[0]


def test_it_stops_before_a_choice(layouts: Layouts) -> None:
    pipe = layouts.shared("llava15", "sd15")
    model = force(pipe)
    conversation = pipe.conversation()
    with pytest.raises(Cancelled, match="chose"):
        conversation.ask("draw", cancel=lambda: True)
    assert (conversation.messages, model.choices) == ([], [])


def test_no_more_calls_than_max_steps(layouts: Layouts) -> None:
    pipe = layouts.shared("llava15", "sd15")
    model = force(pipe, ["a cat", "a dog", "a cow"], [DRAW] * 3)
    (drawing,) = pipe.conversation().ask("draw for ever", seed=1, max_steps=1, **SMALL)
    assert drawing.plan == "a cat"
    assert "Not done: at most 1 calls" in model.asked[2]
    model.done()
