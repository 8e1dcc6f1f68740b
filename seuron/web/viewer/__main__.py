"""The background process of the viewer: `python -m seuron.web.viewer STATE_FOLDER PORT`."""

import sys

from seuron.web.viewer.server import serve

if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
