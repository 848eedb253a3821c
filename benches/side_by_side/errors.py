"""What may go wrong in a way that its message explains."""


class Trouble(Exception):
    """The run cannot go on; the message says why and needs no traceback."""
