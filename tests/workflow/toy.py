"""A system of somebody's own in one file: a network that learns the mean of all methods' maps."""

import sys
from pathlib import Path

from usod.settings.base import Settings
from usod.settings.sections import Section, parse_section
from usod.systems.description import Figure, Part, Read, System


class ToyConfig(Section):
    epochs: int = 1
    batch_size: int = 5
    lr: float = 0.01


class ToySettings(Settings):
    toy: ToyConfig = ToyConfig()


class Toy(System):
    """Toy: the mean of all maps, learnt."""

    name = "toy"
    settings = ToySettings
    rules = "toy.smk"
    report_files = ("toy",)

    def parts(self, config):
        yield Part(
            "toy-mean",
            "toy/{variant}mean",
            leaves=("model", "history"),
            settings=(config.network, config.toy),
            reads=tuple(Read(method) for method in config.methods),
            final=True,
        )

    def figures(self, config, made):
        figure = Figure("Toys", f"toy-{config.train}.svg", text="The loss of {{ snakemake.wildcards.dataset }}'s toy.",
                        wildcards={"dataset": config.train})  # fmt: skip
        return [figure] if "toy-mean" in made else []


SYSTEM = Toy()


def train(images, config, network, model, history, *maps):
    import numpy as np
    import torch

    from usod.data.mapstore import ImageStore, MapStore
    from usod.models.config import NetworkConfig
    from usod.models.model_file import save_model
    from usod.provenance import describe
    from usod.training.fit import fit, new_network
    from usod.training.history import write_history
    from usod.training.inputs import Inputs
    from usod.training.loop import Schedule
    from usod.training.losses import f_beta_loss
    from usod.training.objective import Memoryless
    from usod.training.parallel import Process

    settings, network = parse_section(ToyConfig, config), parse_section(NetworkConfig, network)
    with ImageStore(images) as store:
        stores = [MapStore(path) for path in maps]
        for each in stores:
            each.fit_to(store)  # handcrafted maps have sizes of their own
        mean = np.mean([[each[key] for key in store.ids] for each in stores], axis=0)
        pixels, size = store.read_all(), store.size

    class Mean(Memoryless):
        def loss(self, probability, rows):
            return f_beta_loss(probability, (torch.from_numpy(mean)[rows] > 0.5).float(), 1.0)

    net, process = new_network(network, seed=0), Process(torch.device("cpu"))
    rows = fit("toy", net, Inputs(pixels), Mean(), settings, Schedule.of(settings, settings.lr, 0), process)
    save_model(model, net, network, describe({}, {"images": images}), input_size=size)
    write_history(Path(history), rows)


if __name__ == "__main__":
    train(*sys.argv[1:])
