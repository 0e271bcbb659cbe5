"""What is known about things is consistent, and right where it was looked up."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections import Counter

import pytest

from genllava.errors import InvalidRequest
from genllava_finetune.worlds.things.knowledge.things import (
    STYLES,
    by_word,
    categories,
    facts,
    plural_of,
    thing,
    things,
    words,
)

TRUE = {
    "eagle": "flies has_wings bird lays_eggs wild is_alive animal seen_in_sky",
    "penguin": "bird lays_eggs is_alive wild",
    "dog": "mammal pet has_four_legs is_alive",
    "cow": "mammal farm has_four_legs",
    "whale": "mammal lives_in_water",
    "bat": "mammal flies has_wings",
    "butterfly": "insect flies has_wings",
    "unicorn": "imaginary",
    "rose": "flower grows is_alive plant",
    "palm tree": "tree grows plant",
    "apple": "fruit eaten grows sweet food",
    "carrot": "vegetable eaten grows",
    "cookie": "baked sweet eaten",
    "ice cream": "is_cold eaten sweet",
    "cup of coffee": "drunk is_hot drink",
    "bicycle": "has_wheels ridden vehicle",
    "truck": "has_wheels has_motor ridden",
    "ship": "goes_on_water has_motor",
    "fire truck": "for_emergencies has_wheels",
    "helicopter": "flies has_motor ridden",
    "house": "building_to_live_in building",
    "sun": "is_hot gives_light seen_in_sky",
    "snowman": "is_cold",
    "cap": "worn worn_on_head",
    "socks": "worn worn_on_feet",
    "violin": "makes_music has_strings instrument",
    "basketball": "sport played_with",
    "umbrella": "used_in_rain",
    "pencil": "used_for_writing",
    "scissors": "cuts",
    "broom": "cleans",
    "basket": "holds_things",
    "candle": "gives_light",
    "alarm clock": "tells_time",
    "chair": "furniture has_four_legs",
    "laptop": "electronic",
}
FALSE = {
    "penguin": "flies mammal pet",
    "whale": "has_four_legs lays_eggs",
    "spider": "insect has_wings mammal",
    "bat": "bird lays_eggs",
    "snake": "has_four_legs has_wings",
    "lion": "farm pet flies",
    "lemon": "sweet",
    "rooster": "mammal",
    "bicycle": "has_motor flies",
    "canoe": "has_wheels has_motor",
    "chair": "eaten is_alive",
    "drum": "has_strings",
    "hospital": "building_to_live_in",
    "snowflake": "is_hot",
    "carrot": "animal drunk",
}
NEVER_BOTH = [
    ("is_hot", "is_cold"),
    ("farm", "wild"),
    ("pet", "wild"),
    ("mammal", "bird"),
    ("mammal", "insect"),
    ("fruit", "vegetable"),
    ("worn_on_head", "worn_on_feet"),
    ("is_alive", "imaginary"),
]
ONLY_WITH = {
    "worn_on_head": "worn",
    "worn_on_feet": "worn",
    "has_strings": "makes_music",
    "baked": "eaten",
    "fruit": "eaten",
    "vegetable": "eaten",
    "bird": "has_wings",
    "flower": "grows",
    "goes_on_water": "ridden",
    "for_emergencies": "has_motor",
}


def test_all_are_there() -> None:
    assert len(things()) == 286
    for field in ("name", "file", "hexcode", "label", "plural"):
        seen = Counter(getattr(each, field) for each in things())
        assert all(seen), field
        assert seen.most_common(1)[0][1] == 1, field
    assert Counter(each.category for each in things()).keys() == categories().keys()


def test_facts_are_defined_and_used() -> None:
    known = {*facts(), *categories()}
    for each in things():
        assert each.facts <= facts().keys(), each.name
        assert each.unsure <= known, each.name
        assert not each.facts & each.unsure, each.name
    used = frozenset[str]().union(*(each.facts for each in things()))
    assert used == facts().keys()
    assert all(sentence.endswith(".") and sentence[0].isupper() for sentence in facts().values())


def test_a_word_names_one_thing() -> None:
    owners = dict[str, str]()
    for each in things():
        for word in {each.name, each.plural, *each.synonyms}:
            assert owners.setdefault(word.lower(), each.name) == each.name, word
            assert word == word.lower().strip(), word
        assert each.name not in each.synonyms
        assert len(set(each.synonyms)) == len(each.synonyms) <= 5, each.name
        for word in each.synonyms:  # nor does its plural name another
            found = by_word(plural_of(word))
            assert found is each, word


def test_words_are_found_however_they_are_written() -> None:
    expected = {
        "puppy": "dog",
        "Kittens": "cat",
        "AUTO": "car",
        "aeroplane": "airplane",
        "  hot   dogs ": "hot dog",
        "bikes": "bicycle",
        "couches": "sofa",
        "mice": "mouse",
        "geese": "goose",
        "Statue of Liberty": "statue of liberty",
        "pairs of jeans": "jeans",
        "berries": None,
        "": None,
    }
    found = {word: by_word(word) for word in expected}
    assert {word: each and each.name for word, each in found.items()} == expected
    assert set(words().values()) == set(things())


def test_names_fit_into_sentences() -> None:
    assert (thing("owl").article, thing("cat").article, thing("unicorn").article) == ("an", "a", "a")
    assert (thing("scissors").article, thing("bread").article) == ("a pair of", "a loaf of")
    assert [thing(name).many for name in ("scissors", "books", "bus", "fish")] == [True, True, False, False]
    for each in things():
        assert each.article in {"a", "an", "the"} or each.article.endswith(" of"), each.name
        assert each.many <= each.article.endswith(" of"), each.name
        if each.article.endswith(" of"):  # "a loaf of bread, two loaves of bread"
            assert each.plural.endswith(f" of {each.name}"), each.name
    words_of_their_own = (
        "wolf mouse goose deer moose bison sheep fish shrimp jellyfish squid cactus mango potato tomato "
    )
    words_of_their_own += "tornado volcano scarf snowman"
    irregular = {*words_of_their_own.split(), "maple leaf", "statue of liberty"}
    irregular |= {"cup of coffee", "glass of milk", "drop of water"}
    unlike = {
        each.name for each in things() if each.plural != plural_of(each.name) and not each.article.endswith(" of")
    }
    assert unlike == irregular


def test_colours() -> None:
    assert thing("banana").colour == "yellow"
    assert thing("umbrella").colour is None
    assert [thing("umbrella").colour_in(style) for style in STYLES] == ["purple", "purple", "blue"]
    assert (thing("zebra").colour, thing("zebra").colour_in("flat")) == (None, None)
    for each in things():
        assert len(each.colours) in (0, len(STYLES)), each.name
        assert each.recolour <= bool(each.colours), each.name


@pytest.mark.parametrize("name", TRUE)
def test_true(name: str) -> None:
    assert [what for what in TRUE[name].split() if thing(name).holds(what) is not True] == []


@pytest.mark.parametrize("name", FALSE)
def test_false(name: str) -> None:
    assert [what for what in FALSE[name].split() if thing(name).holds(what) is not False] == []


def test_what_people_argue_about_is_neither() -> None:
    for name, what in (("tomato", "fruit"), ("peacock", "lays_eggs"), ("umbrella", "clothing"), ("horse", "wild")):
        assert thing(name).holds(what) is None, name
    with pytest.raises(InvalidRequest, match="no fact and no category"):
        thing("cat").holds("is_nice")
    with pytest.raises(InvalidRequest, match="no thing"):
        thing("wombat")


def test_facts_do_not_contradict() -> None:
    for one, other in NEVER_BOTH:
        assert [each.name for each in things() if {one, other} <= each.facts] == []
    for one, other in ONLY_WITH.items():
        unlike = [each.name for each in things() if one in each.facts and each.holds(other) is False]
        assert unlike == []
    for each in things():
        if each.facts & {"mammal", "bird", "reptile", "insect", "lives_in_water", "farm", "wild", "pet", "lays_eggs"}:
            assert each.category == "animal", each.name
        if each.category == "animal":
            assert each.holds("is_alive") is not False, each.name
        if each.category == "food":
            assert "eaten" in each.facts, each.name
        if each.category == "instrument":
            assert "makes_music" in each.facts, each.name
        if each.category == "vehicle":
            assert each.holds("ridden") is not False, each.name


def test_things_can_be_kept_and_sent() -> None:
    assert len({hash(each) for each in things()}) == len(things())
    assert pickle.loads(pickle.dumps(things())) == things()


def test_knowing_loads_nothing_heavy() -> None:
    code = (
        "import sys; from genllava_finetune.worlds.things.knowledge.things import things; things(); "
        "print([name for name in ('numpy', 'torch', 'PIL', 'filelock', 'resvg_py') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
