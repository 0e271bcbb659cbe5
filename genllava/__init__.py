"""GenLLaVA: one model that answers questions about pictures, draws them from words, and edits them.

Importing this loads nothing heavy; the names below are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from genllava.generation_head import GenerationHead

__version__ = "0.1.0"

_HOMES: Final = {
    "GenerationHead": "generation_head",
}
__all__ = ["GenerationHead", "__version__"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"genllava.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'genllava' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
