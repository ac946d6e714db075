"""Who is who: keys, certificates and what is signed with them.

Read `identity`, `certificates` and `uri`; `authority` and `tokens` (how a certificate comes to be);
`keyring`, `renewal`, `succession` and `denylist` (its life).
"""
