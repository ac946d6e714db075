"""Pairwise masks: what a node adds to a sum looks random, and only the cohort's total doesn't.

For each epoch every node makes an X25519 key and announces it, signed with its identity key. Each
pair of nodes derives a secret, bound by HKDF-SHA256 to both keys, the epoch and the plan. For each
step the secret gives an AES-256-CTR keystream, which the pair's first node by name adds to its
words and the second subtracts: in the cohort's total, and nowhere else, all masks cancel (Bonawitz
et al. 2017, without recovery: when a node is lost, a new epoch makes new masks).

A keystream used for two different vectors would give away their difference: so a step's mask is
used for one vector only, and the same vector may be sent again. In a cohort of two, each node can
subtract its own vector from the total; that is what a minimum cohort is for.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import msgspec
import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand
from numpy.typing import NDArray

from edge_node.errors import IdentityError, RefusedError

__all__ = ["PUBLIC_BYTES", "MaskingKey", "PairwiseMasks"]

PUBLIC_BYTES = 32
"""Length of an X25519 public key."""

Limbs = NDArray[np.uint64]
"""Words, one after the other: a narrow one (modulo 2^64) is one limb, a wide one (modulo 2^128)
two, the low one first."""

_BLOCK = 1 << 13  # limbs: all peers' masks are added while a block is in the processor's cache
_BLOCK_BYTES = 8 * _BLOCK
_ZEROS = bytes(_BLOCK_BYTES)
_HALF = np.uint64(32)  # bits of half a limb


@dataclass(frozen=True)
class MaskingKey:
    """One node's X25519 key for one epoch."""

    private: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        """A new key."""
        return cls(X25519PrivateKey.generate().private_bytes_raw())

    @property
    def public(self) -> bytes:
        """The public key, 32 bytes."""
        return X25519PrivateKey.from_private_bytes(self.private).public_key().public_bytes_raw()

    def exchange(self, public: bytes) -> bytes:
        """The secret shared with the owner of ``public``. Raises IdentityError for a weak point."""
        try:
            peer = X25519PublicKey.from_public_bytes(public)
            return X25519PrivateKey.from_private_bytes(self.private).exchange(peer)
        except ValueError as error:
            raise IdentityError("not a usable X25519 public key", found=public.hex()) from error


class PairwiseMasks:
    """One node's masks in one epoch.

    Args:
        node: whose masks they are.
        key: its masking key.
        publics: the public key of every node of the cohort, its own among them.
        epoch: the epoch.
        plan_hash: SHA-256 of the plan, 32 bytes.

    Raises:
        IdentityError: its own public key is missing or another, or a key is weak.
    """

    def __init__(
        self, node: str, key: MaskingKey, publics: Mapping[str, bytes], epoch: int, plan_hash: bytes
    ) -> None:
        if publics.get(node) != key.public:
            raise IdentityError(
                "the cohort was told another masking key than this node's",
                where=f"node {node}, epoch {epoch}",
                remedy="Somebody on the path changed it: look at the tree's inner nodes",
            )
        self._node = node
        self._used: dict[str, bytes] = {}
        self._tagger = AESGCM(AESGCM.generate_key(128))
        self._secrets = {
            peer: _pair_secret(key, (node, peer), publics, epoch, plan_hash)
            for peer in sorted(publics)
            if peer != node
        }

    def mask(self, limbs: Limbs, runs: Iterable[tuple[int, bool]], step: str) -> Limbs:
        """A vector's words plus this node's masks for the step.

        Args:
            limbs: the words.
            runs: in order, how many limbs have words of one width, and whether that is wide.
            step: names the step, and all that masks are bound to.

        Raises:
            RefusedError: the step's masks were used for another vector.
        """
        tag = self._tag(limbs)
        if self._used.setdefault(step, tag) != tag:
            raise RefusedError(
                "two different vectors for one step: their difference would be readable",
                where=f"step {step} at {self._node}",
                remedy="Restart the node: it joins the next epoch with fresh masks",
            )
        masked = limbs.copy()
        buffer = bytearray(_BLOCK_BYTES + 15)  # as much as any version of the cipher asks for
        streams = {p: _Keystream(secret, step, buffer) for p, secret in self._secrets.items()}
        earlier = [stream for peer, stream in streams.items() if peer < self._node]
        later = [stream for peer, stream in streams.items() if peer > self._node]
        end = 0
        for length, wide in runs:
            begin, end = end, end + length
            mask = _mask_wide if wide else _mask_narrow
            for start in range(begin, end, _BLOCK):
                mask(masked[start : min(start + _BLOCK, end)], later, earlier)
        return masked

    def _tag(self, limbs: Limbs) -> bytes:
        """What tells two vectors apart, five times as fast as a hash: GMAC under a random key."""
        data = np.ascontiguousarray(limbs).view(np.uint8).data
        return self._tagger.encrypt(bytes(12), b"", data)


def _pair_secret(
    key: MaskingKey,
    pair: tuple[str, str],
    publics: Mapping[str, bytes],
    epoch: int,
    plan_hash: bytes,
) -> bytes:
    """32 bytes that both nodes of the pair (the key's owner, its peer) derive, and nobody else."""
    first, second = sorted(pair)
    transcript = msgspec.msgpack.encode(
        (first, second, publics[first], publics[second], epoch, plan_hash)
    )
    info = b"tangentmesh/v1/pair\0" + transcript
    return HKDF(SHA256(), 32, salt=plan_hash, info=info).derive(key.exchange(publics[pair[1]]))


class _Keystream:
    """The limbs of AES-256-CTR under a key that serves one pair, epoch and step only.

    They are written into ``buffer``, which the streams of a vector share: it stays in the cache.
    """

    def __init__(self, secret: bytes, step: str, buffer: bytearray) -> None:
        key = HKDFExpand(SHA256(), 32, info=b"tangentmesh/v1/step\0" + step.encode()).derive(secret)
        self._encryptor = Cipher(AES256(key), CTR(bytes(16))).encryptor()
        self._buffer = buffer
        self._limbs = np.frombuffer(buffer, "<u8", _BLOCK)

    def read(self, limbs: int) -> Limbs:
        """The next ``limbs`` limbs, up to a block; the next call overwrites the buffer."""
        self._encryptor.update_into(memoryview(_ZEROS)[: 8 * limbs], self._buffer)
        return self._limbs[:limbs]


def _mask_narrow(limbs: Limbs, later: Sequence[_Keystream], earlier: Sequence[_Keystream]) -> None:
    """Add and subtract masks in the ring Z_2^64, in place."""
    for stream in later:
        limbs += stream.read(len(limbs))
    for stream in earlier:
        limbs -= stream.read(len(limbs))


def _mask_wide(limbs: Limbs, later: Sequence[_Keystream], earlier: Sequence[_Keystream]) -> None:
    """Add and subtract masks in the ring Z_2^128, in place."""
    mask = _total(later, len(limbs))
    limbs += mask
    limbs[1::2] += limbs[0::2] < mask[0::2]  # the carry
    mask = _total(earlier, len(limbs))
    borrow = limbs[0::2] < mask[0::2]
    limbs -= mask
    limbs[1::2] -= borrow


def _total(streams: Iterable[_Keystream], limbs: int) -> Limbs:
    """The sum of the streams' next words in the ring Z_2^128.

    Limbs are summed without their carries. Those from low to high are found at the end, from the
    sum of the low limbs' upper halves, which has none: it takes half the time of carrying for each.
    """
    total, upper = np.zeros(limbs, np.uint64), np.zeros(limbs // 2, np.uint64)
    for stream in streams:
        words = stream.read(limbs)
        total += words
        upper += words.view("<u4")[1::4]
    lower = total[0::2] - (upper << _HALF)  # the sum of the lower halves, below 2^64
    total[1::2] += (upper + (lower >> _HALF)) >> _HALF
    return total
