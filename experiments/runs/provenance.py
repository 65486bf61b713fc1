"""Record which copy of a data set (table, version, settings) a cache and a run were made from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.progress import Progress
from experiments.runs.run import Run, read_json, write_json
from preprocessing.artefacts.files import digest
from preprocessing.artefacts.manifest import MANIFEST
from preprocessing.artefacts.plain import plain
from preprocessing.datasets import ClipDataset, Dataset, DataSettings, LabelRule, Survey, find_dataset, survey
from preprocessing.datasets.label_sets import JOIN, names_in
from preprocessing.datasets.long import LONG, LongLayout, page, survey_long
from preprocessing.datasets.reading import check as survey_page
from preprocessing.datasets.reading.copies import Finding
from preprocessing.errors import DatasetError, ToolkitError, UsageError

DESCRIPTION = "dataset.json"
"""In a cache folder."""


def describe(cache: Path, clips: Sequence[Any], settings: DataSettings, found: Survey | None) -> None:
    """Keep in words which copy of the data set the artefacts in ``cache`` come from."""
    counts = Counter(clip.emotion for clip in clips if getattr(clip, "emotion", None))
    people = len({clip.subject for clip in clips})
    words = "".join(f", {word} {n}" for word, n in counts.most_common())
    summary = f"{cache.name}: {len(clips)} clips of {people} subjects{words}" if found is None else found.summary
    findings = [] if found is None else [plain(finding) for finding in found.findings]
    manifest = digest(cache / MANIFEST) if (cache / MANIFEST).is_file() else ""
    content = {"summary": summary, "settings": plain(settings), "findings": findings, "manifest": manifest}
    write_json(cache / DESCRIPTION, content)


def description(cache: Path) -> str:
    """Which copy of the data set the artefacts come from; empty for a composite."""
    return str(_described(cache).get("summary", ""))


def keep(run: Run, dataset: Dataset, summary: Sequence[str]) -> None:
    """Keep with a run which data it was made of."""
    content = {"dataset": dataset.name, "summary": list(summary)}
    write_json(run.data_file, content)


def dataset_of(run: Run) -> str:
    """Name of the data set of a run.

    Raises:
        ToolkitError: the run does not say.
    """
    return str(read_json(run.data_file)["dataset"])


def data_summary(run: Run) -> list[str]:
    """The lines on data source, label scheme and clips per class that were kept with a run."""
    return list(read_json(run.data_file)["summary"]) if run.data_file.exists() else []


def check_manifest(cache: Path) -> None:
    """Refuse a manifest that was changed since it was written, where nothing makes it again from records and table.

    Raises:
        ToolkitError: saying how it is written anew, and how labels are changed.
    """
    written = _described(cache).get("manifest", "")
    if written and (cache / MANIFEST).is_file() and digest(cache / MANIFEST) != written:
        raise ToolkitError(
            f"{cache / MANIFEST} was changed since it was written: run `mer dataset {cache.name}` again, with its "
            "--root, which writes it anew (labels are changed by --corrections or by a label scheme of your own)"
        )


def check_settings(cache: Path, settings: DataSettings) -> None:
    """Refuse settings that the artefacts were not made with: without a root they would have no effect.

    Raises:
        UsageError: naming the setting, what it was and what is wanted.
    """
    kept = _described(cache)
    made = kept.get("settings", {})
    for name in settings.given if kept else ():
        if made.get(name) != getattr(settings, name):
            raise UsageError(
                f"{cache} was made with {name} = {made.get(name)!r}, not {getattr(settings, name)!r}: add --root to "
                "make it again"
            )


def classes_in_use(rule: LabelRule, manifest: pd.DataFrame) -> str:
    """The label scheme and how many clips of a manifest each class has, in one line."""
    classes, rows = rule.apply(manifest)
    counts = (rows["label"].map(names_in).explode() if rule.sets else rows["label"]).value_counts()
    each = ", ".join(f"{label} {counts.get(label, 0)}" for label in classes)
    rejected = int((manifest["status"] != "ok").sum())
    people = rows["subject"].nunique()
    unused = manifest[(manifest["status"] == "ok") & ~manifest["clip_id"].isin(rows["clip_id"])]
    joint = 0 if rule.sets else int(unused["emotion"].str.contains(JOIN, regex=False).fillna(False).sum())
    hint = f" ({joint} with a joint label: evaluation.scheme=joint keeps them)" if joint else ""
    return (
        f"label scheme {rule.name}: {len(rows)} clips of {people} subjects, {each}; "
        f"{len(manifest) - len(rows) - rejected} of other classes{hint}, {rejected} rejected"
    )


def check(
    name: str, root: Path, settings: DataSettings, everything: bool, decoding: Progress | None = None
) -> tuple[str, int]:
    """The text of `mer check` about a root, and its exit code.

    Args:
        name: of the data set.
        root: the copy.
        settings: how it is read.
        everything: list every item of a finding.
        decoding: shows the progress of decoding every frame; None decodes none.

    Raises:
        UsageError: there is no such data set, or nothing is known that its copies could be compared with.
    """
    if name in LONG:
        return _check_long(LONG[name], root, settings, everything, decoding)
    dataset = find_dataset(name)
    layout = dataset.layout_of(settings) if isinstance(dataset, ClipDataset) else None
    if layout is None:
        raise UsageError(f"there is nothing to check {name} against: wanted a data set with a published layout")
    try:
        found = survey(layout, root, settings)
    except DatasetError as error:
        return survey_page.refusal(layout.title, str(error))
    broken = [] if decoding is None else _undecodable(found, decoding)
    findings = [Finding("clips with frames that do not decode", tuple(broken))] if broken else []
    return survey_page.page(found, findings, 0 if everything else 3)


def _check_long(
    layout: LongLayout, root: Path, settings: DataSettings, everything: bool, decoding: Progress | None
) -> tuple[str, int]:
    if decoding is not None:
        raise UsageError(f"--decode has no effect on {layout.name}, whose recordings are long: leave it out")
    try:
        found = survey_long(layout, root, settings)
    except DatasetError as error:
        return survey_page.refusal(layout.title, str(error))
    return page(found, 0 if everything else 3)


def _undecodable(found: Survey, progress: Progress) -> list[str]:
    broken = []
    with progress("decoding") as step:
        for done, (clip, reason) in enumerate(survey_page.decode(found.clips), start=1):
            step(done, found.usable, clip.clip_id)
            broken += [f"{clip.clip_id}: {reason}"] if reason else []
    return broken


def _described(cache: Path) -> dict[str, Any]:
    path = cache / DESCRIPTION
    again = f"run `mer dataset {cache.name}` again, with its --root, which writes it anew"
    return read_json(path, again) if path.exists() else {}
