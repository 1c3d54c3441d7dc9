"""A generated series that no linear model forecasts well."""

from __future__ import annotations

import numpy as np


def mackey_glass(length: int, seed: int = 0, noise: float = 0.01) -> np.ndarray:
    """A chaotic series (length,) between about 0.4 and 1.4: the cells of a blood that is renewed late.

        dx/dt = 0.2 x(t - 17) / (1 + x(t - 17)^10) - 0.1 x(t)

    Args:
        length: values, one for every 3 units of time.
        seed: of the first values and the noise.
        noise: deviation of the normal noise that is added to what is observed.

    Source: Mackey and Glass 1977, Oscillation and chaos in physiological control systems.
    """
    draw = np.random.default_rng(seed)
    per_unit, delay, every, warm_up = 10, 17, 3, 500  # Euler's steps in a unit of time; units
    x = np.empty((delay + warm_up + every * length) * per_unit)
    x[: delay * per_unit] = draw.uniform(0.8, 1.2)
    for now in range(delay * per_unit, len(x)):
        late = x[now - delay * per_unit]
        x[now] = x[now - 1] + (0.2 * late / (1 + late**10) - 0.1 * x[now - 1]) / per_unit
    observed = x[(delay + warm_up) * per_unit :: every * per_unit]
    return observed + noise * draw.standard_normal(length)
