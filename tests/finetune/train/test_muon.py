"""Muon: which weights it updates, how large its steps are, and that a training with it can be resumed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from genllava_finetune.train.muon import Muon, orthogonalized
from tests.finetune.train.small_runs import losses, recipe, trainer_of, weights


@pytest.mark.parametrize("shape", [(24, 40), (40, 24), (16, 64)])
def test_singular_values_come_near_to_one(shape: tuple[int, int]) -> None:
    made = orthogonalized(torch.randn(3, *shape, generator=torch.Generator().manual_seed(0)))
    values = torch.linalg.svdvals(made)
    assert 0.6 < values.min() < values.max() < 1.3
    assert made.shape == (3, *shape)


def test_steps_are_as_large_as_those_of_adamw_and_other_weights_are_updated_as_by_it() -> None:
    torch.manual_seed(0)
    matrix, bias = (torch.nn.Parameter(torch.randn(shape)) for shape in ((64, 128), (128,)))
    theirs = torch.nn.Parameter(bias.detach().clone())
    before = matrix.detach().clone()
    ours = Muon([{"params": [matrix], "muon": True}, {"params": [bias]}], lr=0.01, weight_decay=0.0)
    adamw = torch.optim.AdamW([theirs], lr=0.01, weight_decay=0.0)
    for step in range(5):
        matrix.grad, bias.grad = torch.randn(64, 128), torch.randn(128) * (step + 1)
        theirs.grad = bias.grad.clone()
        ours.step()
        adamw.step()
        if not step:
            assert (matrix.detach() - before).square().mean().sqrt() == pytest.approx(0.01 * 0.2, rel=0.2)
    assert torch.allclose(bias, theirs, atol=1e-6)


def test_a_training_takes_it_for_the_matrices_of_layers_and_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    made = recipe({"optimizer": "muon", "steps": 4, "save_every": 2, "weight_decay": 0.1})
    whole = trainer_of(made, tmp_path / "whole")
    whole.train()
    assert whole.model is not None
    assert whole.optimizer is not None
    names = {id(parameter): name for name, parameter in whole.model.named_parameters()}
    taken = {names[id(p)] for group in whole.optimizer.param_groups if group["muon"] for p in group["params"]}
    assert any(name.endswith("q_proj.weight") for name in taken)
    assert not any("embed" in name or "lm_head" in name or "norm" in name for name in taken)
    cut = trainer_of(made, tmp_path / "cut")
    cut.args.max_steps = 2
    cut.train()
    resumed = trainer_of(made, tmp_path / "cut")
    resumed.train(str(resumed.last_checkpoint))
    assert losses(resumed) == losses(whole)
    assert torch.equal(weights(resumed), weights(whole))


def test_it_learns(tmp_path: Path) -> None:
    trainer = trainer_of(recipe({"optimizer": "muon", "steps": 30, "save_every": 0}), tmp_path)
    trainer.train()
    first, *_, last = losses(trainer)
    assert last < 0.8 * first


def test_two_optimizers_are_told() -> None:
    with pytest.raises(ValidationError, match="two optimizers"):
        recipe({"optimizer": "muon", "arguments": {"optim": "adafactor"}})
