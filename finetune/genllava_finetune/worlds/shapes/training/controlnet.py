"""Part 6: a ControlNet (arXiv 2302.05543) for the image decoder: edges say where and how large, words say what colour.

A copy of the first half of the UNet, which sees the edges beside the noise and adds what it makes of them to the
UNet's skip connections. The UNet and the text encoder stay as they are, so pictures without control do, too. Its edges
come from other colours than the words ask for, and the words have wrong places half of the time.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from transformers import CLIPTextModel, PreTrainedTokenizerFast

from genllava.layout_decoder.autoencoder_patch import AutoencoderPatch
from genllava_finetune.worlds.shapes.layouts import is_held_out_layout, loosened, misplaced, recoloured
from genllava_finetune.worlds.shapes.plan import any_plan
from genllava_finetune.worlds.shapes.render import render_array
from genllava_finetune.worlds.shapes.scene import CANVAS, RADIUS, Scene
from genllava_finetune.worlds.shapes.splits import sample_scene
from genllava_finetune.worlds.shapes.training.image_decoder import GRID, denoising_error, draw_sigma, region_weight
from genllava_finetune.worlds.shapes.training.part import Batch, Part
from genllava_finetune.worlds.shapes.training.pictures import contact_sheet, to_pixels, to_uint8
from genllava_finetune.worlds.shapes.training.text_encoder import tokenize_plans

NAME: Final = "canny"
EMBEDDING: Final = (8, 16, 32, 64, 96)
"""Channels of the convolutions that bring a map of 128 x 128 to the 8 x 8 of the latents: each halves its sides."""

LOW: Final = 100
HIGH: Final = 200
"""Thresholds of Canny's method, those of the tool `edge_map`."""
OTHER_THRESHOLDS: Final = 0.3
WRONG_PLACES: Final = 0.85
WRONG_SIZES: Final = 0.25
"""Shares of plans whose places are wrong, and, of those, whose sizes are."""
HARD: Final = 0.5
"""Share of scenes that are drawn again until they have what is learnt last."""
DETAIL: Final = {"star": 4.0, "cross": 2.0}
"""How much more than other cells those of small stars and crosses count: their error is small, and they were blobs."""
LOOSE: Final = 0.2
"""Share of scenes whose objects are further from the middle of their cells than elsewhere in this world."""
THICK: Final = 0.15
GAPS: Final = 0.15
ERASED: Final = 0.15
"""Shares of maps with lines of three pixels, with pixels left out, and with a part wiped out."""
DROP_PLAN: Final = 0.03
ALL_NOISE: Final = 0.6
"""Share of samples of which noise shows nothing. In any other the colours can be seen, and which of the words belong to
which of the shapes need not be learnt."""


def canny(picture: NDArray[np.uint8], low: int = LOW, high: int = HIGH) -> NDArray[np.uint8]:
    """[H, W] edges of a picture [H, W, 3], 255 on 0."""
    import cv2

    return np.asarray(cv2.Canny(picture, low, high), np.uint8)


def worn(rng: random.Random, edges: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Edges as other people and programs draw them: thicker, with gaps, with a part missing."""
    import cv2

    if rng.random() < THICK:
        edges = np.asarray(cv2.dilate(edges, np.ones((3, 3), np.uint8)), np.uint8)
    if rng.random() < GAPS:
        noise = np.random.default_rng(rng.getrandbits(32)).random(edges.shape)
        edges = np.where(noise < rng.uniform(0.05, 0.4), 0, edges).astype(np.uint8)
    if rng.random() < ERASED:
        edges = edges.copy()
        side = rng.randint(4, 14)
        x, y = rng.randrange(edges.shape[1] - side), rng.randrange(edges.shape[0] - side)
        edges[y : y + side, x : x + side] = 0
    return edges


def to_control(maps: list[NDArray[np.uint8]]) -> Tensor:
    """[B, 3, H, W] in 0..1, as ControlNets take their maps."""
    return torch.from_numpy(np.stack(maps)).float().div(255)[:, None].repeat(1, 3, 1, 1)


def fine_detail(scenes: Sequence[Scene]) -> Tensor:
    """[B, 1, 8, 8]: how much each cell of the latents counts by what is in it: small stars and crosses more."""
    weight = torch.ones(len(scenes), 1, GRID, GRID)
    for row, scene in enumerate(scenes):
        for thing in scene.things:
            if thing.size == "small" and thing.shape in DETAIL:
                (x, y), reach = thing.center, RADIUS["small"]
                rows, columns = (
                    slice(max(0, int(middle - reach) * GRID // CANVAS), int(middle + reach) * GRID // CANVAS + 1)
                    for middle in (y, x)
                )
                weight[row, 0, rows, columns] = DETAIL[thing.shape]
    return weight


def is_hard(scene: Scene) -> bool:
    """Whether a scene has what is learnt last: a small star, or a shape twice, in two colours."""
    twice = [(one, other) for one, other in itertools.combinations(scene.things, 2) if one.shape == other.shape]
    stars = any((thing.shape, thing.size) == ("star", "small") for thing in scene.things)
    return stars or any(one.color != other.color for one, other in twice)


def new_controlnet(unet: Any) -> Any:
    """A ControlNetModel for a UNet2DConditionModel, with the weights of its first half; untrained, it adds nothing.

    Its middle block has no attention and one layer, which the first half's own attention makes up for.
    """
    config = unet.config
    same = (
        "in_channels", "flip_sin_to_cos", "freq_shift", "down_block_types", "block_out_channels", "layers_per_block",
        "cross_attention_dim", "attention_head_dim", "norm_num_groups", "norm_eps", "act_fn",
    )  # fmt: skip
    factor = 2 ** (len(EMBEDDING) - 1)
    assert factor * config["sample_size"] == 128
    controlnet: Any = ControlNetModel(
        **{key: config[key] for key in same},
        mid_block_type="UNetMidBlock2D",
        conditioning_embedding_out_channels=EMBEDDING,
    )
    for name in ("conv_in", "time_embedding", "down_blocks", "mid_block"):
        part, weights = getattr(controlnet, name), getattr(unet, name).state_dict()
        part.load_state_dict({key: weights[key] for key in part.state_dict()})
    return controlnet


@torch.no_grad()
def wake(embedding: Any, maps: Tensor) -> None:
    """Set the convolutions that read the maps so that what they pass on has a spread of 1 (Mishkin and Matas, 2015).

    As diffusers makes them, each of the nine passes on a fifth of what it is given, and the last one nothing: of the
    edges a millionth is left, and 400 steps later it still was.

    Args:
        embedding: `ControlNetConditioningEmbedding`.
        maps: some maps, [B, 3, H, W].
    """
    states = maps
    for layer in (embedding.conv_in, *embedding.blocks, embedding.conv_out):
        nn.init.kaiming_normal_(layer.weight)
        nn.init.zeros_(layer.bias)
        layer.weight /= layer(states).std()
        states = nn.functional.silu(layer(states))


class ControlLoss(nn.Module):
    """The image decoder's own loss through the frozen UNet into the ControlNet beside it."""

    def __init__(self, vae: AutoencoderPatch, text_encoder: CLIPTextModel, unet: Any, maps: Tensor) -> None:
        super().__init__()
        self.vae = vae.requires_grad_(False)
        self.text_encoder = text_encoder.requires_grad_(False)
        self.unet = unet.requires_grad_(False)
        self.controlnet = new_controlnet(unet)
        wake(self.controlnet.controlnet_cond_embedding, maps)

    def forward(
        self, target: Tensor, planned: Tensor, edges: Tensor, detail: Tensor, input_ids: Tensor
    ) -> dict[str, Tensor]:
        """`target`, `planned` [B, 3, 128, 128] what is drawn and what words alone would draw; `edges` as well;
        `detail` [B, 1, 8, 8] what counts more; `input_ids` [B, 48]."""
        with torch.no_grad():
            pixels = torch.cat([target, planned]).contiguous(memory_format=torch.channels_last)
            latents, elsewhere = self.vae.encode(pixels).latents.float().chunk(2)
            states = self.text_encoder(input_ids=input_ids).last_hidden_state
            # What the words place elsewhere counts as much as an object: nothing may be left of it.
            weight = region_weight(elsewhere, latents, torch.ones(len(target), dtype=torch.bool))
            weight = weight * detail
            weight = weight / weight.mean((2, 3), keepdim=True)
        edges = edges.contiguous(memory_format=torch.channels_last)
        unet = Controlled(self.unet, self.controlnet, edges)
        sigma = draw_sigma(len(latents))
        sigma[torch.rand(len(latents)) < ALL_NOISE] = 1.0
        error = denoising_error(unet, latents, torch.zeros_like(latents), states, weight, sigma)
        return {"loss": error.mean()}


class Controlled:
    """A UNet with a ControlNet beside it, to be called like a UNet."""

    def __init__(self, unet: Any, controlnet: Any, edges: Tensor) -> None:
        self.unet = unet
        self.controlnet = controlnet
        self.edges = edges

    def __call__(self, inputs: Tensor, timestep: Tensor, states: Tensor) -> SimpleNamespace:
        down, mid = self.controlnet(inputs, timestep, states, self.edges, return_dict=False)
        drawn = self.unet(
            inputs, timestep, states, down_block_additional_residuals=down, mid_block_additional_residual=mid
        )
        return SimpleNamespace(sample=drawn.sample)


class ControlNet(Part):
    name = "controlnet"

    def build(self) -> nn.Module:
        decoder, rng = self.needs("image_decoder"), random.Random(f"{self.name}:{self.seed}:first maps")
        self.tokenizer = PreTrainedTokenizerFast.from_pretrained(decoder / "tokenizer")
        return ControlLoss(
            AutoencoderPatch.from_pretrained(self.needs("autoencoder")).eval(),
            CLIPTextModel.from_pretrained(decoder / "text_encoder").eval(),
            UNet2DConditionModel.from_pretrained(decoder / "unet").eval(),
            to_control([self.example(rng)[2] for _ in range(64)]),
        )

    def example(self, rng: random.Random) -> tuple[Scene, Scene, NDArray[np.uint8]]:
        """What is drawn, what its plan says, and the edges that correct the plan's places."""
        hard = rng.random() < HARD
        scene = sample_scene(rng, "train", withhold=self.withhold)
        while is_held_out_layout(scene) or (hard and not is_hard(scene)):
            scene = sample_scene(rng, "train", withhold=self.withhold)
        if rng.random() < LOOSE:
            scene = loosened(rng, scene)
        plan = misplaced(rng, scene, rng.random() < WRONG_SIZES) if rng.random() < WRONG_PLACES else scene
        low, high = LOW, HIGH
        if rng.random() < OTHER_THRESHOLDS:
            low = rng.randint(30, 150)
            high = low + rng.randint(20, 120)
        return scene, plan, worn(rng, canny(render_array(recoloured(rng, scene)), low, high))

    def batch(self, step: int) -> Batch:
        rng = random.Random(f"{self.name}:{self.seed}:{step}")
        scenes, planned, maps, plans = [], [], [], []
        for _ in range(self.recipe.batch_size):
            scene, plan, edges = self.example(rng)
            scenes.append(scene)
            planned.append(render_array(plan))
            maps.append(edges)
            plans.append("" if rng.random() < DROP_PLAN else any_plan(rng, plan))
        return {
            "target": to_pixels([render_array(scene) for scene in scenes]),
            "planned": to_pixels(planned),
            "edges": to_control(maps),
            "detail": fine_detail(scenes),
            "input_ids": tokenize_plans(self.tokenizer, plans),
        }

    def export(self, module: nn.Module, folder: Path) -> None:
        assert isinstance(module, ControlLoss)
        module.controlnet.save_pretrained(folder / NAME)

    @torch.no_grad()
    def sample(self, module: nn.Module) -> Image.Image:
        """Three rows: edges, what is to be drawn, what was drawn, in four steps."""
        assert isinstance(module, ControlLoss)
        rng = random.Random("controlnet sample")
        examples = [self.example(rng) for _ in range(12)]
        ids = tokenize_plans(self.tokenizer, [any_plan(rng, plan) for _, plan, _ in examples])
        maps = [edges for _, _, edges in examples]
        place = module.unet.device
        drawn = draw(module, to_control(maps).to(place), ids.to(place), steps=4)
        made = module.vae.decode(drawn, return_dict=False)[0]
        rows = [np.repeat(np.stack(maps)[..., None], 3, axis=-1), np.stack([render_array(s) for s, _, _ in examples])]
        return contact_sheet([*rows, to_uint8(made)])


@torch.no_grad()
def draw(module: ControlLoss, edges: Tensor, ids: Tensor, steps: int) -> Tensor:
    """Plain Euler sampling, to watch training; the pipeline has the real loop."""
    states = module.text_encoder(input_ids=ids).last_hidden_state
    unet = Controlled(module.unet, module.controlnet, edges)
    shape = (len(ids), module.unet.config["out_channels"], *(module.unet.config["sample_size"],) * 2)
    latents = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(edges.device)
    for now, then in itertools.pairwise(torch.linspace(1, 0, steps + 1)):
        clean = unet(torch.cat([latents, torch.zeros_like(latents)], 1), now * 1000, states).sample
        latents = clean + then / now * (latents - clean)
    return latents
