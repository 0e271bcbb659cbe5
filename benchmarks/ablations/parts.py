"""The parts that every run begins with: small, trained once beforehand, as large ones are.

A vision tower that tells what is in each quarter of a picture, a language model that has read texts about the world
and has never seen a picture, and an image decoder that draws and edits by captions. `train_parts` makes them.
"""

from __future__ import annotations

import functools
import random
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import transformers as hf
from diffusers import DPMSolverMultistepScheduler, UNet2DConditionModel
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.ablations.small_world import COLORS, CORNERS, SHAPES, SIDE, TASKS, caption, picture, sample_case, words
from genllava.protocols.shapes.autoencoder_patch import AutoencoderPatch
from genllava.protocols.shapes.decoder_pipeline import ShapesDecoderPipeline
from genllava_finetune.train.collator import to_pixels
from genllava_finetune.worlds.shapes.scene import Scene

_TEMPLATE: Final = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for block in message['content'] %}"
    "{% if block['type'] == 'image' %}{{ '<image>' }}{% else %}{{ block['text'] }}{% endif %}{% endfor %}{% endif %}"
    "{{ '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
_SPECIAL: Final = ("<pad>", "<unk>", "<|im_start|>", "<|im_end|>", "<image>")
_PROTOCOL: Final = (
    "system",
    "user",
    "assistant",
    "image_1:",
    "image_2:",
    "image_1",
    "image_2",
    "Done:",
    "was",
    "made.",
)
"""Words of the chat template and of the form of conversations."""
VLM_PARTS: Final = ("vision_tower", "multi_modal_projector", "language_model")
"""What of a LLaVA is trained and saved by itself, beside `lm_head`."""
_PATCH: Final = 16
_SIZES: Final = (len(SHAPES) + 1, len(COLORS) + 1)
_SQUARE: Final = 4
_LATENTS: Final = 24
"""Side of the squares that the autoencoder makes latents of, and how many of them."""
_CAPTION: Final = 12
"""Tokens of the decoder's prompts: two things, and the ends."""


class SmallDecoderPipeline(ShapesDecoderPipeline):
    """The pipeline of the shapes model's decoder, under a name of its own: that one goes with the shapes protocol."""


def tokenizer() -> Any:
    """Of the language model: a token for each word."""
    vocabulary = {word: number for number, word in enumerate([*_SPECIAL, *_PROTOCOL, *words()])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.add_special_tokens(list(_SPECIAL))
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="<pad>",
        unk_token="<unk>",
        eos_token="<|im_end|>",
        clean_up_tokenization_spaces=False,
        extra_special_tokens={"image_token": "<image>"},
    )


def vision_language(folder: str | None = None, width: int = 96, layers: int = 3) -> tuple[Any, Any]:
    """A LLaVA and its processor.

    Args:
        folder: of trained parts; None: its weights are new.
        width, layers: of the language model.
    """
    spoken = tokenizer()
    vision = hf.SiglipVisionConfig(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=SIDE,
        patch_size=_PATCH,
        vision_use_head=False,
    )
    text = hf.MistralConfig(
        hidden_size=width,
        intermediate_size=2 * width,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=width // 4,
        num_hidden_layers=layers,
        vocab_size=len(spoken),
        max_position_embeddings=256,
        sliding_window=None,
        tie_word_embeddings=False,
    )
    chosen: dict[str, Any] = {"vision_feature_select_strategy": "full"}
    config = hf.LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=spoken.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
        tie_word_embeddings=False,
        **chosen,
    )
    model: Any = hf.LlavaForConditionalGeneration(config)
    if folder is not None:
        for name in VLM_PARTS:
            getattr(model.model, name).load_state_dict(torch.load(Path(folder) / f"{name}.pt", weights_only=True))
        model.lm_head.load_state_dict(torch.load(Path(folder) / "lm_head.pt", weights_only=True))
    model.generation_config = hf.GenerationConfig(
        bos_token_id=None, eos_token_id=spoken.eos_token_id, pad_token_id=spoken.pad_token_id
    )
    processor = hf.LlavaProcessor(
        image_processor=hf.SiglipImageProcessor(size={"height": SIDE, "width": SIDE}, do_resize=False),
        tokenizer=spoken,
        patch_size=_PATCH,
        num_additional_image_tokens=0,
        chat_template=_TEMPLATE,
        **chosen,
    )
    return model.eval(), processor


def decoder(folder: str | None = None, channels: int = 32, width: int = 64) -> SmallDecoderPipeline:
    """What draws by captions, and edits by them if it is shown a source.

    Args:
        folder: of trained parts; None: its weights are new.
        channels: of its UNet's outer level; the inner one has twice as many.
        width: of its text encoder.
    """
    if folder is not None:
        made: SmallDecoderPipeline = SmallDecoderPipeline.from_pretrained(Path(folder) / "decoder")
        return made
    vocabulary = {word: n for n, word in enumerate(["<pad>", "<s>", "</s>", "<unk>", *words()])}
    plain = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    ends = [("<s>", vocabulary["<s>"]), ("</s>", vocabulary["</s>"])]
    plain.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    named = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    spoken = hf.PreTrainedTokenizerFast(
        tokenizer_object=plain, model_max_length=_CAPTION, padding_side="right", **named
    )
    text_encoder = hf.CLIPTextModel(
        hf.CLIPTextConfig(
            vocab_size=len(spoken),
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=_CAPTION,
            bos_token_id=spoken.bos_token_id,
            eos_token_id=spoken.eos_token_id,
            pad_token_id=spoken.pad_token_id,
        )
    )
    vae = _autoencoder()
    latents = int(vae.config["latent_channels"])
    unet = UNet2DConditionModel(
        sample_size=SIDE // vae.patch_size,
        in_channels=2 * latents,
        out_channels=latents,
        layers_per_block=1,
        block_out_channels=(channels, 2 * channels),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        norm_num_groups=8,
        attention_head_dim=4,
        cross_attention_dim=width,
    )
    scheduler = DPMSolverMultistepScheduler(
        num_train_timesteps=1000, prediction_type="sample", use_flow_sigmas=True, flow_shift=5.0, solver_order=1
    )
    return SmallDecoderPipeline(unet.eval(), vae, scheduler, text_encoder.eval(), spoken, resolution=SIDE)


def train_tower(model: Any, steps: int, seed: int = 0) -> float:
    """Train a LLaVA's vision tower to tell what is in each quarter of a picture.

    Returns:
        The share of quarters in which it tells shape and colour of what is never trained on.
    """
    torch.manual_seed(seed)
    tower, rng = model.model.vision_tower, random.Random(f"tower {seed}")
    readout = nn.Linear(model.config.vision_config.hidden_size, sum(_SIZES))
    weights = [*tower.parameters(), *readout.parameters()]
    for parameter in tower.parameters():
        parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW(weights, lr=2e-3)
    for step in range(steps):
        logits, labels = _told(tower, readout, [_shown(rng) for _ in range(32)])
        loss = sum(
            F.cross_entropy(each.flatten(0, 1), wanted.flatten()) for each, wanted in zip(logits, labels, strict=True)
        )
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1.0, 2 * (1 - step / steps))
        optimizer.zero_grad()
        torch.as_tensor(loss).backward()
        optimizer.step()
    with torch.no_grad():
        logits, labels = _told(tower, readout, [_shown(rng, held_out=True) for _ in range(200)])
    right = torch.stack([each.argmax(-1) == wanted for each, wanted in zip(logits, labels, strict=True)]).all(0)
    return float(right.float().mean())


def train_text_encoder(drawer: Any, steps: int, seed: int = 0) -> float:
    """Train a decoder's text encoder: what is in each quarter can be asked of its states by attention.

    Returns:
        The share of quarters of which shape and colour are told from captions that are never trained on.
    """
    torch.manual_seed(seed)
    encoder, rng = drawer.text_encoder, random.Random(f"text {seed}")
    width = encoder.config.hidden_size
    asking = nn.MultiheadAttention(width, 4, batch_first=True)
    questions = nn.Parameter(torch.randn(len(CORNERS), width) * 0.5)
    readout = nn.Linear(width, sum(_SIZES))

    def told(scenes: list[Scene]) -> list[tuple[Tensor, Tensor]]:
        states = drawer.encode_prompt([caption(scene) for scene in scenes])
        logits = readout(asking(questions.expand(len(scenes), -1, -1), states, states, need_weights=False)[0])
        return list(zip(logits.split(_SIZES, -1), _labels(scenes), strict=True))

    encoder.requires_grad_(True)
    weights = [*encoder.parameters(), *asking.parameters(), questions, *readout.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=2e-3)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1.0, 2 * (1 - step / steps))
        losses = [
            F.cross_entropy(each.flatten(0, 1), wanted.flatten())
            for each, wanted in told([_shown(rng) for _ in range(64)])
        ]
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()
        optimizer.step()
    with torch.no_grad():
        right = [each.argmax(-1) == wanted for each, wanted in told([_shown(rng, held_out=True) for _ in range(200)])]
    return float(torch.stack(right).all(0).float().mean())


def _labels(scenes: list[Scene]) -> tuple[Tensor, Tensor]:
    """The shape and the colour [B, 4] in each quarter; the last number is nothing."""
    shapes, colors = [], []
    for scene in scenes:
        there = {thing.cell: thing for thing in scene.things}
        shapes.append([SHAPES.index(there[cell].shape) if cell in there else len(SHAPES) for cell in CORNERS])
        colors.append([COLORS.index(there[cell].color) if cell in there else len(COLORS) for cell in CORNERS])
    return torch.tensor(shapes), torch.tensor(colors)


def _told(tower: Any, readout: nn.Module, scenes: list[Scene]) -> tuple[tuple[Tensor, ...], tuple[Tensor, Tensor]]:
    """Logits of shape and colour [B, 4, .] of each quarter, and what they are [B, 4]."""
    states = tower(pixel_values=to_pixels([picture(scene) for scene in scenes], SIDE)).last_hidden_state
    return readout(states).split(_SIZES, -1), _labels(scenes)


def _shown(rng: random.Random, held_out: bool = False) -> Scene:
    case = sample_case(rng, rng.choice(TASKS), held_out=held_out)
    scene = case.target or case.shown
    assert scene is not None
    return scene


@functools.cache
def _autoencoder() -> AutoencoderPatch:
    """The principal components of squares of `_SQUARE` pixels, half whitened."""
    rng = random.Random("autoencoder")
    pixels = np.stack([np.asarray(picture(_shown(rng)), np.float32) / 127.5 - 1 for _ in range(300)])
    squares = F.unfold(torch.from_numpy(pixels).permute(0, 3, 1, 2), _SQUARE, stride=_SQUARE)
    squares = squares.transpose(1, 2).reshape(-1, 3 * _SQUARE**2).double()
    power, components = torch.linalg.eigh(squares.T @ squares / len(squares))
    power, components = power.flip(0)[:_LATENTS], components.flip(1)[:, :_LATENTS]
    root = power.sqrt().sqrt()
    spread = root / root[1:].square().mean().sqrt()
    spread[0] = 1.0
    return AutoencoderPatch.from_components(components.float(), (power.sqrt() / spread).float(), _SQUARE)
