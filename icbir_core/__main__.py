"""`python -m icbir_core`."""

import sys

from icbir_core.cli import main

if __name__ == "__main__":
    sys.exit(main())
