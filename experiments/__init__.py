"""Runs, scores and reports, and the command ``mer``.

Public here is what a notebook needs to judge predictions: `leave_one_subject_out` says who is tested when, `score`
turns a table with ``clip_id, subject, y_true, y_pred`` into accuracy, UF1 and UAR of the pooled predictions.
`experiments.scoring.statistics.bootstrap` puts an interval over subjects around them, and
`experiments.runs.run.read_predictions` reads the table of a run; they load scipy's statistics and are therefore not
named here.
"""

from experiments.scoring.metrics import ClassScore, Scores, score
from experiments.scoring.protocols import Fold, leave_one_subject_out

__all__ = ["ClassScore", "Fold", "Scores", "leave_one_subject_out", "score"]
