"""Whether rows of different tasks leave each other alone in a base, found out by running it in training mode.

A list of architectures could only say what somebody has tried. Here the base itself is asked, on a few tokens:

1. *repetition*: the same rows twice give the same, whatever random numbers are drawn meanwhile;
2. *neighbours*: a row alone, and beside a longer row of another task, gives the same;
3. *positions*: rotary angles of a short row do not depend on the longest row that the run has.

That later tokens do not change earlier outputs is asked where a base is to write: `hf_mtl.models.causality`.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from hf_mtl.models.probes.draws import extreme_draws
from hf_mtl.models.probes.positions import (
    PositionCall,
    angles_beside,
    longest_without_effect,
    position_calls,
)
from hf_mtl.models.probes.rows import Extent, batch_of, longest_of, outputs_by_row, probe_rows
from hf_mtl.models.quantisation import quantisation_note
from hf_mtl.models.rates import switch_noise_off
from hf_mtl.models.routed_model import RoutedModel

__all__ = ["Finding", "probe_isolation"]

# Relative differences that are rounding: another batch may sum a product in another order, through all layers.
_LIMITS = {torch.float64: 1e-9, torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 5e-2}
_COARSE_LIMIT = 5e-2  # int8 products round a token by what else is in the batch

_NAMED = 3  # modules in a message
_ANGLES = 8  # positions whose angles are compared, at least: the first one's are 0 in any case


@dataclass(frozen=True)
class Finding:
    """What keeps tasks from being isolated on a base.

    Args:
        probe: `repetition`, `neighbours` or `positions`.
        difference: How much what the base gives changes, relative to what it gives.
        limit: Up to here it is rounding.
        what: What was seen.
        remedy: What a user can do.
    """

    probe: str
    difference: float
    limit: float
    what: str
    remedy: str

    @property
    def text(self) -> str:
        """The finding in a sentence."""
        return f"{self.what} (probe {self.probe!r}: relative difference {self.difference:.1e}, limit {self.limit:.0e})"


@dataclass(frozen=True)
class _Outcome:
    findings: tuple[Finding, ...]
    noise: tuple[str, ...] = ()  # the modules whose noise was switched off
    configs: bool = False  # whether in their configurations


_OUTCOMES: dict[
    str, _Outcome
] = {}  # by what a base is and what is asked, for it is loaded anew for every trial


def probe_isolation(model: RoutedModel, extent: Extent) -> tuple[Finding, ...]:
    """Probe a base; the same base is not probed twice in a process.

    Noise that can be switched off without changing what the base gives in evaluation is switched off. Random streams,
    the mode and the adapters of the model stay as they are.

    Args:
        model: The model; its adapters take no part.
        extent: What the rows of the run are like.

    Returns:
        What was found; empty if rows leave each other alone.
    """
    key = _key(model, extent)
    known = _OUTCOMES.get(key)
    if known is None:
        with _in_training(model):
            known = _OUTCOMES[key] = _probe(model, extent)
    elif known.noise:
        modules = dict(model.base.named_modules())
        switch_noise_off([modules[name] for name in known.noise], configs=known.configs)
    return known.findings


def _key(model: RoutedModel, extent: Extent) -> str:
    base = model.base
    what = (
        model.identity.fingerprint,
        type(base).__name__,
        base.config.to_json_string(),
        base.dtype,
        model.device.type,
        model.layout,
        extent,
    )
    return hashlib.sha256(repr(what).encode()).hexdigest()


def _probe(model: RoutedModel, extent: Extent) -> _Outcome:
    short, long = probe_rows(model.base, extent)
    limit = _limit(model)
    alone = partial(_outputs, model, batch_of(model, [short]), short.route)
    beside = partial(_outputs, model, batch_of(model, [long, short]), short.route)
    with position_calls(model.base) as calls, extreme_draws(high=False) as drawing:
        low = alone()
    difference, names = _difference(low, _high(alone)), _names(model, drawing)
    quiet: bool | None = None
    if not difference <= limit:
        quiet = _quieted(model, drawing, alone, limit)
        if quiet is None:
            return _Outcome((_repetition(difference, limit, names),))
        low = alone()
    findings = []
    difference = _difference(low, beside())
    if not difference <= limit:
        findings.append(_neighbours(difference, limit))
    findings += [found for call in calls if (found := _positions(model, call, extent)) is not None]
    return _Outcome(tuple(findings), () if quiet is None else names, bool(quiet))


def _outputs(model: RoutedModel, batch: object, route: str) -> Tensor:
    return outputs_by_row(model, batch)[route]  # type: ignore[arg-type]  # partial forgets what it was made of


def _high(run: Callable[[], Tensor]) -> Tensor:
    with extreme_draws(high=True):
        return run()


def _quieted(
    model: RoutedModel, drawing: list[nn.Module], run: Callable[[], Tensor], limit: float
) -> bool | None:
    """Switch noise off, on modules or else in their configurations (True); None if neither helps.

    It helps if passes repeat then, and what the base gives in evaluation does not change with it.
    """
    model.eval()
    before = run()
    for configs in (False, True):
        undo = switch_noise_off(drawing, configs=configs)
        kept = _difference(before, run()) <= limit
        model.train()
        with extreme_draws(high=False):
            low = run()
        if kept and _difference(low, _high(run)) <= limit:
            return configs
        undo()
        model.eval()
    model.train()
    return None


def _names(model: RoutedModel, modules: list[nn.Module]) -> tuple[str, ...]:
    names = {id(module): name for name, module in model.base.named_modules()}
    return tuple(names[id(module)] for module in modules if id(module) in names)


def _repetition(difference: float, limit: float, names: tuple[str, ...]) -> Finding:
    where = ", ".join(repr(name or "the base itself") for name in names[:_NAMED])
    more = f" and {len(names) - _NAMED} others" if len(names) > _NAMED else ""
    drawn = f"; random numbers are drawn in {where}{more}" if names else ""
    return Finding(
        "repetition",
        difference,
        limit,
        f"the same row twice gives different outputs in training mode{drawn}",
        "set the rate of that dropout or noise to 0 in the base's config before it is loaded",
    )


def _neighbours(difference: float, limit: float) -> Finding:
    return Finding(
        "neighbours",
        difference,
        limit,
        "a row beside a longer row of another task gives other outputs than alone, so that padding, a statistic of the "
        "batch or a capacity is shared",
        "train the tasks in runs of their own",
    )


def _positions(model: RoutedModel, call: PositionCall, extent: Extent) -> Finding | None:
    limit = _LIMITS[torch.float32]
    longest = longest_of(model.base, extent)
    short = min(max(extent.shortest, _ANGLES), longest)
    try:
        difference = angles_beside(call, short, longest, model.device)
        if difference <= limit:
            return None
        fitting = longest_without_effect(call, short, longest, model.device)
    except (RuntimeError, IndexError, TypeError):
        return None  # it reads more than positions, so it cannot be called by itself
    (name,) = _names(model, [call.module]) or ("rotary positions",)
    return Finding(
        "positions",
        difference,
        limit,
        f"the rotary angles of a row of {short} tokens, made by {name!r}, change beside or after a row of {longest} "
        f"tokens",
        f"set max_length={fitting}, up to which they are the same"
        if fitting > short
        else "take a base whose rotary positions do not depend on the batch (rope_scaling)",
    )


def _difference(one: Tensor, other: Tensor) -> float:
    """`||other - one|| / ||one||`; infinite where there is no such number."""
    found = float((other.double() - one.double()).norm() / one.double().norm().clamp_min(1e-12))
    return found if math.isfinite(found) else math.inf


def _limit(model: RoutedModel) -> float:
    note = quantisation_note(model.base)
    coarse = note is not None and "4 bits" not in note
    limit = _LIMITS.get(model.base.dtype, _COARSE_LIMIT)
    return max(limit, _COARSE_LIMIT) if coarse else limit


@contextlib.contextmanager
def _in_training(model: RoutedModel) -> Iterator[None]:
    """In training mode, without gradients; random streams and the mode are as before afterwards."""
    was_training, state = model.training, random.getstate()
    devices = [model.device] if model.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=devices), torch.no_grad():
            model.train()
            yield
    finally:
        model.train(was_training)
        random.setstate(state)
