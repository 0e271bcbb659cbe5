"""The training loop on a part small enough to follow: resuming, cut-off checkpoints, bad losses."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from genllava.errors import NonFiniteError
from genllava_finetune.worlds.shapes.training.part import Batch, Part, last_checkpoint, train_part
from genllava_finetune.worlds.shapes.training.recipe import PartRecipe


class Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def forward(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        error = (self.layer(x).squeeze(-1) - y + 0.01 * torch.randn(len(x))).square().mean()
        return {"loss": error, "error": error.sqrt()}


class LinePart(Part):
    """Learns y = x0 - 2 x1; may be cut off, or fed a bad batch, before a step."""

    name = "line"

    def __init__(self, folder: Path, steps: int = 8, cut_at: int | None = None, bad_at: int | None = None):
        recipe = PartRecipe(
            steps=steps,
            batch_size=16,
            learning_rate=0.05,
            warmup=2,
            log_every=1,
            save_every=2 if steps < 20 else 60,
            bf16=False,
        )
        super().__init__(recipe, seed=3, workspace=folder)
        self.cut_at, self.bad_at = cut_at, bad_at

    def build(self) -> nn.Module:
        return Line()

    def batch(self, step: int) -> Batch:
        if step == self.cut_at:
            raise KeyboardInterrupt
        generator = torch.Generator().manual_seed(random.Random(f"line:{self.seed}:{step}").randrange(2**31))
        x = torch.randn(16, 3, generator=generator)
        y = x[:, 0] - 2 * x[:, 1]
        return {"x": x, "y": y * float("nan") if step == self.bad_at else y}

    def export(self, module: nn.Module, folder: Path) -> None:
        torch.save(module.state_dict(), folder / "weights.pt")


def weights(folder: Path) -> dict[str, Tensor]:
    loaded: dict[str, Tensor] = torch.load(folder / "line" / "weights.pt", weights_only=True)
    return loaded


def test_a_run_cut_off_and_resumed_ends_as_one_that_was_not(tmp_path: Path) -> None:
    train_part(LinePart(tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        train_part(LinePart(tmp_path / "cut", cut_at=5))
    assert not (tmp_path / "cut" / "line").exists()
    train_part(LinePart(tmp_path / "cut"))
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_it_learns_and_writes_its_curve(tmp_path: Path) -> None:
    train_part(LinePart(tmp_path, steps=120))
    weight = weights(tmp_path)["layer.weight"][0]
    assert torch.allclose(weight, torch.tensor([1.0, -2.0, 0.0]), atol=0.1)
    with (tmp_path / "line.run" / "log.csv").open() as file:
        rows = [(int(row["step"]), float(row["value"])) for row in csv.DictReader(file) if row["name"] == "error"]
    assert [step for step, _ in rows] == list(range(1, 121))
    assert rows[-1][1] < 0.2 * rows[0][1]


def test_a_checkpoint_that_was_cut_off_is_not_used(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_part(LinePart(tmp_path, cut_at=5))
    run = tmp_path / "line.run"
    newest = last_checkpoint(run)
    assert newest is not None
    assert newest.name == "checkpoint-4"
    (newest / "complete").unlink()
    older = last_checkpoint(run)
    assert older is not None
    assert older.name == "checkpoint-2"
    assert not newest.exists()


def test_a_finished_part_is_kept(tmp_path: Path) -> None:
    folder = train_part(LinePart(tmp_path))
    before = (folder / "weights.pt").stat().st_mtime_ns
    train_part(LinePart(tmp_path, cut_at=0))
    assert (folder / "weights.pt").stat().st_mtime_ns == before


def test_a_loss_that_is_not_a_number_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteError, match="line is nan at step 3"):
        train_part(LinePart(tmp_path, bad_at=3))
    assert last_checkpoint(tmp_path / "line.run") is not None
    assert not (tmp_path / "line").exists()


def test_a_part_says_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="train the part 'vision_tower' first"):
        LinePart(tmp_path).needs("vision_tower")
