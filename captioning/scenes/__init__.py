"""Generated scenes: coloured shapes in spatial relations, and captions that can be checked."""

from captioning.scenes.dataset import read_scenes, write_scenes
from captioning.scenes.generation import SPLITS, generate
from captioning.scenes.scene import Scene, true_share
from captioning.scenes.shapes import Shape

__all__ = ["SPLITS", "Scene", "Shape", "generate", "read_scenes", "true_share", "write_scenes"]
