"""Files that the stages leave behind: clip folders, frame stacks, manifests, and atomic writes."""
