"""Images a second from JPEG files to PNG maps, as `usod predict` makes them, against the network alone.

    python benchmarks/prediction.py [--images N] [--size SIDE] [--photograph HEIGHT WIDTH] [--device cuda]

The network is MobileNetV2 with the skip head, its weights random. Alone it predicts batches that lie ready at its
working size; files are drawn photographs.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from timing import best_of, judge

from usod.data.images import resize_image
from usod.data.scenes import draw_scene
from usod.inference.predict import Model, predict_files
from usod.models.build import build_network
from usod.models.config import NetworkConfig
from usod.models.model_file import save_model
from usod.progress import set_quiet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=48)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--photograph", type=int, nargs=2, default=[600, 800], metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    set_quiet(True)
    config = NetworkConfig(name="mobilenet_v2", weights="none")
    height, width = arguments.photograph
    with tempfile.TemporaryDirectory() as folder:
        save_model(Path(folder, "model.safetensors"), build_network(config), config, input_size=arguments.size)
        model = Model(Path(folder, "model.safetensors"), arguments.device)
        photographs, maps = Path(folder, "photographs"), Path(folder, "maps")
        photographs.mkdir()
        drawn = [resize_image(draw_scene(0, number, (300, 400)).image, (height, width)) for number in range(4)]
        for number in range(arguments.images):
            Image.fromarray(drawn[number % 4]).save(photographs / f"{number}.jpg", quality=90)
        seen = np.stack([resize_image(drawn[n % 4], (model.size, model.size)) for n in range(arguments.images)])

        def alone() -> None:
            for start in range(0, len(seen), arguments.batch):
                model.predict_batch(seen[start : start + arguments.batch])

        def files() -> None:
            predict_files(model, [photographs], maps, arguments.batch, overwrite=True)

        files()  # warms both up
        network, whole = best_of([alone, files], arguments.repeats)
    rates = f"{arguments.images / whole:.1f} images/s, network {arguments.images / network:.1f}"
    what = (
        f"prediction, {height}x{width} JPEG to PNG, MobileNetV2 at {model.size}, {torch.get_num_threads()} threads: "
        "images/s over the bare network's"
    )
    judge(what, network / whole, "x", least=0.8, beside=rates)


if __name__ == "__main__":
    main()
