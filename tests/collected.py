"""What a collection holds, also while it goes on."""

from meshgym.traces.collection import FILENAME, begun, read_collection


def rows_of(folder):
    """The runs in a collection's folder, in the order in which they were measured."""
    path = folder / FILENAME
    return read_collection(path)[1] if begun(path) else []
