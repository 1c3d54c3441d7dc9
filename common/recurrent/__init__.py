"""The recurrent core: one time step, and its unrolling over time."""

from common.recurrent.cells import (
    Cell,
    GRUCell,
    LayerNormLSTMCell,
    LSTMCell,
    SimpleRNNCell,
)
from common.recurrent.deferred import deferred, deferred_mixture
from common.recurrent.gradient_flow import gradient_flow
from common.recurrent.initialization import Initialization, initialize_
from common.recurrent.layer import Recurrent
from common.recurrent.padding import Padding
from common.recurrent.scan import scan
from common.recurrent.state import NestedState, RecurrentState, State, map_state, select_rows

__all__ = [
    "Cell",
    "GRUCell",
    "Initialization",
    "LSTMCell",
    "LayerNormLSTMCell",
    "NestedState",
    "Padding",
    "Recurrent",
    "RecurrentState",
    "SimpleRNNCell",
    "State",
    "deferred",
    "deferred_mixture",
    "gradient_flow",
    "initialize_",
    "map_state",
    "scan",
    "select_rows",
]
