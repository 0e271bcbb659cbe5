"""The classes of this package that saved pipelines are made of. Others of its classes are not loaded from a file."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from genllava.checkpoints import INDEX, reading

_PIPELINES: Final = {
    "LayoutDecoderPipeline": "genllava.layout_decoder.pipeline",
    "ShapesDecoderPipeline": "genllava.protocols.shapes.decoder_pipeline",
}
_COMPONENTS: Final = {
    "AutoencoderPatch": "genllava.layout_decoder.autoencoder_patch",  # version 0.1 had it in other modules
    "LayoutTransformer2DModel": "genllava.layout_decoder.transformer",
}


def own_component(name: str) -> Any:
    """A class of a component; None where this package has none of that name."""
    return getattr(import_module(_COMPONENTS[name]), name) if name in _COMPONENTS else None


def own_pipeline(part: str, folder: Path) -> Any:
    """The class of the pipeline in a folder, if it is one of this package's; else None.

    Args:
        part: what error messages call it.

    Raises:
        CheckpointError: its index is damaged.
    """
    path = folder / INDEX
    if not path.is_file():
        return None
    with reading(f"{part} {folder}"):
        name = dict(json.loads(path.read_text(encoding="utf-8"))).get("_class_name")
    return getattr(import_module(_PIPELINES[name]), name) if isinstance(name, str) and name in _PIPELINES else None
