"""``python -m meshgym``."""

from meshgym.cli.main import main

raise SystemExit(main())
