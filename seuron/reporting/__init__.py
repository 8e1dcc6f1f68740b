"""What a run did, as a page that a person can read."""
