"""Where rows come from: a file, checked once and streamed in batches.

Read `schema`, `source`, `checks`; `duck` is the only module that calls DuckDB, `stamp` notices
another file, `site` fills the site column, `limited` takes some of the rows, `public` reads public
landmarks, and `cells` reads a file that has no schema yet.
"""
