"""The test file: what people would type, written by hand, and what is right after it.

`test_file/*.yaml` holds chats of several turns and single requests. Nobody who wrote sentences for training has read
them. What is right is said in the models below; the world's own requests (`requests/`, `conversation/`) say it in the
same form, so that one grader (`grading.py`) serves both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from genllava_finetune.worlds.things.pictures.scene import SHAPES, Item, Scene

FOLDER: Final = Path(__file__).with_name("test_file")
KINDS: Final = ("draws", "edits", "answers", "thread", "tools", "declines", "asks")
"""What can be expected, one of them for each step of a turn."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)


class Wish(_Model):
    """An item that is asked for, or items that are selected: only what the words say.

    Attributes:
        name: a thing or a shape, whichever of the two; of what was said by its name alone.
        thing, shape, category, one_of: which things or shapes it may be.
        style, size, place, colour: as in `scene.Item`; the colour is the one that is seen.
        count: how many of it.
    """

    name: str | None = None
    thing: str | None = None
    shape: str | None = None
    category: str | None = None
    one_of: tuple[str, ...] = ()
    style: str | None = None
    size: str | None = None
    place: str | None = None
    colour: str | None = None
    count: int = 1

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


Chosen = Literal["all"] | tuple[Wish, ...]
"""Which items of a picture are meant: all, or all that fit one of several wishes."""


def _chosen(value: Any) -> Any:
    if value == "all":
        return value
    return tuple(value) if isinstance(value, list | tuple) else (value,)


class Draws(_Model):
    """What a new picture must show.

    Attributes:
        objects: exactly these, unless `more` or `number` say otherwise.
        background, style: of the whole; None where nothing is said.
        relations: (a, relation, b) or (a, "between", b, c), by names.
        more: other things may be there as well.
        number: how many there are at least and at most; each fits one of `objects`, and each of these is there.
        none_of: names of what must not be there.
    """

    objects: tuple[Wish, ...] = ()
    background: str | None = None
    style: str | None = None
    relations: tuple[tuple[str, ...], ...] = ()
    more: bool = False
    number: tuple[int, int] | None = None
    none_of: tuple[str, ...] = ()


class Edit(_Model):
    """One change; which of the first fields is given says what kind. What is not changed must stay as it is.

    Attributes:
        swap: two selections, that change places.
        combine: taken over from picture `of` (of the conversation, from 1).
        with_: of `replace`: what comes in the place of the selected items.
        direction: of `move`: left, right, up or down.
        relations: of `move` and `add`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True, populate_by_name=True)

    add: Wish | None = None
    remove: Chosen | None = None
    replace: Chosen | None = None
    recolour: Chosen | None = None
    restyle: Chosen | None = None
    resize: Chosen | None = None
    move: Chosen | None = None
    swap: tuple[Chosen, Chosen] | None = None
    combine: Chosen | None = None
    background: str | None = None
    with_: Wish | None = Field(default=None, alias="with")
    colour: str | None = None
    style: str | None = None
    size: str | None = None
    place: str | None = None
    direction: str | None = None
    relations: tuple[tuple[str, ...], ...] = ()
    of: int | None = None

    @model_validator(mode="before")
    @classmethod
    def _selections(cls, value: Any) -> Any:
        given = dict(value)
        for key in _SELECTING:
            if key in given:
                given[key] = _chosen(given[key])
        if "swap" in given:
            given["swap"] = tuple(_chosen(each) for each in given["swap"])
        return given

    @property
    def kind(self) -> str:
        """What is done: `add`, `remove`, ..."""
        return next(kind for kind in OPS if getattr(self, kind) is not None)


_SELECTING: Final = ("remove", "replace", "recolour", "restyle", "resize", "move", "combine")
OPS: Final = ("add", *_SELECTING, "swap", "background")


class Answer(_Model):
    """What an answer in words must say.

    Attributes:
        number: this number.
        yes: yes or no.
        names: exactly these are named; nothing where it is empty.
        any_of, all_of, none_of: words that occur: one of them, all, none.
        place, style, size, colour, background: this one.
        caption: names every item of the picture in view.
        talk: any words that are no refusal.
        cannot_read: says that it cannot read the picture.
    """

    number: int | None = None
    yes: bool | None = None
    names: tuple[str, ...] | None = None
    any_of: tuple[str, ...] = ()
    all_of: tuple[str, ...] = ()
    none_of: tuple[str, ...] = ()
    place: str | None = None
    style: str | None = None
    size: str | None = None
    colour: str | None = None
    background: str | None = None
    caption: bool = False
    talk: bool = False
    cannot_read: bool = False


class Verb(_Model):
    """What is done to the conversation: so many turns taken back or brought again, the last request once more, or
    picture number `show` shown."""

    undo: int | None = None
    redo: int | None = None
    again: bool = False
    show: int | None = None


class ToolCall(_Model):
    """A call of a tool, with those of its arguments that the words say."""

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)


class Expected(_Model):
    """What is right for one step of a turn: one of these."""

    draws: Draws | None = None
    edits: tuple[Edit, ...] | None = None
    answers: Answer | None = None
    thread: Verb | None = None
    tools: tuple[ToolCall, ...] | None = None
    declines: bool = False
    asks: bool = False

    @property
    def kind(self) -> str:
        """One of `KINDS`."""
        return next(kind for kind in KINDS if getattr(self, kind) not in (None, False))


class TestPicture(_Model):
    """A picture that comes with a message: a scene, or something unreadable of a kind."""

    __test__ = False
    kind: Literal["photo", "texture", "screenshot", "empty"] | None = None
    background: str = "white"
    objects: tuple[Wish, ...] = ()

    @property
    def scene(self) -> Scene | None:
        """What it shows; None if it cannot be read."""
        if self.kind is not None:
            return None
        return Scene(self.background, tuple(map(_item, self.objects)))


class TestTurn(_Model):
    """One message, with what is right after it.

    Attributes:
        say: the words.
        of: number of the picture that is meant, where it is not the one in view.
        steps: what is right, in order.
    """

    __test__ = False
    say: str
    picture: TestPicture | None = None
    of: int | None = None
    steps: tuple[Expected, ...]

    @model_validator(mode="before")
    @classmethod
    def _one_step(cls, value: Any) -> Any:
        given = dict(value)
        found = [{key: given.pop(key)} for key in list(given) if key in KINDS]
        return {**given, "steps": given.get("steps", found)}

    @property
    def kind(self) -> str:
        """What it is counted with: the kind of its step, or `steps`."""
        return self.steps[0].kind if len(self.steps) == 1 else "steps"


class TestChat(_Model):
    """A chat, or a single request."""

    __test__ = False
    id: str
    turns: tuple[TestTurn, ...]

    @property
    def single(self) -> bool:
        """Whether it is a single request."""
        return self.id.startswith("request")


@lru_cache(maxsize=4)
def load_test_file(folder: Path = FOLDER) -> tuple[TestChat, ...]:
    """All chats and single requests.

    Raises:
        ValidationError: one is not in the form of the models above.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found = list[TestChat]()
    for file in sorted(folder.glob("*.yaml")):
        listed = yaml.load(file.read_text(encoding="utf-8"), Loader=loader)
        found += [TestChat.model_validate(each) for each in listed]
    return tuple(found)


def half(chats: Sequence[TestChat], which: Literal["dev", "test"]) -> tuple[TestChat, ...]:
    """Every other one: those with even numbers for tuning, the others for the figures."""
    return tuple(chat for number, chat in enumerate(chats) if number % 2 == (which == "dev"))


@lru_cache(maxsize=4096)
def _read(text: str) -> Expected:
    import json

    return Expected.model_validate(json.loads(text))


def expected_of(says: Mapping[str, Any]) -> Expected:
    """What the world says is right, as its requests have it."""
    import json

    return _read(json.dumps(says, sort_keys=True, default=list))


def _item(wish: Wish) -> Item:
    """An item of a picture, of which everything is said."""
    name = wish.thing or wish.shape or wish.name or ""
    shape = wish.shape is not None or (wish.thing is None and name in SHAPES and wish.style is None)
    style = None if shape else wish.style or "flat"
    return Item(name, wish.size or "medium", wish.place or "center", style, wish.colour)
