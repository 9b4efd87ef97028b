"""The read side of the API and the pages: views, the timeline and the queries."""
