"""Which pictures the clips of a data set have, what they are called, and at which scale they are shown."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from dynamic_images.inputs import INPUTS


def pictures(manifest: pd.DataFrame) -> dict[str, str]:
    """File stem of each picture of a clip → title: the inputs that the manifest's ``<input>_energy`` columns name."""
    return {name: one.title for name, one in INPUTS.items() if f"{name}_energy" in manifest}


def caption(manifest: pd.DataFrame) -> str:
    """What the pictures of a data set's clips show, with their fixed scale."""
    shown = pictures(manifest)
    about = [f"{title}: {INPUTS[name].about}" for name, title in shown.items()]
    scales = {name: scale for name in shown if (scale := _scale(manifest, name))}
    return " ".join(
        [*about, f"Mid-grey is 0; black and white are {_joined(scales)}, for every clip."] if scales else about
    )


def _scale(manifest: pd.DataFrame, name: str) -> str:
    """The ends of a picture's scale: the data set's, if its values have no fixed range, else the input's."""
    column, view = f"{name}_view", INPUTS[name].view
    if column in manifest and manifest[column].notna().any():
        return f"±{manifest[column].dropna().iloc[0]:g} {INPUTS[name].unit}"
    return f"±{view[0]:g} {INPUTS[name].unit}" if view else ""


def _joined(scales: Mapping[str, str]) -> str:
    """One scale if all pictures have the same, else each with the title of its picture."""
    if len(set(scales.values())) == 1:
        return next(iter(scales.values()))
    return ", ".join(f"{scale} ({INPUTS[name].title})" for name, scale in scales.items())
