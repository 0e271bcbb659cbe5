"""Questions about scenes: their answers are read again from the scene, without the code that made them."""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import pairwise

import pytest

from genllava.errors import InvalidRequest
from genllava_finetune.worlds.things.knowledge.things import by_word, facts, plural_of, thing, things_of
from genllava_finetune.worlds.things.language import corpus
from genllava_finetune.worlds.things.language.wording import read_phrases
from genllava_finetune.worlds.things.pictures.sampling import sample_scene
from genllava_finetune.worlds.things.pictures.scene import COLOURS, PLACES, SIZES, STYLES, Item, Scene
from genllava_finetune.worlds.things.questions.asking import FAMILIES, ask
from genllava_finetune.worlds.things.questions.groups import Group, random_group
from genllava_finetune.worlds.things.questions.parts import Asking, Question

Asked = list[tuple[Scene, Question]]
NUMBERS = {"none": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5}


def make(count: int, seed: int = 1, *, least: int = 0) -> Asked:
    source, known = random.Random(seed), things_of(286)
    found: Asked = []
    while len(found) < count:
        scene = sample_scene(source, known, least=least, free=source.random() < 0.5)
        question = ask(source, scene)
        assert question is not None
        found.append((scene, question))
    return found


@pytest.fixture(scope="module")
def asked() -> Asked:
    return make(9000)


def of(asked: Asked, *intents: str) -> Asked:
    found = [pair for pair in asked if pair[1].intent in intents]
    assert found
    return found


def is_missing(question: Question) -> bool:
    """Whether the question is about a thing that is not there."""
    return question.answer.startswith(("There is no ", "There are no ", "No, there is no ", "No, there are no "))


def words_of(text: str) -> list[str]:
    return "".join(letter if letter.isalnum() else " " for letter in text.lower()).split()


def named(answer: str, scene: Scene) -> set[str]:
    """The names of a scene's items that occur in an answer; "dog" in "hot dog" does not count."""
    text = f" {' '.join(words_of(answer))} "
    found = set[str]()
    spellings: dict[str, str] = {}
    for item in scene:
        words = [item.name, plural_of(item.name)]
        if item.style is not None:
            words += [thing(item.name).plural]
        spellings.update({" ".join(words_of(word)): item.name for word in words})
    for spelling in sorted(spellings, key=len, reverse=True):
        if f" {spelling} " in text:
            found.add(spellings[spelling])
            text = text.replace(f" {spelling} ", " | ")
    return found


def test_every_intent_occurs_and_is_in_the_corpus(asked: Asked) -> None:
    assert {question.intent for _, question in asked} == set(FAMILIES)
    listed = {intent for intent in corpus.intents() if intent.startswith("ask_")}
    assert listed - {"ask_other_picture", "ask_which_picture", "ask_photo"} == set(FAMILIES)


def test_the_same_seed_gives_the_same_questions() -> None:
    assert make(300, 7) == make(300, 7)
    assert make(300, 7) != make(300, 8)


def test_an_unknown_intent_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="ask_count"):
        ask(random.Random(1), Scene("white"), "ask_nothing")


def test_no_slot_is_left_and_answers_are_sentences(asked: Asked) -> None:
    for _, question in asked:
        assert question.text.strip()
        assert "{" not in question.text
        assert "None" not in " ".join(question.slots.values())
        assert question.answer[0].isupper() or question.answer[0].isdigit()
        assert question.answer.endswith(".")
        assert "  " not in question.answer


def test_yes_and_no_are_balanced(asked: Asked) -> None:
    by_intent = defaultdict[str, Counter[object]](Counter)
    for _, question in asked:
        if "yes" in question.expected:
            by_intent[question.intent][question.expected["yes"]] += 1
    total = sum(by_intent.values(), Counter[object]())
    assert 0.46 < total[True] / total.total() < 0.54
    for intent, counts in by_intent.items():
        assert 0.36 < counts[True] / counts.total() < 0.64, (intent, counts)


def test_yes_and_no_are_what_answers_say(asked: Asked) -> None:
    for _, question in asked:
        if "yes" in question.expected:
            said = [word for word in words_of(question.answer) if word in ("yes", "no")]
            assert said[-1 if question.intent == "ask_more" else 0] == ("yes" if question.expected["yes"] else "no")


def test_counts_are_spread(asked: Asked) -> None:
    counts = Counter(question.expected["number"] for _, question in of(asked, "ask_count", "ask_count_all"))
    shares = {number: counts[number] / counts.total() for number in range(6)}
    assert all(shares[number] < 0.4 for number in range(6)), shares
    assert min(shares.values()) > 0.02, shares
    assert shares[2] + shares[3] + shares[4] + shares[5] > 0.4


def test_false_premises_are_rare_and_true(asked: Asked) -> None:
    one = ("ask_where", "ask_style", "ask_size", "ask_colour")
    naming = of(asked, *one, "ask_relation", "ask_relation_what", "ask_where_relative", "ask_bigger", "ask_same")
    missing = [(scene, question) for scene, question in naming if is_missing(question)]
    assert 0.05 < len(missing) / len(naming) < 0.13
    for scene, question in missing:
        name = question.answer.partition(" no ")[2].rstrip(".").lower()
        assert by_word(name) is not None
        assert name not in {item.name for item in scene}


def test_what_is_named_is_there(asked: Asked) -> None:
    for scene, question in asked:
        if "names" in question.expected:
            names = question.expected["names"]
            assert isinstance(names, list)
            assert set(names) <= {item.name for item in scene}
            assert named(question.answer, scene) >= set(names), (question, scene)
            alone = named(question.answer, scene) - set(names) - {"orange"}  # "the orange diamond"
            assert not alone or question.intent in ("ask_extreme", "ask_biggest", "ask_smallest"), (question, scene)
            assert names or question.answer == "Nothing."


def test_counts_are_those_of_the_items_named(asked: Asked) -> None:
    for scene, question in of(asked, "ask_count", "ask_count_all"):
        number = question.expected["number"]
        assert NUMBERS[words_of(question.answer)[-1]] == number
        if question.intent == "ask_count_all":
            assert number == len(scene.items)
            assert named(question.answer, scene) == {item.name for item in scene}
        assert bool(named(question.answer, scene)) == bool(number)


def truth(question: Question, scene: Scene, pick: Callable[[Item], bool]) -> list[str]:
    return list(dict.fromkeys(item.name for item in scene if pick(item)))


def test_answers_about_one_item(asked: Asked) -> None:
    tells: dict[str, tuple[str, Callable[[Item], object]]] = {
        "ask_where": ("place", lambda item: item.place),
        "ask_style": ("style", lambda item: item.style),
        "ask_size": ("size", lambda item: item.size),
        "ask_colour": ("colour", lambda item: item.colour or thing(item.name).colours[STYLES.index(item.style or "")]),
    }
    for intent, (field, tell) in tells.items():
        for scene, question in of(asked, intent):
            if not is_missing(question):
                assert question.subject in scene.items
                assert question.expected == {field: tell(question.subject)}
                if field != "place":
                    assert str(question.expected[field]) == question.answer.lower().rstrip(".")


def test_a_question_does_not_give_its_answer_away(asked: Asked) -> None:
    for _, question in of(asked, "ask_size", "ask_style", "ask_colour"):
        if not is_missing(question):
            assert (
                question.answer.lower().rstrip(".") not in words_of(question.slots["the"])
                or question.answer == "Orange."
            )
    for _, question in of(asked, "ask_where"):
        assert not {"top", "bottom", "left", "right", "middle"} & set(words_of(question.slots["the"]))


def test_backgrounds_and_whole_pictures(asked: Asked) -> None:
    for scene, question in of(asked, "ask_background"):
        assert question.expected == {"background": scene.background}
        assert scene.background in question.answer.lower()
    for scene, question in of(asked, "ask_what_all"):
        assert question.expected == {"names": truth(question, scene, lambda item: True)}
    for scene, question in of(asked, "ask_caption"):
        assert named(question.answer, scene) == {item.name for item in scene}
        assert scene.background.split()[-1] in words_of(question.answer)
        for place in ("top left", "top right", "bottom left", "bottom right"):
            assert (place in question.answer) == (scene.at(place) is not None)


def test_lists_by_size_style_and_colour(asked: Asked) -> None:
    for scene, question in of(asked, "ask_which_size"):
        assert any(
            question.expected["names"] == truth(question, scene, lambda i, s=size: i.size == s) for size in SIZES
        )  # type: ignore[misc]
    for scene, question in of(asked, "ask_which_style"):
        assert any(
            question.expected["names"] == truth(question, scene, lambda i, s=style: i.style == s) for style in STYLES
        )  # type: ignore[misc]
    for scene, question in of(asked, "ask_which_colour"):
        seen = {item: item.colour or thing(item.name).colours[STYLES.index(item.style or "")] for item in scene}
        assert any(
            question.expected["names"] == [*dict.fromkeys(item.name for item in scene if seen[item] == colour)]
            for colour in COLOURS
        )


def test_biggest_smallest_and_bigger(asked: Asked) -> None:
    for scene, question in of(asked, "ask_biggest", "ask_smallest"):
        ranks = [SIZES.index(item.size) for item in scene]
        best = max(ranks) if question.intent == "ask_biggest" else min(ranks)
        assert question.expected == {"names": truth(question, scene, lambda i, b=best: SIZES.index(i.size) == b)}  # type: ignore[misc]
    for _, question in of(asked, "ask_bigger"):
        if "names" in question.expected:
            assert question.subject is not None
            assert question.expected == {"names": [question.subject.name]}
            assert question.subject.size != "small"


def test_extremes(asked: Asked) -> None:
    for scene, question in of(asked, "ask_extreme"):
        word = question.slots["extreme"]
        assert question.subject is not None
        x, y = question.subject.middle
        others = [item.middle for item in scene if item is not question.subject]
        if "left" in word:
            assert all(x < other[0] for other in others)
        elif "right" in word:
            assert all(x > other[0] for other in others)
        elif word in ("highest", "topmost", "uppermost", "top-most"):
            assert all(y < other[1] for other in others)
        else:
            assert all(y > other[1] for other in others)


def test_where_as_seen_from_another(asked: Asked) -> None:
    for scene, question in of(asked, "ask_where_relative"):
        if is_missing(question):
            continue
        told = question.expected.get("all_of") or question.expected["any_of"]
        assert isinstance(told, list)
        row, column = divmod(PLACES.index(question.subject.place), 3) if question.subject else (0, 0)
        fits = []
        for other in scene:
            row2, column2 = divmod(PLACES.index(other.place), 3)
            says = {"left": column < column2, "right": column > column2, "above": row < row2, "below": row > row2}
            fits.append(other is not question.subject and {word for word, true in says.items() if true} == set(told))
        assert any(fits)
        assert set(told) <= set(words_of(question.answer))


def test_facts(asked: Asked) -> None:
    for scene, question in of(asked, "ask_fact_exist", "ask_fact_which"):
        if not scene.items:
            continue
        holding = {
            fact: [item.name for item in scene if item.style is not None and thing(item.name).holds(fact)]
            for fact in facts()
        }
        if "yes" in question.expected:
            assert named(question.answer, scene) in [set(names) for names in holding.values()]
            assert question.expected["yes"] == bool(named(question.answer, scene))
        else:
            assert set(question.expected["names"]) in [set(names) for names in holding.values()]  # type: ignore[call-overload]


def test_groups_are_what_a_plain_reading_says() -> None:
    source, known = random.Random(5), things_of(286)
    for _ in range(4000):
        scene = sample_scene(source, known, least=1)
        group = random_group(Asking(source, scene, known))
        members = group.members(scene)
        if members is None:
            continue
        for item in scene:
            assert (item in members) == plainly_in(group, item), (group, item)


def plainly_in(group: Group, item: Item) -> bool:
    of_kind = {
        "thing": item.name == group.name,
        "shape": item.name == group.name,
        "category": item.style is not None and group.kind == "category" and thing(item.name).category == group.name,
        "fact": item.style is not None and group.kind == "fact" and group.name in thing(item.name).facts,
        "shapes": item.style is None,
        "every": True,
    }[group.kind]
    colour = item.colour or (thing(item.name).colour_in(item.style) if item.style else None)
    return (
        of_kind
        and group.size in (None, item.size)
        and group.style in (None, item.style)
        and (group.colour is None or group.colour == colour)
    )


def test_more_says_which_are_more(asked: Asked) -> None:
    for _, question in of(asked, "ask_more"):
        first, second = (sentence for sentence in question.answer.split(". ")[:2])
        numbers = [NUMBERS[words_of(part)[-1]] if ":" in part else 0 for part in (first, second)]
        assert question.expected["yes"] == (numbers[0] > numbers[1])


def test_the_same_style_or_not(asked: Asked) -> None:
    for scene, question in of(asked, "ask_all_style"):
        styles = {item.style for item in scene}
        assert question.expected["yes"] == (question.answer == "Yes.")
        if question.expected["yes"]:
            assert len(styles) == 1
            assert None not in styles


def item_called(words: str, scene: Scene) -> Item | None:
    """The item that "the cat" means, where that is all that is said, and no other has the name."""
    found = by_word(words.removeprefix("the "))
    same = [item for item in scene if found is not None and item.name == found.name and item.style is not None]
    return same[0] if len(same) == 1 else None


def test_counts_and_existence_of_plain_names(asked: Asked) -> None:
    read = 0
    for scene, question in of(asked, "ask_count", "ask_exist_any", "ask_exist"):
        words = question.slots.get("things") or question.slots["a"]
        for article in ("a ", "an ", "the ", "some "):
            words = words.removeprefix(article)
        found = by_word(words)
        if found is not None and words not in ("tree", "trees"):  # pine trees are trees too
            number = sum(item.name == found.name and item.style is not None for item in scene)
            assert question.expected in ({"number": number}, {"yes": number > 0}), (question, scene)
            read += 1
    assert read > 200


def test_both_and_either_of_plain_names(asked: Asked) -> None:
    read = 0
    for scene, question in of(asked, "ask_and", "ask_or"):
        found = [by_word(question.slots[slot].partition(" ")[2]) for slot in ("a", "a2")]
        if found[0] is None or found[1] is None:
            continue
        there = [any(item.name == each.name and item.style for item in scene) for each in found if each]
        assert question.expected == {"yes": all(there) if question.intent == "ask_and" else any(there)}, (
            question,
            scene,
        )
        read += 1
    assert read > 40


def test_relations_of_plain_names(asked: Asked) -> None:
    sides = {
        "left of": lambda dx, dy: dx < 0 and abs(dy) <= -dx + 0.3,
        "right of": lambda dx, dy: dx > 0 and abs(dy) <= dx + 0.3,
        "above": lambda dx, dy: dy < 0 and abs(dx) <= -dy + 0.3,
        "below": lambda dx, dy: dy > 0 and abs(dx) <= dy + 0.3,
    }
    read = 0
    for scene, question in of(asked, "ask_relation", "ask_relation_what"):
        kinds = [kind for kind in sides if question.slots["rel"] in read_phrases()["relations"][kind]]
        first, second = (item_called(question.slots.get(slot, ""), scene) for slot in ("the", "the2"))
        if is_missing(question) or not kinds or first is None:
            continue
        if question.intent == "ask_relation" and second is not None:
            there, from_there = (divmod(PLACES.index(item.place), 3)[::-1] for item in (first, second))
            moved = [a - b for a, b in zip(there, from_there, strict=True)]
            assert sides[kinds[0]](*moved) == question.expected["yes"], (question, scene)
            read += 1
        elif question.intent == "ask_relation_what":
            for item in scene:
                moved = [a - b for a, b in zip(item.middle, first.middle, strict=True)]
                if item.name in question.expected["names"] and [i.name for i in scene].count(item.name) == 1:  # type: ignore[operator]
                    assert sides[kinds[0]](*moved), (question, scene)
            read += 1
    assert read > 150


def test_comparisons_of_plain_names(asked: Asked) -> None:
    read = 0
    for scene, question in of(asked, "ask_bigger", "ask_same"):
        first, second = (item_called(question.slots[slot], scene) for slot in ("the", "the2"))
        if is_missing(question) or first is None or second is None:
            continue
        if question.intent == "ask_bigger":
            sizes = [SIZES.index(item.size) for item in (first, second)]
            larger = first if sizes[0] > sizes[1] else second
            assert (question.expected == {"names": [larger.name]}) == (sizes[0] != sizes[1])
        else:
            what = {"size": "size", "style": "style", "color": "colour", "colour": "colour"}
            field = what[question.slots["attribute"].split()[-1]]
            values = [
                item.colour or thing(item.name).colour_in(item.style or "flat")
                if field == "colour"
                else getattr(item, field)
                for item in (first, second)
            ]
            assert question.expected == {"yes": values[0] == values[1]}
        read += 1
    assert read > 80


def test_categories(asked: Asked) -> None:
    for _, question in of(asked, "ask_category"):
        assert question.subject is not None
        words = {"clothing": "clothing", "instrument": "instrument"}
        told = "shape" if question.subject.style is None else thing(question.subject.name).category
        assert question.expected == {"any_of": [words.get(told, told)]}
        assert told in question.answer.lower()


def test_facts_of_one(asked: Asked) -> None:
    for _, question in of(asked, "ask_fact_of"):
        assert question.subject is not None
        held = [thing(question.subject.name).holds(fact) for fact in facts() if _asks(question, fact)]
        assert question.expected["yes"] in held
        assert question.answer in ("Yes.", "No.")


def _asks(question: Question, fact: str) -> bool:
    """Whether a question's words may be those for a fact."""
    words = set(words_of(question.slots["fact_question"]))
    frames = read_phrases()["facts"][fact]["question"] if fact in read_phrases()["facts"] else ()
    forms = {"be": ("is", "are"), "do": ("does", "do"), "have": ("has", "have")}
    for frame in frames:
        for one in (0, 1):
            said = frame.format(the="", **{slot: found[one] for slot, found in forms.items()})
            if set(words_of(said)) <= words:
                return True
    return False


def test_an_intent_that_makes_no_sense_gives_none() -> None:
    empty = Scene("beach")
    for intent in ("ask_where", "ask_bigger", "ask_relation", "ask_biggest", "ask_extreme", "ask_fact_of"):
        found = [ask(random.Random(seed), empty, intent) for seed in range(20)]
        assert all(question is None or is_missing(question) for question in found)


def test_withheld_frames_are_withheld() -> None:
    source, known = random.Random(3), things_of(286)
    scene = sample_scene(source, known, least=3)
    for _ in range(200):
        question = ask(source, scene, only_withheld=True)
        assert question is not None
        assert corpus.withheld_frames(question.intent)
        assert ask(source, scene, withhold=True) is not None


def test_places_of_what_is_asked(asked: Asked) -> None:
    for scene, question in of(asked, "ask_what_at"):
        if question.subject is not None:
            assert scene.at(question.subject.place) is question.subject
            assert question.expected == {"names": [question.subject.name]}
        else:
            assert question.answer == "Nothing."


def test_no_text_is_asked_often(asked: Asked) -> None:
    texts = Counter(question.text for _, question in asked)
    assert len(texts) / len(asked) > 0.75
    assert all(first != second for first, second in pairwise(sorted(texts)))


def test_every_scene_has_a_question() -> None:
    source = random.Random(4)
    for _ in range(3000):
        assert ask(source, Scene("white")) is not None


def test_it_is_fast() -> None:
    make(100)
    source, known = random.Random(2), things_of(286)
    scenes = [sample_scene(source, known) for _ in range(2000)]
    begin = time.perf_counter()
    for scene in scenes:
        ask(source, scene)
    assert len(scenes) / (time.perf_counter() - begin) > 750  # twice that where nothing else runs
