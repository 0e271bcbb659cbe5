"""The verbs: one request or many, words or pictures, the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from genllava.errors import Cancelled, ImageRejected, InvalidRequest, NonFiniteError
from genllava.options import resolve_seeds
from genllava.pipeline_genllava import GenLlavaPipeline
from genllava.pipeline_output import Drawing
from genllava.protocols.shapes import segments
from genllava.protocols.shapes.tokens import I2I, I2T, T2I

Pictures = Callable[..., Image.Image]
QUESTIONS = ["How many shapes?", "what color is it", "Is there a red star? And where?", "so"]


@pytest.fixture(autouse=True)
def short_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights do not know when to stop."""
    monkeypatch.setattr(segments, "MAX_ANSWER_TOKENS", 12)
    monkeypatch.setattr(segments, "MAX_PLAN_TOKENS", 10)


def always(monkeypatch: pytest.MonkeyPatch, task: str | None) -> None:
    """Let the model prefer a task; None: every second row answers in words."""
    real = segments.task_probabilities

    def prefer(stream: Any, allowed: Any) -> list[dict[str, float]]:
        rows = real(stream, allowed)
        for number, row in enumerate(rows):
            first = task if task in row else I2T if task or number % 2 else next(t for t in row if t != I2T)
            rows[number] = {first: row[first], **row}
        return rows

    monkeypatch.setattr(segments, "task_probabilities", prefer)


def close(a: Image.Image | None, b: Image.Image | None) -> bool:
    """Equal but for rounding: batched convolutions may add in another order."""
    assert a is not None
    assert b is not None
    return bool(np.abs(np.asarray(a, int) - np.asarray(b, int)).max() <= 1)


def test_understanding_batched_equals_single(pipe: GenLlavaPipeline, picture: Pictures) -> None:
    images = [picture(1), [picture(2), picture(3)], None, picture(4, (50, 20))]
    single = [pipe.understand(image, question) for image, question in zip(images, QUESTIONS, strict=True)]
    batched = pipe.understand(images, QUESTIONS)
    assert [a.text for a in batched] == [a.text for a in single]
    assert len({a.text for a in single}) > 1
    for one, other in zip(batched, single, strict=True):
        assert one.task_probabilities == pytest.approx(other.task_probabilities, abs=1e-4)
    assert set(single[2].task_probabilities) == {I2T, T2I}
    assert set(single[0].task_probabilities) == {I2T, T2I, I2I}
    assert single[0].timings["answering"] > 0


def test_a_picture_is_seen_once_per_call(pipe: GenLlavaPipeline, picture: Pictures) -> None:
    pipe.understand([picture(1)] * 3, QUESTIONS[:3])
    assert pipe.counters.image_encodes == 1


@pytest.mark.parametrize("bridge", ["head", "caption"])
def test_generation_batched_equals_single(pipe: GenLlavaPipeline, monkeypatch: pytest.MonkeyPatch, bridge: Any) -> None:
    always(monkeypatch, T2I)
    seeds = [3, 4, 5, 6]
    assert resolve_seeds(np.array(seeds), 4) == resolve_seeds(tuple(seeds), 4) == seeds  # type: ignore[arg-type]
    single = [pipe.generate(q, seed=s, bridge=bridge) for q, s in zip(QUESTIONS, seeds, strict=True)]
    batched = pipe.generate(QUESTIONS, seed=seeds, bridge=bridge)
    assert [d.plan for d in batched] == [d.plan for d in single]
    assert [d.seed for d in batched] == seeds
    for one, other in zip(batched, single, strict=True):
        assert close(one.image, other.image)
        assert one.latents is not None
        assert other.latents is not None
        assert torch.allclose(one.latents, other.latents, atol=1e-3)
        assert (one.unet_rows, one.text, one.source) == (4, None, None)
    again = pipe.generate(QUESTIONS[0], seed=np.int64(3), bridge=bridge)  # type: ignore[arg-type]
    assert np.array_equal(np.asarray(again.image), np.asarray(single[0].image))
    one, other = (pipe.generate("x", seed=seed, plan="a red circle", bridge=bridge) for seed in (3, 4))
    assert not close(one.image, other.image)


def test_editing_batched_equals_single(
    pipe: GenLlavaPipeline, monkeypatch: pytest.MonkeyPatch, picture: Pictures
) -> None:
    always(monkeypatch, I2I)
    images = [picture(n) for n in range(4)]
    single = [pipe.edit(i, q, seed=3) for i, q in zip(images, QUESTIONS, strict=True)]
    batched = pipe.edit(images, QUESTIONS, seed=3)
    assert [d.plan for d in batched] == [d.plan for d in single]
    for one, other in zip(batched, single, strict=True):
        assert close(one.image, other.image)
        assert (one.unet_rows, one.source) == (6, 1)


def test_words_instead_of_a_picture(pipe: GenLlavaPipeline, monkeypatch: pytest.MonkeyPatch, picture: Pictures) -> None:
    always(monkeypatch, None)
    drawings = pipe.generate(QUESTIONS, seed=1)
    assert [d.image is None for d in drawings] == [False, True, False, True]
    assert drawings[1].text == pipe.understand(None, QUESTIONS[1]).text
    assert (drawings[1].plan, drawings[1].latents, drawings[1].unet_rows) == (None, None, 0)
    always(monkeypatch, I2T)
    declined = pipe.edit(picture(1), "make it red")
    assert declined.image is None
    assert declined.text
    assert set(declined.task_probabilities) == {I2I, I2T}
    with pytest.raises(ImageRejected, match="no picture"):
        pipe.edit(declined, "again")


def test_an_edit_of_our_own_drawing_encodes_nothing(pipe: GenLlavaPipeline, picture: Pictures) -> None:
    drawing = pipe.generate("x", plan="a red circle", seed=1)
    assert pipe.counters.vae_encodes == 0
    edited = pipe.edit(drawing, "make it blue", plan="a blue circle", seed=1)
    assert pipe.counters.vae_encodes == 0
    pipe.edit(edited.image, "make it blue", plan="a blue circle", seed=1)
    assert pipe.counters.vae_encodes == 1
    pipe.edit([picture(1), edited], ["a", "b"], plan=["a", "b"], seed=1)
    assert pipe.counters.vae_encodes == 2


def test_a_given_plan_is_taken(pipe: GenLlavaPipeline, picture: Pictures) -> None:
    given = pipe.generate("anything", plan="  a red   circle ", seed=1)
    assert given.plan == "a red circle"
    assert pipe.counters.decoded_tokens == 0
    edited = pipe.edit(picture(1), "x", plan="image 1: a red circle", seed=1)
    assert (edited.plan, edited.source) == ("a red circle", 1)
    with pytest.raises(InvalidRequest, match="no picture 2"):
        pipe.edit(picture(1), "x", plan="image 2: a red circle")


def test_a_caption_with_a_plan_needs_no_language_model(pipe: GenLlavaPipeline, picture: Pictures) -> None:
    edited = pipe.edit(picture(1), "x", plan="image 1: a red circle", bridge="caption")
    assert (edited.plan, edited.source) == ("a red circle", 1)
    assert (pipe.counters.prefilled_tokens, pipe.counters.image_encodes) == (0, 0)


def test_next_action(pipe: GenLlavaPipeline, picture: Pictures) -> None:
    one = pipe.protocol.next_action("draw a star")
    both = pipe.protocol.next_action(["draw a star", "make it red"], [None, picture(1)])
    assert both[0] == pytest.approx(one, abs=1e-4)
    assert set(both[1]) == {I2T, T2I, I2I}
    assert pipe.protocol.next_action(["draw a star"])[0] == pytest.approx(one, abs=1e-4)


@pytest.mark.parametrize("verb", ["generate", "edit", "understand"])
def test_cancelling(pipe: GenLlavaPipeline, picture: Pictures, verb: str) -> None:
    calls: dict[str, Callable[..., object]] = {
        "generate": lambda: pipe.generate("x", plan="a", cancel=lambda: True),
        "edit": lambda: pipe.edit(picture(1), "x", cancel=lambda: True),
        "understand": lambda: pipe.understand(picture(1), "x", cancel=lambda: True),
    }
    with pytest.raises(Cancelled):
        calls[verb]()
    assert pipe.counters.unet_rows == 0


def test_nan_anywhere_is_an_error(own_pipe: GenLlavaPipeline, picture: Pictures) -> None:
    assert own_pipe.generation_head is not None
    own_pipe.generation_head.project_out.weight.data[0] = torch.nan
    with pytest.raises(NonFiniteError, match="conditioning"):
        own_pipe.generate("x", plan="a red circle")
    own_pipe.decoder.vae.decoder.layers[0].weight.data[0] = torch.nan
    with pytest.raises(NonFiniteError, match="autoencoder"):
        own_pipe.generate("x", plan="a red circle", bridge="caption")


def bad_requests(pipe: GenLlavaPipeline, image: Image.Image) -> dict[str, Callable[[], object]]:
    return {
        "empty prompt": lambda: pipe.generate(" \n"),
        "nothing but a special token": lambda: pipe.generate("<s>"),
        "one that is left of what was typed": lambda: pipe.generate("<*s*>"),
        "empty list": lambda: pipe.generate([]),
        "empty question": lambda: pipe.understand(image, ""),
        "not text": lambda: pipe.generate([3]),  # type: ignore[list-item]
        "fewer pictures than questions": lambda: pipe.understand([image], ["a", "b"]),
        "one picture for a list": lambda: pipe.edit(image, ["a", "b"]),
        "an edit of nothing": lambda: pipe.edit(None, "a"),  # type: ignore[call-overload]
        "an edit of two": lambda: pipe.edit([image, image], "a"),  # type: ignore[call-overload]
        "fewer seeds than prompts": lambda: pipe.generate(["a", "b"], seed=[1]),
        "seed in words": lambda: pipe.generate("a", seed="seven"),
        "half a seed": lambda: pipe.generate("a", seed=0.5),
        "negative seed": lambda: pipe.generate("a", seed=-1),
        "huge seed": lambda: pipe.generate("a", seed=2**63),
        "fewer plans than prompts": lambda: pipe.generate(["a", "b"], plan=["a"]),
        "empty plan": lambda: pipe.generate("a", plan=" "),
        "no steps": lambda: pipe.generate("a", plan="a", num_inference_steps=0),
        "unknown bridge": lambda: pipe.generate("a", bridge="magic"),  # type: ignore[call-overload]
        "unknown option": lambda: pipe.generate("a", stepz=3),  # type: ignore[call-overload]
    }


@pytest.mark.parametrize("case", bad_requests(None, None))  # type: ignore[arg-type]
def test_bad_requests(pipe: GenLlavaPipeline, picture: Pictures, case: str) -> None:
    with pytest.raises(InvalidRequest):
        bad_requests(pipe, picture(1))[case]()


def test_no_seed_is_another_picture_each_time_and_says_which(pipe: GenLlavaPipeline) -> None:
    first, second = (pipe.generate("x", plan="a red circle") for _ in range(2))
    assert first.seed != second.seed
    assert close(pipe.generate("x", plan="a red circle", seed=first.seed).image, first.image)


def test_a_unet_that_only_draws(own_pipe: GenLlavaPipeline, build: Any, picture: Pictures) -> None:
    own_pipe.register_modules(decoder=build.decoder(unet=build.unet(in_channels=4)))
    assert own_pipe.generate("x", plan="a", seed=1).image is not None
    with pytest.raises(InvalidRequest, match="cannot edit"):
        own_pipe.edit(picture(1), "x", plan="a")


def test_results_print_in_a_line(pipe: GenLlavaPipeline) -> None:
    drawing = pipe.generate("x", plan="a red circle", seed=1)
    assert "tensor" not in repr(drawing)
    assert isinstance(drawing, Drawing)
