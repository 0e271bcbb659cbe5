"""Random requests of the things world: what is right after them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from genllava.errors import InvalidRequest
from genllava_finetune.worlds.things.knowledge.things import things_of
from genllava_finetune.worlds.things.language import corpus
from genllava_finetune.worlds.things.language.phrases import Wanted
from genllava_finetune.worlds.things.pictures.plan import read_plan, write_plan
from genllava_finetune.worlds.things.pictures.relating import RELATIONS, places_by, places_towards, related
from genllava_finetune.worlds.things.pictures.sampling import sample_scene
from genllava_finetune.worlds.things.pictures.scene import PLACES, SIDES, Item, Scene, overlap
from genllava_finetune.worlds.things.requests.arranging import Relation, arranged
from genllava_finetune.worlds.things.requests.edits import Change, apply
from genllava_finetune.worlds.things.requests.requests import (
    DRAWING,
    EDITING,
    IMPOSSIBLE,
    Request,
    draw,
    edit,
    impossible,
    scene_for,
)
from tests.finetune.worlds.things.checking import drawn_right, edited_right

KNOWN = things_of(286)
CAT = Item("cat", "small", "left", "flat", None, (0.05, -0.05))
DOG = Item("dog", "large", "center", "cartoon")
CIRCLE = Item("circle", "medium", "top right", None, "blue")
SCENE = Scene("meadow", (CAT, DOG, CIRCLE))


def _scenes(seed: int, least: int = 1) -> Iterator[tuple[random.Random, Scene]]:
    source = random.Random(seed)
    while True:
        if source.random() < 0.3:
            yield source, scene_for(source, KNOWN, count=source.randint(2, 5), recolourable=source.random() < 0.5)
        else:
            yield source, sample_scene(source, KNOWN, least=least, free=source.random() < 0.5)


def _edits(intent: str | None, count: int, seed: int = 1) -> list[tuple[Scene, Request]]:
    found = list[tuple[Scene, Request]]()
    for tried, (source, scene) in enumerate(_scenes(seed)):
        focus = source.choice(scene.items) if source.random() < 0.5 else None
        request = edit(source, scene, KNOWN, intent, focus)
        if request is not None:
            found.append((scene, request))
        if len(found) == count:
            break
        assert tried < 60 * count, f"{intent} hardly ever comes about"
    return found


@pytest.mark.parametrize("intent", DRAWING)
def test_new_pictures_are_what_was_asked(intent: str) -> None:
    done = 0
    for source, scene in _scenes(2, least=0):
        request = draw(source, KNOWN, intent, scene=scene)
        if request is None:
            continue
        assert request.intent == intent
        expected: Any = request.expected["draws"]
        assert drawn_right(request.scene, expected), request
        assert read_plan(write_plan(request.scene)) == request.scene
        assert request.change is None
        done += 1
        if done == 60:
            return


@pytest.mark.parametrize("intent", EDITING)
def test_changes_are_what_was_asked_and_all_else_stays(intent: str) -> None:
    for scene, request in _edits(intent, 60):
        assert request.intent == intent
        edits: Any = request.expected["edits"]
        assert edited_right(scene, request.scene, edits), (scene, request)
        assert request.scene.key != scene.key
        assert request.change is not None
        assert apply(scene, request.change) == request.scene
        assert read_plan(write_plan(request.scene)) == request.scene.centred()
        assert request.focus is None or request.focus in request.scene.items


def test_the_checks_see_what_is_wrong() -> None:
    for scene, request in _edits(None, 300, seed=5):
        edits: Any = request.expected["edits"]
        assert not edited_right(scene, scene, edits)
        if request.scene.items:
            assert not edited_right(scene, Scene(request.scene.background, request.scene.items[1:]), edits)


def test_what_grows_or_moves_stays_in_its_cell() -> None:
    for scene, request in _edits(None, 800, seed=3):
        for item in request.scene.items:
            if item in scene.items:
                continue
            others = [other for other in request.scene.items if other != item]
            assert all(overlap(item, other) < 0.1 for other in others), (scene, request)
            assert -0.02 <= min(item.box) < max(item.box) <= 1.02


def test_every_intent_of_the_corpus_is_made_and_comes_about() -> None:
    for file, made in (("drawing", DRAWING), ("editing", EDITING)):
        assert set(made) == set(corpus._read(file)), file
    source = random.Random(6)
    drawn = Counter(r.intent for r in (draw(source, KNOWN, scene=SCENE) for _ in range(1500)) if r)
    assert set(drawn) == set(DRAWING)
    assert set(Counter(request.intent for _, request in _edits(None, 2500, seed=7))) == set(EDITING)


def _all(seed: int) -> list[Request | None]:
    source, found = random.Random(seed), list[Request | None]()
    for _ in range(150):
        scene = sample_scene(source, KNOWN)
        found += [draw(source, KNOWN, scene=scene), edit(source, scene, KNOWN), impossible(source, scene, KNOWN)]
    return found


def test_the_same_seed_makes_the_same_requests() -> None:
    assert _all(8) == _all(8)
    assert _all(8) != _all(9)


def test_withheld_families_are_left_out_or_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    source = random.Random(10)
    for _ in range(100):
        for request in (draw(source, KNOWN, only_withheld=True), edit(source, SCENE, KNOWN, only_withheld=True)):
            assert request is not None
            assert corpus.withheld_frames(request.intent)

    def say(*_: object, withhold: bool, only_withheld: bool) -> str:
        return f"{withhold} {only_withheld}"

    monkeypatch.setattr(corpus, "say", say)
    for request in (draw(source, KNOWN, withhold=True), edit(source, SCENE, KNOWN, withhold=True)):
        assert request is not None
        assert request.text == "True False"


@pytest.mark.parametrize("why", IMPOSSIBLE)
def test_what_is_impossible_is_answered_in_words(why: str) -> None:
    done = 0
    for source, scene in _scenes(11):
        request = impossible(source, scene, KNOWN, why)
        if request is None:
            continue
        assert request.scene == scene
        assert request.answer[:1].isupper()
        assert request.answer[-1] in ".?!"
        assert request.intent == f"impossible_{why}"
        assert request.expected == ({"asks": True} if why == "ambiguous" else {"declines": True})
        if why == "ambiguous":
            assert request.change is not None
            items = request.change.items
            assert len(items) >= 2
            assert len({item.kind for item in items}) == 1
            assert all(apply(scene, replace(request.change, items=(item,))) not in (None, scene) for item in items)
        else:
            assert request.change is None
        done += 1
        if done == 40:
            return


def test_what_is_not_there_is_not_there() -> None:
    for count, (source, scene) in enumerate(_scenes(12)):
        request = impossible(source, scene, KNOWN, "missing")
        if request is not None:
            said = request.answer.removesuffix(".").split(" no ")[1]
            assert said not in [item.name for item in scene.items], (request, scene)
        if count == 300:
            return


def test_unknown_things_get_an_offer_of_their_kind() -> None:
    from genllava_finetune.worlds.things.requests.impossible import _near, _nearest

    listed = {word for _, words in _near() for word in words}
    assert {name for things, _ in _near() for name in things} <= {t.name for t in KNOWN} | {"circle", "square"}
    assert all(any(f" {word} " in f" {each.lower()} " for word in listed) for each in corpus.unknown_things())
    assert _nearest("a submarine", [t.name for t in KNOWN], 0.5).name == "ship"
    assert _nearest("a hexagon", [t.name for t in KNOWN], 0.5).kind == ("circle", True)
    source = random.Random(1)
    assert impossible(source, None, KNOWN) is not None


def test_changes_that_cannot_be() -> None:
    full = Scene("white", tuple(Item("cat", "small", place, "3d") for place in PLACES[:5]))
    assert apply(full, Change("add", wanted=(Wanted("dog"),))) is None
    assert apply(SCENE, Change("add", wanted=(Wanted("dog", place="left"),))) is None
    assert apply(SCENE, Change("move", (CAT,), "center")) is None
    assert apply(SCENE, Change("push", (CAT,), "left")) is None
    assert apply(SCENE, Change("resize", (DOG,), "bigger")) is None
    assert apply(SCENE, Change("recolour", (DOG,), "red")) is None
    assert apply(SCENE, Change("restyle", (CIRCLE,), "3d")) is None
    assert apply(SCENE, Change("remove", (Item("cow", "small", "top", "3d"),))) is None


def test_what_is_left_open_is_filled_by_plain_rules() -> None:
    after = apply(SCENE, Change("add", wanted=(Wanted("cow"),), relation="above", others=(DOG,)))
    assert after is not None
    assert after.at("top") == Item("cow", "medium", "top", "3d")
    flat = Scene("white", (CAT, Item("cow", "small", "top", "flat"), DOG))
    after = apply(flat, Change("add", wanted=(Wanted("pig"),)))
    assert after is not None
    assert after.at("right") == Item("pig", "medium", "right", "flat")
    after = apply(SCENE, Change("replace", (CIRCLE,), wanted=(Wanted("square", shape=True),)))
    assert after is not None
    assert after.at("top right") == Item("square", "medium", "top right", None, "blue")
    after = apply(SCENE, Change("swap", (CAT, DOG)))
    assert after is not None
    assert [item.name for item in after.items] == ["circle", "dog", "cat"]
    assert [item.place for item in after.items] == ["top right", "left", "center"]
    assert all(abs(shift) <= 1 / 6 - SIDES["large"] / 2 for shift in after.items[1].shift)


def test_new_pictures_are_laid_out_by_plain_rules() -> None:
    names = [Wanted(name) for name in ("cat", "dog", "cow", "pig", "owl")]
    for count, places in (
        (1, ["center"]), (2, ["left", "right"]), (3, ["left", "center", "right"]),
        (4, ["top left", "top right", "bottom left", "bottom right"]),
        (5, ["top left", "top right", "center", "bottom left", "bottom right"]),
    ):  # fmt: skip
        scene = arranged(names[:count])
        assert scene is not None
        assert [item.place for item in scene.items] == places
        assert [item.name for item in scene.items] == [each.name for each in names[:count]]
    above = arranged(names[:3], [Relation(0, "next to", (1,)), Relation(1, "below", (2,))])
    assert above is not None
    assert {item.name: item.place for item in above.items} == {"dog": "center", "cat": "right", "cow": "top"}
    middle = arranged(names[:3], [Relation(0, "between", (1, 2))])
    assert middle is not None
    assert {item.name: item.place for item in middle.items} == {"dog": "left", "cat": "center", "cow": "right"}
    assert arranged([Wanted("cat", place="top left"), Wanted("dog")], [Relation(1, "above", (0,))]) is None
    assert arranged([Wanted("cat", count=6)]) is None


def test_relations_and_directions() -> None:
    for other in PLACES:
        for relation in RELATIONS:
            found = places_by(relation, (other,))
            assert all(related(place, relation, (other,)) for place in found)
            assert other not in found
    assert places_by("left of", ("center",)) == ("left", "top left", "bottom left")
    assert places_by("next to", ("center",))[:2] == ("right", "left")
    assert places_by("between", ("left", "right"))[0] == "center"
    assert places_towards("right", "left")[:2] == ("center", "left")
    assert places_towards("top", "up") == ()


def test_unknown_intents_are_refused() -> None:
    source = random.Random(1)
    with pytest.raises(InvalidRequest):
        draw(source, KNOWN, "dance")
    with pytest.raises(InvalidRequest):
        edit(source, SCENE, KNOWN, "dance")
    with pytest.raises(InvalidRequest):
        impossible(source, SCENE, KNOWN, "dance")
