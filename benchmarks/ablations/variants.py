"""What is compared: each variant differs from `base` in one thing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from benchmarks.ablations.small_world import EDITING, GENERATION, TASKS, UNDERSTANDING
from genllava_finetune.recipes.recipe import Recipe

STEPS: Final = 400
"""Optimizer steps of a run."""
BATCH: Final = 8
"""Rows of a step."""
_FIRST_STAGE: Final = 0.25
"""Share of the steps of two stages that the first one has."""
_ADAPTERS: Final = ("vlm.model.multi_modal_projector", "generation_head")
_LANGUAGE: Final = ("vlm.model.language_model", "vlm.lm_head")


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to train the model.

    Attributes:
        shares: of the tasks among the rows.
        steps: share of a run's steps.
        two_stages: the projector and the head come first, by themselves, and all of the language model after them.
        task_tokens: the model is taught to begin with a task token.
        queries: number of visual queries.
        bridge: `caption`: there is no head, and pictures are drawn by their plan in words; `head`: through the queries.
        plans: pictures are planned in words before the queries.
        denoising, alignment: weights of the losses.
    """

    shares: dict[str, float] = field(default_factory=lambda: dict.fromkeys(TASKS, 1.0))
    steps: float = 1.0
    two_stages: bool = False
    task_tokens: bool = True
    queries: int = 8
    bridge: str = "head"
    plans: bool = True
    denoising: float = 0.0
    alignment: float = 1.0


BASE: Final = Variant()


def _with_share(share: float) -> Variant:
    rest = (1 - share) / 2
    return replace(BASE, shares={UNDERSTANDING: share, GENERATION: rest, EDITING: rest})


VARIANTS: Final[dict[str, Variant]] = {
    "base": BASE,
    "two_stages": replace(BASE, two_stages=True),
    **{f"only_{task}": replace(BASE, shares={task: 1.0}, steps=1 / len(TASKS)) for task in TASKS},
    "no_task_tokens": replace(BASE, task_tokens=False),
    "queries_4": replace(BASE, queries=4),
    "queries_16": replace(BASE, queries=16),
    "queries_32": replace(BASE, queries=32),
    "caption": replace(BASE, bridge="caption", alignment=0.0),
    "understanding_20": _with_share(0.2),
    "understanding_50": _with_share(0.5),
    "understanding_80": _with_share(0.8),
    "head_no_plan": replace(BASE, plans=False, denoising=1.0, alignment=0.0),
    "both_losses": replace(BASE, denoising=1.0),
    "denoising_only": replace(BASE, denoising=1.0, alignment=0.0),
}


@dataclass(frozen=True, slots=True)
class Ablation:
    """A question, and the variants that answer it.

    Attributes:
        question: as the heading of its table.
        variants: by what they are called in the table.
    """

    question: str
    variants: dict[str, str]


ABLATIONS: Final[dict[str, Ablation]] = {
    "stages": Ablation("One stage or two stages", {"one stage": "base", "two stages": "two_stages"}),
    "specialists": Ablation(
        "The joint model or three specialists", {"joint": "base", **{f"{task} alone": f"only_{task}" for task in TASKS}}
    ),
    "task_tokens": Ablation("Task tokens", {"with": "base", "without": "no_task_tokens"}),
    "queries": Ablation(
        "Number of visual queries",
        {"N = 4": "queries_4", "N = 8": "base", "N = 16": "queries_16", "N = 32": "queries_32"},
    ),
    "bridge": Ablation(
        "Caption, head or both",
        {
            "caption": "caption",
            "queries without a plan, denoising": "head_no_plan",
            "plan and queries, denoising": "denoising_only",
            "plan and queries, alignment": "base",
            "plan and queries, both losses": "both_losses",
        },
    ),
    "shares": Ablation(
        "Share of understanding data",
        {"20 %": "understanding_20", "33 %": "base", "50 %": "understanding_50", "80 %": "understanding_80"},
    ),
}


def recipe_of(name: str, seed: int, steps: int, parts: str) -> Recipe:
    """A variant as a recipe of the trainer.

    Args:
        seed: of new weights, rows and noise.
        steps: of a whole run.
        parts: folder of the trained parts.
    """
    variant = VARIANTS[name]
    total = max(1, round(steps * variant.steps))
    data = {
        "name": "shapes",
        "rows": "benchmarks.ablations.small_world:Rows",
        "options": {"seed": seed, "count": BATCH * total, "shares": variant.shares, "plans": variant.plans},
    }
    model = {
        "vlm": {"make": "benchmarks.ablations.parts:vision_language", "options": {"folder": parts}},
        "decoder": {"make": "benchmarks.ablations.parts:decoder", "options": {"folder": parts}},
    }
    if variant.bridge == "head":
        model["generation_head"] = {
            "kind": "encoder",
            "num_queries": variant.queries,
            "hidden_dim": 128,
            "num_layers": 1,
            "num_heads": 4,
        }
    adapters = [each for each in _ADAPTERS if variant.bridge == "head" or each != "generation_head"]
    stage = {
        "bridge": variant.bridge,
        "losses": {"cross_entropy": 1.0, "denoising": variant.denoising, "alignment": variant.alignment},
        "dropout": {"text": 0.0, "source": 0.0, "both": 0.0},
        "task_token_dropout": 0.0 if variant.task_tokens else 1.0,
        "batch_size": BATCH,
        "learning_rate": {"vlm.model.multi_modal_projector": 4e-3, "default": 2e-3},
        "warmup": 0.05,
        "save_every": 0,
        "log_every": 50,
        "gradient_norms_every": 0,
        "samples": 0,
        "arguments": {"disable_tqdm": True, "adam_beta2": 0.95},
    }
    stages = [{"name": "joint", "train": [*adapters, *_LANGUAGE], "steps": total, **stage}]
    if variant.two_stages:
        first = round(_FIRST_STAGE * total)
        stages[0]["steps"] = total - first
        stages.insert(0, {"name": "adapters", "train": [*adapters, "vlm.new_tokens"], "steps": first, **stage})
    recipe = {"name": name, "seed": seed, "model": model, "data": [data], "stages": stages}
    return Recipe.model_validate(recipe)
