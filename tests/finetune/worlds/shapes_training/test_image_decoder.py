"""What the image decoder's error weighs."""

from __future__ import annotations

import torch

from genllava_finetune.worlds.shapes.training.image_decoder import OBJECT_WEIGHT, region_weight


def test_objects_and_what_an_edit_takes_away_count_above_background() -> None:
    background, thing = torch.tensor([0.2, -0.4, 0.1]), torch.tensor([1.0, 0.5, -0.6])
    target = background[None, :, None, None].repeat(2, 1, 8, 8)
    target[:, :, 1, 2] = thing  # is kept
    source = target.clone()
    source[:, :, 5, 6] = thing  # goes
    weight = region_weight(source, target, torch.tensor([True, False]))
    assert weight.shape == (2, 1, 8, 8)
    torch.testing.assert_close(weight.mean((1, 2, 3)), torch.ones(2))
    above = (weight / weight.amin((2, 3), keepdim=True)).squeeze(1)
    expected = torch.ones(2, 8, 8)
    expected[:, 1, 2] = 1 + OBJECT_WEIGHT
    expected[0, 5, 6] = 1 + OBJECT_WEIGHT  # a new picture has nothing that could go
    torch.testing.assert_close(above, expected)


def test_an_empty_picture_is_weighed_evenly() -> None:
    target = torch.full((1, 4, 8, 8), 0.3)
    assert torch.equal(region_weight(target, target, torch.tensor([True])), torch.ones(1, 1, 8, 8))
