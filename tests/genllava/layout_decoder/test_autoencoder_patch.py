"""The linear autoencoder of patches: what it keeps, its constants, and that it is saved and found again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from genllava.image_decoder import load_diffusion
from genllava.layout_decoder.autoencoder_patch import AutoencoderPatch
from genllava.layout_decoder.pipeline import LayoutDecoderPipeline
from tests.genllava.image_decoder.small import pixels
from tests.genllava.layout_decoder.small import CAT, CHANNELS, PATCH, autoencoder


def pictures(count: int = 3, seed: int = 1) -> torch.Tensor:
    """[B, 3, 20, 24] in -1..1."""
    return torch.rand(count, 3, 20, 24, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize("mean", [False, True])
@torch.no_grad()
def test_with_all_components_nothing_is_lost(mean: bool) -> None:
    vae = autoencoder(mean=mean)
    latents = vae.encode(pictures()).latents
    assert latents.shape == (3, CHANNELS, 5, 6)
    torch.testing.assert_close(vae.decode(latents).sample, pictures(), rtol=1e-4, atol=1e-5)
    assert torch.equal(vae.decode(latents, return_dict=False)[0], vae.decode(latents).sample)
    with pytest.raises(ValueError, match="multiple of 4"):
        vae.encode(torch.zeros(1, 3, 30, 32))


@torch.no_grad()
def test_the_bias_takes_the_mean_off_and_decoding_puts_it_back() -> None:
    """By hand: latents are (patch - mean) @ components / scale."""
    generator = torch.Generator().manual_seed(3)
    components = torch.linalg.qr(torch.randn(CHANNELS, 5, generator=generator)).Q
    scale, mean = torch.rand(5, generator=generator) + 0.5, torch.rand(CHANNELS, generator=generator) - 0.5
    vae = AutoencoderPatch.from_components(components, scale, PATCH, mean)
    patches = F.unfold(pictures(), PATCH, stride=PATCH).transpose(1, 2)
    wanted = (patches - mean) @ components / scale
    latents = vae.encode(pictures()).latents
    torch.testing.assert_close(latents.flatten(2).transpose(1, 2), wanted, rtol=1e-4, atol=1e-5)
    back = ((wanted * scale) @ components.T + mean).transpose(1, 2)
    folded = F.fold(back, (20, 24), PATCH, stride=PATCH).clamp(-1, 1)
    torch.testing.assert_close(vae.decode(latents).sample, folded, rtol=1e-4, atol=1e-5)
    nothing = vae.decode(torch.zeros(1, 5, 2, 3)).sample  # the mean patch, in each of six
    assert torch.equal(nothing, mean.view(3, PATCH, PATCH).repeat(1, 2, 3)[None])


@torch.no_grad()
def test_principal_components_give_latents_without_a_mean_and_the_least_error() -> None:
    generator = torch.Generator().manual_seed(4)
    spread = torch.linspace(1, 0.01, CHANNELS)[:, None] * torch.randn(CHANNELS, CHANNELS, generator=generator) * 0.05
    middle = torch.rand(CHANNELS, generator=generator) * 0.6 - 0.3
    rows = torch.randn(400, CHANNELS, generator=generator) @ spread + middle
    mean = rows.mean(0)
    components = torch.linalg.svd(rows - mean, full_matrices=False).Vh.T[:, :12]
    scale = ((rows - mean) @ components).std(0)
    squares = rows.view(-1, 3, PATCH, PATCH)

    def error(vae: AutoencoderPatch) -> float:
        return float((vae.decode(vae.encode(squares).latents).sample - squares.clamp(-1, 1)).square().mean())

    vae = AutoencoderPatch.from_components(components, scale, PATCH, mean)
    latents = vae.encode(squares).latents.flatten(1)
    torch.testing.assert_close(latents.mean(0), torch.zeros(12), rtol=0, atol=1e-4)
    torch.testing.assert_close(latents.std(0), torch.ones(12), rtol=1e-3, atol=1e-3)
    without = torch.linalg.svd(rows, full_matrices=False).Vh.T[:, :12]
    assert error(vae) < error(AutoencoderPatch.from_components(without, scale, PATCH))
    other = torch.linalg.qr(torch.randn(CHANNELS, 12, generator=generator)).Q
    assert error(vae) < 0.5 * error(AutoencoderPatch.from_components(other, scale, PATCH, mean))


@pytest.mark.parametrize("mean", [False, True])
@torch.no_grad()
def test_it_is_saved_and_loaded(mean: bool, tmp_path: Path) -> None:
    vae = autoencoder(7, mean=mean)
    vae.save_pretrained(tmp_path)
    again = AutoencoderPatch.from_pretrained(tmp_path)
    assert (again.config["bias"], again.config["latent_channels"]) == (mean, 7)
    assert (again.mean is None) == (not mean)
    assert [name for name, weight in again.named_parameters() if not weight.requires_grad] == ["mean"] * mean
    for one, other in zip(vae.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    assert torch.equal(again.encode(pictures()).latents, vae.encode(pictures()).latents)


def test_one_that_was_saved_by_an_older_version_is_found(pipeline: LayoutDecoderPipeline, tmp_path: Path) -> None:
    """Its class has been in two other modules; what is loaded is found by its name."""
    pipeline.save_pretrained(tmp_path)
    for module in ("genllava.autoencoder_patch", "genllava.protocols.shapes.autoencoder_patch"):
        index = json.loads((tmp_path / "model_index.json").read_text())
        (tmp_path / "model_index.json").write_text(json.dumps({**index, "vae": [module, "AutoencoderPatch"]}))
        again = load_diffusion(tmp_path)
        assert isinstance(again.vae, AutoencoderPatch)
        drawn = (each(CAT, generator=torch.Generator().manual_seed(1)).images[0] for each in (pipeline, again))
        one, other = map(pixels, drawn)
        assert (one == other).all()
