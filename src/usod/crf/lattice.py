"""Gaussian filtering on the permutohedral lattice (Adams, Baek & Davis, Eurographics 2010).

A Gaussian filter over N points with d-dimensional features, sum_j exp(-|f_i - f_j|^2 / 2) v_j, costs O(N^2) when it is
summed. On the lattice it costs O(N d): each point's value is *splatted* onto the d + 1 vertices of the simplex around
it, the vertices are *blurred* along the d + 1 directions of the lattice, and the points are *sliced* out again.

Where a point lies is found once, by `build`; after that, splat and slice are one sparse matrix of N rows with d + 1
entries each (its transpose, and itself), and a blur is two gathers. On a CPU a compiled loop does all of it for one
image, without the interpreter's lock; on a GPU PyTorch's scatters and gathers do. The mean field of the dense CRF
filters with the same lattice in every iteration, and the training loop refines the same image in every epoch, so
lattices are kept.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numba import njit
from torch import Tensor

from usod.crf.simplices import numbered, simplices


@dataclass(frozen=True, eq=False)
class Lattice:
    """Where N points lie among the M vertices of the lattice that they touch.

    Attributes
    ----------
    vertices : (N, d+1) int32 in [0, M): the corners of each point's simplex; uint16 in a `compact` lattice
    weights : (N, d+1) float32: barycentric coordinates; `symmetrically_normalised` scales them
    neighbours : (d+1, 2, M) of the same type: the vertices before and after each one along each direction; M where no
        point touches that vertex, so that it counts as zero
    """

    vertices: Tensor
    weights: Tensor
    neighbours: Tensor

    @property
    def n_vertices(self) -> int:
        """M, the number of vertices with a point in a simplex around them."""
        return self.neighbours.shape[2]

    @property
    def nbytes(self) -> int:
        """Memory of the lattice in bytes."""
        return sum(t.numel() * t.element_size() for t in (self.vertices, self.weights, self.neighbours))

    def filter(self, values: Tensor) -> Tensor:
        """Filter (N,) or (N, C) float32 values, one per point, with the Gaussian kernel; the same shape comes back.

        The kernel's scale varies with how densely the points lie; `symmetrically_normalised` takes that out.
        """
        if self.weights.device.type == "cpu":
            return self._filter_on_cpu(values)
        return self._slice(self._blur(self._splat(values)))

    def _filter_on_cpu(self, values: Tensor) -> Tensor:
        # Unsigned, or every index would be tested for being negative.
        vertices, neighbours = (
            t.numpy() if t.dtype == torch.uint16 else t.numpy().view(np.uint32)
            for t in (self.vertices, self.neighbours)
        )
        parts = vertices, self.weights.numpy(), neighbours
        channels = values.reshape(len(values), -1).t().contiguous().numpy()
        filtered = np.stack([_filter(*parts, channel) for channel in channels])
        return torch.from_numpy(filtered).t().reshape(values.shape)

    def _splat(self, values: Tensor) -> Tensor:
        # One row more than there are vertices: the absent neighbour, which stays zero.
        splatted = values.new_zeros((self.n_vertices + 1, *values.shape[1:]))
        weights = self.weights.reshape(self.weights.shape + (1,) * (values.ndim - 1))
        return splatted.index_add_(0, self.vertices.flatten(), (weights * values[:, None]).flatten(0, 1))

    def _blur(self, values: Tensor) -> Tensor:
        for before, after in self.neighbours:
            blurred = values.index_select(0, before).add_(values.index_select(0, after))
            values[:-1].add_(blurred, alpha=0.5)
        return values

    def _slice(self, values: Tensor) -> Tensor:
        corners = values.index_select(0, self.vertices.flatten()).unflatten(0, self.vertices.shape)
        weights = self.weights.reshape(self.weights.shape + (1,) * (values.ndim - 1))
        return (corners * weights).sum(1)

    def compact(self) -> "Lattice":
        """The same lattice with its vertices numbered in 16 bits, a quarter smaller, where there are not too many.

        The weights stay as they are: in 16 bits they would move marginals of noisy maps by 0.001.
        """
        if self.n_vertices >= 2**16:
            return self
        return Lattice(self.vertices.to(torch.uint16), self.weights, self.neighbours.to(torch.uint16))

    def expanded(self) -> "Lattice":
        """The same lattice with its vertices numbered in 32 bits, as PyTorch's gathers and scatters want them."""
        return Lattice(self.vertices.to(torch.int32), self.weights, self.neighbours.to(torch.int32))

    def symmetrically_normalised(self) -> "Lattice":
        """The same lattice whose `filter` is D^-1/2 K D^-1/2, D the sums of K's rows (Krähenbühl & Koltun 2013)."""
        sums = self.filter(torch.ones_like(self.weights[:, 0]))
        return Lattice(self.vertices, self.weights * (sums + 1e-20).rsqrt()[:, None], self.neighbours)


def join(lattices: Sequence[Lattice]) -> Lattice:
    """One lattice of all the points, no vertex shared: filters images side by side in the same few GPU kernels."""
    if len(lattices) == 1 and lattices[0].weights.device.type == "cpu":
        return lattices[0]
    lattices = [lattice.expanded() for lattice in lattices]
    total = sum(lattice.n_vertices for lattice in lattices)
    vertices, neighbours, start = [], [], 0
    for lattice in lattices:
        vertices.append(lattice.vertices + start)
        absent = lattice.neighbours == lattice.n_vertices
        neighbours.append((lattice.neighbours + start).masked_fill_(absent, total))
        start += lattice.n_vertices
    return Lattice(torch.cat(vertices), torch.cat([lattice.weights for lattice in lattices]), torch.cat(neighbours, 2))


def build(features: Tensor) -> Lattice:
    """Find the simplex of each point and the vertices' neighbours.

    Parameters
    ----------
    features : (d, N) float32, in units of the Gaussian's standard deviation

    Returns
    -------
    The lattice whose `filter` approximates v_i <- sum_j exp(-|f_i - f_j|^2 / 2) v_j up to its scale. The factor
    1 / (1 + 2^-d) of Krähenbühl's code is in the weights, its square root for the splat and for the slice.

    Raises
    ------
    ValueError
        If the features span so much that the vertices cannot be numbered in 64 bits.
    """
    d, n = features.shape
    # Krähenbühl's code fills up its last block of four points with zeros, and the vertices around them exist, empty,
    # for the blur to pass through. Without them the two differ, by up to 0.06 in a marginal, where 4 does not divide N.
    if n % 4:
        features = torch.cat((features, features.new_zeros(d, 1)), dim=1)
    vertices, weights, neighbours = (_build_on_cpu if features.device.type == "cpu" else _build_by_sorting)(features)
    gain = math.sqrt(1.0 / (1.0 + 2.0**-d))
    return Lattice(vertices[:n].contiguous(), weights[:n].mul(gain).contiguous(), neighbours)


def _build_on_cpu(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Vertices, barycentric weights and neighbours as in a `Lattice`: compiled loops, vertices numbered as met."""
    origin, rank, weights, lowest, highest = simplices(features.contiguous().numpy())
    cell, strides = _radix((highest - lowest + 4).tolist())
    vertices, neighbours = numbered(origin, rank, len(weights), lowest - 2, np.array([*strides, 0]), cell)
    return torch.from_numpy(vertices), torch.from_numpy(weights), torch.from_numpy(neighbours)


def _build_by_sorting(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same on a GPU: vertices numbered in the order of their keys."""
    origin, rank, weights = _enclosing_simplex(features)
    keys, cell, strides = _vertex_keys(origin, rank)
    unique, vertices = torch.unique(keys, return_inverse=True)
    return vertices.t().to(torch.int32), weights.t(), _neighbours(unique, cell, strides)


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
    # So is the float32 standard deviation in the scale.
    deviation = float(np.float32(math.sqrt(2.0 / 3.0) * (d + 1)))
    elevated = features.new_empty(d + 1, n)
    total = features.new_zeros(n)
    for j in range(d, 0, -1):
        # The splat, the blur and the slice together have variance (2/3) (d+1)^2: features are scaled up to that.
        scaled = features[j - 1] * (1.0 / math.sqrt(j * (j + 1.0)) * deviation)
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


def _vertex_keys(origin: Tensor, rank: Tensor) -> tuple[Tensor, int, list[int]]:
    """One integer for each corner of each simplex: (d+1, N) keys, int32 where they fit.

    The coordinates of a vertex of remainder m are all m modulo d + 1. So m and the quotients of the first d
    coordinates (all coordinates sum to 0) say which vertex it is: they are the digits of a number in a mixed radix,
    each digit as wide as its range in this image and with room for the neighbours. Returned beside the keys: the
    weight of the digit m, and those of the quotients.
    """
    d = rank.shape[0] - 1
    quotient = origin[:d] - origin[:d].amin(1, keepdim=True) + 2
    cell, strides = _radix((quotient.amax(1) + 2).tolist())
    dtype = torch.int32 if (d + 1) * cell < 2**31 else torch.int64

    keys = torch.empty(rank.shape, dtype=dtype, device=rank.device)
    keys[0] = sum(q.to(dtype) * stride for q, stride in zip(quotient, strides, strict=True))
    # From the vertex of remainder m - 1 to that of m all coordinates rise by 1, and then the one of rank d + 1 - m
    # falls by d + 1: the digit m rises by 1, and one quotient falls by 1.
    steps = torch.tensor([*strides, 0], dtype=dtype, device=rank.device)
    falling = torch.empty_like(keys).scatter_(0, (d - rank).long(), steps[:, None].expand(rank.shape))
    for m in range(1, d + 1):
        keys[m] = keys[m - 1] + cell - falling[m - 1]
    return keys, cell, strides


def _radix(widths: Sequence[int]) -> tuple[int, list[int]]:
    """Weight of the digit m, and those of the quotients, for digits of these widths."""
    cell = math.prod(widths)
    if (len(widths) + 1) * cell >= 2**62:
        raise ValueError("features span too many standard deviations for a lattice: raise the kernel's widths")
    return cell, [math.prod(widths[:i]) for i in range(len(widths))]


def _neighbours(unique: Tensor, cell: int, strides: Sequence[int]) -> Tensor:
    """(d+1, 2, M) int32 places in the sorted keys of each vertex's neighbours, M where there is none.

    Along direction j coordinate j changes by d against 1 the other way in all others.
    """
    d, n = len(strides), len(unique)
    remainder = unique.div(cell, rounding_mode="floor")
    # All coordinates up by 1: the next remainder, or from d to 0 with all quotients up by 1; and the reverse.
    up = torch.where(remainder < d, unique + cell, unique - d * cell + sum(strides))
    down = torch.where(remainder > 0, unique - cell, unique + d * cell - sum(strides))
    places = []
    for stride in (*strides, 0):
        wanted = torch.stack((down + stride, up - stride))
        place = torch.searchsorted(unique, wanted, out_int32=True).clamp_max_(n - 1)
        places.append(place.masked_fill_(unique[place] != wanted, n))
    return torch.stack(places)


@njit(cache=True, nogil=True)
def _filter(vertices, weights, neighbours, values):
    """`Lattice.filter` of one channel (N,) float32, in the arrays of a lattice."""
    n, corners = vertices.shape
    directions, _, m = neighbours.shape
    splatted = np.zeros(m + 1, np.float32)  # the last one is the absent neighbour, and stays zero
    for i in range(n):
        value = values[i]
        for k in range(corners):
            splatted[vertices[i, k]] += weights[i, k] * value
    blurred = np.zeros(m + 1, np.float32)
    for j in range(directions):
        for i in range(m):
            around = splatted[neighbours[j, 0, i]] + splatted[neighbours[j, 1, i]]
            blurred[i] = splatted[i] + np.float32(0.5) * around
        splatted, blurred = blurred, splatted
    filtered = np.empty(n, np.float32)
    for i in range(n):
        total = np.float32(0.0)
        for k in range(corners):
            total += weights[i, k] * splatted[vertices[i, k]]
        filtered[i] = total
    return filtered
