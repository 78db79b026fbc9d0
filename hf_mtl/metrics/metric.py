"""A metric: predictions and references of one form go in, named figures come out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from fnmatch import fnmatchcase
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from hf_mtl.errors import ConfigError, DataError, did_you_mean, listing
from hf_mtl.metrics.forms import FloatArray, Form, Rows
from hf_mtl.metrics.options import Option
from hf_mtl.packages import Package

__all__ = ["Figures", "Metric", "Weighted", "divided", "paired"]

Figures: TypeAlias = Mapping[str, object]
Weighted: TypeAlias = Callable[[FloatArray], Mapping[str, FloatArray]]
"""From weights of the rows, `[R, N]`, to the figures that each of the R weightings gives, `[R]` each."""


@dataclass(frozen=True)
class _Named:
    """A context whose exceptions go on with the note of which metric they come from: a user's own may be any."""

    metric: str

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is not None:
            error.add_note(f"raised by the metric {self.metric!r}")


@dataclass(frozen=True)
class Metric:
    """One metric with its options.

    Args:
        name: Its name in messages and tables.
        form: The form of its predictions; None takes whatever the kind of task gives by default.
        function: From predictions, references and all options to figures; a metric without it uses `weighted`.
        weighted: From the same to a function of the rows' weights, which gives the figures of many resamples at once.
            A resample holds a row as often as its weight says: the figures are those of `function` on repeated rows.
        main: The key that stands for the metric; None is the first one that it gives.
        greater_is_better: Whether a larger figure is better.
        neutral: Patterns of the keys that are neither better nor worse when larger: counts, thresholds.
        keys: The keys that it gives, for tables; some depend on options and data.
        description: One line for tables and reports.
        valid_options: What each of its options accepts.
        options: Those that the user has set.
        package: What must be installed.
        check: From the options, the number of labels (None: unknown) and whether a row has several, to problems.

    Example:
        >>> share = Metric("share", function=lambda predictions, references: {"share": 0.5, "unit": "percent"})
        >>> share.compute(predictions=[1, 2], references=[1, 3])
        {'share': 0.5}
    """

    name: str
    _: KW_ONLY
    form: Form | None = None
    function: Callable[..., Figures] | None = None
    weighted: Callable[..., Weighted] | None = None
    main: str | None = None
    greater_is_better: bool = True
    neutral: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    description: str = ""
    valid_options: Mapping[str, Option] = field(default_factory=dict)
    options: Mapping[str, object] = field(default_factory=dict)
    package: Package | None = None
    check: Callable[[Mapping[str, object], int | None, bool], list[str]] | None = None

    def __post_init__(self) -> None:
        if self.function is None and self.weighted is None:
            raise ConfigError(f"the metric {self.name!r} has nothing to compute with; give it a function.")

    @property
    def settings(self) -> dict[str, object]:
        """All options, as set or by default."""
        return {name: option.default for name, option in self.valid_options.items()} | dict(self.options)

    def with_options(self, **options: object) -> Metric:
        """The same metric with these options.

        Raises:
            ConfigError: If an option is unknown, or its value is not accepted.
        """
        problems = []
        for name, value in options.items():
            if name not in self.valid_options:
                known = listing(self.valid_options) or "none"
                hint = did_you_mean(name, self.valid_options)
                problems.append(
                    f"the metric {self.name!r} has no option {name!r}; its options are {known}.{hint}"
                )
            elif not self.valid_options[name].accepts(value):
                expects = self.valid_options[name].expects
                problems.append(f"the metric {self.name!r}: {name} must be {expects}, found {value!r}.")
        if problems:
            raise ConfigError(problems)
        return replace(self, options={**self.options, **options})

    def problems(
        self, *, labels: int | None = None, multi_label: bool = False, quick: bool = False
    ) -> list[str]:
        """What keeps this metric from being computed, as far as it is known before there are predictions.

        Args:
            labels: How many labels the task has, if that is known.
            multi_label: Whether a row may have several labels.
            quick: As in `Package.problem`.
        """
        problems = self._package_problems(quick=quick)
        if self.check is not None:
            problems += [
                f"the metric {self.name!r}: {text}" for text in self.check(self.settings, labels, multi_label)
            ]
        return problems

    def compute(self, *, predictions: Rows, references: Rows) -> dict[str, float]:
        """The figures of these rows.

        Args:
            predictions: One per row, of the form that the metric takes.
            references: One per row.

        Returns:
            Figures by key. Nested dictionaries are joined by `_`; what is not a number is left out. A figure that
            the rows do not define (a correlation with a constant) is NaN.

        Raises:
            ConfigError: If an option does not fit these rows, or a package is missing.
            DataError: If the rows are not of the metric's form, or none.
        """
        self._check_rows(predictions, references)
        with _Named(self.name):
            figures = self._figures(predictions, references)
        return self._numbers(figures)

    def resampler(self, predictions: Rows, references: Rows) -> Weighted | None:
        """The figures as a function of the rows' weights, or None for a metric that has no such function.

        Raises:
            ConfigError: As in `compute`.
            DataError: As in `compute`.
        """
        self._check_rows(predictions, references)
        return None if self.weighted is None else self.weighted(predictions, references, **self.settings)

    def better(self, key: str) -> bool | None:
        """Whether a larger figure of this key is better (True), worse (False), or neither (None)."""
        return None if any(fnmatchcase(key, pattern) for pattern in self.neutral) else self.greater_is_better

    def main_key(self, figures: Mapping[str, float]) -> str:
        """The key of these figures that stands for the metric."""
        return self.main if self.main in figures and self.main is not None else next(iter(figures))

    def _figures(self, predictions: Rows, references: Rows) -> Figures:
        if self.function is not None:
            return self.function(predictions, references, **self.settings)
        assert self.weighted is not None  # by __post_init__
        once = np.ones((1, len(predictions)))
        return {
            key: own[0] for key, own in self.weighted(predictions, references, **self.settings)(once).items()
        }

    def _check_rows(self, predictions: Rows, references: Rows) -> None:
        if problems := self._package_problems():
            raise ConfigError(problems)
        if len(predictions) != len(references):
            raise DataError(
                f"the metric {self.name!r} needs one prediction per reference, found {len(predictions)} predictions "
                f"for {len(references)} references."
            )
        if not len(predictions):
            raise DataError(f"the metric {self.name!r} needs at least one row, found none.")

    def _package_problems(self, *, quick: bool = False) -> list[str]:
        what = f"the metric {self.name!r}"
        problem = None if self.package is None else self.package.problem(what, quick=quick)
        return [] if problem is None else [problem]

    def _numbers(self, figures: Figures) -> dict[str, float]:
        if not isinstance(figures, Mapping):
            raise ConfigError(
                f"the metric {self.name!r} must return a dictionary of figures such as {{'score': 0.5}}, found "
                f"{figures!r} of type {type(figures).__name__}."
            )
        numbers = {
            key: float(value) for key, value in _flat(figures) if isinstance(value, float | int | np.number)
        }
        if not numbers:
            raise ConfigError(f"the metric {self.name!r} returned no number, only {dict(figures)!r}.")
        return numbers


def _flat(figures: Mapping[str, object]) -> list[tuple[str, object]]:
    flat: list[tuple[str, object]] = []
    for key, value in figures.items():
        if isinstance(value, Mapping):
            flat += [(f"{key}_{inner}", own) for inner, own in _flat(value)]
        else:
            flat.append(
                (str(key), value.item() if isinstance(value, np.ndarray) and value.size == 1 else value)
            )
    return flat


def divided(above: FloatArray, below: FloatArray, *, otherwise: float = math.nan) -> FloatArray:
    """`above / below`, and `otherwise` where `below` is 0; no warning.

    >>> divided(np.array([1.0, 1.0]), np.array([2.0, 0.0]), otherwise=0.0).tolist()
    [0.5, 0.0]
    """
    shape = np.broadcast_shapes(above.shape, below.shape)
    quotient: FloatArray = np.full(shape, otherwise)
    np.divide(above, below, out=quotient, where=np.broadcast_to(below, shape) != 0)
    return quotient


def paired(predictions: NDArray[np.generic], references: NDArray[np.generic], what: str) -> None:
    """Check that both sides have the same shape.

    Raises:
        DataError: If they have not.
    """
    found, expected = predictions.shape, references.shape
    if found != expected:
        raise DataError(
            f"{what} must have the shape of the references {list(expected)}, found {list(found)}."
        )
