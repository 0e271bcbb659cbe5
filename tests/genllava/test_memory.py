"""Models that do not fit are refused with figures, and before anything is allocated."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch
from transformers import LlamaConfig

from genllava import memory
from genllava.checkpoints import SHIPPED
from genllava.errors import GenLlavaError, NotEnoughMemory
from genllava.memory import check_fits, free_memory, precision_name
from genllava.part_loading import How, check_room

SIZES = {
    "auto": 14_000_000_000,
    "float32": 28_000_000_000,
    "bfloat16": 14_000_000_000,
    "int8": 7_500_000_000,
    "4-bit": 4_400_000_000,
}


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU with 7.3 GB free and 0.5 GB that PyTorch holds in reserve."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (7_300_000_000, 8_000_000_000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 600_000_000)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 100_000_000)


def machine(monkeypatch: pytest.MonkeyPatch, available: int, swap: int = 0) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=available))
    monkeypatch.setattr(psutil, "swap_memory", lambda: SimpleNamespace(free=swap))
    monkeypatch.setattr(memory, "_CGROUP", Path("/no/such/folder"))


@pytest.mark.usefixtures("gpu")
def test_the_figures_and_what_would_fit() -> None:
    with pytest.raises(NotEnoughMemory) as caught:
        check_fits(SIZES, "cuda:0", torch.float32, what="Qwen/Qwen-7B")
    assert str(caught.value) == (
        "Qwen/Qwen-7B needs 28.0 GB in float32 for the weights alone, and this GPU (cuda:0) has 7.8 GB free: "
        "torch_dtype='bfloat16' needs 14.0 GB; quantization_config with load_in_8bit needs 7.5 GB; quantization_config "
        "with load_in_4bit needs 4.4 GB; device_map='auto' puts what does not fit into the machine's own memory; or "
        "take a smaller model"
    )
    assert isinstance(caught.value, GenLlavaError)
    with pytest.raises(NotEnoughMemory, match=r"14.0 GB as saved"):
        check_fits(SIZES, "cuda", "auto")
    with pytest.raises(NotEnoughMemory, match="in bfloat16"):
        check_fits(SIZES, "cuda", torch.float16)
    with pytest.raises(NotEnoughMemory, match=r"7.8 GB"):
        check_fits(7_800_000_001, "cuda")
    check_fits(7_800_000_000, "cuda")


def test_the_machines_own_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 9_000_000_000)
    with pytest.raises(NotEnoughMemory) as caught:
        check_fits(SIZES, "cpu", None)
    words = str(caught.value)
    assert "28.0 GB in float32" in words
    assert "this machine (cpu) has 9.0 GB free: torch_dtype='bfloat16' needs 14.0 GB; or" in words
    check_fits(9_000_000_000, "cpu")
    machine(monkeypatch, 9_000_000_000, swap=20_000_000_000)
    check_fits(SIZES, "cpu", None)


def test_the_limit_of_a_container_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    machine(monkeypatch, 64_000_000_000)
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    (tmp_path / "memory.current").write_text("3000000000\n")
    (tmp_path / "memory.stat").write_text("anon 1000\ninactive_file 1000000000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory(torch.device("cpu")) == 64_000_000_000
    (tmp_path / "memory.max").write_text("8000000000\n")
    assert free_memory(torch.device("cpu")) == 6_000_000_000


def test_models_that_are_loaded_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = LlamaConfig(
        vocab_size=1000, hidden_size=1000, intermediate_size=1000, num_hidden_layers=1, num_attention_heads=10
    )
    config.architectures = ["LlamaForCausalLM"]
    config.save_pretrained(tmp_path)  # 9 million parameters
    machine(monkeypatch, 130_000_000)
    both = {"vlm": SHIPPED, "decoder": tmp_path}
    check_room("the shipped model", {"vlm": SHIPPED}, How(device="cpu"), torch.float32)
    check_room("both", both, How(device="cpu"), torch.bfloat16)
    with pytest.raises(NotEnoughMemory, match=r"both needs 164 MB in float32 .* has 130 MB free"):
        check_room("both", both, How(device="cpu"), torch.float32)


def test_here_and_now() -> None:
    free = free_memory(torch.device("cpu"))
    assert free is not None
    assert 10_000_000 < free < 10**14
    check_fits(1000, "cpu")
    with pytest.raises(NotEnoughMemory):
        check_fits(10**15, "cpu")
    assert free_memory(torch.device("meta")) is None


def test_names_of_precisions() -> None:
    given = ("auto", "float32", torch.float32, "bfloat16", torch.bfloat16, "float16", torch.float16, None)
    assert [precision_name(each) for each in given] == [
        "auto",
        *["float32"] * 2,
        *["bfloat16"] * 4,
        "float32",
    ]
