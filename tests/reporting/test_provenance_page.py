import json
import subprocess

from PIL import Image

from usod.data.index import build_index, write_index

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
