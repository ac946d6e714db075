"""What the aggregator must not forget, in SQLite.

Read `registry`; `certificate_requests` are a part of it. `database` and `statements` are the SQL
below it, and `access` says what happens when it can't be used.
"""
