"""Generated scenes: coloured shapes in spatial relations, and captions that can be checked."""

from common.synthetic.scenes.dataset import read_scenes, write_scenes
from common.synthetic.scenes.generation import SPLITS, generate
from common.synthetic.scenes.scene import Scene, true_share
from common.synthetic.scenes.shapes import Shape

__all__ = ["SPLITS", "Scene", "Shape", "generate", "read_scenes", "true_share", "write_scenes"]
