"""The views of the API: what each answers, and to which queries."""
