"""Loading a vision-language checkpoint: what it must have, and what is refused."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, Final

from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from genllava.checkpoints import PICKLES
from genllava.errors import CheckpointError

_HUB: Final = ("cache_dir", "force_download", "local_files_only", "token", "revision", "subfolder")


@contextmanager
def _reading(source: object, part: str) -> Iterator[None]:
    """Turns what the libraries raise about a part of a checkpoint into `CheckpointError`."""
    try:
        yield
    except CheckpointError:
        raise
    except ImportError as error:
        raise CheckpointError(f"{source}: its {part} needs a package that is not installed: {_line(error)}") from error
    except Exception as error:  # dozens of unrelated types, from JSON to safetensors
        raise CheckpointError(f"{source}: cannot read its {part}: {_line(error)}") from error


def _line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2]) if lines else type(error).__name__


def load_model(source: str | PathLike[str], **options: Any) -> Any:
    """A checkpoint's model, in evaluation mode, with every tensor found by name.

    Args:
        options: `from_pretrained`'s own; those that are None are left out. `torch_dtype` is its `dtype`.

    Raises:
        CheckpointError: it is no vision-language model, would run its own code, has no safetensors, or its tensors
            are not those of the model.
    """
    if options.pop("trust_remote_code", False):
        raise CheckpointError(f"{source}: code from checkpoints is never run: leave out trust_remote_code")
    options = {name: value for name, value in options.items() if value is not None}
    options["dtype"] = options.pop("torch_dtype", "auto")
    hub = {name: options[name] for name in _HUB if name in options}
    with _reading(source, "config"):
        config = options.pop("config", None) or AutoConfig.from_pretrained(source, trust_remote_code=False, **hub)
    if config.model_type not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        raise CheckpointError(
            f"{source} is a {config.model_type}, which is no vision-language model: give one that transformers' "
            "AutoModelForImageTextToText knows"
        )
    folder = Path(source)
    pickled = folder.is_dir() and any(file.suffix in PICKLES for file in folder.glob("*"))
    if pickled and not list(folder.rglob("*.safetensors")):
        raise CheckpointError(f"{source} has its weights only as pickles, which are not read: convert to safetensors")
    with _reading(source, "weights"):
        options |= {"use_safetensors": True, "trust_remote_code": False}
        options |= {"output_loading_info": True, "ignore_mismatched_sizes": True}  # the report is judged below
        loaded: Any = AutoModelForImageTextToText.from_pretrained(source, config=config, **options)
        model, report = loaded
    _check_report(source, report)
    return model.eval()


def _check_report(source: object, report: dict[str, Any]) -> None:
    """See that every tensor was found, by name."""
    wrong = {
        "missing": report.get("missing_keys"),
        "of another shape": report.get("mismatched_keys"),
    }
    for what, keys in wrong.items():
        names = sorted(str(key[0] if isinstance(key, tuple) else key) for key in keys or [])
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise CheckpointError(f"{source}: weights are {what}: {', '.join(names[:3])}{more}")
    if unused := sorted(report.get("unexpected_keys") or []):  # public checkpoints carry heads for training, buffers
        warnings.warn(f"{source}: the model has no place for {len(unused)} tensors, such as {unused[0]}", stacklevel=3)


def load_processor(source: str | PathLike[str], chat_template: str | None = None, **hub: Any) -> Any:
    """A checkpoint's processor.

    Args:
        chat_template: Jinja text, in place of its own.
        hub: options of `from_pretrained`; those of a model are left out.

    Raises:
        CheckpointError: there is none, or it has no chat template.
    """
    known = {name: hub[name] for name in _HUB if hub.get(name) is not None}
    with _reading(source, "processor"):
        load: Any = AutoProcessor.from_pretrained
        processor = load(source, trust_remote_code=False, **known)
    if not hasattr(processor, "tokenizer") or not hasattr(processor, "image_processor"):
        raise CheckpointError(f"{source} has no processor for pictures and words: give the folder of one: processor=")
    if chat_template is not None:
        processor.chat_template = chat_template
    return processor
