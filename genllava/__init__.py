"""GenLLaVA: one model that answers questions about pictures, draws them from words, and edits them.

Importing this loads nothing heavy; the names below are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from genllava.conversation import Conversation
    from genllava.errors import (
        Cancelled,
        CheckpointError,
        GenLlavaError,
        ImageRejected,
        InvalidRequest,
        NonFiniteError,
    )
    from genllava.generation_head import GenerationHead
    from genllava.pipeline_genllava import GenLlavaPipeline
    from genllava.pipeline_output import Drawing, Understanding

__version__ = "0.1.0"

__all__ = [
    "Cancelled",
    "CheckpointError",
    "Conversation",
    "Drawing",
    "GenLlavaError",
    "GenLlavaPipeline",
    "GenerationHead",
    "ImageRejected",
    "InvalidRequest",
    "NonFiniteError",
    "Understanding",
    "__version__",
]

_HOMES: Final = {
    "Conversation": "conversation",
    "Drawing": "pipeline_output",
    "GenLlavaPipeline": "pipeline_genllava",
    "GenerationHead": "generation_head",
    "Understanding": "pipeline_output",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
