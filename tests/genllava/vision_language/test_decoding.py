"""Options, ends, cancelling, numbers that are none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from genllava.errors import Cancelled, ImageRejected, InvalidRequest, NonFiniteError
from genllava.vision_language import VisionLanguage

from .forcing import writes

TALK = [{"role": "user", "content": "what is this?"}]


def test_sampling_as_transformers_samples(spoken: Callable[[str], VisionLanguage]) -> None:
    model = spoken("qwen3_vl")
    options = {"do_sample": True, "temperature": 1.5, "top_p": 0.9, "top_k": 20, "max_new_tokens": 12}
    given = model.processor.apply_chat_template(
        TALK, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    torch.manual_seed(7)
    want = model.model.generate(**given, **options)[0, given["input_ids"].shape[1] :]
    replies = [model.chat(TALK, seed=seed, **options).raw for seed in (7, 7, 8)]
    assert replies[0] == replies[1] == model.tokenizer.decode(want)
    assert replies[0] != replies[2]
    assert replies[0] != model.chat(TALK, max_new_tokens=12).raw


def test_a_seed_leaves_the_process_as_it_was(spoken: Callable[[str], VisionLanguage]) -> None:
    model = spoken("llava15")
    torch.manual_seed(3)
    want = torch.rand(3)
    torch.manual_seed(3)
    model.chat(TALK, max_new_tokens=4, do_sample=True, seed=1)
    assert torch.equal(torch.rand(3), want)


def test_the_checkpoint_s_own_settings_are_followed(checkpoint: Callable[[str], Path]) -> None:
    model = VisionLanguage.from_pretrained(checkpoint("llava15"))
    greedy = model.chat(TALK, max_new_tokens=12).raw
    model.model.generation_config.do_sample = True
    model.model.generation_config.temperature = 3.0
    assert len({model.chat(TALK, max_new_tokens=12, seed=seed).raw for seed in range(4)} | {greedy}) == 5
    assert model.chat(TALK, max_new_tokens=12, do_sample=False).raw == greedy


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"temprature": 0.5}, "temprature"),
        ({"_from_model_config": True}, "_from_model_config"),
        ({"max_length": 10}, "max_new_tokens"),
        ({"num_return_sequences": 2}, "list"),
        ({"generator": None}, "seed"),
        ({"streamer": None}, "on_text"),
        ({"output_scores": True}, "score"),
        ({"do_sample": True, "temperature": -1.0}, "temperature"),
    ],
)
def test_options_that_there_are_not(
    options: dict[str, Any], said: str, spoken: Callable[[str], VisionLanguage]
) -> None:
    with pytest.raises(InvalidRequest, match=said):
        spoken("llava15").chat(TALK, max_new_tokens=4, **options)


def test_stop_strings_and_token_limits(spoken: Callable[[str], VisionLanguage]) -> None:
    model = spoken("qwen3_vl")
    reply = model.chat(TALK, **writes(model, "one STOP two"), stop_strings=["STOP"])
    assert (reply.text, reply.finished) == ("one STOP", False)
    whole = model.chat(TALK, **writes(model, "one two three"))
    assert (whole.text, whole.finished) == ("one two three", True)
    assert whole.new_tokens == len(model.tokenizer("one two three")["input_ids"]) + 1
    short = model.chat(TALK, **{**writes(model, "one two three"), "max_new_tokens": 2})
    assert (short.new_tokens, short.finished) == (2, False)


def test_a_batch_in_which_one_ends_early(spoken: Callable[[str], VisionLanguage]) -> None:
    model = spoken("llava_chatml")
    end = model.tokenizer.convert_tokens_to_ids("!")

    def allowed(batch: int, written: torch.Tensor) -> list[int]:
        ids = model.tokenizer("abcde")["input_ids"]
        return (
            [end] if batch == 0 and int(written[-1]) == ids[1] else [ids[0] if int(written[-1]) == ids[1] else ids[1]]
        )

    replies = model.chat([TALK, TALK], max_new_tokens=6, prefix_allowed_tokens_fn=allowed)
    assert [reply.finished for reply in replies] == [True, False]
    assert replies[0].new_tokens == 2
    assert replies[1].new_tokens == 6


def test_line_breaks_and_marks_of_an_answer_stay(spoken: Callable[[str], VisionLanguage]) -> None:
    text = "# Title\n\n```py\nx**2 , y . z\n```\n  - 'NO PARKING' ,\n- 日本 🙂\n"
    for name in ("qwen3_vl", "llava15"):
        model = spoken(name)
        assert model.chat(TALK, **writes(model, text)).text == text


def test_an_answer_stays_within_the_context(checkpoint: Callable[[str], Path]) -> None:
    model = VisionLanguage.from_pretrained(checkpoint("llava15"))
    model.model.config.text_config.max_position_embeddings = 40
    reply = model.chat(TALK, max_new_tokens=1000, min_new_tokens=5)
    assert reply.prompt_tokens + reply.new_tokens == 40
    with pytest.raises(InvalidRequest, match="at most 40"):
        model.chat([{"role": "user", "content": "many words " * 30}])


def test_cancelling_is_asked_before_every_token(spoken: Callable[[str], VisionLanguage]) -> None:
    for count in (0, 1, 4):
        asked = iter([False] * count + [True])
        seen: list[str] = []
        with pytest.raises(Cancelled):
            spoken("llava15").chat(TALK, max_new_tokens=30, cancel=lambda it=asked: next(it), on_text=seen.append)
        assert len(seen) <= count
        with pytest.raises(StopIteration):
            next(asked)


@pytest.mark.parametrize("options", [{}, {"do_sample": True}])
def test_nan_is_an_error(options: dict[str, Any], checkpoint: Callable[[str], Path]) -> None:
    model = VisionLanguage.from_pretrained(checkpoint("llava15"))
    with torch.no_grad():
        model.model.lm_head.weight[5] = float("nan")
    with pytest.raises(NonFiniteError, match="language model"):
        model.chat(TALK, max_new_tokens=4, **options)
    with pytest.raises(NonFiniteError):
        model.score(TALK, ["yes", "no"])


def test_streaming_and_caches_are_for_one(spoken: Callable[[str], VisionLanguage]) -> None:
    model = spoken("llava15")
    for options in ({"on_text": print}, {"cache": model.new_cache()}):
        with pytest.raises(InvalidRequest, match="one conversation"):
            model.chat([TALK, TALK], **options)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="beam"):
        model.chat(TALK, max_new_tokens=4, on_text=print, num_beams=2)


def test_a_picture_that_is_too_narrow(spoken: Callable[[str], VisionLanguage]) -> None:
    talk = [{"role": "user", "content": [{"type": "image", "image": Image.new("RGB", (1, 5000))}]}]
    with pytest.raises(ImageRejected, match="1x5000"):
        spoken("qwen3_vl").chat(talk)
