"""The door for pictures: what is let in, and what is turned away with which words."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genllava.errors import ImageRejected
from genllava.images import content_key, letterbox, load_image, unletterbox


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds almost nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


NOISE = Image.effect_noise((40, 30), 50).convert("RGB")

REJECTED: dict[str, tuple[object, str]] = {
    "no bytes": (b"", "empty"),
    "text": (b"hello, this is not a picture", "not a PNG"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a PNG"),
    "bmp": (encoded(NOISE, "BMP"), "not a PNG"),
    "tiff": (encoded(NOISE, "TIFF"), "not a PNG"),
    "truncated png": (encoded(NOISE)[:600], "damaged"),
    "truncated jpeg": (encoded(NOISE, "JPEG")[:400], "damaged"),
    "truncated webp": (encoded(NOISE, "WEBP")[:60], "damaged"),
    "png signature alone": (b"\x89PNG\r\n\x1a\n", "damaged"),
    "bomb": (png_header(20_000, 20_000), "pixels"),
    "bomb that the decoder would take": (png_header(8_000, 8_000), "pixels"),
    "too thin": (encoded(Image.new("RGB", (2_000, 2))), "too long and thin"),
    "too many bytes": (encoded(NOISE) + b"\0" * 20_000_000, "bytes"),
    "url": ("https://example.com/a.png", "URL"),
    "file url": ("file:///etc/passwd", "URL"),
    "data url": ("data:image/png;base64,AAAA", "URL"),
    "missing": ("no/such/file.png", "no such file"),
    "folder": ("/", "folder"),
    "device": ("/dev/zero", "regular file"),
    "nul in the path": ("a\0b.png", "not usable"),
    "none": (None, "NoneType"),
    "list": ([1, 2], "list"),
    "no pixels": (np.zeros((0, 4, 3), np.uint8), "shape"),
    "five channels": (np.zeros((4, 4, 5), np.uint8), "shape"),
    "wide integers": (np.zeros((4, 4, 3), np.int64), "int64"),
    "floats beyond 1": (np.full((4, 4, 3), 255.0), "0..1"),
    "nan": (np.full((4, 4, 3), np.nan), "0..1"),
    "empty pil image": (Image.new("RGB", (0, 3)), "no pixels"),
    "float pil image": (Image.new("F", (3, 3)), "floating point"),
}


@pytest.mark.parametrize("case", REJECTED)
def test_turned_away_with_a_reason(case: str) -> None:
    source, words = REJECTED[case]
    with pytest.raises(ImageRejected, match=words) as caught:
        load_image(source)  # type: ignore[arg-type]
    assert "0x" not in caught.value.reason, "shows an address"
    assert "\n" not in caught.value.reason


def test_a_file_is_known_by_its_content_and_not_its_name(tmp_path: Path) -> None:
    for kind in ("PNG", "JPEG", "WEBP", "GIF"):
        path = tmp_path / f"{kind}.txt"
        path.write_bytes(encoded(NOISE, kind))
        assert load_image(path).size == load_image(str(path)).size == (40, 30)
        assert load_image(path.read_bytes()).mode == "RGB"
    with pytest.raises(ImageRejected, match="folder"):
        load_image(tmp_path)


def test_every_mutation_is_either_a_picture_or_one_error() -> None:
    rng = np.random.default_rng(0)
    for kind in ("PNG", "JPEG", "WEBP", "GIF"):
        whole = encoded(NOISE, kind)
        for _ in range(60):
            broken = bytearray(whole[: int(rng.integers(8, len(whole) + 1))])
            for place in rng.integers(0, len(broken), 3):
                broken[int(place)] = int(rng.integers(256))
            with contextlib.suppress(ImageRejected):
                assert load_image(bytes(broken)).mode == "RGB"


def test_one_pixel_is_a_picture() -> None:
    assert load_image(encoded(Image.new("RGB", (1, 1), "red"))).getpixel((0, 0)) == (255, 0, 0)


def test_turned_as_exif_says() -> None:
    image = Image.new("RGB", (4, 2), "white")
    image.putpixel((0, 0), (0, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    loaded = load_image(encoded(image, exif=exif))
    assert loaded.size == (2, 4)
    assert loaded.getpixel((1, 0)) == (0, 0, 0)
    assert not loaded.getexif()


def test_broken_exif_does_not_make_the_pixels_worse() -> None:
    image = Image.new("RGB", (4, 2), "red")
    assert load_image(encoded(image, exif=b"Exif\x00\x00no such header")).getpixel((0, 0)) == (255, 0, 0)


def test_transparency_becomes_white() -> None:
    clear = Image.new("RGBA", (2, 2), (255, 0, 0, 0))
    half = Image.new("LA", (2, 2), (0, 128))
    palette = Image.new("P", (2, 2), 0)
    palette.info["transparency"] = 0
    assert load_image(encoded(clear)).getpixel((0, 0)) == (255, 255, 255)
    assert load_image(half).getpixel((0, 0)) == (127, 127, 127)
    assert load_image(palette).getpixel((0, 0)) == (255, 255, 255)
    assert load_image(np.asarray(clear)).getpixel((0, 0)) == (255, 255, 255)


def test_print_colours_and_sixteen_bits() -> None:
    assert load_image(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG")).getpixel((0, 0))[0] > 200
    deep = Image.fromarray(np.full((2, 2), 0x8080, np.uint16))
    assert load_image(encoded(deep)).getpixel((0, 0)) == (128, 128, 128)
    assert load_image(Image.new("1", (2, 2), 1)).getpixel((0, 0)) == (255, 255, 255)


def test_arrays() -> None:
    grey = np.linspace(0, 1, 4).reshape(2, 2)
    assert load_image(grey).getpixel((1, 1)) == (255, 255, 255)
    assert load_image(grey[:, :, None].astype(np.float32)).size == (2, 2)
    pixels = np.asarray(NOISE)
    assert np.array_equal(np.asarray(load_image(pixels)), pixels)
    assert np.array_equal(np.asarray(load_image(pixels[:, ::-1])), pixels[:, ::-1])


def test_the_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert load_image(data).getpixel((0, 0)) == (255, 0, 0)


def test_a_letterbox_has_bars_of_the_background() -> None:
    image = Image.new("RGB", (60, 30), (10, 200, 30))
    image.paste((0, 0, 0), (20, 10, 40, 20))
    square = letterbox(image, 32)
    assert square.size == (32, 32)
    assert square.getpixel((16, 0)) == square.getpixel((0, 31)) == (10, 200, 30)
    assert square.getpixel((16, 16)) == (0, 0, 0)
    assert letterbox(square, 32) is square
    assert letterbox(Image.new("RGB", (1, 50)), 32).size == (32, 32)
    assert letterbox(Image.new("RGB", (1, 1), "red"), 32).getpixel((5, 5)) == (255, 0, 0)


@pytest.mark.parametrize("size", [(200, 100), (100, 200), (96, 96), (130, 128)])
def test_a_picture_comes_out_of_its_letterbox(size: tuple[int, int]) -> None:
    image = Image.new("RGB", size, "white")
    image.paste((200, 0, 0), (10, 20, 60, 70))
    out = unletterbox(letterbox(image, 96), size)
    assert out.size == size
    difference = np.abs(np.asarray(out).astype(int) - np.asarray(image).astype(int)).max(2)
    assert (difference > 100).mean() < 0.02, "nothing but edges"


def test_the_content_key_tells_pixels_and_size_apart() -> None:
    a, b = Image.new("RGB", (2, 4)), Image.new("RGB", (4, 2))
    assert content_key(a) == content_key(a.copy()) != content_key(b)
    assert content_key(a) != content_key(Image.new("RGB", (2, 4), (0, 0, 1)))
