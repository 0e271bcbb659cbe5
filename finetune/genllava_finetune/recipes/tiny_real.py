"""What the recipe `tiny-real` is made of: rows of real photographs, and small random parts in public layouts.

The photographs are those that scikit-image ships, cut into pictures of a few pixels, so that everything is there
without a download and one CPU learns it in minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from PIL import Image, ImageOps

SIDE: Final = 32
"""Width and height of the pictures."""
_TEMPLATE: Final = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for block in message['content'] %}"
    "{% if block['type'] == 'image' %}{{ '<image>' }}{% else %}{{ block['text'] }}{% endif %}{% endfor %}{% endif %}"
    "{{ '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
_SHOWN: Final = {
    "a woman in an orange suit": ("astronaut.png", (96, 0, 352, 256)),
    "a flag behind a shoulder": ("astronaut.png", (0, 128, 192, 320)),
    "the eyes of a cat": ("chelsea.png", (120, 60, 300, 240)),
    "the ear of a cat": ("chelsea.png", (0, 0, 150, 150)),
    "a cup of coffee": ("coffee.png", (130, 40, 430, 340)),
    "a spoon beside a saucer": ("coffee.png", (380, 180, 600, 400)),
    "the wheel of a motorcycle": ("motorcycle_left.png", (0, 120, 340, 460)),
    "tools on a wall": ("motorcycle_left.png", (400, 0, 700, 300)),
    "galaxies in the dark": ("hubble_deep_field.jpg", (100, 100, 500, 500)),
    "an eye from within": ("retina.jpg", (200, 200, 1200, 1200)),
    "a rocket on its pad": ("rocket.jpg", (200, 0, 500, 300)),
    "stained tissue": ("ihc.png", (0, 0, 300, 300)),
}
"""Captions, and where in which photograph they are seen: left, upper, right, lower."""
_DRAWN: Final = {
    "bricks of a wall": ("brick.png", (0, 0, 160, 160)),
    "a man with a camera": ("camera.png", (130, 30, 386, 286)),
    "coins on a table": ("coins.png", (20, 20, 150, 150)),
    "craters of the moon": ("moon.png", (150, 150, 400, 400)),
    "a printed page": ("page.png", (40, 20, 140, 120)),
    "blades of grass": ("grass.png", (0, 0, 120, 120)),
    "a clock in motion": ("clock_motion.png", (60, 20, 320, 280)),
    "a patch of colours": ("color.png", (0, 0, 370, 370)),
    "a launch at night": ("rocket.jpg", (100, 100, 400, 400)),
    "a cat in full": ("chelsea.png", (80, 0, 380, 300)),
}
_EDITS: Final[dict[str, Callable[[Image.Image], Image.Image]]] = {
    "swap light and dark": ImageOps.invert,
    "make it much darker": lambda image: image.point(lambda value: value // 4),
    "make it much brighter": lambda image: image.point(lambda value: 191 + value // 4),
    "paint it in blue": lambda image: ImageOps.colorize(ImageOps.grayscale(image), "black", "blue"),
    "swap red and blue": lambda image: Image.merge("RGB", image.split()[::-1]),
}


def rows(side: int = SIDE, kinds: Sequence[str] = ("shown", "drawn", "edited")) -> list[dict[str, Any]]:
    """32 rows: a question about each of twelve pictures, ten pictures to draw, ten to edit.

    Args:
        side: width and height of the pictures.
        kinds: of the rows.
    """
    return [row for row in _rows(side) if row["id"].split(":")[1].split("-")[0] in kinds]


def _rows(side: int) -> Iterator[dict[str, Any]]:
    shown = {caption: _cut(*place, side) for caption, place in _SHOWN.items()}
    for number, (caption, image) in enumerate(shown.items()):
        asked = [{"type": "image"}, {"type": "text", "text": "What does it show?"}]
        yield _row(f"shown-{number}", [image], asked, [{"type": "text", "text": f"It shows {caption}."}])
    for number, (caption, place) in enumerate(_DRAWN.items()):
        asked = [{"type": "text", "text": f"Draw {caption}."}]
        yield _row(f"drawn-{number}", [_cut(*place, side)], asked, [{"type": "draw", "prompt": caption}])
    for number, image in enumerate(list(shown.values())[:10]):
        words, change = list(_EDITS.items())[number % len(_EDITS)]
        asked = [{"type": "image"}, {"type": "text", "text": f"Please {words}."}]
        edit = {"type": "edit", "instruction": words, "source": 0}
        yield _row(f"edited-{number}", [image, change(image)], asked, [edit])


def _cut(name: str, box: tuple[int, int, int, int], side: int) -> Image.Image:
    import skimage

    with Image.open(Path(skimage.__file__).parent / "data" / name) as image:
        return image.convert("RGB").crop(box).resize((side, side), Image.Resampling.LANCZOS)


def _row(name: str, images: list[Image.Image], asked: list[Any], said: list[Any]) -> dict[str, Any]:
    messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
    return {
        "images": images,
        "messages": messages,
        "source": "scikit-image",
        "license": "unknown",
        "id": f"tiny-real:{name}",
    }


def _tokenizer(special: list[str], end: str, begin: str | None = None, **named: str) -> Any:
    """A tokenizer of bytes: it needs no vocabulary, and reads every text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    names = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    made = Tokenizer(models.BPE({name: number for number, name in enumerate(names)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(special)
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token=begin,
        eos_token=end,
        pad_token=special[0],
        clean_up_tokenization_spaces=False,
        extra_special_tokens=named or None,
    )


def vision_language(
    hidden_size: int = 96, layers: int = 3, heads: int = 4, side: int = SIDE, patch: int = 8
) -> tuple[Any, Any]:
    """A random LLaVA of SigLIP and Mistral, and its processor.

    Args:
        hidden_size, layers, heads: of the language model; the vision tower has two layers of the same width.
        side: width and height of the pictures that it sees.
        patch: of each patch of them.
    """
    import transformers as hf

    words = _tokenizer(["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>"], "<|im_end|>", image_token="<image>")
    sizes: dict[str, Any] = {"hidden_size": hidden_size, "num_attention_heads": heads}
    sizes["intermediate_size"] = 4 * hidden_size
    vision = hf.SiglipVisionConfig(
        **sizes, num_hidden_layers=2, image_size=side, patch_size=patch, vision_use_head=False
    )
    text = hf.MistralConfig(
        **sizes,
        num_hidden_layers=layers,
        num_key_value_heads=heads,
        head_dim=hidden_size // heads,
        vocab_size=len(words),
        max_position_embeddings=1024,
        sliding_window=None,
        tie_word_embeddings=False,
    )
    chosen: dict[str, Any] = {"vision_feature_select_strategy": "full"}
    config = hf.LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=words.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
        tie_word_embeddings=False,
        **chosen,
    )
    model: Any = hf.LlavaForConditionalGeneration(config)
    model.generation_config = hf.GenerationConfig(
        bos_token_id=None, eos_token_id=words.eos_token_id, pad_token_id=words.pad_token_id
    )
    reader = hf.SiglipImageProcessor(size={"height": side, "width": side})
    processor = hf.LlavaProcessor(
        image_processor=reader,
        tokenizer=words,
        patch_size=patch,
        num_additional_image_tokens=0,
        chat_template=_TEMPLATE,
        **chosen,
    )
    return model.eval(), processor


def stable_diffusion(
    side: int = SIDE, channels: int = 16, width: int = 32, edits: bool = False, prediction: str = "v_prediction"
) -> Any:
    """A random pipeline in the layout of Stable Diffusion, or of InstructPix2Pix.

    Its autoencoder is no random one: its latents are the pixels.

    Args:
        side: width and height of what it draws.
        channels: of the UNet's outer level; the next has twice, the two inner ones have four times as many.
        width: of its text encoder.
        edits: it reads a source picture beside the noise.
        prediction: what the UNet is trained to predict.
    """
    import diffusers as df
    import transformers as hf

    begin, end = "<|startoftext|>", "<|endoftext|>"
    words = _tokenizer([end, begin], end, begin)
    words.model_max_length = 48
    text_encoder = hf.CLIPTextModel(
        hf.CLIPTextConfig(
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=2,
            num_attention_heads=4,
            vocab_size=len(words),
            max_position_embeddings=48,
            bos_token_id=words.bos_token_id,
            eos_token_id=words.eos_token_id,
            pad_token_id=words.pad_token_id,
        )
    )
    unet: Any = df.UNet2DConditionModel(
        sample_size=side,
        in_channels=6 if edits else 3,
        out_channels=3,
        layers_per_block=1,
        block_out_channels=(channels, 2 * channels, 4 * channels, 4 * channels),
        down_block_types=("DownBlock2D", *("CrossAttnDownBlock2D",) * 3),
        up_block_types=(*("CrossAttnUpBlock2D",) * 3, "UpBlock2D"),
        norm_num_groups=8,
        attention_head_dim=4,
        cross_attention_dim=width,
    )
    kind = df.StableDiffusionInstructPix2PixPipeline if edits else df.StableDiffusionPipeline
    return kind(
        vae=_pixels(),
        text_encoder=text_encoder.eval(),
        tokenizer=words,
        unet=unet.eval(),
        scheduler=df.DDIMScheduler(
            beta_schedule="scaled_linear",
            beta_start=0.00085,
            beta_end=0.012,
            clip_sample=False,
            steps_offset=1,
            prediction_type=prediction,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _pixels() -> Any:
    """An `AutoencoderTiny` whose latents are pixels from -1 to 1."""
    import diffusers as df

    made: Any = df.AutoencoderTiny(
        encoder_block_out_channels=(3,),
        decoder_block_out_channels=(3,),
        num_encoder_blocks=(0,),
        num_decoder_blocks=(0,),
        latent_channels=3,
    )
    middle = torch.zeros(3, 3, 3, 3)
    middle[range(3), range(3), 1, 1] = 1
    first, last = made.encoder.layers
    enters, _, leaves = made.decoder.layers
    with torch.no_grad():
        for layer, scale, bias in ((first, 1, 0), (last, 2, -1), (enters, 0.5, 0.5), (leaves, 1, 0)):
            layer.weight.copy_(middle * scale)
            if layer.bias is not None:
                layer.bias.fill_(bias)
    return made.eval()
