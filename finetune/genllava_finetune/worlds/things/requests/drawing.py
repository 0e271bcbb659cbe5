"""Requests for new pictures: the intents of corpus/drawing.yaml."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from genllava_finetune.worlds.things.knowledge.things import thing
from genllava_finetune.worlds.things.language import phrases
from genllava_finetune.worlds.things.language.phrases import Wanted
from genllava_finetune.worlds.things.pictures.relating import RELATIONS, related
from genllava_finetune.worlds.things.pictures.scene import BACKGROUNDS, MOST, PLACES, STYLES, Item, Scene
from genllava_finetune.worlds.things.requests.arranging import Relation, arranged
from genllava_finetune.worlds.things.requests.asked import Asking, Request, confusable, object_of
from genllava_finetune.worlds.things.requests.kinds import drawn_kinds

_KINDS: Final = {1: 44, 2: 29, 3: 17, 4: 6, 5: 4}
"""How often a list names so many different items, in a hundred."""
_JOINTS: Final = (", plus ", ", and also ", " + ", ", also ", ", and then ", "; and ")
"""Before or after a part of a list that says how its items lie: "a cat next to a dog and a tree" would be unclear."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A list of new items.

    Attributes:
        words: what fills the slot `{list}`.
        wanted, relations: what these say.
        scene: what they mean alone.
    """

    words: str
    wanted: tuple[Wanted, ...]
    relations: tuple[Relation, ...] = ()


def listed(asking: Asking, *, most: int = MOST, styled: bool = True, things: bool = False) -> Listed:
    """A random list that can be drawn.

    Args:
        most: how many items at most.
        styled: whether styles of single things may be said.
        things: whether at least one thing is among them.
    """
    for _ in range(20):
        found = _related(asking, most, styled) if most > 1 and asking.chance(0.3) else _plain(asking, most, styled)
        if things and all(each.shape for each in found.wanted):
            continue
        if arranged(found.wanted, found.relations) is not None:
            return found
    alone = Wanted(asking.thing().name)
    return Listed(phrases.new_list(asking.source, [alone]), (alone,))


def _number(asking: Asking, most: int) -> int:
    counts = [count for count in _KINDS if count <= most]
    return asking.source.choices(counts, [_KINDS[count] for count in counts])[0]


def _new(asking: Asking, styled: bool, but: Sequence[str] = ()) -> Wanted:
    found = asking.wanted(but, plain=asking.chance(0.35))
    return found if styled else replace(found, style=None)


def _plain(asking: Asking, most: int, styled: bool) -> Listed:
    """Items one after the other, some of them two or three of a kind, some with their places."""
    source, number = asking.source, _number(asking, most)
    wanted: list[Wanted] = []
    for _ in range(number):
        wanted.append(_new(asking, styled, [each.name for each in wanted] if asking.chance(0.9) else []))
    left = most - number
    for index, each in enumerate(wanted):
        if left > 0 and asking.chance(0.14):
            more = source.choice([1, 1, 2, 3, 4][: left + 1] if left < 4 else [1, 1, 2, 3, 4])
            wanted[index] = replace(each, count=1 + min(more, left))
            left -= min(more, left)
    if asking.chance(0.3):
        places = source.sample(PLACES, len(wanted))
        share = 1.0 if asking.chance(0.5) else 0.5
        wanted = [
            replace(each, place=place) if each.count == 1 and asking.chance(share) else each
            for each, place in zip(wanted, places, strict=True)
        ]
    keys = [replace(each, count=1, place=None) for each in wanted]
    if len(set(keys)) < len(keys):  # "a cat and a cat" is said as "two cats"
        wanted = [each for index, each in enumerate(wanted) if keys[index] not in keys[:index]]
    return Listed(phrases.new_list(source, wanted), tuple(wanted))


def _related(asking: Asking, most: int, styled: bool) -> Listed:
    """Items that lie somehow to each other, perhaps with others."""
    how = asking.source.choices(range(len(_PATTERNS)), [count if least <= most else 0 for _, least, count in _PATTERNS])
    make, least, _ = _PATTERNS[how[0]]
    wanted: list[Wanted] = []
    for _ in range(least):
        wanted.append(_new(asking, styled, [each.name for each in wanted]))
    words, relations = make(asking, wanted)
    room = most - least
    if room and asking.chance(0.3):
        rest: list[Wanted] = []
        for _ in range(min(room, 1 if asking.chance(0.7) else 2)):
            rest.append(_new(asking, styled, [each.name for each in (*wanted, *rest)]))
        joint, more = asking.source.choice(_JOINTS), phrases.new_list(asking.source, rest)
        if asking.chance(0.4):
            relations = [Relation(r.first + len(rest), r.relation, _later(r.others, len(rest))) for r in relations]
            return Listed(more + joint + words, (*rest, *wanted), tuple(relations))
        return Listed(words + joint + more, (*wanted, *rest), tuple(relations))
    return Listed(words, tuple(wanted), tuple(relations))


def _later(others: tuple[int, ...], by: int) -> tuple[int, ...]:
    return tuple(other + by for other in others)


_Said = tuple[str, list[Relation]]


def _pair(asking: Asking, wanted: list[Wanted]) -> _Said:
    """A cat next to a dog; now and then with the place of the second."""
    source, relation = asking.source, asking.source.choice(RELATIONS)
    if asking.chance(0.12):
        places = [p for p in PLACES if any(related(q, relation, (p,)) for q in PLACES)]
        wanted[1] = replace(wanted[1], place=source.choice(places))
    first, second = (phrases.new(source, each) for each in wanted)
    return f"{first} {phrases.relation(source, relation)} {second}", [Relation(0, relation, (1,))]


def _with_it(asking: Asking, wanted: list[Wanted]) -> _Said:
    """A dog with a cat next to it."""
    source, relation = asking.source, asking.source.choice(RELATIONS)
    first, second = (phrases.new(source, each) for each in wanted)
    it = "them" if _many(wanted[0]) else "it"
    frame = source.choice(("{0} with {1} {2} {3}", "{0} and {2} {3} {1}", "{0}, {2} {3} {1}", "{0} with {1} {2} {3}"))
    words = frame.format(first, second, phrases.relation(source, relation), it)
    return words, [Relation(1, relation, (0,))]


def _and_where(asking: Asking, wanted: list[Wanted]) -> _Said:
    """A cat and a dog, the cat above the dog."""
    source, relation = asking.source, asking.source.choice(RELATIONS)
    first, second = (phrases.new(source, each) for each in wanted)
    one, other = (f"the {phrases.bare(source, Wanted(each.name, shape=each.shape))}" for each in wanted)
    is_ = " are" if _many(wanted[0]) else " is"
    middle = source.choice((", ", ", with ", " (", "; "))
    verb = is_ if middle in ("; ", " (") and asking.chance(0.5) else ""
    end = ")" if middle == " (" else ""
    words = f"{first} and {second}{middle}{one}{verb} {phrases.relation(source, relation)} {other}{end}"
    return words, [Relation(0, relation, (1,))]


def _chain(asking: Asking, wanted: list[Wanted]) -> _Said:
    """A cat next to a car under the sun: the car is under the sun."""
    source = asking.source
    one, other = source.choice(RELATIONS), source.choice(RELATIONS)
    a, b, c = (phrases.new(source, each) for each in wanted)
    words = f"{a} {phrases.relation(source, one)} {b} {phrases.relation(source, other)} {c}"
    return words, [Relation(0, one, (1,)), Relation(1, other, (2,))]


def _between(asking: Asking, wanted: list[Wanted]) -> _Said:
    """A cat between a dog and a tree."""
    a, b, c = (phrases.new(asking.source, each) for each in wanted)
    return f"{a} {phrases.relation(asking.source, 'between')} {b} and {c}", [Relation(0, "between", (1, 2))]


def _two_pairs(asking: Asking, wanted: list[Wanted]) -> _Said:
    """A cat next to a dog and a bird above a tree."""
    first, one = _pair(asking, wanted[:2])
    second, other = _pair(asking, wanted[2:])
    joint = asking.source.choice((" and ", *_JOINTS))
    return first + joint + second, [*one, *(Relation(r.first + 2, r.relation, _later(r.others, 2)) for r in other)]


_PATTERNS: Final[tuple[tuple[Callable[[Asking, list[Wanted]], _Said], int, int], ...]] = (
    (_pair, 2, 44),
    (_with_it, 2, 18),
    (_and_where, 2, 12),
    (_chain, 3, 10),
    (_between, 3, 14),
    (_two_pairs, 4, 6),
)
"""How relations are said: of how many items, and how often."""


def drawn(
    asking: Asking,
    intent: str,
    slots: Mapping[str, str],
    found: Listed,
    background: str | None = None,
    style: str | None = None,
) -> Request | None:
    """The request for a list of new items; None if it cannot be drawn."""
    scene = arranged(found.wanted, found.relations, background, style)
    if scene is None:
        return None
    expected: dict[str, object] = {"objects": [object_of(each) for each in found.wanted]}
    if background:
        expected["background"] = background
    if style:
        expected["style"] = style
    if found.relations:
        names = [each.name for each in found.wanted]
        expected["relations"] = [
            [names[r.first], r.relation, *(names[other] for other in r.others)] for r in found.relations
        ]
    text = asking.say(intent, slots)
    return Request(
        text,
        intent,
        scene,
        None,
        found.wanted,
        found.relations,
        only(scene),
        {"draws": expected},
        "",
        background,
        style,
    )


def _many(wanted: Wanted) -> bool:
    """Whether it is "them" and not "it": glasses."""
    return not wanted.shape and thing(wanted.name).many


def only(scene: Scene) -> Item | None:
    """The item of a scene that has but one."""
    return scene.items[0] if len(scene.items) == 1 else None


def _draw(asking: Asking, intent: str) -> Request | None:
    found = listed(asking)
    return drawn(asking, intent, {"list": found.words}, found)


def _draw_on(asking: Asking, intent: str) -> Request | None:
    found, background = listed(asking), asking.source.choice(BACKGROUNDS)
    slots = {"list": found.words, "on": phrases.on(asking.source, background)}
    return drawn(asking, intent, slots, found, background)


def _draw_styled(asking: Asking, intent: str) -> Request | None:
    found, style = listed(asking, styled=False, things=True), asking.source.choice(STYLES)
    slots = {"list": found.words, "style": phrases.style(asking.source, style)}
    return drawn(asking, intent, slots, found, style=style)


def _draw_background(asking: Asking, intent: str) -> Request | None:
    background = asking.source.choice(BACKGROUNDS)
    return drawn(
        asking, intent, {"background": phrases.background(asking.source, background)}, Listed("", ()), background
    )


def _draw_kinds(asking: Asking, intent: str) -> Request | None:
    kinds = drawn_kinds(asking, without=intent == "draw_without")
    if kinds is None:
        return None
    background = asking.source.choice(BACKGROUNDS) if intent == "draw_kinds_on" else None
    slots = dict(kinds.slots)
    if background:
        slots["on"] = phrases.on(asking.source, background)
    request = drawn(asking, intent, slots, Listed("", kinds.wanted), background)
    if request is None:
        return None
    expected = {**kinds.expected, **({"background": background} if background else {})}
    return replace(request, expected={"draws": expected})


def _draw_if(asking: Asking, intent: str) -> Request | None:
    """If there is a cat, draw this, otherwise that."""
    if asking.scene is None:
        return None
    source, items = asking.source, asking.scene.items
    there = bool(items) and asking.chance(0.5)
    if there:
        item = source.choice(items)
        if item.kind == ("star", True):
            return None
        asked = Wanted(item.name, colour=item.colour if item.style is None else None, shape=item.style is None)
    else:
        asked = asking.wanted(plain=True)
        if any(confusable(asked, item) for item in items):
            return None
    first, second = listed(asking, most=2), listed(asking, most=2)
    slots = {"a": phrases.new(source, asked), "list": first.words, "list2": second.words}
    return drawn(asking, intent, slots, first if there else second)


DRAWING: Final[Mapping[str, Callable[[Asking, str], Request | None]]] = MappingProxyType(
    {
        "draw": _draw,
        "draw_on": _draw_on,
        "draw_fragment": _draw,
        "draw_fragment_on": _draw_on,
        "draw_styled": _draw_styled,
        "draw_kinds": _draw_kinds,
        "draw_kinds_on": _draw_kinds,
        "draw_without": _draw_kinds,
        "draw_background": _draw_background,
        "draw_if": _draw_if,
    }
)
"""How each intent of corpus/drawing.yaml is made; None where it does not come about this time."""
