"""Whether a model fits: asked before its weights are read, so that the answer is a sentence and not a crash."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from genllava.errors import NotEnoughMemory

if TYPE_CHECKING:
    import torch

_CGROUP: Final = Path("/sys/fs/cgroup")
_SMALLER: Final = {
    "bfloat16": "torch_dtype='bfloat16'",
    "int8": "quantization_config with load_in_8bit",
    "4-bit": "quantization_config with load_in_4bit",
}


def check_fits(
    bytes_needed: int | Mapping[str, int],
    device: str | torch.device,
    torch_dtype: str | torch.dtype | None = "auto",
    *,
    what: str = "the model",
) -> None:
    """See that weights fit into the memory that is free on a device; nothing is allocated.

    Activations, the key-value cache and pictures come on top: what just fits here may still run out later.

    Args:
        bytes_needed: for the weights alone; or by precision, as `ModelInfo.bytes` has them, which lets the error say
            what would fit.
        device: that all weights go to.
        torch_dtype: that they are loaded as; "auto": as they were saved. None is float32, PyTorch's default.
        what: is loaded, for the message.

    Raises:
        NotEnoughMemory: they do not. A device whose memory cannot be asked for (mps of an old PyTorch) passes.
    """
    import torch

    place = torch.device(device)
    free = free_memory(place)
    if free is None:
        return
    precision = precision_name(torch_dtype)
    sizes = {precision: bytes_needed} if isinstance(bytes_needed, int) else dict(bytes_needed)
    needed = sizes[precision]
    if needed <= free:
        return
    kind = "this machine" if place.type == "cpu" else "this GPU"
    stated = "as saved" if precision == "auto" else f"in {precision}"
    remedies = [
        f"{option} needs {gigabytes(sizes[name])}"
        for name, option in _SMALLER.items()
        if sizes.get(name, needed) < needed and (name == "bfloat16" or place.type == "cuda")
    ]
    if place.type != "cpu":
        remedies.append("device_map='auto' puts what does not fit into the machine's own memory")
    raise NotEnoughMemory(
        f"{what} needs {gigabytes(needed)} {stated} for the weights alone, and {kind} ({place}) has {gigabytes(free)} "
        f"free: {'; '.join([*remedies, 'or take a smaller model'])}"
    )


def free_memory(device: torch.device) -> int | None:
    """Bytes that can still be allocated on `device`; None where nobody says.

    On the CPU that includes swap space, and a container's limit counts.
    """
    import torch

    if device.type == "cpu":
        import psutil

        free = psutil.virtual_memory().available + psutil.swap_memory().free
        return int(min([free, *_container_free()]))
    module: Any = getattr(torch, device.type, None)
    if device.type == "mps" and hasattr(module, "recommended_max_memory"):
        return int(module.recommended_max_memory() - module.current_allocated_memory())
    if not hasattr(module, "mem_get_info"):
        return None
    free, _ = module.mem_get_info(device)
    return int(free + module.memory_reserved(device) - module.memory_allocated(device))  # what PyTorch holds in reserve


def precision_name(torch_dtype: str | torch.dtype | None) -> str:
    """The key of `ModelInfo.bytes` for a `torch_dtype`: auto, float32 or bfloat16 (and float16, which is as large)."""
    name = "float32" if torch_dtype is None else str(torch_dtype).removeprefix("torch.")
    return "bfloat16" if name == "float16" else name


def gigabytes(size: int) -> str:
    """A size for people: "28.0 GB", "52 MB"."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.{0 if size >= 1e7 else 1}f} MB"


def _container_free() -> list[int]:
    """What the control group of a container leaves, if there is one with a limit."""
    try:
        limit = (_CGROUP / "memory.max").read_text().strip()
        used = int((_CGROUP / "memory.current").read_text())
        pages = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no Linux, an older kernel, or no container
        return []
    return [] if limit == "max" else [int(limit) - used + int(pages.get("inactive_file", 0))]
