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
    settings: Sequence[str] = (),
) -> None:
    """Train as a recipe says, or say what that would take.

    Args:
        recipe: a YAML file, or the name of a recipe that ships.
        output: folder for all that comes of it; None: the recipe's name.
        resume: go on with an earlier run in that folder.
        dry_run: print parameters, memory and time, and train nothing.
        settings: `key=value`, in the place of what the recipe says.

    Raises:
        GenLlavaError: the recipe is wrong, its parts do not fit, or training had to stop; the message says why.
    """
    if output is not None and output.exists() and not output.is_dir():
        raise InvalidRequest(f"cannot write {output}: it is not a folder")
    from genllava_finetune.recipes.recipe import load_recipe

    checked = load_recipe(recipe, settings)
    if dry_run:
        from genllava_finetune.train.estimate import report

        print(report(checked))
        return
    from genllava_finetune.train.run import Run

    folder = Run(checked, output or Path(checked.name), resume=resume).train()
    print(f"The trained model is in {folder}")


def main(arguments: Sequence[str] | None = None) -> None:
    """The same from the module, for `accelerate launch -m genllava_finetune.train`."""
    parser = argparse.ArgumentParser(prog="genllava_finetune.train", description="Train a model as a recipe says.")
    parser.add_argument("recipe", help="a YAML file, or the name of a recipe that ships")
    parser.add_argument("-o", "--output", type=Path, help="folder for checkpoints, samples, logs and the model")
    parser.add_argument("--resume", action="store_true", help="go on with an earlier run in that folder")
    parser.add_argument("--dry-run", action="store_true", help="say what it would take, and train nothing")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE")
    typed = parser.parse_args(arguments)
    run(typed.recipe, typed.output, resume=typed.resume, dry_run=typed.dry_run, settings=typed.settings)
