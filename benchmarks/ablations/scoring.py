"""What a trained model makes of test cases, and how much of it is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import torch
from PIL import Image
from torch import Tensor

from benchmarks.ablations.small_world import (
    EDITING,
    GENERATION,
    NO_PLAN,
    UNDERSTANDING,
    Case,
    case_row,
    picture,
    read,
)
from genllava.protocols.parts import Message, Parts, named_blocks
from genllava.protocols.task_tokens import I2I, I2T, SOI, T2I
from genllava.vision_language.reading import Prompt
from genllava_finetune.data.rows import row_dict
from genllava_finetune.modeling.collator import Collator
from genllava_finetune.modeling.encoding import RowEncoder
from genllava_finetune.modeling.model import GenLlavaForTraining, LossWeights
from genllava_finetune.worlds.shapes.scene import Scene

TOKEN_OF: Final = {UNDERSTANDING: I2T, GENERATION: T2I, EDITING: I2I}
_SOURCE: Final = "image_1:"
"""How an edit names the picture that is changed."""
_LONGEST: Final = 10
"""Words of a plan that the decoder's text encoder reads."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model said to a case.

    Attributes:
        task: what it decided to do.
        words: its answer, or the plan of a picture.
        drew: it went on to draw.
    """

    task: str
    words: str
    drew: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a case went.

    Attributes:
        decided: the task was the right one.
        right: all of it: the task, and the answer in its words or the picture with all its things.
        planned: of pictures: the plan names what the picture shall show, word for word.
        attributes: of pictures: the share of shapes and colours that are in their places; 0 if none was drawn.
        given: of pictures: the picture is right if task and plan are given; what is left is the bridge and the decoder.
    """

    task: str
    decided: bool
    right: bool
    planned: bool | None = None
    attributes: float | None = None
    given: bool | None = None


def read_reply(tokens: Sequence[str], drew: bool) -> Reply:
    """A model's message, up to the picture: what it does is said by its task token, or by its form without one.

    Args:
        tokens: words and the task token.
        drew: whether `[SOI]` ended it.
    """
    by_token = {token: task for task, token in TOKEN_OF.items()}
    said = [token for token in tokens if token not in by_token]
    edits = bool(said) and said[0] == _SOURCE
    form = (EDITING if edits else GENERATION) if drew else UNDERSTANDING
    task = by_token[tokens[0]] if tokens and tokens[0] in by_token else form
    return Reply(task, " ".join(said[1:] if edits else said), drew)


def attributes_right(wanted: Scene, shown: Scene | None) -> float:
    """The share of the shapes and colours of a scene that another one has in the same places."""
    there = {} if shown is None else {thing.cell: thing for thing in shown.things}
    found = [
        value
        for thing in wanted.things
        for value in (
            thing.cell in there and there[thing.cell].shape == thing.shape,
            thing.cell in there and there[thing.cell].color == thing.color,
        )
    ]
    return sum(found) / len(found)


def grade(case: Case, reply: Reply, shown: Scene | None, given: Scene | None, *, plans: bool = True) -> Outcome:
    """How a case went.

    Args:
        shown: what the picture shows that came of the reply; None: there is none, or it is not of the world.
        given: likewise of the picture that came of the right task and plan.
        plans: the model plans in words.
    """
    decided = reply.task == case.task
    if case.target is None:
        return Outcome(case.task, decided, decided and not reply.drew and reply.words == case.answer)
    seen = shown if decided and reply.drew else None
    planned = decided and reply.words == case.plan if plans else None
    right = seen == case.target
    return Outcome(case.task, decided, right, planned, attributes_right(case.target, seen), given == case.target)


class Model:
    """A trained model under test.

    Args:
        parts: of its pipeline.
        bridge: `head` or `caption`.
        plans: it plans pictures in words.
        task_tokens: it was taught to begin with a task token.
    """

    def __init__(self, parts: Parts, bridge: str, *, plans: bool = True, task_tokens: bool = True) -> None:
        self.parts, self.bridge, self.plans, self.task_tokens = parts, bridge, plans, task_tokens
        self._spoken = parts.vision_language
        self._drawer: Any = parts.require_decoder().pipeline

    @torch.no_grad()
    def replies(self, cases: Sequence[Case]) -> list[Reply]:
        """What it says, each time the likeliest token, until it draws or ends."""
        words = self._spoken.tokenizer
        begin, end = words.convert_tokens_to_ids([SOI, self._spoken.end_token])
        inputs = self._spoken.reader.encode([self._prompt(case, "") for case in cases])
        options = {"do_sample": False, "max_new_tokens": 24, "pad_token_id": words.pad_token_id}
        made = self._spoken.model.generate(**inputs, **options, eos_token_id=[begin, end])
        replies = []
        for row in made[:, inputs["input_ids"].shape[1] :].tolist():
            stop = next((place for place, token in enumerate(row) if token in (begin, end)), len(row))
            drew = stop < len(row) and row[stop] == begin
            replies.append(read_reply(words.convert_ids_to_tokens(row[:stop]), drew))
        return replies

    @torch.no_grad()
    def pictures(self, cases: Sequence[Case], plans: Sequence[str], seeds: Sequence[int]) -> list[Image.Image]:
        """What it draws for cases of one task by given plans."""
        if not cases:
            return []
        sources = [picture(case.shown) for case in cases if case.shown is not None]
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        given: dict[str, Any] = {"image": sources or None, "generator": generators}
        if self.bridge == "caption":
            prompts = [" ".join(plan.split()[:_LONGEST]) for plan in plans]
            return list(self._drawer(prompts, **given).images)
        return list(self._drawer(prompt_embeds=self._embeds(cases, plans), **given).images)

    def outcomes(self, cases: Sequence[Case]) -> list[Outcome]:
        """How cases of one task go."""
        replies = self.replies(cases)
        if cases[0].target is None:
            return [grade(case, reply, None, None) for case, reply in zip(cases, replies, strict=True)]
        plans = [case.plan if self.plans else NO_PLAN for case in cases]
        given = [read(image) for image in self.pictures(cases, plans, range(len(cases)))]
        shown = list(given)
        others = [
            number
            for number, (case, reply) in enumerate(zip(cases, replies, strict=True))
            if reply.task == case.task and reply.drew and reply.words != plans[number]
        ]
        own = [replies[number].words or NO_PLAN for number in others]
        for number, image in zip(others, self.pictures([cases[n] for n in others], own, others), strict=True):
            shown[number] = read(image)
        rows = zip(cases, replies, shown, given, strict=True)
        return [grade(*row, plans=self.plans) for row in rows]

    @torch.no_grad()
    def losses(self, cases: Sequence[Case]) -> dict[str, float]:
        """The losses of training on cases of one task, each with weight 1."""
        head = self.parts.generation_head
        model = GenLlavaForTraining(
            self._spoken, head, self.parts.image_decoder, weights=LossWeights(), bridge="head" if head else "caption"
        ).eval()
        encoder = RowEncoder(self._spoken, head, task_token_dropout=0.0 if self.task_tokens else 1.0)
        rows = [row_dict(case_row(case, f"test:{number}", plans=self.plans)) for number, case in enumerate(cases)]
        outputs = model(**Collator(encoder, resolution=model.resolution)(rows))
        names = ("cross_entropy", "denoising", "alignment") if cases[0].target is not None else ("cross_entropy",)
        return {name: float(outputs[name]) for name in names if name in outputs}

    def _prompt(self, case: Case, said: str) -> Prompt:
        shown = named_blocks([picture(case.shown)]) if case.shown is not None else []
        asked: list[Message] = [{"role": "user", "content": [*shown, {"type": "text", "text": case.request}]}]
        template = self._spoken.template
        clean, pictures = template.checked(asked)
        return Prompt(template.render(clean) + template.gap + said, pictures)

    def _embeds(self, cases: Sequence[Case], plans: Sequence[str]) -> Tensor:
        """Prompt embeddings [B, L, C], from the states at the visual queries behind plans."""
        head = self.parts.generation_head
        assert head is not None
        queries = "".join(head.query_names)
        prompts = []
        for case, plan in zip(cases, plans, strict=True):
            begin = [TOKEN_OF[case.task]] if self.task_tokens else []
            words = " ".join([*begin, *([_SOURCE] if case.task == EDITING else []), plan])
            prompts.append(self._prompt(case, f"{words}{SOI}{queries}"))
        inputs = self._spoken.reader.encode(prompts, padding_side="right")
        options = {"output_hidden_states": True, "use_cache": False, "logits_to_keep": 1}
        states = self._spoken.model(**inputs, **options).hidden_states
        ends, count = inputs["attention_mask"].sum(1), len(head.query_names)
        places = ends[:, None] - count + torch.arange(count)
        picked = [states[layer][torch.arange(len(places))[:, None], places] for layer in head.config["layers"]]
        return head.condition(torch.cat(picked, -1))[0]


def as_dict(outcome: Outcome) -> dict[str, Any]:
    """For a file of results; what does not apply is left out."""
    return {name: value for name, value in asdict(outcome).items() if value is not None}
