"""Labels of other annotation tools: masks written in their formats, and their corrected masks read back."""
