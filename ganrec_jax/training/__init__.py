"""Updates, the training loop, checkpoints and logs; what every trained stage shares."""
