"""The paper's experiments: constants, ``run()`` and ``score(frame)`` for each."""
