"""Questions about what is known of things: whether there is something to eat, which of them fly, whether that one does.

A scene with an item about which people would argue is not asked about that fact.
"""

from __future__ import annotations

from genllava_finetune.worlds.things.knowledge.things import thing
from genllava_finetune.worlds.things.language import answers, phrases
from genllava_finetune.worlds.things.language.nouns import forms
from genllava_finetune.worlds.things.pictures.scene import Item
from genllava_finetune.worlds.things.questions.counted import yes
from genllava_finetune.worlds.things.questions.groups import Group, held_facts
from genllava_finetune.worlds.things.questions.parts import Asking, Draft, fact_of, listed, names, only, refer


def _fact_with(asking: Asking, filled: bool) -> tuple[str, tuple[Item, ...]] | None:
    """A fact that is true of items of the scene, or of none, with these items; None if none was found."""
    asked = phrases.ASKED_FACTS
    for _ in range(8):
        fact = asking.source.choice(asked)
        if filled and (item := asking.item()) is not None:
            held = [each for each in asked if each in held_facts(item)]
            fact = asking.source.choice(held) if held else fact
        members = Group("fact", fact).members(asking.scene)
        if members is not None and bool(members) == filled:
            return fact, members
    return None


def fact_exist(asking: Asking) -> Draft | None:
    """Is there something to eat?"""
    if not asking.scene.items and asking.chance(0.9):
        return None
    found = _fact_with(asking, asking.chance(0.5))
    if found is None:
        return None
    fact, members = found
    slots = {"fact_thing": phrases.fact_thing(asking.source, fact)}
    return Draft(slots, yes(members), {"yes": bool(members)}, only(members))


def fact_which(asking: Asking) -> Draft | None:
    """Which of them can fly?"""
    found = _fact_with(asking, asking.chance(0.8))
    if found is None:
        return None
    fact, members = found
    slots = {"does": phrases.does(asking.source, fact)}
    return Draft(slots, answers.sentence(listed(members)), names(members), only(members))


def fact_of_one(asking: Asking) -> Draft | None:
    """Can the bird fly?"""
    item = asking.item([item for item in asking.scene.items if item.style is not None])
    if item is None:
        return None
    wanted = asking.chance(0.5)
    fact = _fact_for(asking, item, wanted)
    the = refer(asking, item) if fact is not None else None
    if fact is None or the is None:
        return None
    slots = {"fact_question": phrases.fact_question(asking.source, fact, the, many=_is_plural(the, item))}
    return Draft(slots, "Yes." if wanted else "No.", {"yes": wanted}, item)


def _is_plural(the: str, item: Item) -> bool:
    """Whether words for an item are a plural: "the glasses", but not "the pair of glasses"."""
    said = forms(item.name)
    words = f" {the.lower()} "
    return thing(item.name).many and any(f" {each} " in words for each in said.some) and " of " not in words


def _fact_for(asking: Asking, item: Item, wanted: bool) -> str | None:
    """A fact that is true of an item, or is not; what is not is mostly true of another thing of its category."""
    asked, source = phrases.ASKED_FACTS, asking.source
    if wanted:
        held = [fact for fact in asked if fact in held_facts(item)]
        return source.choice(held) if held else None
    category = thing(item.name).category
    for _ in range(8):
        other = source.choice(asking.known)
        if other.category != category and asking.chance(0.7):
            continue
        facts = [fact for fact in asked if fact in other.facts and fact_of(item, fact) is False]
        if facts:
            return str(source.choice(facts))
    return None
