"""Networks in the files of ncnn, read into torch: a `.param` file with the layers and a `.bin` file with their weights.

Only the layers that networks for super-resolution are made of are known: convolution, PReLU, pixel shuffle, enlarging,
concatenation, sums. That is enough for all that Real-ESRGAN publishes in this format.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from genllava.errors import CheckpointError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_MAGIC: Final = "7767517"
_FLOAT16: Final = 0x01306B47
_FLOAT32: Final = 0
_ARRAY: Final = -23300
"""A parameter with several values has this number minus its own as its key."""
_INTERPOLATIONS: Final = {1: "nearest", 2: "bilinear", 3: "bicubic"}

Values: TypeAlias = dict[int, list[float]]
Step: TypeAlias = "Callable[[list[Tensor]], Tensor]"


@dataclass(frozen=True, slots=True)
class Layer:
    """One line of a `.param` file.

    Attributes:
        kind: the type of the layer: "Convolution" ...
        name: its own name, for messages.
        inputs: names of the tensors that it takes.
        outputs: names of the tensors that it makes.
        values: its parameters, by their numbers in ncnn's documentation.
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    values: Values

    def number(self, key: int, default: float = 0) -> float:
        """The parameter `key`."""
        return self.values.get(key, [default])[0]


class Network:
    """A network with one picture as its input and one as its output, called like a function.

    Threads may share it: calling it changes nothing in it.
    """

    def __init__(self, steps: list[tuple[Layer, Step]], source: str, device: torch.device) -> None:
        self.device = device
        self._source = source
        self._steps = steps
        self._last = {name: place for place, (layer, _) in enumerate(steps) for name in layer.inputs}
        (self._result,) = [name for layer, _ in steps for name in layer.outputs if name not in self._last]

    def __call__(self, pixels: Tensor) -> Tensor:
        """What it makes of pixels [N, C, H, W], float32; both are on the CPU."""
        import torch

        tensors = {self._source: pixels.to(self.device, memory_format=torch.channels_last)}
        with torch.inference_mode():
            for place, (layer, step) in enumerate(self._steps):
                made = step([tensors[name] for name in layer.inputs])
                for name in layer.inputs:
                    if self._last[name] == place:
                        tensors.pop(name, None)  # nothing reads it after this: memory is what limits the picture
                tensors.update(dict.fromkeys(layer.outputs, made))
        return tensors[self._result].cpu()


def read_network(param: Path, weights: Path, device: torch.device) -> Network:
    """Read a network.

    Args:
        param: the file with its layers.
        weights: the file with their weights, float16 or float32.
        device: where it works.

    Raises:
        CheckpointError: the files are missing or damaged, do not fit each other, or have layers that are not known.
    """
    try:
        layers = _layers(param.read_text(encoding="utf-8"), param.name)
        blob = weights.read_bytes()
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{param.name} or {weights.name} cannot be read: {error}") from error
    reader = _Reader(blob, weights.name, device)
    source, steps = "", list[tuple[Layer, Step]]()
    for layer in layers:
        if layer.kind == "Input":
            source = layer.outputs[0]
        elif layer.kind in _STEPS:
            steps.append((layer, _STEPS[layer.kind](layer, reader)))
        else:
            raise CheckpointError(f"{param.name}: the layer {layer.name} is a {layer.kind}, which is not known here")
    if not reader.at_end:
        raise CheckpointError(f"{weights.name} has more weights than the layers of {param.name}")
    made = [name for layer in layers for name in layer.outputs]
    open_ends = set(made) - {name for layer in layers for name in layer.inputs}
    known = set[str]()
    for layer in layers:
        if not known.issuperset(layer.inputs):
            raise CheckpointError(f"{param.name}: the layer {layer.name} takes what no layer before it makes")
        known.update(layer.outputs)
    if not source or len(open_ends) != 1:
        raise CheckpointError(f"{param.name} is no network with one input and one output")
    return Network(steps, source, device)


def _layers(text: str, name: str) -> list[Layer]:
    magic, counts, *lines = text.splitlines() or [""]
    if magic.strip() != _MAGIC:
        raise CheckpointError(f"{name} is no .param file of ncnn")
    try:
        found = [_layer(line.split()) for line in lines if line.strip()]
        wanted = int(counts.split()[0])
    except (ValueError, IndexError) as error:
        raise CheckpointError(f"{name} is damaged: {error}") from error
    if len(found) != wanted:
        raise CheckpointError(f"{name} is damaged: it has {len(found)} layers, and says {wanted}")
    return found


def _layer(words: list[str]) -> Layer:
    kind, name, takes, makes = words[0], words[1], int(words[2]), int(words[3])
    names, values = words[4 : 4 + takes + makes], Values()
    for word in words[4 + takes + makes :]:
        key, _, value = word.partition("=")
        if int(key) <= _ARRAY:
            values[_ARRAY - int(key)] = [float(each) for each in value.split(",")[1:]]
        else:
            values[int(key)] = [float(value)]
    return Layer(kind, name, tuple(names[:takes]), tuple(names[takes:]), values)


class _Reader:
    """The weights of a `.bin` file, one after the other."""

    def __init__(self, blob: bytes, name: str, device: torch.device) -> None:
        self._blob, self._name, self._device, self._at = blob, name, device, 0

    @property
    def at_end(self) -> bool:
        return self._at == len(self._blob)

    def plain(self, count: int) -> Tensor:
        """The next `count` numbers, float32."""
        return self._numbers(count, "<f4")

    def flagged(self, count: int) -> Tensor:
        """The next `count` numbers, whose type a mark before them tells."""
        mark = int(self._take(4, np.dtype("<u4"))[0])
        if mark == _FLOAT32:
            return self.plain(count)
        if mark != _FLOAT16:
            raise CheckpointError(f"{self._name}: weights must be float16 or float32, and these are neither")
        found = self._numbers(count, "<f2")
        self._at += -self._at % 4
        return found

    def _numbers(self, count: int, kind: str) -> Tensor:
        import torch

        dtype = np.dtype(kind)
        numbers = torch.from_numpy(self._take(count * dtype.itemsize, dtype).astype(np.float32))
        if not numbers.isfinite().all():
            raise CheckpointError(f"{self._name} has weights that are no finite numbers")
        return numbers.to(self._device)

    def _take(self, size: int, dtype: np.dtype[np.generic]) -> np.ndarray[tuple[int], np.dtype[np.generic]]:
        if self._at + size > len(self._blob):
            raise CheckpointError(f"{self._name} ends too early: it is damaged or of another network")
        found = np.frombuffer(self._blob, dtype, size // dtype.itemsize, self._at)
        self._at += size
        return found


def _convolution(layer: Layer, reader: _Reader) -> Step:
    import torch
    from torch.nn import functional

    made, side, count = int(layer.number(0)), int(layer.number(1)), int(layer.number(6))
    if layer.number(2, 1) != 1 or layer.number(3, 1) != 1 or not made or not side or count % (made * side * side):
        raise CheckpointError(f"the convolution {layer.name} is of a form that is not known here")
    weight = reader.flagged(count).reshape(made, -1, side, side).to(memory_format=torch.channels_last)
    bias = reader.plain(made) if layer.number(5) else None
    padding, activation = int(layer.number(4)), int(layer.number(9))
    slope = layer.number(10) if activation == 2 else 0.0
    if activation not in (0, 1, 2):
        raise CheckpointError(f"the convolution {layer.name} has an activation that is not known here")

    def step(tensors: list[Tensor]) -> Tensor:
        out = functional.conv2d(tensors[0], weight, bias, padding=padding)
        return functional.leaky_relu(out, slope, inplace=True) if activation else out

    return step


def _prelu(layer: Layer, reader: _Reader) -> Step:
    from torch.nn import functional

    slope = reader.plain(int(layer.number(0)))
    return lambda tensors: functional.prelu(tensors[0], slope)


def _pixel_shuffle(layer: Layer, reader: _Reader) -> Step:
    from torch.nn import functional

    factor = int(layer.number(0, 1))
    return lambda tensors: functional.pixel_shuffle(tensors[0], factor)


def _interp(layer: Layer, reader: _Reader) -> Step:
    from torch.nn import functional

    mode = _INTERPOLATIONS.get(int(layer.number(0)))
    if mode is None:
        raise CheckpointError(f"the layer {layer.name} enlarges in a way that is not known here")
    scale = (layer.number(1, 1), layer.number(2, 1))
    corners = None if mode == "nearest" else False
    return lambda tensors: functional.interpolate(tensors[0], scale_factor=scale, mode=mode, align_corners=corners)


def _sum(layer: Layer, reader: _Reader) -> Step:
    if layer.number(0) != (1 if layer.kind == "Eltwise" else 0):
        raise CheckpointError(f"the layer {layer.name} does something other than to add, which is not known here")
    factors = layer.values.get(1, []) if layer.kind == "Eltwise" else []

    def step(tensors: list[Tensor]) -> Tensor:
        scaled = [each * factor for each, factor in zip(tensors, factors, strict=True)] if factors else tensors
        return functools.reduce(lambda one, other: one + other, scaled)

    return step


def _concat(layer: Layer, reader: _Reader) -> Step:
    import torch

    if layer.number(0):
        raise CheckpointError(f"the layer {layer.name} joins along something other than channels")
    return lambda tensors: torch.cat(tensors, 1)


def _split(layer: Layer, reader: _Reader) -> Step:
    return lambda tensors: tensors[0]


_STEPS: Final[dict[str, Callable[[Layer, _Reader], Step]]] = {
    "BinaryOp": _sum,
    "Concat": _concat,
    "Convolution": _convolution,
    "Eltwise": _sum,
    "Interp": _interp,
    "PReLU": _prelu,
    "PixelShuffle": _pixel_shuffle,
    "Split": _split,
}
