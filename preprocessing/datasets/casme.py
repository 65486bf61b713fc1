"""CASME: 189 clips of 19 people at 60 frames per second (Yan et al., FG 2013, doi 10.1109/FG.2013.6553799).

No real table was seen by those who wrote this: treat what it reads with care and tell us. Ids are
``casme/sub01/EP01_12``. Folders are ``Section A/sub01/EP01_12`` with ``EP01_12-73.jpg`` or ``img73.jpg``; frame
numbers are those of the files.
"""

from __future__ import annotations

from preprocessing.datasets.casme2 import COLUMNS, folder_key, row_of
from preprocessing.datasets.labels import SCHEMES
from preprocessing.datasets.reading.layout import Layout, Published, rows_by_header

LAYOUT = Layout(
    name="casme",
    title="CASME",
    fps=60,
    tables=r"casme[-_ ]?cod.*\.(xlsx?|csv)",
    usual_table="CASME-coded-20190721.xls",
    example="sub01/EP01_12",
    rows=rows_by_header(COLUMNS, row_of),
    folder_key=folder_key,
    published=(
        Published(
            "the 189 clips that are used",
            19,
            {
                "tense": 69,
                "disgust": 44,
                "repression": 38,
                "surprise": 20,
                "happiness": 9,
                "sadness": 6,
                "fear": 2,
                "contempt": 1,
            },
        ),
    ),
    licence="Institute of Psychology, Chinese Academy of Sciences (casme.psych.ac.cn)",
    schemes=SCHEMES["casme"],
    offers=("variant", "apex", "table", "corrections"),
    certain=False,
)
