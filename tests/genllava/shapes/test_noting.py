"""What is noted of pictures fits together: they exist, are described once, and in the same words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from genllava import GenLlavaPipeline
from genllava.protocols.shapes import layout
from genllava.protocols.shapes.language import LanguageModel
from genllava.protocols.shapes.noting import Notes, noted_captions
from genllava.protocols.shapes.tokens import BOS, EOS, I2I, SEEN, SOI, USER_START
from genllava_finetune.worlds.shapes.render import render
from genllava_finetune.worlds.shapes.scene import Scene, Thing

RED, BLUE = "at the top a large red circle, on white", "at the left a small blue star, on black"


@pytest.fixture(scope="module")
def shipped() -> GenLlavaPipeline:
    """The model that ships: its tokenizer knows the words."""
    return GenLlavaPipeline.from_pretrained()


@pytest.fixture
def language(shipped: GenLlavaPipeline) -> LanguageModel:
    return shipped.protocol.language


def write(language: LanguageModel, notes: Notes, text: str) -> str:
    """Put words down as the model would, and what can only come next after them; returns all of it."""
    ids = layout.text_ids(language.tokenizer, text)
    for token in ids:
        allowed = notes.allowed()
        assert token in allowed if allowed else token not in notes.barred(), language.tokenizer.decode([token])
        notes.advance(token)
    while len(notes.allowed()) == 1:
        (token,) = notes.allowed()
        ids.append(token)
        notes.advance(token)
    return language.text(ids)


def choices(language: LanguageModel, notes: Notes) -> set[str]:
    return {language.tokenizer.decode([token]).strip() for token in notes.allowed()}


def test_a_picture_that_was_described_is_described_in_the_same_words(language: LanguageModel) -> None:
    notes = Notes(language, [1, 2, 3], {1: RED, 3: BLUE}, [1, 3])
    assert write(language, notes, "image 1") == f"image 1: {RED}"
    assert write(language, notes, "image 2:") == "image 2:", "nothing is known of it: the model looks"
    notes.advance(layout.text_ids(language.tokenizer, "on")[0])
    assert write(language, notes, "image") == f"image 3: {BLUE}", "the others were described in these notes"


def test_a_picture_that_does_not_exist_is_not_described(language: LanguageModel) -> None:
    (image,) = layout.text_ids(language.tokenizer, "image")
    assert image in Notes(language, [], {}, []).barred()
    notes = Notes(language, [2], {}, [])
    assert write(language, notes, "image") == "image 2:"
    assert image in notes.barred(), "there is no other"


def test_what_is_noted_is_noted_of_the_picture_described_last(language: LanguageModel) -> None:
    notes = Notes(language, [1, 2, 3], {1: RED, 2: BLUE}, [1, 2])
    assert write(language, notes, "in image") == "in image 2,"
    assert layout.text_ids(language.tokenizer, "image")[0] in notes.barred(), "what follows is of that picture"
    notes = Notes(language, [1, 2, 3], {1: RED, 2: BLUE}, [1, 2])
    write(language, notes, "image 1")
    assert write(language, notes, "in image") == "in image 1,"
    undescribed = Notes(language, [3], {}, [])
    assert write(language, undescribed, "in image") == "in image 3,", "where none was, any that can be seen"


def test_which_picture_gives_to_which_is_kept_to(language: LanguageModel) -> None:
    captions = {1: RED, 2: BLUE, 3: RED, 4: BLUE}
    notes = Notes(language, [1, 2, 3, 4], captions, [1, 2])
    assert write(language, notes, "from image 4") == "from image 4 to image"
    assert choices(language, notes) == {"1", "2", "3"}, "it gives nothing to itself"
    notes.advance(language.tokenizer.convert_tokens_to_ids("2"))
    said = write(language, notes, "")
    assert said == f"image 3: {RED} image 4: {BLUE} image 2: {BLUE}", "new ones first, and what is changed last"
    assert write(language, notes, "in image") == "in image 2,"
    assert write(language, notes, "background: image") == "background: image 4,"


def test_with_new_pictures_the_pair_still_comes_last(language: LanguageModel) -> None:
    notes = Notes(language, [1, 2], {}, [])
    assert write(language, notes, "from image 2 to image 1") == "from image 2 to image 1 image 2:"
    within = layout.text_ids(language.tokenizer, "in")[0]
    assert {within, language.id(SEEN), language.id(USER_START)} <= notes.barred(), "the other one is described first"
    assert write(language, notes, f"{BLUE} image") == f"{BLUE} image 1:"
    assert within not in notes.barred()


def test_captions_are_found_in_notes_alone(language: LanguageModel) -> None:
    t, end = language.tokenizer, language.id(EOS)
    ids = [language.id(BOS), *layout.user_turn(t, f"image 2: {BLUE}", [1], 4)]
    ids += layout.seen(t, f"image 1: {RED} image 2: {BLUE} in image 2, star: at the left a small blue star")
    ids += [language.id(I2I), *layout.text_ids(t, f"image 1: {BLUE}"), language.id(SOI), end]
    ids += layout.user_turn(t, "make it red", [], 4)
    ids += layout.text_ids(t, f"image 12: {RED} in image 12, star: nothing then: {BLUE}")
    ids += layout.user_turn(t, "add a star", [], 4)
    ids += layout.seen(t, "in image 12, shape: nothing")
    assert noted_captions(language, ids) == [(1, RED), (2, BLUE), (12, RED)]


def test_captions_are_found_after_a_drawing_that_nobody_asked_for(language: LanguageModel) -> None:
    t = language.tokenizer
    ids = [language.id(BOS), *layout.user_turn(t, "draw a star", [], 4), *layout.seen(t, "")]
    ids += [*layout.plan(t, "[T2I]", BLUE), *layout.drawing(t, 2), *layout.picture(t, 1, 4)]
    ids += [*layout.seen(t, f"image 1: {BLUE}"), *layout.answer(t, f"image 1: {RED}")]
    assert noted_captions(language, ids) == [(1, BLUE)]


def test_what_is_known_is_told_of_a_picture_that_cannot_be_seen(language: LanguageModel) -> None:
    notes = Notes(language, [3], {1: RED, 3: BLUE}, [3])
    write(language, notes, "image")
    assert choices(language, notes) == {"1", "3"}
    notes.advance(language.tokenizer.convert_tokens_to_ids("1"))
    assert write(language, notes, "") == f": {RED}"
    assert write(language, notes, "in image") == "in image 1,"
    notes = Notes(language, [3], {1: RED, 3: BLUE}, [3])
    assert write(language, notes, "from image 1 to image") == f"from image 1 to image 3 image 1: {RED} image 3: {BLUE}"


def test_what_is_known_of_a_picture_is_noted_and_not_looked_at_again(shipped: GenLlavaPipeline) -> None:
    drawing = shipped.generate("a large red circle", plan="at the center a large red circle, on white", seed=0)
    counters, taken = shipped.counters, []
    for caption in ("", BLUE):
        chat = shipped.conversation()
        counters.reset()
        chat.add_user("how many shapes are there?", replace(drawing, caption=caption))
        assert chat.seen.startswith(f"image 1: {caption or 'at the center a large red circle, on white'}")
        assert counters.prefilled_tokens + counters.decoded_tokens == len(chat) - chat.unread
        taken.append(counters.decoded_tokens)
    assert taken[1] < taken[0] - 8, "words that are known are read, and not written one by one"
    chat.add_user("what colour is it?", drawing)
    chat.add_user("what was the star in image 1?")
    assert f"image 1: {BLUE} in image 1," in chat.seen, "described again in the same words"


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("how many shapes are in image 1?", "two"),
        ("what is the background of image 1?", "black"),
        ("what colour is the background of the first picture?", "black"),
        ("count the shapes in image 1", "two"),
        ("what is the background of image 2?", "white"),
        ("what colour is the background?", "white"),
    ],
)
def test_a_picture_that_is_named_is_what_is_asked_about(shipped: GenLlavaPipeline, question: str, answer: str) -> None:
    chat = shipped.conversation()
    for background, things in (
        ("black", (Thing(3, "star", "blue", "small"), Thing(8, "cross", "cyan", "large"))),
        ("white", (Thing(4, "circle", "red", "large"),)),
    ):
        chat.ask("what do you see?", render(Scene(background, things)))
    (said,) = chat.ask(question)
    assert answer in (said.text or "").lower()


def test_named_last(shipped: GenLlavaPipeline) -> None:
    language = shipped.protocol.language
    image, seen = layout.text_ids(language.tokenizer, "image")[0], language.id(SEEN)
    for named, described, first in (([1], [1, 2], 1), ([1], [2], 1), ([1], [2, 1], None), ([1, 2], [1, 2], None)):
        notes = Notes(language, [1, 2], {1: RED, 2: BLUE}, described, named)
        assert (seen in notes.barred()) == (first is not None)
        notes.advance(image)
        if first is not None:
            assert notes.allowed() == {layout.text_ids(language.tokenizer, f"image {first}")[1]}
    assert seen not in Notes(language, [1, 2], {1: RED}, [1, 2], [7]).barred(), "there is no such picture"


def test_the_same_is_noted_when_everything_is_read_again(shipped: GenLlavaPipeline) -> None:
    drawing = shipped.generate("a small blue star", plan=BLUE, seed=0)
    chat = shipped.conversation()
    chat.add_user("how many shapes are there?", [replace(drawing, caption=BLUE), replace(drawing, caption=RED)])
    chat.answer()
    chat.end_turn()
    again = chat.branch()
    again.release()
    for each in (chat, again):
        each.add_user("what colour is the star in image 1?")
    assert f"image 1: {BLUE} in image 1," in chat.seen
    assert again.ids == chat.ids
    assert again.next_action() == pytest.approx(chat.next_action(), abs=1e-4)


def test_a_tokenizer_without_the_words_is_left_alone(pipe: GenLlavaPipeline) -> None:
    language = pipe.protocol.language
    assert max(len(layout.text_ids(language.tokenizer, word)) for word in ("image", "in", "from")) > 1
    notes = Notes(language, [], {}, [])
    assert notes.allowed() == notes.barred() == set()
