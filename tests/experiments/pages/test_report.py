from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from experiments.pages import figures, report
from experiments.pages.report import write_report
from experiments.runs.run import read_json, read_predictions, to_csv, write_json
from preprocessing.errors import ToolkitError

VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """Tags with their attributes, visible text, and whether every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def written(run: Path, cache: Path) -> Page:
    page = Page(write_report(run, cache).read_text(encoding="utf-8"))
    assert not page.open
    page.text = re.sub(r"\s+", " ", page.text)
    return page


def test_the_page_holds_everything_that_was_asked_for(finished: Path, toy_cache: Path) -> None:
    (finished / "config.toml").write_text('[fit]\nname = "<script>"\n')
    truth = [
        {"quantity": "landmark error", "value": 0.0213, "unit": "of the eye distance", "n": 24, "wanted": "< 0.03"}
    ]
    (finished / "truth.json").write_text(json.dumps({"truth": truth}))
    page = written(finished, toy_cache)
    for wanted in [
        *(name for key, name in report.SYSTEMS.items() if key not in ("fdp", "linear_svm_images")),
        *("calm", "happy", "other", "toy/s0", "toy/s3"),
        *("Accuracy", "UF1", "UAR", "95 % interval", "24 clips of 4 subjects, 2 seeds, 4 folds"),
        *("Expected calibration error", "from 48 predictions of 24 clips", "How to cite", "arXiv:2510.09730"),
        *("Worst mistakes", "Rows: true class", "Precision", "McNemar", "gate", "within one network"),
        *("landmark error", "0.0213", "of the eye distance", "< 0.03"),
        *("25 clips in the manifest, 1 rejected, 24 evaluated", "no_face", "no face in <b>5</b> of 5 frames"),
        *("epochs", "gate_hidden", "torch", "parameters", '[fit] name = "<script>"'),
        *("TRDI", "MIDI", "p = 0.", "5 frames, 200 fps, apex at 2 (annotated)"),
    ]:
        assert wanted in page.text, wanted
    metrics = read_json(finished / "metrics.json")
    for row in metrics["rows"]:
        for score in ("accuracy", "uf1", "uar"):
            shown = f"{row[score]['value']:.3f} [{row[score]['low']:.3f}, {row[score]['high']:.3f}]"
            assert shown in page.text
    shown = len(page.all("article"))
    assert 8 <= shown <= 16
    assert len(page.all("img")) == 2 * shown
    assert len(page.all("svg")) == 5  # intervals, reliability, two learning curves, gate


def test_the_page_is_self_contained_and_small(finished: Path, toy_cache: Path) -> None:
    page = written(finished, toy_cache)
    for tag, attributes in page.tags:
        assert tag not in ("script", "iframe", "object")  # not even the page's own: nothing here needs one
        for name in ("src", "href", "xlink:href", "action", "srcset"):
            url = attributes.get(name)
            assert url is None or url.startswith(("data:", "#")), (tag, url)
    html = (finished / "report.html").read_text(encoding="utf-8")
    assert "@import" not in html
    assert all(url.startswith("#") for url in re.findall(r"url\(([^)]*)\)", html))
    assert len(html) < 4_000_000


def test_pictures_and_figures_are_described(finished: Path, toy_cache: Path) -> None:
    page = written(finished, toy_cache)
    assert all(image.get("alt") for image in page.all("img"))
    assert all(figure.get("role") == "img" and figure.get("aria-label") for figure in page.all("svg"))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {link["href"] for link in page.all("a")}
    assert targets <= {f"#{name}" for name in ids}
    for words in (
        "epoch",
        "training loss (nats)",
        "UF1 (0 to 1)",
        "gate weight of motion intensity",
        "share that is right",
    ):
        assert words in page.text


def test_ink_follows_the_screen(finished: Path, toy_cache: Path) -> None:
    html = write_report(finished, toy_cache).read_text(encoding="utf-8")
    assert figures.INK not in html and "currentColor" in html
    assert "color-scheme: light dark" in html


def test_the_report_reads_and_writes_nothing_else(finished: Path, toy_cache: Path) -> None:
    def state(folder: Path) -> dict[Path, tuple[bytes, int]]:
        files = [p for p in folder.rglob("*") if p.is_file() and p.name != report.REPORT]
        return {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in files}

    before = state(finished), state(toy_cache)
    first = write_report(finished, toy_cache).read_bytes()
    assert (state(finished), state(toy_cache)) == before
    assert write_report(finished, toy_cache).read_bytes() == first


def test_names_from_data_are_escaped(finished: Path, toy_cache: Path) -> None:
    """A class called like a tag, in predictions, scores and settings alike."""
    for path in [finished / "predictions.csv", finished / "metrics.json", finished / "run.json"]:
        path.write_text(path.read_text().replace("happy", "<img src=x onerror=1>"))
    page = written(finished, toy_cache)
    assert "<img src=x onerror=1>" in page.text
    assert not any(image.get("src") == "x" for image in page.all("img"))


@pytest.mark.parametrize(("spread", "verdict"), [(0.001, "hardly varies"), (0.2, "does choose by clip")])
def test_a_gate_that_does_not_vary_is_called_a_bias(
    finished: Path, toy_cache: Path, spread: float, verdict: str
) -> None:
    """Networks that differ among each other, each constant over its clips, are biases as well."""
    table = read_predictions(finished / "predictions.csv")
    gate = table["seed"] * 0.5 + 0.2 + spread * (table.groupby("fold").cumcount() % 2)
    table = table.assign(gate_motion_intensity=gate, gate_temporal_ranked=1 - gate)
    (finished / "predictions.csv").write_text(to_csv(table))
    assert verdict in written(finished, toy_cache).text


def test_without_a_gate_there_is_no_gate_section(finished: Path, toy_cache: Path) -> None:
    table = read_predictions(finished / "predictions.csv")
    table = table[[c for c in table.columns if not c.startswith("gate_")]]
    (finished / "predictions.csv").write_text(to_csv(table))
    assert "gate" not in [a.get("id") for a in written(finished, toy_cache).all("h2")]


def test_every_warning_stands_on_the_page(finished: Path, toy_cache: Path) -> None:
    metrics = read_json(finished / "metrics.json")
    metrics |= {"warnings": ["RuntimeWarning: the loss rises"], "undefined": ["no clip is of class 'fear'"]}
    write_json(finished / "metrics.json", metrics)
    text = written(finished, toy_cache).text
    assert "RuntimeWarning: the loss rises" in text and "no clip is of class 'fear'" in text


def test_a_result_at_the_floor_is_called_so(finished: Path, toy_cache: Path) -> None:
    metrics = read_json(finished / "metrics.json")
    for low, verdict in [(0.1, "above both floors"), (-0.1, "not shown to be above the majority floor and chance")]:
        for row in metrics["differences"]:
            row["uf1"]["low"] = low
        write_json(finished / "metrics.json", metrics)
        assert verdict in written(finished, toy_cache).text


def test_undefined_values_are_not_applicable_and_never_zero(finished: Path, toy_cache: Path) -> None:
    metrics = read_json(finished / "metrics.json")
    metrics["classes"][0] |= {"precision": None, "f1": None}
    metrics["rows"][0]["uf1"] |= {"value": None, "low": None, "high": None}
    write_json(finished / "metrics.json", metrics)
    assert "n/a [n/a, n/a]" in written(finished, toy_cache).text


def test_clips_without_pictures_keep_their_place(finished: Path, tmp_path: Path, toy_cache: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "manifest.csv").write_bytes((toy_cache / "manifest.csv").read_bytes())
    page = written(finished, bare)
    assert page.text.count("no picture") == 2 * len(page.all("article")) > 0


def test_clips_left_out_by_the_label_scheme_are_counted(finished: Path, tmp_path: Path, toy_cache: Path) -> None:
    cache = tmp_path / "more"
    cache.mkdir()
    manifest = pd.read_csv(toy_cache / "manifest.csv")
    fear = manifest.head(2).assign(clip_id=["toy/s0/x", "toy/s0/y"], emotion="fear")
    pd.concat([manifest, fear]).to_csv(cache / "manifest.csv", index=False)
    assert "Usable but not evaluated: 2 × fear." in written(finished, cache).text


def test_an_unfinished_run_is_named(tmp_path: Path, toy_cache: Path, finished: Path) -> None:
    with pytest.raises(ToolkitError, match=r"run\.json does not exist: has `mer train` finished"):
        write_report(tmp_path / "nothing", toy_cache)
    with pytest.raises(ToolkitError, match=r"manifest\.csv does not exist"):
        write_report(finished, tmp_path / "no cache")


def test_a_run_of_an_earlier_version_keeps_its_report(finished: Path, toy_cache: Path) -> None:
    metrics = read_json(finished / "metrics.json")
    del metrics["calibration"]
    write_json(finished / "metrics.json", metrics)
    assert "Calibration" not in written(finished, toy_cache).text
