"""Which trainings go on where an earlier one stopped: those of the same settings, seed, network and inputs."""

import pytest
import torch

from usod.models.config import NetworkConfig
from usod.systems.deepusps_settings import FuseConfig
from usod.training.fit import fit, new_network, working_size
from usod.training.inputs import Inputs
from usod.training.loop import Schedule
from usod.training.parallel import Process

from .test_loop import Bright, blocks

CPU = torch.device("cpu")


class Counting(Bright):
    steps = 0

    def loss(self, probability, rows):
        self.steps += 1
        return super().loss(probability, rows)


def steps(work, beta2=4.0, seed=0, identity="digests", name="fuse", width=8) -> int:
    """Steps that a training of two takes, whose state lies in `work`."""
    images, settings = blocks(), FuseConfig(epochs=1, batch_size=6, beta2=beta2)
    objective, schedule = Counting(images), Schedule.of(settings, lr=1e-3, seed=seed)
    network = new_network(NetworkConfig(light_width=width), seed)
    fit(name, network, Inputs(images), objective, settings, schedule, Process(CPU), work, identity)
    return objective.steps


@pytest.mark.parametrize("other", [{"beta2": 1.0}, {"seed": 1}, {"identity": "others"}, {"name": "x"}, {"width": 16}])
def test_a_training_goes_on_with_its_own_state_alone(tmp_path, other):
    assert [steps(tmp_path), steps(tmp_path)] == [2, 0]
    assert steps(tmp_path, **other) == 2


def test_a_network_works_at_the_size_that_it_was_shown_unless_its_features_were_kept():
    frozen = NetworkConfig(name="timm/test_vit", weights="w.safetensors", frozen=True)
    assert working_size((64, 48), NetworkConfig(), 32) == (32, 32)
    assert working_size((64, 48), NetworkConfig(), None) == working_size((64, 48), frozen, 32) == (64, 48)
