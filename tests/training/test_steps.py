"""Single steps and epochs of the training loop, against what they are to do, by hand."""

import itertools
import random

import numpy as np
import pandas as pd
import pytest
import torch

from usod.training.history import write_history
from usod.training.loop import Schedule

from .test_loop import Bright, blocks, trainer, weights


def test_milestones_by_hand():
    """With 3 the third epoch is the first that learns slower."""
    schedule = Schedule(epochs=6, batch_size=1, lr=1, lr_decay="step", milestones=(3, 5))
    assert [schedule.lr_factor(epoch) for epoch in range(6)] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


class Noted(Bright):
    """Keeps the order of the images, what is drawn in each epoch, and the weights before and after each."""

    def __init__(self, images):
        super().__init__(images)
        self.rows, self.drawn, self.weights = [], [], []

    def begin(self, epoch):
        self.rows.append([])
        self.drawn.append((random.random(), np.random.random(), torch.rand(1).item()))  # noqa: NPY002

    def loss(self, probability, rows):
        self.rows[-1] += rows.tolist()
        return super().loss(probability, rows)

    def look(self, network):
        self.weights.append({name: value.clone() for name, value in network.state_dict().items()})


def test_epochs_and_seeds_have_chances_of_their_own_that_are_the_same_each_time():
    images, seen = blocks(), []
    for seed in (0, 0, 1):
        noted = Noted(images)
        trainer(images, objective=noted, epochs=2, seed=seed).fit()
        seen.append((noted.rows, noted.drawn))
    first, again, other = seen
    assert first == again
    for one, two in itertools.combinations([*zip(*first, strict=True), *zip(*other, strict=True)], 2):
        assert one[0] != two[0] and all(a != b for a, b in zip(one[1], two[1], strict=True))


def test_a_step_follows_the_mean_over_its_images():
    """So two copies of an image teach what four of them do."""
    image, moved = blocks()[:1], []
    for copies in (2, 4):
        images = image.repeat(copies, axis=0)
        done = trainer(images, epochs=1, batch_size=copies, optimiser="sgd", lr=0.1, flip=False)
        before = weights(done)
        done.fit()
        moved.append(weights(done) - before)
    assert moved[0].abs().max() > 1e-3 and torch.allclose(*moved, atol=1e-5)


def test_an_averaged_training_ends_with_the_average_of_its_steps_by_hand():
    """W_k = d_k W_{k-1} + (1 - d_k) w_k with d_k = min(decay, k / (k + 9)), k from 0; here an epoch is one step."""
    images = blocks()
    noted = Noted(images)
    done = trainer(images, objective=noted, epochs=4, batch_size=11, average=0.15)
    done.fit()
    expected = noted.weights[1]
    for keep, now in zip((0.1, 0.15, 0.15), noted.weights[2:], strict=True):
        expected = {
            k: keep * old + (1 - keep) * now[k] if old.is_floating_point() else now[k] for k, old in expected.items()
        }
    for name, value in done.network.state_dict().items():
        torch.testing.assert_close(value, expected[name])


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_every_group_has_the_optimisers_settings(optimiser):
    groups = trainer(blocks(), optimiser=optimiser, weight_decay=0.25, nesterov=False).optimiser.param_groups
    assert [group["weight_decay"] for group in groups] == [0.25, 0.25]
    if optimiser == "sgd":
        assert {(group["momentum"], group["nesterov"]) for group in groups} == {(0.9, False)}


@pytest.mark.parametrize("flip", [False, True])
def test_images_are_mirrored_where_that_is_asked_for(flip):
    images = blocks()
    bright = [image[..., 0] > 127 for image in images]
    as_they_are, mirrored = {b.tobytes() for b in bright}, {b[:, ::-1].tobytes() for b in bright}
    shown = set()

    class Shown(Bright):
        def see(self, forward, inputs, named):
            shown.update((seen[0] > 0).numpy().tobytes() for seen in inputs[0])
            return forward(*inputs, **named)

    trainer(images, objective=Shown(images), epochs=2, flip=flip).fit()
    assert shown <= as_they_are | mirrored and bool(shown - as_they_are) == flip and shown & as_they_are


def test_a_history_holds_all_that_an_epoch_says(tmp_path):
    rows = trainer(blocks(), epochs=2).fit()
    write_history(tmp_path / "history.csv", rows)
    written = pd.read_csv(tmp_path / "history.csv").to_dict("records")
    assert written == [pytest.approx(row, rel=1e-5) for row in rows]
