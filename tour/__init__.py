"""The tour: every room's commands on one line, from seed tasks to a gated adapter, and what they find beside the truth.

    make tour

Nothing here is imported by a room, and a room is reached by its commands and its HTTP routes alone, as a user does.
"""
