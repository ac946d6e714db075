"""What nodes call, and the planning that runs beside it.

Read `discovery` (heartbeats in, plans out) with `heartbeat` (the check of a report), `replies` and
`calls`; `planning` draws plans; `enrolment` lets nodes in. The services know nothing of each other:
they are given the same members, issuer and planning.
"""
