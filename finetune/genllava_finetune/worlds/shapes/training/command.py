"""Train the parts of a recipe in order, then put the pipeline together.

Every part is a cached, resumable step in the output folder: what is finished is kept, what was cut off goes on from
its last complete checkpoint.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
import yaml
from rich.console import Console

from genllava.checkpoints import SHIPPED
from genllava.errors import InvalidRequest
from genllava_finetune.worlds.shapes.splits import SETTINGS
from genllava_finetune.worlds.shapes.training.assembling import assemble_saved, save_half, unpack
from genllava_finetune.worlds.shapes.training.autoencoder import fit_autoencoder
from genllava_finetune.worlds.shapes.training.controlnet import ControlNet
from genllava_finetune.worlds.shapes.training.image_decoder import ImageDecoder
from genllava_finetune.worlds.shapes.training.joint import Joint, LanguageModel
from genllava_finetune.worlds.shapes.training.part import Part, train_part
from genllava_finetune.worlds.shapes.training.recipe import Recipe, load_recipe
from genllava_finetune.worlds.shapes.training.statistics import data_statistics
from genllava_finetune.worlds.shapes.training.text_encoder import TextEncoder
from genllava_finetune.worlds.shapes.training.vision_tower import VisionTower

PARTS: Final[dict[str, type[Part]]] = {
    part.name: part for part in (TextEncoder, VisionTower, ImageDecoder, LanguageModel, Joint, ControlNet)
}
"""In the order in which they need each other; the autoencoder, which is fitted and not trained, comes before."""
RUNS: Final = Path("runs")


def run(
    recipe: str,
    output: Path | None = None,
    quick: bool = False,
    all_parts: bool = False,
    resume: bool = False,
    model: Path = SHIPPED,
    part: str = Joint.name,
) -> Path:
    """Train, and save the pipeline in half precision.

    Args:
        recipe: a name or a YAML file.
        output: folder of parts, checkpoints and logs; `runs/NAME` if not given.
        quick: the recipe's short profile, `NAME-quick`.
        all_parts: make every part from nothing; else only `part`, from the others of `model`.
        resume: go on with what is in `output`.
        part: `joint`, the tuning of language model and generation head, or `controlnet`.

    Returns:
        The folder of the pipeline.

    Raises:
        InvalidRequest: the recipe is not there, not valid or lacks a part, or it compiles and there is no compiler, or
            `output` cannot be written, or holds an earlier run and `resume` is not set, or one that was another.
    """
    plan = load_recipe(f"{recipe}-quick" if quick else recipe)
    if part not in (Joint.name, ControlNet.name):
        raise InvalidRequest(f"train {Joint.name!r} or {ControlNet.name!r} by itself, not {part!r}")
    trained = list(PARTS) if all_parts else [part]
    _check_parts(plan, trained)
    if any(plan.parts[part].compile for part in trained) and not shutil.which(os.environ.get("CXX", "g++")):
        raise InvalidRequest("this recipe compiles: install g++, or use a copy of it with `compile: false`")
    workspace = output if output is not None else RUNS / plan.name
    if workspace.exists() and any(workspace.iterdir()) and not resume:
        raise InvalidRequest(f"{workspace} is not empty: add --resume to go on with it, or choose another --output")
    _check_same_run(plan, trained, workspace)
    try:
        workspace.mkdir(parents=True, exist_ok=True)
        _record(plan, trained, workspace)
    except OSError as error:
        raise InvalidRequest(f"cannot write {workspace}: {error.strerror}") from None
    # PyTorch's flash attention for CPUs is half as fast as plain matrix products at these sizes.
    torch.backends.cuda.enable_flash_sdp(False)
    if all_parts:
        _fit_autoencoder(plan, workspace)
    else:
        unpack(model, workspace, trained)
    console = Console(stderr=True)
    for name in trained:
        console.print(f"[bold]{name}[/bold]")
        train_part(PARTS[name](plan.parts[name], plan.seed, workspace, SETTINGS[plan.withhold]))
    folder = workspace / "model"
    staging = workspace / "model.staging"
    shutil.rmtree(staging, ignore_errors=True)
    save_half(assemble_saved(workspace), staging)
    shutil.rmtree(folder, ignore_errors=True)
    staging.rename(folder)
    console.print(f"saved {folder}")
    return folder


def _check_parts(recipe: Recipe, trained: Sequence[str]) -> None:
    unknown = sorted(set(recipe.parts) - set(PARTS))
    if unknown:
        raise InvalidRequest(f"recipe {recipe.name!r} has unknown parts {', '.join(unknown)}; use {', '.join(PARTS)}")
    missing = [part for part in trained if part not in recipe.parts]
    if missing:
        raise InvalidRequest(f"recipe {recipe.name!r} has no settings for {', '.join(missing)}")


def _check_same_run(recipe: Recipe, trained: Sequence[str], workspace: Path) -> None:
    """What is finished is not made again, so it must be what this run would make."""
    record = workspace / "run.json"
    if not record.is_file():
        return
    earlier = json.loads(record.read_text())
    now = _run_record(recipe, trained)
    finished = [part for part in trained if (workspace / part).is_dir()]
    same = all(earlier["parts"].get(part) == now["parts"][part] for part in finished)
    same = same and earlier.get("withhold", "research") == now["withhold"]  # it always was, before it could be chosen
    if not same or (earlier["seed"], list(earlier["parts"])) != (now["seed"], list(now["parts"])):
        raise InvalidRequest(f"{workspace} holds a run with other settings: choose another --output")


def _run_record(recipe: Recipe, trained: Sequence[str]) -> dict[str, Any]:
    parts = {part: recipe.parts[part].model_dump() for part in trained}
    return {"seed": recipe.seed, "withhold": recipe.withhold, "parts": parts}


def _record(recipe: Recipe, trained: Sequence[str], workspace: Path) -> None:
    """Save the resolved recipe, what of it is trained, and what the training data consists of."""
    (workspace / "recipe.yaml").write_text(yaml.safe_dump(recipe.model_dump(), sort_keys=False))
    (workspace / "run.json").write_text(json.dumps(_run_record(recipe, trained), indent=2))
    counted = data_statistics(recipe.seed, withhold=SETTINGS[recipe.withhold])
    (workspace / "data.json").write_text(json.dumps(counted, indent=2))


def _fit_autoencoder(recipe: Recipe, workspace: Path) -> None:
    folder = workspace / "autoencoder"
    if folder.is_dir():
        return
    staging = workspace / "autoencoder.staging"
    shutil.rmtree(staging, ignore_errors=True)
    fit_autoencoder(recipe.seed, withhold=SETTINGS[recipe.withhold]).save_pretrained(staging)
    staging.rename(folder)
