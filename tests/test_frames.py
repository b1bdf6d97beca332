"""Frames come at their times, upright, from every container; what is damaged says so, and what is whole does not."""

from __future__ import annotations

import http.server
import os
import shutil
import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from kerasfer import frames
from kerasfer.frames import Frame, VideoError, VideoWriter, open_video
from kerasfer.video import VideoRecognizer

ROOT = Path(__file__).resolve().parent.parent
CASES = ROOT / "tests" / "cases"
MODEL = ROOT / "saved_models" / "edge" / "model_int8.tflite"

UPRIGHT = np.full((64, 96, 3), 128, np.uint8)
UPRIGHT[:32, :32], UPRIGHT[:32, 64:] = (230, 20, 20), (20, 20, 230)
"""Red in the upper left corner, blue in the upper right one."""


def written(path, pictures=(UPRIGHT,) * 10, codec="mpeg4", rate=10, times=None, container=None, sound=None, ratio=None):
    """A video of pictures at times, in any container; sound: when a second of silence begins."""
    with av.open(str(path), "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate, options={"flags": "+qscale", "global_quality": "236"})
        stream.height, stream.width = pictures[0].shape[:2] if pictures else (64, 96)
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if ratio:
            stream.codec_context.sample_aspect_ratio = ratio
        noise = None
        if sound is not None:
            noise = output.add_stream("aac" if container not in ("webm", "ogg") else "libopus", rate=48000)
            for index in range(47):
                silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
                silence.sample_rate, silence.pts = 48000, 1024 * index + round(48000 * sound)
                silence.time_base = Fraction(1, 48000)
                output.mux(noise.encode(silence))
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.time_base = Fraction(1, rate)
            frame.pts = number if times is None else round(times[number] * rate)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if noise is not None:
            output.mux(noise.encode(None))
    return path


def read(path, start=0):
    with open_video(path, start) as video:
        return list(video), video


def is_upright(image):
    return (
        image.shape == UPRIGHT.shape
        and np.abs(image[8:24, 8:24].astype(int) - [230, 20, 20]).mean() < 20
        and np.abs(image[8:24, 72:88].astype(int) - [20, 20, 230]).mean() < 20
    )


@pytest.mark.parametrize(
    ("name", "count", "last", "shape"),
    [
        ("obs.mkv", 50, 1.96, (300, 400, 3)),
        ("offset.mkv", 50, 1.96, (300, 400, 3)),
        ("yt.webm", 50, 1.96, (300, 400, 3)),
        ("screen.webm", 68, 9.0, (300, 400, 3)),
        ("portrait90.mp4", 50, 1.96, (400, 300, 3)),
        ("portrait180.mov", 50, 1.96, (400, 300, 3)),
    ],
)
def test_videos_that_people_have(name, count, last, shape):
    """Complete, upright, at their times; the astronaut in them smiles."""
    with open_video(CASES / name) as video:
        results = list(VideoRecognizer(MODEL).recognize(video))
    assert video.problem is None
    assert len(results) == count and results[-1].time == pytest.approx(last, abs=0.002)
    assert results[0].time == 0 and results[0].image.shape == shape
    for result in results:
        (face,) = result.faces
        assert face.prediction.expression == "happiness"
        assert 90 < face.prediction.box.width < 125 and abs(face.prediction.box.center[1] - 110) < 20


MATRICES = {
    (1, 0, 0, 1): UPRIGHT,
    (-1, 0, 0, 1): UPRIGHT[:, ::-1],
    (-1, 0, 0, -1): UPRIGHT[::-1, ::-1],
    (1, 0, 0, -1): UPRIGHT[::-1],
    (0, 1, -1, 0): np.rot90(UPRIGHT, 1),
    (0, -1, 1, 0): np.rot90(UPRIGHT, -1),
    (0, 1, 1, 0): UPRIGHT.transpose(1, 0, 2),
    (0, -1, -1, 0): UPRIGHT[::-1, ::-1].transpose(1, 0, 2),
}


@pytest.mark.parametrize("matrix", MATRICES)
def test_display_matrices(matrix, tmp_path):
    """Quarter turns and mirror images of them, as telephones and editors note them in a track's header."""
    stored = np.ascontiguousarray(MATRICES[matrix])
    content = bytearray(written(tmp_path / "a.mp4", [stored] * 3).read_bytes())
    header = content.index(b"tkhd")
    a, b, c, d = (value * 65536 for value in matrix)
    numbers = np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], ">i4").tobytes()
    before = np.array([65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30], ">i4").tobytes()
    place = content.index(before, header)
    content[place : place + 36] = numbers
    (tmp_path / "b.mov").write_bytes(content)
    found, video = read(tmp_path / "b.mov")
    assert video.problem is None and len(found) == 3
    assert all(is_upright(frame.image) for frame in found)


@pytest.mark.parametrize(
    ("suffix", "codec", "container"),
    [
        (".mp4", "mpeg4", "mp4"),
        (".3gp", "mpeg4", "3gp"),
        (".mov", "mjpeg", "mov"),
        (".mkv", "mpeg4", "matroska"),
        (".webm", "libvpx", "webm"),
        (".avi", "mjpeg", "avi"),
        (".ts", "mpeg2video", "mpegts"),
        (".mts", "mpeg2video", "mpegts"),
        (".mpg", "mpeg2video", "mpeg"),
        (".flv", "flv", "flv"),
        (".wmv", "wmv2", "asf"),
        (".ogv", "libtheora", "ogg"),
    ],
)
def test_containers(suffix, codec, container, tmp_path):
    """Whole ones are whole, whatever they are called; the beginning of one is told to be no more."""
    rate = 25 if codec == "mpeg2video" else 10
    if codec not in av.codecs_available:
        pytest.skip(f"no encoder {codec} here")
    pictures = [np.roll(UPRIGHT, 4 * number, 0) for number in range(40)]
    path = written(tmp_path / f"a{suffix}", pictures, codec, rate, container=container)
    for name in (path.name, "no_ending", "wrong.jpg", "a:b|c.mp4", os.fsdecode(b"caf\xe9.mp4")):
        if name != path.name:
            shutil.copy(path, tmp_path / name)
        found, video = read(tmp_path / name)
        assert video.problem is None and len(found) == 40 and video.rate == pytest.approx(rate)
        np.testing.assert_allclose([frame.time for frame in found], np.arange(40) / rate, atol=0.002)
        assert is_upright(found[0].image)
        assert np.abs(found[20].image.astype(int) - pictures[20]).mean() < 12
    rest, _ = read(path, 30)
    assert [frame.number for frame in rest] == list(range(30, 40))
    np.testing.assert_array_equal(rest[0].image, found[30].image)
    assert rest[0].time == found[30].time


@pytest.mark.parametrize("name", ["obs.mkv", "yt.webm", "screen.webm", "offset.mkv", "a.avi", "fast.mp4", "a.flv"])
@pytest.mark.parametrize("share", [0.6, 0.97])
def test_the_beginning_of_a_video(name, share, tmp_path):
    """What is cut off gives what it has, and says so."""
    if name == "a.avi":
        path = written(tmp_path / name, codec="mjpeg")
    elif name == "a.flv":
        path = written(tmp_path / name, codec="flv")
    elif name == "fast.mp4":
        path = tmp_path / name
        with (
            av.open(str(path), "w", options={"movflags": "faststart"}) as output,
            av.open(str(CASES / "noface.mp4")) as one,
        ):
            copy = output.add_stream_from_template(one.streams.video[0])
            for packet in one.demux(one.streams.video[0]):
                if packet.dts is not None:
                    packet.stream = copy
                    output.mux(packet)
    else:
        path = CASES / name
    whole, video = read(path)
    assert video.problem is None
    cut = tmp_path / f"cut{path.suffix}"
    cut.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    found, video = read(cut)
    assert len(found) < len(whole) and (found or share < 0.9)
    assert f"ends after {len(found)}" in video.problem and "frames, as if cut off; get it again" in video.problem


@pytest.mark.parametrize(
    ("suffix", "codec", "container"),
    [
        (".ts", "mpeg2video", "mpegts"),
        (".m2ts", "mpeg2video", "mpegts"),
        (".mpg", "mpeg2video", "mpeg"),
        (".wmv", "wmv2", "asf"),
        (".ogv", "libtheora", "ogg"),
        (".gif", "gif", "gif"),
    ],
)
def test_the_beginning_of_what_has_no_index(suffix, codec, container, tmp_path):
    """Where packets, pages or blocks say how long they are, half of one tells that more was there."""
    if codec not in av.codecs_available:
        pytest.skip(f"no encoder {codec} here")
    path = tmp_path / f"a{suffix}"
    options = {"mpegts_m2ts_mode": "1"} if suffix == ".m2ts" else {}
    with av.open(str(path), "w", format=container, container_options=options) as output:
        stream = output.add_stream(codec, rate=25)
        stream.height, stream.width = 64, 96
        stream.pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
        for number in range(40):
            frame = av.VideoFrame.from_ndarray(np.roll(UPRIGHT, 4 * number, 0), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(stream.encode(frame.reformat(format=stream.pix_fmt)))
        output.mux(stream.encode(None))
    whole, video = read(path)
    assert video.problem is None and len(whole) == 40
    content = path.read_bytes()
    for share in (0.31, 0.52, 0.83, 0.97):
        length = int(len(content) * share)
        length += length % 4 == 0  # no packet of a stream ends there
        (tmp_path / f"cut{suffix}").write_bytes(content[:length])
        found, video = read(tmp_path / f"cut{suffix}")
        assert f"ends after {len(found)}" in video.problem and "as if cut off; get it again" in video.problem


def test_damaged_pictures_are_counted_and_the_rest_is_read(tmp_path):
    path = written(tmp_path / "a.avi", codec="mjpeg")
    content = path.read_bytes()
    starts = [place for place in range(len(content)) if content.startswith(b"00dc", place)][:10]
    damaged = bytearray(content)
    for number in (3, 7):
        damaged[starts[number] + 8 : starts[number] + 700] = bytes(692)
    path.write_bytes(damaged)
    found, video = read(path)
    assert [frame.number for frame in found] == list(range(8))
    assert [frame.place for frame in found] == [0, 1, 3, 4, 5, 7, 8, 9]
    assert "a.avi: 2 of its pictures are damaged and left out; get it again" in video.problem


def test_sound_that_begins_before_or_after(tmp_path):
    late, video = read(written(tmp_path / "late.mkv", times=[0.5 + n / 10 for n in range(10)], sound=0))
    assert video.problem is None
    np.testing.assert_allclose([frame.time for frame in late], 0.5 + np.arange(10) / 10, atol=0.03)
    early, video = read(written(tmp_path / "early.mkv", sound=0.5))
    assert video.problem is None and early[0].time == 0 and len(early) == 10
    shifted, _ = read(
        written(tmp_path / "shifted.ts", rate=25, codec="mpeg2video", times=[7 + n / 25 for n in range(10)])
    )
    assert shifted[0].time == 0 and shifted[-1].time == pytest.approx(9 / 25, abs=0.002)


def test_other_streams_are_passed_over(tmp_path):
    path = tmp_path / "data.ts"
    with av.open(str(path), "w") as output:
        data = output.add_data_stream("bin_data") if hasattr(output, "add_data_stream") else None
        stream = output.add_stream("mpeg2video", rate=25)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(UPRIGHT, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(stream.encode(frame))
            if data is not None:
                packet = av.Packet(b"position 12 34")
                packet.stream, packet.pts, packet.dts = data, number, number
                packet.time_base = Fraction(1, 25)
                output.mux(packet)
        output.mux(stream.encode(None))
    found, video = read(path)
    assert len(found) == 10 and video.problem is None


def test_pixels_that_are_not_square(tmp_path):
    """A wide picture that is stored narrow is shown, and read, as wide as it is."""
    narrow = np.ascontiguousarray(UPRIGHT[:, ::2])
    found, _ = read(written(tmp_path / "a.mp4", [narrow] * 3, ratio=Fraction(2)))
    assert is_upright(found[0].image)


def test_what_is_no_video(tmp_path):
    with av.open(str(tmp_path / "song.mp4"), "w") as output:
        noise = output.add_stream("aac", rate=48000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        silence.sample_rate = 48000
        output.mux(noise.encode(silence))
        output.mux(noise.encode(None))
    shutil.copy(CASES / "noface.mp4", tmp_path / "a.mp4")
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile a.mp4\n")
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\na.mp4\n#EXT-X-ENDLIST\n")
    shutil.copy(CASES / "a.jfif", tmp_path / "photo.mp4")
    for name, message in (
        ("song.mp4", "holds no moving pictures, only audio; name a video"),
        ("list.mp4", "damaged, cut off or no video"),
        ("list.m3u8", "damaged, cut off or no video"),
        ("photo.mp4", "damaged, cut off or no video"),
        (".", "cannot be read .Is a directory"),
    ):
        with pytest.raises(VideoError, match=message):
            open_video(tmp_path / name)
    with pytest.raises(VideoError, match="path of the video is empty"):
        open_video("")


def test_a_song_with_a_cover_is_no_video(tmp_path):
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as output:
        noise = output.add_stream("aac", rate=48000)
        cover = output.add_stream("mjpeg", rate=1)
        cover.height, cover.width, cover.pix_fmt = 64, 96, "yuvj420p"
        try:
            cover.disposition = av.stream.Disposition.attached_pic
        except AttributeError:
            pytest.skip("this PyAV cannot write covers")
        output.mux(cover.encode(av.VideoFrame.from_ndarray(UPRIGHT, format="rgb24")))
        output.mux(cover.encode(None))
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        silence.sample_rate = 48000
        output.mux(noise.encode(silence))
        output.mux(noise.encode(None))
    with pytest.raises(VideoError, match="song.mp4: holds no moving pictures, only a cover and audio; name a video"):
        open_video(path)


def test_a_video_without_pictures(tmp_path):
    """The head of one, with nothing behind it."""
    with av.open(str(tmp_path / "a.mp4"), "w") as output:
        stream = output.add_stream("mpeg4", rate=10)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        output.start_encoding()
    with pytest.raises(VideoError, match="a.mp4: holds no pictures; get it again"):
        open_video(tmp_path / "a.mp4")


def test_sources():
    for source, number in (("0", 0), ("12", 12), ("/dev/video2", 2), ("camera:3", 3), ("0.mp4", None), ("1234", None)):
        assert frames.camera_number(source) == number
    for source, is_stream in (
        ("rtsp://h/a", True),
        ("http://h", True),
        ("HTTPS://h/a.mp4", True),
        ("file:///a", False),
    ):
        assert frames.is_stream_address(source) == is_stream
    shown = frames.live._without_password("rtsp://me:secret@camera.example:554/live")
    assert shown == "rtsp://me@camera.example:554/live"


# -- writing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_written_videos_keep_times(suffix, tmp_path):
    times = [0, 0.04, 0.08, 1.0, 2.0, 2.04, 4.0]
    writer = VideoWriter(tmp_path / f"a{suffix}", 25)
    for number, seconds in enumerate(times):
        writer.write(Frame(number, seconds, np.roll(UPRIGHT, 9 * number, 0)))
    writer.close()
    found, video = read(tmp_path / f"a{suffix}")
    assert video.problem is None
    np.testing.assert_allclose([frame.time for frame in found], times, atol=0.002)
    for number, frame in enumerate(found):
        assert np.abs(frame.image.astype(int) - np.roll(UPRIGHT, 9 * number, 0)).mean() < 10
    assert os.listdir(tmp_path) == [f"a{suffix}"]


@pytest.mark.parametrize("rate", [29.97, 23.976, 12.5, 60])
def test_written_videos_keep_the_rate(rate, tmp_path):
    writer = VideoWriter(tmp_path / "a.mp4", rate)
    for _ in range(30):
        writer.write(UPRIGHT[:63, :95])
    writer.close()
    found, video = read(tmp_path / "a.mp4")
    np.testing.assert_allclose([frame.time for frame in found], np.arange(30) / rate, atol=0.001)
    assert found[0].image.shape == (63, 95, 3)


@pytest.mark.parametrize("height", [64, 66])
def test_written_pictures_are_whole(height, tmp_path):
    picture = np.ascontiguousarray(np.kron(UPRIGHT, np.ones((2, 2, 1), np.uint8))[:height, :98])
    writer = VideoWriter(tmp_path / "a.mp4", 10)
    writer.write(picture)
    writer.close()
    (frame,), _ = read(tmp_path / "a.mp4")
    assert frame.image.shape == picture.shape
    assert np.abs(frame.image.astype(int) - picture).max(2).mean() < 8


def test_pictures_of_another_size_and_frames_out_of_order(tmp_path):
    writer = VideoWriter(tmp_path / "a.mp4", 10)
    for number, (seconds, size) in enumerate([(0, 1), (0.1, 2), (0.05, 1), (0.3, 1)]):
        writer.write(Frame(number, seconds, np.kron(UPRIGHT, np.ones((size, size, 1), np.uint8))))
    writer.close()
    found, _ = read(tmp_path / "a.mp4")
    assert len(found) == 4 and all(is_upright(frame.image) for frame in found)
    assert [round(frame.time, 2) for frame in found] == [0, 0.1, 0.1, 0.3]


def test_two_runs_write_the_same_bytes(tmp_path):
    for name in ("a.mkv", "b.mkv", "a.mp4", "b.mp4"):
        writer = VideoWriter(tmp_path / name, 25)
        for number in range(12):
            writer.write(np.roll(UPRIGHT, 5 * number, 1))
        writer.close()
    assert (tmp_path / "a.mkv").read_bytes() == (tmp_path / "b.mkv").read_bytes()
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_what_cannot_be_written_leaves_what_was_there(tmp_path):
    """The disk is full from some byte on."""
    path = tmp_path / "a.mp4"
    path.write_bytes(b"an earlier, good one")
    random = np.random.default_rng(0)
    writer = VideoWriter(path, 25)
    writer.write(UPRIGHT)
    writer.close(keep=False)
    assert path.read_bytes() == b"an earlier, good one" and os.listdir(tmp_path) == ["a.mp4"]
    writer = VideoWriter(path, 25)
    opened, room = Path.open, [300_000]

    def full(self, *arguments, **options):
        file = opened(self, *arguments, **options)
        if ".unfinished" not in self.name:
            return file

        class Limited:
            def write(self, content):
                room[0] -= len(content)
                if room[0] < 0:
                    raise OSError(28, os.strerror(28))
                return file.write(content)

            def __getattr__(self, name):
                return getattr(file, name)

        return Limited()

    with (
        pytest.MonkeyPatch.context() as patch,
        pytest.raises(VideoError, match="a.mp4: cannot be written .No space.*room"),
    ):
        patch.setattr(Path, "open", full)
        try:
            for _ in range(100):
                writer.write(random.integers(0, 256, (64, 96, 3), np.uint8))
        finally:
            writer.close()
    assert path.read_bytes() == b"an earlier, good one" and os.listdir(tmp_path) == ["a.mp4"]


# -- streams -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def served():
    """A server on this machine whose answers are given one after the other: content, and whether its length is told."""
    answers = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if not answers:
                self.send_error(503)
                return
            content, told = answers.pop(0) if len(answers) > 1 or not answers[0][1] else answers[0]
            self.send_response(200)
            self.send_header("Content-Type", "application/octet-stream")
            if told:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", answers
    server.shutdown()
    server.server_close()


def test_a_video_on_a_server(served):
    address, answers = served
    answers.append(((CASES / "screen.webm").read_bytes(), True))
    with open_video(f"{address}/screen.webm") as video:
        found = list(video)
    assert video.is_live and video.problem is None
    assert len(found) == 68 and found[-1].time == pytest.approx(9, abs=0.002)


def test_a_file_on_a_server_is_read_once(served, tmp_path, monkeypatch):
    """Transport streams do not tell how long they last, but the server tells how many bytes there are."""
    monkeypatch.setattr(frames.live, "GIVING_UP", 1.0)
    address, answers = served
    path = written(tmp_path / "a.ts", codec="mpeg2video", rate=25, container="mpegts")
    answers.append((path.read_bytes(), True))
    with open_video(f"{address}/a.ts") as video:
        found = [frame for frame, _ in zip(video, range(25))]
    assert len(found) == 10 and video.problem is None


def test_a_live_stream_that_breaks_off_goes_on(served, tmp_path, monkeypatch):
    monkeypatch.setattr(frames.live, "GIVING_UP", 1.0)
    address, answers = served
    path = written(tmp_path / "a.ts", codec="mpeg2video", rate=25, container="mpegts")
    answers.extend([(path.read_bytes(), False)] * 3)
    with open_video(f"{address}/live") as video:
        found = list(video)
    assert len(found) == 30, "three connections, ten pictures each"
    assert all(one.time < other.time for one, other in zip(found, found[1:]))
    assert [round(frame.time, 2) for frame in found[:10]] == [round(number / 25, 2) for number in range(10)]
    assert "gave no more pictures after 30 frames; check the network" in video.problem


def test_a_stream_that_is_not_there(served):
    address, _ = served
    with pytest.raises(VideoError, match=rf"^{address}/none: no stream can be opened \(.*\); check the address"):
        open_video(f"{address}/none")


def test_a_stream_names_no_files(served, tmp_path):
    """A list from the network that means a file of this machine."""
    address, answers = served
    shutil.copy(CASES / "noface.mp4", tmp_path / "a.ts")
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:1", "#EXTINF:1,", f"file://{tmp_path}/a.ts", "#EXT-X-ENDLIST"]
    answers.append(("\n".join(lines).encode(), True))
    with pytest.raises(VideoError, match="no stream can be opened"):
        open_video(f"{address}/list.m3u8")
