"""Send load and count what comes back.

From outside, use ``closed_loop``. This room imports only errors and types.
"""
