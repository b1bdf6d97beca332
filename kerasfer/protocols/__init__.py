"""The papers' tables as commands: what each trains and tests, what the paper reports, and what runs it here.

from kerasfer import protocols
data = protocols.FolderData(lambda name: Path("data") / name)
print(protocols.Experiment("tdgan/table3", data, "runs/table3").run().text())
"""

from kerasfer.protocols.data import DataSource, FolderData, RenderedMultiPie, SyntheticData
from kerasfer.protocols.outcome import Cell, Outcome, cells_of
from kerasfer.protocols.run import Experiment
from kerasfer.protocols.schema import METRICS, Data, Protocol, ProtocolError, Rule, Setting, Variant, having
from kerasfer.protocols.tables import PROTOCOLS, Published, protocol, published

__all__ = [
    "METRICS",
    "PROTOCOLS",
    "Cell",
    "Data",
    "DataSource",
    "Experiment",
    "FolderData",
    "Outcome",
    "Protocol",
    "ProtocolError",
    "Published",
    "RenderedMultiPie",
    "Rule",
    "Setting",
    "SyntheticData",
    "Variant",
    "cells_of",
    "having",
    "protocol",
    "published",
]
