"""Which head a PEFT folder holds, found out from its own files: people save no manifest of ours."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from peft import TaskType

from hf_mtl.errors import CheckpointError, listing
from hf_mtl.head_shapes import HeadShape
from hf_mtl.heads import HeadSpec
from hf_mtl.models.saved.configs import SavedConfig
from hf_mtl.models.saved.headers import TensorEntry

__all__ = ["saved_head"]

_BY_TASK = MappingProxyType(
    {
        TaskType.SEQ_CLS: HeadShape.SEQUENCE,
        TaskType.TOKEN_CLS: HeadShape.TOKEN,
        TaskType.QUESTION_ANS: HeadShape.SPAN,
    }
)
_BY_CLASS = MappingProxyType(
    {
        "ForSequenceClassification": HeadShape.SEQUENCE,
        "ForTokenClassification": HeadShape.TOKEN,
        "ForQuestionAnswering": HeadShape.SPAN,
        "ForImageClassification": HeadShape.SEQUENCE,
    }
)
# Where the last weight of a head is, `[C, D]`, in the stock classes of transformers.
_LAST = ("classifier.out_proj", "classification_head.out_proj", "classifier", "score", "qa_outputs")
_PREFIXES = ("base_model.model.", "base_model.")  # of adapters that act on layers, and of virtual tokens


def saved_head(
    saved: SavedConfig, header: Mapping[str, TensorEntry], *, images: bool, where: str
) -> HeadSpec | None:
    """The head in a folder's files.

    Args:
        saved: What the config says.
        header: What the file of weights declares.
        images: Whether the base reads images.
        where: What messages call the adapter.

    Returns:
        Its shape and number of outputs; None if there is none, so that the vocabulary head serves.

    Raises:
        CheckpointError: If the files do not tell what the head is for, or hold none where there must be one.
    """
    found = _last(header)
    kind = TaskType(saved.config.task_type) if saved.config.task_type else None
    shape = None if kind is None else _BY_TASK.get(kind)
    if found is None:
        if kind is None or shape is None:
            return None
        raise CheckpointError(
            f"{where}: the config's task_type is {kind.value!r}, and the weights hold no head (expected "
            f"one of {listing(f'{name}.weight' for name in _LAST)}). Without its head the adapter cannot answer: save "
            f"it with the head in modules_to_save."
        )
    name, outputs = found
    shape = shape or _shape(saved, name, images=images)
    if shape is None:
        raise CheckpointError(
            f"{where}: the weights hold a head, {name!r}, and the config does not say whether it is for texts or for "
            f"tokens. Set its task_type to 'SEQ_CLS' or 'TOKEN_CLS'."
        )
    return HeadSpec(shape, outputs)


def _last(header: Mapping[str, TensorEntry]) -> tuple[str, int] | None:
    """The name of a head's last layer, and the number of its outputs."""
    for name in _LAST:
        for prefix in _PREFIXES:
            entry = header.get(f"{prefix}{name}.weight")
            if entry is not None and len(entry.shape) == 2:
                return name, entry.shape[0]
    return None


def _shape(saved: SavedConfig, name: str, *, images: bool) -> HeadShape | None:
    """What a head is for, where the config has no type of task: PEFT keeps the name of the class then."""
    if name == "qa_outputs":
        return HeadShape.SPAN
    if images or name == "classification_head.out_proj":
        return HeadShape.SEQUENCE
    return next((own for end, own in _BY_CLASS.items() if (saved.base_class or "").endswith(end)), None)
