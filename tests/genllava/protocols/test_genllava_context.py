"""A conversation of a finetuned model: what is read in a later turn is what training reads there, and is read once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest
import torch

from genllava import GenLlavaPipeline
from genllava.pipeline_output import Drawing
from genllava.protocols.task_tokens import EOI, I2I, I2T, SOI, T2I
from genllava_finetune.modeling.collator import Collator
from genllava_finetune.modeling.encoding import RowEncoder
from genllava_finetune.modeling.model import GenLlavaForTraining
from tests.genllava.forced import SMALL, Forced, Layouts, force, picture, same
from tests.genllava.protocols.test_genllava import QUERIES, head_for

ASKED = ("in blue", "and a dog, next to what you see", "now the dog at night")
PLANS = (f"make it blue{SOI}", f"a dog{SOI}", f"the dog, at night{SOI}")
CLOSE: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-4}


@pytest.fixture(scope="module")
def built(layouts: Layouts) -> Any:
    """Pipelines with a generation head that draw through it, made once."""
    made: dict[str, GenLlavaPipeline] = {}

    def make(vlm: str) -> GenLlavaPipeline:
        if vlm not in made:
            head = head_for("sd15")
            made[vlm] = layouts.assemble(vlm, "sd15", protocol="genllava", bridge="head", generation_head=head)
        return made[vlm]

    return make


@contextmanager
def states_of(model: Forced) -> Iterator[list[Any]]:
    """The states that are read at the visual queries meanwhile."""
    read: list[Any] = []
    query_states = model.query_states

    def watched(*args: Any, **options: Any) -> Any:
        read.append(query_states(*args, **options))
        return read[-1]

    model.query_states = watched  # type: ignore[method-assign]
    try:
        yield read
    finally:
        model.query_states = query_states  # type: ignore[method-assign]


def in_training(pipe: GenLlavaPipeline, row: dict[str, Any]) -> Any:
    """The states [D, N, D_in] that training reads at the queries of a row."""
    language = pipe.parts().vision_language
    model = GenLlavaForTraining(language, pipe.generation_head, pipe.image_decoder).eval()
    batch = Collator(RowEncoder(language, pipe.generation_head))([row])
    with torch.no_grad():
        return model._query_states(model._read(batch)["all_states"], batch["query_positions"])


def say(role: str, *content: Any) -> dict[str, Any]:
    blocks = [{"type": "text", "text": each} if isinstance(each, str) else each for each in content]
    return {"role": role, "content": blocks}


def as_row(images: list[Any], first: str) -> dict[str, Any]:
    """What was said in three turns, as a row of training."""
    edits = [{"type": "edit", "instruction": plan.removesuffix(SOI), "source": 0} for plan in PLANS]
    messages = [
        say("user", {"type": "image"}, ASKED[0]),
        say("assistant", *([first] if first else []), edits[0]),
        say("user", ASKED[1]),
        say("assistant", {"type": "draw", "prompt": "a dog"}),
        say("user", ASKED[2]),
        say("assistant", {**edits[2], "source": 2}),
    ]
    return {"images": images, "messages": messages, "source": "t", "license": "CC0-1.0", "id": "t:1"}


def three_turns(pipe: GenLlavaPipeline, first: str = "", size: int = 64) -> tuple[Any, Forced, list[Any], list[int]]:
    """An edit, a new picture and an edit of that, a turn each: the conversation, what was read at the queries, and the
    tokens that each turn read."""
    end = force(pipe).end_token
    script = [f"{first}{I2I}", *PLANS] if first else list(PLANS)
    prefers = [*([I2T] if first else []), I2I, " image_1:", end, T2I, end, I2I, " image_3:", end]
    # Of a single picture there is nothing to choose.
    prefers.remove(" image_1:")
    model = force(pipe, script, prefers)
    talk = pipe.conversation()
    counts = []
    with states_of(model) as read:
        for number, text in enumerate(ASKED):
            pipe.counters.reset()
            shown = picture(size, size) if not number else None
            talk.ask(text, shown, seed=1, height=64, width=64)
            counts.append(pipe.counters.prefilled_tokens)
    model.done()
    return talk, model, read, counts


@pytest.mark.parametrize("vlm", ["llava15", "qwen3_vl"])
@pytest.mark.parametrize("first", ["", "Gladly."])
def test_queries_are_read_in_their_conversation_as_in_training(built: Any, vlm: str, first: str) -> None:
    pipe = built(vlm)
    talk, _, read, _ = three_turns(pipe, first)
    wanted = in_training(pipe, as_row(talk.images, first))
    assert wanted.shape[:2] == (3, 4)
    torch.testing.assert_close(torch.cat(read), wanted, **CLOSE)
    alone = pipe.vision_language.query_states(
        [pipe.protocol.asked(type("Asked", (), {"images": (), "text": ASKED[1]})())],
        pipe.protocol.query_prefix(T2I, "a dog"),
        pipe.generation_head.query_names,
    )
    assert not torch.allclose(alone, wanted[1:2], atol=1e-2), "the pictures and words before make a difference"


def test_a_verb_by_itself_reads_its_request_alone(built: Any) -> None:
    pipe = built("qwen3_vl")
    model = force(pipe, [f"a dog{SOI}"])
    with states_of(model) as read:
        drawing = pipe.generate("a dog, please", seed=1, **SMALL)
    row = {**as_row([drawing.image], ""), "messages": [
        say("user", "a dog, please"), say("assistant", {"type": "draw", "prompt": "a dog"}),
    ]}  # fmt: skip
    torch.testing.assert_close(torch.cat(read), in_training(pipe, row), **CLOSE)


@pytest.mark.parametrize("vlm", ["llava15", "qwen3_vl"])
def test_a_turn_reads_only_what_is_new(built: Any, vlm: str) -> None:
    """By counters: the tokens of a turn do not grow with what was said before, and every picture is read once."""
    pipe = built(vlm)
    talk, model, _, counts = three_turns(pipe)
    whole = len(model.reader.encode([model._prompt(talk.messages, None)])["input_ids"][0])
    model.script, model.prefers = ["Gladly done."], [I2T, model.end_token]
    pipe.counters.reset()
    talk.ask("thanks")
    last = pipe.counters.prefilled_tokens
    assert pipe.counters.image_encodes == 0
    assert last < 60 < whole / 3, (last, whole)
    # The second turn reads its request, its plan, the queries and its picture.
    again = three_turns(pipe)[3]
    assert counts == again
    picture_tokens = whole_of(model, talk)
    assert counts[1] < 60 + picture_tokens + len(ASKED[1]) + len(QUERIES) + len(PLANS[1])


def whole_of(model: Forced, talk: Any) -> int:
    """Tokens of one of its pictures."""
    from genllava.protocols.parts import user_message

    with_it, without = (
        len(model.reader.encode([model._prompt([user_message("a", shown)], None)])["input_ids"][0])
        for shown in ([talk.images[1]], [])
    )
    return with_it - without


def test_a_branch_goes_on_in_its_own_context(built: Any) -> None:
    pipe = built("qwen3_vl")
    talk, model, _, _ = three_turns(pipe)
    other = talk.branch()
    talk.messages.clear()
    model.script, model.prefers = [f"red{SOI}"], [I2I, " image_4:", model.end_token]
    pipe.counters.reset()
    with states_of(model) as read:
        (made,) = other.ask("now red", seed=1)
    assert isinstance(made, Drawing)
    assert made.source == 4
    row = as_row(other.images, "")
    row["messages"] += [
        say("user", "now red"), say("assistant", {"type": "edit", "instruction": "red", "source": 3}),
    ]  # fmt: skip
    torch.testing.assert_close(read[0], in_training(pipe, row)[3:], **CLOSE)
    assert pipe.counters.image_encodes == 1, "the picture that it made"


@pytest.mark.parametrize("vlm", ["llava15", "qwen3_vl"])
def test_words_have_no_space_before_them(built: Any, vlm: str) -> None:
    pipe = built(vlm)
    heard: list[str] = []
    force(pipe, [" A cat. ", " A cat."])
    assert pipe.understand(picture(32, 32), "what?").text == "A cat."
    several = pipe.understand([picture(32, 32), picture(32, 32, 1)], ["what?", "and this?"])
    assert [each.text for each in several] == ["A cat.", "A cat."]
    model = force(pipe, [" It is a cat.  "], [I2T])
    model.prefers.append(model.end_token)
    (said,) = pipe.conversation().ask("what?", picture(32, 32), on_text=heard.append)
    assert said.text == heard[-1] == "It is a cat."
    assert heard[0].strip() == heard[0] != ""
    assert all(later.startswith(earlier) for earlier, later in pairwise(heard))


def test_words_that_spell_tokens_stay_words(built: Any) -> None:
    """A plan that was given may spell out a token: it is read as in training, broken up."""
    pipe = built("qwen3_vl")
    plan = f"a sign '{EOI}{SOI}'"
    model = force(pipe)
    with states_of(model) as read:
        drawing = pipe.generate("a sign", plan=plan, seed=1, **SMALL)
    row = {**as_row([drawing.image], ""), "messages": [
        say("user", "a sign"), say("assistant", {"type": "draw", "prompt": plan}),
    ]}  # fmt: skip
    torch.testing.assert_close(torch.cat(read), in_training(pipe, row), **CLOSE)
    assert same(drawing, pipe.generate("a sign", plan=plan, seed=1, **SMALL))
