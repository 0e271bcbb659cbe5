"""Conversations: the same words with and without the cache, nothing done twice, and ways back."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from genllava.errors import Cancelled, ImageRejected, InvalidRequest, NonFiniteError
from genllava.pipeline_genllava import GenLlavaPipeline
from genllava.pipeline_output import Drawing
from genllava.protocols.shapes import painting, segments
from genllava.protocols.shapes.conversation import Conversation
from genllava.protocols.shapes.tokens import EOI, EOS, I2I, I2T, IMAGE, SEEN, T2I

Pictures = Callable[..., Image.Image]
REQUESTS = [
    "make the circle green",
    "how many shapes are there?",
    "Draw a red star, then tell me more",
    "so what",
]


@pytest.fixture(autouse=True)
def short_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "MAX_SEEN_TOKENS", 6)
    monkeypatch.setattr(segments, "MAX_ANSWER_TOKENS", 6)
    monkeypatch.setattr(segments, "MAX_PLAN_TOKENS", 6)


def without_unet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw noise that depends on the conditioning, quickly: what is tested is the stream, not the picture."""

    def paint(pipeline: Any, plans: Any, states: torch.Tensor, sources: Any, seeds: Any, *_: Any) -> list[Drawing]:
        key = int(states.abs().sum() * 100) % 2**31
        pixels = np.random.default_rng(key).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        latents = torch.zeros(4, 4, 4)
        return [Drawing(Image.fromarray(pixels), None, plans[0].text, seeds[0], plans[0].source, latents)]

    monkeypatch.setattr(painting, "paint", paint)


def converse(pipe: GenLlavaPipeline, seed: int, pictures: Pictures, reuse: bool) -> list[int]:
    """A random conversation; without `reuse` the whole of it is read again before every segment."""
    rng = random.Random(seed)
    chat = pipe.conversation()
    for _ in range(rng.randint(1, 3)):
        shown = [pictures(rng.randrange(20)) for _ in range(rng.choice([0, 0, 1, 2]))]
        chat.add_user(rng.choice(REQUESTS), shown)
        for _ in range(rng.randint(1, 3)):
            if not reuse:
                chat.release()
            action = next(iter(chat.next_action()))
            if action == EOS:
                break
            if action == I2T:
                chat.answer()
            else:
                chat.draw(action, seed=rng.randrange(100))
        if rng.random() < 0.3:
            mark = chat.mark()
            chat.add_user(rng.choice(REQUESTS))
            chat.answer()
            chat.rollback(mark)
        chat.end_turn()
    return chat.ids
@pytest.mark.slow
def test_the_same_tokens_with_and_without_the_cache(
    own_pipe: GenLlavaPipeline, picture: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_unet(monkeypatch)
    pipe = own_pipe.to(torch.float64)  # in single precision random weights come to ties, and those fall either way
    kinds = set()
    for seed in range(200):
        cached = converse(pipe, seed, picture, reuse=True)
        assert cached == converse(pipe, seed, picture, reuse=False), f"conversation {seed}"
        kinds |= set(cached)
    assert set(map(pipe.protocol.language.id, (I2T, T2I, I2I, IMAGE, EOI, EOS))) <= kinds


def test_a_turn_reads_only_what_is_new(pipe: GenLlavaPipeline, picture: Pictures) -> None:
    chat = pipe.conversation()
    before = 0
    for turn in range(4):
        pipe.counters.reset()
        length = len(chat.ids)
        chat.add_user(REQUESTS[turn], [picture(turn)] if turn % 2 == 0 else [])
        new = len(chat.ids) - length - pipe.counters.decoded_tokens  # what it wrote was not given to it to read
        chat.next_action()
        assert pipe.counters.prefilled_tokens <= new + before + 1
        chat.answer()
        length = len(chat.ids)
        chat.draw(T2I, plan="a red star", seed=1)
        chat.end_turn()
        written = chat.ids[length:]
        before = len(written) - written.index(pipe.protocol.language.id(EOI))  # the picture waits for the next turn
    chat.next_action([I2T])
    pipe.counters.reset()
    fresh = pipe.conversation()
    fresh.ask("x", max_segments=3, seed=1)
    fresh.next_action()
    assert pipe.counters.prefilled_tokens + pipe.counters.decoded_tokens == len(fresh.ids)


def test_every_distinct_picture_is_seen_once(pipe: GenLlavaPipeline, picture: Pictures) -> None:
    chat = pipe.conversation()
    for number in range(3):
        chat.add_user("what is this?", [picture(1), picture(2)])
        chat.answer()
        chat.end_turn()
        assert pipe.counters.image_encodes == 2, number
    chat.draw(T2I, plan="a star", seed=1)
    assert pipe.counters.image_encodes == 3
    drawn = chat.pictures[-1].image
    chat.add_user("and this?", [drawn])
    assert pipe.counters.image_encodes == 3
    assert len(chat.pictures) == 8


def test_chained_edits_use_the_latents(pipe: GenLlavaPipeline, picture: Pictures) -> None:
    chat = pipe.conversation()
    chat.add_user("draw and change it")
    drawing = chat.draw(T2I, plan="a star", seed=1)
    edited = chat.draw(I2I, plan="a red star", seed=2)
    again = chat.draw(I2I, plan="image 1: a blue star", seed=3)
    assert [drawing.source, edited.source, again.source] == [None, 1, 1]
    assert pipe.counters.vae_encodes == 0
    chat.end_turn()
    chat.add_user("now this one", [picture(5)])
    for seed in range(2):
        assert chat.draw(I2I, plan="a circle", seed=seed).source == 4 + seed
        chat.draw(I2I, plan="image 4: a circle", seed=seed)
        break
    assert pipe.counters.vae_encodes == 1
    with pytest.raises(InvalidRequest, match="no picture 77"):
        chat.draw(I2I, plan="image 77: a circle")


def test_a_drawing_is_the_same_in_a_conversation_and_alone(
    pipe: GenLlavaPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "task_probabilities", lambda *_: [{T2I: 1.0}])
    alone = pipe.generate("draw a star", seed=4)
    chat = pipe.conversation()
    chat.add_user("draw a star")
    inside = chat.draw(T2I, seed=4)
    assert alone.plan == inside.plan
    assert np.array_equal(np.asarray(alone.image), np.asarray(inside.image))


def test_ask_runs_a_turn(pipe: GenLlavaPipeline, picture: Pictures) -> None:
    chat = pipe.conversation()
    results = chat.ask(REQUESTS[0], [picture(1)], seed=3, max_segments=2)
    assert 1 <= len(results) <= 2
    assert chat.ids[-1] == pipe.protocol.language.id(EOS)
    assert sum(results[0].task_probabilities.values()) == pytest.approx(1)
    assert EOS not in results[0].task_probabilities, "a turn has at least one segment"
    assert results[-1].seen == chat.seen
    again = pipe.conversation().ask(REQUESTS[0], [picture(1)], seed=3, max_segments=2)
    assert [type(r) for r in again] == [type(r) for r in results]


def test_once_something_is_done_the_model_ends_the_turn_or_goes_on(
    pipe: GenLlavaPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = pipe.conversation()
    chat.add_user("draw")
    chat.draw(T2I, plan="a star", seed=1)
    drawn = chat.ids
    assert chat.next_action() == {EOS: 1.0}
    assert chat.ids == drawn
    with pytest.raises(Cancelled):
        chat.next_action([I2T, I2I], cancel=lambda: True)
    assert chat.ids == drawn
    monkeypatch.setattr(segments, "goes_on", lambda _: True)
    probabilities = chat.next_action()
    assert set(probabilities) == {I2T, T2I, I2I}
    assert sum(probabilities.values()) == pytest.approx(1)
    seen = pipe.protocol.language.text(chat.ids[len(drawn) : -1])
    assert (chat.ids[-1], chat.seen) == (pipe.protocol.language.id(SEEN), seen)
    looked = chat.ids
    assert chat.next_action() == pytest.approx(probabilities, abs=1e-4)
    assert chat.ids == looked, "it looks once"


def test_a_drawing_is_looked_at_whatever_comes_next(pipe: GenLlavaPipeline) -> None:
    def looks(chat: Conversation) -> int:
        return chat.ids.count(pipe.protocol.language.id(SEEN))

    chat = pipe.conversation()
    chat.add_user("draw")
    assert looks(chat) == 1
    assert EOS not in chat.next_action()
    chat.draw(T2I, plan="a star", seed=1)
    assert chat.next_action([EOS]) == {EOS: 1.0}
    mark, other = chat.mark(), chat.branch()
    chat.answer()
    assert looks(chat) == 2
    chat.answer()
    assert looks(chat) == 3, "what it says is never taken for notes"
    assert EOS in chat.next_action()
    chat.rollback(mark)
    assert looks(chat) == 1
    chat.draw(I2I, plan="a red star", seed=1)
    assert looks(chat) == 2
    assert looks(other) == 1
    other.next_action([I2T, I2I])
    assert looks(other) == 2


def test_looking_can_be_cancelled(pipe: GenLlavaPipeline, picture: Pictures) -> None:
    chat = pipe.conversation()
    chat.add_user("hello", [picture(1)])
    chat.answer()
    chat.end_turn()
    ids, pictures, probabilities = chat.ids, list(chat.pictures), chat.next_action([I2T, T2I, I2I])
    with pytest.raises(Cancelled):
        chat.add_user("look", [picture(2)], cancel=lambda: True)
    assert (chat.ids, chat.pictures) == (ids, pictures)
    assert chat.next_action([I2T, T2I, I2I]) == pytest.approx(probabilities, abs=1e-4)
    chat.add_user("look", [picture(2)])
    assert len(chat.pictures) == 2


def test_a_fault_leaves_the_conversation_as_it_was(
    pipe: GenLlavaPipeline, picture: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = pipe.conversation()
    chat.add_user("hello", [picture(1)])
    chat.answer()
    chat.end_turn()
    ids, pictures = chat.ids, list(chat.pictures)
    probabilities = chat.next_action([I2T, T2I, I2I])
    count = iter(range(100))
    with pytest.raises(Cancelled):
        chat.ask("draw", cancel=lambda: next(count) > 3)
    assert (chat.ids, chat.pictures) == (ids, pictures)
    with pytest.raises(ImageRejected):
        chat.ask("look", [b"no picture"])
    with pytest.raises(InvalidRequest):
        chat.ask("")

    def explode(*_: object) -> None:
        raise NonFiniteError("nan")

    monkeypatch.setattr(painting, "paint", explode)
    chat.add_user("draw")
    before = chat.ids
    with pytest.raises(NonFiniteError):
        chat.draw(T2I, plan="a star")
    assert chat.ids == before
    chat.rollback(chat.mark())
    chat2 = pipe.conversation()
    chat2.add_user("hello", [picture(1)])
    chat2.answer()
    chat2.end_turn()
    assert chat2.next_action([I2T, T2I, I2I]) == pytest.approx(probabilities, abs=1e-4)


def test_a_fault_inside_the_language_model_leaves_no_token_half_read(
    own_pipe: GenLlavaPipeline, picture: Pictures
) -> None:
    chat = own_pipe.conversation()
    chat.add_user("hello", [picture(1)])
    chat.answer()
    chat.end_turn()
    ids, probabilities = chat.ids, chat.next_action([I2T, T2I, I2I])

    def explode(*_: object) -> None:
        raise KeyboardInterrupt

    layer = own_pipe.vlm.model.language_model.layers[-1]
    hook = layer.register_forward_pre_hook(explode)
    with pytest.raises(KeyboardInterrupt):
        chat.ask("and now?", picture(2))
    hook.remove()
    assert (chat.ids, len(chat.pictures)) == (ids, 1)
    assert chat.next_action([I2T, T2I, I2I]) == pytest.approx(probabilities, abs=1e-5)


def test_a_pipeline_without_a_head_draws_in_conversations_too(own_pipe: GenLlavaPipeline, build: Any) -> None:
    pipe = build.rebuilt(own_pipe, generation_head=None, num_inference_steps=1, bridge="caption")
    chat = pipe.conversation()
    chat.add_user("draw")
    assert chat.draw(T2I, plan="a star").image is not None
    with pytest.raises(InvalidRequest, match="no generation head"):
        chat.draw(T2I, plan="a star", bridge="head")


def test_one_picture_needs_no_list(pipe: GenLlavaPipeline, picture: Pictures, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    picture(1).save(path)
    for given in (picture(1), str(path), path, [path]):
        chat = pipe.conversation()
        chat.add_user("look", given)
        assert len(chat.pictures) == 1


def test_branches_do_not_disturb_each_other(pipe: GenLlavaPipeline, picture: Pictures) -> None:
    chat = pipe.conversation()
    chat.add_user("hello", [picture(1)])
    chat.answer()
    chat.end_turn()
    pipe.counters.reset()
    other = chat.branch()
    ids = chat.ids
    other.add_user("go on", [picture(1)])
    branch_answer = other.answer()
    assert chat.ids == ids
    assert len(chat.pictures) == 1
    assert pipe.counters.image_encodes == 0
    assert pipe.counters.prefilled_tokens < 30
    chat.add_user("go on", [picture(1)])
    assert chat.answer().text == branch_answer.text
    assert chat.ids == other.ids


def test_what_cannot_be_done(pipe: GenLlavaPipeline) -> None:
    chat = pipe.conversation()
    chat.add_user("draw")
    with pytest.raises(InvalidRequest, match="no picture"):
        chat.draw(I2I)
    with pytest.raises(InvalidRequest, match="not a drawing"):
        chat.draw(I2T)
    assert I2I not in chat.next_action()


def test_after_its_cache_is_given_back_a_conversation_goes_on(pipe: GenLlavaPipeline, picture: Pictures) -> None:
    chat, other = pipe.conversation(), pipe.conversation()
    for one in (chat, other):
        for seed in range(3):
            one.add_user("look", picture(seed))
            one.end_turn()
    chat.release()
    pipe.counters.reset()
    assert chat.next_action([I2T, T2I, I2I]) == pytest.approx(other.next_action([I2T, T2I, I2I]), abs=1e-4)
    assert pipe.counters.image_encodes == 0
