"""Generator against discriminator: losses, the alternating step, monitors, expansion."""
