"""MM-Instruct: varied instructions for pictures with captions, from a few seeds.

Our reconstruction of the steps that MM-Instruct's paper (arXiv 2406.19736) describes, with prompts of our own: invent
instructions like the seeds for many pictures, put similar ones together, write one instruction for each group, find
pictures that it suits, answer it from the captions, and keep what is coherent and grounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field

from genllava.errors import InvalidRequest
from genllava_finetune.curate.answers import Answer
from genllava_finetune.curate.asking import Ask, Asking, Request
from genllava_finetune.curate.clustering import assign, embed, groups
from genllava_finetune.curate.making import Made, Options, listed, rejected, rng, row, text
from genllava_finetune.curate.prompting import read_prompt
from genllava_finetune.curate.sources import Scene
from genllava_finetune.data.records import Rejected
from genllava_finetune.data.rows import Row

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings

PROMPTS: Final = ("mm_augment", "mm_summarise", "mm_match", "mm_answer", "mm_filter")
_EXAMPLES: Final = 4
"""Seeds that are shown at a time."""
_MOST_CLUSTERS: Final = 300
_SHOWN: Final = 20
"""Instructions of a group that its summary is made from: those nearest to its centre."""
_Words = Annotated[str, Field(min_length=1)]


class Invented(Answer):
    """New instructions."""

    instructions: list[_Words] = Field(min_length=1)


class Summary(Answer):
    """The one instruction that stands for a group."""

    instruction: _Words


class Suits(Answer):
    """Whether an instruction makes sense for a picture."""

    reason: str
    makes_sense: bool


class Carried(Answer):
    """What the assistant says."""

    answer: _Words


class Verdict(Answer):
    """Whether an example is good."""

    reason: str
    coherent: bool
    grounded: bool


async def run(
    asking: Asking, scenes: Sequence[Scene], options: Options, embedder: Embeddings | None, name: str
) -> list[Made]:
    """What comes of each scene: a row for each instruction that suits it.

    Args:
        embedder: see `embed`.
        name: of the embedding model.

    Raises:
        InvalidRequest: the model invented no instruction that can be used.
    """
    captioned = [scene for scene in scenes if scene.captions]
    invented = await asking.map(partial(augment, options), captioned)
    known = list(dict.fromkeys(instruction for some in invented for instruction in some))
    if not known:
        raise InvalidRequest("the model invented no instruction: the ledger says how it answered")
    vectors = await embed(asking, embedder, name, known)
    count = options.clusters or max(1, min(_MOST_CLUSTERS, len(known) // 10))

    async def grouped() -> list[list[int]]:
        return groups(vectors, count, options.seed)

    inputs = {"texts": known, "count": count, "seed": options.seed, "embeddings": name}
    clusters = await asking.remember("mm.cluster", inputs, grouped)
    written = await asking.map(summarise, [[known[index] for index in members[:_SHOWN]] for members in clusters])
    instructions = list(dict.fromkeys(filter(None, written)))
    if not instructions:
        raise InvalidRequest("the model summarised no group of instructions: the ledger says how it answered")
    near = await _matched(asking, embedder, name, captioned, instructions, options.matches)
    items = [(scene, [instructions[index] for index in chosen]) for scene, chosen in zip(captioned, near, strict=True)]
    made = dict(
        zip((scene.id for scene in captioned), await asking.map(partial(examples, options), items), strict=True)
    )
    return [made.get(scene.id, (Rejected("it has no captions", scene.id),)) for scene in scenes]


async def augment(options: Options, ask: Ask, scene: Scene) -> tuple[str, ...]:
    """Instructions that are invented for a scene; none where the model does not answer well."""
    prompt = read_prompt("mm_augment")
    seeds = rng(options, "seeds", scene.id).sample(prompt.extra["seeds"], _EXAMPLES)
    captions, number = listed(scene.captions), str(options.instructions)
    values = {"examples": listed(seeds), "captions": captions, "number": number}
    entry = await ask(Request("mm.augment", prompt, values, Invented))
    return tuple(entry.parsed["instructions"]) if entry.status == "ok" else ()


async def summarise(ask: Ask, members: list[str]) -> str:
    """The instruction of a group; "" where the model does not answer well."""
    values = {"instructions": listed(members)}
    entry = await ask(Request("mm.summarise", read_prompt("mm_summarise"), values, Summary))
    return str(entry.parsed["instruction"]) if entry.status == "ok" else ""


async def _matched(
    asking: Asking,
    embedder: Embeddings | None,
    name: str,
    scenes: Sequence[Scene],
    instructions: list[str],
    matches: int,
) -> list[list[int]]:
    """For each scene the indices of the instructions to try with it."""
    captions = [" ".join(scene.captions) for scene in scenes]
    vectors = await embed(asking, embedder, name, [*captions, *instructions])

    async def matched() -> list[list[int]]:
        return assign(vectors[: len(captions)], vectors[len(captions) :], matches)

    inputs = {"captions": captions, "instructions": instructions, "matches": matches, "embeddings": name}
    found: list[list[int]] = await asking.remember("mm.assign", inputs, matched)
    return found


async def examples(options: Options, ask: Ask, item: tuple[Scene, list[str]]) -> Made:
    """The rows of a scene: for each instruction asked whether it suits, answered, and examined."""
    scene, instructions = item
    return tuple([await _example(options, ask, scene, instruction) for instruction in instructions])


async def _example(options: Options, ask: Ask, scene: Scene, instruction: str) -> Row | Rejected:
    id = f"{scene.id}:{sha256(instruction.encode()).hexdigest()[:12]}"
    values = {"captions": listed(scene.captions), "instruction": instruction}
    suits = await ask(Request("mm.match", read_prompt("mm_match"), values, Suits))
    if suits.status != "ok":
        return rejected(suits, id)
    if not suits.parsed["makes_sense"]:
        return Rejected(f"mm.match: the instruction does not suit the picture: {suits.parsed['reason']}", id)
    said = await ask(Request("mm.answer", read_prompt("mm_answer"), values, Carried))
    if said.status != "ok":
        return rejected(said, id)
    answer = str(said.parsed["answer"])
    verdict = await ask(Request("mm.filter", read_prompt("mm_filter"), values | {"answer": answer}, Verdict))
    if verdict.status != "ok":
        return rejected(verdict, id)
    if not (verdict.parsed["coherent"] and verdict.parsed["grounded"]):
        which = " and ".join(f"not {name}" for name in ("coherent", "grounded") if not verdict.parsed[name])
        return Rejected(f"mm.filter: the answer is {which}: {verdict.parsed['reason']}", id)
    asked = ("user", [{"type": "image"}, text(instruction)])
    return row("mm_instruct", options, id, [scene.image], asked, ("assistant", [text(answer)]))
