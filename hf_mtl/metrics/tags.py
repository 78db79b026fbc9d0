"""Entities in tagged rows, by seqeval."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

import numpy as np

from hf_mtl.errors import DataError
from hf_mtl.metrics.forms import FloatArray, Rows, tags_of
from hf_mtl.metrics.metric import Metric, Weighted, divided
from hf_mtl.metrics.options import flag, one_of
from hf_mtl.packages import Package

__all__ = ["seqeval"]

_SCHEMES = ("IOB1", "IOB2", "IOE1", "IOE2", "IOBES", "BILOU")

Entity: TypeAlias = tuple[str, int, int]  # type, first tag, last tag


def _seqeval(
    predictions: Rows, references: Rows, *, suffix: bool, scheme: str | None, mode: str | None
) -> Weighted:
    predicted, actual = tags_of(predictions, "predictions"), tags_of(references, "references")
    _check_tags(predicted, actual, suffix=suffix, scheme=scheme)
    entities_of = _entities_of(suffix=suffix, scheme=scheme, strict=mode == "strict")
    with warnings.catch_warnings():
        # seqeval says it of every L-, U- and M- tag, and reads them all the same.
        warnings.filterwarnings("ignore", message=".* seems not to be NE tag", category=UserWarning)
        given, own = [set(entities_of(row)) for row in predicted], [set(entities_of(row)) for row in actual]
    types = sorted({entity[0] for row in (*given, *own) for entity in row})
    hits_NT = _counts([mine & theirs for mine, theirs in zip(given, own, strict=True)], types)
    given_NT, own_NT = _counts(given, types), _counts(own, types)
    right = np.array(
        [sum(map(str.__eq__, *rows)) for rows in zip(predicted, actual, strict=True)], dtype=np.float64
    )
    tags = np.array([len(row) for row in actual], dtype=np.float64)

    def figures(counts_RN: FloatArray) -> dict[str, FloatArray]:
        hits, of_predictions, of_references = (counts_RN @ side for side in (hits_NT, given_NT, own_NT))
        found: dict[str, FloatArray] = {}
        for column, name in enumerate(types):
            sides = (hits[:, column], of_predictions[:, column], of_references[:, column])
            occurs = sides[1] + sides[2] > 0
            found |= {key: np.where(occurs, own, np.nan) for key, own in _scores(f"{name}_", *sides).items()}
            found[f"{name}_number"] = sides[2]
        found |= _scores("overall_", *(side.sum(axis=1) for side in (hits, of_predictions, of_references)))
        return found | {"overall_accuracy": divided(counts_RN @ right, counts_RN @ tags)}

    return figures


def _entities_of(
    *, suffix: bool, scheme: str | None, strict: bool
) -> Callable[[list[str]], Iterable[Entity]]:
    from seqeval.metrics.sequence_labeling import get_entities
    from seqeval.scheme import BILOU, IOB1, IOB2, IOBES, IOE1, IOE2, Tokens

    if not strict:
        return lambda row: get_entities(row, suffix)
    own = dict(zip(_SCHEMES, (IOB1, IOB2, IOE1, IOE2, IOBES, BILOU), strict=True))[str(scheme)]
    return lambda row: [
        (entity.tag, entity.start, entity.end)
        for entity in Tokens(row, own, suffix=suffix, sent_id=0).entities
    ]


def _counts(rows: list[set[Entity]], types: list[str]) -> FloatArray:
    """How many entities of each type each row has, `[N, T]`."""
    counts = [Counter(entity[0] for entity in row) for row in rows]
    return np.array([[count[name] for name in types] for count in counts], dtype=np.float64).reshape(
        len(rows), len(types)
    )


def _scores(prefix: str, hits: FloatArray, given: FloatArray, own: FloatArray) -> dict[str, FloatArray]:
    return {
        f"{prefix}precision": divided(hits, given, otherwise=0.0),
        f"{prefix}recall": divided(hits, own, otherwise=0.0),
        f"{prefix}f1": divided(2 * hits, given + own, otherwise=0.0),
    }


def _check_tags(
    predicted: list[list[str]], actual: list[list[str]], *, suffix: bool, scheme: str | None
) -> None:
    for row, (given, own) in enumerate(zip(predicted, actual, strict=True)):
        if len(given) != len(own):
            raise DataError(
                f"row {row}: expected one predicted tag for each of the {len(own)} tags, found {len(given)}."
            )
    for side, rows in (("predictions", predicted), ("references", actual)):
        for tag in sorted({tag for row in rows for tag in row}):
            if not _is_tag(tag, suffix=suffix, scheme=scheme):
                row = next(number for number, own in enumerate(rows) if tag in own)
                example = "PER-B" if suffix else "B-PER"
                letters = "" if scheme is None else f" with the letters of {scheme}"
                raise DataError(
                    f"{side} row {row}: expected 'O' or tags of entities such as {example!r}{letters}, found {tag!r}. "
                    "seqeval scores entities only."
                )


def _is_tag(tag: str, *, suffix: bool, scheme: str | None) -> bool:
    """Whether a tag is `O`, a letter, or a letter and a type.

    Without a scheme seqeval reads any letter before a type: B and S begin an entity, E and S end one, all others go on
    with it. Without a type it finds no beginning of the others.
    """
    letters = frozenset((scheme or "IOBES").strip("12"))
    letter, dash = (tag[-1:], tag[-2:-1]) if suffix else (tag[:1], tag[1:2])
    typed = len(tag) > 2 and dash == "-" and letter != "O" and (letter in letters or scheme is None)
    return tag in letters or (typed and letter.isalpha())


def _check(options: Mapping[str, object], labels: int | None, multi_label: bool) -> list[str]:
    scheme, mode = options["scheme"], options["mode"]
    if mode == "strict" and scheme is None:
        return [
            f"mode 'strict' needs the scheme of the tags; set scheme to one of {', '.join(map(repr, _SCHEMES))}."
        ]
    if mode is None and scheme is not None:
        return [
            f"scheme counts only with mode 'strict'; set mode to 'strict', or leave scheme {scheme!r} out."
        ]
    return []


seqeval = Metric(
    "seqeval", form="tags", weighted=_seqeval, main="overall_f1",
    keys=(
        "overall_precision", "overall_recall", "overall_f1", "overall_accuracy", "<type>_precision", "<type>_recall",
        "<type>_f1", "<type>_number",
    ),
    neutral=("*_number",), package=Package("seqeval", "seqeval", comes_along=True), check=_check,
    description="entities whose type and both ends are right; accuracy is over tags",
    valid_options={"suffix": flag(), "scheme": one_of(None, *_SCHEMES), "mode": one_of(None, "strict")},
)  # fmt: skip
