"""A new residual head leaves a frozen decoder as it is: it draws what an empty prompt draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.layouts import decoders, vision_language
from genllava import GenerationHead, GenLlavaPipeline

SIZE = {"num_inference_steps": 2, "height": 64, "width": 64, "seed": 1, "guidance_scale": 1.0}


@pytest.mark.parametrize("layout", ["sd15", "sdxl", "flux"])
def test_it_begins_at_the_empty_prompt(tmp_path: Path, layout: str) -> None:
    decoders.LAYOUTS[layout](tmp_path / "decoder")
    vision_language.LAYOUTS["llava15"](tmp_path / "vlm")
    plain = GenLlavaPipeline.assemble(tmp_path / "vlm", tmp_path / "decoder")
    spec, width = plain.image_decoder.spec, plain.vision_language.hidden_size
    torch.manual_seed(0)
    head = GenerationHead(
        num_queries=4, input_dim=width, output_length=spec.length, output_dim=spec.dim, pooled_dim=spec.pooled_dim,
        hidden_dim=32, num_layers=1, num_heads=4, residual=True, query_tokens=True,
    )  # fmt: skip
    pipe = GenLlavaPipeline.assemble(tmp_path / "vlm", tmp_path / "decoder", generation_head=head)
    untrained = pipe.generate("a red cat", bridge="head", **SIZE)
    prompted = pipe.generate("a red cat", **SIZE)
    nothing = pipe.image_decoder.generate([""], seeds=[1], options={k: v for k, v in SIZE.items() if k != "seed"})[0]
    assert np.array_equal(np.asarray(untrained.image), np.asarray(nothing.image))
    assert not np.array_equal(np.asarray(untrained.image), np.asarray(prompted.image)), "a prompt draws another picture"
    with torch.no_grad():
        head.project_out.bias += 1.0
    moved = pipe.generate("a red cat", bridge="head", **SIZE)
    assert not np.array_equal(np.asarray(moved.image), np.asarray(nothing.image)), "the head steers"
