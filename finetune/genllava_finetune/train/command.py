"""`genllava finetune` and `python -m genllava_finetune.train`: what is typed, checked before anything is loaded."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from genllava.errors import InvalidRequest


def run(
    recipe: str,
    output: Path | None = None,
    *,
    resume: bool = False,
    dry_run: bool = False,
    quick: bool = False,
    settings: Sequence[str] = (),
    from_stage: str | None = None,
    weights: Sequence[Path] = (),
) -> None:
    """Train as a recipe says, or say what that would take.

    Args:
        recipe: a YAML file, or the name of a recipe that ships.
        output: folder for all that comes of it; None: the recipe's name.
        resume: go on with an earlier run in that folder.
        dry_run: print parameters, memory and time, and train nothing.
        quick: with the settings that the recipe names in `quick`.
        settings: `key=value`, in the place of what the recipe says.
        from_stage: begin with this stage, or the first one that is named so with `-something` behind it.
        weights: folders of runs that have trained the stages before it.

    Raises:
        GenLlavaError: the recipe is wrong, its parts do not fit, or training had to stop; the message says why.
    """
    if output is not None and output.exists() and not output.is_dir():
        raise InvalidRequest(f"cannot write {output}: it is not a folder")
    from genllava_finetune.recipes.recipe import load_recipe

    checked = load_recipe(recipe, settings, quick=quick)
    if dry_run:
        from genllava_finetune.train.beginning import first_stage
        from genllava_finetune.train.estimate import report

        stages = checked.stages[first_stage(checked, from_stage) :]
        print(report(checked.model_copy(update={"stages": stages})))
        return
    from genllava_finetune.train.run import Run

    folder = output or Path(checked.name)
    target = Run(checked, folder, resume=resume, from_stage=from_stage, weights=weights).train()
    print(f"The trained model is in {target}")


def main(arguments: Sequence[str] | None = None) -> None:
    """The same from the module, for `accelerate launch -m genllava_finetune.train`."""
    parser = argparse.ArgumentParser(prog="genllava_finetune.train", description="Train a model as a recipe says.")
    parser.add_argument("recipe", help="a YAML file, or the name of a recipe that ships")
    parser.add_argument("-o", "--output", type=Path, help="folder for checkpoints, samples, logs and the model")
    parser.add_argument("--resume", action="store_true", help="go on with an earlier run in that folder")
    parser.add_argument("--dry-run", action="store_true", help="say what it would take, and train nothing")
    parser.add_argument("--quick", action="store_true", help="with the settings that the recipe names in quick")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE")
    parser.add_argument("--from-stage", metavar="NAME", help="begin with this stage, or with the first one of a group")
    parser.add_argument("--weights", action="append", type=Path, default=[], metavar="FOLDER")
    run(**vars(parser.parse_args(arguments)))
