"""Read a licensed copy of a data set: tables, cells, folders, frame numbers, and what is wrong with them."""
