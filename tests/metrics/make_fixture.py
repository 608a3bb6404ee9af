"""Writes statistics_fixture.csv: random trials, and their statistics as numpy and SciPy compute them.

Independent of memcap: the formulas are those of the result format, the tools are numpy.std(ddof=1),
scipy.stats.describe and scipy.optimize.least_squares (for the fit of slope 1).
Run with an environment that has numpy and scipy: `python make_fixture.py > statistics_fixture.csv`.
"""

import sys

import numpy as np
from scipy import optimize, stats

WIDTH, VOCABULARY, BITS = 64, 1024, 16
LENGTHS = [2, 8, 16, 32, 101, 201]


def trials(random, memory_vectors):
    for length in LENGTHS:
        for sample in range(6):
            scored = length - 1
            solved = length <= 8 * memory_vectors
            correct = scored if solved else int(random.integers(0, scored + 1))
            if length == 101 and sample == 0:
                correct = 99  # accuracy .99 exactly: on the limit
            nomem = random.uniform(2.0, 6.0)
            yield length, scored, correct, random.integers(0, max(1, scored // 2)) / scored, nomem, nomem * random.uniform(0.01, 0.9)


def statistics(rows, memory_vectors):
    length, scored, correct, accuracy_nomem, nomem, minimum = (np.array(column) for column in zip(*rows))
    accuracy = correct / scored
    limited, reached, below = correct * 100 <= scored * 99, correct * 100 >= scored * 99, correct * 100 < scored * 99
    tokens = ((accuracy - accuracy_nomem) * length)[limited]
    nats = ((nomem - minimum) * length)[limited]
    before, after = (nomem * (length - 1))[below], (minimum * scored)[below]
    offset = -optimize.least_squares(lambda b: after - (before + b[0]), [0.0], xtol=1e-15, gtol=1e-15).x[0]
    means = {n: sum(c for l, c in zip(length, correct) if l == n) * 100 >= 99 * sum(s for l, s in zip(length, scored) if l == n)
             for n in LENGTHS}
    exact = {n: all(c == s for l, c, s in zip(length, correct, scored) if l == n) for n in LENGTHS}
    capacity = max([n for n in LENGTHS if means[n]], default=0)
    theory = memory_vectors * WIDTH * BITS / np.log2(VOCABULARY)
    token_spread, nat_spread = stats.describe(tokens, ddof=1), stats.describe(nats, ddof=1)
    return [capacity, max([n for n in LENGTHS if exact[n]], default=0), int(capacity == max(LENGTHS)),
            token_spread.mean, np.sqrt(token_spread.variance), nat_spread.mean, np.sqrt(nat_spread.variance),
            (nomem * (length - 1))[reached].max(), (minimum * length)[reached].max(), offset, theory, token_spread.mean / theory]


def main():
    random = np.random.default_rng(3)
    out = lambda kind, values: print(",".join([kind, *(repr(float(value)) for value in values)]), file=sys.stdout)
    for memory_vectors in (1, 2, 4):
        rows = list(trials(random, memory_vectors))
        for row in rows:
            out("trial", [memory_vectors, *row])
        out("statistics", [memory_vectors, *statistics(rows, memory_vectors)])


if __name__ == "__main__":
    main()
