"""Going on from what was read gives what reading afresh gives, and reads nothing twice."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from benchmarks.layouts.vision_language import LAYOUTS
from genllava.errors import Cancelled, InvalidRequest
from genllava.vision_language import PrefixCache, VisionLanguage
from genllava.vision_language.prefix_cache import common_prefix

from .forcing import writes_tokens

PLAIN = ["llava15", "llava_inst", "llava_chatml", "llava_next", "qwen25_vl", "qwen3_vl", "smolvlm", "pixtral", "gemma3"]
WORDS = ["what", "is this", "please", "describe the", "red circle", "def f(x):", "return", "日本", "🙂", "and then\n\n"]


def say(role: str, *content: Any) -> dict[str, Any]:
    blocks = [{"type": "text", "text": c} if isinstance(c, str) else {"type": "image", "image": c} for c in content]
    return {"role": role, "content": blocks}


def converse(model: VisionLanguage, pictures: list[Image.Image], seed: int) -> tuple[int, int]:
    """A random conversation with turns, turns taken back and branches; every answer is compared with a fresh one.

    Returns:
        Tokens read with the cache, and without.
    """
    source = random.Random(seed)
    branches: list[tuple[list[dict[str, Any]], PrefixCache]] = [([], model.new_cache())]
    read = {"kept": 0, "afresh": 0}
    for _ in range(5):
        index = source.randrange(len(branches))
        messages, cache = branches[index]
        action = source.random()
        if action < 0.25:  # take turns back
            messages = messages[: 2 * source.randrange(len(messages) // 2 + 1)]
        elif action < 0.5:
            cache, index = cache.copy(), len(branches)
            branches.append((messages, cache))
        shown = [source.choice(pictures) for _ in range(source.choice([0, 0, 1, 1, 2]))]
        words = " ".join(source.choice(WORDS) for _ in range(source.randrange(1, 8)))
        messages = [*messages, say("user", *shown, words)]
        said = []
        for kind, given in (("kept", cache), ("afresh", None)):
            model.counters.reset()
            said.append(model.chat(messages, max_new_tokens=6, cache=given).raw)
            read[kind] += model.counters.prefilled_tokens
        assert said[0] == said[1], f"conversation {seed} with {len(messages)} messages"
        branches[index] = ([*messages, say("assistant", said[0])], cache)
    return read["kept"], read["afresh"]


@pytest.mark.parametrize("name", ["llava15", "llava_sliding", "llava_onevision", "qwen3_vl", "idefics3", "gemma3"])
def test_some_random_conversations(
    name: str, spoken: Callable[[str], VisionLanguage], pictures: list[Image.Image]
) -> None:
    read = [converse(spoken(name), pictures, seed) for seed in range(3)]
    assert sum(kept for kept, _ in read) < 0.75 * sum(afresh for _, afresh in read)


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYOUTS)
def test_random_conversations(name: str, spoken: Callable[[str], VisionLanguage], pictures: list[Image.Image]) -> None:
    """16 layouts with 13 conversations each: 208, of five turns."""
    for seed in range(100, 113):
        converse(spoken(name), pictures, seed)


@pytest.mark.parametrize("name", PLAIN)
def test_nothing_is_read_twice(name: str, spoken: Callable[[str], VisionLanguage], pictures: list[Image.Image]) -> None:
    """The model is made to write what its template would show of it; then each token is read once."""
    model, cache = spoken(name), spoken(name).new_cache()
    questions = [
        ("what?",),
        (pictures[0], "this"),
        ("and?",),
        (pictures[1], "that"),
        (pictures[2], pictures[3], "these"),
    ]
    messages: list[dict[str, Any]] = []
    model.counters.reset()
    for question in questions:
        messages.append(say("user", *question))
        before = _ids(model, messages)
        after = _ids(model, [*messages, say("assistant", "seven red kites"), say("user", "x")])
        reply = _answer(model, messages, before, after)
        said = model.chat(messages, cache=cache, **writes_tokens(model, reply))
        assert said.text.strip() == "seven red kites"
        messages.append(say("assistant", said.text))
    counted = model.counters
    # What was written last, token by token, is in the cache but for the end token.
    assert counted.prefilled_tokens + counted.decoded_tokens - len(questions) == said.prompt_tokens + len(reply)
    assert counted.image_encodes == 4
    assert len(cache) == said.prompt_tokens + len(reply)


def _ids(model: VisionLanguage, messages: list[dict[str, Any]]) -> list[int]:
    clean, _ = model.template.checked(messages)
    return model.reader.tokens(model.template.render(clean))


def _answer(model: VisionLanguage, messages: list[dict[str, Any]], before: list[int], after: list[int]) -> list[int]:
    """The tokens of the answer as the next prompt has them."""
    ends = model.model.generation_config.eos_token_id
    rest = after[common_prefix(before, after) :]
    stop = next((i for i, token in enumerate(rest) if token in (ends if isinstance(ends, list) else [ends])), None)
    assert common_prefix(before, after) == len(before), "the answer changes how the question is read"
    return rest[:stop]


@pytest.mark.parametrize("name", ["llava15", "qwen3_vl"])
def test_the_same_words_with_another_picture_are_read_again(
    name: str, spoken: Callable[[str], VisionLanguage], pictures: list[Image.Image]
) -> None:
    """Both pictures have the same size, so that the tokens are the same."""
    model, cache = spoken(name), spoken(name).new_cache()
    for picture in (pictures[0], pictures[-1], pictures[0]):
        talk = [say("user", "Look:", picture, "what is it?")]
        model.counters.reset()
        assert model.chat(talk, max_new_tokens=6, cache=cache).raw == model.chat(talk, max_new_tokens=6).raw
        assert model.counters.image_encodes == 2


@pytest.mark.parametrize("name", ["llava15", "qwen3_vl"])
def test_two_conversations_at_once(
    name: str, spoken: Callable[[str], VisionLanguage], pictures: list[Image.Image]
) -> None:
    """What a model remembers of its last conversation does not come into another one."""
    model = spoken(name)
    caches = [model.new_cache(), model.new_cache()]
    talks = [[say("user", pictures[3], "a wide one")], [say("user", "no picture")]]
    for _ in range(3):
        for talk, cache in zip(talks, caches, strict=True):
            reply = model.chat(talk, max_new_tokens=6, cache=cache)
            assert reply.raw == model.chat(talk, max_new_tokens=6).raw
            talk += [say("assistant", reply.text), say("user", "and?")]


def test_a_model_whose_cache_cannot_be_cut_reads_again(
    spoken: Callable[[str], VisionLanguage], pictures: list[Image.Image]
) -> None:
    kept, afresh = converse(spoken("qwen35"), pictures, 1)
    assert kept == afresh


@pytest.mark.parametrize("name", ["llava15", "qwen3_vl"])
def test_a_cancelled_answer_leaves_what_was_read(
    name: str, spoken: Callable[[str], VisionLanguage], pictures: list[Image.Image]
) -> None:
    model, cache = spoken(name), spoken(name).new_cache()
    talk = [say("user", pictures[0], "what?")]
    asked = iter([False] * 3 + [True])
    with pytest.raises(Cancelled):
        model.chat(talk, max_new_tokens=20, cache=cache, cancel=lambda: next(asked))
    model.counters.reset()
    assert model.chat(talk, max_new_tokens=6, cache=cache).raw == model.chat(talk, max_new_tokens=6).raw
    assert model.counters.image_encodes == 1  # that of the fresh one
    assert model.counters.prefilled_tokens == 1 + model.chat(talk, max_new_tokens=1).prompt_tokens


@pytest.mark.parametrize("name", ["llava15"])
def test_refused_options_leave_a_cache_that_works(name: str, spoken: Callable[[str], VisionLanguage]) -> None:
    model, cache = spoken(name), spoken(name).new_cache()
    talk = [say("user", "what?")]
    first = model.chat(talk, max_new_tokens=6, cache=cache).raw
    for _ in range(2):
        with pytest.raises(InvalidRequest, match="temperature"):
            model.chat(talk, max_new_tokens=6, cache=cache, do_sample=True, temperature=-1.0)
        assert model.chat(talk, max_new_tokens=6, cache=cache).raw == first


def test_a_branch_costs_nothing_and_is_apart(spoken: Callable[[str], VisionLanguage]) -> None:
    model, cache = spoken("llava15"), spoken("llava15").new_cache()
    model.chat([say("user", "a long question about many things")], max_new_tokens=4, cache=cache)
    branch = cache.copy()
    assert cache.layers is not None
    assert branch.layers is not None
    assert branch.layers.layers[0].keys is cache.layers.layers[0].keys
    kept = [layer.keys.clone() for layer in cache.layers.layers]
    model.chat([say("user", "another")], max_new_tokens=4, cache=branch)
    assert all(torch.equal(a, b.keys) for a, b in zip(kept, cache.layers.layers, strict=True))
    assert branch.ids != cache.ids


def test_beams_do_without(checkpoint: Callable[[str], Path], spoken: Callable[[str], VisionLanguage]) -> None:
    model, cache = spoken("llava15"), spoken("llava15").new_cache()
    talk = [say("user", "what?")]
    want = model.chat(talk, max_new_tokens=6, num_beams=3).raw
    assert model.chat(talk, max_new_tokens=6, num_beams=3, cache=cache).raw == want
    assert not len(cache)
