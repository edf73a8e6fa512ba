"""Figures: what is drawn, where, in files that are complete, repeatable and keep their text as text."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from usod.errors import UsageError, UsodError
from usod.evaluation import Benchmark
from usod.reporting import figures as f


def make_quality():
    stages = ("maps", "consistency", "iteration 1", "iteration 2")
    rows = [(m, stage, 0.7 + 0.05 * s, 0.1 - 0.02 * s) for m in ("rbd", "dsr") for s, stage in enumerate(stages)]
    return pd.DataFrame(rows, columns=["method", "stage", "f", "mae"])


def test_stages_grid_keeps_the_shape_of_every_image():
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, shape, np.uint8) for shape in ((30, 40, 3), (60, 40, 3))]
    maps = [rng.random((20, 20), np.float32)] * 2
    masks = [np.ones((30, 40), bool), np.zeros((60, 40), bool)]
    figure = f.stages_figure(images, {"rbd": maps, "mask": masks}, row_names=["a", "b"])
    assert [axes.get_title() for axes in figure.axes[:3]] == ["image", "rbd", "mask"]
    assert [axes.get_ylabel() for axes in figure.axes[::3]] == ["a", "b"]
    width, height = figure.get_size_inches()
    for axes, image in zip(figure.axes, np.repeat([0, 1], 3), strict=True):
        box = axes.get_position()
        shape = images[image].shape
        assert box.height * height / (box.width * width) == pytest.approx(shape[0] / shape[1], rel=0.05)
    assert figure.axes[2].images[0].get_array().min() == 255
    assert figure.axes[5].images[0].get_array().max() == 0
    assert {axes.images[0].get_clim() for axes in figure.axes} == {(0, 255)}, "a faint map is not stretched"
    with pytest.raises(UsageError, match="'rbd' has 1 maps for 2 images"):
        f.stages_figure(images, {"rbd": maps[:1]})


def test_label_quality_draws_a_line_per_method():
    figure = f.label_quality_figure(make_quality().iloc[:-1])
    left, right = figure.axes
    assert [line.get_label() for line in left.lines] == ["rbd", "dsr"]
    np.testing.assert_allclose(left.lines[0].get_ydata(), [70, 75, 80, 85])
    np.testing.assert_allclose(right.lines[1].get_ydata(), [10, 8, 6])
    assert left.lines[0].get_color() != left.lines[1].get_color()
    assert [tick.get_text() for tick in left.get_xticklabels()] == ["maps", "consistency", "iteration 1", "iteration 2"]
    with pytest.raises(UsageError, match="method, stage"):
        f.label_quality_figure(pd.DataFrame({"method": ["rbd"], "stage": [0]}))


def test_what_a_network_gives_is_a_dashed_line_of_its_own_beside_the_labels():
    quality = make_quality().assign(of="")
    network = quality[(quality["method"] == "dsr") & (quality["stage"] != "maps")].assign(of="network", f=0.5)
    axes = f.label_quality_figure(pd.concat([quality, network])).axes[0]
    assert [line.get_label() for line in axes.lines] == ["rbd", "dsr", "dsr, network"]
    assert [line.get_linestyle() for line in axes.lines] == ["-", "-", "--"]
    assert axes.lines[1].get_color() == axes.lines[2].get_color()
    np.testing.assert_allclose(axes.lines[2].get_ydata(), 50)


def test_curves_are_those_of_the_benchmark():
    rng = np.random.default_rng(1)
    benchmark = Benchmark()
    g = rng.random((20, 20)) > 0.5
    benchmark.step(np.clip(g * 0.6 + 0.3 * rng.random(g.shape), 0, 1), g)
    curves = benchmark.curves()
    left, right = f.curves_figure({"rbd": curves, "again": {k: list(v) for k, v in curves.items()}}).axes
    np.testing.assert_array_equal(right.lines[0].get_ydata(), curves["f"])
    drawn = curves["recall"] > 0
    np.testing.assert_array_equal(left.lines[0].get_xdata(), curves["recall"][drawn])
    assert right.lines[1].get_ydata()[0] == curves["f"].max()


def test_two_systems_are_set_against_each_other_where_both_have_a_score():
    x, y = np.array([0.1, 0.2, np.nan, 0.4, 0.5]), np.array([0.2, np.nan, 0.3, 0.8, 1.0])
    (axes,) = f.scatter_figure({"f_adaptive": (x, y)}, "rbd", "net").axes
    points = axes.lines[1]
    assert points.get_xdata().tolist() == [0.1, 0.4, 0.5] and points.get_ydata().tolist() == [0.2, 0.8, 1.0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("rbd", "net")
    assert axes.get_title() == "F adaptive, 3 images, r = 1.00"


def test_training_curves(tmp_path):
    history = pd.DataFrame({"epoch": [1, 2, 3], "loss": [3.0, 2.0, 1.5]})
    files = {name: tmp_path / f"{name}.csv" for name in ("a", "b", "bare")}
    history.to_csv(files["a"], index=False)
    history.assign(rate=0.1).to_csv(files["b"], index=False)
    history.drop(columns="epoch").to_csv(files["bare"], index=False)
    figure = f.training_figure({"first": files["a"], "second": files["b"]}, ("loss", "rate"))
    left, right = figure.axes
    assert [line.get_label() for line in left.lines] == ["first", "second"]
    np.testing.assert_array_equal(left.lines[0].get_ydata(), [3.0, 2.0, 1.5])
    assert len(right.lines) == 1
    for file, column, line in (
        ("a", "accuracy", "'accuracy'; there are epoch, loss"),
        ("bare", "loss", "bare.csv: no column 'epoch'"),
        ("none", "loss", "cannot be read"),
    ):
        with pytest.raises(UsodError, match=line):
            f.training_figure({"x": tmp_path / f"{file}.csv"}, (column,))


def test_saved_files(tmp_path):
    def draw(name):
        f.save(f.label_quality_figure(make_quality()), tmp_path / name, dpi=50)
        return (tmp_path / name).read_bytes()

    svg = draw("a.svg")
    assert b">dsr</text>" in svg
    assert svg == draw("b.svg") and b"<dc:date>" not in svg
    assert draw("a.pdf").startswith(b"%PDF")
    draw("a.png")
    assert Image.open(tmp_path / "a.png").size[0] > 200
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.pdf", "a.png", "a.svg", "b.svg"]
    with pytest.raises(UsageError, match=r"\.svg, \.pdf or \.png"):
        draw("a.gif")
