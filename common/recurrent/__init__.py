"""The recurrent core: one time step, and its unrolling over time."""

from typing import TYPE_CHECKING

from common import handing_on

if TYPE_CHECKING:
    from common.recurrent.cells import (
        Cell as Cell,
        CoRNNCell as CoRNNCell,
        CoupledLSTMCell as CoupledLSTMCell,
        GRUCell as GRUCell,
        HGRNCell as HGRNCell,
        IndRNNCell as IndRNNCell,
        JANETCell as JANETCell,
        LayerNormGRUCell as LayerNormGRUCell,
        LayerNormLSTMCell as LayerNormLSTMCell,
        LEMCell as LEMCell,
        LSTMCell as LSTMCell,
        MGUCell as MGUCell,
        MinGRUCell as MinGRUCell,
        MinLSTMCell as MinLSTMCell,
        PeepholeLSTMCell as PeepholeLSTMCell,
        SimpleRNNCell as SimpleRNNCell,
    )
    from common.recurrent.convert import (
        from_torch as from_torch,
        keras_weights as keras_weights,
        load_keras_weights_ as load_keras_weights_,
        to_torch as to_torch,
    )
    from common.recurrent.initialization import (
        Initialization as Initialization,
        initialize_ as initialize_,
    )
    from common.recurrent.layer import Recurrent as Recurrent
    from common.recurrent.padding import Padding as Padding
    from common.recurrent.state import (
        NestedState as NestedState,
        RecurrentState as RecurrentState,
        State as State,
        detached as detached,
        map_state as map_state,
        select_rows as select_rows,
    )

__all__, __getattr__ = handing_on(__name__, __file__)
