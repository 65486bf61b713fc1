"""Settings of the synthetic corpus."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CorpusSettings:
    """What corpus to make.

    Attributes:
        subjects, clips_per_subject: size of the corpus.
        seed: another seed, other people and other clips.
        fps, width, height: the camera. Displacements scale with the frame's height.
        intensity: multiplies the peak displacement, which is drawn between 0.5 and 2.5 px at 480 px height.
        null: labels carry no information: the same clips with permuted emotions, so class counts stay.
        drift: largest head translation over a clip, px.
        rotation: largest head rotation over a clip, degrees.
        blink: probability of a blink in a clip.
        flicker: largest deviation of the picture's gain.
        noise: standard deviation of the sensor noise, grey levels.
        background: contrast (standard deviation, grey levels) of a pattern behind the head that moves by some px over a
            clip, as people and curtains do; 0 leaves the background as still as a wall.
        jpeg_quality: 1 to 100, larger is better.
        lead_in, tail: neutral frames before the onset and frames after the offset, at most; at least half of it.

    Raises:
        ValueError: a value out of its range.
    """

    subjects: int = 12
    clips_per_subject: int = 10
    seed: int = 0
    fps: float = 200.0
    width: int = 640
    height: int = 480
    intensity: float = 1.0
    null: bool = False
    drift: float = 1.5
    rotation: float = 0.3
    blink: float = 0.15
    flicker: float = 0.006
    noise: float = 1.2
    background: float = 0.0
    jpeg_quality: int = 92
    lead_in: int = 8
    tail: int = 8

    def __post_init__(self) -> None:
        ranges: dict[str, tuple[float, float]] = {
            "subjects": (1, 999),
            "clips_per_subject": (1, 999),
            "seed": (0, 2**63),
            "fps": (25, 1000),
            "width": (160, 4096),
            "height": (120, 4096),
            "intensity": (0, 10),
            "drift": (0, 20),
            "rotation": (0, 10),
            "blink": (0, 1),
            "flicker": (0, 0.5),
            "noise": (0, 50),
            "background": (0, 100),
            "jpeg_quality": (1, 100),
            "lead_in": (0, 500),
            "tail": (0, 500),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} of the synthetic corpus is {value}, wanted {low} to {high}")
        if self.width % 4 or self.height % 4:
            raise ValueError(f"frames of {self.width}x{self.height} px: width and height must be multiples of 4")

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the frames."""
        return self.width, self.height

    @property
    def clips(self) -> list[tuple[int, int]]:
        """(subject, clip) of every clip, both from 0."""
        return [(s, c) for s in range(self.subjects) for c in range(self.clips_per_subject)]
