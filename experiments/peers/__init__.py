"""What ours is compared with: each module fits one family of peers to a `problem.Problem`."""
