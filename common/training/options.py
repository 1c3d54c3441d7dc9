"""What a command line lets a user choose about the training."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from common.compute import Precision
from common.config.bounds import Amount, Count, Decay, Positive, Rate, Seed
from common.config.changes import MAY_CHANGE, MayChange, may_change
from common.config.marks import BASIC, Folder, Group, Metavar
from common.config.plain import from_dict, of_today
from common.config.quiet import Quiet
from common.data.reading import is_unicode
from common.errors import UserError
from common.progress import say
from common.runs.contents import description_to_resume

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.optim.lr_scheduler import LRScheduler

    from common.training.trainer import Trainer

UNLESS_COSINE = MayChange(
    lambda o: o.schedule != "cosine", "may change on resume unless --schedule is cosine"
)
FEWEST_UPDATES = 100  # without a better score, whatever patience says: an epoch may be one update
TAKES_THE_RUNS = MayChange(lambda o: o.precision == "auto", "auto on resume takes the run's")


@dataclass(frozen=True)
class TrainingOptions:
    """How the weights are learnt."""

    # A cosine falls to its end with the last epoch: with more of them, every rate is another.
    epochs: Annotated[Positive, BASIC, UNLESS_COSINE] = 30
    """Most passes over the training data; a cosine schedule ends with the last."""
    batch_size: Annotated[Positive, BASIC] = 64
    """Examples in a batch."""
    learning_rate: Annotated[Rate, BASIC] = 1e-3
    """Peak learning rate of AdamW."""
    weight_decay: Amount = 1e-4
    """Decoupled weight decay of matrices; biases and normalisation have none."""
    schedule: Literal["constant", "plateau", "cosine", "inverse_sqrt"] = "constant"
    """How the learning rate falls after its warm-up."""
    warmup_steps: Count = 0
    """Updates over which the learning rate rises from 0; not with a plateau."""
    clip_norm: Amount = 5.0
    """Largest norm of the gradient of all weights; 0 for no limit."""
    accumulate: Positive = 1
    """Batches whose gradients make one update."""
    average_decay: Decay = 0.0
    """Decay of an exponential moving average of the weights, which is then what is validated and
    saved; 0 for none."""
    patience: Annotated[Count, MAY_CHANGE] = 5
    """Validations without a better score after which training ends, but not before 100 updates without
    one; 0 for never."""
    validate_every: Annotated[Positive | None, Group("validation")] = None
    """Updates between validations; by default, one follows each epoch."""
    max_minutes: Annotated[Amount | None, MAY_CHANGE] = None
    """Minutes after which training ends; no limit by default."""
    precision: Annotated[Precision, BASIC, TAKES_THE_RUNS] = "auto"
    """Arithmetic of the matrix products; auto takes the one that is measured to be faster here."""
    compile: Annotated[bool, MAY_CHANGE] = False
    """Compile the forward pass, the loss and their gradients by torch.compile; what cannot be compiled
    is trained without."""
    device: Annotated[str, BASIC, MAY_CHANGE, Metavar("DEVICE")] = "auto"
    """cpu, cuda, cuda:1, mps, or any other device of PyTorch; auto takes a GPU if there is one."""
    seed: Annotated[Seed, BASIC] = 0
    """Seed of weights, dropout and data order."""
    threads: Annotated[Positive | None, MAY_CHANGE] = None
    """CPU threads of the arithmetic; PyTorch's choice by default."""

    def check(self) -> None:
        """Refuse options that do not go together, by a `UserError`, before anything slow is done."""
        if self.schedule == "plateau" and self.warmup_steps:
            raise UserError(
                "--schedule plateau has no warm-up: leave --warmup-steps out, or choose another."
            )

    def begin(self) -> torch.device:
        """Set the threads and the random generators of this process; the device to work on."""
        import torch

        from common.compute.device import choose_device

        if os.environ.get("WORLD_SIZE", "1") != "1":  # each process would write the one run folder
            raise UserError("train is for a single process: start it without torchrun.")
        # oneDNN keeps what it compiles for each shape of a product. Sentences make so many shapes
        # that its default, a thousand, takes gigabytes; most of them do not come back soon.
        for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
            os.environ.setdefault(name, "128")
        if self.threads:
            torch.set_num_threads(self.threads)
        torch.manual_seed(self.seed)
        return choose_device(self.device)

    def settle_precision(
        self, model: nn.Module, resumed: TrainingOptions | None
    ) -> TrainingOptions:
        """These options with the precision that training takes, which is printed.

        Args:
            model: what is trained, on its device.
            resumed: the options of the run that goes on: "auto" takes what it has; None: a new run.
        """
        from common.compute.precision import choose_precision, describe_choice

        wanted = self.precision
        if resumed is not None and wanted in ("auto", resumed.precision):
            wanted = resumed.precision
        else:
            say(describe_choice(wanted, model))
        return dataclasses.replace(self, precision=choose_precision(wanted, model))

    def make_optimizer(
        self, model: nn.Module, slower: Collection[nn.Parameter] = (), slower_rate: float = 0.0
    ) -> torch.optim.Optimizer:
        """AdamW over the trainable weights of a model.

        Args:
            model: whose parameters are learnt.
            slower: those of them with a learning rate of their own: a pretrained encoder's.
            slower_rate: that learning rate.
        """
        import torch

        apart = {id(parameter) for parameter in slower}
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for parameter in model.parameters():
            if parameter.requires_grad:
                rate = slower_rate if id(parameter) in apart else self.learning_rate
                decay = self.weight_decay if parameter.ndim > 1 else 0.0
                groups.setdefault((rate, decay), []).append(parameter)
        settings = [
            {"params": parameters, "lr": rate, "weight_decay": decay}
            for (rate, decay), parameters in groups.items()
        ]
        # Fused: one pass over the weights instead of a dozen.
        return torch.optim.AdamW(settings, fused=True)

    def make_scheduler(
        self, optimizer: torch.optim.Optimizer, steps_per_epoch: int, mode: Literal["max", "min"]
    ) -> LRScheduler:
        """The scheduler of these options; `mode` is that of the monitored metric."""
        from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

        from common.training.schedules import constant, cosine, inverse_sqrt

        self.check()
        if self.schedule == "plateau":
            floors = [0.01 * group["lr"] for group in optimizer.param_groups]
            return ReduceLROnPlateau(
                optimizer, mode, factor=0.5, patience=1, threshold=0.0, min_lr=floors
            )
        total = max(self.warmup_steps + 1, self.epochs * steps_per_epoch)
        factors = {
            "constant": constant(self.warmup_steps),
            "cosine": cosine(total, self.warmup_steps),
            "inverse_sqrt": inverse_sqrt(self.warmup_steps or 4000),
        }
        return LambdaLR(optimizer, factors[self.schedule])

    def make_trainer(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, batches, **arguments: Any
    ) -> Trainer:
        """The trainer of these options; `arguments` are the rest of what `Trainer` takes.

        Raises:
            TypeError: the batches of an epoch are no sequence.
        """
        from common.training.epochs import batches_of
        from common.training.trainer import Trainer

        steps = -(-len(batches_of(batches)) // self.accumulate)  # of an epoch
        return Trainer(
            model, optimizer, batches,
            max_epochs=self.epochs, max_minutes=self.max_minutes, patience=self.patience or None,
            patience_steps=FEWEST_UPDATES, validate_every=self.validate_every,
            scheduler=self.make_scheduler(optimizer, steps, arguments.get("mode", "max")),
            clip_norm=self.clip_norm or None, accumulate=self.accumulate, precision=self.precision,
            compile=self.compile, average_decay=self.average_decay or None, seed=self.seed, **arguments,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class RunOptions(Quiet):
    """What every training on a command line lets a user choose; an experiment adds its own."""

    run_dir: Annotated[Folder, BASIC, MayChange(text="")]
    """Folder for all that the run writes."""
    training: TrainingOptions = TrainingOptions()
    resume: Annotated[bool, BASIC, MayChange(text="")] = False
    """Go on with the run in the folder, with its own options; without a run, start it."""
    overwrite: Annotated[bool, BASIC, MayChange(text="")] = False
    """Replace the run in the folder."""
    init_from: Annotated[Path | None, BASIC, Metavar("RUN")] = None
    """Begin with the weights of another run, and its options of the model where none are given."""
    init_parts: Annotated[tuple[str, ...], Group("training"), Metavar("PART")] = ()
    """With --init-from: take these parts alone, as encoder or decoder; the others begin anew."""

    # Groups of options that describe the model: a run that begins with the weights of another takes
    # them from there. None: all but those of the training. Not an option: no annotation.
    MODEL = tuple[str, ...]()

    @classmethod
    def of_run(cls, folder: str | os.PathLike[str], kind: str | None = None) -> Self:
        """The options with which the run in a folder goes on: its own.

            train(TrainOptions.of_run("runs/mine"))

        Args:
            folder: of the run.
            kind: of the run; None: any.

        Raises:
            UserError: there is no run, or one that cannot be resumed, or of another kind.
        """
        folder = Path(folder)
        stored = description_to_resume(folder, kind)
        config = of_today(cls, stored["format"], stored["config"])
        own = from_dict(cls, config, str(folder / "config.json"))
        return dataclasses.replace(own, run_dir=folder, resume=True, overwrite=False)

    def of_model(self, name: str) -> bool:
        """Whether an option, by its dotted name, may be why weights of another run do not fit."""
        group = name.partition(".")[0]
        if group in ("training", "text", "init_from", "init_parts") or name in may_change(self):
            return False
        fits = group in self.MODEL and self.takes(group) if self.MODEL else True
        return fits and not name.endswith("dropout")

    def takes(self, part: str) -> bool:
        """Whether a part of the model begins with the weights of another run."""
        return self.init_from is not None and part in (self.init_parts or [part])

    def check(self) -> None:
        """Refuse options that do not go together, by a `UserError`, before anything slow is done; an
        experiment may have more to refuse."""
        if not is_unicode(str(self.run_dir)):
            raise UserError(f"--run-dir {self.run_dir}: TensorBoard needs a name that is UTF-8.")
        if self.init_parts and self.init_from is None:
            raise UserError("--init-parts names parts of another run: name it, --init-from RUN.")
        other = None if self.resume else self.init_from
        if other is not None and Path(other).resolve() == Path(self.run_dir).resolve():
            raise UserError(
                f"--init-from {self.init_from} is the folder of the new run too: name another --run-dir."
            )
        self.training.check()
