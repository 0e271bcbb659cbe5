"""The weights of the joint loss."""

from __future__ import annotations

import torch

from genllava_finetune.train.joint import segment_weight


def test_every_token_weighs_one_over_the_root_of_its_segments_length() -> None:
    learnt = torch.tensor([[0, 1, 1, 1, 1, 0, 0, 1], [1, 0, 1, 1, 0, 0, 0, 0]]).bool()
    expected = torch.tensor([4, 4, 4, 4, 1, 1, 2, 2]).rsqrt()
    assert torch.equal(segment_weight(learnt), expected)
