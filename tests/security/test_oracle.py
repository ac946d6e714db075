"""Random cohorts against integers modulo 2^128, whatever the tree and the order.

Every size from 3 to 64 nodes is among them. COHORTS in the environment says how many there are; the
long mode, ``make fuzz``, takes ten thousand.
"""

import os
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from itertools import combinations
from random import Random

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_node.network.wire import fixed_point
from edge_node.network.wire.combine import RingSum
from edge_node.security.masks import MaskingKey, PairwiseMasks
from tests.vectors import oracle

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
        length = random.randint(1, 3)
        number = self._exact(random.choice((-60, -30, 6))) if random.random() < 0.5 else self._any
        self.numbers = {node: [number() for _ in range(length)] for node in self.privates}

    def _exact(self, scale: int) -> Callable[[], float]:
        """Numbers whose sum binary64 holds, and that have no digits beyond 2^-60."""
        return lambda: self.random.randrange(-(2**46), 2**46) * 2.0**scale

    def _any(self) -> float:
        return self.random.gauss(0, 1) * 2.0 ** self.random.uniform(-70, 50)

    def messages(self) -> dict[str, bytes]:
        """What the product's nodes send."""
        sent = {}
        for node, private in self.privates.items():
            key = MaskingKey(private)
            masks = PairwiseMasks(node, key, self.publics, self.epoch, self.plan_hash)
            words = fixed_point.encode(np.array(self.numbers[node]))
            sent[node] = fixed_point.to_bytes(masks.mask(words, self.step))
        return sent

    def oracle_messages(self) -> dict[str, bytes]:
        """What the oracle's nodes send."""
        masks: dict[str, dict[str, list[int]]] = {node: {} for node in self.privates}
        for a, b in combinations(self.privates, 2):
            one, other = sorted((a, b), key=self.privates.__getitem__)
            shared = shared_of(self.privates[one], self.publics[other])
            secret = oracle.pair_secret(shared, (a, b), self.publics, self.epoch, self.plan_hash)
            length = len(self.numbers[a])
            masks[a][b] = masks[b][a] = oracle.keystream(secret, self.step, length)
        return {
            node: oracle.to_bytes(
                oracle.masked(node, [*map(oracle.encode, self.numbers[node])], masks[node])
            )
            for node in self.privates
        }

    @property
    def total(self) -> list[int]:
        """The plain sum of the oracle's words, as signed integers."""
        words = [[oracle.signed(oracle.encode(x)) for x in row] for row in self.numbers.values()]
        return [sum(column) for column in zip(*words, strict=True)]


def along_a_random_tree(messages: dict[str, bytes], random: Random) -> bytes:
    """Each parent combines its own message with its children's, in any order."""
    names = random.sample(sorted(messages), len(messages))
    waiting = {name: [messages[name]] for name in names}
    for position in range(len(names) - 1, -1, -1):
        own = waiting.pop(names[position])
        random.shuffle(own)
        combined = RingSum(len(own[0])).combine(own)
        if position:
            waiting[names[random.randrange(position)]].append(combined)
    return combined


@pytest.mark.slow
@pytest.mark.timeout(600)  # ten thousand take a minute of one core, however many others want it
@pytest.mark.usefixtures("agreed_once")
def test_random_cohorts_sum_exactly() -> None:
    """Every message is the oracle's, bit for bit, and so is every total, along any two trees.

    The total is the plain sum's word, and the number in it the exact sum wherever the numbers are
    multiples of 2^-60 and the sum is one of binary64.
    """
    exact, sizes = 0, set()
    for number in range(COHORTS):
        cohort = Cohort(number)
        sent = cohort.messages()
        assert sent == cohort.oracle_messages()
        total = along_a_random_tree(sent, cohort.random)
        assert total == along_a_random_tree(sent, cohort.random)
        assert total == oracle.to_bytes(word % oracle.RING for word in cohort.total)
        decoded = fixed_point.decode(fixed_point.from_bytes(total)).tolist()
        columns = zip(*cohort.numbers.values(), strict=True)
        for value, word, column in zip(decoded, cohort.total, columns, strict=True):
            assert value == oracle.decode(word % oracle.RING)
            plain = sum(map(Fraction, column))
            if plain * 2**60 == word and Fraction(float(plain)) == plain:
                assert value == plain
                exact += 1
        sizes.add(len(sent))
    assert exact > COHORTS // 3
    assert sizes == set(range(SMALLEST, LARGEST + 1))


@given(st.integers(-(2**127), 2**127 - 2**63 - 1))
def test_decoding_is_exact_or_one_unit_off(word: int) -> None:
    """Exact where 53 digits are enough."""
    words = fixed_point.from_bytes(oracle.to_bytes([word % oracle.RING]))
    (number,) = fixed_point.decode(words).tolist()
    assert number == oracle.decode(word % oracle.RING)
    exact = Fraction(word, 1 << 60)
    if Fraction(float(exact)) == exact:
        assert number == exact
    assert abs(Fraction(number) - exact) <= Fraction(np.spacing(abs(number)))


@settings(max_examples=30)
@given(st.integers(1, 3), st.integers(0, 2))
def test_blocks_meet_without_a_seam(blocks: int, more: int) -> None:
    """Vectors around the length that is masked and encoded at a time."""
    length = blocks * 8192 + more - 1
    random = np.random.default_rng(length)
    numbers = random.normal(size=length) * 2.0 ** random.integers(-70, 50, size=length)
    words = fixed_point.encode(numbers)
    publics = {node: public_of(KEYS[i]) for i, node in enumerate("ab")}
    masks = PairwiseMasks("b", MaskingKey(KEYS[1]), publics, 1, bytes(32))
    masked = fixed_point.to_bytes(masks.mask(words, "0/s"))
    shared = oracle.x25519(KEYS[1], publics["a"])
    secret = oracle.pair_secret(shared, ("a", "b"), publics, 1, bytes(32))
    stream = oracle.keystream(secret, "0/s", length)
    expected = oracle.masked("b", [*map(oracle.encode, numbers.tolist())], {"a": stream})
    assert masked == oracle.to_bytes(expected)
    assert fixed_point.decode(words).tolist() == [
        oracle.decode(oracle.encode(number)) for number in numbers.tolist()
    ]


@given(st.floats())
def test_what_the_oracle_refuses_is_refused(number: float) -> None:
    """And nothing else."""
    try:
        word = oracle.encode(number)
    except ValueError:
        with pytest.raises(Exception, match="can't be summed"):
            fixed_point.encode(np.array([number]))
    else:
        words = fixed_point.encode(np.array([number]))
        assert fixed_point.to_bytes(words) == oracle.to_bytes([word])
