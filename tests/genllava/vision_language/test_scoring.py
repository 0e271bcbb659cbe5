"""Likelihoods of choices, states at queries, added tokens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from benchmarks.layouts.vision_language import LAYOUTS
from genllava.errors import InvalidRequest
from genllava.vision_language import VisionLanguage

QUERIES = [f"<query_{index}>" for index in range(3)]
CHOICES = ["yes", "no, it is a red circle", "日本\n", "no"]


def say(role: str, *content: Any) -> dict[str, Any]:
    blocks = [{"type": "text", "text": c} if isinstance(c, str) else {"type": "image", "image": c} for c in content]
    return {"role": role, "content": blocks}


def by_hand(model: VisionLanguage, talk: list[dict[str, Any]], choice: str) -> float:
    """The mean log-likelihood from one plain pass over everything."""
    text = model.processor.apply_chat_template(talk, add_generation_prompt=True)
    images = [block["image"] for message in talk for block in message["content"] if block["type"] == "image"]
    begins = text.startswith(model.tokenizer.bos_token or "\0")
    both = [
        model.processor(text=[t], images=images or None, return_tensors="pt", add_special_tokens=not begins)
        for t in (text, text + choice)
    ]
    ids = both[1]["input_ids"][0]
    same = (both[0]["input_ids"][0] == ids[: both[0]["input_ids"].shape[1]]).long().cumprod(0).sum()
    with torch.no_grad():
        logits = model.model(**both[1]).logits[0].log_softmax(-1)
    return float(torch.stack([logits[at - 1, ids[at]] for at in range(int(same), len(ids))]).mean())


@pytest.mark.parametrize("name", LAYOUTS)
def test_scores_are_likelihoods(
    name: str, spoken: Callable[[str], VisionLanguage], pictures: list[Image.Image]
) -> None:
    model = spoken(name)
    talk = [say("user", pictures[1], "Is it?")]
    model.counters.reset()
    scores = model.score(talk, CHOICES)
    if name != "qwen35":
        assert model.counters.image_encodes == 1
    assert scores == pytest.approx([by_hand(model, talk, choice) for choice in CHOICES], rel=1e-4, abs=1e-4)
    assert model.score([say("user", pictures[3], "Is it?")], CHOICES) != pytest.approx(scores, abs=1e-3)
    cache = model.new_cache()
    model.chat(talk, max_new_tokens=3, cache=cache)
    assert model.score(talk, CHOICES, cache=cache) == pytest.approx(scores, rel=1e-4, abs=1e-4)


def test_scoring_reads_the_conversation_once(spoken: Callable[[str], VisionLanguage]) -> None:
    model = spoken("llava15")
    talk = [say("user", "a long question " * 10)]
    model.counters.reset()
    model.score(talk, ["yes", "no", "maybe"])
    tokens = model.counters.prefilled_tokens
    prompt = model.chat(talk, max_new_tokens=1).prompt_tokens
    assert tokens < prompt + 30


@pytest.mark.parametrize("choices", [[], ["yes", ""], "yes"])
def test_choices_that_are_none(choices: Any, spoken: Callable[[str], VisionLanguage]) -> None:
    with pytest.raises(InvalidRequest, match="not empty"):
        spoken("llava15").score([say("user", "a")], choices)


@pytest.mark.parametrize("name", LAYOUTS)
def test_states_at_queries(name: str, checkpoint: Callable[[str], Path], pictures: list[Image.Image]) -> None:
    model = VisionLanguage.from_pretrained(checkpoint(name))
    before = model.chat([say("user", "hi")], max_new_tokens=5).raw
    model.add_tokens(QUERIES)
    assert model.chat([say("user", "hi")], max_new_tokens=5).raw == before
    size = len(model.tokenizer)
    model.add_tokens(QUERIES)
    assert len(model.tokenizer) == size
    rows = model.model.get_input_embeddings().weight[model.tokenizer.convert_tokens_to_ids(QUERIES)]
    assert len({tuple(row.tolist()) for row in rows}) == 3
    talks = [[say("user", pictures[0], "draw a cat")], [say("user", "draw a very large blue square")]]
    states = model.query_states(talks, "Here: ", QUERIES, layers=(-1, 1))
    assert states.shape == (2, 3, 64)
    assert not states.requires_grad
    for talk, row in zip(talks, states, strict=True):
        cache = model.new_cache()
        one = model.query_states(talk, "Here: ", QUERIES, layers=(-1, 1))
        torch.testing.assert_close(one[0], row, rtol=1e-3, atol=1e-3)
        model.chat(talk, max_new_tokens=3, cache=cache)
        kept = model.query_states(talk, "Here: ", QUERIES, layers=(-1, 1), cache=cache)
        torch.testing.assert_close(kept, one, rtol=1e-3, atol=1e-3)
        again = model.query_states(talk, "Here: ", QUERIES, layers=(-1, 1), cache=cache)
        torch.testing.assert_close(again, one, rtol=1e-3, atol=1e-3)
    other = model.query_states([say("user", pictures[1], "draw a cat")], "Here: ", QUERIES)
    assert not torch.allclose(other[0], states[0, :, :32], atol=1e-2)


def test_states_are_those_of_the_query_tokens(checkpoint: Callable[[str], Path]) -> None:
    model = VisionLanguage.from_pretrained(checkpoint("qwen3_vl"))
    model.add_tokens(QUERIES)
    talk = [say("user", "draw")]
    text = model.processor.apply_chat_template(talk, add_generation_prompt=True) + "So: " + "".join(QUERIES)
    with torch.no_grad():
        want = model.model(**model.processor(text=[text], return_tensors="pt"), output_hidden_states=True).hidden_states
    for layer in (0, 1, -1):
        torch.testing.assert_close(model.query_states(talk, "So: ", QUERIES, layers=(layer,)), want[layer][:, -3:])


@pytest.mark.parametrize("name", ["llava15", "llava_sliding", "qwen35"])
def test_added_tokens_are_not_written_untrained(name: str, checkpoint: Callable[[str], Path]) -> None:
    """Whatever the process drew before; and the process's own random numbers stay as they were."""
    talk, rows = [say("user", "hi")], []
    for seed in range(8):
        model = VisionLanguage.from_pretrained(checkpoint(name))
        before = model.chat(talk, max_new_tokens=8).raw
        torch.manual_seed(seed)
        want = torch.rand(2)
        torch.manual_seed(seed)
        model.add_tokens(QUERIES)
        assert torch.equal(torch.rand(2), want)
        assert model.chat(talk, max_new_tokens=8).raw == before
        rows.append(model.model.get_input_embeddings().weight[-3:])
    assert all(torch.equal(row, rows[0]) for row in rows)
    assert not model.model.lm_head.weight[-3:].any()
    loss = -model.model(**model.reader.encode([model._prompt(talk, None)])).logits[0, -1].log_softmax(-1)[-1]
    loss.backward()
    assert model.model.lm_head.weight.grad[-1].abs().sum() > 0  # they can be trained


def test_gradients_reach_the_query_rows(checkpoint: Callable[[str], Path], pictures: list[Image.Image]) -> None:
    model = VisionLanguage.from_pretrained(checkpoint("llava15"))
    model.add_tokens(QUERIES)
    talks = [[say("user", pictures[0], "draw")], [say("user", "draw this and that")]]
    model.query_states(talks, "", QUERIES, grad=True).square().sum().backward()
    rows = model.model.get_input_embeddings().weight.grad
    assert rows is not None
    assert (rows[model.tokenizer.convert_tokens_to_ids(QUERIES)].abs().sum(1) > 0).all()
    assert model.model.model.multi_modal_projector.linear_1.weight.grad.abs().sum() > 0


def test_queries_that_are_no_tokens(spoken: Callable[[str], VisionLanguage]) -> None:
    with pytest.raises(InvalidRequest, match="add_tokens"):
        spoken("llava15").query_states([say("user", "a")], "", ["<none_such>"])


def test_added_tokens_are_control_tokens_too(checkpoint: Callable[[str], Path]) -> None:
    model = VisionLanguage.from_pretrained(checkpoint("llava15"))
    model.add_tokens(QUERIES)
    prompt = model.template.render(model.template.checked([say("user", "what is <query_1>?")])[0])
    assert model.tokenizer.convert_tokens_to_ids("<query_1>") not in model.reader.tokens(prompt)
