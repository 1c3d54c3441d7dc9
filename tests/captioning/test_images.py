"""Every image that people have on disk is opened as they see it; what cannot be is named."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from captioning.images import ImageError, open_image
from captioning.transform import ImageTransform
from common.errors import UserError
from tests.captioning.pictures import BLUE, LIME, RED, WHITE, corners, saved, scene
from tests.commands import ROOT


@pytest.mark.parametrize(
    "name", ["a.png", "a.bmp", "a.gif", "a.tif", "a.ppm", "a.webp", "wrong.jpg"]
)
def test_formats_are_known_by_their_content(tmp_path: Path, name: str) -> None:
    kind = {"a.webp": {"format": "webp", "lossless": True}, "wrong.jpg": {"format": "png"}}
    image = open_image(saved(tmp_path / name, scene(), **kind.get(name, {})))
    assert image.mode == "RGB"
    assert image.size == (60, 40)
    assert corners(image) == [RED, LIME, BLUE, WHITE]


def test_a_path_a_file_and_an_image_are_the_same(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", scene())
    expected = np.asarray(open_image(path))
    with open(path, "rb") as file:
        assert np.array_equal(np.asarray(open_image(file)), expected)
        assert not file.closed
    assert np.array_equal(np.asarray(open_image(str(path))), expected)
    assert np.array_equal(np.asarray(open_image(io.BytesIO(path.read_bytes()))), expected)
    with Image.open(path) as image:
        assert np.array_equal(np.asarray(open_image(image)), expected)


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "PA", "RGBA", "RGBa", "CMYK", "YCbCr", "HSV"]
)
def test_modes_become_rgb(mode: str) -> None:
    through = scene().convert("RGBA") if mode == "RGBa" else scene()
    through = through.convert("L").convert("LA") if mode == "LA" else through
    through = through.convert("P").convert("PA") if mode == "PA" else through.convert(mode)
    image = open_image(through)
    assert image.mode == "RGB" and image.size == (60, 40)
    expected = scene() if mode not in ("1", "L", "LA") else scene().convert("L").convert("RGB")
    if mode != "1":  # dithered
        difference = np.abs(np.asarray(image, dtype=int) - np.asarray(expected, dtype=int))
        assert difference.max() <= 3


def test_grayscale_and_cmyk_jpeg(tmp_path: Path) -> None:
    gray = open_image(saved(tmp_path / "gray.jpg", Image.new("L", (8, 8), 77)))
    assert gray.getpixel((4, 4)) == (77, 77, 77)
    cmyk = open_image(saved(tmp_path / "cmyk.jpg", scene().convert("CMYK"), quality=100))
    for found, expected in zip(corners(cmyk), [RED, LIME, BLUE, WHITE], strict=True):
        assert np.abs(np.subtract(found, expected)).max() < 12


def test_transparency_lies_over_white(tmp_path: Path) -> None:
    half = Image.new("RGBA", (4, 4), (255, 0, 0, 128))
    half.putpixel((0, 0), (0, 0, 0, 0))
    image = open_image(saved(tmp_path / "half.png", half))
    assert image.getpixel((0, 0)) == WHITE
    assert np.abs(np.subtract(image.getpixel((2, 2)), (255, 127, 127))).max() <= 1  # type: ignore[arg-type]

    palette = Image.new("P", (2, 1))
    palette.putpalette([0, 0, 0, 255, 0, 0])
    palette.putpixel((1, 0), 1)
    image = open_image(saved(tmp_path / "palette.png", palette, transparency=0))
    assert [image.getpixel((x, 0)) for x in (0, 1)] == [WHITE, RED]

    key = Image.new("RGB", (2, 1), (0, 0, 0))
    key.putpixel((1, 0), RED)
    image = open_image(saved(tmp_path / "key.png", key, transparency=(0, 0, 0)))
    assert [image.getpixel((x, 0)) for x in (0, 1)] == [WHITE, RED]

    gray = Image.new("LA", (1, 1), (0, 0))
    assert open_image(saved(tmp_path / "la.png", gray)).getpixel((0, 0)) == WHITE


@pytest.mark.parametrize("name", ["deep.png", "deep.tif"])
def test_16_bits_are_scaled_not_clipped(tmp_path: Path, name: str) -> None:
    ramp = np.array([[0, 256, 32768, 65535]], dtype=np.uint16)
    image = open_image(saved(tmp_path / name, Image.fromarray(ramp)))
    assert image.mode == "RGB"
    assert [image.getpixel((x, 0))[0] for x in range(4)] == [0, 1, 128, 255]  # type: ignore[index]


def test_16_bits_in_the_other_byte_order(tmp_path: Path) -> None:
    big = Image.frombytes("I;16B", (3, 1), struct.pack(">3H", 0, 32768, 65535))
    assert [open_image(big).getpixel((x, 0))[0] for x in range(3)] == [0, 128, 255]  # type: ignore[index]


def png(width: int, height: int, bits: int, colour: int, rows: bytes) -> bytes:
    """A PNG of a kind that Pillow reads and does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = struct.pack(">2I5B", width, height, bits, colour, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def test_16_bit_colour(tmp_path: Path) -> None:
    row = b"\0" + struct.pack(">3H", 65535, 32768, 0)
    (tmp_path / "deep.png").write_bytes(png(1, 1, bits=16, colour=2, rows=row))
    assert open_image(tmp_path / "deep.png").getpixel((0, 0)) == (255, 128, 0)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 128, 255]], np.int32), [0, 128, 255]),
        (np.array([[0, 32896, 65535]], np.int32), [0, 128, 255]),
        (np.array([[-5, 2**30, 2**31 - 1]], np.int32), [0, 128, 255]),
        (np.array([[0.0, 0.5, 1.0]], np.float32), [0, 128, 255]),
        (np.array([[0.0, 128.0, 255.0]], np.float32), [0, 128, 255]),
        (np.array([[np.nan, -1.0, np.inf]], np.float32), [0, 0, 0]),
        (np.array([[0, 0, 0]], np.int32), [0, 0, 0]),
    ],
)
def test_images_of_integers_and_floats(tmp_path: Path, values: np.ndarray, expected: list) -> None:
    image = open_image(saved(tmp_path / "a.tif", Image.fromarray(values)))
    assert [image.getpixel((x, 0))[0] for x in range(3)] == expected  # type: ignore[index]


def test_an_animation_gives_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    for name in ("a.gif", "a.png", "a.webp"):
        options = {"lossless": True} if name == "a.webp" else {}
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **options)
        with Image.open(tmp_path / name) as image:
            assert image.n_frames == 2  # type: ignore[attr-defined]
        assert open_image(tmp_path / name).getpixel((2, 2)) == RED


STORED = {  # how a camera stores the scene, so that the EXIF orientation turns it upright
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("suffix", ["png", "tif", "webp", "jpg"])
def test_exif_rotation_is_applied_once(tmp_path: Path, orientation: int, suffix: str) -> None:
    method = STORED[orientation]
    stored = scene() if method is None else scene().transpose(method)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"webp": {"lossless": True}, "jpg": {"quality": 100, "subsampling": 0}}
    path = saved(tmp_path / f"a.{suffix}", stored, exif=exif, **options.get(suffix, {}))
    upright = open_image(path)
    for image in (upright, open_image(upright)):  # opened again, it is not turned again
        assert image.size == (60, 40)
        for found, expected in zip(corners(image), [RED, LIME, BLUE, WHITE], strict=True):
            assert np.abs(np.subtract(found, expected)).max() < 6
    with Image.open(path) as given:
        if suffix != "tif":  # Pillow itself turns a TIFF as it loads it
            assert open_image(given).size == (60, 40)
            assert given.size == stored.size  # the caller's image is as it was


def test_damaged_exif_is_no_reason_to_lose_the_picture(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", scene(), exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert open_image(path).size == (60, 40)


def test_one_pixel(tmp_path: Path) -> None:
    path = saved(tmp_path / "dot.png", Image.new("L", (1, 1), 9))
    assert open_image(path).getpixel((0, 0)) == (9, 9, 9)
    assert ImageTransform(size=5)([path]).shape == (1, 3, 5, 5)


def test_a_huge_photograph_is_decoded_small_without_a_warning(tmp_path: Path) -> None:
    path = saved(tmp_path / "huge.jpg", Image.new("L", (12000, 9000), 100))
    limit = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = open_image(path, size=448)
        assert image.size == (1500, 1125)
        assert ImageTransform()([path]).shape == (1, 3, 224, 224)
    assert limit == Image.MAX_IMAGE_PIXELS  # other users of Pillow keep their limit


def test_draft_never_goes_below_the_size_that_is_needed(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", Image.new("RGB", (500, 375)))
    assert open_image(path, size=375).size == (500, 375)
    assert open_image(path, size=187).size == (250, 188)
    assert open_image(path, size=4000).size == (500, 375)


def test_a_decompression_bomb_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png(20000, 20000, bits=1, colour=0, rows=bytes(2501 * 20000)))
    assert path.stat().st_size < 100_000
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError, match=r"20000 x 20000 pixels, more than the limit"):
            open_image(path)


def test_a_picture_is_refused_by_its_header_before_it_takes_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png(16384, 16384, bits=8, colour=6, rows=b""))
    with pytest.raises(ImageError, match=r"16384 x 16384 pixels, more than the limit"):
        open_image(path)
    # A JPEG may have more where it can be decoded at a fraction of them.
    path = saved(tmp_path / "a.jpg", Image.new("RGB", (64, 64)))
    data = bytearray(path.read_bytes())
    at = data.index(b"\xff\xc0") + 5
    for side, size in ((16000, None), (20000, 64), (16000, 64)):
        data[at : at + 4] = struct.pack(">HH", side, side)
        path.write_bytes(data)
        if (side, size) == (16000, 64):
            assert open_image(path, size).size == (2000, 2000)
        else:
            with pytest.raises(ImageError, match="limit"):
                open_image(path, size)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's peak of memory")
def test_a_picture_is_held_twice_at_most(tmp_path: Path) -> None:
    """So that the limit of pixels is one of memory."""
    small = saved(tmp_path / "small.png", Image.new("RGBA", (9, 9), (1, 2, 3, 4)))
    large = saved(tmp_path / "large.png", Image.new("RGBA", (3000, 3000), (1, 2, 3, 4)))
    script = f"""
import re
from captioning.images import open_image
peaks = []
for path in {[str(small), str(large)]}:
    open_image(path)
    peaks.append(int(re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1]))
print(peaks[1] - peaks[0])
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert int(done.stdout) < 2.5 * 4 * 3000 * 3000 / 1024, done.stderr


def test_postscript_is_never_run(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n%%EOF\n")
    with pytest.raises(ImageError, match="a PostScript program"):
        open_image(path)


def test_a_truncated_image_is_named_with_the_reason(tmp_path: Path) -> None:
    noise = Image.effect_noise((64, 64), 80)
    for name in ("a.jpg", "a.png", "a.gif", "a.tif", "a.webp", "a.bmp"):
        path = saved(tmp_path / name, noise)
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
        with pytest.raises(ImageError) as raised:
            open_image(path)
        message = str(raised.value)
        assert message.startswith(f"{path}: cannot be read as an image (") and "\n" not in message


def test_garbage_never_ends_in_another_error(tmp_path: Path) -> None:
    """Random damage to real files: an image or an ImageError, nothing else."""
    random = np.random.default_rng(0)
    path = tmp_path / "damaged"
    for kind in ("jpeg", "png", "gif", "tiff", "webp", "bmp"):
        buffer = io.BytesIO()
        scene().save(buffer, kind)
        for _ in range(40):
            data = np.frombuffer(buffer.getvalue(), np.uint8).copy()
            data[random.integers(0, len(data), 8)] = random.integers(0, 256, 8)
            path.write_bytes(data.tobytes())
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    assert open_image(path).mode == "RGB"
                except ImageError as error:
                    assert "\n" not in str(error)


@pytest.mark.parametrize("content", [b"", b"not an image"])
def test_files_that_are_no_image(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"a\.jpg: cannot be read as an image \(cannot identify"):
        open_image(path)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"gone\.jpg does not exist"):
        open_image(tmp_path / "gone.jpg")
    with pytest.raises(ImageError, match=r"is a folder"):
        open_image(tmp_path)
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ImageError, match=r"pipe\.jpg is not a regular file"):
        open_image(tmp_path / "pipe.jpg")
    assert issubclass(ImageError, UserError)
