"""From folders of mteb results to a leaderboard: read them, make a table, render it.

:func:`read_results` reads the files, :func:`build_table` makes records of them and every function
in :data:`FORMATS` turns the records into text; :func:`export` does all three. Nothing here imports
mteb or torch.
"""

from st_hybrid.leaderboard.read import ReadReport, Skipped, TaskScores, read_results
from st_hybrid.leaderboard.render import FORMATS, export
from st_hybrid.leaderboard.table import Cell, Leaderboard, Row, SetSize, build_table

__all__ = [
    "FORMATS",
    "Cell",
    "Leaderboard",
    "ReadReport",
    "Row",
    "SetSize",
    "Skipped",
    "TaskScores",
    "build_table",
    "export",
    "read_results",
]
