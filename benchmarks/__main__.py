"""All ratios, with their goals, in one run on made-up images: python benchmarks [NAME...]

Each script runs with little to do, about five minutes in all on two quiet cores; by itself, and with photographs, it
measures more. The table in the end is for RESULTS.md; `load` is how many processes wanted a core before and after.
"""

import argparse
import os
import platform
import subprocess
import sys
from datetime import date
from pathlib import Path

from timing import MARK

SCRIPTS: dict[str, list[str]] = {
    "handcrafted": ["--repeats", "2", "--seconds", "0"],
    "crf": ["--sizes", "432", "--repeats", "3"],
    "evaluation": [],
    "storage": [],
    "prediction": [],
    "cutouts": ["--megapixels", "1"],
    "training": [],
    "networks": ["--batch", "2", "--repeats", "2"],
    "scale": ["--images", "100", "1000", "2000", "--chunks", "64"],
}
"""What is run, and with what; the last one takes half of the time."""
ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(SCRIPTS)}")
    names = parser.parse_args().names or list(SCRIPTS)
    if wrong := [name for name in names if name not in SCRIPTS]:
        parser.error(f"no benchmark {wrong[0]}; there are {', '.join(SCRIPTS)}")
    before, rows, failed = os.getloadavg()[0], [], []
    for name in names:
        sys.stdout.write(f"\n== {name}\n")
        sys.stdout.flush()
        found, code = run(name)
        rows += found
        failed += [name] if code else []
    sys.stdout.write(f"\n{machine()}; load {before:.1f} before, {os.getloadavg()[0]:.1f} after.\n\n")
    sys.stdout.write("| | measured | beside | goal | met |\n|---|---|---|---|---|\n")
    sys.stdout.write("".join(f"{row}\n" for row in rows))
    if failed:
        raise SystemExit(f"did not end well: {', '.join(failed)}")


def run(name: str) -> tuple[list[str], int]:
    """The rows that a script prints, everything being shown, and its exit code."""
    rows = []
    call = [sys.executable, str(Path(__file__).with_name(f"{name}.py")), *SCRIPTS[name]]
    with subprocess.Popen(call, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(MARK):
                rows.append(line.removeprefix(MARK).rstrip("\n"))
            sys.stdout.write(line)
            sys.stdout.flush()
    return rows, process.returncode


def machine() -> str:
    """Processor, cores, commit and date."""
    model = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).exists():
        names = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    commit = git("rev-parse", "--short", "HEAD") or "no checkout"
    changed = " with changes" if git("status", "--porcelain", "--untracked-files=no") else ""
    return (
        f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}, commit {commit}{changed}, {date.today()}"
    )


def git(*words: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False)
    return done.stdout.strip()


if __name__ == "__main__":
    main()
