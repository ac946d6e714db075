"""Random cohorts against integers modulo 2^64 and 2^128, whatever the tree and the order.

Every size from 3 to 64 nodes is among them. COHORTS in the environment says how many there are; the
long mode, ``make fuzz``, takes ten thousand.
"""

import os
from fractions import Fraction
from functools import cache
from itertools import combinations
from random import Random

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_node.network.wire.check_word import read_total, sealed
from edge_node.network.wire.combine import RingSum
from edge_node.network.wire.fixed_point import decode_wide, from_bytes, to_bytes
from edge_node.network.wire.segments import Segments
from edge_node.security.masks import MaskingKey, PairwiseMasks
from tests.vectors import generate, oracle

SMALLEST, LARGEST = 3, 64
COHORTS = int(os.environ.get("COHORTS", "500"))
KEYS = [Random(f"key {i}").randbytes(32) for i in range(LARGEST)]


@pytest.fixture
def agreed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """X25519, the slow part, is done once for each pair of 64 keys; everything else each time."""
    exchange, public = MaskingKey.exchange, MaskingKey.public
    assert isinstance(public, property)
    monkeypatch.setattr(MaskingKey, "exchange", cache(exchange))
    monkeypatch.setattr(MaskingKey, "public", property(cache(public.fget)))


@cache
def public_of(private: bytes) -> bytes:
    """The oracle's public key, which must be the product's."""
    public = oracle.public_key(private)
    assert public == X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()
    return public


@cache
def shared_of(private: bytes, public: bytes) -> bytes:
    """The oracle's shared secret; for the product's it doesn't matter whose key is private."""
    return oracle.x25519(private, public)


def size_of(number: int, random: Random) -> int:
    """How many nodes a cohort has: each size once, then small ones the most frequently."""
    if SMALLEST + number <= LARGEST:
        return SMALLEST + number
    return min(int(1 / random.uniform(1 / (LARGEST + 1), 1 / SMALLEST)), LARGEST)


class Cohort:
    """Random names, keys, numbers, epoch, plan and step."""

    def __init__(self, number: int) -> None:
        self.random = random = Random(f"cohort {number}")
        names = {f"n{random.getrandbits(48):x}" for _ in range(size_of(number, random))}
        privates = random.sample(KEYS, len(names))
        self.privates = dict(zip(sorted(names), privates, strict=True))
        self.publics = {node: public_of(key) for node, key in self.privates.items()}
        self.epoch, self.plan_hash = random.randrange(1, 2**63), random.randbytes(32)
        self.step = f"{random.randrange(1000)}/{random.choice(['survey', 'noise/1', 'ü'])}"
        self.bounds: list[tuple[int, float | None]] = [
            (random.randint(1, 2), random.choice([None, *generate.BOUNDS]))
            for _ in range(random.randint(1, 3))
        ]
        self.segments = Segments.of(sum(count for count, _ in self.bounds), self.bounds)
        self.rings = oracle.rings(self.bounds)
        exact = random.random() < 0.5
        self.numbers = {
            node: [self._number(b, exact) for n, b in self.bounds for _ in range(n)]
            for node in self.privates
        }

    def _number(self, bound: float | None, exact: bool) -> float:
        """One that fits, also in total; if ``exact``, binary64 holds such numbers' sum, and they
        are whole units.
        """
        random = self.random
        if bound is None and exact:
            return random.randrange(-(2**46), 2**46) * 2.0 ** random.choice((-60, -30, 6))
        if bound is None:
            return random.gauss(0, 1) * 2.0 ** random.uniform(-70, 50)
        if exact:
            most = int(Fraction(bound) * Fraction(2) ** oracle.exponent(bound)) // LARGEST >> 30
            return random.randint(-most, most) * 2.0 ** (30 - oracle.exponent(bound))
        return random.uniform(-bound, bound) / LARGEST * 2.0 ** -random.randint(0, 60)

    def messages(self) -> dict[str, bytes]:
        """What the product's nodes send."""
        sent = {}
        for node, private in self.privates.items():
            key = MaskingKey(private)
            masks = PairwiseMasks(node, key, self.publics, self.epoch, self.plan_hash)
            words = self.segments.encode(np.array(self.numbers[node]))
            words = sealed(words, self.segments, self.step)
            sent[node] = to_bytes(masks.mask(words, self.segments.runs, self.step))
        return sent

    def oracle_messages(self) -> dict[str, bytes]:
        """What the oracle's nodes send."""
        masks: dict[str, dict[str, list[int]]] = {node: {} for node in self.privates}
        for a, b in combinations(self.privates, 2):
            one, other = sorted((a, b), key=self.privates.__getitem__)
            shared = shared_of(self.privates[one], self.publics[other])
            secret = oracle.pair_secret(shared, (a, b), self.publics, self.epoch, self.plan_hash)
            masks[a][b] = masks[b][a] = oracle.keystream(secret, self.step, self.rings)
        return {
            node: oracle.to_bytes(
                oracle.masked(node, self.words(node), masks[node], self.rings), self.rings
            )
            for node in self.privates
        }

    def words(self, node: str) -> list[int]:
        """The oracle's words of a node, with their check word."""
        words = oracle.encoded(self.numbers[node], self.bounds)
        return oracle.sealed(words, self.bounds, self.step)

    @property
    def total(self) -> list[int]:
        """The plain sum of the oracle's words."""
        columns = zip(*map(self.words, self.privates), strict=True)
        return [sum(column) % ring for column, ring in zip(columns, self.rings, strict=True)]

    @property
    def units(self) -> list[int]:
        """For each number: a word of how many stands for one, as a power of two."""
        return [
            60 if bound is None else oracle.exponent(bound)
            for count, bound in self.bounds
            for _ in range(count)
        ]


def along_a_random_tree(messages: dict[str, bytes], segments: Segments, random: Random) -> bytes:
    """Each parent combines its own message with its children's, in any order."""
    names = random.sample(sorted(messages), len(messages))
    waiting = {name: [messages[name]] for name in names}
    for position in range(len(names) - 1, -1, -1):
        own = waiting.pop(names[position])
        random.shuffle(own)
        combined = RingSum(segments).combine(own)
        if position:
            waiting[names[random.randrange(position)]].append(combined)
    return combined


@pytest.mark.slow
@pytest.mark.timeout(600)  # ten thousand take a minute of one core, however many others want it
@pytest.mark.usefixtures("agreed_once")
def test_random_cohorts_sum_exactly() -> None:
    """Every message is the oracle's, bit for bit, and so is every total, along any two trees.

    The total is the plain sum's word, and the number in it the exact sum wherever the numbers are
    whole units and the sum is one of binary64. Its check word is that of its words.
    """
    exact, sizes = 0, set()
    for number in range(COHORTS):
        cohort = Cohort(number)
        sent = cohort.messages()
        assert sent == cohort.oracle_messages()
        total = along_a_random_tree(sent, cohort.segments, cohort.random)
        assert total == along_a_random_tree(sent, cohort.segments, cohort.random)
        assert total == oracle.to_bytes(cohort.total, cohort.rings)
        assert cohort.total == oracle.sealed(cohort.total[:-1], cohort.bounds, cohort.step)
        decoded = read_total(total, cohort.segments, cohort.step, len(sent)).tolist()
        assert decoded == oracle.decoded(cohort.total, cohort.bounds)
        columns = zip(*cohort.numbers.values(), strict=True)
        for value, units, column in zip(decoded, cohort.units, columns, strict=True):
            plain = sum(map(Fraction, column))
            whole = all((Fraction(x) * Fraction(2) ** units).denominator == 1 for x in column)
            if whole and Fraction(float(plain)) == plain:
                assert value == plain
                exact += 1
        sizes.add(len(sent))
    assert exact > COHORTS // 3
    assert sizes == set(range(SMALLEST, LARGEST + 1))


@given(st.integers(-(2**127), 2**127 - 2**63 - 1))
def test_decoding_is_exact_or_one_unit_off(word: int) -> None:
    """Exact where 53 digits are enough."""
    decoded = np.empty(1)
    decode_wide(from_bytes(oracle.to_bytes([word % oracle.WIDE], [oracle.WIDE])), decoded)
    (number,) = decoded.tolist()
    assert number == oracle.decode(word % oracle.WIDE)
    exact = Fraction(word, 1 << 60)
    if Fraction(float(exact)) == exact:
        assert number == exact
    assert abs(Fraction(number) - exact) <= Fraction(np.spacing(abs(number)))


@settings(max_examples=30)
@given(st.integers(1, 3), st.integers(0, 2), st.sampled_from([None, 2.0**53]))
def test_blocks_meet_without_a_seam(blocks: int, more: int, bound: float | None) -> None:
    """Vectors around the length that is masked, encoded and checked at a time."""
    length = blocks * 8192 + more - 1
    random = np.random.default_rng(length)
    numbers = random.normal(size=length) * 2.0 ** random.integers(-70, 50, size=length)
    bounds = [(length, bound), (1, None)]
    numbers, segments = np.append(numbers, 1.0), Segments.of(length + 1, bounds)
    words = sealed(segments.encode(numbers), segments, "0/s")
    publics = {node: public_of(KEYS[i]) for i, node in enumerate("ab")}
    masks = PairwiseMasks("b", MaskingKey(KEYS[1]), publics, 1, bytes(32))
    masked = to_bytes(masks.mask(words, segments.runs, "0/s"))
    shared = oracle.x25519(KEYS[1], publics["a"])
    secret = oracle.pair_secret(shared, ("a", "b"), publics, 1, bytes(32))
    rings = oracle.rings(bounds)
    known = oracle.sealed(oracle.encoded(numbers.tolist(), bounds), bounds, "0/s")
    stream = oracle.keystream(secret, "0/s", rings)
    expected = oracle.masked("b", known, {"a": stream}, rings)
    assert masked == oracle.to_bytes(expected, rings)
    assert segments.decode(words, 1).tolist() == oracle.decoded(known, bounds)


@given(st.floats(), st.sampled_from([None, *generate.BOUNDS]))
def test_what_the_oracle_refuses_is_refused(number: float, bound: float | None) -> None:
    """And nothing else."""
    segments = Segments.of(1, [(1, bound)])
    try:
        word = oracle.encode(number, bound)
    except ValueError:
        with pytest.raises(Exception, match="can't be summed"):
            segments.encode(np.array([number]))
    else:
        words = to_bytes(segments.encode(np.array([number])))
        assert words == oracle.to_bytes([word, 0], oracle.rings([(1, bound)]))
