"""Gaussian filtering on the permutohedral lattice (Adams, Baek & Davis, Eurographics 2010).

A Gaussian filter over N points with d-dimensional features, sum_j exp(-|f_i - f_j|^2 / 2) v_j, costs O(N^2) when it is
summed. On the lattice it costs O(N d): each point's value is *splatted* onto the d + 1 vertices of the simplex around
it, the vertices are *blurred* along the d + 1 directions of the lattice, and the points are *sliced* out again.

Where a point lies is found once, by `build`; after that, splat and slice are one sparse matrix of N rows with d + 1
entries each (its transpose, and itself), and a blur is two gathers. This is the lattice of one image on a CPU, found
and filtered by the compiled loops of `usod.crf.simplices` and `usod.crf.filtering`; `usod.crf.sorted_lattice` has the
same for a GPU. The mean field of the dense CRF filters with the same lattice in every iteration, and the training loop
refines the same image in every epoch, so lattices are kept.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from usod.crf.filtering import Arrays, filtered, normalised
from usod.crf.simplices import quotient_bounds, simplices


@dataclass(frozen=True, eq=False)
class Lattice:
    """Where N points lie among the M vertices of the lattice that they touch.

    Attributes
    ----------
    vertices : (N, d+1) in [0, M): the corners of each point's simplex; uint16 where there are not too many, else int32
    weights : (N, d+1) float32: barycentric coordinates; `symmetrically_normalised` scales them. In 16 bits they would
        move marginals of noisy maps by 0.001
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

    @property
    def arrays(self) -> Arrays:
        """What the compiled loops take."""
        return Arrays.of(self.vertices.numpy(), self.weights.numpy(), self.neighbours.numpy())

    def filter(self, values: Tensor) -> Tensor:
        """Filter (N,) or (N, C) float32 values, one per point, with the Gaussian kernel; the same shape comes back.

        The kernel's scale varies with how densely the points lie; `symmetrically_normalised` takes that out.
        """
        channels = values.reshape(len(values), -1).t().contiguous().numpy()
        found = np.stack([filtered(self.arrays, channel) for channel in channels])
        return torch.from_numpy(found).t().reshape(values.shape)

    def symmetrically_normalised(self) -> "Lattice":
        """The same lattice whose `filter` is D^-1/2 K D^-1/2, D the sums of K's rows (Krähenbühl & Koltun 2013)."""
        return Lattice(self.vertices, torch.from_numpy(normalised(self.arrays)), self.neighbours)


def build(features: Tensor, threads: int = 1) -> Lattice:
    """Find the simplex of each point and the vertices' neighbours.

    Parameters
    ----------
    features : (d, N) float32, in units of the Gaussian's standard deviation
    threads : which share the points; the lattice is the same with any number

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
    points = features.contiguous().numpy()
    lowest, highest = quotient_bounds(points)
    cell, strides = radix((highest - lowest + 4).tolist())
    found = simplices(points, lowest - 2, np.array([*strides, 0]), cell, gain(d), threads)
    vertices, weights, neighbours = map(torch.from_numpy, found)
    return Lattice(vertices[:n], weights[:n], neighbours)


def gain(d: int) -> float:
    """What Krähenbühl's code multiplies a filter of d features by: its square root, for the splat and for the slice."""
    return math.sqrt(1.0 / (1.0 + 2.0**-d))


def radix(widths: Sequence[int], images: int = 1) -> tuple[int, list[int]]:
    """Weights of the digits of a vertex's number: that of the digit m, and those of the quotients.

    The coordinates of a vertex of remainder m are all m modulo d + 1. So m and the quotients of the first d
    coordinates (all coordinates sum to 0) say which vertex it is: they are the digits of a number in a mixed radix,
    each digit as wide as its range and with room for the neighbours.

    Parameters
    ----------
    widths : of the quotients' digits
    images : that are numbered together: the highest digit

    Raises
    ------
    ValueError
        If the numbers do not fit in 64 bits.
    """
    cell = math.prod(widths)
    if images * (len(widths) + 1) * cell >= 2**62:
        raise ValueError("features span too many standard deviations for a lattice: raise the kernel's widths")
    return cell, [math.prod(widths[:i]) for i in range(len(widths))]
