"""The model card that is saved with a pipeline: its parts, and the licence of each."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

PARTS = ("vlm", "decoder", "editor", "generation_head")


def write_model_card(pipeline: Any, folder: str | PathLike[str]) -> None:
    """Write README.md into `folder`, unless there is one."""
    path = Path(folder) / "README.md"
    if path.exists():
        return
    rows = [(name, part) for name in PARTS if (part := getattr(pipeline, name, None)) is not None]
    lines = [
        "---",
        "library_name: diffusers",
        "pipeline_tag: any-to-any",
        "tags: [genllava]",
        "---",
        "",
        "# A GenLLaVA pipeline",
        "",
        "Load it with `GenLlavaPipeline.from_pretrained(...)`. Each part has a licence of its own, and all hold.",
        "",
        "| part | class | made from | licence |",
        "|---|---|---|---|",
        *(f"| {name} | {type(part).__name__} | {_source(part)} | {_licence(part)} |" for name, part in rows),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _origin(part: Any) -> str:
    """Where a part was loaded from, a folder or a hub id; empty if it was not."""
    config = getattr(part, "config", None)
    named = config.get("_name_or_path") if isinstance(config, Mapping) else getattr(config, "_name_or_path", None)
    return str(getattr(part, "name_or_path", None) or named or "")


def _source(part: Any) -> str:
    """The hub id of a part; folders are nobody else's business."""
    origin = _origin(part)
    return origin if origin and not Path(origin).exists() else "not stated"


def _licence(part: Any) -> str:
    """What the model card beside a part's weights says."""
    import yaml

    folder = Path(_origin(part) or ".")
    for path in (folder / "README.md", folder.parent / "README.md"):
        if not _origin(part) or not path.is_file():
            continue
        head = path.read_text(encoding="utf-8").split("---")
        stated = yaml.safe_load(head[1]) if len(head) > 2 else None
        if isinstance(stated, dict) and (licence := stated.get("license_name") or stated.get("license")):
            return str(licence)
    return "not stated: see where it comes from"
