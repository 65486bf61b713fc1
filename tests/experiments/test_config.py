from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.config import Config, all_sections, fitted_to, load_config, offline_sections
from preprocessing.artefacts.files import key_of
from preprocessing.errors import UsageError

SECTIONS = all_sections()


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def keys(config: Config) -> dict[str, str]:
    """Cache keys of all sections: settings that are equal have equal ones."""
    return {name: key_of(section) for name, section in config.sections.items()}


def test_without_a_source_everything_is_as_its_dataclass_says() -> None:
    config = load_config(SECTIONS)
    assert {name: config[name] for name in SECTIONS} == {name: kind() for name, kind in SECTIONS.items()}


def test_later_sources_win_key_by_key(tmp_path: Path) -> None:
    """Defaults, then the file, then --set; what a source does not name stays."""
    file = write(tmp_path / "a.toml", "[fit]\nepochs = 7\nbatch_size = 3\n[fit.augment]\nshift = 0.1\nmirror = 0.25\n")
    config = load_config(SECTIONS, file, ["fit.epochs=9", "fit.augment.mirror=0", "fit.epochs=11"])
    fit, default = config["fit"], SECTIONS["fit"]()
    assert (fit.epochs, fit.batch_size, fit.lr) == (11, 3, default.lr)
    assert (fit.augment.shift, fit.augment.mirror, fit.augment.scale) == (0.1, 0, default.augment.scale)


def test_quick_comes_with_the_toolkit() -> None:
    quick, default = load_config(SECTIONS, "quick"), load_config(SECTIONS)
    assert quick["fit"].epochs < default["fit"].epochs
    assert quick["corpus"].subjects < default["corpus"].subjects


def test_the_resolved_settings_written_down_are_the_same_settings(tmp_path: Path) -> None:
    changes = ["afn.widths=[8, 4]", "svm.features=stream_grid", "evaluation.scheme=3", "faces.landmark_model=a b.dat"]
    changes = [c for c in changes if not c.startswith("images")]
    first = load_config(SECTIONS, "quick", changes)
    again = load_config(SECTIONS, write(tmp_path / "config.toml", first.to_toml()))
    assert again == first
    assert keys(again) == keys(first)
    assert again.to_toml() == first.to_toml()


@given(st.data())
def test_any_number_of_any_section_survives_the_round_trip(data: st.DataObject) -> None:
    numbers = [
        (name, field.name, getattr(kind(), field.name))
        for name, kind in SECTIONS.items()
        for field in dataclasses.fields(kind)
        if type(getattr(kind(), field.name)) is float
    ]
    name, key, value = data.draw(st.sampled_from(numbers))
    number = data.draw(st.floats(0.5, 1.0)) * value
    config = load_config(SECTIONS, None, [f"{name}.{key}={number!r}"])
    assert getattr(config[name], key) == number
    assert tomllib.loads(config.to_toml())[name][key] == number


def test_a_whole_number_serves_as_a_number_and_gives_the_same_key() -> None:
    """Else ``flow.window=3`` would compute all flow again that ``flow.window=3.0`` has made."""
    whole, point = (load_config(SECTIONS, None, [f"flow.window={text}"]) for text in ("3", "3.0"))
    assert type(whole["flow"].window) is float
    assert keys(whole) == keys(point) == keys(load_config(SECTIONS))
    assert keys(whole)["flow"] != keys(load_config(SECTIONS, None, ["flow.window=4"]))["flow"]


@pytest.mark.parametrize("name", SECTIONS)
def test_every_section_refuses_a_key_that_it_does_not_have(name: str) -> None:
    fields = dataclasses.fields(SECTIONS[name])
    if not fields:
        with pytest.raises(UsageError, match=f"{name} has no 'x'; there are none"):
            load_config(SECTIONS, None, [f"{name}.x=1"])
        return
    known = fields[0].name
    with pytest.raises(UsageError, match=rf"{name} has no '{known}x'; did you mean {known}"):
        load_config(SECTIONS, None, [f"{name}.{known}x=1"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("flwo.method=dis", "no section 'flwo'; did you mean flow"),
        ("zzzzz.a=1", "no section 'zzzzz'; there are corpus, data"),
        ("fit.augment.mirorr=1", r"fit\.augment has no 'mirorr'; did you mean mirror"),
        ("fit.epochs=many", r"fit\.epochs = 'many', wanted a whole number"),
        ("fit.epochs=2.5", r"fit\.epochs = 2\.5, wanted a whole number"),
        ("fit.epochs=true", "wanted a whole number"),
        ("fit.lr=fast", "wanted a number"),
        ("corpus.null=1", "wanted true or false"),
        ("afn.widths=8", "wanted a list"),
        ("afn.widths=[8, wide]", "wanted a list"),
        ("fit.device=gpu", r"fit\.device = 'gpu', wanted one of .*cuda"),
        ("fit.epochs=0", "must be at least 1"),
        ("flow.window=-1", "cannot be negative"),
        ("evaluation.seeds=0", "seeds is 0, wanted 1 or more"),
        ("evaluation.input_size=7", "input_size is 7 px, wanted 16 to 512"),
        ("fit=3", r"wanted section\.key=value"),
        ("fit.epochs", r"wanted section\.key=value"),
        ("fit.epochs.x=3", "is a value, not a section|is a section|wanted a whole number"),
        ("fit.augment=3", r"fit\.augment is a section, got 3"),
        ("fit.epochs=" + "[" * 5000, r"--set fit\.epochs is nested deeper than 100 levels"),
        ("fit.lr=" + "9" * 400, r"--set fit\.lr holds a whole number of more than 300 digits"),
        ("fit.lr=" + "9" * 5000, r"--set fit\.lr holds a whole number of more than 300 digits"),
        ("fit" + ".augment" * 2000 + "=1", "nested deeper than 100 levels"),
    ],
)
def test_what_would_have_no_effect_is_refused(change: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        load_config(SECTIONS, None, [change])


def test_words_need_no_quotes_and_a_name_may_be_a_number() -> None:
    config = load_config(SECTIONS, None, ["flow.method = tvl1", 'images.order="descending"', "evaluation.scheme=3"])
    assert (config["flow"].method, config["images"].order) == ("tvl1", "descending")
    assert config["evaluation"].scheme == "3"


def test_none_is_a_value_where_there_may_be_none() -> None:
    assert load_config(SECTIONS, None, ["evaluation.scheme=none"])["evaluation"].scheme is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[flow\n", "is not TOML"),
        (b"\xff\xfe\x00", "no UTF-8 text"),
        (b"flow = 3\n", "flow is a section, got 3"),
        (b"[flow]\nmethdo = 'dis'\n", "did you mean method"),
        (b"[flew]\n", "did you mean flow"),
        (b"[fit]\nlr = " + b"[" * 5000, "nested deeper than 100 levels"),
        (b"[fit" + b".augment" * 2000 + b"]\n", "nested deeper than 100 levels"),
        (b"[fit]\nlr = " + b"9" * 400, "a whole number of more than 300 digits"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=said):
        load_config(SECTIONS, str(path))


def test_a_file_that_is_not_there_names_those_that_come_with_the_toolkit(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'qick' cannot be read .*shipped ones are quick"):
        load_config(SECTIONS, "qick")
    with pytest.raises(UsageError, match="cannot be read"):
        load_config(SECTIONS, str(tmp_path))


def test_offline_commands_take_the_settings_of_a_whole_run(tmp_path: Path) -> None:
    """A section that only training knows is no unknown section, and a wrong one still is."""
    whole = load_config(SECTIONS, None, ["flow.window=2"])
    offline = load_config(offline_sections(), write(tmp_path / "run.toml", whole.to_toml()))
    assert offline["flow"].window == 2
    assert set(offline.sections) == set(offline_sections())
    with pytest.raises(UsageError, match="no section 'fiit'"):
        load_config(offline_sections(), None, ["fiit.epochs=3"])


def test_settings_that_are_none_are_left_out_of_the_file() -> None:
    written: dict[str, Any] = tomllib.loads(load_config(SECTIONS).to_toml())
    assert "landmark_model" not in written["faces"]
    assert set(written) == set(SECTIONS)


class TestForStreams:
    """Rules that look at nothing but the size of the images."""

    def test_images_are_not_enlarged_and_the_network_has_the_stages_that_they_carry(self) -> None:
        small = fitted_to(load_config(all_sections()), 28, mirror=False)
        assert small["evaluation"].input_size == 28
        assert small["afn"].widths == (16, 32, 64)  # 28, 14, 7, 4 px; two more cells would be none for a grid of 3
        large = fitted_to(load_config(all_sections()), 224, mirror=False)
        assert (large["evaluation"].input_size, large["afn"].widths) == (96, (16, 32, 64, 128))
        assert fitted_to(load_config(all_sections()), 5, mirror=False)["evaluation"].input_size == 16

    def test_nothing_is_mirrored_unless_it_may_be(self) -> None:
        """The sign of horizontal flow would have to change with it."""
        assert fitted_to(load_config(all_sections()), 28, mirror=False)["fit"].augment.mirror == 0
        assert fitted_to(load_config(all_sections()), 28, mirror=True)["fit"].augment.mirror == 0.5

    def test_images_of_no_fixed_size_change_nothing(self) -> None:
        config = load_config(all_sections())
        assert fitted_to(config, None, mirror=True) == config

    def test_what_ran_can_be_given_back(self, tmp_path: Path) -> None:
        resolved = fitted_to(load_config(all_sections()), 28, mirror=False)
        (tmp_path / "config.toml").write_text(resolved.to_toml())
        assert fitted_to(load_config(all_sections(), str(tmp_path / "config.toml")), 28, mirror=False) == resolved


def test_a_model_brings_its_own_defaults_and_what_the_user_says_wins(tmp_path: Path) -> None:
    """What it does not name stays as the dataclasses say; the shared defaults are not changed by it."""
    own = {"evaluation": {"input_size": 64}, "fit": {"epochs": 7, "augment": {"shift": 0.1}}}
    file = write(tmp_path / "a.toml", "[fit]\nlr = 0.5\n[fit.augment]\nscale = 0.2\n")
    config = load_config(SECTIONS, file, ["fit.epochs=9"], own)
    fit, default = config["fit"], SECTIONS["fit"]()
    assert (config["evaluation"].input_size, config["evaluation"].seeds) == (64, SECTIONS["evaluation"]().seeds)
    assert (fit.epochs, fit.lr, fit.batch_size) == (9, 0.5, default.batch_size)
    assert (fit.augment.shift, fit.augment.scale, fit.augment.mirror) == (0.1, 0.2, default.augment.mirror)
    again = load_config(SECTIONS, write(tmp_path / "config.toml", config.to_toml()), [], {"fit": {"epochs": 99}})
    assert keys(again) == keys(config)
    assert load_config(SECTIONS)["fit"] == default


def test_the_defaults_of_every_model_are_settings() -> None:
    from fusion_net.models import MODELS

    for model in MODELS.values():
        load_config(SECTIONS, None, [], model.DEFAULTS)
    assert MODELS["afn"].DEFAULTS == {}, "its results are those of the shared defaults"
