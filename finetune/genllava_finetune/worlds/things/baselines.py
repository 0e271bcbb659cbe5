"""What a model that does not look, or does nothing, would score; and what the oracle itself can read."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image

from genllava_finetune.intervals import Share
from genllava_finetune.worlds.base import Produced, Split
from genllava_finetune.worlds.things.grading.grading import Played, Read, grade_steps, read_picture, score_turn
from genllava_finetune.worlds.things.knowledge.things import things_of
from genllava_finetune.worlds.things.pictures.augment import augment
from genllava_finetune.worlds.things.pictures.render import render
from genllava_finetune.worlds.things.pictures.sampling import sample_scene, shifted
from genllava_finetune.worlds.things.pictures.scene import Scene
from genllava_finetune.worlds.things.questions import asking
from genllava_finetune.worlds.things.questions.asking import ask
from genllava_finetune.worlds.things.suites import THINGS, Case

if TYPE_CHECKING:
    from genllava import GenLlavaPipeline

_LEARNT: Final = 1000
"""Training questions of a family that a majority is taken of."""
_BATCH: Final = 16

Shares = dict[str, Share]
Trip = Callable[[list[Image.Image]], list[Image.Image]]
"""Pictures through the autoencoder and back."""


# --- questions ---


def majority(cases: Sequence[Case], family: str) -> Share:
    """Always giving the most frequent training answer of the question's family."""
    source = random.Random("majority")
    frequent = Counter(_training_answer(source, family) for _ in range(_LEARNT))
    return _answering(cases, [frequent.most_common(1)[0][0]] * len(cases))


def chance(cases: Sequence[Case], family: str) -> Share:
    """Giving a random training answer of the question's family."""
    source = random.Random("chance")
    return _answering(cases, [_training_answer(source, family) for _ in cases])


def another_picture(cases: Sequence[Case], family: str) -> Share:
    """Giving what would be right for another picture: the training answer to a question of the same intent."""
    source = random.Random("another picture")
    return _answering(cases, [_training_answer(source, family, case.turns[0].intent) for case in cases])


def _training_answer(source: random.Random, family: str, intent: str | None = None) -> str:
    intents = [intent] if intent else [name for name, own in asking.FAMILIES.items() if own == family]
    while True:
        scene = sample_scene(source, things_of(THINGS))
        found = ask(source, scene, source.choice(intents), known=things_of(THINGS))
        if found is not None:
            return found.answer


def _answering(cases: Sequence[Case], texts: Sequence[str]) -> Share:
    return Share.of(
        score_turn(case.turns[0], [Produced("I2T", text)]).right for case, text in zip(cases, texts, strict=True)
    )


# --- pictures ---


def copied_source(cases: Sequence[Case]) -> Shares:
    """Giving back the picture that was to be edited."""
    graded = [
        grade_steps(case.turns[0].steps, Played(pictures=case.turns[0].view.sources), case.turns[0].view)[0]
        for case in cases
    ]
    return {
        "copy of the source": Share.of(each.right for each in graded),
        "copy of the source: change made": Share.of(bool(each.changed) for each in graded),
        "copy of the source: all else kept": Share.of(bool(each.preserved) for each in graded),
    }


def always(cases: Sequence[Case], task: str) -> Share:
    """Choosing the same task whatever is asked."""
    return Share.of(case.turns[0].tasks[0] == task for case in cases)


# --- the oracle ---


def parser_bounds(pipeline: GenLlavaPipeline | None, split: Split, n: int) -> Shares:
    """How often the oracle reads a scene exactly: drawn neatly, as other programs save it, and through the autoencoder
    of the pipeline where it has one that is known here."""
    source = random.Random(f"parser bounds {split}")
    scenes = [shifted(source, sample_scene(source, things_of(THINGS))) for _ in range(n)]
    centred = [scene.centred() for scene in scenes]
    bounds = {
        "drawn neatly": _read(centred, [render(scene) for scene in centred]),
        "as other programs save it": _read(scenes, [augment(render(scene), source) for scene in scenes]),
    }
    trip = None if pipeline is None else autoencoder_of(pipeline)
    if trip is not None:
        bounds["through the autoencoder"] = _read(centred, trip([render(scene) for scene in centred]))
    return bounds


def _read(scenes: Sequence[Scene], pictures: Sequence[Image.Image], read: Read = read_picture) -> Share:
    found = (read(picture) for picture in pictures)
    return Share.of(seen is not None and seen.key == scene.key for scene, seen in zip(scenes, found, strict=True))


def autoencoder_of(pipeline: Any) -> Trip | None:
    """The autoencoder of a pipeline's image decoder, there and back; None if none is like diffusers'."""
    parts = getattr(pipeline.protocol, "parts", None)
    decoder = getattr(parts, "image_decoder", None)
    found = next((vae for each in _within(decoder) if (vae := getattr(each, "vae", None)) is not None), None)
    if found is None or not (hasattr(found, "encode") and hasattr(found, "decode")):
        return None
    return lambda pictures: [
        back
        for start in range(0, len(pictures), _BATCH)
        for back in _round_trip(found, pictures[start : start + _BATCH])
    ]


def _within(decoder: Any) -> list[Any]:
    """The decoder, and what it may keep its diffusers pipeline in."""
    return [
        each for name in ("", "pipeline", "base", "pipe") if (each := getattr(decoder, name, None) if name else decoder)
    ]


def _round_trip(vae: Any, pictures: Sequence[Image.Image]) -> list[Image.Image]:
    import torch

    weight = next(iter(vae.parameters()))
    arrays = np.stack([np.asarray(picture.convert("RGB"), np.float32) for picture in pictures])
    pixels = torch.from_numpy(arrays).permute(0, 3, 1, 2).to(weight) / 127.5 - 1
    with torch.no_grad():
        encoded = vae.encode(pixels)
        latents = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latents
        decoded = vae.decode(latents).sample
    back = ((decoded.float().clamp(-1, 1) + 1) * 127.5).round().permute(0, 2, 3, 1).cpu().numpy().astype(np.uint8)
    return [Image.fromarray(each) for each in back]


# --- all of them ---


def baselines_of(pipeline: GenLlavaPipeline, name: str, cases: Sequence[Case]) -> Shares:
    """The baselines of one suite that cost no model; none for most."""
    if name.startswith("questions."):
        family = name.partition(".")[2]
        return {
            "majority": majority(cases, family),
            "chance": chance(cases, family),
            "another picture": another_picture(cases, family),
        }
    if name == "routing":
        return {"always answers": always(cases, "I2T"), "always draws": always(cases, "T2I")}
    return copied_source(cases) if name.partition("/")[0] == "editing" else {}
