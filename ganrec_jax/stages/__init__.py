"""The stages of a run, one module each, in the order of the pipeline."""
