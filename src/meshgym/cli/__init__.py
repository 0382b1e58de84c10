"""The ``meshgym`` command. From outside use :mod:`~meshgym.cli.console` and :mod:`~meshgym.cli.mesh_options` alone.

May import every room of ``meshgym``. Commands import what they need when they run, so that help is fast.
"""
