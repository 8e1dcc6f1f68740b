"""Training of boundary nets on dense labels. Import from the submodules: this file loads no torch."""
