from pathlib import Path

from usod.settings.config import Config
from usod.settings.reference import config_reference

DOCS = Path(__file__).parents[1] / "docs"


def test_the_reference_in_the_docs_is_the_one_of_this_configuration():
    stored = (DOCS / "configuration.md").read_text(encoding="utf-8")
    assert stored == config_reference(), "run: usod config reference --out docs/configuration.md"


def test_it_names_every_key_with_its_default():
    text = config_reference()
    assert "| `batch_size` | whole number | `20` | Images per step (4.1) |" in text
    assert "| `train` | text | required |" in text and "## `deepusps.refine.crf`" in text
    assert all(f"| `{name}` |" in text for name in Config.model_fields)
