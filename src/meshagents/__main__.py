"""``python -m meshagents``."""

from meshagents.cli.main import main

raise SystemExit(main())
