"""What is noted down is true of the picture, and settles what is asked."""

from __future__ import annotations

import random
import re

from hypothesis import given
from hypothesis import strategies as st

from genllava_finetune.worlds.shapes.conversation import sample_dialogue
from genllava_finetune.worlds.shapes.description import Description
from genllava_finetune.worlds.shapes.dialogue import EditCheck
from genllava_finetune.worlds.shapes.edits import Changed
from genllava_finetune.worlds.shapes.impossible import sample_impossible_edit
from genllava_finetune.worlds.shapes.language.back_references import FOLLOW_UP, UNDO
from genllava_finetune.worlds.shapes.notes import caption, in_picture, look
from genllava_finetune.worlds.shapes.plan import place_first, read_plan
from genllava_finetune.worlds.shapes.scene import Scene, Thing
from genllava_finetune.worlds.shapes.splits import RESEARCH, sample_scene
from genllava_finetune.worlds.shapes.understanding import (
    FAMILIES,
    sample_lookups,
    sample_question,
    sample_question_about_it,
)

seeds = st.integers(0, 2**32).map(random.Random)
STAR, CROSS = Thing(1, "star", "red", "small", 0, 0), Thing(3, "cross", "red", "large", 0, 0)
SCENE = Scene("white", (STAR, CROSS))


def found(note: str) -> list[str]:
    """The objects that a note lists."""
    things = note.split(": ", 1)[1]
    return [] if things == "nothing" else re.split(r" and (?=at )", things)


def test_a_note_lists_what_fits() -> None:
    assert look(SCENE, Description(shape="star")) == "star: at the top a small red star"
    assert look(SCENE, Description(color="blue")) == "blue shape: nothing"
    assert found(look(SCENE, Description(color="red"))) == [place_first(STAR), place_first(CROSS)]
    assert in_picture(2, ["star: nothing", "cross: nothing"]) == "in image 2, star: nothing; cross: nothing"
    assert in_picture(2, []) == ""
    assert caption(3, SCENE) == "image 3: at the top a small red star, at the left a large red cross, on white"
    assert caption(1, Scene("gray", ())) == "image 1: nothing, on gray"


@given(seeds, st.sampled_from(FAMILIES))
def test_notes_of_a_question_are_true_and_agree_with_its_answer(rng: random.Random, family: str) -> None:
    scene = sample_scene(rng, "train", withhold=RESEARCH)
    try:
        turn = sample_question(rng, scene, "train", family, withhold=RESEARCH)
    except ValueError:
        return
    known = {place_first(thing) for thing in scene.things}
    answer = turn.steps[0].text
    looks = turn.looks[0].notes[:2] if family in ("relation", "compare") else turn.looks[0].notes
    assert all(set(found(note)) <= known for note in looks)
    if family in ("background", "caption_short", "caption_full"):
        assert not turn.looks[0].notes
    elif family in ("exist", "false_premise"):
        (note,) = turn.looks[0].notes
        assert bool(found(note)) == ("there is a" in answer.lower())
    elif family in ("color_of", "shape_of", "size_of", "where_is"):
        ((thing,),) = (found(note) for note in turn.looks[0].notes)
        assert answer.rstrip(".").split()[-1] in thing.split()
    elif family == "ambiguous":
        assert len(found(turn.looks[0].notes[0])) > 1
    elif family == "relation":
        name, values = turn.looks[0].notes[2].split(": ")
        one, other = (next(thing for thing in scene.things if place_first(thing) in note) for note in looks)
        spots = (one.column, other.column) if name == "column" else (one.row, other.row)
        order = ("left", "center", "right") if name == "column" else ("top", "center", "bottom")
        assert values.split(", ") == [order[spot] for spot in spots]
        if spots[0] == spots[1]:
            assert answer == "No."
    elif family == "compare":
        first, second = turn.looks[0].notes[2].split(": ")[1].split(", ")
        assert len(turn.looks[0].notes) == 3
        if turn.looks[0].notes[2].startswith("color"):
            assert (answer == "Yes.") == (first == second)
    elif family == "relation_what":
        assert len(turn.looks[0].notes) == 2


@given(seeds)
def test_an_edit_that_cannot_be_done_has_the_reason_in_its_notes(rng: random.Random) -> None:
    scene = sample_scene(rng, "train", withhold=RESEARCH)
    turn = sample_impossible_edit(rng, scene, 1, "train", withhold=RESEARCH)
    if turn is None or "no room" in turn.steps[0].text:
        return
    objects = [len(found(note)) for note in turn.looks[0].notes]
    said = turn.steps[0].text
    if said.startswith(("There is no", "There are no")):
        assert 0 in objects
    elif said.startswith("Which"):
        assert max(objects) > 1
    else:
        assert objects[-1] == 1


@given(seeds)
def test_it_is_the_only_thing_there_is_or_all_of_them(rng: random.Random) -> None:
    scene = sample_scene(rng, "train", withhold=RESEARCH)
    if not scene.things:
        return
    turn = sample_question_about_it(rng, scene, "train")
    (note,) = turn.looks[0].notes
    assert found(note) == [place_first(thing) for thing in scene.things]
    said = turn.steps[0].text.rstrip(".")
    if len(scene.things) == 1:
        (thing,) = scene.things
        assert said.split("is ")[1].removeprefix("at the ").removeprefix("a ") in (
            thing.color, thing.size, thing.shape, thing.position,
        )  # fmt: skip
    else:
        assert said.startswith("There are ")
        assert said.count("one ") == len(scene.things)


@given(seeds)
def test_lookups_are_of_different_things_and_nothing_is_said(rng: random.Random) -> None:
    scene = sample_scene(rng, "train", withhold=RESEARCH)
    turn = sample_lookups(rng, scene, 8, withhold=RESEARCH)
    assert len(set(turn.looks[0].notes)) == 8
    assert not turn.steps


def test_going_back_and_asking_the_same_again() -> None:
    """`undo that` draws the picture before the change once more; `and the star?` is answered like what came before."""
    rng, undone, followed = random.Random(8), 0, 0
    while undone < 10 or followed < 10:
        dialogue = sample_dialogue(rng, "train", "train", 3, withhold=RESEARCH)
        scenes: list[Scene] = []
        for before, turn in zip((None, *dialogue.turns), dialogue.turns, strict=False):
            scenes += turn.images
            if turn.form in UNDO.forms():
                assert before is not None
                (step,) = turn.steps
                edit = before.steps[-1]
                assert step.source == edit.source
                assert step.source is not None
                assert step.target == scenes[step.source - 1]
                assert read_plan(step.text.split(": ", 1)[1]) is not None
                assert isinstance(turn.check, EditCheck)
                assert isinstance(turn.check.changed, Changed)
                assert turn.check.preserved(step.target)
                assert not turn.check.preserved(scenes[-1]) or scenes[-1] == step.target
                undone += 1
            if turn.form in FOLLOW_UP.forms():
                assert before is not None
                assert (turn.family, turn.about) == (before.family, before.about)
                followed += 1
            scenes += [step.target for step in turn.steps if step.target is not None]
