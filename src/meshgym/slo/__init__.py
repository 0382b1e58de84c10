"""What a service must keep, and where it breaks.

From outside, use ``objective`` (read and judge objectives), ``ramp`` (find the edge) and ``output`` (what is shown).
This room imports what is sent and what comes back; whoever measures is given to it.
"""
