"""Pictures and pages that show a person what the stages made of a clip."""
