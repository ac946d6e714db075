"""What a site lets totals say about it.

Read `policy`, `cohort`, `differencing` (what totals give away when subtracted), `ledger` (what was
contributed), `guard` (the decision); `departure` is a leaving node's consent.
"""
