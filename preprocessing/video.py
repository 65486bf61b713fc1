"""Frames from numbered pictures, stacks of pages or a video file, one at a time and in the order that really decodes.

The contract is `FrameSource`; how each kind of recording keeps it stands in ``recordings/``.
"""

from preprocessing.recordings.contract import Frame, FrameReport, FrameSource, Unreadable
from preprocessing.recordings.files import IMAGE_SUFFIXES, VIDEO_SUFFIXES, frame_number, list_images
from preprocessing.recordings.pictures import ImageSequence, PageStack, image_sequence, is_stack
from preprocessing.recordings.video_file import VideoFile

__all__ = [
    "IMAGE_SUFFIXES",
    "VIDEO_SUFFIXES",
    "Frame",
    "FrameReport",
    "FrameSource",
    "ImageSequence",
    "PageStack",
    "Unreadable",
    "VideoFile",
    "frame_number",
    "image_sequence",
    "is_stack",
    "list_images",
]
