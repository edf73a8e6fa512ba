"""Image and mask files as arrays: decoding, orientation, depth, alpha, and the errors of broken files."""

import functools
import hashlib
import io
import struct
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, features

from usod.errors import UsodError

# Pillow's own limit, made an error: a header may promise far more pixels than the file holds bytes.
MAX_PIXELS = 89_478_485

# What Pillow's plugins raise on a damaged file: which one depends on the format and on where the damage is.
_DECODING_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    EOFError,
    OverflowError,
    NotImplementedError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
SEEN = 256
"""Side, in pixels, to which larger JPEGs are reduced while they are decoded, where only what they look like matters."""
_HEIF_BRANDS = ("heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1", "avif", "avis")
_EXIF_ORIENTATION = 0x0112
_TURNED = (5, 6, 7, 8)  # the EXIF orientations that exchange height and width


class ImageFacts(NamedTuple):
    """What `inspect_image` says of a file: size in pixels as `read_image` returns it, digests of bytes and of looks."""

    height: int
    width: int
    sha256: str
    oriented: bool  # the EXIF orientation turns or mirrors the stored pixels
    dhash: str  # `difference_hash`


def read_image(path: str | Path) -> np.ndarray:
    """Decode an image file to RGB, upright.

    The EXIF orientation is applied. Grey, palette, CMYK and 1-bit images become RGB; transparent pixels are composited
    over white; 16-bit samples are scaled (65535 -> 255), float samples are taken as [0, 1] if none exceeds 1, else as
    [0, 255] or scaled by their maximum. Of an animation the first frame is read. Colour profiles are not applied.
    HEIC files need pillow-heif, AVIF files a Pillow with AVIF.

    Returns
    -------
    (H, W, 3) uint8, RGB

    Raises
    ------
    UsodError
        If the file is missing, truncated or unreadable, or has more than MAX_PIXELS pixels; the message names the file.
    """
    return _decode_rgb(_open(path), path)


def write_png(path: str | Path, picture: np.ndarray) -> None:
    """Write (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA uint8, fast and side by side in threads.

    OpenCV's encoder takes an eighth of the time of Pillow's, which holds the interpreter's lock. Masks are as small,
    soft maps half as large again.
    """
    import cv2  # a tenth of a second, for the few who write

    order = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
    stored = picture if picture.ndim == 2 else cv2.cvtColor(picture, order[picture.shape[2]])
    encoded = cv2.imencode(".png", stored)[1]
    Path(path).write_bytes(encoded.tobytes())


def read_mask(path: str | Path, threshold: float = 0.5) -> np.ndarray:
    """Decode a ground-truth mask: True where its normalised value is > `threshold` (strictly).

    Normalisation: values are divided by the full range of the file's depth: 255, or 65535 when a 16-bit file holds
    values above 255; a mask whose largest value is 1 is a 0/1 mask and is taken as it is. Of a colour mask the largest
    channel counts, so that an object painted in any one colour is found. A mask with an alpha channel that varies is a
    cut-out: its alpha is the mask. A palette that holds colours makes a label map: every index but 0 is foreground;
    a grey palette gives graded values.

    Parameters
    ----------
    path : the mask file
    threshold : in [0, 1)

    Returns
    -------
    (H, W) bool

    Raises
    ------
    UsodError
        As `read_image`.
    """
    values = read_graded_mask(path)
    return values > threshold


def read_graded_mask(path: str | Path) -> np.ndarray:
    """The normalised values (H, W) float32 in [0, 1] that `read_mask` compares with its threshold."""
    picture = _open(path)
    try:
        values = _mask_values(picture)
    except _DECODING_ERRORS as error:
        raise _broken(path, error) from error
    if not np.isfinite(values).all():
        raise UsodError(f"{path}: holds values that are not finite; save the mask again")
    top = values.max(initial=0)
    full = next((limit for limit in (1, 255, 65535) if top <= limit), top)
    return (values / np.float32(full)).clip(0, 1)


def image_size(path: str | Path) -> tuple[int, int]:
    """(height, width) in pixels from the header alone, after EXIF orientation; no pixel is decoded."""
    return _upright_size(_open(path, decode=False), path)


def orientation(path: str | Path) -> int:
    """The EXIF orientation, 1 to 8, of an image file; 1 where it says none. No pixel is decoded."""
    return _orientation(_open(path, decode=False), path)


def inspect_image(path: str | Path) -> ImageFacts:
    """Read the file once: its size after EXIF orientation, its SHA-256, and proof that all of it can be decoded.

    Raises
    ------
    UsodError
        As `read_image`.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error
    picture = _open(path, content, decode=False)
    height, width = _upright_size(picture, path)
    # A large JPEG decoded at a part of its size still passes through every compressed byte, at a third of the time.
    picture.draft(None, (SEEN, SEEN))
    try:
        picture.load()
        oriented = picture.getexif().get(_EXIF_ORIENTATION, 1) not in (0, 1)
    except _DECODING_ERRORS as error:
        raise _broken(path, error) from error
    return ImageFacts(height, width, hashlib.sha256(content).hexdigest(), oriented, _hash(_grey(picture, path)))


def difference_hash(path: str | Path) -> str:
    """What an image looks like, in 128 bits that a copy at another size, quality or in grey changes by a few.

    dHash (Krawetz 2013) in both directions: whether each cell of a 9x9 reduction, upright, is darker than the one to
    its right, and than the one below.

    Returns
    -------
    32 hexadecimal digits

    Raises
    ------
    UsodError
        As `read_image`.
    """
    return _hash(thumbnail(path, 9))


def thumbnail(path: str | Path, side: int) -> np.ndarray:
    """The image in grey, upright, as a square: (side, side) int16 0..255. Raises UsodError as `read_image`."""
    picture = _open(path, decode=False)
    picture.draft(None, (SEEN, SEEN))
    return _grey(picture, path, side)


def _grey(picture: Image.Image, path: str | Path, side: int = 9) -> np.ndarray:
    grey = Image.fromarray(_decode_rgb(picture, path)).convert("L")
    return np.asarray(grey.resize((side, side), Image.Resampling.BOX), np.int16)


def _hash(cells: np.ndarray) -> str:
    right, below = cells[:-1, 1:] > cells[:-1, :-1], cells[1:, :-1] > cells[:-1, :-1]
    return np.packbits([right, below]).tobytes().hex()


def tell_broken(errors: Sequence[UsodError], count: int, rest: str) -> None:
    """At the end of work on `count` image files: name those that failed, a line each, and raise UsodError if any did.

    Parameters
    ----------
    rest : what has become of the others, for the last line
    """
    if len(errors) == 1 and count == 1:
        raise errors[0]
    for error in errors:
        print(f"usod: {error}", file=sys.stderr)
    if errors:
        what = f", {rest}" if len(errors) < count else ""
        raise UsodError(f"{len(errors)} of {count} images failed{what}. The first: {errors[0]}")


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize (H, W, 3) uint8 to `size` = (height, width): bilinear, antialiased when it shrinks. Returns uint8."""
    if image.shape[:2] == tuple(size):
        return image
    height, width = size
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def reduced_size(size: Sequence[int], max_side: int) -> tuple[int, int]:
    """(height, width) of an image whose longer side is brought to `max_side` where it is larger; 0: never.

    Raises ValueError if `max_side` is negative.
    """
    if max_side < 0:
        raise ValueError(f"max_side must be a number of pixels, or 0 for any, got {max_side}")
    factor = min(1.0, (max_side or np.inf) / max(size))
    height, width = (max(1, round(side * factor)) for side in size)
    return height, width


def resize_map(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a (H, W) map to `size` = (height, width): bilinear, antialiased when it shrinks. Returns float32.

    No value leaves the range of its neighbours. A bool mask becomes its coverage in [0, 1]: compare with 0.5.
    """
    values = np.ascontiguousarray(values, dtype=np.float32)
    if values.shape == tuple(size):
        return values
    height, width = size
    return np.asarray(Image.fromarray(values).resize((width, height), Image.Resampling.BILINEAR))


def _open(path: str | Path, content: bytes | None = None, *, decode: bool = True) -> Image.Image:
    try:
        picture = _identify(path, content)
    except Image.DecompressionBombError as error:
        raise _too_large(path) from error
    except _DECODING_ERRORS as error:
        raise _unreadable(path, error) from error
    if picture.width * picture.height > MAX_PIXELS:
        picture.close()
        raise _too_large(path)
    if decode:
        try:
            with picture:  # closes the file, not the decoded pixels
                picture.load()
                return picture
        except _DECODING_ERRORS as error:
            raise _broken(path, error) from error
    return picture


def _identify(path: str | Path, content: bytes | None) -> Image.Image:
    try:
        return Image.open(io.BytesIO(content) if content is not None else path)
    except Image.UnidentifiedImageError:
        # The bytes decide, as phones and chat programs give HEIC files names that end in .jpg.
        brand = _heif_brand(path, content)
        if brand is None or (brand != "avif" and not _heif_registered()):
            raise
        return Image.open(io.BytesIO(content) if content is not None else path)


def _heif_brand(path: str | Path, content: bytes | None) -> str | None:
    """The brand of a HEIF container (heic, mif1, avif, ...); None for any other file."""
    if content is None:
        with Path(path).open("rb") as file:
            content = file.read(12)
    brand = content[8:12].decode("latin-1")
    return brand if content[4:8] == b"ftyp" and brand in _HEIF_BRANDS else None


@functools.cache
def _heif_registered() -> bool:
    """Whether Pillow reads HEIC now: pillow-heif is loaded when the first such file is met."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def _orientation(picture: Image.Image, path: str | Path) -> int:
    try:
        return picture.getexif().get(_EXIF_ORIENTATION, 1)
    except _DECODING_ERRORS as error:
        raise _broken(path, error) from error


def _upright_size(picture: Image.Image, path: str | Path) -> tuple[int, int]:
    turned = _orientation(picture, path) in _TURNED
    return (picture.width, picture.height) if turned else (picture.height, picture.width)


def _decode_rgb(picture: Image.Image, path: str | Path) -> np.ndarray:
    try:
        picture = ImageOps.exif_transpose(picture)
        if picture.mode.startswith("I") or picture.mode == "F":
            picture = Image.fromarray(_to_uint8(np.asarray(picture)))
        elif picture.has_transparency_data:
            picture = picture.convert("RGBA")
            white = Image.new("RGBA", picture.size, "white")
            picture = Image.alpha_composite(white, picture)
        return np.array(picture.convert("RGB"))
    except _DECODING_ERRORS as error:
        raise _broken(path, error) from error


def _to_uint8(samples: np.ndarray) -> np.ndarray:
    """Samples deeper than 8 bits to 0..255: integers over the 16-bit range, floats as `read_image` says."""
    values = samples.astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("holds values that are not finite")
    top = values.max(initial=0)
    if np.issubdtype(samples.dtype, np.integer):
        full = max(65535, top)
    else:
        full = next((limit for limit in (1, 255) if top <= limit), top)
    return np.rint(values.clip(0) * (255 / full)).astype(np.uint8)


def _mask_values(picture: Image.Image) -> np.ndarray:
    """The (H, W) float32 values of a mask in the units of its file."""
    picture = ImageOps.exif_transpose(picture)
    if picture.mode == "P" and "transparency" not in picture.info:
        labels = np.asarray(picture)
        colours = np.asarray(picture.convert("RGB")).reshape(-1, 3)
        if (colours.max(1) != colours.min(1)).any():
            return (labels > 0).astype(np.float32)
    if picture.has_transparency_data:
        rgba = np.asarray(picture.convert("RGBA"))
        alpha = rgba[..., 3]
        chosen = alpha if alpha.min() < alpha.max() else rgba[..., :3].max(2)
        return chosen.astype(np.float32)
    if picture.mode.startswith("I") or picture.mode in ("F", "L"):
        return np.asarray(picture).astype(np.float32)
    if picture.mode == "1":
        return np.asarray(picture.convert("L")).astype(np.float32)
    return np.asarray(picture.convert("RGB")).max(2).astype(np.float32)


def _unreadable(path: str | Path, error: Exception) -> UsodError:
    if isinstance(error, FileNotFoundError):
        link = " (it is a link to a file that does not exist)" if Path(path).is_symlink() else ""
        return UsodError(f"{path}: no such file{link}")
    if isinstance(error, PermissionError):
        return UsodError(f"{path}: may not be read (permission denied)")
    if isinstance(error, IsADirectoryError):
        return UsodError(f"{path}: is a folder, not an image file")
    if isinstance(error, Image.UnidentifiedImageError):
        brand = _heif_brand(path, None)
        if brand and brand != "avif" and not _heif_registered():
            return UsodError(f"{path}: is a HEIC file; pillow-heif reads it: pip install 'usod[heif]'")
        if brand == "avif" and not features.check("avif"):
            return UsodError(f"{path}: is an AVIF file; Pillow 11.3 or newer reads it: pip install --upgrade pillow")
        return UsodError(f"{path}: is not an image of a known format; remove it or copy it again")
    return _broken(path, error)


def _broken(path: str | Path, error: Exception) -> UsodError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return UsodError(f"{path}: cannot be decoded ({reason}); copy it again or remove it")


def _too_large(path: str | Path) -> UsodError:
    return UsodError(f"{path}: has more than {MAX_PIXELS // 10**6} million pixels; shrink it first")
