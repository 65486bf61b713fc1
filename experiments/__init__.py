"""Runs, scores and reports, and the command ``mer``.

Public here is what a notebook needs to judge predictions: `leave_one_subject_out` says who is tested when, `score`
turns a table with ``clip_id, subject, y_true, y_pred`` into accuracy, UF1 and UAR of the pooled predictions.
`experiments.scoring.statistics.bootstrap` puts an interval over subjects around them, and
`experiments.runs.run.read_predictions` reads the table of a run; they load scipy's statistics and are therefore not
named here.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from experiments.scoring.metrics import ClassScore, Scores, score
    from experiments.scoring.protocols import Fold, leave_one_subject_out

__all__ = ["ClassScore", "Fold", "Scores", "leave_one_subject_out", "score"]

_HOMES = dict.fromkeys(("ClassScore", "Scores", "score"), "metrics")
_HOMES |= dict.fromkeys(("Fold", "leave_one_subject_out"), "protocols")


def __getattr__(name: str) -> Any:
    """Loaded when they are asked for: `experiments.__main__` has to start before the libraries."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"experiments.scoring.{_HOMES[name]}"), name)
