"""Run lengths, as COCO, CVAT and Label Studio write them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from usod.errors import UsodError

# Of a run's length in Label Studio's format: the numbers of bits it may take.
_SIZES = (3, 4, 8, 16)


def to_coco(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """(H, W) bool -> COCO's compressed RLE, counts as text."""
    encoded = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(side) for side in encoded["size"]], "counts": encoded["counts"].decode("ascii")}


def from_coco(encoded: dict[str, Any]) -> NDArray[np.bool_]:
    """COCO's RLE, compressed or as a list of counts -> (H, W) bool."""
    if isinstance(encoded["counts"], list):
        height, width = encoded["size"]
        if sum(encoded["counts"]) != height * width:
            raise UsodError(f"run lengths of {sum(encoded['counts'])} pixels, its image is {width}x{height}")
        encoded = coco.frPyObjects(encoded, height, width)
    return coco.decode(encoded).astype(bool)


def counts(values: NDArray[np.bool_]) -> list[int]:
    """Lengths of the runs of a flat array, the first of False (0 where it begins with True), as CVAT's `rle`."""
    edges = np.flatnonzero(np.diff(values)) + 1
    lengths = np.diff(np.concatenate([[0], edges, [values.size]])).tolist()
    return [0, *lengths] if values.size and values[0] else lengths


def from_counts(lengths: Sequence[int]) -> NDArray[np.bool_]:
    """The flat array of `counts`."""
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)


def to_label_studio(mask: NDArray[np.bool_]) -> list[int]:
    """(H, W) bool -> the bytes of Label Studio's brush format, of an RGBA image that is 255 in the mask.

    Its bits (`rle-pack` of thi.ng/umbrella, which the editor uses): 32 of the number of values, 5 of the bits of a
    value less one, 4 each of the four sizes of a length less one; then for each run a bit 1, two for which size its
    length has, the length less one, and the value.
    """
    flat = mask.ravel()
    edges = np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1, [flat.size]])
    parts = [f"{4 * flat.size:032b}", f"{8 - 1:05b}", *(f"{size - 1:04b}" for size in _SIZES)]
    for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        value = "11111111" if flat[start] else "00000000"
        left = 4 * (end - start)
        while left > 0:
            length = min(left, 2 ** _SIZES[-1])
            which = next(number for number, size in enumerate(_SIZES) if length <= 2**size)
            parts.append(f"1{which:02b}{length - 1:0{_SIZES[which]}b}{value}")
            left -= length
    bits = "".join(parts)
    bits += "0" * (-len(bits) % 8)
    return list(int(bits, 2).to_bytes(len(bits) // 8, "big"))


def from_label_studio(packed: Sequence[int], size: tuple[int, int]) -> NDArray[np.bool_]:
    """The inverse of `to_label_studio`, of files of Label Studio too: True where the alpha channel is above 0.

    Raises
    ------
    UsodError
        If the bytes hold another number of pixels, or end too early.
    """
    bits = np.unpackbits(np.asarray(packed, np.uint8))
    at = 0

    def read(width: int) -> int:
        nonlocal at
        if at + width > bits.size:
            raise UsodError("a brush mask (rle) ends too early")
        at += width
        return int.from_bytes(
            np.packbits(np.concatenate([np.zeros(-width % 8, np.uint8), bits[at - width : at]])), "big"
        )

    count = read(32)
    word = read(5) + 1
    sizes = [read(4) + 1 for _ in range(4)]
    if count != 4 * size[0] * size[1]:
        raise UsodError(f"a brush mask (rle) has {count} values, its image of {size[1]}x{size[0]} four of each pixel")
    above = np.zeros(count, bool)  # 0
    done = 0
    while done < count:
        run = read(1)
        length = read(sizes[read(2)]) + 1
        if run:
            above[done : done + length] = read(word) > 0
        else:
            if at + length * word > bits.size:
                raise UsodError("a brush mask (rle) ends too early")
            rows = bits[at : at + length * word].reshape(length, word)[: count - done]
            above[done : done + length] = rows.any(1)
            at += length * word
        done += length
    return above.reshape(-1, 4)[:, 3].reshape(size)
