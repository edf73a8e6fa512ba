import pytest
import torch

from usod.training.checkpoint import Checkpoint


@pytest.fixture
def work(tmp_path):
    return tmp_path / "work" / "iter0"


STATE = {"epoch": 3, "weights": torch.arange(4.0)}


def test_a_state_comes_back(work):
    Checkpoint(work, {"lr": 0.1, "seed": 0}).save(STATE)
    state = Checkpoint(work, {"seed": 0, "lr": 0.1}).load()  # the order of the settings is none of their meaning
    assert state["epoch"] == 3
    assert torch.equal(state["weights"], STATE["weights"])


def test_without_a_folder_nothing_is_kept(work):
    checkpoint = Checkpoint(None, {})
    checkpoint.save(STATE)
    assert checkpoint.load() is None
    assert Checkpoint(work, {}).load() is None


def test_a_state_of_other_settings_is_not_used(work, capsys):
    Checkpoint(work, {"lr": 0.1}).save(STATE)
    assert Checkpoint(work, {"lr": 0.2}).load() is None
    (line,) = capsys.readouterr().err.splitlines()
    assert str(work / "state.pt") in line and "other settings" in line


@pytest.mark.parametrize("damage", [lambda content: content[:200], lambda _: b"", lambda _: b"\x80\x02}q\x00."])
def test_a_damaged_state_is_said_and_not_used(work, capsys, damage):
    checkpoint = Checkpoint(work, {})
    checkpoint.save(STATE)
    checkpoint.path.write_bytes(damage(checkpoint.path.read_bytes()))
    assert checkpoint.load() is None
    (line,) = capsys.readouterr().err.splitlines()
    assert "state.pt" in line and "starting from the first epoch" in line


def test_a_save_that_fails_leaves_the_state_before(work, monkeypatch):
    checkpoint = Checkpoint(work, {})
    checkpoint.save(STATE)

    def killed(state, path):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save({"epoch": 4})
    assert checkpoint.load()["epoch"] == 3
    assert [path.name for path in work.iterdir()] == ["state.pt"]
