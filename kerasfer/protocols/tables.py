"""The papers' tables as protocols: what is trained on what, tested how, and what the papers report.

`PROTOCOLS` is a literal table; the papers' own figures lie beside it in `published/`, one JSON file a protocol. A
protocol names its model by name only, so that it can stand here before the model does.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from importlib import resources
from operator import methodcaller
from typing import Any

from kerasfer.protocols.schema import Data, Protocol, ProtocolError, Rule, Setting, Variant, having

__all__ = ["PROTOCOLS", "Published", "protocol", "published"]


# -- the data sets, as the papers use them -----------------------------------------------------------------------------

CK_PLUS = Data("ck_plus", options={"selection": "tdgan"})
TFEID = Data("tfeid")
RAFD = Data("rafd", options={"selection": "tdgan"})
BAUM2I = Data("baum2i")
RAF_DB = Data("raf_db", cropped=True)
CASIA = Data("casia_webface", classes="")
MULTI_PIE = Data("multi_pie", "multipie6", {"selection": "g2fer"})
BU3DFE = Data("bu3dfe", "basic6", {"expressions": "six", "levels": (4,)})
BU3DFE_ALL = Data("bu3dfe", "basic7", {"levels": (0, 4)})
SFEW = Data("sfew")
CK_PLUS_FESR = Data("ck_plus", "ck_plus7", {"selection": "fesr"})
OULU = Data("oulu_casia", "basic6")
MMI = Data("mmi", "basic6", peak="middle")
TFD = Data("tfd", cropped=True)
CK_PLUS_IPD = Data("ck_plus", "ferplus8", {"selection": "ipdfer"})
FERPLUS = Data("ferplus", "ferplus8", parts=("train", "test"), cropped=True)
FERPLUS_VALID = Data("ferplus", "ferplus8", parts=("train", "valid"), cropped=True)
AFFECTNET = Data("affectnet", parts=("train", "valid"))
SFEW_VALID = Data("sfew", parts=("train", "valid"))
RAFD_FRONTAL = Data("rafd", "ferplus8", {"selection": "dcganfer_frontal"})
RAFD_VIEWS = Data("rafd", "ferplus8", {"selection": "dcganfer_views"})
RAFD_UNITS = Data("rafd", "", {"selection": "dcganfer_frontal", "action_units": True})
CK_ENHANCED = Data("ck_enhanced", "")
CELEBA = Data("celeba", "", {"count": 30000})
KDEF = Data("kdef")

TEN = Rule("folds", 10)
FIVE = Rule("folds", 5)

_FIVE_SETS = (
    Setting("ck_plus", CK_PLUS, TEN),
    Setting("tfeid", TFEID, TEN),
    Setting("rafd", RAFD, TEN),
    Setting("baum2i", BAUM2I, TEN),
    Setting("raf_db", RAF_DB, Rule("official", 3, test="test")),
)
_CROSS = (
    Setting("ck_plus to tfeid", CK_PLUS, Rule("cross", 3), test=TFEID),
    Setting("tfeid to ck_plus", TFEID, Rule("cross", 3), test=CK_PLUS),
)
_MULTI_PIE = (Setting("multi_pie", MULTI_PIE, FIVE),)
_BU3DFE_NOTE = "the 80 and 20 people are drawn at random in the paper; here by the seed, balanced by expression"
_FESR_SETS = (
    Setting("ck_plus", CK_PLUS_FESR, TEN),
    Setting("oulu_casia", OULU, TEN),
    Setting("mmi", MMI, TEN),
)
_IPD = (Variant("ResNet-18", having(variant="baseline")), Variant("IPD-FER"))
_IPD_WEIGHTS = {
    "lambda_neutral": 0.001,
    "lambda_expression": 0.001,
    "lambda_identity": 1.0,
    "lambda_reconstruction": 10.0,
    "beta_cosine": 0.5,
    "beta_confusion": 1.0,
}
"""The paper's weights of equations 11 and 12."""
_IPD_RUNS = "the paper names the best and the mean of four runs; compare the mean"
_TEN_FOLD_NOTE = (
    "the ten folds are of different people where the set knows people; the paper does not say how its are made"
)


def _experiment(number: int, data: Data, start: Data, test: Data | None = None) -> Setting:
    return Setting(f"experiment {number}", data, Rule("cross") if test else TEN, test=test, start=start)


PROTOCOLS: dict[str, Protocol] = {
    "tdgan/table3": Protocol(
        "accuracy on five data sets",
        "tdgan",
        "accuracy",
        _FIVE_SETS,
        (Variant("CNN-Base", having(variant="cnn_base")), Variant("TDGAN")),
        faces=CASIA,
    ),
    "tdgan/table4": Protocol(
        "accuracy across CK+ and TFEID",
        "tdgan",
        "accuracy",
        _CROSS,
        (Variant("CNN-Baseline", having(variant="cnn_base")), Variant("TDGAN")),
        faces=CASIA,
    ),
    "tdgan/table5": Protocol(
        "accuracy without the dual image consistency",
        "tdgan",
        "accuracy",
        _FIVE_SETS,
        (Variant("TDGAN-D", methodcaller("without_dic")), Variant("TDGAN")),
        faces=CASIA,
    ),
    "tdgan/figure10": Protocol(
        "accuracy on RAF-DB with more people in the face branch",
        "tdgan",
        "accuracy",
        _FIVE_SETS[4:],
        tuple(Variant(f"{count} people", having(identities=count)) for count in (20, 50, 100, 200)),
        faces=CASIA,
        notes="the chart's numbers of people are not in the text; these are this project's",
    ),
    "g2fer/table3": Protocol(
        "Multi-PIE: recall by expression and yaw", "g2fer", "pose_recall", _MULTI_PIE, (Variant("G2-FER"),)
    ),
    "g2fer/table4": Protocol(
        "Multi-PIE beside a ResNet-50",
        "g2fer",
        "pose_recall",
        _MULTI_PIE,
        (Variant("ResNet50", having(variant="no_synfi")), Variant("Ours")),
        notes="the paper's ResNet-50 starts from ImageNet: --set classifier_start=FILE of keras.applications' weights",
    ),
    "g2fer/table5": Protocol(
        "BU-3DFE: recall by expression and view",
        "g2fer",
        "view_recall",
        (Setting("bu3dfe", BU3DFE, Rule("people", part=0.2)),),
        (Variant("G2-FER"),),
        notes=_BU3DFE_NOTE,
    ),
    "g2fer/table7": Protocol(
        "trained on BU-3DFE, tested on SFEW",
        "g2fer",
        "recall",
        (Setting("bu3dfe to sfew", BU3DFE_ALL, Rule("cross"), test=SFEW),),
        (Variant("G2-FER"),),
    ),
    "g2fer/table8": Protocol(
        "Multi-PIE without parts of the method",
        "g2fer",
        "pose_recall",
        _MULTI_PIE,
        (
            Variant("No_E2E", having(variant="no_e2e")),
            Variant("No_LS", having(variant="no_ls")),
            Variant("No_SynFI", having(variant="no_synfi")),
            Variant("G2-FER"),
        ),
    ),
    "g2fer/table9": Protocol(
        "Multi-PIE with noise on the landmarks",
        "g2fer",
        "pose_recall",
        _MULTI_PIE,
        tuple(Variant(f"sigma = {sigma}", having(landmark_noise=float(sigma))) for sigma in (0, 2, 4, 6, 8)),
    ),
    "g2fer/table10": Protocol(
        "Multi-PIE by expression, beside one-shot learning", "g2fer", "recall", _MULTI_PIE, (Variant("G2-FER"),)
    ),
    "g2fer/figure5": Protocol(
        "Multi-PIE with more generated images an epoch",
        "g2fer",
        "accuracy",
        _MULTI_PIE,
        tuple(Variant(f"{count}N", having(synthetic_images=count)) for count in (0, 1, 5, 10, 15, 20)),
    ),
    "fesr/table3": Protocol(
        "synthesis beside real images: PSNR and SSIM",
        "fesr",
        "reconstruction",
        _FESR_SETS,
        (Variant("FESGAN", having(variant="fg")),),
    ),
    "fesr/table4": Protocol(
        "identity of synthetic images: verification",
        "fesr",
        "verification",
        _FESR_SETS,
        (Variant("FG-IP", having(variant="fg_ip")), Variant("FG", having(variant="fg"))),
        notes="the judge is not the network of the identity loss: it sees other faces of it, or is another network",
    ),
    "fesr/table5": Protocol(
        "accuracy on CK+, Oulu-CASIA and MMI",
        "fesr",
        "accuracy",
        _FESR_SETS,
        (
            Variant("BASELINE", having(variant="baseline")),
            Variant("FESR_SL", having(variant="fesr_sl")),
            Variant("FESR_JL-IL", having(variant="fesr_jl_il")),
            Variant("FESR_JL"),
        ),
        peak=True,
    ),
    "fesr/table6": Protocol(
        "Multi-PIE: accuracy by yaw",
        "fesr",
        "pose_accuracy",
        _MULTI_PIE,
        (Variant("BASELINE", having(variant="baseline")), Variant("FESR_JL")),
    ),
    "fesr/table7": Protocol(
        "TFD: accuracy over the owners' folds",
        "fesr",
        "accuracy",
        (Setting("tfd", TFD, Rule("official_folds")),),
        (Variant("BASELINE", having(variant="baseline")), Variant("FESR_JL")),
    ),
    "fesr/figure8": Protocol(
        "accuracy of the method's variants",
        "fesr",
        "accuracy",
        _FESR_SETS,
        (
            Variant("BASELINE", having(variant="baseline")),
            Variant("FESR_OneSt", having(variant="fesr_onest")),
            Variant("FESR_SL", having(variant="fesr_sl")),
            Variant("FESR_JL-IL", having(variant="fesr_jl_il")),
            Variant("FESR_JL-RDBP", having(variant="fesr_jl_rdbp")),
            Variant("FESR_JL"),
            Variant("FESR_Real", having(variant="fesr_real")),
        ),
        peak=True,
    ),
    "ipdfer/table1": Protocol(
        "head poses of the training sets",
        "",
        "pose_counts",
        (
            Setting("raf_db", Data("raf_db", cropped=True, parts=("train",)), Rule("official")),
            Setting("ferplus", Data("ferplus", "ferplus8", cropped=True, parts=("train",)), Rule("official")),
            Setting("affectnet", Data("affectnet", parts=("train",)), Rule("official")),
            Setting("sfew", Data("sfew", parts=("train",)), Rule("official")),
        ),
        (Variant("training faces"),),
        notes="the authors' estimator was another one",
    ),
    "ipdfer/table2": Protocol(
        "CK+: accuracy without and with contempt",
        "ipdfer",
        "accuracy",
        (
            Setting("6 expressions", Data("ck_plus", "basic7", {"selection": "tdgan"}), TEN, tested="basic6"),
            Setting("6 expressions and contempt", CK_PLUS_IPD, TEN, tested="ck_plus7"),
        ),
        (Variant("ResNet-18", having(variant="baseline")), Variant("IPD-FER", having(variant="id_fer"))),
        notes="the neutral first frames are learned as a class of their own and not tested",
    ),
    "ipdfer/table3": Protocol(
        "RAF-DB: accuracy",
        "ipdfer",
        "accuracy",
        (Setting("raf_db", RAF_DB, Rule("official", 4, test="test")),),
        _IPD,
        notes=_IPD_RUNS,
    ),
    "ipdfer/table4": Protocol(
        "FERPlus: accuracy",
        "ipdfer",
        "accuracy",
        (
            Setting("ferplus", FERPLUS, Rule("official", 4, test="test")),
            Setting("ferplus valid", FERPLUS_VALID, Rule("official", 4, test="valid")),
        ),
        _IPD,
        notes=f"{_IPD_RUNS}; the paper does not say whether it tests on the test or on the valid part",
    ),
    "ipdfer/table5": Protocol(
        "AffectNet: accuracy",
        "ipdfer",
        "accuracy",
        (Setting("affectnet", AFFECTNET, Rule("official", 4, test="valid")),),
        _IPD,
        notes=_IPD_RUNS,
    ),
    "ipdfer/table6": Protocol(
        "SFEW 2.0: accuracy",
        "ipdfer",
        "accuracy",
        (
            Setting("sfew", SFEW_VALID, Rule("official", 4, test="valid")),
            Setting("raf_db then sfew", SFEW_VALID, Rule("official", 4, test="valid"), start=RAF_DB),
        ),
        _IPD,
        notes=_IPD_RUNS,
    ),
    "ipdfer/table7": Protocol(
        "hours of training",
        "ipdfer",
        "hours",
        (
            Setting("raf_db", RAF_DB, Rule("official", test="test")),
            Setting("ferplus", FERPLUS, Rule("official", test="test")),
            Setting("affectnet", AFFECTNET, Rule("official", test="valid")),
            Setting("sfew", SFEW_VALID, Rule("official", test="valid")),
        ),
        _IPD,
        notes="the paper's hours are those of one GeForce GTX 1080",
    ),
    "ipdfer/table8": Protocol(
        "RAF-DB: accuracy on turned heads",
        "ipdfer",
        "yaw_subsets",
        (Setting("raf_db", RAF_DB, Rule("official", test="test")),),
        (
            Variant("baseline", having(variant="baseline")),
            Variant("ID-FER", having(variant="id_fer")),
            Variant("IPD-FER"),
        ),
    ),
    "ipdfer/table9": Protocol(
        "RAF-DB without parts of the method",
        "ipdfer",
        "accuracy",
        (Setting("raf_db", RAF_DB, Rule("official", test="test")),),
        (
            Variant("without L_confusion", having(beta_confusion=0.0)),
            Variant("without L_cos", having(beta_cosine=0.0)),
            Variant("without L_id", having(lambda_identity=0.0)),
            Variant("without D", methodcaller("without_discriminator")),
            Variant("IPD-FER"),
        ),
    ),
    "ipdfer/figure7": Protocol(
        "RAF-DB: sensitivity to the weights of the losses",
        "ipdfer",
        "accuracy",
        (Setting("raf_db", RAF_DB, Rule("official", test="test")),),
        (
            Variant("IPD-FER"),
            *(
                Variant(f"{field} x {factor:g}", having(**{field: round(factor * value, 6)}))
                for field, value in _IPD_WEIGHTS.items()
                for factor in (0.1, 10.0)
            ),
        ),
        notes="the chart's values are not in the text; the factors are this project's",
    ),
    "dcganfer/table2": Protocol(
        "expressions: areas under the ROC curves",
        "dcganfer",
        "auc",
        (
            _experiment(1, RAFD_FRONTAL, CK_ENHANCED),
            _experiment(2, RAFD_FRONTAL, CELEBA),
            _experiment(3, RAFD_VIEWS, CK_ENHANCED),
            _experiment(4, RAFD_VIEWS, RAFD_VIEWS),
            _experiment(5, RAFD_FRONTAL, RAFD_FRONTAL),
            _experiment(6, RAF_DB, RAF_DB),
            _experiment(7, KDEF, KDEF),
            _experiment(8, SFEW, SFEW),
        ),
        (Variant("DCGAN-FER"),),
        fits=True,
        notes=_TEN_FOLD_NOTE,
    ),
    "dcganfer/table3": Protocol(
        "expressions: accuracy",
        "dcganfer",
        "accuracy",
        (
            Setting("rafd", RAFD_FRONTAL, TEN, start=CK_ENHANCED),
            Setting("kdef", KDEF, TEN, start=KDEF),
            Setting("sfew", SFEW, TEN, start=SFEW),
            Setting("raf_db", RAF_DB, TEN, start=RAF_DB),
        ),
        (Variant("DCGAN-FER"),),
        fits=True,
        notes=_TEN_FOLD_NOTE,
    ),
    "dcganfer/table4": Protocol(
        "action units: areas under the ROC curves",
        "dcganfer",
        "unit_auc",
        (
            _experiment(1, CK_ENHANCED, CK_ENHANCED),
            _experiment(2, RAFD_UNITS, CK_ENHANCED),
            _experiment(3, CK_ENHANCED, CELEBA),
            _experiment(4, CK_ENHANCED, CELEBA, RAFD_UNITS),
            _experiment(5, RAFD_UNITS, CELEBA, CK_ENHANCED),
            _experiment(6, RAFD_UNITS, CELEBA),
            _experiment(7, CK_ENHANCED, CK_ENHANCED, RAFD_UNITS),
            _experiment(8, RAFD_UNITS, CK_ENHANCED, CK_ENHANCED),
        ),
        (Variant("DCGAN-FER"),),
        notes=_TEN_FOLD_NOTE,
    ),
    "dcganfer/table7": Protocol(
        "RaFD: quality of generated faces",
        "dcganfer",
        "generation",
        (Setting("rafd", RAFD_VIEWS, Rule("people", part=0.2)),),
        (Variant("DCGAN-FER"),),
        notes="features of the bundled recognizer, not of Inception: compare within a run only",
    ),
}
"""Name -> protocol: every table and figure of the five papers that is a measurement."""


def protocol(name: str) -> Protocol:
    """A protocol by its name.

    Raises:
        ProtocolError: there is none of that name.
    """
    if name not in PROTOCOLS:
        raise ProtocolError(f"unknown protocol {name!r}; --list-protocols names all, known are: {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


# -- what the papers report --------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Published:
    """A paper's table.

    Attributes:
        paper: title and place of the paper.
        place: the table's or the figure's number.
        section: where in the paper it stands.
        page: of the paper, where the project's text of it tells.
        unit: "percent", "count", "hours" or "" (as they are).
        note: what is garbled, lost or contradictory in print.
        images: setting -> number of images that the paper names.
        rows: each with method, kind ("own", "baseline", "ablation" or "comparison"), setting, cell, value and, where
            printed, deviation and best.
    """

    paper: str
    place: str
    section: str
    page: int | None
    unit: str
    note: str
    images: Mapping[str, int]
    rows: tuple[Mapping[str, Any], ...]

    def value(self, method: str, setting: str, cell: str) -> Mapping[str, Any] | None:
        """The row of a figure, or None if the paper does not print it."""
        for row in self.rows:
            if (row["method"], row["setting"], row["cell"]) == (method, setting, cell):
                return row
        return None


def published(name: str) -> Published:
    """The figures that a paper reports for a protocol.

    Raises:
        ProtocolError: there is no protocol of that name.
    """
    protocol(name)
    file = resources.files("kerasfer.protocols").joinpath("published", f"{name.replace('/', '-')}.json")
    content = json.loads(file.read_text(encoding="utf-8"))
    return Published(**{**content, "rows": tuple(content["rows"])})
