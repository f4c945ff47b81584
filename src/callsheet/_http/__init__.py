"""The road to a server: a pool, deadlines, retries, outcomes, redirects and redaction.

Only these rooms know httpx and httpcore. They are imported with the first provider that speaks HTTP, so that
`import callsheet` stays light; `_client.Http` is what a provider uses.
"""
