"""The stack of one spool: supervisord and what it keeps running.

`starting` starts it and stops it, `supervisor` talks with it, `presence` says what runs. They are imported one by
one: a question about the stack does not wait for the import of what starts it.
"""
