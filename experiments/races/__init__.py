"""What ours is raced against: each module holds the races of one kind of work, see `turns.Race`."""
