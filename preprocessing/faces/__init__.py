"""Faces of a clip: detection, landmarks, which face is followed, alignment."""
