"""Films as streams of frames, and streams of frames as films; no more of them is in memory than a few frames."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from usod.errors import UsodError
from usod.files import atomic_path

Video = Literal["prores", "vp9"]
SUFFIXES = {"prores": ".mov", "vp9": ".webm"}
CLOCK = Fraction(1, 90000)
"""Unit of all times: that of MPEG, in which the usual frame rates are whole numbers."""


class Frame(NamedTuple):
    time: int  # since the film's first frame, in units of CLOCK
    image: NDArray[np.uint8]  # (H, W, 3) RGB, upright


def library(name: str = "av") -> ModuleType:
    """PyAV (av) or OpenCV (cv2).

    Raises
    ------
    UsodError
        If it is not installed.
    """
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UsodError(f"films need {name}, which is not installed: pip install 'usod[film]'") from error


def read_film(path: Path) -> Iterator[Frame]:
    """The frames of a film's first video stream, in order, at their own times, which need not be evenly spaced.

    The rotation that phones write beside the frames is applied.

    Raises
    ------
    UsodError
        If the file cannot be decoded or holds no video.
    """
    av = library()
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise UsodError(f"{path}: holds no pictures; give a film")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            start, last = None, -1
            for frame in container.decode(stream):
                # A broken film may lack times, or repeat one.
                seconds = Fraction(0) if frame.pts is None else frame.pts * frame.time_base
                start = seconds if start is None else start
                last = max(last + 1, round((seconds - start) / CLOCK))
                image = frame.to_ndarray(format="rgb24")
                yield Frame(last, np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90))))
    except av.FFmpegError as error:
        raise UsodError(f"{path}: cannot be decoded ({error.strerror}); copy it again or remove it") from error


def frame_count(path: Path) -> int:
    """How many frames a film says it has, or by its length should have; 0 if it says neither."""
    av = library()
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            length = stream.duration * stream.time_base if stream.duration else (container.duration or 0) / 1e6
            return int(stream.frames or round(length * (stream.average_rate or 0)))
    except (av.FFmpegError, IndexError):
        return 0


def write_film(path: Path, frames: Iterable[tuple[int, NDArray[np.uint8]]], codec: Video) -> None:
    """A film of pictures (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA uint8, of one size, each with its time in CLOCK.

    "prores": ProRes 4444 with an alpha plane of RGBA, else ProRes 422 HQ; "vp9": yuva420p with alpha, else yuv420p.
    Every picture is one packet, so that films can be joined (`join_films`). ProRes 422 has two columns to a colour: of
    an odd width the last column is there twice.
    """
    av = library()
    options = {"vendor": "apl0"}
    if codec == "vp9":
        options = {"crf": "20", "b": "0", "auto-alt-ref": "0", "lag-in-frames": "0"}
    with atomic_path(path) as temporary, av.open(str(temporary), "w", format=SUFFIXES[codec][1:]) as out:
        stream = None
        for time, picture in frames:
            opaque = picture.ndim == 2 or picture.shape[2] == 3
            if codec == "prores" and opaque and picture.shape[1] % 2:
                picture = np.concatenate([picture, picture[:, -1:]], axis=1)
            if stream is None:
                stream = out.add_stream("prores_ks" if codec == "prores" else "libvpx-vp9", rate=30)
                stream.height, stream.width = picture.shape[:2]
                if codec == "prores":
                    # In threads FFmpeg's encoder spoils slices of films whose width is no multiple of 16, now and then.
                    stream.codec_context.thread_count = 1
                    stream.pix_fmt = "yuv422p10le" if opaque else "yuva444p10le"
                    options |= {"profile": "hq"} if opaque else {"profile": "4444", "alpha_bits": "16"}
                else:
                    stream.pix_fmt = "yuv420p" if opaque else "yuva420p"
                stream.options = options
                stream.codec_context.time_base = CLOCK
            name = "gray" if picture.ndim == 2 else "rgb24" if opaque else "rgba"
            frame = av.VideoFrame.from_ndarray(picture, format=name)
            frame.pts, frame.time_base = time, CLOCK
            out.mux(stream.encode(frame))
        if stream is not None:
            out.mux(stream.encode())


def join_films(parts: Sequence[Path], times: Sequence[int], out: Path) -> None:
    """One film of several by `write_film`, without encoding anew: the packets of `parts`, at `times` (CLOCK).

    Raises
    ------
    UsodError
        If the parts hold another number of pictures than there are times.
    """
    av = library()
    packets = _packets(av, parts)
    with atomic_path(out) as temporary, closing(packets), av.open(str(temporary), "w", format=out.suffix[1:]) as joined:
        stream, count = None, 0
        for source, packet in packets:
            if stream is None:
                stream = joined.add_stream_from_template(source)
                stream.time_base = CLOCK
            if count < len(times):
                packet.stream = stream
                packet.pts = packet.dts = times[count]
                packet.time_base = CLOCK
                joined.mux(packet)
            count += 1
    if count != len(times):
        out.unlink()
        raise UsodError(f"{out}: its parts hold {count} pictures instead of {len(times)}; run again with --overwrite")


def _packets(av: ModuleType, parts: Sequence[Path]) -> Generator[tuple[Any, Any], None, None]:
    for part in parts:
        with av.open(str(part)) as container:
            stream = container.streams.video[0]
            for packet in container.demux(stream):
                if packet.size:
                    yield stream, packet
