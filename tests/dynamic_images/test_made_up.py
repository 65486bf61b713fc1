"""Made-up motion: anatomy where it should be, nothing where nothing is shown, and the same again for the same seed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from dynamic_images.flow_maps import optical_strain
from dynamic_images.made_up import CROP, MadeUpSettings, People, draw, recipes
from preprocessing.synthetic.action_units import CODES, UNITS

CLEAN = MadeUpSettings(
    sharpness=(1, 1),
    asymmetry=0,
    stray=0,
    rigid=0,
    noise=(1e-6, 1e-5),
    patches=0,
    blink=0,
    place=0,
    masked=0,
    stretched=0,
)


@pytest.fixture(scope="module")
def people() -> People:
    return People(4, np.random.default_rng(0), CLEAN)


def test_smiles_lift_the_corners_of_the_mouth_outwards(people: People) -> None:
    """In image coordinates: up is negative v, and the subject's left lies on the image's right."""
    half = people.fields.shape[2] // 2
    for code, outward in (("12L", 1), ("12R", -1)):
        field = people.fields[:, CODES.index(code)].mean(axis=0)
        side = field[half:, half:] if outward > 0 else field[half:, :half]
        at = np.unravel_index(np.linalg.norm(side, axis=-1).argmax(), side.shape[:2])
        assert outward * side[at][0] > 0.2 and side[at][1] < -0.2


def test_both_sides_are_mirror_images_but_for_the_person(people: People) -> None:
    """Correlation with the mirrored field of the other side; with the field itself it would be near zero."""
    for unit in UNITS:
        left, right = (people.fields[:, CODES.index(f"{unit}{side}")].mean(axis=0) for side in "LR")
        mirrored = right[:, ::-1] * np.array([-1, 1])
        assert np.corrcoef(left.ravel(), mirrored.ravel())[0, 1] > 0.8


def test_labels_follow_the_recipes(people: People) -> None:
    made = draw(200, people, np.random.default_rng(1), "3", CLEAN)
    names = list(recipes("3"))
    for label, shown in zip(made.labels, made.units, strict=True):
        units = {code[:-1] for code, amount in zip(CODES, shown, strict=True) if amount > 0}
        assert units in [set(units) for _, units in recipes("3")[names[int(label)]]]
    assert np.bincount(made.labels).min() > 40  # a third of 200 each


def test_motion_is_as_strong_as_it_says_and_strain_is_that_of_the_field(people: People) -> None:
    settings = dataclasses.replace(CLEAN, strength=(2.0, 2.0), fine=1, side=56)
    some = People(3, np.random.default_rng(0), settings)
    made = draw(30, some, np.random.default_rng(1), "3", settings)
    largest = np.linalg.norm(made.maps[:, :2], axis=1).max(axis=(1, 2))
    assert (largest > 1.0).all() and (largest < 6.0).all()  # units add up; a lone one is 1.3 to 2 px
    flow = np.moveaxis(made.maps[0, :2], 0, -1)
    np.testing.assert_allclose(made.maps[0, 2], optical_strain(flow, CROP / 56), atol=1e-4)


def test_what_a_measurement_adds_has_nothing_to_do_with_the_class(people: People) -> None:
    """Without strength, only nuisances are left: their mean over many clips is small beside their spread."""
    settings = dataclasses.replace(MadeUpSettings(), strength=(1e-6, 1e-5), stretched=0)
    made = draw(300, people, np.random.default_rng(2), "3", settings)
    spread = made.maps[:, :2].std()
    assert spread > 0.05
    for label in range(3):
        assert np.abs(made.maps[made.labels == label, :2].mean(axis=0)).mean() < 0.3 * spread


def test_the_same_seed_gives_the_same_bytes() -> None:
    def make(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        settings = MadeUpSettings()
        return draw(5, People(2, rng, settings), rng, "5", settings).maps

    assert np.array_equal(make(3), make(3)) and not np.array_equal(make(3), make(4))


def test_every_recipe_names_units_that_there_are_and_its_source() -> None:
    for scheme, classes in (("3", 3), ("5", 5)):
        found = recipes(scheme)
        assert len(found) == classes
        assert {unit for rows in found.values() for _, units in rows for unit in units} <= set(UNITS)
    with pytest.raises(ValueError, match="no recipes for scheme '4'"):
        recipes("4")
