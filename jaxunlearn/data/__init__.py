"""Where arrays come from, what is to be forgotten, and batches of it."""
