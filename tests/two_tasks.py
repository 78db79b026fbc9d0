"""Two small tasks, their rows and a recipe that trains them on the tiny model."""

from __future__ import annotations

VERBS = {"walk": "walked", "run": "ran", "sing": "sang", "swim": "swam", "bake": "baked", "play": "played"}
WORDS = {
    "good": "positive",
    "fine": "positive",
    "great": "positive",
    "bad": "negative",
    "poor": "negative",
    "awful": "negative",
}

RECIPE = """\
# hf-mtl train recipe.yaml
model: {{id: someone/tiny-llama, source: {model}, dtype: float32}}
output_dir: runs/tiny
defaults: {{adapter: {{r: 4, lora_alpha: 8, target_modules: all-linear}}, max_length: 64}}
tasks:
  words:
    train: words.jsonl
    eval: words.jsonl
    template: {{prompt: "{{text}} is", completion: " {{label}}"}}
    labels: [negative, positive]
    metrics: [exact_match, accuracy]
  past tense:
    train: verbs.jsonl
    eval: verbs.jsonl
    template: {{prompt: "{{lemma}}:", completion: " {{past}}"}}
training: {{max_steps: 2, per_device_train_batch_size: 3, learning_rate: 1e-2, logging_steps: 1, use_cpu: true}}
"""
