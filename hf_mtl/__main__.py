"""`python -m hf_mtl` is the program `hf-mtl`; `torchrun -m hf_mtl train ...` starts it on several processes."""

from hf_mtl.cli import main

if __name__ == "__main__":
    main()
