import errno
import os
from pathlib import Path

import pytest
import torch

from usod.errors import UsodError
from usod.training.checkpoint import Checkpoint, discard, resume_folder


@pytest.fixture
def work(tmp_path):
    return tmp_path / "work" / "iter0"


STATE = {"epoch": 3, "weights": torch.arange(4.0)}


def test_a_state_comes_back(work):
    first = Checkpoint(work, {"lr": 0.1, "seed": 0})
    first.save(STATE)
    first.flush()
    state = Checkpoint(work, {"seed": 0, "lr": 0.1}).load()  # the order of the settings is none of their meaning
    assert state["epoch"] == 3
    assert torch.equal(state["weights"], STATE["weights"])


def test_without_a_folder_nothing_is_kept(work):
    checkpoint = Checkpoint(None, {})
    checkpoint.save(STATE)
    assert checkpoint.load() is None
    assert Checkpoint(work, {}).load() is None


def test_a_state_of_other_settings_is_not_used(work, capsys):
    first = Checkpoint(work, {"lr": 0.1})
    first.save(STATE)
    first.flush()
    assert Checkpoint(work, {"lr": 0.2}).load() is None
    (line,) = capsys.readouterr().err.splitlines()
    assert str(work / "state.pt") in line and "other settings" in line


def test_a_state_is_that_of_when_it_was_saved_whatever_is_saved_later(work):
    weights, channels_last = torch.zeros(3), torch.arange(24.0).view(1, 2, 3, 4).to(memory_format=torch.channels_last)
    checkpoint, history = Checkpoint(work, {}), []
    for epoch in range(3):
        history.append({"epoch": epoch})
        checkpoint.save({"weights": weights, "more": [channels_last, weights], "history": history})
        weights += 1  # as a training does, while the file is written
        channels_last += 1
        checkpoint.flush()
        state = Checkpoint(work, {}).load()
        assert state["weights"].tolist() == [epoch] * 3 and state["more"][1].tolist() == [epoch] * 3
        assert torch.equal(state["more"][0], torch.arange(24.0).view(1, 2, 3, 4) + epoch)
        assert state["history"] == history


def test_a_tensor_of_another_shape_or_type_is_kept_as_it_is(work):
    checkpoint = Checkpoint(work, {})
    for tensor in (torch.zeros(3), torch.ones(2, 3), torch.full((2, 3), 7, dtype=torch.int64), torch.tensor(0.25)):
        checkpoint.save({"some": tensor})
        checkpoint.flush()
        kept = Checkpoint(work, {}).load()["some"]
        assert (kept.dtype, kept.shape) == (tensor.dtype, tensor.shape) and torch.equal(kept, tensor)


@pytest.mark.parametrize("damage", [lambda content: content[:200], lambda _: b"", lambda _: b"\x80\x02}q\x00."])
def test_a_damaged_state_is_said_and_not_used(work, capsys, damage):
    checkpoint = Checkpoint(work, {})
    checkpoint.save(STATE)
    checkpoint.flush()
    checkpoint.path.write_bytes(damage(checkpoint.path.read_bytes()))
    assert checkpoint.load() is None
    (line,) = capsys.readouterr().err.splitlines()
    assert "state.pt" in line and "starting from the first epoch" in line


def test_a_save_that_fails_is_told_and_leaves_the_state_before(work, monkeypatch):
    checkpoint = Checkpoint(work, {})
    checkpoint.save(STATE)
    checkpoint.flush()

    def disk_full(state, path):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(torch, "save", disk_full)
    checkpoint.save({"epoch": 4})
    with pytest.raises(UsodError, match="state.pt: cannot be written, the disk is full"):
        checkpoint.save({"epoch": 5})
    assert checkpoint.load()["epoch"] == 3
    assert [path.name for path in work.iterdir()] == ["state.pt"]


def test_a_state_is_that_of_its_moment(work):
    """The training goes on while its state is written."""
    weights = torch.zeros(1000, 1000)
    checkpoint = Checkpoint(work, {})
    checkpoint.save({"weights": weights, "rows": [{"w": weights}]})
    weights.fill_(1)
    state = checkpoint.load()
    assert not state["weights"].any() and not state["rows"][0]["w"].any()


@pytest.mark.parametrize(
    ("work", "folder"),
    [(None, "results/rbd/.resume/iter0"), ("else/where", "else/where"), ("none", None), ("", None)],
)
def test_the_state_lies_beside_the_model_or_where_the_user_says(work, folder):
    found = resume_folder(work, Path("results/rbd/iter0.safetensors"))
    assert found == (None if folder is None else Path(folder))


def test_the_last_training_of_a_folder_takes_the_hidden_folder_away(tmp_path):
    first, second = (resume_folder(None, tmp_path / f"seed{seed}.safetensors") for seed in (0, 1))
    for folder in (first, second):
        checkpoint = Checkpoint(folder, {})
        checkpoint.save(STATE)
        checkpoint.flush()
    discard(first)
    assert Checkpoint(second, {}).load() is not None and not first.exists()
    discard(second)
    assert not list(tmp_path.iterdir())
    discard(None)
    discard(second)  # a training that resumed at its end, or kept nothing


def test_a_folder_of_the_users_own_stays_around_the_state(work):
    checkpoint = Checkpoint(work, {})
    checkpoint.save(STATE)
    checkpoint.flush()
    discard(work)
    assert work.parent.exists() and not work.exists()
