"""The decoder of layouts draws and edits like any other: prompts, embeddings, seeds, callbacks, what is kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from genllava import ImageDecoder
from genllava.errors import Cancelled, InvalidRequest, NonFiniteError
from genllava.image_decoder import ConditioningSpec, PromptEmbeds
from genllava.image_decoder.siblings import drawer_of, editor_of
from genllava.images import letterbox, unletterbox
from genllava.layout_decoder.keeping import change_mask
from genllava.layout_decoder.layout import PLACES, phrases, unchanged
from genllava.layout_decoder.pipeline import LayoutDecoderPipeline
from tests.genllava.image_decoder.small import picture, pixels
from tests.genllava.layout_decoder.small import BOTH, CAT, SIDE, WIDTH

STAR = "meadow: at left large 3d cat, at bottom right large blue star"


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(pipeline: Any, *prompts: str, seeds: Any = (1,), **options: Any) -> list[Any]:
    made = ImageDecoder(pipeline).generate(list(prompts), seeds=list(seeds), options=options)
    return [pixels(each) for each in made]


def edit(pipeline: Any, source: Image.Image, prompt: str, seed: int = 1, **options: Any) -> Any:
    (made,) = ImageDecoder(pipeline).edit([source], [prompt], seeds=[seed], options=options)
    assert made.pipeline == "LayoutDecoderPipeline"
    return pixels(made)


# --- drawing ---


def test_layouts_are_ten_phrases() -> None:
    assert phrases(BOTH) == ["meadow", "nothing", "nothing", "small red circle", "large 3d cat", *["nothing"] * 5]
    assert phrases(" ") == ["no picture", *["nothing"] * 9]
    assert phrases(" meadow :") == ["meadow", *["nothing"] * 9]
    assert unchanged(CAT, BOTH) == [place != "top right" for place in PLACES]
    assert unchanged(CAT, CAT.replace("meadow", "gray")) == [False] * 9


def test_what_it_takes_in_place_of_prompts(pipeline: LayoutDecoderPipeline) -> None:
    decoder = ImageDecoder(pipeline)
    assert decoder.spec == ConditioningSpec(length=10, dim=WIDTH)
    embeds = pipeline.encode_prompt([CAT, BOTH])
    assert embeds.shape == (2, 10, WIDTH)
    by_embeds = decoder.generate(None, seeds=[1, 2], prompt_embeds=PromptEmbeds(embeds), options={})
    for one, other in zip(by_embeds, draw(pipeline, CAT, BOTH, seeds=[1, 2]), strict=True):
        assert (pixels(one) == other).all()
    nothing = pipeline.encode_prompt(["", ""])
    guided = PromptEmbeds(embeds, negative_embeds=nothing)
    by_embeds = decoder.generate(None, seeds=[1, 2], prompt_embeds=guided, options={"guidance_scale": 3.0})
    by_words = draw(pipeline, CAT, BOTH, seeds=[1, 2], guidance_scale=3.0)
    assert all((pixels(one) == other).all() for one, other in zip(by_embeds, by_words, strict=True))
    assert (by_words[0] != draw(pipeline, CAT)[0]).any()


def test_a_picture_does_not_depend_on_its_batch(pipeline: LayoutDecoderPipeline) -> None:
    together = draw(pipeline, CAT, BOTH, CAT, seeds=[5, 6, 7])
    assert [each.shape for each in together] == [(32, 32, 3)] * 3
    for prompt, seed, drawn in zip((CAT, BOTH, CAT), (5, 6, 7), together, strict=True):
        assert abs(draw(pipeline, prompt, seeds=[seed])[0] - drawn).max() <= 1
    assert (together[0] != together[2]).any()
    (alone,) = pipeline(CAT, generator=seeded(5)).images
    assert (pixels(alone) == draw(pipeline, CAT, seeds=[5])[0]).all()
    one, other = (pixels(pipeline(CAT).images[0]) for _ in range(2))
    assert (one != other).any()  # without a generator it draws from the process's


def test_several_pictures_of_a_prompt(pipeline: LayoutDecoderPipeline) -> None:
    four = draw(pipeline, CAT, BOTH, seeds=[1, 2], num_images_per_prompt=2)
    assert len(four) == 4
    first, second = draw(pipeline, CAT, seeds=[1], num_images_per_prompt=2)
    assert abs(first - four[0]).max() <= 1
    assert abs(second - four[1]).max() <= 1
    assert (first != second).any()
    assert abs(first - draw(pipeline, CAT)[0]).max() <= 1
    source = picture(40, 20)
    two = ImageDecoder(pipeline).edit([source], [CAT], seeds=[1], options={"num_images_per_prompt": 2})
    assert [each.image.size for each in two] == [(40, 20)] * 2
    assert (pixels(two[0]) != pixels(two[1])).any()


def test_kinds_of_output(pipeline: LayoutDecoderPipeline) -> None:
    (shown,) = pipeline(CAT, generator=seeded(1)).images
    array = pipeline(CAT, generator=seeded(1), output_type="np").images
    assert array.shape == (1, 32, 32, 3)
    assert np.abs(array[0] * 255 - pixels(shown)).max() < 1e-3
    latents = pipeline(CAT, generator=seeded(1), output_type="latent").images
    assert (pixels(pipeline.decode_latents(latents)[0]) == pixels(shown)).all()


def test_a_callback_sees_every_step_and_can_look(pipeline: LayoutDecoderPipeline) -> None:
    decoder, seen, looks = ImageDecoder(pipeline), [], []

    def look(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> None:
        seen.append((step, timestep))
        looks.append(decoder.preview(pipe, tensors["latents"]))
        assert pipe.num_timesteps == 3

    chosen = {"callback_on_step_end": look, "num_inference_steps": 3}
    made = decoder.generate([CAT], seeds=[1], options={**chosen, "callback_on_step_end_tensor_inputs": ["latents"]})
    assert [step for step, _ in seen] == [0, 1, 2]
    assert seen[0][1] > seen[1][1] > seen[2][1]
    assert decoder.counters.unet_rows == 3
    assert (pixels(made[0]) == draw(pipeline, CAT, num_inference_steps=3)[0]).all()
    assert all(image.size == (SIDE, SIDE) for image in looks)
    assert abs(pixels(looks[-1].resize((32, 32))) - pixels(made[0])).max() <= 1

    with pytest.raises(InvalidRequest, match="gives callbacks nothing but latents, not prompt_embeds"):
        decoder.generate([CAT], seeds=[1], options={"callback_on_step_end_tensor_inputs": ["prompt_embeds"]})

    def clear(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        return {"latents": torch.zeros_like(tensors["latents"])}

    cleared = [draw(pipeline, prompt, callback_on_step_end=clear)[0] for prompt in (CAT, BOTH)]
    assert (cleared[0] == cleared[1]).all()


def test_it_stops_when_cancelled(pipeline: LayoutDecoderPipeline) -> None:
    asked = iter([False, False, True])
    decoder = ImageDecoder(pipeline)
    with pytest.raises(Cancelled, match="after step 2"):
        decoder.generate([CAT], seeds=[1], options={"cancel": lambda: next(asked)})
    assert decoder.counters.unet_rows == 2

    def stop(*_: Any) -> None:
        raise Cancelled("enough")

    with pytest.raises(Cancelled, match="enough"):
        edit(pipeline, picture(20, 20), CAT, callback_on_step_end=stop)


# --- editing ---


def test_it_edits_by_itself_at_the_size_of_the_source(pipeline: LayoutDecoderPipeline) -> None:
    assert drawer_of(pipeline, None) is pipeline
    assert editor_of(pipeline, None, masked=False) is pipeline
    assert editor_of(pipeline, None, masked=True) is pipeline
    for size in ((32, 32), (97, 61), (61, 97), (SIDE, SIDE), (150, 3), (600, 400)):
        edited = edit(pipeline, picture(*size), CAT)
        assert edited.shape == (size[1], size[0], 3)
    source, other = picture(97, 61), picture(97, 61, 1)
    assert (edit(pipeline, source, CAT) == edit(pipeline, other, CAT)).all(), "all of it may change"
    assert (edit(pipeline, source, CAT) != edit(pipeline, source, BOTH)).any()
    (plain,) = pipeline(CAT, image=source, generator=seeded(1)).images
    assert (pixels(plain) == edit(pipeline, source, CAT)).all()
    (square,) = pipeline(CAT, image=letterbox(source, SIDE), generator=seeded(1)).images
    assert (pixels(unletterbox(square, (97, 61))) == pixels(plain)).all()
    assert edit(pipeline, source, CAT, width=50, height=40).shape == (40, 50, 3)


def test_edits_of_several_pictures(pipeline: LayoutDecoderPipeline) -> None:
    sources, decoder = [picture(40, 30), picture(30, 40, 1)], ImageDecoder(pipeline)
    made = decoder.edit(sources, [CAT, BOTH], seeds=[1, 2])
    assert [each.image.size for each in made] == [(40, 30), (30, 40)]
    plain = pipeline([CAT, BOTH], image=sources, generator=[seeded(1), seeded(2)]).images
    for one, other in zip(made, plain, strict=True):
        assert abs(pixels(one) - pixels(other)).max() <= 1
    with pytest.raises(InvalidRequest, match="several sizes make no array"):
        pipeline([CAT, BOTH], image=sources, output_type="np")
    assert pipeline([CAT, BOTH], image=sources[0], output_type="np").images.shape == (2, 30, 40, 3)


def cell(array: Any, place: str, size: tuple[int, int], inside: int = 0) -> Any:
    """The pixels of a place in a picture of `size`; without a border."""
    row, column = divmod(PLACES.index(place), 3)
    square = max(size)
    spans = []
    for number, side in ((row, size[1]), (column, size[0])):
        begin, end = (round(square * n / 3 - (square - side) / 2) for n in (number, number + 1))
        spans.append(slice(max(begin, 0) + inside, min(end, side) - inside))
    return array[spans[0], spans[1]]


@pytest.mark.parametrize("size", [(96, 96), (SIDE, SIDE), (120, 90), (60, 99), (256, 256)])
def test_cells_that_the_layout_does_not_change_are_those_of_the_source(
    pipeline: LayoutDecoderPipeline, size: tuple[int, int]
) -> None:
    source = picture(*size)
    free, kept = edit(pipeline, source, BOTH), edit(pipeline, source, BOTH, source_prompt=STAR)
    for place in PLACES:
        own, given = cell(kept, place, size), cell(pixels(source), place, size)
        if place in ("top right", "bottom right"):  # one is new, one is gone
            inner = cell(kept, place, size, 3), cell(free, place, size, 3)
            assert (inner[0] == inner[1]).all()
            assert (own != given).any()
        else:
            assert (own == given).all()
    assert (edit(pipeline, source, BOTH, source_prompt=BOTH) == pixels(source)).all()
    elsewhere = edit(pipeline, source, BOTH, source_prompt=BOTH.replace("meadow", "gray"))
    assert (elsewhere == free).all()
    assert (edit(pipeline, source, BOTH, source_prompt="") == free).all()  # nothing is known of it


def test_the_seam_is_in_the_changed_cell() -> None:
    mask = np.asarray(change_mask(CAT, BOTH, (30, 30)))  # top right: rows 0 to 9, columns 20 to 29
    assert mask[0, 19:24].tolist() == [0, 85, 170, 255, 255]
    assert mask[6:11, 29].tolist() == [255, 255, 170, 85, 0]
    assert mask[0, 29] == 255  # there is no seam at the picture's own border
    assert not mask[10:].any()
    assert not mask[:, :20].any()
    wide = np.asarray(change_mask(CAT, BOTH, (30, 10)))  # in the middle row of its square: nothing of it is changed
    assert wide.shape == (10, 30)
    assert not wide.any()


def test_sources_of_a_batch_have_a_layout_each(pipeline: LayoutDecoderPipeline) -> None:
    sources, decoder = [picture(30, 30), picture(60, 60, 1)], ImageDecoder(pipeline)
    chosen = {"source_prompt": [BOTH, CAT]}
    first, second = decoder.edit(sources, [BOTH, BOTH], seeds=[1, 2], options=chosen)
    assert (pixels(first) == pixels(sources[0])).all()
    assert (pixels(second) == edit(pipeline, sources[1], BOTH, 2, source_prompt=CAT)).all()
    assert (pixels(second) != pixels(sources[1])).any()
    plain = pipeline([BOTH, BOTH], image=sources, source_prompt=[BOTH, CAT], generator=[seeded(1), seeded(2)])
    assert abs(pixels(plain.images[1]) - pixels(second)).max() <= 1
    with pytest.raises(InvalidRequest, match="give one source_prompt for all, or one for each of the 2 prompts"):
        decoder.edit(sources, [BOTH, BOTH], seeds=[1, 2], options={"source_prompt": [CAT] * 3})


def test_a_mask_says_where_and_goes_with_embeddings(pipeline: LayoutDecoderPipeline) -> None:
    source = picture(96, 60)
    mask = Image.new("L", (96, 60), 0)
    mask.paste(255, (48, 0, 96, 60))
    free, masked = edit(pipeline, source, BOTH), edit(pipeline, source, BOTH, mask_image=mask)
    assert (masked[:, :48] == pixels(source)[:, :48]).all()
    assert (masked[:, 48:] == free[:, 48:]).all()
    both = edit(pipeline, source, BOTH, mask_image=mask, source_prompt=BOTH)
    assert (both == pixels(source)).all()
    embeds = PromptEmbeds(pipeline.encode_prompt(BOTH))
    by_embeds = ImageDecoder(pipeline).edit(
        [source], None, seeds=[1], prompt_embeds=embeds, options={"mask_image": change_mask(STAR, BOTH, source.size)}
    )
    assert (pixels(by_embeds[0]) == edit(pipeline, source, BOTH, source_prompt=STAR)).all()


# --- what cannot be drawn ---


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("meadow: at left large 3d cta", r"not taught 'large 3d cta' \(did you mean 'large 3d cat'\?\)"),
        ("medow:", r"not taught 'medow' \(did you mean 'meadow'\?\)"),
        ("meadow: at left unknown", "not taught 'unknown'"),
        ("meadow: at left large 3d cat|gray", r"not taught 'large 3d cat\|gray'"),
        ("meadow: at left large 3d cat, at left large blue star", "two things are at left .* put the other elsewhere"),
        ("meadow: large 3d cat at front", r"'large 3d cat at front' is at no place .* bottom left"),
        ("meadow: large 3d cat", "is at no place"),
        ("meadow: at left", "is at no place"),
        ("a large cat", "is no layout: write it like 'meadow: at left large 3d cat'"),
        (": at left large 3d cat", "is no layout: write it like"),
        ("", "the prompt is empty: write a layout like"),
        (" ", "the prompt is empty: write a layout like"),
    ],
)
def test_words_that_are_no_layout(pipeline: LayoutDecoderPipeline, prompt: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        pipeline([CAT, prompt])
    with pytest.raises(InvalidRequest, match=said):
        draw(pipeline, prompt)
    if prompt.strip():
        with pytest.raises(InvalidRequest, match=said):
            edit(pipeline, picture(30, 30), prompt)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "give either prompt or prompt_embeds"),
        ({"prompt": CAT, "prompt_embeds": torch.zeros(1, 10, WIDTH)}, "give either prompt or prompt_embeds"),
        ({"prompt": []}, "the prompt is empty"),
        ({"prompt": CAT, "num_inference_steps": 0}, "num_inference_steps must be at least 1, not 0"),
        ({"prompt": CAT, "num_images_per_prompt": 0}, "num_images_per_prompt must be at least 1, not 0"),
        ({"prompt": CAT, "output_type": "pt"}, "unknown output_type 'pt': pil, np, latent"),
        ({"prompt_embeds": torch.full((1, 10, WIDTH), torch.nan)}, "NaN or infinity in prompt_embeds"),
        ({"prompt_embeds": torch.zeros(2, 9, WIDTH)}, rf"must be of shape \[2, 10, {WIDTH}\], not \[2, 9"),
        ({"prompt_embeds": torch.zeros(10, WIDTH)}, "prompt_embeds must be of shape"),
        ({"prompt_embeds": torch.zeros(())}, "prompt_embeds must be of shape"),
        ({"prompt_embeds": torch.zeros(0, 10, WIDTH)}, "prompt_embeds must be of shape"),
        ({"prompt": [CAT] * 3, "negative_prompt_embeds": torch.zeros(2, 10, WIDTH), "guidance_scale": 2.0},
         r"negative_prompt_embeds must be of shape \[3, 10"),
        ({"prompt": [CAT, BOTH], "generator": [torch.Generator()]}, "1 generators for 2 pictures: give one, or one"),
        ({"prompt": [CAT, BOTH], "image": [picture(9, 9)] * 3}, "3 pictures to edit for 2 prompts: give one, or one"),
        ({"prompt": CAT, "source_prompt": CAT}, "give the picture to edit as image"),
        ({"prompt": CAT, "mask_image": picture(9, 9)}, "give the picture to edit as image"),
        ({"prompt": CAT, "image": picture(9, 9), "source_prompt": "a cat"}, "'a cat' is no layout"),
        ({"prompt": CAT, "image": picture(9, 9), "source_prompt": [CAT, CAT]}, "2 source_prompts for 1 edits"),
        ({"prompt_embeds": torch.zeros(1, 10, WIDTH), "image": picture(9, 9), "source_prompt": CAT},
         "with prompt_embeds give mask_image"),
    ],
)  # fmt: skip
def test_arguments_that_cannot_be_meant(pipeline: LayoutDecoderPipeline, arguments: Any, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        pipeline(**arguments)


def test_options_that_it_does_not_take_are_named(pipeline: LayoutDecoderPipeline) -> None:
    for option in ({"strength": 0.5}, {"negative_prompt": "a"}, {"height": 64, "width": 64}, {"mood": 1}):
        with pytest.raises(InvalidRequest, match=f"LayoutDecoderPipeline takes no {next(iter(option))}; it takes .*"):
            draw(pipeline, CAT, **option)
    for option, said in (
        ({"num_inference_steps": 0}, "num_inference_steps must be a whole number from 1"),
        ({"guidance_scale": float("nan")}, "guidance_scale must be a number"),
        ({"control": {"canny": picture(9, 9)}}, "there are no ControlNets for LayoutDecoderPipeline"),
    ):
        with pytest.raises(InvalidRequest, match=said):
            draw(pipeline, CAT, **option)
    decoder = ImageDecoder(pipeline)
    for embeds, said in (
        (torch.full((1, 10, WIDTH), torch.inf), "NaN or infinity in prompt_embeds"),
        (torch.zeros(1, 77, WIDTH), rf"takes prompt_embeds of shape \[B, 10, {WIDTH}\], not \[1, 77"),
    ):
        with pytest.raises(InvalidRequest, match=said):
            decoder.generate(None, seeds=[1], prompt_embeds=PromptEmbeds(embeds))


def test_damaged_weights_give_no_picture(own: LayoutDecoderPipeline) -> None:
    own.transformer.project_out.bias.data[0] = torch.nan
    with pytest.raises(NonFiniteError, match="after step 1"):
        draw(own, CAT)
    own.transformer.project_out.bias.data[0] = 0
    own.vae.decoder.weight.data[0] = torch.nan
    with pytest.raises(NonFiniteError, match="autoencoder"):
        draw(own, CAT)
