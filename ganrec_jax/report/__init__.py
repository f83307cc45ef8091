"""Looking at data before anything is trained: facts, doubts, costs, and how they are told in a terminal and on a page."""
