"""Token contexts on a cache: rows side by side, going back, and what the model may write."""

from __future__ import annotations

import random

import pytest
import torch

from genllava.errors import Cancelled, InvalidRequest, NonFiniteError
from genllava.pipeline_genllava import GenLlavaPipeline
from genllava.protocols.shapes import decoding, segments
from genllava.protocols.shapes.stream import TokenStream
from genllava.protocols.shapes.tokens import EOS, I2I, I2T, SOI, SPECIAL_TOKENS, T2I


def words(rng: random.Random, pipe: GenLlavaPipeline, count: int) -> list[int]:
    first = len(SPECIAL_TOKENS)
    return [rng.randrange(first, len(pipe.processor.tokenizer)) for _ in range(count)]


def test_ragged_rows_give_what_they_give_alone(pipe: GenLlavaPipeline) -> None:
    rng = random.Random(0)
    pieces = [[words(rng, pipe, rng.choice([0, 1, 5, 9])) for _ in range(4)] for _ in range(3)]
    pieces = [[words(rng, pipe, 3), *row] for row in pieces]
    together = TokenStream(pipe.protocol.language, 3)
    alone = [TokenStream(pipe.protocol.language) for _ in range(3)]
    for column in range(5):
        for row in range(3):
            together.append(row, pieces[row][column])
            alone[row].append(0, pieces[row][column])
        logits = together.logits()
        for row in range(3):
            assert torch.allclose(logits[row], alone[row].logits()[0], atol=1e-4)
    queries = together.query_states()
    picked = together.select([2, 0])
    for row in range(3):
        assert torch.allclose(queries[row], alone[row].query_states()[0], atol=1e-4)
    assert torch.allclose(picked.logits()[0], alone[2].logits()[0], atol=1e-4)
    picked.append_all([30, 31])
    alone[0].append(0, [30, 31])
    assert torch.allclose(picked.logits()[1], alone[0].logits()[0], atol=1e-4)
    assert len(together.ids[2]) == len(picked.ids[0]) - 2, "a selection is a stream of its own"


def test_every_token_is_read_once(pipe: GenLlavaPipeline) -> None:
    stream = TokenStream(pipe.protocol.language)
    stream.append(0, list(range(20, 30)))
    stream.logits()
    stream.logits()
    assert pipe.counters.prefilled_tokens == 10
    decoding.write(stream, stops=[], max_tokens=5)
    stream.append(0, [40, 41, 42])
    stream.logits()
    counters = pipe.counters
    assert counters.prefilled_tokens + counters.decoded_tokens == len(stream.ids[0]) == 18
    assert counters.prefilled_tokens == 10 + 3 + 1  # the last one written is read with what follows


def test_going_back_reads_nothing_again(pipe: GenLlavaPipeline) -> None:
    stream = TokenStream(pipe.protocol.language)
    stream.append(0, list(range(20, 30)))
    before = stream.logits()
    mark = stream.mark()
    stream.append(0, [50, 51])
    stream.logits()
    stream.rollback(mark)
    pipe.counters.reset()
    assert torch.equal(stream.logits(), before)
    assert pipe.counters.prefilled_tokens == pipe.counters.decoded_tokens == 0
    stream.append(0, [60])
    again = stream.logits()
    stream.release()
    assert torch.allclose(stream.logits(), again, atol=1e-4)
    late = stream.mark()
    stream.append(0, [61])
    stream.rollback(mark)
    assert torch.allclose(stream.logits(), before, atol=1e-4)
    assert late.length == 11


def test_a_text_has_no_special_tokens_and_ends_before_a_stop(pipe: GenLlavaPipeline) -> None:
    language = pipe.protocol.language
    stream = TokenStream(language, 2)
    stream.append(0, [20, 21])
    stream.append(1, [22])
    stops = [language.id(EOS), language.id(I2T)]
    texts = decoding.write(
        stream,
        stops=stops,
        max_tokens=40,
        temperature=3.0,
        generators=[torch.Generator().manual_seed(row) for row in range(2)],
    )
    special = {language.id(token) for token in SPECIAL_TOKENS}
    for row, text in enumerate(texts):
        assert 1 <= len(text) <= 40
        assert not special & set(text)
        assert stream.ids[row][-len(text) :] == text


def test_texts_of_unequal_length_are_what_they_are_alone(pipe: GenLlavaPipeline) -> None:
    """Rows that have ended are set aside while the others go on, and are all together again after it."""
    rng = random.Random(3)
    beginnings = [words(rng, pipe, count) for count in (4, 9, 5, 7, 12, 4, 6, 8)]
    stops = words(rng, pipe, 60)
    together = TokenStream(pipe.protocol.language, len(beginnings))
    for row, ids in enumerate(beginnings):
        together.append(row, ids)
    texts = decoding.write(together, stops=stops, max_tokens=40)
    assert len({len(text) for text in texts}) > 3, "they should end at different times"
    alone = []
    for ids, text in zip(beginnings, texts, strict=True):
        stream = TokenStream(pipe.protocol.language)
        stream.append(0, ids)
        assert decoding.write(stream, stops=stops, max_tokens=40) == [text]
        alone.append(stream)
    assert together.ids == [stream.ids[0] for stream in alone]
    more = words(rng, pipe, 3)
    for fresh in ([], more):
        together.append_all(fresh)
        logits = together.logits()
        for row, stream in enumerate(alone):
            stream.append(0, fresh)
            assert torch.allclose(logits[row], stream.logits()[0], atol=1e-4)


def test_choices_are_probabilities(pipe: GenLlavaPipeline) -> None:
    stream = TokenStream(pipe.protocol.language, 2)
    stream.append_all([20, 21])
    rows = segments.task_probabilities(stream, [(I2T, T2I), (I2T, T2I, I2I, EOS)])
    assert [set(row) for row in rows] == [{I2T, T2I}, {I2T, T2I, I2I, EOS}]
    for row in rows:
        assert sum(row.values()) == pytest.approx(1)
        assert list(row.values()) == sorted(row.values(), reverse=True)


def test_an_edit_can_only_name_pictures_that_exist(pipe: GenLlavaPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "MAX_PLAN_TOKENS", 8)
    rng = random.Random(1)
    named = set()
    for _ in range(30):
        stream = TokenStream(pipe.protocol.language)
        stream.append(0, words(rng, pipe, 6))
        (plan,) = segments.write_plans(stream, I2I, [2, 7, 12], [0], 0.7)
        assert plan.source in (2, 7, 12)
        assert not plan.text.startswith("image")
        assert plan.text
        assert stream.ids[0][-1] == pipe.protocol.language.id(SOI)
        named.add(plan.source)
    assert len(named) > 1


def test_writing_can_be_cancelled(pipe: GenLlavaPipeline) -> None:
    stream = TokenStream(pipe.protocol.language)
    stream.append(0, [20])
    with pytest.raises(Cancelled):
        segments.write_answers(stream, cancel=lambda: len(stream.ids[0]) > 2)
    assert len(stream.ids[0]) <= 5


def test_nan_in_the_language_model_is_an_error(own_pipe: GenLlavaPipeline) -> None:
    own_pipe.vlm.lm_head.weight.data[3] = torch.nan
    with pytest.raises(NonFiniteError):
        own_pipe.understand(None, "how many?")


def test_a_context_that_is_too_long_is_refused(pipe: GenLlavaPipeline) -> None:
    with pytest.raises(InvalidRequest, match="too long"):
        pipe.understand(None, "red " * 5000)
