"""Random requests for pictures and changes of them, as people type them, each with the one scene that is right.

What a request leaves open is filled by plain rules (`edits`, `arranging`), so that what is to be drawn is a function of
the request and the picture in view; only where the request itself leaves the choice ("some animals") is it by chance.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from genllava.errors import InvalidRequest
from genllava_finetune.worlds.things.knowledge.things import Thing, thing
from genllava_finetune.worlds.things.language.corpus import withheld_frames
from genllava_finetune.worlds.things.pictures.sampling import sample_colour, sample_item
from genllava_finetune.worlds.things.pictures.scene import BACKGROUNDS, COLOURS, PLACES, SIZES, STYLES, Item, Scene
from genllava_finetune.worlds.things.requests.arranging import Relation, arranged
from genllava_finetune.worlds.things.requests.asked import Asking, Request
from genllava_finetune.worlds.things.requests.drawing import DRAWING
from genllava_finetune.worlds.things.requests.editing import EDITING
from genllava_finetune.worlds.things.requests.edits import Change, apply
from genllava_finetune.worlds.things.requests.impossible import IMPOSSIBLE

__all__ = [
    "DRAWING", "EDITING", "IMPOSSIBLE", "Change", "Relation", "Request", "apply", "arranged", "draw", "edit",
    "impossible", "scene_for",
]  # fmt: skip

_TRIES: Final = 40
_TRIES_OF_ONE: Final = 12
"""Of one intent: where it does not come about so often, the scene does not lend itself to it."""
_DRAWING: Final = {
    "draw": 33, "draw_on": 24, "draw_fragment": 8, "draw_fragment_on": 7, "draw_styled": 10, "draw_kinds": 7,
    "draw_kinds_on": 4, "draw_without": 4, "draw_background": 2, "draw_if": 3,
}  # fmt: skip
"""How often what is asked for."""
_EDITING: Final = {
    "recolour": 11, "restyle": 7, "restyle_all": 4, "bigger": 4, "smaller": 4, "resize_to": 4, "replace": 11,
    "move_to": 9, "move_direction": 6, "move_relation": 7, "add": 8, "add_at": 9, "add_relation": 10, "add_several": 4,
    "remove": 9, "remove_all": 4, "keep_only": 3, "clear": 1, "swap": 5, "change_background": 7,
    "change_background_on": 4, "recolour_all": 7, "restyle_kind": 4, "resize_kind": 3, "replace_all": 4,
}  # fmt: skip
_IMPOSSIBLE: Final = {
    "missing": 30, "ambiguous": 18, "room": 10, "taken": 6, "colour": 5, "style": 2, "size": 4, "edge": 3,
    "unknown": 25,
}  # fmt: skip


def draw(
    source: random.Random,
    known: Sequence[Thing],
    intent: str | None = None,
    *,
    scene: Scene | None = None,
    withhold: bool = False,
    only_withheld: bool = False,
) -> Request | None:
    """A request for a new picture.

    Args:
        known: the things that may be asked for.
        intent: one of `DRAWING`; None: any.
        scene: the picture in view; only with one does `draw_if` ("if there is a cat in it ...") come about.
        withhold, only_withheld: which families of sentences, as in `corpus.say`.

    Raises:
        InvalidRequest: there is no such intent.
    """
    asking = Asking(source, known, scene, withhold=withhold, only_withheld=only_withheld)
    for _ in range(_TRIES if intent is None else _TRIES_OF_ONE):
        chosen = intent or _any(source, "draw", only_withheld)
        if chosen not in DRAWING:
            raise InvalidRequest(f"there is no request {chosen!r}: choose from {', '.join(DRAWING)}")
        found = DRAWING[chosen](asking, chosen)
        if found is not None:
            return found
    return None


def edit(
    source: random.Random,
    scene: Scene,
    known: Sequence[Thing],
    intent: str | None = None,
    focus: Item | None = None,
    *,
    withhold: bool = False,
    only_withheld: bool = False,
) -> Request | None:
    """A request for a change of a picture; None if it does not come about (nothing is there to be removed).

    Args:
        scene: what the picture shows.
        known: the things that may be asked for.
        intent: one of `EDITING`; None: any.
        focus: the item that was spoken of last: it may be called "it".
        withhold, only_withheld: which families of sentences, as in `corpus.say`.

    Raises:
        InvalidRequest: there is no such intent.
    """
    asking = Asking(source, known, scene, focus, withhold=withhold, only_withheld=only_withheld)
    for _ in range(_TRIES if intent is None else _TRIES_OF_ONE):
        chosen = intent or _any(source, "edit", only_withheld)
        if chosen not in EDITING:
            raise InvalidRequest(f"there is no request {chosen!r}: choose from {', '.join(EDITING)}")
        found = EDITING[chosen](asking, scene)
        if found is not None:
            return found
    return None


def impossible(
    source: random.Random,
    scene: Scene | None,
    known: Sequence[Thing],
    why: str | None = None,
    focus: Item | None = None,
    *,
    withhold: bool = False,
    only_withheld: bool = False,
) -> Request | None:
    """A request that cannot be done, with what the assistant says to it.

    Args:
        scene: what the picture in view shows; None if there is none.
        known: the things that may be asked for.
        why: one of `IMPOSSIBLE`; None: any.
        focus: the item that was spoken of last.
        withhold, only_withheld: which families of sentences, as in `corpus.say`.

    Raises:
        InvalidRequest: there is no such reason.
    """
    asking = Asking(source, known, scene, focus, withhold=withhold, only_withheld=only_withheld)
    for _ in range(_TRIES if why is None else _TRIES_OF_ONE):
        chosen = why or ("unknown" if scene is None else _any(source, "impossible", False))
        if chosen not in IMPOSSIBLE:
            raise InvalidRequest(f"there is no reason {chosen!r}: choose from {', '.join(IMPOSSIBLE)}")
        found = IMPOSSIBLE[chosen](asking, scene or Scene("white"))
        if found is not None:
            return found
    return None


_WEIGHTS: Final[Mapping[str, Mapping[str, int]]] = {"draw": _DRAWING, "edit": _EDITING, "impossible": _IMPOSSIBLE}


@lru_cache(maxsize=8)
def _choice(of: str, only_withheld: bool) -> tuple[list[str], list[int]]:
    chosen = {name: share for name, share in _WEIGHTS[of].items() if not only_withheld or withheld_frames(name)}
    return list(chosen), list(chosen.values())


def _any(source: random.Random, of: str, only_withheld: bool) -> str:
    names, shares = _choice(of, only_withheld)
    return source.choices(names, shares)[0]


def scene_for(source: random.Random, known: Sequence[Thing], *, count: int = 3, recolourable: bool = False) -> Scene:
    """A random scene with several items of one name, among others: for requests about all of a kind, and for those
    where it is unclear which is meant, which few random scenes lend themselves to.

    Args:
        known: the things that may occur.
        count: how many items, at least two.
        recolourable: whether the colour of those of one name can be changed.
    """
    able = [each for each in known if each.recolour and each.name != "star"] if recolourable else known
    places = source.sample(PLACES, count)
    first = sample_item(source, able or known, places[0])
    alike = 2 if count < 4 or source.random() < 0.7 else 3
    items = [first]
    for place in places[1:alike]:
        size = source.choice(SIZES)
        if first.style is None:
            items.append(Item(first.name, size, place, None, source.choice(COLOURS)))
        else:
            style = source.choice((first.style, *STYLES))
            items.append(Item(first.name, size, place, style, sample_colour(source, thing(first.name), style)))
    items += [sample_item(source, known, place) for place in places[alike:]]
    return Scene(source.choice(BACKGROUNDS), tuple(items))
