"""Generated scenes: coloured shapes in spatial relations, and captions that can be checked."""

from common.synthetic.scenes.dataset import write_scenes
from common.synthetic.scenes.generation import SPLITS, generate
from common.synthetic.scenes.scene import Scene, true_fraction
from common.synthetic.scenes.shapes import Shape

__all__ = ["SPLITS", "Scene", "Shape", "generate", "true_fraction", "write_scenes"]
