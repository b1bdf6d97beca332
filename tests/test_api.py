"""The web service: every form of request gives `kerasfer.lite`'s answers; what is wrong is told in one line of JSON."""

from __future__ import annotations

import base64
import http.client
import io
import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")
pytest.importorskip("python_multipart")
pytest.importorskip("uvicorn")

from starlette.testclient import TestClient  # noqa: E402

import kerasfer  # noqa: E402
from kerasfer import api, images, lite, server  # noqa: E402
from kerasfer.api import ApiLimits, create_app  # noqa: E402
from kerasfer.cli import serve  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
PHOTO = (ROOT / "kerasfer" / "astronaut.jpg").read_bytes()
WALL = images.encode(np.full((60, 80, 3), 90, np.uint8))
EDGE = ROOT / "saved_models" / "edge" / "model_int8.tflite"


@pytest.fixture(scope="module")
def client():
    with TestClient(create_app(["edge", "tdgan"])) as client:
        yield client


def limited(**limits):
    return TestClient(create_app(["edge"], ApiLimits(**limits)))


def problem(answer, status):
    """The one line that says what is wrong."""
    assert answer.status_code == status, answer.text
    content = answer.json()
    assert list(content) == ["error"] and "\n" not in content["error"] and content["error"]
    return content["error"]


def base64_of(content):
    return base64.b64encode(content).decode()


# -- what it answers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_",
    [
        {"files": {"image": ("photo.jpg", PHOTO)}},
        {"content": PHOTO, "headers": {"Content-Type": "image/jpeg"}},
        {"content": PHOTO, "headers": {"Content-Type": "application/octet-stream"}},
        {"json": {"image": base64_of(PHOTO)}},
        {"json": {"image": f"data:image/jpeg;base64,{base64_of(PHOTO)}"}},
    ],
    ids=["form", "image", "bytes", "base64", "data URL"],
)
def test_a_picture_in_any_form_gets_lites_answer(client, request_):
    answer = client.post("/recognize", **request_)
    assert answer.status_code == 200
    content = answer.json()
    [expected] = lite.Pipeline("edge", detector="mediapipe").recognize(images.decode(PHOTO))
    [face] = content["faces"]
    assert (content["model"], content["width"], content["height"]) == ("edge", 512, 512)
    assert face == {**expected.to_json(), "landmarks": None}


def test_what_may_be_asked_for(client):
    answer = client.post("/recognize?model=tdgan&detector=quick&landmarks=true", files={"image": PHOTO}).json()
    [expected] = lite.Pipeline("tdgan", detector="quick").recognize(images.decode(PHOTO))
    assert answer["model"] == "tdgan" and answer["faces"] == [expected.to_json()]
    assert len(answer["faces"][0]["landmarks"]) == 68
    assert client.post("/recognize?minimum_score=1", files={"image": PHOTO}).json()["faces"] == []
    assert client.post("/recognize", files={"image": WALL}).json() == {
        "model": "edge",
        "width": 80,
        "height": 60,
        "faces": [],
    }


def test_action_units_and_priors(client):
    """As `kerasfer.recognize` gives them for the same file; of every picture of a batch."""
    share = dict.fromkeys(lite.Pipeline("edge").labels, 0.0) | {"fear": 3.0, "anger": 1.0}
    for prior, given in (("balanced", "balanced"), (json.dumps(share), share), (None, None)):
        query = {"action_units": "true", **({} if prior is None else {"prior": prior})}
        [face] = client.post("/recognize", params=query, files={"image": PHOTO}).json()["faces"]
        [expected] = kerasfer.recognize(PHOTO, EDGE, action_units=True, prior=given)
        assert face["action_units"].keys() == {f"AU{number}" for number in expected.action_units}
        told = {f"AU{number}": value for number, value in expected.action_units.items()}
        assert face["action_units"] == pytest.approx(told, abs=1e-4)
        assert face["unit_details"] == pytest.approx(expected.unit_details, abs=1e-4)
        assert face["probabilities"] == pytest.approx(expected.probabilities, abs=1e-4)
        assert face["expression"] == expected.expression and "blendshapes" not in face
    answer = client.post("/recognize/batch?action_units=true", files=[("images", PHOTO), ("images", WALL)]).json()
    assert answer["results"][0]["faces"][0] == face and answer["results"][1]["faces"] == []
    [plain] = client.post("/recognize", files={"image": PHOTO}).json()["faces"]
    assert "action_units" not in plain and plain["probabilities"] == face["probabilities"]


@pytest.mark.parametrize(
    "prior, message",
    [
        ("even", "prior: prior is balanced or ferplus or a share for every class, not 'even'"),
        ('{"fear": 1}', "prior: a prior names every class of the model: neutral,"),
        ('{"fear"', "prior: not a JSON object ("),
    ],
)
def test_priors_that_cannot_be(client, prior, message):
    for path, field in (("/recognize", "image"), ("/recognize/batch", "images")):
        answer = client.post(path, params={"prior": prior}, files={field: PHOTO})
        assert problem(answer, 422).startswith(message)


def test_one_bad_picture_of_a_batch_stops_no_other(client):
    files = [("images", (name, content)) for name, content in (("a.jpg", PHOTO), ("b.jpg", b"bad"), ("c.png", WALL))]
    answer = client.post("/recognize/batch", files=files)
    assert answer.status_code == 200
    first, second, third = answer.json()["results"]
    assert [entry["index"] for entry in (first, second, third)] == [0, 1, 2]
    assert [entry["name"] for entry in (first, second, third)] == ["a.jpg", "b.jpg", "c.png"]
    assert [len(first["faces"]), second["faces"], third["faces"]] == [1, None, []]
    assert first["error"] is third["error"] is None and "convert it to JPEG or PNG" in second["error"]
    mixed = [base64_of(WALL), "***", 7, None, "", "https://example.org/a.jpg", base64_of(PHOTO)]
    results = client.post("/recognize/batch", json={"images": mixed}).json()["results"]
    assert [entry["error"] is None for entry in results] == [True, False, False, False, False, False, True]
    assert "not fetched" in results[5]["error"] and results[6]["faces"] == first["faces"]


def test_models_health_and_heads(client):
    models = client.get("/models").json()["models"]
    assert [(entry["name"], entry["default"]) for entry in models] == [("edge", True), ("tdgan", False)]
    assert models[0]["labels"] == list(lite.Recognizer(EDGE).labels)
    assert models[0]["bytes"] == EDGE.stat().st_size and models[0]["storage"] == "int8"
    assert client.get("/health").json()["status"] == "ok"
    assert client.head("/health").status_code == 200
    for name in ("Cache-Control", "Referrer-Policy", "X-Content-Type-Options"):
        assert name in client.get("/health").headers and name in client.get("/nothing").headers


def test_prometheus_is_told():
    from prometheus_client.parser import text_string_to_metric_families

    client = limited()
    client.post("/recognize/batch", files=[("images", PHOTO), ("images", WALL), ("images", b"bad")])
    client.post("/recognize?model=nobody", files={"image": PHOTO})
    for path in ("/a", "/b", "/" + "c" * 500):
        client.get(path)
    client.request("ODD", "/health")
    answer = client.get("/metrics")
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert samples["kerasfer_pictures_total", "faces"] == samples["kerasfer_pictures_total", "no face"] == 1
    assert samples["kerasfer_pictures_total", "error"] == 1
    assert samples["kerasfer_faces_total", "edge", "happiness"] == 1
    assert samples["kerasfer_requests_total", "/recognize/batch", "200", "POST"] == 1
    assert samples["kerasfer_requests_total", "/recognize", "404", "POST"] == 1
    assert samples["kerasfer_requests_total", "404", "GET", "other"] == 3, "unknown paths are one series"
    assert samples["kerasfer_requests_total", "/health", "405", "other"] == 1
    assert samples["kerasfer_request_seconds_count", "/recognize/batch"] == 1
    assert samples["kerasfer_reading_seconds_count",] == 2
    assert samples["kerasfer_waiting",] == 0


# -- what it refuses ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path, request_, status, message",
    [
        ("", {"files": {"image": b""}}, 422, "the file is empty"),
        ("", {"files": {"image": PHOTO[:2000]}}, 422, "damaged or truncated"),
        ("", {"files": {"image": b"%!PS-Adobe-3.0 EPSF-3.0"}}, 422, "the picture: "),
        ("", {"files": {"picture": PHOTO}}, 422, "no pictures; give them as 'image'"),
        ("", {"files": [("image", PHOTO), ("image", PHOTO)]}, 413, "more than 1 picture; send fewer"),
        ("", {"data": {"image": "text"}}, 415, "content type application/x-www-form-urlencoded; send multipart"),
        ("", {"content": PHOTO}, 415, "content type missing; send multipart/form-data, application/json, image/"),
        ("", {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 400, "without a boundary"),
        ("", {"content": b"x", "headers": {"Content-Type": "multipart/form-data; boundary=a"}}, 400, "the form cannot"),
        ("", {"content": b"{", "headers": {"Content-Type": "application/json"}}, 400, "the body is no JSON"),
        ("", {"content": b"[" * 200_000, "headers": {"Content-Type": "application/json"}}, 400, "the body is no JSON"),
        ("", {"json": []}, 422, "an object with 'image'"),
        ("", {"json": {"image": 3}}, 422, "a string of base64"),
        ("", {"json": {"image": "kerasfer/astronaut.jpg"}}, 422, "not base64; encode the picture's whole file"),
        ("", {"json": {"image": "http://127.0.0.1/photo.jpg"}}, 422, "addresses are not fetched"),
        ("", {"json": {"image": "file:///etc/hostname"}}, 422, "addresses are not fetched"),
        ("", {"json": {"image": base64_of(b"kerasfer/astronaut.jpg")}}, 422, "convert it to JPEG or PNG"),
        ("?model=../edge", {"files": {"image": PHOTO}}, 404, "no model '../edge'; there are: edge, tdgan"),
        ("?minimum_score=nan", {"files": {"image": PHOTO}}, 422, "minimum_score: "),
        ("?minimum_score=2", {"files": {"image": PHOTO}}, 422, "minimum_score: "),
        ("?detector=mtcnn", {"files": {"image": PHOTO}}, 422, "detector: "),
        ("/batch", {"json": {"images": base64_of(PHOTO)}}, 422, "'images' is a list"),
        ("/batch", {"json": {"images": []}}, 422, "no pictures; give them as 'images'"),
        ("/batch", {"content": PHOTO, "headers": {"Content-Type": "image/jpeg"}}, 415, "content type image/jpeg"),
    ],
)
def test_what_is_wrong_is_one_line(client, path, request_, status, message):
    assert message in problem(client.post(f"/recognize{path}", **request_), status)


def test_paths_and_methods_that_are_not(client):
    problem(client.get("/nothing"), 404)
    answer = client.get("/recognize")
    problem(answer, 405)
    assert answer.headers["Allow"] == "POST"


def test_limits_of_size():
    client = limited(image_bytes=len(WALL) + 10, images=3, request_bytes=300_000, image_pixels=5000)
    assert client.post("/recognize", files={"image": WALL}).status_code == 200
    assert "more than" in problem(client.post("/recognize", files={"image": PHOTO}), 413)
    assert "more than" in problem(client.post("/recognize", json={"image": base64_of(PHOTO)}), 413)
    assert "more than 300,000 bytes" in problem(client.post("/recognize", files={"image": bytes(300_000)}), 413)

    def parts():
        for _ in range(40):
            yield bytes(10_000)

    answer = client.post("/recognize", content=parts(), headers={"Content-Type": "image/png"})
    assert "more than 300,000 bytes" in problem(answer, 413) and answer.headers["Connection"] == "close"
    for request_ in ({"files": [("images", WALL)] * 4}, {"json": {"images": [base64_of(WALL)] * 4}}):
        assert problem(client.post("/recognize/batch", **request_), 413)
    results = client.post("/recognize/batch", files=[("images", PHOTO), ("images", WALL)]).json()["results"]
    assert "more than" in results[0]["error"] and results[1]["faces"] == []


def test_many_pixels_in_few_bytes_are_not_decoded(monkeypatch):
    buffer = io.BytesIO()
    Image.new("1", (9000, 9000)).save(buffer, "PNG")
    monkeypatch.setattr(images, "decode", lambda *_: pytest.fail("was decoded"))
    message = problem(limited().post("/recognize", files={"image": buffer.getvalue()}), 422)
    assert message == "the picture has 81,000,000 pixels, more than 40,000,000; shrink it"


@pytest.fixture
def blocked(monkeypatch):
    """Pictures take until the event is set."""
    go, detect = threading.Event(), api.service.detect

    def wait(image, *arguments, **options):
        if image.shape[1] != 80:
            go.wait(60)
        return detect(image, *arguments, **options)

    monkeypatch.setattr(api.service, "detect", wait)
    yield go
    go.set()


def test_what_takes_too_long_is_given_up(blocked):
    with limited(seconds=0.1) as client:
        assert "not read in time" in problem(client.post("/recognize", files={"image": PHOTO}), 504)
        blocked.set()
    blocked.clear()
    with limited(seconds=3, workers=2) as client:
        files = [("images", PHOTO), ("images", WALL)]
        first, second = client.post("/recognize/batch", files=files).json()["results"]
        assert "not read in time" in first["error"] and second["faces"] == []
        blocked.set()


def test_more_than_can_wait_are_turned_away_and_later_taken(blocked):
    with limited(workers=1, waiting=2) as client:
        answers = []
        worker = threading.Thread(
            target=lambda: answers.append(client.post("/recognize/batch", files=[("images", PHOTO)] * 2))
        )
        worker.start()
        while client.get("/health").json()["waiting"] < 2:
            pass
        answer = client.post("/recognize", files={"image": PHOTO})
        assert "try again" in problem(answer, 503) and answer.headers["Retry-After"] == "1"
        blocked.set()
        worker.join()
        assert [len(entry["faces"]) for entry in answers[0].json()["results"]] == [1, 1]
        while client.get("/health").json()["waiting"]:
            pass
        assert client.post("/recognize", files={"image": PHOTO}).status_code == 200


def test_a_failure_inside_is_told_without_its_details(monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("secret")

    monkeypatch.setattr(api.service, "detect", fail)
    assert "secret" not in problem(limited().post("/recognize", files={"image": PHOTO}), 422)
    monkeypatch.setattr(api.app, "pictures_of", fail)
    client = TestClient(create_app(["edge"]), raise_server_exceptions=False)
    assert problem(client.post("/recognize", files={"image": PHOTO}), 500) == "the service failed; its log tells why"


# -- how it is run -----------------------------------------------------------------------------------------------------


def test_a_body_that_trickles_is_given_up():
    app = create_app(["edge"], ApiLimits(body_seconds=0.3), server.trusted_hosts("127.0.0.1"))
    with server.make_server(app, "127.0.0.1", 0) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            connection = http.client.HTTPConnection(*running.server_address, timeout=60)
            connection.putrequest("POST", "/recognize")
            connection.putheader("Content-Type", "image/png")
            connection.putheader("Content-Length", "1000")
            connection.endheaders(b"\x89PNG")
            answer = connection.getresponse()
            assert answer.status == 408 and "in time" in json.loads(answer.read())["error"]
            connection.close()
            connection.request("POST", "/recognize", PHOTO, {"Content-Type": "image/jpeg", "Host": "evil.example"})
            assert connection.getresponse().status == 400
            connection.close()
            connection.request("POST", "/recognize", PHOTO, {"Content-Type": "image/jpeg"})
            assert len(json.loads(connection.getresponse().read())["faces"]) == 1
            connection.close()
            connection.request("HEAD", "/health")
            answer = connection.getresponse()
            assert answer.status == 200 and answer.read() == b""
            connection.close()
        finally:
            running.shutdown()
            thread.join()


def test_models_of_ones_own(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "model_int8.tflite").write_bytes(EDGE.read_bytes())
    (tmp_path / "other.tflite").write_bytes(EDGE.read_bytes())
    client = TestClient(create_app([tmp_path / "mine", tmp_path / "other.tflite", "edge"]))
    assert [entry["name"] for entry in client.get("/models").json()["models"]] == ["mine", "other", "edge"]
    assert client.post("/recognize?model=other", files={"image": PHOTO}).json()["faces"]
    with pytest.raises(ValueError, match="two models are named 'mine'"):
        create_app([tmp_path / "mine", tmp_path / "mine" / "model_int8.tflite"])
    with pytest.raises(lite.LiteError, match="nowhere.tflite: cannot be read"):
        create_app([tmp_path / "nowhere.tflite"])


def test_by_default_every_bundled_model_is_served():
    names = [entry["name"] for entry in TestClient(create_app()).get("/models").json()["models"]]
    assert names[0] == api.app.DEFAULT_RECOGNIZER
    assert {"edge", "tdgan", "ipdfer", "fesr", "g2fer", "dcganfer"} <= {*names}


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--model", "nobody"], "nobody: neither a .tflite file, nor a folder"),
        (["--max-images", "0"], "images must be a number above 0, got 0"),
        (["--timeout", "nan"], "seconds must be a number above 0, got nan"),
        (["--port", "70000"], "127.0.0.1:70000: cannot be listened at"),
    ],
)
def test_the_command_says_what_is_wrong(arguments, message):
    with pytest.raises(ValueError, match=message):
        serve.main(["--api", *([] if "--model" in arguments else ["--model", "edge"]), *arguments])


def test_it_takes_no_tensorflow_and_says_what_it_takes():
    code = """
import sys
for module in ("tensorflow", "keras", "cv2", "scipy", "sklearn", "matplotlib", "mediapipe"):
    sys.modules[module] = None
from starlette.testclient import TestClient
from kerasfer.api import create_app
client = TestClient(create_app(["edge"]))
print(client.post("/recognize", files={"image": open("kerasfer/astronaut.jpg", "rb")}).json()["faces"][0]["expression"])
del sys.modules["kerasfer.api"]
sys.modules["prometheus_client"] = None
try:
    import kerasfer.api
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "happiness",
        "prometheus_client is missing, which serving needs; pip install 'kerasfer[serve]'",
    ]


# -- its own description ----------------------------------------------------------------------------------------------


def test_the_description_holds():
    """Requests made up from OpenAPI's description get answers that are described there; none brings it down."""
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, settings
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    schema = schemathesis.openapi.from_asgi("/openapi.json", create_app(["edge"]))
    seen = set()
    for result in schema.get_all_operations():
        operation = result.ok()

        @settings(max_examples=8, deadline=None, derandomize=True, database=None, suppress_health_check=[*HealthCheck])
        @operation_cases(operation)
        def holds(case):
            seen.add((case.method.upper(), case.path))
            # Made-up bytes are seldom pictures.
            case.call_and_validate(excluded_checks=[positive_data_acceptance])

        holds()
    assert seen == {
        ("GET", "/health"),
        ("GET", "/models"),
        ("GET", "/metrics"),
        ("POST", "/recognize"),
        ("POST", "/recognize/batch"),
    }


def operation_cases(operation):
    """Cases of an operation, such as the description allows and such as it does not."""
    import hypothesis.strategies as strategies
    import schemathesis
    from hypothesis import given

    modes = schemathesis.GenerationMode
    allowed, forbidden = (operation.as_strategy(generation_mode=mode) for mode in (modes.POSITIVE, modes.NEGATIVE))
    return given(strategies.one_of(allowed, forbidden))
