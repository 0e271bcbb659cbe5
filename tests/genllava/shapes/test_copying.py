"""The next of several requests is a piece of the message, and comes after the pieces taken up before."""

from __future__ import annotations

import random

import pytest
import torch

from genllava import GenLlavaPipeline
from genllava.protocols.shapes import layout, segments
from genllava.protocols.shapes.copying import MAX_PASSED, NextRequest
from genllava.protocols.shapes.stream import TokenStream
from genllava.protocols.shapes.tokens import BOS, EOS, I2T, SEEN, USER_END, USER_START

MESSAGE = "draw a red star, then a red cross, then a red star on a red page"


def said(pipe: GenLlavaPipeline, text: str = MESSAGE) -> list[int]:
    language = pipe.protocol.language
    before = [language.id(BOS), *layout.user_turn(language.tokenizer, "draw a blue circle", [], 4), language.id(EOS)]
    return [*before, *layout.user_turn(language.tokenizer, text, [1, 2], language.tokens_per_image)]


def take(pipe: GenLlavaPipeline, ids: list[int], text: str) -> None:
    language = pipe.protocol.language
    copy = NextRequest(language.tokenizer, ids)
    for token in layout.text_ids(language.tokenizer, text):
        assert token in copy.allowed(), text
        copy.advance(token)
    assert language.id(USER_END) in copy.allowed()
    ids += layout.user_turn(language.tokenizer, text, [], 4)


def test_it_is_made_of_the_message_alone(pipe: GenLlavaPipeline) -> None:
    ids = said(pipe)
    copy = NextRequest(pipe.protocol.language.tokenizer, ids)
    t = pipe.protocol.language.tokenizer
    first = MESSAGE.replace(",", "").split()[: MAX_PASSED + 1]
    assert copy.allowed() == {layout.text_ids(t, word)[0] for word in first}, "nothing that is asked can be skipped"
    assert pipe.protocol.language.id(USER_END) not in copy.allowed(), "there is nothing yet"
    for token in layout.text_ids(pipe.protocol.language.tokenizer, "a red"):
        copy.advance(token)
    size = len(layout.text_ids(t, "a red"))
    following = {layout.text_ids(t, f"a red {word}")[size] for word in ("star", "cross")}
    assert copy.allowed() == {*following, pipe.protocol.language.id(USER_END)}, "all places that have these words go on"


def test_it_comes_after_what_was_taken_up_before(pipe: GenLlavaPipeline) -> None:
    language, ids = pipe.protocol.language, said(pipe)
    take(pipe, ids, "draw a red star")
    ids += [*layout.seen(language.tokenizer, "image 1: a red star"), *layout.answer(language.tokenizer, "a red star")]
    take(pipe, ids, "a red cross")
    ids += [*layout.seen(language.tokenizer, ""), *layout.answer(language.tokenizer, "no")]
    copy = NextRequest(language.tokenizer, ids)
    for token in layout.text_ids(language.tokenizer, "a red"):
        copy.advance(token)
    cross = layout.text_ids(language.tokenizer, "a red cross")
    assert cross[len(layout.text_ids(language.tokenizer, "a red"))] not in copy.allowed(), "it is done already"
    take(pipe, ids, "a red star on a red page")
    assert not NextRequest(language.tokenizer, ids).possible


def test_nothing_is_left_of_a_message_that_was_taken_as_one(pipe: GenLlavaPipeline) -> None:
    language, ids = pipe.protocol.language, said(pipe)
    assert NextRequest(language.tokenizer, ids).possible
    assert not NextRequest(language.tokenizer, [*ids, language.id(SEEN)]).possible
    answered = [*ids, language.id(SEEN), *layout.answer(language.tokenizer, "no"), language.id(EOS)]
    again = [*answered, *layout.user_turn(language.tokenizer, "draw it", [], 4)]
    assert NextRequest(language.tokenizer, again).possible, "what is asked next is another message"


def test_it_ends_between_words_and_leaves_more_than_one(pipe: GenLlavaPipeline) -> None:
    language = pipe.protocol.language
    t, end = language.tokenizer, language.id(USER_END)
    ids = [language.id(BOS), *layout.user_turn(t, "make it \U0001f600 yellowish, then say what", [], 4)]
    copy = NextRequest(t, ids)
    done: list[int] = []
    for token in layout.text_ids(t, "make it \U0001f600 yellowish"):
        rest = t.decode([*done, token]).strip()
        copy.advance(token)
        done.append(token)
        if end in copy.allowed():
            assert rest in ("make it", "make it \U0001f600", "make it \U0001f600 yellowish", "make"), "a whole word"
    assert end in copy.allowed()
    ids += layout.user_turn(t, "make it \U0001f600 yellowish, then say", [], 4)
    assert not NextRequest(t, ids).possible, "one word asks for nothing"
    assert not NextRequest(t, [language.id(BOS)]).possible, "nothing was said"


def test_what_was_not_acted_on_is_forgotten_at_the_end(pipe: GenLlavaPipeline) -> None:
    language = pipe.protocol.language
    chat = pipe.conversation()
    assert chat.left == ""
    chat.add_user("say hello, then say it again")
    chat.end_turn()
    assert chat.ids == [language.id(BOS)], "what nothing was done about was not said"
    chat.add_user("say no")
    chat.add_user("say yes")
    chat.end_turn("I will not.")
    yes = layout.user_turn(language.tokenizer, "say yes", [], 4)
    no = [*layout.seen(language.tokenizer, ""), *layout.answer(language.tokenizer, "I will not.")]
    assert chat.ids == [language.id(BOS), *yes, *no, language.id(EOS)]
    chat.add_user("say hello")
    chat.answer()
    length = len(chat)
    chat.end_turn()
    assert len(chat) == length + 1
    chat.end_turn()
    assert len(chat) == length + 1, "it is over already"
@pytest.mark.slow
def test_rows_take_up_requests_as_they_would_alone(pipe: GenLlavaPipeline) -> None:
    """Random weights choose where they begin and end; a row that is one request stays as it is."""
    rng, language = random.Random(3), pipe.protocol.language
    texts = [" ".join(rng.choices(MESSAGE.replace(",", "").split(), k=rng.randint(2, 12))) for _ in range(6)]

    def stream(*which: str) -> TokenStream:
        made = TokenStream(language, len(which))
        for row, text in enumerate(which):
            made.append(row, [language.id(BOS), *layout.user_turn(language.tokenizer, text, [], 4)])
        return made

    with torch.no_grad():
        for going_on in (True, False):
            together = stream(*texts)
            looks = segments.look(together, going_on)
            for row, text in enumerate(texts):
                alone = stream(text)
                assert segments.look(alone, going_on) == [looks[row]]
                assert alone.ids[0] == together.ids[row]
                taken = looks[row].request.split("; ") if looks[row].request else []
                assert ("; ".join(taken) and all(words in text for words in taken)) or not going_on
                assert alone.ids[0].count(language.id(USER_START)) == 1 + len(taken)
                assert alone.ids[0][-1] == language.id(SEEN)
                left, right = alone.logits()[0], together.logits()[row]
                assert left.numpy() == pytest.approx(right.numpy(), abs=1e-3)


def test_a_turn_goes_on_only_while_words_are_left(pipe: GenLlavaPipeline) -> None:
    language = pipe.protocol.language
    logits = torch.zeros(1, len(language.words))
    logits[0, language.id(USER_START)] = 1.0

    class Stream:
        def __init__(self, ids: list[int]) -> None:
            self.ids, self.language = [ids], language

        def logits(self) -> torch.Tensor:
            return logits

    ids = said(pipe, "draw a star, then say hello")
    take(pipe, ids, "draw a star")
    ids += [language.id(SEEN), language.id(I2T)]
    assert segments.goes_on(Stream(ids))  # type: ignore[arg-type]
    take(pipe, ids, "then say hello")
    assert not segments.goes_on(Stream(ids))  # type: ignore[arg-type]
    logits[0, language.id(EOS)] = 2.0
    assert not segments.goes_on(Stream(ids[: -len(layout.user_turn(language.tokenizer, "then say hello", [], 4))]))  # type: ignore[arg-type]
