"""Recordings as frames: numbered pictures, stacks of pages and video files, and what is strange about them."""
