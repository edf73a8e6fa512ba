"""All benchmarks in one run, with made-up images: `python benchmarks`."""

import subprocess
import sys
from pathlib import Path

SCRIPTS = ("handcrafted.py", "crf.py", "storage.py", "training.py", "networks.py", "evaluation.py", "cutouts.py")


def main() -> None:
    for script in SCRIPTS:
        sys.stdout.write(f"\n== {script}\n")
        sys.stdout.flush()
        subprocess.run([sys.executable, str(Path(__file__).with_name(script))], check=True)


if __name__ == "__main__":
    main()
