"""Records of finished stages over made-up arrays, for tests that begin after the offline chain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dynamic_images.build import ImageSettings
from preprocessing.artefacts.clip_folder import ClipFolder
from preprocessing.artefacts.plain import plain
from preprocessing.artefacts.record import Entry
from preprocessing.optical_flow import FlowSettings
from preprocessing.pipeline import FaceSettings


def write_stages(
    folder: ClipFolder, images: Mapping[str, NDArray[Any]], flow: NDArray[Any] | None = None, apex: int = 1
) -> None:
    """The stages of one clip: faces without files, the flow, the images with their pictures."""
    shown = images.values()
    side = len(next(iter(shown)))
    flow = np.zeros((3, side // 2, side // 2, 2), np.float16) if flow is None else flow
    stages: dict[str, tuple[Any, dict[str, NDArray[Any]]]] = {
        "faces": (FaceSettings(), {}),
        "flow": (FlowSettings(), {"flow.npy": flow}),
        "images": (ImageSettings(), {f"{name}.npy": array for name, array in images.items()}),
    }
    for stage, (settings, files) in stages.items():
        entry = Entry(f"key of {stage}", plain(settings))
        entry.result = (
            {"n_frames": len(flow)} if stage == "faces" else {"apex_index": apex} if stage == "images" else {}
        )
        with folder.writing(stage, entry) as scratch:
            for name, array in files.items():
                np.save(scratch / name, array)
                if stage == "images":
                    picture = np.clip(128 + array, 0, 255).astype(np.uint8)
                    cv2.imwrite(str(scratch / name.replace(".npy", ".png")), picture)
