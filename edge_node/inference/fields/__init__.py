"""Fields: what devices spread over a place measure together, each of them a variable.

Read `field` (the prior), `devices` (what each device knows), `fleet` (their factor graph), `quiet`
(messages that are sent when there is something to say), `spread` (honest variances, by noise that
every device draws), `churn` (devices that leave, and devices that come).
"""
