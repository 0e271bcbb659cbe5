"""The image decoder of the shapes world from nothing, by the general trainer and by its own one, side by side.

`python -m benchmarks.decoder_curves FOLDER PICTURE` trains both for 200 steps of 32 drawings from the same first
weights (FOLDER keeps what is finished), measures their checkpoints on the same held-out drawings, and plots both.
The general trainer minimises the plain error of the clean latents at noise levels that are logit-normal. The other one
divides that error by the squared noise level, weighs objects above background, and draws other noise levels: its losses
have another scale, so both are measured by the plain error at five fixed noise levels.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from genllava import GenLlavaPipeline
from genllava.checkpoints import SHIPPED
from genllava_finetune.modeling.collator import to_pixels
from genllava_finetune.recipes.parts import load_pipeline
from genllava_finetune.recipes.recipe import load_recipe
from genllava_finetune.train.run import Run
from genllava_finetune.worlds.shapes.training.assembling import unpack
from genllava_finetune.worlds.shapes.training.decoder_rows import decoder_rows
from genllava_finetune.worlds.shapes.training.image_decoder import DenoisingLoss, ImageDecoder
from genllava_finetune.worlds.shapes.training.part import train_part
from genllava_finetune.worlds.shapes.training.recipe import PartRecipe

STEPS: Final = 200
EVERY: Final = 25
HELD_OUT: Final = 200
SIGMAS: Final = (0.2, 0.4, 0.6, 0.8, 0.95)
_GENERAL: Final = "general trainer"
_OWN: Final = "the part's own trainer"


class Errors:
    """The plain error of the clean latents of held-out drawings, a mean over `SIGMAS`, with always the same noise.

    Args:
        decoder: whose autoencoder and tokenizer are used.
    """

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder
        rows = list(decoder_rows(HELD_OUT, split="dev"))
        blocks = [row["messages"][1]["content"][0] for row in rows]
        self.plans = [str(block.get("prompt") or block["instruction"]) for block in blocks]
        edits = torch.tensor([block["type"] == "edit" for block in blocks])
        self.latents = self._encode([row["images"][-1] for row in rows])
        self.sources = self._encode([row["images"][0] for row in rows]) * edits[:, None, None, None]
        self._noise = torch.randn(self.latents.shape, generator=torch.Generator().manual_seed(0))

    def _encode(self, pictures: list[Image.Image]) -> Tensor:
        with torch.no_grad():
            latents: Tensor = self._decoder.vae.encode(to_pixels(pictures, 128)).latents
        return latents

    @torch.no_grad()
    def __call__(self, unet: Any, text_encoder: Any) -> float:
        """The error; 1 is about that of a network that predicts nothing."""
        tokenizer = self._decoder.tokenizer
        words = {"padding": "max_length", "max_length": tokenizer.model_max_length, "return_tensors": "pt"}
        states = text_encoder(input_ids=tokenizer(self.plans, **words).input_ids).last_hidden_state
        found = []
        for sigma in SIGMAS:
            noisy = torch.cat([(1 - sigma) * self.latents + sigma * self._noise, self.sources], 1)
            times = torch.full([len(noisy)], 1000 * sigma)
            found.append((unet(noisy, times, states).sample - self.latents).square().mean())
        return float(torch.stack(found).mean())


def train_general(folder: Path) -> tuple[dict[int, float], list[tuple[int, float]]]:
    """Train by the recipe `shapes-decoder`; errors by step, and the losses that it logged."""
    kept = [f"stages.decoder.arguments.save_total_limit={STEPS // EVERY}", f"stages.decoder.save_every={EVERY}"]
    recipe = load_recipe("shapes-decoder", kept)
    Run(recipe, folder, resume=True).train()
    torch.manual_seed(recipe.seed)
    pipeline: Any = load_pipeline(recipe.model)
    unet, text_encoder = pipeline.decoder.unet, pipeline.decoder.text_encoder
    errors = Errors(pipeline.decoder)
    found = {0: errors(unet, text_encoder)}
    checkpoints = folder / "checkpoints" / "decoder"
    for step in range(EVERY, STEPS + 1, EVERY):
        weights = load_file(checkpoints / f"checkpoint-{step}" / "model.safetensors")
        for name, module in (("decoder.unet.", unet), ("decoder.text_encoder.", text_encoder)):
            own = {key.removeprefix(name): value for key, value in weights.items() if key.startswith(name)}
            module.load_state_dict(own)
        found[step] = errors(unet, text_encoder)
    state = json.loads((checkpoints / f"checkpoint-{STEPS}" / "trainer_state.json").read_text())
    return found, [(each["step"], each["loss"]) for each in state["log_history"] if "loss" in each]


class Measured(ImageDecoder):
    """The part, which begins with the general run's weights and notes its errors at each checkpoint."""

    def build(self) -> nn.Module:
        module = super().build()
        assert isinstance(module, DenoisingLoss)
        recipe = load_recipe("shapes-decoder")
        torch.manual_seed(recipe.seed)
        pipeline: Any = load_pipeline(recipe.model)
        module.unet.load_state_dict(pipeline.decoder.unet.state_dict())
        self.errors = Errors(pipeline.decoder)
        self.found = [self.errors(module.unet, module.text_encoder)]
        return module

    def sample(self, module: nn.Module) -> Image.Image | None:  # type: ignore[override]
        assert isinstance(module, DenoisingLoss)
        self.found.append(self.errors(module.unet, module.text_encoder))
        (self.workspace / "errors.json").write_text(json.dumps(self.found))
        return None


def train_own(folder: Path) -> tuple[dict[int, float], list[tuple[int, float]]]:
    """The same by the part's own trainer."""
    unpack(SHIPPED, folder, trained=("image_decoder",))
    text = folder / "text_encoder"
    if not text.is_dir():
        decoder: Any = GenLlavaPipeline.from_pretrained(device="cpu").decoder
        decoder.text_encoder.save_pretrained(text / "text_encoder")
        decoder.tokenizer.save_pretrained(text / "tokenizer")
    settings: dict[str, Any] = {"steps": STEPS, "batch_size": 32, "learning_rate": 6e-4, "warmup": 20}
    settings |= {"cooldown": 0.35, "ema_decay": 0, "bf16": False, "log_every": 10, "save_every": EVERY}
    train_part(Measured(PartRecipe(**settings), 0, folder), resume=False)
    found = json.loads((folder / "errors.json").read_text())
    with (folder / "image_decoder.run" / "log.csv").open(newline="") as file:
        losses = [(int(row["step"]), float(row["value"])) for row in csv.DictReader(file) if row["name"] == "loss"]
    return {step * EVERY: error for step, error in enumerate(found)}, losses


def main(folder: Path, picture: Path) -> None:
    """Train what is not trained yet, print the errors, and plot them beside the losses."""
    curves = dict(_curves(folder))
    steps = range(0, STEPS + 1, EVERY)
    print("| step | " + " | ".join(map(str, steps)) + " |")
    for name, (errors, _) in curves.items():
        print(f"| {name} | " + " | ".join(f"{errors[step]:.4f}" for step in steps) + " |")
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.use("Agg")
    figure = Figure(figsize=(8, 3), layout="constrained")
    losses, errors = figure.subplots(1, 2)
    for name, (found, logged) in curves.items():
        losses.plot(*zip(*logged, strict=True), label=name)
        errors.plot(list(found), list(found.values()), label=name)
    losses.set(title="its own loss, 10 steps each", xlabel="step")
    errors.set(title="error of held-out latents", xlabel="step")
    for axis in (losses, errors):
        axis.grid(alpha=0.3)
        axis.legend()
    figure.savefig(picture, dpi=80)


def _curves(folder: Path) -> Iterator[tuple[str, tuple[dict[int, float], list[tuple[int, float]]]]]:
    ways: dict[str, Callable[[Path], tuple[dict[int, float], list[tuple[int, float]]]]]
    ways = {_GENERAL: train_general, _OWN: train_own}
    for number, (name, train) in enumerate(ways.items()):
        kept = folder / f"{number}.json"
        if not kept.is_file():
            errors, losses = train(folder / str(number))
            kept.write_text(json.dumps([list(errors.items()), losses]))
        errors, losses = json.loads(kept.read_text())
        yield name, (dict(errors), losses)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
