"""Long short-term memory and its variants."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.recurrent.cells.cell import ALL, Cell, mixed
from common.recurrent.state import State


class LSTMCell(Cell):
    """One step of a long short-term memory (Hochreiter and Schmidhuber 1997; Gers et al. 2000).

        i = sigmoid(W_i x + U_i h)         input gate: how much of the candidate is written
        f = sigmoid(W_f x + U_f h)         forget gate: how much of the memory is kept
        g = tanh(W_g x + U_g h)            candidate
        o = sigmoid(W_o x + U_o h)         output gate: how much of the memory is output
        c' = f * c + i * g
        h' = o * tanh(c')

    Args:
        input_size: I, features of x.
        hidden_size: H, features of h and of c.
    """

    gates = 4
    state_size = 2
    forget_gate = 1
    joint_bias = True
    memory_gates = {0: -1, 1: 1}

    def step(self, projected: Tensor, state: State) -> State:
        """projected: (B, 4 H), the input part of i, f, g, o; state: (h, c), each (B, H)."""
        hidden, memory = state
        memory, output_gate = self._write(self.recurrent(hidden, onto=projected), memory)
        return output_gate * memory.tanh(), memory

    def _write(self, gates: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """gates: (B, 4 H) before their nonlinearities. Returns c' and o, each (B, H)."""
        size = self.hidden_size
        input_forget, candidate, output_gate = gates.split((2 * size, size, size), dim=1)
        input_gate, forget_gate = input_forget.sigmoid().chunk(2, dim=1)
        memory = forget_gate * memory + input_gate * candidate.tanh()
        return memory, output_gate.sigmoid()


class LayerNormLSTMCell(LSTMCell):
    """One step of a layer-normalised LSTM (Ba, Kiros and Hinton 2016, eq. 20-22).

        i, f, g, o = LN(W_x x; gain_ih) + b_ih + LN(W_h h; gain_hh) + b_hh
        c' = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h' = sigmoid(o) * tanh(LN(c'; gain_c) + bias_c)

    The biases act after the normalisation, where they are the paper's b and the shifts of its LN.
    Each LN runs over all that it is given: 4 H gate inputs, or H memory cells.

    Args:
        input_size: I, features of x.
        hidden_size: H, features of h and of c.
        eps: added to the variances.
    """

    def __init__(self, input_size: int, hidden_size: int, eps: float = 1e-5) -> None:
        super().__init__(input_size, hidden_size)
        self.eps = eps
        self.gain_ih = nn.Parameter(torch.ones(4 * hidden_size))
        self.gain_hh = nn.Parameter(torch.ones(4 * hidden_size))
        self.gain_c = nn.Parameter(torch.ones(hidden_size))
        self.bias_c = nn.Parameter(torch.zeros(hidden_size))

    def project(self, inputs: Tensor, columns: slice = ALL, bias: bool = True) -> Tensor:
        """As `Cell.project`, but without the bias, which `step` adds after the normalisation."""
        return super().project(inputs, columns, bias=False)

    def step(self, projected: Tensor, state: State) -> State:
        """projected: (B, 4 H), the input part of i, f, g, o; state: (h, c), each (B, H)."""
        hidden, memory = state
        product = self.recurrent(hidden, bias=False)
        gates = self._norm(projected, self.gain_ih, self.bias_ih)
        gates = gates + self._norm(product, self.gain_hh, self.bias_hh)
        memory, output_gate = self._write(gates, memory)
        return output_gate * self._norm(memory, self.gain_c, self.bias_c).tanh(), memory

    def _norm(self, values: Tensor, gain: Tensor, bias: Tensor | None) -> Tensor:
        return F.layer_norm(values, gain.shape, gain, bias, self.eps)


class PeepholeLSTMCell(LSTMCell):
    """One step of an LSTM whose gates see the memory (Gers and Schmidhuber 2000).

        i = sigmoid(W_i x + U_i h + p_i * c)
        f = sigmoid(W_f x + U_f h + p_f * c)
        g = tanh(W_g x + U_g h)
        c' = f * c + i * g
        o = sigmoid(W_o x + U_o h + p_o * c')      of the memory that it is to output
        h' = o * tanh(c')

    weight_ch (3 H,) holds p_i, p_f, p_o: each unit's gates see its own memory only.

    Args:
        input_size: I, features of x.
        hidden_size: H, features of h and of c.
    """

    def __init__(self, input_size: int, hidden_size: int, *, bias: bool = True) -> None:
        super().__init__(input_size, hidden_size, bias=bias)
        bound = hidden_size**-0.5
        self.weight_ch = nn.Parameter(torch.empty(3 * hidden_size).uniform_(-bound, bound))

    def step(self, projected: Tensor, state: State) -> State:
        """projected: (B, 4 H), the input part of i, f, g, o; state: (h, c), each (B, H)."""
        hidden, memory = state
        rows = [slice(n * self.hidden_size, (n + 1) * self.hidden_size) for n in range(3)]
        i, f, g, o = self.recurrent(hidden, onto=projected).chunk(4, dim=1)
        input_gate = (i + self.scaled("weight_ch", memory, rows[0])).sigmoid()
        forget_gate = (f + self.scaled("weight_ch", memory, rows[1])).sigmoid()
        memory = forget_gate * memory + input_gate * g.tanh()
        output_gate = (o + self.scaled("weight_ch", memory, rows[2])).sigmoid()
        return output_gate * memory.tanh(), memory


class CoupledLSTMCell(Cell):
    """One step of an LSTM that writes as much as it forgets (Greff et al. 2017, "CIFG").

        f = sigmoid(W_f x + U_f h)         forget gate: how much of the memory is kept
        g = tanh(W_g x + U_g h)            candidate
        o = sigmoid(W_o x + U_o h)         output gate
        c' = f * c + (1 - f) * g
        h' = o * tanh(c')

    Args:
        input_size: I, features of x.
        hidden_size: H, features of h and of c.
    """

    gates = 3
    state_size = 2
    forget_gate = 0
    joint_bias = True
    memory_gates = {0: 1}

    def step(self, projected: Tensor, state: State) -> State:
        """projected: (B, 3 H), the input part of f, g, o; state: (h, c), each (B, H)."""
        hidden, memory = state
        forget_gate, candidate, output_gate = self.recurrent(hidden, onto=projected).chunk(3, dim=1)
        memory = mixed(candidate.tanh(), memory, forget_gate.sigmoid())
        return output_gate.sigmoid() * memory.tanh(), memory


class JANETCell(Cell):
    """One step of an LSTM with a forget gate alone (van der Westhuizen and Lasenby 2018, "JANET").

        s  = W_f x + U_f h                 input of the forget gate
        g  = tanh(W_g x + U_g h)           candidate
        h' = sigmoid(s) * h + (1 - sigmoid(s - beta)) * g

    The memory is the output.

    Args:
        input_size: I, features of x.
        hidden_size: H, features of h.
        beta: with 1, the paper's, more is written than is forgotten; with 0, as much.
    """

    gates = 2
    forget_gate = 0
    joint_bias = True
    memory_gates = {0: 1}

    def __init__(
        self, input_size: int, hidden_size: int, beta: float = 1.0, *, bias: bool = True
    ) -> None:
        super().__init__(input_size, hidden_size, bias=bias)
        self.beta = beta

    def step(self, projected: Tensor, state: State) -> State:
        """projected: (B, 2 H), the input part of s and g; state: (h,) with h (B, H)."""
        (hidden,) = state
        forget, candidate = self.recurrent(hidden, onto=projected).chunk(2, dim=1)
        written = (self.beta - forget).sigmoid()  # 1 - sigmoid(s - beta)
        return (forget.sigmoid() * hidden + written * candidate.tanh(),)
