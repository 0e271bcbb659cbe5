"""Every layout says what transformers' own `generate` says, alone, in a batch and streamed."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from benchmarks.layouts.vision_language import LAYOUTS
from genllava.vision_language import VisionLanguage

Talks = list[list[dict[str, Any]]]


def say(role: str, *content: Any) -> dict[str, Any]:
    blocks = [{"type": "text", "text": c} if isinstance(c, str) else {"type": "image", "image": c} for c in content]
    return {"role": role, "content": blocks}


class Plain:
    """A checkpoint used as transformers' documentation does."""

    def __init__(self, folder: Path) -> None:
        self.model: Any = AutoModelForImageTextToText.from_pretrained(folder).eval()
        load: Any = AutoProcessor.from_pretrained
        self.processor = load(folder)

    def ids(self, talk: list[dict[str, Any]], **options: Any) -> list[int]:
        given = self.processor.apply_chat_template(
            talk, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        )
        row = self.model.generate(**given, do_sample=False, **options)[0]
        return list(row[given["input_ids"].shape[1] :].tolist())

    def text(self, ids: list[int], special: bool = False) -> str:
        return str(self.processor.tokenizer.decode(ids, skip_special_tokens=not special))


@pytest.fixture(scope="module")
def plain(checkpoint: Callable[[str], Path]) -> Callable[[str], Plain]:
    return lambda name: Plain(checkpoint(name))


@pytest.mark.parametrize("name", LAYOUTS)
def test_twenty_conversations_as_transformers_answers_them(
    name: str, talks: Talks, plain: Callable[[str], Plain], spoken: Callable[[str], VisionLanguage]
) -> None:
    theirs, ours = plain(name), spoken(name)
    ends = theirs.model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    assert len(talks) == 20
    said, written = [], set()
    for talk in talks:
        want = theirs.ids(talk, max_new_tokens=6)
        reply = ours.chat(talk, max_new_tokens=6)
        written.add(tuple(want))
        assert reply.new_tokens == len(want)
        assert reply.finished == (want[-1] in ends)
        want = want[:-1] if reply.finished else want
        assert reply.raw == theirs.text(want, special=True)
        assert reply.text == theirs.text(want).removeprefix(ours.template.gap)
        said.append(reply.text)
    assert len(written) > 10  # a model that says the same to everything would prove nothing
    assert [reply.text for reply in ours.chat(talks, max_new_tokens=6)] == said


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_picture_matters(name: str, pictures: list[Image.Image], spoken: Callable[[str], VisionLanguage]) -> None:
    talks = [[say("user", picture, "What?")] for picture in (pictures[0], pictures[-1])]
    one, other = (spoken(name).chat(talk, max_new_tokens=12).raw for talk in talks)
    assert one != other


@pytest.mark.parametrize("name", LAYOUTS)
def test_streamed_as_said(name: str, talks: Talks, spoken: Callable[[str], VisionLanguage]) -> None:
    for talk in (talks[0], talks[5]):
        seen: list[str] = []
        reply = spoken(name).chat(talk, max_new_tokens=12, on_text=seen.append)
        assert seen[-1] == reply.text
        assert len(seen) > 1
        assert all(before != after for before, after in pairwise(seen))
        assert not any(text.endswith("\ufffd") for text in seen[:-1])


@pytest.mark.parametrize("name", LAYOUTS)
def test_control_tokens_in_words_are_words(
    name: str, pictures: list[Image.Image], plain: Callable[[str], Plain], spoken: Callable[[str], VisionLanguage]
) -> None:
    """They are read as the same text with a joiner in it, and no picture is looked for."""
    theirs, ours = plain(name), spoken(name)
    tokenizer = theirs.processor.tokenizer
    spelled = sorted({str(token) for token in tokenizer.added_tokens_decoder.values() if token.special})[:20]
    spelled.append(str(theirs.processor.image_token))
    words = "what does " + " or ".join(spelled) + " mean?"
    harmless = words
    for token in sorted(spelled, key=len, reverse=True):
        harmless = harmless.replace(token, token[0] + "\u200d" + token[1:])
    for before in ([], [pictures[0]]):
        want = theirs.text(theirs.ids([say("user", *before, harmless)], max_new_tokens=6), special=True)
        assert ours.chat([say("user", *before, words)], max_new_tokens=6).raw == want
    prompt = ours.template.render(ours.template.checked([say("user", words)])[0])
    ids = set(ours.reader.tokens(prompt)) - set(ours.reader.tokens(ours.template.render([say("user", "a")])))
    assert not ids & set(tokenizer.all_special_ids)


@pytest.mark.parametrize("name", ["llava_chatml", "qwen25_vl", "gemma3"])
def test_each_end_token_ends(name: str, plain: Callable[[str], Plain], spoken: Callable[[str], VisionLanguage]) -> None:
    """A bias towards one of the end tokens: the answer stops there, whichever it is."""
    theirs, ours = plain(name), spoken(name)
    ends = ours.model.generation_config.eos_token_id
    assert len(ends) > 1
    talk = [say("user", "hello")]
    for end in ends:
        bias = {(end,): 1e4}
        assert theirs.ids(talk, max_new_tokens=6, sequence_bias=bias) == [end]
        reply = ours.chat(talk, max_new_tokens=6, sequence_bias=bias)
        assert (reply.text, reply.raw, reply.new_tokens, reply.finished) == ("", "", 1, True)


def test_dtype_device_map_and_attention_are_handed_through(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    """The vision tower stays on the disk until it is needed: inputs go to where the first weights in memory are."""
    places = {"model.visual": "disk", "model.language_model": "cpu", "lm_head": "cpu"}
    options = {"torch_dtype": torch.bfloat16, "attn_implementation": "eager", "offload_folder": tmp_path}
    half = VisionLanguage.from_pretrained(checkpoint("qwen3_vl"), device_map=places, **options)
    assert half.dtype == torch.bfloat16
    assert half.model.hf_device_map == places
    assert half.model.config._attn_implementation == "eager"
    assert next(half.model.model.visual.parameters()).device.type == "meta"
    talk = [say("user", Image.new("RGB", (60, 40), "red"), "what?")]
    whole = VisionLanguage.from_pretrained(checkpoint("qwen3_vl"), torch_dtype=torch.bfloat16)
    assert half.chat(talk, max_new_tokens=4).raw == whole.chat(talk, max_new_tokens=4).raw


def test_the_space_before_an_answer_is_the_template_s(spoken: Callable[[str], VisionLanguage]) -> None:
    assert spoken("smolvlm").template.gap == spoken("llava_inst").template.gap == " "
    assert spoken("qwen3_vl").template.gap == spoken("pixtral").template.gap == ""


def test_facts(spoken: Callable[[str], VisionLanguage]) -> None:
    model = spoken("qwen3_vl")
    assert (model.hidden_size, model.max_length, model.dtype) == (32, 4096, torch.float32)
    assert model.device == torch.device("cpu")
    assert model.supports_tools
    assert model.tool_results_show_images
    assert not spoken("llava15").supports_tools
    assert not spoken("pixtral").tool_results_show_images
