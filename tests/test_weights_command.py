"""`usod weights`: listed, fetched from a server, brought into a file."""

import hashlib
import http.server
import json
import threading
from dataclasses import replace

import pytest
import timm
import torch
from safetensors.torch import save_file

from usod.errors import UsageError, UsodError
from usod.models import fetching, sources, timm_weights, weights
from usod.models.build import build_backbone
from usod.models.config import NetworkConfig
from usod.models.sources import PUBLISHED, published_name

from .test_cli import usod


@pytest.fixture
def server(tmp_path):
    """A folder served on this machine, and its address."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *arguments):
            pass

        def do_GET(self):
            if not self.path.endswith("cut.pth"):
                return super().do_GET()
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            self.wfile.write(b"half")

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def published(monkeypatch, **changes):
    known = replace(published_name("dino_vits16"), **changes)
    monkeypatch.setattr(sources, "PUBLISHED", (known,))


def test_the_list_names_licences_and_labels():
    lines = usod("weights", "list").stdout.splitlines()
    assert len(lines) == len(PUBLISHED) + 1
    shown = {line.split()[0]: line for line in lines}
    assert "CC-BY-NC 4.0" in shown["moco_v2_800ep"] and "DINOv3 License" in shown["dinov3_vits16"]
    assert "Apache-2.0" in shown["dino_resnet50"] and " none " in shown["dinov2_vits14"]
    assert " ImageNet " in shown["efficientnet-lite2"] and "ImageNet+Cityscapes" in shown["drn_d_105.cityscapes"]


def test_a_file_comes_whole_with_its_digest_or_not_at_all(server, tmp_path, monkeypatch, capsys):
    folder, address = server
    content = b"weights" * 500_000
    (folder / "w.pth").write_bytes(content)
    digest, old = hashlib.sha256(content).hexdigest(), hashlib.md5(content).hexdigest()
    out = tmp_path / "out"
    published(monkeypatch, url=f"{address}/w.pth", file="w.pth", sha256=digest[:8], md5=old[:8])
    _, file = fetching.fetch_weights("dino_vits16", out)
    assert (file, file.read_bytes()) == (out / "w.pth", content)
    assert "w.pth: 4 megabytes in" in capsys.readouterr().err
    fetching.fetch_weights("dino_vits16", out)
    assert "is there already" in capsys.readouterr().err
    for changes, message in (
        ({"sha256": "0123abcd"}, "its sha256 is .*, not the published 0123abcd"),
        ({"sha256": "", "md5": "0123abcd"}, "its md5 is .*, not the published 0123abcd"),
        (
            {"sha256": "", "md5": "", "url": f"{address}/cut.pth"},
            "broke off after 4 of 1000000 bytes|cannot be downloaded",
        ),
        ({"url": f"{address}/gone.pth"}, "gone.pth cannot be downloaded .*404"),
        ({"url": "http://127.0.0.1:9/w.pth"}, "cannot be downloaded .*refused"),
    ):
        published(monkeypatch, **({"url": f"{address}/w.pth", "file": "v.pth", "sha256": digest[:8]} | changes))
        with pytest.raises(UsodError, match=message) as error:
            fetching.fetch_weights("dino_vits16", out)
        assert "\n" not in str(error.value) and [path.name for path in out.iterdir()] == ["w.pth"]


def test_what_needs_a_browser_or_is_unknown_is_one_line(tmp_path):
    gated = usod("weights", "fetch", "dinov3_vits16", "--out", tmp_path / "w", expect=1).stderr.splitlines()
    assert (
        len(gated) == 1 and "licence must be accepted" in gated[0] and "usod weights fetch timm/vit_small" in gated[0]
    )
    assert "no weights of the name 'resnet'" in usod("weights", "fetch", "resnet", "--out", tmp_path, expect=2).stderr
    assert not list(tmp_path.iterdir())


def cached(monkeypatch, tmp_path, name="test_resnet.r160_in1k"):
    """The hub's cache with timm's weights of a small network."""
    cache = tmp_path / "hub"
    place = cache / f"models--timm--{name}"
    (place / "snapshots/1234").mkdir(parents=True)
    (place / "refs").mkdir()
    (place / "refs/main").write_text("1234")
    model = timm.create_model(name.partition(".")[0])
    save_file(model.state_dict(), place / "snapshots/1234/model.safetensors")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    return model


def test_weights_of_timm_come_from_the_hubs_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(timm_weights, "_why_unreachable", lambda: pytest.fail("the network was asked"))
    model = cached(monkeypatch, tmp_path)
    config = NetworkConfig(name="timm/test_resnet", weights="DEFAULT")
    backbone = build_backbone(config)
    assert not weights.load_weights(backbone, config).missing
    assert torch.equal(backbone.model.conv1[0].weight, model.conv1[0].weight)
    described = weights.describe_weights(config)
    assert (described["name"], described["labels"]) == ("test_resnet.r160_in1k", "ImageNet")
    _, file = fetching.fetch_weights("timm/test_resnet", tmp_path / "out")
    assert file.name == "test_resnet.r160_in1k.safetensors"
    again = weights.describe_weights(NetworkConfig(name="timm/test_resnet", weights=str(file)))
    assert (again["labels"], again["sha256"]) == ("ImageNet", described["sha256"])


def test_without_internet_one_line_says_what_to_fetch(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    config = NetworkConfig(name="timm/vit_small_patch14_dinov2", weights="lvd142m")
    for setting, value, reason in (
        ("HF_HUB_OFFLINE", True, "HF_HUB_OFFLINE is set"),
        ("ENDPOINT", "http://127.0.0.1:9", "refused"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(f"huggingface_hub.constants.{setting}", value)
            with pytest.raises(UsodError, match=reason) as error:
                weights.weights_file(config)
        line = str(error.value)
        assert "usod weights fetch timm/vit_small_patch14_dinov2.lvd142m --out DIR" in line and "\n" not in line
        assert "https://huggingface.co/timm/vit_small_patch14_dinov2.lvd142m/resolve/main/model.safetensors" in line


def test_brought_weights_are_read_in_the_place_of_what_the_network_names(tmp_path):
    config = NetworkConfig(name="timm/test_resnet", weights=str(tmp_path / "mine.pth"))
    source = timm.create_model("test_resnet")
    torch.save(source.state_dict(), tmp_path / "mine.pth")
    out, record = tmp_path / "w/brought.weights", tmp_path / "w/brought.json"
    usod("weights", "bring", "--network", config.model_dump_json(), "--out", out, "--record", record)
    (tmp_path / "mine.pth").unlink()
    known = json.loads(record.read_text())
    assert known["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest() and known["labels"] == "unknown"
    reading = config.reading(out)
    backbone = build_backbone(reading)
    assert not weights.load_weights(backbone, reading).missing
    assert weights.describe_weights(reading)["name"] == "mine.pth"
    assert reading.model_dump() == config.model_dump(), "where a copy lies is no setting"
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    other = config.model_copy(update={"weights": str(tmp_path / "other.pth")}).model_dump_json()
    failed = usod("weights", "bring", "--network", other, "--out", tmp_path / "w/no.weights", expect=1)
    assert "other.pth does not fit timm/test_resnet" in failed.stderr and not (tmp_path / "w/no.weights").exists()
    with pytest.raises(UsageError, match="there is nothing to bring"):
        from usod.commands.weights import bring

        bring(network='{"name": "light"}')
