"""How alike the inputs of neurons are: what a list of consecutive targets can save.

Two forms with the same results. One follows the synapses of a neuron's sources, and is the faster one where inputs are sparse. The other
keeps 64 sources to a word, of each neuron between the first and the last one that needs the word, and counts the bits that two neurons
have in common. Each neuron takes the form that visits less.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ....jit import jit, jit_inline
from ..loads.load import Wiring

__all__ = ["HELD", "WORDS", "WORK", "shared_before"]

Int = NDArray[np.int64]
Int32 = NDArray[np.int32]
Bool = NDArray[np.bool_]
UInt = NDArray[np.uint64]
WORK = 600_000_000  # pairs of synapses of a source that are looked at: two seconds
WORDS = 4  # that are looked at in less time than one pair of synapses
HELD = 8_000_000  # words that are kept: 64 MB
BITS = 64
ONE, TWO, FOUR, TOP = np.uint64(1), np.uint64(2), np.uint64(4), np.uint64(56)
ODD, PAIRS, NIBBLES = np.uint64(0x5555555555555555), np.uint64(0x3333333333333333), np.uint64(0x0F0F0F0F0F0F0F0F)
BYTES = np.uint64(0x0101010101010101)


def shared_before(wiring: Wiring) -> Int:
    """Return, per neuron, the most groups of synapses that it shares with any neuron of a lower number: (neurons,).

    Of two neurons with consecutive numbers on a core, so many lists at most hold both. Where the pairs are more than `WORK`, its
    synapses, which is never less.
    """
    pointers, targets = wiring.by_group
    counts = np.diff(pointers)
    if int((counts * (counts - 1) // 2).sum()) > WORK:
        return np.diff(wiring.indptr).astype(np.int64)
    most = np.zeros(wiring.neurons, np.int64)
    words = -(-counts.size // BITS)
    first, last, by_bits = np.full(words, wiring.neurons, np.int64), np.full(words, -1, np.int64), np.zeros(wiring.neurons, np.bool_)
    _choose(wiring.indptr, wiring.groups, np.zeros(counts.size, np.int64), first, last, by_bits, WORDS)
    begin = np.concatenate([[0], np.cumsum(np.maximum(0, last + 1 - first))]).astype(np.int64)
    if begin[-1] > HELD:
        by_bits[:] = False
    elif by_bits.any():
        bits = np.zeros(begin[-1], np.uint64)
        begin = begin[:-1] - first  # where neuron 0 would be
        _fill(wiring.indptr, wiring.groups, begin, last, bits)
        _shared_bits(wiring.indptr, wiring.groups, first, begin, bits, by_bits, np.zeros(wiring.neurons, np.uint64), most)
    _shared(wiring.indptr, wiring.groups, pointers, targets, by_bits, np.zeros(wiring.neurons, np.int32), most)
    return most


@jit
def _choose(indptr: Int, groups: Int32, before: Int, first: Int, last: Int, by_bits: Bool, cheaper: int) -> None:
    """Write the form of each neuron, and the first and last neuron that need each word; `before`: (groups,) zeros; `cheaper`: `WORDS`."""
    for v in range(indptr.size - 1):
        pairs, words, previous = 0, 0, -1
        for j in range(indptr[v], indptr[v + 1]):
            group = groups[j]
            pairs += before[group]
            before[group] += 1
            word = group // BITS
            if word != previous:
                first[word] = min(first[word], v)
                words += v - first[word]
                previous = word
        if words < cheaper * pairs:
            by_bits[v] = True
            for j in range(indptr[v], indptr[v + 1]):
                last[groups[j] // BITS] = v


@jit
def _fill(indptr: Int, groups: Int32, begin: Int, last: Int, bits: UInt) -> None:
    """Write the words of the neurons; that of word k and neuron v is at begin[k] + v."""
    for v in range(indptr.size - 1):
        for j in range(indptr[v], indptr[v + 1]):
            word = groups[j] // BITS
            if v <= last[word]:
                bits[begin[word] + v] |= ONE << np.uint64(groups[j] % BITS)


@jit_inline
def _ones(x: np.uint64) -> np.uint64:
    """Return how many bits are 1; the compiler knows these lines and takes the processor's own instruction for them."""
    x = x - ((x >> ONE) & ODD)
    x = (x & PAIRS) + ((x >> TWO) & PAIRS)
    return (((x + (x >> FOUR)) & NIBBLES) * BYTES) >> TOP


@jit
def _shared_bits(indptr: Int, groups: Int32, first: Int, begin: Int, bits: UInt, by_bits: Bool, seen: UInt, most: Int) -> None:
    """Write to `most` for the neurons `by_bits`; `seen`: (neurons,) zeros, of which those below the last neuron are used."""
    for v in range(indptr.size - 1):
        if not by_bits[v]:
            continue
        low, previous = v, -1
        for j in range(indptr[v], indptr[v + 1]):
            word = groups[j] // BITS
            if word != previous:
                start, previous = first[word], word
                low = min(low, start)
                # views with an index from 0 on, of which the compiler makes vector instructions
                before, counts, own = bits[begin[word] + start : begin[word] + v], seen[start:v], bits[begin[word] + v]
                for other in range(counts.size):
                    counts[other] += _ones(before[other] & own)
        top = np.uint64(0)
        for other in range(low, v):
            top = max(top, seen[other])
            seen[other] = 0
        most[v] = top


@jit
def _shared(indptr: Int, groups: Int32, pointers: Int, targets: Int32, by_bits: Bool, seen: Int32, most: Int) -> None:
    """Write to `most` for the other neurons; `seen`: (neurons,) zeros, of which those below the last neuron are used."""
    for v in range(indptr.size - 1):
        if by_bits[v]:
            continue
        visited, top = 0, 0
        for j in range(indptr[v], indptr[v + 1]):
            group = groups[j]
            for i in range(pointers[group], pointers[group + 1]):
                other = targets[i]
                if other >= v:
                    break
                count = seen[other] + 1
                seen[other] = count
                top = max(top, count)
                visited += 1
        most[v] = top
        if visited > v // 16:  # few pairs are undone one by one
            seen[:v] = 0
            continue
        for j in range(indptr[v], indptr[v + 1]):
            group = groups[j]
            for i in range(pointers[group], pointers[group + 1]):
                other = targets[i]
                if other >= v:
                    break
                seen[other] = 0
