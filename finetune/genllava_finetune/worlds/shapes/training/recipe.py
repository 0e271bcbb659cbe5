"""Recipes: small YAML files, validated, that say how long and how fast every part trains."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from genllava.errors import InvalidRequest


class PartRecipe(BaseModel):
    """Settings of one training step.

    Attributes:
        steps: optimiser steps.
        batch_size: samples of one step.
        learning_rate: peak; warmed up over `warmup` steps, then constant, cooled to zero in the last `cooldown` share.
        ema_decay: decay of the averaged weights that are exported (0: export the last weights).
        bf16: run matrix products in bfloat16 (fast on CPUs with AMX and on GPUs).
        compile: compile the transformer layers, which takes a minute and a C++ compiler and makes the language
            model's steps a third faster on a CPU.
        save_every: keep a resumable checkpoint every so many steps.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = Field(gt=0)
    batch_size: int = Field(gt=0)
    learning_rate: float = Field(gt=0)
    warmup: int = Field(default=100, ge=0)
    cooldown: float = Field(default=0.25, ge=0, le=1)
    weight_decay: float = Field(default=0.01, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    bf16: bool = True
    compile: bool = False
    log_every: int = Field(default=50, gt=0)
    save_every: int = Field(default=500, gt=0)


class Recipe(BaseModel):
    """A whole training run.

    Attributes:
        seed: of weights and data.
        withhold: `nothing`, but the scenes of dev and test, or `research`: what is never shown either, to measure
            whether a model goes beyond it (`splits.RESEARCH`).
        parts: settings by part, in order.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    seed: int = 0
    withhold: Literal["nothing", "research"] = "nothing"
    parts: dict[str, PartRecipe]


def load_recipe(name: str) -> Recipe:
    """The recipe called `name`, one of ours or the path of a YAML file.

    Raises:
        InvalidRequest: there is no such recipe, or it is not valid; the message says which field is wrong.
    """
    path = Path(name)
    if path.suffix in {".yaml", ".yml"}:
        if not path.is_file():
            raise InvalidRequest(f"there is no recipe file {name!r}")
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidRequest(f"recipe {name!r} cannot be read: {error}") from None
    else:
        packaged = resources.files("genllava_finetune.worlds.shapes.training") / "recipes" / f"{name}.yaml"
        if not packaged.is_file():
            known = sorted(p.name.removesuffix(".yaml") for p in packaged_recipes())
            raise InvalidRequest(
                f"there is no recipe {name!r}; use one of {', '.join(known)} or the path of a YAML file"
            )
        text = packaged.read_text()
    try:
        return Recipe.model_validate(yaml.safe_load(text))
    except (yaml.YAMLError, ValidationError) as error:
        raise InvalidRequest(f"recipe {name!r} is not valid: {error}") from error


def packaged_recipes() -> list[Path]:
    """The recipe files that come with the package."""
    folder = resources.files("genllava_finetune.worlds.shapes.training") / "recipes"
    return [Path(str(item)) for item in folder.iterdir() if item.name.endswith(".yaml")]
