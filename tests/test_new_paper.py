"""A new paper is one file and one line: what its class must define, what it gets, and a sixth one from end to end."""

from __future__ import annotations

import dataclasses
import re
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from tiny_training import noise_table, state_arrays
from toy_model import Toy, ToyConfig

import kerasfer
from kerasfer import recipes, synthesis, weights, zoo
from kerasfer.data import kind_of
from kerasfer.evaluation.measurements import Bench
from kerasfer.models import MODELS, model_class
from kerasfer.models.base import Deviation, FERModel, ModelConfig, deviations, ours
from kerasfer.models.recognizer import Recognizer

ROOT = Path(__file__).resolve().parent.parent
PAPERS = ("dcganfer", "fesr", "g2fer", "ipdfer", "tdgan")

EQUATIONS: dict[str, range] = {
    "tdgan": range(2, 13),
    "fesr": range(1, 27),
    "g2fer": range(3, 11),
    "ipdfer": range(1, 13),
}
"""Numbers of the equations that define each method; those before are other papers', DCGAN-FER's have none."""

OF_THE_PAPERS: dict[str, str] = {
    "every": "image_size channels pixel_range expressions batch_size epochs learning_rate schedule",
    "tdgan": "variant identities encoder_channels inception_blocks inception_channels inception_scale "
    "embedding_channels residual_blocks noise_channels decoder_channels head_units dropout encoder_epsilon "
    "decoder_epsilon lambda_face lambda_expression lambda_dic lambda_perceptual perceptual norm "
    "face_discriminator_every expression_discriminator_every",
    "fesr": "variant lightcnn_size lightcnn_width latent encoder_channels decoder_channels discriminator_channels "
    "latent_discriminator_units extractor_channels extractor_units dropout pretraining_steps lambda_latent "
    "lambda_reconstruction lambda_identity lambda_expression lambda_critic lambda_intra penalty norm beta1 beta2",
    "g2fer": "variant content_target adversarial norm geometry_units identity_units encoder_channels decoder_channels "
    "attribute_channels attribute_units identity_discriminator_units classifier_units resnet_width resnet_blocks "
    "smoothing synthetic_images landmark_sets landmark_noise lambda_attribute lambda_identity lambda_classification "
    "lambda_geometry lambda_variation deviation beta1 beta2",
    "ipdfer": "variant encoder_width features decoder_channels pose_classes lambda_neutral lambda_expression "
    "lambda_identity lambda_reconstruction beta_cosine beta_confusion norm",
    "dcganfer": "latent generator_channels discriminator_channels kernel generator_loss beta1 beta2 svm_c svm_gamma "
    "search_trials folds unit_c",
}
"""Fields of the configs that the papers have; all others are marked as ours."""


# -- the papers' files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EQUATIONS)
def test_grep_finds_every_equation(name):
    text = (ROOT / "kerasfer" / "models" / f"{name}.py").read_text()
    missing = [number for number in EQUATIONS[name] if not re.search(rf"\bEquation {number}\b", text)]
    assert not missing, f"kerasfer/models/{name}.py has no 'Equation N' for {missing}"


def test_no_file_is_long_but_the_papers():
    papers = {ROOT / "kerasfer" / "models" / f"{name}.py" for name in PAPERS}
    for path in {*(ROOT / "kerasfer").rglob("*.py")} - papers:
        assert len(path.read_text().splitlines()) <= 600, path


@pytest.mark.parametrize("name", PAPERS)
def test_every_field_is_the_papers_or_marked(name):
    fields = dataclasses.fields(model_class(name).Config)
    printed = set(f"{OF_THE_PAPERS['every']} {OF_THE_PAPERS[name]}".split())
    marked = {field.name for field in fields if field.metadata.get("ours")}
    assert printed | marked == {field.name for field in fields} and not printed & marked


def test_deviations_are_what_is_not_off():
    Config = model_class("ipdfer").Config
    identity = "released weights are not the project's to ship"
    # Weights that are not shipped stand in for the paper's wherever no path is given.
    assert deviations(Config.paper()) == (Deviation("identity", "dlib_resnet", None, identity),)
    assert deviations(Config.paper().replace(identity="casia.pth")) == ()
    config = Config.paper().replace(mixup=0.3, image_size=48, lambda_identity=2.0)
    assert {
        each.field: (each.value, each.paper, each.why) for each in deviations(config) if each.field != "identity"
    } == {
        "image_size": (48, 112, ""),
        "lambda_identity": (2.0, 1.0, ""),
        "mixup": (0.3, 0.0, "less overfitting"),
    }
    assert deviations(model_class("tdgan").Config.paper()) == ()


def test_a_marked_field_is_a_field_like_any_other():
    @dataclasses.dataclass(frozen=True)
    class Config(ModelConfig):
        sharpness: float = ours(0.5, "shown to help", paper=0.0)

        @classmethod
        def small(cls):
            return cls()

        tiny = small

    assert Config() == Config.paper() and Config.from_dict(Config(sharpness=0.25).to_dict()).sharpness == 0.25
    assert deviations(Config()) == (Deviation("sharpness", 0.5, 0.0, "shown to help"),)
    assert deviations(Config(sharpness=0.0)) == ()


def test_help_shows_fields_of_ours_apart(capsys):
    from kerasfer.cli.train import main

    assert main(["--model", "ipdfer", "--size", "paper", "--set", "help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    border = lines.index("not of the paper:")
    assert "lambda_identity = 1.0" in lines[:border] and "mixup = 0.0  # less overfitting" in lines[border:]
    assert len(lines) - 2 == len(dataclasses.fields(model_class("ipdfer").Config))


# -- the contract ------------------------------------------------------------------------------------------------------


def test_a_class_that_leaves_something_out_is_refused_when_it_is_made():
    message = "Half does not define build_networks, .*train_step.*, which FERModel demands"
    with pytest.raises(TypeError, match=message) as caught:

        class Half(FERModel):
            Config = ToyConfig

            def loss_terms(self):
                return ("loss",)

    assert "loss_terms" not in str(caught.value) and "batch_kind_of" in str(caught.value)

    class Base(FERModel, abstract=True):
        def loss_terms(self):
            return ("loss",)

    with pytest.raises(TypeError, match="Child does not define .*, which Base demands"):

        class Child(Base):
            Config = ToyConfig

    with pytest.raises(TypeError, match="Sizeless does not define small, tiny, which ModelConfig demands"):

        class Sizeless(ModelConfig):
            pass


def test_a_class_without_a_config_is_refused():
    methods = {name: getattr(Toy, name) for name in ("build_networks", "optimizer_plans", "loss_terms", "train_step")}
    methods["weight_groups"] = Toy.weight_groups
    methods["batch_kind_of"] = classmethod(lambda cls, config: "images")
    with pytest.raises(TypeError, match="Plain does not define Config, which FERModel demands"):
        type("Plain", (FERModel,), methods)


# -- controls ----------------------------------------------------------------------------------------------------------

CONTROLS = {
    "dcganfer": ["noise"],
    "edge": [],
    "fesr": ["names", "noise"],
    "g2fer": ["landmarks"],
    "ipdfer": ["photos"],
    "tdgan": ["photos"],
    "wild": [],
}


def test_the_controls_of_every_model():
    assert {name: list(model_class(name).controls) for name in MODELS} == CONTROLS
    assert set(synthesis.CONTROLS) == {each for names in CONTROLS.values() for each in names}
    assert all(control.name == name for name, control in synthesis.CONTROLS.items())
    assert kerasfer.synthesis is synthesis


@pytest.fixture(scope="module")
def drawing():
    return model_class("dcganfer")(model_class("dcganfer").Config.tiny())


def test_controls_wrap_the_model(drawing):
    controls = synthesis.of(drawing)
    assert list(controls) == ["noise"] and isinstance(controls["noise"], synthesis.FromNoise)
    np.testing.assert_array_equal(controls["noise"].generate(3, seed=2), drawing.generate(3, seed=2))
    for Control in (synthesis.ByPhoto, synthesis.NamedExpressions, synthesis.ByLandmarks):
        with pytest.raises(ValueError, match=f"a DCGANFER is not controlled by {Control.name}, but by noise"):
            Control(drawing)


def test_the_command_draws_people_from_noise(drawing, tmp_path, capsys):
    from kerasfer import images
    from kerasfer.cli.synthesize import main

    folder = str(zoo.save(drawing, tmp_path / "noisy"))
    start = ["--model", folder, "--output", str(tmp_path / "people.png"), "--new-people", "3"]
    assert main(start) == 0
    assert "3 people: " in capsys.readouterr().out and images.read(tmp_path / "people.png").shape[0] > 3 * 90
    with pytest.raises(ValueError, match="draws people of its own: give --new-people N alone"):
        main([*start, "--expression", "fear"])


def test_a_model_that_draws_nothing_has_no_controls():
    toy = Toy(ToyConfig())
    assert not toy.generates and synthesis.of(toy) == {} and synthesis.preview(toy, {}) == []
    with pytest.raises(ValueError, match="a Toy is not controlled by photos, but by nothing"):
        synthesis.ByPhoto(toy)
    with pytest.raises(ValueError, match="Toy recognizes, and generates nothing; take another"):
        toy.require_generator()


def test_the_pages_call_methods_that_there_are():
    text = "\n".join(path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
    calls = re.findall(r"synthesis\.(\w+)\(kerasfer\.load\(\"(\w+)\"\)\)\.(\w+)\(", text)
    assert len(calls) >= 5
    for control, name, method in calls:
        assert getattr(synthesis, control).name in model_class(name).controls, (control, name)
        assert callable(getattr(getattr(synthesis, control), method)), (control, method)


def test_an_unknown_control_is_said(monkeypatch):
    monkeypatch.setattr(Toy, "controls", ("magic",))
    with pytest.raises(ValueError, match="Toy names an unknown control 'magic'; known are photos, names"):
        synthesis.of(Toy(ToyConfig()))


def test_a_line_between_codes():
    ends = np.array([[0.0, 4.0], [1.0, 0.0]])
    np.testing.assert_allclose(synthesis.control.between(ends, 3), [[0, 4], [0.5, 2], [1, 0]])
    assert synthesis.control.between(np.zeros((2, 3, 3, 1)), 5).shape == (5, 3, 3, 1)
    with pytest.raises(ValueError, match="at least 2 steps, got 1"):
        synthesis.control.between(ends, 1)


# -- a sixth paper -----------------------------------------------------------------------------------------------------

SIXTH = '''
"""Contrast-FER: a face's contrast is learned beside its expression, and drawn anew."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from kerasfer.data import Stream
from kerasfer.data.kinds import Images
from kerasfer.losses import cross_entropy_from_logits, l1_mean
from kerasfer.models.base import FERModel, ModelConfig, OptimizerPlan, in_batches, ours
from kerasfer.synthesis import Control


@dataclasses.dataclass(frozen=True)
class SixthConfig(ModelConfig):
    image_size: int = 64
    width: int = 32
    steadiness: float = ours(0.0, "less noise")

    @classmethod
    def small(cls):
        return cls(image_size=32, width=8)

    @classmethod
    def tiny(cls):
        return cls(image_size=16, width=4, batch_size=4, epochs=1)


class WithContrast(Images):
    """Images with their expression and their contrast."""

    keys = {**Images.keys, "contrast": "float32 (n, 1)"}

    def streams(self, table, faces):
        (stream,) = super().streams(table, faces)
        contrast = np.linspace(0, 1, len(stream.table), dtype=np.float32)[:, None]
        return [Stream("image", stream.table, {**stream.columns, "contrast": contrast})]


class ByContrast(Control):
    """A face, flatter or with more contrast."""

    name = "contrast"

    def fade(self, faces, steps=3):
        return np.stack([self.model.synthesize(faces, level) for level in np.linspace(0, 1, steps)], 1)

    def preview(self, batch):
        return list(self.fade(batch["image"]).swapaxes(0, 1))


class Sixth(FERModel):
    Config = SixthConfig
    controls = (ByContrast,)

    @classmethod
    def batch_kind_of(cls, config):
        return WithContrast

    def build_networks(self):
        image = keras.Input(self.image_spec.shape, name="image")
        x = keras.layers.Conv2D(self.config.width, 3, 2, activation="relu", name="conv")(image)
        encoder = keras.Model(image, keras.layers.Flatten(name="code")(x), name="encoder")
        logits = keras.layers.Dense(len(self.config.expressions), dtype="float32", name="logits")(encoder.output)
        code, contrast = keras.Input(encoder.output_shape[1:]), keras.Input((1,))
        x = keras.layers.Concatenate()([code, contrast])
        pixels = keras.layers.Dense(int(np.prod(self.image_spec.shape)), "sigmoid", name="pixels")(x)
        drawn = keras.layers.Reshape(self.image_spec.shape)(pixels)
        return {
            "encoder": encoder,
            "classifier": keras.Model(encoder.output, logits, name="classifier"),
            "painter": keras.Model([code, contrast], drawn, name="painter"),
        }

    def optimizer_plans(self):
        return {"all": OptimizerPlan(("encoder", "classifier", "painter"))}

    def weight_groups(self):
        return {"recognizer": ("encoder", "classifier"), "generator": ("painter",)}

    def loss_terms(self):
        return ("expression", "content")

    def train_step(self, batch):
        batch = self.as_batch(batch)
        with tf.GradientTape() as tape:
            code = self.networks["encoder"](batch["image"], training=True)
            drawn = self.networks["painter"]([code, batch["contrast"]], training=True)
            logits = self.networks["classifier"](code, training=True)
            terms = {
                "expression": self.mean_over_batch(cross_entropy_from_logits(batch["label"], logits)),
                "content": self.mean_over_batch(l1_mean(batch["image"], drawn)),
            }
            loss = tf.add_n(list(terms.values()))
        self.minimize("all", loss, tape)
        self.report(**terms)
        self.step.assign_add(1)
        return self.result()

    def synthesize(self, faces, contrast, seed=0):
        levels = np.full((len(faces), 1), contrast, np.float32)
        encoder, painter = self.networks["encoder"], self.networks["painter"]
        paint = lambda images, levels: painter([encoder(images), tf.constant(levels)])
        return in_batches(paint, self.checked(faces), levels)
'''

RECIPE = '''
"""Contrast-FER on rendered faces: seconds on any machine."""

import numpy as np

from kerasfer.data import NamedSets
from kerasfer.evaluation.measurements import Measurement
from kerasfer.recipes import Plan, Run
from sixth_zoo.paper import SixthConfig


class Contrast(Measurement):
    """How far apart the flattest face and the one with the most contrast are."""

    def measure(self, bench):
        gray = np.full((1, *bench.model.image_spec.shape), 0.5, np.float32)
        flat, full = (bench.model.synthesize(gray, level) for level in (0.0, 1.0))
        return [bench.figure("contrast", "a gray face, from flat to full", float(abs(full - flat).mean()))]


first = Run("first", SixthConfig.tiny().replace(learning_rate=1e-3), NamedSets("synthetic", images=16, hold_out=0.25))
sixth = first.then("sixth", seed=1, steadiness=0.5)

PLAN = Plan((first, sixth), sixth, (Contrast(),), storage={"recognizer": "float32", "generator": "float32"})
'''


@pytest.fixture
def sixth(tmp_path, monkeypatch):
    """The plan of a sixth paper: there are its file, one line in `MODELS`, and its recipe beside the others."""
    package, beside = tmp_path / "sixth_zoo", tmp_path / "recipes"
    for file, text in ((package / "__init__.py", ""), (package / "paper.py", SIXTH), (beside / "sixth.py", RECIPE)):
        file.parent.mkdir(exist_ok=True)
        file.write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(MODELS, "sixth", ("sixth_zoo.paper", "Sixth"))
    monkeypatch.setattr(recipes, "__path__", [*recipes.__path__, str(beside)])
    assert "sixth" in recipes.names()
    yield recipes.plan("sixth")
    for name in [name for name in sys.modules if name.partition(".")[0] == "sixth_zoo"]:
        del sys.modules[name]
    del sys.modules["kerasfer.recipes.sixth"], recipes.sixth


def test_a_sixth_paper_trains_recognizes_and_draws(sixth, tmp_path, monkeypatch):
    runs = tmp_path / "runs"
    done = [run.train(tmp_path, runs, verbose=0, say=lambda line: None) for run in sixth.runs]
    model, history = done[-1].model, done[-1].history
    assert sixth.model == "sixth" and model.config.steadiness == 0.5
    assert int(model.step) == 2 and history[-1]["expression"] > 0 and history[-1]["content"] > 0
    before, after = (state_arrays(each.model) for each in done)
    for network in ("encoder", "classifier", "painter"):
        names = [name for name in before if name.startswith(f"network/{network}/")]
        assert names and any((before[name] != after[name]).any() for name in names)

    Kind, table = kind_of(model, model.config), noise_table(8, size=20)
    batches = Kind(table, model.image_spec, model.label_space, 4, seed=1)
    batch = next(iter(batches.epoch(0)))
    assert set(batch) == {"image", "label", "contrast"} == set(Kind.keys)
    faces = batch["image"].numpy()
    recognizer = model.recognizer()
    assert isinstance(recognizer, Recognizer)
    logits = model.networks["classifier"](model.networks["encoder"](faces)).numpy()
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(recognizer(faces), expected, atol=1e-5)
    np.testing.assert_allclose(model.features(faces), model.networks["encoder"](faces), atol=1e-5)
    with pytest.raises(ValueError, match="this one has no contrast"):
        model.train_step({"image": batch["image"], "label": batch["label"]})

    (control,) = synthesis.of(model).values()
    drawn = control.fade(faces)
    assert drawn.shape == (4, 3, 16, 16, 1) and np.abs(drawn[:, 0] - drawn[:, 2]).max() > 0
    np.testing.assert_array_equal(drawn[:, 2], model.synthesize(faces, 1.0))
    assert len(synthesis.preview(model, {name: value.numpy() for name, value in batch.items()})) == 4
    assert list((runs / "sixth" / "samples").glob("*.png"))

    folder = zoo.save(model, tmp_path / "saved_models" / "sixth", groups=list(sixth.storage), storage=sixth.storage)
    monkeypatch.setattr(weights, "BUNDLES", (folder.parent,))
    loaded = kerasfer.load("sixth")
    assert type(loaded) is type(model) and kerasfer.list_models(trained=True) == ["sixth"]
    np.testing.assert_array_equal(loaded.recognizer()(faces), recognizer(faces))
    np.testing.assert_array_equal(loaded.synthesize(faces, 0.5), model.synthesize(faces, 0.5))
    found = {each.field: each.why for each in deviations(loaded.config)}
    assert found["steadiness"] == "less noise" and found["width"] == ""
    card = (folder / "README.md").read_text()
    assert "| `steadiness` | 0.5 | 0.0 | less noise |" in card and "| `width` | 4 | 32 |  |" in card

    (measurement,) = sixth.measurements
    bench = Bench("sixth", {sixth.bundled: loaded}, sixth.bundled, Path, runs, "python x")
    (figure,) = measurement.measure(bench)
    assert figure["value"] > 0 and figure["command"] == "python x"
