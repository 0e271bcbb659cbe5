"""GenLLaVA: one model that answers questions about pictures, draws them from words, and edits them.

Importing this loads nothing heavy; the names below are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from genllava.errors import (
        Cancelled,
        CheckpointError,
        GenLlavaError,
        ImageRejected,
        InvalidRequest,
        ModelReplyError,
        NonFiniteError,
        NotEnoughMemory,
    )
    from genllava.generation_head import GenerationHead
    from genllava.image_decoder import ImageDecoder
    from genllava.pipeline_genllava import GenLlavaPipeline
    from genllava.pipeline_output import Drawing, TurnOutput, Understanding
    from genllava.vision_language import VisionLanguage

__version__ = "0.1.0"

__all__ = [
    "Cancelled",
    "CheckpointError",
    "Drawing",
    "GenLlavaError",
    "GenLlavaPipeline",
    "GenerationHead",
    "ImageDecoder",
    "ImageRejected",
    "InvalidRequest",
    "ModelReplyError",
    "NonFiniteError",
    "NotEnoughMemory",
    "TurnOutput",
    "Understanding",
    "VisionLanguage",
    "__version__",
]

_HOMES: Final = {
    "Drawing": "pipeline_output",
    "GenLlavaPipeline": "pipeline_genllava",
    "GenerationHead": "generation_head",
    "ImageDecoder": "image_decoder",
    "TurnOutput": "pipeline_output",
    "Understanding": "pipeline_output",
    "VisionLanguage": "vision_language",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
