"""The ``meshagents`` command; nothing here is for other rooms. May import every room.

Commands import what they need when they run, so that help is fast.
"""
