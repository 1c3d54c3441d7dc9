"""From a task to a run: the session, the trainer, and what they use."""

from typing import TYPE_CHECKING

from common import handing_on

if TYPE_CHECKING:
    from common.training.epochs import LoaderBatches as LoaderBatches
    from common.training.loss import (
        Figures as Figures,
        Loss as Loss,
        mean_of_sums as mean_of_sums,
    )
    from common.training.options import (
        RunOptions as RunOptions,
        TrainingOptions as TrainingOptions,
    )
    from common.training.progress import Progress as Progress
    from common.training.session import (
        evaluate as evaluate,
        train as train,
    )
    from common.training.task import (
        Evaluation as Evaluation,
        Task as Task,
    )
    from common.training.tracking import Tracker as Tracker
    from common.training.trainer import Trainer as Trainer
    from common.training.validation import (
        held_out as held_out,
        predictions as predictions,
    )

__all__, __getattr__ = handing_on(__name__, __file__)
