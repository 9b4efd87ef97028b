"""What a strategy's file may do, and how it is told what it must not."""
