"""What the Hub asks of the metadata of a model card, after its documented specification of model cards.

`model-index`, `datasets` and `license` are what the Hub itself refuses; of the others it warns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

LICENCES = {
    "afl-3.0", "apache-2.0", "bsd", "bsd-2-clause", "bsd-3-clause", "cc", "cc-by-4.0", "cc-by-nc-4.0", "cc-by-sa-3.0",
    "cc-by-sa-4.0", "cc0-1.0", "gpl-3.0", "llama3.1", "mit", "odc-by", "openrail", "other", "unknown",
}  # fmt: skip
PIPELINES = {
    "text-classification", "token-classification", "question-answering", "text-generation", "image-classification",
    "fill-mask", "feature-extraction", "sentence-similarity",
}  # fmt: skip
_REPO = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_LANGUAGE = re.compile(r"[a-z]{2,3}|multilingual|code")


def problems_of(card: str) -> list[str]:
    """What is wrong with a card's metadata."""
    match = re.match(r"---\n(.*?)\n---", card, re.DOTALL)
    try:
        found = yaml.safe_load(match[1]) if match else {}
    except yaml.YAMLError as error:
        return [f"invalid YAML: {error}"]
    if not isinstance(found, dict):
        return ["the metadata must be a mapping"]
    return [*_named(found), *_index(found.get("model-index"))]


def _named(found: dict[str, Any]) -> Iterator[str]:
    for licence in _listed(found.get("license")):
        if licence not in LICENCES:
            yield f'"license" must be one of {sorted(LICENCES)}, found {licence!r}'
    if found.get("license") == "other" and not found.get("license_name"):
        yield '"license_name" is needed beside "license: other"'
    for key in ("datasets", "base_model"):
        for repo in _listed(found.get(key)):
            if not isinstance(repo, str) or not _REPO.fullmatch(repo):
                yield f'"{key}" must name repositories, found {repo!r}'
    for language in _listed(found.get("language")):
        if not isinstance(language, str) or not _LANGUAGE.fullmatch(language):
            yield f'"language" must be an ISO 639 code, found {language!r}'
    if found.get("pipeline_tag", "text-generation") not in PIPELINES:
        yield f'"pipeline_tag" must be one of {sorted(PIPELINES)}, found {found["pipeline_tag"]!r}'
    for key in ("tags", "metrics"):
        if not all(isinstance(own, str) for own in _listed(found.get(key))):
            yield f'"{key}" must be a list of strings'


def _listed(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _index(models: Any) -> Iterator[str]:
    if models is None:
        return
    if not isinstance(models, list) or not models:
        yield '"model-index" must be a list that is not empty'
        return
    for model in models:
        if not isinstance(model.get("name"), str) or not isinstance(model.get("results"), list):
            yield '"model-index" needs "name" and "results"'
            continue
        for number, result in enumerate(model["results"]):
            where = f'"model-index[0].results[{number}]'
            for part, keys in (("task", ("type",)), ("dataset", ("type", "name"))):
                for key in keys:
                    if not isinstance(result.get(part, {}).get(key), str):
                        yield f'{where}.{part}.{key}" is required'
            metrics = result.get("metrics")
            if not isinstance(metrics, list) or not metrics:
                yield f'{where}.metrics" is required'
                continue
            for metric in metrics:
                value = metric.get("value")
                if not isinstance(metric.get("type"), str) or value is None or value != value:
                    yield f'{where}.metrics" needs "type" and "value"'
