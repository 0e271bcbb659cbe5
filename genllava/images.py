"""The one door through which pictures come in: everything is checked, then becomes plain RGB."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import io
import math
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from genllava.errors import ImageRejected

ImageSource = Image.Image | NDArray[Any] | str | Path | bytes | IO[bytes]

MAX_BYTES: Final = 128_000_000
"""Of a file: a photo of 200 megapixels has 30 to 80 MB, an uncompressed picture of `MAX_PIXELS` 120 MB."""
MAX_PIXELS: Final = 40_000_000
"""Of a picture as it comes out: 120 MB of memory."""
MAX_ASPECT: Final = 50
LARGEST: Final = {"JPEG": 200_000_000, "progressive JPEG": 100_000_000, "HEIC": 50_000_000}
"""Pixels of files that come out reduced where they have more than `MAX_PIXELS`. JPEG is decoded at a half, a quarter or
an eighth of its size (measured: 0.15 GB for 200 megapixels), a progressive one with all of its coefficients in memory
(0.9 GB for 100). HEIC is decoded whole, and telephones write 48 megapixels. All other files: `MAX_PIXELS`."""

_READERS: Final[dict[str, type[ImageFile.ImageFile]]] = {
    # Opened by their classes: `Image.open` refuses more than 179 megapixels, and reads a JPEG with a second picture
    # behind its end (a gain map) as an animation.
    "PNG": PngImagePlugin.PngImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
}
_MAGIC: Final = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
}
_AVIF_BRANDS: Final = {b"avif", b"avis"}
_HEIC_BRANDS: Final = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_PNG_TEXT: Final = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
_ALPHA_MODES: Final = ("RGBA", "RGBa", "LA", "La", "PA")
_NOTES: Final = "genllava_notes"
_DAMAGED: Final = "the picture is damaged or cut short"


def load_image(
    source: ImageSource,
    *,
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
    max_aspect: float = MAX_ASPECT,
) -> Image.Image:
    """A picture as RGB, turned upright, transparency flattened on white.

    What was left out of it on the way (frames of an animation, pixels of a very large photo) is in `picture_notes`.

    Args:
        source: a PIL image; an array [H, W], [H, W, 1], [H, W, 3] or [H, W, 4], uint8 or float in 0..1; the path of a
            PNG, JPEG, WebP, GIF, BMP, TIFF, AVIF or (with `genllava[heic]`) HEIC file, recognised by content and not by
            name; the bytes of one; a file opened for reading bytes, which is read from its beginning where it can be;
            or a data URI. Of several frames or pages it is the first.
        max_bytes: of a file.
        max_pixels: of what comes out. Checked before anything is decoded; a larger JPEG, and a somewhat larger HEIC
            (see `LARGEST`), comes out reduced.
        max_aspect: longer side over shorter side.

    Raises:
        ImageRejected: anything else, a URL included; `reason` says why, and what to do.
    """
    if isinstance(source, Image.Image):  # it may be one by class alone, as agent frameworks wrap one
        source = source.to_raw() if hasattr(source, "to_raw") else getattr(source, "raw", source)
    if isinstance(source, Image.Image):
        image = source
        _check_size(image.size, "picture", max_pixels, max_pixels, max_aspect)
    elif isinstance(source, np.ndarray):
        image = _from_array(source, max_pixels, max_aspect)
    else:
        image = _decode(_file_bytes(source, max_bytes), max_pixels, max_aspect)
    notes = [*picture_notes(image), *_left_out(image)]
    try:
        plain = _to_rgb(image)
    except ImageRejected:
        raise
    except Exception:  # decoders raise a dozen unrelated types, and their messages name internals
        raise ImageRejected(_DAMAGED) from None
    plain.info = {_NOTES: tuple(notes)} if notes else {}
    return plain


def picture_notes(image: Image.Image) -> list[str]:
    """What `load_image` left out of a picture, in words for whoever sent it: nothing, mostly."""
    notes = image.info.get(_NOTES)
    return list(notes) if isinstance(notes, tuple) else []  # a file's own text is a string


def decode_base64(text: str | bytes) -> bytes:
    """The bytes of a picture that came as base64, or as a data URI with base64; line breaks and blanks do not matter.

    Raises:
        ImageRejected: it is not base64, or another URI.
    """
    try:
        plain = text if isinstance(text, str) else text.decode("ascii")
        if plain[:5].lower() == "data:":
            head, _, body = plain.partition(",")
            if not head.strip().lower().endswith(";base64"):
                raise ImageRejected("a data URL of a picture must be base64: data:image/png;base64,...")
            plain = unquote(body)
        return base64.b64decode("".join(plain.split()), validate=True)
    except (binascii.Error, ValueError, TypeError, AttributeError):
        raise ImageRejected("the base64 of a picture is damaged") from None


def letterbox(image: Image.Image, size: int) -> Image.Image:
    """`image` (RGB) scaled to fit into a `size` x `size` square, centred.

    The bars take the median colour of the picture's border, so that they look like more of its background.
    """
    if image.size == (size, size):
        return image
    scale = size / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    scaled = image.resize((width, height), Image.Resampling.BICUBIC)
    if (width, height) == (size, size):
        return scaled
    square = Image.new("RGB", (size, size), tuple(border_color(np.asarray(image)).tolist()))
    square.paste(scaled, ((size - width) // 2, (size - height) // 2))
    return square


def unletterbox(square: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The part of a `letterbox` that a picture of `size` (width, height) takes, at that size."""
    scale = square.width / max(size)
    width, height = (max(1, round(side * scale)) for side in size)
    left, top = (square.width - width) // 2, (square.height - height) // 2
    part = square.crop((left, top, left + width, top + height))
    return part.resize(size, Image.Resampling.BICUBIC)


def difference(image: Image.Image | NDArray[Any], other: Image.Image | NDArray[Any]) -> NDArray[np.float64]:
    """[H, W]: how far two pictures of one size are apart, in levels of 255 of the channel that differs most."""
    return np.asarray(np.abs(np.asarray(image, float) - np.asarray(other, float)).max(2))


def border_color(pixels: NDArray[Any]) -> NDArray[Any]:
    """[3]: the median colour of the border of a picture [H, W, 3], of the same type: that of its background, mostly."""
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    return np.asarray(np.median(border, axis=0).round().astype(pixels.dtype))


def content_key(image: Image.Image) -> str:
    """Identity of a picture: a hash of its pixels, size and mode."""
    head = f"{image.mode}:{image.width}x{image.height}:".encode()
    return hashlib.sha256(head + image.tobytes()).hexdigest()


def _from_array(array: NDArray[Any], max_pixels: int, max_aspect: float) -> Image.Image:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)) or 0 in array.shape:
        raise ImageRejected(f"an array of shape {array.shape} is not a picture: [H, W], [H, W, 3] or [H, W, 4]")
    _check_size((array.shape[1], array.shape[0]), "picture", max_pixels, max_pixels, max_aspect)
    if np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
            raise ImageRejected("an array of floats must lie in 0..1")
        array = (array * 255).round().astype(np.uint8)
    if array.dtype != np.uint8:
        raise ImageRejected(f"an array of {array.dtype} is not a picture: give uint8, or floats in 0..1")
    return Image.fromarray(np.ascontiguousarray(array))


def _file_bytes(source: object, max_bytes: int) -> bytes:
    """The bytes of a picture file, wherever they are."""
    if isinstance(source, str) and source[:5].lower() == "data:":
        data = decode_base64(source)
    elif isinstance(source, (str, Path)):
        data = _read_path(source, max_bytes)
    elif isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
    elif callable(getattr(source, "read", None)):
        data = _read_open_file(source, max_bytes)
    else:
        raise ImageRejected(f"a {type(source).__name__} is not a picture, a path, bytes or an open file")
    if len(data) > max_bytes:
        raise ImageRejected(f"the file has more than {max_bytes:,} bytes: save it smaller, as a JPEG for example")
    if not data:
        raise ImageRejected("the file is empty")
    return data


def _read_path(path: str | Path, max_bytes: int) -> bytes:
    if "://" in str(path):
        raise ImageRejected("URLs are not fetched: download the picture and give its path")
    try:
        mode = Path(path).stat().st_mode
        if stat.S_ISDIR(mode):
            raise ImageRejected("the path is a folder, not a picture")
        if not stat.S_ISREG(mode):
            raise ImageRejected("the path is not a regular file")
        with Path(path).open("rb") as file:
            return file.read(max_bytes + 1)
    except FileNotFoundError:
        raise ImageRejected("there is no such file") from None
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "the path is not usable"
        raise ImageRejected(f"the file cannot be read: {reason}") from None


def _read_open_file(file: Any, max_bytes: int) -> bytes:
    pieces: list[bytes] = []
    try:
        if file.seekable():  # who has just written a picture into it stands at its end
            file.seek(0)
        while sum(map(len, pieces)) <= max_bytes and (piece := file.read(max_bytes + 1)):
            pieces.append(piece)  # a pipe gives less at a time than it was asked for
        return b"".join(pieces)
    except TypeError:
        raise ImageRejected("the file gives text and not bytes: open it with mode 'rb'") from None
    except (OSError, ValueError, AttributeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "it is closed, or cannot be read"
        raise ImageRejected(f"the file cannot be read: {reason}") from None


def _decode(data: bytes, max_pixels: int, max_aspect: float) -> Image.Image:
    """A picture file, decoded; at most `max_pixels` large."""
    kind = _format(data)
    if kind is None:
        raise ImageRejected("not a PNG, JPEG, WebP, GIF, BMP, TIFF, AVIF or HEIC picture")
    reader = _heic_reader() if kind == "HEIC" else _READERS[kind]
    try:
        return _decoded(reader(io.BytesIO(data)), kind, max_pixels, max_aspect)
    except ImageRejected:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageRejected(f"the {kind} has far too many pixels: make it smaller") from None
    except ValueError:  # Pillow's word for a PNG with more text or colour profile than it is willing to unpack
        bare = _without_text(data) if kind == "PNG" else data
        if len(bare) < len(data):
            return _decode(bare, max_pixels, max_aspect)
        raise ImageRejected(_DAMAGED) from None
    except Exception:  # as in `load_image`
        raise ImageRejected(_DAMAGED) from None


def _decoded(image: ImageFile.ImageFile, kind: str, max_pixels: int, max_aspect: float) -> Image.Image:
    whole = image.width * image.height
    named = "progressive JPEG" if isinstance(image, JpegImagePlugin.JpegImageFile) and _has_many_scans(image) else kind
    _check_size(image.size, named, max_pixels, LARGEST.get(named, max_pixels), max_aspect)
    frames = _left_out(image)  # asked before decoding: what looks for a second frame goes back to the first
    if kind == "JPEG" and whole > max_pixels:
        factor = next((factor for factor in (2, 4) if whole <= max_pixels * factor**2), 8)
        image.draft(None, (image.width // factor, image.height // factor))
    image.load()
    plain: Image.Image = image
    if image.width * image.height > max_pixels:
        plain = image.reduce(math.ceil(math.sqrt(image.width * image.height / max_pixels)))
    if plain.width * plain.height < whole:
        frames.append(f"the picture has {whole:,} pixels; it was read at {plain.width}x{plain.height}")
    plain.info[_NOTES] = tuple(frames)
    return plain


def _has_many_scans(image: JpegImagePlugin.JpegImageFile) -> bool:
    """Whether the decoder needs all of the file before the first row: it is progressive, or each colour comes alone."""
    assert isinstance(image.fp, io.BytesIO)
    count, end = image.layers, image.fp.tell()  # just behind the header of the first scan
    of_all_colours = bytes([0, 6 + 2 * count, count])
    interleaved = image.fp.getvalue()[: end - 2 * count - 3].endswith(of_all_colours)
    return bool(image.info.get("progressive")) or not interleaved


def _heic_reader() -> type[ImageFile.ImageFile]:
    try:
        from pillow_heif.as_plugin import HeifImageFile
    except ImportError:
        raise ImageRejected(
            "HEIC pictures need one more package, pip install 'genllava[heic]'; or save the picture as JPEG"
        ) from None
    reader: type[ImageFile.ImageFile] = HeifImageFile
    return reader


def _format(data: bytes) -> str | None:
    if data[4:8] == b"ftyp":
        brands = {data[place : place + 4] for place in range(8, min(int.from_bytes(data[:4]), 256), 4)}
        return "AVIF" if brands & _AVIF_BRANDS else "HEIC" if brands & _HEIC_BRANDS else None
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    return next((kind for magic, kind in _MAGIC.items() if data.startswith(magic)), None)


def _without_text(png: bytes) -> bytes:
    """A PNG without its texts and its colour profile, which nothing here reads; they are not unpacked for it."""

    def kept() -> Iterator[bytes]:
        place = 8
        yield png[:place]
        while place < len(png):
            after = place + 12 + int.from_bytes(png[place : place + 4])
            if png[place + 4 : place + 8] not in _PNG_TEXT:
                yield png[place:after]
            place = after

    return b"".join(kept())


def _check_size(size: tuple[int, int], kind: str, max_pixels: int, largest: int, max_aspect: float) -> None:
    """See that a picture may come in.

    Args:
        kind: of the file, or "picture".
        max_pixels: of what comes out.
        largest: that can come in.
    """
    width, height = size
    if width < 1 or height < 1:
        raise ImageRejected("the picture has no pixels")
    allowed = max(max_pixels, largest)
    if width * height > allowed:
        jpeg = "" if kind in ("JPEG", "picture") else f", or save it as a baseline JPEG of up to {LARGEST['JPEG']:,}"
        raise ImageRejected(
            f"the picture has {width * height:,} pixels; at most {allowed:,} of a {kind} are read: "
            f"make it smaller{jpeg}"
        )
    if max(size) > max_aspect * min(size):
        raise ImageRejected(
            f"the picture is {width} by {height}, too long and thin: cut it into pieces, or pad it, so that it is at "
            f"most {max_aspect:g} times as long as it is wide"
        )


def _left_out(image: Image.Image) -> list[str]:
    """What of a file besides its first frame does not become part of the picture."""
    try:
        several = bool(getattr(image, "is_animated", False))
    except Exception:  # a broken second frame does not make the first one worse
        several = False
    if not several or image.info.get(_NOTES) or image.format == "MPO":
        return []  # what an MPO has behind the photo is its gain map, or the like
    if image.format == "TIFF":
        return ["the file has several pages: only the first is used"]
    if image.format in ("HEIF", "HEIC"):
        return ["the file holds several pictures: only the main one is used"]
    frame = image.tell()
    return [f"an animation: only its {f'frame {frame + 1}' if frame else 'first frame'} is used"]


def _to_rgb(image: Image.Image) -> Image.Image:
    image.load()
    with contextlib.suppress(Exception):  # a broken EXIF block does not make the pixels worse
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # convert() would clip 16 bits to 8 instead of scaling them
        deep = np.asarray(image).astype(np.int64).clip(0, 65535)
        image = Image.fromarray((deep // 257).astype(np.uint8))
    elif image.mode == "F":
        raise ImageRejected("pictures of floating point numbers have no agreed range: convert them first")
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")  # always a copy
