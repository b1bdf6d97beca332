"""Images of every kind come in as uint8 RGB, upright; bad ones raise one clear error."""

import base64
import io
import os
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kerasfer import images
from kerasfer.faces import Box, ImageSpec

CASES = Path(__file__).parent / "cases"
RGB = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
GRAY = RGB[:, :, 0]


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, kind, **options)
    return buffer.getvalue()


def as_rgb(gray):
    return np.repeat(gray[:, :, None], 3, axis=2)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP", "PPM"])
def test_lossless_formats_come_back_exactly(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    np.testing.assert_array_equal(images.decode(encoded(RGB, kind, **options)), RGB)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation):
    """Each file holds the picture as the camera lay; decoded, the red corner is always upper left, blue upper right."""
    upright = np.full((32, 48, 3), 128, np.uint8)
    upright[:16, :16], upright[:16, 32:] = (255, 0, 0), (0, 0, 255)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    for kind, options in (("PNG", {}), ("JPEG", {"quality": 100, "subsampling": 0}), ("TIFF", {})):
        decoded = images.decode(encoded(np.ascontiguousarray(stored), kind, exif=exif, **options))
        assert decoded.shape == upright.shape
        assert np.abs(decoded.astype(int) - upright).max() <= 4, kind


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_exif_is_ignored():
    content = encoded(RGB, "JPEG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff broken")
    assert images.decode(content).shape == RGB.shape


@pytest.mark.parametrize(("file", "difference"), [("a.avif", 3), ("a.heic", 5), ("a.jfif", 4)])
def test_photos_of_phones(file, difference):
    """The public-domain astronaut, as phones and browsers store pictures."""
    if file == "a.heic":
        pytest.importorskip("pillow_heif")
    skimage = pytest.importorskip("skimage.data")
    assert np.abs(images.read(CASES / file).astype(int) - skimage.astronaut()).mean() < difference


def test_orientation_in_avif_and_heif():
    """A quarter turn that the camera noted is undone, once."""
    upright = np.full((64, 96, 3), 128, np.uint8)
    upright[:32, :32], upright[:32, 64:] = (255, 0, 0), (0, 0, 255)
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind, package in (("AVIF", None), ("HEIF", "pillow_heif"), ("WEBP", None)):
        if package:
            pytest.importorskip(package)
        if kind not in images.decoding._readable():
            continue
        stored = encoded(np.ascontiguousarray(np.rot90(upright, 1)), kind, exif=exif.tobytes(), quality=90)
        decoded = images.decode(stored).astype(int)
        assert decoded.shape == upright.shape, kind
        assert np.abs(decoded[8:24, 8:24] - [255, 0, 0]).max() < 40, kind
        assert np.abs(decoded[8:24, 72:88] - [0, 0, 255]).max() < 40, kind


@pytest.mark.parametrize("suffix", sorted(set(images.IMAGE_SUFFIXES) - {".dib"}))
def test_every_ending_has_its_decoder(suffix, tmp_path):
    """What a folder's walk takes for a photo, is read."""
    names = {".avifs": "AVIF", ".hif": "HEIF", ".jpc": "JPEG2000", ".j2c": "JPEG2000", ".jpf": "JPEG2000"}
    kind = names.get(suffix) or next(name for name, suffixes in images.FORMATS.items() if suffix in suffixes)
    if kind not in images.decoding._readable():
        pytest.skip(f"no decoder of {kind} here")
    path = tmp_path / f"a{suffix}"
    smooth = np.repeat(np.repeat(RGB[:4, :6], 16, 0), 16, 1)
    if kind == "SUN":
        head = np.array([0x59A66A95, 96, 64, 24, smooth.size, 1, 0, 0], ">u4").tobytes()
        path.write_bytes(head + np.ascontiguousarray(smooth[:, :, ::-1]).tobytes())
    elif kind == "QOI":
        red, green, blue = (int(value) for value in smooth[0, 0])
        head = b"qoif" + np.array([96, 64], ">u4").tobytes() + bytes([3, 0])
        path.write_bytes(head + bytes([0xFE, red, green, blue]) + bytes([0xC0]) * (96 * 64 - 1) + bytes([0] * 7 + [1]))
        smooth = np.broadcast_to(smooth[0, 0], smooth.shape)
    elif suffix == ".pbm":
        Image.new("1", (96, 64), 1).save(path)
        smooth = np.full_like(smooth, 255)
    elif suffix == ".pgm":
        Image.fromarray(smooth).convert("L").save(path)
        smooth = as_rgb(images.to_gray(smooth))
    elif suffix == ".mpo":
        Image.fromarray(smooth).save(path, "MPO", save_all=True, append_images=[Image.fromarray(smooth[::-1])])
        assert Image.open(path).format == "MPO"
    else:
        Image.fromarray(smooth).save(path, kind)
    decoded = images.read(path)
    assert decoded.shape == smooth.shape and np.abs(decoded.astype(int) - smooth).mean() < 12


def test_no_program_is_started_for_a_photo(tmp_path, monkeypatch):
    """PostScript named like a photo: Pillow would run Ghostscript on it."""
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 30 20\n%%EndComments\nshowpage\n"
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a program was started"))
    monkeypatch.setattr(subprocess, "check_call", lambda *_, **__: pytest.fail("a program was started"))
    for name in ("a.jpg", "a.eps"):
        (tmp_path / name).write_bytes(postscript)
        with pytest.raises(images.ImageError, match=f"{name}: not an image of a known format; convert it"):
            images.read(tmp_path / name)


def test_a_missing_decoder_is_named(monkeypatch):
    monkeypatch.setattr(images.decoding, "_readable", lambda: ("JPEG", "PNG"))
    with pytest.raises(
        images.ImageError, match="x.heic: a HEIC photo, which needs pillow-heif; pip install pillow-heif"
    ):
        images.decode((CASES / "a.heic").read_bytes(), "x.heic")
    with pytest.raises(images.ImageError, match="AVIF image, which needs Pillow 11.3"):
        images.decode((CASES / "a.avif").read_bytes(), "x.avif")
    with pytest.raises(images.ImageError, match="x.jpg: a video"):
        images.decode((CASES / "noface.mp4").read_bytes(), "x.jpg")


def test_gray_becomes_rgb():
    np.testing.assert_array_equal(images.decode(encoded(GRAY)), as_rgb(GRAY))


def test_transparency_lies_over_white():
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0] = [(100, 50, 0, 255), (100, 50, 0, 0), (100, 50, 0, 128)]
    half = 255 - (255 - np.array([100, 50, 0])) * 128 / 255
    decoded = images.decode(encoded(rgba))[0]
    np.testing.assert_array_equal(decoded[:2], [(100, 50, 0), (255, 255, 255)])
    assert np.abs(decoded[2] - half).max() <= 1
    gray_alpha = Image.merge("LA", [Image.new("L", (1, 1), 40), Image.new("L", (1, 1), 0)])
    np.testing.assert_array_equal(images.decode(encoded(gray_alpha)), np.full((1, 1, 3), 255))


def test_palette_with_a_transparent_color():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1])
    np.testing.assert_array_equal(images.decode(encoded(image))[0], [(10, 20, 30), (40, 50, 60)])
    np.testing.assert_array_equal(images.decode(encoded(image, transparency=1))[0], [(10, 20, 30), (255, 255, 255)])


def test_sixteen_bits_are_scaled():
    values = np.array([[0, 257, 25700, 65535]], np.uint16)
    expected = as_rgb(np.array([[0, 1, 100, 255]], np.uint8))
    np.testing.assert_array_equal(images.decode(encoded(values)), expected)
    np.testing.assert_array_equal(images.decode(encoded(values, "TIFF")), expected)
    np.testing.assert_array_equal(images.read(values), expected)
    dark = np.array([[0, 200]], np.uint16)
    np.testing.assert_array_equal(images.decode(encoded(dark)), as_rgb(np.array([[0, 1]], np.uint8)))
    # An array whose type alone is wide, as sums of bytes have it, is no black picture.
    np.testing.assert_array_equal(images.read(dark), as_rgb(np.array([[0, 200]], np.uint8)))


def test_thirty_two_bits_and_floats():
    expected = as_rgb(np.array([[0, 51, 255]], np.uint8))
    for values in ([[0, 0.2, 1]], [[0, 51, 255]]):
        np.testing.assert_array_equal(images.decode(encoded(np.array(values, np.float32), "TIFF")), expected)
    np.testing.assert_array_equal(images.decode(encoded(np.array([[0, 51, 255]], np.int32), "TIFF")), expected)
    with pytest.raises(images.ImageError, match="not finite"):
        images.decode(encoded(np.array([[np.nan, 1]], np.float32), "TIFF"))


def test_cmyk():
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    for kind in ("TIFF", "JPEG"):
        red = images.decode(encoded(image, kind)).astype(int)
        assert np.abs(red - [255, 0, 0]).max() <= 3, kind


def test_animation_gives_its_first_frame():
    frames = [Image.new("RGB", (6, 4), color) for color in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(images.decode(content), np.full((4, 6, 3), (255, 0, 0)))


def test_fifty_megapixels():
    big = Image.new("L", (8200, 6200), 77)
    decoded = images.decode(encoded(big, "JPEG"))
    assert decoded.shape == (6200, 8200, 3)
    assert images.resize(decoded, (62, 82)).tolist() == np.full((62, 82, 3), 77).tolist()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "I;16", "F", "CMYK"])
def test_large_photos_may_come_smaller(mode, monkeypatch, tmp_path):
    """The sides are divided by a whole number, of any mode and turned or not."""
    picture = np.repeat(np.repeat(RGB[:4, :6], 24, 0), 24, 1)
    monkeypatch.setattr(images.decoding, "LARGE", 96 * 144 // 4)
    monkeypatch.setattr(images.decoding, "_STRIP", 700)
    image = Image.fromarray(picture)
    if mode in ("I;16", "F"):
        image = Image.fromarray(images.to_gray(picture).astype(np.uint16 if mode == "I;16" else np.float32))
    image = image if image.mode == mode else image.convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.tiff", exif=exif)
    whole, (half, factor) = images.read(tmp_path / "a.tiff"), images.read_reduced(tmp_path / "a.tiff")
    assert whole.shape == (144, 96, 3) and half.shape == (72, 48, 3) and factor == 2
    assert np.abs(half.astype(int) - images.resize(whole, (72, 48))).max() <= 1
    assert images.read_reduced(RGB)[1] == 1


@pytest.mark.parametrize("progressive", [False, True])
def test_large_jpegs_are_decoded_smaller(progressive, monkeypatch):
    picture = np.repeat(np.repeat(RGB[:4, :6], 25, 0), 25, 1)[:99, :149]
    content = encoded(picture, "JPEG", quality=95, subsampling=0, progressive=progressive)
    for most, factor in ((99 * 149, 1), (99 * 149 - 1, 2), (50 * 75, 2), (50 * 75 - 1, 4), (10, 8)):
        monkeypatch.setattr(images.decoding, "LARGE", most)
        reduced, by = images.read_reduced(content)
        assert by == factor and reduced.shape[:2] == (-(-99 // factor), -(-149 // factor))
        close = images.resize(picture, reduced.shape[:2]).astype(int)
        assert np.abs(reduced - close).mean() < 12


def tall_jpeg(band, copies):
    """A JPEG of a picture repeated downwards; its height is a multiple of 128, its coded rows are spliced."""
    content = encoded(band, "JPEG", quality=80, restart_marker_rows=1)
    frame = content.index(b"\xff\xc0")
    scan = content.index(b"\xff\xda")
    start = scan + 2 + int.from_bytes(content[scan + 2 : scan + 4], "big")
    head = bytearray(content[:start])
    head[frame + 5 : frame + 7] = (band.shape[0] * copies).to_bytes(2, "big")
    return bytes(head) + b"\xff\xd7".join([content[start:-2]] * copies) + b"\xff\xd9"


def test_two_hundred_megapixels_in_a_gigabyte(tmp_path):
    """A phone's largest photos: six faces, one below the other, each where it is in the whole photo."""
    skimage = pytest.importorskip("skimage.data")
    band = np.full((2048, 16320, 3), 90, np.uint8)
    band[:, 1000:3048] = np.array(Image.fromarray(skimage.astronaut()).resize((2048, 2048)))
    (tmp_path / "phone.jpg").write_bytes(tall_jpeg(band, 6))
    code = """
import sys
from kerasfer.lite import Pipeline
faces = Pipeline("edge", detector="mediapipe").recognize(sys.argv[1])
for face in faces:
    print(*face.box.center, face.landmarks.points[30, 1])
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
    command = [sys.executable, "-c", code, str(tmp_path / "phone.jpg")]
    *lines, memory = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    places = sorted(tuple(map(float, line.split()))[1:] for line in lines)
    assert len(places) == 6
    for row, (center, nose) in enumerate(places):
        assert abs(center - (430 + 2048 * row)) < 150 and abs(nose - center) < 150
    assert all(abs(float(line.split()[0]) - 1890) < 150 for line in lines)
    assert int(memory) < 1_000_000


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("color", [2, 4, 6])
def test_bombs_are_told_before_they_go_off(color):
    """Below Pillow's limit, but with more than a gigabyte to decode; little more than the head of the file is there."""

    def chunk(name, data):
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    head = (12000).to_bytes(4, "big") * 2 + bytes([8, color, 0, 0, 0])
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    with pytest.raises(images.ImageError, match="bomb: has more pixels .*12000 x 12000, 1.0 GB of memory.; shrink it"):
        images.decode(content, "bomb")


def test_too_many_pixels(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(images.ImageError, match=r"bomb\.png.*more pixels.*shrink"):
        images.decode(encoded(RGB), "bomb.png")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"plain text, no image", "not an image"),
        (encoded(RGB)[:100], "damaged or truncated"),
        (encoded(RGB, "JPEG")[:-60], "damaged or truncated"),
        (encoded(RGB)[:8], "not an image"),
    ],
)
def test_bad_content_names_file_and_remedy(content, message):
    with pytest.raises(images.ImageError, match=message) as caught:
        images.decode(content, "holiday/one.jpg")
    assert str(caught.value).startswith("holiday/one.jpg: ")
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"])
def test_random_damage_raises_nothing_but_image_errors(kind):
    random = np.random.default_rng(1)
    content = np.frombuffer(encoded(RGB, kind), np.uint8)
    for _ in range(60):
        damaged = content[: random.integers(1, len(content) + 1)].copy()
        damaged[random.integers(0, len(damaged), 5)] = random.integers(0, 256, 5)
        try:
            decoded = images.decode(damaged.tobytes())
        except images.ImageError:
            continue
        assert decoded.dtype == np.uint8 and decoded.ndim == 3


def test_read_paths(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(RGB))
    np.testing.assert_array_equal(images.read(tmp_path / "a.png"), RGB)
    np.testing.assert_array_equal(images.read(str(tmp_path / "a.png")), RGB)
    with pytest.raises(images.ImageError, match=r"no\.png: no such file"):
        images.read(tmp_path / "no.png")
    with pytest.raises(images.ImageError, match="is a folder"):
        images.read(tmp_path)
    with pytest.raises(images.ImageError, match="cannot be read"):
        images.read("a\0b.png")


def test_read_arrays():
    np.testing.assert_array_equal(images.read(RGB), RGB)
    np.testing.assert_array_equal(images.read(GRAY), as_rgb(GRAY))
    np.testing.assert_array_equal(images.read(GRAY[:, :, None]), as_rgb(GRAY))
    opaque = np.dstack([RGB, np.full(GRAY.shape, 255, np.uint8)])
    np.testing.assert_array_equal(images.read(opaque), RGB)
    for bad in (RGB.astype(np.float32), RGB[:, :, :2], RGB[0, 0], RGB[:0]):
        with pytest.raises(images.ImageError, match="uint8"):
            images.read(bad)


def test_read_what_is_in_memory(tmp_path):
    content = encoded(RGB)
    address = "data:image/png;base64," + base64.b64encode(content).decode()
    escaped = "data:image/png," + "".join(f"%{byte:02X}" for byte in content)
    (tmp_path / "a").write_bytes(content)
    with (tmp_path / "a").open("rb") as file:
        for photo in (content, bytearray(content), memoryview(content), io.BytesIO(content), file, address, escaped):
            np.testing.assert_array_equal(images.read(photo), RGB)
    np.testing.assert_array_equal(images.read(Image.fromarray(RGB)), RGB)
    np.testing.assert_array_equal(images.read(Image.open(tmp_path / "a")), RGB)
    turned = Image.fromarray(RGB)
    turned.getexif()[0x0112] = 3
    np.testing.assert_array_equal(images.read(turned), RGB[::-1, ::-1])
    for photo, message in (
        (b"", "the file is empty"),
        (content[:99], "image: the image is damaged"),
        ("data:image/png;base64,####", "data URL: is not base64"),
        (io.StringIO("text"), "gives text, not bytes"),
        ("https://example.org/a.jpg", "https://example.org/a.jpg: an address, not a path; download the image"),
        ("", "path of the image is empty"),
        (7, "not int"),
    ):
        with pytest.raises(images.ImageError, match=message):
            images.read(photo)


def test_floats_whose_range_can_be_told():
    expected = np.array([[[0, 51, 255]]], np.uint8)
    for values in ([[[0, 0.2, 1]]], [[[0, 51.2, 255]]]):
        np.testing.assert_array_equal(images.floats_to_bytes(np.array(values)), expected)
    np.testing.assert_array_equal(images.floats_to_bytes(expected.astype(np.int64)), expected)
    assert images.floats_to_bytes(expected) is expected
    for bad in ([[[-1, 0, 1.0]]], [[[0, 256.0, 3]]], [[[np.nan, 0, 1]]], [[[0, np.inf, 1]]], [[[-1, 0, 1]]]):
        with pytest.raises(images.ImageError, match="go from 0 to 255.*, not from .*; scale it"):
            images.floats_to_bytes(np.array(bad))


def test_gray_is_bt601_luma():
    colors = np.array([[(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (9, 9, 9)]], np.uint8)
    assert images.to_gray(colors).tolist() == [[76, 150, 29, 255, 9]]
    np.testing.assert_array_equal(images.to_gray(as_rgb(GRAY)), GRAY)


def test_resize_is_area_mean_down_and_bilinear_up():
    four = np.array([[0, 100], [50, 250]], np.uint8)
    assert images.resize(four, 1).tolist() == [[100]]
    assert images.resize(np.array([[0, 100]], np.uint8), (1, 4)).tolist() == [[0, 25, 75, 100]]
    mixed = images.resize(np.array([[0, 100], [20, 120]], np.uint8), (1, 4))
    assert mixed.tolist() == [[10, 35, 85, 110]]
    assert images.resize(RGB, (7, 50)).shape == (7, 50, 3)
    np.testing.assert_array_equal(images.resize(RGB, (20, 30)), RGB)


def test_crop_repeats_edges():
    ramp = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert images.crop(ramp, Box(1, 1, 3, 3)).tolist() == [[5, 6], [9, 10]]
    assert images.crop(ramp, Box(-2, -1, 2, 1)).tolist() == [[0, 0, 0, 1], [0, 0, 0, 1]]
    assert images.crop(ramp, Box(10, 10, 12, 12)).tolist() == [[11, 11], [11, 11]]
    assert images.crop(RGB, Box(-5, 3, 9, 40), 16).shape == (16, 16, 3)
    for box in (Box(1, 1, 1, 3), Box(float("nan"), 0, 1, 1), Box(0, 0, float("inf"), 1)):
        with pytest.raises(images.ImageError, match="finite and not empty"):
            images.crop(ramp, box)


def test_warp_counts_from_pixel_corners():
    ramp = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    identity = np.array([[1.0, 0, 0], [0, 1, 0]])
    np.testing.assert_array_equal(images.warp(ramp, identity, 8), ramp)
    np.testing.assert_array_equal(images.warp(ramp, identity + [[0, 0, 2], [0, 0, 3]], 4), ramp[3:7, 2:6])
    np.testing.assert_array_equal(images.warp(ramp, identity * 2, 4), images.resize(ramp, 4))
    turned = images.warp(ramp, np.array([[0.0, 1, 0], [-1, 0, 8]]), 8)
    np.testing.assert_array_equal(turned, np.rot90(ramp, -1))
    beyond = images.warp(ramp, identity + [[0, 0, 100], [0, 0, 100]], 2)
    np.testing.assert_array_equal(beyond, np.full((2, 2), ramp[-1, -1]))


def test_warp_does_not_alias():
    checks = np.indices((400, 400)).sum(0) % 2 * 255
    matrix = np.array([[9.7, 1.3, 2], [-1.3, 9.7, 50]])
    small = images.warp(checks.astype(np.uint8), matrix, 30).astype(int)
    assert np.abs(small - 127).max() <= 20


def test_prepare():
    white = np.full((10, 10, 3), 255, np.uint8)
    assert images.prepare(white, ImageSpec(4, 1, "unit")).tolist() == np.ones((4, 4, 1)).tolist()
    signed = images.prepare(np.zeros((10, 10), np.uint8), ImageSpec(4, 3, "signed"))
    assert signed.dtype == np.float32 and signed.tolist() == (-np.ones((4, 4, 3))).tolist()
    assert images.prepare_uint8(GRAY[:, :, None], ImageSpec(5, 3)).shape == (5, 5, 3)


def test_write(tmp_path):
    path = tmp_path / "new" / "a.png"
    images.write(path, RGB)
    np.testing.assert_array_equal(images.read(path), RGB)
    images.write(path, GRAY)
    np.testing.assert_array_equal(images.read(path), as_rgb(GRAY))
    images.write(tmp_path / "b.JPG", RGB)
    assert sorted(os.listdir(tmp_path)) == ["b.JPG", "new"] and os.listdir(tmp_path / "new") == ["a.png"]
    with pytest.raises(images.ImageError, match=r"c\.xyz.*\.png"):
        images.write(tmp_path / "c.xyz", RGB)
    with pytest.raises(images.ImageError, match="cannot be written"):
        images.write(path / "under_a_file.png", RGB)


def test_nothing_half_written(tmp_path, monkeypatch):
    images.write(tmp_path / "a.png", RGB)

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(images.ImageError, match="No space left"):
        images.write(tmp_path / "a.png", GRAY)
    assert os.listdir(tmp_path) == ["a.png"]
    np.testing.assert_array_equal(images.read(tmp_path / "a.png"), RGB)


def test_threads_decode_the_same():
    content, results = encoded(RGB), []
    threads = [threading.Thread(target=lambda: results.append(images.decode(content))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8 and all((result == RGB).all() for result in results)


@pytest.mark.parametrize("shape", [(300, 200, 71, 55), (301, 211, 300, 210), (97, 64, 13, 64), (50, 50, 49, 7)])
@pytest.mark.parametrize("channels", [1, 3])
def test_area_means_without_opencv_are_those_of_opencv(shape, channels, monkeypatch):
    height, width, *size = shape
    image = np.random.default_rng(0).integers(0, 256, (height, width, channels)).astype(np.uint8)
    with_opencv = images.resize(image, tuple(size))
    monkeypatch.setattr(images.sampling, "_opencv", lambda: None)
    without = images.resize(image, tuple(size))
    assert without.shape == with_opencv.shape
    differ = np.abs(without.astype(int) - with_opencv)
    assert differ.max() <= 1 and (differ > 0).mean() < 0.01
