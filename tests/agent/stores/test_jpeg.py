"""Photos are kept as the JPEG that they came as: the same pixels, and nothing of what else is in the file."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from genllava.images import content_key, load_image
from genllava_agent import VisualAgent
from genllava_agent.admission import keep, record_of
from genllava_agent.errors import AgentError, ThreadQuarantined
from genllava_agent.stores.jpeg import without_metadata

Talk = Callable[..., VisualAgent]
SECRET = b"SECRET"


def scene(mode: str = "RGB", size: tuple[int, int] = (160, 96)) -> Image.Image:
    """With an upper end and soft edges."""
    numbers = np.random.default_rng(1)
    coarse = Image.fromarray(numbers.integers(0, 256, (6, 10, 3), dtype=np.uint8))
    return coarse.resize(size, Image.Resampling.BICUBIC).convert(mode)


def coded(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", **{"quality": 90} | options)
    return file.getvalue()


def camera(image: Image.Image, orientation: int = 1) -> bytes:
    """A file as a telephone writes it, with a secret wherever there may be one."""
    word, exif = SECRET.decode(), Image.Exif()
    exif[0x0112], exif[0x010E], exif[0x0131] = orientation, f"{word} description", f"{word} software"
    place = exif.get_ifd(0x8825)
    place[1], place[2], place[0x1D], place[0x1B] = "N", (59.0, 54.0, 50.0), "2026:01:01", f"{word} place".encode()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    file = coded(image, exif=exif, comment=f"{word} comment", icc_profile=profile, xmp=b"<x>" + SECRET + b"</x>")
    return file + b"\xff\xd8 another picture behind the end, " + SECRET


def kept_files(folder: Path) -> list[str]:
    return sorted(file.suffix for file in (folder / "threads").glob("*/artifacts/*"))


KINDS: dict[str, bytes] = {
    "plain": coded(scene()),
    "progressive": coded(scene(), progressive=True),
    "all the colours": coded(scene(), subsampling=0),
    "half the colours": coded(scene(), subsampling=2),
    "restarts": coded(scene(), restart_marker_rows=1),
    "grey": coded(scene("L")),
    "for printing": coded(scene("CMYK")),
    "not as YCbCr": coded(scene(), keep_rgb=True),
    "of a camera": camera(scene()),
}
FRAME = KINDS["all the colours"].index(b"\xff\xdb")
KINDS["as Adobe says"] = b"\xff\xd8\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0" + KINDS["all the colours"][FRAME:]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_pixels_and_no_metadata(kind: str) -> None:
    plain = without_metadata(KINDS[kind])
    assert plain is not None
    assert load_image(plain) == load_image(KINDS[kind])
    assert SECRET not in plain
    for tag in (b"Exif", b"ICC_PROFILE", b"http", b"JFIF"):
        assert tag not in plain
    assert without_metadata(plain) == plain


def test_adobes_segment_is_needed() -> None:
    assert load_image(KINDS["as Adobe says"]) != load_image(KINDS["all the colours"])


def test_what_hides_behind_what_decoders_need() -> None:
    data = KINDS["for printing"]
    at = data.index(b"\xff\xee")
    hidden = data[: at + 2] + (14 + len(SECRET)).to_bytes(2) + data[at + 4 : at + 16] + SECRET + data[at + 16 :]
    assert load_image(hidden) == load_image(data)
    assert without_metadata(hidden) == without_metadata(data)


def test_what_is_no_whole_jpeg() -> None:
    data = KINDS["of a camera"]
    end = data.rindex(b"\xff\xd9")
    assert without_metadata(data[: end + 2]) is not None
    for length in range(end + 2):
        assert without_metadata(data[:length]) is None
    for other in (b"", b"GIF89a", b"\xff\xd8\xff\xe0\0\1" + data[6:], b"\xff\xd8" + b"\xff" * 9):
        assert without_metadata(other) is None


@pytest.mark.parametrize("as_bytes", [False, True])
def test_where_it_was_taken_is_kept_nowhere(as_bytes: bool, talk: Talk, tmp_path: Path) -> None:
    data, file = camera(scene()), tmp_path / "photo.jpg"
    file.write_bytes(data)
    thread = talk(tmp_path / "store").thread("a")
    thread("what is it", data if as_bytes else file, task="understand")
    assert kept_files(tmp_path / "store") == [".jpg"]
    assert thread.images[1].image == load_image(data)
    stored = [each for each in (tmp_path / "store").rglob("*") if each.is_file()]
    assert len(stored) > 2
    assert [each for each in stored if SECRET in each.read_bytes()] == []


@pytest.mark.parametrize("orientation", [2, 3, 6, 8])
def test_a_turned_photo_is_kept_upright(orientation: int, talk: Talk, tmp_path: Path) -> None:
    data = camera(scene(), orientation)
    thread = talk(tmp_path / "store").thread("a")
    thread("what is it", data, task="understand")
    assert kept_files(tmp_path / "store") == [".png"]
    assert thread.images[1].image == load_image(data)
    assert thread.images[1].image.size == ((96, 160) if orientation > 4 else (160, 96))
    (file,) = (tmp_path / "store").glob("threads/a/artifacts/*")
    assert SECRET not in file.read_bytes()


def test_what_is_smaller_as_a_png_is_kept_so(talk: Talk, tmp_path: Path) -> None:
    data = coded(Image.new("RGB", (160, 96), "white"), quality=100)
    thread = talk(tmp_path / "store").thread("a")
    thread("what is it", data, task="understand")
    assert kept_files(tmp_path / "store") == [".png"]
    assert thread.images[1].image == load_image(data)


def test_a_photo_that_came_in_reduced_is_kept_as_it_was_seen() -> None:
    class Store:
        images: list[Image.Image] = []  # noqa: RUF012

        def put_image(self, image: Image.Image) -> None:
            self.images.append(image)

        def put_jpeg(self, image: Image.Image, data: bytes) -> None:
            raise AssertionError("the file is decoded at its full size")

    large = coded(scene(size=(640, 384)))
    seen = load_image(large, max_pixels=100_000)
    store: Any = Store()
    assert keep(store, record_of(seen, 1, 0), seen, large).jpeg is None
    assert (store.images, seen.size) == ([seen], (320, 192))


def test_photos_go_with_their_turns(place: str, talk: Talk) -> None:
    thread, expected = talk(place).thread("a"), load_image(KINDS["of a camera"])
    thread("what is it", KINDS["of a camera"], task="understand")
    branch = thread.branch("b")
    thread.retry()
    assert thread.images[1].image == expected
    assert thread.images[1].record.jpeg == branch.images[1].record.jpeg
    thread("what is here", region=(0, 0, 0.5, 0.5), task="understand")
    thread.delete()
    assert branch.images[1].image == expected
    record = branch.images[1].record
    assert record.key == content_key(expected)
    assert record.jpeg is not None
    branch.delete()
    with pytest.raises(AgentError):
        branch.agent.store.artifacts("b").picture(record)


def test_a_damaged_photo_is_found_and_healed_by_sending_it_again(talk: Talk, tmp_path: Path) -> None:
    thread = talk(tmp_path / "store").thread("a")
    thread("what is it", KINDS["plain"], task="understand")
    (file,) = (tmp_path / "store").glob("threads/a/artifacts/*.jpg")
    sound = file.read_bytes()
    for place in range(0, len(sound), 37):
        file.write_bytes(sound[:place] + bytes([sound[place] ^ 1]) + sound[place + 1 :])
        with pytest.raises(ThreadQuarantined, match="jpg"):
            thread.images[1].image.load()
        file.write_bytes(sound[:place])
        with pytest.raises(ThreadQuarantined, match="jpg"):
            thread.images[1].image.load()
    file.unlink()
    with pytest.raises(ThreadQuarantined, match="jpg is missing"):
        thread.images[1].image.load()
    thread("what is it", KINDS["plain"], task="understand")
    assert thread.images[1].image == load_image(KINDS["plain"])
