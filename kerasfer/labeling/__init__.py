"""People correct the machine: faces go out as CSV, to FiftyOne or to Label Studio, and come back to be trained on.

faces, said = labeling.read_results("found.csv")
labeling.export("label-studio", faces, "photos", "to_label")
table = labeling.load("label-studio", "project-1.json", "photos")      # a FaceTable
"""

from __future__ import annotations

from kerasfer.labeling.faces import LabeledFace, LabelingError, least_sure, of_table, read_results
from kerasfer.labeling.formats import FORMATS, export, load

__all__ = ["FORMATS", "LabeledFace", "LabelingError", "export", "least_sure", "load", "of_table", "read_results"]
