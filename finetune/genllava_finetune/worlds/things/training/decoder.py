"""The image decoder before training: an autoencoder and phrases that know how things look, a random transformer.

The autoencoder's latents are the principal components of patches of pictures. The text encoder reads phrases, such as
`large 3d cat`; the embedding of each is the principal components of the latents of what it names. So what the
transformer is told of a thing is how it looks, and it does not have to find that out by drawing.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genllava.layout_decoder.autoencoder_patch import AutoencoderPatch
from genllava.layout_decoder.layout import EMPTY, LENGTH, NOTHING, SEPARATOR
from genllava.layout_decoder.pipeline import LayoutDecoderPipeline
from genllava.layout_decoder.transformer import LayoutTransformer2DModel
from genllava_finetune.worlds.things.knowledge.things import Thing, things
from genllava_finetune.worlds.things.pictures.backgrounds import background
from genllava_finetune.worlds.things.pictures.plan import looks_words
from genllava_finetune.worlds.things.pictures.render import CANVAS, paste, pixels_of, render_array, sprite
from genllava_finetune.worlds.things.pictures.sampling import sample_scene
from genllava_finetune.worlds.things.pictures.scene import BACKGROUNDS, COLOURS, SHAPES, SIZES, STYLES, Item

PATCH: Final = CANVAS // 6
MOST_CHANNELS: Final = 288
_PICTURES: Final = 1500
"""From which the autoencoder's components are found."""
_KEPT: Final = 5
"""Every so many patches of them."""
_UNKNOWN: Final = "unknown"


def decoder(
    latent_channels: int = 288, hidden_size: int = 512, layers: int = 5, width: int = 256, seed: int = 0
) -> LayoutDecoderPipeline:
    """A pipeline whose transformer is random.

    Args:
        latent_channels: principal components of a patch of 40 x 40 pixels.
        hidden_size, layers: of the transformer.
        width: of the text encoder.
        seed: of the pictures from which the components are found, and of random weights.
    """
    import diffusers as df

    torch.manual_seed(seed)  # what phrases stand for is not trained: it is to be the same wherever this is called
    vae = autoencoder(latent_channels, seed)
    tokenizer, text_encoder = text(vae, width, things())
    transformer = LayoutTransformer2DModel(
        sample_size=CANVAS // PATCH,
        in_channels=latent_channels,
        out_channels=latent_channels,
        hidden_size=hidden_size,
        num_layers=layers,
        num_attention_heads=hidden_size // 64,
        cross_attention_dim=width,
    )
    flows: Any = {"use_flow_sigmas": True, "flow_shift": 4.0, "prediction_type": "sample", "solver_order": 1}
    make: Any = df.DPMSolverMultistepScheduler
    scheduler = make(**flows)
    return LayoutDecoderPipeline(
        transformer.eval(), vae.eval(), scheduler, text_encoder.eval(), tokenizer, resolution=CANVAS
    )


def autoencoder(channels: int, seed: int = 0, patch: int = PATCH) -> AutoencoderPatch:
    """Principal components of the patches of random pictures; latents have a mean of zero and about unit spread."""
    mean, components, spread = principal_components(max(channels, MOST_CHANNELS), seed, patch)
    scale = (spread[:channels] + 1e-6).sqrt()  # half whitened: coarse form dominates fine detail
    scale = scale * float((spread[:channels] / scale).square().mean().sqrt())
    made: AutoencoderPatch = AutoencoderPatch.from_components(components[:, :channels], scale, patch, mean)
    return made


@lru_cache(maxsize=2)
def principal_components(channels: int, seed: int, patch: int = PATCH) -> tuple[Tensor, Tensor, Tensor]:
    """The mean [D] of patches of random pictures, their components [D, channels], and the spread along each.

    Args:
        patch: their side, in pixels.
    """
    source = random.Random(f"things autoencoder {seed}")
    torch.manual_seed(seed)
    scenes = (sample_scene(source, things(), free=source.random() < 0.3) for _ in range(_PICTURES))
    found = [patches(render_array(scene), patch)[source.randrange(_KEPT) :: _KEPT] for scene in scenes]
    rows = torch.from_numpy(np.concatenate(found))
    mean = rows.mean(0)
    _, values, components = torch.svd_lowrank(rows - mean, q=channels + 40, niter=2)
    return mean, components[:, :channels], values[:channels] / (len(rows) - 1) ** 0.5


def patches(picture: NDArray[np.uint8], patch: int = PATCH) -> NDArray[np.float32]:
    """Patches [N, 3 * P * P] of a picture [240, 240, 3], row by row, in -1..1, ordered as autoencoders take them."""
    side = CANVAS // patch
    cut = picture.reshape(side, patch, side, patch, 3).transpose(0, 2, 4, 1, 3)
    array: NDArray[np.float32] = cut.reshape(side * side, -1).astype(np.float32) / np.float32(127.5) - 1
    return array


def looks_of(known: Sequence[Thing]) -> list[Item]:
    """Everything that can be drawn, once in each size."""
    items = [Item(name, size, "center", None, colour) for name in SHAPES for colour in COLOURS for size in SIZES]
    for each in known:
        for style in STYLES:
            colours = [colour for colour in COLOURS if colour != each.colour_in(style)] if each.recolour else []
            items += [Item(each.name, size, "center", style, c) for c in (None, *colours) for size in SIZES]
    return items


def text(vae: AutoencoderPatch, width: int, known: Sequence[Thing]) -> tuple[Any, Any]:
    """The tokenizer of phrases, and the text encoder whose embeddings know how these look."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast

    items = looks_of(known)
    words = [_UNKNOWN, EMPTY, NOTHING, *BACKGROUNDS, *map(looks_words, items)]
    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token=_UNKNOWN))
    made.pre_tokenizer = pre_tokenizers.Split(SEPARATOR, "removed")
    wrap: Any = PreTrainedTokenizerFast
    tokenizer = wrap(
        tokenizer_object=made, unk_token=_UNKNOWN, pad_token=EMPTY, model_max_length=LENGTH
    )
    config = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=0,
        num_attention_heads=4,
        max_position_embeddings=LENGTH,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
    )
    encoder: Any = CLIPTextModel(config)
    embeddings: Any = encoder.get_input_embeddings()
    positions: Any = getattr(encoder, "text_model", encoder).embeddings.position_embedding
    with torch.no_grad():
        embeddings.weight.normal_()
        positions.weight.zero_()  # the transformer knows where its cells are
        embeddings.weight[len(words) - len(items) :] = appearances(vae, items, width)
    return tokenizer, encoder


def appearances(vae: AutoencoderPatch, items: Sequence[Item], width: int) -> Tensor:
    """[items, width]: principal components of the latents of each item on gray, the larger ones damped."""
    third = CANVAS // 3
    behind = background("gray", CANVAS)[:third, :third]
    found = []
    with torch.no_grad():
        for item in items:
            cell, art = behind.copy(), sprite(item.name, item.style, item.colour, pixels_of(item.size, CANVAS))
            paste(cell, art, (third - len(art)) // 2, (third - len(art)) // 2)
            found.append(_latents(vae, cell))
        rows = torch.stack(found) - _latents(vae, behind)
    rows = rows - rows.mean(0)
    _, _, components = torch.svd_lowrank(rows, q=width, niter=3)
    codes = rows @ components
    codes = codes / codes.std(0).clamp(min=1e-3).sqrt()
    return codes / codes.std()


def _latents(vae: AutoencoderPatch, cell: NDArray[np.float32]) -> Tensor:
    """Latents of a cell of a picture, in one row."""
    pixels = torch.from_numpy(cell / np.float32(127.5) - 1).permute(2, 0, 1)[None]
    made: Tensor = vae.encode(pixels).latents
    return made.flatten()
