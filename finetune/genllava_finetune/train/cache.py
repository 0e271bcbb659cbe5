"""What frozen networks make of pictures and words, computed once and kept on disk.

An entry is found by the weights of the network and by what the network is given, so that it is never that of other
weights or of another picture.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from genllava.errors import CheckpointError, InvalidRequest
from genllava_finetune.recipes.recipe import Stage


class Store:
    """Tensors by key, in files; an unreadable file is written anew.

    Args:
        network: whose results they are.
    """

    def __init__(self, folder: Path, network: nn.Module) -> None:
        digest = hashlib.sha256(repr(getattr(network, "config", "")).encode())
        for name, value in network.state_dict().items():
            digest.update(name.encode())
            digest.update(_bytes(value))
        self._folder = folder / digest.hexdigest()[:32]

    def rows(
        self, inputs: Sequence[bytes], compute: Callable[[list[int]], Mapping[str, Tensor]], device: Any
    ) -> dict[str, Tensor]:
        """The results for inputs, stacked; those that are not there are computed and kept.

        Args:
            inputs: what identifies each.
            compute: results for some of them, by their indices.

        Raises:
            CheckpointError: they cannot be written.
        """
        files = [self._folder / f"{hashlib.sha256(each).hexdigest()}.safetensors" for each in inputs]
        found = {index: value for index, file in enumerate(files) if (value := _read(file)) is not None}
        if missing := [index for index in range(len(files)) if index not in found]:
            made = {name: value.detach().cpu() for name, value in compute(missing).items()}
            for place, index in enumerate(missing):
                found[index] = {name: value[place].contiguous() for name, value in made.items()}
                _write(files[index], found[index])
        return {name: torch.stack([found[i][name] for i in range(len(files))]).to(device) for name in found[0]}


class Caches:
    """The caches of a stage; `remove` takes them out of the model again.

    Args:
        model: a `GenLlavaForTraining`.
        folder: for the files.

    Raises:
        InvalidRequest: a network whose results would be kept is trained, or is of a kind that is not known.
    """

    def __init__(self, model: Any, stage: Stage, folder: Path) -> None:
        self._model, self._undo = model, list[tuple[Any, str]]()
        self._states: Store | None = None
        for name in stage.cache:
            networks = {
                "latents": [modules["vae"] for modules in (model.decoder, model.editor) if "vae" in modules],
                "vision": [getattr(model.vlm.model, "vision_tower", None)],
                "states": [model.vlm],
            }[name]
            for network in networks:
                if network is None:
                    raise InvalidRequest(f"stage {stage.name}: cache: {name} needs a model with a vision_tower")
                if any(parameter.requires_grad for parameter in network.parameters()):
                    raise InvalidRequest(f"stage {stage.name}: cache: {name} are those of a network that is trained")
                store = Store(folder / name, network)
                if name == "latents":
                    self._replace(network, "encode", _cached_encode(network, store))
                elif name == "vision":
                    self._replace(network, "forward", _cached_tower(network, model.vlm.config, store))
                else:
                    self._states = store

    def add_states(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The batch with the language model's states at the visual queries, where they are kept.

        Raises:
            InvalidRequest: the rows have pictures.
        """
        if self._states is None or "query_positions" not in batch:
            return batch
        model, positions, length = self._model, batch["query_positions"], batch["input_ids"].shape[1]
        ids, ends = batch["input_ids"].flatten().cpu(), positions.max(1).values.tolist()
        before = [ids[end // length * length : end + 1] for end in ends]
        media = model.vision_language.tokenizer.convert_tokens_to_ids(model.vision_language.template.media)
        if any(bool(torch.isin(each, torch.tensor(media)).any()) for each in before):
            raise InvalidRequest("cache: states are kept of rows without pictures to look at")
        keys = [_bytes(each) for each in before]

        def compute(missing: list[int]) -> dict[str, Tensor]:
            with torch.no_grad():
                read = model._read(batch)
                return {"states": model._query_states(read["all_states"], positions[missing])}

        return {**batch, "query_states": self._states.rows(keys, compute, positions.device)["states"]}

    def remove(self) -> None:
        """Have the networks compute everything themselves again."""
        for network, name in self._undo:
            delattr(network, name)
        self._undo.clear()

    def _replace(self, network: Any, name: str, function: Any) -> None:
        setattr(network, name, function)
        self._undo.append((network, name))


def _cached_encode(vae: Any, store: Store) -> Callable[..., Any]:
    """`vae.encode` that looks into a store first. What is kept is the distribution, from which samples are drawn."""
    plain = vae.encode

    def encode(pixels: Tensor, *_: Any, **__: Any) -> Any:
        def compute(missing: list[int]) -> dict[str, Tensor]:
            made = plain(pixels[missing])
            if hasattr(made, "latent_dist"):
                return {"parameters": made.latent_dist.parameters}
            kind = "latents" if hasattr(made, "latents") else "latent"
            return {kind: getattr(made, kind)}

        found = store.rows([_bytes(each) for each in pixels], compute, pixels.device)
        return _Encoded(found)

    return encode


class _Encoded:
    """What an autoencoder says of pictures, under the name that it says it by."""

    def __init__(self, found: Mapping[str, Tensor]) -> None:
        for name, value in found.items():
            setattr(self, name, value)
        if "parameters" in found:
            self.latent_dist = DiagonalGaussianDistribution(found["parameters"])


def _cached_tower(tower: Any, config: Any, store: Store) -> Callable[..., Any]:
    """A vision tower that looks into a store first; only the layers are kept that the projector reads."""
    from transformers.modeling_outputs import BaseModelOutputWithPooling

    plain, layers = tower.forward, config.vision_feature_layer
    layers = [layers] if isinstance(layers, int) else list(layers)

    def forward(pixel_values: Tensor, **options: Any) -> Any:
        def compute(missing: list[int]) -> dict[str, Tensor]:
            made = plain(pixel_values[missing], **{**options, "output_hidden_states": True})
            depth = len(made.hidden_states)
            kept = {f"layer_{layer % depth}": made.hidden_states[layer] for layer in layers}
            return {**kept, "depth": torch.full((len(missing),), depth)}

        found = store.rows([_bytes(each) for each in pixel_values], compute, pixel_values.device)
        states = [found.get(f"layer_{number}") for number in range(int(found["depth"][0]))]
        return BaseModelOutputWithPooling(last_hidden_state=states[-1], hidden_states=tuple(states))  # type: ignore[arg-type]

    return forward


def _bytes(value: Tensor) -> bytes:
    plain = value.detach().cpu().contiguous()
    return f"{plain.dtype}{tuple(plain.shape)}".encode() + plain.flatten().view(torch.uint8).numpy().tobytes()


def _read(file: Path) -> dict[str, Tensor] | None:
    try:
        return dict(load_file(file)) if file.is_file() else None
    except (OSError, SafetensorError):
        return None


def _write(file: Path, value: dict[str, Tensor]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    writing = file.with_suffix(f".{os.getpid()}")
    try:
        save_file(value, writing)
        writing.replace(file)
    except (OSError, SafetensorError) as error:
        writing.unlink(missing_ok=True)
        raise CheckpointError(f"cannot write {file}: {error}; free space, or leave out cache") from error
