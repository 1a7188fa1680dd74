"""Training: mini-batches, prepared ahead and gone on from, and metrics over a data set."""

from koubai.training.batches import Batches
from koubai.training.evaluate import Metric, evaluate
from koubai.training.history import History
from koubai.training.metrics import accuracy, confusion_matrix, top_k_accuracy
from koubai.training.position import BatchSource
from koubai.training.prefetch import Prefetch, prefetch
from koubai.training.split import split, split_rows
from koubai.training.stream import StreamBatches, as_batches
from koubai.training.trainer import Trainer

__all__ = [
    "BatchSource",
    "Batches",
    "History",
    "Metric",
    "Prefetch",
    "StreamBatches",
    "Trainer",
    "accuracy",
    "as_batches",
    "confusion_matrix",
    "evaluate",
    "prefetch",
    "split",
    "split_rows",
    "top_k_accuracy",
]
