"""Plans that users give, as far as the image decoder's text encoder can read them."""

from __future__ import annotations

import pytest

from genllava import GenLlavaPipeline
from genllava.errors import InvalidRequest
from genllava.protocols.shapes.captions import check_captions
from genllava.protocols.shapes.tokens import T2I
from genllava_finetune.worlds.shapes.training.text_encoder import MAX_LENGTH, plan_tokenizer

PLAN = "at the top left a large red circle, on white"


def test_a_plan_has_to_fit_and_to_be_known() -> None:
    tokenizer = plan_tokenizer()
    check_captions(tokenizer, [PLAN, "nothing, on black", ""])
    with pytest.raises(InvalidRequest, match="dog, riding"):
        check_captions(tokenizer, [PLAN, "a dog riding a red circle"])
    with pytest.raises(InvalidRequest, match=f"at most {MAX_LENGTH}"):
        check_captions(tokenizer, ["red " * (MAX_LENGTH - 1)])
    check_captions(tokenizer, ["red " * (MAX_LENGTH - 2)])


def test_what_ships_draws_no_plan_it_cannot_read() -> None:
    pipe = GenLlavaPipeline.from_pretrained()
    chat = pipe.conversation()
    chat.add_user("draw")
    before = chat.ids
    with pytest.raises(InvalidRequest, match="dog"):
        pipe.generate("draw", plan="a dog")
    with pytest.raises(InvalidRequest, match="dog"):
        chat.draw(T2I, plan="a dog")
    assert chat.ids == before
