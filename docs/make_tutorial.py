"""Make the pictures of docs/tutorial.md: `python docs/make_tutorial.py --help`.

It does what the page says, on photographs that scikit-image and scikit-learn bring with them. With the file of weights
the settings are those of `usod run`, and the pictures are those of the page. Without, where no weights can be
downloaded, a small network learns from scratch: all the same steps, and masks that are not worth showing.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import pandas as pd
from PIL import Image, ImageDraw, ImageOps
from skimage import data
from sklearn.datasets import load_sample_image

# Without DINOv2: as small as it goes, and no spectral labels, which need an encoder that has learnt.
SMALL = """
size: 64
network: {name: light, light_width: 8, weights: none, frozen: false}
deepusps: {labels: [rbd, mc], fuse: {epochs: 2, min_steps: 0, size: null, batch_size: 4}}
"""
SIDE = 220  # pixels of a picture's longer side
GREY = (225, 225, 225)  # white masks are seen on it


def photographs() -> dict[str, Image.Image]:
    """Name -> eight photographs, of free licences: docs/tutorial.md names them."""
    names = ("astronaut", "camera", "cat", "clock", "coffee", "coins", "rocket")
    found = {name: Image.fromarray(getattr(data, name)()).convert("RGB") for name in names}
    return found | {"flower": Image.fromarray(load_sample_image("flower.jpg"))}


def usod(*words: object) -> None:
    """Run `usod WORDS`, and stop where it fails."""
    subprocess.run([sys.executable, "-m", "usod", *map(str, words)], check=True)


def sheet(rows: list[tuple[str, list[Image.Image]]]) -> Image.Image:
    """Pictures in rows, each row with its name below its first picture."""
    small = [(name, [ImageOps.contain(cell.convert("RGB"), (SIDE, SIDE)) for cell in cells]) for name, cells in rows]
    heights = [max(cell.height for cell in cells) + 18 for _, cells in small]
    out = Image.new("RGB", (max(len(cells) for _, cells in small) * (SIDE + 4) - 4, sum(heights)), GREY)
    top = 0
    for (name, cells), height in zip(small, heights, strict=True):
        for column, cell in enumerate(cells):
            out.paste(cell, (column * (SIDE + 4), top))
        ImageDraw.Draw(out).text((2, top + height - 16), name, fill="black")
        top += height
    return out


def two_columns(rows: list[tuple[str, list[Image.Image]]]) -> Image.Image:
    """The rows, the second half of them beside the first."""
    half = -(-len(rows) // 2)
    left, right = sheet(rows[:half]), sheet(rows[half:])
    out = Image.new("RGB", (left.width + right.width + 12, max(left.height, right.height)), GREY)
    out.paste(left, (0, 0))
    out.paste(right, (left.width + 12, 0))
    return out


def marked(photograph: Image.Image, mask: Image.Image) -> Image.Image:
    """The photograph, darkened where the mask is black."""
    return Image.composite(photograph, photograph.point(lambda value: value // 4), mask.convert("L"))


def on_chequers(cut: Image.Image, size: int = 16) -> Image.Image:
    """A picture with transparency as image editors show it."""
    out = Image.new("RGB", cut.size, "white")
    draw = ImageDraw.Draw(out)
    for top in range(0, cut.height, size):
        for left in range(top // size % 2 * size, cut.width, 2 * size):
            draw.rectangle((left, top, left + size - 1, top + size - 1), fill=(205, 205, 205))
    out.paste(cut, mask=cut.getchannel("A"))
    return out


def main() -> None:
    """Do the steps of the page and draw its pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for photographs and results")
    parser.add_argument("--weights", type=Path, help="dinov2_vits14.safetensors; without it a small network")
    parser.add_argument("--out", type=Path, help="folder of the pictures; none: WORK/pictures")
    given = parser.parse_args()
    work, out = given.work, given.out or given.work / "pictures"
    for folder in ("photographs", "new"):
        (work / folder).mkdir(parents=True, exist_ok=True)
    taken = photographs()
    for name, photograph in taken.items():
        photograph.save(work / f"photographs/{name}.png")
    Image.fromarray(load_sample_image("china.jpg")).save(work / "new/temple.png")

    settings = work / "settings.yaml"
    whole = f"network: {{weights: {given.weights.absolute()}}}\n" if given.weights else SMALL
    settings.write_text(whole, encoding="utf-8")
    usod("run", work / "photographs", "--out", work, "--configfile", settings)
    usod("status", work, "--once")
    results = work / "results"
    model = results / "models/photographs/deepusps-seed0.safetensors"
    masks = results / "masks/photographs/deepusps-seed0"
    usod("labels", "export", masks, "--images", work / "photographs", "--out", work / "ls", "--format", "label-studio")
    usod("predict", model, work / "new", "--out", work / "cut", "--type", "rgba")
    draw(taken, work, out)


def draw(taken: dict[str, Image.Image], work: Path, out: Path) -> None:
    """The pictures of the page, of what lies in `work`."""
    results = work / "results"
    out.mkdir(parents=True, exist_ok=True)
    masks = {name: Image.open(results / f"masks/photographs/deepusps-seed0/{name}.png") for name in taken}
    rows = [(name, [taken[name], masks[name], marked(taken[name], masks[name])]) for name in taken]
    save(two_columns(rows), out / "masks.jpg")
    doubts = pd.read_csv(results / "report/doubts-photographs.csv")
    order = [str(name) for name in doubts["id"] if str(name) in taken][:3]
    save(
        sheet([(f"doubt {number}: {name}", [taken[name], masks[name]]) for number, name in enumerate(order, 1)]),
        out / "doubts.jpg",
    )
    cut = Image.open(work / "cut/temple.png")
    save(sheet([("a new image", [Image.open(work / "new/temple.png"), on_chequers(cut)])]), out / "new.jpg")


def save(picture: Image.Image, file: Path) -> None:
    """A JPEG, and its size for the person who commits it."""
    picture.save(file, quality=88)
    print(f"{file}: {file.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
