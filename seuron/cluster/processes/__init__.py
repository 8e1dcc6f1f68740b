"""Worker processes of this machine as the instances of a cluster."""
