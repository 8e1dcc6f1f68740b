"""What lies on disk or in an object store: files by name, digests, tables, objects, locks.

`files` is loaded with the package; the others are imported by their own names, as tables load pyarrow.
"""

from seuron.storage.cloud_paths import cloud_path, join, local_folder
from seuron.storage.files import Storage

__all__ = ["Storage", "cloud_path", "join", "local_folder"]
