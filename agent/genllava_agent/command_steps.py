"""The steps that several commands share: a picture is read, the model is loaded, what it made is delivered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from genllava_agent.reporting import DECLINED, note

if TYPE_CHECKING:
    from PIL import Image

    from genllava import Drawing, GenLlavaPipeline
    from genllava_agent.progress import Progress
    from genllava_agent.user_config import ModelChoice


def read(path: str) -> Image.Image:
    """The picture that was named; what was left out of it is said."""
    from genllava_agent.inputs import read_picture

    picture = read_picture(path)

    from genllava.images import picture_notes

    say(*picture_notes(picture))
    return picture


def load(choice: ModelChoice, progress: Progress) -> GenLlavaPipeline:
    """The model that was chosen."""
    progress.stage("loading the model")
    from genllava_agent.loading import load_pipeline

    return load_pipeline(choice.model, choice.device, **choice.others)


def say(*notes: str) -> None:
    """What the user should know besides, on stderr; what is empty is left out."""
    for text in filter(None, notes):
        note(text)


def given(**options: Any) -> dict[str, Any]:
    """The options that were given; what was not is the model's to decide."""
    return {name: value for name, value in options.items() if value is not None}


def print_json(report: dict[str, Any]) -> None:
    """The result for programs."""
    typer.echo(json.dumps(report, indent=2, ensure_ascii=False))


def deliver(drawing: Drawing, target: Path, shown: Path, seconds: float, as_json: bool) -> None:
    """Write and announce a drawing; where the model answered with words, print them and leave with 1."""
    if drawing.image is not None:
        from genllava_agent.outputs import write_picture

        write_picture(target, drawing.image)
    if as_json:
        print_json(
            {
                "output": str(shown) if drawing.image is not None else None,
                "text": drawing.text,
                "plan": drawing.plan,
                "seen": drawing.seen,
                "seed": drawing.seed,
                "decoder": drawing.decoder,
                "notes": list(drawing.notes),
                "unsure": drawing.unsure,
                "seconds": round(seconds, 3),
            }
        )
    elif drawing.image is not None:
        typer.echo(f"{shown}: {drawing.plan} (seed {drawing.seed}, {seconds:.1f} s)")
    else:
        typer.echo(drawing.text)
    if not as_json:
        say(*drawing.notes, drawing.unsure)
    if drawing.image is None:
        raise typer.Exit(DECLINED)
