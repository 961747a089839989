"""The verbs of ``mofo``, one module each: ``add_arguments(parser)`` and ``run(args) -> int``."""
