"""LLaVA's three kinds of instruction data, made by a model that reads captions and boxes and sees no picture.

Our reconstruction of what LLaVA's paper (arXiv 2304.08485) describes, with prompts of our own: a conversation from the
captions; a detailed description, and a question that needs reasoning, from captions and boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Final

from pydantic import BaseModel, Field

from genllava_finetune.curate.answers import Answer
from genllava_finetune.curate.asking import Ask, Asking, Request
from genllava_finetune.curate.making import Made, Options, listed, rejected, rng, row, text
from genllava_finetune.curate.prompting import read_prompt
from genllava_finetune.curate.sources import Scene
from genllava_finetune.data.records import Rejected

PROMPTS: Final = ("llava_conversation", "llava_detail", "llava_reasoning")
_Words = Annotated[str, Field(min_length=1)]


class Turn(BaseModel):
    """A question and its answer."""

    question: _Words
    answer: _Words


class Conversation(Answer):
    """A conversation about a picture."""

    turns: list[Turn] = Field(min_length=1)


class Detail(Answer):
    """A detailed description of a picture."""

    description: _Words


class Reasoning(Answer):
    """A question that needs reasoning, and its answer."""

    question: _Words
    answer: _Words


async def run(asking: Asking, scenes: Sequence[Scene], options: Options) -> list[Made]:
    """What comes of each scene: a row for each kind."""
    items = [(scene, kind) for scene in scenes for kind in options.kinds]
    made = await asking.map(partial(one, options), items)
    width = len(options.kinds)
    return [sum(made[start : start + width], ()) for start in range(0, len(made), width)]


async def one(options: Options, ask: Ask, item: tuple[Scene, str]) -> Made:
    """The row of one kind for one scene."""
    scene, kind = item
    id = f"{kind}:{scene.id}"
    if not scene.captions:
        return (Rejected("it has no captions", id),)
    captions, boxes = listed(scene.captions), listed([box.line() for box in scene.boxes]) or "(none are known)"
    prompt = read_prompt(f"llava_{kind}")
    if kind == "conversation":
        entry = await ask(
            Request("llava.conversation", prompt, {"captions": captions, "turns": str(options.turns)}, Conversation)
        )
        turns = [(turn["question"], turn["answer"]) for turn in entry.parsed["turns"]] if entry.status == "ok" else []
    elif kind == "detail":
        entry = await ask(Request("llava.detail", prompt, {"captions": captions, "boxes": boxes}, Detail))
        question = rng(options, "question", scene.id).choice(prompt.extra["questions"])
        turns = [(question, entry.parsed["description"])] if entry.status == "ok" else []
    else:
        entry = await ask(Request("llava.reasoning", prompt, {"captions": captions, "boxes": boxes}, Reasoning))
        turns = [(entry.parsed["question"], entry.parsed["answer"])] if entry.status == "ok" else []
    if not turns:
        return (rejected(entry, id),)
    messages = [message for asked, said in turns for message in (("user", [text(asked)]), ("assistant", [text(said)]))]
    messages[0] = ("user", [{"type": "image"}, *messages[0][1]])
    return (row("llava", options, id, [scene.image], *messages),)
