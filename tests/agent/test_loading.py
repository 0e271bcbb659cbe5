"""What `--model`, `--decoder` and `--editor` become: saved pipelines are loaded, other models put together."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.layouts import decoders, vision_language
from genllava import GenLlavaPipeline, memory
from genllava.errors import CheckpointError, InvalidRequest, NotEnoughMemory
from genllava_agent.loading import load_pipeline


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a vision-language model, and a pipeline that draws."""
    root = tmp_path_factory.mktemp("models")
    vision_language.LAYOUTS["qwen25_vl"](root / "reader")
    decoders.LAYOUTS["sd15"](root / "painter")
    return root


def load(model: Path | str | None, **options: str) -> GenLlavaPipeline:
    return load_pipeline(None if model is None else str(model), "cpu", quiet=False, **options)


def test_the_shipped_model() -> None:
    assert load(None).vlm.dtype == torch.float32
    assert load(None, dtype="bfloat16").vlm.dtype == torch.bfloat16
    with pytest.raises(InvalidRequest, match="decoder of its own"):
        load(None, decoder="own/painter")


def test_what_does_not_fit_is_refused_before_it_is_loaded(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda device: 1_000_000)
    for loads in ("saved_pipeline.load_model", "assembly.load_model", "assembly.load_diffusion"):
        monkeypatch.setattr(f"genllava.{loads}", None)  # nothing is loaded
    with pytest.raises(NotEnoughMemory, match=r"the shipped model needs 128 MB in float32 .* 1\.0 MB free"):
        load(None)
    with pytest.raises(NotEnoughMemory, match=r"reader with .*painter needs .* in float32"):
        load(folders / "reader", decoder=str(folders / "painter"))


def test_a_vision_language_model_alone_only_understands(folders: Path) -> None:
    pipeline = load(folders / "reader")
    assert (pipeline.decoder, pipeline.editor) == (None, None)
    assert pipeline.vlm.dtype == torch.float32, "on a CPU"
    assert load(folders / "reader", dtype="bfloat16").vlm.dtype == torch.bfloat16


def test_parts_are_put_together_and_what_is_saved_is_loaded(folders: Path, tmp_path: Path) -> None:
    pipeline = load(folders / "reader", decoder=str(folders / "painter"), dtype="float32")
    assert type(pipeline.decoder).__name__ == "StableDiffusionPipeline"
    pipeline.save_pretrained(tmp_path)
    again = load(tmp_path)
    assert type(again.decoder).__name__ == "StableDiffusionPipeline"
    with pytest.raises(InvalidRequest, match="decoder of its own"):
        load(tmp_path, editor=str(folders / "painter"))


def test_parts_that_are_not_what_they_should_be(folders: Path) -> None:
    with pytest.raises(CheckpointError, match="painter"):
        load(folders / "painter")
    with pytest.raises(CheckpointError, match="reader"):
        load(folders / "reader", decoder=str(folders / "reader"))
    with pytest.raises(InvalidRequest, match="no usable device 'cuda:77'"):
        load_pipeline(None, "cuda:77", quiet=False)
