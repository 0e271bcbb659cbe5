"""The language of the things world: frames, what fills them, and references that mean one item and no other.

What a reference means is read here by a reader of its own, which knows the words and the scene and nothing of how the
reference was made.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

import pytest

from genllava.errors import InvalidRequest
from genllava_finetune.worlds.things.knowledge.things import categories, facts, thing, things
from genllava_finetune.worlds.things.language import answers, corpus, phrases
from genllava_finetune.worlds.things.language.agreement import agreeing, is_plural
from genllava_finetune.worlds.things.language.nouns import forms, general_words
from genllava_finetune.worlds.things.language.phrases import Wanted
from genllava_finetune.worlds.things.language.typed import as_typed, cleaned
from genllava_finetune.worlds.things.language.wording import article, many_of, pool, read_phrases
from genllava_finetune.worlds.things.pictures.sampling import sample_scene
from genllava_finetune.worlds.things.pictures.scene import (
    BACKGROUNDS,
    COLOURS,
    PLACES,
    SHAPES,
    SIZES,
    STYLES,
    Item,
    Scene,
)

_SLOTS = {
    "a": "a cat", "a2": "a small dog", "the": "the house", "the2": "the left tree", "things": "apples",
    "things2": "pears", "list": "a bus and a car", "list2": "a kite", "kinds": "two animals", "on": "on a beach",
    "background": "a beach", "place": "at the top", "direction": "to the left", "rel": "above", "style": "flat",
    "colour": "red", "size": "small", "number": "two", "category": "an animal", "fact_thing": "something to eat",
    "does": "can fly", "fact_question": "can the bird fly", "attribute": "size", "extreme": "leftmost",
    "picture": "picture 2", "picture2": "picture 3", "question": "how many cats are there", "first": "draw a cat",
    "second": "make it red", "third": "undo", "text": '"Happy Birthday"', "degrees": "90 degrees", "width": "640",
    "height": "480", "unknown": "a submarine",
}  # fmt: skip


def _scenes(count: int, least: int = 1, seed: int = 0, free: bool = True) -> list[Scene]:
    source = random.Random(seed)
    return [sample_scene(source, things(), least=least, free=free) for _ in range(count)]


# Frames


def test_every_frame_of_every_intent_is_filled_and_no_slot_is_left() -> None:
    for intent in corpus.intents():
        for frame in corpus.frames(intent):
            text = cleaned(frame.text.format_map(_SLOTS))
            assert "{" not in text
            assert "}" not in text
            assert "  " not in text
            for slot in corpus.slots_of(frame.text):
                assert _SLOTS[slot] in text, frame


def test_families_are_withheld_alike_in_every_process_and_never_a_whole_intent() -> None:
    withheld = {frame.family for intent in corpus.intents() for frame in corpus.withheld_frames(intent)}
    families = {frame.family for intent in corpus.intents() for frame in corpus.frames(intent)}
    assert 0.1 < len(withheld) / len(families) < 0.2
    assert {"ask_count/odd", "draw/odd"} & families
    for intent in corpus.intents():
        kept, left_out = corpus.frames(intent, withhold=True), corpus.withheld_frames(intent)
        assert kept
        assert {*kept, *left_out} == {*corpus.frames(intent)}
        assert not {frame.family for frame in kept} & {frame.family for frame in left_out}


def test_of_families_that_would_all_be_withheld_one_stays() -> None:
    lone = [f"x/{number}" for number in range(100) if corpus.choose_withheld([f"x/{number}", "a/a", "a/b", "a/c"])]
    both = [each for each in lone if each in corpus.choose_withheld([each, "a/a", "a/b", "a/c"])][:2]
    assert len(both) == 2
    assert len(corpus.choose_withheld(both)) == 1
    assert not corpus.choose_withheld(both[:1])


def test_say_keeps_to_withheld_families_or_away_from_them() -> None:
    intent = next(each for each in corpus.intents() if corpus.withheld_frames(each))
    source = random.Random(3)

    def bare(text: str) -> str:
        return "".join(letter for letter in text.lower() if letter.isalpha())

    inside = {bare(cleaned(frame.text.format_map(_SLOTS))) for frame in corpus.withheld_frames(intent)}
    for _ in range(300):
        said = bare(corpus.say(source, intent, _SLOTS, only_withheld=True))
        assert said in inside or min(abs(len(said) - len(each)) for each in inside) <= 2  # a slip
    unslipped = [bare(corpus.say(source, intent, _SLOTS, withhold=True)) in inside for _ in range(300)]
    assert not any(unslipped)


def test_the_same_seed_says_the_same() -> None:
    def text(seed: int) -> list[str]:
        source, said = random.Random(seed), list[str]()
        for scene in _scenes(40, seed=7):
            wanteds = [phrases.wanted_of(item, "style", "place", "colour", "size") for item in scene]
            slots = {"list": phrases.new_list(source, wanteds), "on": phrases.on(source, scene.background)}
            said.append(corpus.say(source, "draw_on", slots))
            said += [phrases.the(source, item, scene) for item in scene]
        return said

    assert text(1) == text(1)
    assert text(1) != text(2)


def test_say_refuses_what_the_corpus_has_not() -> None:
    with pytest.raises(InvalidRequest, match="no intent"):
        corpus.say(random.Random(0), "fly_away", {})
    with pytest.raises(InvalidRequest, match="not given"):
        corpus.say(random.Random(0), "recolour", {"the": "the cat"})
    with pytest.raises(InvalidRequest, match="no reply"):
        corpus.reply(random.Random(0), "fly_away")


def test_replies_use_only_the_slots_that_are_given() -> None:
    source = random.Random(0)
    for _ in range(50):
        assert "{" not in corpus.reply(source, "hello")
        assert "the cat" in corpus.reply(source, "missing", thing="the cat")
    assert len(corpus.unknown_things()) > 300


# Typing


def test_double_articles_and_spaces_are_mended() -> None:
    assert cleaned("is there a a cat") == "is there a cat"
    assert cleaned("The the cat  there ") == "the cat there"
    assert cleaned("paint an the a sun, a cat") == "paint a sun, a cat"
    assert cleaned("an area there") == "an area there"


def test_typing_keeps_numbers_short_words_and_what_is_in_quotes() -> None:
    source = random.Random(0)
    text = "write \"Mixed Case Words\" 640 and the cat, 'Other Words' kept Letters so"
    slips = 0
    for _ in range(3000):
        typed = as_typed(source, text, kept="kept Letters")
        assert '"Mixed Case Words"' in typed
        assert "'Other Words'" in typed
        assert "kept Letters" in typed
        assert " 640 and the cat," in typed.lower()
        slips += typed.lower().rstrip(".!:) ")[:5] != "write"
    assert 0.03 < slips / 3000 < 0.2


def test_slips_happen_in_one_text_of_eight_and_make_no_other_word_of_the_world() -> None:
    source = random.Random(0)
    text = "three coat goat crab cart plane clock"
    typed = [as_typed(source, text).lower().rstrip(".!:) ") for _ in range(4000)]
    assert 0.09 < sum(each != text for each in typed) / len(typed) < 0.14
    found = {word for each in typed for word in each.split()}
    assert not found & {"tree", "cat", "cab", "lock", "plant", "boat", "got"} - {"got"}


def test_other_scripts_stay_as_they_are() -> None:
    assert {as_typed(random.Random(seed), "Нарисуй кошку!") for seed in range(50)} == {"Нарисуй кошку!"}


# New things


@pytest.mark.parametrize(
    ("words", "expected"),
    [("cat", "a"), ("orange cat", "an"), ("unicorn", "a"), ("UFO", "a"), ("ufo", "a"), ("umbrella", "an"),
     ("3D ant", "a"), ("enormous dog", "an"), ("hourglass", "an"), ("T-shirt", "a"), ("one-wheeler", "a")],
)  # fmt: skip
def test_article_by_sound(words: str, expected: str) -> None:
    assert article(words) == expected


@pytest.mark.parametrize(
    ("one", "many"),
    [("slice of pizza", "slices of pizza"), ("autumn leaf", "autumn leaves"), ("puppy", "puppies"), ("box", "boxes"),
     ("loaf of bread", "loaves of bread"), ("elk", "elk"), ("plus sign", "plus signs"), ("cross", "crosses")],
)  # fmt: skip
def test_plural(one: str, many: str) -> None:
    assert many_of(one) == many


def _new(wanted: Wanted, how: Callable[..., str] = phrases.new) -> set[str]:
    source = random.Random(0)
    return {how(source, wanted) for _ in range(400)}


def test_new_things_have_their_articles() -> None:
    assert {"a pair of glasses", "glasses", "some glasses"} <= _new(Wanted("glasses"))
    assert not {"a glasses", "a spectacles"} & _new(Wanted("glasses"))
    assert {"a loaf of bread", "some bread"} <= _new(Wanted("bread"))
    assert "a bread" not in _new(Wanted("bread"))
    assert {"the statue of liberty", "the Statue of Liberty"} <= _new(Wanted("statue of liberty"))
    assert {"two pairs of glasses", "2 pairs of glasses"} <= _new(Wanted("glasses", count=2))
    assert {"an animal", "a creature"} == _new(Wanted("animal"))
    assert {"red stars", "red star shapes"} <= _new(Wanted("star", colour="red", shape=True), phrases.plural)
    assert "star" not in _new(Wanted("star", shape=True), phrases.bare)  # that would be the one in the sky
    assert {"three birds", "3 birds"} == _new(Wanted("bird", count=3))
    assert "red things" in _new(Wanted("thing", colour="red"), phrases.plural)
    with pytest.raises(InvalidRequest, match="nothing called"):
        forms("submarine")


def test_every_thing_can_be_said_alone_and_in_number() -> None:
    source = random.Random(0)
    bad = ("a a ", "a an ", "an a ", "the the ", "  ", "{", "None")
    wanteds = [Wanted(each.name) for each in things()] + [Wanted(shape, shape=True, colour="red") for shape in SHAPES]
    for wanted in wanteds:
        for count in (1, 1, 1, 2, 5):
            for size, style, place in ((None, None, None), ("large", None, "top"), ("small", "3d", None)):
                each = Wanted(wanted.name, style, size, wanted.colour, place, wanted.shape, count)
                for how in (phrases.new, phrases.bare, phrases.plural):
                    said = how(source, each)
                    assert not any(wrong in f" {said} " for wrong in bad), said
                    first, _, rest = said.partition(" ")
                    if first in ("a", "an"):
                        assert first == article(rest), said


def test_what_is_wanted_is_said_and_nothing_else() -> None:
    source = random.Random(1)
    groups = {"sizes": SIZES, "colours": COLOURS, "style_adjectives": STYLES, "places": PLACES}
    item = Item("rabbit", "small", "bottom left", "3d")
    for _ in range(300):
        said = f" {phrases.new(source, phrases.wanted_of(item, 'size', 'place'))} "
        assert any(f" {word} " in said for word in pool("sizes", "small"))
        assert any(f" {word} " in said for word in pool("places", "bottom left"))
        for group, names in groups.items():
            for name in set(names) - {"small", "bottom left", "left", "bottom"}:
                assert not any(f" {word} " in said for word in pool(group, name)), said
    assert phrases.wanted_of(Item("circle", "small", "top", None, "red"), "colour") == Wanted(
        "circle", colour="red", shape=True
    )


def test_lists_hold_all_their_things() -> None:
    source = random.Random(2)
    names = ["zebra", "tractor", "castle"]
    for count in (1, 2, 3):
        wanteds = [Wanted(name, place=place) for name, place in zip(names, PLACES, strict=False)][:count]
        for _ in range(200):
            said = phrases.new_list(source, wanteds)
            assert all(any(word in said for word in forms(name).one) for name in names[:count]), said
            assert "  " not in said
            assert not said.startswith((",", " "))


# References


def _shared_words() -> dict[str, set[str]]:
    """For every phrase for a place the cells that somebody may understand by it."""
    found = dict[str, set[str]]()
    for place in PLACES:
        row, column = divmod(PLACES.index(place), 3)
        wide = {place}
        if place in ("top", "bottom"):
            wide = {each for number, each in enumerate(PLACES) if number // 3 == row}
        if place in ("left", "right"):
            wide = {each for number, each in enumerate(PLACES) if number % 3 == column}
        for phrase in pool("places", place):
            found[phrase] = found.get(phrase, set()) | wide
    for place in read_phrases()["exact"]:
        for phrase in pool("exact", place):
            found[phrase] = {place}
    return found


_CELLS = _shared_words()


def _colour(item: Item) -> str | None:
    return item.colour or (thing(item.name).colour_in(item.style) if item.style else None)


def _called(item: Item, noun: str) -> bool:
    """Whether somebody may call an item so."""
    noun = noun.lower()
    if noun in ("thing", "object", "item", "one"):
        return True
    if item.style is None:
        return noun in (item.name, *pool("shapes", item.name), "shape", "geometric shape", "geometric figure")
    known = thing(item.name)
    odd = read_phrases()["odd_words"]  # "red apple": its colour is said, and it may be another one
    own = {known.name, *known.synonyms, f"{known.article} {known.name}".split(" ", 1)[1]} - {*odd}
    if noun in own or any(word.endswith(f" {noun}") for word in own):
        return True
    for name in {*categories(), *phrases.KINDS}:
        if any(noun == one for one, _ in general_words(name)) and known.holds(name) is not False:
            return True
    return False


Test = Callable[[Item], bool]
_TAILS: dict[str, Test] = {}
_HEADS: dict[str, Test] = {}
_EXTREMES: dict[str, Callable[[Item], float]] = {}


def _fill_tables() -> None:
    for phrase, cells in _CELLS.items():
        _TAILS[phrase] = partial(_in, "place", cells)
    for style in STYLES:
        _TAILS.update({phrase: partial(_in, "style", {style}) for phrase in pool("style_phrases", style)})
        _HEADS.update({phrase: partial(_in, "style", {style}) for phrase in pool("style_adjectives", style)})
    for size in SIZES:
        _HEADS.update({phrase: partial(_in, "size", {size}) for phrase in pool("sizes", size)})
    for colour in read_phrases()["colours"]:
        _HEADS.update({phrase: partial(_coloured, colour) for phrase in pool("colours", colour)})
    order: dict[str, Callable[[Item], float]] = {
        "left": lambda item: item.middle[0],
        "right": lambda item: -item.middle[0],
        "up": lambda item: item.middle[1],
        "down": lambda item: -item.middle[1],
    }
    for side, value in order.items():
        _EXTREMES.update({word: value for how in ("two", "any") for word in pool("sides", side, how)})
    for size in ("bigger", "biggest"):
        _EXTREMES.update({word: lambda item: -SIZES.index(item.size) for word in pool(size)})
    for size in ("smaller", "smallest"):
        _EXTREMES.update({word: lambda item: SIZES.index(item.size) for word in pool(size)})


def _in(field: str, values: set[str], item: Item) -> bool:
    return getattr(item, field) in values


def _coloured(colour: str, item: Item) -> bool:
    return _colour(item) in (None, colour)


_fill_tables()
_TAIL_WORDS = sorted(_TAILS, key=len, reverse=True)
_HEAD_WORDS = sorted({**_HEADS, **_EXTREMES}, key=len, reverse=True)


def _meant(text: str, scene: Scene) -> list[Item]:
    """The items of a scene that a reference may mean."""
    assert text.startswith("the "), text
    rest, tests = text[4:], list[Test]()
    most: Callable[[Item], float] | None = None
    if not any(_called(item, rest) for item in scene):
        tail = next((each for each in _TAIL_WORDS if rest.endswith(f" {each}")), "")
        rest = rest.removesuffix(f" {tail}")
        tests += [_TAILS[tail]] if tail else []
    if not any(_called(item, rest) for item in scene):
        head = next((each for each in _HEAD_WORDS if rest.startswith(f"{each} ")), "")
        rest = rest.removeprefix(f"{head} ")
        most = _EXTREMES.get(head)
        tests += [_HEADS[head]] if head in _HEADS else []
    found = [item for item in scene if _called(item, rest) and all(passes(item) for passes in tests)]
    if most is not None and found:
        best = min(map(most, found))
        found = [item for item in found if most(item) - best < 0.1]
    return found


def test_a_reference_means_its_item_and_no_other() -> None:
    source = random.Random(5)
    wrong, said = list[str](), set[str]()
    for scene in _scenes(2500, least=1, seed=11):
        for item in scene:
            text = phrases.the(source, item, scene)
            said.add(text)
            if _meant(text, scene) != [item]:
                wrong.append(f"{text!r} for {item} in {scene.items}: {[each.name for each in _meant(text, scene)]}")
    assert not wrong, "\n".join(wrong[:10])
    assert len(said) > 2000  # in many words


def test_references_in_crowded_scenes_of_few_kinds() -> None:
    source = random.Random(6)
    known = [thing(name) for name in ("cat", "dog", "star", "car", "police car", "apple", "orange")]
    for _ in range(1500):
        scene = sample_scene(source, known, least=4)
        for item in scene:
            text = phrases.the(source, item, scene)
            assert _meant(text, scene) == [item], f"{text!r} in {scene.items}"


def test_the_star_of_the_sky_and_the_shape_are_told_apart() -> None:
    sky, shape = Item("star", "small", "left", "3d"), Item("star", "small", "right", None, "red")
    scene = Scene("white", (sky, shape))
    source = random.Random(0)
    for _ in range(500):
        assert phrases.the(source, sky, scene) != "the star"
        assert "yellow" not in phrases.the(source, sky, Scene("white", (sky, Item("cat", "small", "top", "3d"))))
        assert phrases.the(source, shape, scene) != "the star"


def test_it_is_said_of_what_was_spoken_of_half_of_the_time() -> None:
    scene = Scene("white", (Item("cat", "small", "left", "3d"), Item("dog", "small", "right", "3d")))
    cat, dog = scene.items
    source = random.Random(0)
    its = [phrases.the(source, cat, scene, focus=cat) in ("it", "that", "that one", "this one") for _ in range(1000)]
    assert 0.42 < sum(its) / 1000 < 0.58
    assert not any(phrases.the(source, cat, scene, focus=dog).startswith(("it", "tha", "thi")) for _ in range(300))


def test_no_words_for_a_place_are_those_for_another() -> None:
    for group in ("places", "bare_places", "directions", "relations", "colours", "sizes", "style_adjectives"):
        for first in read_phrases()[group]:
            for second in read_phrases()[group]:
                shared = {*pool(group, first)} & {*pool(group, second)}
                assert first == second or not shared, (group, first, second, shared)


# The other slots


def test_every_value_of_every_slot_has_words() -> None:
    source = random.Random(0)
    for _ in range(20):
        for place in PLACES:
            assert phrases.place(source, place)
            assert phrases.bare_place(source, place)
        for background in BACKGROUNDS:
            assert phrases.on(source, background)
            assert phrases.background(source, background)
        for relation in ("left of", "right of", "above", "below", "next to", "between"):
            assert phrases.relation(source, relation)
        for side in ("left", "right", "up", "down"):
            assert phrases.direction(source, side)
            assert phrases.extreme(source, side)
    for group in ("places", "directions", "relations", "sizes", "style_adjectives", "style_phrases"):
        assert all(len(pool(group, value)) >= 8 for value in read_phrases()[group]), group


def test_pictures_are_named_by_their_numbers() -> None:
    source = random.Random(0)
    first = {phrases.picture(source, 1, 4) for _ in range(400)}
    assert {"the first picture", "picture 1", "the very first picture"} <= first
    assert not any("second" in each or "previous" in each or "latest" in each for each in first)
    assert "the previous picture" in {phrases.picture(source, 3, 4) for _ in range(400)}


def test_facts_have_words_that_agree_with_the_thing() -> None:
    assert set(phrases.ASKED_FACTS) <= set(facts())
    source = random.Random(0)
    for fact in phrases.ASKED_FACTS:
        for _ in range(30):
            assert phrases.fact_thing(source, fact)
            assert phrases.does(source, fact)
            one = phrases.fact_question(source, fact, "the X")
            many = phrases.fact_question(source, fact, "the Xs", many=True)
            assert "the X" in one
            assert "{" not in one + many
            assert not one.startswith("do the")
            assert not many.startswith(("is ", "does ", "has "))
    with pytest.raises(InvalidRequest, match="no words"):
        phrases.does(source, "sings")


def test_verbs_agree_with_what_stands_beside_them() -> None:
    frame = "where is {the}? Is there {a}, {the} has {a2}, isn't {the2} big"
    one = {"the": "the cat", "a": "a pair of glasses", "a2": "a dog", "the2": "the wine glass"}
    assert agreeing(frame, one) == frame
    many = {"the": "the small glasses", "a": "two cats", "a2": "a dog", "the2": "the fries"}
    assert agreeing(frame, many) == "where are {the}? Are there {a}, {the} have {a2}, aren't {the2} big"
    assert phrases.fact_question(random.Random(0), "insect", "the jeans on the left").startswith(("are", "do", "would"))
    assert is_plural("some scissors")
    assert not is_plural("some bread")
    assert not is_plural("the stack of books")


def test_who_shouts_shouts_all_of_it() -> None:
    loud = [frame for frame in corpus.frames("recolour") if corpus.is_loud(frame.text)]
    assert 0 < len(loud) < 0.1 * len(corpus.frames("recolour"))
    frame = loud[0]
    text = frame.text.format_map({"the": "the cat", "colour": "red"})
    typed = [as_typed(random.Random(seed), text, slips=False, loud=True) for seed in range(400)]
    assert 0.6 < sum("CAT" in each for each in typed) / 400 < 0.8


# Answers


def test_answers_use_the_plain_words() -> None:
    dog = Item("dog", "small", "left", "3d")
    glasses = Item("glasses", "small", "top", "flat")
    circle = Item("circle", "large", "right", None, "orange")
    other = Item("dog", "large", "bottom left", "flat")
    scene = Scene("beach", (dog, glasses, circle, other))
    assert answers.say_list(scene) == "a pair of glasses, two dogs and an orange circle"
    assert answers.say_list([]) == "nothing"
    assert answers.say_list([dog, other, circle], definite=True) == "the two dogs and the orange circle"
    assert answers.say_item(glasses, definite=True) == "the glasses"
    assert answers.say_the(dog, scene) == "the dog on the left"
    assert answers.say_the(circle, scene) == "the orange circle"
    assert answers.say_several(circle, 2) == "two orange circles"
    assert answers.say_place("top left") == "at the top left"
    assert answers.say_on("sand") == "on a sand background"
    assert answers.sentence("a cat and a dog") == "A cat and a dog."
    assert answers.is_many(glasses)
    assert not answers.is_many(circle)
