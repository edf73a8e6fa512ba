import json
import subprocess

from PIL import Image

from usod.data.index import build_index, write_index
from usod.models.build import build_network
from usod.models.config import NetworkConfig
from usod.models.model_file import save_model
from usod.reporting.provenance_page import provenance_page

from .. import forked


def test_provenance_names_data_settings_and_software(tmp_path):
    for name in ("a", "b"):
        Image.new("RGB", (4, 4)).save(tmp_path / f"{name}.png")
    write_index(build_index(tmp_path), tmp_path / "index.csv")
    usod = [forked.command(), "report", "provenance", "--index", f"ECSSD={tmp_path / 'index.csv'}"]
    command = [*usod, "--config", json.dumps({"size": 432}), "--out", tmp_path / "p.md"]
    subprocess.run(command, check=True)
    text = (tmp_path / "p.md").read_text()
    assert "| ECSSD | 2 | " in text and "size: 432" in text and "| snakemake | 9." in text


def test_a_network_is_named_with_the_human_labels_behind_it(tmp_path):
    config = NetworkConfig(name="light", light_width=8, weights="none")
    save_model(tmp_path / "m.safetensors", build_network(config), config, {"labels": "image tags"}, input_size=48)
    assert "| net | light | none | image tags | usod " in provenance_page({}, {"net": tmp_path / "m.safetensors"}, {})
