"""Text from prompts of many routes at once: prompts packed, tokens batched, each row through its own adapter.

```python
from hf_mtl.models import Decoder, GenerationRequest, GenerationSettings

decoder = Decoder(model, tokenizer)
prompts = {"headline": "The storm", "plural": "mouse", None: "Once upon a time"}
requests = [
    GenerationRequest(route, tuple(tokenizer(text).input_ids), GenerationSettings(max_new_tokens=16))
    for route, text in prompts.items()
]
for answer in decoder.generate(requests):
    print(answer.text)
```
"""

from hf_mtl.models.decoding.decoder import Decoder
from hf_mtl.models.decoding.settings import (
    Event,
    Finish,
    Generation,
    GenerationRequest,
    GenerationSettings,
)

__all__ = ["Decoder", "Event", "Finish", "Generation", "GenerationRequest", "GenerationSettings"]
