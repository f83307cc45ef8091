"""Looking at data before anything is trained: facts, doubts, costs, and how a terminal and a page tell them."""
