"""Conversations of the things world as training rows (`data/rows.py`), and pictures by their plans alone."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from genllava.errors import InvalidRequest
from genllava_finetune.data.rows import Draw, Edit, Message, Row, ShownImage, Text, ToolCall, ToolResult, read_row
from genllava_finetune.worlds.row_options import read_options
from genllava_finetune.worlds.things.conversation.dialogue import KINDS, make_dialogue
from genllava_finetune.worlds.things.conversation.talk import Called, Drawn, Said, Shown, Turn
from genllava_finetune.worlds.things.knowledge.things import Thing, things_of
from genllava_finetune.worlds.things.pictures.augment import augment
from genllava_finetune.worlds.things.pictures.plan import looks_words, write_plan
from genllava_finetune.worlds.things.pictures.render import render
from genllava_finetune.worlds.things.pictures.sampling import sample_scene
from genllava_finetune.worlds.things.pictures.unreadable import unreadable
from genllava_finetune.worlds.things.requests.tool_results import DONE, tool_result

NAME: Final = "things"
LICENSE: Final = "MIT AND Apache-2.0"
_RESULTS_AT_END: Final = 0.3
"""Of the calls of tools that end a conversation, the share whose results are shown; within one all are."""


class RowOptions(BaseModel):
    """What the rows are.

    Attributes:
        split: random numbers of which split the rows grow from; the frozen suites grow from those of `dev` and `test`.
        things: the first so many things of `knowledge/order.yaml` occur.
        withhold: `research` leaves out some families of sentences, to measure on them.
        what: whole `dialogues`; `pictures`: one new picture by its plan; `seen`: a picture that a person brings, and
            its plan as what the assistant says of it; `redrawn`: such a picture without a word, which is drawn again
            by its plan; or `spelled`: a new picture, of which everything is said in the words of plans, in any order.
        kinds: how often each kind of turn comes, in the place of `conversation.dialogue.KINDS`.
        turns: how many messages of the person; random if None.
        brought: how often a person brings a picture where there is none.
        free: of `seen` and `redrawn`, the share whose items lie beside the middle of their cells.
        augmented: share of the pictures that people bring that were scaled, saved badly or photographed.
        least, most: of all but dialogues, how many items; more than five are for learning to read pictures.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    split: Literal["train", "dev", "test"] = "train"
    things: int = Field(default=286, ge=1, le=286)
    withhold: Literal["nothing", "research"] = "nothing"
    what: Literal["dialogues", "pictures", "seen", "redrawn", "spelled"] = "dialogues"
    kinds: dict[str, float] | None = None
    turns: int | None = Field(default=None, ge=1)
    brought: float = Field(default=0.55, ge=0, le=1)
    free: float = Field(default=0.7, ge=0, le=1)
    augmented: float = Field(default=0.5, ge=0, le=1)
    least: int = Field(default=0, ge=0, le=9)
    most: int = Field(default=5, ge=1, le=9)


def row_options(options: Mapping[str, Any] | None) -> RowOptions:
    """The options as a recipe has them.

    Raises:
        InvalidRequest: one is unknown, or has a value that does not fit.
    """
    chosen = read_options(RowOptions, options, NAME)
    if unknown := set(chosen.kinds or {}) - set(KINDS):
        raise InvalidRequest(f"world {NAME}: kinds: there is no {unknown.pop()!r}: {', '.join(KINDS)}")
    return chosen


def rows(
    seed: int, *, start: int = 0, count: int | None = None, options: Mapping[str, Any] | None = None
) -> Iterator[Row]:
    """Rows from number `start` on; see `worlds.base.World.rows`, and `RowOptions` for the options."""
    chosen = row_options(options)
    numbers = itertools.count(start) if count is None else range(start, start + count)
    return (make_row(seed, number, chosen) for number in numbers)


class WorldRows(Sequence[Row]):
    """So many rows that are made when they are asked for, for recipes.

    Args:
        count: how many; the same ones in every epoch.
        **options: of `RowOptions`.
    """

    def __init__(self, count: int, seed: int = 0, **options: Any) -> None:
        self._count, self._seed, self._options = count, seed, row_options(options)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < self._count:
            raise IndexError(index)
        return make_row(self._seed, int(index), self._options)


def make_row(seed: int, number: int, options: RowOptions) -> Row:
    """Row `number`: a function of the seed, the number and the options alone."""
    source = random.Random(f"things rows {options.split} {seed} {number}")
    known = things_of(options.things)
    identity = f"{NAME}-{options.split}:{seed}:{number}"
    if options.what == "pictures":
        return _picture_row(source, known, identity, options)
    if options.what == "spelled":
        return _spelled_row(source, known, identity, options)
    if options.what in ("seen", "redrawn"):
        return _seen_row(source, known, identity, options)
    talk = make_dialogue(
        source,
        known,
        withhold=options.withhold == "research",
        turns=options.turns,
        kinds=options.kinds,
        brought=options.brought,
    )
    return dialogue_row(source, talk.turns, identity, augmented=options.augmented)


def _picture_row(source: random.Random, known: Sequence[Thing], identity: str, options: RowOptions) -> Row:
    """A picture by its plan."""
    scene = sample_scene(source, known, least=options.least, most=options.most)
    return _row([render(scene)], [_asked("Draw."), _said([Draw(prompt=write_plan(scene), image=0)])], identity)


def _spelled_row(source: random.Random, known: Sequence[Thing], identity: str, options: RowOptions) -> Row:
    """A new picture, asked for in the words of its plan."""
    scene = sample_scene(source, known, least=max(options.least, 1), most=options.most)
    items = [f"{looks_words(item)} at {item.place}" for item in scene.items]
    source.shuffle(items)
    listed = ", ".join(items)
    said = f"{scene.background} with {listed}" if source.random() < 0.5 else f"{listed} on {scene.background}"
    return _row([render(scene)], [_asked(said), _said([Draw(prompt=write_plan(scene), image=0)])], identity)


def _seen_row(source: random.Random, known: Sequence[Thing], identity: str, options: RowOptions) -> Row:
    """A picture and its plan: as an answer, or without a word to draw it again."""
    scene = sample_scene(source, known, least=options.least, most=options.most, free=source.random() < options.free)
    image, plan = brought(source, Shown(scene), options.augmented), write_plan(scene)
    if options.what == "redrawn":
        user = Message(role="user", content=(ShownImage(),))
        return _row([image, render(scene)], [user, _said([Draw(prompt=plan, image=1)])], identity)
    user = Message(role="user", content=(ShownImage(), Text(text="Plan.")))
    return _row([image], [user, _said([Text(text=plan)])], identity)


def dialogue_row(source: random.Random, turns: Sequence[Turn], identity: str, *, augmented: float) -> Row:
    """A conversation as a row.

    Args:
        source: how the pictures that people bring are drawn.
        augmented: share of these that come as other programs save them.
    """
    images, messages = list[Image.Image](), list[Message]()
    for turn in turns:
        for shown in turn.brought:
            images.append(brought(source, shown, augmented))
        blocks = [ShownImage() for _ in turn.brought]
        messages.append(Message(role="user", content=(*blocks, Text(text=turn.text))))
        messages += _answered(source, turn, images, turn is turns[-1])
    return _row(images, messages, identity)


def brought(source: random.Random, shown: Shown, augmented: float) -> Image.Image:
    """A picture as a person brings it."""
    if shown.scene is None:
        return unreadable(source)
    image = render(shown.scene)
    return augment(image, source) if source.random() < augmented else image


def _answered(source: random.Random, turn: Turn, images: list[Image.Image], last: bool) -> Iterator[Message]:
    """The messages of the assistant and its tools; the pictures that they make are added to `images`."""
    said: list[Text | Draw | Edit | ToolCall] = []
    for outcome in turn.outcomes:
        if isinstance(outcome, Said):
            said.append(Text(text=outcome.text))
        elif isinstance(outcome, Drawn):
            plan, number = write_plan(outcome.scene), len(images)
            if outcome.source:
                said.append(Edit(instruction=plan, source=outcome.source - 1, image=number))
            else:
                said.append(Draw(prompt=plan, image=number))
            images.append(render(outcome.scene))
        else:
            ends = outcome is turn.outcomes[-1]
            yield from _called(source, outcome, said, images, last and ends, ends)
            said = []
    if said:
        yield _said(said)


def _called(
    source: random.Random, outcome: Called, said: list[Text | Draw | Edit | ToolCall], images: list[Image.Image],
    last: bool, ends: bool,
) -> Iterator[Message]:  # fmt: skip
    """A call of a tool with what is said before it, and its result, after which nothing has to be said.

    Args:
        last: nothing comes after it in the conversation.
        ends: nothing comes after it in the turn.
    """
    key = f"call_{len(images)}_{outcome.call.name}"
    said.append(ToolCall(id=key, name=outcome.call.name, arguments=dict(outcome.call.arguments)))
    yield _said(said)
    if last and (outcome.verb or source.random() > _RESULTS_AT_END):
        return
    text, made = (DONE, None) if outcome.verb else tool_result(source, outcome.call, images)
    content: list[Any] = [ToolResult(id=key, name=outcome.call.name, text=text)]
    if made is not None:
        images.append(made)
        content.append(ShownImage())
    yield Message(role="tool", content=tuple(content))
    if ends and not outcome.verb:
        yield _said([Text(text="")])


def _asked(text: str) -> Message:
    return Message(role="user", content=(Text(text=text),))


def _said(content: Sequence[Any]) -> Message:
    return Message(role="assistant", content=tuple(content))


def _row(images: list[Image.Image], messages: list[Message], identity: str) -> Row:
    value = {"images": images, "messages": messages, "source": NAME, "license": LICENSE, "id": identity}
    return read_row(value)


