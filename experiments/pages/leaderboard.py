"""The page of a leaderboard: one table per board, the critical-difference picture, what papers print."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray

from dynamic_images.inspection.pages import page_environment
from experiments.leaderboard import Row, claims, title_of
from experiments.pages.figures import ACCENT, QUIET, figure
from experiments.scoring.metrics import MEASURES, f1, tallies_by_seed
from experiments.scoring.ranks import Ranks, cliques, rank
from experiments.scoring.statistics import Interval
from preprocessing.artefacts.files import write_text

PAGE, MARKDOWN = "leaderboard.html", "leaderboard.md"


def write_page(title: str, rows: Sequence[Row], folder: Path) -> Path:
    """The page in ``folder``, and its tables as Markdown beside it; the page's path."""
    boards = [_board(name, [row for row in rows if row.board == name]) for name in _in_order(rows)]
    models = {row.model: title_of(row.model) for row in rows if row.model}
    printed = claims()
    printed = printed[printed["model"].isin(models)]
    page = page_environment(Path(__file__).parent / "templates").get_template("leaderboard.html")
    claimed = [{str(key): value for key, value in one.items()} for one in printed.to_dict("records")]
    claimed = [{**one, "name": models[one["model"]]} for one in claimed]
    write_text(folder / PAGE, page.render(title=title, boards=boards, claims=claimed, measures=MEASURES))
    write_text(folder / MARKDOWN, markdown(boards, claimed))
    return folder / PAGE


def markdown(boards: Sequence[dict[str, Any]], claimed: Sequence[dict[str, Any]]) -> str:
    """The tables, for a page of documentation."""
    lines: list[str] = []
    for board in boards:
        lines += [
            f"## {board['name']}",
            "",
            f"{board['clips']} clips of {board['subjects']} subjects. {board['said']}",
            "",
        ]
        lines += ["| system | accuracy | UF1 | UAR | UF1 minus best plain | permuted UF1 | rank | seeds | parameters |"]
        lines += ["|---|---|---|---|---|---|---:|---:|---:|"]
        for row in board["rows"]:
            one: Row = row["row"]
            scores = " | ".join(_text(one.scores[name]) for name in MEASURES) if one.scores else " | | "
            size = f"{one.cost.parameters:,}" if one.cost else "n/a"
            cells = [
                one.name,
                scores,
                _text(one.difference, "+"),
                _text(one.permuted),
                row["rank"],
                str(one.seeds),
                size,
            ]
            lines.append(f"| {' | '.join(cells)} |")
        lines += ["", *(f"- {one.name}: {one.reason}" for one in board["left_out"]), ""]
    lines += [
        "## What papers print",
        "",
        "| system | data | measure | printed | source | rule |",
        "|---|---|---|---:|---|---|",
    ]
    lines += [
        f"| {c['name']} | {c['data']} | {c['measure']} | {c['value']} | {c['source']} | {c['rule']} |" for c in claimed
    ]
    return "\n".join(lines).replace("-0.", "−0.") + "\n"


def _in_order(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row.board for row in rows))


def _board(name: str, rows: Sequence[Row]) -> dict[str, Any]:
    judged = [row for row in rows if row.scores is not None]
    ranks = _ranks(judged)
    by_name = {} if ranks is None else dict(zip([row.name for row in judged], ranks.mean, strict=True))
    return {
        "name": name,
        "clips": max((row.clips for row in judged), default=0),
        "subjects": max((row.subjects for row in judged), default=0),
        "rows": [{"row": row, "rank": f"{by_name[row.name]:.1f}" if row.name in by_name else "n/a"} for row in judged],
        "left_out": [row for row in rows if row.scores is None],
        "classes": _classes(judged),
        "said": _said(ranks),
        "figures": [] if ranks is None else [_critical([row.name for row in judged], ranks)],
    }


def _ranks(rows: Sequence[Row]) -> Ranks | None:
    """Ranks over held-out subjects by accuracy, mean over seeds: most subjects lack some class, so F1 would not do."""
    columns = [_by_subject(row.predictions) for row in rows if row.predictions is not None]
    if len(columns) < 2 or len(columns[0]) < 2:
        return None
    found: NDArray[np.float64] = pd.concat(columns, axis=1).to_numpy(float)
    return rank(found)


def _by_subject(predictions: pd.DataFrame) -> pd.Series:
    right = (predictions["y_true"] == predictions["y_pred"]).astype(float)
    return right.groupby(predictions["subject"]).mean()


def _classes(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """F1 of each class and system, mean over seeds."""
    first = next((row.predictions for row in rows if row.predictions is not None), None)
    if first is None:
        return []
    classes = sorted(set(first["y_true"]))
    found = []
    for row in rows:
        if row.predictions is not None:
            scores = f1(tallies_by_seed(row.predictions, classes)[1]).mean(0)
            found.append({"name": row.name, "f1": dict(zip(classes, map(float, scores), strict=True))})
    return found


def _said(ranks: Ranks | None) -> str:
    if ranks is None:
        return "Too few systems or subjects for ranks."
    test = "" if np.isnan(ranks.p_value) else f" (Friedman’s test: p {_p(ranks.p_value)})"
    return (
        f"Ranks by accuracy over {ranks.blocks} held-out subjects{test}; mean ranks less than {ranks.critical:.2f} "
        "apart are not shown to differ."
    )


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def _critical(names: Sequence[str], ranks: Ranks) -> Markup:
    """Mean ranks from best to worst, with bars over those that are not shown to differ."""
    order = np.argsort(ranks.mean, kind="stable")
    title = "Mean rank of each system over held-out subjects; bars join systems that are not shown to differ"
    with figure(title, width=6.2, height=0.8 + 0.28 * len(names)) as (ax, out):
        ordered = ranks.mean[order]
        for first, last in cliques([float(x) for x in ordered], ranks.critical):
            ax.plot([ordered[first] - 0.03, ordered[last] + 0.03], [first - 0.3, first - 0.3], color=QUIET, linewidth=3)
        ax.plot(ordered, range(len(names)), "o", color=ACCENT, markersize=6)
        ax.set(yticks=range(len(names)), yticklabels=[names[i] for i in order], ylim=(len(names) - 0.5, -0.8))
        ax.set(xlim=(0.8, len(names) + 0.2), xlabel="mean rank over held-out subjects (1 is best)")
    return out[0]


def _text(score: Interval | None, sign: str = "") -> str:
    return "" if score is None else f"{score.value:{sign}.3f} [{score.low:{sign}.3f}, {score.high:{sign}.3f}]"
