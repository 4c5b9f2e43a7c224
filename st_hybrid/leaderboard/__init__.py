"""From folders of mteb results to a leaderboard: read them, make a table, render it.

:func:`read_results` reads the files, :func:`build_table` makes a :class:`Table` of what
:class:`Options` ask for, and :func:`render` turns it into text; :func:`export` does all three.
Nothing here imports mteb or torch.
"""

from st_hybrid.leaderboard.build import build_table
from st_hybrid.leaderboard.options import Options
from st_hybrid.leaderboard.read import read_results
from st_hybrid.leaderboard.render import FORMATS, export, render
from st_hybrid.leaderboard.scores import ModelInfo, ReadReport, Skipped, SubsetScores, TaskScores
from st_hybrid.leaderboard.table import Cell, Column, Group, Row, Table

__all__ = [
    "FORMATS",
    "Cell",
    "Column",
    "Group",
    "ModelInfo",
    "Options",
    "ReadReport",
    "Row",
    "Skipped",
    "SubsetScores",
    "Table",
    "TaskScores",
    "build_table",
    "export",
    "read_results",
    "render",
]
