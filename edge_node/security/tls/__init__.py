"""Mutual TLS between peers, and errors that say what failed.

Read `credentials` (both ends of a connection), `denylist` (certificates that are no longer
believed), `handshake` and `call_errors` (why a connection or a call failed) and
`unreadable_requests` (how a server answers them).
"""
