#!/usr/bin/env bash
# Environments of their own for the libraries that we are measured against: their transformers is older than ours.
# Run once:   benchmarks/peers/setup.sh        (PYTHON=python3.11 chooses the interpreter)
set -euo pipefail
cd "$(dirname "$0")"
PYTHON=${PYTHON:-python3}

TORCH=${TORCH:-torch==2.13.0}  # as in constraints.txt, whose other versions are newer than these libraries take

# moe-peft asks for torch < 2.6, but runs on the torch that everybody else here is measured with; hence --no-deps.
"$PYTHON" -m venv .venv-moe-peft
.venv-moe-peft/bin/python -m pip install \
    "$TORCH" transformers==4.46.3 'huggingface-hub<1' 'datasets<4' evaluate accelerate scikit-learn sentencepiece
.venv-moe-peft/bin/python -m pip install --no-deps moe-peft==2.0.2

"$PYTHON" -m venv .venv-adapterhub
.venv-adapterhub/bin/python -m pip install "$TORCH" adapters==1.3.0
