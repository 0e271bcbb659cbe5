"""The model that tools draw with: one that is lent to them, one that was chosen, or the one that ships.

    from genllava_tools import drawing_with, find, use_pipeline
    with drawing_with(pipe):                         # for the calls within; an agent lends its own pipeline so
        find("generate_image")("a lighthouse at night", seed=1).image
    use_pipeline("models/my-pipeline")               # for all calls from now on

It is loaded when a tool first draws, and shared by all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Final

from genllava.checkpoints import INDEX, SHIPPED, resolve
from genllava.errors import InvalidRequest
from genllava_tools.errors import ToolUnavailable
from genllava_tools.models import shared
from genllava_tools.tool import Need

if TYPE_CHECKING:
    from genllava import GenLlavaPipeline

_lent: ContextVar[GenLlavaPipeline | None] = ContextVar("the pipeline that is lent to tools here", default=None)
_chosen: GenLlavaPipeline | Path | None = None


@contextmanager
def drawing_with(pipeline: GenLlavaPipeline) -> Iterator[None]:
    """Lend a pipeline to the tools that run within, in this thread and those that are started with its context."""
    token = _lent.set(pipeline)
    try:
        yield
    finally:
        _lent.reset(token)


def use_pipeline(pipeline: GenLlavaPipeline | str | os.PathLike[str] | None) -> None:
    """Choose what all tools draw with, where nobody lends them a pipeline.

    Args:
        pipeline: a `GenLlavaPipeline`, the folder of a saved one, or owner/name on the hub that was downloaded before;
            None: the one that ships, again.

    Raises:
        InvalidRequest: it is no pipeline.
        CheckpointError: there is no such folder, or it has not been downloaded.
    """
    global _chosen
    if isinstance(pipeline, (str, os.PathLike)):
        _chosen = resolve(pipeline, {"local_files_only": True})
        return
    if pipeline is not None and not hasattr(pipeline, "generate"):
        raise InvalidRequest(f"tools draw with a GenLlavaPipeline, or its folder; not with a {type(pipeline).__name__}")
    _chosen = pipeline


def given_pipeline() -> GenLlavaPipeline | Path | None:
    """The pipeline that is lent or was chosen, or the folder from which it will be loaded; None where neither is."""
    return _lent.get() or _chosen


def loaded_pipeline() -> GenLlavaPipeline | None:
    """`given_pipeline`, loaded.

    Raises:
        CheckpointError, NotEnoughMemory: it cannot be.
    """
    found = given_pipeline()
    return _loaded(found) if isinstance(found, Path) else found


def drawing_pipeline() -> GenLlavaPipeline:
    """The pipeline that tools draw with.

    Raises:
        ToolUnavailable: there is none that draws.
        CheckpointError, NotEnoughMemory: it cannot be loaded.
    """
    found = loaded_pipeline()
    if found is None:
        if not _ships():
            raise ToolUnavailable(f"needs {DRAWS.name}: {DRAWS.remedy}")
        found = _loaded(SHIPPED)
    if found.decoder is None and found.editor is None:
        raise ToolUnavailable(f"the model in use only understands pictures and draws none: {DRAWS.remedy}")
    return found


def _loaded(folder: Path) -> GenLlavaPipeline:
    from genllava import GenLlavaPipeline

    size = sum(file.stat().st_size for file in folder.rglob("*.safetensors"))
    return shared(("drawing", str(folder)), lambda: GenLlavaPipeline.from_pretrained(folder), size)


def _ships() -> bool:
    return (SHIPPED / INDEX).is_file()


DRAWS: Final = Need(
    "a model that draws",
    "choose one with genllava_tools.use_pipeline(...), such as a folder that GenLlavaPipeline.save_pretrained wrote",
    lambda: given_pipeline() is not None or _ships(),
)
"""For tools that draw."""
