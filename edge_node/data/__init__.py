"""Rows to arrays: sources, schema, encoding; streamed, so that memory does not grow with rows."""
