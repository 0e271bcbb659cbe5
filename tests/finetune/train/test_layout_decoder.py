"""The decoder of layouts in training: its loss is that of straight paths, it learns, and nothing is read for it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from genllava import ImageDecoder, VisionLanguage
from genllava_finetune.data.errors import RowError
from genllava_finetune.modeling.collator import Collator, to_pixels
from genllava_finetune.modeling.encoding import RowEncoder
from genllava_finetune.modeling.model import ConditionDropout, GenLlavaForTraining, LossWeights
from genllava_finetune.modeling.networks import LayoutDenoiser, denoiser_for
from genllava_finetune.modeling.objectives import draw_noise
from tests.finetune.train.test_training_model import ANSWER, row, say
from tests.genllava.forced import Layouts, picture
from tests.genllava.layout_decoder import small
from tests.genllava.layout_decoder.small import BOTH, CAT, SIDE

SEEDS = [3, 2**40, 5]
PLANS = [CAT, BOTH, "gray:"]


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> VisionLanguage:
    return VisionLanguage.from_pretrained(Layouts(tmp_path_factory.mktemp("layouts"))("llava15"))


def trained(words: VisionLanguage, pipeline: Any, **options: Any) -> GenLlavaForTraining:
    """Its captions alone."""
    weights = LossWeights(cross_entropy=0, denoising=1, alignment=0)
    options = {"weights": weights, "bridge": "caption", **options}
    return GenLlavaForTraining(words, None, ImageDecoder(pipeline), **options)


def batch() -> dict[str, Any]:
    """Two drawings, and an edit between them."""
    given: dict[str, Any] = {"plans": PLANS, "seeds": torch.tensor(SEEDS), "edited": torch.tensor([False, True, False])}
    given["target_pixels"] = to_pixels([picture(SIDE, SIDE, seed) for seed in range(3)], SIDE)
    given["source_pixels"] = to_pixels([picture(SIDE, SIDE, 7)], SIDE)
    return given


def by_hand(pipe: Any, given: dict[str, Any], plans: list[str]) -> Tensor:
    latents = pipe.vae.encode(given["target_pixels"]).latents
    noise = draw_noise(SEEDS, latents.shape[1:], latents.device)
    time = torch.sigmoid(noise.normal)
    sigma = 4 * time / (1 + 3 * time)  # the scheduler's shift
    level = sigma[:, None, None, None]
    inputs = (1 - level) * latents + level * noise.latents
    return F.mse_loss(pipe.transformer(inputs, sigma * 1000, pipe.encode_prompt(plans)).sample, latents)


@torch.no_grad()
def test_the_loss_is_of_clean_latents_on_straight_paths(words: VisionLanguage) -> None:
    pipe, given = small.pipeline(), batch()
    denoiser = denoiser_for(pipe)
    assert type(denoiser) is LayoutDenoiser
    assert (denoiser.edits, denoiser.scaled_source, denoiser.resolution) == (True, True, SIDE)
    assert (denoiser.schedule.flows, denoiser.schedule.prediction) == (True, "sample")
    outputs = trained(words, pipe).eval()(**given)
    torch.testing.assert_close(outputs["denoising"], by_hand(pipe, given, PLANS), rtol=1e-4, atol=1e-6)
    assert outputs["loss"] == outputs["denoising"]


@torch.no_grad()
def test_what_is_left_out_for_guidance(words: VisionLanguage) -> None:
    """The text becomes the empty layout."""
    pipe, given = small.pipeline(), batch()
    everything = ConditionDropout(text=0, source=0, both=1)
    outputs = trained(words, pipe, dropout=everything).train()(**given)
    torch.testing.assert_close(outputs["denoising"], by_hand(pipe, given, [""] * 3), rtol=1e-4, atol=1e-6)
    outputs = trained(words, pipe, dropout=ConditionDropout(text=0, source=1, both=0)).train()(**given)
    torch.testing.assert_close(outputs["denoising"], by_hand(pipe, given, PLANS), rtol=1e-4, atol=1e-6)


def test_it_learns_to_draw_what_it_is_told(words: VisionLanguage) -> None:
    """Two flat pictures by their layouts, and to turn one into the other."""
    pipe: Any = small.pipeline(output_size=SIDE)
    pipe.transformer.project_out.weight.data.zero_()  # as it is made
    for part in (pipe.vae, pipe.text_encoder, words.model):
        part.requires_grad_(False)
    model = trained(words, pipe, dropout=ConditionDropout(0, 0, 0)).train()
    red, blue = (Image.new("RGB", (SIDE, SIDE), colour) for colour in ((200, 40, 40), (40, 40, 200)))
    given: dict[str, Any] = {"plans": [CAT, "gray:", CAT, "gray:"], "edited": torch.tensor([False, False, True, True])}
    given["target_pixels"] = to_pixels([red, blue, red, blue], SIDE)
    given["source_pixels"] = to_pixels([blue, red], SIDE)
    optimizer = torch.optim.AdamW(pipe.transformer.parameters(), 3e-3)
    losses = []
    torch.manual_seed(0)
    for _ in range(60):
        loss = model(**given)["loss"]
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.05 * losses[0]
    decoder = ImageDecoder(model.eval().image_decoder.pipeline)  # type: ignore[union-attr]
    drawn = [each.image.resize((1, 1)).getpixel((0, 0)) for each in decoder.generate([CAT, "gray:"], seeds=[1, 2])]
    drawn += [
        each.image.resize((1, 1)).getpixel((0, 0)) for each in decoder.edit([blue, red], [CAT, "gray:"], seeds=[1, 2])
    ]
    for made, wanted in zip(drawn, [(200, 40, 40), (40, 40, 200)] * 2, strict=True):
        assert max(abs(one - other) for one, other in zip(made, wanted, strict=True)) < 30


def test_a_stage_that_reads_nothing_gets_the_drawings_alone(words: VisionLanguage) -> None:
    """Rows of a caption need no tokens: they are neither encoded nor read, nor too long."""
    drawing = row(say("user", "a cat"), say("assistant", {"type": "draw", "prompt": CAT}), images=1, seed=4)
    change = {"type": "edit", "instruction": BOTH, "source": 0}
    editing = row(say("user", {"type": "image"}, "add a circle"), say("assistant", change), images=2, seed=5)
    rows, encoder = [drawing, {**ANSWER, "seed": 6}, editing], RowEncoder(words)
    model = trained(words, small.pipeline()).eval()
    assert not model.reads
    whole = Collator(encoder, resolution=SIDE)(rows)
    alone = Collator(encoder, resolution=SIDE, reads=model.reads, max_length=2)(rows)
    assert alone.keys() == {
        "plans", "edited", "seeds", "target_pixels", "source_pixels", "original_sizes", "crops",
    }  # fmt: skip
    assert alone["plans"] == [CAT, BOTH]
    for name, value in alone.items():
        assert value == whole[name] if name == "plans" else torch.equal(value, whole[name])
    with torch.no_grad():
        assert model(**alone)["loss"] == model(**whole)["loss"]
    assert model.count_items(alone) == {"cross_entropy": 0, "denoising": 2}
    with pytest.raises(RowError, match="no row of the batch has a drawing, and nothing else is learnt here"):
        Collator(encoder, resolution=SIDE, reads=False)([{**ANSWER, "seed": 6}])
    rejected = list[str]()
    kept = Collator(encoder, resolution=SIDE, reads=False, on_rejected=lambda one, error: rejected.append(str(error)))
    assert kept([drawing, {**ANSWER, "messages": []}])["plans"] == [CAT]
    assert len(rejected) == 1
    assert Collator(encoder)([ANSWER]).keys() >= {"input_ids", "labels"}
    assert trained(words, small.pipeline(), weights=LossWeights()).reads
