"""The stage that a run begins with, and whose weights the stages before it have; the run's folder remembers both."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from genllava.errors import CheckpointError, InvalidRequest
from genllava_finetune.data.durable_files import whole_file
from genllava_finetune.recipes.recipe import Recipe, Stage

FILE: Final = "beginning.yaml"


def first_stage(recipe: Recipe, name: str | None) -> int:
    """The number of a stage, or of the first one of a group, whose stages are named `NAME-something`.

    Args:
        name: None: the recipe's first stage.

    Raises:
        InvalidRequest: there is none.
    """
    names = [stage.name for stage in recipe.stages]
    if name is None:
        return 0
    found = [number for number, each in enumerate(names) if each == name] or [
        number for number, each in enumerate(names) if each.startswith(f"{name}-")
    ]
    if not found:
        raise InvalidRequest(f"--from-stage {name}: there is no such stage; the stages are {', '.join(names)}")
    return found[0]


def stage_file(folder: Path, number: int, stage: Stage) -> Path:
    """Where a run keeps the weights that a stage has trained."""
    return folder / "stages" / f"{number}-{stage.name}.safetensors"


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where a run begins.

    Attributes:
        stage: name of its first stage; None: that of the recipe. Stages before it are not trained.
        weights: folders of runs that trained those; of several that did, the first one counts. Without any, the
            stages before are left out, and the recipe's parts are as they come.
    """

    stage: str | None = None
    weights: tuple[Path, ...] = ()

    def number(self, recipe: Recipe) -> int:
        """Of the first stage that is trained."""
        return first_stage(recipe, self.stage)

    def write(self, folder: Path) -> None:
        """Have the folder remember it."""
        file_name = folder / FILE
        if self.stage is None:
            file_name.unlink(missing_ok=True)
            return
        value = {"stage": self.stage, "weights": [str(each) for each in self.weights]}
        with whole_file(file_name) as file:
            file.write(yaml.safe_dump(value, sort_keys=False, allow_unicode=True).encode())

    def copy_weights(self, recipe: Recipe, folder: Path) -> None:
        """Put the weights of the stages before the first one into a run's folder, where they are not there yet.

        Raises:
            CheckpointError: none of the folders has those of a stage, or they cannot be copied.
        """
        for number, stage in enumerate(recipe.stages[: self.number(recipe)] if self.weights else ()):
            target = stage_file(folder, number, stage)
            if not target.exists():
                source, writing = self._found(stage), target.with_name(f".writing-{target.name}")
                try:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(source, writing)
                    writing.replace(target)
                except OSError as error:
                    raise CheckpointError(f"cannot copy {source} to {target}: {error}") from error

    def check(self, recipe: Recipe, folder: Path) -> None:
        """See that the weights of every stage before the first one are in the run's folder, or in one of the others.

        Raises:
            CheckpointError: those of a stage are not.
        """
        for number, stage in enumerate(recipe.stages[: self.number(recipe)] if self.weights else ()):
            if not stage_file(folder, number, stage).exists():
                self._found(stage)

    def _found(self, stage: Stage) -> Path:
        for folder in self.weights:
            for path in sorted((folder / "stages").glob("*.safetensors")):
                if re.fullmatch(rf"\d+-{re.escape(stage.name)}\.safetensors", path.name):
                    return path
        where = ", ".join(map(str, self.weights))
        raise CheckpointError(f"--weights {where}: no run there has finished the stage {stage.name}")


def beginning_of(
    recipe: Recipe, folder: Path, stage: str | None, weights: Sequence[Path], *, resume: bool
) -> Beginning:
    """Where a run begins: as its folder remembers if it goes on, else as is asked.

    Args:
        stage: that is asked for; None: none is.
        weights: folders that are asked for.

    Raises:
        CheckpointError: a run that goes on was begun in another way, or its folder is damaged.
        InvalidRequest: there is no such stage.
    """
    if weights and stage is None:
        raise InvalidRequest("--weights is for the stages before --from-stage: give both")
    number = first_stage(recipe, stage)
    asked = Beginning(recipe.stages[number].name, tuple(each.absolute() for each in weights)) if number else Beginning()
    if not resume or not (folder / "recipe.yaml").exists():
        return asked
    begun = _remembered(folder / FILE)
    if stage is not None and begun.number(recipe) != number:
        first, other = recipe.stages[begun.number(recipe)].name, recipe.stages[number].name
        raise CheckpointError(f"{folder} has a run that began with the stage {first}, not {other}: give another folder")
    if weights and begun.weights != asked.weights:
        theirs = ", ".join(map(str, begun.weights)) or "no other run"
        raise CheckpointError(f"{folder} has a run that began with the weights of {theirs}: give another folder")
    return begun


def _remembered(path: Path) -> Beginning:
    if not path.exists():
        return Beginning()
    try:
        value: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Beginning(str(value["stage"]), tuple(map(Path, value["weights"])))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        raise CheckpointError(f"cannot read {path}, which says where the run began: {error}") from error
