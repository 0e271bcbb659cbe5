"""Checkpoints that must not be loaded as if nothing were wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel, BitsAndBytesConfig

from genllava.errors import CheckpointError
from genllava.vision_language import VisionLanguage


@pytest.fixture
def copied(checkpoint: Callable[[str], Path], tmp_path: Path) -> Path:
    """A LLaVA that a test may damage."""
    return Path(shutil.copytree(checkpoint("llava15"), tmp_path / "llava"))


def change(folder: Path, edit: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    edit(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def test_missing_weights(copied: Path) -> None:
    change(copied, lambda tensors: [tensors.pop(name) for name in list(tensors) if "projector" in name])
    with pytest.raises(CheckpointError, match=r"missing.*multi_modal_projector.*more"):
        VisionLanguage.from_pretrained(copied)


def test_unknown_weights(copied: Path) -> None:
    change(copied, lambda tensors: tensors.update(image_newline=torch.zeros(3)))
    with pytest.warns(UserWarning, match="no place for 1 tensors, such as .*image_newline"):
        VisionLanguage.from_pretrained(copied)


def test_weights_of_another_shape(copied: Path) -> None:
    name = "multi_modal_projector.linear_1.weight"
    change(copied, lambda t: t.update({k: torch.zeros(3, 3) for k in list(t) if k.endswith(name)}))
    with pytest.raises(CheckpointError, match="linear_1"):
        VisionLanguage.from_pretrained(copied)


def test_the_config_of_another_architecture(copied: Path) -> None:
    config = json.loads((copied / "config.json").read_text())
    config |= {"model_type": "llava_next", "image_grid_pinpoints": [[32, 64]]}
    (copied / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="image_newline"):
        VisionLanguage.from_pretrained(copied)


def test_pickles_only(copied: Path) -> None:
    torch.save(load_file(copied / "model.safetensors"), copied / "pytorch_model.bin")
    (copied / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="pickles"):
        VisionLanguage.from_pretrained(copied)


def test_no_vision_language_model(tmp_path: Path) -> None:
    size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    BertModel(BertConfig(**size)).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="bert, which is no vision-language model"):
        VisionLanguage.from_pretrained(tmp_path)


def test_code_of_a_checkpoint(copied: Path) -> None:
    with pytest.raises(CheckpointError, match="trust_remote_code"):
        VisionLanguage.from_pretrained(copied, trust_remote_code=True)
    config = json.loads((copied / "config.json").read_text())
    config |= {"model_type": "my_own", "auto_map": {"AutoConfig": "mine.MyConfig"}}
    (copied / "config.json").write_text(json.dumps(config))
    (copied / "mine.py").write_text("raise SystemExit('ran')")
    with pytest.raises(CheckpointError, match="config"):
        VisionLanguage.from_pretrained(copied)


def test_no_processor(copied: Path, checkpoint: Callable[[str], Path]) -> None:
    for name in ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json", "tokenizer.json"):
        (copied / name).unlink(missing_ok=True)
    with pytest.raises(CheckpointError, match="processor"):
        VisionLanguage.from_pretrained(copied)
    VisionLanguage.from_pretrained(copied, processor=checkpoint("llava15"))


def test_a_tokenizer_is_no_processor(copied: Path) -> None:
    (copied / "processor_config.json").unlink()
    with pytest.raises(CheckpointError, match="processor"):
        VisionLanguage.from_pretrained(copied)


def test_no_chat_template(copied: Path) -> None:
    (copied / "chat_template.jinja").unlink()
    with pytest.raises(CheckpointError, match="chat_template="):
        VisionLanguage.from_pretrained(copied)
    model = VisionLanguage.from_pretrained(copied, chat_template="{% for m in messages %}{{ m.content }}{% endfor %}:")
    assert model.chat([{"role": "user", "content": "hello"}], max_new_tokens=2).new_tokens


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere"):
        VisionLanguage.from_pretrained(tmp_path / "nowhere")


def test_quantisation_is_handed_through(copied: Path) -> None:
    """Its package is not installed here, which is said."""
    config = BitsAndBytesConfig(load_in_4bit=True)
    with pytest.raises(CheckpointError, match=r"(?i)bitsandbytes"):
        VisionLanguage.from_pretrained(copied, quantization_config=config)


def test_variant_is_handed_through(copied: Path) -> None:
    (copied / "model.safetensors").rename(copied / "model.fp16.safetensors")
    with pytest.raises(CheckpointError, match="weights"):
        VisionLanguage.from_pretrained(copied)
    VisionLanguage.from_pretrained(copied, variant="fp16")
