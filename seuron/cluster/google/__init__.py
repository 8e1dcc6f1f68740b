"""Google Compute Engine: its client, a `Driver`, and the resources that a cluster needs there."""
