"""Every question is read back from its sentence, and its answer worked out again by other means than it was made.

The sentence is matched against its form to recover the words in its slots; these are read word by word into plain
sets of cells. Nothing of `understanding` or `answers` takes part but the function under test.
"""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Callable

import pytest

from genllava_finetune.worlds.grammar import Intent, is_held_out_form
from genllava_finetune.worlds.shapes import understanding
from genllava_finetune.worlds.shapes.dialogue import Turn
from genllava_finetune.worlds.shapes.language import questions
from genllava_finetune.worlds.shapes.scene import BACKGROUNDS, CELLS, COLORS, SHAPES, SIZES, Scene, Thing
from genllava_finetune.worlds.shapes.splits import HELD_OUT_PAIRS, HELD_OUT_RELATIONS, RESEARCH, sample_scene
from genllava_finetune.worlds.shapes.understanding import FAMILIES, sample_question

VALUES = {word: word for word in (*SHAPES, *COLORS, *SIZES)}
VALUES |= {f"{shape}s": shape for shape in SHAPES} | {"crosses": "cross"}
VALUES |= {"big": "large", "tiny": "small", "little": "small"}
ANY = {"the", "that", "a", "an", "one", "ones", "and", "is", "which", "that's", "not"}
ANY |= {"thing", "things", "object", "objects", "shape", "shapes"}
PLACES = {"middle": "center", "centre": "center", "upper middle": "top", "lower middle": "bottom"}
PLACES |= {
    f"{said} {side}": f"{row} {side}"
    for said, row in (("upper", "top"), ("lower", "bottom"))
    for side in ("left", "right")
}
PLACES |= {place: place for place in CELLS} | {f"{place} corner": place for place in CELLS}
PLACE = "|".join(sorted(PLACES, key=len, reverse=True))
THE = r"\b(?:the|that) "
PHRASE = r"\b[a-z][a-z', ]*?\b"
SLOTS = {
    "here": r"(?:(?:in|on) (?:the|this) (?:picture|image|drawing))?",
    "picture": r"(?:the|this) (?:picture|image|drawing)",
    "thing": "thing|shape|object",
    "things": "things|shapes|objects",
    "ground": "background|backdrop",
    "larger": "larger|bigger|smaller",
    "quality": "colou?r|size|shape",
    "predicate": r"\b[a-z]+(?: and [a-z]+)?",
}


@functools.cache
def pattern_of(form: str) -> re.Pattern[str]:
    """What a sentence of `form` looks like, with a group for every slot; spaces and commas by empty slots go."""
    parts = []
    for i, token in enumerate(re.findall(r"\{\w+\}|[,:]|\s+|[^\s{},:]+", form)):
        if token[0] == "{":
            name = token[1:-1]
            whole = name in ("the", "one") or (name == "other" and "{one}" in form)
            parts.append(f"(?P<{name}_{i}>{THE if whole else ''}{SLOTS.get(name, PHRASE)})")
        elif token in ",:":
            parts.append(f"{token}?")
        else:
            parts.append(r"\s*" if token.isspace() else "an?" if token == "a" else re.escape(token))
    return re.compile("".join(parts))


def slots(turn: Turn) -> dict[str, str]:
    match = pattern_of(turn.form).fullmatch(turn.user.removesuffix("?"))
    assert match, (turn.form, turn.user)
    return {name.rsplit("_", 1)[0]: value for name, value in match.groupdict().items()}


def cells(scene: Scene, phrase: str) -> set[int]:
    """The cells of the objects a phrase fits; every word of it has to be understood."""
    found = {thing.cell for thing in scene.things}
    place = re.search(rf"\b(?:(?:at|in|on) )the ({PLACE})$|(?<=^the )({PLACE})\b|(?<=^that )({PLACE})\b", phrase)
    if place:
        found &= {CELLS.index(PLACES[next(filter(None, place.groups()))])}
        phrase = phrase[: place.start()] + phrase[place.end() :]
    for word in phrase.split():
        if word in VALUES:
            found &= {t.cell for t in scene.things if VALUES[word] in (t.shape, t.color, t.size)}
        else:
            assert word in ANY, (word, phrase)
    return found


def the_one(scene: Scene, phrase: str) -> Thing:
    (cell,) = cells(scene, phrase)
    return next(thing for thing in scene.things if thing.cell == cell)


def in_words(phrase: str, plural: bool = False) -> str:
    """The canonical name of what a phrase names."""
    place = re.search(rf"\b(?:at|in|on) the ({PLACE})$|(?<=^the )({PLACE})\b|(?<=^that )({PLACE})\b", phrase)
    rest = phrase.replace(place[0], "") if place else phrase
    named = {VALUES[word] for word in rest.split() if word in VALUES}
    shape = next((name for name in SHAPES if name in named), "shape")
    noun = shape + ("es" if shape == "cross" else "s") if plural else shape
    adjectives = [name for name in (*SIZES, *COLORS) if name in named]
    where = f" at the {PLACES[next(filter(None, place.groups()))]}" if place else ""
    return " ".join([*adjectives, noun]) + where


def beside(relation: str, cell: int, other: int) -> bool:
    x, y = cell % 3 - other % 3, cell // 3 - other // 3
    return {"left": x < 0, "right": x > 0, "above": y < 0, "below": y > 0}[relation]


DIRECTIONS = {"left": "left", "right": "right", "above": "above", "below": "below"}
DIRECTIONS |= {"over": "above", "higher": "above", "under": "below", "beneath": "below", "lower": "below"}


def direction(form: str) -> str:
    """Which relation a form asks for, by its words; `..., right?` and `is it right that` are no directions."""
    words = re.findall(r"\w+", re.sub(r", right$|^is it right", "", form))
    (found,) = {DIRECTIONS[word] for word in words if word in DIRECTIONS}
    return found


NAME_OF_FORM = {
    form: intent.name.removeprefix("ask.").replace("kind", "shape")
    for value in vars(questions).values()
    for intent in (value.values() if isinstance(value, dict) else [value])
    if isinstance(intent, Intent)
    for form in intent.forms()
}


def attribute_answer(name: str) -> Callable[[Scene, dict[str, str]], str]:
    """Of one object, of none, or of several: the phrase alone decides which it is."""

    def work_out(scene: Scene, said: dict[str, str]) -> str:
        fit = [thing for thing in scene.things if thing.cell in cells(scene, said["the"])]

        def show(thing: Thing) -> str:
            return f"at the {CELLS[thing.cell]}" if name == "where" else str(getattr(thing, name))

        if not fit:
            return f"There is no {in_words(said['the'])}."
        if len(fit) > 1:
            number = ("two", "three", "four")[len(fit) - 2]
            listed = ", ".join(f"one {show(thing)}" for thing in fit)
            return f"There are {number} {in_words(said['the'], plural=True)}: {listed}."
        return f"It is a {show(fit[0])}." if name == "shape" else f"The {in_words(said['the'])} is {show(fit[0])}."

    return work_out


def count(scene: Scene, said: dict[str, str]) -> str:
    phrase = said.get("nps") or said["predicate"]
    n = len(cells(scene, phrase))
    if n == 1:
        return f"There is one {in_words(phrase)}."
    return f"There are {('no', '', 'two', 'three', 'four')[n]} {in_words(phrase, plural=True)}."


def exist(scene: Scene, said: dict[str, str]) -> str:
    phrase = said.get("np") or said["nps"]
    if not cells(scene, phrase):
        return f"No, there is no {in_words(phrase)}."
    name = in_words(phrase)
    return f"Yes, there is {'an' if name[0] in 'aeiou' else 'a'} {name}."


def what_is(relation: str) -> Callable[[Scene, dict[str, str]], str]:
    def work_out(scene: Scene, said: dict[str, str]) -> str:
        there = [t for t in scene.things if beside(relation, t.cell, the_one(scene, said["the"]).cell)]
        assert len(there) <= 1, "more than one thing would be an answer"
        if not there:
            return "Nothing."
        return f"A {there[0].size} {there[0].color} {there[0].shape}."

    return work_out


def yes_or_no(name: str, form: str, scene: Scene, said: dict[str, str]) -> bool:
    if name.startswith("relation."):
        one, other = the_one(scene, said["one"]), the_one(scene, said["other"])
        assert one != other
        return beside(direction(form), one.cell, other.cell)
    if name in ("more", "fewer", "equally_many"):
        difference = len(cells(scene, said["nps"])) - len(cells(scene, said["others"]))
        return {"more": difference > 0, "fewer": difference < 0, "equally_many": difference == 0}[name]
    if name == "same":
        quality = said["quality"].replace("colour", "color")
        return len({getattr(the_one(scene, said[key]), quality) for key in ("one", "other")}) == 1
    if name == "larger":
        wanted = ("small", "large") if said["larger"] == "smaller" else ("large", "small")
        return tuple(the_one(scene, said[key]).size for key in ("one", "other")) == wanted
    if name in ("both", "either"):
        return {"both": all, "either": any}[name](bool(cells(scene, said[key])) for key in ("np", "other"))
    among = cells(scene, said.get("np") or said["nps"])
    if name == "other_than":
        return bool(among - cells(scene, said["color"]))
    assert name == "all_are"
    assert among, "all of nothing"
    return among <= cells(scene, said["predicate"])


def short_caption(scene: Scene) -> str:
    names = [f"a {t.shape}" for t in scene.things]
    text = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    return f"A{text[1:]} on {scene.background}."


def full_caption(scene: Scene) -> str:
    text = "".join(f"a {t.size} {t.color} {t.shape} at the {CELLS[t.cell]}, " for t in scene.things)
    return f"A{text[1:]}on {scene.background}."


def expected(scene: Scene, turn: Turn) -> str:
    name, said = NAME_OF_FORM[turn.form], slots(turn)
    if name in ("color", "shape", "size", "where"):
        return attribute_answer(name)(scene, said)
    if name.startswith("relation_what."):
        return what_is(direction(turn.form))(scene, said)
    match name:
        case "count" | "count_like":
            return count(scene, said)
        case "exist":
            return exist(scene, said)
        case "background":
            return f"The background is {scene.background}."
        case "caption_short":
            return short_caption(scene)
        case "caption_full":
            return full_caption(scene)
    return "Yes." if yes_or_no(name, turn.form, scene, said) else "No."


@pytest.fixture
def plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sentences without typing errors."""
    monkeypatch.setattr(understanding, "add_noise", lambda rng, text: text)


def ask(family: str, n: int, forms: str = "train", **options: object) -> list[tuple[Scene, Turn]]:
    rng, made = random.Random(f"{family}:{forms}"), []
    for _ in range(n):
        scene = sample_scene(rng, "train", withhold=RESEARCH)
        try:
            made.append((scene, sample_question(rng, scene, forms, family, **options, withhold=RESEARCH)))  # type: ignore[arg-type]
        except ValueError:
            continue
    assert len(made) > n / 4
    return made


@pytest.mark.usefixtures("plainly")
@pytest.mark.parametrize("forms", ["train", "held_out"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_answer_is_what_a_second_reading_finds(family: str, forms: str) -> None:
    for scene, turn in ask(family, 500, forms):
        assert turn.family == family
        assert turn.steps[0].text == expected(scene, turn), (turn.user, scene.signature)


@pytest.mark.parametrize("family", FAMILIES)
def test_forms_keep_to_their_side(family: str) -> None:
    assert not any(is_held_out_form(turn.form) for _, turn in ask(family, 300))
    assert all(is_held_out_form(turn.form) for _, turn in ask(family, 300, "held_out"))


def test_no_answer_can_be_given_away_by_a_withheld_pair(plainly: None) -> None:
    """`No` is never learnt of a pair of shape and colour that training never shows."""
    absent = 0
    for family in ("count", "exist", "false_premise", "logic", "compare"):
        for scene, turn in ask(family, 600):
            said = slots(turn)
            for key in ("the", "np", "nps", "others", "other"):
                words = {VALUES[word] for word in said.get(key, "").split() if word in VALUES}
                assert not any({shape, color} <= words for shape, color in HELD_OUT_PAIRS), turn.user
                absent += bool(words) and not cells(scene, said[key])
    assert absent > 300


def relations(scene: Scene, turn: Turn) -> set[tuple[str, str, str]]:
    """(relation, colour of the first, colour of the second) a question is about, stated or found in the answer."""
    name, said = NAME_OF_FORM[turn.form], slots(turn)
    relation = direction(turn.form)
    if name.startswith("relation."):
        return {(relation, the_one(scene, said["one"]).color, the_one(scene, said["other"]).color)}
    thing = the_one(scene, said["the"])
    return {(relation, t.color, thing.color) for t in scene.things if beside(relation, t.cell, thing.cell)}


@pytest.mark.usefixtures("plainly")
@pytest.mark.parametrize("family", ["relation", "relation_what"])
def test_withheld_relations_are_not_trained_on(family: str) -> None:
    met = set().union(*(relations(scene, turn) for scene, turn in ask(family, 4000)))
    assert len(met) > 100
    assert not met & HELD_OUT_RELATIONS


@pytest.mark.usefixtures("plainly")
@pytest.mark.parametrize(("family", "least"), [("relation", 50), ("relation_what", 15)])
def test_asking_for_withheld_relations_gives_only_those(family: str, least: int) -> None:
    rng, asked = random.Random(11), 0
    for _ in range(4000):
        scene = sample_scene(rng, "train", withhold=RESEARCH)
        try:
            turn = sample_question(rng, scene, "train", family, heldout_relations=True, withhold=RESEARCH)
        except ValueError:
            continue
        met = relations(scene, turn)
        assert met
        assert met <= HELD_OUT_RELATIONS
        assert turn.steps[0].text == expected(scene, turn)
        asked += 1
    assert asked > least


def test_scenes_without_a_withheld_relation_are_asked_about_as_usual() -> None:
    rng = random.Random(12)
    scene = Scene("white", tuple(Thing(cell, "circle", "red", "small") for cell in (0, 4)))
    asked = {sample_question(rng, scene, "train", heldout_relations=True, withhold=RESEARCH).family for _ in range(300)}
    assert len(asked) > 8
    for family in ("relation", "relation_what"):
        with pytest.raises(ValueError, match="no question"):
            sample_question(rng, scene, "train", family, heldout_relations=True, withhold=RESEARCH)


def test_every_form_has_a_slot_for_the_picture() -> None:
    assert [form for form in NAME_OF_FORM if "{here}" not in form and "{picture}" not in form] == []


@pytest.mark.usefixtures("plainly")
@pytest.mark.parametrize("family", FAMILIES)
def test_a_named_picture_is_named_once_or_more_in_every_sentence(family: str) -> None:
    for _, turn in ask(family, 100, number=3):
        assert re.search(
            r"(picture|image|drawing) (number |no\. )?3|third (picture|image|drawing)|(picture|image|drawing) three",
            turn.user,
        )


def test_backgrounds_are_all_met() -> None:
    assert {turn.steps[0].text.split()[-1].rstrip(".") for _, turn in ask("background", 200)} == set(BACKGROUNDS)
    assert set(COLORS) <= {turn.steps[0].text.split()[-1].rstrip(".") for _, turn in ask("color_of", 400)}
