"""The handcrafted detectors as one would write them in an afternoon: NumPy, SciPy, scikit-image and scikit-learn.

What `handcrafted.py` measures the package against. Each computes the method of its paper with the settings of the
package; superpixels are scikit-image's, and frames are found by the package itself. Work on pixels is vectorised
throughout, loops run over superpixels at most. All take (H, W, 3) uint8 and return (H, W) float64 in [0, 1].
"""

import heapq
from collections.abc import Callable
from functools import wraps

import numpy as np
from scipy import ndimage
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra
from scipy.spatial.distance import cdist
from skimage.color import rgb2lab, rgb2luv  # type: ignore[attr-defined]
from skimage.filters import sobel, threshold_otsu
from skimage.measure import regionprops
from skimage.morphology import reconstruction
from skimage.segmentation import slic, watershed
from skimage.transform import resize
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA, sparse_encode

from usod.handcrafted.frame import find_frame

Detector = Callable[[np.ndarray], np.ndarray]


def without_frame(detector: Detector) -> Detector:
    @wraps(detector)
    def framed(image: np.ndarray) -> np.ndarray:
        frame = find_frame(image)
        return frame.restore(detector(frame.crop(image)))

    return framed


def min_max(values: np.ndarray) -> np.ndarray:
    return (values - values.min()) / max(values.max() - values.min(), 1e-12)


def superpixels(image: np.ndarray, count: int, compactness: float) -> np.ndarray:
    return slic(image, n_segments=count, compactness=compactness, start_label=0)


def means(labels: np.ndarray, values: np.ndarray) -> np.ndarray:
    index = np.arange(labels.max() + 1)
    return np.stack([ndimage.mean(values[..., c], labels, index) for c in range(values.shape[2])], axis=1)


def centres(labels: np.ndarray) -> np.ndarray:
    index = np.arange(labels.max() + 1)
    return np.array(ndimage.center_of_mass(np.ones(labels.shape), labels, index)) / labels.shape


def border_of(labels: np.ndarray) -> np.ndarray:
    return np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))


def touching(labels: np.ndarray) -> np.ndarray:
    n = labels.max() + 1
    adjacent = np.zeros((n, n), dtype=bool)
    for a, b in ((labels[:-1], labels[1:]), (labels[:, :-1], labels[:, 1:])):
        adjacent[a, b] = adjacent[b, a] = True
    np.fill_diagonal(adjacent, False)
    return adjacent


def two_ring(adjacent: np.ndarray) -> np.ndarray:
    linked = np.linalg.matrix_power(adjacent + np.eye(len(adjacent)), 2) > 0
    np.fill_diagonal(linked, False)
    return linked


def joined(adjacent: np.ndarray, border: np.ndarray) -> np.ndarray:
    linked = adjacent.copy()
    linked[np.ix_(border, border)] = True
    np.fill_diagonal(linked, False)
    return linked


@without_frame
def rbd(image: np.ndarray) -> np.ndarray:
    labels = superpixels(image, round(image.shape[0] * image.shape[1] / 600), 20)
    n, border, adjacent = labels.max() + 1, border_of(labels), touching(labels)
    colour = cdist(*[means(labels, rgb2lab(image))] * 2)
    place = cdist(*[centres(labels)] * 2)
    nearest = np.where(adjacent, colour, np.inf).min(axis=1).mean()
    clip = np.where(two_ring(adjacent), colour, np.inf).min(axis=1).mean()
    across = np.sort(colour[np.triu(adjacent)])[::-1]
    top = across[: max(1, round(0.01 * len(across)))].mean()
    sigma_geodesic, sigma_smooth = max(5, min(10, 3 * nearest, top / 10)), min(20, 3 * nearest, top / 5)

    # A cost of 0 would be no link to a sparse matrix.
    linked = joined(adjacent, border)
    geodesic = dijkstra(csr_matrix(np.where(linked, np.maximum(colour - clip, 1e-9), 0)))
    connectivity = np.empty(n)
    for i in range(n):
        similarity = np.exp(-(geodesic[i] ** 2) / (2 * sigma_geodesic**2))
        connectivity[i] = similarity[border].sum() / np.sqrt(similarity.sum())
    background = 1 - np.exp(-(connectivity**2) / 2)
    contrast = np.array([(colour[i] * np.exp(-(place[i] ** 2) / (2 * 0.4**2)) * background).sum() for i in range(n)])
    contrast = min_max(contrast)
    contrast[contrast < threshold_otsu(contrast)] = 0
    background[connectivity > 3] = 1000

    smoothness = np.zeros((n, n))
    for i in range(n):
        near = np.flatnonzero(two_ring_row(adjacent, i, border))
        smoothness[i, near] = np.exp(-(colour[i, near] ** 2) / (2 * sigma_smooth**2))
    smoothness += 0.1 * adjacent
    system = np.diag(smoothness.sum(axis=1) + 5 * background + contrast) - smoothness
    return min_max(np.linalg.solve(system, contrast))[labels]


def two_ring_row(adjacent: np.ndarray, i: int, border: np.ndarray) -> np.ndarray:
    row = adjacent[i] | adjacent[adjacent[i]].any(axis=0)
    if i in border:
        row[border] = True
    row[i] = False
    return row


def mc(image: np.ndarray) -> np.ndarray:
    labels = superpixels(image, 250, 20)
    n, border, adjacent = labels.max() + 1, border_of(labels), touching(labels)
    for one, other in ((labels[0], labels[-1]), (labels[:, 0], labels[:, -1])):
        adjacent[one, other] = adjacent[other, one] = True
    linked = two_ring(adjacent)
    colour = cdist(*[means(labels, rgb2lab(image))] * 2)
    affinity = np.eye(n)
    affinity[linked] = np.exp(-10 * min_max(colour[linked]))
    absorbed = affinity[:, border].sum(axis=1)
    total = affinity.sum(axis=1) + absorbed
    transition = affinity / total[:, None]
    fundamental = np.linalg.inv(np.eye(n) - transition)
    time = min_max(fundamental @ np.ones(n))
    bins = np.minimum((10 * time).astype(int), 9)
    if np.minimum(bins + 1, 10 - bins).mean() >= 2:
        degree = affinity.sum(axis=1)
        weight = degree.sum() / degree
        time = min_max(fundamental @ (weight / weight.sum()))
    return time[labels]


def hs(image: np.ndarray) -> np.ndarray:
    luv = rgb2luv(image)
    labels = watershed(sum(sobel(luv[..., c]) for c in range(3))) - 1
    height, width = labels.shape
    diagonal = np.hypot(height, width)
    rows, cols = np.mgrid[:height, :width]
    nearness = np.exp(-9 * ((rows / height - 0.5) ** 2 + (cols / width - 0.5) ** 2))
    layers, cues = [], []
    for threshold in (3, 17, 33):
        labels = merged(labels, luv, threshold)
        place = centres(labels) * labels.shape / diagonal
        weight = np.exp(-(cdist(place, place) ** 2) / (0.2**2 * threshold)) * np.bincount(labels.ravel())
        colour = means(labels, luv)
        contrast = (weight * cdist(colour, colour)).sum(axis=1)
        layers.append(labels)
        cues.append(min_max(contrast) * min_max(means(labels, nearness[..., None])[:, 0]))

    offsets = np.cumsum([0] + [len(cue) for cue in cues])
    beta = np.repeat([0.5, 4, 2], np.diff(offsets))
    system = np.diag(beta)
    for layer, tie in ((0, 4.0), (1, 2.0)):
        pairs = np.unique(np.stack([layers[layer].ravel(), layers[layer + 1].ravel()]), axis=1)
        for child, parent in pairs.T + offsets[[layer, layer + 1]]:
            system[child, child] += tie
            system[parent, parent] += tie
            system[child, parent] = system[parent, child] = -tie
    saliency = np.linalg.solve(system, beta * np.concatenate(cues))
    return min_max(saliency[: offsets[1]])[layers[0]]


def merged(labels: np.ndarray, luv: np.ndarray, threshold: int) -> np.ndarray:
    """Merge regions into which no square of `threshold` pixels fits, the smallest first, by mean colour."""
    labels = labels.copy()
    n = labels.max() + 1
    sizes = np.bincount(labels.ravel())
    sums = means(labels, luv) * sizes[:, None]
    boxes = [region.bbox for region in regionprops(labels + 1)]
    neighbours: list[set[int]] = [set() for _ in range(n)]
    for a, b in ((labels[:-1], labels[1:]), (labels[:, :-1], labels[:, 1:])):
        for i, j in np.unique(np.stack([a[a != b], b[a != b]]), axis=1).T.tolist():
            neighbours[i].add(j)
            neighbours[j].add(i)

    def scale(region: int) -> int:
        top, left, bottom, right = boxes[region]
        inside = np.pad(labels[top:bottom, left:right] == region, 1)
        return 2 * int(ndimage.distance_transform_cdt(inside, "chessboard").max()) - 1

    waiting = [(scale(region), region) for region in range(n)]
    heapq.heapify(waiting)
    latest = {region: side for side, region in waiting}
    while waiting and waiting[0][0] < threshold:
        side, region = heapq.heappop(waiting)
        if latest.get(region) != side or not neighbours[region]:
            continue
        colour = sums[region] / sizes[region]
        kept = min(neighbours[region], key=lambda j: ((sums[j] / sizes[j] - colour) ** 2).sum())
        top, left, bottom, right = boxes[region]
        part = labels[top:bottom, left:right]
        part[part == region] = kept
        sums[kept] += sums[region]
        sizes[kept] += sizes[region]
        before = boxes[kept]
        boxes[kept] = (*np.minimum(before[:2], (top, left)), *np.maximum(before[2:], (bottom, right)))
        for other in neighbours[region]:
            neighbours[other].discard(region)
            if other != kept:
                neighbours[other].add(kept)
                neighbours[kept].add(other)
        del latest[region]
        latest[kept] = scale(kept)
        heapq.heappush(waiting, (latest[kept], kept))
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape)


def dsr(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    rgb = image / 255.0
    lab = rgb2lab(image)
    rows, cols = np.mgrid[:height, :width]
    stretched = np.stack([min_max(lab[..., c]) for c in range(3)], axis=-1)
    pixels = np.concatenate([rgb, stretched, np.stack([cols / width, rows / height], axis=-1)], axis=-1)
    maps = np.zeros((2, height, width))
    total = np.zeros((height, width))
    for count, compactness in zip(
        (50, 100, 150, 200, 250, 300, 350, 400), (10, 10, 20, 20, 25, 25, 30, 30), strict=True
    ):
        labels = superpixels(image, count, compactness)
        features = means(labels, pixels)
        templates = features[border_of(labels)]
        basis = PCA(0.95).fit(templates).components_
        centred = features - features.mean(axis=0)
        dense = np.linalg.norm(centred - centred @ basis.T @ basis, axis=1)
        unit, atoms = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (features, templates))
        codes = sparse_encode(unit, atoms, algorithm="lasso_lars", alpha=0.01)
        sparse = ((unit - codes @ atoms) ** 2).sum(axis=1)
        groups = KMeans(min(8, len(features)), n_init=1, random_state=0).fit_predict(features)
        weight = 1 / (np.linalg.norm(pixels - features[labels], axis=-1) + 1e-12)
        total += weight
        for k, errors in enumerate((dense, sparse)):
            maps[k] += weight * propagated(min_max(errors), features, groups)[labels]
    first, second = (object_biased(min_max(errors / total)) for errors in maps)
    return min_max(posterior(first, second) + posterior(second, first))


def propagated(errors: np.ndarray, features: np.ndarray, groups: np.ndarray) -> np.ndarray:
    variance = features.var(axis=0).mean()
    for i in np.argsort(-errors):
        others = np.flatnonzero((groups == groups[i]) & (np.arange(len(groups)) != i))
        weight = np.exp(-((features[others] - features[i]) ** 2).sum(axis=1) / (2 * variance))
        context = weight @ errors[others] / weight.sum() if len(others) else 0.0
        errors[i] = 0.5 * context + 0.5 * errors[i]
    return min_max(errors)


def object_biased(saliency: np.ndarray) -> np.ndarray:
    height, width = saliency.shape
    rows, cols = np.mgrid[:height, :width]
    row, col = ndimage.center_of_mass(saliency)
    bias = np.exp(-((rows - row) ** 2) / (2 * (height / 4) ** 2) - (cols - col) ** 2 / (2 * (width / 4) ** 2))
    return min_max(saliency * bias)


def posterior(prior: np.ndarray, observer: np.ndarray) -> np.ndarray:
    inside = prior > prior.mean()
    level = np.zeros(prior.shape, dtype=int)
    likelihood = []
    for group in (inside, ~inside):
        level[group] = np.minimum((60 * min_max(observer[group])).astype(int), 59)
        likelihood.append(np.histogram(level[group], 60, (0, 60))[0] / group.sum())
    salient, background = likelihood[0][level] * prior, likelihood[1][level] * (1 - prior)
    return min_max(salient / np.maximum(salient + background, 1e-12))


@without_frame
def mbd(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    scale = min(1, 300 / max(height, width))
    size = (round(scale * height), round(scale * width))
    small = resize(image, size, anti_aliasing=True, preserve_range=True)
    lab = rgb2lab(small / 255) * (2.55, 1, 1)
    saliency = min_max(np.sum([barrier(ndimage.median_filter(lab[..., c], 5)) for c in range(3)], axis=0))
    rows, cols = round(0.1 * size[0]), round(0.1 * size[1])
    distances = []
    for strip in (small[:rows], small[-rows:], small[:, :cols], small[:, -cols:]):
        colours = strip.reshape(-1, 3)
        inverse = np.linalg.inv(np.cov(colours.T) + 50 * np.eye(3))
        distances.append(min_max(cdist(small.reshape(-1, 3), [colours.mean(axis=0)], "mahalanobis", VI=inverse)))
    contrast = np.sum(distances, axis=0) - np.max(distances, axis=0)
    saliency = saliency + min_max(contrast).reshape(size)
    y, x = np.mgrid[: size[0], : size[1]]
    centre = np.hypot((y + 0.5) / size[0] - 0.5, (x + 0.5) / size[1] - 0.5)
    saliency = min_max(saliency * (1 - min_max(centre)))
    square = np.ones((max(3, int(50 * np.sqrt(saliency.mean()))),) * 2)
    opened = reconstruction(ndimage.grey_erosion(saliency, footprint=square), saliency)
    closed = min_max(reconstruction(ndimage.grey_dilation(opened, footprint=square), opened, "erosion"))
    upper = closed >= 0.5 * closed.max()
    middle = 0.5 * (closed[upper].mean() + closed[~upper].mean())
    return min_max(resize(1 / (1 + np.exp(-10 * (closed - middle))), (height, width)))


def barrier(channel: np.ndarray) -> np.ndarray:
    """FastMBD with a raster scan taken diagonal by diagonal: pixels of one diagonal do not depend on one another."""
    height, width = channel.shape
    distance = np.full(channel.shape, np.inf)
    distance[[0, -1]] = distance[:, [0, -1]] = 0
    highest, lowest = channel.copy(), channel.copy()
    for turn in (slice(None), slice(None, None, -1), slice(None)):
        values, d, high, low = (x[turn, turn] for x in (channel, distance, highest, lowest))
        for diagonal in range(2, height + width - 3):
            row = np.arange(max(1, diagonal - width + 2), min(height - 2, diagonal - 1) + 1)
            col = diagonal - row
            for before in ((row - 1, col), (row, col - 1)):
                up, down = np.maximum(high[before], values[row, col]), np.minimum(low[before], values[row, col])
                better = up - down < d[row, col]
                r, c = row[better], col[better]
                high[r, c], low[r, c], d[r, c] = up[better], down[better], (up - down)[better]
    return distance


@without_frame
def bsca(image: np.ndarray) -> np.ndarray:
    labels = superpixels(image, 300, 20)
    n, border = labels.max() + 1, border_of(labels)
    lab = rgb2lab(image)
    colours, place = means(labels, np.stack([min_max(lab[..., c]) for c in range(3)], axis=-1)), centres(labels)
    groups = KMeans(3, n_init=1, random_state=0).fit_predict(colours[border])
    saliency = np.zeros(n)
    for k in range(3):
        members = border[groups == k]
        distinction = (1 / (np.exp(-cdist(colours, colours[members]) / (2 * 0.2**2)) + 10)).mean(axis=1)
        nearness = np.exp(-(cdist(place, place[members]) ** 2) / (2 * 1.3**2)).mean(axis=1)
        saliency += nearness * min_max(distinction)
    saliency = min_max(saliency)

    linked = two_ring(joined(touching(labels), border))
    distance = cdist(*[means(labels, lab)] * 2)
    impact = np.zeros((n, n))
    impact[linked] = np.exp(-10 * min_max(distance[linked])) + 1e-5
    coherence = np.diag(0.6 * min_max(1 / impact.max(axis=1)) + 0.2)
    transition = coherence + (np.eye(n) - coherence) @ np.diag(1 / impact.sum(axis=1)) @ impact
    inside = np.setdiff1d(np.arange(n), border)
    for step in range(20):
        if step < 10:
            saliency[border] -= 0.6
            saliency[saliency < 0] = 0.001
            rest = saliency <= 0.93
            if step >= 5 and (~rest).sum() < 0.02 * n:
                saliency[rest] = min_max(saliency[rest])
        saliency = transition @ saliency
        part = inside if step < 10 else slice(None)
        saliency[part] = min_max(saliency[part])
    return saliency[labels]


REFERENCES: dict[str, Detector] = {"rbd": rbd, "dsr": dsr, "mc": mc, "hs": hs, "mbd": mbd, "bsca": bsca}
