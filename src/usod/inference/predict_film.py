"""Predicting the maps of films, frame by frame, so that a stopped run goes on where it was."""

import contextlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from usod.data.images import resize_image, resize_map, tell_broken, write_png
from usod.data.tree import FILM_SUFFIXES, png_names, scan
from usod.errors import UsageError, UsodError
from usod.files import atomic_path, write_text
from usod.inference.film import CLOCK, SUFFIXES, Frame, Video, frame_count, join_films, library, read_film, write_film
from usod.inference.predict import Model
from usod.inference.smoothing import Smoother
from usod.progress import progress, say

SEGMENT = 240
"""Frames that a stopped run may lose where it makes a video: about ten seconds."""

Draw = Callable[[np.ndarray, np.ndarray], Image.Image]


def is_film(path: Path) -> bool:
    """Whether a file of this name is taken for a film."""
    return path.suffix.lower() in FILM_SUFFIXES


def film_names(inputs: list[Path], out: Path, video: Video | None = None) -> dict[Path, Path]:
    """Film -> what is made of it, for the films among the inputs and in the folders among them.

    That is a folder of frames called like the film, or a film of that name (`video`), at the film's place.

    Raises
    ------
    UsodError
        If a film is missing, or what is made of it would overwrite another's, or a film given.
    """
    targets: dict[Path, Path] = {}
    for given in inputs:
        if is_film(given) and not given.exists():
            raise UsodError(f"{given}: no such film")
        inside = given.resolve() in out.resolve().parents
        found = scan(given, out if inside else None).films if given.is_dir() else []
        films = [given / film for film in found] if given.is_dir() else [given] if is_film(given) else []
        for film, name in png_names(films).items():
            target = out / name.relative_to(given if given.is_dir() else given.parent).with_suffix("")
            target = target.with_name(target.name + SUFFIXES[video]) if video else target
            if target in targets.values() or target.resolve() == Path(film).resolve():
                raise UsodError(f"{target}: would be overwritten by that of {film}; choose another --out")
            targets[Path(film)] = target
    return targets


@dataclass
class _State:
    """What a run that goes on has to know; lies in a hidden folder beside the result."""

    folder: Path
    settings: str
    times: list[int] = field(default_factory=list)
    image: np.ndarray | None = None  # of the smoother
    saliency: np.ndarray | None = None

    def read(self) -> None:
        """Take up what an earlier run left, if that was of the same film and settings; else remove it."""
        with contextlib.suppress(OSError, ValueError, KeyError), np.load(self.folder / "state.npz") as kept:
            if str(kept["settings"]) == self.settings:
                self.times = kept["times"].tolist()
                self.image, self.saliency = kept.get("image"), kept.get("saliency")
                return
        shutil.rmtree(self.folder, ignore_errors=True)

    def write(self, smoother: Smoother | None) -> None:
        last: dict[str, Any] = {}
        if smoother is not None:
            last = {"image": smoother.image, "saliency": smoother.saliency}
        with atomic_path(self.folder / "state.npz") as temporary, temporary.open("wb") as file:
            np.savez(file, settings=self.settings, times=self.times, **last)


def predict_films(
    model: Model,
    films: dict[Path, Path],
    batch: int,
    draw: Draw,
    settings: Sequence[object],
    smooth: float = 1.0,
    video: Video | None = None,
    overwrite: bool = False,
) -> None:
    """Frames (PNG, 000001.png on, with times.csv: frame, seconds) or a video of the maps of films.

    Frames have the film's size, upright, and its times. Sound is not copied. A film that is done is kept; one that was
    stopped goes on after the last whole batch (of a video: the last SEGMENT frames), and ends with the same pixels, but
    for what a rounding of the network may change.

    Parameters
    ----------
    films : as from `film_names`
    draw : frame (H, W, 3) uint8 and its map (H, W) in [0, 1] -> what is shown
    settings : all that decides the pictures: a run with others starts anew
    smooth : share of the present in the average over time (`Smoother`); 1: none

    Raises
    ------
    UsodError
        If a library of the extra `film` is missing; after all others are done if some films cannot be read.
    UsageError
        If `smooth` is not in (0, 1].
    """
    if not 0 < smooth <= 1:
        raise UsageError(f"--smooth {smooth}: give the share of the present, above 0, at most 1")
    library()
    broken: list[UsodError] = []
    for film, target in films.items():
        done = target if video else target / "times.csv"
        if done.exists() and not overwrite:
            say(f"{target}: is there and kept; --overwrite makes it again")
            continue
        seen = film.stat()
        decides = json.dumps([str(film), seen.st_size, seen.st_mtime_ns, settings, smooth, video, batch])
        state = _State(target.with_name(f".{target.name}.film"), decides)
        if overwrite:
            done.unlink(missing_ok=True)
            shutil.rmtree(state.folder, ignore_errors=True)
        try:
            _predict_film(model, film, target, batch, draw, state, smooth, video)
        except UsodError as error:
            broken.append(error)
    tell_broken(broken, len(films), "the others are done")


def _predict_film(
    model: Model, film: Path, target: Path, batch: int, draw: Draw, state: _State, smooth: float, video: Video | None
) -> None:
    state.read()
    if state.times:
        say(f"{film}: goes on after {len(state.times)} frames")
    smoother = Smoother(smooth, state.image, state.saliency) if smooth < 1 else None
    frames = islice(read_film(film), len(state.times), None)
    drawn = _drawn(model, frames, batch, draw, smoother)
    pictures = progress(drawn, max(frame_count(film) - len(state.times), 0), film.name, "frame")
    # Whole batches: what a network says of a frame may depend on the others in its batch, by a rounding.
    size = -(-SEGMENT // batch) * batch if video else batch
    while (first := next(pictures, None)) is not None:
        part = chain([first], islice(pictures, size - 1))
        if video:
            state.times += _write_part(_part(state.folder, len(state.times), video), part, video)
        else:
            state.times += _write_frames(target, len(state.times), part)
        state.write(smoother)
    if not state.times:
        raise UsodError(f"{film}: holds no pictures; give a film")
    if video:
        parts = sorted(state.folder.glob(f"*{SUFFIXES[video]}"))
        join_films(parts, state.times, target)
    else:
        rows = [f"{number:06d}.png,{float(time * CLOCK):.6f}" for number, time in enumerate(state.times, 1)]
        for later in count(len(rows) + 1):  # of a longer film of this name
            if not (file := target / f"{later:06d}.png").exists():
                break
            file.unlink()
        write_text(target / "times.csv", "\n".join(["frame,seconds", *rows]) + "\n")
    shutil.rmtree(state.folder)


def _drawn(
    model: Model, frames: Iterable[Frame], batch: int, draw: Draw, smoother: Smoother | None
) -> Iterator[tuple[int, Image.Image]]:
    """The time of every frame, and what is made of it."""
    waiting: dict[str, tuple[Frame, np.ndarray]] = {}

    def small() -> Iterator[tuple[str, np.ndarray]]:
        for number, frame in enumerate(frames):
            seen = resize_image(frame.image, (model.size, model.size))
            waiting[str(number)] = frame, seen
            yield str(number), seen

    for key, saliency in model.predict_all(small(), batch):
        frame, seen = waiting.pop(key)
        averaged = saliency if smoother is None else smoother(seen, saliency)
        yield frame.time, draw(frame.image, resize_map(averaged, frame.image.shape[:2]))


def _part(folder: Path, start: int, video: Video) -> Path:
    return folder / f"{start:09d}{SUFFIXES[video]}"


def _write_part(path: Path, pictures: Iterable[tuple[int, Image.Image]], video: Video) -> list[int]:
    times: list[int] = []

    def counted() -> Iterator[tuple[int, np.ndarray]]:
        for time, picture in pictures:
            times.append(time)
            yield time - times[0], np.asarray(picture)

    write_film(path, counted(), video)
    return times


def _write_frames(folder: Path, start: int, pictures: Iterable[tuple[int, Image.Image]]) -> list[int]:
    times = []
    for number, (time, picture) in enumerate(pictures, start + 1):
        with atomic_path(folder / f"{number:06d}.png") as temporary:
            write_png(temporary, np.asarray(picture))
        times.append(time)
    return times
