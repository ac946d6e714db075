"""Talking to the discovery service: membership from enrolment to leaving.

Read `enrolment`, `client` (heartbeats out, plans in), `membership` (what else the answers bring),
`renewal` (of the certificate) and `leaving`. `pauses` says when a node calls again.
"""
