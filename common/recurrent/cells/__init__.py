"""One time step of a recurrent network: the cells of the field, and the contract for new ones."""

from common.recurrent.cells.cell import ALL, WEIGHTS, Cell, CellFactory, make_cell
from common.recurrent.cells.gru import GRUCell
from common.recurrent.cells.lstm import LayerNormLSTMCell, LSTMCell
from common.recurrent.cells.simple import SimpleRNNCell

__all__ = [
    "ALL",
    "WEIGHTS",
    "Cell",
    "CellFactory",
    "GRUCell",
    "LSTMCell",
    "LayerNormLSTMCell",
    "SimpleRNNCell",
    "make_cell",
]
