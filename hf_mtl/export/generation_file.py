"""What stops an adapter's answers, for those who generate with plain PEFT: `generation_config.json` in its folder."""

from __future__ import annotations

from pathlib import Path

from transformers import GenerationConfig, PreTrainedTokenizerBase

from hf_mtl.files import remove_file, writing
from hf_mtl.models import RoutedModel, base_end_ids
from hf_mtl.models.saved import GENERATION_FILE
from hf_mtl.tasks import Processor

__all__ = ["write_generation_config"]


def write_generation_config(
    folder: Path, model: RoutedModel, route: str, processor: Processor | None
) -> None:
    """Write the file, or take it away where no ends of the route's completions are known.

    It holds the tokens that end an answer, the one that fills up batches, and those that begin a text; all else stays
    as in the base's own generation config, which `generate` falls back to.

    Args:
        folder: The adapter's.
        model: The routed model.
        route: The adapter's route.
        processor: The base's tokenizer or image processor.
    """
    ends = model.ends.get(route, ())
    if not ends:
        remove_file(folder / GENERATION_FILE)
        return
    tokenizer = processor if isinstance(processor, PreTrainedTokenizerBase) else None
    own = None if tokenizer is None else tokenizer.eos_token_id
    ids = [*(end.id for end in ends), *([] if own is None else [own]), *base_end_ids(model.base)]
    base = model.base.generation_config
    pad = tokenizer.pad_token_id if tokenizer is not None else base.pad_token_id
    config = GenerationConfig(
        eos_token_id=list(dict.fromkeys(ids)),
        pad_token_id=ids[0] if pad is None else pad,
        bos_token_id=base.bos_token_id,
        decoder_start_token_id=base.decoder_start_token_id,
    )
    with writing(folder / GENERATION_FILE):
        config.save_pretrained(folder)
