"""How often the oracle is right: on clean pictures, through an autoencoder, and on pictures as people have them.

python -m genllava_finetune.worlds.things.oracle.report --clean 3000 --coded 1000 --augmented 1000
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from random import Random
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from genllava_finetune.intervals import Share
from genllava_finetune.worlds.things.knowledge.things import things_of
from genllava_finetune.worlds.things.oracle.parser import Reading, parse, parse_array
from genllava_finetune.worlds.things.pictures.augment import augment
from genllava_finetune.worlds.things.pictures.render import CANVAS, render_array
from genllava_finetune.worlds.things.pictures.sampling import sample_scene
from genllava_finetune.worlds.things.pictures.scene import Scene

Read = Callable[[NDArray[np.uint8]], Reading]

PATCH: Final = 40
COMPONENTS: Final = 288
_SPARE: Final = 32
"""Directions followed beside those that are kept, for the last of them to come out well."""
_ROUNDS: Final = 3


class Projection:
    """The principal components of patches of pictures, as what an autoencoder of this kind keeps.

    Attributes:
        mean: [PATCH * PATCH * 3].
        components: [PATCH * PATCH * 3, COMPONENTS], of length one.
    """

    def __init__(self, pictures: NDArray[np.uint8], components: int = COMPONENTS) -> None:
        """Fit them to pictures [N, CANVAS, CANVAS, 3] by iterating on a subspace."""
        parts = np.array_split(pictures, max(1, len(pictures) // 50))
        means = np.stack([_patches(part).mean(0) for part in parts])
        self.mean: NDArray[np.float32] = means.mean(0)
        count = min(components + _SPARE, len(self.mean))
        start = np.random.default_rng(0).standard_normal((len(self.mean), count)).astype(np.float32)
        directions: NDArray[np.float32] = np.linalg.qr(start)[0]
        for _ in range(_ROUNDS):
            spread = np.zeros_like(directions)
            for part in parts:
                centred = _patches(part) - self.mean
                spread += centred.T @ (centred @ directions)
            directions = np.linalg.qr(spread)[0]
        # The last round's directions span the space in which the spread is greatest: they are put in order in it.
        within = np.zeros((count, count), np.float32)
        for part in parts[: max(1, len(parts) // 2)]:
            seen = (_patches(part) - self.mean) @ directions
            within += seen.T @ seen
        turned = np.linalg.eigh(within)[1][:, ::-1][:, :components]
        self.components = np.ascontiguousarray(directions @ turned)

    def __call__(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The picture [CANVAS, CANVAS, 3] as it comes back."""
        centred = _patches(picture[None]) - self.mean
        back = (centred @ self.components) @ self.components.T + self.mean
        side = CANVAS // PATCH
        whole = back.reshape(side, side, PATCH, PATCH, 3).transpose(0, 2, 1, 3, 4).reshape(picture.shape)
        found: NDArray[np.uint8] = np.rint(whole.clip(0, 255)).astype(np.uint8)
        return found


def _patches(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """[N, CANVAS, CANVAS, 3] to [N * patches, PATCH * PATCH * 3]."""
    side = CANVAS // PATCH
    split = pictures.reshape(-1, side, PATCH, side, PATCH, 3).transpose(0, 1, 3, 2, 4, 5)
    return split.reshape(-1, PATCH * PATCH * 3).astype(np.float32)


def decibels(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Peak signal to noise ratio."""
    error = float(((first.astype(np.float32) - second) ** 2).mean())
    return 10 * float(np.log10(255**2 / max(error, 1e-6)))


def scenes(seed: str, count: int, known: int) -> Iterator[Scene]:
    """Random scenes; the items of every other one lie beside the middle of their cells."""
    source = Random(seed)
    for index in range(count):
        yield sample_scene(source, things_of(known), free=index % 2 == 1)


def measure(title: str, seed: str, count: int, known: int, read: Read, shown: int = 10) -> Share:
    """Read pictures of random scenes, print how many are exact and clear and the first that are not; how many."""
    right: list[bool] = []
    margins: list[float] = []
    spent = 0.0
    missed: list[str] = []
    for index, scene in enumerate(scenes(seed, count, known)):
        picture = render_array(scene)
        begun = time.perf_counter()
        reading = read(picture)
        spent += time.perf_counter() - begun
        right.append(reading.clear and reading.scene.key == scene.key)
        margins.append(reading.margin)
        if not right[-1]:
            missed.append(f"  {index}: {_difference(scene, reading)}")
    share = Share.of(right)
    print(f"{title}: {share} of {count} exact and clear; {1000 * spent / max(count, 1):.0f} ms a picture; ", end="")
    print(f"margins: least {min(margins, default=1):.3f}, one in a hundred below {np.quantile(margins, 0.01):.3f}")
    print("\n".join(missed[:shown]), end="\n" if missed else "", flush=True)
    return share


def _difference(scene: Scene, reading: Reading) -> str:
    there, seen = set(scene.key[1]), set(reading.scene.key[1])
    lost, wrong = (sorted(" ".join(filter(None, key)) for key in keys) for keys in (there - seen, seen - there))
    ground = "" if scene.background == reading.scene.background else f" read as {reading.scene.background}"
    end = "" if reading.clear else f"; not clear, {reading.unexplained:.4f} unexplained"
    return f"{scene.background}{ground}: {', '.join(lost) or '-'} -> {', '.join(wrong) or '-'}{end}"


def main() -> None:
    """Print the three shares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clean", type=int, default=3000, help="pictures as they are drawn")
    parser.add_argument("--coded", type=int, default=1000, help="pictures through the autoencoder")
    parser.add_argument("--augmented", type=int, default=1000, help="pictures as people have them")
    parser.add_argument("--fitted", type=int, default=3000, help="pictures that the autoencoder is fitted to")
    parser.add_argument("--things", type=int, default=286)
    given = parser.parse_args()
    parse_array(np.full((CANVAS, CANVAS, 3), 90, np.uint8))  # banks are made before the clock runs
    if given.clean:
        measure("clean", "report:clean", given.clean, given.things, parse_array)
    if given.augmented:
        source = Random("report:augment")
        worn = [0.0]

        def read(picture: NDArray[np.uint8]) -> Reading:
            begun = time.perf_counter()
            image = augment(Image.fromarray(picture), source)
            worn[0] += time.perf_counter() - begun
            return parse(image)

        measure("augmented", "report:augmented", given.augmented, given.things, read)
        print(f"  augment: {1000 * worn[0] / given.augmented:.1f} ms a picture")
    if given.coded:
        pictures = np.stack([render_array(scene) for scene in scenes("report:fit", given.fitted, given.things)])
        project = Projection(pictures)
        del pictures
        held = [render_array(scene) for scene in scenes("report:held", 100, given.things)]
        print(f"autoencoder: {np.mean([decibels(each, project(each)) for each in held]):.1f} dB on 100 others")
        measure("coded", "report:coded", given.coded, given.things, lambda picture: parse_array(project(picture)))


if __name__ == "__main__":
    main()
