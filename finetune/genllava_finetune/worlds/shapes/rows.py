"""The dialogues of the world as training rows: questions, pictures drawn by their plan, edits, tools, in any shares."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, model_validator

from genllava_finetune.data.rows import Draw, Edit, Message, Row, ShownImage, Text, read_row
from genllava_finetune.worlds.row_options import read_options
from genllava_finetune.worlds.shapes.augment import draw_varied
from genllava_finetune.worlds.shapes.dialogue import Dialogue, Step, Turn
from genllava_finetune.worlds.shapes.mixture import GROUPS, MIXTURE, sample_training_dialogue
from genllava_finetune.worlds.shapes.placement import centred, settled
from genllava_finetune.worlds.shapes.render import render
from genllava_finetune.worlds.shapes.scene import CANVAS, Scene
from genllava_finetune.worlds.shapes.splits import SETTINGS, Split
from genllava_finetune.worlds.shapes.tool_dialogues import KINDS, sample_tool_dialogue

NAME: Final = "shapes"
LICENSE: Final = "Apache-2.0"


class RowOptions(BaseModel):
    """What the rows are.

    Attributes:
        split: scenes of which split the pictures show; the frozen suites are made of `dev` and `test`.
        withhold: `nothing` but the scenes of the other splits, or `research`: what is never shown to measure whether a
            model goes beyond it (`splits.RESEARCH`).
        size: side of the pictures in pixels; where tools are called, it is always 128 before what they do.
        understanding, generation, editing, conversations, outside, tools: shares of the kinds of dialogue, relative to
            each other: questions about a picture; one picture drawn; changes of one picture; several turns or requests
            with all of these; what is no matter of this world and answered in words; visual tools that are called.
            By default the mixture that the shipped model was trained on, which has no tools.
        varied: share of the user's pictures that are drawn as people do, in other shades, sizes, places and
            proportions. Pictures that are edited are always drawn neatly: what an edit keeps stays as it was.
        edit_text: what an edit's instruction is: what the picture will show (`plan`), or the user's own words
            (`instruction`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    split: Split = "train"
    withhold: Literal["nothing", "research"] = "nothing"
    size: int = Field(default=CANVAS, ge=32, le=CANVAS)
    understanding: float = Field(default=sum(MIXTURE[kind] for kind in GROUPS["understanding"]), ge=0)
    generation: float = Field(default=sum(MIXTURE[kind] for kind in GROUPS["generation"]), ge=0)
    editing: float = Field(default=sum(MIXTURE[kind] for kind in GROUPS["editing"]), ge=0)
    conversations: float = Field(default=sum(MIXTURE[kind] for kind in GROUPS["conversations"]), ge=0)
    outside: float = Field(default=sum(MIXTURE[kind] for kind in GROUPS["outside"]), ge=0)
    tools: float = Field(default=0.0, ge=0)
    varied: float = Field(default=0.5, ge=0, le=1)
    edit_text: Literal["plan", "instruction"] = "plan"

    @model_validator(mode="after")
    def _something(self) -> RowOptions:
        if not any(self.shares.values()):
            raise ValueError("all shares are 0")
        return self

    @property
    def shares(self) -> dict[str, float]:
        """Share of each kind of dialogue in `GROUPS`, and of tools."""
        return {name: getattr(self, name) for name in (*GROUPS, "tools")}


def row_options(options: Mapping[str, Any] | None) -> RowOptions:
    """The options as a recipe has them.

    Raises:
        InvalidRequest: one is unknown, or has a value that does not fit.
    """
    return read_options(RowOptions, options, NAME)


def rows(
    seed: int, *, start: int = 0, count: int | None = None, options: Mapping[str, Any] | None = None
) -> Iterator[Row]:
    """Rows from number `start` on; see `worlds.base.World.rows`, and `RowOptions` for the options."""
    chosen = row_options(options)
    numbers = itertools.count(start) if count is None else range(start, start + count)
    return (make_row(seed, number, chosen) for number in numbers)


def make_row(seed: int, number: int, options: RowOptions) -> Row:
    """Row `number`: a function of the seed, the number and the options alone."""
    rng = random.Random(f"shapes rows {seed} {number}")
    withhold = SETTINGS[options.withhold]
    identity = f"{NAME}-{options.split}:{seed}:{number}"
    group = rng.choices(list(options.shares), list(options.shares.values()))[0]
    if group == "tools":
        return sample_tool_dialogue(
            rng, rng.choice(KINDS), options.split, withhold.forms, identity, withhold=withhold
        ).row
    kinds = GROUPS[group]
    kind = rng.choices(kinds, [MIXTURE[each] for each in kinds])[0]
    dialogue = sample_training_dialogue(rng, kind, options.split, withhold)
    assert dialogue is not None
    return dialogue_row(rng, dialogue, identity, options)


def dialogue_row(rng: random.Random, dialogue: Dialogue, identity: str, options: RowOptions) -> Row:
    """A dialogue as a row: a message of the user and one of the assistant for each turn.

    Args:
        rng: how the user's pictures are drawn.
        identity: of the row.
    """
    edited = {step.source for turn in dialogue.turns for step in turn.steps if step.source is not None}
    scenes: list[Scene] = []
    images: list[Image.Image] = []
    messages: list[Message] = []

    def show(scene: Scene, image: Image.Image) -> None:
        scenes.append(scene)
        images.append(_sized(image, options.size))

    for turn in dialogue.turns:
        for scene in turn.images:
            neat = len(scenes) + 1 in edited or rng.random() >= options.varied
            show(scene, render(scene) if neat else Image.fromarray(draw_varied(rng, scene)))
        shown = [ShownImage() for _ in turn.images]
        messages.append(Message(role="user", content=(*shown, Text(text=turn.user))))
        said: list[Text | Draw | Edit] = []
        for step, request in zip(turn.steps, _requests(turn), strict=True):
            plan = step.text.split(": ", 1)[-1]
            if step.target is None:
                said.append(Text(text=step.text))
            elif step.source is None:
                said.append(Draw(prompt=plan, image=len(scenes)))
                show(*_drawn(centred(step.target)))
            else:
                instruction = plan if options.edit_text == "plan" else request
                said.append(Edit(instruction=instruction, source=step.source - 1, image=len(scenes)))
                show(*_drawn(settled(scenes[step.source - 1], step.target)))
        messages.append(Message(role="assistant", content=tuple(said)))
    value = {"images": images, "messages": messages, "source": NAME, "license": LICENSE, "id": identity}
    return read_row(value)


def _drawn(scene: Scene) -> tuple[Scene, Image.Image]:
    return scene, render(scene)


def _requests(turn: Turn) -> list[str]:
    """The words that ask for each step; two changes that make one picture are asked for in one."""
    if len(turn.steps) == 1:
        return [turn.user]
    found: list[str] = []
    waiting: list[str] = []
    steps: Iterator[Step] = iter(turn.steps)
    for look, text in zip(turn.looks, turn.asked, strict=True):
        waiting.append(text)
        if not look.planned and next(steps, None) is not None:
            found.append(" and ".join(waiting))
            waiting = []
    return found


def _sized(image: Image.Image, side: int) -> Image.Image:
    if image.size == (side, side):
        return image
    return image.convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
