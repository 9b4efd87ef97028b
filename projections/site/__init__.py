"""What the API and the pages read: views, the timeline and the queries."""
