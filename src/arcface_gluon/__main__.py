"""`python -m arcface_gluon`."""

import sys

from .cli import main

sys.exit(main())
