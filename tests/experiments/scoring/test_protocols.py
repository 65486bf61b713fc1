from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.scoring.protocols import (
    NAMES,
    Fold,
    check_folds,
    describe,
    find_protocol,
    leave_one_dataset_out,
    leave_one_subject_out,
    official_split,
    official_train,
    subject_k_fold,
)

some_subjects = st.lists(st.sampled_from([f"x/s{i}" for i in range(7)]), min_size=2, max_size=40).filter(
    lambda names: len(set(names)) > 1
)


@given(some_subjects)
def test_every_clip_is_tested_once_by_a_fold_that_never_saw_its_subject(subjects: list[str]) -> None:
    folds = leave_one_subject_out(subjects)
    assert [f.subject for f in folds] == sorted(set(subjects))
    assert sorted(i for f in folds for i in f.test) == list(range(len(subjects)))
    for fold in folds:
        assert sorted(fold.train + fold.test) == list(range(len(subjects)))
        assert {subjects[i] for i in fold.test} == {fold.subject}
        assert fold.subject not in {subjects[i] for i in fold.train}


@given(some_subjects, st.randoms())
def test_the_order_of_the_clips_does_not_change_who_is_held_out(subjects: list[str], random: object) -> None:
    shuffled = list(subjects)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    before, after = leave_one_subject_out(subjects), leave_one_subject_out(shuffled)
    assert [(f.name, len(f.test)) for f in before] == [(f.name, len(f.test)) for f in after]


@given(some_subjects, st.integers(2, 7), st.integers(0, 5))
def test_k_fold_keeps_subjects_whole_and_sizes_even(subjects: list[str], k: int, seed: int) -> None:
    n = len(set(subjects))
    if k > n:
        with pytest.raises(ValueError, match=f"wanted at least {k}"):
            subject_k_fold(subjects, k, seed)
        return
    folds = subject_k_fold(subjects, k, seed)
    sizes = [len({subjects[i] for i in f.test}) for f in folds]
    assert len(folds) == k and sum(sizes) == n and max(sizes) - min(sizes) <= 1
    assert sorted(i for f in folds for i in f.test) == list(range(len(subjects)))
    assert folds == subject_k_fold(subjects, k, seed)


def test_k_fold_follows_its_seed() -> None:
    subjects = [f"x/s{i:02d}" for i in range(20)]
    assert subject_k_fold(subjects, 5, 0) != subject_k_fold(subjects, 5, 1)


def test_one_subject_leaves_nobody_to_learn_from() -> None:
    with pytest.raises(ValueError, match="wanted at least 2"):
        leave_one_subject_out(["x/s1"] * 9)
    with pytest.raises(ValueError, match="at least 2 folds"):
        subject_k_fold(["x/s1", "x/s2"], 1)


def test_fold_names_are_folder_names() -> None:
    assert [f.name for f in leave_one_subject_out(["casme2/sub01", "a:b/s 2"])] == ["a_b_s_2", "casme2_sub01"]


@pytest.mark.parametrize(
    ("folds", "what"),
    [
        ([Fold("a", "a", (0, 1), (2,))], "trains on its test subject"),
        ([Fold("a", "a", (2,), (0,)), Fold("b", "b", (3,), (0,))], "again in 'b'"),
        ([Fold("a", "a", (), (0,))], "0 training"),
        ([Fold("a", "a", (0,), ())], "0 test"),
        ([Fold("a", "a", (2,), (0,)), Fold("A", "b", (0,), (2,))], "occurs twice"),
    ],
)
def test_dishonest_folds_are_refused(folds: list[Fold], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        check_folds(folds, ["s1", "s2", "s2", "s3"])


def test_names_that_differ_only_in_replaced_characters_are_refused() -> None:
    with pytest.raises(ValueError, match="overwrite each other"):
        leave_one_subject_out(["x/s1", "x_s1"])


@given(st.lists(st.sampled_from([f"{d}/s{i}" for d in "abc" for i in range(3)]), min_size=2, max_size=40))
def test_leaving_a_data_set_out_tests_every_clip_on_networks_of_other_data_sets(subjects: list[str]) -> None:
    datasets = [name.split("/")[0] for name in subjects]
    if len(set(datasets)) < 2:
        with pytest.raises(ValueError, match=f"all {len(subjects)} clips are of {datasets[0]}, wanted two"):
            leave_one_dataset_out(subjects)
        return
    folds = leave_one_dataset_out(subjects)
    assert [fold.name for fold in folds] == sorted(set(datasets))
    assert sorted(i for fold in folds for i in fold.test) == list(range(len(subjects)))
    for fold in folds:
        assert {datasets[i] for i in fold.test} == {fold.name}
        assert fold.name not in {datasets[i] for i in fold.train}


def test_protocols_by_name_and_in_words() -> None:
    subjects = [f"{d}/s{i}" for d in "ab" for i in range(6)]
    splits = ["train"] * 6 + ["test"] * 6
    made = {name: find_protocol(name, splits=splits) for name in NAMES}
    assert {name: len(protocol(subjects)) for name, protocol in made.items()} == {
        "loso": 12,
        "k_fold": 10,
        "leave_one_dataset_out": 2,
        "official_split": 1,
        "official_train": 5,
    }
    assert len(find_protocol("k_fold", 3)(subjects)) == 3
    assert [describe(protocol) for protocol in made.values()] == [
        "leave one subject out",
        "subject k-fold, k = 10",
        "leave one dataset out",
        "official split, train to test",
        "subject k-fold within the official train, k = 5",
    ]


def test_a_protocol_that_is_none_and_a_k_without_effect() -> None:
    with pytest.raises(ValueError, match="'lopo' is unknown: choose one of loso, k_fold"):
        find_protocol("lopo")
    with pytest.raises(ValueError, match="k = 5 has no effect with protocol = 'loso'"):
        find_protocol("loso", 5)


# official splits

SUBJECTS = ["x/s1", "x/s1", "x/s2", "x/s3", "x/s4", "x/s4"]
SPLITS = ["train", "train", "train", "test_a", "test_b", "test_b"]


def test_an_official_split_is_one_fold_with_its_test_sets() -> None:
    (fold,) = official_split(SUBJECTS, SPLITS)
    assert (fold.train, fold.test) == ((0, 1, 2), (3, 4, 5))
    assert fold.parts == ("test_a", "test_b", "test_b")
    assert describe(find_protocol("official_split", splits=SPLITS)) == "official split, train to test_a and test_b"


@given(st.lists(st.sampled_from([f"x/s{i}" for i in range(9)]), min_size=4, max_size=30), st.integers(2, 3))
def test_choices_are_made_among_training_subjects_alone(subjects: list[str], k: int) -> None:
    splits = ["train" if name < "x/s5" else "test" for name in subjects]
    people = {name for name in subjects if name < "x/s5"}
    if len(people) < k:
        return
    folds = official_train(subjects, splits, k)
    assert sorted(i for fold in folds for i in fold.test) == [i for i, part in enumerate(splits) if part == "train"]
    assert {subjects[i] for fold in folds for i in (*fold.train, *fold.test)} == people


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (["", "", "", "", "", ""], "in no official split"),
        (["train", "train", "", "test", "test", "test"], "x/s2 is in no part"),
        (["train", "test", "test", "test", "test", "test"], "x/s1 is in two parts"),
        (["train"] * 6, "nothing would be tested"),
        (["a", "a", "b", "b", "b", "b"], "no clip is in the part train: the parts are a, b"),
    ],
)
def test_splits_that_are_none_are_refused(splits: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        official_split(SUBJECTS, splits)


def test_a_data_set_without_parts_says_what_to_do() -> None:
    with pytest.raises(ValueError, match="no column split"):
        find_protocol("official_train")
