import sys
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from usod.cli import main
from usod.errors import UsodError
from usod.inference import film as films
from usod.inference import predict_film
from usod.inference.film import CLOCK, join_films, read_film, write_film
from usod.inference.predict import Model
from usod.inference.predict_film import film_names, predict_films
from usod.inference.render import render
from usod.inference.smoothing import Smoother

av = pytest.importorskip("av")
pytest.importorskip("cv2")
TIMES = [0, 40, 80, 200, 240, 280, 1000]  # milliseconds: a film whose rate varies


def scene(number, size=(49, 63)):
    """A bright disc that goes right over a pattern."""
    y, x = np.mgrid[: size[0], : size[1]]
    disc = np.hypot(y - 24, x - 20 - 2 * number) < 12
    pattern = 60 + 40 * np.sin(x / 3) * np.cos(y / 4)
    return np.where(disc[..., None], (250, 120, 20), pattern[..., None]).astype(np.uint8)


@pytest.fixture
def drawn(tmp_path):
    """FFV1 loses nothing; 49 x 63 pixels, and a note that it was held on its side."""
    path = tmp_path / "films" / "a.mkv"
    path.parent.mkdir()
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 49, 63, "bgr0"
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.set_display_rotation(90)
        for number, time in enumerate(TIMES):
            frame = av.VideoFrame.from_ndarray(scene(number), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def model(model_file):
    return Model(model_file, "cpu")


def draw(image, saliency):
    return render("rgba", image, saliency)


def test_frames_are_upright_and_have_their_own_times(drawn):
    frames = list(read_film(drawn))
    assert [frame.time * CLOCK for frame in frames] == [Fraction(time, 1000) for time in TIMES]
    for number, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.image, np.rot90(scene(number)))


def test_png_frames_are_the_maps_of_the_frames(model_file, model, drawn, tmp_path, monkeypatch):
    Image.fromarray(scene(0)).save(drawn.parent / "b.png")  # films beside images
    given = ["usod", "predict", model_file, drawn.parent, "--out", tmp_path / "out", "--device", "cpu", "--batch", 3]
    monkeypatch.setattr(sys, "argv", list(map(str, given)))
    before = torch.get_num_threads()
    with pytest.raises(SystemExit) as ended:
        main()
    torch.set_num_threads(before)
    assert ended.value.code == 0
    written = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*"))
    assert written == [*(f"a/{number:06d}.png" for number in range(1, 8)), "a/times.csv", "b.png"]
    assert (tmp_path / "out/a/times.csv").read_text().splitlines()[4] == "000004.png,0.200000"
    expected = np.rint(255 * model.predict(np.ascontiguousarray(np.rot90(scene(3)))))
    assert np.abs(np.asarray(Image.open(tmp_path / "out/a/000004.png")) - expected).max() <= 1


def decoded(path, codec):
    """Frames of a film by the decoder that knows alpha, with their times in milliseconds."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoder = av.CodecContext.create(codec, "r")
        decoder.extradata = stream.codec_context.extradata
        for packet in container.demux(stream):
            for frame in decoder.decode(packet if packet.size else None):
                yield round(1000 * frame.pts * stream.time_base), frame.to_ndarray(format="rgba")


@pytest.mark.parametrize(("video", "codec", "error"), [("prores", "prores", 2), ("vp9", "libvpx-vp9", 6)])
def test_the_alpha_plane_of_a_video_is_the_map(model, drawn, tmp_path, video, codec, error, monkeypatch):
    monkeypatch.setattr(predict_film, "SEGMENT", 3)  # three parts, joined
    targets = film_names([drawn], tmp_path, video)
    predict_films(model, targets, 2, draw, [], video=video)
    read = list(decoded(targets[drawn], codec))
    assert [time for time, _ in read] == TIMES
    for number, (_, picture) in enumerate(read):
        image = np.ascontiguousarray(np.rot90(scene(number)))
        expected = 255 * model.predict(image)
        assert np.abs(picture[..., 3] - expected).mean() < error
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("video", [None, "prores"])
def test_a_film_that_was_stopped_ends_with_the_same_frames(model, drawn, tmp_path, video, monkeypatch):
    monkeypatch.setattr(predict_film, "SEGMENT", 2)
    draw = partial(render, "map")  # a cut-out's matting answers to the last digit of a map
    results = []
    for name in ("whole", "stopped"):
        targets = film_names([drawn], tmp_path / name, video)
        calls = []

        def stops(image, saliency, name=name, calls=calls):
            calls.append(1)
            if name == "stopped" and len(calls) == 4:
                raise KeyboardInterrupt
            return draw(image, saliency)

        try:
            predict_films(model, targets, 2, stops, [], smooth=0.5, video=video)
        except KeyboardInterrupt:
            again = []
            predict_films(model, targets, 2, lambda *a, n=again: n.append(1) or draw(*a), [], smooth=0.5, video=video)
            assert len(again) == 5, "two of seven were kept"
        if video:
            results.append(list(decoded(targets[drawn], "prores")))
        else:
            frames = sorted(targets[drawn].glob("*.png"))
            results.append([(frame.name, np.asarray(Image.open(frame))) for frame in frames])
            assert (targets[drawn] / "times.csv").read_text().count("\n") == 8
    assert [key for key, _ in results[0]] == [key for key, _ in results[1]] and len(results[0]) == 7
    # What a network says of the same image can differ by a rounding from call to call, as its memory lies elsewhere.
    for (_, whole), (_, stopped) in zip(*results, strict=True):
        difference = np.abs(whole.astype(float) - stopped) / np.iinfo(whole.dtype).max
        assert difference.max() < 3.5 / 255 and difference.mean() < 0.001


@pytest.mark.parametrize("video", [None, "prores"])
def test_nothing_is_left_of_other_settings_or_another_film(model, drawn, tmp_path, video, monkeypatch):
    """A run in parts of three is stopped; the next one has parts of two. Then the film is cut shorter."""

    def stops(image, saliency, calls=[]):  # noqa: B006
        calls.append(1)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return draw(image, saliency)

    monkeypatch.setattr(predict_film, "SEGMENT", 1)
    targets = film_names([drawn], tmp_path, video)
    with pytest.raises(KeyboardInterrupt):
        predict_films(model, targets, 3, stops, [], video=video)
    predict_films(model, targets, 2, draw, [], video=video)

    def frames():
        if video:
            return [time for time, _ in decoded(targets[drawn], "prores")]
        return [path.name for path in sorted(targets[drawn].glob("*.png"))]

    assert len(frames()) == 7
    with av.open(str(drawn), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 49, 63, "bgr0"
        out.mux(stream.encode(av.VideoFrame.from_ndarray(scene(0), format="rgb24")))
        out.mux(stream.encode())
    predict_films(model, targets, 2, draw, [], video=video, overwrite=True)
    assert len(frames()) == 1


def test_what_has_no_alpha_is_a_plain_video(tmp_path):
    masks = [255 * (scene(number)[..., 0] > 200).astype(np.uint8) for number in range(3)]
    for video, codec in (("vp9", "libvpx-vp9"), ("prores", "prores")):
        path = tmp_path / f"mask{films.SUFFIXES[video]}"
        write_film(path, [(number * 3600, mask) for number, mask in enumerate(masks)], video)
        read = [picture for _, picture in decoded(path, codec)]
        assert len(read) == 3 and all(
            np.abs(a[:, : b.shape[1], 0].astype(int) - b).mean() < 6 for a, b in zip(read, masks, strict=True)
        )
        with pytest.raises(UsodError, match="hold 3 pictures instead of 2"):
            join_films([path], [0, 1], tmp_path / f"joined{path.suffix}")


@pytest.mark.parametrize("size", [(63, 49), (64, 50), (50, 66)], ids=str)
def test_prores_of_any_width_is_what_was_drawn_in_every_column(tmp_path, size):
    y, x = np.mgrid[: size[0], : size[1]]
    grey = [(x * 2 + y + 10 * number).astype(np.uint8) for number in range(3)]
    for pictures in (grey, [np.dstack([g, g[::-1], g, g]) for g in grey]):
        for _ in range(3):  # what spoiled slices did so now and then
            write_film(tmp_path / "a.mov", [(3600 * number, p) for number, p in enumerate(pictures)], "prores")
            for drawn, (_, read) in zip(pictures, decoded(tmp_path / "a.mov", "prores"), strict=True):
                found = read[:, : size[1], 0] if drawn.ndim == 2 else read
                assert np.abs(found.astype(int) - drawn).max() <= 5


def test_the_average_follows_what_moves_and_forgets_at_a_cut():
    rng = np.random.default_rng(0)
    texture = np.kron(rng.integers(0, 256, (40, 60, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    views = [texture[20:116, 3 * number : 3 * number + 128] for number in range(3)]
    maps = [np.zeros((96, 128), np.float32) for _ in views]
    for number, saliency in enumerate(maps):
        saliency[30:60, 60 - 3 * number : 90 - 3 * number] = 1
    smoother = Smoother(0.25)
    smoother(views[0], maps[0])
    kept = smoother(views[1], np.zeros_like(maps[0]))  # a frame on which the object was missed
    assert kept[35:55, 62:82].mean() == pytest.approx(0.75, abs=0.08) and kept[35:55, 92:].max() < 0.1
    cut = smoother(255 - views[2], maps[2])
    np.testing.assert_array_equal(cut, maps[2])


def test_what_is_no_film_is_one_line(model, tmp_path, monkeypatch):
    (tmp_path / "bad.mp4").write_bytes(b"no film")
    targets = film_names([tmp_path / "bad.mp4"], tmp_path / "out")
    with pytest.raises(UsodError, match=r"none\.mp4: no such film"):
        film_names([tmp_path / "none.mp4"], tmp_path / "out")
    with pytest.raises(UsodError, match=r"bad\.mp4: cannot be decoded"):
        predict_films(model, targets, 2, draw, [])
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UsodError, match=r"pip install 'usod\[film\]'"):
        predict_films(model, targets, 2, draw, [])
