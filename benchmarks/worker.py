"""A process that computes one variant, one round per line of standard input, and answers each with what it cost.

It may run in another environment than its driver, so it imports one variant only.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

from workload import Spec

VARIANTS = {
    "routed": ("routed", "Routed"),
    "peft separate runs": ("peft_models", "SeparateRuns"),
    "peft set_adapter": ("peft_models", "SetAdapter"),
    "peft adapter_names": ("peft_models", "AdapterNames"),
    "peft one adapter packed": ("peft_models", "OneAdapterPacked"),
    "peft one adapter packed, base dtype": ("peft_models", "OneAdapterPackedBaseDtype"),
    "peft one adapter packed, sdpa": ("peft_models", "OneAdapterPackedSdpa"),
    "moe-peft": ("moe_peft_model", "MoePeft"),
    "adapterhub": ("adapterhub_model", "AdapterHub"),
}


def memory(field: str) -> float:
    """A field of /proc/self/status, in MiB: `VmRSS` is what is held now, `VmHWM` the most since the last reset."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise ValueError(f"/proc/self/status has no {field}")


def forget_peak() -> None:
    """Let `VmHWM` start anew, so that loading does not count."""
    Path("/proc/self/clear_refs").write_text("5")


def main() -> None:
    import torch
    from transformers.utils import logging

    warnings.filterwarnings("ignore")
    logging.set_verbosity_error()
    answers, sys.stdout = sys.stdout, sys.stderr  # what libraries print does not disturb the answers
    torch.set_num_threads(1)
    torch.manual_seed(0)
    asked = json.loads(sys.stdin.readline())
    module, name = VARIANTS[asked["variant"]]
    variant = getattr(importlib.import_module(f"variants.{module}"), name)(
        Spec(**asked["spec"]), asked["weights"]
    )

    def answer(**values: Any) -> None:  # Any: whatever JSON can hold
        print(json.dumps(values), file=answers, flush=True)

    answer(
        versions={library: importlib.metadata.version(library) for library in variant.libraries},
        rest_mib=memory("VmRSS"),
    )
    for line in sys.stdin:
        examples = json.loads(line)
        forget_peak()
        started = time.process_time()
        loss = variant.step(examples)
        computed = time.process_time()
        variant.update()
        answer(
            tokens=sum(len(example["ids"]) for example in examples),
            loss=loss,
            seconds=computed - started,
            optimizer_seconds=time.process_time() - computed,
            peak_mib=memory("VmHWM"),
        )


if __name__ == "__main__":
    main()
