"""Players of the test file without a model: one that does what is expected, by the world's own rules, and one that
does nothing. They only test the grader and the runner.

Pictures are of one pixel and carry their scenes, so that a whole run needs no drawing and no oracle.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

from PIL import Image

from genllava_finetune.worlds.things.edits import ORDER, Change, apply, recolourable
from genllava_finetune.worlds.things.knowledge import thing, things
from genllava_finetune.worlds.things.nouns import Wanted
from genllava_finetune.worlds.things.scene import COLOURS, SHAPES, Item, Scene
from genllava_finetune.worlds.things.test_file_cases import Answer, Draws, Edit, Expected, TestChat, Wish
from tests.finetune.worlds.things import checking


def carried(scene: Scene) -> Image.Image:
    """A picture that carries a scene."""
    image = Image.new("RGB", (1, 1))
    image.info["scene"] = scene
    return image


def read_carried(image: Image.Image) -> Scene | None:
    """The scene that a picture carries."""
    found: Scene | None = image.info.get("scene")
    return found


class CannotDo(Exception):
    """What is expected cannot be done by the world's rules."""


@dataclass(slots=True)
class Step:
    action: str
    outcome: str = "ok"
    text: str = ""
    image: str | None = None
    tool: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Shown:
    picture: Image.Image

    @property
    def image(self) -> Image.Image:
        return _Kept(self.picture)  # type: ignore[return-value]


class _Kept:
    """A picture whose conversion keeps what it carries."""

    def __init__(self, picture: Image.Image) -> None:
        self.info = picture.info

    def convert(self, mode: str) -> _Kept:
        return self


@dataclass(slots=True)
class Player:
    """A chat in which someone plays what the test file expects.

    Attributes:
        images: the pictures that stand, by name.
        failed: turns that cannot be played, each with what was expected.
    """

    case: TestChat
    images: dict[str, Shown] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    turns: list[dict[str, Shown]] = field(default_factory=list)
    undone: list[dict[str, Shown]] = field(default_factory=list)
    everything: list[Scene | None] = field(default_factory=list)
    view: Scene | None = None
    last: tuple[Expected, Scene | None] | None = None
    number: int = 0

    def __call__(self, text: str, images: Any = None, **options: Any) -> Any:
        turn = self.case.turns[self.number]
        self.number += 1
        self.turns.append(dict(self.images))
        if images is not None:
            self.view = images.info.get("scene")
            self.put(images)
        if turn.of is not None and turn.of > len(self.everything):
            self.failed.append(f"{self.case.id} turn {self.number}: {turn.say!r}: of: there is no picture {turn.of}")
        elif turn.of is not None:
            self.view = self.everything[turn.of - 1]
        steps: list[Step] = []
        said: list[str] = []
        for expected in turn.steps:
            try:
                self.step(expected, steps, said)
            except (CannotDo, ValueError, IndexError) as error:
                self.failed.append(f"{self.case.id} turn {self.number}: {turn.say!r}: {expected.kind}: {error}")
        return SimpleNamespace(text=" ".join(said), steps=steps, pending=None)

    def put(self, image: Image.Image) -> str:
        name = f"image_{len(self.images) + 1}"
        while name in self.images:
            name += "0"
        self.images[name] = Shown(image)
        self.everything.append(image.info.get("scene"))
        return name

    def made(self, scene: Scene, action: str, steps: list[Step]) -> None:
        steps.append(Step(action, image=self.put(carried(scene))))
        self.view = scene

    def step(self, expected: Expected, steps: list[Step], said: list[str]) -> None:
        if expected.draws is not None:
            self.last = (expected, self.view)
            self.made(drawn(expected.draws), "generate", steps)
        elif expected.edits is not None:
            self.last = (expected, self.view)
            if self.view is None:
                raise CannotDo("there is no picture in view")
            scene = self.view
            for edit in expected.edits:
                scene = changed(scene, edit, self.everything)
            self.made(scene, "edit", steps)
        elif expected.answers is not None:
            said.append(answer(expected.answers, self.view))
        elif expected.tools is not None:
            for call in expected.tools:
                steps.append(Step("tool", tool=call.name, arguments=call.arguments))
        elif expected.thread is not None:
            self.verb(expected, steps)
        else:
            said.append("Which one do you mean?" if expected.asks else "I cannot do that.")

    def verb(self, expected: Expected, steps: list[Step]) -> None:
        verb = expected.thread
        assert verb is not None
        if verb.again:
            if self.last is None:
                raise CannotDo("nothing to do again")
            last, self.view = self.last
            self.step(last, steps, [])
        elif verb.show is not None:
            scene = self.everything[verb.show - 1]
            name = next((n for n, s in self.images.items() if s.picture.info.get("scene") == scene), None)
            if name is None:
                raise CannotDo(f"picture {verb.show} was taken back")
            steps.append(Step("tool", tool="show_image", arguments={"image": name}))
            self.view = scene
        elif verb.undo is not None:
            self.turns.pop()  # this turn itself
            for _ in range(verb.undo):
                if not self.turns:
                    raise CannotDo("nothing to undo")
                self.undone.append(dict(self.images))
                self.images = self.turns.pop()
                steps.append(Step("tool", tool="undo"))
            self._look()
        else:
            self.turns.pop()
            for _ in range(verb.redo or 1):
                if not self.undone:
                    raise CannotDo("nothing to redo")
                self.turns.append(dict(self.images))
                self.images = self.undone.pop()
                steps.append(Step("tool", tool="redo"))
            self._look()

    def _look(self) -> None:
        shown = list(self.images.values())
        self.view = shown[-1].picture.info.get("scene") if shown else None


class Idler:
    """A chat in which the last picture is shown again, whatever is asked."""

    def __init__(self) -> None:
        self.images: dict[str, Shown] = {}

    def __call__(self, text: str, images: Any = None, **options: Any) -> Any:
        if images is not None:
            self.images[f"image_{len(self.images) + 1}"] = Shown(images)
        shown = list(self.images.values())
        picture = shown[-1].picture if shown else carried(Scene("white"))
        name = f"image_{len(self.images) + 1}"
        self.images[name] = Shown(picture)
        return SimpleNamespace(text="", steps=[Step("edit", image=name)], pending=None)


# --- pictures by what is expected ---


def drawn(draws: Draws) -> Scene:
    """A scene that fits."""
    wishes = [wish for wish in draws.objects for _ in range(wish.count)]
    if draws.number is not None:
        while len(wishes) < draws.number[0]:
            wishes.append(draws.objects[0])
    taken: list[str] = []
    items = []
    for wish in wishes:
        items.append(_item(wish, draws, taken))
        taken.append(items[-1].name)
    relations = [list(each) for each in draws.relations]
    for places in itertools.permutations(_order(len(items)), len(items)):
        if any(wish.place not in (None, place) for wish, place in zip(wishes, places, strict=True)):
            continue
        placed = tuple(replace(item, place=place) for item, place in zip(items, places, strict=True))
        if all(checking.holds(placed, *relation) for relation in relations):
            return Scene(draws.background or "white", placed)
    raise CannotDo(f"no arrangement of {[item.name for item in items]} with {relations}")


def _order(count: int) -> list[str]:
    first = {1: ["center"], 2: ["left", "right"], 3: ["left", "center", "right"], 4: ["left", "right", "bottom", "top"]}
    usual = first.get(count, ["left", "center", "right", "bottom", "top"])
    return [*usual, *(place for place in ORDER if place not in usual)]


def _item(wish: Wish, draws: Draws, taken: Sequence[str]) -> Item:
    names = [wish.thing or wish.shape or wish.name or ""]
    if not names[0]:
        known = wish.one_of or [each.name for each in things() if wish.category in (None, each.category)]
        if wish.category == "shape":
            known = list(SHAPES)
        names = [n for n in known if n not in draws.none_of]
        names = [n for n in names if n not in taken] or list(names)
    last: Exception = CannotDo("nothing fits")
    for name in names:
        try:
            return _made(name, wish, draws.style)
        except CannotDo as error:
            last = error
    raise last


def _made(name: str, wish: Wish, style: str | None) -> Item:
    shape = wish.shape is not None or (wish.thing is None and name in SHAPES and (name != "star" or bool(wish.colour)))
    size = wish.size or "medium"
    if shape:
        if wish.colour not in (None, *COLOURS):
            raise CannotDo(f"no {wish.colour} {name}")
        return Item(name, size, "center", None, wish.colour or "red")
    for each in [wish.style or style] if wish.style or style else ["3d", "flat", "cartoon"]:
        item = Item(name, size, "center", each)
        if wish.colour is None or checking.seen(item) == wish.colour:
            return item
        if recolourable(item) and wish.colour in COLOURS:
            return replace(item, colour=wish.colour)
    raise CannotDo(f"no {wish.colour} {name}")


def _meant(scene: Scene, chosen: Any) -> list[Item]:
    if chosen == "all":
        return list(scene.items)
    found = [item for wish in chosen for item in scene.items if _fits(item, wish)]
    if not found:
        raise CannotDo(f"nothing of {[w.model_dump(exclude_defaults=True) for w in chosen]} in {_told(scene)}")
    return list(dict.fromkeys(found))


def _told(scene: Scene) -> str:
    return ", ".join(f"{item.colour or ''} {item.name} {item.place}".strip() for item in scene.items) or "nothing"


def _fits(item: Item, wish: Wish) -> bool:
    said = wish.model_dump(exclude_defaults=True)
    said.pop("count", None)
    if said.pop("name", item.name) != item.name:
        return False
    if said.get("category") == "shape":
        said.pop("category")
        if item.style is not None:
            return False
    return checking.fits(item, said)


def _wanted(wish: Wish) -> Wanted:
    name = wish.thing or wish.shape or wish.name or (wish.one_of[0] if wish.one_of else "")
    if not name:
        name = next(each.name for each in things() if each.category == wish.category)
    shape = wish.shape is not None or (wish.thing is None and name in SHAPES and (name != "star" or bool(wish.colour)))
    if shape and wish.colour not in (None, *COLOURS):
        raise CannotDo(f"no {wish.colour} {name}")
    if not shape and wish.colour is not None:
        styles = (wish.style,) if wish.style else ("3d", "flat", "cartoon")
        own = [style for style in styles if thing(name).colour_in(style) == wish.colour]
        if own:
            return Wanted(name, own[0], wish.size, None, wish.place, False, wish.count)
        if not thing(name).recolour or wish.colour not in COLOURS:
            raise CannotDo(f"no {wish.colour} {name}")
    return Wanted(name, wish.style, wish.size, wish.colour, wish.place, shape, wish.count)


def changed(scene: Scene, edit: Edit, everything: Sequence[Scene | None]) -> Scene:
    """The scene after a change, by the world's own rules."""
    for change in _changes(scene, edit, everything):
        after = apply(scene, change)
        if after is None:
            raise CannotDo(f"{edit.kind} {edit.model_dump(exclude_defaults=True)} of {_told(scene)}")
        scene = after
    return scene


def _others(scene: Scene, relation: Sequence[str]) -> tuple[Item, ...]:
    found = [next((item for item in scene.items if item.name == name), None) for name in relation[2:]]
    if None in found:
        raise CannotDo(f"{list(relation[2:])} not in {_told(scene)}")
    return tuple(item for item in found if item is not None)


def _changes(scene: Scene, edit: Edit, everything: Sequence[Scene | None]) -> list[Change]:
    kind = edit.kind
    if kind == "background":
        return [Change("background", to=edit.background or "")]
    if edit.add is not None:
        wanted = _wanted(edit.add)
        if not edit.relations:
            return [Change("add", wanted=(wanted,))]
        return [
            Change("add", wanted=(wanted,), relation=edit.relations[0][1], others=_others(scene, edit.relations[0]))
        ]
    if edit.combine is not None:
        other = everything[(edit.of or 1) - 1]
        if other is None:
            raise CannotDo("the other picture cannot be read")
        item = _meant(other, edit.combine)[0]
        wanted = Wanted(item.name, item.style, item.size, item.colour, None, item.style is None)
        return [Change("add", wanted=(wanted,))]
    if edit.swap is not None:
        first, second = (_meant(scene, chosen) for chosen in edit.swap)
        return [Change("swap", (first[0], second[0]))]
    items = tuple(_meant(scene, getattr(edit, kind)))
    if kind == "remove":
        return [Change("remove", items)]
    if kind == "replace":
        assert edit.with_ is not None
        wanted = replace(_wanted(edit.with_), count=1)
        if wanted.place is None:
            return [Change("replace", items, wanted=(wanted,))]
        return [Change("remove", items), Change("add", wanted=(wanted,))]
    if kind == "recolour":
        bad = [item.name for item in items if not recolourable(item) or edit.colour not in COLOURS]
        if bad:
            raise CannotDo(f"{bad} cannot be {edit.colour}")
        return [Change("recolour", items, edit.colour or "")]
    if kind == "restyle":
        return [Change("restyle", tuple(item for item in items if item.style), edit.style or "")]
    if kind == "resize":
        last = {"bigger": "large", "smaller": "small"}.get(edit.size or "", "")
        return [Change("resize", tuple(item for item in items if item.size != last), edit.size or "")]
    return _moves(scene, edit, items)


def _moves(scene: Scene, edit: Edit, items: tuple[Item, ...]) -> list[Change]:
    if edit.place is not None and len(items) > 1:
        raise CannotDo(f"{len(items)} items to one place")
    if edit.place is not None:
        return [Change("move", items[:1], edit.place)]
    if edit.direction is not None:
        return [Change("push", (item,), edit.direction) for item in items]
    relation = edit.relations[0]
    if items[0].name != relation[0] and relation[1] != "between":  # said from the other's side
        turned = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
        relation = (relation[2], turned.get(relation[1], relation[1]), relation[0])
    return [Change("relate", items[:1], relation=relation[1], others=_others(scene, relation))]


def answer(expected: Answer, scene: Scene | None) -> str:
    """Words that say what is expected."""
    if expected.number is not None:
        return f"There are {expected.number}."
    if expected.yes is not None:
        return "Yes." if expected.yes else "No."
    if expected.names is not None:
        return " and ".join(f"the {name}" for name in expected.names) or "Nothing."
    if expected.caption:
        if scene is None:
            raise CannotDo("a caption of nothing")
        return "It shows " + ", ".join(f"a {item.name}" for item in scene.items)
    if expected.talk:
        return "Hello, shall I draw something?"
    if expected.cannot_read:
        return "I cannot read this picture."
    for key in ("place", "style", "size", "colour", "background"):
        if (value := getattr(expected, key)) is not None:
            return f"{value}"
    return ", ".join(expected.all_of) if expected.all_of else expected.any_of[0]
