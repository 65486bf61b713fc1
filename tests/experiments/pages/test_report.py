from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from markupsafe import Markup

from experiments.pages import figures, report_figures
from experiments.pages.report import write_report
from experiments.runs.folds import evaluate
from experiments.runs.run import Run, to_csv, write_json
from experiments.runs.systems import System
from fusion_net import ClipTensors
from preprocessing.errors import ToolkitError, UsageError

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


def written(run: Run, cache: Path) -> Page:
    page = Page(write_report(run, cache).read_text(encoding="utf-8"))
    assert not page.open
    page.text = re.sub(r"\s+", " ", page.text)
    return page


def test_the_page_holds_everything_that_was_asked_for(finished: Run, toy_cache: Path) -> None:
    finished.config_file.write_text('[fit]\nname = "<script>"\n')
    truth = [
        {"quantity": "landmark error", "value": 0.0213, "unit": "of the eye distance", "n": 24, "wanted": "< 0.03"}
    ]
    write_json(finished.accuracy_file, {"truth": truth})
    page = written(finished, toy_cache)
    for wanted in [
        *("AFN on toy", "Linear SVM on flow statistics", "Oracle: SVM on true action units"),
        *("Majority baseline", "Chance baseline", "100 draws"),
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
    metrics = finished.metrics()
    for row in metrics["rows"]:
        for score in ("accuracy", "uf1", "uar"):
            shown = f"{row[score]['value']:.3f} [{row[score]['low']:.3f}, {row[score]['high']:.3f}]"
            assert shown in page.text
    shown = len(page.all("article"))
    assert 8 <= shown <= 16
    assert len(page.all("img")) == 2 * shown
    assert len(page.all("svg")) == 5  # intervals, reliability, two learning curves, gate


def test_the_page_is_self_contained_and_small(finished: Run, toy_cache: Path) -> None:
    page = written(finished, toy_cache)
    for tag, attributes in page.tags:
        assert tag not in ("script", "iframe", "object")  # not even the page's own: nothing here needs one
        for name in ("src", "href", "xlink:href", "action", "srcset"):
            url = attributes.get(name)
            assert url is None or url.startswith(("data:", "#")), (tag, url)
    html = finished.report_file.read_text(encoding="utf-8")
    assert "@import" not in html
    assert all(url.startswith("#") for url in re.findall(r"url\(([^)]*)\)", html))
    assert len(html) < 4_000_000


def test_pictures_and_figures_are_described(finished: Run, toy_cache: Path) -> None:
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
        "gate weight of MIDI",
        "share that is right",
    ):
        assert words in page.text


def test_ink_follows_the_screen(finished: Run, toy_cache: Path) -> None:
    html = write_report(finished, toy_cache).read_text(encoding="utf-8")
    assert figures.INK not in html and "currentColor" in html
    assert "color-scheme: light dark" in html


def test_the_report_reads_and_writes_nothing_else(finished: Run, toy_cache: Path) -> None:
    def state(folder: Path) -> dict[Path, tuple[bytes, int]]:
        files = [p for p in folder.rglob("*") if p.is_file() and p.name != finished.report_file.name]
        return {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in files}

    before = state(finished.folder), state(toy_cache)
    first = write_report(finished, toy_cache).read_bytes()
    assert (state(finished.folder), state(toy_cache)) == before
    assert write_report(finished, toy_cache).read_bytes() == first


def test_names_from_data_are_escaped(finished: Run, toy_cache: Path) -> None:
    """A class called like a tag, in predictions, scores and settings alike."""
    for path in [finished.predictions_file, finished.metrics_file, finished.about_file]:
        text = path.read_text().replace("happy", "<img src=x onerror=1>")
        path.write_text(text)
        if path.suffix == ".json":
            write_json(path, {name: value for name, value in json.loads(text).items() if name != "digest"})
    page = written(finished, toy_cache)
    assert "<img src=x onerror=1>" in page.text
    assert not any(image.get("src") == "x" for image in page.all("img"))


@pytest.mark.parametrize(("spread", "verdict"), [(0.001, "hardly varies"), (0.2, "does choose by clip")])
def test_a_gate_that_does_not_vary_is_called_a_bias(
    finished: Run, toy_cache: Path, spread: float, verdict: str
) -> None:
    """Networks that differ among each other, each constant over its clips, are biases as well."""
    table = finished.predictions()
    gate = table["seed"] * 0.5 + 0.2 + spread * (table.groupby("fold").cumcount() % 2)
    table = table.assign(gate_motion_intensity=gate, gate_temporal_ranked=1 - gate)
    finished.predictions_file.write_text(to_csv(table))
    assert verdict in written(finished, toy_cache).text


def test_without_a_gate_there_is_no_gate_section(finished: Run, toy_cache: Path) -> None:
    table = finished.predictions()
    table = table[[c for c in table.columns if not c.startswith("gate_")]]
    finished.predictions_file.write_text(to_csv(table))
    assert "gate" not in [a.get("id") for a in written(finished, toy_cache).all("h2")]


def test_every_warning_stands_on_the_page(finished: Run, toy_cache: Path) -> None:
    metrics = finished.metrics()
    metrics |= {"warnings": ["RuntimeWarning: the loss rises"], "undefined": ["no clip is of class 'fear'"]}
    write_json(finished.metrics_file, metrics)
    text = written(finished, toy_cache).text
    assert "RuntimeWarning: the loss rises" in text and "no clip is of class 'fear'" in text


def test_a_result_at_a_baseline_is_called_so(finished: Run, toy_cache: Path) -> None:
    metrics = finished.metrics()
    above, not_above = "is above the majority and chance baselines", "not shown to be above the majority baseline and"
    for low, verdict in [(0.1, above), (-0.1, not_above)]:
        for row in metrics["differences"]:
            row["uf1"]["low"] = low
        write_json(finished.metrics_file, metrics)
        assert verdict in written(finished, toy_cache).text


def test_the_best_plain_system_stands_first_beside_the_run(finished: Run, toy_cache: Path) -> None:
    metrics = finished.metrics()
    score = {"svm": 0.4, "image_svm": 0.9, "mean_kernel": 0.5, "oracle": 0.99, "majority": 0.95, "chance": 0.1}
    for row in metrics["rows"][1:]:
        row["uf1"]["value"] = score[row["system"]]
    for (low, high), verdict in {
        (0.1, 0.3): "excludes zero",
        (-0.3, -0.1): "it is worse",
        (-0.1, 0.1): "better",
    }.items():
        for row in metrics["differences"]:
            row["uf1"] |= {"value": (low + high) / 2, "low": low, "high": high}
        write_json(finished.metrics_file, metrics)
        text = written(finished, toy_cache).text
        assert "The best of 3 plain systems is RBF SVM on signed roots of images, UF1 0.900" in text
        assert verdict in text
    titles = [metrics["titles"][name] for name in ("image_svm", "mean_kernel", "svm", "oracle", "majority", "chance")]
    table = text[text.index("Result table") if "Result table" in text else 0 :]
    places = [table.index(title, table.index("Clips")) for title in titles]
    assert places == sorted(places)


def test_undefined_values_are_not_applicable_and_never_zero(finished: Run, toy_cache: Path) -> None:
    metrics = finished.metrics()
    metrics["classes"][0] |= {"precision": None, "f1": None}
    metrics["rows"][0]["uf1"] |= {"value": None, "low": None, "high": None}
    write_json(finished.metrics_file, metrics)
    assert "n/a [n/a, n/a]" in written(finished, toy_cache).text


def test_clips_without_pictures_keep_their_place(finished: Run, tmp_path: Path, toy_cache: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "manifest.csv").write_bytes((toy_cache / "manifest.csv").read_bytes())
    page = written(finished, bare)
    assert page.text.count("no picture") == 2 * len(page.all("article")) > 0


def test_clips_left_out_by_the_label_scheme_are_counted(finished: Run, tmp_path: Path, toy_cache: Path) -> None:
    cache = tmp_path / "more"
    cache.mkdir()
    manifest = pd.read_csv(toy_cache / "manifest.csv")
    fear = manifest.head(2).assign(clip_id=["toy/s0/x", "toy/s0/y"], emotion="fear")
    pd.concat([manifest, fear]).to_csv(cache / "manifest.csv", index=False)
    assert "Usable but not evaluated: 2 × fear." in written(finished, cache).text


def test_a_system_without_probabilities_epochs_or_parameters_has_a_report(separated: Run, toy_cache: Path) -> None:
    """Sections about what it lacks are left out, not empty."""
    page = written(separated, toy_cache)
    for wanted in [
        *("Linear SVM on flow statistics on toy", "24 clips of 4 subjects, 1 seed, 4 folds", "Majority baseline"),
        *("flow statistics (6)", "Linear SVM on flow statistics (svm), on cpu", '"linear"', "[0.01]", "How to cite"),
    ]:
        assert wanted in page.text, wanted
    for absent in ("parameters", "Training settings", "Learning curve", "Calibration", "Worst mistakes", "p = 0."):
        assert absent not in page.text, absent
    links = [link["href"] for link in page.all("a")]
    assert links == ["#result", "#confusion", "#subjects", "#data", "#settings", "#cite"]
    assert len(page.all("svg")) == 1 and not page.all("img")


def test_a_system_that_looks_at_nothing_has_a_report(
    toy_data: ClipTensors, toy_cache: Path, baselines: tuple[System, ...], tmp_path: Path
) -> None:
    majority, chance = baselines[:2]
    evaluate(toy_data, Run(tmp_path / "dull"), majority, (chance,), cache=toy_cache)
    text = written(Run(tmp_path / "dull"), toy_cache).text
    assert "Majority baseline on toy" in text and "Inputsnone" in text
    assert "not shown to be above the chance baseline" in text


def test_which_data_it_was_is_told(finished: Run, toy_cache: Path) -> None:
    lines = ["toy: 25 clips of 5 subjects, table of <2020>", "label scheme 3: 24 clips of 4 subjects"]
    assert lines[0] not in written(finished, toy_cache).text
    write_json(finished.data_file, {"dataset": "toy", "summary": lines})
    text = written(finished, toy_cache).text
    assert all(line in text for line in lines)


def test_epochs_are_whole_numbers_on_the_axis(finished: Run, toy_cache: Path) -> None:
    """With two epochs an axis would be marked 1.0, 1.2, 1.4 …"""
    html = write_report(finished, toy_cache).read_text(encoding="utf-8")
    curves = html[html.index('aria-label="Learning curves of') :]
    curves = curves[: curves.index("</svg>")]
    assert ">1<" in curves and ">2<" in curves and ">1.2<" not in curves and ">1.0<" not in curves


def test_pictures_of_clips_that_were_made_again_are_left_out_and_it_says_so(finished: Run, toy_cache: Path) -> None:
    """The scores are of what was read; what other settings put in its place since would only look like it."""
    clips = list(finished.predictions()["clip_id"].unique())
    before = written(finished, toy_cache)
    finished.begin(finished.about(), {"temporal_ranked.npy": dict.fromkeys(clips[:-1], "what it was")})
    after = written(finished, toy_cache)
    assert "made again" not in before.text
    assert f"{len(clips) - 1} clips were made again under other settings since this run read them" in after.text
    missing = [page.text.count("no picture") for page in (before, after)]
    assert missing[0] == 0 < missing[1]


def test_a_class_is_no_formula_for_the_figures() -> None:
    r"""TeX knows no ``\\undefined``: the report would end after hours of training. ``$a$`` would lose its dollars."""
    classes = [r"$\undefined$", "$a$", "100 % _{"]
    weights = pd.Series([0.1, 0.5, 0.9])
    drawn = report_figures.gate_histogram(weights, r"$\frac$", pd.Series(classes), classes)
    assert all(str(Markup.escape(name)) in drawn for name in (*classes, r"$\frac$"))


def test_an_unfinished_run_is_named(tmp_path: Path, toy_cache: Path, finished: Run) -> None:
    with pytest.raises(ToolkitError, match=r"run\.json does not exist: has `mer train` finished"):
        write_report(Run(tmp_path), toy_cache)
    with pytest.raises(UsageError, match="nothing does not exist: give the folder of a run"):
        write_report(Run(tmp_path / "nothing"), toy_cache)
    with pytest.raises(ToolkitError, match=r"manifest\.csv does not exist"):
        write_report(finished, tmp_path / "no cache")


def test_a_run_of_an_earlier_version_keeps_its_report(finished: Run, toy_cache: Path) -> None:
    metrics = finished.metrics()
    del metrics["calibration"]
    write_json(finished.metrics_file, metrics)
    assert "Calibration" not in written(finished, toy_cache).text
