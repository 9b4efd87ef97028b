"""What a study's file holds, and how the page and the API read it."""
