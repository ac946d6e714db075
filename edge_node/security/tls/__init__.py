"""Mutual TLS between peers, and errors that say what failed.

Read `credentials` (both ends of a connection), `denylist` (peers that must not be believed any
longer), `handshake` and `call_errors` (why a connection or a call failed), `unreadable_requests`.
"""
