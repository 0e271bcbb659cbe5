"""Texts as vectors, groups of similar ones, and instructions near to captions."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from genllava_finetune.curate.asking import Asking, Stopped
from genllava_finetune.curate.faults import fault_of

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings

Vectors = NDArray[np.float32]
_BATCH = 64
_SIZE = 1024


async def embed(asking: Asking, embedder: Embeddings | None, name: str, texts: Sequence[str]) -> Vectors:
    """A vector of length 1 for each text, [N, D].

    Args:
        asking: its ledger keeps the vectors of a model, so that none is asked for twice.
        embedder: any LangChain embedding model; None: TF-IDF of the words and their pieces, which needs no model.
        name: of the embedding model, which is part of the key in the ledger.
    """
    if embedder is None:
        return tf_idf(texts)
    found = list[Any]()
    for start in range(0, len(texts), _BATCH):
        batch = list(texts[start : start + _BATCH])

        async def vectors(batch: list[str] = batch) -> list[list[float]]:
            try:
                return await embedder.aembed_documents(batch)
            except Exception as error:  # each provider's package has exceptions of its own
                raise Stopped(f"the embedding model gives no answer: {fault_of(error).reason}") from error

        found += await asking.remember("embed", {"embeddings": name, "texts": batch}, vectors)
    return _unit(np.asarray(found, np.float32))


def tf_idf(texts: Sequence[str]) -> Vectors:
    """Hashed TF-IDF of words and of their runs of three letters, in rows of length 1, [N, 1024]."""
    counts = np.zeros((len(texts), _SIZE), np.float32)
    for number, words in enumerate(texts):
        for word in words.casefold().split():
            padded = f" {word} "
            for piece in (word, *(padded[start : start + 3] for start in range(len(padded) - 2))):
                counts[number, crc32(piece.encode("utf-8", "surrogatepass")) % _SIZE] += 1
    rarity = np.log((1 + len(texts)) / (1 + (counts > 0).sum(0))) + 1
    return _unit(np.log1p(counts) * rarity.astype(np.float32))


def groups(vectors: Vectors, count: int, seed: int) -> list[list[int]]:
    """K-means: the indices of each group, from its centre outwards; empty groups are left out."""
    from scipy.cluster.vq import kmeans2

    count = max(1, min(count, len(vectors)))
    # The form of a seed that every scipy from 1.14 on takes.
    state = np.random.RandomState(seed % 2**32)
    centres, labels = kmeans2(vectors.astype(np.float64), count, minit="++", seed=state, missing="warn")
    made = list[list[int]]()
    for label in range(count):
        members = np.flatnonzero(labels == label)
        distances = np.linalg.norm(vectors[members] - centres[label], axis=1)
        made.append([int(member) for member in members[np.argsort(distances, kind="stable")]])
    return [members for members in made if members]


def assign(captions: Vectors, instructions: Vectors, matches: int) -> list[list[int]]:
    """For each caption the indices of the instructions that are nearest to it.

    No instruction is given to more than twice its even share of captions; of those that are equally near, the one
    that has been given less often comes first.

    Args:
        captions: [N, D].
        instructions: [M, D].
        matches: how many for each caption.
    """
    used = np.zeros(len(instructions), np.int64)
    most = max(1, ceil(2 * len(captions) * matches / max(1, len(instructions))))
    made = list[list[int]]()
    for vector in captions:
        near = np.round(instructions @ vector, 5)
        order = [int(each) for each in np.lexsort((np.arange(len(near)), used, -near)) if used[each] < most]
        chosen = order[:matches]
        used[chosen] += 1
        made.append(chosen)
    return made


def _unit(vectors: NDArray[Any]) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), np.float32)
