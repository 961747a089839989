"""Optical flow: how each frame of a video leads to the next; one file a backend."""
