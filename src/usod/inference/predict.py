"""Predicting saliency maps with a trained model."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from usod.crf import CRFParams, Refiner
from usod.data.features import FeatureStore, open_features
from usod.data.images import read_image, resize_image, resize_map, tell_broken, write_png
from usod.data.mapstore import ImageStore, write_maps
from usod.data.pairing import find_dataset
from usod.data.parallel import threaded_map
from usod.data.tree import image_files, png_names
from usod.devices import AsMemoryAllows, Precision, autocast, cpu_cores, pick_device, sent
from usod.emptiness import nothing_in_map
from usod.errors import UsodError
from usod.files import atomic_path
from usod.inference.render import render
from usod.inference.skipped import Skipped
from usod.models.model_file import load_model
from usod.progress import progress, say
from usod.provenance import describe
from usod.settings.sections import CrfConfig
from usod.training.views import View

THREADS = max(4, min(8, cpu_cores()))
"""Pictures that are read, and written, at once."""
LARGE = 3 * 8_000_000
"""Values of a picture above which pictures are drawn one at a time, for the memory."""


class Model:
    """A trained network with the size it works at.

    Parameters
    ----------
    path : model.safetensors as written by this package
    device : auto, cpu, cuda or cuda:N
    size : working size; none: the one it was trained at
    crf : dense CRF applied to the predictions at working size; none: raw predictions; model: what its file says, which
        is a CRF in files of `copy_with_crf` (results/models) only
    """

    def __init__(
        self, path: str | Path, device: str = "auto", size: int | None = None,
        crf: CrfConfig | Literal["model"] | None = "model",
        precision: Precision = "auto",
    ):  # fmt: skip
        self.path = Path(path)
        self.device = pick_device(device)
        self.network, self.metadata = load_model(path, self.device)
        if self.network.inputs != ("image",):
            raise UsodError(f"{path}: refines maps, it predicts none from images alone; use usod ldps refine")
        self.size = size or self._trained_size(path)
        said = self.metadata.get("crf")
        self.crf = (None if said is None else CrfConfig(**said)) if crf == "model" else crf
        self._refine = None if self.crf is None else Refiner(CRFParams(**self.crf.model_dump()))
        self.precision = precision
        self._as_memory_allows = AsMemoryAllows()

    def _trained_size(self, path: str | Path) -> int:
        if not self.metadata["input_size"]:
            raise UsodError(f"{path}: does not say its working size; give one")
        return int(self.metadata["input_size"][0])

    def predict(self, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 RGB -> (H, W) float32 in [0, 1] at the image's size."""
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"expected (H, W, 3) uint8 RGB, got {image.shape} {image.dtype}")
        small = resize_image(image, (self.size, self.size))
        return resize_map(self.predict_batch(small[None])[0], image.shape[:2])

    def nothing(self, saliency: np.ndarray) -> float:
        """How likely it is, by its map (H, W), that an image shows nothing salient: 0 to 1 (`usod.emptiness`)."""
        return nothing_in_map(saliency)

    @torch.inference_mode()
    def predict_batch(self, images: np.ndarray, features: np.ndarray | None = None) -> np.ndarray:
        """(B, side, side, 3) uint8 RGB -> (B, side, side) float32 in [0, 1].

        Images of another side than `size` are brought to it, and the maps back, before the CRF.

        Parameters
        ----------
        features : (B, h, w, C) of the network's frozen encoder for these images, where they are at hand

        Raises
        ------
        UsodError
            If the network predicts a value that is not finite.
        """
        pixels = sent(torch.tensor(images), self.device)  # a copy: arrays made by Pillow are read-only
        seen = View(torch.zeros(len(images), dtype=torch.bool), size=self.size).of_images(pixels)
        with autocast(self.device, self.precision):
            given = None if features is None else sent(torch.from_numpy(features), self.device).permute(0, 3, 1, 2)
            logits = self.network(self.network.as_input(seen), features=given).float()
        if logits.shape[-2:] != pixels.shape[1:3]:
            logits = F.interpolate(logits, pixels.shape[1:3], mode="bilinear")
        probability = F.sigmoid(logits[:, 0])
        if not probability.isfinite().all():  # a CRF would spread it over its image, a PNG file hide it
            raise UsodError(
                f"{self.path}: predicts values that are not finite; train it again with a lower lr, or with "
                "precision: float32"
            )
        if self._refine is not None:
            probability = self._refine(pixels, probability)
        return probability.cpu().numpy()

    def predict_all(
        self, images: Iterable[tuple[str, np.ndarray]], batch: int, features: FeatureStore | None = None
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Pairs (id, image at working size) -> pairs (id, map at working size), in batches; `features` by the ids."""
        waiting: list[tuple[str, np.ndarray]] = []
        for item in images:
            waiting.append(item)
            if len(waiting) == batch:
                yield from self._flush(waiting, features)
                waiting = []
        if waiting:
            yield from self._flush(waiting, features)

    def _flush(
        self, items: list[tuple[str, np.ndarray]], features: FeatureStore | None
    ) -> Iterator[tuple[str, np.ndarray]]:
        keys, images = zip(*items, strict=True)

        def predicted(part: slice) -> np.ndarray:
            given = None if features is None else np.stack([features[key] for key in keys[part]])
            return self.predict_batch(np.stack(images[part]), given)

        parts = list(self._as_memory_allows(predicted, len(items)))
        yield from zip(keys, np.concatenate(parts), strict=True)


def load(path: str | Path, device: str = "auto", crf: CrfConfig | Literal["model"] | None = "model") -> Model:
    """Load a trained model: `usod.load("model.safetensors").predict(image)`."""
    return Model(path, device, crf=crf)


def predict_store(model: Model, path: Path, images: Path, out: Path, batch: int, features: Path | None = None) -> None:
    """Maps of all images of an ImageStore into a MapStore of the same size; `path` is the model's file.

    The model sees them at its own working size, and its CRF at theirs.

    Parameters
    ----------
    features : of the model's frozen encoder for these images

    Raises
    ------
    UsodError
        If the features are of another encoder or lack an image.
    """
    with ExitStack() as stack:
        pixels = stack.enter_context(ImageStore(images))
        kept = stack.enter_context(open_features(features))
        if kept is not None:
            kept.require_for(pixels, model.network.encoder_identity)
        crf = model.crf.model_dump() if model.crf else None
        attributes = describe({"crf": crf}, {"model": path, "images": images}) | {"created_by": "usod predict"}
        with write_maps(out, pixels.ids, pixels.size, pixels.original_size, attributes) as rows:
            maps = model.predict_all(iter(pixels), batch, kept)
            for key, saliency in progress(maps, len(pixels), "predicting"):
                rows[key] = saliency


def predict_files(
    model: Model,
    inputs: list[Path],
    out: Path,
    batch: int,
    draw: Callable[[np.ndarray, np.ndarray], Image.Image] = partial(render, "map"),
    overwrite: bool = False,
    may_be_none: bool = False,
    skip_empty: float | None = None,
) -> None:
    """PNG files, at the images' own sizes, of image files and of folders with all their subfolders.

    Names, places and errors are those of `output_names`. Files that are there already are kept, so that a run that was
    interrupted goes on where it stopped. A file that cannot be read costs no other its map.

    Parameters
    ----------
    draw : image (H, W, 3) uint8 and its map (H, W) in [0, 1] -> what is written (`usod.inference.render`)
    overwrite : make files that are there again
    may_be_none : as of `output_names`
    skip_empty : images of which `nothing_in_map` says as much or more get no file; they are listed in out/SKIPPED, with
        which a later run skips them again

    Raises
    ------
    UsodError
        As `output_names`; and after all others are done if some files cannot be read, each of which is named.
    """
    wanted = output_names(inputs, out, may_be_none)
    if not wanted:
        return
    skipped = Skipped(out, skip_empty, overwrite)
    targets = wanted if overwrite else _without_done(wanted, out, skipped)
    waiting: dict[str, np.ndarray] = {}
    broken: list[UsodError] = []

    def read(target: str) -> tuple[str, np.ndarray, np.ndarray] | UsodError:
        try:
            image = read_image(targets[target])
        except UsodError as error:
            return error
        return target, image, resize_image(image, (model.size, model.size))

    def small() -> Iterator[tuple[str, np.ndarray]]:
        for found in threaded_map(read, targets, THREADS):
            if isinstance(found, UsodError):
                broken.append(found)
                continue
            waiting[found[0]] = found[1]
            yield found[0], found[2]

    def predicted() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        for target, saliency in progress(model.predict_all(small(), batch), len(targets), "predicting"):
            image = waiting.pop(target)
            if not skipped.take(target, saliency):
                yield target, image, saliency

    _write_pictures(draw, predicted())
    skipped.tell(wanted)
    tell_broken(broken, len(targets), f"the maps of the others are in {out}")


def _write_pictures(
    draw: Callable[[np.ndarray, np.ndarray], Image.Image], items: Iterable[tuple[str, np.ndarray, np.ndarray]]
) -> None:
    """Draw and write (file, image, map) in threads, while the network, in this one, is at work on the next.

    Large pictures are made one at a time: each takes hundreds of megabytes.
    """
    one_at_a_time = Lock()

    def write(item: tuple[str, np.ndarray, np.ndarray]) -> None:
        target, image, saliency = item
        with one_at_a_time if image.size > LARGE else nullcontext(), atomic_path(target) as temporary:
            write_png(temporary, np.asarray(draw(image, resize_map(saliency, image.shape[:2]))))

    for _ in threaded_map(write, items, THREADS):
        pass


def _without_done(targets: dict[str, Path], out: Path, skipped: Skipped) -> dict[str, Path]:
    """Those of the targets that an earlier run has neither made nor skipped."""
    left = {target: source for target, source in targets.items() if not (Path(target).exists() or target in skipped)}
    if done := len(targets) - len(left):
        say(f"{out}: {done} of {len(targets)} files are there and kept; --overwrite makes them again")
    return left


def output_names(inputs: list[Path], out: Path, may_be_none: bool = False) -> dict[str, Path]:
    """Map file -> image file for files and folders given on the command line.

    An image keeps its place below the given folder and its name (`usod.data.tree.png_names`). Of a data set with masks
    (`usod.data.pairing.find_dataset`) these are its images, of any other folder all images below it, but never those
    below `out`: they are earlier maps.

    Parameters
    ----------
    may_be_none : no images at all are no error, as beside films

    Raises
    ------
    UsodError
        For a missing input, no images at all, or a map that would overwrite another map, or an image or mask given.
    """
    targets: dict[str, Path] = {}
    originals: set[Path] = set()
    for given in inputs:
        if not given.exists():
            raise UsodError(f"{given}: no such file or folder")
        inside = given.resolve() in out.resolve().parents
        files = image_files(given, without=out if inside else None) if given.is_dir() else [given]
        originals.update(file.resolve() for file in files)
        base = given if given.is_dir() else given.parent
        wanted = _without_masks(given, files) if given.is_dir() else files
        for file, name in png_names(wanted).items():
            target = str(out / name.relative_to(base))
            if target in targets:
                raise UsodError(f"{file}: its map would overwrite that of {targets[target]}; predict them apart")
            targets[target] = Path(file)
    if not targets and not may_be_none:
        raise UsodError(f"{inputs[0]}: no images in there")
    for target, file in targets.items():
        if Path(target).resolve() in originals:
            raise UsodError(
                f"{target}: is a file that was given, the map of {file} would overwrite it; choose another --out"
            )
    return targets


def _without_masks(folder: Path, files: list[Path]) -> list[Path]:
    """`files` of a folder; where it is a data set with masks, its images only."""
    try:
        data = find_dataset(folder)
    except UsodError:  # nothing that a layout would call an image
        return files
    kept = set(files)
    return [item.image for item in data.items if item.image in kept] if data.has_masks else files
