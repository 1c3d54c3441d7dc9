"""The recurrent core: one time step, and its unrolling over time."""

from typing import TYPE_CHECKING

from common import handing_on

if TYPE_CHECKING:
    from common.recurrent.cells import (
        Cell,
        CoRNNCell,
        CoupledLSTMCell,
        GRUCell,
        HGRNCell,
        IndRNNCell,
        JANETCell,
        LayerNormGRUCell,
        LayerNormLSTMCell,
        LEMCell,
        LSTMCell,
        MGUCell,
        MinGRUCell,
        MinLSTMCell,
        PeepholeLSTMCell,
        SimpleRNNCell,
    )
    from common.recurrent.convert import from_torch, keras_weights, load_keras_weights_, to_torch
    from common.recurrent.initialization import Initialization, initialize_
    from common.recurrent.layer import Recurrent
    from common.recurrent.padding import Padding
    from common.recurrent.state import (
        NestedState,
        RecurrentState,
        State,
        detached,
        map_state,
        select_rows,
    )

__all__, __getattr__ = handing_on(__name__, __file__)
