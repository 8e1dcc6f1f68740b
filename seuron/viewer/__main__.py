"""The background process of the viewer: `python -m seuron.viewer STATE_FOLDER PORT`."""

import sys

from seuron.viewer.background import serve_recorded

if __name__ == "__main__":
    serve_recorded(sys.argv[1], int(sys.argv[2]))
