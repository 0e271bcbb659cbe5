"""Training examples: the tokens of inference, learnt where the assistant speaks, and nothing that is withheld."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache
from itertools import chain

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from genllava.protocols.shapes import layout
from genllava.protocols.shapes.copying import NextRequest
from genllava.protocols.shapes.sentences import plain_sentences
from genllava.protocols.shapes.tokens import (
    BOS,
    EOI,
    EOS,
    I2I,
    I2T,
    IMAGE,
    QUERY,
    SEEN,
    SOI,
    SPECIAL_TOKENS,
    T2I,
    USER_END,
    USER_START,
)
from genllava_finetune.worlds.grammar import is_held_out_form
from genllava_finetune.worlds.shapes.conversation import sample_dialogue
from genllava_finetune.worlds.shapes.dialogue import Dialogue, Look, Step, Turn
from genllava_finetune.worlds.shapes.editing import sample_edit
from genllava_finetune.worlds.shapes.generation import sample_generation
from genllava_finetune.worlds.shapes.mixture import sample_training_dialogue
from genllava_finetune.worlds.shapes.notes import caption, in_picture, lending, then
from genllava_finetune.worlds.shapes.parser import parse
from genllava_finetune.worlds.shapes.placement import centred, settled
from genllava_finetune.worlds.shapes.plan import read_plan
from genllava_finetune.worlds.shapes.render import render_array
from genllava_finetune.worlds.shapes.scene import JITTER, Scene, Thing
from genllava_finetune.worlds.shapes.splits import RESEARCH, allowed, in_distribution, sample_scene, split_of
from genllava_finetune.worlds.shapes.tasks import sample_borrowing, sample_task
from genllava_finetune.worlds.shapes.training.dialogues import IGNORE, Encoder, as_typed, pad
from genllava_finetune.worlds.shapes.training.language_tokenizer import token_ids, train_tokenizer
from genllava_finetune.worlds.shapes.understanding import sample_question

TOKENS_PER_IMAGE, QUERIES = 4, 3


@cache
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(0, dialogues=400)


def encoder() -> Encoder:
    return Encoder(tokenizer(), TOKENS_PER_IMAGE, QUERIES)


def looks(turn: Turn) -> list[tuple[Look, list[Step]]]:
    """The looks of a turn, and the step after each."""
    steps = iter(turn.steps)
    return [(look, [] if look.planned else [next(steps)]) for look in turn.looks]


def captions(t: PreTrainedTokenizerFast, dialogue: Dialogue) -> tuple[list[list[int]], list[list[int]]]:
    """Of pictures described for the first time, and of those described again since another was described after them."""
    scenes: list[Scene] = []
    first: dict[int, list[int]] = {}
    again: list[list[int]] = []
    last: list[int] = []
    for turn in dialogue.turns:
        scenes += turn.images
        for look, steps in looks(turn):
            texts = {k: layout.text_ids(t, caption(k, scene)) for k, scene in enumerate(scenes, 1)}
            new = [number for number in texts if number not in first]
            first |= {number: texts[number] for number in new}
            needed = [number for number in (look.beside, look.about) if number is not None]
            if needed and (look.beside is not None or [*last, *new][-len(needed) :] != needed):
                again += [texts[number] for number in needed if number not in new]
                last = needed
            else:
                last = [*last, *new]
            scenes += [step.target for step in steps if step.target is not None]
    return list(first.values()), again


def test_a_drawing_is_laid_out_as_in_inference() -> None:
    rng = random.Random(0)
    turn = sample_generation(rng, "train", "train", withhold=RESEARCH)
    example = encoder().encode(rng, Dialogue((turn,)))
    (plan,) = example.plans
    t = tokenizer()
    bos, eos = token_ids(t, BOS, EOS)
    expected = [
        bos,
        *layout.user_turn(t, turn.user, [], TOKENS_PER_IMAGE),
        *layout.seen(t, ""),
        *layout.plan(t, T2I, plan),
        *layout.drawing(t, QUERIES),
        *layout.picture(t, 1, TOKENS_PER_IMAGE),
        eos,
    ]
    assert example.ids == expected
    ((source, drawn),) = example.drawings
    assert source is None
    assert parse(drawn).scene == read_plan(plan) == turn.steps[0].target


def test_what_is_seen_is_written_before_it_is_talked_about() -> None:
    rng, t = random.Random(6), tokenizer()
    scene = sample_scene(rng, "train", withhold=RESEARCH)
    first, second = (sample_question(rng, scene, "train", withhold=RESEARCH) for _ in range(2))
    example = encoder().encode(rng, Dialogue((replace(first, images=(scene,)), second)))
    bos, eos = token_ids(t, BOS, EOS)
    assert example.ids == [
        bos,
        *layout.user_turn(t, first.user, [1], TOKENS_PER_IMAGE),
        *layout.text_ids(t, caption(1, scene)),
        *layout.seen(t, in_picture(1, first.looks[0].notes)),
        *layout.answer(t, first.steps[0].text),
        eos,
        *layout.user_turn(t, second.user, [], TOKENS_PER_IMAGE),
        *layout.seen(t, in_picture(1, second.looks[0].notes)),
        *layout.answer(t, second.steps[0].text),
        eos,
    ]


def test_the_picture_that_is_asked_about_is_described_last() -> None:
    rng, t = random.Random(8), tokenizer()
    scenes = [sample_scene(rng, "train", withhold=RESEARCH) for _ in range(3)]
    captioned = [layout.text_ids(t, caption(number, scene)) for number, scene in enumerate(scenes, 1)]
    shown = [tuple(scenes[:2]), (), (scenes[2],), ()]
    turns = [
        replace(sample_question(rng, scenes[about - 1], "train", withhold=RESEARCH).of(about), images=images)
        for about, images in zip((1, 1, 2, 3), shown, strict=True)
    ]
    example = encoder().encode(rng, Dialogue(tuple(turns)))
    (eos,) = token_ids(t, EOS)
    looks = [[captioned[1], captioned[0]], [], [captioned[2], captioned[1]], [captioned[2]]]
    learnt = []
    for turn, described in zip(turns, looks, strict=True):
        learnt += [*chain(*described), *layout.seen(t, in_picture(turn.about, turn.looks[0].notes))]
        learnt += [*layout.answer(t, turn.steps[0].text), eos]
    assert [label for label in example.labels if label != IGNORE] == learnt


def test_a_drawing_is_looked_at_before_the_turn_goes_on() -> None:
    rng, t = random.Random(0), tokenizer()
    (eos,) = token_ids(t, EOS)
    turn = sample_generation(rng, "train", "train", withhold=RESEARCH)
    while [step.target is None for step in turn.steps] != [False, True]:
        (turn,) = sample_dialogue(rng, "train", "train", turns=1, withhold=RESEARCH).turns
    (first, second), (_, look) = turn.steps, turn.looks
    assert first.target is not None
    shown = len(turn.images)
    (_, asked) = as_typed(turn.user, turn.asked)
    assert asked in turn.user.lower()
    added = [
        *layout.user_turn(t, asked, [], TOKENS_PER_IMAGE),
        *layout.text_ids(t, caption(shown + 1, first.target)),
        *layout.seen(t, in_picture(look.about, look.notes)),
        *layout.answer(t, second.text),
    ]
    assert look.about == shown + 1
    example = encoder().encode(rng, Dialogue((turn,)))
    assert example.ids[-len(added) - 1 :] == [*added, eos]
    assert [label for label in example.labels if label != IGNORE][-len(added) - 1 :] == [*added, eos]


def test_of_two_changes_the_first_is_planned_and_the_second_goes_on_from_there() -> None:
    rng, t = random.Random(3), tokenizer()
    bos, end = token_ids(t, BOS, SEEN)
    for _ in range(20):
        scene, turn = sample_scene(rng, "train", withhold=RESEARCH), None
        while turn is None:
            scene = sample_scene(rng, "train", withhold=RESEARCH)
            turn = sample_edit(rng, scene, 1, "train", "train", kinds=("recolor", "add"), withhold=RESEARCH)
        one, other = as_typed(turn.user, turn.asked)
        (first, second), (step,) = turn.looks, turn.steps
        between = read_plan(first.planned)
        assert between is not None
        assert step.target is not None
        assert len(between.things) == len(scene.things) < len(step.target.things), "recoloured, and nothing added yet"
        assert not second.planned
        told = encoder().tell(rng, Dialogue((replace(turn, images=(scene,)),)))
        expected = [
            bos,
            *layout.user_turn(t, turn.user, [1], 0),
            *layout.user_turn(t, one, [], 0),
            *layout.text_ids(t, caption(1, scene)),
            *layout.text_ids(t, in_picture(1, first.notes)),
            *layout.text_ids(t, then(first.planned)),
            *layout.user_turn(t, other, [], 0),
            *layout.text_ids(t, in_picture(1, second.notes)),
            end,
            *layout.plan(t, I2I, step.text),
        ]
        assert told.ids[: len(expected)] == expected


def test_what_lends_its_background_is_noted_first_and_described_before_what_gets_it() -> None:
    rng, t = random.Random(5), tokenizer()
    end, asked = token_ids(t, SEEN, USER_END)
    for _ in range(20):
        dialogue = sample_borrowing(rng, withhold=RESEARCH)
        told = encoder().tell(rng, dialogue).ids
        scenes = [*dialogue.turns[0].images, *(turn.steps[0].target for turn in dialogue.turns)]
        ends = [at for at, token in enumerate(told) if token == end]
        for turn, at in zip(dialogue.turns, ends, strict=True):
            (look,) = turn.looks
            assert look.beside is not None
            assert look.about == turn.steps[0].source != look.beside
            lender, about = scenes[look.beside - 1], scenes[look.about - 1]
            assert lender is not None
            assert about is not None
            captions = [caption(look.beside, lender), caption(look.about, about)]
            before = [*chain(*(layout.text_ids(t, text) for text in captions))]
            before += layout.text_ids(t, in_picture(look.about, look.notes))
            assert told[at - len(before) : at] == before
            begin = at - told[:at][::-1].index(asked)
            roles = layout.text_ids(t, f"from image {look.beside} to image {look.about}")
            assert told[begin : begin + len(roles)] == roles
            assert turn.steps[0].target == replace(about, background=lender.background)


def test_of_several_requests_each_is_taken_up_before_its_step() -> None:
    rng, t = random.Random(9), tokenizer()
    (eos,) = token_ids(t, EOS)
    for _ in range(60):
        (turn,) = sample_task(rng, "train", "train", turns=1, withhold=RESEARCH).turns
        told = encoder().tell(rng, Dialogue((turn,)))
        copies = [layout.user_turn(t, text, [], 0) for text in as_typed(turn.user, turn.asked)]
        learnt = [label for label in told.labels if label != IGNORE]
        place = 0
        for copy, step in zip(copies, turn.steps, strict=True):
            place += [learnt[i : i + len(copy)] for i in range(place, len(learnt))].index(copy) + len(copy)
            done = token_ids(t, SOI if step.target is not None else I2T)[0]
            place += learnt[place:].index(done)
        outline = encoder().outline(Dialogue((turn,)))
        wanted: list[int] = []
        for copy, look in zip(copies, turn.looks, strict=True):
            wanted += copy + (layout.text_ids(t, lending(look.beside, look.about or 0)) if look.beside else [])
        assert [label for label in outline.labels if label != IGNORE] == [*wanted, eos]


def test_an_outline_numbers_the_pictures_and_tells_nothing_of_them() -> None:
    rng, t = random.Random(14), tokenizer()
    for _ in range(20):
        dialogue = sample_borrowing(rng, withhold=RESEARCH)
        outline, written = encoder().outline(dialogue), ""
        count = 0
        for turn in dialogue.turns:
            numbers = range(count + 1, count + len(turn.images) + 1)
            count += len(turn.images) + 1
            (look,) = turn.looks
            said = "".join(f"image {number} " for number in numbers) + layout.normalize_user_text(turn.user)
            written += f"[INST] {said} [/INST] from image {look.beside} to image {look.about} image {count} </s> "
        tokens = t.decode(outline.ids[1:], clean_up_tokenization_spaces=False)
        assert "".join(tokens.split()) == "".join(written.split())


def test_what_the_model_is_taught_is_read_as_it_is() -> None:
    rng = random.Random(0)
    dialogues = [sample_training_dialogue(rng, withhold=RESEARCH) for _ in range(2000)]
    said = [" ".join(turn.user.split()) for dialogue in dialogues if dialogue for turn in dialogue.turns]
    assert len(said) > 2000
    assert [plain_sentences(text) for text in said] == said


def test_every_request_can_be_taken_up_in_the_words_of_its_message() -> None:
    rng, t = random.Random(12), tokenizer()
    begin, user, end = token_ids(t, BOS, USER_START, USER_END)
    misspelt = 0
    for _ in range(300):
        forms = rng.choice(("train", "held_out"))
        for turn in sample_task(rng, "train", forms, withhold=RESEARCH).turns:
            ids = [begin, *layout.user_turn(t, turn.user, [1], 4)]
            typed = as_typed(turn.user, turn.asked)
            misspelt += sum(text not in asked.lower() for text, asked in zip(typed, turn.asked, strict=True))
            for text in typed:
                copy = NextRequest(t, ids)
                assert copy.possible
                words = layout.text_ids(t, text)
                for token in words:
                    assert token in copy.allowed()
                    copy.advance(token)
                assert end in copy.allowed()
                ids += [user, *words, end]
    assert misspelt > 5


def test_a_request_that_its_message_does_not_have() -> None:
    assert as_typed("Draw a star, then mkae it red!", ["draw a star", "make it red"]) == ["draw a star", "mkae it red"]
    with pytest.raises(ValueError, match="a circle"):
        as_typed("draw a star and a cross", ["draw a star", "draw a circle"])


def test_blanks_hide_only_what_the_assistant_says() -> None:
    rng, t = random.Random(10), tokenizer()
    hidden = 0
    for _ in range(30):
        example = encoder().encode(rng, sample_task(rng, "train", "train", withhold=RESEARCH))
        blanked = encoder().blank(rng, example)
        assert blanked.labels == example.labels
        for before, after, label in zip(example.ids, blanked.ids, example.labels, strict=True):
            assert after == before or (label != IGNORE and after == t.pad_token_id)
            assert after == before or before not in token_ids(t, *SPECIAL_TOKENS)
            hidden += after != before
    assert hidden > 30


def test_what_is_told_needs_no_eyes() -> None:
    """A dialogue that is told has the words of one that is shown, and nothing that a picture would have to give."""
    t = tokenizer()
    eyes = set(token_ids(t, IMAGE, QUERY))
    for seed in range(50):
        dialogue = sample_training_dialogue(random.Random(seed), withhold=RESEARCH)
        if dialogue is None:
            continue
        shown = encoder().encode(random.Random(seed), dialogue)
        told = encoder().tell(random.Random(seed), dialogue)
        assert told.ids == [token for token in shown.ids if token not in eyes]
        assert not told.pictures
        assert not told.plans
        learnt = [sum(label != IGNORE for label in example.labels) for example in (shown, told)]
        first, _ = captions(t, dialogue)
        blind = [len(layout.text_ids(t, f"image {number}:")) for number in range(1, len(first) + 1)]
        assert learnt[0] - learnt[1] == sum(map(len, first)) - sum(blind)


def test_only_what_the_assistant_says_is_learnt() -> None:
    rng, t = random.Random(1), tokenizer()
    never = set(token_ids(t, IMAGE, QUERY, EOI, BOS))
    (end,) = token_ids(t, SEEN)
    for _ in range(100):
        dialogue = sample_training_dialogue(rng, withhold=RESEARCH)
        if dialogue is None:
            continue
        example = encoder().encode(rng, dialogue)
        learnt = [label for label in example.labels if label != IGNORE]
        assert not never & set(learnt)
        assert all(label in (IGNORE, token) for label, token in zip(example.labels, example.ids, strict=True))
        said = [
            layout.answer(t, s.text) if s.target is None else layout.plan(t, f"[{s.task}]", s.text)
            for turn in dialogue.turns
            for s in turn.steps
        ]
        seen = [*chain(*captions(t, dialogue))]
        asked = [text for turn in dialogue.turns for text in as_typed(turn.user, turn.asked)]
        seen += [layout.user_turn(t, text, [], TOKENS_PER_IMAGE) for text in asked]
        for turn in dialogue.turns:
            for look in turn.looks:
                notes = layout.text_ids(t, in_picture(look.about, look.notes))
                if look.beside is not None:
                    seen.append(layout.text_ids(t, lending(look.beside, look.about or 0)))
                seen.append([*notes, *layout.text_ids(t, then(look.planned))] if look.planned else [*notes, end])
        assert len(learnt) == sum(map(len, said + seen)) + len(dialogue.turns)
        tasks = set(token_ids(t, I2T, T2I, I2I))
        assert [x for x in learnt if x in tasks] == [ids[0] for ids in said]


def test_pictures_and_queries_have_their_places() -> None:
    rng, t = random.Random(2), tokenizer()
    image, query, soi = token_ids(t, IMAGE, QUERY, SOI)
    for _ in range(100):
        dialogue = sample_training_dialogue(rng, withhold=RESEARCH)
        example = encoder().null(rng) if dialogue is None else encoder().encode(rng, dialogue)
        assert example.ids.count(image) == TOKENS_PER_IMAGE * len(example.pictures)
        assert example.ids.count(query) == QUERIES * len(example.plans)
        assert example.ids.count(soi) == len(example.plans) == len(example.drawings)


def test_no_training_dialogue_holds_what_is_withheld() -> None:
    rng = random.Random(3)
    for _ in range(3000):
        dialogue = sample_training_dialogue(rng, withhold=RESEARCH)
        for turn in dialogue.turns if dialogue else ():
            assert not is_held_out_form(turn.form)
            assert all(allowed(scene, "train") for scene in turn.images)
            for step in turn.steps:
                if step.target is not None:
                    assert in_distribution(step.target)
                    assert split_of(step.target) == "train"


def test_what_we_drew_is_edited_where_we_drew_it() -> None:
    """The source of an edit and its target agree wherever nothing was asked: in the offsets within cells as well."""
    rng, checked = random.Random(4), 0
    while checked < 40:
        dialogue = sample_training_dialogue(rng, withhold=RESEARCH)
        if dialogue is None:
            continue
        example = encoder().encode(rng, dialogue)
        steps = [s for turn in dialogue.turns for s in turn.steps if s.target is not None]
        for step, (source, drawn) in zip(steps, example.drawings, strict=True):
            before = None if source is None else parse(source).scene
            if source is None or before is None or (source != render_array(centred(before))).any():
                continue
            assert step.target is not None
            if before.background == step.target.background:
                kept = set(before.things) & set(step.target.things)
                for thing in kept:
                    y, x = (int((thing.row + 0.5) * 128 / 3), int((thing.column + 0.5) * 128 / 3))
                    window = slice(y - 17, y + 18), slice(x - 17, x + 18)
                    assert (source[window] == drawn[window]).all()
                checked += bool(kept)


def test_newcomers_stand_in_the_middle_and_what_stays_does_not_move() -> None:
    star, circle = Thing(0, "star", "red", "small", 5, -4), Thing(4, "circle", "blue", "small", -5, 2)
    source = Scene("white", (star, circle))
    recolored, grown = replace(star, color="green"), replace(circle, size="large", dx=0, dy=0)
    added, moved = Thing(8, "square", "pink", "small", 3, 3), replace(circle, cell=5)

    def offsets(*things: Thing) -> list[tuple[int, int]]:
        return [(thing.dx, thing.dy) for thing in settled(source, Scene("white", things)).things]

    assert offsets(recolored, circle, added) == [(5, -4), (-5, 2), (0, 0)]
    assert offsets(star, moved) == [(5, -4), (0, 0)]
    assert offsets(star, grown) == [(5, -4), (-JITTER["large"], 2)]


def test_digits_are_tokens_of_their_own_and_text_survives() -> None:
    t = tokenizer()
    for text in ("image 12: a large red circle at the top left, on white", "Zwölf Boxkämpfer 🙂 xyzzy"):
        ids = layout.text_ids(t, text)
        assert t.decode(ids).strip() == text
    assert t.convert_ids_to_tokens(layout.text_ids(t, "12"))[-2:] == ["1", "2"]


def test_padding_is_to_multiples_of_eight() -> None:
    rows = pad([[1, 2, 3], [4] * 9], 0)
    assert rows.shape == (2, 16)
    assert torch.equal(rows[0], torch.tensor([1, 2, 3] + [0] * 13))


def test_questions_are_about_the_picture_that_comes_with_them() -> None:
    rng = random.Random(5)
    scene = sample_scene(rng, "train", withhold=RESEARCH)
    turn = sample_question(rng, scene, "train", "caption_full", withhold=RESEARCH)
    assert read_plan(turn.steps[0].text.lower().rstrip(".")) == scene
