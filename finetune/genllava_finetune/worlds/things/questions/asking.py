"""Questions about a picture, with their answers.

`ask` makes a random question that a scene lends itself to: its words come from the corpus and from `phrases`, its
answer is short, and names what it counts before it counts, as people do who count aloud. The makers of the single kinds
are in `seen.py`, `counted.py`, `facts.py` and `related.py`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Final, NamedTuple

from genllava.errors import InvalidRequest
from genllava_finetune.worlds.things.knowledge.things import Thing, things
from genllava_finetune.worlds.things.language import corpus
from genllava_finetune.worlds.things.pictures.scene import Scene
from genllava_finetune.worlds.things.questions import counted, facts, related, seen
from genllava_finetune.worlds.things.questions.parts import Asking, Draft, Question

__all__ = ["FAMILIES", "Question", "ask"]


class _Intent(NamedTuple):
    """An intent of the corpus: the family it is reported with, how often it is tried, and what makes its questions."""

    family: str
    weight: float
    make: Callable[[Asking], Draft | None]


_INTENTS: Final[Mapping[str, _Intent]] = MappingProxyType(
    {
        "ask_what_all": _Intent("what", 5, seen.what_all),
        "ask_what_at": _Intent("what", 5, seen.what_at),
        "ask_caption": _Intent("caption", 5, seen.caption),
        "ask_count_all": _Intent("count", 3, seen.count_all),
        "ask_count": _Intent("count", 26, counted.count),
        "ask_exist": _Intent("logic", 6, counted.exist),
        "ask_exist_any": _Intent("logic", 5, counted.exist_any),
        "ask_where": _Intent("where", 7, seen.where),
        "ask_style": _Intent("style", 3, seen.style),
        "ask_size": _Intent("style", 3, seen.size),
        "ask_colour": _Intent("style", 6, seen.colour),
        "ask_background": _Intent("what", 3, seen.background),
        "ask_category": _Intent("category", 3, seen.category),
        "ask_which_category": _Intent("category", 6, counted.which_category),
        "ask_fact_exist": _Intent("fact", 5, facts.fact_exist),
        "ask_fact_which": _Intent("fact", 6, facts.fact_which),
        "ask_fact_of": _Intent("fact", 4, facts.fact_of_one),
        "ask_relation": _Intent("relation", 6, related.relation),
        "ask_relation_what": _Intent("relation", 7, related.relation_what),
        "ask_where_relative": _Intent("relation", 5, related.where_relative),
        "ask_extreme": _Intent("relation", 3, related.extreme),
        "ask_bigger": _Intent("compare", 4, related.bigger),
        "ask_biggest": _Intent("compare", 2, related.biggest),
        "ask_smallest": _Intent("compare", 2, related.smallest),
        "ask_more": _Intent("compare", 5, counted.more),
        "ask_same": _Intent("compare", 6, related.same),
        "ask_and": _Intent("logic", 4, counted.both),
        "ask_or": _Intent("logic", 3, counted.either),
        "ask_all_style": _Intent("style", 3, counted.all_style),
        "ask_which_style": _Intent("style", 3, counted.which_style),
        "ask_which_size": _Intent("style", 3, counted.which_size),
        "ask_which_colour": _Intent("style", 15, counted.which_colour),
    }
)
FAMILIES: Final[Mapping[str, str]] = MappingProxyType({name: intent.family for name, intent in _INTENTS.items()})
"""The intents, each with the family in which reports count it."""
_TRIES: Final = 300


def ask(
    source: random.Random,
    scene: Scene,
    intent: str | None = None,
    *,
    known: Sequence[Thing] | None = None,
    withhold: bool = False,
    only_withheld: bool = False,
) -> Question | None:
    """A question about a scene.

    Args:
        source: of all chance: the same source, scene and arguments give the same question.
        intent: one of `FAMILIES`; any that makes sense for the scene by default.
        known: the things that may be asked for; all by default.
        withhold: without the frames that the research recipe withholds from training.
        only_withheld: with those alone.

    Returns:
        None if the scene does not lend itself to the intent.

    Raises:
        InvalidRequest: there is no such intent.
    """
    if intent is not None and intent not in _INTENTS:
        raise InvalidRequest(f"there is no question {intent!r}: choose one of {', '.join(_INTENTS)}")
    if intent is not None and only_withheld and not corpus.withheld_frames(intent):
        return None
    asking = Asking(source, scene, things() if known is None else known)
    names, weights = _choices(only_withheld)
    for _ in range(_TRIES if intent is None else _TRIES // 10):
        chosen = intent or source.choices(names, cum_weights=weights)[0]
        draft = _INTENTS[chosen].make(asking)
        if draft is not None:
            text = corpus.say(source, chosen, draft.slots, withhold=withhold, only_withheld=only_withheld)
            return Question(text, draft.answer, chosen, draft.subject, draft.expected, draft.slots)
    return None


@lru_cache(maxsize=2)
def _choices(only_withheld: bool) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """The intents that may be chosen, with the running sum of their weights."""
    names = tuple(name for name in _INTENTS if not only_withheld or corpus.withheld_frames(name))
    sums, total = [], 0.0
    for name in names:
        total += _INTENTS[name].weight
        sums.append(total)
    return names, tuple(sums)
