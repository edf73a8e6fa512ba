"""The permutohedral lattices of several images side by side, for a GPU; `usod.crf.lattice` says what they are.

The vertices of all images are found by sorting the numbers of all corners, and the order in which they come out is kept
with the lattice: a vertex's corners follow one another in it, so that the splat is a sum over each vertex's part (the
rows of a sparse matrix in CSR format). It is taken in the same order every time, where a scatter with atomic additions
gives other last digits in every run; and an image's bits do not depend on the images beside it.

All of it is PyTorch, and runs on a CPU too.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from usod.crf.lattice import gain, radix
from usod.devices import sent


@dataclass(frozen=True, eq=False)
class SortedLattice:
    """Where N points of each of B images lie among the vertices of the lattice; no vertex belongs to two images.

    Attributes
    ----------
    order : (B N (d+1),) int32: the corners of the points' simplices, vertex by vertex; corner k of point i is
        (d+1) i + k
    starts : (M+1,) int32: where each vertex's part of `order` begins, and the end
    weights : (B N, d+1) float32: barycentric coordinates; `symmetrically_normalised` scales them
    neighbours : (d+1, 2, M) int32: the vertices before and after each one along each direction; M where no point
        touches that vertex, so that it counts as zero
    """

    order: Tensor
    starts: Tensor
    weights: Tensor
    neighbours: Tensor

    @property
    def n_vertices(self) -> int:
        """M, the number of vertices with a point in a simplex around them."""
        return self.neighbours.shape[2]

    @property
    def nbytes(self) -> int:
        """Memory of the lattice in bytes."""
        return sum(t.numel() * t.element_size() for t in (self.order, self.starts, self.weights, self.neighbours))

    @cached_property
    def _vertices(self) -> Tensor:
        """(B N (d+1),) int32, the vertex of each corner, point by point."""
        numbers = torch.arange(self.n_vertices, dtype=torch.int32, device=self.order.device)
        sizes = self.starts.diff()
        sorted_vertices = torch.repeat_interleave(numbers, sizes, output_size=len(self.order))
        return torch.empty_like(self.order).scatter_(0, self.order.long(), sorted_vertices)

    @cached_property
    def _points(self) -> Tensor:
        """(B N (d+1),) int32, the point of each corner, in `order`."""
        return self.order.div(self.weights.shape[1], rounding_mode="floor")

    @cached_property
    def _sorted_weights(self) -> Tensor:
        return self.weights.flatten().index_select(0, self.order)

    def filter(self, values: Tensor) -> Tensor:
        """Filter (B N,) or (B N, C) float32 values, one per point, image by image; the same shape comes back."""
        return self._slice(self._blur(self._splat(values)))

    def _splat(self, values: Tensor) -> Tensor:
        weights = self._sorted_weights.reshape(-1, *(1,) * (values.ndim - 1))
        shares = values.index_select(0, self._points).mul_(weights)
        # `unsafe`: not to look at the starts, for which it would wait for the device.
        sums = torch.segment_reduce(shares, "sum", offsets=self.starts, initial=0.0, unsafe=True)
        # One row more than there are vertices: the absent neighbour, which stays zero.
        return torch.cat((sums, sums.new_zeros(1, *sums.shape[1:])))

    def _blur(self, values: Tensor) -> Tensor:
        for before, after in self.neighbours:
            blurred = values.index_select(0, before).add_(values.index_select(0, after))
            values[:-1].add_(blurred, alpha=0.5)
        return values

    def _slice(self, values: Tensor) -> Tensor:
        corners = values.index_select(0, self._vertices).unflatten(0, self.weights.shape)
        return corners.mul_(self.weights.reshape(*self.weights.shape, *(1,) * (values.ndim - 1))).sum(1)

    def symmetrically_normalised(self) -> "SortedLattice":
        """The same lattice whose `filter` is D^-1/2 K D^-1/2, as `usod.crf.lattice.Lattice`'s."""
        sums = self.filter(torch.ones_like(self.weights[:, 0]))
        return replace(self, weights=self.weights * (sums + 1e-20).rsqrt()[:, None])

    def fresh(self) -> "SortedLattice":
        """The same lattice without what filtering works out of it, which takes more memory than the lattice."""
        return replace(self)


def build(features: Tensor, bounds: Sequence[tuple[float, float]]) -> SortedLattice:
    """The lattices of B images, as `usod.crf.lattice.build` makes one. Waits for the device once.

    Parameters
    ----------
    features : (d, B, N) float32, in units of the Gaussian's standard deviation
    bounds : lowest and highest value that each of the d features may have; not looked up, for which one would wait

    Raises
    ------
    ValueError
        If the features span so much that the vertices cannot be numbered in 64 bits.
    """
    d, images, n = features.shape
    if n % 4:  # see there
        features = torch.cat((features, features.new_zeros(d, images, 1)), dim=2)
        bounds = [(min(low, 0.0), max(high, 0.0)) for low, high in bounds]
    origin, rank, weights = _enclosing_simplex(features.flatten(1))
    lowest, widths = _digits(bounds)
    cell, strides = radix(widths, images)
    keys, order = _corner_keys(origin, rank, images, lowest, cell, strides).flatten().sort(stable=True)
    first = torch.cat((keys.new_ones(1, dtype=torch.bool), keys[1:] != keys[:-1]))
    number = first.cumsum(0, dtype=torch.int32) - 1
    count = int(number[-1]) + 1  # the one wait
    each = torch.arange(count + 1, dtype=torch.int32, device=keys.device)
    starts = torch.searchsorted(number, each, out_int32=True)
    neighbours = _neighbours(keys.index_select(0, starts[:-1]), cell, strides)
    # The keys lay corner by corner.
    corner, point = order.div(features[0].numel(), rounding_mode="floor"), order % features[0].numel()
    weights = weights.t().unflatten(0, (images, -1))[:, :n].flatten(0, 1).mul(gain(d))
    if n % 4:
        inside = point % (n + 1) < n
        corner, point, number = corner[inside], point[inside], number[inside]
        point = point - point.div(n + 1, rounding_mode="floor")
        starts = torch.searchsorted(number, each, out_int32=True)
    return SortedLattice((point * (d + 1) + corner).to(torch.int32), starts, weights, neighbours)


def _scales(d: int) -> list[float]:
    """What each of d features is multiplied by when it is embedded."""
    # The splat, the blur and the slice together have variance (2/3) (d+1)^2: features are scaled up to that. The
    # standard deviation is a float32, as in Krähenbühl's code.
    deviation = float(np.float32(math.sqrt(2.0 / 3.0) * (d + 1)))
    return [1.0 / math.sqrt(j * (j + 1.0)) * deviation for j in range(1, d + 1)]


def _enclosing_simplex(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Embed the points in the lattice's hyperplane, round to the nearest remainder-0 vertex, sort the remainders.

    Returns
    -------
    origin : (d+1, N) int32: the simplex's remainder-0 vertex, divided by d + 1
    rank : (d+1, N) int8: the place of each coordinate when the remainders are sorted in descending order
    barycentric : (d+1, N) float32: the weight of the vertex of each remainder 0..d
    """
    d, n = features.shape
    # The order of the operations is that of Krähenbühl's code: points on an edge of two simplices fall on its side.
    elevated = features.new_empty(d + 1, n)
    total = features.new_zeros(n)
    scales = _scales(d)
    for j in range(d, 0, -1):
        scaled = features[j - 1] * scales[j - 1]
        elevated[j] = total - j * scaled
        total = total + scaled
    elevated[0] = total

    origin = (elevated * (1.0 / (d + 1))).round_()
    excess = origin.sum(0).to(torch.int8)
    remainder = elevated - origin * (d + 1)
    rank = torch.arange(d + 1, dtype=torch.int8, device=features.device)[:, None].repeat(1, n)
    for i in range(d):
        for j in range(i + 1, d + 1):
            below = (remainder[i] < remainder[j]).view(torch.int8)
            rank[i] += below
            rank[j] -= below
    # Coordinates that rounding has put off the hyperplane are brought back where this moves the point least.
    rank += excess
    shift = (rank < 0).view(torch.int8) - (rank > d).view(torch.int8)
    rank += shift * (d + 1)
    origin += shift

    offset = elevated.sub_(origin * (d + 1)).mul_(1.0 / (d + 1))
    ascending = torch.empty_like(offset).scatter_(0, (d - rank).long(), offset)
    barycentric = torch.empty_like(offset)
    barycentric[1:] = ascending[1:] - ascending[:-1]
    barycentric[0] = ascending[0] + (1 - ascending[-1])
    return origin.to(torch.int32), rank, barycentric


def _digits(bounds: Sequence[tuple[float, float]]) -> tuple[list[int], list[int]]:
    """What the digits of the quotients count from, and their widths, for features within bounds."""
    d = len(bounds)
    scaled = [(low * scale, high * scale) for (low, high), scale in zip(bounds, _scales(d), strict=True)]
    lowest, widths = [], []
    for j in range(d):
        # As in `_enclosing_simplex`: those after it, less j times its own.
        least, most = sum(low for low, _ in scaled[j:]), sum(high for _, high in scaled[j:])
        if j:
            low, high = scaled[j - 1]
            least, most = least - j * high, most - j * low
        # Rounding moves a quotient by a half, bringing it back to the hyperplane by 1, and float32 by little.
        below, above = math.floor(least / (d + 1) - 1.6), math.ceil(most / (d + 1) + 1.6)
        lowest.append(below - 2)
        widths.append(above - below + 4)
    return lowest, widths


def _corner_keys(
    origin: Tensor, rank: Tensor, images: int, lowest: Sequence[int], cell: int, strides: Sequence[int]
) -> Tensor:
    """The number of each corner of each simplex (see `radix`), image after image: (d+1, points), int32 where they fit.

    Parameters
    ----------
    origin, rank : (d+1, points) as `_enclosing_simplex` gives them, of `images` images
    lowest, cell, strides : of the digits
    """
    corners, points = rank.shape
    dtype = torch.int32 if images * corners * cell < 2**31 else torch.int64
    keys = torch.empty(rank.shape, dtype=dtype, device=rank.device)
    image = torch.arange(images, dtype=dtype, device=rank.device) * (corners * cell)
    keys[0] = image.repeat_interleave(points // images)
    for quotient, low, stride in zip(origin[:-1], lowest, strides, strict=True):
        keys[0] += (quotient.to(dtype) - low) * stride
    # From the vertex of remainder m - 1 to that of m all coordinates rise by 1, and then the one of rank d + 1 - m
    # falls by d + 1: the digit m rises by 1, and one quotient falls by 1.
    steps = sent(torch.tensor([*strides, 0], dtype=dtype), rank.device)
    falling = torch.empty_like(keys).scatter_(0, (corners - 1 - rank).long(), steps[:, None].expand(rank.shape))
    for m in range(1, corners):
        keys[m] = keys[m - 1] + cell - falling[m - 1]
    return keys


def _neighbours(unique: Tensor, cell: int, strides: Sequence[int]) -> Tensor:
    """(d+1, 2, M) int32 places in the sorted keys of each vertex's neighbours, M where there is none.

    Along direction j coordinate j changes by d against 1 the other way in all others.
    """
    d, n = len(strides), len(unique)
    remainder = unique.div(cell, rounding_mode="floor") % (d + 1)
    # All coordinates up by 1: the next remainder, or from d to 0 with all quotients up by 1; and the reverse.
    up = torch.where(remainder < d, unique + cell, unique - d * cell + sum(strides))
    down = torch.where(remainder > 0, unique - cell, unique + d * cell - sum(strides))
    places = []
    for stride in (*strides, 0):
        wanted = torch.stack((down + stride, up - stride))
        place = torch.searchsorted(unique, wanted, out_int32=True).clamp_max_(n - 1)
        places.append(place.masked_fill_(unique[place] != wanted, n))
    return torch.stack(places)
