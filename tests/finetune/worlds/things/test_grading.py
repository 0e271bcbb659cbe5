"""The grader of the things world: what is right in words, pictures, changes and calls."""

from __future__ import annotations

import random
from typing import Any

import pytest

from genllava_finetune.worlds.base import Produced
from genllava_finetune.worlds.things.conversation.dialogue import make_dialogue
from genllava_finetune.worlds.things.conversation.talk import Called as CalledOutcome
from genllava_finetune.worlds.things.conversation.talk import Drawn, Said
from genllava_finetune.worlds.things.grading.edits import edits_outcome
from genllava_finetune.worlds.things.grading.grading import Asked, Played, View, grade_steps, score_turn
from genllava_finetune.worlds.things.grading.pictures import draws_right, lies
from genllava_finetune.worlds.things.grading.test_file_cases import Answer, Draws, Edit, Expected, ToolCall, Verb
from genllava_finetune.worlds.things.grading.tools import Called, overlap, tools_right, verb_right
from genllava_finetune.worlds.things.grading.words import (
    answers_right,
    mentions,
    number_of,
    place_of,
    tokens,
    yes_or_no,
)
from genllava_finetune.worlds.things.knowledge.things import things_of
from genllava_finetune.worlds.things.language.describing import colour_of
from genllava_finetune.worlds.things.pictures.scene import Item, Scene
from genllava_finetune.worlds.things.suites import turns_of

CAT = Item("cat", "medium", "left", "3d")
DOG = Item("dog", "small", "center", "flat")
CAR = Item("car", "large", "bottom right", "3d", "blue")
CIRCLE = Item("circle", "small", "top", None, "orange")
SCENE = Scene("meadow", (CAT, DOG, CAR, CIRCLE))


def right(expected: dict[str, Any], text: str, question: str = "", scene: Scene | None = None) -> bool:
    return answers_right(Answer.model_validate(expected), text, question=question, scene=scene)


# --- words ---


def test_names_are_words_and_the_longest_ones() -> None:
    assert [name for name, _ in mentions(tokens("Two hot dogs and a kitty"))] == ["hot dog", "cat"]
    assert [name for name, _ in mentions(tokens("an orange diamond, an orange"))] == ["diamond", "orange"]
    assert [name for name, _ in mentions(tokens("The diamond is orange"))] == ["diamond"]


@pytest.mark.parametrize(
    ("expected", "text", "is_right"),
    [
        ({"number": 2}, "Two.", True),
        ({"number": 2}, "A cat and one dog: two.", True),
        ({"number": 2}, "three", False),
        ({"number": 0}, "none", True),
        ({"yes": True}, "Yes, a cat.", True),
        ({"yes": True}, "A drum: one. No cats. Yes.", True),
        ({"yes": True}, "There is no cat.", False),
        ({"yes": False}, "No.", True),
        ({"names": ["cat", "dog"]}, "A cat and a doggy.", True),
        ({"names": ["cat"]}, "A cat and a dog.", False),
        ({"names": ["dog"]}, "A hot dog.", False),
        ({"names": ["cat"]}, "The cat, no dog.", True),
        ({"names": []}, "Nothing.", True),
        ({"names": []}, "A cat.", False),
        ({"place": "top left"}, "in the upper left corner", True),
        ({"place": "left"}, "in the middle of the left side", True),
        ({"place": "left"}, "at the top left", False),
        ({"place": "center"}, "right in the middle", True),
        ({"style": "3d"}, "It is three-dimensional.", True),
        ({"style": "3d"}, "flat", False),
        ({"size": "large"}, "Big.", True),
        ({"size": "large"}, "medium-sized", False),
        ({"colour": "purple"}, "It is violet.", True),
        ({"colour": "blue"}, "blue and red", False),
        ({"background": "night"}, "a starry sky", True),
        ({"background": "sea"}, "a meadow", False),
        ({"any_of": ["under", "below"]}, "It is below it.", True),
        ({"any_of": ["dog"]}, "a hot dog", False),
        ({"all_of": ["blue", "triangle"]}, "a blue triangle", True),
        ({"all_of": ["circle"], "none_of": ["square"]}, "a circle and a square", False),
        ({"talk": True}, "You are welcome.", True),
        ({"cannot_read": True}, "I cannot read this picture.", True),
        ({"cannot_read": True}, "A cat.", False),
    ],
)
def test_answers(expected: dict[str, Any], text: str, is_right: bool) -> None:
    assert right(expected, text) == is_right


def test_what_was_asked_about_may_be_named_again() -> None:
    assert right({"names": ["car"]}, "The cat is left of the car.", "what is right of the cat?")
    assert right({"names": ["cat"]}, "The cat is bigger than the dog.", "which is bigger, the cat or the dog?")
    assert not right({"names": ["cat"]}, "The cat and the dog.", "which is bigger, the cat or the dog?")


def test_a_caption_names_all_there_is_and_nothing_else() -> None:
    assert right({"caption": True}, "A cat, a dog, a car and an orange circle, on a meadow.", scene=SCENE)
    assert not right({"caption": True}, "A cat, a dog and a car.", scene=SCENE)
    assert not right({"caption": True}, "A cat, a dog, a car, a circle and a cow.", scene=SCENE)


def test_numbers_places_and_yes_where_it_is_not_clear() -> None:
    assert number_of("It is a cat.") is None
    assert place_of(tokens("a cat")) is None
    assert yes_or_no("A cat.") is None


# --- new pictures ---


@pytest.mark.parametrize(
    ("draws", "is_right"),
    [
        ({"objects": ["cat", "dog", "car", "circle"]}, True),
        ({"objects": ["cat", "dog", "car"]}, False),
        ({"objects": ["cat"], "more": True}, True),
        ({"objects": [{"category": "animal", "count": 2}], "more": True}, True),
        ({"objects": [{"category": "animal", "count": 3}], "more": True}, False),
        ({"objects": [{"one_of": ["cow", "cat"]}], "more": True, "none_of": ["cow"]}, True),
        ({"objects": ["cat"], "more": True, "none_of": ["doggy"]}, False),
        ({"objects": [{"thing": "car", "colour": "blue"}], "more": True}, True),
        ({"objects": [{"thing": "car", "colour": "red"}], "more": True}, False),
        ({"objects": [{"shape": "circle", "colour": "orange", "place": "top"}], "more": True}, True),
        ({"objects": ["cat"], "more": True, "number": [4, 5]}, True),
        ({"objects": ["cat"], "more": True, "number": [1, 3]}, False),
        ({"objects": ["cat"], "more": True, "background": "sea"}, False),
        ({"objects": ["cat"], "more": True, "style": "3d"}, False),
        ({"objects": ["cat"], "more": True, "relations": [["cat", "left of", "dog"], ["cat", "next to", "dog"]]}, True),
        ({"objects": ["cat"], "more": True, "relations": [["cat", "right of", "dog"]]}, False),
    ],
)
def test_drawings(draws: dict[str, Any], is_right: bool) -> None:
    assert draws_right(SCENE, Draws.model_validate(draws)) == is_right


def test_where_cells_lie() -> None:
    assert lies("top left", "left of", ["bottom right"])
    assert lies("top left", "next to", ["center"])
    assert not lies("top left", "next to", ["top right"])
    assert lies("center", "between", ["left", "right"])


# --- changes ---

_EDITS: list[tuple[dict[str, Any], tuple[Item, ...], str]] = [
    ({"add": {"thing": "sun"}}, (*SCENE.items, Item("sun", "large", "top left", "flat")), "meadow"),
    ({"remove": "cat"}, (DOG, CAR, CIRCLE), "meadow"),
    ({"replace": "cat", "with": {"thing": "cow"}}, (Item("cow", "small", "left", "flat"), DOG, CAR, CIRCLE), "meadow"),
    ({"recolour": "car", "colour": "red"}, (CAT, DOG, Item("car", "large", "bottom right", "3d"), CIRCLE), "meadow"),
    ({"restyle": "cat", "style": "flat"}, (Item("cat", "medium", "left", "flat"), DOG, CAR, CIRCLE), "meadow"),
    ({"resize": "cat", "size": "bigger"}, (Item("cat", "large", "left", "3d"), DOG, CAR, CIRCLE), "meadow"),
    ({"move": "cat", "direction": "up"}, (Item("cat", "medium", "top left", "3d"), DOG, CAR, CIRCLE), "meadow"),
    ({"swap": ["cat", "dog"]},
     (Item("cat", "medium", "center", "3d"), Item("dog", "small", "left", "flat"), CAR, CIRCLE), "meadow"),
    ({"background": "night"}, SCENE.items, "night"),
]  # fmt: skip


@pytest.mark.parametrize(("edit", "items", "background"), _EDITS, ids=lambda value: str(value)[:30])
def test_changes_are_seen_and_everything_else_is_to_stay(
    edit: dict[str, Any], items: tuple[Item, ...], background: str
) -> None:
    edits = [Edit.model_validate(edit)]
    if "recolour" in edit:
        red = Item("car", "large", "bottom right", "3d", None if colour_of(items[2]) == "red" else "red")
        items = (*items[:2], red, items[3])
    after = Scene(background, items)
    assert edits_outcome(SCENE, after, edits).right
    assert not edits_outcome(SCENE, SCENE, edits).changed
    green = Item("circle", "small", "top", None, "green")
    spoilt = Scene(background, tuple(green if item == CIRCLE else item for item in items))
    assert not edits_outcome(SCENE, spoilt, edits).preserved
    more = Scene(background, (*items, Item("cow", "small", "bottom left", "flat")))
    assert not edits_outcome(SCENE, more, edits).right


def test_several_changes_and_selections() -> None:
    edits = [
        Edit.model_validate(each) for each in ({"restyle": "all", "style": "flat"}, {"remove": {"category": "animal"}})
    ]
    after = Scene("meadow", (Item("car", "large", "bottom right", "flat", "blue"), CIRCLE))
    assert edits_outcome(SCENE, after, edits).right
    assert not edits_outcome(SCENE, SCENE, [Edit.model_validate({"remove": "cow"})]).possible


def test_what_is_asked_for_twice_may_push_others_aside() -> None:
    edits = [Edit.model_validate({"move": "dog", "place": "left"})]
    moved = Item("dog", "small", "left", "flat")
    after = Scene("meadow", (Item("cat", "medium", "top left", "3d"), moved, CAR, CIRCLE))
    assert edits_outcome(SCENE, after, edits).right
    gone = Scene("meadow", (moved, CAR, CIRCLE))
    assert not edits_outcome(SCENE, gone, edits).right


def test_something_of_another_picture() -> None:
    other = Scene("sea", (Item("whale", "large", "top", "cartoon"),))
    edits = [Edit.model_validate({"combine": "whale", "of": 2})]
    after = Scene("meadow", (*SCENE.items, Item("whale", "small", "right", "cartoon")))
    assert edits_outcome(SCENE, after, edits, (SCENE, other)).right
    wrong = Scene("meadow", (*SCENE.items, Item("whale", "small", "right", "flat")))
    assert not edits_outcome(SCENE, wrong, edits, (SCENE, other)).right


# --- tools and the conversation itself ---


def test_tools() -> None:
    want = [ToolCall(name="crop", arguments={"label": "cat"}), ToolCall(name="grayscale")]
    crop = Called("crop", {"image": "image_1", "box": list(CAT.box)})
    assert tools_right(want, [crop, Called("grayscale", {"image": "image_1"})], [SCENE])
    assert tools_right(want, [Called("crop", {"label": "the cat"}), Called("grayscale")], [])
    assert not tools_right(want, [Called("crop", {"box": list(CAR.box)}), Called("grayscale")], [SCENE])
    assert not tools_right(want, [crop], [SCENE])
    turn = [ToolCall(name="rotate", arguments={"degrees": 270})]
    assert tools_right(turn, [Called("rotate", {"angle": -90})], [])
    assert not tools_right(turn, [Called("rotate", {"angle": 90})], [])
    cut = [ToolCall(name="cut_out", arguments={"label": "cat"})]
    assert tools_right(cut, [Called("remove_background", {"box": list(CAT.box)})], [SCENE])
    assert overlap((0, 0, 1, 1), (0, 0, 0.5, 1)) == pytest.approx(0.5)


def test_verbs() -> None:
    assert verb_right(Verb(undo=2), [Called("undo"), Called("undo")])
    assert verb_right(Verb(undo=2), [Called("undo", {"turns": 2})])
    assert not verb_right(Verb(undo=1), [Called("redo")])
    assert verb_right(Verb(show=2), [Called("show_image", {"image": "image_2"})])
    assert verb_right(Verb(show=3), [Called("show_image", {"image": "image_2"})], {"image_2": frozenset({2, 3})})
    assert not verb_right(Verb(again=True), [])


def test_what_is_declined_is_words_and_nothing_else() -> None:
    expected = (Expected(declines=True),)
    assert grade_steps(expected, Played("I cannot do that."), View())[0].right
    assert not grade_steps(expected, Played("I cannot do that.", (SCENE,)), View())[0].right
    assert not grade_steps(expected, Played(""), View())[0].right
    assert not grade_steps(expected, Played("Here it is."), View())[0].right
    assert grade_steps((Expected(asks=True),), Played("Which one?"), View())[0].right


def test_produced_segments() -> None:
    turn = Asked("crop it", ("TOOL crop",), (Expected(tools=(ToolCall(name="crop"),)),))
    called = score_turn(turn, [Produced("TOOL", '{"name": "crop", "arguments": {}}')])
    assert called.right
    assert called.routed
    assert not score_turn(turn, [Produced("I2T", "No.")]).right
    assert not score_turn(turn, [Produced("TOOL", "{")]).right


def test_what_the_world_teaches_is_right() -> None:
    source, wrong, count = random.Random(7), list[str](), 0
    for _ in range(400):
        talk = make_dialogue(source, things_of(286))
        for turn, asked in zip(talk.turns, turns_of(talk), strict=True):
            text = " ".join(each.text for each in turn.outcomes if isinstance(each, Said))
            pictures = tuple(each.scene for each in turn.outcomes if isinstance(each, Drawn))
            calls = [each.call for each in turn.outcomes if isinstance(each, CalledOutcome)]
            played = Played(text, pictures, tuple(Called(call.name, call.arguments) for call in calls))
            count += 1
            if not all(each.right for each in grade_steps(asked.steps, played, asked.view, asked.user)):
                wrong.append(f"{asked.user}: {text}")
    assert len(wrong) <= count // 500, wrong
