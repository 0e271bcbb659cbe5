"""The token stream: one layout for training, inference and the chat template."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import LlavaProcessor

from genllava.checkpoints import SHIPPED
from genllava.pipeline_genllava import GenLlavaPipeline
from genllava.protocols.shapes import layout
from genllava.protocols.shapes.processing import CHAT_TEMPLATE
from genllava.protocols.shapes.sentences import plain_sentences
from genllava.protocols.shapes.tokens import BOS, EOS, I2I, IMAGE, QUERY, SPECIAL_TOKENS

P, N = 4, 4


def test_the_chat_template_gives_the_same_ids(pipe: GenLlavaPipeline) -> None:
    processor, t = pipe.processor, pipe.processor.tokenizer
    messages = [
        {
            "role": "user",
            "content": [{"type": "image"}, {"type": "text", "text": "Make the  <IMAGE> circle GREEN"}],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "request", "text": "make the circle"},
                {"type": "seen", "text": "image 1: a red circle"},
                {"type": "drawing", "task": "I2I", "plan": "image 1: a green circle", "queries": N},
                {"type": "image"},
                {"type": "request", "text": "circle"},
                {"type": "seen", "text": "image 2: a green circle then: a blue circle"},
                {"type": "request", "text": "green"},
                {"type": "seen", "text": "in image 2, circle: a green circle"},
                {"type": "text", "text": "There are two."},
                {"type": "drawing", "task": "I2I", "plan": "image 2: a red circle", "queries": N},
                {"type": "image"},
                {"type": "text", "text": "Done."},
            ],
        },
        {"role": "user", "content": "Thanks</s>"},
        {"role": "assistant", "content": "Yes."},
    ]
    prompt = processor.apply_chat_template(messages, tokenize=False)
    blank = Image.new("RGB", (32, 32))
    ids = processor(text=prompt, images=[blank] * 3, add_special_tokens=False)["input_ids"][0]
    bos, eos = t.convert_tokens_to_ids([BOS, EOS])
    assert list(ids) == [
        bos,
        *layout.user_turn(t, "make the circle green", [1], P),
        *layout.user_turn(t, "make the circle", [], P),
        *layout.seen(t, "image 1: a red circle"),
        *layout.plan(t, I2I, "image 1: a green circle"),
        *layout.drawing(t, N),
        *layout.picture(t, 2, P),
        *layout.user_turn(t, "circle", [], P),
        *layout.text_ids(t, "image 2: a green circle then: a blue circle"),
        *layout.user_turn(t, "green", [], P),
        *layout.seen(t, "in image 2, circle: a green circle"),
        *layout.answer(t, "There are two."),
        *layout.seen(t, ""),
        *layout.plan(t, I2I, "image 2: a red circle"),
        *layout.drawing(t, N),
        *layout.picture(t, 3, P),
        *layout.seen(t, ""),
        *layout.answer(t, "Done."),
        eos,
        *layout.user_turn(t, "thanks", [], P),
        *layout.seen(t, ""),
        *layout.answer(t, "Yes."),
        eos,
    ]


@settings(max_examples=100, deadline=None)
@given(
    text=st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from("<>/s[]")), max_size=30),
    cut=st.integers(0, 30),
)
def test_no_text_can_write_a_special_token(shared_pipeline: GenLlavaPipeline, text: str, cut: int) -> None:
    t = shared_pipeline.processor.tokenizer
    special = set(t.convert_tokens_to_ids(list(SPECIAL_TOKENS)))
    for token in SPECIAL_TOKENS:
        laced = text[:cut] + token + text[cut:]
        assert not special & set(layout.text_ids(t, laced))
        assert not special & set(layout.user_turn(t, laced, [], P)[1:-1])
    prompt = shared_pipeline.processor.apply_chat_template(
        [{"role": "user", "content": plain_sentences(text)}], tokenize=False
    )
    ids = t.encode(prompt, add_special_tokens=False)
    assert ids == [t.bos_token_id, *layout.user_turn(t, text, [], P)]


def test_a_piece_does_not_depend_on_what_stands_beside_it(pipe: GenLlavaPipeline) -> None:
    t = pipe.processor.tokenizer
    whole = layout.user_turn(t, "what color is it?", [3], P)
    assert layout.picture(t, 3, P) == whole[1 : 1 + len(layout.picture(t, 3, P))]
    assert t.decode(layout.text_ids(t, "image 12: a circle")).strip() == "image 12: a circle"
    assert layout.drawing(t, N).count(t.convert_tokens_to_ids(QUERY)) == N
    assert layout.picture(t, 3, P).count(t.convert_tokens_to_ids(IMAGE)) == P


def test_user_text_is_normalised() -> None:
    assert layout.normalize_user_text("  Make\tTHE \n circle <s>Green ") == "make the circle green"
    assert layout.normalize_user_text("<im<image>age>") == "<im age>"


@pytest.mark.parametrize(
    ("plan", "number", "rest"),
    [
        ("image 2: a circle", 2, "a circle"),
        (" image  1 2 : a circle", 12, "a circle"),
        ("a circle", None, "a circle"),
        ("image: a circle", None, "image: a circle"),
    ],
)
def test_the_prefix_of_an_edit(plan: str, number: int | None, rest: str) -> None:
    assert layout.split_edit_plan(plan) == (number, rest)
    assert layout.split_edit_plan(f"{layout.picture_prefix(7)} x") == (7, "x")


def test_captions_in_notes() -> None:
    noted = "image 1: a red circle, on white image 1 2: a star image 3: image 4: a cross in image 4, cross: one"
    assert layout.captions_in(noted) == [(1, "a red circle, on white"), (12, "a star"), (4, "a cross")]


def test_a_tokenizer_without_our_tokens_is_named(pipe: GenLlavaPipeline) -> None:
    with pytest.raises(ValueError, match="no token"):
        layout.token_id(pipe.processor.tokenizer, "[NONE]")


def test_the_processor_is_a_stock_one(pipe: GenLlavaPipeline) -> None:
    assert type(pipe.processor) is LlavaProcessor
    pixels = pipe.processor.image_processor([Image.new("RGB", (50, 20), "white")], return_tensors="pt")
    assert pixels["pixel_values"].shape == (1, 3, 32, 32)
    assert float(pixels["pixel_values"].max()) == pytest.approx(1.0)


def test_the_shipped_model_comes_with_this_template() -> None:
    assert (SHIPPED / "processor" / "chat_template.jinja").read_text() == CHAT_TEMPLATE
