"""GVIT's generation and editing instructions: requests to draw a picture, and to change one into another.

Our reconstruction of what GenLLaVA's paper (arXiv 2406.10462) needs, with prompts of our own: a picture's captions
become a request to draw it and the plan of the drawing; a pair of pictures becomes a request for the edit.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Final

from pydantic import Field

from genllava_finetune.curate.answers import Answer
from genllava_finetune.curate.asking import Ask, Asking, Request
from genllava_finetune.curate.making import Made, Options, listed, rejected, row, text
from genllava_finetune.curate.prompting import read_prompt
from genllava_finetune.curate.sources import Scene
from genllava_finetune.data.records import Rejected

PROMPTS: Final = ("gvit_generation", "gvit_editing")
_UNKNOWN: Final = "(it is not known)"
_Words = Annotated[str, Field(min_length=1)]


class Generation(Answer):
    """A request to draw a picture, and the plan of the drawing."""

    request: _Words
    prompt: _Words


class Editing(Answer):
    """A request to change a picture, and the same as an instruction."""

    changes: bool
    request: str = ""
    instruction: str = ""


async def run(asking: Asking, scenes: Sequence[Scene], options: Options) -> list[Made]:
    """What comes of each scene: rows with `draw` for a picture, a row with `edit` for a pair."""
    return await asking.map(partial(one, options), scenes)


async def one(options: Options, ask: Ask, scene: Scene) -> Made:
    """The rows of one scene."""
    return await (_generation if scene.edited is None else _editing)(options, ask, scene)


async def _generation(options: Options, ask: Ask, scene: Scene) -> Made:
    if not scene.captions:
        return (Rejected("it has no captions", f"draw:{scene.id}"),)
    made: Made = ()
    for number in range(1, options.requests + 1):
        id = f"draw:{scene.id}" + (f":{number}" if options.requests > 1 else "")
        values = {"captions": listed(scene.captions), "number": str(number)}
        entry = await ask(Request("gvit.generation", read_prompt("gvit_generation"), values, Generation))
        if entry.status != "ok":
            made += (rejected(entry, id),)
            continue
        drawn = {"type": "draw", "prompt": entry.parsed["prompt"]}
        asked = ("user", [text(entry.parsed["request"])])
        made += (row("gvit", options, id, [scene.image], asked, ("assistant", [drawn])),)
    return made


async def _editing(options: Options, ask: Ask, scene: Scene) -> Made:
    id = f"edit:{scene.id}"
    assert scene.edited is not None
    if not scene.instruction and not (scene.captions and scene.edited_captions):
        return (Rejected("it has neither captions of both pictures nor an instruction", id),)
    if scene.captions == scene.edited_captions and not scene.instruction:
        return (Rejected("both pictures have the same captions, so nothing is edited", id),)
    values = {
        "before": listed(scene.captions) or _UNKNOWN,
        "after": listed(scene.edited_captions) or _UNKNOWN,
        "instruction": scene.instruction or _UNKNOWN,
    }
    entry = await ask(Request("gvit.editing", read_prompt("gvit_editing"), values, Editing))
    if entry.status != "ok":
        return (rejected(entry, id),)
    if not (entry.parsed["changes"] and entry.parsed["request"] and entry.parsed["instruction"]):
        return (Rejected("gvit.editing: the model finds no visible change to ask for", id),)
    asked = ("user", [{"type": "image"}, text(entry.parsed["request"])])
    edit = {"type": "edit", "instruction": entry.parsed["instruction"], "source": 0}
    return (row("gvit", options, id, [scene.image, scene.edited], asked, ("assistant", [edit])),)
