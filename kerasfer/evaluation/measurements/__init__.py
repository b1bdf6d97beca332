"""What is measured of a model that is to be bundled, as figures with the command that prints them."""

from __future__ import annotations

from kerasfer.evaluation.measurements.base import Bench, Measurement
from kerasfer.evaluation.measurements.carried import Blended, CarriedOver, FaceTemperature, Robustness, SkinTones
from kerasfer.evaluation.measurements.codes import Codes
from kerasfer.evaluation.measurements.driven import DrivenFaces
from kerasfer.evaluation.measurements.expressions import NewExpressions
from kerasfer.evaluation.measurements.generated import GeneratedFaces, LearningCurve
from kerasfer.evaluation.measurements.geometry import Geometry
from kerasfer.evaluation.measurements.machines import ActionUnits, ExpressionMachine, Transfer
from kerasfer.evaluation.measurements.orders import Experiment, Experiments, OneUnit
from kerasfer.evaluation.measurements.recognition import Recognition, TurnedHeads
from kerasfer.evaluation.measurements.units import UnitsByMachines, UnitsByMovements

__all__ = [
    "ActionUnits",
    "Bench",
    "Blended",
    "CarriedOver",
    "Codes",
    "DrivenFaces",
    "Experiment",
    "Experiments",
    "ExpressionMachine",
    "FaceTemperature",
    "GeneratedFaces",
    "Geometry",
    "LearningCurve",
    "Measurement",
    "NewExpressions",
    "OneUnit",
    "Recognition",
    "Robustness",
    "SkinTones",
    "Transfer",
    "TurnedHeads",
    "UnitsByMachines",
    "UnitsByMovements",
]
