"""Systems by name: who may be called what, and what is told about a name that is wrong."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from dynamic_images.clip_input import NoSettings
from experiments.config import all_sections, offline_sections
from experiments.runs.classical import ClassicalSystem
from experiments.runs.system_registry import BASELINES, CLASSICAL, SET_BASELINES, find_system, make_system, system_names
from experiments.runs.systems import Network
from fusion_net import AFN, FDP, MODELS, AFNSettings, FitSettings
from fusion_net.models import RESERVED
from preprocessing.errors import UsageError


def test_networks_come_first_and_every_name_is_found() -> None:
    names = list(system_names())
    assert names == [*MODELS, *CLASSICAL] and names[:2] == ["afn", "fdp"]
    assert [find_system(name) for name in names] == [*MODELS.values(), *CLASSICAL.values()]
    assert {*BASELINES, *SET_BASELINES} <= set(CLASSICAL)


def test_an_unknown_name_is_told_with_those_that_there_are() -> None:
    with pytest.raises(UsageError, match=rf"model 'afm' is unknown: .*hoose one of {', '.join(system_names())}"):
        find_system("afm")


@pytest.mark.parametrize("name", ["flow", "images", "fit", "evaluation", "corpus", "data", "svm", "majority", "oracle"])
def test_names_that_mean_something_else_in_the_settings_are_refused(name: str) -> None:
    """A network called ``flow`` would read the settings of optical flow."""
    with pytest.raises(UsageError, match=f"^model name '{name}' is taken: it is a section of the settings; choose ano"):
        MODELS[name] = AFN
    assert name not in MODELS


def test_names_of_the_toolkits_own_networks_are_refused() -> None:
    with pytest.raises(UsageError, match="model name 'afn' is taken: it is a model of the toolkit"):
        MODELS["afn"] = FDP


def test_every_section_and_every_system_without_a_network_is_reserved() -> None:
    assert {*offline_sections(), "fit", *CLASSICAL} <= set(RESERVED)
    assert set(all_sections()) == {*offline_sections(), "fit", *system_names()}


@pytest.mark.parametrize("part", [SimpleNamespace(), AFNSettings, object(), AFN.__init__])
def test_a_part_that_is_no_system_is_told_when_it_is_asked_for(part: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package can register anything; so can a typo in its entry point."""
    monkeypatch.setitem(MODELS, "strange", part)  # type: ignore[misc]
    with pytest.raises(UsageError, match=r"model 'strange' is .*, wanted a subclass of Model or of Estimator"):
        find_system("strange")


def test_a_network_is_made_with_the_inputs_of_its_settings() -> None:
    system = make_system("afn", AFNSettings())
    assert isinstance(system, Network) and system.training == FitSettings()
    assert system.inputs == AFN.uses(AFNSettings()) and system.model is AFN
    fit = FitSettings(epochs=3)
    assert make_system("afn", AFNSettings(), fit).training is fit  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", list(CLASSICAL))
def test_a_system_without_a_network_needs_no_training_settings(name: str) -> None:
    found = CLASSICAL[name]
    system = make_system(name, found.Settings(), FitSettings(epochs=3))
    assert isinstance(system, ClassicalSystem) and type(system) is found
    assert system.title and system.device == "cpu"
    assert found.Settings is not NoSettings or system.settings == NoSettings()
