"""Running a handcrafted method over many images."""

from collections.abc import Generator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from usod.data.images import read_image, reduced_size
from usod.data.parallel import parallel_map
from usod.errors import UsageError, UsodError


class Job(NamedTuple):
    """One image for `extract_map`: a map of its `whole` size, or as reduced to `max_side`; 0: never reduced."""

    image: str
    method: str
    params: dict[str, Any]
    whole: bool
    max_side: int


def check_params(method: str, params: dict[str, Any]) -> None:
    """Raise UsageError unless `params` are keyword arguments of the method."""
    from usod.handcrafted import parameters

    known = parameters(method) if params else []
    unknown = [name for name in params if name not in known]
    if unknown:
        raise UsageError(f"{method} has no parameter {', '.join(unknown)}; it has {', '.join(known)}")


def extract_map(job: Job) -> np.ndarray:
    """The saliency map of one image file: (H, W) float32 in [0, 1].

    A `max_side` among the method's own parameters is what counts.

    Raises
    ------
    UsodError
        If the image cannot be read or the method fails on it; the line names the file.
    """
    from usod.handcrafted import METHODS

    image = read_image(job.image)
    method = METHODS[job.method]  # imported here: the limit below holds for libraries that are loaded
    try:
        # The matrices are small: threads would wait for one another, on a busy machine ten times as long as they work.
        with threadpool_limits(1):
            params = {"max_side": job.max_side} | job.params
            height, width = image.shape[:2]
            size = None if job.whole else reduced_size((height, width), params["max_side"])
            return method(image, size=size, **params)
    except (ValueError, TypeError, ArithmeticError, np.linalg.LinAlgError) as error:
        raise UsodError(f"{job.image}: {job.method} fails: {error}") from error


def extract_maps(
    images: Sequence[str | Path],
    method: str,
    params: dict[str, Any],
    whole: bool = True,
    max_side: int = 640,
    workers: int = 1,
) -> Generator[np.ndarray | UsodError, None, None]:
    """`extract_map` for many files, in their order, in `workers` processes.

    An image that cannot be read, or that the method fails on, gives its error in the place of its map: what to do
    with the others is the caller's choice.

    Raises
    ------
    UsageError
        For an unknown parameter of the method, before any work.
    UsodError
        If a worker process was killed.
    """
    check_params(method, params)
    job = partial(Job, method=method, params=params, whole=whole, max_side=max_side)
    imports = [__name__, "usod.handcrafted.detector", f"usod.handcrafted._{method}"]
    yield from parallel_map(_map_or_error, [job(str(image)) for image in images], workers, imports)


def _map_or_error(job: Job) -> np.ndarray | UsodError:
    try:
        return extract_map(job)
    except UsodError as error:
        return error
