"""Data sets of long recordings, each with a list of annotated expressions: what spotting is trained and judged on."""

from __future__ import annotations

from collections.abc import Mapping

from preprocessing.datasets.long import casme_squared_long, samm_lv
from preprocessing.datasets.long.layout import LongLayout
from preprocessing.datasets.long.page import page
from preprocessing.datasets.long.recording import Expression, Recording
from preprocessing.datasets.long.survey import LongSurvey, survey_long

LONG: Mapping[str, LongLayout] = {one.name: one for one in (samm_lv.LAYOUT, casme_squared_long.LAYOUT)}
"""Name → data set; so far `mer check` reads them."""

__all__ = ["LONG", "Expression", "LongLayout", "LongSurvey", "Recording", "page", "survey_long"]
