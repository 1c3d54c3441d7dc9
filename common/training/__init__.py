"""From a task to a run: the session, the trainer, and what they use."""

from typing import TYPE_CHECKING

from common import handing_on

if TYPE_CHECKING:
    from common.training.epochs import LoaderBatches
    from common.training.loss import Figures, Loss, mean_of_sums
    from common.training.options import RunOptions, TrainingOptions
    from common.training.progress import Progress
    from common.training.session import evaluate, train
    from common.training.task import Evaluation, Task
    from common.training.tracking import Tracker
    from common.training.trainer import Trainer
    from common.training.validation import held_out, predictions

__all__, __getattr__ = handing_on(__name__, __file__)
