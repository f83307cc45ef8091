"""The court of adversaries: each module holds one design, or one kind of control, as pure functions."""
