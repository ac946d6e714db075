"""What exact sums give away: attacks, as functions from totals to candidate rows.

The attacker is a member. It knows its own rows, landmarks and kernels, and every total of a run; it
subtracts its own part, and looks for the others' rows.

Read `rows` (what is attacked, what guesses find), then the attacks: `directions` (one or two sums,
by linear algebra), `cells` (sums over groups), `sums` and `solving` (all totals together, as
equations in the cells of the rows) and `census` (rows of few possible kinds). `curve` measures them
on real data, `figure` draws it for docs/threat-model.md. tests/attacks runs them on small tables
and on a run's own totals.
"""
