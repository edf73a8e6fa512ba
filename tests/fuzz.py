"""Damaged and hostile files for everything that reads a file from elsewhere: a UsodError each, or a whole result.

    python tests/fuzz.py --inputs 100000            (about 10 minutes on one core; --seed for other inputs)

Inputs are read in processes of their own, which may take 2 GiB more than they start with and 20 seconds an input.
What crashes, hangs, asks for more or raises something else is kept in the folder `--keep` and named, with the seed
that makes it again; the exit code is then 1.
"""

import argparse
import io
import json
import multiprocessing
import os
import random
import re
import resource
import signal
import struct
import sys
import tempfile
import time
import traceback
from pathlib import Path

import h5py
import numpy as np
import torch
from PIL import Image

from usod.data.images import read_image
from usod.data.index import build_index, read_index, read_masks, write_index
from usod.data.mapstore import MapStore, write_maps
from usod.errors import UsodError
from usod.human_labels import MODEL_KEY
from usod.models.build import build_network
from usod.models.config import NetworkConfig
from usod.models.model_file import load_model, save_model
from usod.models.weight_files import read_tensors
from usod.settings.config import parse_config
from usod.settings.sections import read_yaml

BATCH = 250
SECONDS = 20
MEMORY = 2 * 2**30
ROOT = Path(__file__).parents[1]

WORDS = [
    *(b"!!python/object/apply:os.system [ls]", b"&a [*a, *a]", b"../../../../etc/passwd", b"/dev/zero", b"\x00"),
    *(b"\xff\xfe", b"1e999", b"-1", b"99999999999999999999", b"nan", b"null", b"{}", b"[]", b"''", b"true", b": :"),
    *(b"- - -", b"<<: *x", b"9" * 5000, b"[" * 400, b"{a: " * 200, b"\xe2\x80\xae", "ä".encode("latin-1")),
    b"a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c]\n"
    b"e: &e [*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e]\ntrain: [*f,*f,*f,*f,*f,*f]\n",
]


def mutated(data: bytes, rng: random.Random, words: list[bytes]) -> bytes:
    """`data` with a few bytes, numbers, lines or words changed, cut or repeated."""
    out = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        place = rng.randrange(len(out) + 1) if out else 0
        kind = rng.randrange(8)
        if kind == 0 and out:
            out[place - 1] ^= 1 << rng.randrange(8)
        elif kind == 1 and out:
            out[place - 1] = rng.choice([0, 0xFF, 0x7F, 0x80, rng.randrange(256)])
        elif kind == 2:
            del out[place : place + rng.choice([1, 2, 8, 64, len(out)])]
        elif kind == 3:
            out[place:place] = rng.choice(words)
        elif kind == 4:
            out[place : place + 8] = struct.pack("<q", rng.choice([0, -1, 2**31, 2**62, rng.randrange(2**40)]))
        elif kind == 5:
            part = bytes(out[place : place + rng.randrange(1, 200)])
            out[place:place] = part * rng.choice([1, 3])
        elif kind == 6:
            number = rng.choice(list(re.finditer(rb"-?\d+\.?\d*", bytes(out))) or [None])
            if number:
                out[number.start() : number.end()] = rng.choice([b"0", b"-7", b"1e18", b"99999999999", b"x", b"0.5"])
        else:
            lines = bytes(out).split(b"\n")
            rng.shuffle(lines)
            out = bytearray(b"\n".join(lines))
    return bytes(out)


class Readers:
    """What is read, from which good files, and how."""

    def __init__(self, folder: Path):
        torch.set_num_threads(1)
        self.folder = folder
        attributes = {"created_by": "fuzz", "config": {"a": 1}, "inputs": {"b": "0" * 64}, "usod_version": "0"}
        with write_maps(folder / "maps.h5", ["a", "x/b"], (8, 8), [[8, 8]] * 2, attributes) as rows:
            for key in ("a", "x/b"):
                rows[key] = np.eye(8)
        (folder / "photos").mkdir()
        for name in ("a", "b"):
            Image.new("RGB", (4, 4), "red").save(folder / f"photos/{name}.png")
        write_index(build_index(folder / "photos"), folder / "index.csv")
        (folder / "masks.csv").write_text(f"id,mask,threshold,foreground_share\na,{folder}/photos/a.png,0.5,0.2\n")
        network = NetworkConfig(light_width=8)
        save_model(folder / "model.safetensors", build_network(network), network, input_size=32)
        torch.save({"state_dict": {"conv.weight": torch.zeros(2, 3), "n": torch.tensor(3)}}, folder / "weights.pth")
        configs = [ROOT / "config.yaml", *sorted((ROOT / "workflow/presets").glob("*.yaml"))]
        good = {name: [(folder / name).read_bytes()] for name in os.listdir(folder) if (folder / name).is_file()}
        self.kinds = {
            "store": ("maps.h5", good["maps.h5"], self.read_store),
            "index": ("index.csv", good["index.csv"], read_index),
            "masks": ("masks.csv", good["masks.csv"], read_masks),
            "config": ("config.yaml", [path.read_bytes() for path in configs], self.read_config),
            "model": ("model.safetensors", good["model.safetensors"], load_model),
            "weights": ("weights.pth", good["weights.pth"], read_tensors),
            "image": ("image.png", self.images(), read_image),
        }

    @staticmethod
    def images() -> list[bytes]:
        found = []
        for kind in ("png", "jpeg", "gif", "bmp", "tiff", "webp", "ppm"):
            content = io.BytesIO()
            Image.effect_noise((9, 7), 90).convert("RGB").save(content, kind)
            found.append(content.getvalue())
        return found

    @staticmethod
    def read_store(path: Path) -> None:
        with MapStore(path) as store:
            for key in store.ids[:3]:
                store[key]
            store.read_all(store.ids[:3])

    @staticmethod
    def read_config(path: Path) -> None:
        parse_config(read_yaml(path)).model_dump_json()

    def make(self, kind: str, seed: int) -> Path:
        """Write the input of a seed; some are built to be hostile, the others are good files that were changed."""
        rng = random.Random(f"{kind}{seed}")
        name, good, _ = self.kinds[kind]
        path = self.folder / f"input-{os.getpid()}-{name}"
        if kind == "store" and rng.random() < 0.3:
            hostile_store(path, rng)
        elif kind == "model" and rng.random() < 0.5:
            path.write_bytes(hostile_model(good[0], rng))
        else:
            path.write_bytes(mutated(rng.choice(good), rng, WORDS))
        return path


def hostile_store(path: Path, rng: random.Random) -> None:
    """Valid HDF5 that is no honest MapStore: other types and shapes, links, storage elsewhere, names that leave."""
    path.unlink(missing_ok=True)
    texts = h5py.string_dtype()
    attributes = {
        "format": "usod-store",
        "version": 1,
        "complete": True,
        "created_by": "x",
        "config": "{}",
        "inputs": "{}",
    }
    attributes[rng.choice(list(attributes))] = rng.choice(["x", b"\xff", 7, "{", "[1]", np.zeros(3), ""])
    huge = rng.choice([10, 10**6, 10**9, 2**40])
    with h5py.File(path, "w") as file:
        for key, value in attributes.items():
            file.attrs[key] = value
        makers = [
            lambda n: file.create_dataset(n, (huge, 64, 64), "u1", chunks=(1, 64, 64), compression="gzip"),
            lambda n: file.create_dataset(n, (2, huge, 64), "u1", chunks=(1, 8, 64), compression="gzip"),
            lambda n: file.create_dataset(n, (2, 8, 8), "u1", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)]),
            lambda n: file.create_dataset(
                n, data=np.zeros((2, 8, 8), rng.choice(["u1", "f2", "f8", "i8", "c16", "S3"]))
            ),
            lambda n: file.create_dataset(n, data=[rng.choice(["a", "../../x", "/x", "", "a\n"]), "b"], dtype=texts),
            lambda n: file.create_dataset(n, (huge,), texts, chunks=(8,)),
            lambda n: file.create_dataset(n, (huge, 2), "i8", chunks=(8, 2)),
            lambda n: file.create_dataset(n, data=rng.choice([3, "x", np.zeros(0), np.zeros(2, np.uint32)])),
            lambda n: file.create_group(n),
            lambda n: file.__setitem__(n, h5py.SoftLink(f"/{n}")),
            lambda n: file.__setitem__(n, h5py.ExternalLink("/etc/passwd", "/x")),
        ]
        honest = {
            "maps": makers[3],
            "ids": lambda n: file.create_dataset(n, data=["a", "b"], dtype=texts),
            "original_size": lambda n: file.create_dataset(n, data=np.full((2, 2), 8)),
            "checksum": lambda n: file.create_dataset(n, data=np.zeros(2, np.uint32)),
        }
        for name, make in honest.items():
            (rng.choice(makers) if rng.random() < 0.4 else make)(name)


def hostile_model(good: bytes, rng: random.Random) -> bytes:
    """A model whose header says other things of itself, its lengths made to fit again."""
    length = struct.unpack("<Q", good[:8])[0]
    header = json.loads(good[8 : 8 + length])
    own = json.loads(header["__metadata__"][MODEL_KEY])
    values = [0, -1, 10**12, 1e308, None, "x" * 5000, [], {}, "../../x", [10**9, 10**9], True, "vgg16", "drn_d_105"]
    target = rng.choice([own, own.get("config", own), header])
    if target:
        target[rng.choice(list(target))] = rng.choice(values)
    if own:
        header["__metadata__"] = {MODEL_KEY: json.dumps(own)}
    text = json.dumps(header).encode()
    return struct.pack("<Q", rng.choice([len(text)] * 8 + [0, 2**60])) + text + good[8 + length :]


def read_batch(folder: str, kind: str, seeds: list[int], report: "multiprocessing.connection.Connection") -> None:
    """In a process of its own: says the seed before each input, so that a crash can be told."""
    readers = Readers(Path(tempfile.mkdtemp(dir=folder)))
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (in_use + MEMORY, resource.RLIM_INFINITY))
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    read = readers.kinds[kind][2]
    for seed in seeds:
        report.send(("at", seed, ""))
        path = readers.make(kind, seed)
        signal.alarm(SECONDS)
        try:
            read(path)
        except UsodError as error:
            if "\n" in str(error):
                report.send(("bad", seed, f"more than one line: {error}"))
        except BaseException:
            report.send(("bad", seed, traceback.format_exc()))
        finally:
            signal.alarm(0)
    report.send(("end", -1, ""))


def run_batch(folder: str, kind: str, seeds: list[int]) -> list[tuple[int, str]]:
    """The seeds of a batch that went wrong, and how."""
    context = multiprocessing.get_context("fork")
    bad, seeds = [], list(seeds)
    while seeds:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=read_batch, args=(folder, kind, seeds, theirs))
        process.start()
        theirs.close()
        at = None
        while True:
            if not ours.poll(2 * SECONDS):
                process.kill()
                bad.append((at, "hangs"))
                break
            try:
                word, seed, text = ours.recv()
            except EOFError:
                process.join()
                bad.append((at, f"the process died: {process.exitcode}"))
                break
            if word == "end":
                at = None
                break
            if word == "bad":
                bad.append((seed, text))
            at = seed
        process.join()
        seeds = seeds[seeds.index(at) + 1 :] if at is not None else []
    return bad


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", default="", help="only one: store, index, masks, config, model, weights, image")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-found"))
    options = parser.parse_args()
    start, found = time.monotonic(), 0
    with tempfile.TemporaryDirectory() as folder:
        first = Path(folder) / "made"
        first.mkdir()
        readers = Readers(first)
        kinds = [options.kind] if options.kind else list(readers.kinds)
        share = -(-options.inputs // len(kinds))
        for kind in kinds:
            before = time.monotonic()
            for low in range(options.seed, options.seed + share, BATCH):
                seeds = list(range(low, min(low + BATCH, options.seed + share)))
                for seed, text in run_batch(folder, kind, seeds):
                    found += 1
                    options.keep.mkdir(exist_ok=True)
                    kept = options.keep / f"{kind}-{seed}{readers.make(kind, seed).suffix}"
                    readers.make(kind, seed).rename(kept)
                    print(f"{kept}: {text.strip()}", file=sys.stderr)
            print(f"{kind}: {share} inputs in {time.monotonic() - before:.0f} s", flush=True)
    print(f"{share * len(kinds)} inputs in {time.monotonic() - start:.0f} s, {found} went wrong")
    sys.exit(found > 0)


if __name__ == "__main__":
    main()
