"""The model card that is saved with a pipeline: its parts, and the licence of each."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Final

from huggingface_hub import ModelCard, ModelCardData

from genllava.checkpoints import CONTROLNETS
from genllava.model_info import NOT_STATED, stated_licence

_PARTS: Final = ("vlm", "decoder", "editor", "generation_head")
_ALL_HOLD: Final = "Each part has a licence of its own, and all hold."
_WRITTEN: Final = (_ALL_HOLD, "This model card has been automatically generated")
"""In cards that nobody wrote by hand: ours, and the empty one that diffusers puts into what is pushed to the hub."""


def write_model_card(pipeline: Any, folder: str | PathLike[str]) -> None:
    """Write README.md into `folder`; one that somebody wrote keeps its text, and gets the licences into its head."""
    path = Path(folder) / "README.md"
    parts = {name: part for name in _PARTS if (part := getattr(pipeline, name, None)) is not None}
    parts |= {f"{CONTROLNETS}/{name}": part for name, part in pipeline.controlnets.items()}
    licences = {name: _licence(name, _origin(part)) for name, part in parts.items()}
    written = path.read_text(encoding="utf-8") if path.exists() else _ALL_HOLD
    if any(text in written for text in _WRITTEN):
        rows = [f"| {n} | {type(p).__name__} | {_source(_origin(p))} | {licences[n]} |" for n, p in parts.items()]
        named = set(licences.values())
        several = len(named) > 1 or NOT_STATED in named
        lines = [
            "# A GenLLaVA pipeline",
            "",
            f"Load it with `GenLlavaPipeline.from_pretrained(...)`. {_ALL_HOLD}",
            "",
            "| part | class | made from | licence |",
            "|---|---|---|---|",
            *rows,
        ]
        head = ModelCardData(
            library_name="diffusers",
            pipeline_tag="any-to-any",
            tags=["genllava"],
            license="other" if several else named.pop(),
            license_name="one-for-each-part" if several else None,
        )
        card = ModelCard(f"---\n{head}\n---\n\n" + "\n".join(lines) + "\n")
    else:
        card = ModelCard(written)
    card.data["part_licenses"] = licences
    path.parent.mkdir(parents=True, exist_ok=True)
    card.save(path)


def _origin(part: Any) -> str:
    """Where a part was loaded from, a folder or a hub id; empty if it was not."""
    config = getattr(part, "config", None)
    named = config.get("_name_or_path") if isinstance(config, Mapping) else getattr(config, "_name_or_path", None)
    return str(getattr(part, "name_or_path", None) or named or "")


def _source(origin: str) -> str:
    """The hub id of a part; folders are nobody else's business, but for those of downloads, which name it."""
    for folder in Path(origin).parts:
        if folder.startswith("models--"):
            return "/".join(folder.split("--")[1:])
    return origin if origin and not Path(origin).exists() else NOT_STATED


def _licence(name: str, origin: str) -> str:
    """What the model card beside a part's weights says, or that of the pipeline which it was a part of."""
    folder = Path(origin)
    if not origin or not folder.is_dir():
        return NOT_STATED
    if stated := stated_licence(folder):
        return stated
    card = folder.parent / "README.md"
    named = ModelCard.load(card).data.to_dict().get("part_licenses") if card.is_file() else None
    return str((named or {}).get(name) or NOT_STATED)
