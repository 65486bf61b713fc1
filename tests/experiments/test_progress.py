from __future__ import annotations

import io

import pytest
from rich.console import Console

from experiments import progress as module
from experiments.progress import progress


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be set."""
    clock = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    return clock


def shown(terminal: bool) -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(file=text, force_terminal=terminal, width=100, soft_wrap=not terminal), text


def test_a_log_gets_a_line_now_and_then_and_one_at_the_end(now: list[float]) -> None:
    """100 steps of a second are 10 lines, not 100; each is plain text."""
    console, text = shown(terminal=False)
    with progress("drawing", console) as step:
        for done in range(1, 101):
            now[0] += 1
            step(done, 100, f"clip [{done}]")
    lines = text.getvalue().splitlines()
    assert len(lines) == 10
    assert lines[0] == "drawing: 10/100 (10 s, about 90 s left) clip [10]"
    assert lines[-1] == "drawing: 100/100 (100 s) clip [100]"


def test_short_work_is_one_line_in_a_log(now: list[float]) -> None:
    console, text = shown(terminal=False)
    with progress("drawing", console) as step:
        for done in (1, 2, 3):
            step(done, 3, "")
    assert text.getvalue() == "drawing: 3/3 (0 s)\n"


def test_a_long_line_of_a_log_is_not_cut(now: list[float]) -> None:
    console, text = shown(terminal=False)
    with progress("drawing", console) as step:
        step(1, 1, "x" * 300)
    assert text.getvalue().count("\n") == 1
    assert "x" * 300 in text.getvalue()


def test_a_terminal_gets_a_bar() -> None:
    console, text = shown(terminal=True)
    with progress("drawing clips", console) as step:
        step(3, 7, "synthetic/s01/c03")
    drawn = text.getvalue()
    assert "drawing clips" in drawn
    assert "3/7" in drawn
    assert "synthetic/s01/c03" in drawn
    assert "━" in drawn


@pytest.mark.parametrize("terminal", [True, False])
def test_no_work_at_all_is_fine_and_an_error_comes_through(terminal: bool) -> None:
    console, text = shown(terminal)
    with progress("drawing", console):
        pass
    with pytest.raises(KeyboardInterrupt), progress("drawing", console):
        raise KeyboardInterrupt
    assert terminal or not text.getvalue()


def test_brackets_in_names_are_no_markup_on_a_terminal() -> None:
    console, text = shown(terminal=True)
    with progress("drawing", console) as step:
        step(1, 2, "videos/[/red]odd")
    assert "odd" in text.getvalue()
