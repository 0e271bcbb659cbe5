"""A run of the smallest parts there are, for tests: a step takes a few hundredths of a second."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch

from genllava_finetune.recipes.recipe import Recipe
from genllava_finetune.train.run import Run
from genllava_finetune.train.trainer import GenLlavaTrainer

_TINY = "genllava_finetune.recipes.tiny_real"
SMALL: dict[str, Any] = {
    "name": "small",
    "model": {
        "vlm": {
            "make": f"{_TINY}:vision_language",
            "options": {"hidden_size": 16, "layers": 1, "heads": 2, "side": 16},
        },
        "decoder": {"make": f"{_TINY}:stable_diffusion", "options": {"side": 16, "channels": 8, "width": 16}},
        "editor": {
            "make": f"{_TINY}:stable_diffusion",
            "options": {"side": 16, "channels": 8, "width": 16, "edits": True},
        },
        "generation_head": {"num_queries": 2, "hidden_dim": 16, "num_layers": 1, "num_heads": 2},
        "drawing_options": {"num_inference_steps": 1, "guidance_scale": 1.0},
    },
    "data": [{"name": "photographs", "rows": f"{_TINY}:rows", "options": {"side": 16}}],
    "stages": [
        {
            "train": ["vlm", "generation_head"],
            "steps": 4,
            "batch_size": 4,
            "learning_rate": 0.01,
            "warmup": 0,
            "scheduler": "constant",
            "save_every": 2,
            "log_every": 1,
            "gradient_norms_every": 0,
        }
    ],
}


def recipe(stage: dict[str, Any] | None = None, model: dict[str, Any] | None = None, **changed: Any) -> Recipe:
    """The small recipe with some settings changed."""
    value = copy.deepcopy(SMALL)
    value["stages"][0] |= stage or {}
    value["model"] |= model or {}
    return Recipe.model_validate({**value, **changed})


def kept(*arguments: Any, **options: Any) -> tuple[Any, ...]:
    """What a recipe's function was called with."""
    return *arguments, options


def trainer_of(made: Recipe, folder: Path) -> GenLlavaTrainer:
    """The trainer of the first stage, before its first step."""
    run = Run(made, folder, resume=True)
    model, encoder, _ = run._model(made.stages[0], run._new_parts())
    return run._trainer(0, model, encoder)


def losses(trainer: GenLlavaTrainer) -> list[float]:
    """Of each step."""
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def weights(trainer: GenLlavaTrainer) -> torch.Tensor:
    """All trained weights in a row."""
    return torch.cat([each.flatten() for each in trainer.trained_state().values()])
