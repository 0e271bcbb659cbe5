"""`--from-stage` and `--quick`: where a run begins, what it remembers of it, and what goes on from stage to stage."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from genllava.errors import CheckpointError, InvalidRequest
from genllava_finetune.modeling.model import AuxiliaryLoss
from genllava_finetune.recipes.recipe import Recipe, dump_recipe, load_recipe
from genllava_finetune.train import command
from genllava_finetune.train.run import Run
from tests.finetune.train.small_runs import SMALL, recipe

GROUNDED = {"grounding": {"make": "tests.finetune.train.test_stages:grounding"}}
TEXT = """\
name: mine
model: {vlm: owner/model}
data:
  - {name: pictures, rows: "package.module:rows", options: {things: 200}}
stages:
  - {name: decoder, train: [vlm], steps: 9000}
quick:
  stages.decoder.steps: 500
  data.pictures.options.things: 50
  stages.decoder.losses: {denoising: 0.5}
"""


class Grounding(AuxiliaryLoss):
    """A loss with a weight of its own; shares the embeddings as a module."""

    def __init__(self, embeddings: nn.Module, size: int) -> None:
        super().__init__()
        self.embeddings = embeddings
        self.scale = nn.Parameter(torch.zeros(size))

    def collate(self, rows: Any, examples: Any) -> dict[str, torch.Tensor]:
        return {"wanted": torch.ones(1)}

    def forward(self, outputs: Any, batch: Any) -> dict[str, torch.Tensor]:
        return {"loss": (self.scale - batch["wanted"]).square().mean()}


def grounding(parts: Any, size: int = 1) -> Grounding:
    return Grounding(parts.vision_language.model.get_input_embeddings(), size)


def staged(**changed: Any) -> Recipe:
    """Four stages in two groups; the decoder, and the grounding, go on in the second one."""
    common: dict[str, Any] = {
        "steps": 2,
        "batch_size": 8,
        "learning_rate": 0.01,
        "warmup": 0,
        "save_every": 1,
        "log_every": 1,
    }
    common |= {"log_every": 1, "gradient_norms_every": 0, "scheduler": "constant"}
    decoder = {**common, "train": ["decoder.unet"], "bridge": "caption", "losses": {"cross_entropy": 0}}
    tower = {
        **common, "train": ["vlm", "auxiliaries.grounding"], "auxiliaries": GROUNDED, "bridge": "caption",
        "losses": {"cross_entropy": 1, "denoising": 0, "alignment": 0},
    }  # fmt: skip
    stages = [
        {"name": f"{size}-{kind}", **each}
        for size in (50, 100)
        for kind, each in (("decoder", decoder), ("tower", tower))
    ]
    value = {**copy.deepcopy(SMALL), "stages": stages, **changed}
    value["model"].pop("editor")
    return Recipe.model_validate(value)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of all stages."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    Run(staged(), folder).train()
    return folder


def trained(folder: Path, name: str) -> dict[str, torch.Tensor]:
    return load_file(next((folder / "stages").glob(f"*-{name}.safetensors")))


def same(one: Path, other: Path, names: list[str]) -> bool:
    return all(
        torch.equal(value, trained(other, name)[key]) for name in names for key, value in trained(one, name).items()
    )


def killed(monkeypatch: pytest.MonkeyPatch, run: Run, number: int, step: int) -> None:
    """Train until a step of a stage, and be stopped there."""
    trainer_of = Run._trainer

    def breaking(self: Run, at: int, *given: Any) -> Any:
        trainer = trainer_of(self, at, *given)
        if at == number:
            step_of = trainer.training_step

            def training_step(*given: Any, **options: Any) -> Any:
                if trainer.state.global_step == step:
                    raise KeyboardInterrupt
                return step_of(*given, **options)

            monkeypatch.setattr(trainer, "training_step", training_step)
        return trainer

    with monkeypatch.context() as patch:
        patch.setattr(Run, "_trainer", breaking)
        with pytest.raises(KeyboardInterrupt):
            run.train()


@pytest.mark.slow
def test_from_a_stage_with_the_weights_of_another_run(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest is as if all had been trained at once, bit for bit, and also after a kill, without the other run."""
    other, folder = tmp_path / "other", tmp_path / "run"
    shutil.copytree(whole / "stages", other / "stages")
    for number in (2, 3):
        next((other / "stages").glob(f"{number}-*")).unlink()
    killed(monkeypatch, Run(staged(), folder, from_stage="100", weights=[other]), 2, 1)
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["100-decoder"]
    shutil.rmtree(other)
    with pytest.raises(CheckpointError, match="--resume"):
        Run(staged(), folder, from_stage="100", weights=[other])
    with pytest.raises(CheckpointError, match="began with the stage 100-decoder, not 50-tower"):
        Run(staged(), folder, resume=True, from_stage="50-tower")
    with pytest.raises(CheckpointError, match="began with the weights of"):
        Run(staged(), folder, resume=True, from_stage="100", weights=[whole])
    Run(staged(), folder, resume=True).train()
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["100-decoder", "100-tower"]
    assert same(whole, folder, [stage.name for stage in staged().stages])
    for file in sorted((whole / "model").rglob("*.safetensors")):
        made = load_file(folder / "model" / file.relative_to(whole / "model"))
        assert all(torch.equal(value, made[name]) for name, value in load_file(file).items())


@pytest.mark.slow
def test_from_a_stage_with_the_parts_as_they_are(tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run"
    killed(monkeypatch, Run(staged(), folder, from_stage="50-tower"), 1, 1)
    Run(staged(), folder, resume=True, from_stage="50-tower").train()
    assert sorted(path.name for path in (folder / "stages").iterdir()) == [
        "1-50-tower.safetensors", "2-100-decoder.safetensors", "3-100-tower.safetensors",
    ]  # fmt: skip
    straight = tmp_path / "straight"
    Run(staged(), straight, from_stage="50-tower").train()
    assert same(straight, folder, ["50-tower", "100-decoder", "100-tower"])
    assert not same(whole, folder, ["100-decoder"])  # its decoder had no stage before


def test_weights_of_several_runs_and_of_none(tmp_path: Path, whole: Path) -> None:
    first, second, damaged = (tmp_path / name for name in ("first", "second", "damaged"))
    for folder, name in ((first, "0-50-decoder"), (second, "7-50-tower"), (damaged, "0-50-decoder")):
        (folder / "stages").mkdir(parents=True)
        source = "1-50-tower" if name.endswith("tower") or folder == damaged else name
        shutil.copy(whole / f"stages/{source}.safetensors", folder / f"stages/{name}.safetensors")
    Run(staged(), tmp_path / "run", from_stage="100-decoder", weights=[first, second]).train()
    assert same(whole, tmp_path / "run", ["100-tower"])
    with pytest.raises(CheckpointError, match="no run there has finished the stage 50-tower"):
        Run(staged(), tmp_path / "none", from_stage="100", weights=[first])
    assert not (tmp_path / "none").exists()
    with pytest.raises(CheckpointError, match="other weights than this recipe trains"):
        Run(staged(), tmp_path / "wrong", from_stage="50-tower", weights=[damaged]).train()


def test_names_and_folders_that_are_not_there(tmp_path: Path, whole: Path) -> None:
    with pytest.raises(InvalidRequest, match="10: there is no such stage; the stages are 50-decoder, 50-tower, 100-"):
        Run(staged(), tmp_path / "run", from_stage="10")
    with pytest.raises(InvalidRequest, match="give both"):
        Run(staged(), tmp_path / "run", weights=[whole])
    with pytest.raises(CheckpointError, match="began with the stage 50-decoder, not 100-decoder"):
        Run(staged(), whole, resume=True, from_stage="100")
    assert Run(staged(), whole, resume=True, from_stage="50").train() == whole / "model"
    assert not (tmp_path / "run").exists()


def test_an_auxiliary_goes_on_with_its_weights(tmp_path: Path, whole: Path) -> None:
    first, second = (trained(whole, f"{size}-tower")["auxiliaries.grounding.scale"] for size in (50, 100))
    assert first.item() == pytest.approx(0.02, abs=1e-4)  # two steps of Adam from 0
    assert second.item() == pytest.approx(0.04, abs=1e-3)
    value = staged().model_dump(by_alias=True)
    value["stages"][3]["auxiliaries"]["grounding"]["options"] = {"size": 2}
    shutil.copytree(whole / "stages", tmp_path / "run/stages")
    (tmp_path / "run/stages/3-100-tower.safetensors").unlink()
    changed = Recipe.model_validate(value)
    (tmp_path / "run/recipe.yaml").write_text(dump_recipe(changed))
    with pytest.raises(InvalidRequest, match="grounding has other weights than in the stage 50-tower: give it"):
        Run(changed, tmp_path / "run", resume=True).train()


def test_a_folder_of_before_a_key_was_added_is_gone_on_with(tmp_path: Path) -> None:
    Run(recipe(), tmp_path)
    text = (tmp_path / "recipe.yaml").read_text()
    (tmp_path / "recipe.yaml").write_text(text.replace("  group_by_length: false\n", ""))
    Run(recipe(), tmp_path, resume=True)
    assert (tmp_path / "recipe.yaml").read_text() == text


def test_quick(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(TEXT)
    plain, quick = load_recipe(path), load_recipe(path, quick=True)
    assert (plain.stages[0].steps, plain.data[0].options) == (9000, {"things": 200})
    assert (quick.stages[0].steps, quick.data[0].options, quick.stages[0].losses.denoising) == (
        500,
        {"things": 50},
        0.5,
    )
    assert load_recipe(path, ["stages.decoder.steps=7"], quick=True).stages[0].steps == 7
    assert "steps: 500" in dump_recipe(quick)
    assert "quick" not in dump_recipe(quick)
    with pytest.raises(InvalidRequest, match="has no quick"):
        command.run("tiny-real", quick=True)
    path.write_text(TEXT.replace("stages.decoder.steps", "stages.tower.steps"))
    with pytest.raises(InvalidRequest, match=r"quick: stages\.tower\.steps: there is no entry tower"):
        load_recipe(path, quick=True)
    path.write_text(TEXT.replace("decoder.steps: 500", "decoder.stepz: 500"))
    with pytest.raises(InvalidRequest, match="did you mean steps"):
        load_recipe(path, quick=True)
    path.write_text(TEXT.partition("quick:")[0] + "quick: [1]\n")
    with pytest.raises(InvalidRequest, match=r"mine\.yaml:7: quick: Input should be a valid dictionary"):
        load_recipe(path, quick=True)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from genllava_agent.cli import main

    made = staged()
    (tmp_path / "mine.yaml").write_text(dump_recipe(made) + "quick: {stages.100-decoder.steps: 1}\n")
    monkeypatch.setattr(Run, "train", lambda self: Path(f"{self._beginning} {self.recipe.stages[2].steps}"))
    given = ["finetune", str(tmp_path / "mine.yaml"), "-o", str(tmp_path / "run"), "--quick", "--from-stage", "100"]
    with pytest.raises(SystemExit, match="0"):
        main(given)
    assert "stage='100-decoder', weights=()) 1" in capsys.readouterr().out
    command.main([*given[1:], "--resume"])
    assert "stage='100-decoder', weights=()) 1" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        main(["finetune", str(tmp_path / "mine.yaml"), "--dry-run", "--from-stage", "nothing"])
    assert "the stages are 50-decoder, 50-tower, 100-decoder, 100-tower" in capsys.readouterr().err
