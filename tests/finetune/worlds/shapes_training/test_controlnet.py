"""The ControlNet of the recipe: a copy that adds nothing before it is trained, and sees its maps from the start."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from genllava.checkpoints import SHIPPED
from genllava_finetune.worlds.shapes.layouts import is_held_out_layout
from genllava_finetune.worlds.shapes.training.assembling import unpack
from genllava_finetune.worlds.shapes.training.controlnet import ControlLoss, ControlNet, canny, is_hard, to_control
from genllava_finetune.worlds.shapes.training.recipe import PartRecipe


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> ControlNet:
    workspace: Path = tmp_path_factory.mktemp("controlnet")
    unpack(SHIPPED, workspace, ["controlnet", "language_model"])
    return ControlNet(PartRecipe(steps=1, batch_size=4, learning_rate=1e-3), 0, workspace)


@pytest.fixture(scope="module")
def loss(part: ControlNet) -> ControlLoss:
    torch.manual_seed(0)
    module = part.build()
    assert isinstance(module, ControlLoss)
    return module


def test_it_adds_nothing_before_it_is_trained_and_only_it_is(part: ControlNet, loss: ControlLoss) -> None:
    batch = part.batch(0)
    inputs = torch.randn(4, 192, 8, 8), torch.tensor([1000.0] * 4), torch.randn(4, 48, 128)
    with torch.no_grad():
        down, mid = loss.controlnet(*inputs, batch["edges"], return_dict=False)
    assert not any(bool(each.any()) for each in (*down, mid))
    outputs = loss(**batch)
    outputs["loss"].backward()
    assert 0 < float(outputs["loss"]) < 10
    trained = [name for name, parameter in loss.named_parameters() if parameter.requires_grad]
    assert {name.split(".")[0] for name in trained} == {"controlnet"}
    assert bool(loss.controlnet.controlnet_mid_block.weight.grad.any())


def test_it_sees_its_maps_from_the_start(part: ControlNet, loss: ControlLoss) -> None:
    rng = random.Random(3)
    maps = to_control([part.example(rng)[2] for _ in range(8)])
    with torch.no_grad():
        seen = loss.controlnet.controlnet_cond_embedding(maps)
    assert seen.std(0).mean() > 0.2, "maps differ in what is passed on of them; as diffusers makes it, by 1e-6"


def test_examples_are_of_no_layout_that_is_held_out(part: ControlNet) -> None:
    rng, hard, edges = random.Random(1), 0, list[Any]()
    for _ in range(100):
        scene, plan, drawn = part.example(rng)
        assert not is_held_out_layout(scene)
        assert sorted(thing.color for thing in plan.things) == sorted(thing.color for thing in scene.things)
        hard += is_hard(scene)
        edges.append(drawn)
        assert drawn.shape == (128, 128)
    assert hard > 50
    assert {int(each.max()) for each in edges} == {255}


def test_edges_are_those_of_the_tool() -> None:
    from PIL import Image

    from genllava_tools.edges import edge_map

    picture = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
    assert np.array_equal(canny(picture), np.asarray(edge_map(Image.fromarray(picture)).image))
